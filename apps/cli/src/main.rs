//! `resnext`: classify images with int8 ResNeXt models, and measure and look into such models.
//!
//! One file per verb; results on stdout, everything else on stderr.

mod allocations;
#[cfg(feature = "compile")]
mod arch;
mod args;
mod artifact;
mod bench;
mod board;
#[cfg(target_os = "linux")]
mod camera;
#[cfg(target_os = "linux")]
mod camera_display;
mod classify;
mod clock;
#[cfg(feature = "compile")]
mod compile;
mod cpus;
#[cfg(feature = "compile")]
mod demo;
mod doctor;
mod error;
mod eval;
#[cfg(feature = "compile")]
mod import;
mod inspect;
mod latency;
#[cfg(feature = "compile")]
mod layers;
#[cfg(feature = "manual")]
mod manual;
#[cfg(feature = "compile")]
mod max_drop;
mod memory;
#[cfg(feature = "compile")]
mod onnx;
mod output;
mod photo;
mod records;
mod samples;
#[cfg(feature = "compile")]
mod source;
mod statistics;
mod sysfs;
mod text;
mod workspace;
mod write;
mod zoo;

#[cfg(feature = "manual")]
use clap::CommandFactory;
use clap::{Parser, Subcommand};
use error::Error;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

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
