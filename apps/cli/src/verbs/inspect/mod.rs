//! `resnext inspect`: shows what is in a model.

mod outline;
mod report;
mod text;

use crate::session::artifact::Artifact;
use crate::terminal::Error;
use crate::terminal::output;
use report::Report;
use std::path::PathBuf;

/// Show what is in a model.
///
/// Shows its size, input and classes, every step with its shapes and quantization, and how the model was made.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
In the table of steps, k/s/g is kernel size, stride and number of groups (if not 1). Scale and zero are those of \
the output of the step: real = scale × (q − zero). A narrow terminal shows fewer columns; --json shows everything.

Examples:
  resnext inspect model.rnx
  resnext inspect model.rnx --json | jq .metadata")]
pub(crate) struct Args {
    /// Model to show
    #[arg(value_name = "MODEL.rnx")]
    model: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let artifact = Artifact::open(&args.model)?;
    let model = artifact.model()?;
    let input = model.input();
    let report = Report::new(artifact.path().display().to_string(), &model, &input);
    if args.json { output::print_json(&report) } else { output::print(&report) }
}
