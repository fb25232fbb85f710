use super::format::{class_checksum, hex};
use super::*;
use crate::journal::Journal;
use crate::outcome::Outcome;
use crate::provenance::Provenance;
use crate::samples::{Sample, Samples};
use resnext::Model;
use resnext_models::reference;

fn model() -> Model<'static> {
    Model::from_bytes(reference::ARTIFACT).expect("bundled")
}

fn logits(image: usize) -> Vec<f32> {
    (0..10).map(|class| ((image * 7 + class * 3) % 11) as f32 / 3.0 - 1.25).collect()
}

fn provenance() -> Provenance {
    Provenance { baseline: "net.onnx".to_owned(), checksum: 77 }
}

/// Returns a record of three images, which were added in another order.
fn recorded(kind: LogitType) -> Vec<u8> {
    let names = ["a/1.jpg", "a/2.jpg", "b/ü.png"];
    let samples: Samples = names.iter().map(|name| Sample::embedded(*name, None, b"")).collect();
    let journal = Journal::anonymous(tempfile::tempfile().expect("file"), 10).expect("journal");
    for image in [2, 0, 1] {
        let fp32 = logits(image);
        let outcome = Outcome::new(image, 1000 + image as u64, &[0.0; 10], Some(&fp32));
        journal.add(&outcome, &fp32).expect("room");
    }
    let mut bytes = Vec::new();
    write(&mut bytes, &journal, &samples, &model(), &provenance(), kind).expect("writes");
    bytes
}

#[test]
fn what_was_recorded_comes_back() {
    for (kind, by) in [(LogitType::F32, 0.0), (LogitType::F16, 1e-3)] {
        let bytes = recorded(kind);
        assert!(Record::is_record(&bytes));
        let record = Record::from_bytes(&bytes, &model()).expect("sound");
        assert_eq!((record.len(), record.provenance()), (3, &provenance()));
        let mut row = Vec::new();
        for (image, name) in ["a/1.jpg", "a/2.jpg", "b/ü.png"].into_iter().enumerate() {
            let found = record.find(name).expect(name);
            assert!(record.contains(name));
            assert_eq!((found, record.pixels(found)), (image, 1000 + image as u64));
            record.read(found, &mut row);
            assert_eq!(row.len(), 10);
            assert!(row.iter().zip(logits(image)).all(|(a, b)| (a - b).abs() <= by), "{row:?}");
        }
        assert_eq!(record.find("a/3.jpg"), None);
    }
    assert!(recorded(LogitType::F32) == recorded(LogitType::F32), "the same bytes each time");
}

#[test]
fn cut_and_damaged_records_are_refused() {
    let bytes = recorded(LogitType::F32);
    let model = model();
    for len in 0..bytes.len() {
        assert!(Record::from_bytes(&bytes[..len], &model).is_err(), "{len} bytes");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        // The names and the tool in the header are not part of the checksum.
        if let Ok(record) = Record::from_bytes(&damaged, &model) {
            let header = u64::from_le_bytes(*bytes.first_chunk().expect("length")) as usize;
            assert!(at < 8 + header, "byte {at} of the tensors");
            let mut row = Vec::new();
            record.read(2, &mut row);
            assert_eq!(row, logits(2), "byte {at}");
        }
    }
}

#[test]
fn other_files_are_told_apart() {
    let model = model();
    for other in [&b""[..], b"text", reference::WEIGHTS, reference::ARTIFACT] {
        assert!(!Record::is_record(other));
        assert_eq!(Record::from_bytes(other, &model).err(), Some(RecordError::NotARecord));
    }
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let bytes = recorded(LogitType::F32);
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).expect(from);
        let mut changed = bytes.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        Record::from_bytes(&changed, &model).expect_err(from)
    };
    assert_eq!(replaced("\"version\":\"1\"", "\"version\":\"2\""), RecordError::Version("2".into()));
    assert!(matches!(replaced("short side 182", "short side 183"), RecordError::Preprocessing { .. }));
    let classes = format!("\"classes\":\"{}", hex(class_checksum(&model)));
    let other = format!("\"classes\":\"{}", hex(1));
    assert_eq!(replaced(&classes, &other), RecordError::Classes);
}
