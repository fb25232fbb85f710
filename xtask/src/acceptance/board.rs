//! The runtime on emulated Arm cores, and on bare metal as far as compiling goes.

use crate::step::{Result, Step};
use crate::tools::{self, BARE, BOARD, CORES, Std};
use crate::{count, deb};
use std::fs;
use std::process::Command;

/// Runs a program for the board, emulated where that is needed.
pub(super) const RUNNER: &str = "tests/emulation/qemu-runner";

/// What the board's binary may have at most.
const MAX_BYTES: u64 = 5_000_000;

/// Builds the runtime and its models without an operating system.
///
/// # Errors
///
/// They do not build.
pub(super) fn bare_metal(step: &mut Step<'_>) -> Result {
    for target in BARE {
        let std = Std::for_bare(step.workspace, target).ok_or_else(|| format!("no core for {target}"))?;
        for features in ["", "--features resnext/defmt"] {
            let packages = "-p resnext -p resnext-models --no-default-features";
            step.run(
                &mut std.cargo(step.workspace, &format!("build {packages} {features} --target {target}")),
            )?;
        }
    }
    Ok(())
}

/// Builds what is copied to a board: one small static file.
///
/// # Errors
///
/// It does not build, is too large, or is not static.
pub(super) fn build(step: &mut Step<'_>) -> Result {
    let std = tools::board(step.workspace)?;
    let mut build = std.cargo(step.workspace, "build --profile board --target");
    step.run(build.arg(BOARD).args(deb::FEATURES))?;
    let binary = tools::board_binary(step.workspace)?;
    let size = fs::metadata(&binary)?.len();
    step.note(format!("{size} bytes"));
    if size > MAX_BYTES {
        return Err(format!("the board binary has more than {MAX_BYTES} bytes").into());
    }
    let mut headers = step.workspace.command("aarch64-linux-gnu-readelf");
    if step.output(headers.arg("--program-headers").arg(&binary))?.contains("INTERP") {
        return Err("the board binary is not static".into());
    }
    Ok(())
}

/// The feature sets whose tests run on emulated cores. Without tract-linalg the code differs only in leaving it out.
const WITH_TRACT: &str = "test -p resnext --features tract --lib --tests";
const WITHOUT_TRACT: &str = "test -p resnext --lib --tests";
const CAMERA: &str = "test -p resnext-camera --features spi --lib --tests";

fn board_tests(step: &Step<'_>, tests: &str) -> Result<Command> {
    let std = tools::board(step.workspace)?;
    Ok(std.cargo(step.workspace, &format!("{tests} --target {BOARD} --no-fail-fast")))
}

/// Compiles the tests, so that their time shows apart from the emulator's.
///
/// # Errors
///
/// They do not build.
pub(super) fn build_tests(step: &mut Step<'_>) -> Result {
    for tests in [WITH_TRACT, WITHOUT_TRACT, CAMERA] {
        let mut build = board_tests(step, tests)?;
        step.run(build.arg("--no-run"))?;
    }
    Ok(())
}

/// Returns whether qemu knows a core; if not, the step is skipped.
///
/// # Errors
///
/// qemu cannot be started.
pub(super) fn known(step: &mut Step<'_>, core: &str) -> Result<bool> {
    // It lists them and exits with an error.
    let output = step.workspace.command("qemu-aarch64").args(["-cpu", "help"]).output()?;
    let known = String::from_utf8_lossy(&output.stdout).split_whitespace().any(|name| name == core);
    if !known {
        step.skip(format!("this qemu does not know {core}"));
    }
    Ok(known)
}

/// Runs the runtime's tests on an emulated core.
///
/// # Errors
///
/// A test fails.
pub(super) fn tests(step: &mut Step<'_>, core: &str) -> Result {
    if !known(step, core)? {
        return Ok(());
    }
    let mut sets = vec![WITH_TRACT];
    if core == CORES[0] {
        sets.push(WITHOUT_TRACT);
    }
    for tests in sets {
        let mut test = board_tests(step, tests)?;
        step.attempt(test.env("RESNEXT_QEMU_CPU", core));
    }
    Ok(())
}

/// Runs the camera's tests on an emulated core: sources, displays, the preview, 10,000 frames in flat memory. Little of
/// it depends on the core, so one is enough.
///
/// # Errors
///
/// A test fails.
pub(super) fn camera_tests(step: &mut Step<'_>, core: &str) -> Result {
    if !known(step, core)? {
        return Ok(());
    }
    let mut test = board_tests(step, CAMERA)?;
    step.run(test.env("RESNEXT_QEMU_CPU", core))
}

/// Holds the instructions of one inference on an emulated core against the record.
///
/// # Errors
///
/// There are too many.
pub(super) fn instructions(step: &mut Step<'_>, core: &str) -> Result {
    if !known(step, core)? {
        return Ok(());
    }
    let binary = tools::board_binary(step.workspace)?;
    count::check(step, &binary, core)
}
