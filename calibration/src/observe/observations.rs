//! The first pass of calibration: gathers the distribution of every value.

use std::collections::HashSet;

use resnext_evaluation::outcome::pixel_checksum;
use resnext_evaluation::samples::SampleError;

use super::{ChannelHistogram, Histogram, Method, NoiseGains, least_harm};
use crate::fp32::Fp32Error;
use crate::fp32::stream::{Input, Pass, stream};
use crate::network::{Network, Range};

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
    /// The number of samples that were observed.
    pub(crate) samples: usize,
    /// The checksums of the different pictures among them, once they are cropped.
    pub(crate) pictures: HashSet<u64>,
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
    let (mut histograms, mut channels) = workers.next().unwrap_or_else(|| pass.worker());
    for (more_histograms, more_channels) in workers {
        histograms.iter_mut().zip(&more_histograms).for_each(|(sum, histogram)| sum.merge(histogram));
        let more = more_channels.iter().flatten();
        channels.iter_mut().flatten().zip(more).for_each(|(sum, histogram)| sum.merge(histogram));
    }
    let (mut pictures, mut skipped) = (HashSet::new(), Vec::new());
    for result in streamed.results {
        match result {
            Ok(checksum) => drop(pictures.insert(checksum)),
            Err(error) => skipped.push(error),
        }
    }
    let observed = samples.len() - skipped.len();
    if observed == 0 {
        let found = skipped.len();
        let reason = "the sample list is empty".to_owned();
        let none = SampleError { name: "no sample".to_owned(), reason };
        let first = if skipped.is_empty() { none } else { skipped.swap_remove(0) };
        return Err(ObserveError::NoSamples { found, first });
    }
    Ok(Observations { histograms, channels, samples: observed, pictures, skipped })
}

/// Gathers the histogram of every value, and the checksums of the pictures.
struct Observe<'a> {
    network: &'a Network,
    /// The name of each sample.
    names: Vec<&'a str>,
    /// Whether to gather the histograms of channels, too.
    channels: bool,
}

impl Pass for Observe<'_> {
    /// The histograms of the values and of their channels.
    type Worker = (Vec<Histogram>, Vec<Vec<ChannelHistogram>>);
    /// The index of the photo and the checksum of its pixels.
    type Photo = (usize, u64);
    /// The checksum.
    type Output = u64;
    type Error = ObserveError;

    const EVERY_VALUE: bool = true;

    fn photo_bytes(&self) -> usize {
        0
    }

    fn worker(&self) -> Self::Worker {
        let nodes = &self.network.nodes;
        let channels = nodes.iter().map(|node| vec![ChannelHistogram::default(); node.output.channels]);
        let channels = std::iter::once(Vec::new()).chain(channels).filter(|_| self.channels);
        (vec![Histogram::default(); nodes.len() + 1], channels.collect())
    }

    fn begin(&self, index: usize, pixels: &[u8]) -> Result<(usize, u64), ObserveError> {
        Ok((index, pixel_checksum(pixels)))
    }

    fn value(
        &self,
        (histograms, channels): &mut Self::Worker,
        (photo, _): &mut (usize, u64),
        node: usize,
        values: &[f32],
    ) -> Result<(), ObserveError> {
        let histogram = &mut histograms[node + 1];
        histogram.observe(values);
        if histogram.not_finite() > 0 {
            let (layer, sample) = (self.network.nodes[node].name.clone(), self.names[*photo].to_owned());
            return Err(ObserveError::NotFinite { layer, sample });
        }
        let Some(channels) = channels.get_mut(node + 1) else { return Ok(()) };
        let pixels = values.len() / channels.len();
        channels
            .iter_mut()
            .zip(values.chunks_exact(pixels))
            .for_each(|(channel, plane)| channel.observe(plane));
        Ok(())
    }

    fn end(&self, (_, checksum): (usize, u64)) -> u64 {
        checksum
    }
}
