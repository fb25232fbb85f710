//! `resnext inspect`.

use crate::support::Folder;
use resnext_testing::networks::colours;
use serde_json::json;

#[test]
fn inspect_shows_every_step() {
    let folder = Folder::new();
    let text = folder.resnext(&["inspect", "model.rnx"]).results();
    for part in
        ["stem", "max pool", "conv+add", "3/1/4", "1/1", "quad4", "4×4×16", "red, green, blue", "fixture"]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let report = folder.resnext(&["inspect", "model.rnx", "--json"]).json();
    assert_eq!(report["metadata"], json!({"source": "fixture", "samples": 3}));
    assert_eq!(report["classes"][2], json!({"class": "", "label": "blue"}));
    assert_eq!(report["steps"].as_array().unwrap().len(), 6);
    assert_eq!(report["steps"][5]["output"], json!([1, 1, 3]));
    assert_eq!(report["preprocess"]["filter"], "pillow-bilinear");
}

#[test]
fn a_hostile_model_cannot_drive_the_terminal() {
    let folder = Folder::new();
    folder.write("evil.rnx", &colours("\"\\u001b[2J gone\"").bytes);
    let text = folder.resnext(&["inspect", "evil.rnx"]).results();
    assert!(!text.contains('\x1b') && text.contains("\\u{1b}[2J gone"), "{text}");
    folder.write("plain.rnx", &colours("no JSON at all").bytes);
    assert!(folder.resnext(&["inspect", "plain.rnx"]).results().contains("no JSON at all"));
}
