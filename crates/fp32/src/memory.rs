//! Where values lie: slots that several values take in turn.

use tract_data::prelude::*;

/// The memory of one value at a time.
#[derive(Debug)]
pub(crate) struct Slot(Tensor);

impl Slot {
    /// Allocates a slot of zeros.
    pub(crate) fn new(len: usize) -> TractResult<Self> {
        Ok(Self(Tensor::zero::<f32>(&[len])?))
    }

    /// Returns the slot as a tensor of one dimension.
    pub(crate) fn tensor(&self) -> &Tensor {
        &self.0
    }

    /// Returns the number of elements that fit.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the elements.
    pub(crate) fn values(&self) -> &[f32] {
        // SAFETY: the tensor was made of f32, in memory of its own.
        unsafe { self.0.as_slice_unchecked() }
    }

    /// Returns the elements.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        // SAFETY: the tensor was made of f32, in memory of its own.
        unsafe { self.0.as_slice_mut_unchecked() }
    }
}

/// Which slot each value takes, and how many elements each slot has.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The slot of the output of each node.
    pub(crate) slots: Vec<usize>,
    /// The number of elements of each slot.
    pub(crate) lens: Vec<usize>,
}

impl Plan {
    /// Plans the memory of nodes that read the values `reads[node]` and compute `lens[node]` elements. Values in `keep` stay to
    /// the end; all others give their slot back when they have been read for the last time.
    pub(crate) fn new(reads: &[[Option<usize>; 2]], lens: &[usize], keep: &[usize]) -> Self {
        let mut last_read: Vec<usize> = (0..lens.len()).collect();
        for (node, reads) in reads.iter().enumerate() {
            for value in reads.iter().flatten().filter(|&&value| value > 0) {
                last_read[value - 1] = node;
            }
        }
        for &value in keep.iter().filter(|&&value| value > 0) {
            last_read[value - 1] = usize::MAX;
        }
        let mut plan = Self::default();
        let mut free: Vec<usize> = Vec::new();
        for (node, &len) in lens.iter().enumerate() {
            // The smallest slot that is large enough, or else the largest one, which grows.
            let best = (0..free.len()).min_by_key(|&i| {
                let slot = plan.lens[free[i]];
                (slot < len, slot.abs_diff(len))
            });
            let slot = best.map_or(plan.lens.len(), |i| free.swap_remove(i));
            if slot == plan.lens.len() {
                plan.lens.push(0);
            }
            plan.lens[slot] = plan.lens[slot].max(len);
            plan.slots.push(slot);
            free.extend((0..=node).filter(|&earlier| last_read[earlier] == node).map(|e| plan.slots[e]));
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_reused_but_not_while_they_are_read() {
        // A chain of four, where the last also reads the first.
        let reads = [[Some(0), None], [Some(1), None], [Some(2), None], [Some(3), Some(1)]];
        let plan = Plan::new(&reads, &[10, 20, 5, 10], &[4]);
        assert_eq!(plan.slots[0], 0);
        assert_eq!(plan.lens, [10, 20, 5], "the last one takes the slot of the second");
        assert_ne!(plan.slots[3], plan.slots[0]);
        let kept = Plan::new(&reads, &[10, 20, 5, 10], &[1, 2, 3, 4]);
        assert_eq!(kept.lens, [10, 20, 5, 10]);
    }
}
