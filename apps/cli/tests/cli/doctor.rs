//! `resnext doctor`.

use crate::keys;
use crate::support::Folder;
use serde_json::Value;

/// Runs on the machine of the tests. Unit tests check other machines with fake files.
#[test]
fn doctor_looks_at_this_machine() {
    let folder = Folder::new();
    let ran = folder.resnext(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(keys(&report), ["checks", "healthy", "isa", "measurable"]);
    assert_eq!(ran.status, if report["healthy"] == true { 0 } else { 1 });
    let checks = report["checks"].as_array().unwrap();
    for check in checks {
        assert_eq!(keys(check), ["check", "found", "remedy", "status"]);
        assert!(["ok", "note", "mend"].contains(&check["status"].as_str().unwrap()), "{check}");
        assert_eq!(check["status"] == "ok", check["remedy"].is_null(), "{check}");
    }
    for name in
        ["board", "cpu", "kernels", "governor", "temperature", "memory", "camera", "framebuffer", "spi"]
    {
        assert!(checks.iter().any(|check| check["check"] == name), "{name}: {report}");
    }
    let bench = folder.resnext(&["bench", "model.rnx", "--runs", "1", "--json"]).json();
    assert_eq!(report["isa"], bench["isa"], "the kernels that would run");
    let text = folder.resnext(&["doctor"]).stdout;
    assert!(text.contains(&format!("kernels      {}", report["isa"].as_str().unwrap())), "{text}");
    assert!(!text.contains('\x1b'), "no colour for a pipe: {text:?}");
}
