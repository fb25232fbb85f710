//! What a model needs to run besides its bytes: an arena, threads and kernels.

use crate::machine::placement::Placement;
use crate::session::execution::{Execution, KernelChoice};
use crate::terminal::Error;
use resnext::pack::Packing;
use resnext::{Kernels, Model, Pool, Runner};

/// Memory and threads for one model.
pub(crate) struct Workspace {
    arena: Vec<u8>,
    placement: Placement,
    pool: Pool,
    kernels: Kernels,
    #[cfg(feature = "tract")]
    tract: Option<resnext::TractGemm>,
}

impl Workspace {
    /// Allocates the arena of `model`, pins the calling thread, and starts the other threads.
    pub(crate) fn new(model: &Model<'_>, how: &Execution) -> Result<Self, Error> {
        Self::on(model, how, how.place()?)
    }

    /// Allocates another arena of `model`, for the calling thread alone, which stays where `placement` has put it.
    pub(crate) fn one_thread(
        model: &Model<'_>,
        how: &Execution,
        placement: &Placement,
    ) -> Result<Self, Error> {
        Self::on(model, how, placement.clone().at_most(1))
    }

    fn on(model: &Model<'_>, how: &Execution, placement: Placement) -> Result<Self, Error> {
        let kernels = kernels(how.kernels)?;
        #[cfg(feature = "tract")]
        let tract = match how.kernels {
            KernelChoice::Tract => Some(tract(model, placement.threads)?),
            _ => None,
        };
        let pool = Pool::new(placement.threads).map_err(|error| {
            Error::new(
                format_args!("--threads {}", placement.threads),
                format_args!("cannot start so many threads: {error}; give a smaller number"),
            )
        })?;
        Ok(Self {
            arena: zeroed(model.arena_len())?,
            placement,
            pool,
            kernels,
            #[cfg(feature = "tract")]
            tract,
        })
    }

    /// Returns the number of threads and their CPUs.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Returns a runner of `model`, which must be the model that this workspace was made for.
    pub(crate) fn runner<'a>(&'a mut self, model: &Model<'a>) -> Result<Runner<'a>, Error> {
        let runner = Runner::new(model, &mut self.arena).map_err(|error| Error::new("", error))?;
        let runner = runner.with_kernels(self.kernels).with_workers(&self.pool);
        #[cfg(feature = "tract")]
        if let Some(tract) = &mut self.tract {
            return Ok(runner.with_tract(tract));
        }
        Ok(runner)
    }
}

/// Returns the packing of weights that suits the chosen kernels best.
pub(crate) fn packing(how: &Execution) -> Result<Packing, Error> {
    Ok(match how.kernels {
        KernelChoice::Tract => Packing::K4,
        choice => kernels(choice)?.packing(),
    })
}

/// Allocates an arena. A model may need more memory than a board has, and `vec!` would abort the program.
fn zeroed(len: usize) -> Result<Vec<u8>, Error> {
    let mut arena = Vec::new();
    arena.try_reserve_exact(len).map_err(|_| {
        Error::new(
            "",
            format_args!(
                "the model needs {len} bytes of memory to run, which are not free; stop other programs or use a smaller model"
            ),
        )
    })?;
    arena.resize(len, 0);
    Ok(arena)
}

fn kernels(choice: KernelChoice) -> Result<Kernels, Error> {
    let isa = match choice {
        KernelChoice::Auto | KernelChoice::Native => return Ok(Kernels::detect()),
        KernelChoice::Tract if cfg!(feature = "tract") => return Ok(Kernels::detect()),
        KernelChoice::Tract => {
            return Err(unusable(
                choice,
                "this build of resnext does not contain tract",
                "build it with --features tract, or ",
            ));
        }
        named => named.name(),
    };
    let found = Kernels::available().find(|kernels| kernels.isa() == isa);
    let arch = std::env::consts::ARCH;
    found.ok_or_else(|| unusable(choice, &format!("this {arch} CPU cannot run them"), ""))
}

#[cfg(feature = "tract")]
fn tract(model: &Model<'_>, threads: usize) -> Result<resnext::TractGemm, Error> {
    resnext::TractGemm::new(model, threads)
        .ok_or_else(|| unusable(KernelChoice::Tract, "tract-linalg has no int8 kernels for this CPU", ""))
}

fn unusable(choice: KernelChoice, why: &str, remedy: &str) -> Error {
    let mut choices = String::from("auto, native");
    for kernels in Kernels::available() {
        choices = choices + ", " + kernels.isa();
    }
    Error::new(
        format_args!("--kernels {}", choice.name()),
        format_args!("{why}; {remedy}use one of {choices}"),
    )
}
