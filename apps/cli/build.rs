//! Links `resnext --defmt` (feature `defmt`). Without the feature this does nothing.
//!
//! A defmt record contains no text. Instead it has an index of 16 bits: the address of a symbol whose name is the text.
//! `defmt-print -e resnext` finds the text in the symbol table of the same file. On a microcontroller, the linker script of the
//! crate arranges that. A Linux program needs three more things, on x86-64 and aarch64 alike:
//!
//! * **A section at address 1** that is not loaded. The `defmt.x` of the crate is for linkers that get a whole layout; a hosted
//!   linker would use it *as* the layout. Our script says the same and ends in `INSERT`, which adds to the default layout.
//!   GNU ld and lld (the default of rustc on x86-64 Linux) both accept it.
//! * **Fixed addresses.** The index is computed as `&SYMBOL as u16`. The loader moves a position-independent program, so the
//!   index would be wrong by its load address. Hence `-no-pie`, and `-static` instead of `-static-pie` where the C library is
//!   linked in. The cost is that the code of the program is at the same address in every run; stack, heap and libraries are not.
//! * **Symbols that survive.** `strip = "symbols"` removes the texts, so the profiles strip only debug information, and
//!   `--discard-all` drops the local symbols instead, which are nearly all symbols.
//!
//! Only this binary is linked in this way. Unit tests of other crates have no logger and must not enable the feature, so a
//! workspace build leaves it out and `cargo board` enables it.

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
    // Without this variable, only errors would be compiled in.
    println!("cargo::rustc-env=DEFMT_LOG=info");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    println!("cargo::rustc-link-arg-bins=-Wl,--discard-all");
    println!("cargo::rustc-link-arg-bins=-no-pie");
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if features.split(',').any(|feature| feature == "crt-static") {
        println!("cargo::rustc-link-arg-bins=-static");
    }
}
