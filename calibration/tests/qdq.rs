//! Small networks that onnxruntime has quantized. `fixtures/qdq/README.md` says how they were made.

mod support;

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use resnext::preprocess::Preprocessing;
use resnext::{Model, Runner};
use resnext_calibration::bundled::photos;
use resnext_calibration::evaluate::examine;
use resnext_calibration::fp32::Fp32Model;
use resnext_calibration::import::{ImportOptions, load_with};
use resnext_calibration::network::{Network, fold_batch_norm};
use resnext_calibration::preprocessing::normalize;
use resnext_calibration::{
    ClassName, CompileError, Compiled, Compiler, Method, Options, Retained, ScaleSource,
};
use resnext_evaluation::noise::{Noise, argmax};
use resnext_evaluation::samples::Samples;
use serde_json::Value;
use support::{compile, reference_options, root, synthetic_pixels};

/// Side in pixels of the image that the recorded logits belong to.
const SIZE: usize = 40;

fn folder() -> PathBuf {
    root().join("calibration/tests/fixtures/qdq")
}

fn network(path: &Path) -> Network {
    let mut network = load_with(path, ImportOptions::of_size(SIZE)).expect("imports");
    fold_batch_norm(&mut network);
    network
}

fn options() -> Options {
    let class = |index| ClassName { id: String::new(), label: format!("class {index}") };
    Options {
        preprocessing: Preprocessing::imagenet(SIZE as u32, SIZE as u32),
        classes: (0..10).map(class).collect(),
        ..reference_options(Method::Max, 1)
    }
}

fn prequantized(network: &Network, compared_on: Option<&Samples>) -> Result<Compiled, CompileError> {
    Compiler::new(network, &options()).compile(ScaleSource::File { compared_on })
}

fn compiled(network: &Network, compared_on: Option<&Samples>) -> (Compiled, Retained) {
    let compiled = prequantized(network, compared_on).expect("compiles");
    let retained = compiled.report.retained.clone().expect("a quantized file");
    (compiled, retained)
}

/// Returns the logits of the artifact for the image.
fn int8(artifact: &[u8]) -> Vec<f32> {
    let model = Model::from_bytes(artifact).expect("loads");
    let (mut arena, mut logits) = (vec![0; model.arena_len()], vec![0.0; 10]);
    let mut runner = Runner::new(&model, &mut arena).expect("an arena");
    runner.load_pixels(&synthetic_pixels(SIZE)).expect("pixels");
    runner.infer(&mut logits).expect("runs");
    logits
}

fn logits(document: &Value, file: &str, of: &str) -> Vec<f32> {
    let numbers = document["models"][file][of].as_array().expect("logits");
    numbers.iter().map(|number| number.as_f64().expect("a number") as f32).collect()
}

/// Our int8 is as near to the fp32 network as that of onnxruntime, and near to that of onnxruntime. Our arithmetic differs: it
/// rounds neither the image nor the sums that a residual is added to.
#[test]
fn onnxruntimes_files_give_its_logits() {
    let text = std::fs::read_to_string(folder().join("logits.json")).expect("fixture");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let models = document["models"].as_object().expect("models");
    assert_eq!(models.len(), 4);
    for file in models.keys() {
        let network = network(&folder().join(file));
        let ours = int8(&compiled(&network, None).0.artifact);
        let (theirs, fp32) = (logits(&document, file, "logits"), logits(&document, file, "fp32"));
        let [to_theirs, to_fp32, theirs_to_fp32] = [(&ours, &theirs), (&ours, &fp32), (&theirs, &fp32)]
            .map(|(a, b)| Noise::of_slices(a, b).sqnr_db());
        assert!(to_theirs > 20.0, "{file}: {to_theirs:.1} dB, {ours:?} {theirs:?}");
        assert!(to_fp32 > theirs_to_fp32 - 1.0, "{file}: {to_fp32:.1} dB, onnxruntime {theirs_to_fp32:.1}");
        assert_eq!(argmax(&ours), argmax(&theirs), "{file}");

        // Without the rounding of activations, that of the weights is left.
        let mut real = Fp32Model::new(&network, &[]).expect("a model");
        let image = normalize(&options().preprocessing, &synthetic_pixels(SIZE));
        let sqnr = Noise::of_slices(real.run(&image).expect("runs").result(), &fp32).sqnr_db();
        assert!(sqnr > theirs_to_fp32 && sqnr > 24.0, "{file}: {sqnr:.1} dB");
    }
}

/// Scales and integers stay, except where the arithmetic asks for others, and those are reported.
#[test]
fn what_is_not_retained_is_reported() {
    const IMAGE: &str = "the normalisation of the image is folded in";
    const RESIDUAL: &str = "matched to the residual that is added";
    type Changed = [(&'static str, &'static str)];
    let cases: [(&str, usize, f64, &Changed); 3] = [
        // A unit of that convolution is coarser than a 127th of the step of the residual.
        ("u8s8-channel.onnx", 20, 0.995, &[("conv1", IMAGE), ("layer3.1.conv3", RESIDUAL)]),
        ("s8s8-tensor.onnx", 20, 0.98, &[("conv1", IMAGE), ("layer3.1.conv3", RESIDUAL)]),
        ("u8s8-float-bias.onnx", 25, 0.998, &[("conv1.0", IMAGE)]),
    ];
    for (file, activations, share, changed) in cases {
        let (_, retained) = compiled(&network(&folder().join(file)), None);
        assert_eq!((retained.activations, retained.of_activations), (activations, activations), "{file}");
        assert!(retained.weights as f64 >= share * retained.of_weights as f64, "{file}: {retained:?}");
        let reported: Vec<(&str, &str)> =
            retained.changed.iter().map(|(layer, why)| (&**layer, *why)).collect();
        assert_eq!(reported, changed, "{file}");
    }
    let (_, retained) = compiled(&network(&folder().join("u8u8-tensor.onnx")), None);
    assert_eq!(
        (retained.activations, retained.of_activations, retained.weights),
        (25, 25, 0),
        "their zero point is 129"
    );
    assert!(retained.changed.iter().skip(1).all(|(_, why)| why.contains("zero point")), "{retained:?}");
}

