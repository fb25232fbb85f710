//! `resnext eval` as users and scripts meet it, with and without the offline half: a board has recorded logits instead of an fp32
//! network.

mod support;

use indicatif::ProgressBar;
use resnext::Model;
use resnext_evaluation::identity::Identity;
use resnext_evaluation::journal::Journal;
use resnext_evaluation::outcome::{Outcome, pixel_checksum};
use resnext_evaluation::provenance::Provenance;
use resnext_evaluation::record::{self, LogitType, Record};
use resnext_evaluation::samples::Samples;
use resnext_evaluation::truth::{ClassIndex, Labelled};
use resnext_evaluation::{Run, run};
use resnext_testing::networks::{COLOURS, colours};
use serde_json::{Value, json};
use support::Folder;

/// Makes `val/` with two pictures of each colour, one of them in the wrong folder, and some that are to be left out.
fn folder() -> Folder {
    let folder = Folder::new();
    let put = |colour: &str, to: &str| {
        let to = folder.path("val").join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(folder.path(&format!("{colour}.png")), to).unwrap();
    };
    for colour in COLOURS {
        put(colour, &format!("{colour}/1.png"));
    }
    put("red", "c0/2.png");
    put("green", "c1_green/2.png");
    put("red", "blue/wrong.png");
    put("blue", "<i>cyan/3.png");
    folder.write("val/red/cut.png", b"\x89PNG no more");
    folder
}

fn labelled(folder: &Folder, model: &Model<'_>) -> Labelled {
    Labelled::by_folder(&Samples::open(&folder.path("val")).unwrap(), &ClassIndex::new(model)).unwrap()
}

/// Writes `fp32.safetensors` with logits that are right for every picture but `green/1.png`.
fn recorded(folder: &Folder, kind: LogitType) {
    recorded_some(folder, kind, usize::MAX);
}

/// Writes the same as `resnext eval --record` with `--num`.
fn recorded_some(folder: &Folder, kind: LogitType, num: usize) {
    let artifact = std::fs::read(folder.path("model.rnx")).unwrap();
    let model = Model::from_bytes(&artifact).unwrap();
    let images = labelled(folder, &model).take_spread(num);
    let journal = Journal::anonymous(tempfile::tempfile().unwrap(), 3).unwrap();
    for (image, (sample, &truth)) in images.samples().iter().zip(images.truths()).enumerate() {
        let Ok(pixels) = sample.pixels(model.preprocessing()) else { continue };
        let mut fp32 = [1.0f32; 3];
        fp32[if sample.key() == "green/1.png" { 0 } else { truth }] = 9.0;
        journal.add(&Outcome::new(image, pixel_checksum(&pixels), &fp32, Some(&fp32)), &fp32).unwrap();
    }
    let mut bytes = Vec::new();
    let provenance = Provenance { baseline: "net.onnx".into(), checksum: 5 };
    record::write(&mut bytes, &journal, images.samples(), &model, &provenance, kind).unwrap();
    folder.write("fp32.safetensors", &bytes);
}

