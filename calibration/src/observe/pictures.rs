//! What the samples look like: whether they show anything, whether they differ, and how small they were.

use std::collections::HashSet;

use resnext_evaluation::outcome::pixel_checksum;

/// Cells of the thumbnail on each side.
const SIDE: usize = 12;

/// A picture whose pixels deviate less than this from their mean, in levels of 256 and in every colour, shows nothing: a cap on
/// the lens, a dark room with the noise of the sensor, an empty wall.
const FLAT: f64 = 6.0;

/// Two thumbnails that correlate at least this much show the same scene: copies in other files, neighbouring frames.
const ALIKE: f32 = 0.99;

/// The largest number of pictures that are compared with each other, because the work grows with their square.
const COMPARED: usize = 512;

/// A picture in a few hundred bytes.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// The checksum of the cropped pixels.
    checksum: u64,
    /// Whether it shows nothing.
    flat: bool,
    /// The brightness of each cell, with mean 0 and length 1, so that brightness and contrast do not matter.
    thumbnail: Vec<f32>,
    /// Length of the short side in the file, in pixels.
    short_side: u32,
}

/// The samples of a calibration as pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pictures {
    /// Pictures that were decoded.
    pub count: usize,
    /// Different pictures among them, to the byte, once they are cropped.
    pub distinct: usize,
    /// Different scenes among them: pictures that differ in brightness, compression or noise alone count once.
    pub scenes: usize,
    /// Pictures that show nothing, because all their pixels have nearly the same colour.
    pub flat: usize,
    /// Pictures that were enlarged more than twice to fill the input.
    pub enlarged: usize,
}

impl Look {
    /// Looks at the cropped `pixels`, `height × width × 3` bytes.
    pub(crate) fn new(pixels: &[u8], width: usize) -> Self {
        let (checksum, flat) = (pixel_checksum(pixels), deviation(pixels) < FLAT);
        Self { checksum, flat, thumbnail: thumbnail(pixels, width.max(1)), short_side: u32::MAX }
    }

    /// Notes the size of the picture in the file.
    pub(crate) fn of_size(&mut self, width: u32, height: u32) {
        self.short_side = width.min(height);
    }

    /// Returns the checksum of the cropped pixels.
    pub(crate) fn checksum(&self) -> u64 {
        self.checksum
    }

    fn is_like(&self, other: &Self) -> bool {
        let product = |(a, b): (&f32, &f32)| a * b;
        self.checksum == other.checksum
            || (self.flat && other.flat)
            || self.thumbnail.iter().zip(&other.thumbnail).map(product).sum::<f32>() >= ALIKE
    }
}

impl Pictures {
    /// Compares `looks`, of which the short side of the network's resized photo is `short_side` pixels.
    pub(crate) fn new(looks: &[Look], short_side: u32) -> Self {
        let mut scenes: Vec<&Look> = Vec::new();
        let step = looks.len().div_ceil(COMPARED).max(1);
        for look in looks.iter().step_by(step) {
            if !scenes.iter().any(|scene| scene.is_like(look)) {
                scenes.push(look);
            }
        }
        let distinct = looks.iter().map(|look| look.checksum).collect::<HashSet<_>>().len();
        let enlarged = |look: &&Look| look.short_side.saturating_mul(2) < short_side;
        Self {
            count: looks.len(),
            distinct,
            scenes: (scenes.len() * step).min(distinct),
            flat: looks.iter().filter(|look| look.flat).count(),
            enlarged: looks.iter().filter(enlarged).count(),
        }
    }
}

/// Returns the greatest standard deviation of a colour, in levels.
fn deviation(pixels: &[u8]) -> f64 {
    let count = (pixels.len() / 3).max(1) as f64;
    let of = |colour: usize| {
        let values = || pixels.iter().skip(colour).step_by(3).map(|&value| f64::from(value));
        let mean = values().sum::<f64>() / count;
        (values().map(|value| value * value).sum::<f64>() / count - mean * mean).max(0.0).sqrt()
    };
    (0..3).map(of).fold(0.0, f64::max)
}

