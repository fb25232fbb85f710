//! 1×1 convolutions and the classifier as matrix products of tract-linalg.
//!
//! The product is `output[m][n] = Σₖ weights[m][k] · input[k][n]`, with `m` output channels, `k` input channels and `n`
//! pixels. Weights are packed into panels once. Inputs are packed for each image, into panels that the runner owns; a stride is
//! dealt with there, so that pixels that are skipped are not copied.

use tract_data::prelude::*;
use tract_linalg::mmm::{
    AsInputValue, EagerPackedInput, FusedSpec, MMMInputValue, MatMatMul, Query, ScratchSpace,
};
use tract_linalg::pack::PackedFormat;
use tract_linalg::{BinOp, MmmDispatch};

use crate::memory::Slot;
use crate::node::Shape;

/// A matrix product whose weights are packed.
#[derive(Debug)]
pub(crate) struct Gemm {
    kernel: Box<dyn MatMatMul>,
    packing: usize,
    weights: Box<dyn MMMInputValue>,
    bias: Tensor,
    zero: Tensor,
    relu: bool,
    stride: usize,
    from: Shape,
    to: Shape,
    /// Which of the runner's panels it packs its input into.
    panels: usize,
}

/// The shape of packed inputs. Layers of the same shape share their panels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PanelShape {
    format: PackedFormat,
    k: usize,
    n: usize,
}

impl PanelShape {
    /// Allocates panels, filled with zeros.
    pub(crate) fn allocate(&self) -> TractResult<EagerPackedInput> {
        self.format.new_packed_buffer(self.k, self.n)
    }
}

/// What a product is made of.
pub(crate) struct Parts<'a> {
    /// `[output channel][input channel]`.
    pub(crate) weight: Vec<f32>,
    /// One for each output channel, or none.
    pub(crate) bias: &'a [f32],
    pub(crate) relu: bool,
    pub(crate) stride: usize,
    pub(crate) from: Shape,
    pub(crate) to: Shape,
}

impl Gemm {
    /// Chooses a kernel and packs the weights. The shape of the panels is added to `shapes` if it is new.
    pub(crate) fn new(parts: Parts<'_>, shapes: &mut Vec<PanelShape>) -> TractResult<Self> {
        let Parts { weight, bias, relu, stride, from, to } = parts;
        let (m, k, n) = (to.channels, from.channels, to.pixels());
        let mut query = Query::plain(f32::datum_type(), Some(m), Some(k), Some(n));
        query.allow_extractor = false;
        let (kernel, packing, _) =
            MmmDispatch::native().pick(&query).ok_or_else(|| TractError::msg("no f32 kernel"))?;
        let (for_weights, for_inputs) = &kernel.packings()[packing];
        let format = for_inputs
            .downcast_ref::<PackedFormat>()
            .filter(|format| format.dt == f32::datum_type())
            .ok_or_else(|| TractError::msg("the f32 kernel wants inputs that are no plain panels"))?;
        let shape = PanelShape { format: format.clone(), k, n };
        let panels = shapes.iter().position(|known| *known == shape).unwrap_or_else(|| {
            shapes.push(shape);
            shapes.len() - 1
        });
        let weights = for_weights.prepare_one(&Tensor::from_shape(&[m, k], &weight)?, 1, 0)?;
        let bias = if bias.is_empty() { tensor1(&vec![0f32; m]) } else { tensor1(bias) };
        Ok(Self { kernel, packing, weights, bias, zero: tensor0(0f32), relu, stride, from, to, panels })
    }

    /// Makes the memory in which kernels keep what concerns one tile. It serves all products.
    pub(crate) fn scratch(&self) -> Box<dyn ScratchSpace> {
        // SAFETY: this only allocates.
        unsafe { self.kernel.allocate_scratch_space() }
    }

    /// Computes `output` from `input`, both `[channels][pixels]`.
    pub(crate) fn run(
        &self,
        panels: &mut [EagerPackedInput],
        scratch: &mut dyn ScratchSpace,
        input: &[f32],
        residual: Option<&Slot>,
        output: &mut Slot,
    ) -> TractResult<()> {
        let panels = &mut panels[self.panels];
        self.pack(input, panels)?;
        let (m, n) = (self.to.channels, self.to.pixels());
        assert!(output.len() >= m * n && residual.is_none_or(|residual| residual.len() >= m * n));
        // SAFETY: this only describes a row-major matrix.
        let spec = unsafe { self.kernel.c_from_data_and_strides(size_of::<f32>(), n as isize, 1) };
        let product = FusedSpec::AddMatMul {
            a: AsInputValue::Borrowed(&*self.weights),
            b: AsInputValue::Borrowed(panels),
            packing: self.packing,
        };
        let bias = FusedSpec::BinPerRow(self.bias.view(), BinOp::Add);
        // SAFETY: the slot has at least m · n elements, which is what the matrix takes; the kernel writes nothing else.
        let store = FusedSpec::Store(unsafe { spec.wrap(&output.tensor().view()) });
        let relu = FusedSpec::BinScalar(&self.zero, BinOp::Max);
        // SAFETY: as for the output.
        let add = residual.map(|slot| FusedSpec::AddUnicast(unsafe { spec.wrap(&slot.tensor().view()) }));
        // SAFETY: the panels are in the formats of this packing of the kernel, for m × k weights and k × n inputs; bias has m
        // elements. The output is not aliased: it is borrowed exclusively.
        let mut run =
            |specs: &[FusedSpec<'_>]| unsafe { self.kernel.run_with_scratch_space(m, n, scratch, specs) };
        match (add, self.relu) {
            (None, false) => run(&[product, bias, store]),
            (None, true) => run(&[product, bias, relu, store]),
            (Some(add), false) => run(&[product, bias, add, store]),
            (Some(add), true) => run(&[product, bias, add, relu, store]),
        }
    }

    /// Packs the pixels that are read: panel `p` has columns `p · r` to `p · r + r − 1`, row after row.
    fn pack(&self, input: &[f32], panels: &mut EagerPackedInput) -> TractResult<()> {
        let Shape { height, width, .. } = self.to;
        let r = panels.format().r();
        let panel_len = panels.panel_bytes / size_of::<f32>();
        let data = panels.packed_mut()?;
        let from = self.from.pixels();
        if self.stride == 1 {
            for (p, panel) in data.chunks_exact_mut(panel_len).enumerate() {
                let columns = p * r..(p * r + r).min(from);
                for (row, channel) in panel.chunks_exact_mut(r).zip(input.chunks_exact(from)) {
                    row[..columns.len()].copy_from_slice(&channel[columns.clone()]);
                }
            }
            return Ok(());
        }
        for (k, channel) in input.chunks_exact(from).enumerate() {
            let mut column = 0;
            for y in 0..height {
                let row = &channel[y * self.stride * self.from.width..];
                for x in 0..width {
                    data[column / r * panel_len + k * r + column % r] = row[x * self.stride];
                    column += 1;
                }
            }
        }
        Ok(())
    }
}

/// Gives access to the elements of packed inputs.
trait Packed {
    fn packed_mut(&mut self) -> TractResult<&mut [f32]>;
}

impl Packed for EagerPackedInput {
    fn packed_mut(&mut self) -> TractResult<&mut [f32]> {
        let blob =
            std::sync::Arc::get_mut(&mut self.packed).ok_or_else(|| TractError::msg("shared panels"))?;
        let bytes = blob.as_bytes_mut();
        <[f32] as zerocopy::FromBytes>::mut_from_bytes(bytes)
            .map_err(|_| TractError::msg("misaligned panels"))
    }
}
