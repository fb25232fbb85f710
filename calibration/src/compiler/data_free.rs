//! Calibration without images, from the statistics that batch norms have kept of the training images.
//!
//! A batch norm gives each channel the mean β and the deviation |γ| over the training images, whatever they were; that much is
//! known of the output of every convolution (M. Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias
//! Correction*, 2019). The shape of the distributions and the correlation of channels are not known. They are taken from
//! [synthetic images](super::synthetic), which go through a *surrogate* of the network: its convolutions are adjusted one after
//! the other until their outputs have the mean and the deviation that the batch norms state. Histograms and covariances of its
//! activations then calibrate the network as usual. `docs/src/measurements/calibration.md` says what this costs.

use std::collections::HashMap;

use indicatif::ProgressBar;
use resnext_evaluation::samples::{Sample, Samples};

use super::synthetic::draw;
use super::{CalibrationInput, CompileError, Compiled, Compiler, normalized_images};
use crate::fp32::{Fp32Error, Fp32Model};
use crate::network::{Conv, Network, Node, Op, Shape, Statistics, ValueId};

/// The number of synthetic images that calibrate a network.
const CALIBRATION_IMAGES: u64 = 256;

/// The number of synthetic images that the surrogate is adjusted on, if their activations fit 256 MB: the outputs of a layer
/// for all images are in memory at once.
pub const SURROGATE_IMAGES: usize = 32;

/// The least number of images that the surrogate is adjusted on, whatever memory that takes. Fewer say too little about what
/// the batch norms state.
const LEAST_SURROGATE_IMAGES: usize = 4;

/// Bytes of activations that may be in memory while the surrogate is adjusted.
const BUDGET: usize = 256 << 20;

/// The largest factor for a channel that varies too little on synthetic images.
const LARGEST_FACTOR: f64 = 16.0;

/// Compiles to ranges that the surrogate has on synthetic images.
pub(super) fn compile(compiler: &Compiler<'_>) -> Result<Compiled, CompileError> {
    let Compiler { network, options, progress } = compiler;
    let samples = synthetic_images();
    progress.set_message("adjusting");
    let count = surrogate_images(network);
    let images = normalized_images(&samples, count, &options.preprocessing);
    let surrogate = surrogate(network, images, options.threads, progress)?;
    compiler.calibrated(CalibrationInput { network, surrogate: Some((&surrogate, count)), samples: &samples })
}

/// Returns the images that stand in for photos, the same everywhere.
pub fn synthetic_images() -> Samples {
    (0..CALIBRATION_IMAGES)
        .map(|seed| Sample::synthetic(format!("synthetic image {seed}"), draw, seed))
        .collect()
}

/// Returns the number of images that the surrogate of `network` is adjusted on: [`SURROGATE_IMAGES`], or as many as fit 256 MB
/// where `network` is widest, and no fewer than 4.
fn surrogate_images(network: &Network) -> usize {
    let bytes = size_of::<f32>() * widest(network).max(1);
    (BUDGET / bytes).clamp(LEAST_SURROGATE_IMAGES, SURROGATE_IMAGES)
}

/// Returns the most elements of one image's activations that [`surrogate`] needs at once.
fn widest(network: &Network) -> usize {
    let last_uses = last_uses(network);
    let len = |value: ValueId| network.shape(value).len();
    let mut live = network.input.len();
    let mut widest = live;
    for (index, node) in adjusted(network) {
        let dying: usize =
            last_uses.iter().filter(|&(_, &last)| last == index).map(|(&value, _)| len(value)).sum();
        let consumed = consumes(&last_uses, index, node).map_or(0, len);
        // For each image either the input or the output is in memory.
        widest = widest.max(live).max(live - consumed + node.output.len());
        live = live - dying + node.output.len();
    }
    widest
}

/// Iterates over the nodes before the classifier, for which there are no statistics.
fn adjusted(network: &Network) -> impl Iterator<Item = (usize, &Node)> {
    network.nodes.iter().enumerate().take_while(|(_, node)| !matches!(node.op, Op::Linear(_)))
}

/// Returns the last node that reads each value.
fn last_uses(network: &Network) -> HashMap<ValueId, usize> {
    let nodes = network.nodes.iter().enumerate();
    nodes.flat_map(|(index, node)| node.reads().map(move |value| (value, index))).collect()
}

