//! How `resnext camera` ends: by itself, by a signal, because its reader or its source ends, or because of its input. It always
//! ends in time, with the right status and a line that says why, and never with a panic.

use super::{RAW, coloured, fed, ffmpeg, frames, start};
use crate::support::{Folder, Ran, command};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn what_is_not_read_is_refused_by_name() {
    let folder = Folder::new();
    if !ffmpeg(&folder, &["-i", "red.png", "-pix_fmt", "yuv420p10le", "-strict", "-1", "deep.y4m"]) {
        return;
    }
    ffmpeg(&folder, &["-i", "red.png", "-pix_fmt", "yuv420p", "-vf", "setfield=tff", "interlaced.y4m"]);
    folder.write("words.txt", b"these are words, not a video");
    folder.write("empty.y4m", b"");
    std::fs::create_dir(folder.path("empty")).unwrap();
    let cases: [(&[&str], &str); 10] = [
        (&["deep.y4m"], "deep.y4m: has frames of the kind \"420p10\", which is not supported; "),
        (&["interlaced.y4m"], "interlaced.y4m: is interlaced, which is not supported; "),
        (&["words.txt"], "words.txt: is neither YUV4MPEG2, JPEG nor PNG; if it is uncompressed frames, "),
        (&["empty.y4m"], "empty.y4m: is empty; "),
        (&["empty"], "empty: has no pictures; "),
        (&["/dev/video99"], "/dev/video99: no such file or device; "),
        (&["/dev/null"], "/dev/null: is no camera: it is no video device; "),
        (&["words.txt", "--format", "nv12"], "words.txt: raw frames have no size of their own; "),
        (
            &["words.txt", "--format", "nv12", "--size", "8x8", "--stride", "4"],
            "words.txt: there is no nv12 frame of 8x8",
        ),
        (&["words.txt", "--format", "y4m"], "words.txt: is not YUV4MPEG2; "),
    ];
    for (args, start) in cases {
        let line = folder.resnext(&[&["camera", "model.rnx"], args].concat()).failure();
        assert!(line.starts_with(&format!("resnext: {start}")), "{line}");
    }
    for wrong in
        [["--format", "h264"], ["--size", "640"], ["--smooth", "median"], ["--fps", "0"], ["--frames", "0"]]
    {
        let ran = folder.resnext(&[&["camera", "model.rnx", "x"], &wrong[..]].concat());
        assert_eq!(ran.status, 2, "{wrong:?}: {}", ran.stderr);
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let folder = Folder::new();
    let mut child =
        start(&folder, &[&["camera", "model.rnx", "-", "--json", "--every-frame"], &RAW[..]].concat());
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let feeder = std::thread::spawn(move || {
        let frame = coloured(1);
        while stdin.write_all(&frame).is_ok() {}
    });
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("green"), "flushed line by line: {line}");
    drop(stdout);
    let status = within(&mut child, Duration::from_secs(10));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((status, said.as_str()), (Some(0), ""));
    feeder.join().unwrap();
}

#[test]
fn ctrl_c_ends_it_with_a_summary() {
    for signal in ["-INT", "-TERM"] {
        let folder = Folder::new();
        let mut child =
            start(&folder, &[&["camera", "model.rnx", "-", "--timeout", "60"], &RAW[..]].concat());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&coloured(2)).unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        // Half of a frame has arrived, and no more comes.
        stdin.write_all(&coloured(2)[..100]).unwrap();
        send(&child, signal);
        let status = within(&mut child, Duration::from_secs(10));
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(status, Some(0), "{said}");
        assert!(said.starts_with("resnext: 1 frame in ") && said.lines().count() == 1, "{said}");
    }
}

/// Returns the exit status, if the program ends in time.
fn within(child: &mut Child, time: Duration) -> Option<i32> {
    let start = Instant::now();
    while start.elapsed() < time {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("still running after {time:?}");
}

#[test]
fn a_stalled_pipe_ends_it_with_a_line() {
    let folder = Folder::new();
    let mut child = start(&folder, &[&["camera", "model.rnx", "-", "--timeout", "1"], &RAW[..]].concat());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&coloured(0)).unwrap();
    let status = within(&mut child, Duration::from_secs(10));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let line = "resnext: standard input: no data for 1 s; start or check the program that feeds it, or allow a longer timeout (--timeout S)\n";
    assert_eq!((status, said.as_str()), (Some(1), line));
}

