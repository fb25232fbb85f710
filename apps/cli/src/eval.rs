//! `resnext eval`: accuracy on labelled images, and what int8 costs against fp32.

use crate::artifact::Artifact;
use crate::cpus::CpuList;
use crate::error::Error;
use crate::output::{self, Column, Facts, Table, terminal_width};
use crate::source;
use resnext_calibration::evaluate::{Accuracy, Evaluation, evaluate};
use serde_json::json;
use std::path::PathBuf;

/// Measure accuracy on labelled images, and the drop against the fp32 network.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
DIR has one folder per class, named by identifier (wnid) or label; folders that match no class are left out.
Both networks see the same pixels, so the difference is quantization alone. The fp32 network runs on tract.

Examples:
  resnext eval model.rnx --data imagenet/val
  resnext eval model.rnx --data imagenet/val --baseline resnext50.onnx
  resnext eval model.rnx --data imagenet/val --baseline resnext50.onnx --json | jq .drop_top1_pp

JSON: images, skipped, int8: {top1, top5}, and with --baseline fp32: {top1, top5}, drop_top1_pp, agreement,
flips: {lost, gained}, mcnemar_p, logit_sqnr_db. Accuracies and agreement are fractions of 1.")]
pub(crate) struct Args {
    /// Model to evaluate
    #[arg(value_name = "MODEL.rnx")]
    model: PathBuf,

    /// Directory of images, one folder per class
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// fp32 network to compare with: the file that the model was compiled from
    #[arg(long, value_name = "MODEL")]
    baseline: Option<PathBuf>,

    /// Number of images to use, at even distances [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    num: Option<u32>,

    /// Threads to evaluate on [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// CPUs to evaluate on, such as 0-3 or 0,2,4-5 [default: all]
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuList>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Logits further apart than this, in dB, come from another network or a broken calibration.
const UNLIKE_DB: f64 = 12.0;

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let artifact = Artifact::open(&args.model)?;
    let model = artifact.model()?;
    let threads = source::threads(args.threads, args.cpus.as_ref())?;
    let size = model.recipe().crop_height as usize;
    let baseline = args.baseline.as_deref().map(|path| source::network(path, Some(size))).transpose()?;
    let samples = source::samples(&args.data, args.num.map(|n| n as usize))?;
    let progress = source::progress();
    let evaluation = evaluate(&model, baseline.as_ref(), &samples, threads, &progress);
    progress.finish_and_clear();
    let evaluation = evaluation.map_err(|error| Error::at(&args.data, error))?;
    source::note_skipped(&evaluation.skipped);
    if evaluation.comparison.as_ref().is_some_and(|comparison| comparison.logit_sqnr_db < UNLIKE_DB) {
        output::note(
            "int8 and fp32 hardly resemble each other; is the baseline what the model was compiled from?",
        );
    }
    if args.json { output::print_json(&json(&evaluation)) } else { print(&evaluation) }
}

fn json(evaluation: &Evaluation) -> serde_json::Value {
    let accuracy = |a: &Accuracy| json!({ "top1": a.top1, "top5": a.top5 });
    let mut result = json!({
        "images": evaluation.images,
        "skipped": evaluation.skipped.len(),
        "int8": accuracy(&evaluation.int8),
    });
    if let (Some(comparison), Some(map)) = (&evaluation.comparison, result.as_object_mut()) {
        map.insert("fp32".into(), accuracy(&comparison.fp32));
        map.insert("drop_top1_pp".into(), drop_pp(comparison.fp32.top1, evaluation.int8.top1).into());
        map.insert("agreement".into(), comparison.agreement.into());
        map.insert("flips".into(), json!({ "lost": comparison.lost, "gained": comparison.gained }));
        map.insert("mcnemar_p".into(), comparison.mcnemar_p().into());
        map.insert("logit_sqnr_db".into(), comparison.logit_sqnr_db.into());
    }
    result
}

/// Percentage points lost. Rounded to what millions of images could resolve, so that 0.1 prints as 0.1.
fn drop_pp(fp32: f64, int8: f64) -> f64 {
    (100.0 * (fp32 - int8) * 1e6).round() / 1e6
}

fn print(evaluation: &Evaluation) -> Result<(), Error> {
    let columns = [Column::text(""), Column::number("top-1 %"), Column::number("top-5 %")];
    let mut table = Table::new(columns, terminal_width());
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    if let Some(comparison) = &evaluation.comparison {
        table.row(["fp32 (tract)".into(), percent(comparison.fp32.top1), percent(comparison.fp32.top5)]);
    }
    table.row(["int8".into(), percent(evaluation.int8.top1), percent(evaluation.int8.top5)]);
    if let Some(comparison) = &evaluation.comparison {
        let drop = |fp32, int8| format!("{:+.2}", drop_pp(fp32, int8));
        table.row([
            "drop (points)".into(),
            drop(comparison.fp32.top1, evaluation.int8.top1),
            drop(comparison.fp32.top5, evaluation.int8.top5),
        ]);
    }
    let mut facts = Facts::default();
    facts.add("images", evaluation.images.to_string());
    if let Some(comparison) = &evaluation.comparison {
        facts.add("agreement", format!("{:.2} % name the same class", 100.0 * comparison.agreement));
        facts.add(
            "flips",
            format!(
                "{} right answers lost, {} gained (McNemar p = {:.2})",
                comparison.lost,
                comparison.gained,
                comparison.mcnemar_p()
            ),
        );
        facts.add("logits", format!("{:.1} dB signal to quantization noise", comparison.logit_sqnr_db));
    }
    output::print(&format_args!("{table}\n{facts}"))
}
