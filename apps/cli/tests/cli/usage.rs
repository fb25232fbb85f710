//! What all verbs share: options, exit statuses, errors in one line, and output that fits the terminal.

use crate::support::{Folder, Ran, command};
#[cfg(target_os = "linux")]
use crate::usable_cpus;
use resnext::internals::format::VERSION;
use resnext_testing::networks::colours;
use std::io::Read;
use std::process::Stdio;

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

/// Remedies break between words, below where they begin. What `doctor` finds depends on the machine, and so does its status.
#[test]
fn remedies_fit_the_terminal() {
    let text = |columns: &str| {
        let output = command(&["doctor"]).env("COLUMNS", columns).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (narrow, wide) = (text("60"), text("10000"));
    // The name of a check takes 19 columns. A line is longer only if it is a single word.
    for line in narrow.lines().filter(|line| line.chars().count() > 60) {
        let text: String = line.chars().skip(19).collect();
        assert!(!text.trim_start_matches("→ ").contains(' '), "{line}");
    }
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&narrow).len(), words(&wide).len(), "no word is broken:\n{narrow}");
}

#[test]
fn models_that_cannot_be_used_say_why() {
    let folder = Folder::new();
    let good = colours("{}").bytes;
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

/// The words of a message about what this build lacks, and what it must not say.
#[test]
fn what_another_build_has_is_explained() {
    let folder = Folder::new();
    let lacks = |args: &[&str], start: &str| {
        let ran = folder.resnext(args);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with(start) && ran.stderr.lines().count() == 1, "{args:?}: {}", ran.stderr);
    };
    if !cfg!(feature = "compile") {
        for verb in ["compile", "import", "demo"] {
            let start =
                format!("resnext: {verb}: this build is for running models and has no offline half; ");
            lacks(&[verb, "--help"], &start);
        }
        lacks(&["bench", "model.rnx", "--baseline", "x"], "resnext: --baseline: this build cannot run fp32 ");
    }
    if cfg!(target_os = "linux") && !cfg!(feature = "spi") {
        let start = "resnext: --spi: this build drives no SPI panels; ";
        lacks(&["camera", "model.rnx", "red.png", "--spi", "/dev/spidev0.0,st7789"], start);
        lacks(&["camera", "model.rnx", "red.png", "--spi=x"], start);
    }
    if !cfg!(feature = "defmt") {
        lacks(
            &["classify", "model.rnx", "red.png", "--defmt", "log"],
            "resnext: --defmt: this build writes no ",
        );
    }
    if !cfg!(feature = "manual") {
        let ran = Ran::new(command(&["zoo"]).env("RESNEXT_MANUAL", "man").output().unwrap());
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.starts_with("resnext: RESNEXT_MANUAL: this build writes no manual pages; "));
    }
    // What no build has is still wrong usage.
    assert!(folder.resnext(&["inspect", "model.rnx", "--spi", "x"]).stderr.contains("unexpected argument"));
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
    folder.write("long.rnx", &colours(&long).bytes);
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
