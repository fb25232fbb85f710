//! `resnext` compiles ResNeXt networks to int8, runs them on images and camera frames, and measures what that costs.
//!
//! `verbs` has one module per verb. The other folders hold what several verbs need. Results go to stdout, everything else
//! goes to stderr.

#![deny(unsafe_code)]

mod features;
mod files;
mod machine;
#[cfg(feature = "manual")]
mod manual;
#[cfg(feature = "compile")]
mod offline;
mod records;
#[cfg(all(test, target_os = "linux", feature = "compile"))]
mod reference;
mod remedies;
mod session;
mod terminal;
mod verbs;

#[cfg(feature = "manual")]
use clap::CommandFactory;
use clap::{Parser, Subcommand};
use machine::allocations::Counting;
use std::process::ExitCode;
use terminal::Error;
use terminal::output;
#[cfg(target_os = "linux")]
use verbs::camera;
use verbs::{bench, classify, doctor, eval, inspect, zoo};
#[cfg(feature = "compile")]
use verbs::{compile, demo, import};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Int8 ResNeXt image classification for small Arm boards.
#[derive(Debug, Parser)]
#[command(
    name = "resnext",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
Examples:
  resnext classify model.rnx photo.jpg      What is in this picture?
  resnext camera model.rnx /dev/video0      What does the camera see?
  resnext bench model.rnx                   How fast is this board?
  resnext inspect model.rnx                 What is in this model?
  resnext eval model.rnx --data val         How accurate is it?
  resnext doctor                            What would slow it down here?

Results go to stdout and messages to stderr. Every verb that reports takes --json.
Exit status: 0 done, 1 failed (one line says what is wrong and how to fix it), 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[cfg(feature = "compile")]
    Demo(demo::Args),
    Zoo(zoo::Args),
    #[cfg(feature = "compile")]
    Import(import::Args),
    #[cfg(feature = "compile")]
    Compile(compile::Args),
    Eval(eval::Args),
    Classify(classify::Args),
    #[cfg(target_os = "linux")]
    Camera(camera::Args),
    Bench(bench::Args),
    Inspect(inspect::Args),
    Doctor(doctor::Args),
}

fn main() -> ExitCode {
    #[cfg(feature = "manual")]
    if let Some(folder) = manual::wanted() {
        return manual::write(&folder, Cli::command());
    }
    #[cfg(not(feature = "manual"))]
    if let Some(what) = features::lacking_manual() {
        output::note(what);
        return ExitCode::from(WRONG_USAGE);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error),
    };
    let result = match cli.verb {
        #[cfg(feature = "compile")]
        Verb::Demo(args) => demo::run(&args),
        Verb::Zoo(args) => zoo::run(&args),
        #[cfg(feature = "compile")]
        Verb::Import(args) => import::run(&args),
        #[cfg(feature = "compile")]
        Verb::Compile(args) => compile::run(&args),
        Verb::Eval(args) => eval::run(&args),
        Verb::Classify(args) => classify::run(&args),
        #[cfg(target_os = "linux")]
        Verb::Camera(args) => camera::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has seen enough, as in `| head`. That is no failure.
        Err(Error::OutputClosed) => ExitCode::SUCCESS,
        Err(Error::Reported) => ExitCode::FAILURE,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with the command line, or prints the help that was asked for.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    let verb = std::env::args_os().nth(1).unwrap_or_default();
    match features::lacking(error, &verb.to_string_lossy()) {
        Some(what) => {
            output::note(what);
            ExitCode::from(WRONG_USAGE)
        }
        None => error.exit(),
    }
}

/// The exit status of wrong usage, which is clap's.
const WRONG_USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Prose is wrapped to the width of the terminal. Lines that are indented are examples to paste, and tables, which must not be.
    #[test]
    fn examples_fit_a_terminal_of_80_columns() {
        let mut cli = Cli::command();
        cli.build();
        let verbs = cli.get_subcommands().chain([&cli]);
        for text in verbs.filter_map(|verb| verb.get_after_help().or(verb.get_after_long_help())) {
            for line in text.to_string().lines().filter(|line| line.contains("  ")) {
                let width = line.chars().count();
                assert!(width <= 80, "{width} columns: {line}");
            }
        }
    }
}
