//! Calibration without images, from what the batch norms remember of those that the network was trained on.
//!
//! A batch norm gives each channel the mean β and the deviation |γ| over training images, whatever they were; so much is
//! known of every convolution's output (M. Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias
//! Correction*, 2019). What is not known is the shape of the distributions and how channels go together. That is taken
//! from [drawings](crate::compiler::synthetic): they go through a *likeness* of the network, whose convolutions are adjusted one after
//! the other until their outputs have the mean and deviation that they should. Histograms and covariances of its
//! activations then go the way of any calibration. `calibration/README.md` says what this costs.

use std::collections::HashMap;

use indicatif::ProgressBar;

use crate::compiler::{CompileError, Compiled, Options, Seen, compile_seen, images};
use crate::compiler::synthetic::draw;
use crate::fp32::{Fp32Error, Fp32Model};
use crate::network::{Conv, Network, Node, Op, Shape, Statistics, ValueId};
use crate::samples::{Sample, Samples};

/// Drawings that the likeness is calibrated on.
const DRAWINGS: u64 = 256;

/// Drawings that the likeness is adjusted on, if their activations fit 256 MB: a layer's outputs in all of them are
/// in memory at once.
pub const ADJUSTED_ON: usize = 32;

/// Drawings that it is adjusted on whatever that takes: fewer are not what the batch norms have seen.
const ADJUSTED_ON_AT_LEAST: usize = 4;

/// Bytes of activations that may be in memory while the likeness is adjusted.
const BUDGET: usize = 256 << 20;

/// A channel that hardly moves on drawings is not blown up further than this to move as much as it should.
const MOST_BLOWN_UP: f64 = 16.0;

/// Compiles a folded `network` without images: as [`compile`](crate::compiler::compile) does, on drawings, as far as its batch
/// norms tell what it should see in them.
///
/// # Errors
///
/// [`CompileError`]; [`CompileError::NoStatistics`] if a convolution has no batch norm.
pub fn compile(
    network: &Network,
    options: &Options,
    progress: &ProgressBar,
) -> Result<Compiled, CompileError> {
    let samples = drawings();
    progress.set_message("adjusting");
    let images = images(&samples, adjusted_on(network), &options.preprocessing);
    let likeness = likeness(network, images, options.threads, progress)?;
    compile_seen(Seen { network, likeness: Some(&likeness), samples: &samples }, options, progress)
}

/// What stands in for photos.
pub fn drawings() -> Samples {
    (0..DRAWINGS).map(|seed| Sample::synthetic(format!("drawing {seed}"), draw, seed)).collect()
}

/// How many drawings the likeness of `network` is adjusted on: [`ADJUSTED_ON`], or as many as fit 256 MB where `network`
/// is widest, and no fewer than 4.
pub fn adjusted_on(network: &Network) -> usize {
    let bytes = size_of::<f32>() * widest(network).max(1);
    (BUDGET / bytes).clamp(ADJUSTED_ON_AT_LEAST, ADJUSTED_ON)
}

/// Elements of one image's activations that are needed at once, at most, in [`likeness`].
fn widest(network: &Network) -> usize {
    let last_uses = last_uses(network);
    let len = |value: ValueId| network.shape(value).len();
    let mut live = network.input.len();
    let mut widest = live;
    for (index, node) in adjusted(network) {
        let dying: usize =
            last_uses.iter().filter(|&(_, &last)| last == index).map(|(&value, _)| len(value)).sum();
        let consumed = consumes(&last_uses, index, node).map_or(0, len);
        // Of each image either the input or the output is there.
        widest = widest.max(live).max(live - consumed + node.output.len());
        live = live - dying + node.output.len();
    }
    widest
}

/// The nodes before the classifier, which has nothing to be adjusted to.
fn adjusted(network: &Network) -> impl Iterator<Item = (usize, &Node)> {
    network.nodes.iter().enumerate().take_while(|(_, node)| !matches!(node.op, Op::Linear(_)))
}

/// The last node that reads each value.
fn last_uses(network: &Network) -> HashMap<ValueId, usize> {
    let nodes = network.nodes.iter().enumerate();
    nodes.flat_map(|(index, node)| node.reads().map(move |value| (value, index))).collect()
}

/// The input of node `index`, if nothing reads it once the node has.
fn consumes(last_uses: &HashMap<ValueId, usize>, index: usize, node: &Node) -> Option<ValueId> {
    let again = node.reads().skip(1).any(|value| value == node.input);
    (last_uses.get(&node.input) == Some(&index) && !again).then_some(node.input)
}