#[test]
fn samples_are_compared_on_and_change_nothing() {
    let network = network(&folder().join("u8s8-channel.onnx"));
    let (without, _) = compiled(&network, None);
    let (with, _) = compiled(&network, Some(&photos()));
    assert_eq!(int8(&without.artifact), int8(&with.artifact));
    assert_eq!((without.report.checked, with.report.checked, with.report.pictures.count), (0, 12, 0));
    assert!(with.report.logit_sqnr_db > 15.0, "{:.1} dB", with.report.logit_sqnr_db);
    let metadata = |compiled: &Compiled| -> Value {
        let model = Model::from_bytes(&compiled.artifact).expect("loads");
        serde_json::from_str(model.metadata()).expect("JSON")
    };
    assert_eq!(metadata(&with)["calibration"]["method"], "given");
    assert!(metadata(&without)["fidelity"]["agreement"].is_null());
}

#[test]
fn an_activation_left_open_is_named() {
    let mut network = network(&folder().join("u8s8-channel.onnx"));
    let index = network.nodes.iter().position(|node| node.name == "layer2.0.conv2").expect("a layer");
    network.prequantized.as_mut().expect("quantized").activations[index + 1] = None;
    let error = prequantized(&network, None).expect_err("open");
    assert!(matches!(error, CompileError::OpenActivation { .. }));
    assert!(error.to_string().contains("layer2.0.conv2; quantize all activations"), "{error}");
}

/// A shortcut whose output the file quantizes is a step, with that scale. One whose output the file leaves open is fused into the
/// convolution that adds it, whether or not that changes weights, and the result is the same.
#[test]
fn shortcuts_are_fused_unless_the_file_quantizes_them() {
    let mut network = network(&folder().join("u8s8-channel.onnx"));
    let (separate_steps, _) = compiled(&network, None);
    let steps = |compiled: &Compiled| Model::from_bytes(&compiled.artifact).expect("loads").step_count();
    assert_eq!(steps(&separate_steps), network.nodes.len());
    let shortcuts: Vec<usize> =
        (0..network.nodes.len()).filter(|&node| network.nodes[node].name.contains("downsample")).collect();
    for &node in &shortcuts {
        assert_eq!(network.fused_into(node), None);
        network.prequantized.as_mut().expect("quantized").activations[node + 1] = None;
        assert_eq!(network.fused_into(node).and_then(|reader| network.fused_shortcut(reader)), Some(node));
    }
    let (open, retained) = compiled(&network, None);
    assert!(shortcuts.len() == 4 && steps(&open) == network.nodes.len() - 4);
    assert_eq!((retained.activations, retained.of_activations), (16, 16), "20 without the shortcuts'");
    let reported = retained.changed.iter().filter(|(_, why)| why.contains("same accumulators"));
    for (layer, _) in reported.clone() {
        assert!(layer.ends_with(".0.conv3") || layer.contains("downsample"), "{retained:?}");
    }
    assert!(reported.count() >= 1, "{retained:?}");
    let mut fp32 = Fp32Model::new(&network, &[]).expect("a model");
    let image = normalize(&options().preprocessing, &synthetic_pixels(SIZE));
    let real = fp32.run(&image).expect("runs").result().to_vec();
    let [before, after] =
        [&separate_steps, &open].map(|c| Noise::of_slices(&int8(&c.artifact), &real).sqnr_db());
    assert!(after > before - 1.0, "{before:.1} → {after:.1} dB");
}

/// The layers of a model that another tool has quantized are matched by name with those of fp32, whose shortcuts would be fused,
/// and the other way round.
#[test]
fn layers_are_compared_whichever_shortcuts_are_fused() {
    let separate = network(&folder().join("u8s8-channel.onnx"));
    let (separate_steps, _) = compiled(&separate, None);
    let plain = Network { prequantized: None, ..separate.clone() };
    let fused = compile(&plain, &photos().take_spread(4), &options()).expect("compiles");
    let count = separate.nodes.len();
    for (artifact, network, steps) in
        [(&separate_steps.artifact, &plain, count), (&fused.artifact, &separate, count - 4)]
    {
        let model = Model::from_bytes(artifact).expect("loads");
        let (layers, images) =
            examine(&model, network, &photos().take_spread(2), 1, &ProgressBar::hidden()).expect("runs");
        assert_eq!((layers.len(), images), (steps, 2));
        for (layer, step) in layers.iter().zip(model.steps()) {
            let db = layer.noise.sqnr_db();
            assert!(layer.name == step.name && db > 10.0, "{}: {db:.1} dB", layer.name);
        }
    }
}
