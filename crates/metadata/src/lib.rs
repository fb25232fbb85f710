//! The metadata of a compiled model: what a `.rnx` file says of itself, in JSON, for people and tools.
//!
//! The compiler writes a [`Metadata`], and reports, `resnext inspect` and evaluations read it back. The runtime carries the
//! text without reading it (`resnext::Model::metadata`), so a model works whatever its metadata says.
//!
//! # The keys
//!
//! The stable keys keep their name, their type, their unit and their meaning; a later version may add keys beside them. The
//! others may change with any version.
//!
//! | key | stable | meaning |
//! |---|---|---|
//! | `tool` | yes | The program that wrote the model, with its version: `resnext 0.1.0`. |
//! | `source` | yes | Where the weights came from: the name of a file, or `library/variant` of a published network. |
//! | `name` | yes | The name of the network. |
//! | `licence` | yes | The licence of the weights, as whoever compiled the model stated it; absent if nobody did. |
//! | `topology.depth` | yes | The number of weighted layers, as in the name of the network: 50 for ResNeXt-50. |
//! | `topology.blocks` | yes | The number of blocks in each stage. |
//! | `topology.cardinality` | yes | The number of groups of the 3×3 convolutions. |
//! | `topology.base_width` | yes | The number of channels of a group in the first stage. |
//! | `topology.classes` | yes | The number of classes. |
//! | `calibration.method` | yes | How the ranges of the activations were chosen: `auto`, `max`, `percentile`, `mse` or `entropy`; `given` if the imported file brought its own scales. |
//! | `calibration.percentile` | yes | The percentage of the values that a range covers, 0 to 100, with the method `percentile`; else `null`. |
//! | `calibration.samples` | yes | The number of images that calibrated the ranges; 0 without images. |
//! | `calibration.skipped` | yes | The number of images that could not be decoded. |
//! | `calibration.data_free` | yes | `true` if the model was calibrated without images; else absent. |
//! | `calibration.layers` | no | The layers whose range was chosen by another method, with that method; absent if there are none. |
//! | `calibration.biases_corrected` | no | Whether the biases were corrected for the rounding of the weights. |
//! | `calibration.rounded_together` | no | Whether the weights of a row were rounded together. |
//! | `calibration.warnings` | yes | The reasons to doubt the calibration that the compiler found, one text each; absent if there are none. |
//! | `pictures` | no | Checksums of the calibration pictures, after cropping, to find them among those of an evaluation; absent without images. |
//! | `exif_orientation` | yes | `true` if photos are turned upright by their EXIF orientation before they are resized; else absent. |
//! | `fidelity.samples` | yes | The number of images on which the compiler compared int8 with fp32; 0 if it did not. |
//! | `fidelity.agreement` | yes | The share of those images, 0 to 1, on which both name the same class; `null` if there were none. |
//! | `fidelity.logit_sqnr_db` | yes | The signal-to-quantization-noise ratio of the logits in dB; `null` if nothing was compared. |
//! | `layers[].name` | yes | The name of a layer. The layers stand in the order in which they run; the key is absent if nothing was compared. |
//! | `layers[].sqnr_db` | yes | The signal-to-quantization-noise ratio of the layer's output in dB, with the errors of all earlier layers; `null` if the output is always zero. |
//! | `layers[].method` | no | How the range of the layer's output was chosen; absent if it has no range. |
//! | `layers[].alone_db` | no | The ratio of signal to noise in the logits in dB when this layer alone is quantized; absent if that was not measured. |
//! | `layers[].without_db` | no | The same when every layer but this one is quantized. |
//!
//! # Reading
//!
//! [`Metadata::parse`] accepts any text. A model may come from another program or another version, so whatever is missing or
//! malformed is left out and everything else is read.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

// The fields stand in the alphabetical order of their keys, and serde writes them in this order: equal metadata are equal
// bytes, also to a program that sorts the keys.

/// What a model says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// How the scales were found.
    #[serde(default, deserialize_with = "or_default")]
    pub calibration: Calibration,
    /// Whether photos are turned upright by their EXIF orientation.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub exif_orientation: bool,
    /// How near int8 comes to fp32; `None` if the metadata do not say.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<Fidelity>,
    /// What is known of each layer, in the order in which they run; empty if nothing was compared.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    /// The licence of the weights.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The name of the network.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Checksums of the pictures that calibrated the ranges, as text.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub pictures: Option<String>,
    /// Where the weights came from: a file name, or `library/variant`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The program that wrote the model, with its version.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The shape of the network; the key is `topology`.
    #[serde(
        rename = "topology",
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub architecture: Option<Architecture>,
}

