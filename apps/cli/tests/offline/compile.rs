//! `resnext compile`.

use crate::support::Folder;
use crate::{files, repository, text, tiny};
use serde_json::{Value, json};

#[test]
fn compile_writes_a_model_that_classifies() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let compile = ["compile", text(&onnx), "--samples", text(&photos), "-o", "tiny.rnx", "--method", "max"];
    let report = folder.resnext(&[&compile[..], &["--json"]].concat()).json_and_notes();
    assert_eq!((report["samples"].as_u64(), report["skipped"].as_u64()), (Some(12), Some(0)), "{report}");
    assert!(report["agreement"].as_f64().unwrap() >= 0.5, "{report}");
    assert_eq!(report["bytes"].as_u64().unwrap(), std::fs::metadata(folder.path("tiny.rnx")).unwrap().len());
    let before = std::fs::read(folder.path("tiny.rnx")).unwrap();
    // The text for people; the bytes are the same again.
    let words = folder.resnext(&compile).results_and_warnings().0;
    assert!(words.contains("calibrated   on 12 images, method max"), "{words}");
    assert!(
        words.contains("\nmeasured on  ") && words.contains("\ncommand      resnext compile "),
        "{words}"
    );
    // The latency beside that of fp32, and the command that measures the drop.
    assert!(words.contains("\nlatency      int8 (") && words.contains(" fp32 (tract), "), "{words}");
    assert!(words.contains("the drop of accuracy: resnext eval tiny.rnx --data DIR --baseline "), "{words}");
    assert_eq!(std::fs::read(folder.path("tiny.rnx")).unwrap(), before);
    let classified = folder.resnext(&["classify", "tiny.rnx", "red.png", "--top-k", "10", "--json"]).json();
    assert_eq!(classified[0]["top"].as_array().unwrap().len(), 10);
    let inspected = folder.resnext(&["inspect", "tiny.rnx", "--json"]).json();
    assert_eq!(inspected["metadata"]["calibration"]["method"], "max", "{inspected}");
}

