//! Rounding the weights of a layer together instead of one by one.
//!
//! What matters is not how far each weight moves but how far the output of the layer moves: `δᵀ H δ` for the moves `δ` of one
//! row, where `H` is the covariance of the layer's inputs. With `H = L D Lᵀ` that is a sum of squares, in which each weight
//! meets only the weights that were rounded before it. So every weight is rounded to cancel the error that the earlier ones
//! have left (nearest plane: L. Babai, 1986; as OBQ and GPTQ: E. Frantar et al., 2022). The inputs of a convolution are so
//! strongly correlated that most of the error cancels. Coordinate descent afterwards gains nothing (`docs/src/measurements/calibration.md`).

/// A covariance, factored for rounding.
#[derive(Clone, Debug)]
pub(crate) struct Factored {
    /// The input that is rounded in each turn.
    order: Vec<usize>,
    /// Row `i` holds the factors of the earlier turns in the sum of squares of turn `i`.
    lower: Vec<f64>,
}

impl Factored {
    /// Factors `covariance`, `n × n`, symmetric and positive semidefinite. The correlations are first reduced by the share
    /// `shrinkage` (above 0, at most 1), because those that a few samples show may be chance.
    ///
    /// # Panics
    ///
    /// If `covariance` does not have `n × n` elements.
    pub(crate) fn new(covariance: &[f64], n: usize, shrinkage: f64) -> Self {
        assert_eq!(covariance.len(), n * n);
        let mean = (0..n).map(|i| covariance[i * n + i]).sum::<f64>() / n.max(1) as f64;
        // The input with the largest variance comes first, while many others are left to make up for its error.
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| covariance[b * n + b].total_cmp(&covariance[a * n + a]).then(a.cmp(&b)));
        // H = U D Uᵀ, with U unit upper triangular, from the last row up. In reverse order that is plain LDLᵀ. It works in place,
        // because such matrices, some for each thread, are most of the memory of calibration.
        let mut lower = vec![0.0; n * n];
        for (i, row) in lower.chunks_exact_mut(n.max(1)).enumerate() {
            let from = order[n - 1 - i];
            for (j, value) in row.iter_mut().enumerate() {
                let to = order[n - 1 - j];
                *value = covariance[from * n + to] * if i == j { 1.0 } else { 1.0 - shrinkage };
            }
            // Inputs without variance get a little, so that their weights are rounded to nearest rather than anywhere.
            row[i] += 1e-4 * mean + f64::MIN_POSITIVE;
        }
        let mut diagonal = vec![0.0; n];
        for i in 0..n {
            let (above, row) = lower.split_at_mut(i * n);
            for j in 0..i {
                let of_j = &above[j * n..j * n + j];
                let dot: f64 = row[..j].iter().zip(of_j).zip(&diagonal).map(|((a, b), d)| a * b * d).sum();
                row[j] = (row[j] - dot) / diagonal[j];
            }
            let dot: f64 = row[..i].iter().zip(&row[..i]).zip(&diagonal).map(|((a, b), d)| a * b * d).sum();
            diagonal[i] = (row[i] - dot).max(f64::MIN_POSITIVE);
        }
        // L reversed is U: U[a][b] = L[n−1−a][n−1−b] for a < b, and (Uᵀδ)_b = δ_b + Σ_{a<b} U[a][b] δ_a. So row b needs
        // L[n−1−a][n−1−b] at a: each element changes places with its mirror image.
        for b in 0..n {
            for a in 0..b.min(n - 1 - b) {
                lower.swap(b * n + a, (n - 1 - a) * n + (n - 1 - b));
            }
        }
        Self { order, lower }
    }

    /// Rounds `row` to multiples of `scale` from −127 to 127.
    pub(crate) fn round(&self, row: &[f32], scale: f64, rounded: &mut [i8]) {
        let n = self.order.len();
        let mut moved = vec![0.0; n];
        for (turn, &input) in self.order.iter().enumerate() {
            let owed: f64 =
                self.lower[turn * n..turn * n + turn].iter().zip(&moved).map(|(l, moved)| l * moved).sum();
            let exact = f64::from(row[input]) / scale;
            let q = (exact - owed).round().clamp(-127.0, 127.0);
            moved[turn] = q - exact;
            rounded[input] = q as i8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnext_testing::Random;

    /// Returns `δᵀ H δ` in steps.
    fn error(covariance: &[f64], row: &[f32], rounded: &[i8]) -> f64 {
        let n = row.len();
        let moved: Vec<f64> = row.iter().zip(rounded).map(|(&w, &q)| f64::from(q) - f64::from(w)).collect();
        (0..n * n).map(|i| moved[i / n] * covariance[i] * moved[i % n]).sum()
    }

    /// Returns the least error of all roundings up or down.
    fn brute_force(covariance: &[f64], row: &[f32]) -> f64 {
        let choices = (0..1 << row.len()).map(|mask: usize| {
            let q = |(i, w): (usize, &f32)| w.floor() as i8 + (mask >> i & 1) as i8;
            error(covariance, row, &row.iter().enumerate().map(q).collect::<Vec<_>>())
        });
        choices.fold(f64::INFINITY, f64::min)
    }

    /// On strongly correlated inputs, rounding together leaves a small part of the error of rounding to nearest, on average
    /// not much above the least possible.
    #[test]
    fn near_the_best() {
        let covariance: Vec<f64> = (0..36).map(|i: i32| 0.95f64.powi((i / 6 - i % 6).abs())).collect();
        let factored = Factored::new(&covariance, 6, 1e-6);
        // A mean over few rows may be far from that of all, so there are many, and always the same.
        for seed in 0..8 {
            let mut random = Random(seed);
            let (mut together, mut nearest, mut best) = (0.0, 0.0, 0.0);
            for _ in 0..500 {
                let row: [f32; 6] = std::array::from_fn(|_| random.below(40_001) as f32 / 1000.0 - 20.0);
                let mut rounded = [0; 6];
                factored.round(&row, 1.0, &mut rounded);
                together += error(&covariance, &row, &rounded);
                let plain = row.map(|w| w.round() as i8);
                nearest += error(&covariance, &row, &plain);
                best += brute_force(&covariance, &row);
            }
            assert!(together < 0.5 * nearest, "{best} {together} {nearest}");
            assert!(best <= together && together < 1.4 * best, "{together} {best}");
        }
    }

    /// Independent inputs leave nothing to cancel.
    #[test]
    fn independent_inputs_round_to_nearest() {
        let covariance = [4.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let mut rounded = [0; 3];
        Factored::new(&covariance, 3, 0.1).round(&[0.26, -300.0, 1.4], 0.5, &mut rounded);
        assert_eq!(rounded, [1, -127, 3]);
    }
}
