//! `compile`, `eval` and `demo` as users and scripts meet them.
#![cfg(feature = "compile")]

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use support::Folder;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A tiny ResNeXt with random weights, and photos.
fn tiny() -> (PathBuf, PathBuf) {
    (repository("tests/fixtures/pytorch/tiny-opset17-folded.onnx"), repository("calibration/samples"))
}

fn files(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path("")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

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
    // In words, and the same bytes again.
    let words = folder.resnext(&compile).results_and_warnings().0;
    assert!(words.contains("calibrated   on 12 images, method max"), "{words}");
    // What it is for: how long it takes, beside fp32, and where to learn what it costs.
    assert!(words.contains("\nlatency      int8 (") && words.contains(", fp32 (tract) "), "{words}");
    assert!(words.contains("the drop of accuracy: resnext eval tiny.rnx --data DIR --baseline "), "{words}");
    assert_eq!(std::fs::read(folder.path("tiny.rnx")).unwrap(), before);
    let classified = folder.resnext(&["classify", "tiny.rnx", "red.png", "--top-k", "10", "--json"]).json();
    assert_eq!(classified[0]["top"].as_array().unwrap().len(), 10);
    let inspected = folder.resnext(&["inspect", "tiny.rnx", "--json"]).json();
    assert_eq!(inspected["metadata"]["calibration"]["method"], "max", "{inspected}");
}

#[test]
fn qdq_goes_out_and_comes_back() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let compile = ["compile", text(&onnx), "--samples", text(&photos), "--num", "3", "-o", "tiny.rnx"];
    let report = folder.resnext(&[&compile[..], &["--qdq", "tiny.onnx", "--json"]].concat()).json_and_notes();
    assert_eq!((report["qdq"].as_str(), report["kept"].is_null()), (Some("tiny.onnx"), true), "{report}");
    // Scales are all in the file: no samples.
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
    assert!(words.contains("activation scales, 100.00 % of the weights' integers"), "{words}");
    let classify = |model: &str| folder.resnext(&["classify", model, "red.png", "--json"]).json();
    assert_eq!(classify("tiny.rnx"), classify("back.rnx"));
    let inspected = folder.resnext(&["inspect", "back.rnx", "--json"]).json();
    assert_eq!(inspected["metadata"]["calibration"]["method"], "given", "{inspected}");
    folder.resnext(&["inspect", "back.rnx"]).results();
    // With samples it is compared.
    let compared =
        folder.resnext(&[&back[..], &["--samples", text(&photos), "--json"]].concat()).json_and_notes();
    assert!(compared["logit_sqnr_db"].as_f64().unwrap() > 15.0, "{compared}");
}

/// Batch norms are enough; where they are folded one line says what to do.
#[test]
fn data_free_needs_batch_norms_and_no_images() {
    let folder = Folder::new();
    let with_norms = repository("tests/fixtures/pytorch/tiny-opset11-bn.onnx");
    let compile = ["compile", text(&with_norms), "--data-free", "--method", "max", "-o", "tiny.rnx"];
    let report = folder.resnext(&[&compile[..], &["--json"]].concat()).json();
    assert_eq!(
        (report["data_free"].as_bool(), report["samples"].as_u64()),
        (Some(true), Some(0)),
        "{report}"
    );
    // Its batch norms have seen nothing, so there is nothing to expect of the noise.
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

/// As much effort as it takes, judged by labelled images, half of which chose nothing.
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
    let limited = [&compile[..], &["--num", "4", "--max-drop", "0"]].concat();
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
    assert!(ran.stderr.contains("resnext: alike: has only 5 of 9 images; "), "{}", ran.stderr);
    let expected = "all 5 samples are the same picture; the ranges fit those alone: give different photos";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert!(ran.json_and_notes()["warnings"][0].as_str().unwrap().starts_with(expected));
    let ran = samples(&[("cat", 5), ("grass", 1)]);
    assert!(ran.stderr.contains("only 2 of the 6 samples are different pictures; "), "{}", ran.stderr);
    let ran = samples(&[("cat", 2), ("grass", 1)]);
    assert!(!ran.stderr.contains("picture"), "{}", ran.stderr);
    // So are images to evaluate on, whose intervals would lie.
    for copy in 0..4 {
        std::fs::create_dir_all(folder.path("data/red")).unwrap();
        std::fs::copy(folder.path("red.png"), folder.path(&format!("data/red/{copy}.png"))).unwrap();
    }
    let ran = folder.resnext(&["eval", "model.rnx", "--data", "data"]);
    assert!(ran.stderr.contains("all 4 images are the same picture; accuracies"), "{}", ran.stderr);
    assert!(ran.stdout.contains("latency      int8 ("), "{}", ran.stdout);
}

