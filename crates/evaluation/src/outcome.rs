//! What becomes of one image: both networks' answers, and how far apart they are. A few hundred bytes, however many classes.

use crate::noise::Noise;
use crate::statistics::kl_divergence;
use resnext::top_k;

/// Classes that an answer keeps.
pub const TOP: usize = 5;

/// One class of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Guess {
    /// Index of the class.
    pub class: usize,
    /// Softmax probability, 0..1.
    pub probability: f32,
}

/// One network's answer to one image: its most probable classes, most probable first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Answer {
    guesses: [Guess; TOP],
    len: usize,
}

impl Answer {
    /// The answer that logits give.
    pub fn new(logits: &[f32]) -> Self {
        Self::of(
            top_k::<TOP>(logits).iter().map(|hit| Guess { class: hit.class, probability: hit.probability }),
        )
    }

    /// The first [`TOP`] of `guesses`.
    pub(crate) fn of(guesses: impl IntoIterator<Item = Guess>) -> Self {
        let mut answer = Self::default();
        for (slot, guess) in answer.guesses.iter_mut().zip(guesses) {
            *slot = guess;
            answer.len += 1;
        }
        answer
    }

    /// The most probable classes.
    pub fn guesses(&self) -> &[Guess] {
        &self.guesses[..self.len]
    }

    /// The most probable class.
    pub fn class(&self) -> usize {
        self.guesses[0].class
    }

    /// Whether the most probable class is the right one.
    pub fn is_right(&self, truth: usize) -> bool {
        self.class() == truth
    }

    /// Whether the right class is among the first [`TOP`].
    pub fn contains(&self, truth: usize) -> bool {
        self.guesses().iter().any(|guess| guess.class == truth)
    }
}

/// What fp32 says of an image, and how far int8 is from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Original {
    /// fp32's answer.
    pub answer: Answer,
    /// Kullback–Leibler divergence of int8's softmax from fp32's, nats.
    pub kl: f64,
    /// Power of the logits, and of their difference.
    pub noise: Noise,
}

/// What becomes of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Index of the image among those evaluated.
    pub image: usize,
    /// XXH3-64 of the pixels that both networks read.
    pub pixels: u64,
    /// int8's answer.
    pub int8: Answer,
    /// The comparison, if there is a baseline.
    pub fp32: Option<Original>,
}

impl Outcome {
    /// Judges logits.
    pub fn new(image: usize, pixels: u64, int8: &[f32], fp32: Option<&[f32]>) -> Self {
        let fp32 = fp32.map(|original| Original {
            answer: Answer::new(original),
            kl: kl_divergence(original, int8),
            noise: Noise::of_slices(int8, original),
        });
        Self { image, pixels, int8: Answer::new(int8), fp32 }
    }
}

/// What identifies the pixels of an image that networks read, after decoding, resizing and cropping.
pub fn pixel_checksum(pixels: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(pixels)
}
