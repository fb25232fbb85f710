//! Rules over the manifests: the oldest compiler that dependencies allow, and what is fit to be published.

use crate::step::{Result, Step};
use serde_json::Value;
use std::collections::BTreeSet;

/// What `cargo metadata` says of all packages.
pub(crate) struct Metadata {
    packages: Vec<Value>,
}

/// One package in it.
#[derive(Clone, Copy)]
pub(crate) struct Package<'a>(&'a Value);

impl Metadata {
    /// Asks cargo.
    ///
    /// # Errors
    ///
    /// It fails.
    pub(crate) fn read(step: &mut Step<'_>) -> Result<Self> {
        let output = step.workspace.cargo("metadata --format-version 1 --all-features").output()?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let mut all: Value = serde_json::from_slice(&output.stdout)?;
        match all["packages"].take() {
            Value::Array(packages) => Ok(Self { packages }),
            _ => Err("cargo metadata lists no packages".into()),
        }
    }

    /// Returns the oldest compiler that this workspace promises to build with.
    fn promise(&self) -> Result<[u64; 2]> {
        self.own()
            .filter_map(Package::rust_version)
            .min()
            .ok_or_else(|| "no package has a rust-version".into())
    }

    /// Lists the packages of this workspace.
    pub(crate) fn own(&self) -> impl Iterator<Item = Package<'_>> {
        self.packages.iter().filter(|package| package["source"].is_null()).map(Package)
    }

    /// Lists the packages from a registry.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = Package<'_>> {
        self.packages.iter().filter(|package| !package["source"].is_null()).map(Package)
    }
}

impl<'a> Package<'a> {
    /// Returns a field that is text, or nothing.
    pub(crate) fn text(self, field: &str) -> &'a str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// Returns whether the package may go to crates.io.
    pub(crate) fn is_published(self) -> bool {
        !self.0["publish"].as_array().is_some_and(Vec::is_empty)
    }

    /// Returns the root files of its libraries and programs.
    pub(crate) fn roots(self) -> impl Iterator<Item = &'a str> {
        let targets = self.0["targets"].as_array().into_iter().flatten();
        let built = |target: &&Value| {
            let kinds = target["kind"].as_array().into_iter().flatten();
            kinds.filter_map(Value::as_str).any(|kind| kind == "lib" || kind == "bin")
        };
        targets.filter(built).filter_map(|target| target["src_path"].as_str())
    }

    /// Names the packages that it cannot be built without.
    fn dependencies(self) -> impl Iterator<Item = &'a str> {
        let all = self.0["dependencies"].as_array().into_iter().flatten();
        all.filter(|dependency| dependency["kind"].as_str() != Some("dev"))
            .filter_map(|dependency| dependency["name"].as_str())
    }

    fn rust_version(self) -> Option<[u64; 2]> {
        let mut numbers =
            self.0["rust_version"].as_str()?.split('.').map(|number| number.parse().unwrap_or(0));
        Some([numbers.next()?, numbers.next().unwrap_or(0)])
    }
}

/// Checks that no dependency asks for a newer compiler than this workspace does. What the workspace itself calls is up to
/// clippy, and to the acceptance, which compiles with the oldest compiler.
///
/// # Errors
///
/// One does.
pub(crate) fn oldest_compiler(step: &mut Step<'_>) -> Result {
    let metadata = Metadata::read(step)?;
    let ours = metadata.promise()?;
    for package in metadata.foreign() {
        if let Some(version) = package.rust_version().filter(|version| *version > ours) {
            let [major, minor] = version;
            step.fail(format!(
                "{} {} wants Rust {major}.{minor}",
                package.text("name"),
                package.text("version")
            ));
        }
    }
    step.note(format!("no dependency wants more than Rust {}.{}", ours[0], ours[1]));
    Ok(())
}

/// Returns the oldest compiler that this workspace promises to build with, as rustup names it.
///
/// # Errors
///
/// No manifest says.
pub(crate) fn promised_compiler(step: &mut Step<'_>) -> Result<String> {
    let [major, minor] = Metadata::read(step)?.promise()?;
    Ok(format!("{major}.{minor}"))
}

/// Checks what is published: its dependencies are too, its fields are there, and the files in its package are listed.
///
/// # Errors
///
/// A package is not fit to be published.
pub(crate) fn packages(step: &mut Step<'_>) -> Result {
    let metadata = Metadata::read(step)?;
    let hidden: BTreeSet<&str> = metadata
        .own()
        .filter(|package| !package.is_published())
        .map(|package| package.text("name"))
        .collect();
    let mut package = step.workspace.cargo("package --no-verify --allow-dirty");
    let mut names = Vec::new();
    for published in metadata.own().filter(|package| package.is_published()) {
        let name = published.text("name");
        names.push(name);
        package.args(["-p", name]);
        for field in ["description", "license"] {
            if published.text(field).is_empty() {
                step.fail(format!("{name} has no {field}"));
            }
        }
        for dependency in published.dependencies().filter(|dependency| hidden.contains(dependency)) {
            step.fail(format!("{name} is published and needs {dependency}, which is not"));
        }
    }
    if names.is_empty() {
        return Err("nothing is published".into());
    }
    step.run(&mut package)?;
    step.note(names.join(", "));
    Ok(())
}