/// Returns the input of node `index`, if nothing reads it afterwards.
fn consumes(last_uses: &HashMap<ValueId, usize>, index: usize, node: &Node) -> Option<ValueId> {
    let again = node.reads().skip(1).any(|value| value == node.input);
    (last_uses.get(&node.input) == Some(&index) && !again).then_some(node.input)
}

/// Returns `network` with its convolutions adjusted so that on `images` their outputs have the [`Statistics`] that they have on
/// training images.
fn surrogate(
    network: &Network,
    images: Vec<Vec<f32>>,
    threads: usize,
    progress: &ProgressBar,
) -> Result<Network, CompileError> {
    let mut surrogate = network.clone();
    let last_uses = last_uses(network);
    let mut values = HashMap::from([(ValueId::IMAGE, images)]);
    progress.reset();
    progress.set_length(network.nodes.len() as u64);
    for (index, node) in adjusted(network) {
        let model = alone(network, node)?;
        let missing = |value: ValueId| Fp32Error::NoSuchValue(value.0);
        let mut outputs = match consumes(&last_uses, index, node) {
            Some(input) => model.run_all(values.remove(&input).ok_or(missing(input))?, threads)?,
            None => model.run_all(values.get(&node.input).ok_or(missing(node.input))?, threads)?,
        };
        drop(model);
        if let (Op::Conv(conv), Op::Conv(adjusted)) = (&node.op, &mut surrogate.nodes[index].op) {
            let wanted = conv
                .statistics
                .as_deref()
                .ok_or_else(|| CompileError::NoStatistics { layer: node.name.clone() })?;
            let adjustments = adjustments(&outputs, node.output, wanted);
            adjust(adjusted, &adjustments);
            let residuals = match conv.residual {
                Some(value) => Some(values.get(&value).ok_or(missing(value))?),
                None => None,
            };
            for (image, output) in outputs.iter_mut().enumerate() {
                let residual = residuals.and_then(|residuals| residuals.get(image));
                finish(output, &adjustments, residual.map(Vec::as_slice), conv.relu);
            }
        }
        values.insert(ValueId(index + 1), outputs);
        values.retain(|value, _| last_uses.get(value).is_some_and(|&last| last > index));
        progress.inc(1);
    }
    Ok(surrogate)
}

/// Compiles a single node; a convolution without its residual and its ReLU.
fn alone(network: &Network, node: &Node) -> Result<Fp32Model, Fp32Error> {
    let op = match &node.op {
        Op::Conv(conv) => Op::Conv(Conv { residual: None, relu: false, ..conv.clone() }),
        other => other.clone(),
    };
    let only = Network {
        input: network.shape(node.input),
        nodes: vec![Node { input: ValueId::IMAGE, op, ..node.clone() }],
        prequantized: None,
        ..network.clone()
    };
    Fp32Model::new(&only, &[])
}

/// `y = factor · x + offset` for each channel.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Adjustment {
    factor: f64,
    offset: f64,
}

/// Returns the adjustments that give the channels of `outputs` (`[channels][height][width]` each) the mean and the deviation
/// `wanted`.
fn adjustments(outputs: &[Vec<f32>], shape: Shape, wanted: &Statistics) -> Vec<Adjustment> {
    let pixels = shape.height * shape.width;
    let count = (outputs.len() * pixels) as f64;
    let adjustment = |(channel, (&mean, &deviation)): (usize, (&f32, &f32))| {
        let planes = || outputs.iter().flat_map(|output| &output[channel * pixels..][..pixels]);
        let found = planes().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = planes().map(|&x| (f64::from(x) - found).powi(2)).sum::<f64>() / count;
        let factor = f64::from(deviation) / variance.sqrt();
        // A channel that is dead on these images, or should be, gets its mean alone.
        let factor = if factor.is_finite() { factor.min(LARGEST_FACTOR) } else { 1.0 };
        Adjustment { factor, offset: f64::from(mean) - factor * found }
    };
    wanted.mean.iter().zip(&wanted.deviation).enumerate().map(adjustment).collect()
}

