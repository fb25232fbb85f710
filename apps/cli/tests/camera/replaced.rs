//! A model file that changes while a camera runs.

use super::{RAW, coloured, start};
use crate::support::Folder;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};

/// Copying a new model over the old one truncates the file first, and writes bytes of another model then.
#[test]
fn a_running_camera_keeps_the_model_that_it_opened() {
    let folder = Folder::new();
    let mut child =
        start(&folder, &[&["camera", "model.rnx", "-", "--json", "--every-frame"], &RAW[..]].concat());
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut top = |channel| {
        stdin.write_all(&coloured(channel)).unwrap();
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        line["top"].clone()
    };
    let before = top(1);
    let model = std::fs::read(folder.path("model.rnx")).unwrap();
    for content in [&b""[..], &vec![0xff; model.len()], &model[..model.len() / 2]] {
        // The same file, as `cp` does: `std::fs::write` truncates it.
        std::fs::write(folder.path("model.rnx"), content).unwrap();
        assert_eq!(top(1), before, "{} bytes", content.len());
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
