//! Convolution kernels: one algorithm, one layout of weights, one implementation for each instruction set.
//!
//! | module | instruction set | role |
//! |---|---|---|
//! | [`reference`] | none | obvious, over unpacked weights; only in tests, where every other kernel must equal it |
//! | `scalar` | none | safe Rust, runs anywhere |
//! | `tile` | any | the loop nest the vector kernels share, over the small trait `Lanes` |
//! | `aarch64` | `neon`, `dotprod`, `i8mm` | armv8-a, SDOT, SMMLA |
//! | `x86_64` | `avx2`, `avxvnni`, `avx512vnni` | VPMADDUBSW, VPDPBUSD |
//! | `tract` | whatever tract-linalg picks | GEMM-shaped layers on tract's kernels |
//!
//! A kernel computes some blocks of output channels of a run of output pixels. All kernels give the same bits.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(test)]
mod reference;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub(crate) mod tile;
#[cfg(feature = "tract")]
pub(crate) mod tract;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use crate::format::MAX_KERNEL;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use crate::isa;
use crate::program::{Conv, Linear, Shortcut};
use crate::tensor::Tensor;
use crate::weights::{Packing, WeightLayout};
use core::marker::PhantomData;
use core::ops::Range;

/// The instruction set whose kernels run a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Kernels {
    /// Safe Rust.
    Scalar,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(isa::Avx2),
    /// VPDPBUSD encoded for AVX.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(isa::AvxVnni),
    /// VPDPBUSD encoded for AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(isa::Avx512Vnni),
    /// Advanced SIMD of armv8-a.
    #[cfg(target_arch = "aarch64")]
    Neon(isa::Neon),
    /// SDOT.
    #[cfg(target_arch = "aarch64")]
    DotProd(isa::DotProd),
    /// SMMLA, and SDOT for what is not packed for it.
    #[cfg(target_arch = "aarch64")]
    MatMul(isa::MatMul),
}

