//! Writes the artifact.

pub mod arena_plan;

use crate::network::{Conv, Linear, Network, Node, Op, ValueId};
use crate::emit::arena_plan::Plan;
use crate::preprocessing::Preprocessing;
use crate::quantize::{Activation, Layer, QuantizedConv, QuantizedLinear, QuantizedShortcut};
use resnext::format::{
    Block, ClassRecord, Header, LANES, LinearBlock, MAGIC, NO_TENSOR, PoolParams, PreprocessingRecord,
    SECTION_ALIGN, SECTIONS, Section, SectionId, StepKind, StepRecord, TensorRecord, VERSION, checksum,
};
use resnext::pack::ConvShape;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Identifier and label of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassName {
    /// For ImageNet the wnid such as `n01440764`; may be empty.
    pub id: String,
    /// Label such as `tench`.
    pub label: String,
}

/// What an artifact is made of, apart from the layers' integers.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Shapes and names.
    pub network: &'a Network,
    /// Scales, one per value.
    pub activations: &'a [Activation],
    /// Arena offsets.
    pub plan: &'a Plan,
    /// From frame to input.
    pub preprocessing: &'a Preprocessing,
    /// One per logit.
    pub classes: &'a [ClassName],
}

/// The bytes of the artifact, with empty [metadata](set_metadata). The same parts give the same bytes.
///
/// `layers`, one a node, are given away and dropped as they are packed: they may be most of a machine's memory.
///
/// # Panics
///
/// If the parts do not belong together.
pub fn emit(parts: &Parts<'_>, layers: Vec<Layer>) -> Vec<u8> {
    let network = parts.network;
    assert_eq!(layers.len(), network.nodes.len(), "a layer for each node");
    let weights = network.steps().filter_map(|(index, _)| packed_shape(network, index));
    let weights = weights.map(|shape| shape.packed_len()).sum();
    let mut writer = Writer { weights: Vec::with_capacity(weights), ..Writer::new(network) };
    let tensors: Vec<TensorRecord> = network.tensors().map(|value| tensor(parts, value.0)).collect();
    let steps: Vec<StepRecord> =
        layers.into_iter().enumerate().filter_map(|(index, layer)| writer.step(index, layer)).collect();
    let classes: Vec<ClassRecord> = parts
        .classes
        .iter()
        .map(|class| {
            let ((id_offset, id_len), (label_offset, label_len)) =
                (writer.string(&class.id), writer.string(&class.label));
            ClassRecord {
                id_offset: id_offset.into(),
                id_len: id_len.into(),
                label_offset: label_offset.into(),
                label_len: label_len.into(),
            }
        })
        .collect();

    let mut sections: [&[u8]; SECTIONS] = [&[]; SECTIONS];
    sections[SectionId::Tensors as usize] = tensors.as_bytes();
    sections[SectionId::Steps as usize] = steps.as_bytes();
    sections[SectionId::Params as usize] = &writer.params;
    sections[SectionId::Weights as usize] = writer.weights.as_bytes();
    sections[SectionId::Classes as usize] = classes.as_bytes();
    sections[SectionId::Strings as usize] = writer.strings.as_bytes();
    sections[SectionId::Metadata as usize] = NO_METADATA.as_bytes();

    let len = sections
        .iter()
        .fold(size_of::<Header>(), |len, section| len.next_multiple_of(SECTION_ALIGN) + section.len());
    let mut artifact = Vec::with_capacity(len);
    artifact.resize(size_of::<Header>(), 0);
    let mut header = Header::new_zeroed();
    for (section, bytes) in header.sections.iter_mut().zip(sections) {
        artifact.resize(artifact.len().next_multiple_of(SECTION_ALIGN), 0);
        *section = Section { offset: (artifact.len() as u64).into(), len: (bytes.len() as u64).into() };
        artifact.extend_from_slice(bytes);
    }
    header.magic = MAGIC;
    header.version = VERSION.into();
    header.header_len = (size_of::<Header>() as u32).into();
    header.arena_len = (parts.plan.arena_len as u64).into();
    header.preprocessing = preprocess(parts.preprocessing);
    header.macs = macs(network).into();
    header.input = (ValueId::IMAGE.0 as u16).into();
    seal(&mut artifact, header);
    artifact
}

/// What [`emit`] leaves for [`set_metadata`] to replace.
const NO_METADATA: &str = "{}";

/// Replaces the metadata of an artifact made by [`emit`]: JSON for people and tools.
///
/// # Panics
///
/// If `artifact` was not made by [`emit`].
pub fn set_metadata(artifact: &mut Vec<u8>, metadata: &str) {
    let (mut header, _) = Header::read_from_prefix(artifact).expect("emit begins with a header");
    let section = &mut header.sections[SectionId::Metadata as usize];
    // The last section, so that what is before it need not move.
    artifact.truncate(section.offset.get() as usize);
    artifact.extend_from_slice(metadata.as_bytes());
    section.len = (metadata.len() as u64).into();
    seal(artifact, header);
}

