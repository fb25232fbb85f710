//! `resnext demo`.

use crate::support::{Folder, Ran, command};

#[test]
fn demo_shows_the_whole_path() {
    let folder = Folder::new();
    let report = folder.resnext(&["demo", "--runs", "2", "-o", "demo.rnx", "--json"]).json_and_notes();
    let photos = report["photos"].as_array().unwrap();
    assert_eq!(photos.len(), 14);
    for photo in &photos[..2] {
        assert_eq!(photo["shows"], "church", "the first answers are right: {photo}");
        assert!(photo["int8"]["label"] == "church" && photo["fp32"]["label"] == "church", "{photo}");
    }
    assert!(photos[2..].iter().all(|photo| photo["shows"].is_null()));
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
    let narrow = command(&["demo", "--runs", "1"]).env("COLUMNS", "80").output().unwrap();
    let words = Ran::new(narrow).results_and_warnings().0;
    let widest = words.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 80, "{widest} columns:\n{words}");
    let classes = words.find("The model knows 10 classes: tench, English springer,").expect("the classes");
    let [church, cat] = ["church-vienna", "\ncat "].map(|photo| words.find(photo).expect(photo));
    assert!(classes < church && church < cat, "classes, known photos, others: {words}");
    assert!(words[church..].lines().next().unwrap().ends_with("right"), "{words}");
    // Lines are wrapped wherever the width of the terminal wants it.
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("1 run of each, in turn"), "{words}");
    for section in ["1. An fp32 ResNeXt", "2. Calibrate", "3. Classify", "4. Latency", "need labelled images"]
    {
        assert!(words.contains(section), "{section}: {words}");
    }
}
