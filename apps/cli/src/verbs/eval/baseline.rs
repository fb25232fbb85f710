//! What int8 is compared with: an fp32 network, or its logits as they were recorded.

use crate::error::Error;
#[cfg(feature = "compile")]
use crate::offline::network;
use crate::session::artifact;
use crate::terminal::output;
use memmap2::Mmap;
use resnext::Model;
use resnext_evaluation::record::{Provenance, Record};
use resnext_evaluation::truth::Labelled;
use resnext_evaluation::{Outcomes, Run};
use std::path::{Path, PathBuf};

/// `--baseline`.
pub(super) enum Baseline<'a> {
    /// Logits that were recorded.
    Recorded {
        /// The file.
        path: PathBuf,
        /// What is in it.
        record: Record<'a>,
    },
    /// A network, folded.
    #[cfg(feature = "compile")]
    Network {
        /// The file.
        path: PathBuf,
        /// What is in it.
        network: Box<resnext_calibration::network::Network>,
    },
}

/// Maps the file.
pub(super) fn map(path: &Path) -> Result<Mmap, Error> {
    let remedy = if cfg!(feature = "compile") {
        "give the fp32 network that the model was compiled from, or its recorded logits"
    } else {
        "give fp32 logits recorded with `resnext eval --record`"
    };
    Ok(artifact::map(path, remedy)?.1)
}

impl<'a> Baseline<'a> {
    /// Reads what is in a mapped file.
    pub(super) fn open(path: &Path, bytes: &'a [u8], model: &Model<'_>) -> Result<Self, Error> {
        if Record::is_record(bytes) {
            let record = Record::from_bytes(bytes, model).map_err(|error| Error::at(path, error))?;
            return Ok(Self::Recorded { path: path.to_owned(), record });
        }
        #[cfg(feature = "compile")]
        {
            let network = network::read(path, Some(model.preprocessing().crop_height as usize))?;
            Ok(Self::Network { path: path.to_owned(), network: Box::new(network) })
        }
        #[cfg(not(feature = "compile"))]
        Err(Error::at(
            path,
            "is no record of fp32 logits, and this build of resnext cannot run fp32; record them on a workstation with \
             `resnext eval MODEL.rnx --data DIR --baseline MODEL --record FILE`",
        ))
    }

    /// The images that there is a baseline for.
    pub(super) fn recorded(&self, images: Labelled) -> Result<Labelled, Error> {
        match self {
            Self::Recorded { path, record } => {
                let found = images.recorded(record);
                let missing = found.unrecorded();
                if found.is_empty() {
                    let first = images.samples().iter().next().map_or("", |sample| sample.key());
                    let what = format!(
                        "has logits of none of the {} images (no {first}); give the directory that they were recorded of",
                        images.len()
                    );
                    return Err(Error::at(path, what));
                }
                if missing > 0 {
                    output::note(format_args!(
                        "{}: has no logits of {missing} of {} images, which are left out",
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
                resnext_evaluation::run(run, Some(record)).map_err(|error| Error::new("", error))
            }
            #[cfg(feature = "compile")]
            Self::Network { path, network } => {
                resnext_calibration::evaluate::evaluate(run, network).map_err(|error| Error::at(path, error))
            }
        }
    }

    /// What to call it in a report.
    pub(super) fn name(&self, provenance: &Provenance) -> String {
        match self {
            Self::Recorded { .. } => format!("{}, logits recorded on another machine", provenance.baseline),
            #[cfg(feature = "compile")]
            Self::Network { .. } => format!("{} on tract", provenance.baseline),
        }
    }
}
