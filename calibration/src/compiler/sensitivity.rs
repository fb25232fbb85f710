//! What each layer costs: quantized alone, and kept in fp32 while the rest is quantized.

use super::emulate::{rounded_network, sqnr_db};
use crate::fp32::{Fp32Error, Fp32Model};
use crate::network::{Network, Node, Op};
use crate::quantize::Quantized;
use resnext::preprocess::Preprocessing;

/// What one layer costs, as the signal-to-quantization-noise ratio of the logits in dB.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// The name of the layer.
    pub name: String,
    /// The ratio when only the weights and the output of this layer are quantized: low for a layer that costs much.
    pub alone_db: f64,
    /// The ratio when everything but the weights and the output of this layer is quantized: high for a layer that costs much.
    pub without_db: f64,
}

/// Runs `network` on normalised `images` with parts of it quantized, twice for each layer. Max pools and the mean over all pixels
/// are left out, because int8 rounds nothing there.
///
/// # Errors
///
/// If the network does not run.
pub(super) fn sensitivity(
    network: &Network,
    quantized: &Quantized,
    preprocessing: &Preprocessing,
    images: &[Vec<f32>],
    threads: usize,
) -> Result<Vec<Sensitivity>, Fp32Error> {
    let original = Fp32Model::new(network, &[])?.run_all(images, threads)?;
    let db = |rounded: &dyn Fn(usize) -> bool| {
        let model = rounded_network(network, quantized, preprocessing, rounded)?;
        Ok::<f64, Fp32Error>(sqnr_db(&model.run_all(images, threads)?, &original))
    };
    let exact = |node: &Node| matches!(node.op, Op::MaxPool(_) | Op::GlobalAvgPool);
    let rounded = network.nodes.iter().enumerate().filter(|(_, node)| !exact(node));
    rounded
        .map(|(index, node)| {
            Ok(Sensitivity {
                name: node.name.clone(),
                alone_db: db(&|node| node == index)?,
                without_db: db(&|node| node != index)?,
            })
        })
        .collect()
}
