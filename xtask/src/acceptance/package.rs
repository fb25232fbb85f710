//! The Debian package: made twice, installed into a root directory of its own, run and purged.

use super::binary::{photos, piped};
use super::board::RUNNER;
use super::host_binary;
use crate::step::{Result, Step};
use crate::workspace::{MODEL, Workspace};
use crate::{deb, json, tools};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNIT: &str = "usr/lib/systemd/system/resnext-camera.service";
const SETTINGS: &str = "etc/default/resnext-camera";

/// All that the package asks of a system.
const STATUS: &str = "\
Package: init-system-helpers
Status: install ok installed
Architecture: all
Multi-Arch: foreign
Version: 1.65
Maintainer: -
Description: -
";

/// Makes the package, installs it, runs what is in it, and purges it.
///
/// # Errors
///
/// Any of that fails, or two builds differ.
pub(super) fn accept(step: &mut Step<'_>) -> Result {
    let workspace = step.workspace;
    let package = deb::build(step, deb::Architecture::Arm64)?;
    let first = fs::read(&package)?;
    if fs::read(deb::build(step, deb::Architecture::Arm64)?)? != first {
        return Err("two packages of the same binary differ".into());
    }
    let name = package.file_name().unwrap_or_default().to_string_lossy();
    step.note(format!("{name}: {} bytes, the same twice", first.len()));
    step.run(workspace.command("lintian").args(["--fail-on", "error,warning"]).arg(&package))?;
    let mut fields = workspace.command("dpkg-deb");
    let fields = step.output(fields.arg("--field").arg(&package).args(["Package", "Architecture"]))?;
    if fields != "Package: resnext\nArchitecture: arm64\n" {
        return Err(format!("the package is for something else: {fields}").into());
    }

    let root = workspace.logs.join("root");
    step.run(tools::as_root(workspace, "rm").arg("-rf").arg(&root))?;
    let database = root.join("var/lib/dpkg");
    fs::create_dir_all(database.join("info"))?;
    fs::create_dir_all(database.join("updates"))?;
    fs::write(database.join("available"), "")?;
    fs::write(database.join("status"), STATUS)?;
    let mut install = dpkg(workspace, &root);
    step.run(install.arg("--install").arg(&package))?;

    let host = host_binary(step)?;
    let model = Path::new(MODEL).file_name().unwrap_or_default();
    let model = root.join("usr/share/resnext").join(model);
    let answers = [vec![host.clone()], vec![RUNNER.into(), root.join("usr/bin/resnext")]].map(|command| {
        let mut classify = workspace.command(&command[0]);
        classify.args(&command[1..]).arg("classify").arg(&model).args(photos()?).arg("--json");
        step.output(&mut classify)
    });
    let [on_host, installed] = answers;
    json::same(&on_host?, &installed?)?;
    let film = workspace.logs.join("installed.y4m");
    write_film(&film)?;
    installed_camera(step, &root, &host, &film)?;
    if root.join("etc/systemd/system/multi-user.target.wants").exists() {
        return Err("the camera is enabled before anybody has enabled it".into());
    }
    installed_unit(step, &root)?;

    let mut purge = dpkg(workspace, &root);
    step.run(purge.args(["--purge", "resnext"]))?;
    let left = left_behind(&root, &database)?;
    if !left.is_empty() {
        return Err(format!("left behind: {left:?}").into());
    }
    step.run(tools::as_root(workspace, "rm").arg("-rf").arg(&root))
}

fn dpkg(workspace: &Workspace, root: &Path) -> Command {
    let mut dpkg = tools::as_root(workspace, "dpkg");
    dpkg.arg(format!("--root={}", root.display()));
    dpkg.args(["--force-architecture", "--force-script-chrootless", "--log=/dev/null"]);
    dpkg
}

/// Writes three frames of 1280×720, each another one.
fn write_film(path: &Path) -> Result {
    let mut film = b"YUV4MPEG2 W1280 H720 F30:1 C420jpeg\n".to_vec();
    for frame in 1..=3 {
        film.write_all(b"FRAME\n")?;
        // The lines of both chroma planes, half as wide, together have half the height again.
        film.extend((0..1080_u32).flat_map(|y| (0..1280_u32).map(move |x| ((x * frame / 5) ^ y) as u8)));
    }
    Ok(fs::write(path, film)?)
}

