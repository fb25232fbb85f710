//! What other compilers say: the oldest that the manifests promise, and a nightly one with Miri, the sanitizers and the
//! standard library's source, which watch memory while tests of the runtime run. Without the compiler a step is skipped.

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

/// Lists the steps. `install` allows the first one to fetch compilers with rustup.
pub(crate) fn steps(install: bool) -> Vec<Plan> {
    vec![
        Plan::essential("set up", move |step| set_up(step, install)),
        Plan::new("oldest compiler builds", oldest_compiler),
        Plan::new("ThreadSanitizer", thread_sanitizer),
        Plan::new("AddressSanitizer", address_sanitizer),
        Plan::new("Miri", miri),
    ]
}

/// Fetches the compilers that are missing, if it may. Where rustup cannot, the steps that need them are skipped.
fn set_up(step: &mut Step<'_>, install: bool) -> Result {
    if !install || !step.workspace.has("rustup") {
        return Ok(());
    }
    let oldest = manifests::promised_compiler(step)?;
    if !tools::has_toolchain(step.workspace, &oldest) {
        fetch(step, &[&oldest]);
    }
    if !tools::has_nightly(step.workspace) {
        fetch(step, &["nightly", "-c", "miri", "-c", "rust-src"]);
    }
    Ok(())
}

fn fetch(step: &mut Step<'_>, toolchain: &[&str]) {
    let mut install = step.workspace.command("rustup");
    install.args(["toolchain", "install", "--profile", "minimal"]).args(toolchain);
    if let Err(error) = step.run(&mut install) {
        step.note(error.to_string());
    }
}

/// Compiles the workspace with the oldest compiler that the manifests promise.
fn oldest_compiler(step: &mut Step<'_>) -> Result {
    let toolchain = manifests::promised_compiler(step)?;
    if !tools::has_toolchain(step.workspace, &toolchain) {
        step.skip(format!("rustup toolchain install {toolchain} --profile minimal"));
        return Ok(());
    }
    let mut check = step.workspace.cargo(&format!("+{toolchain} check --workspace --exclude resnext-fuzz"));
    check.env_remove("RUSTUP_TOOLCHAIN").env("CARGO_TARGET_DIR", step.workspace.target.join("oldest"));
    step.run(&mut check)
}

/// Runs the pool and a network in Miri, on the scalar path: Miri has no vector instructions of Arm and few of x86-64.
fn miri(step: &mut Step<'_>) -> Result {
    for tests in [POOL, NETWORK] {
        let Some(mut test) = nightly(step, &format!("miri test -p resnext {tests}")) else {
            return Ok(());
        };
        test.env("CARGO_TARGET_DIR", step.workspace.target.join("miri"));
        step.attempt(&mut test);
    }
    Ok(())
}

/// Runs the pool and a network with every kernel in ThreadSanitizer.
fn thread_sanitizer(step: &mut Step<'_>) -> Result {
    sanitized(step, "thread", &[POOL, NETWORK])
}

/// Runs the runtime's tests with every kernel in AddressSanitizer.
fn address_sanitizer(step: &mut Step<'_>) -> Result {
    sanitized(step, "address", &[ALL])
}

fn sanitized(step: &mut Step<'_>, sanitizer: &str, sets: &[&str]) -> Result {
    let target = tools::host();
    for tests in sets {
        // The standard library is built with the sanitizer too, since ThreadSanitizer must see how it synchronizes.
        let build = format!("test -Zbuild-std --target {target} -p resnext --no-fail-fast {tests}");
        let Some(mut test) = nightly(step, &build) else {
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
fn nightly(step: &mut Step<'_>, arguments: &str) -> Option<Command> {
    if !tools::has_nightly(step.workspace) {
        step.skip(tools::NIGHTLY_REMEDY);
        return None;
    }
    let mut cargo = step.workspace.cargo(&format!("+nightly {arguments}"));
    cargo.env_remove("RUSTUP_TOOLCHAIN");
    Some(cargo)
}
