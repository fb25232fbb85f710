//! The web preview without camera or model: synthetic frames whose labels change every second.
//!
//! `cargo run -p resnext-camera --example preview [ADDRESS]` prints the address to open and serves until its input ends.

use resnext_camera::display::web::{Options, Preview};
use resnext_camera::{Guess, Picture, Reading, Show};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;

const LABELS: [&str; 6] = [
    "English springer, English springer spaniel",
    "French horn, horn",
    "garbage truck, dustcart",
    "tench, Tinca tinca",
    "golf ball",
    "parachute, chute",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned()).parse()?;
    let mut preview = Preview::serve(Options { address, token: None, names: Vec::new() })?;
    println!("{}", preview.url());
    let done = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&done);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ended.store(true, Ordering::Relaxed);
    });
    let start = Instant::now();
    let mut rgb = vec![0; 3 * (WIDTH * HEIGHT) as usize];
    for frame in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let seconds = start.elapsed().as_secs_f32();
        let second = seconds as usize;
        let probabilities = [0.5 + 0.4 * (3.0 * seconds).sin(), 0.06, 0.02, 0.01, 0.004];
        let top = std::array::from_fn::<_, 5, _>(|i| Guess {
            class: i as u32,
            label: LABELS[(second + i) % LABELS.len()],
            probability: probabilities[i],
        });
        let latency_ms = 38.0 + 5.0 * (7.0 * seconds).sin() + (frame % 17) as f32 * 0.3;
        let reading = Reading {
            frame,
            model: "synthetic",
            top: &top,
            latency_ms,
            inference_ms: latency_ms - 6.0,
            fps: 25.0,
            dropped: frame / 40,
            temperature_c: Some(58.0 + 25.0 * (0.05 * seconds).sin()),
        };
        paint(&mut rgb, seconds);
        let picture = Picture { width: WIDTH, height: HEIGHT, rgb: &rgb };
        preview.show(&reading, preview.wants_picture().then_some(&picture))?;
        std::thread::sleep(Duration::from_millis(40));
    }
    Ok(())
}

/// A ball that rolls over a meadow.
fn paint(rgb: &mut [u8], seconds: f32) {
    let (x0, y0) = (320.0 + 220.0 * seconds.sin(), 250.0);
    for (i, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = ((i as u32 % WIDTH) as f32, (i as u32 / WIDTH) as f32);
        let ball = (x - x0).powi(2) + (y - y0).powi(2) < 60.0 * 60.0;
        let color = match (ball, y > 300.0) {
            (true, _) => [240, 190, 60],
            (false, true) => [70, 130, 70],
            (false, false) => [130, 180, 225],
        };
        pixel.copy_from_slice(&color);
    }
}
