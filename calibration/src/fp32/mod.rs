//! The fp32 oracle: what the network computes before quantization.
//!
//! [`Fp32Model`] runs a [`Network`] on tract-core and can show any of its intermediate values; calibration
//! and per-layer error reports are built on it. [`OnnxModel`] runs the original `.onnx` file through
//! tract-onnx and knows nothing of our IR, so it checks the importer and the folding independently.

mod parallel;
pub(crate) mod stream;

use std::ops::Range;
use std::path::Path;

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cnn::{Conv as TractConv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::nn::{DataFormat, Reduce, Reducer};
use tract_onnx::prelude::{InferenceModelExt, TractError};

use crate::network::{Conv, Linear, Network, Node as NetworkNode, Op as NetworkOp, Shape, ValueId, Window};
use crate::fp32::parallel::parallel;
use crate::quantize::Activation;

/// The fp32 oracle could not be built or run. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fp32Error {
    /// The network still has a batch norm.
    #[error("fp32 model: `{0}` has a batch norm; fold the network first")]
    NotFolded(String),
    /// A tap or an operand names a value that the network does not have, or not yet.
    #[error("fp32 model: value {0} is not available there; take values from the network itself")]
    NoSuchValue(usize),
    /// The image has the wrong number of elements.
    #[error("fp32 model: the image has {found} elements; give {expected}, as its input shape says")]
    ImageSize {
        /// Elements given.
        found: usize,
        /// Elements expected.
        expected: usize,
    },
    /// tract failed.
    #[error("fp32 model: {}", one_line(.0))]
    Tract(TractError),
}

impl From<TractError> for Fp32Error {
    fn from(error: TractError) -> Self {
        Self::Tract(error)
    }
}

/// An error and its causes without line breaks.
fn one_line(error: &TractError) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A folded [`Network`], or a segment of one, compiled for tract-core, batch 1.
///
/// A clone shares weights and code with its original but not its working memory: one per thread costs
/// little.
#[derive(Clone, Debug)]
pub struct Fp32Model {
    state: TypedSimpleState,
    input: Shape,
    /// For each tap, then for the result: shape, and which output of the plan holds it.
    values: Vec<(Shape, Source)>,
}

/// Where a value is found after a run.
#[derive(Clone, Copy, Debug)]
enum Source {
    Input,
    Output(usize),
}

impl Fp32Model {
    /// Compiles `network`, keeping the values `taps` (in any order, repetitions allowed) observable. A tap
    /// on a convolution sees its output after the residual addition and the ReLU.
    ///
    /// # Errors
    ///
    /// The network has an unfolded batch norm, or `taps` a value that it does not have.
    pub fn new(network: &Network, taps: &[ValueId]) -> Result<Self, Fp32Error> {
        Self::segment(network, 0..network.nodes.len(), taps)
    }

