//! Follows the data through the arena. What a step reads must be what one earlier step wrote, all of it, with nothing written
//! over it since. Otherwise the logits would depend on what the arena held before.

use super::{Artifact, invalid};
use crate::error::LoadError;
use crate::format::ARENA_ALIGN;
use crate::program::Tensor;

impl Artifact<'_> {
    /// Checks every read against the writes before it, and that the arena has no room that no tensor needs.
    pub(super) fn validate_dataflow(&self) -> Result<(), LoadError> {
        // Each step writes one tensor at most, and preprocessing writes the input.
        if self.tensors.len() > self.steps.len() + 1 {
            return Err(invalid("tensor that nothing writes", self.steps.len() + 1));
        }
        for index in 0..self.steps.len() {
            for tensor in self.step(index)?.reads() {
                if !is_same_memory(&self.last_written(&tensor, index)?, &tensor) {
                    return Err(invalid("step reads memory that no step wrote as this tensor", index));
                }
            }
        }
        self.validate_arena()
    }

    /// Returns the tensor that a step before `index` wrote last to memory of `tensor`, or the input if none did.
    fn last_written(&self, tensor: &Tensor, index: usize) -> Result<Tensor, LoadError> {
        for earlier in self.steps[..index].iter().rev() {
            let output = self.tensor(earlier.output.get(), index)?;
            if overlap(&output, tensor) {
                return Ok(output);
            }
        }
        self.input()
    }

    /// Checks that the arena ends with its farthest tensor, and that it is not mostly gaps.
    fn validate_arena(&self) -> Result<(), LoadError> {
        let (mut end, mut total) = (0, 0u64);
        for id in (0..u16::MAX).take(self.tensors.len()) {
            let range = self.tensor(id, 0)?.arena_range();
            end = end.max(range.end as u64);
            total = total.saturating_add(range.len().next_multiple_of(ARENA_ALIGN) as u64);
        }
        let arena_len = self.header.arena_len.get();
        if !(end..=end.next_multiple_of(ARENA_ALIGN as u64)).contains(&arena_len) {
            return Err(invalid("arena does not end with its farthest tensor", 0));
        }
        if arena_len > total.saturating_mul(2) {
            return Err(invalid("arena is mostly gaps between tensors", 0));
        }
        Ok(())
    }
}

/// Returns whether two tensors share a byte of elements or halo.
fn overlap(a: &Tensor, b: &Tensor) -> bool {
    a.arena_offset < b.arena_offset + b.extent() && b.arena_offset < a.arena_offset + a.extent()
}

/// Returns whether two tensors have the same bytes of the arena for the same elements.
fn is_same_memory(a: &Tensor, b: &Tensor) -> bool {
    let geometry = |t: &Tensor| (t.arena_offset, t.height, t.width, t.channels, t.halo);
    geometry(a) == geometry(b)
}
