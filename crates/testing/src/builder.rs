//! Writes artifacts record by record.

use crate::{Random, fix_checksum};
use resnext::internals::format::{
    ARENA_ALIGN, Block, ClassRecord, Header, LANES, LinearBlock, MAGIC, MAX_DIGITS, NO_TENSOR, PoolParams,
    SECTION_ALIGN, SECTIONS, Section, StepKind, StepRecord, TENSOR_SLACK, TensorRecord, VERSION,
};
use resnext::internals::requantize::multiplier_for;
use resnext::internals::weights::ConvShape;
use resnext::preprocess::Preprocessing;
use zerocopy::{FromZeros, IntoBytes};

/// Fill of a halo that a maximum must never see.
pub const LEAST: i8 = i8::MIN;

/// A network under construction. Layers get random weights and scales that keep activations well spread, unless
/// [`Builder::layer`] adds them with parameters of their own.
#[derive(Debug)]
pub struct Builder {
    random: Random,
    tensors: Vec<TensorRecord>,
    steps: Vec<StepRecord>,
    params: Vec<u8>,
    weights: Vec<i8>,
    strings: String,
    arena_len: usize,
    macs: u64,
    /// The same layers unpacked, for the oracle.
    pub layers: Vec<Layer>,
}

/// What a step computes, before packing.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named as the fields of `StepRecord` are")]
pub struct Layer {
    pub kind: StepKind,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub groups: usize,
    pub input: u16,
    pub output: u16,
    pub residual: u16,
    pub shortcut: Option<Shortcut>,
    pub clamp: (i8, i8),
    /// `[out][kernel][kernel][in / groups]`.
    pub weights: Vec<i8>,
    pub bias: Vec<i32>,
    pub multiplier: Vec<i32>,
    pub residual_factor: Vec<i16>,
    pub scale: Vec<f32>,
}

/// A fused shortcut, before packing.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named as the fields of `program::Shortcut` are")]
pub struct Shortcut {
    pub input: u16,
    pub stride: usize,
    /// `[out][in]`.
    pub weights: Vec<i8>,
}

impl Default for Layer {
    fn default() -> Self {
        Self {
            kind: StepKind::Conv,
            kernel: 1,
            stride: 1,
            padding: 0,
            groups: 1,
            input: 0,
            output: 0,
            residual: NO_TENSOR,
            shortcut: None,
            clamp: (i8::MIN, i8::MAX),
            weights: vec![],
            bias: vec![],
            multiplier: vec![],
            residual_factor: vec![],
            scale: vec![],
        }
    }
}

impl Layer {
    fn over(window: Window, input: u16, output: u16) -> Self {
        let (kernel, stride, padding) = (window.kernel.into(), window.stride.into(), window.padding.into());
        Self { kernel, stride, padding, input, output, ..Self::default() }
    }

    fn shortcut_weights(&self) -> &[i8] {
        self.shortcut.as_ref().map_or(&[], |shortcut| &shortcut.weights)
    }
}

/// Window and cardinality of a layer that [`Builder`] makes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named as the fields of `StepRecord` are")]
pub struct Window {
    pub kernel: u8,
    pub stride: u8,
    pub padding: u8,
    pub groups: u32,
}

/// A 1×1 convolution.
pub const POINTWISE: Window = Window { kernel: 1, stride: 1, padding: 0, groups: 1 };

