//! The records of an artifact (`.rnx`), the only contract between the offline half and the runtime. This is its specification.
//!
//! An artifact is a flat little-endian file. Every record has alignment 1, so an artifact can be borrowed from wherever it
//! lies: a memory map, `include_bytes!`, a flash partition. Sections start at multiples of [`SECTION_ALIGN`], so that a
//! memory-mapped artifact gives the kernels aligned weights.
//!
//! | section | contents |
//! |---|---|
//! | header | [`Header`]: magic, version, checksum, section table, arena size, preprocessing |
//! | tensors | [`TensorRecord`]: shape, quantization and arena offset of every activation |
//! | steps | [`StepRecord`]: the program, in execution order |
//! | params | [`Block`] for convolutions, [`LinearBlock`] for the classifier, [`PoolParams`] for means |
//! | weights | packed weights, see [`crate::weights`] |
//! | classes | [`ClassRecord`]: wnid and label of each logit |
//! | strings | UTF-8 bytes that names and labels point into |
//! | metadata | UTF-8 JSON for people and tools: source, calibration, measured accuracy; the runtime never reads it |
//!
//! The checksum is XXH3-64 over everything after itself. It finds damage and not malice, so
//! [`Model::from_bytes`](crate::Model::from_bytes) validates every field before a typed view exists, whatever the checksum
//! says.

use crate::preprocess::Preprocessing;
use zerocopy::little_endian::{F32, I16, I32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First bytes of every artifact. Like those of PNG they have a high bit, a name, and line ends that a transfer as text
/// changes.
pub const MAGIC: [u8; 8] = *b"\x89RNX\r\n\x1a\n";

/// Version of the format this crate reads and writes.
pub const VERSION: u32 = 3;

/// Sections start at multiples of this many bytes.
pub const SECTION_ALIGN: usize = 64;

/// Intermediate tensors start at multiples of this many bytes of the arena.
pub const ARENA_ALIGN: usize = 64;

/// Readable bytes after the last element of every tensor. Kernels load whole 4-byte groups of channels; if the length of a
/// row is no multiple of 4, its last group has bytes that meet zero weights.
pub const TENSOR_SLACK: usize = 16;

/// Output channels (lanes) of one block of packed weights.
pub const LANES: usize = 16;

/// Input channels of one group of packed weights (what one SDOT lane consumes).
pub const K_GROUP: usize = 4;

/// The `residual` or `shortcut` of a step that has none.
pub const NO_TENSOR: u16 = u16::MAX;

/// Upper bound of |accumulator|. Validation guarantees it, so that no kernel overflows.
pub const MAX_ACCUMULATOR: i64 = 1 << 30;

/// Largest |number| of two digits, base 256, each an int8: the high one times 256 plus the low one.
pub const MAX_DIGITS: i32 = 127 * 256 + 127;

/// Largest height and width of a window.
pub const MAX_KERNEL: usize = 15;

/// Largest number of steps. The deepest ResNeXt that is published has 105.
pub const MAX_STEPS: usize = 1024;

/// Number of entries of [`Header::sections`].
pub const SECTIONS: usize = 7;

/// Indices into [`Header::sections`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(usize)]
pub enum SectionId {
    /// [`TensorRecord`]s.
    Tensors = 0,
    /// [`StepRecord`]s.
    Steps = 1,
    /// Requantization tables.
    Params = 2,
    /// Packed weights.
    Weights = 3,
    /// [`ClassRecord`]s.
    Classes = 4,
    /// UTF-8 bytes.
    Strings = 5,
    /// UTF-8 JSON.
    Metadata = 6,
}

/// A byte range of the file.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Section {
    /// First byte, a multiple of [`SECTION_ALIGN`].
    pub offset: U64,
    /// Length in bytes.
    pub len: U64,
}

