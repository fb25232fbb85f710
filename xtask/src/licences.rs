//! The licences of the crates that a build of `resnext` is made from, each text once.

use crate::manifests::Metadata;
use crate::step::{Result, Step};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Names of files that hold a licence, in lower case.
const NAMES: [&str; 5] = ["licence", "license", "copying", "notice", "unlicense"];

/// Returns what the package says about third parties. `features` are cargo's arguments for the build.
///
/// # Errors
///
/// Cargo fails, or a licence cannot be read.
pub(crate) fn text(step: &mut Step<'_>, target: &str, features: &[&str]) -> Result<String> {
    let mut tree = step.workspace.cargo("tree --edges normal --prefix none --format {p} --target");
    let tree = step.output(tree.arg(target).args(features))?;
    let used: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?.strip_prefix('v')?))
        })
        .collect();
    let metadata = Metadata::read(step)?;
    let mut packages: Vec<_> = metadata
        .foreign()
        .filter(|package| used.contains(&(package.text("name"), package.text("version"))))
        .collect();
    packages.sort_by_key(|package| (package.text("name").to_owned(), package.text("version").to_owned()));

    let mut all = String::from("resnext contains these crates, from https://crates.io:\n\n");
    let mut texts: Vec<(String, Vec<String>)> = Vec::new();
    for package in packages {
        let name = format!("{} {}", package.text("name"), package.text("version"));
        writeln!(all, "  {name}: {}", package.text("license"))?;
        let files = files(Path::new(package.text("manifest_path")).parent().ok_or("no folder")?)?;
        if files.is_empty() {
            writeln!(all, "  (its licence's text is in {})", package.text("repository"))?;
        }
        for file in files {
            let text = String::from_utf8_lossy(&fs::read(file)?).trim().to_owned();
            match texts.iter_mut().find(|(known, _)| *known == text) {
                Some((_, names)) if names.last() == Some(&name) => {}
                Some((_, names)) => names.push(name.clone()),
                None => texts.push((text, vec![name.clone()])),
            }
        }
    }
    for (text, names) in texts {
        write!(all, "\n{}\n{}\n\n{text}\n", "-".repeat(80), names.join(", "))?;
    }
    Ok(all)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if entry.path().is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