impl Kernels {
    /// Returns the fastest kernels that this CPU runs.
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Self::Scalar)
    }

    /// Returns all kernels that this CPU runs, the slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        [
            Some(Self::Scalar),
            #[cfg(target_arch = "x86_64")]
            isa::Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            isa::AvxVnni::detect().map(Self::AvxVnni),
            // CPUs that have both (Sapphire Rapids, Zen 5) start as many VPDPBUSD of 64 bytes a cycle as of 32.
            #[cfg(target_arch = "x86_64")]
            isa::Avx512Vnni::detect().map(Self::Avx512Vnni),
            #[cfg(target_arch = "aarch64")]
            isa::Neon::detect().map(Self::Neon),
            #[cfg(target_arch = "aarch64")]
            isa::DotProd::detect().map(Self::DotProd),
            #[cfg(target_arch = "aarch64")]
            isa::MatMul::detect().map(Self::MatMul),
        ]
        .into_iter()
        .flatten()
    }

    /// Returns the short name of the instruction set: `scalar`, `avx2`, `avxvnni`, `avx512vnni`, `neon`, `dotprod`,
    /// `i8mm`.
    pub fn isa(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => "avx512vnni",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            #[cfg(target_arch = "aarch64")]
            Self::DotProd(_) => "dotprod",
            #[cfg(target_arch = "aarch64")]
            Self::MatMul(_) => "i8mm",
        }
    }

    /// Returns the packing with which these kernels are fastest.
    pub fn packing(self) -> Packing {
        match self {
            #[cfg(target_arch = "aarch64")]
            Self::MatMul(_) => Packing::K8,
            _ => Packing::K4,
        }
    }

    /// Returns these kernels, or [`Self::Scalar`] if they cannot read weights of this packing.
    pub(crate) fn for_packing(self, packing: Packing) -> Self {
        match packing {
            Packing::K8 if self.packing() != Packing::K8 => Self::Scalar,
            _ => self,
        }
    }

    /// Returns the name of the kernel that runs weights of `layout` and `packing`, as XNNPACK names kernels:
    /// architecture, data types, algorithm, tile (pixels × channels, `c` input channels at a time), instruction set.
    pub(crate) fn kernel_name(self, layout: WeightLayout, packing: Packing) -> &'static str {
        macro_rules! names {
            ($arch:literal, $isa:literal, $rows:literal) => {
                match layout {
                    WeightLayout::Dense => concat!($arch, "-qs8qc8w-igemm-", $rows, "x16c4-", $isa),
                    WeightLayout::PerGroup => concat!($arch, "-qs8qc8w-gconv-", $rows, "x16c4-", $isa),
                    WeightLayout::Paired8 => concat!($arch, "-qs8qc8w-gconv8-", $rows, "x16c4-", $isa),
                    WeightLayout::Quad4 => concat!($arch, "-qs8qc8w-gconv4-", $rows, "x16c4-", $isa),
                }
            };
        }
        let _ = packing;
        match self {
            Self::Scalar => names!("portable", "scalar", "1"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => names!("x86_64", "avx2", "4"),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => names!("x86_64", "avxvnni", "6"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => names!("x86_64", "avx512vnni", "14"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => names!("aarch64", "neon", "2"),
            #[cfg(target_arch = "aarch64")]
            Self::MatMul(_) if packing == Packing::K8 => match layout {
                WeightLayout::Dense => "aarch64-qs8qc8w-igemm-6x16c8-i8mm",
                _ => "aarch64-qs8qc8w-gconv-6x16c8-i8mm",
            },
            #[cfg(target_arch = "aarch64")]
            Self::DotProd(_) | Self::MatMul(_) => names!("aarch64", "dotprod", "6"),
        }
    }

    /// Runs a convolution for the pixels and channels of `out`.
    pub(crate) fn conv(self, task: &ConvTask<'_>, out: &mut OutputChunk<'_>) {
        task.check(out);
        match self.for_packing(task.conv.packing) {
            Self::Scalar => scalar::conv(task, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => x86_64::avx2::conv(token, task, out),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(token) => x86_64::vnni::avx::conv(token, task, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(token) => x86_64::vnni::avx512::conv(token, task, out),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(token) => aarch64::neon::conv(token, task, out),
            #[cfg(target_arch = "aarch64")]
            Self::DotProd(token) => aarch64::dotprod::conv(token, task, out),
            #[cfg(target_arch = "aarch64")]
            Self::MatMul(token) => match task.conv.packing {
                Packing::K4 => aarch64::dotprod::conv(token.into(), task, out),
                Packing::K8 => aarch64::i8mm::conv(token, task, out),
            },
        }
    }

    /// Runs the classifier for the blocks in `blocks`, writing the logits of those blocks.
    pub(crate) fn linear(self, task: &LinearTask<'_>, blocks: Range<usize>, logits: &mut [f32]) {
        task.check();
        match self {
            Self::Scalar => scalar::linear(task, blocks, logits),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => x86_64::avx2::linear(token, task, blocks, logits),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(token) => x86_64::vnni::avx::linear(token, task, blocks, logits),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(token) => x86_64::vnni::avx512::linear(token, task, blocks, logits),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(token) => aarch64::neon::linear(token, task, blocks, logits),
            #[cfg(target_arch = "aarch64")]
            Self::DotProd(token) => aarch64::dotprod::linear(token, task, blocks, logits),
            #[cfg(target_arch = "aarch64")]
            Self::MatMul(token) => aarch64::dotprod::linear(token.into(), task, blocks, logits),
        }
    }
}

/// A convolution with its operands.
#[derive(Clone, Copy)]
pub(crate) struct ConvTask<'a> {
    pub(crate) conv: &'a Conv<'a>,
    pub(crate) input: &'a Tensor,
    /// The input with its halo and slack, [`Tensor::arena_range`].
    pub(crate) input_data: &'a [i8],
    pub(crate) residual: Residual<'a>,
    /// What the shortcut reads, with its halo and slack; empty without one.
    pub(crate) shortcut_data: &'a [i8],
}

/// Where the residual is.
#[derive(Clone, Copy)]
pub(crate) enum Residual<'a> {
    None,
    /// The output's memory holds it; each element is read before it is overwritten.
    InPlace,
    /// Another tensor, with its halo.
    From(&'a Tensor, &'a [i8]),
}

/// Some blocks of channels of a run of output pixels: what one call computes.
///
/// Chunks of one output may be written at the same time although their bytes alternate. So a chunk holds no slice, and
/// gives out only bytes that belong to it.
pub(crate) struct OutputChunk<'a> {
    pub(crate) pixels: Range<usize>,
    pub(crate) blocks: Range<usize>,
    /// The whole output tensor.
    tensor: *mut [i8],
    borrow: PhantomData<&'a mut [i8]>,
}

impl OutputChunk<'_> {
    /// Creates the chunk of the channels of `blocks` at `pixels` of the output of a task.
    ///
    /// # Safety
    ///
    /// `tensor` is all of that output. While the chunk lives nothing else reads or writes these channels of these pixels,
    /// and it meets no other task.
    pub(crate) unsafe fn new(tensor: *mut [i8], pixels: Range<usize>, blocks: Range<usize>) -> Self {
        Self { pixels, blocks, tensor, borrow: PhantomData }
    }

    /// Returns the start of the tensor, for kernels that write these channels of these pixels and no others.
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    fn tensor(&mut self) -> *mut i8 {
        self.tensor.cast()
    }

    /// Returns the channels of block `index` of the `task` at `pixel`.
    fn channels(&mut self, task: &ConvTask<'_>, pixel: usize, index: usize) -> &mut [i8] {
        assert!(self.pixels.contains(&pixel) && self.blocks.contains(&index));
        let channels = task.block_channels(index);
        let start = task.conv.output.pixel_offset(pixel) + channels.output;
        assert!(start + channels.count <= self.tensor.len());
        // SAFETY: in bounds; by the contract of `new` they belong to this chunk alone.
        unsafe { core::slice::from_raw_parts_mut(self.tensor.cast::<i8>().add(start), channels.count) }
    }
}

