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
    /// The number of samples.
    pub(super) samples: usize,
    /// The number of samples on which both name the same class.
    pub(super) agreeing: usize,
    /// The noise of each step.
    pub(super) layers: Vec<Noise>,
}

/// Loads `artifact` and compares it with fp32 on some of the `samples`.
pub(super) fn check(
    compiler: &Compiler<'_>,
    artifact: &[u8],
    samples: Option<&Samples>,
) -> Result<Fidelity, CompileError> {
    let model = Model::from_bytes(artifact)?;
    let mut fidelity =
        Fidelity { samples: 0, agreeing: 0, layers: vec![Noise::default(); model.step_count()] };
    let Some(samples) = samples else { return Ok(fidelity) };
    let samples = samples.take_spread(CHECKED_SAMPLES);
    compiler.progress.set_message("comparing");
    let pass = Compare::new(model, compiler.network);
    let streamed = stream(&pass, Some(compiler.network), compiler.input(&samples))?;
    // Summed in the order of the samples, so that the number of threads changes nothing.
    for (agrees, layers) in streamed.results.into_iter().flatten() {
        fidelity.samples += 1;
        fidelity.agreeing += usize::from(agrees);
        fidelity.layers.iter_mut().zip(layers).for_each(|(sum, noise)| *sum += noise);
    }
    Ok(fidelity)
}
