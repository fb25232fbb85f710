//! What needs more than Rust and a C compiler: emulated cores, the board's binary, a browser, packaging tools.

mod binary;
mod board;
mod package;
mod records;
mod setup;

use crate::count;
use crate::step::{Plan, Result, Step};
use crate::tools::CORES;
use crate::{check, deb};
use std::path::PathBuf;

/// Lists the steps. `install` allows the first one to install what is missing.
pub(crate) fn steps(install: bool) -> Vec<Plan> {
    let mut steps = vec![
        Plan::essential("set up", move |step| setup::set_up(step, install)),
        Plan::new("licences and sources of dependencies", check::deny),
        Plan::new("book", check::book),
        Plan::new("browser and films", browser_and_films),
        Plan::new("no_std on bare metal", board::bare_metal),
        Plan::new("board binary", board::build),
    ];
    if cfg!(target_arch = "x86_64") {
        steps.push(Plan::new("instructions on x86-64", host_instructions));
    }
    steps.push(Plan::new("build tests for aarch64", board::build_tests));
    for core in CORES {
        steps.extend([
            Plan::new(format!("tests on emulated {core}"), move |step| board::tests(step, core)),
            Plan::new(format!("board binary on emulated {core}"), move |step| {
                binary::says_the_same(step, core)
            }),
            Plan::new(format!("instructions on {core}"), move |step| board::instructions(step, core)),
        ]);
    }
    let newest = CORES[CORES.len() - 1];
    steps.extend([
        Plan::new(format!("camera on emulated {newest}"), move |step| board::camera_tests(step, newest)),
        Plan::new("records in defmt", records::decode),
        Plan::new("Debian package", package::accept),
    ]);
    steps
}

/// Tests that look at pages in Chromium and at films by ffmpeg. `cargo xtask check` leaves them out where these are
/// missing; here they must be there.
fn browser_and_films(step: &mut Step<'_>) -> Result {
    let mut test = step.workspace.cargo("test --no-fail-fast");
    test.args(check::HOST).args(["--test", "browser", "--test", "camera"]).env("CI", "true");
    step.run(&mut test)
}

/// Builds the host's `resnext` with everything, as the tests have it, and returns its path. Where they have been built
/// that takes no time.
fn host_binary(step: &mut Step<'_>) -> Result<PathBuf> {
    let mut build = step.workspace.cargo("test --no-run");
    build.args(check::HOST).args(["--test", "camera"]);
    step.run(&mut build)?;
    Ok(step.workspace.target.join("debug/resnext"))
}

/// Builds the host's `resnext` from the code of the board's, optimised alike, so that only the kernels differ.
fn host_as_board(step: &mut Step<'_>) -> Result<PathBuf> {
    let mut build = step.workspace.cargo("build --profile board");
    build.args(deb::FEATURES);
    step.run(&mut build)?;
    Ok(step.workspace.target.join("board/resnext"))
}

fn host_instructions(step: &mut Step<'_>) -> Result {
    let binary = host_as_board(step)?;
    count::check(step, &binary, "x86-64")
}
