//! `resnext bench`.

use crate::keys;
use crate::support::Folder;
#[cfg(target_os = "linux")]
use crate::usable_cpus;
use serde_json::{Value, json};

#[test]
fn bench_has_the_keys_that_tools_rely_on() {
    let folder = Folder::new();
    let report = folder
        .resnext(&["bench", "model.rnx", "--warmup", "0", "--runs", "7", "--threads", "2", "--json"])
        .json();
    let expected = [
        "arena_bytes",
        "conditions",
        "cpus",
        "fidelity",
        "fps",
        "gmac",
        "gmac_per_s",
        "isa",
        "kernels",
        "load_ms",
        "model",
        "model_bytes",
        "ms",
        "peak_rss_bytes",
        "runs",
        "steady_state_allocations",
        "threads",
        "warmup",
        "warnings",
    ];
    assert_eq!(keys(&report), expected);
    let conditions = &report["conditions"];
    assert_eq!(keys(conditions), ["command", "date", "load", "machine"]);
    assert_eq!(conditions["command"], "resnext bench model.rnx --warmup 0 --runs 7 --threads 2 --json");
    assert_eq!(keys(&report["ms"]), ["min", "p50", "p90", "p99"]);
    assert_eq!((&report["threads"], &report["runs"], &report["warmup"]), (&json!(2), &json!(7), &json!(0)));
    assert!(report["cpus"].is_null(), "--threads alone pins nothing: {report}");
    assert!(report["warnings"].as_array().unwrap().iter().all(Value::is_string), "{report}");
    assert_eq!(report["steady_state_allocations"], 0, "the runtime allocates nothing, from the first run on");
    let file = std::fs::metadata(folder.path("model.rnx")).unwrap().len();
    assert_eq!(report["model_bytes"], file);
    let ms = |key: &str| report["ms"][key].as_f64().unwrap();
    assert!(0.0 < ms("min") && ms("min") <= ms("p50") && ms("p50") <= ms("p90") && ms("p90") <= ms("p99"));
    let layers: u64 = report["kernels"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(layers, 6);
    assert_eq!(report["peak_rss_bytes"].is_u64(), cfg!(target_os = "linux"));
}

#[test]
fn bench_profiles_every_layer_without_allocating() {
    let folder = Folder::new();
    let report = folder.resnext(&["bench", "model.rnx", "--profile", "--runs", "5", "--json"]).json();
    assert_eq!(report["steady_state_allocations"], 0);
    let profile = report["profile"].as_array().unwrap();
    let names: Vec<_> = profile.iter().map(|layer| &layer["name"]).collect();
    assert_eq!(names, ["stem", "pool", "block.conv1", "block.conv2", "mean", "fc"]);
    let shares: f64 = profile.iter().map(|layer| layer["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9);
    assert_eq!(profile[2]["output"], json!([4, 4, 16]));
    assert!(profile[1]["gmac_per_s"].is_null() && profile[0]["gmac_per_s"].is_f64());
    let (text, _) =
        folder.resnext(&["bench", "model.rnx", "--profile", "--runs", "5"]).results_and_warnings();
    assert!(
        text.contains("\nlayer ") && text.contains("\nblock.conv1 ") && text.contains("\nkernel "),
        "{text}"
    );
}

#[test]
fn bench_sustained_shows_latency_over_time() {
    let folder = Folder::new();
    let sustain = ["bench", "model.rnx", "--threads", "1", "--warmup", "0", "--sustained", "1s"];
    let start = std::time::Instant::now();
    let report = folder.resnext(&[&sustain[..], &["--json"]].concat()).json();
    assert!(start.elapsed().as_secs_f64() >= 1.0);
    assert_eq!(
        report["steady_state_allocations"], 0,
        "neither inference nor the looks at the board allocate"
    );
    let sustained = &report["sustained"];
    let expected = [
        "cause",
        "first_p50_ms",
        "last_p50_ms",
        "seconds",
        "series",
        "since_s",
        "slowdown",
        "throttled",
        "window_s",
    ];
    assert_eq!(keys(sustained), expected);
    assert_eq!(sustained["seconds"], 1.0);
    let series = sustained["series"].as_array().unwrap();
    assert_eq!(series.len(), 60);
    let expected = ["limit_mhz", "mhz", "p50_ms", "p99_ms", "runs", "t_s", "temperature_c", "throttled"];
    assert_eq!(keys(&series[0]), expected);
    let runs: u64 = series.iter().map(|stretch| stretch["runs"].as_u64().unwrap()).sum();
    assert_eq!(report["runs"], runs);
    assert!(runs > 10 && sustained["first_p50_ms"].as_f64().unwrap() > 0.0, "{runs}");

    let (text, _) = folder.resnext(&sustain).results_and_warnings();
    assert!(text.contains("\nsustained    ") && text.contains(" ms in the first 0.3 s, "), "{text}");
    let plot = text.lines().find(|line| line.starts_with("latency p50 ")).unwrap();
    assert!(plot.is_ascii() && plot.contains(" to ") && plot.ends_with(" ms"), "not a terminal: {plot}");
    let table = text.lines().skip_while(|line| !line.trim_start().starts_with("from ")).skip(1);
    assert_eq!(table.take_while(|line| !line.is_empty()).count(), 12, "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn bench_runs_on_the_cpus_it_is_given() {
    let folder = Folder::new();
    let usable = usable_cpus();
    let cpu: u16 = usable.split(['-', ',']).next().unwrap().parse().unwrap();
    let bench = |how: &[&str]| folder.resnext(&[&["bench", "model.rnx", "--runs", "3"], how].concat());
    let twice = format!("{cpu},{cpu}");
    let report = bench(&["--cpus", &twice, "--json"]).json();
    assert_eq!((&report["cpus"], &report["threads"]), (&json!([cpu]), &json!(1)));
    // A thread for each, however many there are.
    let report = bench(&["--cpus", &usable, "--json"]).json();
    assert_eq!(report["threads"], report["cpus"].as_array().unwrap().len());
    let report = bench(&["--cpus", &twice, "--threads", "3", "--json"]).json();
    assert_eq!((&report["cpus"], &report["threads"]), (&json!([cpu]), &json!(3)));
    let (text, _) = bench(&["--cpus", &twice]).results_and_warnings();
    assert!(text.contains(&format!("\nrunning on   1 thread on CPU {cpu}, ")), "{text}");
}
