//! What to say when this build is asked for something that it was built without.
//!
//! Without this, the parser calls a verb of another build unrecognised, and proposes whatever option is spelled alike.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Something that only some builds have.
struct Part {
    /// The verb, or the option with its dashes.
    name: &'static str,
    /// The verbs that have the option.
    verbs: &'static [&'static str],
    here: bool,
    /// What is lacking and where it is, as `what; remedy`.
    lacking: &'static str,
}

const OFFLINE: &str = "this build is for running models and has no offline half; compile models on a workstation, with a resnext that \
                       was built with --features compile, and copy the .rnx file here";
const TRACT: &str =
    "this build cannot run fp32 networks; use a resnext that was built with --features compile";
const LINUX: &str = "cameras are read on Linux only; run it there";
const DEFMT: &str = "this build writes no defmt records; use one that was built with --features defmt";
const SPI: &str = "this build drives no SPI panels; use one that was built with --features spi, or --fb for a panel that Linux drives";

const PARTS: [Part; 8] = [
    Part { name: "compile", verbs: &[], here: cfg!(feature = "compile"), lacking: OFFLINE },
    Part { name: "import", verbs: &[], here: cfg!(feature = "compile"), lacking: OFFLINE },
    Part { name: "demo", verbs: &[], here: cfg!(feature = "compile"), lacking: OFFLINE },
    Part { name: "camera", verbs: &[], here: cfg!(target_os = "linux"), lacking: LINUX },
    Part { name: "--baseline", verbs: &["bench"], here: cfg!(feature = "compile"), lacking: TRACT },
    Part { name: "--weights-key", verbs: &["bench"], here: cfg!(feature = "compile"), lacking: TRACT },
    Part {
        name: "--defmt",
        verbs: &["bench", "camera", "classify"],
        here: cfg!(feature = "defmt"),
        lacking: DEFMT,
    },
    Part {
        name: "--spi",
        verbs: &["camera"],
        here: cfg!(all(feature = "spi", target_os = "linux")),
        lacking: SPI,
    },
];

/// Returns what this build lacks, if it is asked for the manual, which an environment variable does.
#[cfg(not(feature = "manual"))]
pub(crate) fn lacking_manual() -> Option<&'static str> {
    let lacking = "RESNEXT_MANUAL: this build writes no manual pages; use one that was built with --features manual, or leave the \
                   variable out";
    std::env::var_os("RESNEXT_MANUAL").map(|_| lacking)
}

/// Returns what this build lacks, if that is why the command line is wrong. `verb` is the first argument.
pub(crate) fn lacking(error: &clap::Error, verb: &str) -> Option<String> {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        _ => return None,
    };
    let Some(ContextValue::String(asked)) = error.get(kind) else { return None };
    explain(asked, verb, |part| part.here)
}

fn explain(asked: &str, verb: &str, is_here: impl Fn(&Part) -> bool) -> Option<String> {
    let asked = asked.split('=').next().unwrap_or(asked);
    let is_meant = |part: &&Part| part.name == asked && (part.verbs.is_empty() || part.verbs.contains(&verb));
    let part = PARTS.iter().find(is_meant).filter(|part| !is_here(part))?;
    Some(format!("{}: {}", part.name, part.lacking))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_build_has_is_explained() {
        let says = |asked: &str, verb: &str, start: &str| {
            let line = explain(asked, verb, |_| false).unwrap();
            assert!(line.starts_with(start) && line.contains("; "), "{line}");
        };
        says("compile", "compile", "compile: this build is for running models and has no offline half; ");
        says("demo", "demo", "demo: this build ");
        says("--spi", "camera", "--spi: this build drives no SPI panels; ");
        says("--defmt=log", "bench", "--defmt: this build writes no defmt records; ");
        says("--baseline", "bench", "--baseline: this build cannot run fp32 networks; ");
        says("--weights-key", "bench", "--weights-key: this build cannot run fp32 networks; ");
        for (asked, verb) in [("--spi", "classify"), ("--defmt", "zoo"), ("frobnicate", "frobnicate")] {
            assert_eq!(explain(asked, verb, |_| false), None, "{verb} {asked}");
        }
        assert_eq!(explain("compile", "compile", |_| true), None, "a build that has it");
    }
}
