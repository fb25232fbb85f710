//! Changes to sound ONNX files, in the first 64 KiB, where the graph is.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use resnext_calibration::import::{ImportOptions, load_with};
use resnext_fuzz::changed;

/// Files that PyTorch's two exporters write, and one that onnxruntime quantizes.
const SOUND: [&[u8]; 5] = [
    include_bytes!("../../tests/fixtures/pytorch/tiny-opset11-bn.onnx"),
    include_bytes!("../../tests/fixtures/pytorch/tiny-opset17-folded.onnx"),
    include_bytes!("../../tests/fixtures/pytorch/tiny-opset18-dynamo.onnx"),
    include_bytes!("../../calibration/tests/fixtures/qdq/u8s8-channel.onnx"),
    include_bytes!("../../calibration/tests/fixtures/qdq/u8u8-tensor.onnx"),
];

/// The file to which the bytes are written, since the importer leaves weights in theirs.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("resnext-fuzz-{}.onnx", std::process::id())));

fuzz_target!(|data: &[u8]| {
    let Some(bytes) = changed(&SOUND, data) else { return };
    std::fs::write(&*FILE, &bytes).expect("a temporary file");
    if let Err(error) = load_with(&FILE, ImportOptions::of_size(32)) {
        let line = error.to_string();
        assert!(line.contains("; ") && !line.contains('\n'), "{line}");
    }
});
