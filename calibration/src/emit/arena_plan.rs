//! The arena: where every activation lives, decided offline by liveness.
//!
//! Buffers are placed greedily, largest first, each at the lowest offset free during its whole life: the
//! "greedy by size" of Pisarchyk and Lee, *Efficient Memory Management for Deep Neural Net Inference* (2020),
//! improved by a few rounds of trying other orders.
//! A projection shortcut that is [joined](Network::joined) with the convolution that adds it has no place; what it reads
//! lives until then. A residual that dies in the convolution that adds it hands its memory to that convolution's output.

use crate::network::{Network, Op, ValueId};
use resnext::format::{ARENA_ALIGN, TENSOR_SLACK};

/// Placement of every value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Per value. Those that are never stored have none worth reading.
    pub places: Vec<Place>,
    /// Bytes of the whole arena.
    pub arena_len: usize,
}

/// Placement of one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub offset: usize,
    /// Border in pixels: the widest padding of its consumers.
    pub halo: usize,
    /// Whether a max pool reads it, so that its border must be −128.
    pub pooled: bool,
}

struct Buffer {
    values: Vec<usize>,
    len: usize,
    /// Steps during which it is in use, inclusive. The image is there before step 0.
    first: usize,
    last: usize,
}

/// Plans the arena of `network`. The logits are the caller's and take no place.
pub fn plan(network: &Network) -> Plan {
    let values = network.nodes.len();
    let mut places = vec![Place::default(); values + 1];
    let mut last_use = vec![0; values + 1];
    for (step, node) in network.steps() {
        let place = &mut places[node.input.0];
        last_use[node.input.0] = step;
        match &node.op {
            Op::Conv(conv) => {
                place.halo = place.halo.max(conv.window.padding);
                let shortcut = network.shortcut(step).map(|shortcut| network.nodes[shortcut].input);
                if let Some(added) = shortcut.or(conv.residual) {
                    last_use[added.0] = step;
                }
            }
            Op::MaxPool(window) => {
                place.halo = place.halo.max(window.padding);
                place.pooled = true;
            }
            Op::AvgPool(_) | Op::GlobalAvgPool | Op::Linear(_) => {}
        }
    }

    let len = |value: usize| {
        let (shape, border) = (network.stored(ValueId(value)), 2 * places[value].halo);
        (shape.height + border) * (shape.width + border) * shape.channels + TENSOR_SLACK
    };
    let mut buffers: Vec<Buffer> = Vec::new();
    let mut buffer_of = vec![0; values];
    for ValueId(value) in network.tensors() {
        let first = value.saturating_sub(1);
        let inherits = value.checked_sub(1).and_then(|step| match &network.nodes[step].op {
            Op::Conv(conv) if network.shortcut(step).is_none() => conv.residual.filter(|residual| {
                last_use[residual.0] == step && places[residual.0].halo == places[value].halo
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
        buffer.values.iter().for_each(|&value| places[value].offset = offset);
    }
    Plan { places, arena_len: arena_len.next_multiple_of(ARENA_ALIGN) }
}

/// Rounds of improvement; far more than any plan has needed.
const ROUNDS: usize = 64;

/// Offsets of `buffers` and the bytes they need.
///
/// Greedy placement leaves holes. Each round moves the buffer that sticks out furthest to the front of the order, so
/// that it gets its place before those that were in its way; the best of all rounds wins.
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
    // In order of offset, so that the first gap found is the lowest.
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

    /// What a joined shortcut reads is there until the convolution that adds it is done, and nothing else in its place:
    /// neither what is computed meanwhile nor that convolution's output.
    #[test]
    fn a_joined_shortcuts_input_outlives_what_is_computed_meanwhile() {
        for network in [tiny_network(64), tiny_deep_network(64)] {
            let Plan { places, .. } = plan(&network);
            let range = |value: usize| {
                let (shape, border) = (network.stored(ValueId(value)), 2 * places[value].halo);
                let len = (shape.height + border) * (shape.width + border) * shape.channels + TENSOR_SLACK;
                places[value].offset..places[value].offset + len
            };
            let mut joined = 0;
            for (node, into) in
                (0..network.nodes.len()).filter_map(|node| Some((node, network.joined(node)?)))
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
                joined += 1;
            }
            assert_eq!(joined, network.topology.blocks.len());
        }
    }
}