#[test]
fn accuracy_without_baseline() {
    let folder = folder();
    let ran = folder.resnext(&["eval", "model.rnx", "--data", "val", "--json"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("left out <i>cyan (1 image): not the name of a class of the model"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("skipped val/red/cut.png: "), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["images"], &report["skipped"]), (&json!(6), &json!(2)));
    assert_eq!(report["photos"], json!({ "rotated": 0, "exif": "ignore", "left_out": {} }));
    assert_eq!(report["int8"]["top1"], 5.0 / 6.0);
    assert_eq!(report["int8"]["top5"], 1.0, "there are only three classes");
    assert!(report["fp32"].is_null() && report["drop_top1_pp"].is_null(), "{report}");
    let blue = &report["classes"][2];
    assert_eq!((&blue["label"], &blue["int8_top1"]), (&json!("blue"), &json!(0.5)));
    let words = folder.resnext(&["eval", "model.rnx", "--data", "val"]).stdout;
    assert!(words.contains("int8") && words.contains("83.33") && words.contains("images       6"), "{words}");
    let command = "\ncommand      resnext eval model.rnx --data val\n";
    assert!(words.contains("\nmeasured on  ") && words.contains(command), "{words}");
    // Formats that are not read are counted.
    for name in ["red/a.heic", "red/b.HEIC", "blue/c.tiff"] {
        folder.write(&format!("val/{name}"), b"");
    }
    let report = folder.resnext(&["eval", "model.rnx", "--data", "val", "--exif", "apply", "--json"]);
    let photos = json!({ "rotated": 0, "exif": "apply", "left_out": { "HEIC": 2, "TIFF": 1 } });
    assert_eq!(report.json_and_notes()["photos"], photos);
}

#[test]
fn a_board_measures_its_own_drop() {
    let folder = folder();
    let eval = ["eval", "model.rnx", "--data", "val", "--baseline", "fp32.safetensors"];
    for kind in [LogitType::F32, LogitType::F16] {
        recorded(&folder, kind);
        let ran = folder.resnext(&[&eval[..], &["--json"]].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(
            (&report["fp32"]["top1"], &report["int8"]["top1"]),
            (&json!(5.0 / 6.0), &json!(5.0 / 6.0))
        );
        assert_eq!((&report["flips"]["lost"], &report["flips"]["gained"]), (&json!(1), &json!(1)));
        let flips: Vec<_> =
            report["flips"]["images"].as_array().unwrap().iter().map(|flip| &flip["image"]).collect();
        assert_eq!(flips, ["blue/wrong.png", "green/1.png"]);
        assert_eq!((&report["drop_top1_pp"], &report["mcnemar_p"]), (&json!(0.0), &json!(1.0)));
        assert_eq!(report["agreement"], 4.0 / 6.0);
        assert!(report["baseline"].as_str().unwrap().starts_with("net.onnx"), "{report}");
    }
    // With fewer images, the record covers more than needed. With more images, it does not cover all.
    std::fs::copy(folder.path("val/c0/2.png"), folder.path("val/c0/new.png")).unwrap();
    let ran = folder.resnext(&eval);
    assert!(ran.stderr.contains("has no logits for 2 of 8 images, which are left out"), "{}", ran.stderr);
    let words = ran.stdout;
    assert!(words.contains("lost blue/wrong.png") && words.contains("gained green/1.png"), "{words}");
    // A positive drop is a loss, everywhere.
    assert!(words.contains("drop by class: green -50.00 points of 2 images"), "{words}");
    assert!(
        words.contains("blue +50.00 points of 2 images") && words.contains("(McNemar p = 1.00)"),
        "{words}"
    );
    let text = folder.resnext(&[&eval[..], &["--markdown"]].concat()).stdout;
    assert!(
        text.contains("| 6 images | top-1 % | top-5 % |") && text.contains("Lost: `blue/wrong.png`."),
        "{text}"
    );
}

/// `--num` chooses among the recorded images.
#[test]
fn fewer_images_than_recorded() {
    let folder = folder();
    std::fs::remove_file(folder.path("val/red/cut.png")).unwrap();
    recorded_some(&folder, LogitType::F32, 3);
    for num in ["1", "2", "3"] {
        let eval =
            ["eval", "model.rnx", "--data", "val", "--baseline", "fp32.safetensors", "--num", num, "--json"];
        let ran = folder.resnext(&eval);
        assert!(!ran.stderr.contains("has no logits"), "{num}: {}", ran.stderr);
        let report = ran.json_and_notes();
        assert_eq!(
            (report["images"].to_string().as_str(), &report["unrecorded"]),
            (num, &json!(0)),
            "{report}"
        );
    }
    let eval = ["eval", "model.rnx", "--data", "val", "--baseline", "fp32.safetensors", "--num", "5"];
    let ran = folder.resnext(&eval);
    assert!(ran.stderr.contains("has no logits for 3 of 6 images, which are left out"), "{}", ran.stderr);
    assert!(ran.stderr.contains("has only 3 images, not 5"), "{}", ran.stderr);
}

#[test]
fn records_that_do_not_fit_are_refused() {
    let folder = folder();
    recorded(&folder, LogitType::F32);
    let eval = |model: &str| {
        folder.resnext(&["eval", model, "--data", "val", "--baseline", "fp32.safetensors"]).failure()
    };
    // Otherwise it would be listed as not recorded.
    std::fs::remove_file(folder.path("val/red/cut.png")).unwrap();
    std::fs::copy(folder.path("blue.png"), folder.path("val/c0/2.png")).unwrap();
    let line = eval("model.rnx");
    assert!(
        line.starts_with("resnext: val/c0/2.png: is not the image whose fp32 logits were recorded"),
        "{line}"
    );
    let sound = std::fs::read(folder.path("fp32.safetensors")).unwrap();
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    folder.write("fp32.safetensors", &damaged);
    assert!(eval("model.rnx").contains("fp32.safetensors: is damaged (its checksum is wrong); "));
    folder.write("fp32.safetensors", &sound[..sound.len() - 9]);
    let line = eval("model.rnx");
    assert!(line.contains("fp32.safetensors: is damaged (its header is broken, or "), "{line}");
    folder.write("fp32.safetensors", &sound);
    if let Some(model) = support::reference_model() {
        std::fs::create_dir_all(folder.path("val/n01440764")).unwrap();
        std::fs::copy(folder.path("red.png"), folder.path("val/n01440764/1.png")).unwrap();
        assert!(eval(model.to_str().unwrap()).contains("has logits of other classes"));
    }
}

#[cfg(not(feature = "compile"))]
#[test]
fn a_board_says_how_to_get_a_baseline() {
    let folder = folder();
    folder.write("net.onnx", b"\x08\x07");
    let line = folder.resnext(&["eval", "model.rnx", "--data", "val", "--baseline", "net.onnx"]).failure();
    assert!(
        line.contains("this build of resnext cannot run fp32 networks; record the logits on a workstation"),
        "{line}"
    );
}

#[test]
fn an_interrupted_evaluation_goes_on() {
    let folder = folder();
    recorded(&folder, LogitType::F32);
    let eval = |more: &[&str]| {
        let eval = ["eval", "model.rnx", "--data", "val", "--baseline", "fp32.safetensors", "--json"];
        let ran = folder.resnext(&[&eval[..], more].concat());
        let mut report = ran.json_and_notes();
        assert!(report["latency"].take().is_array(), "{report}");
        assert!(report["conditions"].take().is_object(), "{report}");
        report
    };
    let whole = eval(&[]);
    assert_eq!(eval(&["--resume", "journal", "--threads", "3"]), whole);
    assert!(!folder.path("journal").exists(), "deleted at the end");

    // The journal of a run that was killed: some entries, and half of one more.
    let artifact = std::fs::read(folder.path("model.rnx")).unwrap();
    let model = Model::from_bytes(&artifact).unwrap();
    let fp32 = std::fs::read(folder.path("fp32.safetensors")).unwrap();
    let baseline = Record::from_bytes(&fp32, &model).unwrap();
    let images = labelled(&folder, &model).recorded(|key| baseline.contains(key));
    let identity = Identity::new(&model, &images, baseline.provenance());
    let path = folder.path("journal");
    {
        let (journal, progress) = (Journal::open(&path, identity, 0).unwrap(), ProgressBar::hidden());
        let journal = Some(&journal);
        run(
            &Run { model: &model, images: &images, journal, threads: 1, progress: &progress },
            Some(&baseline),
        )
        .unwrap();
    }
    let journal = std::fs::read(&path).unwrap();
    std::fs::write(&path, &journal[..journal.len() * 2 / 3]).unwrap();
    assert_eq!(eval(&["--resume", "journal"]), whole);

    folder.write("journal", b"diary");
    let line = folder.resnext(&["eval", "model.rnx", "--data", "val", "--resume", "journal"]).failure();
    assert!(line.contains("journal: is not a journal of"), "{line}");
    std::fs::write(&path, &journal).unwrap();
    let line = folder.resnext(&["eval", "model.rnx", "--data", "val", "--resume", "journal"]).failure();
    assert!(line.contains("journal: is the journal of another evaluation"), "{line}");
}

#[test]
fn labels_may_be_in_a_file() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("flat")).unwrap();
    for (name, colour) in
        [("ILSVRC2012_val_1", "red"), ("ILSVRC2012_val_2", "green"), ("ILSVRC2012_val_3", "blue")]
    {
        let to = folder.path("flat").join(name).with_extension("png");
        std::fs::copy(folder.path(&format!("{colour}.png")), to).unwrap();
    }
    let eval =
        |more: &[&str]| folder.resnext(&[&["eval", "model.rnx", "--data", "flat", "--json"], more].concat());
    let line = eval(&[]).failure();
    assert!(line.contains("found no folders") && line.contains("--truth FILE"), "{line}");
    let solution = "ImageId,PredictionString\nILSVRC2012_val_3,blue 1 2 3 4\nILSVRC2012_val_1,c0 1 2 3 4 c0 5 6 7 8\n\
                    ILSVRC2012_val_2,c1 0 0 1 1\n";
    for labels in [solution, "ILSVRC2012_val_1.JPEG 0\nILSVRC2012_val_2.JPEG 1\nILSVRC2012_val_3.JPEG 2\n"] {
        folder.write("truth", labels.as_bytes());
        let report = eval(&["--truth", "truth"]).json();
        assert_eq!((&report["images"], &report["int8"]["top1"]), (&json!(3), &json!(1.0)), "{labels}");
    }
    folder.write("truth", b"1\n2\n3\n");
    // The model knows neither kit fox nor setter nor husky.
    let line = eval(&["--truth", "truth"]).failure();
    assert!(line.contains("truth: labels none of the 3 images with a class of the model"), "{line}");
    folder.write("synsets", b"kit fox\n");
    let line = eval(&["--truth", "truth", "--synsets", "synsets"]).failure();
    assert!(line.contains("synsets: line 1 does not begin with a wnid"), "{line}");
    folder.write("truth", b"1\n2\n");
    assert!(eval(&["--truth", "truth"]).failure().contains("has 2 labels but there are 3 images"));
    assert!(eval(&["--truth", "missing"]).failure().contains("missing: no such file; "));
}

