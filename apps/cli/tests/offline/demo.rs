//! `resnext demo`.

use crate::support::Folder;

#[test]
fn demo_shows_the_whole_path() {
    let folder = Folder::new();
    let report = folder.resnext(&["demo", "--runs", "2", "-o", "demo.rnx", "--json"]).json();
    assert_eq!(report["photos"].as_array().unwrap().len(), 12);
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
    let words = folder.resnext(&["demo", "--runs", "1"]).results_and_warnings().0;
    for section in ["1. An fp32 ResNeXt", "2. Calibrate", "3. Classify", "4. Latency", "need labelled images"]
    {
        assert!(words.contains(section), "{section}: {words}");
    }
}
