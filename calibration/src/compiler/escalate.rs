//! Raising the effort until int8 costs no more accuracy than asked, cheapest first.
//!
//! First the whole network: ranges only, then biases, then weights rounded together, then ranges by their effect on the logits.
//! If that is not enough, layer by layer, the most sensitive first: each gets the range among those of all
//! methods that leaves the least noise in the logits of calibration images. That is what the runtime has to offer: its
//! activations are int8 of one scale each, so there is neither a 16-bit layer nor a split range to resort to.
//!
//! Whoever judges should keep some images apart: the best of many attempts is a little lucky on those that chose it.

use indicatif::ProgressBar;
use resnext::{LoadError, Model};
use resnext_evaluation::Evaluation;
use resnext_evaluation::statistics::Interval;

use crate::compiler::{
    Calibration, CompileError, Compiled, Options, Seen, Techniques, calibrate, compile_to, expect_labels,
    images,
};
use crate::compiler::emulate::{rounded_network, sqnr_db};
use crate::evaluate::EvaluateError;
use crate::fp32::{Fp32Error, Fp32Model};
use crate::network::Network;
use crate::observe::{Method, Range};
use crate::quantize::quantize;
use crate::samples::Samples;
use crate::compiler::sensitivity::sensitivity;

/// Layers that get a range of their own, at most. Each costs a pass over the samples and an evaluation.
const MOST_LAYERS: usize = 6;

/// Calibration images on which ranges of single layers are compared.
const COMPARED_ON: usize = 32;

/// Noise that another range must take away to be worth an attempt, dB.
const WORTH_DB: f64 = 0.02;

/// What was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// How the ranges were chosen, but for those of `layers`.
    pub method: Method,
    /// What was done beyond that.
    pub techniques: Techniques,
    /// Layers whose output has its range by another method.
    pub layers: Vec<(String, Method)>,
    /// Images that judged it.
    pub images: usize,
    /// Drop of top-1 accuracy against fp32, percentage points.
    pub drop_pp: f64,
    /// Where it lies with a confidence of 95 %.
    pub interval: Interval,
    /// Share of the images on which both networks name the same class.
    pub agreement: f64,
}

/// What came of it.
#[derive(Debug)]
pub struct Escalated {
    /// The best model: the one that met the limit, or else that of the least drop.
    pub compiled: Compiled,
    /// All attempts in their order.
    pub attempts: Vec<Attempt>,
    /// The one that made `compiled`.
    pub best: usize,
    /// Whether its drop is within the limit.
    pub met: bool,
}

/// Why there is no model. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EscalateError {
    /// An attempt cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// An attempt cannot be judged.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The evaluation has no fp32 beside int8.
    #[error("the judge does not compare with fp32; give it a baseline")]
    NoBaseline,
}

impl From<Fp32Error> for EscalateError {
    fn from(error: Fp32Error) -> Self {
        Self::Compile(error.into())
    }
}

impl From<LoadError> for EscalateError {
    fn from(error: LoadError) -> Self {
        Self::Compile(error.into())
    }
}

