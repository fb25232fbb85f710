//! Files that onnxruntime quantized, in small: `fixtures/qdq/README.md` tells how they were made.

mod support;

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use resnext::{Model, Runner};
use resnext_calibration::bundled::photos;
use resnext_calibration::compile::{CompileError, Compiled, Options, compile};
use resnext_calibration::emit::ClassName;
use resnext_calibration::fidelity::{Noise, argmax};
use resnext_calibration::fold::fold_batch_norm;
use resnext_calibration::fp32::Fp32Model;
use resnext_calibration::given::{self, Kept};
use resnext_calibration::import::{ImportOptions, load_with};
use resnext_calibration::layers;
use resnext_calibration::network::Network;
use resnext_calibration::observe::Method;
use resnext_calibration::preprocessing::Preprocessing;
use resnext_calibration::samples::Samples;
use serde_json::Value;
use support::{reference_options, root, synthetic_pixels};

/// Side of the image that the logits are of.
const SIZE: usize = 40;

fn folder() -> PathBuf {
    root().join("calibration/tests/fixtures/qdq")
}

fn network(path: &Path) -> Network {
    let mut network = load_with(path, ImportOptions { input_size: Some(SIZE) }).expect("imports");
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

fn compiled(network: &Network, samples: Option<&Samples>) -> (Compiled, Kept) {
    given::compile(network, samples, &options(), &ProgressBar::hidden()).expect("compiles")
}

/// What the artifact makes of the image.
fn int8(artifact: &[u8]) -> Vec<f32> {
    let model = Model::from_bytes(artifact).expect("loads");
    let (mut arena, mut logits) = (vec![0; model.arena_len()], vec![0.0; 10]);
    let mut runner = Runner::new(&model, &mut arena).expect("an arena");
    runner.load_pixels(&synthetic_pixels(SIZE)).expect("pixels");
    runner.infer(&mut logits, &mut ()).expect("runs");
    logits
}

fn logits(document: &Value, file: &str, of: &str) -> Vec<f32> {
    let numbers = document["models"][file][of].as_array().expect("logits");
    numbers.iter().map(|number| number.as_f64().expect("a number") as f32).collect()
}

/// Our int8 is as near to the fp32 network as onnxruntime's, and near to onnxruntime's, but for what the runtime's
/// arithmetic does otherwise: it does not round the image, nor what a residual is added to.
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

        // Without rounding of activations, what is left is that of the weights.
        let mut real = Fp32Model::new(&network, &[]).expect("a model");
        let image = options().preprocessing.normalize(&synthetic_pixels(SIZE));
        let sqnr = Noise::of_slices(real.run(&image).expect("runs").result(), &fp32).sqnr_db();
        assert!(sqnr > theirs_to_fp32 && sqnr > 24.0, "{file}: {sqnr:.1} dB");
    }
}

/// Scales and integers stay, but where the arithmetic asks for others.
#[test]
fn what_is_not_kept_is_told() {
    const IMAGE: &str = "the normalisation of the image is folded in";
    const RESIDUAL: &str = "matched to the residual that is added";
    type Changed = [(&'static str, &'static str)];
    let cases: [(&str, usize, f64, &Changed); 3] = [
        // A unit of that convolution is coarser than a 127th of the residual's step.
        ("u8s8-channel.onnx", 20, 0.995, &[("conv1", IMAGE), ("layer3.1.conv3", RESIDUAL)]),
        ("s8s8-tensor.onnx", 20, 0.98, &[("conv1", IMAGE), ("layer3.1.conv3", RESIDUAL)]),
        ("u8s8-float-bias.onnx", 25, 0.998, &[("conv1.0", IMAGE)]),
    ];
    for (file, activations, share, changed) in cases {
        let (_, kept) = compiled(&network(&folder().join(file)), None);
        assert_eq!(kept.activations, (activations, activations), "{file}");
        assert!(kept.weights.0 as f64 >= share * kept.weights.1 as f64, "{file}: {kept:?}");
        let told: Vec<(&str, &str)> = kept.changed.iter().map(|(layer, why)| (&**layer, *why)).collect();
        assert_eq!(told, changed, "{file}");
    }
    let (_, kept) = compiled(&network(&folder().join("u8u8-tensor.onnx")), None);
    assert_eq!((kept.activations, kept.weights.0), ((25, 25), 0), "their zero point is 129");
    assert!(kept.changed.iter().skip(1).all(|(_, why)| why.contains("zero point")), "{kept:?}");
}

