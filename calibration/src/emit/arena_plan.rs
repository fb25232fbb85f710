//! The arena: where every activation lies, planned offline from lifetimes.
//!
//! Buffers are placed greedily, largest first, each at the lowest offset that is free during its whole life: the "greedy by
//! size" of Pisarchyk and Lee, *Efficient Memory Management for Deep Neural Net Inference* (2020), improved by a few rounds of
//! other orders. The output of a projection shortcut that is [fused](Network::fused_into) into the convolution that adds it has
//! no memory; the shortcut's input lives until that convolution. A residual that dies in the convolution that adds it hands its
//! memory to the output of that convolution.

use crate::network::{Network, Op, ValueId};
use resnext::internals::format::{ARENA_ALIGN, TENSOR_SLACK};

/// The memory of every value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArenaPlan {
    /// The memory of each value. The entries of values that are never stored mean nothing.
    pub(crate) allocations: Vec<Allocation>,
    /// Bytes of the whole arena.
    pub(crate) arena_len: usize,
}

/// The memory of one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allocation {
    /// Offset of the first byte.
    pub(crate) offset: usize,
    /// Width of the halo in pixels: the widest padding of the readers.
    pub(crate) halo: usize,
    /// Whether a max pool reads it, so that the halo must be −128.
    pub(crate) pooled: bool,
}

struct Buffer {
    values: Vec<usize>,
    len: usize,
    /// The steps during which it is in use, inclusive. The image is in use before step 0.
    first: usize,
    last: usize,
}

/// Plans the arena of `network`. The logits are not in it, because the caller owns them.
pub(crate) fn plan(network: &Network) -> ArenaPlan {
    let values = network.nodes.len();
    let mut allocations = vec![Allocation::default(); values + 1];
    let mut last_use = vec![0; values + 1];
    for (step, node) in network.steps() {
        let input = &mut allocations[node.input.0];
        last_use[node.input.0] = step;
        match &node.op {
            Op::Conv(conv) => {
                input.halo = input.halo.max(conv.window.padding);
                let shortcut = network.fused_shortcut(step).map(|shortcut| network.nodes[shortcut].input);
                if let Some(added) = shortcut.or(conv.residual) {
                    last_use[added.0] = step;
                }
            }
            Op::MaxPool(window) => {
                input.halo = input.halo.max(window.padding);
                input.pooled = true;
            }
            Op::AvgPool(_) | Op::GlobalAvgPool | Op::Linear(_) => {}
        }
    }

    let len = |value: usize| {
        let (shape, halo) = (network.stored(ValueId(value)), 2 * allocations[value].halo);
        (shape.height + halo) * (shape.width + halo) * shape.channels + TENSOR_SLACK
    };
    let mut buffers: Vec<Buffer> = Vec::new();
    let mut buffer_of = vec![0; values];
    for ValueId(value) in network.tensors() {
        let first = value.saturating_sub(1);
        let inherits = value.checked_sub(1).and_then(|step| match &network.nodes[step].op {
            Op::Conv(conv) if network.fused_shortcut(step).is_none() => conv.residual.filter(|residual| {
                last_use[residual.0] == step && allocations[residual.0].halo == allocations[value].halo
            }),
            _ => None,
        });
        match inherits {
            Some(residual) => {
                buffer_of[value] = buffer_of[residual.0];
                let buffer = &mut buffers[buffer_of[value]];
                buffer.values.push(value);
                buffer.last = last_use[value];
            }
            None => {
                buffer_of[value] = buffers.len();
                buffers.push(Buffer { values: vec![value], len: len(value), first, last: last_use[value] });
            }
        }
    }

    let (offsets, arena_len) = place(&buffers);
    for (buffer, offset) in buffers.iter().zip(offsets) {
        buffer.values.iter().for_each(|&value| allocations[value].offset = offset);
    }
    ArenaPlan { allocations, arena_len: arena_len.next_multiple_of(ARENA_ALIGN) }
}

/// Rounds of improvement; far more than any network has needed.
const ROUNDS: usize = 64;

/// Returns the offsets of `buffers` and the bytes that they need.
///
/// Greedy placement leaves holes. Each round moves the buffer that ends last to the front of the order, so that it is placed
/// before the buffers that were in its way; the best of all rounds wins.
fn place(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(buffers[index].len), buffers[index].first));
    let mut best = place_in_order(buffers, &order);
    for _ in 0..ROUNDS {
        let (offsets, arena_len) = place_in_order(buffers, &order);
        let outermost = order.iter().position(|&index| offsets[index] + buffers[index].len == arena_len);
        if arena_len < best.1 {
            best = (offsets, arena_len);
        }
        match outermost {
            Some(position) => order[..=position].rotate_right(1),
            None => break,
        }
    }
    best
}

/// Places each buffer at the lowest offset that is free during its whole life.
fn place_in_order(buffers: &[Buffer], order: &[usize]) -> (Vec<usize>, usize) {
    let mut offsets = vec![0; buffers.len()];
    // In order of offset, so that the first gap that is found is the lowest.
    let mut placed: Vec<usize> = Vec::new();
    let mut arena_len = 0;
    for &index in order {
        let buffer = &buffers[index];
        let mut offset = 0;
        for &other in &placed {
            let (start, other) = (offsets[other], &buffers[other]);
            let together = other.first <= buffer.last && buffer.first <= other.last;
            if together && start < offset + buffer.len && offset < start + other.len {
                offset = (start + other.len).next_multiple_of(ARENA_ALIGN);
            }
        }
        placed.insert(placed.partition_point(|&other| offsets[other] <= offset), index);
        offsets[index] = offset;
        arena_len = arena_len.max(offset + buffer.len);
    }
    (offsets, arena_len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::{tiny_deep_network, tiny_network};

    /// The input of a fused shortcut keeps its memory until the convolution that adds the shortcut is done: neither the values
    /// that are computed meanwhile nor the output of that convolution overlap it.
    #[test]
    fn a_fused_shortcuts_input_outlives_what_is_computed_meanwhile() {
        for network in [tiny_network(64), tiny_deep_network(64)] {
            let ArenaPlan { allocations, .. } = plan(&network);
            let range = |value: usize| {
                let (shape, halo) = (network.stored(ValueId(value)), 2 * allocations[value].halo);
                let len = (shape.height + halo) * (shape.width + halo) * shape.channels + TENSOR_SLACK;
                allocations[value].offset..allocations[value].offset + len
            };
            let mut fused = 0;
            for (node, into) in
                (0..network.nodes.len()).filter_map(|node| Some((node, network.fused_into(node)?)))
            {
                let input = network.nodes[node].input.0;
                let read = range(input);
                let written = (input..=into).filter(|&step| step != node).map(|step| step + 1);
                for value in written.filter(|&value| value != input) {
                    let other = range(value);
                    assert!(
                        read.end <= other.start || other.end <= read.start,
                        "{}: {read:?}, {value}: {other:?}",
                        network.nodes[node].name
                    );
                }
                fused += 1;
            }
            assert_eq!(fused, network.architecture.blocks.len());
        }
    }
}
