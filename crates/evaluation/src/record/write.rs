//! Writing records.

use super::format::{FORMAT, LogitType, VERSION, class_checksum, hex};
use crate::journal::{Journal, JournalError};
use crate::provenance::{Provenance, preprocessing};
use crate::samples::Samples;
use half::f16;
use resnext::Model;
use serde_json::json;
use std::io::{self, Write};
use xxhash_rust::xxh3::Xxh3;

/// Writes the logits that `journal` keeps for `samples` as a record.
///
/// # Errors
///
/// Returns an error if the journal cannot be read or `out` cannot be written.
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
    // Pairs of image and number in the journal, sorted by the paths of the images. The first of an image's entries counts.
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