/// Returns the mean of each cell over all colours, normalised; zeros if all are the same.
fn thumbnail(pixels: &[u8], width: usize) -> Vec<f32> {
    let height = (pixels.len() / (3 * width)).max(1);
    let (mut sums, mut counts) = (vec![0.0f32; SIDE * SIDE], vec![0.0f32; SIDE * SIDE]);
    for (y, row) in pixels.chunks_exact(3 * width).enumerate() {
        for (x, pixel) in row.chunks_exact(3).enumerate() {
            let cell = y * SIDE / height * SIDE + x * SIDE / width;
            sums[cell] += pixel.iter().map(|&value| f32::from(value)).sum::<f32>();
            counts[cell] += 1.0;
        }
    }
    let mut cells: Vec<f32> = sums.iter().zip(&counts).map(|(sum, count)| sum / count.max(1.0)).collect();
    let mean = cells.iter().sum::<f32>() / cells.len() as f32;
    cells.iter_mut().for_each(|cell| *cell -= mean);
    let length = cells.iter().map(|cell| cell * cell).sum::<f32>().sqrt();
    cells.iter_mut().for_each(|cell| *cell = if length > 0.0 { *cell / length } else { 0.0 });
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 48;

    fn picture(value: impl Fn(usize, usize) -> [u8; 3]) -> Vec<u8> {
        (0..WIDTH * WIDTH).flat_map(|i| value(i / WIDTH, i % WIDTH)).collect()
    }

    /// Blobs whose places depend on `seed`.
    fn blobs(seed: usize, brightness: f64, noise: usize) -> Vec<u8> {
        picture(|y, x| {
            let wave = ((y * (seed % 7 + 2)) as f64 / 9.0).sin() + ((x * (seed % 5 + 1)) as f64 / 7.0).cos();
            let noise = if noise > 0 { (y * 31 + x * 17 + seed) % noise } else { 0 };
            [0, 40, 80].map(|c| (brightness * (60.0 + 30.0 * wave) + f64::from(c)) as u8 + noise as u8)
        })
    }

    fn pictures(pictures: &[Vec<u8>]) -> Pictures {
        let looks: Vec<Look> = pictures.iter().map(|pixels| Look::new(pixels, WIDTH)).collect();
        Pictures::new(&looks, 48)
    }

    #[test]
    fn different_pictures_count_as_such() {
        let found = pictures(&[1, 2, 3, 4].map(|seed| blobs(seed, 1.0, 0)));
        assert_eq!(found, Pictures { count: 4, distinct: 4, scenes: 4, flat: 0, enlarged: 0 });
    }

    #[test]
    fn the_same_scene_counts_once() {
        let scene = [(1.0, 0), (1.0, 0), (0.8, 0), (1.0, 5), (1.2, 3)];
        let found = pictures(&scene.map(|(brightness, noise)| blobs(3, brightness, noise)));
        assert_eq!(found, Pictures { count: 5, distinct: 4, scenes: 1, flat: 0, enlarged: 0 });
    }

    #[test]
    fn pictures_of_nothing_are_flat_in_any_colour() {
        let black = picture(|_, _| [0; 3]);
        let dark = picture(|y, x| [((y * 7 + x * 3) % 5) as u8; 3]);
        let (red, white) = (picture(|_, _| [200, 10, 10]), picture(|_, _| [255; 3]));
        let found = pictures(&[black, dark, red, white, blobs(1, 1.0, 0)]);
        assert_eq!((found.distinct, found.scenes, found.flat), (5, 2, 4));
        // Colours without a difference in brightness still show something.
        let colours = picture(|_, x| if x % 24 < 12 { [200, 40, 40] } else { [40, 200, 40] });
        assert_eq!(pictures(&[colours]).flat, 0);
        assert_eq!(pictures(&[]), Pictures::default());
    }

    #[test]
    fn small_pictures_are_those_that_grow() {
        let look = |side: u32| {
            let mut look = Look::new(&blobs(side as usize, 1.0, 0), WIDTH);
            look.of_size(side, 3 * side);
            look
        };
        let looks = [16, 23, 24, 48, 400].map(look);
        assert_eq!(Pictures::new(&looks, 48).enlarged, 2);
    }
}