fn adjust(conv: &mut Conv, adjustments: &[Adjustment]) {
    let factors: Vec<f64> = adjustments.iter().map(|adjustment| adjustment.factor).collect();
    conv.weight.scale(&factors);
    conv.bias.resize(conv.out_channels, 0.0);
    for (bias, Adjustment { factor, offset }) in conv.bias.iter_mut().zip(adjustments) {
        *bias = (f64::from(*bias) * factor + offset) as f32;
    }
}

/// Computes what follows a convolution: the adjustment, the residual and the ReLU.
fn finish(output: &mut [f32], adjustments: &[Adjustment], residual: Option<&[f32]>, relu: bool) {
    let pixels = output.len() / adjustments.len().max(1);
    for (plane, Adjustment { factor, offset }) in output.chunks_exact_mut(pixels.max(1)).zip(adjustments) {
        plane.iter_mut().for_each(|x| *x = (f64::from(*x) * factor + offset) as f32);
    }
    if let Some(residual) = residual {
        output.iter_mut().zip(residual).for_each(|(x, residual)| *x += residual);
    }
    if relu {
        output.iter_mut().for_each(|x| *x = x.max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{ImportOptions, load_safetensors};
    use crate::network::fold_batch_norm;
    use resnext_models::reference;

    fn reference(size: usize) -> Network {
        let import = ImportOptions::of_size(size);
        let mut network =
            load_safetensors(reference::WEIGHTS, reference::VARIANT.name, import).expect("imports");
        fold_batch_norm(&mut network);
        network
    }

    /// The widest point is the addition of the first stage, with its input and its output at a quarter of the image size.
    #[test]
    fn large_inputs_take_fewer_images() {
        let [channels, ..] = reference(32).architecture.channels[..] else { panic!("no stages") };
        let at = |size: usize| {
            let network = reference(size);
            let side = size / 4;
            assert_eq!(widest(&network), 2 * channels * side * side, "{size}");
            surrogate_images(&network)
        };
        assert_eq!([at(160), at(224)], [32, 32]);
        let some = at(640);
        assert!((5..32).contains(&some), "{some}");
        let bytes = |images: usize| images * size_of::<f32>() * 2 * channels * 160 * 160;
        assert!(bytes(some) <= BUDGET && bytes(some + 1) > BUDGET, "{some}");
        assert_eq!(at(2048), 4);
    }

    /// The outputs of a surrogate have the statistics that the batch norms state, on any number of threads.
    #[test]
    fn a_surrogate_has_the_statistics_that_it_should() {
        let network = reference(32);
        let image = |seed: usize| {
            let noise = |i: usize| ((i * 7919 + seed * 104_729) % 1021) as f32 / 255.0 - 2.0;
            (0..network.input.len()).map(noise).collect::<Vec<f32>>()
        };
        let images: Vec<Vec<f32>> = (0..8).map(image).collect();
        let made = |threads| {
            let progress = ProgressBar::hidden();
            surrogate(&network, images.clone(), threads, &progress).expect("runs")
        };
        let (one, three) = (made(1), made(3));
        let stem = |network: &Network| match &network.nodes[0].op {
            Op::Conv(conv) => (conv.bias.clone(), conv.statistics.clone().expect("batch norm")),
            _ => panic!("no stem"),
        };
        let outputs = alone(&one, &one.nodes[0]).and_then(|stem| stem.run_all(&images, 2)).expect("runs");
        let (bias, wanted) = stem(&one);
        let left = adjustments(&outputs, one.nodes[0].output, &wanted);
        // Nothing is left to adjust but rounding errors.
        for (channel, Adjustment { factor, offset }) in left.into_iter().enumerate() {
            let dead = factor == 1.0 || factor == LARGEST_FACTOR;
            assert!(dead || (factor - 1.0).abs() < 1e-3, "{channel}: {factor} {offset}");
        }
        assert_ne!(bias, stem(&network).0);
        let weights = |network: &Network| -> Vec<Vec<f32>> {
            let convs = network.nodes.iter().filter_map(|node| match &node.op {
                Op::Conv(conv) => Some([conv.weight.read().to_vec(), conv.bias.clone()].concat()),
                _ => None,
            });
            convs.collect()
        };
        assert!(weights(&one) == weights(&three), "threads change the surrogate");
    }
}
