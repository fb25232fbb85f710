//! Small networks with the names and the files of every library. `fixtures/zoo/make_fixtures.py` makes them.

mod support;

use std::path::PathBuf;

use resnext::preprocess::Preprocessing;
use resnext_calibration::fp32::Fp32Model;
use resnext_calibration::import::{ImportOptions, load_with};
use resnext_calibration::network::{Origin, fold_batch_norm};
use resnext_calibration::preprocessing::normalize;
use resnext_models::Library;
use serde_json::Value;
use support::{root, synthetic_pixels};

/// Largest difference, relative to the largest logit: the order of float operations differs, and batch norms are folded.
const TOLERANCE: f32 = 1e-4;

fn folder() -> PathBuf {
    root().join("calibration/tests/fixtures/zoo")
}

fn document() -> Value {
    let text = std::fs::read_to_string(folder().join("logits.json")).expect("fixture");
    serde_json::from_str(&text).expect("JSON")
}

fn numbers(value: &Value) -> impl Iterator<Item = f64> {
    value.as_array().expect("an array").iter().map(|number| number.as_f64().expect("a number"))
}

/// Imports `file` and returns what is wrong with it, so that the test can report on all files.
fn check(file: &str, document: &Value) -> Result<(), String> {
    let size = document["size"].as_u64().expect("a size") as usize;
    let expected = &document["models"][file];
    let options = ImportOptions::of_size(size);
    let mut network = load_with(&folder().join(file), options).map_err(|error| error.to_string())?;

    let blocks: Vec<usize> = numbers(&document["blocks"]).map(|count| count as usize).collect();
    let found = &network.architecture;
    if (&found.blocks, Some(found.cardinality as u64)) != (&blocks, expected["cardinality"].as_u64()) {
        return Err(format!("{file}: its topology is {found:?}"));
    }

    // Whose names the tensors have, or from whose framework a graph was exported.
    let library = expected["library"].as_str().and_then(|library| library.split(' ').next());
    let library = Library::named(library.unwrap_or_default()).expect("a library");
    let Origin { libraries, .. } = &network.origin;
    let is_of = |library: Library| libraries.contains(&library);
    // A tool that rewrites a graph leaves no trace of where it comes from.
    let says_nothing = file.ends_with(".onnx") && libraries.is_empty();
    if !says_nothing && (!is_of(library) || (library == Library::Ppcls) != is_of(Library::Ppcls)) {
        return Err(format!("{file}: it is of {library}, and seems to be of {libraries:?}"));
    }

    fold_batch_norm(&mut network);
    let image = normalize(&Preprocessing::imagenet(size as u32, size as u32), &synthetic_pixels(size));
    let mut model = Fp32Model::new(&network, &[]).map_err(|error| error.to_string())?;
    let outputs = model.run(&image).map_err(|error| error.to_string())?;
    let logits: Vec<f32> = numbers(&expected["logits"]).map(|logit| logit as f32).collect();
    let largest = logits.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
    assert!(largest > 0.0 && logits.len() == 10, "{file}: logits that say something");
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * largest;
    match outputs.result().len() == logits.len() && outputs.result().iter().zip(&logits).all(close) {
        true => Ok(()),
        false => Err(format!("{file}: {:?}, {} has {logits:?}", outputs.result(), expected["library"])),
    }
}

#[test]
fn every_library_gets_its_own_logits() {
    let document = document();
    let files: Vec<&String> = document["models"].as_object().expect("models").keys().collect();
    assert_eq!(files.len(), 15);
    let wrong: Vec<String> = files.iter().filter_map(|file| check(file, &document).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

/// Every fixture has its logits and all logits have their file, or a fixture would go unchecked unnoticed.
#[test]
fn files_and_logits_belong_together() {
    let document = document();
    let listed = document["models"].as_object().expect("models");
    let other = ["logits.json", "make_fixtures.py", "__pycache__"];
    let mut checkpoints = 0;
    for entry in folder().read_dir().expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        if !other.contains(&name.as_str()) {
            assert!(listed.contains_key(&name), "{name} has no logits");
            checkpoints += 1;
        }
    }
    assert_eq!(checkpoints, listed.len());
}