#[test]
fn samples_are_compared_on_and_change_nothing() {
    let network = network(&folder().join("u8s8-channel.onnx"));
    let (without, _) = compiled(&network, None);
    let (with, _) = compiled(&network, Some(&photos()));
    assert_eq!(int8(&without.artifact), int8(&with.artifact));
    assert_eq!((without.report.checked, with.report.checked, with.report.calibrated), (0, 12, 0));
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
    network.given.as_mut().expect("quantized").activations[index + 1] = None;
    let error = given::compile(&network, None, &options(), &ProgressBar::hidden()).expect_err("open");
    assert!(matches!(error, CompileError::NotGiven { .. }));
    assert!(error.to_string().contains("layer2.0.conv2; quantize all activations"), "{error}");
}

/// A shortcut whose scale the file gives is a step, with that scale; one that the file leaves open is joined with the
/// convolution that adds it, whether or not that changes weights, and the same comes out.
#[test]
fn shortcuts_are_joined_unless_the_file_quantizes_them() {
    let mut network = network(&folder().join("u8s8-channel.onnx"));
    let (given, _) = compiled(&network, None);
    let steps = |compiled: &Compiled| Model::from_bytes(&compiled.artifact).expect("loads").step_count();
    assert_eq!(steps(&given), network.nodes.len());
    let shortcuts: Vec<usize> =
        (0..network.nodes.len()).filter(|&node| network.nodes[node].name.contains("downsample")).collect();
    for &node in &shortcuts {
        assert_eq!(network.joined(node), None);
        network.given.as_mut().expect("quantized").activations[node + 1] = None;
        assert_eq!(network.joined(node).and_then(|joined| network.shortcut(joined)), Some(node));
    }
    let (open, kept) = compiled(&network, None);
    assert!(shortcuts.len() == 4 && steps(&open) == network.nodes.len() - 4);
    assert_eq!(kept.activations, (16, 16), "20 without the shortcuts'");
    let told = kept.changed.iter().filter(|(_, why)| why.contains("same accumulators"));
    for (layer, _) in told.clone() {
        assert!(layer.ends_with(".0.conv3") || layer.contains("downsample"), "{kept:?}");
    }
    assert!(told.count() >= 1, "{kept:?}");
    let mut fp32 = Fp32Model::new(&network, &[]).expect("a model");
    let image = options().preprocessing.normalize(&synthetic_pixels(SIZE));
    let real = fp32.run(&image).expect("runs").result().to_vec();
    let [before, after] = [&given, &open].map(|c| Noise::of_slices(&int8(&c.artifact), &real).sqnr_db());
    assert!(after > before - 1.0, "{before:.1} → {after:.1} dB");
}

/// The layers of a model that another tool has quantized are compared with fp32's, whose shortcuts would be joined, and the
/// other way round: by their names.
#[test]
fn layers_are_compared_whichever_shortcuts_are_joined() {
    let separate = network(&folder().join("u8s8-channel.onnx"));
    let (given, _) = compiled(&separate, None);
    let plain = Network { given: None, ..separate.clone() };
    let joined =
        compile(&plain, &photos().take_spread(4), &options(), &ProgressBar::hidden()).expect("compiles");
    let count = separate.nodes.len();
    for (artifact, network, steps) in
        [(&given.artifact, &plain, count), (&joined.artifact, &separate, count - 4)]
    {
        let model = Model::from_bytes(artifact).expect("loads");
        let (layers, images) =
            layers::examine(&model, network, &photos().take_spread(2), 1, &ProgressBar::hidden())
                .expect("runs");
        assert_eq!((layers.len(), images), (steps, 2));
        for (layer, step) in layers.iter().zip(model.steps()) {
            let db = layer.noise.sqnr_db();
            assert!(layer.name == step.name && db > 10.0, "{}: {db:.1} dB", layer.name);
        }
    }
}
