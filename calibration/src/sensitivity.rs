//! What each layer costs: quantized alone, and kept in fp32 while the rest is quantized.

use crate::emulate::with_rounded_weights;
use crate::fidelity::Noise;
use crate::fp32::{Fp32Error, Fp32Model};
use crate::network::{Network, Op};
use crate::parallel::parallel;
use crate::preprocessing::Preprocessing;
use crate::quantize::{Activation, Quantized};

/// What one layer costs, as signal to quantization noise ratio of the logits in dB.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// Name of the layer.
    pub name: String,
    /// Only this layer's weights and output are quantized: low where it hurts.
    pub alone_db: f64,
    /// Everything but this layer's weights and output is quantized: high where it hurts.
    pub without_db: f64,
}

/// Runs `network` on normalised `images` with parts of it quantized, per layer but for max pools.
///
/// # Errors
///
/// The network does not run.
pub fn sensitivity(
    network: &Network,
    quantized: &Quantized,
    preprocessing: &Preprocessing,
    images: &[Vec<f32>],
    threads: usize,
) -> Result<Vec<Sensitivity>, Fp32Error> {
    let logits = network.nodes.len() - 1;
    let run = |rounded: &dyn Fn(usize) -> bool| {
        let rounded = |node: usize| !matches!(network.nodes[node].op, Op::MaxPool(_)) && rounded(node);
        let weights = with_rounded_weights(network, quantized, preprocessing, rounded);
        let value = |node: usize| (node != logits && rounded(node)).then(|| quantized.activations[node + 1]);
        let values: Vec<Option<Activation>> = std::iter::once(None).chain((0..=logits).map(value)).collect();
        let model = Fp32Model::rounded(&weights, &values, &[])?;
        parallel(images, threads, || model.clone(), |model, image| Ok(model.run(image)?.result().to_vec()))
    };
    let original = run(&|_| false)?;
    let db = |outputs: Vec<Vec<f32>>| {
        let mut noise = Noise::default();
        outputs.iter().zip(&original).for_each(|(output, fp32)| noise += Noise::of_slices(output, fp32));
        noise.sqnr_db()
    };
    let weighted = network.nodes.iter().enumerate().filter(|(_, node)| !matches!(node.op, Op::MaxPool(_)));
    weighted
        .map(|(index, node)| {
            Ok(Sensitivity {
                name: node.name.clone(),
                alone_db: db(run(&|node| node == index)?),
                without_db: db(run(&|node| node != index)?),
            })
        })
        .collect()
}
