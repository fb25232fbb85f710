//! `resnext bench --baseline`.

use crate::support::Folder;
use crate::{repository, text, tiny};
use serde_json::Value;

/// Whether a number is `expected`, but for what serde_json loses of the last digit when it reads.
fn is(number: &Value, expected: f64) -> bool {
    (number.as_f64().unwrap() / expected - 1.0).abs() < 1e-12
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
    assert!(is(&fp32["ratio"], p50(fp32) / p50(&report)), "{report}");
    assert_eq!((&fp32["int8_ms"], &fp32["ratio_all_threads"]), (&report["ms"], &fp32["ratio"]), "{report}");
    assert_eq!(report["steady_state_allocations"], 0, "those of fp32 are not int8's");
    assert_eq!(report["fidelity"]["samples"], 2, "{report}");
    let slower = report["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|warning| warning.as_str().unwrap().starts_with("int8 is slower than fp32 here ("));
    assert_eq!(slower, p50(&report) > p50(fp32), "{report}");
    let words = folder.resnext(&[&bench[..], &[onnx]].concat()).results_and_warnings().0;
    for part in [
        "fp32 (tract), 1 thread, in turn with int8: int8 on 1 thread is ",
        "accuracy     same class as fp32 on ",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    // On two threads, int8 is timed on one as well, because fp32 has only one.
    let bench = ["bench", "tiny.rnx", "--threads", "2", "--warmup", "1", "--runs", "5", "--baseline", onnx];
    let report = folder.resnext(&[&bench[..], &["--json"]].concat()).json_and_notes();
    let (fp32, ms) = (&report["fp32"], |of: &Value| of["p50"].as_f64().unwrap());
    assert_ne!(fp32["int8_ms"], report["ms"], "{report}");
    assert!(is(&fp32["ratio"], ms(&fp32["ms"]) / ms(&fp32["int8_ms"])), "{report}");
    assert!(is(&fp32["ratio_all_threads"], ms(&fp32["ms"]) / ms(&report["ms"])), "{report}");
    assert_eq!(report["steady_state_allocations"], 0, "on one thread nor on two");
    let words = folder.resnext(&bench).results_and_warnings().0;
    assert!(words.contains("\nint8 alone   p50 ") && words.contains("; on 2 threads int8 is "), "{words}");
    let weights = repository("models/reference/resnext26_16x4d_half-imagenette.safetensors");
    let others = [&bench[..bench.len() - 1], &[text(&weights)]].concat();
    let line = folder.resnext(&others).failure();
    assert!(
        line.contains(".safetensors: takes ")
            && line.contains(" GMAC an inference, and the model takes 0.015; "),
        "{line}"
    );
}

/// A checkpoint may have several sets of weights.
#[test]
fn the_weights_of_the_baseline_can_be_chosen() {
    let folder = Folder::new();
    let (_, photos) = tiny();
    let checkpoint = repository("calibration/tests/fixtures/forms/ema.pth");
    let checkpoint = text(&checkpoint);
    let key = ["--weights-key", "model"];
    let compile = ["compile", checkpoint, "--samples", text(&photos), "--num", "2", "--size", "40"];
    let fast = ["--effort", "fast", "-o", "my tiny.rnx"];
    let ran = folder.resnext(&[&compile[..], &fast, &key].concat());
    let next = format!("resnext eval 'my tiny.rnx' --data DIR --baseline {checkpoint} --weights-key model\n");
    assert!(ran.status == 0 && ran.stdout.contains(&next), "{}{}", ran.stdout, ran.stderr);
    let bench = ["bench", "my tiny.rnx", "--runs", "1", "--warmup", "0", "--baseline", checkpoint];
    for (options, said) in
        [(&[][..], "those `ema` are used, not `model`"), (&key, "those `model` are used, not `ema`")]
    {
        let ran = folder.resnext(&[&bench[..], options].concat());
        assert!(ran.status == 0 && ran.stderr.contains(said), "{}", ran.stderr);
    }
}
