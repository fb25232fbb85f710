//! The options of every verb that runs a model.

use crate::machine::cpu_list::CpuList;
use crate::machine::placement::Placement;
use crate::terminal::Error;
use clap::ValueEnum;

/// The most threads that are used without `--threads`. The boards that this program is for have four fast cores, and a step of
/// tens of microseconds gains nothing from more.
const DEFAULT_THREADS: usize = 4;

/// How to run a model.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Execution {
    /// Number of threads [default: one for each CPU of --cpus, else one for each core, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// CPUs to pin the threads to, such as 0-3 or 0,2,4-5 [default: the big cores of a machine that also has
    /// little ones, unless --threads is given]
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuList>,

    /// Kernels to run; all give bit-identical results
    #[arg(long, value_name = "KERNELS", default_value = "auto")]
    pub(crate) kernels: KernelChoice,
}

impl Execution {
    /// Chooses the number of threads, and pins this thread and all that it starts to their CPUs.
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
    /// The fastest of resnext's own kernels
    Native,
    /// tract-linalg for GEMM-shaped layers, resnext's own kernels for the rest
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
    /// Returns the name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
