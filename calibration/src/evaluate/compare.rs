//! int8 beside fp32, layer by layer.

use resnext::program::{Step, Tensor};
use resnext::{Model, Probe, RunError, Runner};
use resnext_evaluation::noise::{Noise, argmax};

use crate::fp32::Fp32Error;
use crate::fp32::stream::Pass;
use crate::network::{Network, Node};

/// Why int8 and fp32 could not be compared. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The fp32 network does not run.
    #[error(transparent)]
    Fp32(#[from] Fp32Error),
    /// The artifact does not run.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The pass that runs int8 beside fp32, step by node, and compares their values.
pub(crate) struct Compare<'a> {
    model: Model<'a>,
    /// The step of each node; `None` if the node is fused into a later one.
    pub(crate) steps: Vec<Option<usize>>,
}

impl<'a> Compare<'a> {
    /// Compares `model` with the `network` that it was compiled from, or that its file was before another tool quantized it. The
    /// two may fuse different shortcuts, so steps and nodes are matched by name.
    pub(crate) fn new(model: Model<'a>, network: &Network) -> Self {
        let step = |node: &Node| model.steps().position(|step| step.name == node.name);
        Self { model, steps: network.nodes.iter().map(step).collect() }
    }
}

/// A photo on its way through both networks.
pub(crate) struct Pair {
    arena: Vec<u8>,
    /// The classes that int8 and fp32 name.
    classes: (usize, usize),
    /// The number of steps that have run.
    done: usize,
    /// The noise of each step.
    noise: Vec<Noise>,
}

impl Pass for Compare<'_> {
    type Worker = ();
    type Photo = Pair;
    /// The classes that int8 and fp32 name, and the noise of each step.
    type Output = ((usize, usize), Vec<Noise>);
    type Error = CompareError;

    const EVERY_VALUE: bool = true;

    fn photo_bytes(&self) -> usize {
        self.model.arena_len()
    }

    fn worker(&self) {}

    fn begin(&self, _: usize, pixels: &[u8]) -> Result<Pair, CompareError> {
        let mut arena = vec![0; self.model.arena_len()];
        Runner::new(&self.model, &mut arena)?.load_pixels(pixels)?;
        let noise = vec![Noise::default(); self.model.step_count()];
        Ok(Pair { arena, classes: (0, 0), done: 0, noise })
    }

    fn value(&self, (): &mut (), photo: &mut Pair, node: usize, values: &[f32]) -> Result<(), CompareError> {
        let Some(step) = self.steps[node].filter(|&step| step >= photo.done) else { return Ok(()) };
        let mut logits = vec![0.0; self.model.class_count()];
        let mut noise = Against { original: values, noise: None };
        // Steps without a node are run with the next step that has one.
        let steps = photo.done..step + 1;
        photo.done = steps.end;
        Runner::new(&self.model, &mut photo.arena)?.infer_steps_with(steps, &mut logits, &mut noise)?;
        photo.noise[step] = noise.noise.unwrap_or_else(|| {
            photo.classes = (argmax(&logits), argmax(values));
            Noise::of_slices(&logits, values)
        });
        Ok(())
    }

    fn end(&self, photo: Pair) -> ((usize, usize), Vec<Noise>) {
        (photo.classes, photo.noise)
    }
}

/// Compares an int8 tensor with its fp32 original as soon as it is computed.
struct Against<'a> {
    original: &'a [f32],
    /// `None` after the classifier, whose output is no tensor.
    noise: Option<Noise>,
}

impl Probe for Against<'_> {
    fn after(&mut self, _: usize, step: &Step<'_>, output: Option<(&Tensor, &[i8])>) {
        self.noise = output.map(|(tensor, data)| match step.op {
            resnext::program::Op::GlobalAvgPool(_) => Noise::of_digits(tensor, data, self.original),
            _ => Noise::of_tensor(tensor, data, self.original),
        });
    }
}