/// `network`, with the convolutions adjusted so that on `images` their outputs have the [`Statistics`] that they have
/// on training images.
fn likeness(
    network: &Network,
    images: Vec<Vec<f32>>,
    threads: usize,
    progress: &ProgressBar,
) -> Result<Network, CompileError> {
    let mut likeness = network.clone();
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
        if let (Op::Conv(conv), Op::Conv(adjusted)) = (&node.op, &mut likeness.nodes[index].op) {
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
    Ok(likeness)
}

/// A node by itself, a convolution without residual and ReLU.
fn alone(network: &Network, node: &Node) -> Result<Fp32Model, Fp32Error> {
    let op = match &node.op {
        Op::Conv(conv) => Op::Conv(Conv { residual: None, relu: false, ..conv.clone() }),
        other => other.clone(),
    };
    let only = Network {
        input: network.shape(node.input),
        nodes: vec![Node { input: ValueId::IMAGE, op, ..node.clone() }],
        given: None,
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

/// What gives the channels of `outputs` (`[channels][height][width]` each) the mean and deviation `wanted`.
fn adjustments(outputs: &[Vec<f32>], shape: Shape, wanted: &Statistics) -> Vec<Adjustment> {
    let pixels = shape.height * shape.width;
    let count = (outputs.len() * pixels) as f64;
    let adjustment = |(channel, (&mean, &deviation)): (usize, (&f32, &f32))| {
        let planes = || outputs.iter().flat_map(|output| &output[channel * pixels..][..pixels]);
        let found = planes().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = planes().map(|&x| (f64::from(x) - found).powi(2)).sum::<f64>() / count;
        let factor = f64::from(deviation) / variance.sqrt();
        // A channel that is dead in the drawings, or is to be, keeps its mean alone.
        let factor = if factor.is_finite() { factor.min(MOST_BLOWN_UP) } else { 1.0 };
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

/// What follows the convolution alone.
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
    use crate::network::batch_norm::fold_batch_norm;
    use crate::import::{ImportOptions, load_safetensors};
    use resnext_models::reference;

    fn reference(size: usize) -> Network {
        let import = ImportOptions { input_size: Some(size) };
        let mut network =
            load_safetensors(reference::WEIGHTS, reference::VARIANT.name, import).expect("imports");
        fold_batch_norm(&mut network);
        network
    }

    /// The widest point is the sum of the first stage: what goes in and what comes out, at a quarter of the size.
    #[test]
    fn large_images_take_fewer_drawings() {
        let [channels, ..] = reference(32).topology.channels[..] else { panic!("no stages") };
        let at = |size: usize| {
            let network = reference(size);
            let side = size / 4;
            assert_eq!(widest(&network), 2 * channels * side * side, "{size}");
            adjusted_on(&network)
        };
        assert_eq!([at(160), at(224)], [32, 32]);
        let some = at(640);
        assert!((5..32).contains(&some), "{some}");
        let bytes = |drawings: usize| drawings * size_of::<f32>() * 2 * channels * 160 * 160;
        assert!(bytes(some) <= BUDGET && bytes(some + 1) > BUDGET, "{some}");
        assert_eq!(at(2048), 4);
    }

    /// A likeness gives what the batch norms tell of, on any number of threads.
    #[test]
    fn a_likeness_has_the_statistics_that_it_should() {
        let network = reference(32);
        let image = |seed: usize| {
            let noise = |i: usize| ((i * 7919 + seed * 104_729) % 1021) as f32 / 255.0 - 2.0;
            (0..network.input.len()).map(noise).collect::<Vec<f32>>()
        };
        let images: Vec<Vec<f32>> = (0..8).map(image).collect();
        let made = |threads| {
            let progress = ProgressBar::hidden();
            likeness(&network, images.clone(), threads, &progress).expect("runs")
        };
        let (one, three) = (made(1), made(3));
        let stem = |network: &Network| match &network.nodes[0].op {
            Op::Conv(conv) => (conv.bias.clone(), conv.statistics.clone().expect("batch norm")),
            _ => panic!("no stem"),
        };
        let outputs = alone(&one, &one.nodes[0]).and_then(|stem| stem.run_all(&images, 2)).expect("runs");
        let (bias, wanted) = stem(&one);
        let left = adjustments(&outputs, one.nodes[0].output, &wanted);
        // Biases are not in `outputs` twice: what is left to adjust is nothing but rounding.
        for (channel, Adjustment { factor, offset }) in left.into_iter().enumerate() {
            let dead = factor == 1.0 || factor == MOST_BLOWN_UP;
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
        assert!(weights(&one) == weights(&three), "threads change the likeness");
    }
}
