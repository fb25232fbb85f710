//! The runtime and its binary on emulated Arm cores, and on bare metal as far as compiling goes.

use super::host_binary;
use crate::step::{Result, Step};
use crate::tools::{self, BARE, BOARD, CORES, Std};
use crate::workspace::MODEL;
use crate::{count, deb, json};
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program for the board, emulated where that is needed.
pub(crate) const RUNNER: &str = "tests/emulation/qemu-runner";

/// What the board's binary may have at most.
const MAX_BYTES: u64 = 5_000_000;

/// Builds the runtime and its models without an operating system.
///
/// # Errors
///
/// They do not build.
pub(crate) fn bare_metal(step: &mut Step<'_>) -> Result {
    for target in BARE {
        let std = Std::for_bare(step.workspace, target).ok_or_else(|| format!("no core for {target}"))?;
        for features in ["", "--features resnext/defmt"] {
            let packages = "-p resnext -p resnext-models --no-default-features";
            step.run(
                &mut std.cargo(step.workspace, &format!("build {packages} {features} --target {target}")),
            )?;
        }
    }
    Ok(())
}

/// Builds what is copied to a board: one small static file.
///
/// # Errors
///
/// It does not build, is too large, or is not static.
pub(crate) fn build(step: &mut Step<'_>) -> Result {
    let std = tools::board(step.workspace)?;
    let mut build = std.cargo(step.workspace, "build --profile board --target");
    step.run(build.arg(BOARD).args(deb::FEATURES))?;
    let binary = tools::board_binary(step.workspace)?;
    let size = fs::metadata(&binary)?.len();
    step.note(format!("{size} bytes"));
    if size > MAX_BYTES {
        return Err(format!("the board binary has more than {MAX_BYTES} bytes").into());
    }
    let mut headers = step.workspace.command("aarch64-linux-gnu-readelf");
    if step.output(headers.arg("--program-headers").arg(&binary))?.contains("INTERP") {
        return Err("the board binary is not static".into());
    }
    Ok(())
}

/// The feature sets whose tests run on emulated cores. Without tract-linalg the code differs only in leaving it out.
const WITH_TRACT: &str = "test -p resnext --features tract --lib --tests";
const WITHOUT_TRACT: &str = "test -p resnext --lib --tests";
const CAMERA: &str = "test -p resnext-camera --features spi --lib --tests";

fn board_tests(step: &Step<'_>, tests: &str) -> Result<Command> {
    let std = tools::board(step.workspace)?;
    Ok(std.cargo(step.workspace, &format!("{tests} --target {BOARD} --no-fail-fast")))
}

/// Compiles the tests, so that their time shows apart from the emulator's.
///
/// # Errors
///
/// They do not build.
pub(crate) fn build_tests(step: &mut Step<'_>) -> Result {
    for tests in [WITH_TRACT, WITHOUT_TRACT, CAMERA] {
        let mut build = board_tests(step, tests)?;
        step.run(build.arg("--no-run"))?;
    }
    Ok(())
}

/// Returns whether qemu knows a core; if not, the step is skipped.
fn known(step: &mut Step<'_>, core: &str) -> Result<bool> {
    // It lists them and exits with an error.
    let output = step.workspace.command("qemu-aarch64").args(["-cpu", "help"]).output()?;
    let known = String::from_utf8_lossy(&output.stdout).split_whitespace().any(|name| name == core);
    if !known {
        step.skip(format!("this qemu does not know {core}"));
    }
    Ok(known)
}

/// Runs the runtime's tests on an emulated core.
///
/// # Errors
///
/// A test fails.
pub(crate) fn tests(step: &mut Step<'_>, core: &str) -> Result {
    if !known(step, core)? {
        return Ok(());
    }
    let mut sets = vec![WITH_TRACT];
    if core == CORES[0] {
        sets.push(WITHOUT_TRACT);
    }
    for tests in sets {
        let mut test = board_tests(step, tests)?;
        step.attempt(test.env("RESNEXT_QEMU_CPU", core));
    }
    Ok(())
}

/// Runs the camera's tests on an emulated core: sources, displays, the preview, 10,000 frames in flat memory. Little of
/// it depends on the core, so one is enough.
///
/// # Errors
///
/// A test fails.
pub(crate) fn camera_tests(step: &mut Step<'_>, core: &str) -> Result {
    if !known(step, core)? {
        return Ok(());
    }
    let mut test = board_tests(step, CAMERA)?;
    step.run(test.env("RESNEXT_QEMU_CPU", core))
}

/// Holds the instructions of one inference on an emulated core against the record.
///
/// # Errors
///
/// There are too many.
pub(crate) fn instructions(step: &mut Step<'_>, core: &str) -> Result {
    if !known(step, core)? {
        return Ok(());
    }
    let binary = tools::board_binary(step.workspace)?;
    count::check(step, &binary, core)
}