/// A model does to rotated photos what was done when it was compiled, unless it is told otherwise.
#[test]
fn the_model_says_what_becomes_of_rotated_photos() {
    let folder = Folder::new();
    let (onnx, _) = tiny();
    std::fs::create_dir(folder.path("photos")).unwrap();
    let pack = std::fs::read(repository("crates/photo/tests/fixtures/exif.bin")).unwrap();
    let lines = std::fs::read_to_string(repository("crates/photo/tests/fixtures/exif.txt")).unwrap();
    let mut at = 0;
    for (i, line) in lines.lines().skip(1).take(9).enumerate() {
        let len: usize = line.split(' ').next().unwrap().parse().unwrap();
        folder.write(&format!("photos/{i}.jpg"), &pack[at..at + len]);
        at += len;
    }
    folder.write("photos/phone.heic", b"");
    for (rule, size, exif) in [("ignore", "9×5", None), ("apply", "5×9", Some(true))] {
        let compile = ["compile", text(&onnx), "--samples", "photos", "-o", "tiny.rnx", "--effort", "fast"];
        let ran = folder.resnext(&[&compile[..], &["--exif", rule]].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("photos: 1 file left out: 1 HEIC; convert it to JPEG or PNG to use it\n")
        );
        assert!(ran.stderr.contains("7 of 9 samples have an EXIF orientation; they are "), "{}", ran.stderr);
        let inspected = folder.resnext(&["inspect", "tiny.rnx", "--json"]).json();
        assert_eq!(inspected["metadata"]["exif_orientation"].as_bool(), exif, "{inspected}");
        let (words, _) = folder.resnext(&["classify", "tiny.rnx", "photos/6.jpg"]).results_and_warnings();
        assert!(words.starts_with(&format!("photos/6.jpg: {size}, ")), "{words}");
    }
    // ONNX files carry the rule from step to step.
    let compile = ["compile", text(&onnx), "--samples", "photos", "-o", "tiny.rnx", "--effort", "fast"];
    let ran = folder.resnext(&[&compile[..], &["--exif", "apply", "--qdq", "int8.onnx"]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(folder.resnext(&["import", "--weights", "int8.onnx", "-o", "net.onnx"]).status, 0);
    for file in ["int8.onnx", "net.onnx"] {
        let compile = ["compile", file, "--samples", "photos", "-o", "back.rnx", "--effort", "fast"];
        let report = folder.resnext(&[&compile[..], &["--json"]].concat()).json_and_notes();
        let photos = json!({ "rotated": 7, "exif": "apply", "left_out": { "HEIC": 1 } });
        assert_eq!(report["photos"], photos, "{report}");
        let inspected = folder.resnext(&["inspect", "back.rnx", "--json"]).json();
        assert_eq!(inspected["metadata"]["exif_orientation"], true, "{file}: {inspected}");
    }
}

#[test]
fn qdq_goes_out_and_comes_back() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let compile = ["compile", text(&onnx), "--samples", text(&photos), "--num", "3", "-o", "tiny.rnx"];
    let report = folder.resnext(&[&compile[..], &["--qdq", "tiny.onnx", "--json"]].concat()).json_and_notes();
    assert_eq!((report["qdq"].as_str(), report["kept"].is_null()), (Some("tiny.onnx"), true), "{report}");
    // The file has all scales, so there are no samples.
    let back = ["compile", "tiny.onnx", "-o", "back.rnx"];
    let report = folder.resnext(&[&back[..], &["--json"]].concat()).json_and_notes();
    let kept = &report["kept"];
    assert_eq!(kept["activations"], kept["of_activations"], "{report}");
    assert_eq!(kept["weights"], kept["of_weights"], "{report}");
    assert!(
        report["agreement"].is_null() && report["method"] == "given" && report["samples"] == 0,
        "{report}"
    );
    let words = folder.resnext(&back).results_and_warnings().0;
    assert!(words.contains("activation scales, 100.00 % of the integer weights"), "{words}");
    let classify = |model: &str| folder.resnext(&["classify", model, "red.png", "--json"]).json();
    assert_eq!(classify("tiny.rnx"), classify("back.rnx"));
    let inspected = folder.resnext(&["inspect", "back.rnx", "--json"]).json();
    assert_eq!(inspected["metadata"]["calibration"]["method"], "given", "{inspected}");
    folder.resnext(&["inspect", "back.rnx"]).results();
    // With samples, int8 is compared with fp32.
    let compared =
        folder.resnext(&[&back[..], &["--samples", text(&photos), "--json"]].concat()).json_and_notes();
    assert!(compared["logit_sqnr_db"].as_f64().unwrap() > 15.0, "{compared}");
}

/// `--num` chooses among the images, not among the classes. The model knows the pictures that it was calibrated on.
#[test]
fn fewer_samples_name_the_same_classes() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let mut found: Vec<_> = std::fs::read_dir(photos).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    found.sort();
    for (class, photo) in found.iter().take(10).enumerate() {
        let to = folder.path("photos").join(format!("kind {class}"));
        std::fs::create_dir_all(&to).unwrap();
        std::fs::copy(photo, to.join("1.jpg")).unwrap();
    }
    let compile =
        ["compile", text(&onnx), "--samples", "photos", "--num", "3", "--method", "max", "-o", "tiny.rnx"];
    folder.resnext(&[&compile[..], &["--json"]].concat()).json_and_notes();
    let inspected = folder.resnext(&["inspect", "tiny.rnx", "--json"]).json();
    let labels: Vec<_> = inspected["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|class| class["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, (0..10).map(|class| format!("kind {class}")).collect::<Vec<_>>());
    let report = folder.resnext(&["eval", "tiny.rnx", "--data", "photos", "--json"]).json_and_notes();
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("the model was calibrated on 3 of the 10 pictures in --data"), "{warnings}");
    for class in 0..10 {
        std::fs::copy(folder.path("red.png"), folder.path(&format!("photos/kind {class}/1.jpg"))).unwrap();
    }
    let other =
        folder.resnext(&["eval", "tiny.rnx", "--data", "photos", "--num", "1", "--json"]).json_and_notes();
    assert!(!other["warnings"].to_string().contains("calibrated on"), "{other}");
}

