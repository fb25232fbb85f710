//! Confidence intervals and tests.

/// The 97.5 % quantile of the standard normal distribution, for two-sided intervals of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// The proportion of images that have a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proportion {
    /// Number of images that have the property.
    pub hits: usize,
    /// Number of all images.
    pub of: usize,
}

/// The interval in which a value lies with a confidence of 95 %.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl Interval {
    /// Returns whether `value` lies in the interval.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

impl Proportion {
    /// Counts an image that has the property if `holds`.
    pub fn count(&mut self, holds: bool) {
        self.hits += usize::from(holds);
        self.of += 1;
    }

    /// Returns the proportion as a fraction, 0..1, or 0 if there are no images.
    pub fn share(&self) -> f64 {
        self.hits as f64 / self.of.max(1) as f64
    }

    /// Returns Wilson's score interval of 95 % (Wilson 1927), which is also valid for few images and for proportions near 0 or
    /// 1.
    pub fn interval(&self) -> Interval {
        if self.of == 0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let (n, p, z2) = (self.of as f64, self.share(), Z * Z);
        let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        // The bounds 0 and 1 are exact, and rounding must not change them.
        let low = if self.hits == 0 { 0.0 } else { (middle - half).max(0.0) };
        let high = if self.hits == self.of { 1.0 } else { (middle + half).min(1.0) };
        Interval { low, high }
    }
}

/// How the right and wrong answers of two networks to the same images differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paired {
    /// Number of images.
    pub images: usize,
    /// Images that the first network has right and the second has wrong.
    pub lost: usize,
    /// Images that the first network has wrong and the second has right.
    pub gained: usize,
}

impl Paired {
    /// Returns the drop of accuracy from the first network to the second, as a fraction of the images.
    pub fn drop(&self) -> f64 {
        (self.lost as f64 - self.gained as f64) / self.images.max(1) as f64
    }

