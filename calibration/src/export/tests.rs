use super::*;
use crate::bundled;
use crate::compiler::{Compiler, Options, ScaleSource, Techniques};
use crate::emit::ClassName;
use crate::fp32::{Fp32Model, OnnxModel};
use crate::import::tests::{
    forget_statistics, noise, relative_error, tiny_deep_network, tiny_network, without_origin,
};
use crate::import::{ImportOptions, load_with};
use crate::network::ValueId;
use crate::network::fold_batch_norm;
use crate::observe::Method;
use crate::quantize::Layer;
use resnext::{Model, Runner};
use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use tract_onnx::pb::tensor_proto::DataType;

const AS_DECLARED: ImportOptions = ImportOptions { input_size: None, weights_key: None, is_plain: false };

/// Our own importer reads the same network back, and tract-onnx, which knows nothing of it, computes the same.
fn check(path: &Path, network: &Network) {
    let mut read = without_origin(load_with(path, AS_DECLARED).expect("reads back"));
    read.name.clone_from(&network.name);
    let mut expected = network.clone();
    forget_statistics(&mut expected);
    assert_eq!(format!("{read:?}"), format!("{expected:?}"));
    let image = noise(3, network.input.len());
    let got = OnnxModel::load(path, network.input.height).and_then(|mut m| m.logits(&image)).expect("runs");
    let mut ours = Fp32Model::new(network, &[]).expect("a model");
    assert!(relative_error(ours.run(&image).expect("a run").result(), &got) < 1e-5);
}

#[test]
fn networks_are_read_back() {
    // The last averages odd sides.
    for network in [tiny_network(64), tiny_deep_network(64), tiny_deep_network(37)] {
        write_and_check(network);
    }
}

fn write_and_check(mut network: Network) {
    fold_batch_norm(&mut network);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tiny.onnx");
    let file = OnnxFile::fp32(&network, &[("source", "test".into())]);
    let seen = Cell::new(0);
    let progress = || seen.set(seen.get() + 1);
    let mut bytes = Vec::new();
    file.write(&mut bytes, &progress).unwrap();
    assert_eq!(seen.get(), file.tensor_count());
    let proto = ModelProto::decode(&*bytes).unwrap();
    assert_eq!(proto.metadata_props[0].value, "test");
    fs::write(&path, &bytes).unwrap();
    check(&path, &network);

    let (mut out, mut data) = (Vec::new(), Vec::new());
    file.write_external(&mut out, &mut data, Path::new("tiny.onnx.data"), &progress).unwrap();
    assert_eq!(seen.get(), 2 * file.tensor_count());
    let large = file.tensors.iter().filter(|tensor| tensor.bytes() > SMALL);
    assert!(data.len() as u64 >= large.map(Initializer::bytes).sum() && out.len() < bytes.len() * 2 / 3);
    fs::write(&path, &out).unwrap();
    fs::write(directory.path().join("tiny.onnx.data"), &data).unwrap();
    check(&path, &network);
}

fn options(network: &Network) -> Options {
    let side = network.input.height as u32;
    let class = |index| ClassName { id: String::new(), label: format!("class {index}") };
    Options {
        method: Method::Max,
        techniques: Techniques::FAST,
        source: "test".into(),
        qdq: true,
        ..Options::new(
            Preprocessing::imagenet(side, side),
            (0..network.architecture.classes).map(class).collect(),
        )
    }
}

/// `network` calibrated on the bundled photos, as an artifact and as the bytes of a QDQ file.
fn quantized(network: &Network) -> (Vec<u8>, Quantized, Vec<u8>) {
    let options = options(network);
    let photos = bundled::photos().take_spread(3);
    let compiler = Compiler::new(network, &options);
    let compiled = compiler.compile(ScaleSource::Samples(&photos)).expect("compiles");
    let mut bytes = Vec::new();
    compiler.qdq(&compiled).expect("asked for").write(&mut bytes, &|| {}).unwrap();
    (compiled.artifact, compiled.quantized.expect("kept"), bytes)
}

fn folded(mut network: Network) -> Network {
    fold_batch_norm(&mut network);
    network
}

/// Returns the logits of an artifact for one of the bundled photos.
fn logits(artifact: &[u8], network: &Network) -> Vec<f32> {
    let model = Model::from_bytes(artifact).expect("loads");
    let photo = bundled::photos().iter().nth(3).expect("a photo").decode().expect("decodes");
    let pixels = photo.crop(&options(network).preprocessing).expect("crops");
    let (mut arena, mut logits) = (vec![0; model.arena_len()], vec![0.0; model.class_count()]);
    let mut runner = Runner::new(&model, &mut arena).expect("an arena");
    runner.load_pixels(&pixels).expect("pixels");
    runner.infer(&mut logits).expect("runs");
    logits
}

