//! Any text as a file of labels, or a list of synsets.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resnext_evaluation::truth::{Truth, parse_synsets};

fuzz_target!(|text: &str| {
    let error = Truth::parse(text).err().or_else(|| parse_synsets(text).err());
    if let Some(error) = error {
        let line = error.to_string();
        assert!(line.contains("; ") && !line.contains('\n'), "{line}");
    }
});
