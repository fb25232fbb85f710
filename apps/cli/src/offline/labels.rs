//! Files with the names of classes: `--labels`.

use crate::files::text;
use crate::terminal::Error;
use crate::terminal::output::note;
use resnext_calibration::ClassName;
use std::collections::HashSet;
use std::path::Path;

/// What separates a number or a wnid from the label that follows.
const SEPARATORS: [char; 5] = [' ', '\t', ',', ':', ';'];

/// Reads one class from each line: a label, an identifier and a label with a tab between them, or a wnid and a label. If all lines are
/// numbered, the numbers give the order. Says so if several classes have the same name.
pub(super) fn read(path: &Path) -> Result<Vec<ClassName>, Error> {
    const REMEDY: &str = "give a text file with one label on each line";
    let text = text::read(path, REMEDY)?;
    if text.trim_start().starts_with(['{', '[']) {
        return Err(Error::at(path, format_args!("is JSON, not lines of text; {REMEDY}")));
    }
    let classes = parse(&text);
    let mut seen = HashSet::new();
    let repeated =
        classes.iter().find(|class| class.id.is_empty() && !seen.insert(class.label.to_lowercase()));
    if let Some(ClassName { label, .. }) = repeated {
        note(format_args!(
            "{}: {label} is the label of several classes, so it names none of them in an evaluation; give each class a label of its \
             own, or an identifier",
            path.display()
        ));
    }
    Ok(classes)
}

fn parse(text: &str) -> Vec<ClassName> {
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if let Some(mut numbered) = lines.iter().map(|line| numbered(line)).collect::<Option<Vec<_>>>() {
        numbered.sort_unstable_by_key(|(number, _)| *number);
        let counts_from =
            |first: usize| numbered.iter().map(|(number, _)| *number).eq(first..first + lines.len());
        if counts_from(0) || counts_from(1) {
            lines = numbered.into_iter().map(|(_, rest)| rest).collect();
        }
    }
    let class = |(id, label): (&str, &str)| ClassName { id: id.to_owned(), label: label.to_owned() };
    let with_wnids: Option<Vec<_>> = lines.iter().map(|line| after_wnid(line)).collect();
    match with_wnids {
        Some(parts) => parts.into_iter().map(class).collect(),
        None => lines.iter().map(|line| class(line.split_once('\t').unwrap_or(("", line)))).collect(),
    }
}

/// Divides a line that begins with a wnid after it.
fn after_wnid(line: &str) -> Option<(&str, &str)> {
    let (word, label) = line.split_once(SEPARATORS)?;
    let digits = word.strip_prefix('n').filter(|digits| digits.len() == 8)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| (word, label.trim_start_matches(SEPARATORS)))
}

/// Returns the number of a line that begins with one, and its label. A number that a tab follows is the identifier, too.
fn numbered(line: &str) -> Option<(usize, &str)> {
    let end = line.find(SEPARATORS)?;
    let (number, rest) = line.split_at(end);
    let number = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??;
    let label = rest.trim_start_matches(SEPARATORS);
    let is_identifier = rest.starts_with('\t');
    (!label.is_empty()).then_some((number, if is_identifier { line } else { label }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, String)> {
        parse(text).into_iter().map(|class| (class.id, class.label)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(id, label)| ((*id).to_owned(), (*label).to_owned())).collect()
    }

    #[test]
    fn every_usual_file_of_labels() {
        let plain = pairs(&[("", "tench"), ("", "golf ball"), ("", "20 km/h")]);
        assert_eq!(names("tench\r\ngolf ball\r\n20 km/h\r\n\r\n"), plain);
        // As PaddleClas, Darknet and Caffe write them.
        assert_eq!(names("0 tench\n1 golf ball\n2 20 km/h\n"), plain);
        assert_eq!(names("2: 20 km/h\n0: tench\n1: golf ball\n"), plain, "the numbers give the order");
        assert_eq!(names("1,tench\n2,golf ball\n3,20 km/h\n"), plain);
        let wnids = pairs(&[("n01440764", "tench, Tinca tinca"), ("n03445777", "golf ball")]);
        assert_eq!(names("n01440764\ttench, Tinca tinca\nn03445777\tgolf ball\n"), wnids);
        assert_eq!(names("n01440764 tench, Tinca tinca\nn03445777 golf ball\n"), wnids);
        assert_eq!(names("0 n01440764 tench, Tinca tinca\n1 n03445777 golf ball\n"), wnids);
        assert_eq!(names("1\tone\n0\tzero\n"), pairs(&[("0", "zero"), ("1", "one")]));
        // Not each number counts.
        assert_eq!(names("20 km/h\n30 km/h\n"), pairs(&[("", "20 km/h"), ("", "30 km/h")]));
        assert_eq!(names("0\n1\n2\n"), pairs(&[("", "0"), ("", "1"), ("", "2")]));
        assert_eq!(names("n01440764\nn03445777\n"), pairs(&[("", "n01440764"), ("", "n03445777")]));
        assert_eq!(names(""), []);
    }
}