#[test]
fn bench_times_fp32_in_turn() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let onnx = text(&onnx);
    let compile = ["compile", onnx, "--samples", text(&photos), "--num", "2", "-o", "tiny.rnx"];
    folder.resnext(&[&compile[..], &["--effort", "fast"]].concat()).results_and_warnings();
    let bench = ["bench", "tiny.rnx", "--threads", "1", "--warmup", "1", "--runs", "5", "--baseline"];
    let report = folder.resnext(&[&bench[..], &[onnx, "--json"]].concat()).json_and_notes();
    let fp32 = &report["fp32"];
    assert_eq!(
        (&fp32["network"], &fp32["threads"]),
        (&Value::from("fp32 (tract)"), &Value::from(1)),
        "{fp32}"
    );
    let p50 = |of: &Value| of["ms"]["p50"].as_f64().unwrap();
    assert_eq!(fp32["ratio"].as_f64().unwrap(), p50(fp32) / p50(&report), "{report}");
    assert_eq!(report["steady_state_allocations"], 0, "those of fp32 are not int8's");
    assert_eq!(report["fidelity"]["samples"], 2, "{report}");
    let slower = report["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|warning| warning.as_str().unwrap().starts_with("int8 is slower than fp32 here ("));
    assert_eq!(slower, p50(&report) > p50(fp32), "{report}");
    let words = folder.resnext(&[&bench[..], &[onnx]].concat()).results_and_warnings().0;
    for part in ["fp32 (tract), 1 thread, in turn with int8: ", "accuracy     same class as fp32 on "] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let weights = repository("models/reference/resnext26_16x4d_half-imagenette.safetensors");
    let line = folder.resnext(&[&bench[..], &[text(&weights)]].concat()).failure();
    assert!(
        line.contains(".safetensors: takes ") && line.contains(" GMAC an inference, the model 0.015; "),
        "{line}"
    );
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
        (&[onnx, "--samples", photos, "-o", "out.rnx", "--labels", "names.txt"], "10 classes but 2 labels"),
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

#[test]
fn eval_compares_with_the_baseline() {
    let folder = Folder::new();
    let weights = repository("models/reference/resnext26_16x4d_half-imagenette.safetensors");
    let model = support::reference_model().expect("the repository has it");
    // Mislabelled on purpose: what is tested is the report, not the accuracy.
    for (class, photo) in [("n03028079", "pagoda"), ("golf ball", "grass"), ("unknown", "cat")] {
        std::fs::create_dir_all(folder.path("data").join(class)).unwrap();
        let from = repository("calibration/samples").join(photo).with_extension("jpg");
        std::fs::copy(from, folder.path("data").join(class).join("photo.jpg")).unwrap();
    }
    let eval = ["eval", text(&model), "--data", "data", "--baseline", text(&weights)];
    let ran = folder.resnext(&[&eval[..], &["--json"]].concat());
    assert!(
        ran.stderr.contains("unknown") && ran.stderr.contains("not named after a class"),
        "{}",
        ran.stderr
    );
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((report["images"].as_u64(), report["skipped"].as_u64()), (Some(2), Some(1)), "{report}");
    assert_eq!(report["int8"]["top1"], 1.0, "a church and a golf ball: {report}");
    assert_eq!(report["drop_top1_pp"], 0.0);
    assert_eq!(report["flips"]["lost"], 0);
    for key in ["agreement", "mcnemar_p", "logit_sqnr_db"] {
        assert!(report[key].is_number(), "{key}: {report}");
    }
    let words = folder.resnext(&eval).stdout;
    assert!(words.contains("\nfp32 ") && words.contains("drop (points)"), "{words}");

    // Recorded, the logits say the same; interrupted or not, the record is the same.
    let record = |name: &str, more: &[&str]| {
        let ran = folder
            .resnext(&[&eval[..], &["--record", name, "--html", "page.html", "--runs", "2"], more].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        std::fs::read(folder.path(name)).unwrap()
    };
    let once = record("once.safetensors", &[]);
    assert!(record("again.safetensors", &["--resume", "journal", "--threads", "1"]) == once);
    assert!(!folder.path("journal").exists());
    let recorded = ["eval", text(&model), "--data", "data", "--baseline", "once.safetensors", "--json"];
    let again: Value = serde_json::from_str(&folder.resnext(&recorded).stdout).unwrap();
    for key in [
        "images",
        "int8",
        "fp32",
        "drop_top1_pp",
        "agreement",
        "flips",
        "kl_mean",
        "logit_sqnr_db",
        "classes",
    ] {
        assert_eq!(again[key], report[key], "{key}");
    }
    let page = std::fs::read_to_string(folder.path("page.html")).unwrap();
    for part in ["fp32 (tract)", "Activations", "layer4.1.conv2", "too few to tell", "church"] {
        assert!(page.contains(part), "{part}");
    }
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
    assert_eq!(report["latency"][1]["runs"], 50, "{report}");
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
        "They suffer most from ",
        "auto: ",
        "fp32 (tract), 1 thread",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // The model says it of itself, to whoever evaluates it without fp32 at hand.
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
    assert_eq!(evaluated["layers"][0]["sensitivity_db"], layers[0]["alone_db"], "{evaluated}");
    assert_eq!(evaluated["layers"][0]["method"], "auto", "{evaluated}");
    let page = std::fs::read_to_string(folder.path("eval.html")).unwrap();
    assert!(page.contains("They suffer most from ") && page.contains("int8 alone"), "{page}");
    let text =
        folder.resnext(&[&compile[..], &["--sensitivity", "--markdown"]].concat()).results_and_warnings().0;
    for part in
        ["### tiny.rnx", "| ms | p50 |", "| noisiest layers, dB | method | output | logits, it alone |"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let line = folder.resnext(&[&compile[..], &["--report", "no/page.html"]].concat()).failure();
    assert!(line.contains("no/page.html: cannot be written"), "{line}");
}

#[test]
fn eval_without_matching_folders_is_an_error() {
    let folder = Folder::new();
    let line = folder.resnext(&["eval", "model.rnx", "--data", "."]).failure();
    assert!(line.contains("no folder is named after a class"), "{line}");
}

/// Nothing that is read or written is lost to a path given twice.
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
    let (replaces, twice) = ("would replace a file that is read; ", "would be written twice; ");
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

/// Labels as editors on Windows save them; what is no text, or has no end, is said in one line.
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
    folder.write("nine.txt", b"1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let before = files(&folder);
    let mut refused = vec![
        ("nine.txt", "has 10 classes but 9 labels were given; "),
        (".", ".: is a directory; "),
        ("model.rnx", "model.rnx: is not text; "),
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

/// What cannot hold weights is not waited for, and says what it is.
#[test]
fn weights_come_from_files() {
    let folder = Folder::new();
    let (_, photos) = tiny();
    let compile =
        |model: &str| folder.resnext(&["compile", model, "--samples", text(&photos), "-o", "a.rnx"]);
    let line = compile(".").failure();
    assert!(line.contains(".: cannot be read (it is a directory); "), "{line}");
    if cfg!(target_os = "linux") {
        let line = compile("/dev/zero").failure();
        assert!(line.contains("/dev/zero: cannot be read (it is not a regular file); "), "{line}");
    }
    let (onnx, _) = tiny();
    let small = ["compile", text(&onnx), "--samples", text(&photos), "-o", "a.rnx", "--resize", "1"];
    let line = folder.resnext(&small).failure();
    assert!(line.starts_with("resnext: --resize 1: is less than the input, 72×72; "), "{line}");
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

#[test]
fn demo_shows_the_whole_path() {
    let folder = Folder::new();
    let report = folder.resnext(&["demo", "--runs", "2", "-o", "demo.rnx", "--json"]).json();
    assert_eq!(report["photos"].as_array().unwrap().len(), 12);
    assert_eq!(report["layers"].as_array().unwrap().len(), 28);
    assert!(report["agreement"].as_f64().unwrap() > 0.8, "{report}");
    assert_eq!(report["ms"][0]["network"], "fp32 (tract)");
    assert!(report["ms"][1]["p50"].as_f64().unwrap() > 0.0, "{report}");
    folder.resnext(&["classify", "demo.rnx", "red.png"]).results();
    // As `compile` does without options.
    let inspected = folder.resnext(&["inspect", "demo.rnx", "--json"]).json();
    let calibration = &inspected["metadata"]["calibration"];
    assert!(calibration["method"] == "auto" && calibration["rounded_together"] == true, "{calibration}");
    assert!(report["cpus"].is_null() || report["cpus"].is_array(), "{report}");
    assert!(report["warnings"].is_array(), "{report}");
    let words = folder.resnext(&["demo", "--runs", "1"]).results_and_warnings().0;
    for section in ["1. An fp32 ResNeXt", "2. Calibrate", "3. Classify", "4. Latency", "need labelled images"]
    {
        assert!(words.contains(section), "{section}: {words}");
    }
}
