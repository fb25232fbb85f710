//! Writes a line of JSON for every frame.

use crate::reading::{Picture, Reading, Show, ShowError};
use resnext::Model;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use std::io::Write;
use std::time::Instant;

/// Writes lines `{"frame", "t_ms", "top": [{"class", "label", "probability"}], "latency_ms", "dropped"}`, and flushes each
/// one. Allocates only to grow the line.
pub struct JsonLines<'a, W> {
    out: W,
    model: Model<'a>,
    start: Instant,
    line: Vec<u8>,
}

impl<'a, W: Write> JsonLines<'a, W> {
    /// Writes to `out`. `class` is the identifier of a class in `model`. `t_ms` counts from this call.
    pub fn new(out: W, model: &Model<'a>) -> Self {
        Self { out, model: *model, start: Instant::now(), line: Vec::with_capacity(4096) }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    frame: u64,
    t_ms: f64,
    #[serde(serialize_with = "top")]
    top: (&'a Model<'a>, &'a Reading<'a>),
    latency_ms: f32,
    dropped: u64,
}

#[derive(Serialize)]
struct Class<'a, C: Serialize> {
    class: C,
    label: &'a str,
    probability: f32,
}

fn top<S: Serializer>(
    (model, reading): &(&Model<'_>, &Reading<'_>),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(reading.top.len()))?;
    for prediction in reading.top {
        let (label, probability) = (prediction.label, prediction.probability);
        match model.class(prediction.class as usize).map_or("", |class| class.id) {
            // Text in both cases, as in the JSON of `resnext classify`.
            "" => sequence.serialize_element(&Class {
                class: format_args!("{}", prediction.class),
                label,
                probability,
            })?,
            id => sequence.serialize_element(&Class { class: id, label, probability })?,
        }
    }
    sequence.end()
}

/// Rounds to microseconds, which is the precision of clocks. This also shortens lines.
fn rounded(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

impl<W: Write> Show for JsonLines<'_, W> {
    fn wants_picture(&self) -> bool {
        false
    }

    fn show(&mut self, reading: &Reading<'_>, _: Option<&Picture<'_>>) -> Result<(), ShowError> {
        let now = 1000.0 * self.start.elapsed().as_secs_f64();
        let line = Line {
            frame: reading.frame,
            t_ms: rounded((now - f64::from(reading.latency_ms)).max(0.0)),
            top: (&self.model, reading),
            latency_ms: rounded(reading.latency_ms.into()) as f32,
            dropped: reading.dropped,
        };
        self.line.clear();
        // Writing to memory does not fail, and JSON can express every value.
        let _ = serde_json::to_writer(&mut self.line, &line);
        self.line.push(b'\n');
        let written = self.out.write_all(&self.line).and_then(|()| self.out.flush());
        written.map_err(|error| ShowError::writing("stdout", &error))
    }
}
