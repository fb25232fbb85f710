//! fp32 logits, recorded where fp32 can run, for a board that only has the int8 model.
//!
//! A record is a [safetensors](https://github.com/huggingface/safetensors) file, so that any tool can read it:
//!
//! | tensor | type and shape | contents |
//! |---|---|---|
//! | `pixels` | U64 `[images]` | XXH3-64 of the cropped pixels of each image, `height × width × 3` bytes |
//! | `logits` | F32 or F16 `[images, classes]` | fp32's logits |
//! | `names` | U8 `[bytes]` | path of each image below the data directory, UTF-8, `/` between folders, each ended by NUL |
//!
//! Images are in the order of their paths. The metadata, all strings:
//!
//! | key | value |
//! |---|---|
//! | `format`, `version` | `resnext-fp32-logits`, `1` |
//! | `tool` | what wrote it |
//! | `baseline` | name of the fp32 network's file |
//! | `baseline_checksum` | XXH3-64 of that file, 16 hexadecimal digits |
//! | `preprocessing` | resize rule, crop, interpolation, mean and standard deviation, as text |
//! | `classes` | XXH3-64 of the classes' identifiers and labels |
//! | `checksum` | XXH3-64 of the three tensors as they lie in the file |
//!
//! What must not be mixed up is checked: another preprocessing or other classes when a record is opened with a model,
//! another photo, decoder or crop when an image is compared.

use crate::journal::{Journal, JournalError};
use crate::samples::Samples;
use half::f16;
use resnext::Model;
use safetensors::{Dtype, SafeTensors};
use serde_json::json;
use std::collections::HashMap;
use std::io::{self, Write};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const FORMAT: &str = "resnext-fp32-logits";
const VERSION: &str = "1";

/// Where the metadata of a record ends at the latest.
const MOST_METADATA: usize = 4096;

/// How logits are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogitType {
    /// As they are.
    #[default]
    F32,
    /// In half the space; the noise of rounding is 70 dB below the logits, but classes less than a thousandth apart may tie.
    F16,
}

/// Where recorded logits come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Name of the fp32 network's file.
    pub baseline: String,
    /// XXH3-64 of that file.
    pub checksum: u64,
}

/// Why a file is not a record that can be used. Displays as one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The file is something else.
    #[error("is not a record of fp32 logits; `resnext eval --baseline MODEL --record FILE` writes one")]
    NotARecord,
    /// A later version wrote it.
    #[error("is a record of version {0}, which this resnext does not know; use the resnext that wrote it")]
    Version(String),
    /// Bytes are missing or changed.
    #[error("is damaged ({0}); copy it again")]
    Damaged(&'static str),
    /// The record is for other classes.
    #[error(
        "has logits of other classes than the model; record with the network that the model was compiled from"
    )]
    Classes,
    /// The record was made from other pixels.
    #[error(
        "was recorded with another preprocessing ({record}; the model's is {model}); record again with this model"
    )]
    Preprocessing {
        /// As recorded.
        record: String,
        /// What the model wants.
        model: String,
    },
}

