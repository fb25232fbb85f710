//! What each layer costs: quantized alone, and kept in fp32 while the rest is quantized.

use crate::compiler::emulate::{rounded_network, sqnr_db};
use crate::fp32::{Fp32Error, Fp32Model};
use crate::network::{Network, Node, Op};
use crate::preprocessing::Preprocessing;
use crate::quantize::Quantized;

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

/// Runs `network` on normalised `images` with parts of it quantized, per layer but for those that int8 rounds nothing of: max
/// pools, and the mean over all pixels.
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
