//! `--defmt FILE`: a record of every inference in the format that microcontrollers log in, a few bytes each.
//!
//! `defmt-print -e resnext FILE` turns records into lines, given the binary that wrote them. Without feature `defmt` the
//! option is absent and everything here does nothing.

#[cfg(feature = "defmt")]
mod logger;

use crate::error::Error;
use resnext::Model;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where records go.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Records {
    /// Also write a record of each inference to a file or serial device; defmt-print reads it, with this program as ELF
    #[cfg_attr(feature = "defmt", arg(long = "defmt", value_name = "FILE"))]
    #[cfg_attr(not(feature = "defmt"), arg(skip))]
    file: Option<PathBuf>,
}

impl Records {
    /// Opens the file and says which model is run. With no file, records go nowhere.
    pub(crate) fn start(&self, path: &Path, model: &Model<'_>) -> Result<Log, Error> {
        let Some(file) = &self.file else { return Ok(Log::default()) };
        Log::start(file, path, model)
    }
}

/// Takes records. They are written by another thread; what has not been written is waited for when this is dropped, for
/// a second at most.
#[derive(Default)]
pub(crate) struct Log {
    #[cfg(feature = "defmt")]
    open: Option<Open>,
}

#[cfg(feature = "defmt")]
struct Open {
    _writer: logger::Writer,
    inferences: u64,
    dropped: u64,
}

#[cfg(feature = "defmt")]
impl Log {
    fn start(file: &Path, path: &Path, model: &Model<'_>) -> Result<Self, Error> {
        let writer = logger::Writer::open(file).map_err(|error| {
            Error::at(file, format_args!("cannot write records: {error}; name a file or a serial device"))
        })?;
        let name = path.display().to_string();
        defmt::info!(
            "resnext {=str}: {=str}, {}",
            env!("CARGO_PKG_VERSION"),
            short(&crate::output::clean(&name)),
            model
        );
        Ok(Self { open: Some(Open { _writer: writer, inferences: 0, dropped: 0 }) })
    }

    /// An inference and its logits.
    pub(crate) fn inference(&mut self, took: Duration, model: &Model<'_>, logits: &[f32]) {
        let Some(open) = &mut self.open else { return };
        open.inferences += 1;
        let best = resnext::top_k::<1>(logits);
        let Some(hit) = best.first() else { return };
        let (id, label) = model.class(hit.class).map_or(("", ""), |class| (class.id, class.label));
        defmt::info!(
            "frame {=u64}: {=u64} us, class {=usize} {=str} {=str}, probability {=f32}",
            open.inferences,
            took.as_micros() as u64,
            hit.class,
            short(id),
            short(label),
            hit.probability
        );
        let dropped = logger::dropped();
        if dropped != open.dropped && logger::has_room() {
            open.dropped = dropped;
            defmt::warn!("{=u64} records dropped so far: the device is too slow", dropped);
        }
    }

    /// Something that the user is warned of.
    pub(crate) fn warning(&mut self, text: &str) {
        if self.open.is_some() {
            defmt::warn!("{=str}", short(&crate::output::clean(text)));
        }
    }

    /// A frame that could not be classified.
    pub(crate) fn failure(&mut self, error: &Error) {
        if self.open.is_some() {
            defmt::error!("{=str}", short(&error.to_string()));
        }
    }
}

#[cfg(not(feature = "defmt"))]
impl Log {
    fn start(_: &Path, _: &Path, _: &Model<'_>) -> Result<Self, Error> {
        Ok(Self::default())
    }

    /// An inference and its logits.
    pub(crate) fn inference(&mut self, _: Duration, _: &Model<'_>, _: &[f32]) {}

    /// Something that the user is warned of.
    pub(crate) fn warning(&mut self, _: &str) {}

    /// A frame that could not be classified.
    pub(crate) fn failure(&mut self, _: &Error) {}
}

/// As much of `text` as a record has room for.
#[cfg(feature = "defmt")]
fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(160)]
}
