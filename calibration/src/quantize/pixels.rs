//! The first convolution, which reads pixels where the fp32 network reads normalised values.

use crate::network::Conv;
use resnext::preprocess::Preprocessing;

/// Returns `conv` with weights and biases for pixels 0..255 in place of the normalised values `(p / 255 − mean) / std`.
pub(super) fn fold_normalization(conv: &Conv, preprocessing: &Preprocessing) -> Conv {
    let mut weight = conv.weight.read();
    let taps = conv.window.kernel * conv.window.kernel;
    let mut bias: Vec<f64> =
        (0..conv.out_channels).map(|o| conv.bias.get(o).copied().unwrap_or(0.0).into()).collect();
    for (index, weight) in weight.iter_mut().enumerate() {
        let (out, channel) = (index / (conv.in_channels * taps), index / taps % conv.in_channels);
        let (mean, std) = (f64::from(preprocessing.mean[channel]), f64::from(preprocessing.std[channel]));
        bias[out] -= f64::from(*weight) * mean / std;
        *weight = (f64::from(*weight) / (255.0 * std)) as f32;
    }
    Conv {
        weight: weight.into(),
        bias: bias.into_iter().map(|b| b as f32).collect(),
        batch_norm: conv.batch_norm.clone(),
        statistics: None,
        ..*conv
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocessing::normalize;
    use crate::quantize::convolution::tests::pointwise;

    #[test]
    fn pixels_replace_normalised_values() {
        let preprocessing = Preprocessing::imagenet(4, 4);
        let mut conv = pointwise(vec![0.5, -1.0, 2.0], vec![0.25], false);
        conv.in_channels = 3;
        let folded = fold_normalization(&conv, &preprocessing);
        let pixel = [10u8, 200, 77];
        let value = |conv: &Conv, x: [f32; 3]| {
            conv.bias[0] + conv.weight.read().iter().zip(x).map(|(w, x)| w * x).sum::<f32>()
        };
        let normalised: Vec<f32> = normalize(&preprocessing, &pixel);
        let expected = value(&conv, [normalised[0], normalised[1], normalised[2]]);
        assert!((value(&folded, pixel.map(f32::from)) - expected).abs() < 1e-4);
    }
}
