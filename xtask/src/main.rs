//! The commands that check, accept and package this repository; `cargo xtask` runs them.
//!
//! * [`check`] is what any laptop can run, without root.
//! * [`acceptance`] needs emulators, a cross linker, a browser and packaging tools, and can install them.
//! * [`toolchains`] needs other compilers: the oldest supported one, and a nightly one with Miri and sanitizers.
//! * [`count`] holds the number of instructions of an inference against a record.
//! * [`deb`] makes the Debian package.
//!
//! The lists of steps read top down; [`step`] runs them, and [`tools`] knows what the machine has.

#![forbid(unsafe_code)]

mod acceptance;
mod check;
mod count;
mod deb;
mod inventory;
mod json;
mod licences;
mod links;
mod manifests;
mod paths;
mod step;
mod toolchains;
mod tools;
mod workspace;

use std::process::ExitCode;
use step::Result;
use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check [STEP]...                   everything that needs no root: format, lints, tests, documentation, manifests
  acceptance [--install] [STEP]...  emulated Arm cores, board binary, instruction counts, browser, package
  toolchains [--install] [STEP]...  the oldest compiler; Miri and sanitizers, with a nightly one
  count BINARY [CORE]... [--update] instructions of one inference, against benches/record/instructions.tsv
  deb [arm64|amd64]                 builds the Debian package and prints its path

  STEP is a part of a step's name; without any, all steps run. --list prints their names.
  --install lets a command install what is missing: Debian packages (as root or with sudo), programs from
  crates.io into target/tools, standard libraries and compilers with rustup.

environment:
  RESNEXT_DATA      images for the accuracy tests (default: ../shared/data); without them these tests are
                    skipped, or fail if CI is set
  CARGO_TARGET_DIR  where to build (default: target)
  SOURCE_DATE_EPOCH, DEBFULLNAME, DEBEMAIL
                    date and maintainer of the package (default: date and author of the last commit)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; `false` if something that it checked is not as it should be.
fn run(arguments: &[&str]) -> Result<bool> {
    let workspace = Workspace::enter()?;
    match arguments {
        ["check", rest @ ..] => step::run_all(&workspace, &check::steps(), rest),
        [command @ ("acceptance" | "toolchains"), rest @ ..] => {
            let (install, names): (Vec<&str>, Vec<&str>) =
                rest.iter().partition(|&&text| text == "--install");
            let steps = if *command == "acceptance" { acceptance::steps } else { toolchains::steps };
            step::run_all(&workspace, &steps(!install.is_empty()), &names)
        }
        ["count", rest @ ..] => count::main(&workspace, rest),
        ["deb", rest @ ..] => deb::main(&workspace, rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(true)
        }
        _ => Err(format!("no such command: {}\n\n{USAGE}", arguments.join(" ")).into()),
    }
}
