//! What other compilers say: the oldest that the manifests promise, and a nightly one with Miri, the sanitizers and the
//! standard library's source, which watch memory while tests of the runtime run. Without its compiler a step is skipped.

use crate::manifests;
use crate::step::{Plan, Result, Step};
use crate::tools;
use std::process::Command;

/// The thread pool and what splits a step over it.
const POOL: &str = "--lib -- threads workers ops::part";
/// A network of every kind of step on one to four threads: the pool, `Shared` and `OutputChunk` at work.
const NETWORK: &str = "--test bit_exact -- small_network";
/// Everything that reads artifacts, and preprocessing.
const ALL: &str = "--lib --tests";

/// Lists the steps. `install` allows them to fetch their compilers with rustup.
pub(crate) fn steps(install: bool) -> Vec<Plan> {
    vec![
        Plan::new("oldest compiler builds", move |step| oldest_compiler(step, install)),
        Plan::new("ThreadSanitizer", move |step| thread_sanitizer(step, install)),
        Plan::new("AddressSanitizer", move |step| address_sanitizer(step, install)),
        Plan::new("Miri", move |step| miri(step, install)),
    ]
}

/// Fetches a compiler that is missing. Where that fails, its step is skipped.
fn fetch(step: &mut Step<'_>, toolchain: &[&str]) {
    if !step.workspace.has("rustup") {
        return;
    }
    let mut install = step.workspace.command("rustup");
    install.args(["toolchain", "install", "--profile", "minimal"]).args(toolchain);
    if let Err(error) = step.run(&mut install) {
        step.note(error.to_string());
    }
}

/// Compiles the workspace with the oldest compiler that the manifests promise.
fn oldest_compiler(step: &mut Step<'_>, install: bool) -> Result {
    let toolchain = manifests::promised_compiler(step)?;
    if install && !tools::has_toolchain(step.workspace, &toolchain) {
        fetch(step, &[&toolchain]);
    }
    if !tools::has_toolchain(step.workspace, &toolchain) {
        step.skip(format!("rustup toolchain install {toolchain} --profile minimal"));
        return Ok(());
    }
    let mut check = step.workspace.cargo(&format!("+{toolchain} check --workspace --exclude resnext-fuzz"));
    check.env_remove("RUSTUP_TOOLCHAIN").env("CARGO_TARGET_DIR", step.workspace.target.join("oldest"));
    step.run(&mut check)
}

/// Runs the pool and a network in Miri, on the scalar path: Miri has no vector instructions of Arm and few of x86-64.
fn miri(step: &mut Step<'_>, install: bool) -> Result {
    for tests in [POOL, NETWORK] {
        let Some(mut test) = nightly(step, install, &format!("miri test -p resnext {tests}")) else {
            return Ok(());
        };
        test.env("CARGO_TARGET_DIR", step.workspace.target.join("miri"));
        step.attempt(&mut test);
    }
    Ok(())
}

/// Runs the pool and a network with every kernel in ThreadSanitizer.
fn thread_sanitizer(step: &mut Step<'_>, install: bool) -> Result {
    sanitized(step, install, "thread", &[POOL, NETWORK])
}

/// Runs the runtime's tests with every kernel in AddressSanitizer.
fn address_sanitizer(step: &mut Step<'_>, install: bool) -> Result {
    sanitized(step, install, "address", &[ALL])
}

fn sanitized(step: &mut Step<'_>, install: bool, sanitizer: &str, sets: &[&str]) -> Result {
    let target = tools::host();
    for tests in sets {
        // The standard library is built with the sanitizer too, since ThreadSanitizer must see how it synchronizes.
        let build = format!("test -Zbuild-std --target {target} -p resnext --no-fail-fast {tests}");
        let Some(mut test) = nightly(step, install, &build) else {
            return Ok(());
        };
        let folder = step.workspace.target.join(format!("{sanitizer}-sanitizer"));
        test.env("CARGO_TARGET_DIR", folder).env("RUSTFLAGS", format!("-Zsanitizer={sanitizer}"));
        // Allocations that are never freed belong to threads that outlive a test.
        test.env("ASAN_OPTIONS", "detect_leaks=0");
        step.attempt(&mut test);
    }
    Ok(())
}

/// Builds a command of the nightly cargo; without it the step is skipped.
fn nightly(step: &mut Step<'_>, install: bool, arguments: &str) -> Option<Command> {
    if install && !tools::has_nightly(step.workspace) {
        fetch(step, &["nightly", "-c", "miri", "-c", "rust-src"]);
    }
    if !tools::has_nightly(step.workspace) {
        step.skip(tools::NIGHTLY_REMEDY);
        return None;
    }
    let mut cargo = step.workspace.cargo(&format!("+nightly {arguments}"));
    cargo.env_remove("RUSTUP_TOOLCHAIN");
    Some(cargo)
}