/// Images of the same name in several folders have classes of their own.
#[test]
fn folders_tell_images_of_one_name_apart() {
    let folder = Folder::new();
    for (path, colour) in [("a/0.png", "red"), ("b/0.png", "blue"), ("b/my 1.v2.png", "green")] {
        let to = folder.path("val").join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(folder.path(&format!("{colour}.png")), to).unwrap();
    }
    let eval = ["eval", "model.rnx", "--data", "val", "--truth", "truth", "--json"];
    let utf16: Vec<u8> = "\u{feff}b\\0.png 2\r\na\\0.png 0\r\nb\\my 1.v2 1\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for labels in [
        &b"a/0.png 0\nb/0.png 2\nb/my 1.v2.png 1\n"[..],
        b"path;class\nval/b/0.png;blue\nval/a/0.png;red\n\"val/b/my 1.v2.png\";green\n",
        &utf16,
    ] {
        folder.write("truth", labels);
        let report = folder.resnext(&eval).json();
        assert_eq!((&report["images"], &report["int8"]["top1"]), (&json!(3), &json!(1.0)), "{report}");
    }
    let failure = |labels: &[u8]| {
        folder.write("truth", labels);
        folder.resnext(&eval).failure()
    };
    let line = failure(b"0.png 0\nb/my 1.v2.png 1\n");
    assert!(line.contains("truth: line 1 names both a/0.png and b/0.png; "), "{line}");
    let line = failure(b"a/0.png 0\nb/0.png 2\na/0.png 1\n");
    assert!(
        line.contains("truth: lines 1 and 3 both name a/0.png and give it different classes; "),
        "{line}"
    );
    let line = failure(b"a/0.png 1\nb/0.png 3\nb/my 1.v2.png 2\n");
    assert!(
        line.contains("truth: line 2 gives class 3, but the outputs of the model are numbered from 0 to 2"),
        "{line}"
    );
    folder.write("truth", b"a/0.png 0\nb/0.png 2\nb/my 1.v2.png 1\nc/0.png 1\n");
    let ran = folder.resnext(&eval);
    assert!(ran.stderr.contains("truth: 1 line names no image in val"), "{}", ran.stderr);
}

