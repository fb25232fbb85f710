//! Quantization that a file brings along: its scales are kept, nothing is calibrated.
//!
//! What the file quantizes becomes what the artifact quantizes, with these exceptions, which [`Kept`] counts:
//!
//! * The image is exact. A file that quantizes it normalised has weights of the first convolution for that; here they
//!   are for pixels, and are quantized again. A file that says how to get back to pixels, as
//!   [`export`](crate::export) does, keeps them.
//! * What a residual is added to is not rounded before the addition. Its weights' steps are matched to the residual's
//!   step, as those of any network ([`quantize`](crate::quantize)): by less than half a percent where an accumulator
//!   unit is a 127th of that step or finer, which leaves every integer as it is.
//! * A projection shortcut whose output the file does not quantize is [joined](Network::joined) with the convolution that
//!   adds it. The accumulator units of both are then the coarser of the two; the weights of the other are quantized again,
//!   unless the file has matched them, as [`export`](crate::export) does.
//! * Weights with a zero point are quantized again; one of −128 becomes −127.
//! * A max pooling passes values on, the mean over all pixels is exact but for what 15 bits cannot hold, and the logits are
//!   floats, whatever the file quantizes any of them to.

use crate::compiler::{Basis, CompileError, Compiled, Options, expect_labels, finish};
use crate::network::{Network, Op, ValueId, Weights};
use crate::preprocessing::Preprocessing;
use crate::quantize::{Activation, Layer, Quantized, quantize_to};
use crate::samples::Samples;
use indicatif::ProgressBar;

/// What a file says of its activations.
#[derive(Clone, Debug)]
pub struct Given {
    /// Per value; `None` where the file says nothing.
    pub activations: Vec<Option<Activation>>,
    /// If the first convolution reads pixels.
    pub pixels: Option<Pixels>,
}

/// The way from the normalised image, which the network reads, back to pixels 0..255.
#[derive(Clone, Debug)]
pub struct Pixels {
    /// Mean of each RGB channel, of pixels in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each RGB channel, of pixels in 0..1.
    pub std: [f32; 3],
    /// Steps of the first convolution's weights for pixels, per output channel.
    pub steps: Option<Vec<f64>>,
}

impl Pixels {
    /// Whether this is the normalisation of `preprocessing`, but for rounding.
    pub fn agrees(&self, preprocessing: &Preprocessing) -> bool {
        let close = |ours: [f32; 3], theirs: [f32; 3]| {
            ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs())
        };
        close(self.mean, preprocessing.mean) && close(self.std, preprocessing.std)
    }
}

impl Given {
    /// Steps of the first convolution's weights, if images are normalised as `preprocessing` says.
    pub(crate) fn pixel_steps(&self, preprocessing: &Preprocessing) -> Option<&[f64]> {
        self.pixels.as_ref().filter(|pixels| pixels.agrees(preprocessing))?.steps.as_deref()
    }
}

/// How much of a file's quantization its artifact has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Scales and zero points of activations that are the file's, of how many.
    pub activations: (usize, usize),
    /// Weights that are the same integers, of how many.
    pub weights: (u64, u64),
    /// Layers with other integers, and why.
    pub changed: Vec<(String, &'static str)>,
}

/// Compiles a folded `network` whose file quantizes it. The same inputs give the same bytes.
///
/// `samples` are only compared on.
///
/// # Errors
///
/// [`CompileError`]: the file leaves an activation open, for one.
///
/// # Panics
///
/// If the network has no [`given`](Network::given).
pub fn compile(
    network: &Network,
    samples: Option<&Samples>,
    options: &Options,
    progress: &ProgressBar,
) -> Result<(Compiled, Kept), CompileError> {
    expect_labels(network, options)?;
    let given = network.given.as_ref().expect("a quantized file");
    let outputs = outputs(network, given)?;
    let quantized = quantize_to(network, &outputs, &options.preprocessing)?;
    let kept = kept(network, given, &quantized, &options.preprocessing);
    let basis = Basis { method: "given", ..Basis::default() };
    Ok((finish(network, quantized, basis, samples, options, progress)?, kept))
}

/// The quantization of every value that a layer has a say in.
fn outputs(network: &Network, given: &Given) -> Result<Vec<Activation>, CompileError> {
    let output = |(index, activation): (usize, &Option<Activation>)| {
        let node = index.checked_sub(1);
        match (activation, node) {
            (Some(activation), _) => Ok(*activation),
            (None, Some(node)) if network.has_range(node) => {
                Err(CompileError::NotGiven { layer: network.nodes[node].name.clone() })
            }
            _ => Ok(Activation::PIXELS),
        }
    };
    given.activations.iter().enumerate().map(output).collect()
}

fn kept(network: &Network, given: &Given, quantized: &Quantized, preprocessing: &Preprocessing) -> Kept {
    let mut kept = Kept::default();
    for (index, (node, layer)) in network.nodes.iter().zip(&quantized.layers).enumerate() {
        let output = index + 1;
        if let (Some(activation), true) = (given.activations[output], network.has_range(index)) {
            kept.activations.0 += usize::from(activation == quantized.activations[output]);
            kept.activations.1 += 1;
        }
        let (weight, integers, taps, reason) = match (&node.op, layer) {
            (Op::Conv(conv), Layer::Conv(layer)) => {
                let reason = match (node.input, conv.residual) {
                    (ValueId::IMAGE, _) => "the normalisation of the image is folded in",
                    (_, None) => REQUANTIZED,
                    _ if conv.weight.steps().is_none() => REQUANTIZED,
                    _ if network.shortcut(index).is_some() => JOINED,
                    _ => "matched to the residual that is added",
                };
                (&conv.weight, &layer.weights, conv.window.kernel * conv.window.kernel, reason)
            }
            (Op::Conv(conv), Layer::Shortcut(layer)) => {
                let reason = if conv.weight.steps().is_some() { JOINED } else { REQUANTIZED };
                (&conv.weight, &layer.weights, 1, reason)
            }
            (Op::Linear(linear), Layer::Linear(layer)) => (&linear.weight, &layer.weights, 1, REQUANTIZED),
            _ => continue,
        };
        let same = match given.pixel_steps(preprocessing).filter(|_| node.input == ValueId::IMAGE) {
            // For pixels, which `weight` is not: they are known to stay.
            Some(_) => integers.len(),
            None => same(weight, integers, taps),
        };
        kept.weights.0 += same as u64;
        kept.weights.1 += integers.len() as u64;
        if same < integers.len() {
            kept.changed.push((node.name.clone(), reason));
        }
    }
    kept
}

/// Why weights are others where no arithmetic asks for it.
const REQUANTIZED: &str = "some weights are −128, or have a zero point, or are floats";

/// Why weights of a projection shortcut or of the convolution that adds it are others.
const JOINED: &str = "a shortcut and what it is added to have the same accumulators";

/// How many of `integers`, `[out][taps][in]`, are those that `weight` is stored as.
fn same(weight: &Weights, integers: &[i8], taps: usize) -> usize {
    let Some(steps) = weight.steps() else { return 0 };
    let real = weight.read();
    let per_output = real.len() / steps.len().max(1);
    if per_output == 0 {
        return 0;
    }
    let inputs = per_output / taps;
    let outputs = real.chunks_exact(per_output).zip(integers.chunks_exact(per_output)).zip(steps);
    outputs
        .map(|((real, integers), step)| {
            let stored = |index: usize| (f64::from(real[index]) / step).round();
            let at = |index: usize| stored(index % inputs * taps + index / inputs);
            integers.iter().enumerate().filter(|&(index, &q)| at(index) == f64::from(q)).count()
        })
        .sum()
}
