//! What all verbs share: options, exit statuses, errors in one line, and output that fits the terminal.

use crate::support::{Folder, Ran, command};
#[cfg(target_os = "linux")]
use crate::usable_cpus;
use resnext::internals::format::VERSION;
use resnext_testing::networks::colours;
use std::io::Read;
use std::process::Stdio;

#[test]
fn cpus_that_cannot_be_used_are_refused() {
    let folder = Folder::new();
    for verb in [&["bench", "model.rnx"][..], &["classify", "model.rnx", "red.png"]] {
        let line = folder.resnext(&[verb, &["--cpus", "65534-65535"]].concat()).failure();
        let start = match cfg!(target_os = "linux") {
            true => "resnext: --cpus 65534-65535: CPUs 65534-65535 ",
            false => "resnext: --cpus 65534-65535: CPUs can be chosen on Linux only; ",
        };
        assert!(line.starts_with(start), "{line}");
        #[cfg(target_os = "linux")]
        assert!(line.ends_with(&format!("; choose from {}", usable_cpus())), "{line}");
    }
}

#[test]
fn tables_fit_the_terminal() {
    let folder = Folder::new();
    for columns in [80, 120] {
        for args in
            [&["zoo"][..], &["inspect", "model.rnx"], &["bench", "model.rnx", "--runs", "1", "--profile"]]
        {
            let output =
                command(args).current_dir(folder.path("")).env("COLUMNS", columns.to_string()).output();
            let (text, _) = Ran::new(output.unwrap()).results_and_warnings();
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= columns, "{widest} > {columns}:\n{text}");
        }
    }
}

#[test]
fn models_that_cannot_be_used_say_why() {
    let folder = Folder::new();
    let good = colours("{}").bytes;
    let patched = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    folder.write("words.rnx", b"not a model");
    folder.write("empty.rnx", b"");
    folder.write("cut.rnx", &good[..good.len() - 1]);
    folder.write("newer.rnx", &patched(8, VERSION as u8 + 1));
    folder.write("damaged.rnx", &patched(good.len() - 1, b'?'));
    std::fs::create_dir(folder.path("models")).unwrap();
    let newer = format!("artifact format {} is newer than the {VERSION} ", VERSION + 1);
    let cases = [
        ("missing.rnx", "no such file; "),
        ("models", "is a directory; "),
        ("red.png", "not a .rnx artifact; "),
        ("words.rnx", "not a .rnx artifact; "),
        ("empty.rnx", "not a .rnx artifact; "),
        ("cut.rnx", "artifact is "),
        ("newer.rnx", &newer),
        ("damaged.rnx", "artifact is damaged "),
        #[cfg(unix)]
        ("/dev/null", "is not a regular file; "),
    ];
    for (model, what) in cases {
        for verb in [&["inspect", model][..], &["bench", model], &["classify", model, "red.png"]] {
            let line = folder.resnext(verb).failure();
            let start = format!("resnext: {model}: {what}");
            assert!(line.starts_with(&start), "{line}");
        }
    }
}

#[test]
fn wrong_usage_is_status_2() {
    let folder = Folder::new();
    let cases: [&[&str]; 17] = [
        &[],
        &["frobnicate"],
        &["classify", "model.rnx"],
        &["bench"],
        &["bench", "model.rnx", "--runs", "0"],
        &["bench", "model.rnx", "--threads", "0"],
        &["bench", "model.rnx", "--cpus", ""],
        &["bench", "model.rnx", "--cpus", "3-1"],
        &["classify", "model.rnx", "red.png", "--cpus", "0,two"],
        &["bench", "model.rnx", "--kernels", "sse9"],
        &["classify", "model.rnx", "red.png", "--top-k", "0"],
        &["inspect", "model.rnx", "extra"],
        &["zoo", "timm", "mmcls"],
        &["bench", "model.rnx", "--sustained", "soon"],
        &["bench", "model.rnx", "--sustained", "0s"],
        &["bench", "model.rnx", "--sustained", "1s", "--runs", "5"],
        &["doctor", "model.rnx"],
    ];
    for args in cases {
        let ran = folder.resnext(args);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn help_and_version_are_results() {
    let folder = Folder::new();
    for verb in ["zoo", "classify", "bench", "inspect", "doctor"] {
        let text = folder.resnext(&[verb, "--help"]).results();
        assert!(text.contains("Examples:\n  resnext "), "{text}");
    }
    assert!(folder.resnext(&["--help"]).results().contains("Exit status: 0 done, 1 failed"));
    assert_eq!(
        folder.resnext(&["--version"]).results(),
        concat!("resnext ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = Folder::new();
    // More than a pipe holds, so that the program is still writing when the reader is gone.
    let long = format!("{{\"notes\": [{}]}}", vec!["\"filler filler filler\""; 20_000].join(","));
    folder.write("long.rnx", &colours(&long).bytes);
    let mut child = command(&["inspect", "long.rnx", "--json"])
        .current_dir(folder.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut [0; 10]).unwrap();
    drop(pipe);
    let ran = Ran::new(child.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failure() {
    let folder = Folder::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&["inspect", "model.rnx"]).current_dir(folder.path("")).stdout(full).output();
    let line = Ran::new(output.unwrap()).failure();
    assert!(line.starts_with("resnext: stdout: cannot be written: "), "{line}");
}
