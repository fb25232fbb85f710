//! What compiling found out of the layers, as the model says it of itself: for whoever has no fp32 network at hand.

use crate::Layer;
use serde_json::Value;

/// The layers in the model's `metadata`, and the images on which they were compared; none if it says nothing of them.
pub(crate) fn layers(metadata: &str) -> (Vec<Layer>, usize) {
    let metadata: Value = serde_json::from_str(metadata).unwrap_or_default();
    let layer = |entry: &Value| {
        let number = |key: &str| entry.get(key).and_then(Value::as_f64);
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Layer {
            name: text("name")?,
            sqnr_db: number("sqnr_db"),
            sensitivity_db: number("alone_db"),
            without_db: number("without_db"),
            method: text("method"),
            distribution: None,
        })
    };
    let entries = metadata.get("layers").and_then(Value::as_array);
    let layers = entries.into_iter().flatten().filter_map(layer).collect();
    let images = metadata.pointer("/fidelity/samples").and_then(Value::as_u64).unwrap_or(0);
    (layers, images as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_says_of_its_layers() {
        let metadata = r#"{"fidelity": {"samples": 64}, "layers": [
            {"name": "conv1", "sqnr_db": 40.5, "method": "mse", "alone_db": 50.0, "without_db": 38.0},
            {"name": "maxpool", "sqnr_db": null}, {"sqnr_db": 1.0}, 7]}"#;
        let (layers, images) = layers(metadata);
        assert_eq!((layers.len(), images), (2, 64));
        let conv1 = &layers[0];
        assert_eq!((conv1.sqnr_db, conv1.method.as_deref()), (Some(40.5), Some("mse")));
        assert_eq!((conv1.sensitivity_db, conv1.without_db), (Some(50.0), Some(38.0)));
        assert_eq!((layers[1].name.as_str(), layers[1].sqnr_db), ("maxpool", None));
        for odd in ["", "nonsense", "{}", r#"{"layers": {"a": 1}}"#, r#"{"layers": "x", "fidelity": 3}"#] {
            assert!(super::layers(odd).0.is_empty(), "{odd}");
        }
    }
}