#[test]
fn pooled_splits_are_told() {
    let folder = Folder::new();
    for split in ["calib", "val"] {
        for colour in COLOURS {
            let to = folder.path("data").join(split).join(colour);
            std::fs::create_dir_all(&to).unwrap();
            std::fs::copy(folder.path(&format!("{colour}.png")), to.join("1.png")).unwrap();
        }
    }
    let warnings = |data: &str| {
        let report = folder.resnext(&["eval", "model.rnx", "--data", data, "--json"]).json_and_notes();
        report["warnings"].to_string()
    };
    let found = warnings("data");
    assert!(
        found.contains("pools several splits of a data set: calib (3 images), val (3 images); give one of them, such as --data data/val"),
        "{found}"
    );
    assert_eq!(warnings("data/val"), "[]");
}

#[cfg(target_os = "linux")]
#[test]
fn pipes_are_not_waited_for() {
    let folder = folder();
    for pipe in ["journal", "val/red/pipe.png"] {
        let made = std::process::Command::new("mkfifo").arg(folder.path(pipe)).status().unwrap();
        assert!(made.success());
    }
    let line = folder.resnext(&["eval", "model.rnx", "--data", "val", "--resume", "journal"]).failure();
    assert!(line.contains("journal: is not a regular file; "), "{line}");
    let ran = folder.resnext(&["eval", "model.rnx", "--data", "val"]);
    assert!(ran.stderr.contains("skipped val/red/pipe.png: is not a regular file"), "{}", ran.stderr);
}

