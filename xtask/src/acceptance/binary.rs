//! What the board's binary says on an emulated core, against what the host's says.

use super::board::{RUNNER, known};
use super::host_binary;
use crate::json;
use crate::step::{Result, Step};
use crate::tools;
use crate::workspace::{MODEL, Workspace};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The host's binary and the board's.
struct Both<'a> {
    workspace: &'a Workspace,
    host: PathBuf,
    board: PathBuf,
    core: &'a str,
}

impl Both<'_> {
    fn on_host(&self, arguments: &[&str]) -> Command {
        let mut command = self.workspace.command(&self.host);
        command.args(arguments);
        command
    }

    fn on_board(&self, arguments: &[&str]) -> Command {
        let mut command = self.workspace.command(RUNNER);
        command.arg(&self.board).args(arguments).env("RESNEXT_QEMU_CPU", self.core);
        command
    }
}

/// Lets both binaries classify, evaluate and watch a film, and the board's measure.
///
/// # Errors
///
/// They differ, or one fails.
pub(super) fn says_the_same(step: &mut Step<'_>, core: &str) -> Result {
    if !known(step, core)? {
        return Ok(());
    }
    let host = host_binary(step)?;
    let board = tools::board_binary(step.workspace)?;
    let both = Both { workspace: step.workspace, host, board, core };
    step.run(&mut both.on_board(&["--version"]))?;
    same_classes(step, &both)?;
    same_drop(step, &both)?;
    step.run(&mut both.on_board(&[
        "bench",
        MODEL,
        "--threads",
        "2",
        "--warmup",
        "1",
        "--runs",
        "2",
        "--json",
    ]))?;
    same_frames(step, &both)
}

fn same_classes(step: &mut Step<'_>, both: &Both<'_>) -> Result {
    let classify = ["classify", MODEL, "--json"];
    let host = step.output(both.on_host(&classify).args(photos()?))?;
    let board = step.output(both.on_board(&classify).args(photos()?))?;
    json::same(&host, &board)
}

/// With fp32 logits that the host records, the board measures its own drop.
fn same_drop(step: &mut Step<'_>, both: &Both<'_>) -> Result {
    let logs = &both.workspace.logs;
    let [truth, fp32, page] = ["truth", "fp32.safetensors", "board.html"].map(|name| logs.join(name));
    // Which class each photo has matters little.
    let names = photos()?.into_iter().filter_map(|photo| photo.file_name().map(OsStr::to_owned));
    fs::write(&truth, names.map(|name| format!("{} church\n", name.to_string_lossy())).collect::<String>())?;
    let truth = truth.to_string_lossy();
    let eval = ["eval", MODEL, "--data", "calibration/samples", "--truth", &truth, "--baseline"];
    let checkpoint = MODEL.replace(".rnx", ".safetensors");
    step.run(both.on_host(&eval).arg(checkpoint).arg("--record").arg(&fp32))?;

    let once = ["--runs", "1", "--json"];
    let host = step.output(both.on_host(&eval).arg(&fp32).args(once))?;
    let board = step.output(both.on_board(&eval).arg(&fp32).args(once).arg("--html").arg(page))?;
    json::same(&without_measurements(&host)?, &without_measurements(&board)?)
}

/// Reads a report without what was measured, where, and what the machine says of that.
fn without_measurements(report: &str) -> Result<Value> {
    let mut report = serde_json::from_str(report)?;
    for key in ["latency", "conditions", "warnings"] {
        json::remove(&mut report, key)?;
    }
    Ok(report)
}

/// Frames of an odd size through a pipe, since a file would neither drop frames nor smooth answers.
fn same_frames(step: &mut Step<'_>, both: &Both<'_>) -> Result {
    let film = both.workspace.logs.join("film.y4m");
    let mut make = both.workspace.command("ffmpeg");
    make.args(["-v", "error", "-y", "-pattern_type", "glob", "-i", "calibration/samples/*.jpg"]);
    step.run(make.args(["-vf", "scale=321:239,format=yuv420p", "-frames:v", "3"]).arg(&film))?;
    let camera = ["camera", MODEL, "-", "--every-frame", "--top-k", "5", "--json"];
    let host = frames(&piped(step, &mut both.on_host(&camera), &film)?)?;
    let board = frames(&piped(step, &mut both.on_board(&camera), &film)?)?;
    if host.len() != 3 {
        return Err(format!("{} frames of 3", host.len()).into());
    }
    json::same(&host, &board)
}

/// Reads a camera's lines without what depends on the clock.
fn frames(text: &str) -> Result<Vec<Value>> {
    let mut lines = json::lines(text)?;
    for line in &mut lines {
        json::remove(line, "t_ms")?;
        json::remove(line, "latency_ms")?;
    }
    Ok(lines)
}

/// Returns the bundled photos, in the order of their names.
///
/// # Errors
///
/// The folder cannot be read.
pub(super) fn photos() -> Result<Vec<PathBuf>> {
    let mut photos = Vec::new();
    for entry in fs::read_dir("calibration/samples")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            photos.push(path);
        }
    }
    photos.sort();
    Ok(photos)
}

/// Runs a command with a file as its input, through a pipe, and returns what it prints.
///
/// # Errors
///
/// The command fails.
pub(super) fn piped(step: &mut Step<'_>, command: &mut Command, file: &Path) -> Result<String> {
    let mut cat = Command::new("cat").stdin(File::open(file)?).stdout(Stdio::piped()).spawn()?;
    let output = step.output_with(command, cat.stdout.take().ok_or("no pipe")?);
    cat.wait()?;
    output
}
