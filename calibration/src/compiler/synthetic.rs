//! Synthetic images that stand in for photos: "dead leaves", discs of all sizes that hide each other.
//!
//! Their edges, areas and spectrum are much like those of photos (A. Lee, D. Mumford, J. Huang, *Occlusion Models for Natural
//! Images*, 2001); those of noise of any colour are not.

use resnext_photo::Rgb8Image;

/// Height and width in pixels.
const SIDE: u32 = 256;

/// Number of discs in an image: enough to leave no background.
const DISCS: usize = 1200;

/// Radius of the smallest and of the largest disc in pixels.
const RADII: (f64, f64) = (2.0, 128.0);

/// Draws the image of `seed`, the same on every machine.
pub(super) fn draw(seed: u64) -> Rgb8Image {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut data = vec![0; (SIDE * SIDE * 3) as usize];
    let base: [f64; 3] = std::array::from_fn(|_| random.unit());
    let spread = 0.3 + 0.7 * random.unit();
    for disc in 0..DISCS {
        // The density of radii falls with their cube, so that the image has the same structure at every scale. The first disc
        // is the background.
        let u = random.unit();
        let radius = 1.0 / (u / RADII.0.powi(2) + (1.0 - u) / RADII.1.powi(2)).sqrt();
        let radius = if disc == 0 { 4.0 * f64::from(SIDE) } else { radius };
        let centre = [random.unit(), random.unit()].map(|x| x * f64::from(SIDE));
        let bright = random.unit();
        let colour: [f64; 3] = std::array::from_fn(|c| {
            let own = 0.7 * bright + 0.3 * random.unit();
            255.0 * (base[c] * (1.0 - spread) + own * spread)
        });
        let slope = [random.unit() - 0.5, random.unit() - 0.5].map(|x| 100.0 * x / radius.clamp(16.0, 128.0));
        let grain = 30.0 * random.unit() * random.unit();
        let rows = (centre[0] - radius).max(0.0) as u32..((centre[0] + radius).max(0.0) as u32 + 1).min(SIDE);
        for y in rows {
            let dy = f64::from(y) - centre[0];
            let half = (radius * radius - dy * dy).max(0.0).sqrt();
            let columns =
                (centre[1] - half).max(0.0) as u32..((centre[1] + half).max(0.0) as u32 + 1).min(SIDE);
            for x in columns {
                let dx = f64::from(x) - centre[1];
                let shade =
                    (slope[0] * dy + slope[1] * dx).clamp(-60.0, 60.0) + grain * (2.0 * random.unit() - 1.0);
                for (c, colour) in colour.iter().enumerate() {
                    data[((y * SIDE + x) * 3) as usize + c] = (colour + shade).clamp(0.0, 255.0) as u8;
                }
            }
        }
    }
    Rgb8Image { width: SIDE, height: SIDE, data }
}

/// SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 up to, but not including, 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of different seeds differ, the same seed gives the same image, and brightness varies as in photos.
    #[test]
    fn images_are_like_photos() {
        let images: Vec<Rgb8Image> = (0..16).map(draw).collect();
        assert_eq!(draw(3), images[3]);
        assert!(images.windows(2).all(|two| two[0] != two[1]));
        let all: Vec<f64> = images.iter().flat_map(|image| &image.data).map(|&p| f64::from(p)).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let deviation = (all.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
        assert!((90.0..160.0).contains(&mean) && (40.0..80.0).contains(&deviation), "{mean} {deviation}");
        // Neighbouring pixels are alike, except at edges.
        let steps = images.iter().flat_map(|image| image.data.windows(4));
        let close = steps.filter(|four| four[0].abs_diff(four[3]) < 32).count();
        let share = close as f64 / all.len() as f64;
        assert!((0.6..0.99).contains(&share), "{share}");
    }
}
