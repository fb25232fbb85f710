//! Links between Markdown files: what they point at exists, and the book's contents list every page.

use crate::step::{Result, Step};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The folder of the book's pages, the one in it that holds pictures, and the page that lists all others.
const BOOK: &str = "docs/src/";
const IMAGES: &str = "docs/src/images/";
const CONTENTS: &str = "docs/src/SUMMARY.md";

/// Checks the links of all Markdown files in the repository, those to elsewhere aside.
///
/// # Errors
///
/// A link leads nowhere, or a page of the book is not in its contents.
pub(crate) fn check(step: &mut Step<'_>) -> Result {
    let mut contents = BTreeSet::new();
    let mut links = 0;
    let pages = step.workspace.tracked(&["*.md"])?;
    for page in &pages {
        let text = fs::read_to_string(page)?;
        for link in targets(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = if file.is_empty() { PathBuf::from(page) } else { beside(page, file) };
            if !path.exists() {
                step.fail(format!("{page}: {link} leads nowhere"));
            } else if page.starts_with(BOOK) && !path.starts_with(BOOK) {
                step.fail(format!(
                    "{page}: {link} leaves the book, which is built without the files around it"
                ));
            } else if !anchor.is_empty()
                && path.extension().is_some_and(|extension| extension == "md")
                && !anchors(&fs::read_to_string(&path)?).contains(anchor)
            {
                step.fail(format!("{page}: {link} names a heading that is not there"));
            }
            if page == CONTENTS {
                contents.insert(path);
            }
        }
    }
    let is_page = |page: &&String| page.starts_with(BOOK) && !page.starts_with(IMAGES) && *page != CONTENTS;
    for page in pages.iter().filter(is_page) {
        if !contents.contains(Path::new(page)) {
            step.fail(format!("{CONTENTS} does not list {page}"));
        }
    }
    step.note(format!("{links} links between {} files", pages.len()));
    Ok(())
}

/// Resolves a link from a page, without looking at the disk.
fn beside(page: &str, link: &str) -> PathBuf {
    let mut path = PathBuf::from(page);
    path.pop();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir if path.file_name().is_some_and(|name| name != "..") => {
                path.pop();
            }
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

/// Returns the lines outside code blocks, without the code within them.
fn prose(text: &str) -> impl Iterator<Item = String> {
    let mut in_code = false;
    text.lines().filter_map(move |line| {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            return None;
        }
        // Backticks pair up within a line in these files.
        (!in_code).then(|| line.split('`').step_by(2).collect::<Vec<_>>().join("``"))
    })
}

/// Finds the targets of `[text](target)` and of `[name]: target`.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        for (at, mark) in line.match_indices("](") {
            let rest = &line[at + mark.len()..];
            if let Some(end) = rest.find(')') {
                found.extend(rest[..end].split_whitespace().next().map(str::to_owned));
            }
        }
        if let Some((name, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "))
            && !name.contains(']')
        {
            found.extend(target.split_whitespace().next().map(str::to_owned));
        }
    }
    found
}

/// Returns the names that a page's headings have in links.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let headings = text.lines().filter(|line| {
        in_code ^= line.starts_with("```");
        !in_code && line.starts_with('#')
    });
    let name = |heading: &str| -> String {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let text =
            "See [a](b.md#c) and [d](<e f>).\n`[no](no)`\n```\n[no](no)\n```\n[g]: h.md\n- [ ] not a link\n";
        assert_eq!(targets(text), ["b.md#c", "<e", "h.md"]);
    }

    #[test]
    fn headings_have_names() {
        let page = "# The *way* in: `cargo xtask`\n```\n# no\n```\n## Über uns\n";
        assert_eq!(anchors(page), ["the-way-in-cargo-xtask", "über-uns"].map(String::from).into());
    }

    #[test]
    fn links_are_relative_to_their_page() {
        assert_eq!(beside("docs/src/a/b.md", "../c.md"), Path::new("docs/src/c.md"));
        assert_eq!(beside("README.md", "./docs"), Path::new("docs"));
        assert_eq!(beside("docs/a.md", "../README.md"), Path::new("README.md"));
    }
}