#[test]
fn damaged_pictures_are_told_and_left_out() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("photos")).unwrap();
    let red = std::fs::read(folder.path("red.png")).unwrap();
    folder.write("photos/a.png", &red);
    folder.write("photos/b.png", &red[..red.len() / 2]);
    folder.write("photos/c.JPG", b"words");
    folder.write("photos/d.png", &red);
    let ran = folder.resnext(&["camera", "model.rnx", "photos", "--json"]);
    assert_eq!(ran.status, 1, "as of classify");
    assert_eq!(ran.stdout.lines().count(), 2);
    let said: Vec<_> = ran.stderr.lines().collect();
    assert!(said[0].starts_with("resnext: photos: photos/b.png is damaged ("), "{}", ran.stderr);
    assert_eq!(said[1], "resnext: photos: photos/c.JPG is not a JPEG, PNG, WebP, BMP or GIF image");
    let summary: Value = serde_json::from_str(said[2]).unwrap();
    assert_eq!((summary["frames"].as_u64(), summary["damaged"].as_u64()), (Some(2), Some(2)));

    let cut = [coloured(0), coloured(1)[..50].to_vec()].concat();
    let ran = fed(&folder, &[&["camera", "model.rnx", "-"], &RAW[..]].concat(), &cut);
    assert_eq!(ran.status, 0, "whoever feeds a pipe is often stopped within a frame");
    assert!(
        ran.stderr.starts_with("resnext: standard input: ended within a frame, after 50 of its 3600 bytes\n")
    );
}

/// Makes a named pipe.
fn pipe(folder: &Folder, name: &str) {
    assert!(Command::new("mkfifo").arg(folder.path(name)).status().unwrap().success());
}

