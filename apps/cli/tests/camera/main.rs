//! `resnext camera` without a camera: pictures, files that ffmpeg writes, pipes, and their failures.
#![cfg(target_os = "linux")]

mod endings;
mod replaced;
#[path = "../support/mod.rs"]
mod support;
mod unread;

use resnext_testing::data;
use resnext_testing::networks::COLOURS;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use support::{Folder, Ran, command, reference_model};

/// Runs ffmpeg in `folder`. Returns false if there is no ffmpeg; CI must have it.
fn ffmpeg(folder: &Folder, args: &[&str]) -> bool {
    let command =
        Command::new("ffmpeg").args(["-v", "error", "-y"]).args(args).current_dir(folder.path("")).output();
    let Ok(output) = command else {
        assert!(std::env::var_os("CI").is_none(), "ffmpeg is missing and CI must have it");
        eprintln!("skipped: ffmpeg is not here (apt-get install ffmpeg)");
        return false;
    };
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

/// Returns photos of ImageNet from `RESNEXT_DATA` or beside the repository, or else those of the repository. CI must have the
/// former.
fn photos(most: usize) -> Vec<PathBuf> {
    let folder = data::folder("imagenette/val").unwrap_or_else(|| data::root().join("calibration/samples"));
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|end| end.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("jpg" | "jpeg" | "JPEG") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    let step = (found.len() / most).max(1);
    found.into_iter().step_by(step).take(most).collect()
}

/// Runs the program with input from a file.
fn fed(folder: &Folder, args: &[&str], input: &[u8]) -> Ran {
    let mut child = start(folder, args);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // The program may end before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran::new(output)
}

fn start(folder: &Folder, args: &[&str]) -> Child {
    let mut command = command(args);
    command.current_dir(folder.path("")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Returns the lines of a run with `--json`, and its summary.
fn frames(ran: &Ran) -> (Vec<Value>, Value) {
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let lines = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap())
}

/// Returns the classes of each frame, to the last digit.
fn tops(lines: &[Value]) -> Vec<Value> {
    lines.iter().map(|line| line["top"].clone()).collect()
}

const EXACT: [&str; 5] = ["--json", "--smooth", "none", "--top-k", "5"];

fn camera(folder: &Folder, model: &str, source: &str, more: &[&str]) -> Vec<Value> {
    let ran = folder.resnext(&[&["camera", model, source], &EXACT[..], more].concat());
    let (lines, summary) = frames(&ran);
    assert_eq!(summary["dropped"], 0);
    assert_eq!(summary["frames"], lines.len());
    assert!(lines.iter().enumerate().all(|(index, line)| line["frame"] == index));
    tops(&lines)
}

fn classify(folder: &Folder, model: &str, images: &[&str]) -> Vec<Value> {
    let ran = folder.resnext(&[&["classify", model, "--json", "--top-k", "5"], images].concat());
    tops(ran.json().as_array().unwrap())
}

#[test]
fn pictures_and_motion_jpeg_say_what_classify_says() {
    let Some(model) = reference_model() else { return };
    let model = model.to_str().unwrap();
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("photos/more")).unwrap();
    let mut stream = Vec::new();
    let mut names = Vec::new();
    for (index, photo) in photos(12).iter().enumerate() {
        let bytes = std::fs::read(photo).unwrap();
        let name = format!("photos/{}{index:02}.jpg", if index > 8 { "more/" } else { "" });
        folder.write(&name, &bytes);
        stream.extend(&bytes);
        names.push(name);
    }
    names.sort();
    folder.write("photos/readme.txt", b"no picture");
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(camera(&folder, model, "photos", &[]), classify(&folder, model, &names));

    // The frames come in the order in which they were written.
    let order: Vec<_> = (0..names.len()).collect();
    let paths: Vec<_> = order
        .iter()
        .map(|index| format!("photos/{}{index:02}.jpg", if *index > 8 { "more/" } else { "" }))
        .collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let expected = classify(&folder, model, &paths);
    folder.write("stream.mjpeg", &stream);
    assert_eq!(camera(&folder, model, "stream.mjpeg", &[]), expected);
    let ran = fed(&folder, &[&["camera", model, "-", "--every-frame"], &EXACT[..]].concat(), &stream);
    assert_eq!(tops(&frames(&ran).0), expected, "from a pipe");
    assert_eq!(camera(&folder, model, paths[0], &[]), expected[..1], "a single file");
}

/// Frames of 4:2:0 are the same in every container, and so are frames of 4:2:2 and of RGB.
#[test]
fn what_ffmpeg_writes_is_read_to_the_bit() {
    let Some(model) = reference_model() else { return };
    let model = model.to_str().unwrap();
    for (width, height) in [(320, 240), (321, 239)] {
        let folder = Folder::new();
        let size = format!("{width}x{height}");
        let mut pictures = Vec::new();
        for (index, photo) in photos(6).iter().enumerate() {
            let (from, to) = (photo.canonicalize().unwrap(), format!("{index}.png"));
            let scale = format!("scale={width}:{height}");
            if !ffmpeg(&folder, &["-i", from.to_str().unwrap(), "-vf", &scale, "-pix_fmt", "rgb24", &to]) {
                return;
            }
            pictures.push(to);
        }
        let names: Vec<_> = pictures.iter().map(String::as_str).collect();
        let expected = classify(&folder, model, &names);
        let labels = |tops: &[Value]| tops.iter().map(|top| top[0]["label"].clone()).collect::<Vec<_>>();
        for format in ["rgb24", "bgr24", "rgb0", "bgr0"] {
            let file = format!("all.{format}");
            ffmpeg(&folder, &["-i", "%d.png", "-f", "rawvideo", "-pix_fmt", format, &file]);
            let got = camera(&folder, model, &file, &["--format", format, "--size", &size]);
            assert_eq!(got, expected, "{format}");
        }
        // From here on, colours are rounded to YUV and pixels share chroma, so a label may change if it was a close call.
        let agree = |got: &[Value], what: &str| {
            assert_eq!(got.len(), expected.len(), "{what}");
            let same = labels(got).iter().zip(labels(&expected)).filter(|(a, b)| *a == b).count();
            assert!(same + 1 >= expected.len(), "{what}: {same} labels of {}", expected.len());
        };
        let families = [
            ("yuv420p", &["yuv420p", "nv12", "nv21"][..]),
            ("yuv422p", &["yuv422p", "yuyv422", "uyvy422"]),
            ("yuv444p", &["yuv444p"]),
        ];
        for (y4m, raws) in families {
            ffmpeg(&folder, &["-i", "%d.png", "-pix_fmt", y4m, "all.y4m"]);
            let reference = camera(&folder, model, "all.y4m", &[]);
            agree(&reference, y4m);
            for raw in raws {
                let file = format!("all.{raw}");
                ffmpeg(&folder, &["-i", "all.y4m", "-f", "rawvideo", "-pix_fmt", raw, &file]);
                let got = camera(&folder, model, &file, &["--format", raw, "--size", &size]);
                assert_eq!(got, reference, "{raw} is {y4m} in another order");
            }
            // The same levels, under other names.
            ffmpeg(&folder, &["-i", "%d.png", "-pix_fmt", &y4m.replace("yuv", "yuvj"), "full.y4m"]);
            agree(&camera(&folder, model, "full.y4m", &[]), "full range");
            let wrong = camera(&folder, model, "full.y4m", &["--range", "limited"]);
            assert_ne!(wrong, camera(&folder, model, "full.y4m", &[]), "the range matters");
        }
        // Every channel of a grey picture is grey.
        ffmpeg(&folder, &["-i", "%d.png", "-pix_fmt", "gray", "-color_range", "pc", "grey%d.png"]);
        ffmpeg(&folder, &["-i", "grey%d.png", "-f", "rawvideo", "-pix_fmt", "gray", "all.gray"]);
        let got =
            camera(&folder, model, "all.gray", &["--format", "gray", "--size", &size, "--range", "full"]);
        let greys: Vec<_> = (1..=names.len()).map(|index| format!("grey{index}.png")).collect();
        let greys: Vec<_> = greys.iter().map(String::as_str).collect();
        assert_eq!(got, classify(&folder, model, &greys), "grey");
        ffmpeg(&folder, &["-i", "%d.png", "-pix_fmt", "gray", "grey.y4m"]);
        assert_eq!(camera(&folder, model, "grey.y4m", &[]).len(), names.len());
    }
}

/// Returns a raw frame of 40×30 pixels in one colour of the model.
fn coloured(channel: usize) -> Vec<u8> {
    let mut pixel = [20; 3];
    pixel[channel] = 220;
    pixel.repeat(40 * 30)
}

const RAW: [&str; 4] = ["--format", "rgb24", "--size", "40x30"];

#[test]
fn json_is_a_line_for_each_frame() {
    let folder = Folder::new();
    let film: Vec<u8> = [0, 0, 1, 2].into_iter().flat_map(coloured).collect();
    folder.write("film.raw", &film);
    let ran = folder.resnext(&[&["camera", "model.rnx", "film.raw", "--json"], &RAW[..]].concat());
    let (lines, summary) = frames(&ran);
    let labels: Vec<_> = lines.iter().map(|line| line["top"][0]["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["red", "red", "green", "blue"], "files are not smoothed");
    for (index, line) in lines.iter().enumerate() {
        let mut keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["dropped", "frame", "latency_ms", "t_ms", "top"]);
        assert_eq!(line["frame"], index);
        assert!(line["latency_ms"].as_f64().unwrap() > 0.0 && line["t_ms"].as_f64().unwrap() >= 0.0);
    }
    // As in `classify`: the identifier, or the index if the model has no identifiers.
    assert_eq!([&lines[0]["top"][0]["class"], &lines[3]["top"][0]["class"]], ["c0", "2"]);
    assert!(lines.windows(2).all(|pair| pair[0]["t_ms"].as_f64() <= pair[1]["t_ms"].as_f64()));
    for part in ["latency_ms", "inference_ms"] {
        let at = |p: &str| summary[part][p].as_f64().unwrap();
        assert!(0.0 < at("p50") && at("p50") <= at("p99") && at("p99") <= at("max"), "{summary}");
    }
    let [latency, inference] =
        ["latency_ms", "inference_ms"].map(|part| summary[part]["p50"].as_f64().unwrap());
    assert!(latency >= inference);

    let two =
        folder.resnext(&[&["camera", "model.rnx", "film.raw", "--json", "--frames", "2"], &RAW[..]].concat());
    assert_eq!(frames(&two).0.len(), 2);
}

#[test]
fn a_log_has_a_line_for_each_change_of_label() {
    let folder = Folder::new();
    let film: Vec<u8> = [0, 0, 0, 2, 2, 1, 1].into_iter().flat_map(coloured).collect();
    folder.write("film.raw", &film);
    let ran = folder.resnext(&[&["camera", "model.rnx", "film.raw"], &RAW[..]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let shown: Vec<_> =
        ran.stdout.lines().map(|line| line.split_whitespace().skip(2).collect::<Vec<_>>()).collect();
    let expected = [("0", "red"), ("3", "blue"), ("5", "green")];
    assert_eq!(shown.len(), expected.len(), "{}", ran.stdout);
    for (words, (frame, label)) in shown.iter().zip(expected) {
        assert_eq!((words[1], words[words.len() - 1]), (frame, label), "{}", ran.stdout);
    }
    let summary = ran.stderr.trim_end();
    assert!(
        summary.starts_with("resnext: 7 frames in ") && summary.contains(", 0 dropped; capture to label "),
        "{summary}"
    );

    // A majority ignores single frames.
    let film: Vec<u8> = [0, 0, 1, 0, 2, 0].into_iter().flat_map(coloured).collect();
    folder.write("film.raw", &film);
    let ran =
        folder.resnext(&[&["camera", "model.rnx", "film.raw", "--smooth", "majority:3"], &RAW[..]].concat());
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
}

#[test]
fn a_pipe_drops_what_is_stale_and_counts_it() {
    let folder = Folder::new();
    let film: Vec<u8> = (0..400).flat_map(|frame| coloured(frame / 134)).collect();
    let args = [&["camera", "model.rnx", "-", "--json", "--smooth", "none"], &RAW[..]].concat();
    let (lines, summary) = frames(&fed(&folder, &args, &film));
    let [shown, dropped] = ["frames", "dropped"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!((shown + dropped, shown), (400, lines.len() as u64));
    let numbers: Vec<_> = lines.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]) && numbers.last() == Some(&399), "{numbers:?}");
    for line in &lines {
        let colour = COLOURS[line["frame"].as_u64().unwrap() as usize / 134];
        assert_eq!(line["top"][0]["label"], colour, "{line}");
    }
    let every = fed(&folder, &[&args[..], &["--every-frame"]].concat(), &film);
    assert_eq!(frames(&every).1["frames"], 400);
}

#[test]
fn a_recording_can_be_played_at_its_rate() {
    let folder = Folder::new();
    let film: Vec<u8> = (0..20).flat_map(|_| coloured(0)).collect();
    folder.write("film.raw", &film);
    let args =
        [&["camera", "model.rnx", "film.raw", "--json", "--realtime", "--fps", "50"], &RAW[..]].concat();
    let (_, summary) = frames(&folder.resnext(&args));
    assert_eq!(summary["frames"].as_u64().unwrap() + summary["dropped"].as_u64().unwrap(), 20);
    assert!(summary["seconds"].as_f64().unwrap() > 0.3, "19 intervals of 20 ms: {summary}");
}

#[test]
fn frames_larger_than_the_arena_are_classified_too() {
    let folder = Folder::new();
    // The arena of the model holds pictures of 16×16 pixels.
    let large = [20, 220, 20].repeat(1920 * 1080);
    folder.write("large.raw", &large);
    let args = ["camera", "model.rnx", "large.raw", "--json", "--format", "rgb24", "--size", "1920x1080"];
    assert_eq!(frames(&folder.resnext(&args)).0[0]["top"][0]["label"], "green");
}

#[test]
fn a_snapshot_is_left_for_whoever_wants_to_look() {
    let folder = Folder::new();
    let ran = folder.resnext(&["camera", "model.rnx", "blue.png", "--snapshot", "seen.png"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let seen = image::open(folder.path("seen.png")).unwrap().into_rgb8();
    assert!(seen.pixels().any(|pixel| pixel.0 == [20, 20, 220]), "the picture shows");

    let ran = folder.resnext(&["camera", "model.rnx", "blue.png", "--snapshot", "seen.jpg"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let bytes = std::fs::read(folder.path("seen.jpg")).unwrap();
    assert!(bytes.starts_with(&[0xff, 0xd8]), "a JPEG, as its name says");
    let seen = resnext_photo::Rgb8Image::decode(&bytes).unwrap();
    let blue = seen.data.chunks_exact(3).filter(|pixel| pixel[2] > 200 && pixel[0] < 40).count();
    assert!(blue > 1000, "the picture shows");
}

/// Planes that are padded below, as hardware decoders do. The frames are those of the file without padding.
#[test]
fn padded_planes_are_read_as_stated_and_remarked_on_if_not() {
    let folder = Folder::new();
    let (width, height, rows) = (98, 74, 80);
    // Red, green and blue of the model as Y, U, V in the full range of BT.601.
    let colours = [(79, 95, 228), (140, 60, 43), (43, 228, 112)];
    let frames = |rows: usize| -> Vec<u8> {
        let frame = |(y, u, v): (u8, u8, u8)| {
            // What lies in the padding is not to be seen.
            let luma = [vec![y; width * height], vec![255 - y; width * (rows - height)]].concat();
            let chroma =
                [[u, v].repeat(width / 2 * height / 2), [v, u].repeat(width / 2 * (rows - height) / 2)]
                    .concat();
            [luma, chroma].concat()
        };
        colours.into_iter().flat_map(frame).collect()
    };
    folder.write("tight.raw", &frames(height));
    folder.write("padded.raw", &frames(rows));
    let how = ["--format", "nv12", "--size", "98x74", "--range", "full"];
    let expected = camera(&folder, "model.rnx", "tight.raw", &how);
    let labels: Vec<_> = expected.iter().map(|top| top[0]["label"].clone()).collect();
    assert_eq!(labels, ["red", "green", "blue"]);
    assert_eq!(camera(&folder, "model.rnx", "padded.raw", &[&how[..], &["--rows", "80"]].concat()), expected);

    let ran = folder.resnext(&[&["camera", "model.rnx", "padded.raw"], &how[..]].concat());
    let line = "resnext: padded.raw: its 35280 bytes are no whole number of frames of 10878 bytes; planes may be padded, and they would \
                be with rows 80\n";
    assert!(ran.stderr.starts_with(line), "{}", ran.stderr);
    let few = folder
        .resnext(&[&["camera", "model.rnx", "padded.raw", "--rows", "73"], &how[..]].concat())
        .failure();
    assert!(
        few.starts_with(
            "resnext: padded.raw: there is no nv12 frame of 98x74 pixels in 73 rows of 98 bytes; "
        ),
        "{few}"
    );
}

/// Of a pipe nobody knows the length, so the remark comes from the frames themselves, while it runs.
#[test]
fn a_pipe_of_padded_frames_is_remarked_on_while_it_runs() {
    let folder = Folder::new();
    let (width, rows) = (98usize, 80);
    let scene = |at: usize| (40 + (at / width) * (at / width) / 7 % 150 + at % width / 3) as u8;
    let frame: Vec<u8> = (0..width * rows * 3 / 2).map(scene).collect();
    let how = ["--format", "nv12", "--size", "98x74", "--every-frame", "--timeout", "60"];
    let mut child = start(&folder, &[&["camera", "model.rnx", "-"], &how[..]].concat());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&frame.repeat(4)).unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    let (distance, stated) = (98 * 120, 98 * 111);
    assert!(
        said.starts_with(&format!(
            "resnext: standard input: frames are {distance} bytes apart and not {stated}, "
        )) && said.contains("(rows 80)"),
        "{said}"
    );
    drop(stdin);
    child.wait().unwrap();
}

#[test]
fn cameras_are_listed_if_there_are_any() {
    let folder = Folder::new();
    let ran = folder.resnext(&["camera", "--list", "--json"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.json().is_array());
    assert_eq!(folder.resnext(&["camera", "--list"]).status, 0);
    assert_eq!(folder.resnext(&["camera"]).status, 2);
    assert_eq!(folder.resnext(&["camera", "model.rnx"]).status, 2);
}