/// Runs the unit's command and what else its settings suggest, with a film in place of the camera. The film is classified
/// as by the host's binary, so all options exist and mean the same there.
fn installed_camera(step: &mut Step<'_>, root: &Path, host: &Path, film: &Path) -> Result {
    let unit = fs::read_to_string(root.join(UNIT))?;
    let settings = fs::read_to_string(root.join(SETTINGS))?;
    let command = value_of(&unit, "ExecStart=").ok_or("the unit starts nothing")?;
    let arguments = command.strip_prefix("/usr/bin/resnext ").ok_or("the unit starts another program")?;
    // The unit's variables are one line of assignments; those of the settings are whole lines, commented out.
    let defaults = value_of(&unit, "Environment=").map(assignments).ok_or("the unit has no defaults")?;
    let suggested = settings.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    let mut suggested: Vec<(String, String)> = suggested
        .filter(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase()))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    suggested.splice(0..0, defaults.iter().cloned());
    for variables in [defaults, suggested] {
        // A later assignment replaces an earlier one.
        let value = |name: &str| {
            let found = variables.iter().rev().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).ok_or_else(|| format!("${name} has no value"))
        };
        let (source, options) = (value("SOURCE")?, value("OPTIONS")?);
        if source != "/dev/video0" || !options.contains("--json") {
            return Err(format!("not what a camera is started with: {source} {options}").into());
        }
        let mut words = Vec::new();
        for word in arguments.split_whitespace() {
            match word.trim_matches(|c| matches!(c, '$' | '{' | '}')) {
                "MODEL" => words.push(format!("{}{}", root.display(), value("MODEL")?)),
                "SOURCE" => words.push("-".into()),
                "OPTIONS" => words.extend(options.split_whitespace().map(str::to_owned)),
                plain => words.push(plain.to_owned()),
            }
        }
        words.push("--every-frame".into());
        let mut on_board = step.workspace.command(RUNNER);
        on_board.arg(root.join("usr/bin/resnext")).args(&words);
        let mut on_host = step.workspace.command(host);
        on_host.args(&words);
        let board = answers(&piped(step, &mut on_board, film)?)?;
        let host = answers(&piped(step, &mut on_host, film)?)?;
        if host.len() != 3 {
            return Err(format!("{} frames of 3", host.len()).into());
        }
        json::same(&host, &board)?;
    }
    Ok(())
}

/// Returns what a line that starts with `key` goes on with.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key))
}

/// Reads systemd's `NAME=value "NAME=value with spaces"`.
fn assignments(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        found.extend(
            word.split_once('=').map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())),
        );
        rest = after.trim_start();
    }
    found
}

/// Of a camera's lines, what does not depend on the clock.
fn answers(text: &str) -> Result<Vec<[Value; 3]>> {
    Ok(json::lines(text)?
        .into_iter()
        .map(|line| ["frame", "top", "dropped"].map(|key| line[key].clone()))
        .collect())
}

/// Asks systemd what it thinks of the unit, alone and with all that its settings say how to allow.
fn installed_unit(step: &mut Step<'_>, root: &Path) -> Result {
    if !step.workspace.has("systemd-analyze") {
        step.note("the unit was not verified: systemd-analyze is missing");
        return Ok(());
    }
    let unit = step.workspace.logs.join("resnext-camera.service");
    let text = fs::read_to_string(root.join(UNIT))?;
    fs::write(&unit, text.replace("/usr/bin/resnext", &root.join("usr/bin/resnext").to_string_lossy()))?;
    let drop_in = unit.with_extension("service.d");
    if drop_in.exists() {
        fs::remove_dir_all(&drop_in)?;
    }
    for _ in ["alone", "with everything allowed"] {
        let verify =
            step.workspace.command("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output()?;
        let said = String::from_utf8_lossy(&[verify.stdout, verify.stderr].concat()).into_owned();
        step.log(&said);
        // systemd before 254 ignores what it does not know, as the unit says.
        let unknown = |line: &str| {
            line.contains("Unknown key")
                && (line.contains("'RestartSteps'") || line.contains("'RestartMaxDelaySec'"))
        };
        if let Some(line) = said.lines().find(|line| !unknown(line)) {
            return Err(format!("systemd says of the unit: {line}").into());
        }
        let allowed = allowed(&fs::read_to_string(root.join(SETTINGS))?);
        if !allowed.contains("DeviceAllow=") {
            return Err("the settings do not say how to allow a device".into());
        }
        fs::create_dir_all(&drop_in)?;
        fs::write(drop_in.join("allow.conf"), allowed)?;
    }
    Ok(())
}

/// Takes from the settings what they suggest for the unit: lines such as `#   [Service]` and `#   DeviceAllow=…`.
fn allowed(settings: &str) -> String {
    let indented = settings.lines().filter_map(|line| line.strip_prefix("#  ")).map(str::trim_start);
    let directive = |line: &&str| {
        let name = line.split_once('=').map_or("", |(name, _)| name);
        *line == "[Service]"
            || name.starts_with(|first: char| first.is_ascii_uppercase())
                && name.bytes().all(|b| b.is_ascii_alphabetic())
    };
    indented.filter(directive).map(|line| format!("{line}\n")).collect()
}

/// Lists what is under `root` after purging: anything that is named after the package, and any file that is not dpkg's.
fn left_behind(root: &Path, database: &Path) -> Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, is_folder) = (entry.path(), entry.file_type()?.is_dir());
            let named = entry.file_name().to_string_lossy().contains("resnext");
            if named || !is_folder && !path.starts_with(database) {
                left.push(path);
            } else if is_folder {
                folders.push(path);
            }
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_may_be_quoted() {
        let found = assignments(r#"MODEL=/a/b.rnx SOURCE=/dev/video0 "OPTIONS=--json --top-k 1""#);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            found,
            [pair("MODEL", "/a/b.rnx"), pair("SOURCE", "/dev/video0"), pair("OPTIONS", "--json --top-k 1")]
        );
    }

    #[test]
    fn settings_allow_what_they_indent() {
        let settings =
            "# Words = of no unit.\n#MODEL=/x\n#   [Service]\n#   DeviceAllow=char-drm rw\n#   such words\n";
        assert_eq!(allowed(settings), "[Service]\nDeviceAllow=char-drm rw\n");
    }
}
