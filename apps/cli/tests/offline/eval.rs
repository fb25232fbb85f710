//! `resnext eval` against an fp32 network.

use crate::support::{self, Folder};
use crate::{repository, text};
use serde_json::Value;

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
        ran.stderr.contains("unknown") && ran.stderr.contains("not the name of a class"),
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
fn eval_without_matching_folders_is_an_error() {
    let folder = Folder::new();
    let line = folder.resnext(&["eval", "model.rnx", "--data", "."]).failure();
    assert!(line.contains("no folder is named after a class"), "{line}");
}
