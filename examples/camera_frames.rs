//! Classifies the frames of a camera on all CPUs, without allocating once it runs.
//!
//! Raw NV12 frames come from standard input, as ffmpeg or a camera's driver delivers them:
//!
//! ```text
//! ffmpeg -i clip.mp4 -pix_fmt nv12 -f rawvideo - |
//!     cargo run --release -p resnext --example camera_frames -- 1280 720
//! ```
//!
//! Without arguments it classifies frames that it draws itself, a bright bar on grey, which only shows how fast it is.

use resnext::preprocess::{Plane, Yuv, YuvMatrix, YuvRange};
use resnext::{Frame, Model, Pool, Runner, top_k};
use std::error::Error;
use std::io::{self, Read};
use std::thread;
use std::time::Instant;

/// Frames that are drawn if none are given.
const DRAWN: usize = 50;

/// What most cameras of up to 720 lines send; [`Yuv`] has the others.
const YUV: Yuv = Yuv { matrix: YuvMatrix::Bt601, range: YuvRange::Limited };

fn main() -> Result<(), Box<dyn Error>> {
    let sides: Vec<u32> = std::env::args().skip(1).map(|side| side.parse()).collect::<Result<_, _>>()?;
    let (width, height, given) = match sides[..] {
        [width, height] => (width, height, true),
        [] => (640, 480, false),
        _ => return Err("give the width and the height of the frames, or nothing".into()),
    };
    let luma = width as usize * height as usize;
    // The second plane has a pair of chroma samples for every two by two pixels.
    let stride = width.next_multiple_of(2) as usize;
    let chroma = stride * height.div_ceil(2) as usize;
    let mut bytes = vec![128; luma + chroma];

    let model = Model::from_bytes(resnext_models::reference::ARTIFACT)?;
    let pool = Pool::new(thread::available_parallelism()?.get())?;
    let mut arena = vec![0; model.arena_len()];
    let mut logits = vec![0.0; model.class_count()];
    let mut runner = Runner::new(&model, &mut arena)?.with_workers(&pool);

    let mut input = io::stdin().lock();
    for number in 0.. {
        if given {
            match input.read_exact(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                result => result?,
            }
        } else if number < DRAWN {
            draw(&mut bytes[..luma], width as usize, number);
        } else {
            break;
        }
        let start = Instant::now();
        let (luma, chroma) = bytes.split_at(luma);
        let planes = (Plane::new(luma, width as usize), Plane::new(chroma, stride));
        let frame = Frame::nv12(planes.0, planes.1, width, height, YUV)?;
        runner.run(&frame, &mut logits)?;
        let ms = 1e3 * start.elapsed().as_secs_f64();
        if let Some(best) = top_k::<1>(&logits).first() {
            let label = model.class(best.class).map_or("", |class| class.label);
            println!("frame {number}: {label} {:.1} %, {ms:.1} ms", 100.0 * best.probability);
        }
    }
    Ok(())
}

/// Draws a bright bar that moves to the right.
fn draw(luma: &mut [u8], width: usize, number: usize) {
    let bar = number * width / DRAWN;
    for row in luma.chunks_exact_mut(width) {
        row.fill(96);
        row[bar..(bar + width / 10).min(width)].fill(220);
    }
}
