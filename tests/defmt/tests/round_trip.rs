//! Runs a binary with `--defmt`, decodes, and compares with what it prints.
//!
//! RESNEXT_BINARY is the binary, an x86-64 or aarch64 build with feature `defmt`; RESNEXT_RUNNER, if set, runs it
//! (`tests/emulation/qemu-runner`). Where `defmt-print` is installed, which CI must have, it has to say the same of every file of records.

use resnext_defmt_round_trip::{Record, decode};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn binary() -> PathBuf {
    std::env::var_os("RESNEXT_BINARY").expect("RESNEXT_BINARY names the binary to test").into()
}

fn resnext(args: &[&str]) -> Output {
    fed(Stdio::null(), args)
}

fn fed(input: impl Into<Stdio>, args: &[&str]) -> Output {
    let mut command = match std::env::var_os("RESNEXT_RUNNER") {
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(binary());
            command
        }
        None => Command::new(binary()),
    };
    command.current_dir(root()).args(args).stdin(input).output().expect("it starts")
}

fn records(bytes: &[u8]) -> Vec<Record> {
    let records = decode(&fs::read(binary()).expect("the binary"), bytes).expect("records");
    assert!(records.is_sorted_by(|a, b| a.seconds <= b.seconds), "time goes on: {records:?}");
    if let Some(printed) = printed(bytes) {
        assert_eq!(printed.len(), records.len(), "{printed:?}");
        for (line, record) in printed.iter().zip(&records) {
            let (seconds, rest) = line.split_once(' ').expect("a time");
            assert_eq!(seconds.parse(), Ok(record.seconds), "{line}");
            let message = rest.strip_prefix(&record.level).map(str::trim_start);
            assert_eq!(message, Some(&*record.message), "{line}");
        }
    }
    records
}

/// Returns the lines of `defmt-print -e resnext < records`, which users are told to type.
fn printed(bytes: &[u8]) -> Option<Vec<String>> {
    let mut command = Command::new("defmt-print");
    let started = command.arg("-e").arg(binary()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "defmt-print: {error}, and CI must have it");
            eprintln!("skipped: defmt-print is not here (cargo install defmt-print)");
            return None;
        }
    };
    let mut stdin = child.stdin.take().expect("its input");
    let bytes = bytes.to_owned();
    let writer = thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("its end");
    writer.join().expect("the writer").expect("it reads everything");
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect())
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

/// What a record says about a frame.
struct Frame<'a> {
    number: u64,
    micros: u64,
    class: &'a str,
    label: &'a str,
    probability: f32,
    /// Of a camera: latency in microseconds, and frames dropped so far.
    camera: Option<[u64; 2]>,
}

/// `frame 2: 4097 us, class 5 n03394916 French horn, probability 0.5418`, and of a camera `, latency 6012 us, dropped 0`.
fn frame(record: &Record) -> Frame<'_> {
    assert_eq!(record.level, "INFO");
    let fields = || {
        let (number, rest) = record.message.strip_prefix("frame ")?.split_once(": ")?;
        let (micros, rest) = rest.split_once(" us, class ")?;
        let (class, rest) = rest.split_once(", probability ")?;
        let (probability, camera) = match rest.split_once(", latency ") {
            Some((probability, camera)) => (probability, Some(camera.split_once(" us, dropped ")?)),
            None => (rest, None),
        };
        let mut class = class.splitn(3, ' ').skip(1);
        let camera = match camera {
            Some((latency, dropped)) => Some([latency.parse().ok()?, dropped.parse().ok()?]),
            None => None,
        };
        Some(Frame {
            number: number.parse().ok()?,
            micros: micros.parse().ok()?,
            class: class.next()?,
            label: class.next()?,
            probability: probability.parse().ok()?,
            camera,
        })
    };
    let frame = fields().unwrap_or_else(|| panic!("not a frame: {record:?}"));
    assert!(frame.micros > 0);
    frame
}

/// Returns the records after the first, which says what is run.
fn started(records: &[Record]) -> &[Record] {
    let [start, rest @ ..] = records else { panic!("no records") };
    assert!(start.message.starts_with("resnext ") && start.message.contains("Model {"), "{start:?}");
    rest
}

fn assert_top(frame: &Frame<'_>, top: &Value) {
    let best = &top[0];
    assert_eq!(
        [frame.class, frame.label],
        [&best["class"], &best["label"]].map(|text| text.as_str().unwrap())
    );
    assert_eq!(frame.probability, best["probability"].as_f64().unwrap() as f32);
}

/// Compares the records of a `classify` with its JSON.
fn assert_same(records: &[Record], classified: &Value) {
    let frames = started(records);
    let images = classified.as_array().expect("a list of images");
    assert_eq!(frames.len(), images.len());
    for (index, (record, image)) in frames.iter().zip(images).enumerate() {
        let frame = frame(record);
        assert_eq!((frame.number, frame.camera), (index as u64, None));
        assert_top(&frame, &image["top"]);
    }
}

