//! Rounding the weights of a layer together instead of one by one.
//!
//! What matters is not how far each weight moves but how far the layer's output does: `δᵀ H δ` for the moves `δ` of one
//! row, where `H` is the covariance of the layer's inputs. With `H = L D Lᵀ` that is a sum of squares, in which each
//! weight meets only those rounded before it; so every weight is rounded to cancel what the earlier ones have left
//! (nearest plane: L. Babai, 1986; as OBQ and GPTQ: E. Frantar et al., 2022). Inputs of a convolution are so strongly
//! correlated that most of the error cancels. Coordinate descent then takes single steps as long as one helps.

/// Sweeps of the coordinate descent.
const SWEEPS: usize = 8;

/// A covariance, factored for rounding.
#[derive(Clone, Debug)]
pub struct Factored {
    /// Input that is rounded in each turn.
    order: Vec<usize>,
    /// Covariance in that order, row-major.
    covariance: Vec<f64>,
    /// Row `i` has the weights of turns before `i` in the sum of squares of `i`.
    lower: Vec<f64>,
}

impl Factored {
    /// Factors `covariance`, `n × n`, symmetric and positive semidefinite, of which `shrinkage` (above 0, at most 1) is
    /// taken from the correlations: those that few samples show may not be there on the next.
    ///
    /// # Panics
    ///
    /// If `covariance` does not have `n × n` elements.
    pub fn new(covariance: &[f64], n: usize, shrinkage: f64) -> Self {
        assert_eq!(covariance.len(), n * n);
        let mean = (0..n).map(|i| covariance[i * n + i]).sum::<f64>() / n.max(1) as f64;
        // The loudest first, as long as there are others left to make up for it.
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| covariance[b * n + b].total_cmp(&covariance[a * n + a]).then(a.cmp(&b)));
        let mut permuted = vec![0.0; n * n];
        for (row, &i) in permuted.chunks_exact_mut(n.max(1)).zip(&order) {
            for (value, &j) in row.iter_mut().zip(&order) {
                *value = covariance[i * n + j] * if i == j { 1.0 } else { 1.0 - shrinkage };
            }
        }
        // Silent inputs get a little power, so that they are rounded to nearest rather than anywhere.
        (0..n).for_each(|i| permuted[i * n + i] += 1e-4 * mean + f64::MIN_POSITIVE);
        // H = U D Uᵀ, U unit upper triangular, from the last row up; only Uᵀ is needed, kept as the lower rows.
        let mut lower = vec![0.0; n * n];
        let mut diagonal = vec![0.0; n];
        let mut scaled = vec![0.0; n];
        // Column k of U depends on columns after it. Work on the reversed matrix, whose factor is plain LDLᵀ.
        let mut factor = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let (a, b) = (&factor[i * n..i * n + j], &factor[j * n..j * n + j]);
                let dot: f64 = a.iter().zip(b).zip(&diagonal).map(|((a, b), d)| a * b * d).sum();
                let value = permuted[(n - 1 - i) * n + (n - 1 - j)] - dot;
                if i == j {
                    diagonal[i] = value.max(f64::MIN_POSITIVE);
                } else {
                    factor[i * n + j] = value / diagonal[j];
                }
            }
            let _ = &mut scaled;
        }
        // Reversed L is U: U[a][b] = L[n−1−a][n−1−b] for a < b, and (Uᵀδ)_b = δ_b + Σ_{a<b} U[a][b] δ_a.
        for b in 0..n {
            for a in 0..b {
                lower[b * n + a] = factor[(n - 1 - a) * n + (n - 1 - b)];
            }
        }
        Self { order, covariance: permuted, lower }
    }

    /// Rounds `row` to multiples of `scale` from −127 to 127.
    pub fn round(&self, row: &[f32], scale: f64, descend: bool, rounded: &mut [i8]) {
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
        if descend {
            self.descend(&mut moved, rounded);
        }
    }

    /// Takes single steps until none lessens the error.
    fn descend(&self, moved: &mut [f64], rounded: &mut [i8]) {
        let n = self.order.len();
        let row = |i: usize| &self.covariance[i * n..(i + 1) * n];
        // Half the gradient.
        let mut slope: Vec<f64> =
            (0..n).map(|i| row(i).iter().zip(&*moved).map(|(h, moved)| h * moved).sum()).collect();
        for _ in 0..SWEEPS {
            let mut changed = false;
            for i in 0..n {
                let step = -(slope[i] / row(i)[i]).round();
                let q = f64::from(rounded[self.order[i]]);
                let step = (q + step).clamp(-127.0, 127.0) - q;
                // Strictly better, by more than rounding of the sums could feign.
                if step != 0.0 && 2.0 * step * slope[i] + step * step * row(i)[i] < -1e-9 * row(i)[i] {
                    moved[i] += step;
                    rounded[self.order[i]] = (q + step) as i8;
                    slope.iter_mut().zip(row(i)).for_each(|(slope, h)| *slope += step * h);
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
    }
}
