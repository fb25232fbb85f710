//! The first pass of calibration: gathers the distribution of every value.

use std::collections::HashSet;

use resnext_evaluation::samples::SampleError;

use super::pictures::{Look, Pictures};
use super::training::{Deviations, TrainingDistance, distances, stated};
use super::{ChannelHistogram, Histogram, Method, NoiseGains, least_harm};
use crate::fp32::Fp32Error;
use crate::fp32::stream::{Input, Pass, stream};
use crate::network::{Network, Op, Range};

/// Why the activations of a network could not be observed. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// The fp32 network does not run.
    #[error(transparent)]
    Fp32(#[from] Fp32Error),
    /// No sample could be decoded.
    #[error(
        "none of the {found} samples can be decoded (the first: {first}); give a directory of JPEG or PNG photos"
    )]
    NoSamples {
        /// The number of files that were tried.
        found: usize,
        /// What is wrong with the first.
        first: SampleError,
    },
    /// An activation is NaN or infinite.
    #[error(
        "layer {layer} gives NaN or infinity on sample {sample}; the weights are broken: take a sound checkpoint"
    )]
    NotFinite {
        /// Name of the layer.
        layer: String,
        /// Name of the sample.
        sample: String,
    },
}

/// The distribution of every value of a network on some samples.
pub(crate) struct Observations {
    /// The histogram of each value. The image's stays empty, because pixels are exact.
    pub(crate) histograms: Vec<Histogram>,
    /// The histograms of each value's channels, if they were gathered.
    channels: Vec<Vec<ChannelHistogram>>,
    /// What the samples look like.
    pub(crate) pictures: Pictures,
    /// The checksums of the different pictures among them, once they are cropped.
    pub(crate) checksums: HashSet<u64>,
    /// How far they are from the training images.
    pub(crate) distances: Vec<TrainingDistance>,
    /// The samples that could not be decoded.
    pub(crate) skipped: Vec<SampleError>,
}

impl Observations {
    /// Returns the range that `method` chooses for each value of `network`.
    pub(crate) fn ranges(&self, network: &Network, method: Method) -> Vec<Range> {
        if method != Method::Auto {
            return self.histograms.iter().map(|histogram| method.range(histogram)).collect();
        }
        let gains = NoiseGains::new(network, &self.channels);
        let harm = |(channels, gains): (&Vec<ChannelHistogram>, &Vec<f64>)| least_harm(channels, gains);
        self.channels.iter().zip(&gains.values).map(harm).collect()
    }

    /// Drops the histograms of channels. Those of the largest networks take as much memory as a fifth of the artifact.
    pub(crate) fn without_channels(self) -> Self {
        Self { channels: Vec::new(), ..self }
    }
}

/// Observes the activations of `network` on the samples of `input`; with `channels` also those of single channels, which
/// [`Method::Auto`] needs.
///
/// # Errors
///
/// [`ObserveError`]. A sample that cannot be decoded is only skipped, unless none can.
pub(crate) fn observe(
    network: &Network,
    channels: bool,
    input: Input<'_>,
) -> Result<Observations, ObserveError> {
    let samples = input.samples;
    let names = samples.iter().map(|sample| sample.name()).collect();
    let pass = Observe { network, names, channels };
    let streamed = stream(&pass, Some(network), input)?;
    let mut workers = streamed.workers.into_iter();
    let mut gathered = workers.next().unwrap_or_else(|| pass.worker());
    workers.for_each(|more| gathered.merge(&more));
    let (mut looks, mut skipped) = (Vec::new(), Vec::new());
    for result in streamed.results {
        match result {
            Ok(look) => looks.push(look),
            Err(error) => skipped.push(error),
        }
    }
    if looks.is_empty() {
        let found = skipped.len();
        let reason = "the sample list is empty".to_owned();
        let none = SampleError { name: "no sample".to_owned(), reason };
        let first = if skipped.is_empty() { none } else { skipped.swap_remove(0) };
        return Err(ObserveError::NoSamples { found, first });
    }
    let pictures = Pictures::new(&looks, input.preprocessing.short_side);
    let checksums = looks.iter().map(Look::checksum).collect();
    let distances = distances(network, &gathered.deviations);
    let Gathered { histograms, channels, .. } = gathered;
    Ok(Observations { histograms, channels, pictures, checksums, distances, skipped })
}

/// Gathers the histogram of every value, and what the pictures look like.
struct Observe<'a> {
    network: &'a Network,
    /// The name of each sample.
    names: Vec<&'a str>,
    /// Whether to gather the histograms of channels, too.
    channels: bool,
}

/// What a thread gathers from its samples.
struct Gathered {
    /// The histogram of each value.
    histograms: Vec<Histogram>,
    /// The histograms of each value's channels; empty if they are not wanted.
    channels: Vec<Vec<ChannelHistogram>>,
    /// The distance of each node's output from what its batch norm states.
    deviations: Vec<Deviations>,
}

impl Gathered {
    fn merge(&mut self, other: &Self) {
        self.histograms.iter_mut().zip(&other.histograms).for_each(|(sum, more)| sum.merge(more));
        let channels = other.channels.iter().flatten();
        self.channels.iter_mut().flatten().zip(channels).for_each(|(sum, more)| sum.merge(more));
        self.deviations.iter_mut().zip(&other.deviations).for_each(|(sum, more)| sum.merge(more));
    }
}

impl Pass for Observe<'_> {
    type Worker = Gathered;
    /// The index of the photo and what it looks like.
    type Photo = (usize, Look);
    type Output = Look;
    type Error = ObserveError;

    const EVERY_VALUE: bool = true;

    fn photo_bytes(&self) -> usize {
        size_of::<Look>()
    }

    fn worker(&self) -> Gathered {
        let nodes = &self.network.nodes;
        let channels = nodes.iter().map(|node| vec![ChannelHistogram::default(); node.output.channels]);
        let channels = std::iter::once(Vec::new()).chain(channels).filter(|_| self.channels);
        Gathered {
            histograms: vec![Histogram::default(); nodes.len() + 1],
            channels: channels.collect(),
            deviations: vec![Deviations::default(); nodes.len()],
        }
    }

    fn begin(&self, index: usize, pixels: &[u8]) -> Result<(usize, Look), ObserveError> {
        Ok((index, Look::new(pixels, self.network.input.width)))
    }

    fn decoded(&self, (_, look): &mut (usize, Look), width: u32, height: u32) {
        look.of_size(width, height);
    }

    fn value(
        &self,
        gathered: &mut Gathered,
        (photo, _): &mut (usize, Look),
        node: usize,
        values: &[f32],
    ) -> Result<(), ObserveError> {
        let histogram = &mut gathered.histograms[node + 1];
        histogram.observe(values);
        if histogram.not_finite() > 0 {
            let (layer, sample) = (self.network.nodes[node].name.clone(), self.names[*photo].to_owned());
            return Err(ObserveError::NotFinite { layer, sample });
        }
        if let Op::Conv(conv) = &self.network.nodes[node].op
            && let Some(statistics) = stated(conv)
        {
            gathered.deviations[node].observe(statistics, values);
        }
        let Some(channels) = gathered.channels.get_mut(node + 1) else { return Ok(()) };
        let pixels = values.len() / channels.len();
        channels
            .iter_mut()
            .zip(values.chunks_exact(pixels))
            .for_each(|(channel, plane)| channel.observe(plane));
        Ok(())
    }

    fn end(&self, (_, look): (usize, Look)) -> Look {
        look
    }
}
