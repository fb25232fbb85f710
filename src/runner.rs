//! The interpreter: runs a model's steps over one arena.

use crate::error::RunError;
use crate::kernels::{ConvTask, Kernels, LinearTask, Residual};
use crate::model::{Model, Op, Step};
use crate::ops;
use crate::pack::Packing;
use crate::preprocess::{Frame, Passes};
use crate::tensor::Tensor;
use crate::workers::{Serial, Workers};
use core::ops::Range;
use zerocopy::{FromBytes, IntoBytes};

/// Runs a model. Allocates nothing, ever: all memory is the caller's arena.
pub struct Runner<'a> {
    model: Model<'a>,
    arena: &'a mut [i8],
    kernels: Kernels,
    workers: &'a dyn Workers,
    #[cfg(feature = "tract")]
    tract: Option<&'a crate::TractGemm>,
}

/// Watches an inference step by step: profilers, tracers.
pub trait Probe {
    /// Called after step `index`, with the output tensor and its bytes (border included); the classifier has
    /// neither.
    fn after(&mut self, index: usize, step: &Step<'_>, output: Option<(&Tensor, &[i8])>);
}

/// Watches nothing.
impl Probe for () {
    fn after(&mut self, _: usize, _: &Step<'_>, _: Option<(&Tensor, &[i8])>) {}
}

impl<'a> Runner<'a> {
    /// A runner on the calling thread with the fastest kernels this CPU has.
    ///
    /// A model in [`Packing::K8`] runs on [`Kernels::Scalar`] where there is no SMMLA, which is slow;
    /// [`repack`](crate::pack::repack) it first.
    ///
    /// # Errors
    ///
    /// If `arena` is shorter than [`Model::arena_len`].
    pub fn new(model: &Model<'a>, arena: &'a mut [u8]) -> Result<Self, RunError> {
        let (needed, given) = (model.arena_len(), arena.len());
        let arena = arena
            .get_mut(..needed)
            .and_then(|arena| <[i8]>::mut_from_bytes(arena).ok())
            .ok_or(RunError::ArenaTooSmall { needed, given })?;
        Ok(Self {
            model: *model,
            arena,
            kernels: Kernels::detect(),
            workers: &Serial,
            #[cfg(feature = "tract")]
            tract: None,
        })
    }

    /// Uses `kernels` instead of the fastest.
    pub fn with_kernels(mut self, kernels: Kernels) -> Self {
        self.kernels = kernels;
        self
    }

    /// Splits every step over `workers`.
    pub fn with_workers(mut self, workers: &'a dyn Workers) -> Self {
        self.workers = workers;
        self
    }

    /// Runs GEMM-shaped layers on tract-linalg. Borrowed exclusively: its scratch serves one runner at a
    /// time.
    ///
    /// `gemm` must have been made from this runner's model.
    #[cfg(feature = "tract")]
    pub fn with_tract(mut self, gemm: &'a mut crate::TractGemm) -> Self {
        self.tract = Some(gemm);
        self
    }

