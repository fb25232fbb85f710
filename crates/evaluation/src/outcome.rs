//! The result for one image: the answers of both networks and the distance between them. It takes a few hundred bytes for any
//! number of classes.

use crate::noise::Noise;
use crate::statistics::kl_divergence;
use resnext::top_k;

/// Number of classes that an answer keeps.
pub const TOP: usize = 5;

/// A class and its probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Index of the class.
    pub class: usize,
    /// Softmax probability, 0..1.
    pub probability: f32,
}

/// The answer of a network to an image: the most probable classes, most probable first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Answer {
    predictions: [Prediction; TOP],
    len: usize,
}

impl Answer {
    /// Ranks the classes by `logits`.
    pub fn new(logits: &[f32]) -> Self {
        Self::of(
            top_k::<TOP>(logits)
                .iter()
                .map(|hit| Prediction { class: hit.class, probability: hit.probability }),
        )
    }

    /// Keeps the first [`TOP`] of `predictions`.
    pub(crate) fn of(predictions: impl IntoIterator<Item = Prediction>) -> Self {
        let mut answer = Self::default();
        for (slot, prediction) in answer.predictions.iter_mut().zip(predictions) {
            *slot = prediction;
            answer.len += 1;
        }
        answer
    }

    /// Returns the most probable classes, most probable first.
    pub fn predictions(&self) -> &[Prediction] {
        &self.predictions[..self.len]
    }

    /// Returns the most probable class.
    pub fn class(&self) -> usize {
        self.predictions[0].class
    }

    /// Returns whether the most probable class is `truth`.
    pub fn is_right(&self, truth: usize) -> bool {
        self.class() == truth
    }

    /// Returns whether `truth` is among the first [`TOP`] classes.
    pub fn contains(&self, truth: usize) -> bool {
        self.predictions().iter().any(|prediction| prediction.class == truth)
    }
}

/// The answer of fp32 to an image, and the distance of int8 from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Original {
    /// The answer of fp32.
    pub answer: Answer,
    /// Kullback–Leibler divergence of int8's softmax from fp32's, in nats.
    pub kl: f64,
    /// Power of fp32's logits and of their difference from int8's.
    pub noise: Noise,
}

/// The result for one image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Index of the image in the list of images.
    pub image: usize,
    /// XXH3-64 of the pixels that both networks read.
    pub pixels: u64,
    /// The answer of int8.
    pub int8: Answer,
    /// The comparison, if there is a baseline.
    pub fp32: Option<Original>,
}

impl Outcome {
    /// Compares the logits of int8 with those of fp32, if there are any.
    pub fn new(image: usize, pixels: u64, int8: &[f32], fp32: Option<&[f32]>) -> Self {
        let fp32 = fp32.map(|original| Original {
            answer: Answer::new(original),
            kl: kl_divergence(original, int8),
            noise: Noise::of_slices(int8, original),
        });
        Self { image, pixels, int8: Answer::new(int8), fp32 }
    }
}

/// Returns the checksum of the pixels that the networks read, after decoding, resizing and cropping.
pub fn pixel_checksum(pixels: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(pixels)
}
