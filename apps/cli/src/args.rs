//! Options that several verbs share.

use clap::ValueEnum;
use std::num::NonZero;
use std::thread;

/// Threads used when none are asked for, at most: the boards this is for have four cores alike, and a step
/// of tens of microseconds is not worth spreading further.
const DEFAULT_THREADS: usize = 4;

/// How to run a model.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Execution {
    /// Threads to run on [default: one per core, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// Kernels to run on; all give the same results to the bit
    #[arg(long, value_name = "KERNELS", default_value = "auto")]
    pub(crate) kernels: KernelChoice,
}

impl Execution {
    /// The number of threads, the calling one included.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            Some(threads) => usize::from(threads),
            None => thread::available_parallelism().map_or(1, NonZero::get).min(DEFAULT_THREADS),
        }
    }
}

/// `--kernels`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelChoice {
    /// The fastest for this CPU
    Auto,
    /// Portable Rust, the slowest
    Scalar,
    /// The fastest of resnext's own
    Native,
    /// tract-linalg for the GEMM-shaped layers, resnext's own for the rest
    Tract,
    /// armv8-a without dot products
    Neon,
    /// armv8.2-a with dot products (SDOT)
    Dotprod,
    /// x86-64 with AVX2
    Avx2,
}

impl KernelChoice {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
