//! What `import` and `compile` say about how they read a network. Both read it in the same way.

use crate::support::Folder;
use crate::{files, repository, text};

/// Runs `import`, and `compile` on the same `file` of `calibration/tests/fixtures/forms`, and returns what each says.
fn both(folder: &Folder, file: &str, options: &[&str]) -> [(i32, String); 2] {
    let file = repository("calibration/tests/fixtures/forms").join(file);
    let (file, photos) = (text(&file), repository("calibration/samples"));
    let import = ["import", "--weights", file, "--size", "40", "-o", "out.onnx"];
    let compile = [
        "compile",
        file,
        "--samples",
        text(&photos),
        "--num",
        "2",
        "--effort",
        "fast",
        "--size",
        "40",
        "-o",
        "out.rnx",
    ];
    [&import[..], &compile].map(|args| {
        let ran = folder.resnext(&[args, options].concat());
        (ran.status, ran.stderr)
    })
}

#[test]
fn what_a_file_does_not_tell_is_said() {
    let folder = Folder::new();
    for (file, options, expected) in [
        (
            "fc-sequence.pth",
            &[][..],
            "fc-sequence.pth: a checkpoint tells no activations and no poolings; assumed are ReLU",
        ),
        ("fc-sequence.pth", &["--arch", "auto"], "assumed are ReLU"),
        ("ema.pth", &[], "ema.pth: holds several sets of weights; those `ema` are used, not `model`"),
        ("ema.pth", &["--weights-key", "model"], "those `model` are used, not `ema`"),
        ("normalises.onnx", &[], "normalises.onnx: normalises its input itself"),
    ] {
        for (status, stderr) in both(&folder, file, options) {
            assert!(status == 0 && stderr.contains(expected), "{file} {options:?}: {stderr}");
            assert_eq!(stderr.matches(expected).count(), 1, "said twice: {stderr}");
        }
    }
}

#[test]
fn what_is_another_network_is_refused() {
    let folder = Folder::new();
    let before = files(&folder);
    for (file, options, expected) in [
        ("one-logit.pth", &[][..], "a single logit"),
        ("silu.pth", &["--arch", "auto"], "its file name says `silu`"),
        ("silu.pth", &[], "name the published variant if it is one (--arch LIBRARY/VARIANT)"),
        ("arch.pth", &[], "its metadata (arch) says `resnetaa50`"),
        ("student.pth", &[], "say which are meant (--weights-key KEY)"),
        ("ema.pth", &["--weights-key", "shadow"], "give one of `ema`, `model` (--weights-key KEY)"),
        ("sigmoid-end.onnx", &[], "the model ends in a Sigmoid"),
        ("ort-extended.onnx", &[], "onnxruntime has optimized this file"),
    ] {
        for (status, stderr) in both(&folder, file, options) {
            assert!(status == 1 && stderr.contains(expected), "{file} {options:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
        }
    }
    assert_eq!(files(&folder), before, "something was left behind");
}

/// The normalisation of a graph is the preprocessing of its model, whatever the usual one is.
#[test]
fn the_normalisation_of_a_graph_is_kept() {
    let folder = Folder::new();
    both(&folder, "bytes.onnx", &[]);
    let text = folder.resnext(&["inspect", "out.rnx"]).results();
    assert!(text.contains("normalised with mean 0.5 0.5 0.5, std 0.5 0.5 0.5"), "{text}");
}

/// A baseline that is quantized itself is no fp32.
#[test]
fn a_quantized_baseline_is_told() {
    let folder = Folder::new();
    let quantized = repository("calibration/tests/fixtures/qdq/u8s8-channel.onnx");
    let quantized = text(&quantized);
    let ran = folder.resnext(&["compile", quantized, "-o", "out.rnx"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let ran = folder.resnext(&["bench", "out.rnx", "--baseline", quantized, "--runs", "1", "--warmup", "0"]);
    assert!(ran.stderr.contains("is quantized itself, so this baseline is not fp32"), "{}", ran.stderr);
}
