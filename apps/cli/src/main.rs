//! `resnext`: classify images with int8 ResNeXt models, and measure and look into such models.
//!
//! One file per verb; results on stdout, everything else on stderr.

mod error;
mod files;
mod machine;
#[cfg(feature = "manual")]
mod manual;
#[cfg(feature = "compile")]
mod offline;
mod records;
mod session;
mod terminal;
mod verbs;

#[cfg(feature = "manual")]
use clap::CommandFactory;
use clap::{Parser, Subcommand};
use error::Error;
use machine::allocations::Counting;
use std::process::ExitCode;
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
  resnext classify model.rnx photo.jpg      what is in this picture?
  resnext camera model.rnx /dev/video0      what does the camera see?
  resnext bench model.rnx                   how fast is this board?
  resnext inspect model.rnx                 what is in this model?
  resnext eval model.rnx --data val         how accurate is it?
  resnext doctor                            what would slow it down here?

Results go to stdout, messages to stderr. Every verb that reports takes --json.
Exit status: 0 done, 1 failed (one line says what and how to mend it), 2 wrong usage."
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
    let result = match Cli::parse().verb {
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
        // Whoever read our output has seen enough (`| head`): not a failure of ours.
        Err(Error::OutputClosed) => ExitCode::SUCCESS,
        Err(Error::Reported) => ExitCode::FAILURE,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
