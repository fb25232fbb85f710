//! `cargo xtask deb`: makes the Debian package.
//!
//! For boards it holds the static binary of `cargo board`. The same commit, compiler and crates give the same bytes: dates
//! are the commit's, or `SOURCE_DATE_EPOCH`.

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
        Err(_) => {
            step.output(workspace.command("git").args(["log", "-1", "--format=%ct"]))?.trim().to_owned()
        }
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
    fs::write(
        generated.join("changelog.Debian"),
        debian_changelog(&version()?, date.trim(), &maintainer()?),
    )?;
    for name in ["changelog", "changelog.Debian"] {
        step.run(workspace.command("gzip").arg("-9n").arg(generated.join(name)))?;
    }

    let mut build = dated(std.cargo(workspace, "build --profile board --target"));
    step.run(build.arg(target).args(FEATURES))?;
    // Not stripped: the profile has done that, and left the texts of defmt records.
    let as_is = "--no-build --no-strip --no-dbgsym --no-separate-debug-symbols";
    let mut pack =
        dated(std.cargo(workspace, &format!("deb {as_is} -p resnext-cli --profile board --target {target}")));
    let path = step.output(&mut pack)?;
    Ok(path.lines().last().ok_or("cargo-deb names no package")?.into())
}

fn debian_changelog(version: &str, date: &str, maintainer: &str) -> String {
    format!(
        "resnext ({version}-1) unstable; urgency=medium\n\n  \
         * Built from the project's own repository: see changelog.gz.\n\n \
         -- {maintainer}  {date}\n"
    )
}

/// Returns the version that all crates share.
fn version() -> Result<String> {
    field("Cargo.toml", "[workspace.package]", "version")
}

fn maintainer() -> Result<String> {
    field("apps/cli/Cargo.toml", "[package.metadata.deb]", "maintainer")
}

/// Reads `key = "value"` in a section of a manifest.
fn field(manifest: &str, section: &str, key: &str) -> Result<String> {
    let text = fs::read_to_string(manifest)?;
    let lines =
        text.lines().skip_while(|line| *line != section).skip(1).take_while(|line| !line.starts_with('['));
    let mut values = lines.filter_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
    let value = values.next().ok_or_else(|| format!("{manifest} has no {key} in {section}"))?;
    Ok(value.trim().trim_matches('"').to_owned())
}
