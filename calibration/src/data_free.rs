//! Calibration without images, from what the batch norms remember of those that the network was trained on.
//!
//! A batch norm gives each channel the mean β and the deviation |γ| over training images, whatever they were; so much is
//! known of every convolution's output (M. Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias
//! Correction*, 2019). What is not known is the shape of the distributions and how channels go together. That is taken
//! from [drawings](crate::drawing): they go through a *likeness* of the network, whose convolutions are adjusted one after
//! the other until their outputs have the mean and deviation that they should. Histograms and covariances of its
//! activations then go the way of any calibration. `calibration/README.md` says what this costs.

use std::collections::HashMap;

use indicatif::ProgressBar;

use crate::compile::{CompileError, Compiled, Options, Seen, compile_seen, images};
use crate::drawing::draw;
use crate::fp32::{Fp32Error, Fp32Model};
use crate::network::{Conv, Network, Node, Op, Shape, Statistics, ValueId};
use crate::samples::{Sample, Samples};

/// Drawings that the likeness is calibrated on.
const DRAWINGS: u64 = 256;

/// Drawings that the likeness is adjusted on; all their activations are in memory at once.
const ADJUSTED_ON: usize = 32;

/// A channel that hardly moves on drawings is not blown up further than this to move as much as it should.
const MOST_BLOWN_UP: f64 = 16.0;

/// Compiles a folded `network` without images: as [`compile`](crate::compile::compile) does, on drawings, as far as its batch
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
    let images = images(&samples, ADJUSTED_ON, &options.preprocessing);
    let likeness = likeness(network, images, options.threads, progress)?;
    compile_seen(Seen { network, likeness: Some(&likeness), samples: &samples }, options, progress)
}

/// What stands in for photos.
pub fn drawings() -> Samples {
    (0..DRAWINGS).map(|seed| Sample::drawn(format!("drawing {seed}"), draw, seed)).collect()
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
    let mut last_use = HashMap::new();
    for (index, node) in network.nodes.iter().enumerate() {
        last_use.extend(read_by(node).map(|value| (value, index)));
    }
    let mut values = HashMap::from([(ValueId::IMAGE, images)]);
    progress.reset();
    progress.set_length(network.nodes.len() as u64);
    for (index, node) in network.nodes.iter().enumerate() {
        if let Op::Linear(_) = node.op {
            break;
        }
        let inputs = values.get(&node.input).ok_or(Fp32Error::NoSuchValue(node.input.0))?;
        let mut outputs = alone(network, node, inputs, threads)?;
        if let (Op::Conv(conv), Op::Conv(adjusted)) = (&node.op, &mut likeness.nodes[index].op) {
            let wanted = conv
                .statistics
                .as_deref()
                .ok_or_else(|| CompileError::NoStatistics { layer: node.name.clone() })?;
            let adjustments = adjustments(&outputs, node.output, wanted);
            adjust(adjusted, &adjustments);
            let residuals = match conv.residual {
                Some(value) => Some(values.get(&value).ok_or(Fp32Error::NoSuchValue(value.0))?),
                None => None,
            };
            for (image, output) in outputs.iter_mut().enumerate() {
                let residual = residuals.and_then(|residuals| residuals.get(image));
                finish(output, &adjustments, residual.map(Vec::as_slice), conv.relu);
            }
        }
        values.insert(ValueId(index + 1), outputs);
        values.retain(|value, _| last_use.get(value).is_some_and(|&last| last > index));
        progress.inc(1);
    }
    Ok(likeness)
}

/// The values that a node reads.
fn read_by(node: &Node) -> impl Iterator<Item = ValueId> {
    let residual = match &node.op {
        Op::Conv(conv) => conv.residual,
        _ => None,
    };
    std::iter::once(node.input).chain(residual)
}

/// What a node makes of `inputs`, a convolution without residual and ReLU.
fn alone(
    network: &Network,
    node: &Node,
    inputs: &[Vec<f32>],
    threads: usize,
) -> Result<Vec<Vec<f32>>, Fp32Error> {
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
    Fp32Model::new(&only, &[])?.run_all(inputs, threads)
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