/// Writes `header` with the length and the checksum of what follows it.
fn seal(artifact: &mut [u8], mut header: Header) {
    header.file_len = (artifact.len() as u64).into();
    artifact[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    header.checksum = checksum(artifact).into();
    artifact[..size_of::<Header>()].copy_from_slice(header.as_bytes());
}

/// Multiply-accumulates of one inference.
pub fn macs(network: &Network) -> u64 {
    let macs = |node: &Node| match &node.op {
        Op::Conv(conv) => node.output.height * node.output.width * conv.weight.len(),
        Op::Linear(linear) => linear.weight.len(),
        _ => 0,
    };
    network.nodes.iter().map(|node| macs(node) as u64).sum()
}

fn preprocess(p: &Preprocessing) -> PreprocessingRecord {
    PreprocessingRecord::from(&resnext::preprocess::Preprocessing { mean: p.mean, std: p.std, ..p.recipe })
}

fn tensor(parts: &Parts<'_>, value: usize) -> TensorRecord {
    let (shape, place) = (parts.network.stored(ValueId(value)), parts.plan.places[value]);
    let Activation { scale, zero_point } = parts.activations[value];
    let fill = if value == ValueId::IMAGE.0 {
        // The pixel nearest to a normalised zero; the fourth entry stands for channels an image lacks.
        let [r, g, b] = parts.preprocessing.mean.map(|mean| ((mean * 255.0).round() - 128.0) as i8);
        [r, g, b, zero_point]
    } else if place.pooled {
        [i8::MIN; 4]
    } else {
        [zero_point; 4]
    };
    TensorRecord {
        arena_offset: (place.offset as u64).into(),
        height: (shape.height as u32).into(),
        width: (shape.width as u32).into(),
        channels: (shape.channels as u32).into(),
        scale: (scale as f32).into(),
        halo: place.halo as u8,
        zero_point,
        fill,
        reserved: [0; 2],
    }
}

/// Sections that grow step by step.
struct Writer<'a> {
    network: &'a Network,
    /// Per value, its tensor's index; [`NO_TENSOR`] for what is never stored: the logits, and what joined nodes give.
    tensors: Vec<u16>,
    /// Per node, a shortcut that waits for the step that it is joined into.
    shortcuts: Vec<Option<QuantizedShortcut>>,
    params: Vec<u8>,
    weights: Vec<i8>,
    strings: String,
}

impl<'a> Writer<'a> {
    fn new(network: &'a Network) -> Self {
        let mut tensors = vec![NO_TENSOR; network.nodes.len() + 1];
        network.tensors().enumerate().for_each(|(tensor, value)| tensors[value.0] = tensor as u16);
        let shortcuts = vec![None; network.nodes.len()];
        let (params, weights, strings) = (Vec::new(), Vec::new(), String::new());
        Self { network, tensors, shortcuts, params, weights, strings }
    }

    fn tensor(&self, value: ValueId) -> zerocopy::little_endian::U16 {
        self.tensors[value.0].into()
    }

    fn string(&mut self, text: &str) -> (u32, u32) {
        let offset = self.strings.len();
        self.strings.push_str(text);
        (offset as u32, text.len() as u32)
    }

    /// The step of node `index`; `None` if it is joined into a later one, which its integers then wait for.
    fn step(&mut self, index: usize, layer: Layer) -> Option<StepRecord> {
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
                    // None if it is joined: that is no tensor.
                    record.residual = self.tensor(residual);
                }
                let joined = network.shortcut(index);
                if let Some(Node { input, op: Op::Conv(shortcut), .. }) =
                    joined.map(|node| &network.nodes[node])
                {
                    record.shortcut = self.tensor(*input);
                    record.shortcut_stride = shortcut.window.stride as u8;
                }
                let shortcut = joined.and_then(|node| self.shortcuts[node].take());
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

/// Shape of the convolution of node `index`, with what is joined into it.
fn conv_shape(network: &Network, index: usize, conv: &Conv) -> ConvShape {
    let shortcut = network.shortcut(index).map(|shortcut| network.shape(network.nodes[shortcut].input));
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

/// Shape of the packed weights of step `index`, if it has any.
fn packed_shape(network: &Network, index: usize) -> Option<ConvShape> {
    match &network.nodes[index].op {
        Op::Conv(conv) => Some(conv_shape(network, index, conv)),
        Op::Linear(linear) => Some(linear_shape(linear)),
        _ => None,
    }
}

fn window(record: &mut StepRecord, window: crate::network::Window) {
    record.kernel = window.kernel as u8;
    record.stride = window.stride as u8;
    record.padding = window.padding as u8;
}

fn weight_sum(weights: &[i8], channels: usize, channel: usize) -> i32 {
    let per_channel = weights.len() / channels;
    weights[channel * per_channel..][..per_channel].iter().map(|&w| i32::from(w)).sum()
}

fn conv_block(
    shape: &ConvShape,
    block: usize,
    conv: &QuantizedConv,
    shortcut: Option<&QuantizedShortcut>,
) -> Block {
    let mut packed = Block::new_zeroed();
    for lane in 0..LANES {
        if let Some(channel) = shape.channel(block, lane) {
            let (mut bias, mut sum) =
                (conv.bias[channel], weight_sum(&conv.weights, shape.out_channels, channel));
            if let Some(shortcut) = shortcut {
                // A sum as large as that is refused when the artifact is checked.
                bias = bias.saturating_add(shortcut.bias[channel]);
                sum += weight_sum(&shortcut.weights, shape.out_channels, channel);
            }
            packed.bias[lane].set(bias);
            packed.multiplier[lane].set(conv.multiplier[channel]);
            packed.weight_sum[lane].set(sum);
            packed.residual[lane].set(conv.residual[channel]);
        }
    }
    packed
}

fn linear_block(shape: &ConvShape, block: usize, linear: &QuantizedLinear) -> LinearBlock {
    let mut packed = LinearBlock::new_zeroed();
    for lane in 0..LANES {
        if let Some(channel) = shape.channel(block, lane) {
            packed.bias[lane].set(linear.bias[channel]);
            packed.scale[lane].set(linear.scale[channel]);
            packed.weight_sum[lane].set(weight_sum(&linear.weights, shape.out_channels, channel));
        }
    }
    packed
}