impl Builder {
    /// Starts a network whose random parameters follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            tensors: vec![],
            steps: vec![],
            params: vec![],
            weights: vec![],
            strings: String::new(),
            arena_len: 0,
            macs: 0,
            layers: vec![],
        }
    }

    /// Adds a tensor after all others in the arena, and returns its index.
    pub fn tensor(&mut self, height: u32, width: u32, channels: u32, halo: u8) -> u16 {
        let zero_point = self.random.below(41) as i8 - 20;
        let offset = self.arena_len.next_multiple_of(ARENA_ALIGN);
        let sides = (height as usize + 2 * usize::from(halo)) * (width as usize + 2 * usize::from(halo));
        self.arena_len = offset + sides * channels as usize + TENSOR_SLACK;
        self.tensors.push(TensorRecord {
            arena_offset: (offset as u64).into(),
            height: height.into(),
            width: width.into(),
            channels: channels.into(),
            scale: 0.05.into(),
            halo,
            zero_point,
            fill: [zero_point; 4],
            reserved: [0; 2],
        });
        (self.tensors.len() - 1) as u16
    }

    /// Adds a tensor with the shape and the memory of `other`, and returns its index.
    pub fn alias(&mut self, other: u16) -> u16 {
        let mut record = self.tensors[usize::from(other)].clone();
        record.zero_point = self.random.below(41) as i8 - 20;
        record.fill = [record.zero_point; 4];
        self.tensors.push(record);
        (self.tensors.len() - 1) as u16
    }

    /// Returns the record of `tensor`, to be changed.
    pub fn tensor_mut(&mut self, tensor: u16) -> &mut TensorRecord {
        &mut self.tensors[usize::from(tensor)]
    }

    fn shape(&self, tensor: u16) -> (usize, usize, usize) {
        let t = &self.tensors[usize::from(tensor)];
        (t.height.get() as usize, t.width.get() as usize, t.channels.get() as usize)
    }

    fn text(&mut self, text: &str) -> (u32, u32) {
        let offset = self.strings.len() as u32;
        self.strings.push_str(text);
        (offset, text.len() as u32)
    }

    fn align_params(&mut self) -> u64 {
        self.params.resize(self.params.len().next_multiple_of(SECTION_ALIGN), 0);
        self.params.len() as u64
    }

    /// Adds a convolution with random parameters, which adds `residual` unless that is [`NO_TENSOR`].
    pub fn conv(&mut self, name: &str, window: Window, input: u16, output: u16, residual: u16) {
        self.conv_and(name, window, [input, output, residual], None);
    }

    /// Adds a 1×1 convolution with random parameters, into which a shortcut is fused that reads every `stride`-th pixel of
    /// `from`.
    pub fn fused(&mut self, name: &str, input: u16, output: u16, (from, stride): (u16, u8)) {
        self.conv_and(name, POINTWISE, [input, output, NO_TENSOR], Some((from, stride)));
    }

    fn conv_and(
        &mut self,
        name: &str,
        window: Window,
        [input, output, residual]: [u16; 3],
        shortcut: Option<(u16, u8)>,
    ) {
        let ((_, _, in_channels), (_, _, out_channels)) = (self.shape(input), self.shape(output));
        let (kernel, groups) = (usize::from(window.kernel), window.groups as usize);
        let window_taps = kernel * kernel * (in_channels / groups);
        let weights: Vec<i8> = (0..out_channels * window_taps).map(|_| self.random.weight()).collect();
        let shortcut_channels = shortcut.map_or(0, |(from, _)| self.shape(from).2);
        let shortcut = shortcut.map(|(input, stride)| Shortcut {
            input,
            stride: usize::from(stride),
            weights: (0..out_channels * shortcut_channels).map(|_| self.random.weight()).collect(),
        });
        let taps = window_taps + shortcut_channels;
        // Activations and weights spread over about ±74 each, so their products sum to about 74² √taps; a
        // standard deviation of about 50 keeps most outputs inside int8 and clamps some.
        let typical = 50.0 / (74.0 * 74.0 * (taps as f64).sqrt());
        let ratios: Vec<f64> =
            (0..out_channels).map(|_| typical * (0.5 + self.random.below(1000) as f64 / 1000.0)).collect();
        let zero_point = f64::from(self.zero_point(output));
        let factor = if residual == NO_TENSOR { 0.0 } else { 0.7 };
        let layer = Layer {
            kernel,
            stride: usize::from(window.stride),
            padding: usize::from(window.padding),
            groups,
            input,
            output,
            residual,
            shortcut,
            // Every other convolution has a fused ReLU.
            clamp: if self.layers.len().is_multiple_of(2) {
                (self.zero_point(output), i8::MAX)
            } else {
                (i8::MIN, i8::MAX)
            },
            bias: ratios
                .iter()
                .map(|ratio| ((self.random.below(61) as f64 - 30.0 + zero_point) / ratio) as i32)
                .collect(),
            multiplier: ratios.iter().map(|&ratio| multiplier_for(ratio).expect("small ratios")).collect(),
            residual_factor: ratios
                .iter()
                .map(|ratio| (factor / ratio).min(f64::from(i16::MAX)) as i16)
                .collect(),
            weights,
            ..Layer::default()
        };
        self.layer(name, layer);
    }

    /// Adds a max pool. The output takes the quantization of the input.
    pub fn max_pool(&mut self, name: &str, window: Window, input: u16, output: u16) {
        self.tensors[usize::from(input)].fill = [LEAST; 4];
        let zero_point = self.zero_point(input);
        self.tensors[usize::from(output)].zero_point = zero_point;
        self.tensors[usize::from(output)].fill = [zero_point; 4];
        self.layer(name, Layer { kind: StepKind::MaxPool, ..Layer::over(window, input, output) });
    }

    /// Adds a mean over a window.
    pub fn avg_pool(&mut self, name: &str, window: Window, input: u16, output: u16) {
        let ratio = (1.5 / f64::from(window.kernel).powi(2)).min(0.9);
        let multiplier = vec![multiplier_for(ratio).expect("below one")];
        self.layer(name, Layer { kind: StepKind::AvgPool, multiplier, ..Layer::over(window, input, output) });
    }

    /// Adds a mean over all pixels, with as many bits as fit.
    pub fn global_avg_pool(&mut self, name: &str, input: u16, output: u16) {
        let (height, width, _) = self.shape(input);
        let ratio = f64::from(MAX_DIGITS) / (255 * height * width) as f64;
        let multiplier = vec![multiplier_for(ratio).unwrap_or(i32::MAX)];
        self.layer(
            name,
            Layer { kind: StepKind::GlobalAvgPool, input, output, multiplier, ..Layer::default() },
        );
    }

    /// Adds the classifier with random parameters.
    pub fn linear(&mut self, name: &str, input: u16, classes: usize) {
        let (_, _, features) = self.shape(input);
        let layer = Layer {
            kind: StepKind::Linear,
            input,
            output: NO_TENSOR,
            weights: (0..classes * features).map(|_| self.random.weight()).collect(),
            bias: (0..classes).map(|_| self.random.below(20_001) as i32 - 10_000).collect(),
            scale: (0..classes).map(|_| 1e-7 * (1.0 + self.random.below(1000) as f32 / 1000.0)).collect(),
            ..Layer::default()
        };
        self.layer(name, layer);
    }

    fn zero_point(&self, tensor: u16) -> i8 {
        self.tensors[usize::from(tensor)].zero_point
    }

    /// Adds a layer with the parameters that it has.
    ///
    /// # Panics
    ///
    /// If the parameters do not match the shapes of the tensors.
    pub fn layer(&mut self, name: &str, layer: Layer) {
        let (shape, pixels) = match layer.kind {
            StepKind::Conv => {
                let (height, width, out_channels) = self.shape(layer.output);
                (Some(self.conv_shape(&layer, out_channels)), height * width)
            }
            StepKind::Linear => (Some(self.conv_shape(&layer, layer.bias.len())), 1),
            _ => (None, 0),
        };
        let weights_offset = shape.map_or(0, |shape| self.pack(&shape, &layer));
        let params_offset = match (layer.kind, shape) {
            (StepKind::MaxPool, _) => 0,
            (StepKind::Conv, Some(shape)) => self.conv_params(&shape, &layer),
            (StepKind::Linear, Some(shape)) => self.linear_params(&shape, &layer),
            _ => {
                let offset = self.align_params();
                let record = PoolParams { multiplier: layer.multiplier[0].into() };
                self.params.extend_from_slice(record.as_bytes());
                offset
            }
        };
        let taps = |shape: &ConvShape| shape.kernel.pow(2) * shape.group_in() + shape.shortcut_channels;
        self.macs += shape.map_or(0, |shape| (pixels * shape.out_channels * taps(&shape)) as u64);
        let (name_offset, name_len) = self.text(name);
        let shortcut = layer.shortcut.as_ref();
        self.steps.push(StepRecord {
            kind: layer.kind as u8,
            layout: shape.map_or(0, |shape| shape.layout() as u8),
            kernel: layer.kernel as u8,
            stride: layer.stride as u8,
            padding: layer.padding as u8,
            clamp_min: layer.clamp.0,
            clamp_max: layer.clamp.1,
            input: layer.input.into(),
            output: layer.output.into(),
            residual: layer.residual.into(),
            shortcut: shortcut.map_or(NO_TENSOR, |shortcut| shortcut.input).into(),
            shortcut_stride: shortcut.map_or(0, |shortcut| shortcut.stride as u8),
            groups: (layer.groups as u32).into(),
            out_channels: (shape.map_or(0, |shape| shape.out_channels) as u32).into(),
            name_offset: name_offset.into(),
            name_len: name_len.into(),
            weights_offset: weights_offset.into(),
            params_offset: params_offset.into(),
        });
        self.layers.push(layer);
    }

    fn conv_shape(&self, layer: &Layer, out_channels: usize) -> ConvShape {
        ConvShape {
            in_channels: self.shape(layer.input).2,
            out_channels,
            kernel: layer.kernel,
            groups: layer.groups,
            shortcut_channels: layer.shortcut.as_ref().map_or(0, |shortcut| self.shape(shortcut.input).2),
        }
    }

    fn pack(&mut self, shape: &ConvShape, layer: &Layer) -> u64 {
        let offset = self.weights.len();
        self.weights.resize(offset + shape.packed_len(), 0);
        shape.pack(&layer.weights, layer.shortcut_weights(), &mut self.weights[offset..]);
        offset as u64
    }

    fn conv_params(&mut self, shape: &ConvShape, layer: &Layer) -> u64 {
        let offset = self.align_params();
        for block in 0..shape.blocks() {
            let mut record = Block::new_zeroed();
            for lane in 0..LANES {
                if let Some(channel) = shape.channel(block, lane) {
                    let sum = |weights: &[i8]| -> i32 {
                        let taps = weights.len() / shape.out_channels;
                        weights[channel * taps..][..taps].iter().map(|&w| i32::from(w)).sum()
                    };
                    record.bias[lane].set(layer.bias[channel]);
                    record.multiplier[lane].set(layer.multiplier[channel]);
                    record.weight_sum[lane].set(sum(&layer.weights) + sum(layer.shortcut_weights()));
                    record.residual[lane].set(layer.residual_factor[channel]);
                }
            }
            self.params.extend_from_slice(record.as_bytes());
        }
        offset
    }

    fn linear_params(&mut self, shape: &ConvShape, layer: &Layer) -> u64 {
        let offset = self.align_params();
        let features = shape.in_channels;
        for block in 0..shape.blocks() {
            let mut record = LinearBlock::new_zeroed();
            for lane in 0..LANES {
                if let Some(class) = shape.channel(block, lane) {
                    let weights = &layer.weights[class * features..][..features];
                    record.bias[lane].set(layer.bias[class]);
                    record.scale[lane].set(layer.scale[class]);
                    record.weight_sum[lane].set(weights.iter().map(|&w| i32::from(w)).sum());
                }
            }
            self.params.extend_from_slice(record.as_bytes());
        }
        offset
    }

    /// Returns the artifact with invented classes. Its preprocessing resizes frames to two pixels more than the input has.
    pub fn finish(self) -> Built {
        let classes = self.layers.last().map_or(0, |classifier| classifier.bias.len());
        let classes: Vec<_> =
            (0..classes).map(|class| (format!("n{class:08}"), format!("thing {class}"))).collect();
        let (height, width, _) = self.shape(0);
        let preprocessing = Preprocessing {
            crop_height: height as u32,
            mean: [0.5; 3],
            std: [0.25; 3],
            ..Preprocessing::imagenet(width as u32, height.min(width) as u32 + 2)
        };
        self.finish_as(&classes, r#"{"source":"resnext-testing"}"#, &preprocessing)
    }

    /// Returns the artifact with these `classes`, identifier and label of each.
    ///
    /// The input is tensor 0. The weights come last, so that reading past them is reading past the artifact.
    pub fn finish_as(
        mut self,
        classes: &[(String, String)],
        metadata: &str,
        preprocessing: &Preprocessing,
    ) -> Built {
        let classes: Vec<_> = classes
            .iter()
            .map(|(id, label)| {
                let ((id_offset, id_len), (label_offset, label_len)) = (self.text(id), self.text(label));
                ClassRecord {
                    id_offset: id_offset.into(),
                    id_len: id_len.into(),
                    label_offset: label_offset.into(),
                    label_len: label_len.into(),
                }
            })
            .collect();
        // Indexed by `SectionId`.
        let contents: [&[u8]; SECTIONS] = [
            self.tensors.as_bytes(),
            self.steps.as_bytes(),
            &self.params,
            self.weights.as_bytes(),
            classes.as_bytes(),
            self.strings.as_bytes(),
            metadata.as_bytes(),
        ];
        let mut bytes = vec![0; size_of::<Header>()];
        let mut sections = [Section::default(); SECTIONS];
        for index in [0, 1, 2, 4, 5, 6, 3] {
            bytes.resize(bytes.len().next_multiple_of(SECTION_ALIGN), 0);
            sections[index] =
                Section { offset: (bytes.len() as u64).into(), len: (contents[index].len() as u64).into() };
            bytes.extend_from_slice(contents[index]);
        }
        let header = Header {
            magic: MAGIC,
            version: VERSION.into(),
            header_len: (size_of::<Header>() as u32).into(),
            checksum: 0.into(),
            file_len: (bytes.len() as u64).into(),
            arena_len: (self.arena_len as u64).into(),
            sections,
            preprocessing: preprocessing.into(),
            macs: self.macs.into(),
            input: 0.into(),
            packing: 0,
            reserved: [0; 5],
        };
        bytes[..size_of::<Header>()].copy_from_slice(header.as_bytes());
        fix_checksum(&mut bytes);
        Built { bytes, tensors: self.tensors, layers: self.layers }
    }
}

/// A finished artifact and what went into it.
#[derive(Clone, Debug)]
pub struct Built {
    /// The artifact.
    pub bytes: Vec<u8>,
    /// Its tensors.
    pub tensors: Vec<TensorRecord>,
    /// Its layers, before packing.
    pub layers: Vec<Layer>,
}
