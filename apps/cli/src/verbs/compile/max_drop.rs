//! `resnext compile --max-drop`: raises the effort until int8 is accurate enough.

use crate::remedies;
use crate::session::exif::note_rotated;
use crate::session::labelled::{calibrated_on, doubts, labelled, miscounted, note_left_out};
use crate::terminal::Error;
use crate::terminal::output::note;
use crate::terminal::table::Fields;
use crate::terminal::text::plural;
use indicatif::ProgressBar;
use resnext::Model;
use resnext_calibration::evaluate::Judge;
use resnext_calibration::network::Network;
use resnext_calibration::{Attempt, Compiled, Compiler, EscalateError, Options};
use resnext_evaluation::Evaluation;
use resnext_evaluation::samples::Samples;
use resnext_evaluation::statistics::Interval;
use resnext_evaluation::truth::ClassIndex;
use serde_json::{Value, json};
use std::fmt;
use std::path::{Path, PathBuf};

/// The options for a limit to the drop of accuracy.
#[derive(Debug, clap::Args)]
pub(crate) struct Limit {
    /// Raise the effort until top-1 accuracy drops by at most P percentage points against fp32, in the end layer by layer;
    /// fail if no effort achieves that
    #[arg(long, value_name = "P", value_parser = points, requires_all = ["data", "samples"],
        conflicts_with_all = ["effort", "sensitivity", "data_free"])]
    pub(crate) max_drop: Option<f64>,

    /// Labelled images for --max-drop, as for `resnext eval`. One half chooses the effort, the other half measures the
    /// result. The logits of fp32 stay in memory: 4 bytes for each class of each image, 200 MB for 50,000 images of 1000
    /// classes
    #[arg(long, value_name = "DIR", requires = "max_drop")]
    data: Option<PathBuf>,

    /// Ground truth: the class of each image, if the directory has no folder for each class
    #[arg(long, value_name = "FILE", requires = "data")]
    truth: Option<PathBuf>,

    /// Order of the classes that --truth gives as numbers, one wnid on each line [default: that of ILSVRC2012's development
    /// kit]
    #[arg(long, value_name = "FILE", requires = "truth")]
    synsets: Option<PathBuf>,
}

fn points(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(points) if (0.0..=100.0).contains(&points) => Ok(points),
        _ => Err("use a number of percentage points from 0 to 100".to_owned()),
    }
}

/// The attempts and the result, for the report.
pub(crate) struct LimitReport {
    limit: f64,
    attempts: Vec<Attempt>,
    /// The evaluation on the images that were not used to choose.
    held_out: Evaluation,
    /// Reasons to doubt the labelled images.
    pub(super) doubts: Vec<String>,
}

impl Limit {
    /// Compiles within the limit, if the options set one.
    pub(crate) fn compile(
        &self,
        (path, network): (&Path, &Network),
        samples: Option<&Samples>,
        options: &Options,
        progress: &ProgressBar,
    ) -> Option<Result<(Compiled, LimitReport), Error>> {
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
    ) -> Result<(Compiled, LimitReport), Error> {
        if network.prequantized.is_some() {
            let what = "is already quantized, so there is no effort to raise; leave out --max-drop";
            return Err(Error::at(path, what));
        }
        let names = options.classes.iter().map(|class| (class.id.as_str(), class.label.as_str()));
        let truth = (self.truth.as_deref(), self.synsets.as_deref());
        let classes = ClassIndex::of(names);
        let (images, _) = labelled(data, truth, &classes, options.exif)?;
        let mut doubts = doubts(data, &images);
        doubts.iter().for_each(note);
        note_rotated("image", images.samples().rotated(), images.len(), options.exif);
        let (choosing, measuring) = images.halves();
        if measuring.is_empty() {
            return Err(Error::at(
                data,
                "has only one labelled image; give a few hundred, because one half chooses and the other measures",
            ));
        }
        note(format_args!(
            "--max-drop: {} of {} images choose the effort, so the drop on them looks better than it is; the others \
             measure the result",
            choosing.len(),
            images.len()
        ));
        let mut judge = Judge::new(network, &choosing, options.threads, progress);
        let on_attempt = |attempt: &Attempt| progress.suspend(|| note(describe(attempt)));
        let judged = |model: &Model<'_>| judge.judge(model);
        let compiler = Compiler::new(network, options).with_progress(progress);
        let escalated =
            compiler.compile_within(limit, samples, judged, on_attempt).map_err(|error| match error {
                EscalateError::Compile(error) => remedies::failure(path.display(), &error),
                error => Error::at(path, error),
            })?;
        let best = &escalated.attempts[escalated.best];
        if !escalated.met {
            let what = format!(
                "the drop stays above {limit} points; nothing was written; the best attempt was {}; give more samples, or \
                 allow --max-drop {:.2}",
                describe(best),
                (100.0 * best.drop_pp).ceil() / 100.0
            );
            return Err(Error::at(path, what));
        }
        let failed = |error: &dyn fmt::Display| Error::at(path, error);
        let here = super::packed_for_here(&escalated.compiled.artifact).map_err(|error| failed(&error))?;
        let model = Model::from_bytes(&here).map_err(|error| failed(&error))?;
        let held_out = Judge::new(network, &measuring, options.threads, progress)
            .judge(&model)
            .map_err(|error| failed(&error))?;
        note_left_out(&held_out);
        let found = [miscounted(&measuring, &held_out, &classes), calibrated_on(&model, &held_out)];
        found.iter().flatten().for_each(note);
        doubts.extend(found.into_iter().flatten());
        Ok((escalated.compiled, LimitReport { limit, attempts: escalated.attempts, held_out, doubts }))
    }
}

/// The cost of int8 on some images.
struct Cost {
    /// The drop of top-1 accuracy in percentage points.
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

    /// Returns `None` if the evaluation has no fp32 baseline.
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
            "{drop:+.2} points ({low:+.2} to {high:+.2}), agreement {agreement:.2} %, on {images} image{}",
            plural(*images)
        )
    }
}

/// Describes an attempt in one line.
fn describe(attempt: &Attempt) -> String {
    format!("{}: {}", setting(attempt), Cost::of(attempt))
}

/// Describes the settings of an attempt.
fn setting(Attempt { method, techniques, layers, .. }: &Attempt) -> String {
    let layers: String = layers.iter().map(|(layer, method)| format!(", {layer} by {method}")).collect();
    format!("method {method}, effort {}{layers}", techniques.name())
}

impl LimitReport {
    /// Returns the method of the last attempt.
    pub(crate) fn method(&self) -> &'static str {
        self.attempts.last().map_or("", |attempt| attempt.method.name())
    }

    /// Returns the settings of the last attempt.
    pub(crate) fn setting(&self) -> String {
        self.attempts.last().map(setting).unwrap_or_default()
    }

    /// Adds the fields for people.
    pub(crate) fn add_to(&self, fields: &mut Fields) {
        let attempts = self.attempts.len();
        fields.add("effort", format!("attempt {attempts} met --max-drop {}", self.limit));
        if let Some(cost) = Cost::measured(&self.held_out) {
            fields.add("drop", format!("{cost} that were not used to choose"));
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
