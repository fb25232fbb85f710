use std::path::Path;

use super::*;
use crate::import::tests::{FULL, SMALL, noise, reference, relative_error, tiny_network};
use crate::import::{ImportOptions, load_with};
use crate::network::{Conv, Node, Op, Window, fold_batch_norm};

fn folded(path: &Path, side: usize) -> Network {
    let mut network = load_with(path, ImportOptions::of_size(side)).expect("a ResNeXt");
    fold_batch_norm(&mut network);
    network
}

/// A convolution in f64 by its definition, for images of any size.
fn naive_conv(conv: &Conv, from: Shape, to: Shape, input: &[f32]) -> Vec<f64> {
    let Window { kernel, stride, padding } = conv.window;
    let weight = conv.weight.read();
    let (per_in, per_out) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
    let mut output = Vec::new();
    for o in 0..to.channels {
        for (y, x) in (0..to.height).flat_map(|y| (0..to.width).map(move |x| (y, x))) {
            let mut sum = conv.bias.get(o).map_or(0.0, |&b| f64::from(b));
            for i in 0..per_in {
                for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                    let (Some(row), Some(column)) =
                        ((y * stride + ky).checked_sub(padding), (x * stride + kx).checked_sub(padding))
                    else {
                        continue;
                    };
                    if row < from.height && column < from.width {
                        let channel = o / per_out * per_in + i;
                        let pixel = input[(channel * from.height + row) * from.width + column];
                        let weight = weight[((o * per_in + i) * kernel + ky) * kernel + kx];
                        sum += f64::from(pixel) * f64::from(weight);
                    }
                }
            }
            output.push(sum);
        }
    }
    output
}

/// Returns the mean of the pixels of each window that lie on the image.
fn naive_mean(window: Window, from: Shape, to: Shape, input: &[f32]) -> Vec<f32> {
    let near = |at: usize, end: usize| {
        (at * window.stride..at * window.stride + window.kernel).filter(move |&i| i < end)
    };
    let mut output = Vec::new();
    for channel in input.chunks(from.height * from.width) {
        for (y, x) in (0..to.height).flat_map(|y| (0..to.width).map(move |x| (y, x))) {
            let taps =
                near(y, from.height).flat_map(|r| near(x, from.width).map(move |k| r * from.width + k));
            let values: Vec<f32> = taps.map(|at| channel[at]).collect();
            output.push(values.iter().sum::<f32>() / values.len() as f32);
        }
    }
    output
}

#[test]
fn average_pools_count_what_is_there() {
    for (height, width) in [(1, 1), (1, 6), (2, 3), (7, 8), (9, 5)] {
        for (kernel, stride) in [(2, 2), (3, 2), (2, 3), (3, 1)] {
            let window = Window { kernel, stride, padding: 0 };
            let input = Shape { channels: 3, height, width };
            let [rows, columns] = [height, width].map(|side| window.positions_started(side));
            let output = Shape { channels: 3, height: rows, width: columns };
            let op = Op::AvgPool(window);
            let node = Node { name: "pool".into(), input: ValueId::IMAGE, output, op };
            let network = Network { input, nodes: vec![node], ..tiny_network(32) };
            let image = noise(1, input.len());
            let mut model = Fp32Model::new(&network, &[]).expect("a model");
            let outputs = model.run(&image).expect("a run of the expected size");
            let error = relative_error(outputs.result(), &naive_mean(window, input, output, &image));
            assert!(error < 1e-6, "{height}×{width}, {window:?}: {error}");
        }
    }
}

#[test]
fn every_value_is_what_its_definition_says() {
    let mut network = tiny_network(37);
    fold_batch_norm(&mut network);
    let taps: Vec<_> = (0..=network.nodes.len()).map(ValueId).collect();
    let mut model = Fp32Model::new(&network, &taps).expect("a model");
    let outputs_of = noise(1, network.input.len());
    let outputs = model.run(&outputs_of).expect("a run");
    assert_eq!(outputs.tap(0).0, outputs_of);
    for (i, node) in network.nodes.iter().enumerate() {
        let (input, from) = outputs.tap(node.input.0);
        let (got, to) = outputs.tap(i + 1);
        assert_eq!(to, node.output);
        let want: Vec<f32> = match &node.op {
            Op::Conv(conv) => {
                let mut sums = naive_conv(conv, from, to, input);
                if let Some(residual) = conv.residual {
                    let shortcut = outputs.tap(residual.0).0;
                    sums.iter_mut().zip(shortcut).for_each(|(s, &r)| *s += f64::from(r));
                }
                sums.iter().map(|&s| if conv.relu { s.max(0.0) as f32 } else { s as f32 }).collect()
            }
            Op::GlobalAvgPool => input
                .chunks(from.height * from.width)
                .map(|c| c.iter().sum::<f32>() / c.len() as f32)
                .collect(),
            Op::Linear(linear) => linear
                .weight
                .read()
                .chunks(linear.in_features)
                .zip(&linear.bias)
                .map(|(row, b)| row.iter().zip(input).map(|(w, x)| w * x).sum::<f32>() + b)
                .collect(),
            &Op::AvgPool(window) => naive_mean(window, from, to, input),
            Op::MaxPool(_) => (0..to.channels)
                .flat_map(|c| (0..to.height).flat_map(move |y| (0..to.width).map(move |x| (c, y, x))))
                .map(|(c, y, x)| {
                    let near = |at: usize, end: usize| (2 * at).saturating_sub(1)..(2 * at + 2).min(end);
                    near(y, from.height)
                        .flat_map(|r| {
                            near(x, from.width).map(move |k| (c * from.height + r) * from.width + k)
                        })
                        .fold(f32::NEG_INFINITY, |m, at| m.max(input[at]))
                })
                .collect(),
        };
        assert!(relative_error(got, &want) < 1e-5, "{}", node.name);
    }
    assert_eq!(outputs.result(), outputs.tap(network.nodes.len()).0);
}

