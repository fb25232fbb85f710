//! Smooths the answers of several frames, so that labels are steadier.

use heapless::{Deque, Vec};
use resnext::{Prediction, softmax, top_k};
use std::fmt;
use std::str::FromStr;

/// The most classes of an answer.
pub const MAX_PREDICTIONS: usize = 100;

/// The most frames of a majority.
pub const MAX_VOTES: usize = 64;

/// How to smooth the answers of several frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Smoothing {
    /// No smoothing.
    #[default]
    None,
    /// Probabilities move 2 / (N + 1) of the way to those of each new frame. This weighs frames about as the mean of the last
    /// N does (Brown's exponential smoothing, with the span of spreadsheets and pandas).
    Exponential {
        /// N, at least 1.
        frames: u16,
    },
    /// The answer is the class that was most probable in most of the last N frames. Its probability is the proportion of these
    /// frames. A label stays until another one has more votes.
    Majority {
        /// N, 1 to [`MAX_VOTES`].
        frames: u16,
    },
}

/// The default number of frames.
const DEFAULT_FRAMES: u16 = 5;

impl FromStr for Smoothing {
    type Err = &'static str;

    /// Parses `none`, `exponential`, `exponential:N`, `majority` or `majority:N`.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        const USAGE: &str = "write none, exponential:N or majority:N, where N is a number of frames, at most 64 for a majority";
        let (name, frames) = match text.split_once(':') {
            None => (text, DEFAULT_FRAMES),
            Some((name, frames)) => (name, frames.parse().ok().filter(|&n| n > 0).ok_or(USAGE)?),
        };
        match name {
            "none" if name == text => Ok(Self::None),
            "exponential" => Ok(Self::Exponential { frames }),
            "majority" if usize::from(frames) <= MAX_VOTES => Ok(Self::Majority { frames }),
            _ => Err(USAGE),
        }
    }
}

impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Exponential { frames } => write!(f, "exponential:{frames}"),
            Self::Majority { frames } => write!(f, "majority:{frames}"),
        }
    }
}

/// Smooths the answers of a sequence of frames.
#[derive(Debug)]
pub struct Smoother {
    smoothing: Smoothing,
    /// The probability of each class, or the proportion of its votes.
    scores: std::vec::Vec<f32>,
    votes: Deque<usize, MAX_VOTES>,
    started: bool,
    /// The current label of a majority.
    current: usize,
}

impl Smoother {
    /// Makes a smoother for a model with `classes` classes.
    pub fn new(smoothing: Smoothing, classes: usize) -> Self {
        Self { smoothing, scores: vec![0.0; classes], votes: Deque::new(), started: false, current: 0 }
    }

    /// Returns the answer after a frame with these logits, the most probable classes first. Overwrites `logits`.
    pub fn smooth(&mut self, logits: &mut [f32]) -> Vec<Prediction, MAX_PREDICTIONS> {
        match self.smoothing {
            Smoothing::None => return top_k(logits),
            Smoothing::Exponential { frames } => {
                softmax(logits);
                let step = if self.started { 2.0 / (f32::from(frames) + 1.0) } else { 1.0 };
                for (score, probability) in self.scores.iter_mut().zip(logits) {
                    *score += step * (*probability - *score);
                }
            }
            Smoothing::Majority { frames } => self.vote(logits, frames.into()),
        }
        self.started = true;
        let mut hits = top_k(&self.scores);
        // What was ranked are probabilities already.
        hits.iter_mut().for_each(|hit: &mut Prediction| hit.probability = hit.logit);
        if let Smoothing::Majority { .. } = self.smoothing
            && let Some(rank) = hits.iter().position(|hit| hit.class == self.current)
        {
            // Among classes with equal votes, the current label comes first.
            hits[..=rank].rotate_right(1);
        }
        hits
    }

