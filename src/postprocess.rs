//! Turns logits into the most probable classes.

/// One class and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Prediction {
    /// Index of the class.
    pub class: usize,
    /// Logit.
    pub logit: f32,
    /// Softmax probability, 0..1.
    pub probability: f32,
}

/// Replaces logits by probabilities that sum to 1.
///
/// The exponential is that of `libm`, so every CPU gives the same bits.
pub fn softmax(logits: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for logit in &mut *logits {
        *logit = libm::expf(*logit - max);
        sum += *logit;
    }
    logits.iter_mut().for_each(|p| *p /= sum);
}

/// Returns the `K` most probable classes, the most probable first. Classes with equal logits stay in their order.
///
/// Fewer are returned if there are fewer logits.
pub fn top_k<const K: usize>(logits: &[f32]) -> heapless::Vec<Prediction, K> {
    let mut predictions = heapless::Vec::<Prediction, K>::new();
    for (class, &logit) in logits.iter().enumerate() {
        let place =
            predictions.iter().position(|prediction| logit > prediction.logit).unwrap_or(predictions.len());
        if place < K {
            if predictions.is_full() {
                predictions.pop();
            }
            // There is room: a full list has just lost its last entry.
            let _ = predictions.insert(place, Prediction { class, logit, probability: 0.0 });
        }
    }
    if let Some(max) = predictions.first().map(|prediction| prediction.logit) {
        let sum: f32 = logits.iter().map(|logit| libm::expf(logit - max)).sum();
        predictions
            .iter_mut()
            .for_each(|prediction| prediction.probability = libm::expf(prediction.logit - max) / sum);
    }
    predictions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_k_is_sorted_and_stable() {
        let logits = [0.0, 3.0, 1.0, 3.0, 2.0];
        let predictions = top_k::<4>(&logits);
        assert_eq!(predictions.iter().map(|h| h.class).collect::<std::vec::Vec<_>>(), [1, 3, 4, 2]);
        let mut all = logits;
        softmax(&mut all);
        assert!((all.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        for prediction in &predictions {
            assert!((prediction.probability - all[prediction.class]).abs() < 1e-6);
        }
    }

    #[test]
    fn fewer_classes_than_k_and_none() {
        assert_eq!(top_k::<5>(&[1.0, 2.0]).len(), 2);
        assert!(top_k::<5>(&[]).is_empty());
        assert!(top_k::<0>(&[1.0]).is_empty());
    }
}
