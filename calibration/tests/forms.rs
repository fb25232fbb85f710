//! Networks in the many forms in which people have them: read as PyTorch and onnxruntime run them, or refused for what they are.
//! `fixtures/forms/make.py` makes the files.

mod support;

use std::path::{Path, PathBuf};

use resnext::preprocess::Preprocessing;
use resnext_calibration::fp32::Fp32Model;
use resnext_calibration::import::{ImportOptions, Imported, Note, read};
use resnext_calibration::network::fold_batch_norm;
use resnext_calibration::preprocessing::normalize;
use serde_json::Value;
use support::{root, synthetic_pixels};

/// Largest difference, relative to the largest logit: the order of float operations differs, and batch norms are folded.
const TOLERANCE: f32 = 1e-4;

fn folder() -> PathBuf {
    root().join("calibration/tests/fixtures/forms")
}

fn document() -> Value {
    let text = std::fs::read_to_string(folder().join("expected.json")).expect("fixture");
    serde_json::from_str(&text).expect("JSON")
}

/// Reads `file`, or `file key` with that key for its weights.
fn import(case: &str, size: usize) -> Result<Imported, String> {
    let (file, weights_key) = case.split_once(' ').map_or((case, None), |(file, key)| (file, Some(key)));
    let options = ImportOptions { weights_key, ..ImportOptions::of_size(size) };
    read(&folder().join(file), options).map_err(|error| error.to_string())
}

/// Returns the logits for the image of the fixtures. A file that normalises its image itself gets the pixels as it wants them.
fn logits(imported: Imported, size: usize) -> Vec<f32> {
    let mut network = imported.network;
    fold_batch_norm(&mut network);
    let usual = Preprocessing::imagenet(size as u32, size as u32);
    let preprocessing = match network.normalisation {
        Some(own) => Preprocessing { mean: own.mean, std: own.std, ..usual },
        None => usual,
    };
    let image = normalize(&preprocessing, &synthetic_pixels(size));
    let mut model = Fp32Model::new(&network, &[]).expect("a model");
    model.run(&image).expect("a run").result().to_vec()
}

fn compare(case: &str, logits: &[f32], expected: &Value) -> Result<(), String> {
    let expected: Vec<f32> =
        expected.as_array().expect("logits").iter().map(|v| v.as_f64().expect("a number") as f32).collect();
    let largest = expected.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * largest;
    match logits.len() == expected.len() && largest > 0.0 && logits.iter().zip(&expected).all(close) {
        true => Ok(()),
        false => Err(format!("{case}: {logits:?}, expected {expected:?}")),
    }
}

#[test]
fn what_has_one_meaning_is_read() {
    let document = document();
    let size = document["size"].as_u64().expect("a size") as usize;
    let check = |(case, expected): (&String, &Value)| {
        let imported = import(case, size)?;
        compare(case, &logits(imported, size), expected)
    };
    let cases = document["accepted"].as_object().expect("cases");
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(
        cases.len() > 30 && wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_has_none_is_refused_for_what_it_is() {
    let document = document();
    let check = |(file, expected): (&String, &Value)| {
        let expected = expected.as_str().expect("a message");
        match import(file, 40) {
            Ok(_) => Some(format!("{file}: is accepted")),
            Err(line) => {
                let sound = line.contains(expected) && line.contains("; ") && !line.contains('\n');
                (!sound).then(|| format!("{line}\n    expected {expected}"))
            }
        }
    };
    let cases = document["refused"].as_object().expect("cases");
    let wrong: Vec<String> = cases.iter().filter_map(check).collect();
    assert!(
        cases.len() > 25 && wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn choices_and_assumptions_are_noted() {
    let notes = |case: &str| import(case, 40).unwrap_or_else(|line| panic!("{line}")).notes;
    let lines = |case: &str| notes(case).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for (case, expected) in [
        ("ema.pth", "those `ema` are used, not `model`"),
        ("ema.pth model", "those `model` are used, not `ema`"),
        ("ema-hook.pth", "those `state_dict` are used, not `ema`"),
        ("ema-hook.pth ema", "those `ema` are used, not `state_dict`"),
        ("training.ckpt", "has 4 tensors that only training needs; left out: "),
        ("training.ckpt", "has `bce_loss.pos_weight`, so it seems to be trained for several labels"),
        ("fc-sequence.pth", "its classifier is `fc.1`"),
        ("pruned.pth", "has pruning masks; 2 tensors multiplied by them"),
        ("normalises.onnx", "normalises its input itself"),
        ("channels-last.onnx", "its input is N×height×width×3"),
    ] {
        let lines = lines(case);
        assert!(lines.contains(expected), "{case}: {lines}");
    }
    // A checkpoint tells no activations, a graph does.
    assert!(notes("fc-1x1.pth").contains(&Note::Assumed) && notes("plain.onnx").is_empty());
    let known = ImportOptions { is_plain: true, ..ImportOptions::of_size(40) };
    let notes = read(&folder().join("silu.pth"), known).expect("the caller knows").notes;
    assert!(matches!(&notes[..], [Note::Overruled(claim)] if claim.text == "silu"), "{notes:?}");
}

#[test]
fn a_key_that_is_not_there_is_answered_with_those_that_are() {
    let line = import("ema.pth shadow", 40).expect_err("no such key");
    assert!(line.contains("it has no weights under `shadow`; give one of `ema`, `model`"), "{line}");
    let line = import("fc-1x1.pth ema", 40).expect_err("no key");
    assert!(line.contains("its weights need no key"), "{line}");
}

/// The exported file reads the images that the imported one reads, so both have the same logits.
#[test]
fn export_keeps_the_normalisation() {
    use resnext_calibration::export::OnnxFile;
    use resnext_calibration::fp32::OnnxModel;
    let document = document();
    let mut network = import("normalises-255.onnx", 40).expect("a ResNeXt").network;
    fold_batch_norm(&mut network);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path: &Path = &directory.path().join("out.onnx");
    let mut bytes = Vec::new();
    OnnxFile::fp32(&network, &[]).write(&mut bytes, &|| {}).expect("room");
    std::fs::write(path, bytes).expect("room");
    let pixels = synthetic_pixels(40);
    let planes: Vec<f32> =
        (0..3).flat_map(|c| pixels.iter().skip(c).step_by(3).map(|&p| f32::from(p))).collect();
    let logits = OnnxModel::load(path, 40).expect("tract runs it").logits(&planes).expect("logits");
    compare("exported", &logits, &document["accepted"]["normalises-255.onnx"]).expect("the same");
    let again = read(path, ImportOptions::of_size(40)).expect("reads back").network;
    let (Some(again), Some(before)) = (again.normalisation, network.normalisation) else {
        panic!("lost: {:?}", again.normalisation)
    };
    assert_eq!((again.factors, again.shifts), (before.factors, before.shifts));
    let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close(again.mean, before.mean) && close(again.std, before.std), "{again:?}");
}