/// Compiles `network` with ever more effort until its drop is `limit_pp` percentage points or less, or nothing is
/// left to try. It begins with the method of `options` and no techniques; `judge` evaluates a model, `tell` hears of each
/// attempt.
///
/// # Errors
///
/// [`EscalateError`]. That the limit is not met is none.
pub fn escalate(
    network: &Network,
    samples: &Samples,
    options: &Options,
    limit_pp: f64,
    mut judge: impl FnMut(&Model<'_>) -> Result<Evaluation, EvaluateError>,
    mut tell: impl FnMut(&Attempt),
    progress: &ProgressBar,
) -> Result<Escalated, EscalateError> {
    expect_labels(network, options)?;
    let seen = Seen { network, likeness: None, samples };
    let calibration = calibrate(seen, true, options, progress)?;
    let mut best = Best { limit_pp, attempts: Vec::new(), best: None };
    let mut attempt = |options: &Options, ranges: &[Range], layers: &[(String, Method)], best: &mut Best| {
        let compiled = compile_to(seen, &calibration, ranges, options, layers, progress)?;
        let evaluation = judge(&Model::from_bytes(&compiled.artifact)?)?;
        let comparison = evaluation.comparison.ok_or(EscalateError::NoBaseline)?;
        let (drop_pp, interval) = comparison.drop_top1_pp();
        let attempt = Attempt {
            method: options.method,
            techniques: options.techniques,
            layers: layers.to_vec(),
            images: evaluation.images,
            drop_pp,
            interval,
            agreement: comparison.agreement.share(),
        };
        tell(&attempt);
        Ok::<bool, EscalateError>(best.consider(attempt, compiled))
    };

    let efforts = [Techniques::FAST, Techniques::NORMAL, Techniques::HIGH];
    let mut ladder = vec![(options.method, &efforts[..])];
    if options.method != Method::Auto {
        ladder.push((Method::Auto, &efforts[2..]));
    }
    let mut tried = Vec::new();
    for (method, efforts) in ladder {
        let mut options = Options { method, ..options.clone() };
        let ranges = calibration.ranges(network, &options);
        for &techniques in efforts {
            options.techniques = techniques;
            if attempt(&options, &ranges, &[], &mut best)? {
                return best.done();
            }
        }
        tried.push((options, ranges));
    }

    // On from the better of those with all techniques.
    let better = best.attempt().map(|attempt| attempt.method);
    let from = tried.iter().position(|(options, _)| Some(options.method) == better).unwrap_or(0);
    let (options, mut ranges) = tried.swap_remove(from);
    let photos = images(samples, COMPARED_ON, &options.preprocessing);
    let original = Fp32Model::new(network, &[])?.run_all(&photos, options.threads)?;
    let compare = Compare { network, options: &options, images: &photos, original };
    let mut db = compare.db(&ranges)?;
    let mut layers = Vec::new();
    for node in compare.most_sensitive(&ranges)? {
        if layers.len() == MOST_LAYERS {
            break;
        }
        let Some((method, range, found)) = compare.better(&calibration, &ranges, db, node)? else { continue };
        (ranges[node + 1], db) = (range, found);
        layers.push((network.nodes[node].name.clone(), method));
        if attempt(&options, &ranges, &layers, &mut best)? {
            break;
        }
    }
    best.done()
}

/// The attempts so far.
struct Best {
    limit_pp: f64,
    attempts: Vec<Attempt>,
    /// The best of them, and its model.
    best: Option<(usize, Compiled)>,
}

impl Best {
    /// The best so far.
    fn attempt(&self) -> Option<&Attempt> {
        self.best.as_ref().and_then(|(index, _)| self.attempts.get(*index))
    }

    /// Notes an attempt; whether it is within the limit.
    fn consider(&mut self, attempt: Attempt, compiled: Compiled) -> bool {
        let better = |other: &Attempt| {
            let drops = attempt.drop_pp.total_cmp(&other.drop_pp);
            drops.then(other.agreement.total_cmp(&attempt.agreement)).is_lt()
        };
        let met = attempt.drop_pp <= self.limit_pp;
        if met || self.attempt().is_none_or(better) {
            self.best = Some((self.attempts.len(), compiled));
        }
        self.attempts.push(attempt);
        met
    }

    fn done(self) -> Result<Escalated, EscalateError> {
        let (best, compiled) = self.best.ok_or(EscalateError::NoBaseline)?;
        let met = self.attempts[best].drop_pp <= self.limit_pp;
        Ok(Escalated { compiled, attempts: self.attempts, best, met })
    }
}

/// Compares ranges of single layers.
struct Compare<'a> {
    network: &'a Network,
    options: &'a Options,
    /// Normalised.
    images: &'a [Vec<f32>],
    /// What fp32 makes of them.
    original: Vec<Vec<f32>>,
}

impl Compare<'_> {
    /// Nodes whose output has a range of its own, from the one that costs most when it alone is quantized.
    fn most_sensitive(&self, ranges: &[Range]) -> Result<Vec<usize>, EscalateError> {
        let Options { preprocessing, threads, .. } = self.options;
        let quantized = quantize(self.network, ranges, preprocessing).map_err(CompileError::from)?;
        let mut costs = sensitivity(self.network, &quantized, preprocessing, self.images, *threads)?;
        costs.sort_by(|a, b| a.alone_db.total_cmp(&b.alone_db));
        let node = |name: &str| self.network.nodes.iter().position(|node| node.name == name);
        let nodes = costs.iter().filter_map(|cost| node(&cost.name));
        Ok(nodes.filter(|&node| self.network.has_range(node)).collect())
    }

    /// The method whose range for the output of `node` leaves the least noise in the logits, the range, and the ratio of
    /// signal to that noise; `None` unless it is better than `before`, that of `ranges`.
    fn better(
        &self,
        calibration: &Calibration,
        ranges: &[Range],
        before: f64,
        node: usize,
    ) -> Result<Option<(Method, Range, f64)>, EscalateError> {
        let methods = [
            Method::Max,
            Method::Percentile(99.999),
            Method::Percentile(99.99),
            Method::Mse,
            Method::Entropy,
        ];
        let mut best = None;
        for method in methods {
            let range = method.range(&calibration.histograms[node + 1]);
            if range == ranges[node + 1] {
                continue;
            }
            let mut ranges = ranges.to_vec();
            ranges[node + 1] = range;
            let found = self.db(&ranges)?;
            if found > best.map_or(before + WORTH_DB, |(_, _, db)| db) {
                best = Some((method, range, found));
            }
        }
        Ok(best)
    }

    /// Signal to noise of int8's logits with these ranges, emulated, dB.
    fn db(&self, ranges: &[Range]) -> Result<f64, EscalateError> {
        let Options { preprocessing, threads, .. } = self.options;
        let quantized = quantize(self.network, ranges, preprocessing).map_err(CompileError::from)?;
        let model = rounded_network(self.network, &quantized, preprocessing, |_| true)?;
        Ok(sqnr_db(&model.run_all(self.images, *threads)?, &self.original))
    }
}

#[cfg(test)]
mod tests;
