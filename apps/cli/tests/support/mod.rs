//! Fixtures: a model, pictures, and a way to run the program.
#![allow(dead_code, reason = "each test file uses its part")]

use resnext_testing::networks::{COLOURS, colours};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a model and pictures, deleted at the end of the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// `model.rnx`, and `red.png`, `green.png`, `blue.png`.
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("model.rnx", &colours(r#"{"source": "fixture", "samples": 3}"#).bytes);
        for (channel, name) in COLOURS.iter().enumerate() {
            let mut pixel = [20; 3];
            pixel[channel] = 220;
            image::RgbImage::from_pixel(40, 30, image::Rgb(pixel))
                .save(folder.path(&format!("{name}.png")))
                .unwrap();
        }
        folder
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Path of a file of this folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `resnext` in this folder.
    pub(crate) fn resnext(&self, args: &[&str]) -> Ran {
        Ran::new(command(args).current_dir(self.0.path()).output().unwrap())
    }
}

/// The program with arguments.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resnext"));
    command.args(args).env_remove("COLUMNS");
    command
}

/// How warnings begin that depend on what else the machine does while the tests run.
const OF_THE_MACHINE: [&str; 3] =
    ["other programs disturbed the measurement ", "the times vary", "more threads than CPUs "];

fn is_of_the_machine(warning: &str) -> bool {
    OF_THE_MACHINE.iter().any(|start| warning.starts_with(start))
}

/// What a run of the program left, without warnings of the machine.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit status.
    pub(crate) status: i32,
    /// Results.
    pub(crate) stdout: String,
    /// Messages.
    pub(crate) stderr: String,
}

impl Ran {
    /// Takes apart what [`Command::output`] returned.
    pub(crate) fn new(output: Output) -> Self {
        let stays = |line: &&str| !line.strip_prefix("resnext: ").is_some_and(is_of_the_machine);
        let stderr = String::from_utf8(output.stderr).unwrap();
        Self {
            // No status means a signal, which is never right.
            status: output.status.code().expect("ended by a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: stderr.split_inclusive('\n').filter(stays).collect(),
        }
    }

    /// The results, of a run that went well and had nothing to say besides.
    pub(crate) fn results(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }

    /// The results, and what the program had to say of the machine it was measured on.
    pub(crate) fn results_and_warnings(self) -> (String, Vec<String>) {
        let warnings: Vec<_> = self.stderr.lines().map(str::to_owned).collect();
        let polite = warnings.iter().all(|line| line.starts_with("resnext: ") && line.contains("; "));
        assert!(self.status == 0 && polite, "{}{}", self.stdout, self.stderr);
        (self.stdout, warnings)
    }

    /// The results as JSON.
    pub(crate) fn json(self) -> serde_json::Value {
        parse(&self.results())
    }

    /// The results as JSON of a run that went well, whatever it had to say besides.
    pub(crate) fn json_and_notes(self) -> serde_json::Value {
        assert_eq!(self.status, 0, "{}", self.stderr);
        parse(&self.stdout)
    }

    /// The one line on stderr of a run that failed with status 1 and printed no results.
    pub(crate) fn failure(self) -> String {
        assert_eq!((self.status, self.stdout.as_str()), (1, ""), "{}", self.stderr);
        let line = self.stderr.strip_suffix('\n').unwrap_or_default();
        assert!(line.starts_with("resnext: ") && !line.contains('\n'), "not one line: {:?}", self.stderr);
        assert!(line.contains("; "), "no remedy: {line}");
        line.to_owned()
    }
}

/// Parses a report, and drops its warnings of the machine.
fn parse(text: &str) -> serde_json::Value {
    let mut report: serde_json::Value = serde_json::from_str(text).unwrap();
    if let Some(warnings) = report.get_mut("warnings").and_then(serde_json::Value::as_array_mut) {
        warnings.retain(|warning| !warning.as_str().is_some_and(is_of_the_machine));
    }
    report
}

/// The bundled reference model, compiled, where the repository has it.
pub(crate) fn reference_model() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models/reference/resnext26_16x4d_half-imagenette.rnx");
    path.is_file().then_some(path)
}
