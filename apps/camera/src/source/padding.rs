//! Finds padding that nobody stated: raw frames that are farther apart in their stream than their format says.
//!
//! Decoders and cameras pad rows and planes to multiples that suit their hardware. Whoever reads such frames without stating it
//! reads the first one nearly right, and each one after it further from where it begins. Nothing in the bytes says so, but they
//! repeat: a byte resembles the byte one frame later. So the distance at which they resemble each other most is the length of a
//! frame. Only lengths that usual padding gives are tried, because the scene moves too.

use crate::raw_format::RawFormat;
use std::fmt;

/// Multiples to which rows are padded, in bytes.
const STRIDES: [usize; 7] = [1, 8, 16, 32, 64, 128, 256];

/// Multiples to which the number of rows is padded.
const ROWS: [usize; 7] = [1, 2, 8, 16, 32, 64, 128];

/// Number of bytes of a frame that are compared with the next frame.
const SAMPLES: usize = 4096;

/// The least mean difference of bytes that are compared, in levels. Flat or dark pictures say nothing about where they begin.
const MIN_DIFFERENCE: f64 = 1.0;

/// How many times closer frames must be under a padding than without it, to be counted for it.
const CLOSER: f64 = 2.0;

/// How many times closer they must be to be believed at once.
const FAR_CLOSER: f64 = 6.0;

/// Number of pairs of frames that must agree otherwise.
const AGREEING: u32 = 3;

/// Padding in bytes and rows that a format does not state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Padding {
    stride: Option<usize>,
    rows: Option<usize>,
}

impl fmt::Display for Padding {
    /// Writes the options of a source that state the padding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.stride, self.rows) {
            (Some(stride), Some(rows)) => write!(f, "stride {stride}, rows {rows}"),
            (Some(stride), None) => write!(f, "stride {stride}"),
            (_, rows) => write!(f, "rows {}", rows.unwrap_or(0)),
        }
    }
}

/// A layout that frames may have, and their length.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    padding: Padding,
    len: usize,
}

/// Returns the layouts of usual paddings whose frames have another length than those of `format`, the simplest first.
fn candidates(format: &RawFormat) -> Vec<Candidate> {
    let tight = RawFormat::tight(format.pixels, format.width, format.height, format.yuv);
    let Some(own) = format.frame_len() else { return Vec::new() };
    let strides = STRIDES.map(|multiple| tight.stride.next_multiple_of(multiple));
    let rows = ROWS.map(|multiple| tight.rows.next_multiple_of(multiple));
    let both = rows.iter().flat_map(|&rows| strides.iter().map(move |&stride| (stride, rows)));
    let layouts = rows
        .iter()
        .map(|&rows| (format.stride, rows))
        .chain(strides.iter().map(|&stride| (stride, format.rows)))
        .chain(both);
    let mut found: Vec<Candidate> = Vec::new();
    for (stride, rows) in layouts {
        let layout = RawFormat { stride, rows, ..*format };
        let Some(len) = layout.frame_len() else { continue };
        if len != own && found.iter().all(|candidate| candidate.len != len) {
            let padding = Padding {
                stride: (stride != format.stride).then_some(stride),
                rows: (rows != format.rows).then_some(rows),
            };
            found.push(Candidate { padding, len });
        }
    }
    found
}

/// Returns the padding with which `bytes` are a whole number of frames, if a usual one gives that.
pub(super) fn fitting(format: &RawFormat, bytes: u64) -> Option<Padding> {
    let fits = |candidate: &Candidate| bytes > 0 && bytes.is_multiple_of(candidate.len as u64);
    candidates(format).into_iter().find(fits).map(|candidate| candidate.padding)
}

/// Watches the frames of a stream for padding. After it is made it allocates nothing.
#[derive(Debug)]
pub(super) struct PaddingWatch {
    candidates: Vec<Candidate>,
    /// How many pairs of frames spoke for each candidate.
    votes: Vec<u32>,
    /// The positions that are compared, and what lay there in the first frame of the pair.
    samples: Vec<(usize, u8)>,
    len: usize,
    luma: usize,
    /// The distance of rows whose difference shows whether a picture has any texture.
    apart: usize,
    /// Whether the first frame of the pair has some.
    textured: bool,
    frame: u64,
    told: bool,
}