impl ConvTask<'_> {
    /// Asserts the bounds that the unchecked accesses of the kernels rest on.
    ///
    /// Loading has proved them for every model. To check again costs a few comparisons for each chunk, and makes the
    /// soundness of this module independent of other modules.
    fn check(&self, out: &OutputChunk<'_>) {
        let (conv, input, output) = (self.conv, self.input, &self.conv.output);
        let window = conv.window;
        assert!(self.input_data.len() >= input.extent() + crate::format::TENSOR_SLACK);
        assert!(window.padding <= input.halo && input.channels == conv.shape.in_channels);
        assert!((output.height - 1) * window.stride + window.kernel <= input.height + 2 * window.padding);
        assert!((output.width - 1) * window.stride + window.kernel <= input.width + 2 * window.padding);
        assert!(conv.weights.len() == conv.shape.packed_len() && conv.blocks.len() == conv.shape.blocks());
        assert!(window.kernel == conv.shape.kernel && window.kernel <= MAX_KERNEL);
        assert!(output.channels == conv.shape.out_channels);
        assert!(out.pixels.start < out.pixels.end && out.pixels.end <= output.pixels());
        assert!(out.blocks.start < out.blocks.end && out.blocks.end <= conv.blocks.len());
        assert!(out.tensor.len() >= output.extent());
        let shortcut_channels = conv.shortcut.map_or(0, |shortcut| shortcut.input.channels);
        assert!(shortcut_channels == conv.shape.shortcut_channels);
        if let Some(Shortcut { input, stride }) = conv.shortcut {
            assert!(conv.shape.layout() == WeightLayout::Dense && window.kernel == 1);
            assert!(self.shortcut_data.len() >= input.extent() + crate::format::TENSOR_SLACK);
            assert!((output.height - 1) * stride < input.height && (output.width - 1) * stride < input.width);
        }
        if let Residual::From(tensor, data) = self.residual {
            assert!(data.len() >= tensor.extent());
            assert!(
                (tensor.height, tensor.width, tensor.channels)
                    == (output.height, output.width, output.channels)
            );
        }
    }

    /// Returns the offset in the input tensor of the first byte of the window for output pixel (`y`, `x`).
    fn window_offset(&self, y: usize, x: usize) -> usize {
        let (window, input) = (self.conv.window, self.input);
        let first = input.halo - window.padding;
        (y * window.stride + first) * input.row_stride() + (x * window.stride + first) * input.channels
    }

    /// Returns the offset of `segment` from the first byte of the window.
    fn segment_offset(&self, segment: usize) -> usize {
        let kernel = self.conv.window.kernel;
        match self.conv.shape.layout() {
            WeightLayout::Dense => segment * self.input.row_stride(),
            _ => segment / kernel * self.input.row_stride() + segment % kernel * self.input.channels,
        }
    }

    /// Returns the first input channel of a block, its first output channel, and the number of its output channels.
    fn block_channels(&self, block: usize) -> BlockChannels {
        use crate::format::LANES;
        let shape = &self.conv.shape;
        let first = block * LANES;
        match shape.layout() {
            WeightLayout::Dense => {
                BlockChannels { input: 0, output: first, count: LANES.min(shape.out_channels - first) }
            }
            WeightLayout::PerGroup => {
                let per_group = shape.blocks_per_group();
                let (group, part) = (block / per_group, block % per_group);
                BlockChannels {
                    input: group * shape.group_in(),
                    output: group * shape.group_out() + part * LANES,
                    count: LANES.min(shape.group_out() - part * LANES),
                }
            }
            WeightLayout::Paired8 | WeightLayout::Quad4 => {
                BlockChannels { input: first, output: first, count: LANES }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct BlockChannels {
    input: usize,
    output: usize,
    count: usize,
}

/// The classifier with its operand.
#[derive(Clone, Copy)]
pub(crate) struct LinearTask<'a> {
    pub(crate) linear: &'a Linear<'a>,
    /// The high digits of the features, the low ones, then at least `TENSOR_SLACK` readable bytes.
    pub(crate) input_data: &'a [i8],
}

impl LinearTask<'_> {
    fn check(&self) {
        let linear = self.linear;
        assert!(self.input_data.len() >= 2 * linear.shape.in_channels + crate::format::TENSOR_SLACK);
        assert!(linear.weights.len() == linear.shape.packed_len());
        assert!(linear.blocks.len() == linear.shape.blocks() && linear.shape.kernel == 1);
    }
}

/// Dequantizes one block of accumulators: those of the high digits and those of the low ones, both of which include the
/// bias. All kernels call it, so that they round alike.
fn dequantize(
    [high, low]: &[[i32; crate::format::LANES]; 2],
    block: &crate::format::LinearBlock,
    logits: &mut [f32],
) {
    let parameters = block.bias.iter().zip(&block.scale);
    for (((logit, &high), &low), (bias, scale)) in logits.iter_mut().zip(high).zip(low).zip(parameters) {
        let sum = 256 * (i64::from(high) - i64::from(bias.get())) + i64::from(low);
        *logit = sum as f32 * scale.get();
    }
}
