//! What a binary writes with `--defmt`, decoded, is what it says with `--json`.

use super::board::RUNNER;
use super::host_as_board;
use crate::step::{Result, Step};
use crate::tools;

/// Decodes the records of the board's binary, emulated, and of the host's.
///
/// # Errors
///
/// A record says something else, or the decoder does not build.
pub(super) fn decode(step: &mut Step<'_>) -> Result {
    let runner = step.workspace.root.join(RUNNER);
    step.run(&mut cargo(step, "clippy", "--all-targets -- -D warnings"))?;
    let mut emulated = cargo(step, "test", "--no-fail-fast");
    emulated.env("RESNEXT_BINARY", tools::board_binary(step.workspace)?).env("RESNEXT_RUNNER", runner);
    step.attempt(&mut emulated);
    let mut native = cargo(step, "test", "--no-fail-fast");
    native.env("RESNEXT_BINARY", host_as_board(step)?);
    step.run(&mut native)
}

/// The decoder is a workspace of its own, since nothing else wants defmt's decoder.
fn cargo(step: &Step<'_>, command: &str, more: &str) -> std::process::Command {
    let workspace = step.workspace;
    let mut cargo = workspace.cargo(&format!("{command} --manifest-path tests/defmt/Cargo.toml {more}"));
    cargo.env("CARGO_TARGET_DIR", workspace.target.join("defmt"));
    cargo
}
