//! Links `resnext --defmt` (feature `defmt`); without the feature this does nothing.
//!
//! A defmt record holds no text. In its place stands an index of 16 bits: the address of a symbol whose name is the text.
//! `defmt-print -e resnext` looks the text up in the symbol table of the same file. On a microcontroller the crate's own
//! linker script arranges that; a program that Linux runs needs three things more, on x86-64 and aarch64 alike:
//!
//! * **A section at address 1** that is not loaded. The crate's `defmt.x` is for linkers that are given a whole layout;
//!   passed to a hosted one, it would *be* the layout. Ours says the same and ends in `INSERT`, which adds to the default.
//!   GNU ld and lld (rustc's default on x86-64 Linux) both take it.
//! * **Fixed addresses.** The index is computed as `&SYMBOL as u16`. In a position-independent program the loader moves
//!   everything, so the index would be off by where the program happens to be. Hence `-no-pie`; `-static` says again
//!   what `-static-pie` said, where the C library is linked in. What it costs is that the program's own code, but neither
//!   stack nor heap nor libraries, sits at the same address in every run.
//! * **Symbols that survive.** `strip = "symbols"` throws the texts away, so the profiles strip debug information only, and
//!   `--discard-all` drops the local symbols instead, which are nearly all.
//!
//! Only the binary is linked so. Unit tests of other crates have no logger and must not enable the feature: a workspace
//! build leaves it out, `cargo board` puts it in.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=defmt.x");
    if env::var_os("CARGO_FEATURE_DEFMT").is_none() {
        return;
    }
    let target = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    assert!(target == "linux", "feature defmt: ELF programs on Linux only; build without it");
    let root = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let script = Path::new(&root).join("defmt.x");
    // Or else only errors would be compiled in.
    println!("cargo::rustc-env=DEFMT_LOG=info");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    println!("cargo::rustc-link-arg-bins=-Wl,--discard-all");
    println!("cargo::rustc-link-arg-bins=-no-pie");
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if features.split(',').any(|feature| feature == "crt-static") {
        println!("cargo::rustc-link-arg-bins=-static");
    }
}