/// Returns the bundled photos, in the order of their names.
///
/// # Errors
///
/// The folder cannot be read.
pub(crate) fn photos() -> Result<Vec<String>> {
    let mut photos = Vec::new();
    for entry in fs::read_dir("calibration/samples")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            photos.push(path.to_string_lossy().into_owned());
        }
    }
    photos.sort();
    Ok(photos)
}

/// Lets the board's binary say on an emulated core what the host's says.
///
/// # Errors
///
/// They differ, or one fails.
pub(crate) fn binary(step: &mut Step<'_>, core: &str) -> Result {
    if !known(step, core)? {
        return Ok(());
    }
    let (host, board) = (host_binary(step)?, tools::board_binary(step.workspace)?);
    let workspace = step.workspace;
    let on_host = |arguments: &[&str]| {
        let mut command = workspace.command(&host);
        command.args(arguments);
        command
    };
    let on_board = |arguments: &[&str]| {
        let mut command = workspace.command(RUNNER);
        command.arg(&board).args(arguments).env("RESNEXT_QEMU_CPU", core);
        command
    };
    step.run(&mut on_board(&["--version"]))?;

    let photos = photos()?;
    let mut classify = vec!["classify", MODEL, "--json"];
    classify.extend(photos.iter().map(String::as_str));
    json::same(&step.output(&mut on_host(&classify))?, &step.output(&mut on_board(&classify))?)?;

    // With fp32 logits that the host records, the board measures its own drop. Which class each photo is of matters little.
    let logs = &workspace.logs;
    let [truth, fp32, page] = ["truth", "fp32.safetensors", "board.html"].map(|name| logs.join(name));
    let names = photos.iter().filter_map(|photo| Path::new(photo).file_name());
    fs::write(&truth, names.map(|name| format!("{} church\n", name.to_string_lossy())).collect::<String>())?;
    let [truth, fp32, page] = [&truth, &fp32, &page].map(|path| path.to_string_lossy());
    let checkpoint = MODEL.replace(".rnx", ".safetensors");
    let eval = |more: &[&'static str], baseline: &str| {
        let words =
            ["eval", MODEL, "--data", "calibration/samples", "--truth", &truth, "--baseline", baseline];
        words.iter().chain(more).map(|&word| word.to_owned()).collect::<Vec<String>>()
    };
    let words = |owned: &[String], more: &[&str]| -> Vec<String> {
        owned.iter().cloned().chain(more.iter().map(|&word| word.to_owned())).collect()
    };
    let record = words(&eval(&[], &checkpoint), &["--record", &fp32]);
    step.run(&mut on_host(&borrowed(&record)))?;
    let measured = eval(&["--runs", "1", "--json"], &fp32);
    let shown = words(&measured, &["--html", &page]);
    let mut reports =
        [step.output(&mut on_host(&borrowed(&measured)))?, step.output(&mut on_board(&borrowed(&shown)))?]
            .map(|text| serde_json::from_str::<Value>(&text));
    for report in &mut reports {
        // Latency is the machine's own.
        json::remove(report.as_mut().map_err(|error| error.to_string())?, "latency")?;
    }
    let [host_report, board_report] = reports;
    json::same(&host_report?, &board_report?)?;

    step.run(&mut on_board(&["bench", MODEL, "--threads", "2", "--warmup", "1", "--runs", "2", "--json"]))?;

    // Frames of an odd size through a pipe, smoothed. A file would neither drop nor smooth.
    let film = logs.join("film.y4m");
    let mut make = workspace.command("ffmpeg");
    make.args(["-v", "error", "-y", "-pattern_type", "glob", "-i", "calibration/samples/*.jpg"]);
    step.run(make.args(["-vf", "scale=321:239,format=yuv420p", "-frames:v", "3"]).arg(&film))?;
    let camera = ["camera", MODEL, "-", "--every-frame", "--top-k", "5", "--json"];
    let host_lines = frames(&piped(step, &mut on_host(&camera), &film)?)?;
    let board_lines = frames(&piped(step, &mut on_board(&camera), &film)?)?;
    if host_lines.len() != 3 {
        return Err(format!("{} frames of 3", host_lines.len()).into());
    }
    json::same(&host_lines, &board_lines)
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Runs a command with a file as its input, through a pipe.
///
/// # Errors
///
/// The command fails.
pub(crate) fn piped(step: &mut Step<'_>, command: &mut Command, file: &Path) -> Result<String> {
    let mut cat = Command::new("cat").stdin(File::open(file)?).stdout(Stdio::piped()).spawn()?;
    let output = step.output_with(command, cat.stdout.take().ok_or("no pipe")?);
    cat.wait()?;
    output
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
