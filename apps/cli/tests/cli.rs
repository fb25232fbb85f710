//! The program as users and scripts meet it: results, JSON keys, exit statuses, one-line errors.

mod support;

use resnext::format::VERSION;
use serde_json::{Value, json};
use std::io::Read;
use std::process::Stdio;
use support::{COLOURS, Folder, Ran, colour_model, command, reference_model};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn classify_names_the_colours() {
    let folder = Folder::new();
    let results =
        folder.resnext(&["classify", "model.rnx", "red.png", "green.png", "blue.png", "--json"]).json();
    let results = results.as_array().unwrap();
    for (index, (result, colour)) in results.iter().zip(COLOURS).enumerate() {
        assert_eq!(keys(result), ["image", "top"]);
        assert_eq!(result["image"], format!("{colour}.png"));
        let best = &result["top"][0];
        assert_eq!(keys(best), ["class", "label", "probability"]);
        assert_eq!(best["label"], colour);
        // A class without identifier goes by its index.
        assert_eq!(best["class"], ["c0", "c1", "2"][index]);
        assert!(best["probability"].as_f64().unwrap() > 0.99, "{result}");
        assert_eq!(result["top"].as_array().unwrap().len(), 3, "there are only 3 classes");
    }
}

#[test]
fn classify_reads_well() {
    let folder = Folder::new();
    let text = folder.resnext(&["classify", "model.rnx", "blue.png", "red.png", "--top-k", "2"]).results();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    assert!(lines[0].starts_with("blue.png: 40×30, inference "), "{text}");
    assert_eq!(lines[1], "  100.0 %  ████████████████████  2   blue");
    assert_eq!(lines[2], "    0.0 %                        c0  red");
    assert_eq!(lines[3], "");
    assert!(lines[4].starts_with("red.png: "), "{text}");
}

#[test]
fn results_are_the_same_on_all_kernels_and_threads() {
    let folder = Folder::new();
    let run = |how: &[&str]| {
        let args = ["classify", "model.rnx", "red.png", "blue.png", "--json"];
        folder.resnext(&[&args, how].concat())
    };
    let expected = run(&["--kernels", "scalar", "--threads", "1"]).results();
    assert_eq!(run(&["--threads", "3"]).results(), expected);
    for kernels in ["native", "tract", "neon", "dotprod", "i8mm", "avx2", "avxvnni", "avx512vnni"] {
        let ran = run(&["--kernels", kernels]);
        match ran.status {
            0 => assert_eq!(ran.results(), expected, "{kernels}"),
            _ => {
                // No image was tried, so there is no JSON either.
                let line = ran.failure();
                assert!(line.starts_with(&format!("resnext: --kernels {kernels}: ")), "{line}");
                assert!(line.contains("auto, native, scalar"), "{line}");
            }
        }
    }
}

#[test]
fn a_bad_image_among_others_is_reported_and_skipped() {
    let folder = Folder::new();
    let png = std::fs::read(folder.path("red.png")).unwrap();
    folder.write("cut.png", &png[..png.len() / 2]);
    folder.write("words.jpg", b"these are words, not an image");
    folder.write("empty.jpg", b"");
    std::fs::create_dir(folder.path("photos")).unwrap();
    let images = ["red.png", "cut.png", "words.jpg", "empty.jpg", "photos", "missing.jpg", "blue.png"];
    let ran = folder.resnext(&[&["classify", "model.rnx", "--json"], &images[..]].concat());
    assert_eq!(ran.status, 1);
    let results: Value = serde_json::from_str(&ran.stdout).unwrap();
    let done: Vec<_> = results.as_array().unwrap().iter().map(|result| &result["image"]).collect();
    assert_eq!(done, ["red.png", "blue.png"]);
    let complaints: Vec<_> = ran.stderr.lines().collect();
    let expected = [
        "resnext: cut.png: is damaged (",
        "resnext: words.jpg: is not a JPEG or PNG image; ",
        "resnext: empty.jpg: is not a JPEG or PNG image; ",
        "resnext: photos: is a directory; ",
        "resnext: missing.jpg: no such file; ",
    ];
    assert_eq!(complaints.len(), expected.len(), "{}", ran.stderr);
    for (complaint, start) in complaints.iter().zip(expected) {
        assert!(complaint.starts_with(start), "{complaint}");
    }
}

#[test]
fn a_jpeg_that_ends_early_is_refused() {
    let folder = Folder::new();
    let whole = include_bytes!("../../../calibration/samples/cat.jpg");
    folder.write("cut.jpg", &whole[..whole.len() / 2]);
    let line = folder.resnext(&["classify", "model.rnx", "cut.jpg"]).failure();
    assert!(line.starts_with("resnext: cut.jpg: is damaged (the JPEG ends early); "), "{line}");
}

