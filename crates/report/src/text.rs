//! Numbers for people.

use resnext::Model;

/// Formats a fraction as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

/// Formats percentage points with a sign. The minus is U+2212.
pub(crate) fn signed(value: f64) -> String {
    let rounded = format!("{value:+.2}");
    match rounded.as_str() {
        "+0.00" | "-0.00" => "0.00".to_owned(),
        _ => rounded.replace('-', "−"),
    }
}

/// Formats a number with separators between thousands.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a number of things: `1 image`, `2 images`.
pub(crate) fn plural(number: usize, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Formats a number of bytes.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.2} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Formats a number with about three digits.
pub(crate) fn short(value: f64) -> String {
    let text = match value.abs() {
        0.0 => "0".to_owned(),
        ..0.1 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    text.replace('-', "−")
}

/// Formats the p-value of a test: `p = 0.34`, `p = 0.004` or `p < 0.001`.
pub fn p_value(p: f64) -> String {
    match p {
        ..0.001 => "p < 0.001".to_owned(),
        ..0.1 => format!("p = {p:.3}"),
        _ => format!("p = {p:.2}"),
    }
}

/// Compares the speed with that of `other`, whose time is `ratio` times as long: `2.8× faster than fp32`.
pub fn speed(ratio: f64, other: &str) -> String {
    let times = |ratio: f64| format!("{ratio:.1}×");
    match (times(ratio), times(1.0 / ratio)) {
        (faster, _) if faster == "1.0×" => format!("as fast as {other}"),
        (faster, _) if ratio > 1.0 => format!("{faster} faster than {other}"),
        (_, slower) => format!("{slower} slower than {other}"),
    }
}

/// Returns the name of class `class` for people.
pub(crate) fn class(model: &Model<'_>, class: usize) -> String {
    match model.class(class) {
        Some(names) if !names.label.is_empty() => names.label.to_owned(),
        Some(names) if !names.id.is_empty() => names.id.to_owned(),
        _ => format!("class {class}"),
    }
}

/// Returns the nearest-rank percentile of sorted values.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1000, 50_000, 1_234_567].map(count),
            ["0", "999", "1,000", "50,000", "1,234,567"]
        );
        assert_eq!([0.15, -0.15, -0.001, 0.0].map(signed), ["+0.15", "−0.15", "0.00", "0.00"]);
        assert_eq!([1, 2].map(|n| plural(n, "image")), ["1 image", "2 images"]);
        assert_eq!([5, 20_480, 2_621_440].map(size), ["5 B", "20 KiB", "2.50 MiB"]);
        assert_eq!([0.0, -0.0123, 1.5, 12.34, 1234.5].map(short), ["0", "−0.012", "1.50", "12.3", "1234"]);
        let p = [0.4531, 0.0449, 0.0012, 0.0001, f64::MIN_POSITIVE].map(p_value);
        assert_eq!(p, ["p = 0.45", "p = 0.045", "p = 0.001", "p < 0.001", "p < 0.001"]);
        let speeds = [2.79, 1.02, 0.98, 0.4].map(|ratio| speed(ratio, "fp32"));
        assert_eq!(
            speeds,
            ["2.8× faster than fp32", "as fast as fp32", "as fast as fp32", "2.5× slower than fp32"]
        );
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 50), 2.0);
        assert_eq!(percentile(&[], 50), 0.0);
    }
}
