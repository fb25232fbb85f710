//! Runs a binary with `--defmt`, decodes, and compares with what it prints.
//!
//! RESNEXT_BINARY is the binary, an x86-64 or aarch64 build with feature `defmt`; RESNEXT_RUNNER, if set, runs it
//! (`ci/qemu-runner`).

use resnext_defmt_round_trip::{Record, decode};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn binary() -> PathBuf {
    std::env::var_os("RESNEXT_BINARY").expect("RESNEXT_BINARY names the binary to test").into()
}

fn resnext(args: &[&str]) -> Output {
    let mut command = match std::env::var_os("RESNEXT_RUNNER") {
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(binary());
            command
        }
        None => Command::new(binary()),
    };
    command.current_dir(root()).args(args).output().expect("it starts")
}

fn records(bytes: &[u8]) -> Vec<Record> {
    let records = decode(&fs::read(binary()).expect("the binary"), bytes).expect("records");
    assert!(records.is_sorted_by(|a, b| a.seconds <= b.seconds), "time goes on: {records:?}");
    records
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

const MODEL: &str = "models/reference/resnext26_16x4d_half-imagenette.rnx";

fn photos() -> Vec<String> {
    let folder = root().join("calibration/samples");
    let mut photos: Vec<String> = fs::read_dir(folder)
        .expect("samples")
        .map(|entry| entry.expect("a file").path().display().to_string())
        .filter(|path| path.ends_with(".jpg"))
        .collect();
    photos.sort();
    assert!(!photos.is_empty());
    photos
}

/// `frame 2: 4097 us, class 5 n03394916 French horn, probability 0.5418` → number, class, label, probability.
fn frame(record: &Record) -> (u64, String, String, f32) {
    assert_eq!(record.level, "INFO");
    let fields = || {
        let (number, rest) = record.message.strip_prefix("frame ")?.split_once(": ")?;
        let (micros, rest) = rest.split_once(" us, class ")?;
        let (class, probability) = rest.split_once(", probability ")?;
        let mut class = class.splitn(3, ' ').skip(1);
        assert!(micros.parse::<u64>().ok()? > 0);
        let (id, label) = (class.next()?.to_owned(), class.next()?.to_owned());
        Some((number.parse().ok()?, id, label, probability.parse().ok()?))
    };
    fields().unwrap_or_else(|| panic!("not a frame: {record:?}"))
}

/// Holds `records` of a `classify` against its JSON.
fn assert_same(records: &[Record], classified: &Value) {
    let [start, frames @ ..] = records else { panic!("no records") };
    assert!(start.message.starts_with("resnext ") && start.message.contains("Model {"), "{start:?}");
    let images = classified.as_array().expect("a list of images");
    assert_eq!(frames.len(), images.len());
    for (index, (record, image)) in frames.iter().zip(images).enumerate() {
        let (number, class, label, probability) = frame(record);
        let top = &image["top"][0];
        assert_eq!(number, index as u64 + 1);
        assert_eq!(
            (class.as_str(), label.as_str()),
            (top["class"].as_str().unwrap(), top["label"].as_str().unwrap())
        );
        assert_eq!(probability, top["probability"].as_f64().unwrap() as f32);
    }
}

#[test]
fn records_say_what_json_says() {
    let folder = tempfile::tempdir().unwrap();
    let (file, bad) = (folder.path().join("records"), folder.path().join("wörse.jpg"));
    fs::write(&bad, "no picture").unwrap();
    let (photos, bad) = (photos(), bad.display().to_string());
    let mut args = vec!["classify", MODEL, "--json", "--defmt", file.to_str().unwrap()];
    args.extend(photos.iter().map(String::as_str));
    args.push(&bad);
    let output = resnext(&args);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let mut records = records(&fs::read(&file).unwrap());
    let error = records.pop().unwrap();
    assert_eq!(error.level, "ERROR");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&error.message), "{error:?} {output:?}");
    assert_same(&records, &json(&output));
}

#[test]
fn bench_records_every_run_and_allocates_nothing_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records");
    let output = resnext(&[
        "bench",
        MODEL,
        "--json",
        "--warmup",
        "1",
        "--runs",
        "7",
        "--defmt",
        file.to_str().unwrap(),
    ]);
    let report = json(&output);
    assert_eq!(report["steady_state_allocations"], 0);
    let records = records(&fs::read(&file).unwrap());
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(records.len(), 1 + 7 + warnings.len());
    let numbers: Vec<_> = records[1..8].iter().map(|record| frame(record).0).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    for (record, warning) in records[8..].iter().zip(warnings) {
        assert_eq!(record.level, "WARN");
        assert!(warning.as_str().unwrap().starts_with(&record.message));
    }
}

/// A pseudo-terminal stands for the serial device: unless it is told otherwise, it puts a carriage return before each 10.
#[test]
fn a_serial_device_passes_records_as_they_are() {
    let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&host).unwrap();
    unlockpt(&host).unwrap();
    let device = ptsname(&host, Vec::new()).unwrap().into_string().unwrap();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        // Ends with an error when the last writer closes.
        let _ = fs::File::from(host).read_to_end(&mut bytes);
        bytes
    });
    let photos = photos();
    let mut args = vec!["classify", MODEL, "--json", "--defmt", &device];
    args.extend(photos.iter().map(String::as_str));
    let output = resnext(&args);
    let emulated = std::env::var_os("RESNEXT_RUNNER").is_some();
    if emulated && String::from_utf8_lossy(&output.stderr).contains("Function not implemented") {
        eprintln!("skipped: this emulator does not pass settings of terminals on (TCSETS2)");
        return;
    }
    assert!(output.status.success(), "{output:?}");
    let bytes = reader.join().unwrap();
    assert!(bytes.contains(&b'\n'), "nothing here that a terminal would change");
    assert_same(&records(&bytes), &json(&output));
}

#[test]
fn trouble_with_the_device_is_one_line() {
    let photo = &photos()[0];
    let output = resnext(&["classify", MODEL, photo, "--json", "--defmt", "/dev/full"]);
    assert!(output.status.success(), "the answer is there all the same: {output:?}");
    assert_eq!(json(&output).as_array().unwrap().len(), 1);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("resnext: --defmt: No space left") && said.lines().count() == 1, "{said}");
    let output = resnext(&["classify", MODEL, photo, "--defmt", "/nowhere/records"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("resnext: /nowhere/records: ") && said.lines().count() == 1, "{said}");
}
