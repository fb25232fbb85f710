//! The program as users and scripts meet it: results, JSON keys, exit statuses, one-line errors.

mod bench;
mod classify;
mod doctor;
mod inspect;
#[path = "../support/mod.rs"]
mod support;
mod usage;
mod zoo;

use serde_json::{Value, json};
use support::{Folder, reference_model};

pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Returns the CPUs that this process, and so the program, may run on.
#[cfg(target_os = "linux")]
pub(crate) fn usable_cpus() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
}

#[test]
fn the_reference_model_runs() {
    let Some(model) = reference_model() else {
        eprintln!("skipped: models/reference has no compiled model");
        return;
    };
    let folder = Folder::new();
    let model = model.to_str().unwrap();
    let report =
        folder.resnext(&["bench", model, "--runs", "2", "--warmup", "1", "--profile", "--json"]).json();
    assert_eq!(report["steady_state_allocations"], 0);
    assert!(report["gmac"].as_f64().unwrap() > 0.1);
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../calibration/samples/");
    let rocket = format!("{samples}rocket.jpg");
    let result = folder.resnext(&["classify", model, &rocket, "--json"]).json();
    let top = result[0]["top"].as_array().unwrap();
    assert_eq!(top.len(), 5);
    let probabilities: Vec<_> = top.iter().map(|class| class["probability"].as_f64().unwrap()).collect();
    assert!(probabilities.is_sorted_by(|a, b| a >= b), "{probabilities:?}");
    assert!(top.iter().all(|class| class["class"].as_str().unwrap().starts_with('n')));
    let inspected = folder.resnext(&["inspect", model, "--json"]).json();
    assert_eq!(inspected["classes"].as_array().unwrap().len(), 10);
    assert_eq!(inspected["input"], json!([160, 160, 3]));
}
