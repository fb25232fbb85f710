//! `resnext compile --max-drop`: as much effort as it takes.

use crate::error::Error;
use crate::terminal::output::{Facts, note};
use crate::verbs::eval::{labelled, note_left_out};
use indicatif::ProgressBar;
use resnext::Model;
use resnext_calibration::compile::{Compiled, Options};
use resnext_calibration::escalate::{Attempt, escalate};
use resnext_calibration::evaluate::Judge;
use resnext_calibration::network::Network;
use resnext_calibration::samples::Samples;
use resnext_evaluation::Evaluation;
use resnext_evaluation::statistics::Interval;
use resnext_evaluation::truth::ClassIndex;
use serde_json::{Value, json};
use std::fmt;
use std::path::{Path, PathBuf};

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct Limit {
    /// Raise the effort until top-1 accuracy drops by no more than P percentage points against fp32, layer by layer in the
    /// end; fails if it cannot be done
    #[arg(long, value_name = "P", value_parser = points, requires_all = ["data", "samples"],
        conflicts_with_all = ["effort", "sensitivity", "data_free"])]
    pub(crate) max_drop: Option<f64>,

    /// Labelled images for --max-drop, as for `resnext eval`; one half chooses, the other measures what was chosen. fp32's
    /// answers are kept in memory: 4 bytes for each class of each image, 200 MB for 50,000 images of 1000 classes
    #[arg(long, value_name = "DIR", requires = "max_drop")]
    data: Option<PathBuf>,

    /// Class of each of them, if the directory has no folders for them
    #[arg(long, value_name = "FILE", requires = "data")]
    truth: Option<PathBuf>,

    /// Order in which numbers alone count, one wnid a line [default: that of ILSVRC2012's development kit]
    #[arg(long, value_name = "FILE", requires = "truth")]
    synsets: Option<PathBuf>,
}

fn points(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(points) if (0.0..=100.0).contains(&points) => Ok(points),
        _ => Err("not a number of percentage points from 0 to 100".to_owned()),
    }
}

/// What came of it, to report.
pub(crate) struct Met {
    limit: f64,
    attempts: Vec<Attempt>,
    /// On the images that chose nothing.
    held_out: Evaluation,
}

impl Limit {
    /// Compiles, if the options say so.
    pub(crate) fn compile(
        &self,
        (path, network): (&Path, &Network),
        samples: Option<&Samples>,
        options: &Options,
        progress: &ProgressBar,
    ) -> Option<Result<(Compiled, Met), Error>> {
        let (limit, data, samples) = (self.max_drop?, self.data.as_deref()?, samples?);
        Some(self.run(limit, (path, network), samples, data, options, progress))
    }

    fn run(
        &self,
        limit: f64,
        (path, network): (&Path, &Network),
        samples: &Samples,
        data: &Path,
        options: &Options,
        progress: &ProgressBar,
    ) -> Result<(Compiled, Met), Error> {
        if network.given.is_some() {
            let what = "is quantized already, which leaves no effort to raise; leave out --max-drop";
            return Err(Error::at(path, what));
        }
        let names = options.classes.iter().map(|class| (class.id.as_str(), class.label.as_str()));
        let truth = (self.truth.as_deref(), self.synsets.as_deref());
        let images = labelled(data, truth, None, &ClassIndex::of(names))?;
        let (choosing, held_out) = images.halves();
        if held_out.is_empty() {
            return Err(Error::at(data, "has one labelled image; give a few hundred, half of them choose"));
        }
        note(format_args!(
            "--max-drop: {} of {} images choose, which makes the drop on them look better than it is; the others \
             measure what was chosen",
            choosing.len(),
            images.len()
        ));
        let mut judge = Judge::new(network, &choosing, options.threads, progress);
        let tell = |attempt: &Attempt| progress.suspend(|| note(describe(attempt)));
        let judged = |model: &Model<'_>| judge.judge(model);
        let escalated = escalate(network, samples, options, limit, judged, tell, progress)
            .map_err(|error| Error::at(path, error))?;
        let best = &escalated.attempts[escalated.best];
        if !escalated.met {
            let what = format!(
                "the drop stays above {limit} points, at best {}; nothing was written; give more samples, or allow \
                 --max-drop {:.2}",
                describe(best),
                (100.0 * best.drop_pp).ceil() / 100.0
            );
            return Err(Error::at(path, what));
        }
        let failed = |error: &dyn fmt::Display| Error::at(path, error);
        let model = Model::from_bytes(&escalated.compiled.artifact).map_err(|error| failed(&error))?;
        let held_out = Judge::new(network, &held_out, options.threads, progress)
            .judge(&model)
            .map_err(|error| failed(&error))?;
        note_left_out(&held_out);
        Ok((escalated.compiled, Met { limit, attempts: escalated.attempts, held_out }))
    }
}

