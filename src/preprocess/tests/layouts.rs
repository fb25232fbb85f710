//! Camera layouts against the naive way: convert the whole frame to RGB, then resample.

use super::naive::{naive, stays_small};
use super::*;

const YUV: [Yuv; 4] = {
    use {YuvMatrix::*, YuvRange::*};
    [
        Yuv { matrix: Bt601, range: Limited },
        Yuv { matrix: Bt601, range: Full },
        Yuv { matrix: Bt709, range: Limited },
        Yuv { matrix: Bt709, range: Full },
    ]
};

const ORDERS: [(Packed, &str); 6] = [
    (Packed::Rgb, "rgb"),
    (Packed::Bgr, "bgr"),
    (Packed::Rgbx, "rgbx"),
    (Packed::Bgrx, "bgrx"),
    (Packed::Xrgb, "xrgb"),
    (Packed::Xbgr, "xbgr"),
];

/// Bytes of a plane: a multiple of what it needs at least, and not a byte more after the last row.
struct Bytes {
    data: Vec<u8>,
    stride: usize,
}

impl Bytes {
    fn random(dice: &mut Dice, row: usize, rows: usize) -> Self {
        let stride = row + dice.pick(&[0, 1, 13, 64]);
        let len = stride * (rows - 1) + row;
        Self { data: (0..len).map(|_| dice.roll(0, 255) as u8).collect(), stride }
    }

    fn plane(&self) -> Plane<'_> {
        Plane::new(&self.data, self.stride)
    }

    fn at(&self, x: usize, y: usize) -> u8 {
        self.data[y * self.stride + x]
    }
}

fn picture(width: u32, height: u32, pixel: impl Fn(usize, usize) -> [u8; 3]) -> Vec<Vec<[u8; 3]>> {
    (0..height as usize).map(|y| (0..width as usize).map(|x| pixel(x, y)).collect()).collect()
}

