//! The memory of one inference.

use std::mem;
use std::sync::Arc;

use tract_linalg::mmm::{EagerPackedInput, ScratchSpace};

use crate::memory::Slot;
use crate::model::{Kind, Model, Step};
use crate::{Error, Shape, pool};

/// Runs a [`Model`]. It owns all memory that a run needs, so that runs do not allocate.
pub struct Runner {
    model: Arc<Model>,
    slots: Vec<Slot>,
    /// A copy of the input, where a node adds it to its output.
    input: Option<Slot>,
    /// Takes the place of a slot that is being written.
    placeholder: Slot,
    panels: Vec<EagerPackedInput>,
    tile: Option<Box<dyn ScratchSpace>>,
    scratch: Vec<f32>,
}

impl Runner {
    /// Allocates the memory.
    ///
    /// # Errors
    ///
    /// tract-linalg refuses the shapes.
    pub fn new(model: Arc<Model>) -> Result<Self, Error> {
        let slots = model.plan.lens.iter().map(|&len| Ok(Slot::new(len)?)).collect::<Result<_, Error>>()?;
        let panels = model.panels.iter().map(|shape| Ok(shape.allocate()?)).collect::<Result<_, Error>>()?;
        let tile = model.steps.iter().find_map(|step| match &step.kind {
            Kind::Gemm(gemm) => Some(gemm.scratch()),
            _ => None,
        });
        let scratch = vec![0.0; model.scratch_len];
        let adds_input = model.steps.iter().any(|step| step.residual == Some(0));
        let input = adds_input.then(|| Slot::new(model.input.len())).transpose()?;
        let placeholder = Slot::new(0)?;
        Ok(Self { model, slots, input, placeholder, panels, tile, scratch })
    }

    /// Returns the model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Runs the network on `input`, `[channels][height][width]`.
    ///
    /// # Errors
    ///
    /// The input has another number of elements than its shape, or a kernel of tract-linalg fails.
    pub fn run(&mut self, input: &[f32]) -> Result<(), Error> {
        let expected = self.model.input.len();
        if input.len() != expected {
            return Err(Error::InputSize { found: input.len(), expected });
        }
        if let Some(copy) = &mut self.input {
            copy.values_mut().copy_from_slice(input);
        }
        let model = Arc::clone(&self.model);
        for (node, step) in model.steps.iter().enumerate() {
            self.step(node, step, input)?;
        }
        Ok(())
    }

    fn step(&mut self, node: usize, step: &Step, input: &[f32]) -> Result<(), Error> {
        let slot_of = &self.model.plan.slots;
        // The plan gives a node another slot than the values that it reads, so taking it out leaves those in place.
        mem::swap(&mut self.placeholder, &mut self.slots[slot_of[node]]);
        let output = &mut self.placeholder;
        let residual = step.residual.and_then(|value| match value {
            0 => self.input.as_ref(),
            value => Some(&self.slots[slot_of[value - 1]]),
        });
        let from = match step.input {
            0 => input,
            value => &self.slots[slot_of[value - 1]].values()[..step.from.len()],
        };
        let (from_shape, to) = (step.from, step.to);
        let mut result = Ok(());
        match &step.kind {
            Kind::Gemm(gemm) => {
                if let Some(tile) = &mut self.tile {
                    result = gemm.run(&mut self.panels, &mut **tile, from, residual, output);
                }
            }
            Kind::Direct(direct) => {
                let output = &mut output.values_mut()[..to.len()];
                direct.run(&mut self.scratch[..direct.scratch_len()], from, residual, output);
            }
            &Kind::MaxPool(window) => {
                pool::max(window, from_shape, to, from, &mut output.values_mut()[..to.len()])
            }
            &Kind::AvgPool(window) => {
                pool::mean(window, from_shape, to, from, &mut output.values_mut()[..to.len()])
            }
            Kind::GlobalAvgPool => pool::global_mean(from_shape, from, &mut output.values_mut()[..to.len()]),
        }
        if let Some(rounding) = step.rounding {
            rounding.apply(&mut output.values_mut()[..to.len()]);
        }
        mem::swap(&mut self.placeholder, &mut self.slots[slot_of[node]]);
        Ok(result?)
    }

    /// Returns a value that the last run has computed and that the model keeps.
    ///
    /// # Panics
    ///
    /// The model does not keep it, or it is the input, which the caller has.
    pub fn value(&self, value: usize) -> &[f32] {
        assert!(value > 0 && self.model.kept.contains(&value), "value {value} is not kept");
        let shape: Shape = self.model.steps[value - 1].to;
        &self.slots[self.model.plan.slots[value - 1]].values()[..shape.len()]
    }
}

impl Clone for Runner {
    /// Makes a runner of the same model with memory of its own.
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.model)).expect("the same memory has been allocated before")
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("input", &self.model.input).finish_non_exhaustive()
    }
}