/// Compares the records of a `camera` with its JSON, and returns how many frames there were.
fn assert_seen(records: &[Record], output: &Output) -> usize {
    let frames = started(records);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(frames.len(), lines.len(), "{output:?}");
    for (record, line) in frames.iter().zip(&lines) {
        let frame = frame(record);
        assert_eq!(frame.number, line["frame"]);
        assert_top(&frame, &line["top"]);
        let [latency, dropped] = frame.camera.expect("latency and dropped frames");
        assert_eq!(dropped, line["dropped"]);
        assert!(frame.micros <= latency);
        // Both are rounded to microseconds; the JSON is in single precision.
        let told = 1000.0 * line["latency_ms"].as_f64().unwrap();
        assert!((told - latency as f64).abs() <= 1.0 + told * 1e-6, "{latency} {line}");
    }
    lines.len()
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
    // Without a warm-up, on one CPU: a thread that starts late would be seen to allocate.
    let cpu = rustix::thread::sched_getcpu().to_string();
    let output = resnext(&[
        "bench",
        MODEL,
        "--json",
        "--cpus",
        &cpu,
        "--warmup",
        "0",
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
    let numbers: Vec<_> = records[1..8].iter().map(|record| frame(record).number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
    for (record, warning) in records[8..].iter().zip(warnings) {
        assert_eq!(record.level, "WARN");
        assert!(warning.as_str().unwrap().starts_with(&record.message));
    }
}

#[test]
fn a_camera_s_records_say_what_its_json_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records");
    let file = file.to_str().unwrap();
    let output = resnext(&["camera", MODEL, "calibration/samples", "--json", "--defmt", file]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(assert_seen(&records(&fs::read(file).unwrap()), &output), photos().len());

    // A pipe: answers are smoothed, frames that are late are left out, and the last is cut short.
    let (reader, mut writer) = std::io::pipe().unwrap();
    let feeder = thread::spawn(move || {
        let bytes = film(60);
        writer.write_all(&bytes[..bytes.len() - 100]).unwrap();
    });
    let output = fed(reader, &["camera", MODEL, "-", "--json", "--defmt", file]);
    feeder.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut seen = records(&fs::read(file).unwrap());
    // The thread that captures records it, and may be ahead of the one that classifies.
    let warning = seen.iter().position(|record| record.level == "WARN").expect("a warning");
    let warning = seen.remove(warning).message;
    assert!(String::from_utf8_lossy(&output.stderr).contains(&warning), "{warning} {output:?}");
    assert!(assert_seen(&seen, &output) > 0);

    // What ends a camera is the last record.
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&film(10)).unwrap();
    let args = ["camera", MODEL, "-", "--json", "--every-frame", "--timeout", "2", "--defmt", file];
    let output = fed(reader, &args);
    drop(writer);
    assert_eq!(output.status.code(), Some(1));
    let mut seen = records(&fs::read(file).unwrap());
    let error = seen.pop().unwrap();
    assert_eq!(error.level, "ERROR");
    assert!(error.message.contains("no data for 2 s; "), "{error:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&error.message), "{error:?} {output:?}");
    assert_eq!(assert_seen(&seen, &output), 10);
}

#[test]
fn a_camera_that_cannot_be_opened_or_shown_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records");
    let file = file.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let cases: [&[&str]; 4] = [
        &["/dev/video99"],
        &["tests/emulation/qemu-runner"],
        &["-"],
        &["calibration/samples", "--serve", &address],
    ];
    for case in cases {
        let output = resnext(&[&["camera", MODEL, "--defmt", file], case].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let records = records(&fs::read(file).unwrap());
        let [error] = started(&records) else { panic!("{records:?}") };
        assert_eq!(error.level, "ERROR");
        let said = format!("resnext: {}\n", error.message);
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            said,
            "a line on stderr, and the same as a record"
        );
    }
}

/// Returns a film in YUV4MPEG2 with so many frames, all different.
fn film(frames: u32) -> Vec<u8> {
    let mut film = b"YUV4MPEG2 W64 H48 F30:1 C420jpeg\n".to_vec();
    for frame in 0..frames {
        film.extend(b"FRAME\n");
        film.extend((0..64 * 48 * 3 / 2).map(|at: u32| (at * (frame + 3) / 7 + 4 * frame) as u8));
    }
    film
}

/// A pseudo-terminal stands for the serial device. By default it writes a carriage return before each byte 10.
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
    let folder = tempfile::tempdir().unwrap();
    let (pipe, model) = (folder.path().join("pipe"), folder.path().join("model.rnx"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    fs::copy(root().join(MODEL), &model).unwrap();
    let before = fs::read(&model).unwrap();
    for (device, what) in [
        ("/nowhere/records", "no such directory; "),
        (folder.path().to_str().unwrap(), "is a directory; "),
        (pipe.to_str().unwrap(), "the pipe has no reader"),
        (model.to_str().unwrap(), "is the model; "),
    ] {
        let start = Instant::now();
        let output = resnext(&["classify", model.to_str().unwrap(), photo, "--defmt", device]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with(&format!("resnext: {device}: ")) && said.contains(what), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(start.elapsed() < Duration::from_secs(30), "{device} was waited for");
    }
    assert_eq!(fs::read(&model).unwrap(), before);
}

/// The reader of a pipe may leave; answers go on.
#[test]
fn a_pipe_is_read_as_long_as_somebody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let path = pipe.clone();
    let reader = thread::spawn(move || fs::read(path).unwrap());
    // The reader waits until the program opens the pipe, and the program does not wait for a reader.
    thread::sleep(Duration::from_millis(200));
    let photos = photos();
    let mut args = vec!["classify", MODEL, "--json", "--defmt", pipe.to_str().unwrap()];
    args.extend(photos.iter().map(String::as_str));
    let output = resnext(&args);
    assert!(output.status.success(), "{output:?}");
    assert_same(&records(&reader.join().unwrap()), &json(&output));
}
