//! The layers of a compiled model against fp32 on some images: noise, distribution, and the range that int8 covers.

use indicatif::ProgressBar;
use resnext::Model;
use resnext::program::{Op, Step};
use resnext_evaluation::noise::Noise;
use resnext_evaluation::samples::Samples;

use super::compare::{Compare, CompareError, Pair};
use crate::fp32::stream::{Budget, Input, Pass, stream};
use crate::network::{Network, Range};
use crate::observe::Histogram;

/// The statistics of a layer.
#[derive(Clone, Debug)]
pub struct LayerStatistics {
    /// The name of the layer.
    pub name: String,
    /// The power of its output and of the noise in it, which includes the errors of earlier layers.
    pub noise: Noise,
    /// The distribution of the values in fp32.
    pub histogram: Histogram,
    /// The range that int8 covers; `None` for the logits, and for the mean over all pixels, which is finer.
    pub covered: Option<Range>,
}

/// Runs `model` beside the folded `network` that it was compiled from, layer by layer, on `samples`. Returns the layers in
/// execution order and the number of images; samples that cannot be decoded are left out.
///
/// # Errors
///
/// [`CompareError`], if one of the two does not run.
pub fn examine(
    model: &Model<'_>,
    network: &Network,
    samples: &Samples,
    threads: usize,
    progress: &ProgressBar,
) -> Result<(Vec<LayerStatistics>, usize), CompareError> {
    let pass = Examine { compare: Compare::new(*model, network), nodes: network.nodes.len() };
    let budget = Budget::USUAL;
    let input = Input { samples, preprocessing: model.preprocessing(), threads, budget, progress };
    let streamed = stream(&pass, Some(network), input)?;
    let mut histograms = pass.worker();
    for worker in &streamed.workers {
        histograms.iter_mut().zip(worker).for_each(|(sum, histogram)| sum.merge(histogram));
    }
    let mut noises = vec![Noise::default(); model.step_count()];
    let mut images = 0;
    for layers in streamed.results.into_iter().flatten() {
        images += 1;
        noises.iter_mut().zip(layers).for_each(|(sum, noise)| *sum += noise);
    }
    let steps: Vec<Step<'_>> = model.steps().collect();
    let found =
        pass.compare.steps.iter().zip(histograms).filter_map(|(step, histogram)| Some(((*step)?, histogram)));
    let layers = found.map(|(index, histogram)| {
        let (step, noise) = (&steps[index], noises[index]);
        let real = |tensor: &resnext::program::Tensor, q: i8| {
            f64::from(tensor.scale) * f64::from(i32::from(q) - i32::from(tensor.zero_point))
        };
        let output = step.output().filter(|_| !matches!(step.op, Op::GlobalAvgPool(_)));
        let covered =
            output.map(|tensor| Range { low: real(&tensor, i8::MIN), high: real(&tensor, i8::MAX) });
        LayerStatistics { name: step.name.to_owned(), noise, histogram, covered }
    });
    Ok((layers.collect(), images))
}

/// The pass that compares and also gathers the histogram of every value.
struct Examine<'a> {
    compare: Compare<'a>,
    nodes: usize,
}

impl Pass for Examine<'_> {
    /// The histogram of each node.
    type Worker = Vec<Histogram>;
    type Photo = Pair;
    /// The noise of each step.
    type Output = Vec<Noise>;
    type Error = CompareError;

    const EVERY_VALUE: bool = true;

    fn photo_bytes(&self) -> usize {
        self.compare.photo_bytes()
    }

    fn worker(&self) -> Vec<Histogram> {
        vec![Histogram::default(); self.nodes]
    }

    fn begin(&self, index: usize, pixels: &[u8]) -> Result<Pair, CompareError> {
        self.compare.begin(index, pixels)
    }

    fn value(
        &self,
        histograms: &mut Vec<Histogram>,
        photo: &mut Pair,
        node: usize,
        values: &[f32],
    ) -> Result<(), CompareError> {
        histograms[node].observe(values);
        self.compare.value(&mut (), photo, node, values)
    }

    fn end(&self, photo: Pair) -> Vec<Noise> {
        self.compare.end(photo).1
    }
}
