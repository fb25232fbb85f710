//! Reading records.

use super::format::{FORMAT, LogitType, VERSION, class_checksum, hex};
use crate::provenance::{Provenance, preprocessing};
use half::f16;
use resnext::Model;
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the file within which the metadata of a record must end.
const MAX_METADATA: usize = 4096;

/// Why a record cannot be used. Displays as one line, to follow the name of the file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The file is no record.
    #[error("is not a record of fp32 logits; record them by evaluating with the fp32 network")]
    NotARecord,
    /// The record has another version.
    #[error("is a record of version {0}, which this resnext does not know; use the resnext that wrote it")]
    Version(String),
    /// Bytes of the record are missing or changed.
    #[error("is damaged ({0}); copy it again")]
    Damaged(&'static str),
    /// The record has other classes than the model.
    #[error(
        "has logits of other classes than the model; record with the network that the model was compiled from"
    )]
    Classes,
    /// The record was made with another preprocessing.
    #[error(
        "was recorded with another preprocessing ({record}; the model's is {model}); record again with this model"
    )]
    Preprocessing {
        /// The preprocessing of the record.
        record: String,
        /// The preprocessing of the model.
        model: String,
    },
}

/// A record in memory.
#[derive(Debug)]
pub struct Record<'a> {
    pixels: &'a [u8],
    logits: &'a [u8],
    kind: LogitType,
    classes: usize,
    images: HashMap<&'a str, usize>,
    provenance: Provenance,
}

impl<'a> Record<'a> {
    /// Returns whether `bytes` are a record, valid or damaged, and not a checkpoint in the same container.
    pub fn is_record(bytes: &[u8]) -> bool {
        let Some((len, rest)) = bytes.split_first_chunk() else { return false };
        let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let header = rest.get(..len.min(rest.len()).min(MAX_METADATA)).unwrap_or_default();
        header.windows(FORMAT.len()).any(|part| part == FORMAT.as_bytes())
    }

    /// Reads a record and checks it. It must have the classes and the preprocessing of `model`.
    ///
    /// # Errors
    ///
    /// Returns an error if the record is damaged, of another version or for another model.
    pub fn from_bytes(bytes: &'a [u8], model: &Model<'_>) -> Result<Self, RecordError> {
        let (header, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|_| match Self::is_record(bytes) {
                true => RecordError::Damaged("its header is broken, or it is shorter than that says"),
                false => RecordError::NotARecord,
            })?;
        let strings = metadata.metadata().clone().unwrap_or_default();
        let text = |key: &str| strings.get(key).map_or("", String::as_str);
        if text("format") != FORMAT {
            return Err(RecordError::NotARecord);
        }
        if text("version") != VERSION {
            return Err(RecordError::Version(text("version").to_owned()));
        }
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|_| RecordError::Damaged("it is shorter or longer than it says"))?;
        let data = bytes.get(size_of::<u64>() + header..).unwrap_or_default();
        if text("checksum") != hex(xxh3_64(data)) {
            return Err(RecordError::Damaged("its checksum is wrong"));
        }
        let tensor = |name| tensors.tensor(name).map_err(|_| RecordError::Damaged("a tensor is missing"));
        let (pixels, logits, names) = (tensor("pixels")?, tensor("logits")?, tensor("names")?);
        let kind = match logits.dtype() {
            Dtype::F32 => LogitType::F32,
            Dtype::F16 => LogitType::F16,
            _ => return Err(RecordError::Damaged("its logits are neither F32 nor F16")),
        };
        let images: Vec<&str> = std::str::from_utf8(names.data())
            .map_err(|_| RecordError::Damaged("a name is not UTF-8"))?
            .split_terminator('\0')
            .collect();
        let &[rows, classes] = logits.shape() else {
            return Err(RecordError::Damaged("its logits are not a table"));
        };
        if (pixels.dtype(), pixels.shape(), rows) != (Dtype::U64, &[images.len()][..], images.len()) {
            return Err(RecordError::Damaged("its tensors are of different lengths"));
        }
        if classes != model.class_count() || text("classes") != hex(class_checksum(model)) {
            return Err(RecordError::Classes);
        }
        let expected = preprocessing(model);
        if text("preprocessing") != expected {
            return Err(RecordError::Preprocessing { record: text("preprocessing").into(), model: expected });
        }
        let checksum = u64::from_str_radix(text("baseline_checksum"), 16).unwrap_or(0);
        Ok(Self {
            pixels: pixels.data(),
            logits: logits.data(),
            kind,
            classes,
            images: images.into_iter().zip(0..).collect(),
            provenance: Provenance { baseline: text("baseline").to_owned(), checksum },
        })
    }

    /// Returns the number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Returns whether the record has no image.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Returns where the logits come from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Returns the [keys](crate::samples::Sample::key) of its images, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.images.keys().copied()
    }

    /// Returns whether the record has the image with this [key](crate::samples::Sample::key).
    pub fn contains(&self, key: &str) -> bool {
        self.images.contains_key(key)
    }

    /// Returns the row of the image with this [key](crate::samples::Sample::key).
    pub fn find(&self, key: &str) -> Option<usize> {
        self.images.get(key).copied()
    }

    /// Returns the [checksum](crate::outcome::pixel_checksum) of the pixels of the image in `row`, which
    /// [`find`](Self::find) returned.
    pub fn pixels(&self, row: usize) -> u64 {
        self.pixels.as_chunks().0.get(row).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Reads the logits of the image in `row` into `logits`.
    pub fn read(&self, row: usize, logits: &mut Vec<f32>) {
        logits.clear();
        let start = row.saturating_mul(self.classes);
        let range = start..start.saturating_add(self.classes);
        match self.kind {
            LogitType::F32 => {
                let values = self.logits.as_chunks().0.get(range).unwrap_or_default();
                logits.extend(values.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            LogitType::F16 => {
                let values = self.logits.as_chunks().0.get(range).unwrap_or_default();
                logits.extend(values.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()));
            }
        }
    }
}
