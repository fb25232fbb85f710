//! Our fp32 path against the logits of PyTorch.

mod support;

use resnext::preprocess::Preprocessing;
use resnext_calibration::fp32::{Fp32Model, OnnxModel};
use resnext_calibration::import::{ImportOptions, load_with};
use resnext_calibration::network::{Network, fold_batch_norm};
use resnext_calibration::preprocessing::normalize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use support::{reference_network, root, synthetic_pixels};

/// Largest difference, relative to the largest logit: the order of float operations differs.
const TOLERANCE: f32 = 1e-4;

fn fixture() -> Value {
    let text = std::fs::read_to_string(root().join("tests/fixtures/pytorch/logits.json")).expect("fixture");
    serde_json::from_str(&text).expect("JSON")
}

fn expected(fixture: &Value, model: &str) -> (usize, Vec<f32>) {
    let model = &fixture["models"][model];
    let logits =
        model["logits"].as_array().expect("logits").iter().map(|x| x.as_f64().expect("number") as f32);
    (model["size"].as_u64().expect("size") as usize, logits.collect())
}

fn image(size: usize) -> Vec<f32> {
    normalize(&Preprocessing::imagenet(size as u32, size as u32), &synthetic_pixels(size))
}

fn assert_close(name: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    for (class, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= TOLERANCE * largest, "{name}: class {class}: {a}, PyTorch has {e}");
    }
}

fn logits(mut network: Network, size: usize) -> Vec<f32> {
    fold_batch_norm(&mut network);
    let mut model = Fp32Model::new(&network, &[]).expect("runs");
    model.run(&image(size)).expect("runs").result().to_vec()
}

/// Imports `path` and compares its fp32 logits, and those of tract on the untouched file, with `expected`.
fn check_onnx(path: &Path, size: usize, expected: &[f32]) {
    let name = path.display().to_string();
    let network = load_with(path, ImportOptions::of_size(size)).expect("imports");
    assert_close(&name, &logits(network, size), expected);
    let mut original = OnnxModel::load(path, size).expect("tract runs it");
    assert_close(&name, &original.logits(&image(size)).expect("runs"), expected);
}

#[test]
fn the_synthetic_image_is_the_fixtures() {
    let (fixture, pixels) = (fixture(), synthetic_pixels(72));
    let image = &fixture["image"];
    let first: Vec<u8> = image["first_bytes_at_72"]
        .as_array()
        .expect("bytes")
        .iter()
        .map(|b| b.as_u64().expect("byte") as u8)
        .collect();
    assert_eq!(&pixels[..first.len()], first);
    assert_eq!(pixels.iter().map(|&p| u64::from(p)).sum::<u64>(), image["sum_at_72"].as_u64().expect("sum"));
}

#[test]
fn onnx_exports_give_pytorchs_logits() {
    let (size, expected) = expected(&fixture(), "tiny");
    for file in ["tiny-opset17-folded.onnx", "tiny-opset11-bn.onnx", "tiny-opset18-dynamo.onnx"] {
        check_onnx(&root().join("tests/fixtures/pytorch").join(file), size, &expected);
    }
}

#[test]
fn the_bundled_checkpoint_gives_pytorchs_logits() {
    let (size, expected) = expected(&fixture(), "bundled/resnext26_16x4d_half-imagenette");
    assert_close("bundled", &logits(reference_network(), size), &expected);
}

/// The trained models as exported, where they are at hand.
#[test]
fn trained_models_give_pytorchs_logits() {
    let models = std::env::var_os("RESNEXT_REFERENCE")
        .map_or_else(|| root().join("../shared/reference-model"), PathBuf::from);
    for name in ["resnext26_16x4d_half-imagenette", "resnext50_32x4d-imagenette"] {
        let path = models.join(name).with_extension("onnx");
        if !path.is_file() {
            assert!(std::env::var_os("CI").is_none(), "{} is missing and CI must have it", path.display());
            eprintln!("skipped: {} is not here; set RESNEXT_REFERENCE", path.display());
            continue;
        }
        let (size, expected) = expected(&fixture(), name);
        check_onnx(&path, size, &expected);
    }
}
