//! `cargo xtask deb`: makes the Debian package.
//!
//! For boards it holds the static binary of `cargo board`. The same commit, compiler and crates give the same bytes: dates
//! are the commit's, or `SOURCE_DATE_EPOCH`. The maintainer is the commit's author, or `DEBFULLNAME` and `DEBEMAIL`, as for
//! Debian's own tools.

use crate::licences;
use crate::step::{Result, Step};
use crate::tools::{self, BOARD, Std};
use crate::workspace::Workspace;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What the package's binary is built with.
pub(crate) const FEATURES: [&str; 5] = ["-p", "resnext-cli", "--no-default-features", "--features", "defmt"];
/// The same, with what writes manual pages and completions.
pub(crate) const FEATURES_WITH_MANUAL: [&str; 5] =
    ["-p", "resnext-cli", "--no-default-features", "--features", "defmt,manual"];

/// What `apps/cli/Cargo.toml` lists in the package beside what is in the repository.
const GENERATED: &str = "packaging/generated";

/// What the package is for, in Debian's words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    Arm64,
    Amd64,
}

/// Makes the package that the arguments name, arm64 by default, and prints its path.
///
/// # Errors
///
/// Wrong arguments, or the package cannot be made.
pub(crate) fn main(workspace: &Workspace, arguments: &[&str]) -> Result<bool> {
    let architecture = match arguments {
        [] | ["arm64"] => Architecture::Arm64,
        ["amd64"] => Architecture::Amd64,
        _ => return Err("usage: cargo xtask deb [arm64|amd64]".into()),
    };
    if !workspace.has("cargo-deb") {
        return Err("cargo-deb is missing; cargo install --locked cargo-deb".into());
    }
    let package = build(&mut Step::on_terminal(workspace)?, architecture)?;
    println!("{}", package.display());
    Ok(true)
}

/// Makes the package and returns its path.
///
/// # Errors
///
/// Something does not build.
pub(crate) fn build(step: &mut Step<'_>, architecture: Architecture) -> Result<PathBuf> {
    let workspace = step.workspace;
    let (std, target) = match architecture {
        Architecture::Arm64 => (tools::board(workspace)?, BOARD),
        Architecture::Amd64 => (Std::Default, "x86_64-unknown-linux-gnu"),
    };
    let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) => epoch,
        Err(_) => of_commit(step, "%ct")?,
    };
    let maintainer = match (std::env::var("DEBFULLNAME"), std::env::var("DEBEMAIL")) {
        (Ok(name), Ok(address)) => format!("{name} <{address}>"),
        _ => of_commit(step, "%an <%ae>")?,
    };
    let dated = |mut command: Command| {
        command.env("SOURCE_DATE_EPOCH", &epoch);
        command
    };

    let generated = workspace.root.join(GENERATED);
    if generated.exists() {
        fs::remove_dir_all(&generated)?;
    }
    fs::create_dir_all(&generated)?;
    // Pages and completions are of the same verbs, but written by a program that this machine runs.
    let mut manual = dated(workspace.cargo("run"));
    step.run(manual.args(FEATURES_WITH_MANUAL).env("RESNEXT_MANUAL", &generated))?;
    fs::write(generated.join("third-party.txt"), licences::text(step, target, &FEATURES)?)?;
    fs::copy("CHANGELOG.md", generated.join("changelog"))?;
    let mut date = workspace.command("date");
    date.args(["-uR", "-d", &format!("@{epoch}")]).env("LC_ALL", "C");
    let date = step.output(&mut date)?;
    fs::write(generated.join("changelog.Debian"), debian_changelog(date.trim(), &maintainer))?;
    for name in ["changelog", "changelog.Debian"] {
        step.run(workspace.command("gzip").arg("-9n").arg(generated.join(name)))?;
    }

    let mut build = dated(std.cargo(workspace, "build --profile board --target"));
    step.run(build.arg(target).args(FEATURES))?;
    // Not stripped: the profile has done that, and left the texts of defmt records.
    let as_is = "--no-build --no-strip --no-dbgsym --no-separate-debug-symbols";
    let mut pack =
        dated(std.cargo(workspace, &format!("deb {as_is} -p resnext-cli --profile board --target {target}")));
    let path = step.output(pack.args(["--maintainer", &maintainer]))?;
    Ok(path.lines().last().ok_or("cargo-deb names no package")?.into())
}

/// Returns what `git log` says of the last commit in a format.
fn of_commit(step: &mut Step<'_>, format: &str) -> Result<String> {
    let mut log = step.workspace.command("git");
    Ok(step.output(log.args(["log", "-1"]).arg(format!("--format={format}")))?.trim().to_owned())
}

fn debian_changelog(date: &str, maintainer: &str) -> String {
    // All crates share a version.
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "resnext ({version}-1) unstable; urgency=medium\n\n  \
         * Built from the project's own repository: see changelog.gz.\n\n \
         -- {maintainer}  {date}\n"
    )
}
