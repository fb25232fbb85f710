//! The quantization that a file brings along.

use resnext::preprocess::Preprocessing;

use super::Activation;

/// The scales of a file that quantizes its network.
#[derive(Clone, Debug)]
pub struct Prequantized {
    /// The quantization of each value; `None` where the file leaves it open.
    pub activations: Vec<Option<Activation>>,
    /// How the first convolution reads pixels, if it does.
    pub pixels: Option<Pixels>,
}

/// The way back from the normalised image, which the network reads, to pixels 0..255.
#[derive(Clone, Debug)]
pub struct Pixels {
    /// Mean of each RGB channel, of pixels in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each RGB channel, of pixels in 0..1.
    pub std: [f32; 3],
    /// Steps of the first convolution's weights for pixels, one for each output channel.
    pub steps: Option<Vec<f64>>,
}

impl Pixels {
    /// Whether this is the normalisation of `preprocessing`, apart from rounding.
    pub fn agrees(&self, preprocessing: &Preprocessing) -> bool {
        let close = |ours: [f32; 3], theirs: [f32; 3]| {
            ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs())
        };
        close(self.mean, preprocessing.mean) && close(self.std, preprocessing.std)
    }
}

impl Prequantized {
    /// Returns the steps of the first convolution's weights, if images are normalised as `preprocessing` says.
    pub(crate) fn pixel_steps(&self, preprocessing: &Preprocessing) -> Option<&[f64]> {
        self.pixels.as_ref().filter(|pixels| pixels.agrees(preprocessing))?.steps.as_deref()
    }
}
