//! Decodes the bytes that `resnext --defmt` writes, with the texts of the program that wrote them, as `defmt-print` does.

use anyhow::{Context, bail};
use defmt_decoder::{DecodeError, Table};

/// One record.
#[derive(Debug)]
pub struct Record {
    /// `INFO`, `WARN` or `ERROR`.
    pub level: String,
    /// Seconds since the program opened the file.
    pub seconds: f64,
    /// Text.
    pub message: String,
}

/// Decodes all of `bytes` with the texts of `elf`. Bytes that are left over are an error.
pub fn decode(elf: &[u8], bytes: &[u8]) -> anyhow::Result<Vec<Record>> {
    let table = Table::parse(elf)?.context("the program has no section .defmt")?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(bytes);
    let mut records = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => records.push(Record {
                level: frame.level().map_or("", |level| level.as_str()).to_uppercase(),
                seconds: frame.display_timestamp().context("a record without time")?.to_string().parse()?,
                message: frame.display_message().to_string(),
            }),
            Err(DecodeError::UnexpectedEof) => break,
            Err(DecodeError::Malformed) => bail!("malformed after {} records", records.len()),
        }
    }
    // The first frame has a separator ahead of it, too.
    let frames = bytes.split(|&byte| byte == 0).filter(|frame| !frame.is_empty()).count();
    if frames != records.len() || bytes.last().is_some_and(|&last| last != 0) {
        bail!("{} records of {frames} frames", records.len());
    }
    Ok(records)
}