#[test]
fn an_image_larger_than_any_camera_is_refused() {
    let folder = Folder::new();
    image::GrayImage::new(20_000, 1).save(folder.path("wide.png")).unwrap();
    let line = folder.resnext(&["classify", "model.rnx", "wide.png"]).failure();
    assert!(line.starts_with("resnext: wide.png: is larger than 16384×16384 pixels"), "{line}");
}

#[test]
fn grey_and_alpha_and_sixteen_bits_are_colours_too() {
    let folder = Folder::new();
    let red = image::Rgba([60_000u16, 2_000, 2_000, 0]);
    image::ImageBuffer::from_pixel(30, 30, red).save(folder.path("deep.png")).unwrap();
    image::GrayImage::from_pixel(30, 30, image::Luma([90])).save(folder.path("grey.png")).unwrap();
    let results = folder.resnext(&["classify", "model.rnx", "deep.png", "grey.png", "--json"]).json();
    assert_eq!(results[0]["top"][0]["label"], "red");
    let thirds =
        results[1]["top"].as_array().unwrap().iter().map(|class| class["probability"].as_f64().unwrap());
    assert!(thirds.into_iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-6), "{results}");
}

#[test]
fn bench_has_the_keys_that_tools_rely_on() {
    let folder = Folder::new();
    let report = folder
        .resnext(&["bench", "model.rnx", "--warmup", "0", "--runs", "7", "--threads", "2", "--json"])
        .json();
    let expected = [
        "arena_bytes",
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

/// On whatever machine the tests run; what it says of others is tested on fake ones.
#[test]
fn doctor_looks_at_this_machine() {
    let folder = Folder::new();
    let ran = folder.resnext(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(keys(&report), ["checks", "healthy", "isa"]);
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

/// The CPUs that this process may run on, and so the program.
#[cfg(target_os = "linux")]
fn usable_cpus() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
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

#[test]
fn cpus_that_cannot_be_used_are_refused() {
    let folder = Folder::new();
    for verb in [&["bench", "model.rnx"][..], &["classify", "model.rnx", "red.png"]] {
        let line = folder.resnext(&[verb, &["--cpus", "65534-65535"]].concat()).failure();
        let start = match cfg!(target_os = "linux") {
            true => "resnext: --cpus 65534-65535: CPUs 65534-65535 ",
            false => "resnext: --cpus 65534-65535: CPUs can be chosen on Linux only; ",
        };
        assert!(line.starts_with(start), "{line}");
        #[cfg(target_os = "linux")]
        assert!(line.ends_with(&format!("; choose from {}", usable_cpus())), "{line}");
    }
}

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
fn zoo_lists_every_variant() {
    let folder = Folder::new();
    let text = folder.resnext(&["zoo"]).results();
    assert_eq!(text.lines().count(), 33, "{text}");
    let row = |start: &str| {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("variant"), "variant top-1 top-5 params GMAC pixels crop resampling");
    assert_eq!(
        row("timm/resnext101_64x4d"),
        "timm/resnext101_64x4d 83.14 96.37 83.46M 25.56 288→288 1 pillow bicubic"
    );
    assert_eq!(
        row("ppcls/fix_resnext101_32x48d_wsl"),
        "ppcls/fix_resnext101_32x48d_wsl 86.30 98.00 828.4M 312.9 320→320 1 opencv bilinear"
    );

    let timm = folder.resnext(&["zoo", "Timm"]).results();
    assert!(timm.lines().skip(1).all(|line| line.starts_with("timm/")), "{timm}");
    assert_eq!(timm.lines().count(), 9);
    assert_eq!(
        folder.resnext(&["zoo", "keras"]).failure(),
        "resnext: keras: no variant has this in its name; leave it out to see all"
    );
}

#[test]
fn zoo_has_the_keys_that_tools_rely_on() {
    let variants = Folder::new().resnext(&["zoo", "--json"]).json();
    let variants = variants.as_array().unwrap();
    assert_eq!(variants.len(), 32);
    for variant in variants {
        let expected =
            ["arch", "architecture", "macs", "name", "params", "preprocess", "published", "source"];
        assert_eq!(keys(variant), expected);
    }
    let expected = json!({
        "arch": "timm/resnext50d_32x4d",
        "source": "timm",
        "name": "resnext50d_32x4d",
        "published": { "top1": 0.7967, "top5": 0.94864 },
        "params": 25_048_136,
        "macs": 4_470_120_448_u64,
        "architecture": {
            "depth": 50,
            "blocks": [3, 4, 6, 3],
            "cardinality": 32,
            "base_width": 4,
            "planes": 64,
            "stem": "deep",
            "shortcut": "avg-pool",
            "classes": 1000,
        },
        "preprocess": {
            "size": 224,
            "resize": 256,
            "crop": 0.875,
            "interpolation": "pillow-bicubic",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
    });
    assert_eq!(variants[3], expected);
}

#[test]
fn tables_fit_the_terminal() {
    let folder = Folder::new();
    for columns in [80, 120] {
        for args in
            [&["zoo"][..], &["inspect", "model.rnx"], &["bench", "model.rnx", "--runs", "1", "--profile"]]
        {
            let output =
                command(args).current_dir(folder.path("")).env("COLUMNS", columns.to_string()).output();
            let (text, _) = Ran::new(output.unwrap()).results_and_warnings();
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= columns, "{widest} > {columns}:\n{text}");
        }
    }
}

#[test]
fn a_hostile_model_cannot_drive_the_terminal() {
    let folder = Folder::new();
    folder.write("evil.rnx", &colour_model("\"\\u001b[2J gone\""));
    let text = folder.resnext(&["inspect", "evil.rnx"]).results();
    assert!(!text.contains('\x1b') && text.contains("\\u{1b}[2J gone"), "{text}");
    folder.write("plain.rnx", &colour_model("no JSON at all"));
    assert!(folder.resnext(&["inspect", "plain.rnx"]).results().contains("no JSON at all"));
}

#[test]
fn models_that_cannot_be_used_say_why() {
    let folder = Folder::new();
    let good = colour_model("{}");
    let patched = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    folder.write("words.rnx", b"not a model");
    folder.write("empty.rnx", b"");
    folder.write("cut.rnx", &good[..good.len() - 1]);
    folder.write("newer.rnx", &patched(8, VERSION as u8 + 1));
    folder.write("damaged.rnx", &patched(good.len() - 1, b'?'));
    std::fs::create_dir(folder.path("models")).unwrap();
    let newer = format!("artifact format {} is newer than the {VERSION} ", VERSION + 1);
    let cases = [
        ("missing.rnx", "no such file; "),
        ("models", "is a directory; "),
        ("red.png", "not a .rnx artifact; "),
        ("words.rnx", "not a .rnx artifact; "),
        ("empty.rnx", "not a .rnx artifact; "),
        ("cut.rnx", "artifact is "),
        ("newer.rnx", &newer),
        ("damaged.rnx", "artifact is damaged "),
        #[cfg(unix)]
        ("/dev/null", "is not a regular file; "),
    ];
    for (model, what) in cases {
        for verb in [&["inspect", model][..], &["bench", model], &["classify", model, "red.png"]] {
            let line = folder.resnext(verb).failure();
            let start = format!("resnext: {model}: {what}");
            assert!(line.starts_with(&start), "{line}");
        }
    }
}

#[test]
fn wrong_usage_is_status_2() {
    let folder = Folder::new();
    let cases: [&[&str]; 17] = [
        &[],
        &["frobnicate"],
        &["classify", "model.rnx"],
        &["bench"],
        &["bench", "model.rnx", "--runs", "0"],
        &["bench", "model.rnx", "--threads", "0"],
        &["bench", "model.rnx", "--cpus", ""],
        &["bench", "model.rnx", "--cpus", "3-1"],
        &["classify", "model.rnx", "red.png", "--cpus", "0,two"],
        &["bench", "model.rnx", "--kernels", "sse9"],
        &["classify", "model.rnx", "red.png", "--top-k", "0"],
        &["inspect", "model.rnx", "extra"],
        &["zoo", "timm", "mmcls"],
        &["bench", "model.rnx", "--sustained", "soon"],
        &["bench", "model.rnx", "--sustained", "0s"],
        &["bench", "model.rnx", "--sustained", "1s", "--runs", "5"],
        &["doctor", "model.rnx"],
    ];
    for args in cases {
        let ran = folder.resnext(args);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn help_and_version_are_results() {
    let folder = Folder::new();
    for verb in ["zoo", "classify", "bench", "inspect", "doctor"] {
        let text = folder.resnext(&[verb, "--help"]).results();
        assert!(text.contains("Examples:\n  resnext "), "{text}");
    }
    assert!(folder.resnext(&["--help"]).results().contains("Exit status: 0 done, 1 failed"));
    assert_eq!(
        folder.resnext(&["--version"]).results(),
        concat!("resnext ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = Folder::new();
    // More than a pipe holds, so that the program is still writing when the reader is gone.
    let long = format!("{{\"notes\": [{}]}}", vec!["\"filler filler filler\""; 20_000].join(","));
    folder.write("long.rnx", &colour_model(&long));
    let mut child = command(&["inspect", "long.rnx", "--json"])
        .current_dir(folder.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut [0; 10]).unwrap();
    drop(pipe);
    let ran = Ran::new(child.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failure() {
    let folder = Folder::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&["inspect", "model.rnx"]).current_dir(folder.path("")).stdout(full).output();
    let line = Ran::new(output.unwrap()).failure();
    assert!(line.starts_with("resnext: stdout: cannot be written: "), "{line}");
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