/// The first bytes of the file.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: U32,
    /// Size of this header; a later version may append fields.
    pub header_len: U32,
    /// XXH3-64 of the file from [`CHECKSUM_FROM`] to its end.
    pub checksum: U64,
    /// Length of the file in bytes.
    pub file_len: U64,
    /// Bytes of arena a [`Runner`](crate::Runner) needs: up to the end of the farthest tensor with its slack, or to the next
    /// multiple of [`ARENA_ALIGN`].
    pub arena_len: U64,
    /// Where the sections lie. No two overlap.
    pub sections: [Section; SECTIONS],
    /// From frame to input tensor.
    pub preprocessing: PreprocessingRecord,
    /// Multiply-accumulates of one inference.
    pub macs: U64,
    /// The tensor the preprocessed frame is written to.
    pub input: U16,
    /// [`Packing`](crate::weights::Packing) of the weights.
    pub packing: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

/// Offset in the file where the checksummed bytes start.
pub const CHECKSUM_FROM: usize = 24;

/// How a frame becomes the input tensor.
///
/// Normalisation is folded into the first convolution, so the runtime only shifts pixels by 128. Mean and standard
/// deviation are there for people and for fp32 baselines.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PreprocessingRecord {
    /// Target of the shorter side before cropping, in pixels.
    pub short_side: U32,
    /// Rows of the crop.
    pub crop_height: U32,
    /// Columns of the crop.
    pub crop_width: U32,
    /// [`Interpolation`](crate::preprocess::Interpolation): 0 Pillow bilinear, 1 Pillow bicubic, 2 OpenCV bilinear.
    pub interpolation: u8,
    /// Rounding of the longer side: 0 truncate (torchvision, timm, mmcls), 1 nearest (PaddleClas).
    pub side_rounding: u8,
    /// Rounding of the crop's origin: 0 half to even (torchvision, timm, mmcls), 1 floor (PaddleClas).
    pub crop_rounding: u8,
    /// Channel order: 0 RGB.
    pub channel_order: u8,
    /// Mean of each channel, of pixels in 0..1.
    pub mean: [F32; 3],
    /// Standard deviation of each channel, of pixels in 0..1.
    pub std: [F32; 3],
}

impl From<&Preprocessing> for PreprocessingRecord {
    fn from(preprocessing: &Preprocessing) -> Self {
        Self {
            short_side: preprocessing.short_side.into(),
            crop_height: preprocessing.crop_height.into(),
            crop_width: preprocessing.crop_width.into(),
            interpolation: preprocessing.interpolation.code(),
            side_rounding: preprocessing.side_rounding.code(),
            crop_rounding: preprocessing.crop_rounding.code(),
            channel_order: 0,
            mean: preprocessing.mean.map(Into::into),
            std: preprocessing.std.map(Into::into),
        }
    }
}

/// One activation tensor: int8, NHWC, batch 1, `real = scale · (q − zero_point)`.
///
/// The tensor is stored with `halo` more pixels on every side, which are filled before a step reads it, so that padded
/// convolutions need no edge cases.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TensorRecord {
    /// First byte in the arena (of the halo), a multiple of [`ARENA_ALIGN`].
    pub arena_offset: U64,
    /// Rows without the halo.
    pub height: U32,
    /// Columns without the halo.
    pub width: U32,
    /// Channels.
    pub channels: U32,
    /// Real value of one step.
    pub scale: F32,
    /// Width of the halo in pixels.
    pub halo: u8,
    /// Quantized value of real zero.
    pub zero_point: i8,
    /// Value of the halo in channels 0, 1 and 2, and in all others: the zero point, or −128 before a max pool.
    pub fill: [i8; 4],
    /// Zero.
    pub reserved: [u8; 2],
}

/// [`StepRecord::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum StepKind {
    /// Convolution, residual addition, requantization and clamp.
    Conv = 0,
    /// Maximum over a window.
    MaxPool = 1,
    /// Mean over all pixels, with more bits than an element of a tensor has. The output is a tensor of two pixels that holds
    /// two digits, base 256, for each channel: first all high digits, then all low ones,
    /// `real = scale · (256 · high + low)`.
    GlobalAvgPool = 2,
    /// Fully connected classifier of such digits, with fp32 logits.
    Linear = 3,
    /// Mean over a window, without padding. Where the window reaches beyond the last row or column, as it may in "ceil
    /// mode", only the pixels that lie on the tensor are averaged.
    AvgPool = 4,
}

