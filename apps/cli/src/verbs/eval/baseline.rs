//! The baseline that int8 is compared with: an fp32 network, or its recorded logits.

use crate::files::{cannot_read, open_regular};
#[cfg(feature = "compile")]
use crate::offline::{network, recipe};
use crate::remedies;
use crate::terminal::Error;
use crate::terminal::output;
use memmap2::Mmap;
use resnext::Model;
use resnext_evaluation::provenance::Provenance;
use resnext_evaluation::record::Record;
use resnext_evaluation::truth::Labelled;
use resnext_evaluation::{Outcomes, Run};
use std::path::{Path, PathBuf};

/// `--baseline`.
pub(super) enum Baseline<'a> {
    /// Recorded logits.
    Recorded {
        /// The file.
        path: PathBuf,
        /// Its content.
        record: Record<'a>,
    },
    /// A network with folded batch norms.
    #[cfg(feature = "compile")]
    Network {
        /// The file.
        path: PathBuf,
        /// Its content.
        network: Box<resnext_calibration::network::Network>,
    },
}

/// Maps the file of `--baseline`.
#[expect(unsafe_code, reason = "maps a file into memory")]
pub(super) fn map(path: &Path) -> Result<Mmap, Error> {
    let remedy = if cfg!(feature = "compile") {
        "give the fp32 network that the model was compiled from, or its recorded logits"
    } else {
        "give fp32 logits recorded with `resnext eval --record`"
    };
    let file = open_regular(path, remedy)?;
    // SAFETY: the mapping is read-only and its owner keeps it private. The type system cannot know that no other process
    // changes the file while it is evaluated; checkpoints of gigabytes would not fit into memory besides.
    unsafe { Mmap::map(&file) }.map_err(|error| Error::at(path, cannot_read(&error, remedy)))
}

impl<'a> Baseline<'a> {
    /// Reads the mapped file. `weights_key` chooses among several sets of weights of a checkpoint.
    #[cfg_attr(not(feature = "compile"), expect(unused_variables, reason = "a record has no weights"))]
    pub(super) fn open(
        path: &Path,
        weights_key: Option<&str>,
        bytes: &'a [u8],
        model: &Model<'_>,
    ) -> Result<Self, Error> {
        if Record::is_record(bytes) {
            let record = Record::from_bytes(bytes, model)
                .map_err(|error| remedies::failure(path.display(), &error))?;
            return Ok(Self::Recorded { path: path.to_owned(), record });
        }
        #[cfg(feature = "compile")]
        {
            let side = model.preprocessing().crop_height as usize;
            let network = network::baseline(path, weights_key, side)?;
            recipe::compare(path, &network, model.preprocessing());
            Ok(Self::Network { path: path.to_owned(), network: Box::new(network) })
        }
        #[cfg(not(feature = "compile"))]
        Err(Error::at(
            path,
            "is not a record of fp32 logits, and this build of resnext cannot run fp32 networks; record the logits on a \
             workstation with `resnext eval MODEL.rnx --data DIR --baseline MODEL --record FILE`",
        ))
    }

    /// Returns the images that the baseline covers; an error if it covers none. With `--num`, the images that it does not cover
    /// need no mention if it covers enough.
    pub(super) fn recorded(&self, images: Labelled, num: Option<usize>) -> Result<Labelled, Error> {
        match self {
            Self::Recorded { path, record } => {
                let found = images.recorded(|key| record.contains(key));
                let missing = found.unrecorded();
                if found.is_empty() {
                    let first = images.samples().iter().next().map_or("", |sample| sample.key());
                    let recorded = record.names().next().unwrap_or_default();
                    let what = format!(
                        "has logits for none of the {} images (such as {first}; it has {recorded}); give the directory that was \
                         recorded",
                        images.len()
                    );
                    return Err(Error::at(path, what));
                }
                if missing > 0 && num.is_none_or(|num| num > found.len()) {
                    output::note(format_args!(
                        "{}: has no logits for {missing} of {} images, which are left out",
                        path.display(),
                        images.len()
                    ));
                }
                Ok(found)
            }
            #[cfg(feature = "compile")]
            Self::Network { .. } => Ok(images),
        }
    }

    /// Runs both networks.
    pub(super) fn run(&self, run: &Run<'_>) -> Result<Outcomes, Error> {
        match self {
            Self::Recorded { record, .. } => {
                resnext_evaluation::run(run, Some(record)).map_err(|error| remedies::failure("", &error))
            }
            #[cfg(feature = "compile")]
            Self::Network { path, network } => {
                resnext_calibration::evaluate::evaluate(run, network).map_err(|error| Error::at(path, error))
            }
        }
    }

    /// Returns its name for reports.
    pub(super) fn name(&self, provenance: &Provenance) -> String {
        match self {
            Self::Recorded { .. } => format!("{}, logits recorded on another machine", provenance.baseline),
            #[cfg(feature = "compile")]
            Self::Network { network, .. } if network.prequantized.is_some() => {
                format!("{} on tract, which is quantized itself", provenance.baseline)
            }
            #[cfg(feature = "compile")]
            Self::Network { .. } => format!("{} on tract", provenance.baseline),
        }
    }
}