/// Scales, zero points and integers go out and come back the same: the artifact has the same bytes, metadata aside.
#[test]
fn quantized_networks_come_back_to_the_bit() {
    for network in [tiny_network(64), tiny_deep_network(64), tiny_deep_network(37)] {
        let network = folded(network);
        let (artifact, before, bytes) = quantized(&network);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tiny.onnx");
        fs::write(&path, &bytes).unwrap();
        let read = load_with(&path, AS_DECLARED).expect("reads back");
        let after = Compiler::new(&read, &options(&network))
            .compile(ScaleSource::File { compared_on: None })
            .expect("compiles");
        let quantized = after.quantized.expect("kept");
        assert_eq!(format!("{:?}", quantized.layers), format!("{:?}", before.layers));
        assert_eq!(quantized.activations, before.activations);
        assert_eq!(logits(&after.artifact, &network), logits(&artifact, &network));
        let retained = after.report.retained.as_ref().expect("a quantized file");
        assert!(retained.activations == retained.of_activations, "{retained:?}");
        assert!(retained.weights == retained.of_weights, "{retained:?}");
        assert!(retained.of_activations > 9 && retained.of_weights > 3000, "{retained:?}");
        assert_eq!(retained.changed, []);
        assert!(after.report.agreement.is_nan() && after.report.checked == 0);
    }
}

/// The graph is what other tools expect of one in QDQ format.
#[test]
fn every_operator_is_between_quantizers() {
    let network = folded(tiny_deep_network(64));
    let (_, quantized, bytes) = quantized(&network);
    let graph = ModelProto::decode(&*bytes).unwrap().graph.expect("a graph");
    let producers: HashMap<&str, &str> =
        graph.node.iter().map(|node| (node.output[0].as_str(), node.op_type.as_str())).collect();
    let tensor = |name: &str| {
        graph.initializer.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no {name}"))
    };
    let mut convs = 0;
    for node in &graph.node {
        let inputs: Vec<&str> =
            node.input.iter().map(|input| producers.get(input.as_str()).copied().unwrap_or("")).collect();
        match node.op_type.as_str() {
            "Conv" | "Gemm" => {
                convs += 1;
                // The classifier reads the mean over all pixels, which is not rounded.
                let data = if node.op_type == "Gemm" { "Flatten" } else { "DequantizeLinear" };
                let expected = [data, "DequantizeLinear", "DequantizeLinear"];
                assert_eq!(inputs, expected, "{}", node.name);
                let [weight, bias] = ["weight", "bias"].map(|kind| tensor(&format!("{}.{kind}", node.name)));
                assert_eq!(
                    (weight.data_type, bias.data_type),
                    (DataType::Int8 as i32, DataType::Int32 as i32)
                );
                let scale = tensor(&format!("{}.weight.scale", node.name));
                assert_eq!(scale.dims, [weight.dims[0]], "a scale per output channel");
                let zeros = &tensor(&format!("{}.weight.zero_point", node.name)).raw_data;
                assert!(zeros.len() == scale.dims[0] as usize && zeros.iter().all(|&zero| zero == 0));
            }
            "Flatten" => assert_eq!(inputs, ["GlobalAveragePool"]),
            "MaxPool" | "AveragePool" | "GlobalAveragePool" => {
                assert_eq!(inputs, ["DequantizeLinear"], "{}", node.name);
            }
            "QuantizeLinear" => {
                assert_eq!(tensor(&node.input[2]).data_type, DataType::Uint8 as i32, "{}", node.name);
            }
            _ => {}
        }
        if node.op_type == "Add" && node.name != "image.real" {
            let fused = node.input.iter().any(|input| input.contains("downsample"));
            let added = if fused { "Conv" } else { "DequantizeLinear" };
            assert_eq!(inputs, ["Conv", added], "{}: nothing is rounded before", node.name);
        }
    }
    assert_eq!(
        convs,
        quantized
            .layers
            .iter()
            .filter(|layer| matches!(layer, Layer::Conv(_) | Layer::Shortcut(_) | Layer::Linear(_)))
            .count()
    );
    assert_eq!(quantized.activations[ValueId::IMAGE.0], crate::network::Activation::PIXELS);
}
