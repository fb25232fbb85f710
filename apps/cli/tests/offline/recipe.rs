//! Where the preprocessing of a model comes from.

use crate::support::Folder;
use crate::{repository, text, tiny};
use serde_json::Value;

const ARCH: &str = "bundled/resnext26_16x4d_half-imagenette";

/// A folder with the bundled weights.
fn folder() -> Folder {
    let folder = Folder::new();
    let weights = repository("models/reference/resnext26_16x4d_half-imagenette.safetensors");
    std::fs::copy(weights, folder.path("model.safetensors")).unwrap();
    folder
}

/// Runs `resnext compile` with as little work as possible, and returns the preprocessing that it reports and the model has.
fn compiled(folder: &Folder, args: &[&str]) -> Value {
    let photos = repository("calibration/samples");
    let quick = ["-o", "out.rnx", "--num", "1", "--effort", "fast", "--method", "max", "--json"];
    let compile = [&["compile"], args, &["--samples", text(&photos)], &quick].concat();
    let report = folder.resnext(&compile).json_and_notes();
    let mut found = report["preprocess"].clone();
    let model = folder.resnext(&["inspect", "out.rnx", "--json"]).json()["preprocess"].clone();
    assert_eq!(model["crop"], serde_json::json!([found["size"], found["size"]]), "{model}");
    assert_eq!(
        (&model["short_side"], &model["filter"]),
        (&found["resize"], &found["interpolation"]),
        "{model}"
    );
    found["mean"] = model["mean"].clone();
    found
}

fn sides(preprocess: &Value) -> (u64, u64, &str) {
    let side = |key: &str| preprocess[key].as_u64().unwrap();
    (side("resize"), side("size"), preprocess["interpolation"].as_str().unwrap())
}

/// timm resizes to ⌊size / crop_pct⌋: 134 for 128 and 0.95, 101 for 96 and 0.95.
#[test]
fn what_a_checkpoint_came_with_survives_every_step() {
    let folder = folder();
    let config = r#"{"architecture": "resnext26", "num_classes": 10, "pretrained_cfg": {"input_size": [3, 128, 128],
        "crop_pct": 0.95, "interpolation": "bicubic", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "tag": "x"}}"#;
    folder.write("config.json", config.as_bytes());
    let first = compiled(&folder, &["model.safetensors"]);
    assert_eq!(sides(&first), (134, 128, "pillow-bicubic"));
    assert_eq!(first["mean"][0], 0.5, "{first}");
    assert!(first["said_by"].as_str().unwrap().contains("config.json"), "{first}");

    let import = ["import", "--weights", "model.safetensors", "-o", "net.onnx"];
    assert!(folder.resnext(&import).results_and_warnings().0.contains("pillow bicubic 134→128"));
    std::fs::remove_file(folder.path("config.json")).unwrap();
    let second = compiled(&folder, &["net.onnx", "--qdq", "int8.onnx"]);
    assert_eq!((sides(&second), &second["mean"]), (sides(&first), &first["mean"]));
    assert!(second["said_by"].as_str().unwrap().contains("metadata"), "{second}");
    let third = compiled(&folder, &["int8.onnx"]);
    assert_eq!((sides(&third), &third["mean"]), (sides(&first), &first["mean"]));
    // At another size, the crop shows the same part.
    assert_eq!(sides(&compiled(&folder, &["net.onnx", "--size", "96"])), (101, 96, "pillow-bicubic"));

    // A baseline that wants other images than the model gets is no sound comparison.
    compiled(&folder, &["model.safetensors", "--size", "128"]);
    std::fs::create_dir_all(folder.path("data/class 1")).unwrap();
    std::fs::copy(folder.path("red.png"), folder.path("data/class 1/red.png")).unwrap();
    let eval = ["eval", "out.rnx", "--data", "data", "--runs", "1", "--baseline", "net.onnx"];
    let ran = folder.resnext(&eval);
    let expected = "asks for pillow bicubic 134→128, mean [0.5, 0.5, 0.5]";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert!(ran.stderr.contains("prepares images by pillow bilinear 146→128, for both"), "{}", ran.stderr);
}