    /// Like [`new`](Self::new), with those values rounded and clipped that have an entry in `rounded`, as int8 would.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn rounded(
        network: &Network,
        rounded: &[Option<Activation>],
        taps: &[ValueId],
    ) -> Result<Self, Fp32Error> {
        Self::build(network, 0..network.nodes.len(), rounded, taps)
    }

    /// Compiles the given nodes of `network`, which must be one of its [`segments`]: they read the value before the
    /// first of them and no earlier one.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); or a node reads an earlier value.
    pub fn segment(network: &Network, nodes: Range<usize>, taps: &[ValueId]) -> Result<Self, Fp32Error> {
        Self::build(network, nodes, &[], taps)
    }

    fn build(
        network: &Network,
        nodes: Range<usize>,
        rounded: &[Option<Activation>],
        taps: &[ValueId],
    ) -> Result<Self, Fp32Error> {
        let mut model = TypedModel::default();
        let (input, result) = (ValueId(nodes.start), ValueId(nodes.end));
        let mut wires = Wires { first: input, wires: Vec::new() };
        wires.wires.push(model.add_source("input", f32::fact(nchw(network.shape(input))))?);
        for node in &network.nodes[nodes.clone()] {
            let mut wire = wire(&mut model, node, &wires, network.shape(node.input))?;
            let value = nodes.start + wires.wires.len();
            if let Some(activation) = rounded.get(value).copied().flatten() {
                wire = wire_rounding(&mut model, &node.name, wire, activation)?;
            }
            wires.wires.push(wire);
        }
        let mut outputs = Vec::new();
        let values = taps.iter().copied().chain([result]).map(|value| {
            let wire = wires.get(value)?;
            let source = if value == input {
                Source::Input
            } else {
                Source::Output(outputs.iter().position(|&o| o == wire).unwrap_or_else(|| {
                    outputs.push(wire);
                    outputs.len() - 1
                }))
            };
            Ok((network.shape(value), source))
        });
        let values = values.collect::<Result<Vec<_>, Fp32Error>>()?;
        model.select_output_outlets(&outputs)?;
        let state = model.into_optimized()?.into_runnable()?.spawn()?;
        Ok(Self { state, input: network.shape(input), values })
    }

    /// Runs on `input`, NCHW with batch 1: the normalised image, or the value before the segment.
    ///
    /// # Errors
    ///
    /// The input does not have the right number of elements.
    pub fn run(&mut self, input: &[f32]) -> Result<Outputs<'_>, Fp32Error> {
        if input.len() != self.input.len() {
            return Err(Fp32Error::ImageSize { found: input.len(), expected: self.input.len() });
        }
        let input: TValue = Tensor::from_shape(&nchw(self.input), input)?.into();
        let outputs = self.state.run(tvec!(input.clone()))?;
        let found = |source| match source {
            Source::Input => Some(&input),
            Source::Output(index) => outputs.get(index),
        };
        // Everything is checked here so that reading cannot fail.
        for &(shape, source) in &self.values {
            let len = found(source).map(|v| floats(v).map(<[f32]>::len)).transpose()?;
            if len != Some(shape.len()) {
                return Err(format_err!("output of {len:?} elements, expected {shape:?}").into());
            }
        }
        Ok(Outputs { input, outputs, values: &self.values })
    }

    /// The results of all `inputs`, in their order, on some threads; inputs given by value are dropped one by one.
    pub(crate) fn run_all<I>(&self, inputs: I, threads: usize) -> Result<Vec<Vec<f32>>, Fp32Error>
    where
        I: IntoIterator<Item: AsRef<[f32]> + Send, IntoIter: ExactSizeIterator>,
    {
        let run = |model: &mut Self, input: I::Item| Ok(model.run(input.as_ref())?.result().to_vec());
        parallel(inputs, threads, || self.clone(), run)
    }
}

/// What one run of an [`Fp32Model`] computed.
#[derive(Debug)]
pub struct Outputs<'m> {
    input: TValue,
    outputs: TVec<TValue>,
    values: &'m [(Shape, Source)],
}

impl Outputs<'_> {
    /// The last value: of a whole network, one logit per class.
    pub fn result(&self) -> &[f32] {
        self.value(self.values.len() - 1).0
    }

    /// Elements (NCHW, batch 1) and shape of tap `index`, in the order given to [`Fp32Model::new`].
    ///
    /// # Panics
    ///
    /// There are not that many taps.
    pub fn tap(&self, index: usize) -> (&[f32], Shape) {
        assert!(index < self.taps(), "tap {index} of {}", self.taps());
        self.value(index)
    }

    /// Number of taps.
    pub fn taps(&self) -> usize {
        self.values.len() - 1
    }

    fn value(&self, index: usize) -> (&[f32], Shape) {
        let (shape, source) = self.values[index];
        let value = match source {
            Source::Input => &self.input,
            Source::Output(output) => &self.outputs[output],
        };
        (floats(value).expect("checked by run"), shape)
    }
}

/// A `.onnx` file as tract-onnx understands it, without our importer: the independent oracle.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    state: TypedSimpleState,
    input: [usize; 4],
}

impl OnnxModel {
    /// Loads the model in `path` for one RGB image of `input_size` pixels on each side.
    ///
    /// # Errors
    ///
    /// The file is not an ONNX model, or tract cannot run it on such an image.
    pub fn load(path: &Path, input_size: usize) -> Result<Self, Fp32Error> {
        let input = [1, 3, input_size, input_size];
        // Intermediate shapes in the file may contradict the batch and size asked for; tract infers its own.
        let model = tract_onnx::onnx()
            .with_ignore_value_info(true)
            .model_for_path(path)?
            .with_input_fact(0, f32::fact(input).into())?
            .into_optimized()?;
        Ok(Self { state: model.into_runnable()?.spawn()?, input })
    }

