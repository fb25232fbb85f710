//! Text for people: safe for a terminal, short enough for its lines.

use std::borrow::Cow;
use unicode_width::UnicodeWidthStr;

/// Returns `text` with its control characters escaped. Names come from models and file systems, and a terminal obeys every
/// control sequence that it is sent.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c.is_control() {
            true => cleaned.extend(c.escape_default()),
            false => cleaned.push(c),
        }
    }
    Cow::Owned(cleaned)
}

/// Returns `text` cut to at most `width` columns, cleaned, with an ellipsis where it was cut.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    let text = clean(text);
    if text.width() <= width {
        return text.into_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if short.width() >= width {
            short.pop();
            break;
        }
    }
    short + "…"
}

/// Breaks lines between words, so that none is wider than `width` columns if its words are not. The first line starts in column
/// `indent`, and those that are added are indented as far. Without a width, the text stays as it is.
pub(crate) fn wrap(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else { return text.to_owned() };
    let room = width.saturating_sub(indent);
    let mut wrapped = String::with_capacity(text.len() + 16);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            wrapped.push('\n');
        }
        let mut used = 0;
        for (number, word) in line.split(' ').enumerate() {
            if number > 0 && used + 1 + word.width() > room {
                wrapped.push('\n');
                wrapped.extend(std::iter::repeat_n(' ', indent));
                used = 0;
            } else if number > 0 {
                wrapped.push(' ');
                used += 1;
            }
            wrapped.push_str(word);
            used += word.width();
        }
    }
    wrapped
}

/// Returns the plural ending for a noun that follows `count`.
pub(crate) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Joins what an English sentence lists: `a`, `a and b`, `a, b and c`.
pub(crate) fn listed(items: &[&str]) -> String {
    match items {
        [first @ .., second, last] if !first.is_empty() => {
            format!("{}, {second} and {last}", first.join(", "))
        }
        few => few.join(" and "),
    }
}

/// Quotes a word for a shell, if it needs that.
pub(crate) fn shell(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', r"'\''"))),
    }
}

/// Formats a number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1000.0 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ => format!("{size:.*} {unit}", if size < 10.0 { 2 } else { 1 }),
            };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// Draws a bar of up to `width` columns for a `fraction` from 0 to 1, in steps of an eighth of a column.
pub(crate) fn bar(fraction: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (fraction.clamp(0.0, 1.0) * (8 * width) as f64).round() as usize;
    let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    let used = bar.chars().count();
    bar + &" ".repeat(width.saturating_sub(used))
}

/// Draws one column for each value, with a height from `low` to `high`. A missing value leaves its column empty.
pub(crate) fn sparkline(values: &[Option<f64>], low: f64, high: f64, unicode: bool) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 8] = ['_', '.', '-', '~', '=', '+', '*', '#'];
    let levels = if unicode { BLOCKS } else { ASCII };
    let height = |value: f64| {
        let fraction = (value - low) / (high - low);
        // NaN, as of 0 / 0, becomes 0.
        levels[((fraction * levels.len() as f64) as usize).min(levels.len() - 1)]
    };
    values.iter().map(|value| value.map_or(' ', height)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(1.0 / 32.0, 4), "▏   ");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(7.0, 4), "████");
        assert_eq!(bar(f64::NAN, 4), "    ");
    }

    #[test]
    fn sparklines_have_eight_levels() {
        let values = [Some(0.0), Some(1.0), None, Some(7.0), Some(8.0), Some(-1.0), Some(f64::NAN)];
        assert_eq!(sparkline(&values, 0.0, 8.0, true), "▁▂ ██▁▁");
        assert_eq!(sparkline(&values, 0.0, 8.0, false), "_. ##__");
        assert_eq!(sparkline(&[Some(3.0)], 3.0, 3.0, true), "▁");
        assert_eq!(sparkline(&[], 0.0, 1.0, true), "");
    }

    #[test]
    fn commands_can_be_pasted() {
        for word in ["--data", "film.mp4", "/dev/video0", "rtsp://10.0.0.7:554/stream"] {
            assert_eq!(shell(word), word);
        }
        assert_eq!(shell("my film.mp4"), "'my film.mp4'");
        assert_eq!(shell("http://camera/video?size=1&x"), "'http://camera/video?size=1&x'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
    }

    #[test]
    fn lists_have_one_and() {
        assert_eq!(listed(&[]), "");
        assert_eq!(listed(&["--method"]), "--method");
        assert_eq!(listed(&["--method", "--effort"]), "--method and --effort");
        assert_eq!(listed(&["--method", "--percentile", "--effort"]), "--method, --percentile and --effort");
        assert_eq!(listed(&["a", "b", "c", "d"]), "a, b, c and d");
    }

    #[test]
    fn sizes() {
        let sizes = [0, 999, 1000, 1 << 20, 25_600_000, 5 << 30].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "0.98 KiB", "1.00 MiB", "24.4 MiB", "5.00 GiB"]);
    }

    #[test]
    fn foreign_text_moves_no_cursor() {
        assert_eq!(clean("tench"), "tench");
        assert_eq!(clean("\x1b[2Jboo\u{9b}"), "\\u{1b}[2Jboo\\u{9b}");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", None, 4), "one two three");
        assert_eq!(wrap("one two three", Some(20), 4), "one two three");
        assert_eq!(wrap("one two three", Some(12), 4), "one two\n    three");
        assert_eq!(wrap("one two\n  three four", Some(9), 0), "one two\n  three\nfour");
        assert_eq!(
            wrap("incomprehensibilities are long", Some(8), 4),
            "incomprehensibilities\n    are\n    long"
        );
        assert_eq!(wrap("größer größer", Some(13), 0), "größer größer");
        assert_eq!(wrap("", Some(0), 4), "");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(shorten("downsample", 10), "downsample");
        assert_eq!(shorten("downsample", 5), "down…");
        assert_eq!(shorten("見本見本", 5), "見本…");
    }
}
