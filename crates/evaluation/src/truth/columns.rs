//! How the lines of a file of labels are divided into the name of an image and its class.

use super::label_file::Line;
use super::names::{Closeness, Names};
use std::borrow::Cow;

/// Headings of the column of names, without punctuation and in lower case.
const NAME_HEADINGS: [&str; 15] = [
    "image",
    "imageid",
    "imagename",
    "imagepath",
    "imagefile",
    "imgpath",
    "imgname",
    "imgid",
    "img",
    "file",
    "filename",
    "filepath",
    "path",
    "name",
    "id",
];

/// Headings of the column of classes, names before numbers: where there are both, the names leave no doubt about the order.
const CLASS_HEADINGS: [&str; 22] = [
    "wnid",
    "synset",
    "synsetid",
    "classname",
    "labelname",
    "categoryname",
    "breed",
    "species",
    "predictionstring",
    "label",
    "labels",
    "class",
    "category",
    "target",
    "truth",
    "groundtruth",
    "gt",
    "classid",
    "labelid",
    "labelidx",
    "classidx",
    "categoryid",
];

/// The longest line in bytes that is divided at white space: far more than a path and the boxes of its objects take.
const LONGEST: usize = 16 << 10;

/// A way to divide lines.
#[derive(Clone, Copy, Debug)]
struct Layout {
    separator: Separator,
    name: NameColumn,
}

#[derive(Clone, Copy, Debug)]
enum Separator {
    /// Columns as in RFC 4180, with this separator.
    Column(char),
    /// Any white space, which names and labels may also contain.
    Space,
}

#[derive(Clone, Copy, Debug)]
enum NameColumn {
    First,
    Last,
    /// The header says which columns hold the names and the classes.
    Headed {
        name: usize,
        class: usize,
    },
}

/// A divided line.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    /// The number of the line.
    pub(super) line: usize,
    /// The name of an image.
    pub(super) name: Cow<'a, str>,
    /// Its class, and whatever else the line holds.
    pub(super) class: Cow<'a, str>,
    /// The number of columns that are neither the name nor skipped on purpose.
    pub(super) columns: usize,
}

/// Divides the lines in the way in which most of them name an image. A line that cannot be divided is an error with its number;
/// comments are left out.
pub(super) fn divide<'a>(lines: &'a [Line], names: &Names<'_>) -> Result<Vec<Entry<'a>>, usize> {
    use NameColumn::{First, Last};
    let mut layouts = Vec::new();
    for separator in ['\t', ',', ';'] {
        let columns = Separator::Column(separator);
        let headed = lines.first().and_then(|line| header(&fields(&line.text, separator)?));
        match headed {
            Some(name) => layouts.push(Layout { separator: columns, name }),
            None => layouts.extend([First, Last].map(|name| Layout { separator: columns, name })),
        }
    }
    layouts.extend([First, Last].map(|name| Layout { separator: Separator::Space, name }));
    let weight = |layout: &Layout| -> u64 {
        let weight = |line| Some(names.find(&split(*layout, line, names)?.name).1?.weight());
        lines.iter().filter_map(weight).sum()
    };
    // The first of several that are equal.
    let mut best: Option<(u64, Layout)> = None;
    for layout in layouts {
        let weight = weight(&layout);
        if best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, layout));
        }
    }
    let Some((1.., layout)) = best else {
        // No line names an image. What can still be told is whether a line has two parts at all.
        let divided = |line: &Line| line.text.contains(|c: char| c == ',' || c == ';' || c.is_whitespace());
        return lines.iter().find(|line| !divided(line)).map_or(Ok(Vec::new()), |line| Err(line.number));
    };
    let headed = matches!(layout.name, NameColumn::Headed { .. });
    let mut entries = Vec::with_capacity(lines.len());
    for line in &lines[usize::from(headed)..] {
        let entry =
            split(layout, line, names).filter(|entry| !entry.name.is_empty() && !entry.class.is_empty());
        let names_an_image = entry.as_ref().is_some_and(|entry| names.find(&entry.name).1.is_some());
        match entry {
            _ if line.text.starts_with('#') && !names_an_image => {}
            Some(entry) => entries.push(entry),
            None => return Err(line.number),
        }
    }
    Ok(entries)
}

