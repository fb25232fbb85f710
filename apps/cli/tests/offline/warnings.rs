//! What is said of a ruined model, when it is compiled and when it is evaluated.

use crate::support::Folder;
use crate::{repository, text};
use serde_json::Value;

const ARCH: &str = "bundled/resnext26_16x4d_half-imagenette";

/// Compiles the reference network and returns the report, and what was said on stderr without `--json`.
fn compile(folder: &Folder, samples: &str, options: &[&str]) -> (Value, Vec<String>) {
    let weights = repository("models/reference/resnext26_16x4d_half-imagenette.safetensors");
    let compile = ["compile", text(&weights), "--arch", ARCH, "--samples", samples, "-o", "out.rnx"];
    let compile = [&compile[..], &["--effort", "fast"], options].concat();
    let (_, notes) = folder.resnext(&compile).results_and_warnings();
    (folder.resnext(&[&compile[..], &["--json"]].concat()).json_and_notes(), notes)
}

/// Returns the warnings that concern the calibration and not the latency.
fn of_calibration(report: &Value) -> Vec<&str> {
    let all = report["warnings"].as_array().expect("warnings").iter().filter_map(Value::as_str);
    let timing = ["slower than fp32", "disturbed the measurement", "the times vary"];
    all.filter(|warning| !timing.iter().any(|what| warning.contains(what))).collect()
}

#[test]
fn a_sound_model_has_no_warnings() {
    let folder = Folder::new();
    let photos = repository("calibration/samples");
    let (report, _) = compile(&folder, text(&photos), &[]);
    assert_eq!(of_calibration(&report), [""; 0], "{report}");
    let inspected = folder.resnext(&["inspect", "out.rnx", "--json"]).json();
    assert!(inspected["metadata"]["calibration"]["warnings"].is_null(), "{inspected}");
    let distances = report["training_distance"].as_array().expect("distances");
    assert!(distances.len() == 4 && distances[0]["nats"].is_f64(), "a projection in each stage: {report}");
    assert_eq!(
        report["conditions"]["command"].as_str().map(|c| c.starts_with("resnext compile ")),
        Some(true)
    );
}

/// The compiler says it on stderr, in JSON and in the model. `eval` then names this cause and does not blame the baseline.
#[test]
fn a_ruined_model_is_told_and_remembered() {
    let folder = Folder::new();
    let photos = repository("calibration/samples");
    let weights = repository("models/reference/resnext26_16x4d_half-imagenette.safetensors");
    let ruin = ["--method", "percentile", "--percentile", "90"];
    let (report, notes) = compile(&folder, text(&photos), &ruin);
    let [warning] = of_calibration(&report)[..] else { panic!("{report}") };
    let expected = "int8 is far from fp32: it names the same class on ";
    assert!(
        warning.starts_with(expected) && warning.ends_with("; leave out --method, --percentile and --effort"),
        "{warning}"
    );
    assert!(notes.contains(&format!("resnext: {warning}")), "{notes:?}");
    for (class, photo) in [("church", "pagoda"), ("golf ball", "grass")] {
        std::fs::create_dir_all(folder.path("data").join(class)).unwrap();
        let to = folder.path("data").join(class).join("photo.jpg");
        std::fs::copy(photos.join(photo).with_extension("jpg"), to).unwrap();
    }
    let eval = ["eval", "out.rnx", "--data", "data", "--runs", "1", "--baseline", text(&weights), "--json"];
    let evaluated = folder.resnext(&eval).json_and_notes();
    let found = of_calibration(&evaluated);
    assert!(found[0].starts_with(&format!("the compiler warned of this model: {expected}")), "{found:?}");
    assert!(found.iter().all(|warning| !warning.contains("--baseline")), "{found:?}");
    assert!(evaluated["conditions"]["date"].is_string(), "{evaluated}");
}

#[test]
fn bad_samples_are_told() {
    let folder = Folder::new();
    let write = |kind: &str, name: &str, picture: image::RgbImage| {
        std::fs::create_dir_all(folder.path(kind)).unwrap();
        picture.save(folder.path(kind).join(name)).unwrap();
    };
    for i in 0..8 {
        write("black", &format!("{i}.png"), image::RgbImage::from_pixel(200, 180, image::Rgb([0; 3])));
    }
    let (report, _) = compile(&folder, "black", &[]);
    let found = of_calibration(&report);
    assert!(
        found[0].starts_with("all 8 samples show nothing: ") && found[0].contains("; look at the photos"),
        "{found:?}"
    );
    let photos = repository("calibration/samples");
    let (report, _) = compile(&folder, text(&photos), &["--num", "1"]);
    let found = of_calibration(&report);
    assert!(
        found[0].starts_with("1 picture is too few to calibrate on")
            && found[0].ends_with("; leave out --num"),
        "{found:?}"
    );
}
