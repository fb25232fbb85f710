//! Runs a convolution.

use super::partition::{Partition, in_chunks};
use crate::kernels::{ConvTask, Kernels};
use crate::workers::Workers;

pub(crate) fn conv(task: &ConvTask<'_>, output: &mut [i8], kernels: Kernels, workers: &dyn Workers) {
    let partition = Partition::new(task, workers.count());
    in_chunks(task, output, workers, partition, &|_, chunk| kernels.conv(task, chunk));
}

/// Runs a convolution that belongs to tract; `false` if step `index` is not one of those.
#[cfg(feature = "tract")]
pub(crate) fn conv_on_tract(
    gemm: &crate::TractGemm,
    index: usize,
    task: &ConvTask<'_>,
    output: &mut [i8],
    workers: &dyn Workers,
) -> bool {
    let Some(most) = gemm.parts(index) else {
        return false;
    };
    let partition = Partition::of_pixels(task, workers.count(), most);
    in_chunks(task, output, workers, partition, &|part, chunk| {
        // SAFETY: each part of a step runs once, by the contract of `Workers`.
        unsafe { gemm.conv(index, part, task, chunk) }
    });
    true
}