/// torchvision's and timm's crop of 0.875: 109 for 96.
#[test]
fn a_variant_keeps_its_crop_at_another_size() {
    let folder = folder();
    let checkpoint = ["model.safetensors", "--arch", ARCH];
    assert_eq!(
        sides(&compiled(&folder, &[&checkpoint[..], &["--size", "96"]].concat())),
        (109, 96, "pillow-bilinear")
    );
    let import =
        ["import", "--weights", "model.safetensors", "--arch", ARCH, "--size", "96", "-o", "net.onnx"];
    folder.resnext(&import).results_and_warnings();
    let found = compiled(&folder, &["net.onnx"]);
    assert_eq!(sides(&found), (109, 96, "pillow-bilinear"));
    // The file fixes its input, whatever the variant is published for.
    assert_eq!(sides(&compiled(&folder, &["net.onnx", "--arch", ARCH])), (109, 96, "pillow-bilinear"));
    let data_free =
        ["compile", "model.safetensors", "--arch", ARCH, "--size", "32", "--data-free", "-o", "free.rnx"];
    let report = folder.resnext(&[&data_free[..], &["--effort", "fast", "--json"]].concat()).json_and_notes();
    assert_eq!(sides(&report["preprocess"]), (36, 32, "pillow-bilinear"));
    // The options have the last word.
    let options = ["--resize", "100", "--interpolation", "bicubic", "--size", "96"];
    assert_eq!(sides(&compiled(&folder, &[&checkpoint[..], &options].concat())), (100, 96, "pillow-bicubic"));
}

#[test]
fn a_configuration_that_cannot_be_followed_is_refused() {
    let folder = folder();
    let compile = ["compile", "model.safetensors", "--data-free", "-o", "out.rnx"];
    for (config, why) in [
        ("{", "config.json: is not a JSON document; name the variant with --arch"),
        (
            r#"{"pretrained_cfg": {"interpolation": "lanczos"}}"#,
            "config.json: asks for lanczos interpolation, ",
        ),
    ] {
        folder.write("config.json", config.as_bytes());
        let line = folder.resnext(&compile).failure();
        assert!(line.contains(why), "{line}");
    }
    // That of another network does not count.
    folder.write("config.json", br#"{"architecture": "resnext50_32x4d", "input_size": [3, 64, 64]}"#);
    let import = ["import", "--weights", "model.safetensors", "-o", "net.onnx"];
    let ran = folder.resnext(&import);
    assert!(ran.stderr.contains("is the configuration of a resnext50_32x4d, which "), "{}", ran.stderr);
    assert!(ran.stdout.contains("not known; give --arch"), "{}", ran.stdout);
    // Nor does one of other programs, and nothing is said of it.
    folder.write("config.json", br#"{"name": "mine"}"#);
    folder.resnext(&import).results_and_warnings();
}

#[test]
fn an_input_that_is_no_square_is_refused() {
    let folder = Folder::new();
    let (onnx, photos) = tiny();
    let bytes = std::fs::read(&onnx).unwrap();
    // The last of the dimensions of the input: field 2, 2 bytes, field 1, 72.
    let dimension = [0x0a, 2, 8, 72];
    let places: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, window)| *window == dimension).map(|(at, _)| at).collect();
    let [_, width] = places[..] else { panic!("height and width at {places:?}") };
    let mut oblong = bytes;
    oblong[width + 3] = 96;
    folder.write("oblong.onnx", &oblong);
    let compile = ["compile", "oblong.onnx", "--samples", text(&photos), "-o", "out.rnx"];
    let line = folder.resnext(&compile).failure();
    assert!(
        line.contains("oblong.onnx: its input is 72×96 pixels, and models read squares; give --size"),
        "{line}"
    );
    assert!(!folder.path("out.rnx").exists());
}
