//! From camera frame to input tensor: layouts, sizes and filters, resized to 256 and cropped to 224 as for most of the zoo.
//!
//! ```text
//! cargo bench -p resnext --bench preprocess                all of it
//! cargo bench -p resnext --bench preprocess -- nv12        some of it
//! … --bench preprocess -- --frames 2 nv12-1280x720-pillow-bilinear
//! ```
//!
//! `--frames` prepares so many frames of one case and reports nothing, for tools that count instructions: see
//! `benches/cycles.py`.

use criterion::{BenchmarkId, Criterion, Throughput};
use resnext::Frame;
use resnext::preprocess::{Interpolation, Packed, Plane, Preprocessing, Yuv, YuvMatrix, YuvRange};
use std::hint::black_box;

const LAYOUTS: [&str; 6] = ["rgb", "bgrx", "yuyv", "nv12", "nv21", "i420"];
const INTERPOLATIONS: [(&str, Interpolation); 3] = [
    ("pillow-bilinear", Interpolation::PillowBilinear),
    ("pillow-bicubic", Interpolation::PillowBicubic),
    ("opencv-bilinear", Interpolation::OpenCvBilinear),
];
const SIZES: [(u32, u32); 3] = [(640, 480), (1280, 720), (1920, 1080)];

/// Every layout at 1280×720, and NV12 at every size, with every filter.
fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for (width, height) in SIZES {
        for layout in LAYOUTS {
            for (name, interpolation) in INTERPOLATIONS {
                if layout == "nv12" || (width == 1280 && interpolation == Interpolation::PillowBilinear) {
                    cases.push(Case::new(layout, width, height, name, interpolation));
                }
            }
        }
    }
    cases
}

struct Case {
    name: String,
    layout: &'static str,
    width: u32,
    height: u32,
    preprocessing: Preprocessing,
    /// Enough for any layout.
    data: Vec<u8>,
}

impl Case {
    fn new(layout: &'static str, width: u32, height: u32, name: &str, interpolation: Interpolation) -> Self {
        let preprocessing = Preprocessing { interpolation, ..Preprocessing::imagenet(224, 256) };
        let data = (0..width * height * 4).map(|i| (i * 31 % 253) as u8).collect();
        Self { name: format!("{layout}-{width}x{height}-{name}"), layout, width, height, preprocessing, data }
    }

    fn frame(&self) -> Frame<'_> {
        let (width, height) = (self.width, self.height);
        let (row, pixels) = (width as usize, width as usize * height as usize);
        let yuv = Yuv { matrix: YuvMatrix::Bt601, range: YuvRange::Limited };
        let (luma, chroma) = self.data.split_at(pixels);
        let (luma, pairs) = (Plane::new(luma, row), Plane::new(chroma, row));
        let frame = match self.layout {
            "rgb" => Frame::rgb8(&self.data, width, height, row * 3),
            "bgrx" => Frame::packed(Packed::Bgrx, Plane::new(&self.data, row * 4), width, height),
            "yuyv" => Frame::yuyv(Plane::new(&self.data, row * 2), width, height, yuv),
            "nv12" => Frame::nv12(luma, pairs, width, height, yuv),
            "nv21" => Frame::nv21(luma, pairs, width, height, yuv),
            _ => {
                let (u, v) = chroma.split_at(pixels / 4);
                let planes = [luma, Plane::new(u, row / 2), Plane::new(v, row / 2)];
                Frame::i420(planes, width, height, yuv)
            }
        };
        frame.expect("the data is long enough")
    }

    /// A closure that prepares one frame.
    fn prepare(&self) -> impl FnMut() {
        let frame = self.frame();
        let mut scratch = vec![0; self.preprocessing.scratch_len(self.width, self.height).expect("it fits")];
        let mut tensor = vec![0i8; 224 * 224 * 3];
        move || {
            let store = |row: usize, rgb: &[u8]| {
                for (q, byte) in tensor[row * rgb.len()..].iter_mut().zip(rgb) {
                    *q = (byte ^ 0x80) as i8;
                }
            };
            self.preprocessing.run(black_box(&frame), &mut scratch, store).expect("it fits");
            black_box(&mut tensor);
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, frames, name] = &arguments[..]
        && flag == "--frames"
    {
        let case = cases().into_iter().find(|case| case.name == *name).expect("one of the benchmarks");
        let mut prepare = case.prepare();
        (0..frames.parse().expect("a number of frames")).for_each(|_: u32| prepare());
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("preprocess");
    for case in cases() {
        group.throughput(Throughput::Elements(u64::from(case.width * case.height)));
        let mut prepare = case.prepare();
        group.bench_function(BenchmarkId::from_parameter(&case.name), |b| b.iter(&mut prepare));
    }
    group.finish();
    criterion.final_summary();
}