impl PaddingWatch {
    /// Starts to watch frames of `format`.
    pub(super) fn new(format: &RawFormat) -> Self {
        let len = format.frame_len().unwrap_or(0);
        let near = |candidate: &Candidate| candidate.len.abs_diff(len) <= len / 2;
        let candidates: Vec<_> = candidates(format).into_iter().filter(near).collect();
        // Evenly spread positions could all lie in one column. The multiplier is Knuth's, from the golden ratio.
        let spread = |i: usize| (i as u64 * 2_654_435_761 % len.max(1) as u64) as usize;
        let positions = (0..SAMPLES.min(len)).map(|i| (spread(i), 0));
        Self {
            votes: vec![0; candidates.len()],
            samples: positions.collect(),
            candidates,
            len,
            luma: format.stride.saturating_mul(format.rows),
            apart: format.stride.saturating_mul((format.rows / 4).clamp(1, 8)),
            textured: false,
            frame: 0,
            told: false,
        }
    }

    /// Takes the next frame. Returns the distance of frames and their padding once, when it is clear that there is some.
    pub(super) fn next(&mut self, frame: &[u8]) -> Option<(usize, Padding)> {
        let number = self.frame;
        self.frame += 1;
        if self.told || frame.len() < self.len {
            return None;
        }
        // The pairs become rarer, so that a stream whose beginning says nothing is not given up.
        let first_of_pair = |number: u64| number == 0 || number > 1 && number.is_power_of_two();
        if first_of_pair(number) {
            self.samples.iter_mut().for_each(|(at, byte)| *byte = frame[*at]);
            self.textured = self.texture(frame) >= MIN_DIFFERENCE;
            return None;
        }
        if !first_of_pair(number - 1) || !self.textured {
            return None;
        }
        let best = self.closest(frame)?;
        self.told = true;
        Some((self.candidates[best].len, self.candidates[best].padding))
    }

    /// Compares the samples with the next frame. Returns the candidate that is certain by now.
    fn closest(&mut self, frame: &[u8]) -> Option<usize> {
        let [luma, chroma] = self.differences(frame, self.len);
        if luma < MIN_DIFFERENCE {
            return None;
        }
        let differences = self.candidates.iter().map(|candidate| self.differences(frame, candidate.len));
        let (best, [best_luma, best_chroma]) =
            differences.enumerate().min_by(|(_, a), (_, b)| a[0].total_cmp(&b[0]))?;
        // A scene that tilts moves chroma by half of what luma moves, and padding moves both alike.
        let closer = |by: f64| {
            luma >= by * best_luma
                && (chroma < MIN_DIFFERENCE && best_chroma < MIN_DIFFERENCE || chroma >= by * best_chroma)
        };
        if !closer(CLOSER) {
            return None;
        }
        self.votes[best] += 1;
        (closer(FAR_CLOSER) || self.votes[best] >= AGREEING).then_some(best)
    }

    /// Returns the mean difference of luma some rows apart. Without it frames of one colour, of which the next has another, would
    /// seem to be shifted by a channel.
    fn texture(&self, frame: &[u8]) -> f64 {
        let luma = &frame[..self.luma.min(frame.len())];
        let pairs =
            self.samples.iter().filter_map(|&(at, _)| Some((luma.get(at)?, luma.get(at + self.apart)?)));
        let (sum, count) =
            pairs.fold((0, 0u64), |(sum, count), (a, b)| (sum + u64::from(a.abs_diff(*b)), count + 1));
        sum as f64 / count.max(1) as f64
    }

