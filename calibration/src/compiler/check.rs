//! The new artifact against fp32.

use resnext::Model;
use resnext_evaluation::noise::Noise;
use resnext_evaluation::samples::Samples;

use super::{CompileError, Compiler};
use crate::evaluate::Compare;
use crate::fp32::stream::stream;

/// Most samples on which an artifact is compared with fp32.
const CHECKED_SAMPLES: usize = 64;

/// How near the artifact comes to fp32.
pub(super) struct Fidelity {
    /// The classes that int8 and fp32 name for each sample.
    pub(super) classes: Vec<(usize, usize)>,
    /// The noise of each step.
    pub(super) layers: Vec<Noise>,
}

impl Fidelity {
    /// Returns the number of samples.
    pub(super) fn samples(&self) -> usize {
        self.classes.len()
    }

    /// Returns the number of samples on which both name the same class.
    pub(super) fn agreeing(&self) -> usize {
        self.classes.iter().filter(|(int8, fp32)| int8 == fp32).count()
    }

    /// Returns the signal-to-quantization-noise ratio of the logits in dB; NaN without samples.
    pub(super) fn logit_sqnr_db(&self) -> f64 {
        self.layers.last().copied().unwrap_or_default().sqnr_db()
    }
}

/// Loads `artifact` and compares it with fp32 on some of the `samples`.
pub(super) fn check(
    compiler: &Compiler<'_>,
    artifact: &[u8],
    samples: Option<&Samples>,
) -> Result<Fidelity, CompileError> {
    let model = Model::from_bytes(artifact)?;
    let mut fidelity = Fidelity { classes: Vec::new(), layers: vec![Noise::default(); model.step_count()] };
    let Some(samples) = samples else { return Ok(fidelity) };
    let samples = samples.take_spread(CHECKED_SAMPLES);
    compiler.progress.set_message("comparing");
    let pass = Compare::new(model, compiler.network);
    let streamed = stream(&pass, Some(compiler.network), compiler.input(&samples))?;
    // Summed in the order of the samples, so that the number of threads changes nothing.
    for (classes, layers) in streamed.results.into_iter().flatten() {
        fidelity.classes.push(classes);
        fidelity.layers.iter_mut().zip(layers).for_each(|(sum, noise)| *sum += noise);
    }
    Ok(fidelity)
}
