//! From planes of samples to rows of pixels, as libjpeg-turbo interpolates ("fancy upsampling").

use super::color::ColorSpace;
use super::frame::{Component, Frame};

/// Returns the pixels of a picture, `[height][width][3]`.
pub(super) fn rows(frame: &Frame, color: ColorSpace) -> Vec<u8> {
    let mut pixels = vec![0; frame.width * frame.height * 3];
    let mut buffers = [const { Vec::new() }; 4];
    for (y, out) in pixels.chunks_exact_mut(frame.width * 3).enumerate() {
        let mut planes: [&[u8]; 4] = [&[]; 4];
        for ((plane, buffer), component) in planes.iter_mut().zip(&mut buffers).zip(&frame.components) {
            *plane = row(component, y, buffer);
        }
        color.convert(planes, out);
    }
    pixels
}

/// Returns row `y` of a component, with at least as many samples as the picture has pixels.
fn row<'a>(component: &'a Component, y: usize, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    let [across, down] = component.expand;
    let near = component.row(y / down);
    // The other row that lies next to the pixels, in planes of half the height.
    let far = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 };
    buffer.resize(near.len() * across, 0);
    // libjpeg does not interpolate in rows of one or two samples.
    let wide = near.len() > 2;
    match (across, down) {
        (1, 2) => between_rows(near, component.row(far), y.is_multiple_of(2), buffer),
        (2, 1) if wide => interpolate(near.len(), |i| u16::from(near[i]), [1, 2], 2, buffer),
        (2, 2) if wide => {
            let far = component.row(far);
            interpolate(near.len(), |i| 3 * u16::from(near[i]) + u16::from(far[i]), [8, 7], 4, buffer);
        }
        (1, _) => return near,
        _ => {
            for (out, &sample) in buffer.chunks_exact_mut(across).zip(near) {
                out.fill(sample);
            }
        }
    }
    buffer
}

/// Interpolates between two rows, three quarters of the near one. libjpeg rounds the upper of two rows down, and the lower up.
fn between_rows(near: &[u8], far: &[u8], upper: bool, out: &mut [u8]) {
    let round = if upper { 1 } else { 2 };
    for ((out, &near), &far) in out.iter_mut().zip(near).zip(far) {
        *out = ((3 * u16::from(near) + u16::from(far) + round) >> 2) as u8;
    }
}

/// Interpolates between the `len` values of a row, three quarters of the nearer one. Values and sums are divided by `1 << bits`.
/// `round` is added to the left and the right of the two pixels of a value. Beyond the edges, the row continues as it ends.
#[inline(always)]
fn interpolate(len: usize, value: impl Fn(usize) -> u16, round: [u16; 2], bits: u32, out: &mut [u8]) {
    let mut last = value(0);
    let mut this = last;
    for (i, out) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let next = value((i + 1).min(len - 1));
        out[0] = ((3 * this + last + round[0]) >> bits) as u8;
        out[1] = ((3 * this + next + round[1]) >> bits) as u8;
        (last, this) = (this, next);
    }
}
