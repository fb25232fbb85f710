//! `resnext doctor`: finds out what slows this machine down or does not work.
//!
//! A check is a small function from a [`Machine`], which tests fake, to its findings.

mod cpu;
mod devices;
mod machine;
#[cfg(test)]
mod tests;

use crate::terminal::Error;
use crate::terminal::output::{self, terminal_width};
use crate::terminal::table::FIELD_INDENT;
use crate::terminal::text::{clean, listed, plural, wrap};
use machine::Machine;
use resnext::Kernels;
use serde::Serialize;
use std::fmt;
use std::io::{self, IsTerminal};

/// Find out what slows this machine down or is missing.
///
/// Checks the CPU, its clock, load and temperature, memory, cameras, framebuffers and SPI devices, and says how to fix what
/// is not as it should be. Changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
ok    It is as it should be. A command after → uses it.
note  It works, but could be better.
mend  Something does not work until it is fixed.

Exit status: 1 if something is marked mend, else 0.

Examples:
  resnext doctor
  resnext doctor --json | jq '.checks[] | select(.status != \"ok\")'

JSON: healthy, measurable (false if other programs or the firmware make whatever is measured now wrong), isa, checks: [{check, status: ok|note|mend, found, remedy (null if there is none)}]. \
The remedy of a camera or framebuffer that is ok is the command that uses it.")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let report = Report::of(&Machine::system());
    match args.json {
        true => output::print_json(&report)?,
        false => output::print(&report)?,
    }
    match report.broken() {
        0 => Ok(()),
        1 => Err(Error::new(
            "doctor",
            "1 check found something broken; do what it says and run resnext doctor again",
        )),
        n => Err(Error::new(
            "doctor",
            format_args!("{n} checks found something broken; do what they say and run resnext doctor again"),
        )),
    }
}

/// The checks in the order of the report.
const CHECKS: [(&str, Check); 13] = [
    ("board", cpu::board),
    ("cpu", cpu::cpu),
    ("kernels", cpu::kernels),
    ("governor", cpu::governor),
    ("clock", cpu::clock),
    ("load", cpu::load),
    ("temperature", cpu::temperature),
    ("firmware", cpu::firmware),
    ("memory", devices::memory),
    ("camera", devices::cameras),
    ("framebuffer", devices::framebuffers),
    ("spi", devices::spi),
    ("user", devices::user),
];

/// A check. It has no findings if the machine has no such part.
type Check = fn(&Machine) -> Vec<Finding>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// It is as it should be.
    Ok,
    /// It works, but could be better.
    Note,
    /// Something does not work.
    Mend,
}

/// What a check found, and what to do about it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    status: Status,
    found: String,
    remedy: Option<String>,
    /// Whether it makes whatever is measured at this moment wrong.
    #[serde(skip)]
    disturbs: bool,
}

impl Finding {
    fn ok(found: impl Into<String>) -> Self {
        Self::new(Status::Ok, found, None)
    }

    fn new(status: Status, found: impl Into<String>, remedy: Option<String>) -> Self {
        Self { status, found: found.into(), remedy, disturbs: false }
    }

    /// Creates a finding that something works, with the command that uses it.
    fn usable(found: impl Into<String>, command: impl Into<String>) -> Self {
        Self::new(Status::Ok, found, Some(command.into()))
    }

    fn note(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Status::Note, found, Some(remedy.into()))
    }

    fn mend(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Status::Mend, found, Some(remedy.into()))
    }

    /// Adds that it makes whatever is measured at this moment wrong.
    fn disturbing(self) -> Self {
        Self { disturbs: true, ..self }
    }
}

#[derive(Serialize)]
struct Report {
    healthy: bool,
    measurable: bool,
    isa: &'static str,
    checks: Vec<Checked>,
}

#[derive(Serialize)]
struct Checked {
    check: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

impl Report {
    fn of(machine: &Machine) -> Self {
        let checked = |(check, find): (&'static str, Check)| {
            find(machine).into_iter().map(move |finding| Checked { check, finding })
        };
        let checks: Vec<_> = CHECKS.into_iter().flat_map(checked).collect();
        let healthy = checks.iter().all(|check| check.finding.status != Status::Mend);
        let measurable = !checks.iter().any(|check| check.finding.disturbs);
        Self { healthy, measurable, isa: machine.isa, checks }
    }

    /// Returns the checks whose findings spoil measurements, as a part of a sentence.
    fn disturbing(&self) -> Option<String> {
        let names: Vec<_> =
            self.checks.iter().filter(|check| check.finding.disturbs).map(|check| check.check).collect();
        (!names.is_empty()).then(|| listed(&names))
    }

    fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.finding.status == status).count()
    }

    fn broken(&self) -> usize {
        self.count(Status::Mend)
    }

    /// Writes the table, with or without colour.
    fn write(&self, f: &mut impl fmt::Write, colour: bool) -> fmt::Result {
        let (mut previous, width) = ("", terminal_width());
        let indent = 6 + FIELD_INDENT;
        for Checked { check, finding } in &self.checks {
            let (name, code) = match finding.status {
                Status::Ok => ("ok", 32),
                Status::Note => ("note", 33),
                Status::Mend => ("mend", 31),
            };
            match colour {
                true => write!(f, "\x1b[{code}m{name:4}\x1b[0m  ")?,
                false => write!(f, "{name:4}  ")?,
            }
            let title = if *check == previous { "" } else { check };
            writeln!(f, "{title:FIELD_INDENT$}{}", wrap(&clean(&finding.found), width, indent))?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "{:indent$}→ {}", "", wrap(&clean(remedy), width, indent + 2))?;
            }
            previous = check;
        }
        let (notes, broken) = (self.count(Status::Note), self.broken());
        let told = format_args!("{notes} note{}", plural(notes));
        let summary = match (notes, broken, self.disturbing()) {
            (0, 0, _) => "All is well.".to_owned(),
            (_, 0, None) => format!("Nothing is broken; {told}."),
            (_, 0, Some(why)) => {
                format!("Nothing is broken, but whatever is measured now is wrong (see {why}); {told}.")
            }
            (_, _, None) => format!("{broken} to fix, {told}."),
            (_, _, Some(why)) => {
                format!("{broken} to fix, {told}. Whatever is measured now is wrong (see {why}).")
            }
        };
        writeln!(f, "\n{}", wrap(&summary, width, 0))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // https://no-color.org: any value but an empty one switches colour off.
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        self.write(f, wanted && io::stdout().is_terminal())
    }
}

impl Machine {
    /// Opens this machine.
    fn system() -> Self {
        Self::new(
            std::path::Path::new("/"),
            Kernels::detect().isa(),
            std::env::consts::ARCH,
            machine::accessible,
        )
    }
}