    /// Returns Tango's score interval of 95 % for the drop (Tango 1998, Statistics in Medicine 17:891).
    ///
    /// It depends on the pairs that differ, so it is far narrower than intervals of two separate accuracies. Unlike Wald's
    /// interval, it keeps a width even if no pair differs.
    pub fn drop_interval(&self) -> Interval {
        if self.images == 0 {
            return Interval { low: -1.0, high: 1.0 };
        }
        let drop = self.drop();
        // The score falls as the supposed drop grows. Bisection finds where it is ±Z.
        let solve = |mut low: f64, mut high: f64, target: f64| {
            for _ in 0..80 {
                let middle = f64::midpoint(low, high);
                if self.score(middle) > target {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            f64::midpoint(low, high)
        };
        Interval { low: solve(-1.0, drop, Z), high: solve(drop, 1.0, -Z) }
    }

    /// Returns the standardised difference of the observed drop from a supposed one, with the variance that is most likely for
    /// the supposed drop.
    fn score(&self, supposed: f64) -> f64 {
        let (n, lost, gained) = (self.images as f64, self.lost as f64, self.gained as f64);
        let (a, b, c) = (2.0 * n, (2.0 * n - lost + gained) * supposed - lost - gained, {
            -gained * supposed * (1.0 - supposed)
        });
        // The most likely proportion of gains, given the drop.
        let gains = ((b * b - 4.0 * a * c).max(0.0).sqrt() - b) / (2.0 * a);
        let variance = n * (2.0 * gains + supposed * (1.0 - supposed));
        let difference = lost - gained - n * supposed;
        if variance > 0.0 { difference / variance.sqrt() } else { difference.signum() * f64::INFINITY }
    }

    /// Returns the p-value of McNemar's exact two-sided test: the probability of losses and gains that differ at least this
    /// much if neither network were better. It is never 0, but very small ones are all [`f64::MIN_POSITIVE`].
    pub fn mcnemar_p(&self) -> f64 {
        let (n, k) = (self.lost + self.gained, self.lost.min(self.gained));
        // Σ C(n, i) / 2ⁿ for i ≤ k, by ratios of neighbouring terms, in logarithms because 2⁻ⁿ may underflow.
        let mut log_term = -(n as f64) * std::f64::consts::LN_2;
        let mut sum = 0.0;
        for i in 0..=k {
            sum += log_term.exp();
            log_term += ((n - i) as f64 / (i + 1) as f64).ln();
        }
        (2.0 * sum).clamp(f64::MIN_POSITIVE, 1.0)
    }
}

/// Returns the Kullback–Leibler divergence of the softmax of `quantized` from that of `original`, in nats. It is 0 if they
/// are equal and never negative.
///
/// Both are logits of the same classes.
pub fn kl_divergence(original: &[f32], quantized: &[f32]) -> f64 {
    let log_sum = |logits: &[f32]| {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
        f64::from(max) + sum.ln()
    };
    let (p, q) = (log_sum(original), log_sum(quantized));
    let sum: f64 = original
        .iter()
        .zip(quantized)
        .map(|(&x, &y)| {
            let (x, y) = (f64::from(x) - p, f64::from(y) - q);
            x.exp() * (x - y)
        })
        .sum();
    sum.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: f64, b: f64, by: f64) {
        assert!((a - b).abs() < by, "{a} is not {b}");
    }

    /// Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3.
    #[test]
    fn wilson_as_published() {
        for (hits, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let interval = Proportion { hits, of }.interval();
            near(interval.low, low, 6e-5);
            near(interval.high, high, 6e-5);
        }
        assert_eq!(Proportion { hits: 7, of: 7 }.interval().high, 1.0);
        assert_eq!(Proportion::default().interval(), Interval { low: 0.0, high: 1.0 });
    }

    /// Tango 1998, the cross-over trial of contact lenses: one lost of 44; and by brute force, the most likely shares of
    /// losses and gains under each supposed drop searched on a grid instead of solved for.
    #[test]
    fn tango_against_brute_force() {
        for (images, lost, gained) in
            [(44, 1, 0), (50, 12, 2), (160, 40, 20), (2000, 5, 2), (300, 0, 0), (10, 0, 10)]
        {
            let paired = Paired { images, lost, gained };
            let interval = paired.drop_interval();
            assert!(interval.contains(paired.drop()));
            for (end, side) in [(interval.low, 1.0), (interval.high, -1.0)] {
                let inside = brute_score(&paired, end + side * 2e-4);
                let outside = brute_score(&paired, end - side * 2e-4);
                assert!(inside.abs() < Z, "{paired:?}: {inside} inside of {end}");
                assert!(outside.abs() > Z || outside.is_nan(), "{paired:?}: {outside} outside of {end}");
            }
        }
    }

    /// The score with its nuisance parameter, the share of gains, maximised over a fine grid.
    fn brute_score(paired: &Paired, supposed: f64) -> f64 {
        let (n, lost, gained) = (paired.images as f64, paired.lost as f64, paired.gained as f64);
        let likelihood = |gains: f64| {
            let term = |count: f64, p: f64| if count == 0.0 { 0.0 } else { count * p.ln() };
            term(lost, gains + supposed)
                + term(gained, gains)
                + term(n - lost - gained, 1.0 - 2.0 * gains - supposed)
        };
        let (least, most) = ((-supposed).max(0.0), (1.0 - supposed) / 2.0);
        let steps = 400_000;
        let at = |i: usize| least + (most - least) * i as f64 / f64::from(steps);
        let best = (0..=steps as usize).map(at).max_by(|a, b| {
            let value = |x: f64| Some(likelihood(x)).filter(|v| !v.is_nan()).unwrap_or(f64::NEG_INFINITY);
            value(*a).total_cmp(&value(*b))
        });
        let gains = best.expect("a grid");
        (lost - gained - n * supposed) / (n * (2.0 * gains + supposed * (1.0 - supposed))).sqrt()
    }

    #[test]
    fn no_flips_are_no_proof() {
        let interval = Paired { images: 2000, lost: 0, gained: 0 }.drop_interval();
        // z² / (n + z²) on either side.
        near(interval.high, Z * Z / (2000.0 + Z * Z), 1e-9);
        near(interval.low, -interval.high, 1e-9);
        assert_eq!(Paired::default().drop_interval(), Interval { low: -1.0, high: 1.0 });
    }

    /// With many flips the interval is the normal approximation's.
    #[test]
    fn many_flips_are_wald() {
        let paired = Paired { images: 50_000, lost: 900, gained: 800 };
        let (n, d) = (50_000.0, paired.drop());
        let half = Z * ((1700.0 - n * d * d) / (n * n)).sqrt();
        near(paired.drop_interval().low, d - half, 1e-5);
        near(paired.drop_interval().high, d + half, 1e-5);
    }

    #[test]
    fn mcnemar_is_the_binomial_tail() {
        let p = |lost, gained| Paired { images: 10_000, lost, gained }.mcnemar_p();
        assert_eq!(p(0, 0), 1.0);
        near(p(3, 3), 1.0, 1e-12);
        // 2 · (1 + 6) / 2⁶.
        near(p(1, 5), 14.0 / 64.0, 1e-12);
        near(p(0, 10), 2.0 / 1024.0, 1e-12);
        assert_eq!(p(5, 1), p(1, 5));
        assert!((0.0..1e-9).contains(&p(0, 400)));
        assert!(p(2000, 2001) > 0.98, "no underflow");
        assert!(p(0, 9000) > 0.0, "no certainty");
    }

    #[test]
    fn divergence_of_known_distributions() {
        let logits = |p: &[f64]| p.iter().map(|p| p.ln() as f32 + 3.0).collect::<Vec<f32>>();
        // ½ ln(½ / ¼) + ½ ln(½ / ¾).
        let expected = 0.5 * 2f64.ln() + 0.5 * (2.0f64 / 3.0).ln();
        near(kl_divergence(&logits(&[0.5, 0.5]), &logits(&[0.25, 0.75])), expected, 1e-6);
        // Wikipedia's example, binomial against uniform.
        near(kl_divergence(&logits(&[0.36, 0.48, 0.16]), &logits(&[1.0 / 3.0; 3])), 0.085_299_6, 1e-6);
        assert_eq!(kl_divergence(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert!(kl_divergence(&[1000.0, -1000.0], &[900.0, -1000.0]).is_finite(), "no overflow");
    }

    proptest! {
        #[test]
        fn intervals_are_sound(images in 1usize..3000, a in 0.0..1.0, b in 0.0..1.0) {
            let lost = (images as f64 * a) as usize;
            let gained = ((images - lost) as f64 * b) as usize;
            let paired = Paired { images, lost, gained };
            let (interval, swapped) = (paired.drop_interval(), Paired { lost: gained, gained: lost, images });
            prop_assert!(-1.0 <= interval.low && interval.low <= paired.drop() + 1e-12);
            prop_assert!(paired.drop() - 1e-12 <= interval.high && interval.high <= 1.0);
            prop_assert!((interval.low + swapped.drop_interval().high).abs() < 1e-6, "symmetric");
            let p = Proportion { hits: lost, of: images };
            prop_assert!(p.interval().contains(p.share()));
        }

        #[test]
        fn divergence_is_never_negative(x in prop::collection::vec(-50f32..50.0, 1..20), by in -3f32..3.0) {
            let y: Vec<f32> = x.iter().enumerate().map(|(i, v)| v + by * (i % 3) as f32).collect();
            prop_assert!(kl_divergence(&x, &y) >= 0.0);
        }
    }
}