    /// The logits for `image`, NCHW with batch 1.
    ///
    /// # Errors
    ///
    /// The image has the wrong number of elements.
    pub fn logits(&mut self, image: &[f32]) -> Result<Vec<f32>, Fp32Error> {
        let expected = self.input.iter().product();
        if image.len() != expected {
            return Err(Fp32Error::ImageSize { found: image.len(), expected });
        }
        let outputs = self.state.run(tvec!(Tensor::from_shape(&self.input, image)?.into()))?;
        let logits = outputs.first().ok_or_else(|| format_err!("the model has no output"))?;
        Ok(floats(logits)?.to_vec())
    }
}

/// Elements of an f32 tensor.
fn floats(value: &TValue) -> TractResult<&[f32]> {
    value.try_as_plain_ram()?.as_slice()
}

/// Cuts `network` into runs of nodes that each read the value before them and no earlier one, as few as stay below
/// `bytes` of compiled weights and of working memory on `threads` threads. One that cannot be cut further may be larger.
pub fn segments(network: &Network, bytes: usize, threads: usize) -> Vec<Range<usize>> {
    let nodes = &network.nodes;
    let mut segments: Vec<Range<usize>> = Vec::new();
    // tract keeps weights once more while it packs them.
    let cost = |node: &NetworkNode| {
        let weights = match &node.op {
            NetworkOp::Conv(conv) => conv.weight.len(),
            NetworkOp::Linear(linear) => linear.weight.len(),
            _ => 0,
        };
        size_of::<f32>() * (2 * weights + threads * node.output.len())
    };
    let mut end = nodes.len();
    let (mut start, mut oldest, mut sum) = (end, end, 0);
    for (index, node) in nodes.iter().enumerate().rev() {
        sum += cost(node);
        oldest = node.reads().fold(oldest, |oldest, value| oldest.min(value.0));
        // A cut before this node: nothing after it reads an earlier value.
        if oldest == index {
            if sum > bytes && start < end {
                segments.push(start..end);
                end = start;
                sum = nodes[index..end].iter().map(cost).sum();
            }
            start = index;
        }
    }
    segments.push(0..end);
    segments.reverse();
    segments
}

/// The values computed so far.
struct Wires {
    first: ValueId,
    wires: Vec<OutletId>,
}

impl Wires {
    fn get(&self, value: ValueId) -> Result<OutletId, Fp32Error> {
        let wire = value.0.checked_sub(self.first.0).and_then(|index| self.wires.get(index));
        wire.copied().ok_or(Fp32Error::NoSuchValue(value.0))
    }
}

fn nchw(Shape { channels, height, width }: Shape) -> [usize; 4] {
    [1, channels, height, width]
}

/// Adds `node`, which reads a value of shape `input`, and everything fused into it.
fn wire(
    model: &mut TypedModel,
    node: &NetworkNode,
    wires: &Wires,
    input: Shape,
) -> Result<OutletId, Fp32Error> {
    let name = node.name.as_str();
    let from = wires.get(node.input)?;
    match &node.op {
        NetworkOp::Conv(conv) if conv.batch_norm.is_some() => Err(Fp32Error::NotFolded(name.to_owned())),
        NetworkOp::Conv(conv) => {
            let mut wire = wire_conv(model, name, conv, from)?;
            if let Some(residual) = conv.residual {
                let operands = [wire, wires.get(residual)?];
                wire = model.wire_node(format!("{name}.add"), tract_core::ops::math::add(), &operands)?[0];
            }
            if conv.relu {
                let zero = model.add_const(format!("{name}.zero"), tensor0(0f32).broadcast_into_rank(4)?)?;
                let max = tract_core::ops::math::max();
                wire = model.wire_node(format!("{name}.relu"), max, &[wire, zero])?[0];
            }
            Ok(wire)
        }
        &NetworkOp::MaxPool(window) => {
            let pool = MaxPool::new(pool_spec(window, input.channels, input.channels), None);
            Ok(model.wire_node(name, pool, &[from])?[0])
        }
        &NetworkOp::AvgPool(window) => {
            let spec = PoolSpec {
                padding: PaddingSpec::ExplicitOnnxPool(tvec!(0; 2), tvec!(0; 2), true),
                ..pool_spec(window, input.channels, input.channels)
            };
            let (count_include_pad, normalize) = (false, true);
            Ok(model.wire_node(name, SumPool::new(spec, count_include_pad, normalize), &[from])?[0])
        }
        NetworkOp::GlobalAvgPool => {
            let sum = Reduce::new(tvec!(2, 3), Reducer::Sum);
            let sum = model.wire_node(format!("{name}.sum"), sum, &[from])?[0];
            let pixels = (input.height * input.width) as f32;
            let pixels =
                model.add_const(format!("{name}.pixels"), tensor0(pixels).broadcast_into_rank(4)?)?;
            Ok(model.wire_node(name, tract_core::ops::math::div(), &[sum, pixels])?[0])
        }
        NetworkOp::Linear(linear) => Ok(wire_linear(model, name, linear, from)?),
    }
}

