//! The interpreter, which runs a model's steps over one arena.

use crate::error::RunError;
use crate::kernels::{ConvTask, Kernels, LinearTask, Residual};
use crate::model::Model;
use crate::ops;
use crate::preprocess::{Frame, Passes};
use crate::program::{Op, Step, Tensor};
use crate::weights::Packing;
use crate::workers::{Serial, Workers};
use core::ops::Range;
use zerocopy::{FromBytes, IntoBytes};

/// Runs a model in memory that the caller owns, and allocates nothing.
///
/// ```no_run
/// use resnext::{Frame, Model, Pool, Runner};
///
/// # fn frames() -> impl Iterator<Item = Vec<u8>> { std::iter::empty() }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let artifact = std::fs::read("model.rnx")?;
/// let model = Model::from_bytes(&artifact)?;
/// let pool = Pool::new(4)?;
/// let mut arena = vec![0; model.arena_len()];
/// let mut logits = vec![0.0; model.class_count()];
///
/// let mut runner = Runner::new(&model, &mut arena)?.with_workers(&pool);
/// for pixels in frames() {
///     runner.run(&Frame::rgb8(&pixels, 640, 480, 640 * 3)?, &mut logits)?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Runner<'a> {
    model: Model<'a>,
    arena: &'a mut [i8],
    kernels: Kernels,
    workers: &'a dyn Workers,
    #[cfg(feature = "tract")]
    tract: Option<&'a crate::TractGemm>,
}

/// Observes an inference step by step, as profilers and tracers do.
pub trait Probe {
    /// Is called after step `index` with the output tensor and its bytes, the halo included. The classifier has no
    /// output tensor.
    fn after(&mut self, index: usize, step: &Step<'_>, output: Option<(&Tensor, &[i8])>);
}

/// Observes nothing.
impl Probe for () {
    fn after(&mut self, _: usize, _: &Step<'_>, _: Option<(&Tensor, &[i8])>) {}
}

impl<'a> Runner<'a> {
    /// Creates a runner on the calling thread with the fastest kernels that this CPU has.
    ///
    /// `arena` may hold anything and needs no alignment. A model in [`Packing::K8`] runs on [`Kernels::Scalar`] on a
    /// CPU without SMMLA, which is slow; [`repack`](crate::pack::repack) the artifact first.
    ///
    /// # Errors
    ///
    /// [`RunError::ArenaTooSmall`] if `arena` is shorter than [`Model::arena_len`].
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

    /// Uses `kernels` instead of the fastest ones.
    pub fn with_kernels(mut self, kernels: Kernels) -> Self {
        self.kernels = kernels;
        self
    }

    /// Splits every step over `workers`.
    pub fn with_workers(mut self, workers: &'a dyn Workers) -> Self {
        self.workers = workers;
        self
    }

    /// Runs GEMM-shaped layers on tract-linalg's kernels.
    ///
    /// `gemm` must have been made from the model of this runner. It is borrowed exclusively because its scratch memory
    /// serves one runner at a time.
    #[cfg(feature = "tract")]
    pub fn with_tract(mut self, gemm: &'a mut crate::TractGemm) -> Self {
        self.tract = Some(gemm);
        self
    }

    /// Returns the model.
    pub fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// Returns the kernels in use.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Returns the name of the kernel that runs `step`, which is step `index`, for profiles.
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
        self.kernels.for_packing(packing).kernel_name(layout, packing)
    }

    /// Resizes, crops and classifies `frame`, and writes one logit for each class.
    ///
    /// [`top_k`](crate::top_k) turns the logits into the most probable classes.
    ///
    /// # Errors
    ///
    /// [`RunError::WrongLogitCount`] if `logits` has another length than [`Model::class_count`];
    /// [`RunError::Preprocess`] if the frame is too large to be resized in this arena, see [`Self::load_frame`].
    pub fn run(&mut self, frame: &Frame<'_>, logits: &mut [f32]) -> Result<(), RunError> {
        self.load_frame(frame)?;
        self.infer(logits)
    }

    /// Resizes and crops `frame` into the input tensor. The rest of the arena serves as scratch memory.
    ///
    /// # Errors
    ///
    /// [`RunError::Preprocess`] if the frame needs more scratch memory than the arena has. A program that meets photos of
    /// any size runs [`Preprocessing`](crate::preprocess::Preprocessing) in memory of its own then, and hands the pixels
    /// to [`Self::load_pixels`].
    pub fn load_frame(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        let (input, range) = self.input();
        let preprocessing = *self.model.preprocessing();
        let (before, rest) = self.arena.split_at_mut(range.start);
        let (data, after) = rest.split_at_mut(range.len());
        let scratch = if before.len() > after.len() { before } else { after };
        input.fill_halo(data);
        let passes = if self.kernels == Kernels::Scalar { Passes::Scalar } else { Passes::detect() };
        let mut store = |row, pixels: &[u8]| store_row(&input, data, row, pixels);
        preprocessing.run_on(passes, frame, scratch.as_mut_bytes(), &mut store)?;
        Ok(())
    }