/// A record in memory, or mapped into it.
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
    /// Whether `bytes` are a record, sound or not, rather than a checkpoint in the same container.
    pub fn is_record(bytes: &[u8]) -> bool {
        let Some((len, rest)) = bytes.split_first_chunk() else { return false };
        let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let header = rest.get(..len.min(rest.len()).min(MOST_METADATA)).unwrap_or_default();
        header.windows(FORMAT.len()).any(|part| part == FORMAT.as_bytes())
    }

    /// Checks a record and that it is of `model`'s classes and preprocessing.
    ///
    /// # Errors
    ///
    /// [`RecordError`] says what is wrong.
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

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Where the logits come from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The row of an image by its [key](crate::samples::Sample::key).
    pub fn find(&self, key: &str) -> Option<usize> {
        self.images.get(key).copied()
    }

    /// What identifies the pixels of row `row`; see [`pixel_checksum`](crate::outcome::pixel_checksum). `row` is one that
    /// [`find`](Self::find) gave.
    pub fn pixels(&self, row: usize) -> u64 {
        self.pixels.as_chunks().0.get(row).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Reads the logits of row `row` into `logits`.
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

/// Writes the logits that `journal` kept of `samples` as a record.
///
/// # Errors
///
/// The journal cannot be read, or `out` not be written.
pub fn write(
    out: &mut dyn Write,
    journal: &Journal,
    samples: &Samples,
    model: &Model<'_>,
    provenance: &Provenance,
    kind: LogitType,
) -> io::Result<()> {
    let read =
        |index| journal.entry(index).map_err(|error: JournalError| io::Error::other(error.to_string()));
    // (image, number in the journal), in the order of the images' paths; of an image that is there twice, the first.
    let mut order = Vec::new();
    for number in 0..journal.len().map_err(|error| io::Error::other(error.to_string()))? {
        let (outcome, _) = read(number)?;
        if outcome.fp32.is_some() && outcome.image < samples.len() {
            order.push((outcome.image, number));
        }
    }
    order.sort_unstable();
    order.dedup_by_key(|(image, _)| *image);

    let (images, classes) = (order.len(), model.class_count());
    let mut names = Vec::new();
    for sample in order.iter().filter_map(|&(image, _)| samples.get(image)) {
        names.extend(sample.key().bytes().chain([0]));
    }
    let content = |out: &mut dyn FnMut(&[u8]) -> io::Result<()>| -> io::Result<()> {
        for &(_, number) in &order {
            out(&read(number)?.0.pixels.to_le_bytes())?;
        }
        for &(_, number) in &order {
            let (_, logits) = read(number)?;
            match kind {
                LogitType::F32 => out(&logits)?,
                LogitType::F16 => {
                    let values = logits.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                    let halves = values.flat_map(|value| f16::from_f32(value).to_le_bytes());
                    out(&halves.collect::<Vec<u8>>())?;
                }
            }
        }
        out(&names)
    };
    let mut checksum = Xxh3::new();
    content(&mut |bytes| {
        checksum.update(bytes);
        Ok(())
    })?;
    let (dtype, width) = match kind {
        LogitType::F32 => ("F32", 4),
        LogitType::F16 => ("F16", 2),
    };
    let pixels_end = 8 * images;
    let logits_end = pixels_end + width * images * classes;
    let header = json!({
        "__metadata__": {
            "format": FORMAT,
            "version": VERSION,
            "tool": concat!("resnext ", env!("CARGO_PKG_VERSION")),
            "baseline": provenance.baseline,
            "baseline_checksum": hex(provenance.checksum),
            "preprocessing": preprocessing(model),
            "classes": hex(class_checksum(model)),
            "checksum": hex(checksum.digest()),
        },
        "pixels": { "dtype": "U64", "shape": [images], "data_offsets": [0, pixels_end] },
        "logits": { "dtype": dtype, "shape": [images, classes], "data_offsets": [pixels_end, logits_end] },
        "names": { "dtype": "U8", "shape": [names.len()], "data_offsets": [logits_end, logits_end + names.len()] },
    });
    let mut header = header.to_string().into_bytes();
    // Tensors start at a multiple of 8 bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    content(&mut |bytes| out.write_all(bytes))
}

/// What identifies a file of weights, for [`Provenance`].
pub fn checksum(file: &[u8]) -> u64 {
    xxh3_64(file)
}

fn hex(checksum: u64) -> String {
    format!("{checksum:016x}")
}

/// What identifies the classes of a model.
fn class_checksum(model: &Model<'_>) -> u64 {
    let mut hash = Xxh3::new();
    for class in (0..model.class_count()).filter_map(|class| model.class(class)) {
        [class.id, "\t", class.label, "\n"].iter().for_each(|text| hash.update(text.as_bytes()));
    }
    hash.digest()
}

/// Everything that decides which numbers the fp32 network reads of a decoded image.
pub fn preprocessing(model: &Model<'_>) -> String {
    let preprocessing = model.preprocessing();
    format!(
        "short side {}, crop {}×{}, {:?}, sides {:?}, crop {:?}, mean {:?}, std {:?}",
        preprocessing.short_side,
        preprocessing.crop_width,
        preprocessing.crop_height,
        preprocessing.interpolation,
        preprocessing.side_rounding,
        preprocessing.crop_rounding,
        preprocessing.mean,
        preprocessing.std
    )
}

#[cfg(test)]
mod tests;