/// How the scales of a model were found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Whether the biases were corrected for the rounding of the weights.
    #[serde(default, deserialize_with = "or_default")]
    pub biases_corrected: bool,
    /// Whether the model was calibrated without images.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub data_free: bool,
    /// The layers whose range was chosen by another method, with that method.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, String>,
    /// How the ranges of the activations were chosen.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The percentage of the values that a range covers, 0 to 100, with the method `percentile`.
    #[serde(default, deserialize_with = "or_default")]
    pub percentile: Option<f64>,
    /// Whether the weights of a row were rounded together.
    #[serde(default, deserialize_with = "or_default")]
    pub rounded_together: bool,
    /// The number of images that calibrated the ranges.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// The number of images that could not be decoded.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
    /// The reasons to doubt the calibration that the compiler found.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How near int8 comes to fp32 on a few images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// The share of the images, 0 to 1, on which both name the same class; a NaN is written as `null`.
    #[serde(default, deserialize_with = "or_default")]
    pub agreement: Option<f64>,
    /// The signal-to-quantization-noise ratio of the logits in dB; a NaN is written as `null`.
    #[serde(default, deserialize_with = "or_default")]
    pub logit_sqnr_db: Option<f64>,
    /// The number of images.
    #[serde(default, deserialize_with = "or_default")]
    pub samples: u64,
}

/// What is known of one layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// The ratio of signal to noise in the logits in dB when this layer alone is quantized.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub alone_db: Option<f64>,
    /// How the range of its output was chosen; `None` if it has no range.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Its name. An entry without a name is not read.
    pub name: String,
    /// The signal-to-quantization-noise ratio of its output in dB, with the errors of all earlier layers; a NaN is written
    /// as `null`.
    #[serde(default, deserialize_with = "or_default")]
    pub sqnr_db: Option<f64>,
    /// The ratio of signal to noise in the logits in dB when every layer but this one is quantized.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub without_db: Option<f64>,
}

/// The shape of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// The number of channels of a group in the first stage: the 4 of 32x4d.
    #[serde(default, deserialize_with = "or_default")]
    pub base_width: usize,
    /// The number of blocks in each stage.
    #[serde(default, deserialize_with = "or_default")]
    pub blocks: Vec<usize>,
    /// The number of groups of the 3×3 convolutions: the 32 of 32x4d.
    #[serde(default, deserialize_with = "or_default")]
    pub cardinality: usize,
    /// The number of classes.
    #[serde(default, deserialize_with = "or_default")]
    pub classes: usize,
    /// The number of weighted layers.
    #[serde(default, deserialize_with = "or_default")]
    pub depth: usize,
}

impl Metadata {
    /// Reads the metadata of a model. Whatever is missing or malformed is left at its default; of a text that is no JSON
    /// object nothing is read.
    pub fn parse(text: &str) -> Self {
        let mut value: Value = serde_json::from_str(text).unwrap_or_default();
        if let Some(entries) = value.as_object_mut()
            && let Some(license) = entries.remove("license")
        {
            // The American spelling, which other programs may write.
            entries.entry("licence").or_insert(license);
        }
        serde_json::from_value(value).unwrap_or_default()
    }

