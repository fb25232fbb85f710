//! Any bytes as recorded fp32 logits. Their checksum is made right, so that what is behind it is reached too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resnext::Model;
use resnext_evaluation::provenance::checksum;
use resnext_evaluation::record::Record;
use resnext_models::reference;

fuzz_target!(|data: &[u8]| {
    let Ok(model) = Model::from_bytes(reference::ARTIFACT) else { return };
    let mut bytes = data.to_vec();
    let header = data.first_chunk().map_or(0, |len| u64::from_le_bytes(*len));
    let content =
        usize::try_from(header).ok().and_then(|len| data.get(len.checked_add(8)?..)).unwrap_or_default();
    let key = b"\"checksum\":\"";
    if let Some(at) = data.windows(key.len()).position(|part| part == key)
        && let Some(digits) = bytes.get_mut(at + key.len()..at + key.len() + 16)
    {
        digits.copy_from_slice(format!("{:016x}", checksum(content)).as_bytes());
    }
    match Record::from_bytes(&bytes, &model) {
        Ok(record) => {
            let mut logits = Vec::new();
            for row in 0..record.len() + 1 {
                record.read(row, &mut logits);
                assert!(logits.is_empty() || logits.len() == model.class_count());
                let _ = record.pixels(row);
            }
        }
        Err(error) => {
            let line = error.to_string();
            assert!(line.contains("; "), "{line}");
        }
    }
});
