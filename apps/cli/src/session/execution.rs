//! Options that several verbs share.

use crate::error::Error;
use crate::machine::cpus::{CpuList, Placement};
use clap::ValueEnum;

/// Threads used when none are asked for, at most: the boards this is for have four fast cores, and a step of
/// tens of microseconds is not worth spreading further.
const DEFAULT_THREADS: usize = 4;

/// How to run a model.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Execution {
    /// Threads to run on [default: one for each of --cpus; without them one per core, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// CPUs to keep the threads on, such as 0-3 or 0,2,4-5 [default: the big cores where there are little ones
    /// too, unless --threads is given]
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuList>,

    /// Kernels to run on; all give the same results to the bit
    #[arg(long, value_name = "KERNELS", default_value = "auto")]
    pub(crate) kernels: KernelChoice,
}

impl Execution {
    /// Settles on threads, and on CPUs for all threads started from now on.
    pub(crate) fn place(&self) -> Result<Placement, Error> {
        let chosen = Placement::chosen(self.threads, self.cpus.as_ref())?;
        Ok(chosen.unwrap_or_else(|| Placement::fastest().at_most(DEFAULT_THREADS)))
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
    /// armv8.6-a with matrix products (SMMLA)
    I8mm,
    /// x86-64 with AVX2
    Avx2,
    /// x86-64 with AVX-VNNI
    Avxvnni,
    /// x86-64 with AVX-512 VNNI
    Avx512vnni,
}

impl KernelChoice {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