    /// Returns the JSON that goes into a model: on one line, with sorted keys.
    pub fn to_json(&self) -> String {
        // Every key is a string and numbers that are not finite become null, so there is nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Reads a value of the expected type; anything else becomes the default.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Reads the entries of a list that are of the expected type.
fn readable<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let entries: Vec<Value> = or_default(deserializer)?;
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that compilers have written: on samples, data-free with a stated licence, layer by layer, from a quantized file.
    const WRITTEN: [&str; 4] = [
        r#"{"calibration":{"biases_corrected":true,"method":"auto","percentile":null,"rounded_together":true,"samples":520,"skipped":0},"fidelity":{"agreement":0.9844,"logit_sqnr_db":40.2509,"samples":64},"layers":[{"method":"auto","name":"conv1","sqnr_db":36.6},{"alone_db":51.0,"name":"maxpool","sqnr_db":null,"without_db":38.2}],"name":"resnext26_16x4d_half-imagenette","source":"bundled/resnext26_16x4d_half-imagenette","tool":"resnext 0.1.0","topology":{"base_width":4,"blocks":[2,2,2,2],"cardinality":16,"classes":10,"depth":26}}"#,
        r#"{"calibration":{"biases_corrected":true,"data_free":true,"method":"mse","percentile":null,"rounded_together":false,"samples":0,"skipped":0},"fidelity":{"agreement":1.0,"logit_sqnr_db":30.0,"samples":64},"layers":[{"method":"mse","name":"conv1","sqnr_db":36.6}],"licence":"<CC0>","name":"a","source":"a.pth","tool":"resnext 0.1.0","topology":{"base_width":4,"blocks":[1],"cardinality":32,"classes":1000,"depth":5}}"#,
        r#"{"calibration":{"biases_corrected":false,"layers":{"conv1":"percentile 99.99","fc":"max"},"method":"percentile","percentile":99.999,"rounded_together":false,"samples":3,"skipped":1,"warnings":["3 pictures are too few"]},"fidelity":{"agreement":0.5,"logit_sqnr_db":12.3456,"samples":3},"layers":[{"method":"max","name":"conv1","sqnr_db":-0.1}],"name":"a","pictures":"0123456789abcdef0123","source":"a.onnx","tool":"resnext 0.1.0","topology":{"base_width":4,"blocks":[1],"cardinality":32,"classes":1000,"depth":5}}"#,
        r#"{"calibration":{"biases_corrected":false,"method":"given","percentile":null,"rounded_together":false,"samples":0,"skipped":0},"fidelity":{"agreement":null,"logit_sqnr_db":null,"samples":0},"name":"a","source":"a.onnx","tool":"resnext 0.1.0","topology":{"base_width":4,"blocks":[1],"cardinality":32,"classes":1000,"depth":5}}"#,
    ];

    /// Nothing is lost on the way through the types, and keys are sorted.
    #[test]
    fn what_is_written_is_read_and_written_again() {
        for text in WRITTEN {
            let metadata = Metadata::parse(text);
            assert_ne!(metadata, Metadata::default());
            let again = metadata.to_json();
            assert_eq!(again, text);
            let sorted: Value = serde_json::from_str(&again).expect("JSON");
            assert_eq!(sorted.to_string(), again);
        }
    }

    /// Models from before the key was known, and most since, have none.
    #[test]
    fn the_exif_orientation_is_stated_only_where_it_is_applied() {
        assert!(!Metadata::default().to_json().contains("exif"));
        let upright = Metadata { exif_orientation: true, ..Metadata::parse(WRITTEN[0]) };
        let text = upright.to_json();
        assert!(text.contains(r#"},"exif_orientation":true,"fidelity":{"#), "{text}");
        assert_eq!(Metadata::parse(&text), upright);
    }

    #[test]
    fn numbers_that_are_not_finite_are_null() {
        let fidelity = Fidelity { agreement: Some(f64::NAN), logit_sqnr_db: Some(f64::INFINITY), samples: 0 };
        let text = Metadata { fidelity: Some(fidelity), ..Metadata::default() }.to_json();
        assert!(text.contains(r#""fidelity":{"agreement":null,"logit_sqnr_db":null,"samples":0}"#), "{text}");
    }

    #[test]
    fn the_parts_have_their_types() {
        let metadata = Metadata::parse(WRITTEN[2]);
        assert_eq!(metadata.source.as_deref(), Some("a.onnx"));
        let Calibration { method, percentile, samples, skipped, layers, data_free, .. } =
            metadata.calibration;
        assert_eq!((method.as_deref(), percentile), (Some("percentile"), Some(99.999)));
        assert_eq!((samples, skipped, data_free), (Some(3), Some(1), false));
        assert_eq!(layers["conv1"], "percentile 99.99");
        assert_eq!(metadata.architecture.map(|architecture| architecture.cardinality), Some(32));
    }

    /// What other programs and other versions write does not get in the way of what can be read.
    #[test]
    fn what_is_odd_is_left_out() {
        for odd in ["", "nonsense", "{}", "[1]", "3", "null", r#"{"layers": {"a": 1}, "source": 7}"#] {
            assert_eq!(Metadata::parse(odd), Metadata::default(), "{odd}");
        }
        let metadata = Metadata::parse(
            r#"{"fidelity": {"samples": 64, "agreement": "high"}, "more": [], "name": "x", "name": "y", "license": "MIT",
                "calibration": {"data_free": 1, "samples": 3.5, "method": "mse", "layers": [], "warnings": 3},
                "topology": {"depth": -3, "classes": 10},
                "layers": [{"name": "conv1", "sqnr_db": 40, "alone_db": "x"}, {"sqnr_db": 1.0}, 7, {"name": 1}]}"#,
        );
        assert_eq!(metadata.fidelity, Some(Fidelity { samples: 64, ..Fidelity::default() }));
        assert_eq!((metadata.name.as_deref(), metadata.licence.as_deref()), (Some("y"), Some("MIT")));
        let calibration = Calibration { method: Some("mse".to_owned()), ..Calibration::default() };
        assert_eq!(metadata.calibration, calibration);
        let architecture = Architecture { classes: 10, ..Architecture::default() };
        assert_eq!(metadata.architecture, Some(architecture));
        let conv1 = Layer { name: "conv1".to_owned(), sqnr_db: Some(40.0), ..Layer::default() };
        assert_eq!(metadata.layers, [conv1]);
        let both = r#"{"license": "MIT", "licence": "BSD-3-Clause"}"#;
        assert_eq!(Metadata::parse(both).licence.as_deref(), Some("BSD-3-Clause"));
    }
}
