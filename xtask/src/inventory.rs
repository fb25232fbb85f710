//! Every file with `unsafe` code is listed with a reason, and every crate without any says so.

use crate::manifests::{Metadata, Package};
use crate::step::{Result, Step};
use std::collections::BTreeSet;
use std::fs;

/// A page of the book whose tables name files in their first column, and folders with a slash at the end.
const INVENTORY: &str = "docs/src/internals/unsafe.md";

/// Holds the list against the code.
///
/// # Errors
///
/// A file is missing in the list, or listed without need, or a crate could forbid `unsafe` and does not.
pub(crate) fn check(step: &mut Step<'_>) -> Result {
    let listed = listed(&fs::read_to_string(INVENTORY).map_err(|error| format!("{INVENTORY}: {error}"))?);
    let mut found = BTreeSet::new();
    for name in step.workspace.tracked(&["*.rs"])? {
        if has_unsafe(&fs::read_to_string(&name)?) {
            found.insert(name);
        }
    }
    let covers = |entry: &str, name: &str| entry == name || entry.ends_with('/') && name.starts_with(entry);
    for name in &found {
        if !listed.iter().any(|entry| covers(entry, name)) {
            step.fail(format!(
                "{name} has unsafe code and is not in {INVENTORY}; say there what makes it sound"
            ));
        }
    }
    for entry in &listed {
        if !found.iter().any(|name| covers(entry, name)) {
            step.fail(format!("{INVENTORY} lists {entry}, which has no unsafe code"));
        }
    }
    let root = step.workspace.root.clone();
    // A fuzz target is a function with the name that libFuzzer calls, which counts as unsafe code.
    let may_forbid = |package: &Package<'_>| package.text("name") != "resnext-fuzz";
    for package in Metadata::read(step)?.own().filter(may_forbid) {
        for path in package.roots() {
            let path = std::path::Path::new(path);
            let folder = path
                .parent()
                .and_then(|folder| folder.strip_prefix(&root).ok())
                .ok_or("outside the repository")?;
            let folder = format!("{}/", folder.display());
            let forbids = fs::read_to_string(path)?.contains("#![forbid(unsafe_code)]");
            if !forbids && !found.iter().any(|name| name.starts_with(&folder)) {
                step.fail(format!("{folder} has no unsafe code; its root can say #![forbid(unsafe_code)]"));
            }
        }
    }
    step.note(format!("{} files with unsafe code, all listed", found.len()));
    Ok(())
}

/// Takes the paths from the tables' first column: `` | `a.rs`, `b.rs` | why | … ``.
fn listed(page: &str) -> BTreeSet<String> {
    let cells = page.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Returns whether a source file has `unsafe` outside comments and texts, in a place where it means something.
fn has_unsafe(source: &str) -> bool {
    let code = source.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    code.flat_map(|line| line.split('"').step_by(2)).any(|code| {
        code.match_indices("unsafe").any(|(at, word)| {
            let apart = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let after = code[at + word.len()..].trim_start();
            let means =
                ["{", "(", "fn ", "impl", "trait ", "extern "].iter().any(|next| after.starts_with(next));
            apart && (means || after.is_empty())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_code_is_told_from_its_name() {
        for code in [
            "let x = unsafe { y };",
            "unsafe impl Sync for A {}",
            "    pub unsafe fn f() {}",
            "#[unsafe(no_mangle)]",
        ] {
            assert!(has_unsafe(code), "{code}");
        }
        for code in [
            "// unsafe { }",
            "#![forbid(unsafe_code)]",
            "#![deny(unsafe_op_in_unsafe_fn)]",
            "/// An unsafe trait.",
        ] {
            assert!(!has_unsafe(code), "{code}");
        }
    }

    #[test]
    fn only_the_first_column_lists_files() {
        let page = "text `no.rs`\n\n| where | why |\n|---|---|\n| `a.rs`, `b/c.rs` | see `no.rs` |\n";
        assert_eq!(listed(page), ["a.rs", "b/c.rs"].map(String::from).into());
    }
}