impl StepKind {
    /// Returns the kind with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Conv, Self::MaxPool, Self::GlobalAvgPool, Self::Linear, Self::AvgPool]
            .into_iter()
            .find(|&kind| kind as u8 == code)
    }
}

/// One step of the program.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StepRecord {
    /// [`StepKind`].
    pub kind: u8,
    /// [`WeightLayout`](crate::weights::WeightLayout) of the weights.
    pub layout: u8,
    /// Window height and width.
    pub kernel: u8,
    /// Window step.
    pub stride: u8,
    /// Window padding, at most the input tensor's halo.
    pub padding: u8,
    /// Least output value (fused activation).
    pub clamp_min: i8,
    /// Greatest output value.
    pub clamp_max: i8,
    /// Tensor read.
    pub input: U16,
    /// Tensor written; [`NO_TENSOR`] for the classifier, which writes the logits.
    pub output: U16,
    /// Tensor added to the accumulators, or [`NO_TENSOR`].
    pub residual: U16,
    /// Tensor read by a fused shortcut, or [`NO_TENSOR`]. The products of its 1×1 convolution, the projection shortcut of a
    /// block, are added to the same accumulators. Its weights follow those of the window in each block.
    pub shortcut: U16,
    /// Step in both directions on the tensor `shortcut`; 0 without one.
    pub shortcut_stride: u8,
    /// Cardinality.
    pub groups: U32,
    /// Output channels, or classes.
    pub out_channels: U32,
    /// Name: first byte in the strings section.
    pub name_offset: U32,
    /// Name: length in bytes.
    pub name_len: U32,
    /// First byte in the weights section.
    pub weights_offset: U64,
    /// First byte in the params section.
    pub params_offset: U64,
}

/// One class.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ClassRecord {
    /// Identifier such as `n01440764`: first byte in the strings section.
    pub id_offset: U32,
    /// Identifier: length in bytes; 0 if the model has none.
    pub id_len: U32,
    /// Label such as `tench`: first byte in the strings section.
    pub label_offset: U32,
    /// Label: length in bytes.
    pub label_len: U32,
}

/// Requantization of the 16 output channels of one block of packed convolution weights, in lane order.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Block {
    /// Initial accumulator: bias and output zero point in accumulator units, − input zero point × Σ weights (for a fused
    /// shortcut likewise, with the zero point of its input) − residual zero point × `residual`.
    pub bias: [I32; LANES],
    /// Q31 multiplier, see [`crate::requantize`]; non-negative.
    pub multiplier: [I32; LANES],
    /// Σ weights, including those of a fused shortcut, for kernels that read activations as unsigned. Validation holds it
    /// against the weights.
    pub weight_sum: [I32; LANES],
    /// Accumulator units of one step of the residual tensor, non-negative; 0 without residual.
    pub residual: [I16; LANES],
}

/// Dequantization of 16 logits: `scale · (bias + Σ weight · (256 · high + low))`.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct LinearBlock {
    /// Initial accumulator: quantized bias.
    pub bias: [I32; LANES],
    /// Logit of one accumulator unit.
    pub scale: [F32; LANES],
    /// Σ weights.
    pub weight_sum: [I32; LANES],
}

/// Requantization of a mean over pixels: the accumulator is Σ (q − zero point).
///
/// A [`StepKind::GlobalAvgPool`] whose sum fits into two digits keeps the sum: its multiplier is then 2³¹ − 1, which
/// changes no number below 2³⁰.
///
/// The multiplier is that of a whole window. If only the n-th part of a window of [`StepKind::AvgPool`] lies on the tensor,
/// its accumulator is multiplied by n, which is an integer, so the mean is exact.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PoolParams {
    /// Q31 multiplier, see [`crate::requantize`]; non-negative.
    pub multiplier: I32,
}

/// Returns the checksum that a whole artifact should have.
///
/// For fewer than [`CHECKSUM_FROM`] bytes it is the checksum of no bytes.
pub fn checksum(artifact: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(artifact.get(CHECKSUM_FROM..).unwrap_or_default())
}