#[test]
fn runs_do_not_influence_each_other_or_clones() {
    let mut network = tiny_network(32);
    fold_batch_norm(&mut network);
    let mut model = Fp32Model::new(&network, &[ValueId(3), ValueId(3), ValueId::IMAGE]).expect("a model");
    let mut clone = model.clone();
    let images = [noise(1, network.input.len()), noise(2, network.input.len())];
    let first = model.run(&images[0]).expect("a run").result().to_vec();
    let second = model.run(&images[1]).expect("a run").result().to_vec();
    assert_ne!(first, second);
    let again = clone.run(&images[0]).expect("a run");
    assert_eq!(again.result(), first);
    assert_eq!((again.taps(), again.tap(0)), (3, again.tap(1)));
    assert_eq!(again.tap(2).0, images[0]);
}

#[test]
fn misuse_is_an_error() {
    let mut network = tiny_network(32);
    let line = Fp32Model::new(&network, &[]).expect_err("not folded").to_string();
    assert!(line.contains("`conv1` has a batch norm"), "{line}");
    fold_batch_norm(&mut network);
    let line = Fp32Model::new(&network, &[ValueId(999)]).expect_err("no such value").to_string();
    assert!(line.contains("999"), "{line}");
    let mut model = Fp32Model::new(&network, &[]).expect("a model");
    let line = model.run(&[0.0]).expect_err("too small").to_string();
    assert!(line.contains("give 3072"), "{line}");
    assert!(OnnxModel::load(Path::new("/nowhere/model.onnx"), 32).is_err());
}

#[test]
fn agrees_with_tract_core() {
    let mut tiny = tiny_network(37);
    fold_batch_norm(&mut tiny);
    let mut networks = vec![tiny];
    networks.extend(
        [SMALL, FULL]
            .iter()
            .filter_map(|name| Some(folded(&reference(&format!("{name}.safetensors"))?, 160))),
    );
    for network in networks {
        let image = noise(5, network.input.len());
        let want =
            TractModel::new(&network).and_then(|mut model| model.logits(&image)).expect("tract runs it");
        let mut model = Fp32Model::new(&network, &[]).expect("a model");
        let error = relative_error(model.run(&image).expect("a run").result(), &want);
        eprintln!("{}: relative error {error:e}", network.name);
        assert!(error < 1e-5, "{}: {error}", network.name);
    }
}

#[test]
fn agrees_with_the_original_file() {
    for (name, side) in [(SMALL, 160), (SMALL, 192), (FULL, 160)] {
        let Some(path) = reference(&format!("{name}.onnx")) else {
            return;
        };
        let mut model = Fp32Model::new(&folded(&path, side), &[]).expect("a model");
        let mut original = OnnxModel::load(&path, side).expect("an ONNX model");
        let image = noise(3, 3 * side * side);
        let want = original.logits(&image).expect("a run");
        let error = relative_error(model.run(&image).expect("a run").result(), &want);
        eprintln!("{name} at {side}: relative error {error:e}");
        assert!(error < 1e-4, "{name} at {side}: {error}");
    }
}

#[test]
fn a_checkpoint_agrees_with_the_onnx_file_made_from_it() {
    for name in [SMALL, FULL] {
        let paths = [format!("{name}.onnx"), format!("{name}.safetensors")].map(|file| reference(&file));
        let [Some(onnx), Some(checkpoint)] = paths else {
            return;
        };
        let image = noise(4, 3 * 160 * 160);
        let logits = [onnx, checkpoint].map(|path| {
            let mut model = Fp32Model::new(&folded(&path, 160), &[]).expect("a model");
            model.run(&image).expect("a run").result().to_vec()
        });
        let error = relative_error(&logits[1], &logits[0]);
        eprintln!("{name}: relative error {error:e}");
        assert!(error < 1e-4, "{name}: {error}");
    }
}
