//! Steps: each has a name, a log, and one line on the terminal that says how it went.

use crate::workspace::Workspace;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What may go wrong is text for a person.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A name, and what the step does.
pub(crate) struct Plan {
    name: String,
    work: Box<dyn Fn(&mut Step<'_>) -> Result>,
    /// Whether no other step makes sense without it.
    essential: bool,
}

impl Plan {
    /// Names what a step does.
    pub(crate) fn new(name: impl Into<String>, work: impl Fn(&mut Step<'_>) -> Result + 'static) -> Self {
        Self { name: name.into(), work: Box::new(work), essential: false }
    }

    /// A step that always runs and that ends the program if it fails.
    pub(crate) fn essential(
        name: impl Into<String>,
        work: impl Fn(&mut Step<'_>) -> Result + 'static,
    ) -> Self {
        Self { essential: true, ..Self::new(name, work) }
    }
}

/// A step while it runs.
pub(crate) struct Step<'a> {
    pub(crate) workspace: &'a Workspace,
    log: File,
    notes: Vec<String>,
    failures: Vec<String>,
    skipped: Option<String>,
}

impl<'a> Step<'a> {
    /// A step of its own, whose log is the terminal.
    ///
    /// # Errors
    ///
    /// stderr is closed.
    pub(crate) fn on_terminal(workspace: &'a Workspace) -> Result<Self> {
        let log = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Self { workspace, log, notes: Vec::new(), failures: Vec::new(), skipped: None })
    }

    /// Runs a command to its end; what it prints goes to the log.
    ///
    /// # Errors
    ///
    /// The command cannot be started, or its exit status is not 0.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result {
        writeln!(self.log, "$ {}", shown(command))?;
        let begin = Instant::now();
        let status = command.stdout(self.log.try_clone()?).stderr(self.log.try_clone()?);
        let status = status.stdin(Stdio::null()).status().map_err(|error| started(command, &error))?;
        writeln!(self.log, "({} s)", begin.elapsed().as_secs())?;
        if status.success() { Ok(()) } else { Err(format!("{}: {status}", shown(command)).into()) }
    }

    /// Runs a command as [`run`](Self::run) does, but lets the step go on if it fails. The step fails at its end.
    pub(crate) fn attempt(&mut self, command: &mut Command) {
        if let Err(error) = self.run(command) {
            self.fail(error.to_string());
        }
    }

