//! `cargo xtask count`: the instructions of one inference, held against `benches/record/instructions.tsv`.
//!
//! A count does not depend on how busy the machine is, so it can be checked where time cannot be measured. An aarch64
//! binary runs on emulated cores, and a plugin of qemu (`tests/emulation/count.c`) counts its instructions; an x86-64 one
//! runs in valgrind, which has AVX2 but nothing newer. What two inferences execute minus what one executes is one inference:
//! start, loading and report cancel out.

use crate::step::{Result, Step};
use crate::tools::CORES;
use crate::workspace::{MODEL, Workspace};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const RECORD: &str = "benches/record/instructions.tsv";
const TITLES: &str = "core\tisa\tinstructions\tcompiler";

/// How far above the record a count may be, in percent.
const TOLERANCE: f64 = 3.0;
/// The same between compilers, which differ too.
const TOLERANCE_BETWEEN_COMPILERS: f64 = 10.0;

/// A line of the record.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    isa: String,
    instructions: u64,
    /// What rustc writes into its binaries of itself.
    compiler: String,
}

/// Counts for a binary and the cores that the arguments name, by default all that can run it. Returns whether no count is
/// too high; fewer instructions are no failure, but worth recording.
///
/// # Errors
///
/// Wrong arguments, or nothing can be counted.
pub(crate) fn main(workspace: &Workspace, arguments: &[&str]) -> Result<bool> {
    let (update, words): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|&&word| word == "--update");
    let [binary, cores @ ..] = &words[..] else {
        return Err("usage: cargo xtask count BINARY [CORE]... [--update]".into());
    };
    let binary = Path::new(binary);
    let all = match architecture(&fs::read(binary)?)? {
        Architecture::Aarch64 => &CORES[..],
        Architecture::X86_64 => &["x86-64"],
    };
    let mut step = Step::on_terminal(workspace)?;
    let mut record = read_record()?;
    let mut passed = true;
    for &core in if cores.is_empty() { all } else { cores } {
        let row = count(&mut step, binary, core)?;
        let (text, good) = row.verdict(record.get(core));
        println!("{}", row.line(core, &text));
        passed &= good;
        record.insert(core.to_owned(), row);
    }
    if update.is_empty() {
        return Ok(passed);
    }
    let lines = record
        .iter()
        .map(|(core, row)| format!("{core}\t{}\t{}\t{}\n", row.isa, row.instructions, row.compiler));
    fs::write(RECORD, format!("{TITLES}\n{}", lines.collect::<String>()))?;
    Ok(true)
}

/// Counts for one core, notes the count, and fails if it is too high.
///
/// # Errors
///
/// The count is too high, or nothing can be counted.
pub(crate) fn check(step: &mut Step<'_>, binary: &Path, core: &str) -> Result {
    let row = count(step, binary, core)?;
    let (text, good) = row.verdict(read_record()?.get(core));
    step.note(row.line(core, &text));
    if good { Ok(()) } else { Err(row.line(core, &text).into()) }
}

impl Row {
    fn line(&self, core: &str, verdict: &str) -> String {
        format!("{core:12} {:8} {:>13} instructions  {verdict}", self.isa, grouped(self.instructions))
    }

    /// Says how the count compares with what is recorded, and whether that passes.
    fn verdict(&self, recorded: Option<&Self>) -> (String, bool) {
        let Some(recorded) = recorded else {
            return ("not recorded yet".into(), false);
        };
        if self.isa != recorded.isa {
            return (format!("recorded with {}", recorded.isa), false);
        }
        let change = 100.0 * (self.instructions as f64 / recorded.instructions as f64 - 1.0);
        let mut text = format!("{change:+.1} %");
        let limit = if self.compiler == recorded.compiler {
            TOLERANCE
        } else {
            text += &format!(", by rustc {}; the record's is {}", self.compiler, recorded.compiler);
            TOLERANCE_BETWEEN_COMPILERS
        };
        if change > limit {
            text += &format!(": more than {limit} % above the record");
        } else if change < -TOLERANCE {
            text += ": better than the record, which `cargo xtask count --update` renews";
        }
        (text, change <= limit)
    }
}

fn count(step: &mut Step<'_>, binary: &Path, core: &str) -> Result<Row> {
    let workspace = step.workspace;
    let log = workspace.logs.join("count.log");
    let (emulator, label) = if core == "x86-64" {
        let log = format!("--log-file={}", log.display());
        let callgrind =
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", &log].map(str::to_owned);
        (callgrind.to_vec(), "Collected : ")
    } else {
        let (plugin, log) = (build_plugin(step)?.display().to_string(), log.display().to_string());
        let qemu = ["qemu-aarch64", "-cpu", core, "-plugin", &plugin, "-d", "plugin", "-D", &log];
        (qemu.map(str::to_owned).to_vec(), "")
    };
    let mut counts = Vec::new();
    let mut isa = String::new();
    for runs in ["1", "2"] {
        let mut bench = workspace.command(&emulator[0]);
        bench.args(&emulator[1..]).arg(binary).args([
            "bench",
            MODEL,
            "--threads",
            "1",
            "--warmup",
            "0",
            "--json",
        ]);
        let report: Value = serde_json::from_str(&step.output(bench.args(["--runs", runs]))?)?;
        report["isa"].as_str().ok_or("the report names no ISA")?.clone_into(&mut isa);
        counts
            .push(number_after(&fs::read_to_string(&log)?, label).ok_or("the emulator has counted nothing")?);
    }
    let instructions =
        counts[1].checked_sub(counts[0]).ok_or("two inferences took fewer instructions than one")?;
    Ok(Row { isa, instructions, compiler: compiler(&fs::read(binary)?) })
}

