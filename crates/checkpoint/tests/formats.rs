//! Checkpoints that the real libraries have written (`fixtures/make.py`) have the expected tensors.

use std::path::{Path, PathBuf};

use resnext_checkpoint::{FileError, TensorFile, open, open_with};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn file(name: &str) -> TensorFile {
    open(&path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Returns the message for a file that cannot be read.
fn error(name: &str) -> String {
    let error: FileError = open(&path(name)).expect_err(name);
    let line = error.to_string();
    assert!(line.contains("; ") && !line.contains('\n'), "{name}: {line}");
    line
}

/// Returns the same values as `ramp` in `make.py`.
fn ramp(len: usize) -> Vec<f32> {
    (0..len).map(|i| i as f32 / 8.0 - 1.0).collect()
}

/// Asserts the shape and the elements of a tensor.
#[track_caller]
fn expect(file: &TensorFile, name: &str, shape: &[usize], values: &[f32]) {
    let entry = file.get(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(entry.shape, shape, "{name}");
    let tensor = entry.data.as_ref().unwrap_or_else(|reason| panic!("{name}: {reason}"));
    assert_eq!((tensor.shape(), tensor.read().as_slice()), (shape, values), "{name}");
}

/// Asserts that a tensor is listed and cannot be read for this reason.
#[track_caller]
fn expect_unread(file: &TensorFile, name: &str, shape: &[usize], reason: &str) {
    let entry = file.get(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(entry.shape, shape, "{name}");
    let given = entry.data.as_ref().map(|_| ()).expect_err(name);
    assert!(given.reason.contains(reason) && !given.remedy.is_empty(), "{name}: {given}");
}

#[test]
fn every_format_gives_the_same_tensors() {
    let files = [
        "zip.pth",
        "zip-protocol4.pth",
        "legacy.pth",
        "legacy-protocol4.pth",
        "legacy-python2.pth",
        "small.safetensors",
        "protocol1.pdparams",
        "protocol2.pdparams",
        "protocol3.pdparams",
        "protocol4.pdparams",
        "protocol5.pdparams",
        "nested.pdparams",
        "python2.pdparams",
    ];
    for name in files {
        let file = file(name);
        let mut names: Vec<_> = file.names().collect();
        names.sort_unstable();
        assert_eq!(names, ["bn.num_batches_tracked", "conv.bias", "conv.weight"], "{name}");
        expect(&file, "conv.weight", &[2, 3, 2, 2], &ramp(24));
        expect(&file, "conv.bias", &[2], &ramp(2));
        expect_unread(&file, "bn.num_batches_tracked", &[], "its element type is ");
    }
}

#[test]
fn every_element_type_is_widened_or_named() {
    for (name, unread) in [
        ("types.pth", &["int8", "int64", "bool", "complex64"][..]),
        ("types.safetensors", &["int8", "int64", "bool", "complex64", "uint16", "float8_e4m3fn"]),
        ("types.pdparams", &["int64", "bool"]),
    ] {
        let file = file(name);
        for element in ["float16", "bfloat16", "float32", "float64"] {
            expect(&file, element, &[2, 3], &ramp(6));
        }
        for element in unread {
            expect_unread(&file, element, &[2, 3], "its element type is ");
        }
    }
    // Another function makes these two. Newer types have no class of storages.
    for element in ["uint16", "float8_e4m3fn"] {
        expect_unread(&file("types.pth"), element, &[], "_rebuild_tensor_v3");
    }
}

#[test]
fn views_are_followed_into_shared_storages() {
    for name in ["views.pth", "views-legacy.pth"] {
        let file = file(name);
        let at = |row: usize, column: usize| ramp(24)[6 * row + column];
        let gather = |rows: &[usize], columns: &[usize]| -> Vec<f32> {
            rows.iter().flat_map(|&r| columns.iter().map(move |&c| at(r, c))).collect()
        };
        let transposed: Vec<_> = (0..6).flat_map(|c| (0..4).map(move |r| at(r, c))).collect();
        expect(&file, "whole", &[4, 6], &ramp(24));
        expect(&file, "transposed", &[6, 4], &transposed);
        expect(&file, "slice", &[2, 3], &gather(&[1, 2], &[2, 3, 4]));
        expect(&file, "every second", &[4, 3], &gather(&[0, 1, 2, 3], &[0, 2, 4]));
        expect(&file, "expanded", &[3, 6], &[ramp(6), ramp(6), ramp(6)].concat());
        expect(&file, "scalar", &[], &[at(2, 3)]);
        expect(&file, "empty", &[0, 3], &[]);
    }
}

#[test]
fn numpy_orders_are_followed() {
    for name in ["orders-protocol2.pdparams", "orders-protocol5.pdparams"] {
        let file = file(name);
        expect(&file, "rows", &[2, 3, 4], &ramp(24));
        expect(&file, "columns", &[2, 3, 4], &ramp(24));
        expect(&file, "scalar", &[], &[0.5]);
        expect(&file, "empty", &[0, 3], &[]);
        expect_unread(&file, "big-endian", &[2, 3], "big-endian");
        expect_unread(&file, "objects", &[1], "its element type is O");
        assert!(file.get("number").is_none());
    }
}

#[test]
fn parameters_are_tensors_and_special_tensors_say_so() {
    let file = file("special.pth");
    for name in ["parameter", "marked", "buffer"] {
        expect(&file, name, &[2, 3], &ramp(6));
    }
    expect_unread(&file, "sparse", &[], "it is a sparse tensor");
    expect_unread(&file, "quantized", &[], "it is quantized to integers");
    assert_eq!(file.names().count(), 5);
}

#[test]
fn weights_are_found_among_what_training_saves() {
    let plain = ramp(6);
    let averaged: Vec<_> = plain.iter().map(|v| v + 1.0).collect();
    for (name, weights) in
        [("timm.pth", &plain), ("timm-ema.pth", &averaged), ("torchvision-ema.pth", &averaged)]
    {
        let file = file(name);
        assert_eq!(file.names().collect::<Vec<_>>(), ["fc.weight", "fc.bias"], "{name}");
        expect(&file, "fc.weight", &[2, 3], weights);
        expect(&file, "fc.bias", &[2], &weights[..2]);
    }
    let file = file("openmmlab.pth");
    assert_eq!(file.names().collect::<Vec<_>>(), ["backbone.fc.weight", "backbone.fc.bias"]);
    expect(&file, "backbone.fc.weight", &[2, 3], &plain);
}

#[test]
fn other_weights_are_named_and_can_be_asked_for() {
    for (name, taken, other) in
        [("timm-ema.pth", "state_dict_ema", "state_dict"), ("torchvision-ema.pth", "model_ema", "model")]
    {
        let chosen = file(name);
        assert_eq!(
            (chosen.choice().taken.as_str(), &chosen.choice().others[..]),
            (taken, &[other.into()][..])
        );
        let asked = open_with(&path(name), Some(other)).expect("a key of the file");
        expect(&asked, "fc.weight", &[2, 3], &ramp(6));
        assert_eq!((asked.choice().taken.as_str(), &asked.choice().others[..]), (other, &[taken.into()][..]));
        let line = open_with(&path(name), Some("shadow")).expect_err("no such key").to_string();
        assert!(line.contains(&format!("under `shadow`; give one of `{taken}`, `{other}`")), "{line}");
    }
    assert!(file("zip.pth").choice().others.is_empty());
    // The start of the names serves as a key, too.
    let part = open_with(&path("openmmlab.pth"), Some("backbone")).expect("a module");
    expect(&part, "fc.bias", &[2], &ramp(2));
    let part = open_with(&path("small.safetensors"), Some("conv.")).expect("a module");
    assert_eq!(part.names().count(), 2);
    assert!(open_with(&path("small.safetensors"), Some("fc")).is_err());
}

#[test]
fn what_stands_beside_the_weights_is_listed() {
    let facts = |name: &str| file(name).facts().to_vec();
    let has = |name: &str, key: &str, value: &str| {
        assert!(facts(name).contains(&(key.into(), value.into())), "{:?}", facts(name));
    };
    has("timm.pth", "arch", "resnext50_32x4d");
    has("timm.pth", "args.model", "resnext50_32x4d");
    has("timm.pth", "epoch", "3");
    has("openmmlab.pth", "meta.cfg", "model = dict()\n");
    assert!(facts("zip.pth").is_empty() && facts("small.safetensors").is_empty());
    assert!(!facts("timm.pth").iter().any(|(key, _)| key.contains("fc.weight")));
}

#[test]
fn paddle_programs_save_their_variables() {
    let file = file("program.pdparams");
    expect(&file, "fc_0.w_0", &[3, 2], &ramp(6));
    expect(&file, "fc_0.b_0", &[2], &ramp(2));
    assert!(error("exported.pdiparams").contains("without their names; give the .pdparams"));
    assert!(error("protocol0.pdparams").contains("save it with pickle protocol 2 or later"));
    assert!(error("sliced.pdparams").contains("save it with protocol=4"));
}

#[test]
fn what_only_python_could_read_is_refused() {
    let line = error("system.pth");
    assert!(line.contains("it wants to run `posix.system`") && line.contains("trusted source"), "{line}");
    for name in ["whole-model.pth", "whole-model-inside.pth", "whole-model-legacy.pth"] {
        let line = error(name);
        assert!(
            line.contains("whole model (__main__.Tiny)") && line.contains("model.state_dict()"),
            "{line}"
        );
    }
    assert!(error("script.pt").contains("TorchScript"));
    assert!(error("compressed.pth").contains("`data.pkl` is compressed; load it with torch.load"));
    let line = error("no-weights.pth");
    assert!(line.contains("it holds `epoch`, `lr` but no weights; save model.state_dict()"), "{line}");
}

#[test]
fn the_content_decides_whatever_the_extension() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (from, to) in
        [("small.safetensors", "a.pth"), ("zip.pth", "b.pdparams"), ("protocol2.pdparams", "c.bin")]
    {
        let to = directory.path().join(to);
        std::fs::copy(path(from), &to).expect("room");
        expect(&open(&to).expect(from), "conv.bias", &[2], &ramp(2));
    }
    assert!(open(Path::new("/nowhere/model.pth")).expect_err("none").to_string().contains("cannot be read"));
}

#[test]
fn a_directory_is_no_file_of_weights() {
    let line = open(Path::new(env!("CARGO_MANIFEST_DIR"))).expect_err("a directory").to_string();
    assert_eq!(line, "it is a directory; give the file of weights inside, or save the weights as one file");
}
