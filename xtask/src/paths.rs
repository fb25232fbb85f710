//! Paths that Markdown files name exist: documentation that says where something is must follow when it moves.

use crate::step::{Result, Step};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Looks up every path of the repository that a Markdown file names between backticks or in a code block.
///
/// # Errors
///
/// A path is neither in the repository nor ignored by it.
pub(crate) fn check(step: &mut Step<'_>) -> Result {
    let files = step.workspace.tracked(&[])?;
    let top: BTreeSet<&str> =
        files.iter().filter_map(|file| file.split_once('/')).map(|(folder, _)| folder).collect();
    let ignored = fs::read_to_string(".gitignore")?;
    let ignored: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('/')).collect();
    let mut paths = 0;
    for page in files.iter().filter(|file| file.ends_with(".md")) {
        for path in named(&fs::read_to_string(page)?, &top) {
            paths += 1;
            // A README may name files as its crate does.
            let found = Path::new(page).ancestors().skip(1).any(|folder| folder.join(&path).exists());
            if !found && !ignored.iter().any(|folder| path.starts_with(folder)) {
                step.fail(format!("{page}: there is no {path}"));
            }
        }
    }
    step.note(format!("{paths} paths"));
    Ok(())
}

/// Finds the words of code that begin with one of the top folders.
fn named(text: &str, top: &BTreeSet<&str>) -> Vec<String> {
    let mut in_block = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let code: Vec<&str> =
            if in_block { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        let words =
            code.iter().flat_map(|code| code.split(|c: char| c.is_whitespace() || "'\"()=:,;".contains(c)));
        found.extend(
            words.filter(|word| is_path(word, top)).map(|word| word.trim_end_matches('.').to_owned()),
        );
    }
    found
}

/// Returns whether a word is a path in one of the top folders, without a placeholder or a pattern.
fn is_path(word: &str, top: &BTreeSet<&str>) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let placeholder = |part: &str| {
        let shouts = part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        shouts && !["README", "SUMMARY"].contains(&part)
    };
    plain
        && word.split_once('/').is_some_and(|(first, _)| top.contains(first))
        && !word.split(['/', '.']).any(placeholder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_code_only() {
        let top = BTreeSet::from(["src", "tests"]);
        let text = "src/no.rs `src/a.rs`, `tests/b.py --x src/c` and `other/d.rs`\n```\ntests/e.sh *.rs src/*.rs\n```\n";
        assert_eq!(named(text, &top), ["src/a.rs", "tests/b.py", "src/c", "tests/e.sh"]);
    }

    #[test]
    fn placeholders_are_no_paths() {
        let top = BTreeSet::from(["src"]);
        assert_eq!(named("`src/kernels/NAME.rs` `src/README.md` `src`", &top), ["src/README.md"]);
    }
}