    /// Counts the vote of a frame.
    fn vote(&mut self, logits: &[f32], frames: usize) {
        let Some(winner) = top_k::<1>(logits).first().map(|hit| hit.class) else { return };
        if self.votes.len() >= frames {
            self.votes.pop_front();
        }
        // This cannot fail, because a full queue has just lost its oldest element.
        let _ = self.votes.push_back(winner);
        self.scores.fill(0.0);
        let share = 1.0 / self.votes.len() as f32;
        self.votes.iter().for_each(|&class| self.scores[class] += share);
        let votes = |class: usize| self.votes.iter().filter(|&&vote| vote == class).count();
        let most = self.votes.iter().map(|&class| votes(class)).max().unwrap_or(0);
        if !self.started || votes(self.current) < most {
            let latest = self.votes.iter().rev().find(|&&class| votes(class) == most);
            self.current = latest.copied().unwrap_or(winner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits of a frame that says `class` with probability `p` and spreads the rest.
    fn says(class: usize, p: f32) -> [f32; 3] {
        let mut logits = [((1.0 - p) / 2.0).ln(); 3];
        logits[class] = p.ln();
        logits
    }

    fn labels(smoothing: &str, frames: &[usize]) -> std::vec::Vec<(usize, f32)> {
        let mut smoother = Smoother::new(smoothing.parse().unwrap(), 3);
        let answer = |&class: &usize| {
            let hits = smoother.smooth(&mut says(class, 0.8));
            (hits[0].class, (hits[0].probability * 1000.0).round() / 1000.0)
        };
        frames.iter().map(answer).collect()
    }

    #[test]
    fn alone_every_frame_speaks_for_itself() {
        assert_eq!(labels("none", &[0, 1, 0]), [(0, 0.8), (1, 0.8), (0, 0.8)]);
        let mut logits = [1.0, 3.0, 2.0];
        let hits = Smoother::new(Smoothing::None, 3).smooth(&mut logits);
        assert_eq!(hits, top_k::<MAX_PREDICTIONS>(&[1.0, 3.0, 2.0]));
    }

    #[test]
    fn exponential_smoothing_moves_a_share_of_the_way() {
        // Span 3 moves half of the way: 0.8, then 0.45 each, then 0.625 and so on.
        let expected = [(0, 0.8), (0, 0.45), (1, 0.625), (1, 0.713)];
        assert_eq!(labels("exponential:3", &[0, 1, 1, 1]), expected);
        assert_eq!(labels("exponential:1", &[0, 1, 2]), labels("none", &[0, 1, 2]));
        let mut smoother = Smoother::new(Smoothing::Exponential { frames: 9 }, 3);
        for class in [0, 1, 2, 2, 1, 0, 0] {
            let sum: f32 = smoother.smooth(&mut says(class, 0.7)).iter().map(|hit| hit.probability).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }

    #[test]
    fn a_majority_outvotes_single_frames() {
        let third = 0.333;
        let got = labels("majority:3", &[0, 1, 1, 0, 2, 2, 2]);
        let expected = [(0, 1.0), (0, 0.5), (1, 0.667), (1, 0.667), (1, third), (2, 0.667), (2, 1.0)];
        assert_eq!(got, expected);
    }

    #[test]
    fn words_of_the_command_line() {
        for (text, smoothing) in [
            ("none", Smoothing::None),
            ("exponential", Smoothing::Exponential { frames: 5 }),
            ("exponential:300", Smoothing::Exponential { frames: 300 }),
            ("majority:64", Smoothing::Majority { frames: 64 }),
        ] {
            assert_eq!(text.parse(), Ok(smoothing));
            assert_eq!(smoothing.to_string().parse(), Ok(smoothing));
        }
        for text in [
            "",
            "mean",
            "none:3",
            "majority:0",
            "majority:65",
            "exponential:",
            "exponential:-1",
            "majority:x",
        ] {
            assert!(text.parse::<Smoothing>().is_err(), "{text}");
        }
    }
}
