//! Inputs that are refused, and inputs that get a warning.

use crate::support::Folder;
use crate::{files, text, tiny};
use serde_json::Value;

#[test]
fn broken_samples_are_named_and_skipped() {
    let folder = Folder::new();
    let (onnx, _) = tiny();
    folder.write("broken.jpg", b"\xff\xd8\xff\xe0 no picture");
    let ran = folder.resnext(&["compile", text(&onnx), "--samples", ".", "-o", "tiny.rnx", "--json"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("skipped ./broken.jpg: "), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((report["samples"].as_u64(), report["skipped"].as_u64()), (Some(3), Some(1)));
}

#[test]
fn samples_that_are_all_alike_are_noticed() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let samples = |copies: &[(&str, usize)]| {
        let _ = std::fs::remove_dir_all(folder.path("alike"));
        std::fs::create_dir(folder.path("alike")).unwrap();
        for (photo, count) in copies {
            for copy in 0..*count {
                let to = folder.path("alike").join(format!("{photo}{copy}.jpg"));
                std::fs::copy(photos.join(photo).with_extension("jpg"), to).unwrap();
            }
        }
        let compile = ["compile", text(&onnx), "--samples", "alike", "-o", "tiny.rnx", "--effort", "fast"];
        folder.resnext(&[&compile[..], &["--num", "9", "--json"]].concat())
    };
    let ran = samples(&[("cat", 5)]);
    assert!(ran.stderr.contains("resnext: alike: has only 5 images, not 9; "), "{}", ran.stderr);
    let expected = "all 5 samples show the same picture; give a few hundred different photos";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert!(ran.json_and_notes()["warnings"][0].as_str().unwrap().starts_with(expected));
    let ran = samples(&[("cat", 5), ("grass", 1)]);
    assert!(ran.stderr.contains("only 2 of the 6 samples are different pictures; "), "{}", ran.stderr);
    let ran = samples(&[("cat", 2), ("grass", 1)]);
    assert!(ran.stderr.contains("2 pictures are too few to calibrate on"), "{}", ran.stderr);
    // Copies among images for evaluation get a warning too, because the intervals would be wrong.
    for copy in 0..4 {
        std::fs::create_dir_all(folder.path("data/red")).unwrap();
        std::fs::copy(folder.path("red.png"), folder.path(&format!("data/red/{copy}.png"))).unwrap();
    }
    let ran = folder.resnext(&["eval", "model.rnx", "--data", "data"]);
    assert!(ran.stderr.contains("all 4 images are the same picture; accuracies"), "{}", ran.stderr);
    assert!(ran.stdout.contains("latency      int8 ("), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_compiled_says_why_and_writes_nothing() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let (onnx, photos) = (text(&onnx), text(&photos));
    std::fs::create_dir(folder.path("empty")).unwrap();
    folder.write("model.onnx", b"not protobuf");
    folder.write("names.txt", b"one\ntwo\n");
    let before = files(&folder);
    let compile = |args: &[&str]| {
        let args = [&["compile"], args].concat();
        folder.resnext(&args).failure()
    };
    let cases: [(&[&str], &str); 10] = [
        (&[onnx, "-o", "out.rnx"], "is not quantized yet; give --samples DIR"),
        (
            &[onnx, "--samples", photos, "-o", "out.rnx", "--qdq", "no/such/out.onnx"],
            "no/such/out.onnx: cannot be written: no such directory",
        ),
        (&["model.onnx", "--samples", photos, "-o", "out.rnx"], "not a valid ONNX file"),
        (&["red.png", "--samples", photos, "-o", "out.rnx"], "not a known model format"),
        (&["missing.onnx", "--samples", photos, "-o", "out.rnx"], "missing.onnx: cannot be read"),
        (&[onnx, "--samples", "empty", "-o", "out.rnx"], "contains no .jpg"),
        (&[onnx, "--samples", photos, "-o", "no/such/out.rnx"], "no such directory"),
        (
            &[onnx, "--samples", photos, "-o", "out.rnx", "--labels", "names.txt"],
            "10 classes, and the number of labels is 2",
        ),
        (&[onnx, "--samples", photos, "-o", "out.rnx", "--arch", "timm/resnext7"], "no such variant"),
        (
            &[onnx, "--samples", photos, "-o", "out.rnx", "--arch", "timm/resnext50_32x4d"],
            "this looks like ResNeXt-",
        ),
    ];
    for (args, expected) in cases {
        let line = compile(args);
        assert!(line.contains(expected), "{args:?}: {line}");
    }
    assert_eq!(files(&folder), before, "something was left behind");
}

/// A path that is given twice never destroys an input or output.
#[test]
fn no_file_is_written_over_another() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    std::fs::copy(&onnx, folder.path("own.onnx")).unwrap();
    folder.write("names.txt", b"a\nb\n");
    let whole = std::fs::read(folder.path("own.onnx")).unwrap();
    let before = files(&folder);
    let compile = ["compile", "own.onnx", "--samples", text(&photos), "--num", "1", "-o"];
    let eval = ["eval", "model.rnx", "--data", "."];
    let (replaces, twice) =
        ("is an input of this run and would be overwritten; ", "would be written twice; ");
    let refused: [(&[&str], &[&str], &str); 7] = [
        (&compile, &["own.onnx"], replaces),
        (&compile, &["a.rnx", "--labels", "names.txt", "--report", "./names.txt"], replaces),
        (&compile, &["a.rnx", "--report", "./a.rnx"], twice),
        (&compile, &["a.rnx", "--qdq", "a.rnx"], twice),
        (&["import", "--weights", "own.onnx", "-o"], &["./own.onnx"], replaces),
        (&eval, &["--html", "model.rnx"], replaces),
        (&eval, &["--html", "page.html", "--resume", "page.html"], twice),
    ];
    for (verb, paths, why) in refused {
        let line = folder.resnext(&[verb, paths].concat()).failure();
        assert!(line.contains(why), "{line}");
    }
    assert_eq!(files(&folder), before);
    assert!(std::fs::read(folder.path("own.onnx")).unwrap() == whole);
}

/// Labels may have the line ends and byte order mark of Windows. A file that is no text, or has no end, is an error in one line.
#[test]
fn labels_are_read_whatever_wrote_them() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let compile = |labels: &str| {
        let compile = ["compile", text(&onnx), "--samples", text(&photos), "--num", "1", "--effort", "fast"];
        folder.resnext(&[&compile[..], &["-o", "out.rnx", "--labels", labels, "--json"]].concat())
    };
    folder.write("names.txt", "\u{feff}a\r\nb\r\nc\r\nd\r\ne\r\nf\r\ng\r\nh\r\ni\r\nj\r\n".as_bytes());
    compile("names.txt").json_and_notes();
    let inspected = folder.resnext(&["inspect", "out.rnx", "--json"]).json();
    let label = |index: usize| inspected["classes"][index]["label"].as_str().unwrap();
    assert_eq!((label(0), label(9)), ("a", "j"));
    std::fs::remove_file(folder.path("out.rnx")).unwrap();
    // Numbers give the order, whatever that of the lines is.
    folder.write("names.txt", b"9 j\n8 i\n7 h\n6 g\n5 f\n4 e\n3 d\n2 a\n1 b\n0 a\n");
    let ran = compile("names.txt");
    assert!(
        ran.stderr.contains("names.txt: a is the label of several classes, so it names none "),
        "{}",
        ran.stderr
    );
    let inspected = folder.resnext(&["inspect", "out.rnx", "--json"]).json();
    let label = |index: usize| inspected["classes"][index]["label"].as_str().unwrap();
    assert_eq!((label(0), label(1), label(9)), ("a", "b", "j"));
    std::fs::remove_file(folder.path("out.rnx")).unwrap();
    folder.write("index.json", br#"{"0": ["n01440764", "tench"]}"#);
    folder.write("nine.txt", b"1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let before = files(&folder);
    let mut refused = vec![
        ("nine.txt", "has 10 classes, and the number of labels is 9; "),
        (".", ".: is a directory; "),
        ("model.rnx", "model.rnx: is not text; "),
        ("index.json", "index.json: is JSON, not lines of text; "),
        ("missing.txt", "missing.txt: no such file; "),
    ];
    if cfg!(target_os = "linux") {
        refused.push(("/dev/zero", "/dev/zero: has more than 256 MiB; "));
    }
    for (labels, why) in refused {
        let line = compile(labels).failure();
        assert!(line.contains(why), "{line}");
    }
    assert_eq!(files(&folder), before);
}

/// A path that cannot hold weights is an error at once.
#[test]
fn weights_come_from_files() {
    let folder = Folder::new();
    let (_, photos) = tiny();
    let compile =
        |model: &str| folder.resnext(&["compile", model, "--samples", text(&photos), "-o", "a.rnx"]);
    let line = compile(".").failure();
    assert!(line.contains(".: it is a directory; give the file of weights inside"), "{line}");
    if cfg!(target_os = "linux") {
        let line = compile("/dev/zero").failure();
        assert!(line.contains("/dev/zero: cannot be read (it is not a regular file); "), "{line}");
    }
    let (onnx, _) = tiny();
    let small = ["compile", text(&onnx), "--samples", text(&photos), "-o", "a.rnx", "--resize", "1"];
    let line = folder.resnext(&small).failure();
    assert!(line.starts_with("resnext: --resize 1: is less than the input of 72×72 pixels; "), "{line}");
    assert!(!folder.path("a.rnx").exists());
}

#[test]
fn cpus_that_do_not_exist_are_refused() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let verbs: [&[&str]; 3] = [
        &["demo"],
        &["eval", "model.rnx", "--data", text(&photos)],
        &["compile", text(&onnx), "--samples", text(&photos), "-o", "out.rnx"],
    ];
    for verb in verbs {
        let line = folder.resnext(&[verb, &["--cpus", "65535"]].concat()).failure();
        assert!(line.starts_with("resnext: --cpus 65535: "), "{line}");
    }
}
