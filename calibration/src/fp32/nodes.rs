//! From nodes of a [`Network`] to nodes of [`resnext_fp32`].

use std::ops::Range;

use resnext_fp32::{Conv, Linear, Node, Op, Rounding};

use super::error::Fp32Error;
use crate::network::{self, Activation, Network};

/// Translates the nodes `nodes` of a network, one by one. Values count from the one before the first node. Values that have
/// an entry in `rounded` are rounded.
pub(super) fn nodes<'a>(
    network: &'a Network,
    nodes: Range<usize>,
    rounded: &'a [Option<Activation>],
) -> impl Iterator<Item = Result<Node, Fp32Error>> + 'a {
    let first = nodes.start;
    nodes.map(move |index| {
        let node = &network.nodes[index];
        let value =
            |value: network::ValueId| value.0.checked_sub(first).ok_or(Fp32Error::NoSuchValue(value.0));
        let op = match &node.op {
            network::Op::Conv(conv) if conv.batch_norm.is_some() => {
                return Err(Fp32Error::NotFolded(node.name.clone()));
            }
            network::Op::Conv(conv) => Op::Conv(Conv {
                window: conv.window,
                groups: conv.groups,
                weight: conv.weight.read(),
                bias: conv.bias.clone(),
                residual: conv.residual.map(value).transpose()?,
                relu: conv.relu,
            }),
            &network::Op::MaxPool(of) => Op::MaxPool(of),
            &network::Op::AvgPool(of) => Op::AvgPool(of),
            network::Op::GlobalAvgPool => Op::GlobalAvgPool,
            network::Op::Linear(linear) => {
                Op::Linear(Linear { weight: linear.weight.read(), bias: linear.bias.clone() })
            }
        };
        let mut translated = Node::new(&node.name, value(node.input)?, node.output, op);
        translated.rounding = rounded.get(index + 1).copied().flatten().map(rounding);
        Ok(translated)
    })
}

/// Returns the rounding of int8: a value is clipped to its range and rounded to its steps.
fn rounding(activation: Activation) -> Rounding {
    let limits = [i8::MIN, i8::MAX].map(|limit| f32::from(limit) - f32::from(activation.zero_point));
    Rounding { scale: activation.scale as f32, limits }
}