/// A run that was killed while it wrote leaves a file; the next run removes it.
#[cfg(unix)]
#[test]
fn what_a_killed_run_left_is_removed() {
    let folder = folder();
    folder.write(".resnext-a1B2c3.tmp", b"half a page");
    let ran = folder.resnext(&["eval", "model.rnx", "--data", "val", "--html", "page.html", "--runs", "1"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(folder.path("page.html").exists() && !folder.path(".resnext-a1B2c3.tmp").exists());
}

#[test]
fn wrong_preprocessing_is_suspected() {
    let folder = folder();
    folder.write("model.rnx", &colours(r#"{"source": "bundled/resnext26_16x4d_half-imagenette"}"#).bytes);
    let eval = ["eval", "model.rnx", "--data", "val", "--json"];
    let report = folder.resnext(&eval).json_and_notes();
    let warnings = report["warnings"].as_array().unwrap();
    let of_labels =
        |warning: &Value| warning.as_str().unwrap().contains("the same picture as an image of another class");
    assert!(warnings.iter().all(of_labels), "{report}");
    // Pictures in the wrong folder, such as the blue one in the green folder.
    for (from, to) in [("red", "green"), ("green", "blue"), ("blue", "red")] {
        for i in 0..8 {
            let to = folder.path(&format!("val/{to}/wrong{i}.png"));
            std::fs::copy(folder.path(&format!("{from}.png")), to).unwrap();
        }
    }
    let report = folder.resnext(&eval).json_and_notes();
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("top-1, and bundled/resnext26_16x4d_half-imagenette is published with 84.7 %"),
        "{warning}"
    );
}

#[test]
fn pages_are_whole_or_not_there() {
    let folder = folder();
    recorded(&folder, LogitType::F32);
    let eval =
        ["eval", "model.rnx", "--data", "val", "--baseline", "fp32.safetensors", "--runs", "3", "--html"];
    let ran = folder.resnext(&[&eval[..], &["page.html"]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let page = std::fs::read_to_string(folder.path("page.html")).unwrap();
    for part in ["blue/wrong.png", "data:image/jpeg;base64,", "&lt;i&gt;cyan", "int8 (", "block.conv2"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<i>cyan"));
    let line = folder.resnext(&[&eval[..], &["no/page.html"]].concat()).failure();
    assert!(line.contains("no/page.html: cannot be written: no such directory; "), "{line}");
    std::fs::remove_file(folder.path("val/red/cut.png")).unwrap();
    std::fs::copy(folder.path("blue.png"), folder.path("val/c0/2.png")).unwrap();
    folder.resnext(&[&eval[..], &["other.html"]].concat()).failure();
    assert!(!folder.path("other.html").exists());
    let line = folder
        .resnext(&["eval", "model.rnx", "--data", "val", "--baseline", "fp32.safetensors", "--record", "x"])
        .failure();
    assert!(line.contains("is a record already"), "{line}");
}

#[test]
fn a_picture_in_two_classes_is_told() {
    let folder = Folder::new();
    for (colour, to) in
        [("red", "red/1.png"), ("green", "green/1.png"), ("green", "green/2.png"), ("red", "blue/1.png")]
    {
        let to = folder.path("val").join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(folder.path(&format!("{colour}.png")), to).unwrap();
    }
    let warnings = || {
        folder.resnext(&["eval", "model.rnx", "--data", "val", "--json"]).json_and_notes()["warnings"]
            .to_string()
    };
    let told = "2 of the 4 images show the same picture as an image of another class, so not all of them can be right: look";
    assert!(warnings().contains(told), "{}", warnings());
    std::fs::copy(folder.path("blue.png"), folder.path("val/blue/1.png")).unwrap();
    assert!(!warnings().contains("of another class"), "{}", warnings());
}

/// Nothing in a file of numbers says that they count from 1, but the answers do.
#[test]
fn numbers_that_count_from_1_are_told() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("flat")).unwrap();
    let (mut from_0, mut from_1) = (String::new(), String::new());
    for (class, colour) in ["red", "green"].into_iter().enumerate() {
        for copy in 0..3 {
            let name = format!("{colour}{copy}.png");
            std::fs::copy(folder.path(&format!("{colour}.png")), folder.path("flat").join(&name)).unwrap();
            from_0 += &format!("{name} {class}\n");
            from_1 += &format!("{name} {}\n", class + 1);
        }
    }
    let told = |truth: &str| {
        folder.write("truth.txt", truth.as_bytes());
        let eval = ["eval", "model.rnx", "--data", "flat", "--truth", "truth.txt", "--json"];
        let report = folder.resnext(&eval).json_and_notes();
        let warnings = report["warnings"].as_array().unwrap();
        let seems = |warning: &Value| {
            warning
                .as_str()
                .unwrap()
                .contains("the numbers of --truth seem to count from 1: int8 would be right on 6 of 6 images")
        };
        warnings.iter().any(seems)
    };
    assert_eq!((told(&from_0), told(&from_1)), (false, true));
}