/// Compiles the plugin for the qemu that is here.
fn build_plugin(step: &mut Step<'_>) -> Result<PathBuf> {
    let plugin = step.workspace.logs.join("count.so");
    let version = step.output(step.workspace.command("qemu-aarch64").arg("--version"))?;
    let version = number_after(&version, "version ").ok_or("qemu-aarch64 does not say its version")?;
    let api = format!("-DAPI_VERSION={}", if version < 9 { 1 } else { 2 });
    let mut compile = step.workspace.command("cc");
    compile.args(["-O2", "-shared", "-fPIC", &api, "tests/emulation/count.c", "-o"]);
    step.run(compile.arg(&plugin))?;
    Ok(plugin)
}

/// Returns the number that follows the first `label` that a number follows.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let mut rest = text;
    loop {
        rest = &rest[rest.find(label)? + label.len()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match rest[..digits].parse() {
            Ok(number) => return Some(number),
            Err(_) => rest = rest.get(1..)?,
        }
    }
}

enum Architecture {
    Aarch64,
    X86_64,
}

fn architecture(binary: &[u8]) -> Result<Architecture> {
    match binary {
        [0x7f, b'E', b'L', b'F', ..] if binary.len() > 20 => {
            match u16::from_le_bytes([binary[18], binary[19]]) {
                183 => Ok(Architecture::Aarch64),
                62 => Ok(Architecture::X86_64),
                machine => Err(format!("a binary for another machine, {machine} in ELF's list").into()),
            }
        }
        _ => Err("not an ELF binary".into()),
    }
}

/// Finds what rustc has written into `.comment`.
fn compiler(binary: &[u8]) -> String {
    let label = b"rustc version ";
    let found =
        binary.windows(label.len()).position(|window| window == label).map(|at| &binary[at + label.len()..]);
    let name = found.and_then(|rest| rest.split(|&byte| byte == 0).next());
    name.map_or_else(|| "unknown".into(), |name| String::from_utf8_lossy(name).into_owned())
}

fn read_record() -> Result<BTreeMap<String, Row>> {
    let mut rows = BTreeMap::new();
    for line in fs::read_to_string(RECORD)?.lines().skip(1) {
        let [core, isa, instructions, compiler] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("{RECORD}: not four columns: {line}").into());
        };
        let row = Row { isa: isa.into(), instructions: instructions.parse()?, compiler: compiler.into() };
        rows.insert(core.to_owned(), row);
    }
    Ok(rows)
}

/// Writes a number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(instructions: u64, compiler: &str) -> Row {
        Row { isa: "dotprod".into(), instructions, compiler: compiler.into() }
    }

    #[test]
    fn a_count_may_grow_by_three_percent_and_between_compilers_by_ten() {
        let recorded = row(1000, "1.95");
        assert_eq!(row(1029, "1.95").verdict(Some(&recorded)), ("+2.9 %".into(), true));
        assert!(!row(1031, "1.95").verdict(Some(&recorded)).1);
        assert!(row(1099, "1.96").verdict(Some(&recorded)).1);
        assert!(!row(1101, "1.96").verdict(Some(&recorded)).1);
        assert!(row(900, "1.95").verdict(Some(&recorded)).0.contains("--update"));
        assert!(!row(1000, "1.95").verdict(None).1);
        assert!(!Row { isa: "neon".into(), ..recorded.clone() }.verdict(Some(&recorded)).1);
    }

    #[test]
    fn numbers_are_found_and_written() {
        assert_eq!(number_after("qemu-aarch64 version 7.2.1", "version "), Some(7));
        assert_eq!(number_after("==1== Collected : x\n==1== Collected : 42\n", "Collected : "), Some(42));
        assert_eq!(number_after("1234\n", ""), Some(1234));
        assert_eq!(number_after("none", "Collected : "), None);
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn binaries_name_their_machine_and_compiler() {
        let mut binary = b"\x7fELF".to_vec();
        binary.resize(18, 0);
        binary.extend(183_u16.to_le_bytes());
        binary.extend(b"....GCC\0rustc version 1.95.0 (x)\0rest");
        assert!(matches!(architecture(&binary), Ok(Architecture::Aarch64)));
        assert_eq!(compiler(&binary), "1.95.0 (x)");
        assert!(architecture(b"#!/bin/sh").is_err());
    }
}
