//! Reasons to doubt a calibration, with what to do about them on the command line.

use super::args::{Args, Effort};
use crate::terminal::text::listed;
use resnext_calibration::{Method, Options, Report, Warning};

/// What a good calibration set is.
const PHOTOS: &str = "give a few hundred different photos like those that the model will see";

/// Returns one line for each reason: what is wrong and how to fix it.
pub(super) fn warnings(args: &Args, options: &Options, report: &Report) -> Vec<String> {
    let line = |warning: &Warning| format!("{warning}; {}", remedy(warning, args, options, report));
    report.warnings.iter().map(line).collect()
}

fn remedy(warning: &Warning, args: &Args, options: &Options, report: &Report) -> String {
    let text = match warning {
        Warning::Few { .. } if args.num.is_some() => "leave out --num",
        Warning::Flat { .. } => "look at the photos in --samples: are they dark, empty or broken?",
        Warning::Enlarged { .. } => {
            "give the photos at their original size, or compile for a smaller input (--size)"
        }
        Warning::OneClass { .. } => "give photos of all classes that the model will see",
        Warning::FarFromTraining(_) => {
            "check --arch, which chooses the preprocessing, and look at the photos in --samples"
        }
        Warning::Constant { .. } => {
            "weights in it or before it are zero or broken: check the checkpoint and --arch"
        }
        Warning::Noisy { .. } => return noisy(args, options, report),
        _ => PHOTOS,
    };
    text.to_owned()
}

/// Says what may bring int8 closer to fp32: first what is wrong with the samples, then the options that are not the default.
fn noisy(args: &Args, options: &Options, report: &Report) -> String {
    let of_samples = |warning: &Warning| !matches!(warning, Warning::Noisy { .. });
    if report.retained.is_some() {
        return "the file's own quantization is at fault: compile the fp32 network instead".to_owned();
    }
    if report.warnings.iter().any(of_samples) {
        return "the other warnings say why".to_owned();
    }
    let mut defaults = Vec::new();
    if options.method != Method::Auto {
        defaults.push("--method");
    }
    if let Method::Percentile(_) = options.method {
        defaults.push("--percentile");
    }
    if args.effort != Effort::High {
        defaults.push("--effort");
    }
    match (defaults.is_empty(), args.data_free) {
        (false, _) => format!("leave out {}", listed(&defaults)),
        (true, true) => "calibrate on photos: --samples DIR instead of --data-free".to_owned(),
        (true, false) => {
            "see with --sensitivity which layers it costs, and with resnext eval what accuracy".to_owned()
        }
    }
}
