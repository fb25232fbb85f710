//! The normalisation that a file does itself.

/// What a file does with its image before the first convolution: y = factor · x + shift for each RGB channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// The factors, of pixels as the file reads them.
    pub factors: [f32; 3],
    /// The shifts.
    pub shifts: [f32; 3],
    /// The mean that this subtracts, of pixels in 0..1.
    pub mean: [f32; 3],
    /// The standard deviation that this divides by, of pixels in 0..1.
    pub std: [f32; 3],
}