/// One frame of random size and contents in each layout, with what it shows.
fn frames(dice: &mut Dice, largest: u32, mut check: impl FnMut(&Frame<'_>, Vec<Vec<[u8; 3]>>)) {
    let (width, height) = (dice.roll(1, largest), dice.roll(1, largest));
    let (w, h) = (width as usize, height as usize);
    let (half_w, half_h) = (w.div_ceil(2), h.div_ceil(2));
    let yuv = dice.pick(&YUV);
    let rgb = |y, u, v| yuv.factors().rgb(y, yuv.factors().chroma(u, v));

    for (order, name) in ORDERS {
        let bytes = Bytes::random(dice, w * name.len(), h);
        let frame = Frame::packed(order, bytes.plane(), width, height).unwrap();
        let sample = |x: usize, y, channel| bytes.at(x * name.len() + name.find(channel).unwrap(), y);
        check(&frame, picture(width, height, |x, y| ['r', 'g', 'b'].map(|channel| sample(x, y, channel))));
    }

    let bytes = Bytes::random(dice, half_w * 4, h);
    let frame = Frame::yuyv(bytes.plane(), width, height, yuv).unwrap();
    let at = |x, y, offset| bytes.at(x / 2 * 4 + offset, y);
    check(&frame, picture(width, height, |x, y| rgb(bytes.at(2 * x, y), at(x, y, 1), at(x, y, 3))));

    let luma = Bytes::random(dice, w, h);
    let chroma = Bytes::random(dice, half_w * 2, half_h);
    let at = |x, y, offset| chroma.at(x / 2 * 2 + offset, y / 2);
    let frame = Frame::nv12(luma.plane(), chroma.plane(), width, height, yuv).unwrap();
    check(&frame, picture(width, height, |x, y| rgb(luma.at(x, y), at(x, y, 0), at(x, y, 1))));
    let frame = Frame::nv21(luma.plane(), chroma.plane(), width, height, yuv).unwrap();
    check(&frame, picture(width, height, |x, y| rgb(luma.at(x, y), at(x, y, 1), at(x, y, 0))));

    let [u, v] = [0, 1].map(|_| Bytes::random(dice, half_w, half_h));
    let frame = Frame::i420([luma.plane(), u.plane(), v.plane()], width, height, yuv).unwrap();
    let at = |plane: &Bytes, x, y| plane.at(x / 2, y / 2);
    check(&frame, picture(width, height, |x, y| rgb(luma.at(x, y), at(&u, x, y), at(&v, x, y))));

    let [u, v] = [0, 1].map(|_| Bytes::random(dice, half_w, h));
    let frame = Frame::i422([luma.plane(), u.plane(), v.plane()], width, height, yuv).unwrap();
    check(&frame, picture(width, height, |x, y| rgb(luma.at(x, y), u.at(x / 2, y), v.at(x / 2, y))));

    let [u, v] = [0, 1].map(|_| Bytes::random(dice, w, h));
    let frame = Frame::i444([luma.plane(), u.plane(), v.plane()], width, height, yuv).unwrap();
    check(&frame, picture(width, height, |x, y| rgb(luma.at(x, y), u.at(x, y), v.at(x, y))));

    let frame = Frame::grey(luma.plane(), width, height, yuv.range).unwrap();
    check(&frame, picture(width, height, |x, y| rgb(luma.at(x, y), 128, 128)));
}

#[test]
fn every_layout_equals_converting_first() {
    let mut dice = Dice(2);
    let mut seen = 0;
    for round in 0..150 {
        let preprocessing = dice.preprocessing([20, 60, 90][round % 3]);
        frames(&mut dice, [9, 50, 120][round % 3], |frame, picture| {
            if stays_small(&preprocessing, frame.width(), frame.height()) {
                assert!(
                    run(&preprocessing, frame) == naive(&preprocessing, &picture),
                    "{frame:?} {preprocessing:?}"
                );
                seen += 1;
            }
        });
    }
    assert!(seen > 1000, "{seen}");
}

/// A frame that is neither resized nor cropped comes out as it is: all widths, so that vectors end everywhere.
#[test]
fn conversion_alone() {
    let mut dice = Dice(3);
    for _ in 0..300 {
        frames(&mut dice, 70, |frame, picture| {
            let preprocessing = Preprocessing {
                short_side: frame.width().min(frame.height()),
                crop_height: frame.height(),
                crop_width: frame.width(),
                ..IMAGENET
            };
            assert!(run(&preprocessing, frame) == picture.concat().concat(), "{frame:?}");
        });
    }
}

/// Every luma with every pair of chroma samples from a grid, the extremes included, in vectors and without.
#[test]
fn vectors_convert_every_level() {
    let grid: Vec<u8> = (0..=255).step_by(15).collect();
    for yuv in YUV {
        for (&u, &v) in grid.iter().flat_map(|u| grid.iter().map(move |v| (u, v))) {
            let luma: Vec<u8> = (0..=255).collect();
            let chroma = [u, v].repeat(128);
            let frame = Frame::nv12(Plane::new(&luma, 256), Plane::new(&chroma, 256), 256, 1, yuv).unwrap();
            let preprocessing = Preprocessing { short_side: 1, crop_height: 1, crop_width: 256, ..IMAGENET };
            let expected: Vec<u8> =
                (0..=255).flat_map(|y| yuv.factors().rgb(y, yuv.factors().chroma(u, v))).collect();
            assert!(run(&preprocessing, &frame) == expected, "{yuv:?} {u} {v}");
        }
    }
}

#[test]
fn every_plane_is_checked() {
    let yuv = YUV[0];
    let plane = |len: usize, stride| Plane { data: &[0; 64][..len], stride };
    let short = |plane, need, got| Err(FrameError::Short { plane, need, got });
    let stride = |plane, need, got| Err(FrameError::Stride { plane, need, got });
    let result = |frame: Result<Frame<'_>, FrameError>| frame.map(|frame| (frame.width(), frame.height()));

    let packed = |order, plane| result(Frame::packed(order, plane, 3, 2));
    assert_eq!(packed(Packed::Bgr, plane(18, 9)), Ok((3, 2)));
    assert_eq!(packed(Packed::Bgrx, plane(18, 9)), stride(0, 12, 9));
    assert_eq!(packed(Packed::Xrgb, plane(23, 12)), short(0, 24, 23));

    // Three pixels are two pairs.
    assert_eq!(result(Frame::yuyv(plane(16, 8), 3, 2, yuv)), Ok((3, 2)));
    assert_eq!(result(Frame::yuyv(plane(16, 7), 3, 2, yuv)), stride(0, 8, 7));
    assert_eq!(result(Frame::yuyv(plane(15, 8), 3, 2, yuv)), short(0, 16, 15));

    // 5×3 has chroma of 3×2.
    for semi_planar in [Frame::nv12, Frame::nv21] {
        let semi_planar = |luma, chroma| result(semi_planar(luma, chroma, 5, 3, yuv));
        assert_eq!(semi_planar(plane(15, 5), plane(12, 6)), Ok((5, 3)));
        assert_eq!(semi_planar(plane(14, 5), plane(12, 6)), short(0, 15, 14));
        assert_eq!(semi_planar(plane(15, 5), plane(12, 5)), stride(1, 6, 5));
        assert_eq!(semi_planar(plane(15, 5), plane(11, 6)), short(1, 12, 11));
    }
    let planar = |y, u, v| result(Frame::i420([y, u, v], 5, 3, yuv));
    assert_eq!(planar(plane(15, 5), plane(6, 3), plane(7, 4)), Ok((5, 3)));
    assert_eq!(planar(plane(15, 5), plane(5, 3), plane(7, 4)), short(1, 6, 5));
    assert_eq!(planar(plane(15, 5), plane(6, 3), plane(7, 2)), stride(2, 3, 2));
    let half = Frame::i422([plane(15, 5), plane(9, 3), plane(8, 3)], 5, 3, yuv);
    assert_eq!(result(half), short(2, 9, 8));
    let full = Frame::i444([plane(15, 5), plane(15, 5), plane(12, 4)], 5, 3, yuv);
    assert_eq!(result(full), stride(2, 5, 4));
    assert_eq!(result(Frame::grey(plane(14, 5), 5, 3, YuvRange::Full)), short(0, 15, 14));
    let endless = planar(plane(15, 5), plane(6, 3), plane(7, usize::MAX));
    assert_eq!(endless, short(2, usize::MAX, 7));
    assert_eq!(
        result(Frame::nv12(plane(0, 0), plane(0, 0), 0, 3, yuv)),
        Err(FrameError::Side { width: 0, height: 3 })
    );
}