    /// Copies an image that is already resized and cropped into the input tensor: `height × width × 3` RGB bytes.
    ///
    /// # Errors
    ///
    /// [`RunError::WrongPixelCount`] if `pixels` has another length.
    pub fn load_pixels(&mut self, pixels: &[u8]) -> Result<(), RunError> {
        let (input, range) = self.input();
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

    /// Runs all steps on the input that was loaded, and writes one logit for each class.
    ///
    /// Steps reuse the arena, so the input must be loaded again before the next inference.
    ///
    /// # Errors
    ///
    /// [`RunError::WrongLogitCount`] if `logits` has another length than [`Model::class_count`].
    pub fn infer(&mut self, logits: &mut [f32]) -> Result<(), RunError> {
        self.infer_with(logits, &mut ())
    }

    /// Does what [`Self::infer`] does while `probe` observes every step.
    ///
    /// # Errors
    ///
    /// Those of [`Self::infer`].
    pub fn infer_with(&mut self, logits: &mut [f32], probe: &mut dyn Probe) -> Result<(), RunError> {
        self.infer_steps_with(0..self.model.step_count(), logits, probe)
    }

    /// Runs some of the steps, so that an inference can be done in portions.
    ///
    /// Between portions the arena holds everything, and another runner over the same bytes may go on with it. The
    /// logits are right once every step has run, once each and in order.
    ///
    /// # Errors
    ///
    /// [`RunError::WrongLogitCount`] as for [`Self::infer`]; [`RunError::NoSuchStep`] if the model has fewer steps. No
    /// step has run then.
    pub fn infer_steps(&mut self, steps: Range<usize>, logits: &mut [f32]) -> Result<(), RunError> {
        self.infer_steps_with(steps, logits, &mut ())
    }

    /// Does what [`Self::infer_steps`] does while `probe` observes every step.
    ///
    /// # Errors
    ///
    /// Those of [`Self::infer_steps`].
    pub fn infer_steps_with(
        &mut self,
        steps: Range<usize>,
        logits: &mut [f32],
        probe: &mut dyn Probe,
    ) -> Result<(), RunError> {
        let (classes, given) = (self.model.class_count(), logits.len());
        if classes != given {
            return Err(RunError::WrongLogitCount { classes, given });
        }
        let count = self.model.step_count();
        if steps.end > count {
            return Err(RunError::NoSuchStep { step: steps.end - 1, steps: count });
        }
        for index in steps {
            let Some(step) = self.model.step(index) else { break };
            self.step(index, &step, logits);
            let output = step.output();
            let output = output.as_ref().map(|t| (t, &self.arena[t.arena_offset..][..t.extent()]));
            probe.after(index, &step, output);
        }
        Ok(())
    }

    fn input(&self) -> (Tensor, Range<usize>) {
        let input = self.model.input();
        (input, input.arena_range())
    }

    fn step(&mut self, index: usize, step: &Step<'_>, logits: &mut [f32]) {
        let _ = index;
        let input_range = step.input.arena_range();
        match step.op {
            Op::Conv(conv) => {
                let separate = conv.residual.filter(|r| r.arena_offset != conv.output.arena_offset);
                // Where there is no such tensor, an empty range stands in for it.
                let residual_range = separate.map_or(0..0, |r| r.arena_range());
                let shortcut_range = conv.shortcut.map_or(0..0, |shortcut| shortcut.input.arena_range());
                let ranges = [input_range, residual_range, shortcut_range, conv.output.arena_range()];
                let [input, residual, shortcut, output] = split(self.arena, ranges);
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
                    return;
                }
                ops::conv(&task, output, self.kernels, self.workers);
            }
            Op::MaxPool(pool) => {
                let [input, output] = split(self.arena, [input_range, pool.output.arena_range()]);
                ops::max_pool(&pool, &step.input, input, output, self.workers);
            }
            Op::AvgPool(pool) => {
                let [input, output] = split(self.arena, [input_range, pool.output.arena_range()]);
                ops::avg_pool(&pool, &step.input, input, output, self.workers);
            }
            Op::GlobalAvgPool(pool) => {
                let [input, output] = split(self.arena, [input_range, pool.output.arena_range()]);
                ops::global_avg_pool(&pool, &step.input, input, output);
            }
            Op::Linear(linear) => {
                let task = LinearTask { linear: &linear, input_data: &self.arena[input_range] };
                ops::linear(&task, logits, self.kernels, self.workers);
            }
        }
    }
}

/// Returns the parts of the arena that a step reads and writes.
///
/// # Panics
///
/// If two of them overlap or one lies outside the arena, which loading has excluded for every step of a model.
fn split<const N: usize>(arena: &mut [i8], ranges: [Range<usize>; N]) -> [&mut [i8]; N] {
    arena.get_disjoint_mut(ranges).expect("loading has checked that the tensors of a step are disjoint")
}

/// Writes a row of RGB bytes as `q = pixel − 128`.
fn store_row(input: &Tensor, data: &mut [i8], row: usize, pixels: &[u8]) {
    let start = input.offset(row, 0);
    let row = &mut data[start..start + pixels.len()];
    row.iter_mut().zip(pixels).for_each(|(q, &pixel)| *q = (pixel ^ 0x80) as i8);
}
