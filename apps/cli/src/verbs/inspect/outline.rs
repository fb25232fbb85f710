//! The metadata of a model for people.

use crate::terminal::text::shorten;
use serde_json::Value;
use std::fmt::Write as _;

/// The deepest level and the longest list that the outline shows; `--json` shows everything.
const DEEPEST: usize = 4;
const MAX_ITEMS: usize = 8;

/// Formats metadata with one `key  value` on each line and lists in short.
pub(super) fn outline(metadata: &Value, width: usize) -> String {
    let mut out = String::new();
    match metadata {
        Value::Object(_) => entries(metadata, 1, width, &mut out),
        other => line(1, "", &scalar(other), width, &mut out),
    }
    out
}

fn entries(object: &Value, depth: usize, width: usize, out: &mut String) {
    let Value::Object(map) = object else { return };
    let key_width = map.keys().map(|key| key.chars().count()).max().unwrap_or(0).min(24);
    for (key, value) in map {
        match value {
            Value::Object(inner) if !inner.is_empty() && depth < DEEPEST => {
                line(depth, key, "", width, out);
                entries(value, depth + 1, width, out);
            }
            other => line(depth, &format!("{key:key_width$}"), &scalar(other), width, out),
        }
    }
}

fn line(depth: usize, key: &str, value: &str, width: usize, out: &mut String) {
    let text = if key.is_empty() { value.to_owned() } else { format!("{key}  {value}") };
    let indent = 2 * depth;
    let text = shorten(text.trim_end(), width.saturating_sub(indent).max(20));
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:indent$}{text}", "");
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.len() <= MAX_ITEMS && !items.iter().any(nested) => {
            items.iter().map(scalar).collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => format!("[{} entries]", items.len()),
        Value::Object(map) if map.is_empty() => "-".to_owned(),
        Value::Object(map) => format!("{{{} entries}}", map.len()),
        number_or_bool => number_or_bool.to_string(),
    }
}

fn nested(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_is_outlined() {
        let metadata = json!({
            "source": "bundled/x",
            "calibration": {"method": "mse", "samples": 12, "nothing": null},
            "layers": [{"a": 1}, {"b": 2}],
            "mean": [0.5, 0.25],
        });
        let expected = "  calibration\n    method   mse\n    nothing  -\n    samples  12\n  layers       [2 entries]\n  \
                        mean         0.5, 0.25\n  source       bundled/x\n";
        assert_eq!(outline(&metadata, 80), expected);
    }

    #[test]
    fn odd_metadata_is_shown_too() {
        assert_eq!(outline(&json!("not\nJSON"), 80), "  not\\nJSON\n");
        assert_eq!(outline(&json!([1, 2]), 80), "  1, 2\n");
        assert_eq!(outline(&json!({}), 80), "");
        assert_eq!(outline(&json!({"a": "x".repeat(100)}), 30), format!("  a  {}…\n", "x".repeat(24)));
        let deep = json!({"a": {"b": {"c": {"d": {"e": 1}}}}});
        assert_eq!(outline(&deep, 80), "  a\n    b\n      c\n        d  {1 entries}\n");
    }
}