    /// Returns the mean differences of luma and of chroma between bytes that are `distance` apart; 0 for a plane that is not at hand,
    /// as chroma is if frames are more than a third longer. No scene tilts as much as that.
    fn differences(&self, frame: &[u8], distance: usize) -> [f64; 2] {
        let (mut sums, mut counts) = ([0u64; 2], [0u64; 2]);
        for &(at, byte) in &self.samples {
            // What lies before or after the next frame is not at hand.
            let Some(&later) = (at + distance).checked_sub(self.len).and_then(|at| frame.get(at)) else {
                continue;
            };
            let plane = usize::from(at >= self.luma);
            sums[plane] += u64::from(later.abs_diff(byte));
            counts[plane] += 1;
        }
        [0, 1].map(|plane| sums[plane] as f64 / counts[plane].max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw_format::{NAMES, PixelFormat};
    use resnext::preprocess::{Yuv, YuvMatrix, YuvRange};

    fn format(pixels: PixelFormat, width: u32, height: u32) -> RawFormat {
        let yuv = Yuv { matrix: YuvMatrix::Bt601, range: YuvRange::Limited };
        RawFormat::tight(pixels, width, height, yuv)
    }

    /// Returns frames of a scene with edges, whose content moves up by `tilt` rows from frame to frame, with some noise.
    fn film(format: &RawFormat, frames: usize, tilt: isize, noise: u64) -> Vec<u8> {
        let len = format.frame_len().unwrap();
        let (stride, luma) = (format.stride, format.stride * format.rows);
        let mut random = 1u64;
        let mut bytes = Vec::with_capacity(frames * len);
        for frame in 0..frames {
            for at in 0..len {
                let (row, column, step) = match at.checked_sub(luma) {
                    Some(at) => (2 * (at / stride), at % stride, 3),
                    None => (at / stride, at % stride, 1),
                };
                let row = (2000 + row).strict_add_signed(frame as isize * tilt);
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let texture = (row * row / 7 + column * step * row / 23) % 160;
                bytes.push((40 + texture as u64 + (random >> 40) % (noise + 1)) as u8);
            }
        }
        bytes
    }

    fn watch(stated: &RawFormat, bytes: &[u8]) -> Option<String> {
        let mut watch = PaddingWatch::new(stated);
        let frames = bytes.chunks_exact(stated.frame_len().unwrap());
        frames.filter_map(|frame| watch.next(frame)).map(|(len, padding)| format!("{len}: {padding}")).next()
    }

    #[test]
    fn padding_shows_in_the_distance_of_frames() {
        use PixelFormat::*;
        let cases = [
            (Nv12, 98, 74, 98, 80, "11760: rows 80"),
            (Nv12, 120, 90, 120, 96, "17280: rows 96"),
            (I420, 100, 60, 128, 60, "11520: stride 128"),
            (I420, 100, 60, 128, 64, "12288: stride 128, rows 64"),
            (Grey, 100, 75, 104, 75, "7800: stride 104"),
            (Rgb, 50, 30, 192, 30, "5760: stride 192"),
            (Yuyv, 90, 50, 192, 64, "12288: stride 192, rows 64"),
        ];
        for (pixels, width, height, stride, rows, expected) in cases {
            let stated = format(pixels, width, height);
            let padded = RawFormat { stride, rows, ..stated };
            for noise in [0, 6] {
                let bytes = film(&padded, 24, 0, noise);
                assert_eq!(watch(&stated, &bytes).as_deref(), Some(expected), "{pixels} {noise}");
                assert_eq!(watch(&padded, &bytes), None, "{pixels} {noise} with its padding stated");
            }
        }
    }

    #[test]
    fn frames_without_padding_are_left_alone() {
        for (pixels, _) in NAMES {
            let format = format(pixels, 98, 74);
            // A scene that moves down by as many bytes as padding would add is told apart by its chroma.
            let chroma = matches!(
                pixels,
                PixelFormat::Nv12 | PixelFormat::Nv21 | PixelFormat::I420 | PixelFormat::Yv12
            );
            let down = if chroma { &[-6, -9, -12, -33][..] } else { &[] };
            for &tilt in [0, 1, 2, 3, 6, 8, 22].iter().chain(down) {
                for noise in [0, 20] {
                    assert_eq!(
                        watch(&format, &film(&format, 40, tilt, noise)),
                        None,
                        "{pixels} {tilt} {noise}"
                    );
                }
            }
            let flat = vec![90; 40 * format.frame_len().unwrap()];
            assert_eq!(watch(&format, &flat), None, "{pixels} flat");
        }
        let (red, green) = ([220, 20, 20].repeat(40 * 30), [20, 220, 20].repeat(40 * 30));
        let colours = [red, green].concat().repeat(10);
        assert_eq!(watch(&format(PixelFormat::Rgb, 40, 30), &colours), None, "plain colours that change");
        for side in [1, 2, 7] {
            let tiny = format(PixelFormat::I420, side, side);
            assert_eq!(watch(&tiny, &[7; 1000]), None);
        }
    }

    #[test]
    fn padding_that_fits_a_number_of_bytes() {
        let nv12 = format(PixelFormat::Nv12, 98, 74);
        let fitting = |bytes| fitting(&nv12, bytes).map(|padding| padding.to_string());
        assert_eq!(fitting(2 * 98 * 120).as_deref(), Some("rows 80"));
        assert_eq!(fitting(3 * 128 * 111).as_deref(), Some("stride 128"));
        assert_eq!(fitting(5 * 128 * 120).as_deref(), Some("stride 128, rows 80"));
        assert_eq!(fitting(10_007), None);
        assert_eq!(fitting(0), None);
    }
}
