//! Synthetic pictures and readings.
#![allow(dead_code, reason = "each test uses some of it")]

use resnext_camera::{Health, Picture, Prediction, Reading};

pub(crate) struct Image {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: Vec<u8>,
}

impl Image {
    pub(crate) fn picture(&self) -> Picture<'_> {
        Picture { width: self.width, height: self.height, rgb: &self.rgb }
    }
}

fn image(width: u32, height: u32, color: impl Fn(u32, u32) -> [u8; 3]) -> Image {
    let rgb = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| color(x, y));
    Image { width, height, rgb: rgb.collect() }
}

/// Draws a sky, a sun, hills and a chequered ground, so that every panel covers all levels of brightness.
pub(crate) fn landscape(width: u32, height: u32) -> Image {
    image(width, height, |x, y| {
        let (u, v) = (i64::from(x * 1000 / width), i64::from(y * 1000 / height));
        let sun = (u - 700).pow(2) + (v - 260).pow(2) < 120 * 120;
        let hill = v > 620 - (u - 300).abs() / 4;
        match (sun, hill) {
            (_, true) if (u / 60 + v / 40) % 2 == 0 => [236, 240, 232],
            (_, true) => [52, 120, 64],
            (true, _) => [255, 236, 150],
            _ => [(90 + v / 8) as u8, (150 + v / 10) as u8, (210 + v / 20) as u8],
        }
    })
}

pub(crate) fn plain(width: u32, height: u32, color: [u8; 3]) -> Image {
    image(width, height, |_, _| color)
}

pub(crate) const TOP: [Prediction<'static>; 5] = [
    Prediction { class: 217, label: "English springer, English springer spaniel", probability: 0.873 },
    Prediction { class: 156, label: "Blenheim spaniel", probability: 0.071 },
    Prediction { class: 215, label: "Brittany spaniel", probability: 0.032 },
    Prediction { class: 218, label: "Welsh springer spaniel", probability: 0.012 },
    Prediction { class: 219, label: "cocker spaniel, English cocker spaniel, cocker", probability: 0.004 },
];

pub(crate) fn reading() -> Reading<'static> {
    Reading {
        frame: 1234,
        model: "resnext50_32x4d",
        top: &TOP,
        latency_ms: 41.34,
        inference_ms: 33.1,
        fps: 24.2,
        dropped: 3,
        health: Health { temperature_c: Some(61.2), slowed: None },
    }
}