/// What int8 costs on some images.
struct Cost {
    /// Percentage points.
    drop: f64,
    interval: Interval,
    agreement: f64,
    images: usize,
}

impl Cost {
    fn of(attempt: &Attempt) -> Self {
        let Attempt { drop_pp: drop, interval, agreement, images, .. } = *attempt;
        Self { drop, interval, agreement, images }
    }

    /// `None` if there is no fp32 beside int8.
    fn measured(evaluation: &Evaluation) -> Option<Self> {
        let comparison = evaluation.comparison.as_ref()?;
        let (drop, interval) = comparison.drop_top1_pp();
        Some(Self { drop, interval, agreement: comparison.agreement.share(), images: evaluation.images })
    }

    fn json(&self) -> Value {
        json!({
            "images": self.images,
            "drop_top1_pp": self.drop,
            "drop_top1_pp_ci95": [self.interval.low, self.interval.high],
            "agreement": self.agreement,
        })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { drop, interval: Interval { low, high }, agreement, images } = self;
        let agreement = 100.0 * agreement;
        write!(
            f,
            "{drop:+.2} points ({low:+.2} to {high:+.2}), agreement {agreement:.2} %, on {images} images"
        )
    }
}

/// In one line.
fn describe(attempt: &Attempt) -> String {
    format!("{}: {}", setting(attempt), Cost::of(attempt))
}

/// What was tried.
fn setting(Attempt { method, techniques, layers, .. }: &Attempt) -> String {
    let layers: String = layers.iter().map(|(layer, method)| format!(", {layer} by {method}")).collect();
    format!("method {method}, effort {}{layers}", techniques.name())
}

impl Met {
    /// The method that was found.
    pub(crate) fn method(&self) -> &'static str {
        self.attempts.last().map_or("", |attempt| attempt.method.name())
    }

    /// All of the setting.
    pub(crate) fn setting(&self) -> String {
        self.attempts.last().map(setting).unwrap_or_default()
    }

    /// Adds what there is to say in words.
    pub(crate) fn add_to(&self, facts: &mut Facts) {
        let attempts = self.attempts.len();
        facts.add("effort", format!("attempt {attempts} met --max-drop {}", self.limit));
        if let Some(cost) = Cost::measured(&self.held_out) {
            facts.add("drop", format!("{cost} that chose nothing"));
        }
    }

    pub(crate) fn json(&self) -> Value {
        let attempt = |attempt: &Attempt| {
            let layer =
                |(layer, method): &(String, _)| json!({ "layer": layer, "method": format!("{method}") });
            let mut entry = Cost::of(attempt).json();
            entry["method"] = attempt.method.to_string().into();
            entry["effort"] = attempt.techniques.name().into();
            entry["layers"] = attempt.layers.iter().map(layer).collect();
            entry
        };
        json!({
            "limit_pp": self.limit,
            "attempts": self.attempts.iter().map(attempt).collect::<Vec<_>>(),
            "held_out": Cost::measured(&self.held_out).map(|cost| cost.json()),
        })
    }
}