#[test]
fn a_pipe_that_nobody_writes_to_keeps_it_for_the_timeout() {
    let folder = Folder::new();
    pipe(&folder, "pipe");
    let mut child = start(&folder, &["camera", "model.rnx", "pipe", "--timeout", "1"]);
    let status = within(&mut child, Duration::from_secs(20));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status, Some(1));
    assert!(said.starts_with("resnext: pipe: no data for 1 s; ") && said.lines().count() == 1, "{said}");

    std::fs::create_dir(folder.path("photos")).unwrap();
    pipe(&folder, "photos/a.png");
    folder.write("photos/b.png", &std::fs::read(folder.path("red.png")).unwrap());
    let ran = folder.resnext(&["camera", "model.rnx", "photos", "--json"]);
    assert_eq!((ran.status, ran.stdout.lines().count()), (1, 1), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("resnext: photos: photos/a.png is not a regular file\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn nothing_at_all_is_a_failure() {
    let folder = Folder::new();
    let empty = fed(&folder, &["camera", "model.rnx", "-"], b"").failure();
    assert!(empty.starts_with("resnext: standard input: is empty; "), "{empty}");
    let raw = fed(&folder, &[&["camera", "model.rnx", "-"], &RAW[..]].concat(), b"").failure();
    assert!(raw.starts_with("resnext: standard input: has no frames; "), "{raw}");
    folder.write("none.y4m", b"YUV4MPEG2 W4 H4\n");
    let header = folder.resnext(&["camera", "model.rnx", "none.y4m"]).failure();
    assert!(header.starts_with("resnext: none.y4m: has no frames; "), "{header}");
    let words = folder.resnext(&["camera", "model.rnx", "none.y4m", "--format", "mjpeg"]).failure();
    assert!(words.starts_with("resnext: none.y4m: has no frames; "), "{words}");
}

#[test]
fn a_size_that_is_not_the_files_is_noticed() {
    let folder = Folder::new();
    folder.write("grey.y4m", b"YUV4MPEG2 W2 H2 Cmono\nFRAME\nabcd");
    let line = folder.resnext(&["camera", "model.rnx", "grey.y4m", "--size", "4x4"]).failure();
    assert_eq!(
        line,
        "resnext: grey.y4m: has frames of 2x2 pixels, not of 4x4; leave out the size, which the stream states (--size WxH)"
    );
    folder.write("film.raw", &coloured(0));
    let raw = ["camera", "model.rnx", "film.raw", "--format", "rgb24", "--size", "33x33", "--json"];
    let ran = folder.resnext(&raw);
    assert_eq!(ran.status, 1);
    let lines = "resnext: film.raw: its 3600 bytes are no whole number of frames of 3267 bytes; check the format, the size, the \
                 stride and the rows\n\
                 resnext: film.raw: ended within a frame, after 333 of its 3267 bytes\n";
    assert!(ran.stderr.starts_with(lines), "{}", ran.stderr);
}

/// Waits until a condition is true.
fn until(what: &str, limit: Duration, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < limit, "{what} for {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the program can handle a signal.
fn catches_signals(child: &Child) {
    until("signals are not caught", Duration::from_secs(20), || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & 0b10 != 0
    });
}

/// Sends a signal, such as `-INT` for Ctrl-C.
fn send(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn ctrl_c_before_anything_has_come_is_no_failure() {
    let folder = Folder::new();
    pipe(&folder, "pipe");
    for source in ["-", "pipe"] {
        let mut child = start(&folder, &["camera", "model.rnx", source, "--timeout", "60"]);
        catches_signals(&child);
        send(&child, "-INT");
        let status = within(&mut child, Duration::from_secs(10));
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((status, said.as_str()), (Some(0), ""), "{source}");
    }
}

#[test]
fn broken_pictures_of_a_stream_are_told_once() {
    let folder = Folder::new();
    let jpeg = image::open(folder.path("red.png")).unwrap().into_rgb8();
    let image = resnext_photo::Rgb8Image { width: 40, height: 30, data: jpeg.into_raw() };
    let whole = image.to_jpeg(90).unwrap();
    let cut = &whole[..whole.len() - 2];
    let stream = [&whole[..], cut, cut, cut, &whole].concat();
    let args = ["camera", "model.rnx", "-", "--every-frame", "--json"];
    let ran = fed(&folder, &args, &stream);
    let (lines, summary) = frames(&ran);
    assert_eq!((lines.len(), &summary["damaged"]), (2, &Value::from(3)));
    let said: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(said.len(), 2, "{}", ran.stderr);
    assert_eq!(said[0], "resnext: standard input: a picture is cut");
    let ran = fed(&folder, &args, cut);
    assert_eq!(ran.status, 1, "there was not a single frame");
}

/// Frames of four components, where a decoder panicked and ended the camera.
#[test]
fn pictures_of_any_layout_do_not_end_a_stream() {
    let folder = Folder::new();
    let stream = include_bytes!("../../../../crates/photo/tests/fixtures/layouts.mjpeg");
    let lines = include_str!("../../../../crates/photo/tests/fixtures/layouts.txt");
    let refused = lines.lines().filter(|line| line.contains(" refused ")).count();
    let whole = lines.lines().count() - 1 - refused;
    let ran = fed(&folder, &["camera", "model.rnx", "-", "--every-frame", "--json"], stream);
    let (lines, summary) = frames(&ran);
    assert_eq!((lines.len(), &summary["damaged"]), (whole, &Value::from(refused)), "{}", ran.stderr);
}

#[test]
fn full_outputs_are_told_or_borne() {
    let folder = Folder::new();
    folder.write("film.raw", &[coloured(0), coloured(1)].concat());
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let args = [&["camera", "model.rnx", "film.raw", "--json"], &RAW[..]].concat();
    let run = |command: &mut Command| Ran::new(command.current_dir(folder.path("")).output().unwrap());
    let line = run(command(&args).stdout(full())).failure();
    assert!(line.starts_with("resnext: stdout: cannot be written: "), "{line}");
    let ran = run(command(&args).stderr(full()));
    assert_eq!((ran.status, ran.stdout.lines().count()), (0, 2), "the summary is lost, and no more");
}

/// The snapshots' folder vanishes and comes back while a camera runs.
#[test]
fn a_display_that_fails_is_told_once_and_tried_again() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("shots")).unwrap();
    let display = ["--snapshot", "shots/seen.png", "--snapshot-every", "1"];
    let args = [&["camera", "model.rnx", "-", "--json", "--every-frame"], &RAW[..], &display].concat();
    let mut child = start(&folder, &args);
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        let frame = coloured(1);
        while stdin.write_all(&frame).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let (mut stdout, stderr) = (BufReader::new(child.stdout.take().unwrap()), child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        while stdout.read_line(&mut line).is_ok_and(|len| len > 0) {
            assert!(line.contains("green"), "{line}");
            line.clear();
        }
    });
    let (say, said) = std::sync::mpsc::channel();
    let listener = std::thread::spawn(move || {
        BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| say.send(line).unwrap())
    });
    let next = || said.recv_timeout(Duration::from_secs(60)).unwrap();
    until("no snapshot", Duration::from_secs(60), || folder.path("shots/seen.png").exists());
    std::fs::rename(folder.path("shots"), folder.path("away")).unwrap();
    let line = next();
    let gone = "resnext: shots/seen.png: cannot be written: no such directory; create it first (mkdir -p); trying again";
    assert_eq!(line, gone);
    // After several more attempts it is still the only line.
    std::thread::sleep(Duration::from_secs(3));
    assert!(said.try_recv().is_err());
    std::fs::create_dir(folder.path("shots")).unwrap();
    assert_eq!(next(), "resnext: shots/seen.png: works again");
    assert!(folder.path("shots/seen.png").exists());
    send(&child, "-INT");
    assert_eq!(within(&mut child, Duration::from_secs(10)), Some(0));
    let summary: Value = serde_json::from_str(&next()).unwrap();
    assert!(summary["frames"].as_u64().unwrap() > 100, "it went on meanwhile: {summary}");
    assert_eq!(std::fs::read_dir(folder.path("shots")).unwrap().count(), 1, "nothing half-written is left");
    for thread in [feeder, reader, listener] {
        thread.join().unwrap();
    }
}

