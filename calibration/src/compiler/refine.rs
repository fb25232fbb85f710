//! The later passes of calibration: weights and biases are fitted to the statistics of their inputs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{CalibrationInput, CompileError, Compiler, Options};
use crate::fp32::stream::stream;
use crate::network::Network;
use crate::quantize::moments::{AT_ONCE, Gather, Moments, batches};
use crate::quantize::{Layer, QuantizeError, Quantized, requantize_node};

/// Quantizes the weights again, with the means and covariances of their inputs on the samples.
pub(super) fn refine(
    compiler: &Compiler<'_>,
    calibration: CalibrationInput<'_>,
    quantized: &mut Quantized,
) -> Result<(), CompileError> {
    let CalibrationInput { network, samples, .. } = calibration;
    let (observed, options) = (calibration.observed(), compiler.options);
    compiler.progress.set_message("rounding");
    // The inputs of a layer do not depend on the weights of others, so layers may be fitted in any order.
    let products = options.techniques.round_together;
    for nodes in batches(network, if products { AT_ONCE } else { usize::MAX }) {
        let (activations, preprocessing) = (&quantized.activations, &options.preprocessing);
        let gather = Gather::new(observed, nodes, activations, preprocessing, samples.len(), products);
        stream(&gather, Some(observed), compiler.input(samples))?;
        let refined = refine_nodes(network, quantized, gather.finish(), options)?;
        refined.into_iter().for_each(|(index, layer)| quantized.layers[index] = layer);
    }
    Ok(())
}

/// Returns the layers of the nodes that have `moments`.
fn refine_nodes(
    network: &Network,
    quantized: &Quantized,
    moments: Vec<Option<Moments>>,
    options: &Options,
) -> Result<Vec<(usize, Layer)>, QuantizeError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(moments) = moments.get(index) else { return Ok(done) };
            let Some(moments) = moments else { continue };
            let (activations, preprocessing) = (&quantized.activations, &options.preprocessing);
            done.push((index, requantize_node(network, index, activations, preprocessing, moments)?));
        }
    };
    let work = &work;
    let done = thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<_>, QuantizeError>>()
    })?;
    Ok(done.into_iter().flatten().collect())
}
