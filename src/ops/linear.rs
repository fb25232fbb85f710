//! Runs the classifier. Its parts are blocks of 16 classes.

use super::partition::Shared;
use crate::format::LANES;
use crate::kernels::{Kernels, LinearTask};
use crate::workers::{Workers, split};

pub(crate) fn linear(task: &LinearTask<'_>, logits: &mut [f32], kernels: Kernels, workers: &dyn Workers) {
    let blocks = task.linear.shape.blocks();
    let parts = workers.count().min(blocks);
    let (classes, shared) = (logits.len(), Shared::new(logits));
    workers.run(parts, &|part| {
        let blocks = split(blocks, parts, 1, part);
        let (start, end) = (blocks.start * LANES, (blocks.end * LANES).min(classes));
        // SAFETY: disjoint blocks own disjoint logits; each part runs once, by the contract of `Workers`.
        let logits = unsafe { shared.slice(start, end) };
        kernels.linear(task, blocks, logits);
    });
}