fn wire_conv(model: &mut TypedModel, name: &str, conv: &Conv, from: OutletId) -> TractResult<OutletId> {
    let Conv { window, groups, in_channels, out_channels, .. } = *conv;
    ensure!(groups > 0, "{name} has no groups");
    let shape = [out_channels, in_channels / groups, window.kernel, window.kernel];
    let weight =
        model.add_const(format!("{name}.weight"), Tensor::from_shape(&shape, &conv.weight.read())?)?;
    let bias = if conv.bias.is_empty() { tensor1(&vec![0f32; out_channels]) } else { tensor1(&conv.bias) };
    let bias = model.add_const(format!("{name}.bias"), bias)?;
    let spec = pool_spec(window, in_channels, out_channels);
    let op = TractConv::new(spec, KernelFormat::OIHW, groups, None);
    Ok(model.wire_node(name, op, &[from, weight, bias])?[0])
}

fn wire_linear(model: &mut TypedModel, name: &str, linear: &Linear, from: OutletId) -> TractResult<OutletId> {
    let mut flat = from;
    for axis in [3, 2] {
        flat = model.wire_node(format!("{name}.squeeze{axis}"), AxisOp::Rm(axis), &[flat])?[0];
    }
    let shape = [linear.out_features, linear.in_features];
    let weight =
        model.add_const(format!("{name}.weight"), Tensor::from_shape(&shape, &linear.weight.read())?)?;
    let product = EinSum::new("mk,nk->mn".parse()?, f32::datum_type());
    let product = model.wire_node(format!("{name}.product"), product, &[flat, weight])?[0];
    if linear.bias.is_empty() {
        return Ok(product);
    }
    let bias = Tensor::from_shape(&[1, linear.out_features], &linear.bias)?;
    let bias = model.add_const(format!("{name}.bias"), bias)?;
    Ok(model.wire_node(name, tract_core::ops::math::add(), &[product, bias])?[0])
}

/// What int8 leaves of a value: clipped to its range, rounded to its steps.
fn wire_rounding(
    model: &mut TypedModel,
    name: &str,
    from: OutletId,
    activation: Activation,
) -> TractResult<OutletId> {
    use tract_core::ops::math::{max, min, mul, round_half_to_even};
    let rank = model.outlet_fact(from)?.rank();
    let mut wire = from;
    let low = f32::from(i8::MIN) - f32::from(activation.zero_point);
    let high = f32::from(i8::MAX) - f32::from(activation.zero_point);
    let scale = activation.scale as f32;
    let mut step = |model: &mut TypedModel, what: &str, op: TypedBinOp, by: f32| -> TractResult<()> {
        let by = model.add_const(format!("{name}.{what}.by"), tensor0(by).broadcast_into_rank(rank)?)?;
        wire = model.wire_node(format!("{name}.{what}"), op, &[wire, by])?[0];
        Ok(())
    };
    step(model, "steps", mul(), 1.0 / scale)?;
    step(model, "low", max(), low)?;
    step(model, "high", min(), high)?;
    wire = model.wire_node(format!("{name}.round"), round_half_to_even(), &[wire])?[0];
    let by = model.add_const(format!("{name}.scale.by"), tensor0(scale).broadcast_into_rank(rank)?)?;
    Ok(model.wire_node(format!("{name}.scale"), mul(), &[wire, by])?[0])
}

fn pool_spec(Window { kernel, stride, padding }: Window, from: usize, to: usize) -> PoolSpec {
    let padding = PaddingSpec::Explicit(tvec!(padding; 2), tvec!(padding; 2));
    PoolSpec::new(DataFormat::NCHW, tvec!(kernel; 2), padding, None, Some(tvec!(stride; 2)), from, to)
}

#[cfg(test)]
mod tests;