/// Returns the columns that a header names, if `fields` are one.
fn header(fields: &[Cow<'_, str>]) -> Option<NameColumn> {
    let plain = |field: &Cow<'_, str>| -> String {
        field.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let headings: Vec<String> = fields.iter().map(plain).collect();
    let column =
        |known: &[&str]| known.iter().find_map(|known| headings.iter().position(|found| found == known));
    let (name, class) = (column(&NAME_HEADINGS)?, column(&CLASS_HEADINGS)?);
    Some(NameColumn::Headed { name, class })
}

fn split<'a>(layout: Layout, line: &'a Line, names: &Names<'_>) -> Option<Entry<'a>> {
    let (line, text) = (line.number, line.text.as_str());
    let separator = match layout.separator {
        Separator::Column(separator) => separator,
        Separator::Space => {
            let text = Some(text).filter(|text| text.len() <= LONGEST)?;
            let (name, class) = match layout.name {
                NameColumn::Last => spaced(text, names, |(class, name)| (name, class)),
                _ => quoted(text).or_else(|| spaced(text, names, |parts| parts)),
            }?;
            return Some(Entry { line, name: name.into(), class: class.into(), columns: 1 });
        }
    };
    let mut fields = fields(text, separator)?;
    if fields.len() < 2 {
        return None;
    }
    let (name, rest) = match layout.name {
        NameColumn::First => (fields.remove(0), fields),
        NameColumn::Last => (fields.pop()?, fields),
        NameColumn::Headed { name, class } => (fields.get(name)?.clone(), vec![fields.get(class)?.clone()]),
    };
    let columns = rest.len();
    let mut rest = rest.into_iter();
    let first = rest.next()?;
    let class = rest.fold(first, |all, field| format!("{all}{separator} {field}").into());
    Some(Entry { line, name, class, columns })
}

/// Divides a line at the white space that leaves the name of an image on one side; `order` puts the name first. If no part names
/// an image, the line is divided after the first word.
fn spaced<'a>(
    text: &'a str,
    names: &Names<'_>,
    order: impl Fn((&'a str, &'a str)) -> (&'a str, &'a str),
) -> Option<(&'a str, &'a str)> {
    let parts = text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| {
        let (before, after) = text.split_at(at);
        order((before.trim(), after.trim()))
    });
    let mut best: Option<(Option<Closeness>, (&str, &str))> = None;
    for (name, class) in parts {
        let closeness = names.find(name).1;
        if best.is_none_or(|(most, _)| closeness > most) {
            best = Some((closeness, (name, class)));
        }
    }
    best.map(|(_, parts)| parts)
}

/// Divides a line that begins with a name in quotation marks.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (name, class) = text.strip_prefix('"')?.split_once('"')?;
    Some((name, class.trim().trim_matches('"')))
}

/// Returns the fields of a line as RFC 4180 divides them; `None` if a quotation mark is left open.
fn fields(text: &str, separator: char) -> Option<Vec<Cow<'_, str>>> {
    let (mut fields, mut rest) = (Vec::new(), text);
    loop {
        let trimmed = rest.trim_start_matches(' ');
        if let Some(quoted) = trimmed.strip_prefix('"') {
            let (mut field, mut inside) = (String::new(), quoted);
            let after = loop {
                let (part, after) = inside.split_once('"')?;
                field += part;
                match after.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        inside = more;
                    }
                    None => break after.trim_start_matches(' '),
                }
            };
            fields.push(Cow::Owned(field));
            match after.strip_prefix(separator) {
                Some(more) => rest = more,
                None => return after.is_empty().then_some(fields),
            }
        } else {
            match rest.split_once(separator) {
                Some((field, more)) => {
                    fields.push(field.trim().into());
                    rest = more;
                }
                None => {
                    fields.push(rest.trim().into());
                    return Some(fields);
                }
            }
        }
    }
}
