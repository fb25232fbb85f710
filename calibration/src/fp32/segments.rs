//! Where a network may be cut, so that its compiled weights fit a budget.

use std::ops::Range;

use crate::network::{Network, Node, Op};

/// Cuts `network` into as few runs of nodes as stay below `bytes` of compiled weights, and of working memory on `threads`
/// threads. The nodes of a run read the value before the run and no earlier one. A run that cannot be cut further may be
/// larger.
pub fn segments(network: &Network, bytes: usize, threads: usize) -> Vec<Range<usize>> {
    let nodes = &network.nodes;
    let mut segments: Vec<Range<usize>> = Vec::new();
    // tract keeps weights once more while it packs them.
    let cost = |node: &Node| {
        let weights = match &node.op {
            Op::Conv(conv) => conv.weight.len(),
            Op::Linear(linear) => linear.weight.len(),
            _ => 0,
        };
        size_of::<f32>() * (2 * weights + threads * node.output.len())
    };
    let mut end = nodes.len();
    let (mut start, mut oldest, mut sum) = (end, end, 0);
    for (index, node) in nodes.iter().enumerate().rev() {
        sum += cost(node);
        oldest = node.reads().fold(oldest, |oldest, value| oldest.min(value.0));
        // A cut before this node: nothing after it reads an earlier value.
        if oldest == index {
            if sum > bytes && start < end {
                segments.push(start..end);
                end = start;
                sum = nodes[index..end].iter().map(cost).sum();
            }
            start = index;
        }
    }
    segments.push(0..end);
    segments.reverse();
    segments
}
