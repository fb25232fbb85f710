//! The records of the steps, with their parameters and packed weights.

use resnext::internals::format::{NO_TENSOR, PoolParams, StepKind, StepRecord};
use resnext::internals::weights::ConvShape;
use zerocopy::{FromZeros, IntoBytes};

use super::blocks::{conv_block, linear_block};
use crate::network::{Conv, Linear, Network, Node, Op, ValueId, Window};
use crate::quantize::{Layer, QuantizedShortcut};

/// The sections that grow with every step.
pub(super) struct Writer<'a> {
    network: &'a Network,
    /// The tensor of each value; [`NO_TENSOR`] for values that are never stored, which are the logits and the outputs of fused
    /// nodes.
    tensors: Vec<u16>,
    /// For each node, a shortcut that waits for the step that it is fused into.
    shortcuts: Vec<Option<QuantizedShortcut>>,
    pub(super) params: Vec<u8>,
    pub(super) weights: Vec<i8>,
    pub(super) strings: String,
}

impl<'a> Writer<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        let mut tensors = vec![NO_TENSOR; network.nodes.len() + 1];
        network.tensors().enumerate().for_each(|(tensor, value)| tensors[value.0] = tensor as u16);
        let shortcuts = vec![None; network.nodes.len()];
        let packed = network.steps().filter_map(|(index, _)| packed_shape(network, index));
        // Allocated once, because growing would take twice the memory of the largest part of the artifact.
        let weights = Vec::with_capacity(packed.map(|shape| shape.packed_len()).sum());
        let (params, strings) = (Vec::new(), String::new());
        Self { network, tensors, shortcuts, params, weights, strings }
    }

    fn tensor(&self, value: ValueId) -> zerocopy::little_endian::U16 {
        self.tensors[value.0].into()
    }

    pub(super) fn string(&mut self, text: &str) -> (u32, u32) {
        let offset = self.strings.len();
        self.strings.push_str(text);
        (offset as u32, text.len() as u32)
    }

    /// Writes the step of node `index`. Returns `None` if the node is fused into a later one, for which its integers are kept.
    pub(super) fn step(&mut self, index: usize, layer: Layer) -> Option<StepRecord> {
        let network = self.network;
        let node = &network.nodes[index];
        let layer = match layer {
            Layer::Shortcut(shortcut) => {
                self.shortcuts[index] = Some(shortcut);
                return None;
            }
            layer => layer,
        };
        let mut record = StepRecord::new_zeroed();
        let (name_offset, name_len) = self.string(&node.name);
        record.name_offset = name_offset.into();
        record.name_len = name_len.into();
        record.input = self.tensor(node.input);
        record.output = self.tensor(ValueId(index + 1));
        record.residual = NO_TENSOR.into();
        record.shortcut = NO_TENSOR.into();
        record.clamp_min = i8::MIN;
        record.clamp_max = i8::MAX;
        record.params_offset = (self.params.len() as u64).into();
        match (&node.op, layer) {
            (Op::Conv(conv), Layer::Conv(quantized)) => {
                record.kind = StepKind::Conv as u8;
                window(&mut record, conv.window);
                record.clamp_min = quantized.clamp_min;
                record.groups = (conv.groups as u32).into();
                if let Some(residual) = conv.residual {
                    // None if it is fused, since its output is no tensor.
                    record.residual = self.tensor(residual);
                }
                let fused = network.fused_shortcut(index);
                if let Some(Node { input, op: Op::Conv(shortcut), .. }) =
                    fused.map(|node| &network.nodes[node])
                {
                    record.shortcut = self.tensor(*input);
                    record.shortcut_stride = shortcut.window.stride as u8;
                }
                let shortcut = fused.and_then(|node| self.shortcuts[node].take());
                let shape = conv_shape(network, index, conv);
                let added = shortcut.as_ref().map_or(&[][..], |shortcut| &shortcut.weights);
                self.packed(&mut record, &shape, &quantized.weights, added);
                for block in 0..shape.blocks() {
                    let block = conv_block(&shape, block, &quantized, shortcut.as_ref());
                    self.params.extend_from_slice(block.as_bytes());
                }
            }
            (Op::MaxPool(pool), Layer::MaxPool) => {
                record.kind = StepKind::MaxPool as u8;
                window(&mut record, *pool);
            }
            (Op::AvgPool(_) | Op::GlobalAvgPool, Layer::Mean { multiplier }) => {
                record.kind = StepKind::GlobalAvgPool as u8;
                if let Op::AvgPool(pool) = &node.op {
                    record.kind = StepKind::AvgPool as u8;
                    window(&mut record, *pool);
                }
                self.params.extend_from_slice(PoolParams { multiplier: multiplier.into() }.as_bytes());
            }
            (Op::Linear(linear), Layer::Linear(quantized)) => {
                record.kind = StepKind::Linear as u8;
                record.kernel = 1;
                record.stride = 1;
                record.groups = 1.into();
                let shape = linear_shape(linear);
                self.packed(&mut record, &shape, &quantized.weights, &[]);
                for block in 0..shape.blocks() {
                    self.params.extend_from_slice(linear_block(&shape, block, &quantized).as_bytes());
                }
            }
            (op, layer) => unreachable!("{op:?} was quantized to {layer:?}"),
        }
        Some(record)
    }

    fn packed(&mut self, record: &mut StepRecord, shape: &ConvShape, weights: &[i8], shortcut: &[i8]) {
        let start = self.weights.len();
        self.weights.resize(start + shape.packed_len(), 0);
        shape.pack(weights, shortcut, &mut self.weights[start..]);
        record.layout = shape.layout() as u8;
        record.out_channels = (shape.out_channels as u32).into();
        record.weights_offset = (start as u64).into();
    }
}

/// Returns the shape of the convolution of node `index`, with the shortcut that is fused into it.
fn conv_shape(network: &Network, index: usize, conv: &Conv) -> ConvShape {
    let shortcut = network.fused_shortcut(index).map(|shortcut| network.shape(network.nodes[shortcut].input));
    ConvShape {
        in_channels: conv.in_channels,
        out_channels: conv.out_channels,
        kernel: conv.window.kernel,
        groups: conv.groups,
        shortcut_channels: shortcut.map_or(0, |shape| shape.channels),
    }
}

fn linear_shape(linear: &Linear) -> ConvShape {
    let (in_channels, out_channels) = (linear.in_features, linear.out_features);
    ConvShape { in_channels, out_channels, kernel: 1, groups: 1, shortcut_channels: 0 }
}

/// Returns the shape of the packed weights of step `index`, if it has any.
fn packed_shape(network: &Network, index: usize) -> Option<ConvShape> {
    match &network.nodes[index].op {
        Op::Conv(conv) => Some(conv_shape(network, index, conv)),
        Op::Linear(linear) => Some(linear_shape(linear)),
        _ => None,
    }
}

fn window(record: &mut StepRecord, window: Window) {
    record.kernel = window.kernel as u8;
    record.stride = window.stride as u8;
    record.padding = window.padding as u8;
}