    /// The model.
    pub fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// The kernels in use.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Name of the kernel that runs `step` (counted from 0), for profiles.
    pub fn kernel_name(&self, index: usize, step: &Step<'_>) -> &'static str {
        let _ = index;
        let (layout, packing) = match step.op {
            Op::Conv(conv) => (conv.shape.layout(), conv.packing),
            Op::Linear(linear) => (linear.shape.layout(), Packing::K4),
            Op::MaxPool(_) => return "portable-qs8-maxpool",
            Op::AvgPool(_) => return "portable-qs8-avgpool",
            Op::GlobalAvgPool(_) => return "portable-qs8-gavgpool",
        };
        #[cfg(feature = "tract")]
        if let Some(name) = self.tract.and_then(|gemm| gemm.kernel_name(index)) {
            return name;
        }
        self.kernels.that_read(packing).kernel_name(layout, packing)
    }

    /// Resizes, crops and classifies `frame`, writing one logit per class.
    ///
    /// # Errors
    ///
    /// If `logits` has another length than [`Model::class_count`], or the frame is too large for the arena
    /// to preprocess.
    pub fn run(&mut self, frame: &Frame<'_>, logits: &mut [f32]) -> Result<(), RunError> {
        self.load_frame(frame)?;
        self.infer(logits, &mut ())
    }

    /// Resizes and crops `frame` into the input tensor. The rest of the arena serves as scratch.
    ///
    /// # Errors
    ///
    /// If the frame is too large for the arena.
    pub fn load_frame(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        let (input, range) = self.input()?;
        let preprocessing = *self.model.preprocessing();
        let (before, rest) = self.arena.split_at_mut(range.start);
        let (data, after) = rest.split_at_mut(range.len());
        let scratch = if before.len() > after.len() { before } else { after };
        input.fill_halo(data);
        let passes = Passes::from(self.kernels);
        let mut store = |row, pixels: &[u8]| store_row(&input, data, row, pixels);
        preprocessing.run_on(passes, frame, scratch.as_mut_bytes(), &mut store)?;
        Ok(())
    }

    /// Copies an already cropped image, `height × width × 3` RGB bytes, into the input tensor.
    ///
    /// # Errors
    ///
    /// If `pixels` has another length.
    pub fn load_pixels(&mut self, pixels: &[u8]) -> Result<(), RunError> {
        let (input, range) = self.input()?;
        let (needed, given) = (input.pixels() * input.channels, pixels.len());
        if needed != given {
            return Err(RunError::WrongPixelCount { needed, given });
        }
        let data = &mut self.arena[range];
        input.fill_halo(data);
        for (row, pixels) in pixels.chunks_exact(input.width * input.channels).enumerate() {
            store_row(&input, data, row, pixels);
        }
        Ok(())
    }

    /// Runs all steps on the loaded input. `probe` sees every step; pass `&mut ()` for none.
    ///
    /// The arena is reused, so the input must be loaded again before the next call.
    ///
    /// # Errors
    ///
    /// If `logits` has another length than [`Model::class_count`].
    pub fn infer(&mut self, logits: &mut [f32], probe: &mut dyn Probe) -> Result<(), RunError> {
        self.infer_steps(0..self.model.step_count(), logits, probe)
    }

    /// Runs some of the steps: an inference in portions.
    ///
    /// Between portions the arena holds everything; another runner over the same bytes may go on with it. Steps mean
    /// something only in order, each once.
    ///
    /// # Errors
    ///
    /// If `logits` has another length than [`Model::class_count`], or there are not as many steps.
    pub fn infer_steps(
        &mut self,
        steps: Range<usize>,
        logits: &mut [f32],
        probe: &mut dyn Probe,
    ) -> Result<(), RunError> {
        let (classes, given) = (self.model.class_count(), logits.len());
        if classes != given {
            return Err(RunError::WrongLogitCount { classes, given });
        }
        for index in steps {
            let step = self.model.step(index)?;
            self.step(index, &step, logits)?;
            let output = step.output();
            let output = output.as_ref().map(|t| (t, &self.arena[t.arena_offset..][..t.extent()]));
            probe.after(index, &step, output);
        }
        Ok(())
    }

    fn input(&self) -> Result<(Tensor, Range<usize>), RunError> {
        let input = self.model.input()?;
        Ok((input, input.arena_range()))
    }

    fn step(&mut self, index: usize, step: &Step<'_>, logits: &mut [f32]) -> Result<(), RunError> {
        let _ = index;
        let input_range = step.input.arena_range();
        match step.op {
            Op::Conv(conv) => {
                let separate = conv.residual.filter(|r| r.arena_offset != conv.output.arena_offset);
                // Where there is no such tensor, an empty range stands in for it.
                let residual_range = separate.map_or(0..0, |r| r.arena_range());
                let shortcut_range = conv.shortcut.map_or(0..0, |shortcut| shortcut.input.arena_range());
                let ranges = [input_range, residual_range, shortcut_range, conv.output.arena_range()];
                let [input, residual, shortcut, output] = split(self.arena, ranges)?;
                let residual = match (&conv.residual, &separate) {
                    (None, _) => Residual::None,
                    (Some(_), None) => Residual::InPlace,
                    (Some(_), Some(tensor)) => Residual::From(tensor, residual),
                };
                let task = ConvTask {
                    conv: &conv,
                    input: &step.input,
                    input_data: input,
                    residual,
                    shortcut_data: shortcut,
                };
                #[cfg(feature = "tract")]
                if let Some(gemm) = self.tract
                    && ops::conv_on_tract(gemm, index, &task, output, self.workers)
                {
                    return Ok(());
                }
                ops::conv(&task, output, self.kernels, self.workers);
            }
            Op::MaxPool(pool) => {
                let [input, output] = split(self.arena, [input_range, pool.output.arena_range()])?;
                ops::max_pool(&pool, &step.input, input, output, self.workers);
            }
            Op::AvgPool(pool) => {
                let [input, output] = split(self.arena, [input_range, pool.output.arena_range()])?;
                ops::avg_pool(&pool, &step.input, input, output, self.workers);
            }
            Op::GlobalAvgPool(pool) => {
                let [input, output] = split(self.arena, [input_range, pool.output.arena_range()])?;
                ops::global_avg_pool(&pool, &step.input, input, output);
            }
            Op::Linear(linear) => {
                let task = LinearTask { linear: &linear, input_data: &self.arena[input_range] };
                ops::linear(&task, logits, self.kernels, self.workers);
            }
        }
        Ok(())
    }
}

/// Disjoint parts of the arena. Loading has proved them disjoint and in bounds.
fn split<const N: usize>(arena: &mut [i8], ranges: [Range<usize>; N]) -> Result<[&mut [i8]; N], RunError> {
    let overlap = crate::LoadError::Invalid { what: "tensors overlap", index: 0 };
    arena.get_disjoint_mut(ranges).map_err(|_| overlap.into())
}

/// Writes a row of RGB bytes as `q = pixel − 128`.
fn store_row(input: &Tensor, data: &mut [i8], row: usize, pixels: &[u8]) {
    let start = input.offset(row, 0);
    let row = &mut data[start..start + pixels.len()];
    row.iter_mut().zip(pixels).for_each(|(q, &pixel)| *q = (pixel ^ 0x80) as i8);
}