/// Batch norms are enough. Where they are folded, one line says what to do.
#[test]
fn data_free_needs_batch_norms_and_no_images() {
    let folder = Folder::new();
    let with_norms = repository("tests/fixtures/pytorch/tiny-opset11-bn.onnx");
    let compile = ["compile", text(&with_norms), "--data-free", "--method", "max", "-o", "tiny.rnx"];
    // Batch norms that have never seen data make a poor model, which is told.
    let report = folder.resnext(&[&compile[..], &["--json"]].concat()).json_and_notes();
    assert_eq!(
        (report["data_free"].as_bool(), report["samples"].as_u64()),
        (Some(true), Some(0)),
        "{report}"
    );
    // Its batch norms have never seen data, so the noise may have any value.
    assert!(report["logit_sqnr_db"].is_number(), "{report}");
    let inspected = folder.resnext(&["inspect", "tiny.rnx", "--json"]).json();
    assert_eq!(inspected["metadata"]["calibration"]["data_free"], true, "{inspected}");
    std::fs::remove_file(folder.path("tiny.rnx")).unwrap();
    let before = files(&folder);
    let folded = tiny().0;
    let line = folder.resnext(&["compile", text(&folded), "--data-free", "-o", "tiny.rnx"]).failure();
    assert!(line.contains("has no batch norm") && line.contains("give the checkpoint"), "{line}");
    assert_eq!(files(&folder), before);
    let both = folder.resnext(&[&compile[..], &["--samples", "."]].concat());
    assert_eq!(both.status, 2, "{}", both.stderr);
}

