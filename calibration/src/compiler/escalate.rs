//! Ever more effort until int8 costs no more accuracy than allowed, cheapest first.
//!
//! First the whole network: ranges only, then biases, then weights rounded together, then ranges by their effect on the logits.
//! If that is not enough, layer by layer, the most sensitive first: each gets the range, among those of all methods, that leaves
//! the least noise in the logits of calibration images. The runtime has nothing else to offer: its activations are int8 with one
//! scale each, so there is neither a 16-bit layer nor a split range to resort to.

use resnext::{LoadError, Model};
use resnext_evaluation::Evaluation;
use resnext_evaluation::samples::Samples;
use resnext_evaluation::statistics::Interval;

use super::emulate::{rounded_network, sqnr_db};
use super::sensitivity::sensitivity;
use super::{CalibrationInput, CompileError, Compiled, Compiler, Options, Techniques, normalized_images};
use crate::evaluate::EvaluateError;
use crate::fp32::{Fp32Error, Fp32Model};
use crate::network::{Network, Range};
use crate::observe::{Method, Observations};
use crate::quantize::quantize;

/// Most layers that get a range of their own. Each takes a pass over the samples and an evaluation.
const MAX_LAYERS: usize = 6;

/// Calibration images on which ranges of single layers are compared.
const COMPARED_ON: usize = 32;

/// Noise in dB that another range must remove to be worth an attempt.
const WORTH_DB: f64 = 0.02;

/// A setting that was tried, and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// How the ranges were chosen, apart from those of `layers`.
    pub method: Method,
    /// The techniques beyond that.
    pub techniques: Techniques,
    /// The layers whose range another method has chosen.
    pub layers: Vec<(String, Method)>,
    /// The number of images that judged it.
    pub images: usize,
    /// The drop of top-1 accuracy against fp32 in percentage points.
    pub drop_pp: f64,
    /// The interval that holds the drop with a confidence of 95 %.
    pub interval: Interval,
    /// The share of the images on which both networks name the same class.
    pub agreement: f64,
}

/// The outcome of all attempts.
#[derive(Debug)]
pub struct Escalated {
    /// The best model: the one that met the limit, or else the one with the least drop.
    pub compiled: Compiled,
    /// All attempts, in order.
    pub attempts: Vec<Attempt>,
    /// The index of the attempt that made `compiled`.
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
    /// The evaluation does not compare with fp32.
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

/// See [`Compiler::compile_within`].
pub(super) fn escalate(
    compiler: &Compiler<'_>,
    limit_pp: f64,
    samples: &Samples,
    mut judge: impl FnMut(&Model<'_>) -> Result<Evaluation, EvaluateError>,
    mut on_attempt: impl FnMut(&Attempt),
) -> Result<Escalated, EscalateError> {
    let (network, options) = (compiler.network, compiler.options);
    let calibration = CalibrationInput { network, surrogate: None, samples };
    let observations = compiler.observe(calibration, true)?;
    let mut best = Best { limit_pp, attempts: Vec::new(), best: None };
    let mut attempt = |options: &Options, ranges: &[Range], layers: &[(String, Method)], best: &mut Best| {
        let compiler = Compiler { options, ..compiler.clone() };
        let compiled = compiler.compile_to(calibration, &observations, ranges, layers)?;
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
        on_attempt(&attempt);
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
        let ranges = observations.ranges(network, method);
        for &techniques in efforts {
            options.techniques = techniques;
            if attempt(&options, &ranges, &[], &mut best)? {
                return best.done();
            }
        }
        tried.push((options, ranges));
    }

    // From here on with the better of the settings that have all techniques.
    let better = best.attempt().map(|attempt| attempt.method);
    let from = tried.iter().position(|(options, _)| Some(options.method) == better).unwrap_or(0);
    let (options, mut ranges) = tried.swap_remove(from);
    let photos = normalized_images(samples, COMPARED_ON, &options.preprocessing);
    let original = Fp32Model::new(network, &[])?.run_all(&photos, options.threads)?;
    let compare = Compare { network, options: &options, images: &photos, original };
    let mut db = compare.db(&ranges)?;
    let mut layers = Vec::new();
    for node in compare.most_sensitive(&ranges)? {
        if layers.len() == MAX_LAYERS {
            break;
        }
        let Some((method, range, found)) = compare.better(&observations, &ranges, db, node)? else {
            continue;
        };
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
    /// The index and the model of the best.
    best: Option<(usize, Compiled)>,
}

impl Best {
    /// Returns the best attempt.
    fn attempt(&self) -> Option<&Attempt> {
        self.best.as_ref().and_then(|(index, _)| self.attempts.get(*index))
    }

    /// Adds an attempt and returns whether it is within the limit.
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
    /// The normalised images.
    images: &'a [Vec<f32>],
    /// The logits of fp32.
    original: Vec<Vec<f32>>,
}

impl Compare<'_> {
    /// Returns the nodes whose output has a range, from the one that costs most when it alone is quantized.
    fn most_sensitive(&self, ranges: &[Range]) -> Result<Vec<usize>, EscalateError> {
        let Options { preprocessing, threads, .. } = self.options;
        let quantized = quantize(self.network, ranges, preprocessing).map_err(CompileError::from)?;
        let mut costs = sensitivity(self.network, &quantized, preprocessing, self.images, *threads)?;
        costs.sort_by(|a, b| a.alone_db.total_cmp(&b.alone_db));
        let node = |name: &str| self.network.nodes.iter().position(|node| node.name == name);
        let nodes = costs.iter().filter_map(|cost| node(&cost.name));
        Ok(nodes.filter(|&node| self.network.has_range(node)).collect())
    }

    /// Returns the method whose range for the output of `node` leaves the least noise in the logits, with that range and the
    /// ratio of signal to noise in dB. Returns `None` unless it is better than `before`, the ratio of `ranges`.
    fn better(
        &self,
        observations: &Observations,
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
            let range = method.range(&observations.histograms[node + 1]);
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

    /// Emulates int8 with these ranges and returns the ratio of signal to noise of its logits in dB.
    fn db(&self, ranges: &[Range]) -> Result<f64, EscalateError> {
        let Options { preprocessing, threads, .. } = self.options;
        let quantized = quantize(self.network, ranges, preprocessing).map_err(CompileError::from)?;
        let model = rounded_network(self.network, &quantized, preprocessing, |_| true)?;
        Ok(sqnr_db(&model.run_all(self.images, *threads)?, &self.original))
    }
}

#[cfg(test)]
mod tests;