    /// Runs a command and returns what it prints on stdout; stderr goes to the log. `stdin` is its input.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run), or the output is no text.
    pub(crate) fn output_with(&mut self, command: &mut Command, stdin: impl Into<Stdio>) -> Result<String> {
        writeln!(self.log, "$ {}", shown(command))?;
        let output = command.stdin(stdin).stderr(self.log.try_clone()?).stdout(Stdio::piped()).spawn();
        let output = output.map_err(|error| started(command, &error))?.wait_with_output()?;
        self.log.write_all(&output.stdout)?;
        if !output.status.success() {
            return Err(format!("{}: {}", shown(command), output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// [`output_with`](Self::output_with) nothing as input.
    ///
    /// # Errors
    ///
    /// As for [`output_with`](Self::output_with).
    pub(crate) fn output(&mut self, command: &mut Command) -> Result<String> {
        self.output_with(command, Stdio::null())
    }

    /// Runs cargo with arguments that are separated by spaces.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub(crate) fn cargo(&mut self, arguments: &str) -> Result {
        let mut command = self.workspace.cargo(arguments);
        self.run(&mut command)
    }

    /// Writes a line to the log.
    pub(crate) fn log(&mut self, text: &str) {
        // What cannot be logged is not worth failing for: the step's own commands write to the same file.
        let _ = writeln!(self.log, "{text}");
    }

    /// Shows a line under the step on the terminal.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Lets the step fail at its end, for a reason.
    pub(crate) fn fail(&mut self, reason: impl Into<String>) {
        let reason = reason.into();
        self.log(&reason);
        self.failures.push(reason);
    }

    /// Says that the step has nothing to do here, and why. The caller returns.
    pub(crate) fn skip(&mut self, reason: impl Into<String>) {
        self.skipped = Some(reason.into());
    }
}

/// Runs the plans whose names contain one of `names`, or all without names. Returns whether everything passed.
///
/// # Errors
///
/// No plan has such a name, or a log cannot be written.
pub(crate) fn run_all(workspace: &Workspace, plans: &[Plan], names: &[&str]) -> Result<bool> {
    if names.contains(&"--list") {
        plans.iter().for_each(|plan| println!("{}", plan.name));
        return Ok(true);
    }
    for name in names {
        if !plans.iter().any(|plan| plan.name.contains(name)) {
            return Err(format!("no step's name contains `{name}`; --list prints them").into());
        }
    }
    let begin = Instant::now();
    let cores = std::thread::available_parallelism()?;
    println!("resnext: {}; {cores} cores; logs in {}", compiler(workspace), workspace.logs.display());
    let (mut tests, mut broken) = (Tests::default(), Vec::new());
    for plan in plans {
        if !plan.essential && !names.is_empty() && !names.iter().any(|name| plan.name.contains(name)) {
            continue;
        }
        let (passed, counted) = run(workspace, plan)?;
        tests.passed += counted.passed;
        tests.failed += counted.failed;
        if !passed {
            broken.push(&*plan.name);
            if plan.essential {
                break;
            }
        }
    }
    let seconds = begin.elapsed().as_secs();
    println!("{} min {} s", seconds / 60, seconds % 60);
    if !broken.is_empty() {
        println!("failed steps: {}", broken.join(", "));
    }
    println!("{} passed, {} failed", tests.passed, tests.failed);
    Ok(broken.is_empty() && tests.failed == 0)
}

fn run(workspace: &Workspace, plan: &Plan) -> Result<(bool, Tests)> {
    let begin = Instant::now();
    print!("{:<56}", plan.name);
    std::io::stdout().flush()?;
    let path = log_path(workspace, &plan.name);
    let log = File::options().create(true).append(true).open(&path)?;
    log.set_len(0)?;
    let mut step = Step { workspace, log, notes: Vec::new(), failures: Vec::new(), skipped: None };
    if let Err(error) = (plan.work)(&mut step) {
        step.fail(error.to_string());
    }
    let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    let tests = Tests::counted(&text);
    let seconds = begin.elapsed().as_secs();
    if !step.failures.is_empty() {
        println!("FAILED, {seconds} s; from {}:", path.display());
        failed_tests(&text).into_iter().chain(end(&text)).for_each(|line| println!("    {line}"));
        return Ok((false, tests));
    }
    match &step.skipped {
        Some(reason) => println!("skipped: {reason}"),
        None if tests.passed == 0 => println!("ok, {seconds} s"),
        None => println!("ok, {seconds} s, {} passed", tests.passed),
    }
    step.notes.iter().for_each(|note| println!("    {note}"));
    Ok((true, tests))
}

/// Returns what `cargo test` prints of the tests that failed. The programs that ran after them have pushed it far up the log.
fn failed_tests(log: &str) -> Vec<&str> {
    let mut inside = false;
    let lines = log.lines().filter(|line| {
        inside = (inside || *line == "failures:") && !line.starts_with("test result: ");
        inside
    });
    lines.collect()
}

/// Returns the last lines of a log, where the error of a command stands.
fn end(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].to_vec()
}

/// Counts tests by what `cargo test` prints of each program.
#[derive(Debug, Default, PartialEq)]
struct Tests {
    passed: u64,
    failed: u64,
}

impl Tests {
    fn counted(log: &str) -> Self {
        let mut tests = Self::default();
        for line in log.lines().filter_map(|line| line.strip_prefix("test result: ")) {
            // `ok. 4 passed; 0 failed; 0 ignored; …`
            let mut words = line.split_whitespace().skip(1);
            let mut number = || words.by_ref().find_map(|word| word.parse::<u64>().ok()).unwrap_or(0);
            tests.passed += number();
            tests.failed += number();
        }
        tests
    }
}

fn log_path(workspace: &Workspace, name: &str) -> PathBuf {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    workspace.logs.join(format!("{name}.log"))
}

/// Returns a command as it would be typed.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn started(command: &Command, error: &std::io::Error) -> String {
    format!("{} cannot be started: {error}", command.get_program().to_string_lossy())
}

fn compiler(workspace: &Workspace) -> String {
    let output = workspace.command("rustc").arg("--version").output();
    output.map_or_else(
        |_| "no rustc".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_found_far_up() {
        let log = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\nwrong\n\n\nfailures:\n    a\n\n\
            test result: FAILED. 3 passed; 1 failed; 0 ignored\n\n     Running b\ntest result: ok. 1 passed; 0 failed\n";
        let said: Vec<_> = failed_tests(log).into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(said, ["failures:", "---- a stdout ----", "wrong", "failures:", "    a"]);
        assert_eq!(failed_tests("test result: ok. 1 passed; 0 failed\n"), [""; 0]);
        assert_eq!(end(log).last(), Some(&"test result: ok. 1 passed; 0 failed"));
        assert_eq!((end("").len(), end(&"a\n".repeat(99)).len()), (0, 30));
    }

    #[test]
    fn tests_are_counted_over_all_programs() {
        let log = "running 2 tests\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            a test result: of something else\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        assert_eq!(Tests::counted(log), Tests { passed: 15, failed: 2 });
    }
}