/// Labelled images judge each effort. One half of them chooses, the other half measures.
#[test]
fn max_drop_raises_the_effort() {
    let folder = Folder::new();
    let weights = repository("models/reference/resnext26_16x4d_half-imagenette.safetensors");
    let photos = repository("calibration/samples");
    for (photo, class) in [("pagoda", "church"), ("grass", "golf ball")] {
        std::fs::create_dir_all(folder.path("data").join(class)).unwrap();
        for copy in ["a.jpg", "b.jpg"] {
            let from = photos.join(photo).with_extension("jpg");
            std::fs::copy(from, folder.path("data").join(class).join(copy)).unwrap();
        }
    }
    let arch = "bundled/resnext26_16x4d_half-imagenette";
    let compile = ["compile", text(&weights), "--arch", arch, "--samples", text(&photos), "-o", "out.rnx"];
    let limited = [&compile[..], &["--num", "12", "--max-drop", "0"]].concat();
    let ran = folder.resnext(&[&limited[..], &["--data", "data", "--json"]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    for part in [
        "2 of 4 images choose",
        "method auto, effort fast: +0.00 points (",
        "agreement 100.00 %, on 2 images",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let found = &report["max_drop"];
    assert_eq!(
        (&found["attempts"][0]["effort"], &found["held_out"]["images"]),
        (&"fast".into(), &2.into()),
        "{found}"
    );
    let told = "the model was calibrated on 2 of the 2 pictures in --data";
    assert!(report["warnings"].to_string().contains(told), "{}", report["warnings"]);
    assert_eq!(ran.stderr.matches(told).count(), 1, "{}", ran.stderr);
    assert!(folder.path("out.rnx").exists());
    for wrong in [
        &limited[..],
        &[&limited[..], &["--data", "data", "--effort", "high"]].concat(),
        &[&compile[..], &["--data", "data"]].concat(),
        &[&compile[..], &["--max-drop", "-1", "--data", "data"]].concat(),
    ] {
        assert_eq!(folder.resnext(wrong).status, 2, "{wrong:?}");
    }
}

#[test]
fn auto_goes_by_the_shapes() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let compile = ["compile", text(&onnx), "--samples", text(&photos), "--num", "1", "-o", "tiny.rnx"];
    let ran = folder.resnext(&[&compile[..], &["--arch", "timm/auto"]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("which is no published variant"), "{}", ran.stderr);
}

#[test]
fn a_model_packed_for_another_cpu_gives_the_same_results() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    for (target, packing) in [("portable", "k4"), ("i8mm", "k8")] {
        let output = format!("{target}.rnx");
        folder
            .resnext(&[
                "compile",
                text(&onnx),
                "--samples",
                text(&photos),
                "--num",
                "2",
                "-o",
                &output,
                "--target",
                target,
            ])
            .results_and_warnings();
        assert_eq!(folder.resnext(&["inspect", &output, "--json"]).json()["packing"], packing);
    }
    let before = std::fs::read(folder.path("i8mm.rnx")).unwrap();
    let classify = |model: &str| folder.resnext(&["classify", model, "red.png", "--json"]).results();
    assert_eq!(classify("portable.rnx"), classify("i8mm.rnx"));
    assert!(std::fs::read(folder.path("i8mm.rnx")).unwrap() == before, "repacked in memory only");
}

#[test]
fn compile_reports_as_a_page() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let compile = ["compile", text(&onnx), "--samples", text(&photos), "--num", "3", "-o", "tiny.rnx"];
    let report = ["--report", "page.html", "--licence", "<CC0>", "--sensitivity", "--json"];
    let report = folder.resnext(&[&compile[..], &report].concat()).json_and_notes();
    let (layer, sensitive) = (&report["layers"][0], &report["sensitivity"][0]);
    assert_eq!((&layer["name"], &layer["method"]), (&sensitive["name"], &Value::from("auto")), "{report}");
    assert!(layer["range"]["int8"][1].as_f64() > Some(0.0) && layer["range"]["seen"].is_array(), "{layer}");
    // Fewer where they take seconds, as on an emulator.
    let runs = report["latency"][1]["runs"].as_u64();
    assert!(runs > Some(0) && runs <= Some(50), "{report}");
    let inspected = folder.resnext(&["inspect", "tiny.rnx", "--json"]).json();
    assert_eq!(inspected["metadata"]["licence"], "<CC0>");
    let page = std::fs::read_to_string(folder.path("page.html")).unwrap();
    for part in [
        "tiny.rnx",
        "on 3 images",
        "Activations",
        "Arena",
        "accuracy has not been measured",
        "&lt;CC0&gt;",
        "The layers that cost most are ",
        "auto: ",
        "fp32 (tract), 1 thread",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // The model states it, for an evaluation without the fp32 network.
    let layers = inspected["metadata"]["layers"].as_array().expect("layers");
    let known = |key: &str| layers.iter().filter(|layer| layer[key].is_f64()).count();
    assert_eq!(
        (known("sqnr_db"), known("alone_db")),
        (layers.len(), layers.len() - 2),
        "all but the max pool and the mean"
    );
    for (class, photo) in [("class 1", "cat"), ("class 2", "grass")] {
        std::fs::create_dir_all(folder.path("data").join(class)).unwrap();
        let to = folder.path("data").join(class).join("photo.jpg");
        std::fs::copy(photos.join(photo).with_extension("jpg"), to).unwrap();
    }
    let eval = ["eval", "tiny.rnx", "--data", "data", "--runs", "1", "--html", "eval.html", "--json"];
    let evaluated = folder.resnext(&eval).json_and_notes();
    assert_eq!(evaluated["layers"][0]["alone_db"], layers[0]["alone_db"], "{evaluated}");
    assert_eq!(evaluated["layers"][0]["method"], "auto", "{evaluated}");
    let page = std::fs::read_to_string(folder.path("eval.html")).unwrap();
    assert!(page.contains("The layers that cost most are ") && page.contains("int8 alone"), "{page}");
    let text =
        folder.resnext(&[&compile[..], &["--sensitivity", "--markdown"]].concat()).results_and_warnings().0;
    for part in
        ["### tiny.rnx", "| ms | p50 |", "| noisiest layers, dB | method | output | logits, only it |"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let line = folder.resnext(&[&compile[..], &["--report", "no/page.html"]].concat()).failure();
    assert!(line.contains("no/page.html: cannot be written"), "{line}");
}