#[test]
fn a_snapshot_of_a_file_that_is_missing_at_the_end_is_a_failure() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("shots")).unwrap();
    // The input is so long that the program still reads it when the folder is gone.
    std::fs::File::create(folder.path("film.raw")).unwrap().set_len(3600 << 30).unwrap();
    let display = ["--snapshot", "shots/seen.png", "--snapshot-every", "1"];
    let mut child = start(&folder, &[&["camera", "model.rnx", "film.raw"], &RAW[..], &display].concat());
    until("no snapshot", Duration::from_secs(60), || folder.path("shots/seen.png").exists());
    std::fs::remove_dir_all(folder.path("shots")).unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    assert!(said.starts_with("resnext: shots/seen.png: cannot be written: "), "{said}");
    send(&child, "-INT");
    assert_eq!(within(&mut child, Duration::from_secs(10)), Some(1));
    said.clear();
    stderr.read_to_string(&mut said).unwrap();
    assert!(said.contains(" frames in ") && said.lines().count() == 1, "{said}");
}

#[test]
fn displays_that_cannot_be_had_are_named() {
    let folder = Folder::new();
    let wrong = folder.resnext(&["camera", "model.rnx", "red.png", "--snapshot", "seen.webp"]);
    assert!(
        wrong.status == 2 && wrong.stderr.contains("use a name that ends in .jpg or .png"),
        "{}",
        wrong.stderr
    );
    let cases: [(&[&str], &str); 4] = [
        (&["--fb", "/dev/null"], "/dev/null: is not a framebuffer; "),
        (&["--fb", "/dev/fb99"], "/dev/fb99: does not exist; "),
        (&["--snapshot", "none/seen.png"], "none/seen.png: "),
        (
            &["--serve", "127.0.0.1:0", "--token", "short"],
            "--serve: the token has fewer than 12 characters; ",
        ),
    ];
    for (args, start) in cases {
        let line = folder.resnext(&[&["camera", "model.rnx", "red.png"], args].concat()).failure();
        assert!(line.starts_with(&format!("resnext: {start}")), "{line}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = folder.resnext(&["camera", "model.rnx", "red.png", "--serve", &address]).failure();
    assert_eq!(line, format!("resnext: --serve: {address} is in use; choose another port"));
    assert_eq!(folder.resnext(&["camera", "--serve", "model.rnx", "red.png"]).status, 2);
}
