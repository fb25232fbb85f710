//! `--defmt FILE`: a record of every inference in defmt, the logging format of microcontrollers, which takes a few bytes each.
//!
//! `defmt-print -e resnext FILE` turns the records into lines of text. It needs the binary that wrote them. Without the feature
//! `defmt` the option does not exist and the functions of this module do nothing.

#[cfg(feature = "defmt")]
#[expect(unsafe_code, reason = "the trait defmt::Logger is unsafe to implement")]
mod logger;

use crate::terminal::Error;
#[cfg(feature = "defmt")]
use crate::terminal::text::clean;
use resnext::Model;
#[cfg(target_os = "linux")]
use resnext_camera::{Picture, Reading, Show, ShowError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The option that says where records go.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Records {
    /// Also write a record of each inference to a file or serial device, for defmt-print with this program as its ELF file
    #[cfg_attr(feature = "defmt", arg(long = "defmt", value_name = "FILE"))]
    #[cfg_attr(not(feature = "defmt"), arg(skip))]
    file: Option<PathBuf>,
}

impl Records {
    /// Opens the file and records which model runs. Without a file, records go nowhere.
    pub(crate) fn start(&self, path: &Path, model: &Model<'_>) -> Result<Log, Error> {
        let Some(file) = &self.file else { return Ok(Log::default()) };
        Log::start(file, path, model)
    }
}

/// Takes records. Another thread writes them. When the log is dropped, it waits up to a second for the records that are not
/// written yet.
#[derive(Default)]
pub(crate) struct Log {
    #[cfg(feature = "defmt")]
    open: Option<Open>,
}

/// A log of the frames of a camera.
#[cfg(target_os = "linux")]
pub(crate) struct Frames<'a> {
    log: Log,
    model: Model<'a>,
}

#[cfg(target_os = "linux")]
impl Log {
    /// Takes readings of `model` instead of single inferences.
    pub(crate) fn frames<'a>(self, model: &Model<'a>) -> Frames<'a> {
        Frames { log: self, model: *model }
    }
}

#[cfg(target_os = "linux")]
impl Frames<'_> {
    /// Ends the log, so that messages about its file come before all others.
    pub(crate) fn finish(self) {}
}

#[cfg(target_os = "linux")]
impl Show for Frames<'_> {
    fn wants_picture(&self) -> bool {
        false
    }

    /// Records the reading. If the file or device fails, the log says so at the end and the camera goes on.
    fn show(&mut self, reading: &Reading<'_>, _: Option<&Picture<'_>>) -> Result<(), ShowError> {
        self.log.reading(reading, &self.model);
        Ok(())
    }
}

#[cfg(feature = "defmt")]
struct Open {
    _writer: logger::Writer,
    /// The number of the next frame.
    frame: u64,
    /// The number of lost records that the log has reported.
    dropped: u64,
}

#[cfg(feature = "defmt")]
impl Log {
    fn start(file: &Path, path: &Path, model: &Model<'_>) -> Result<Self, Error> {
        let writer = logger::Writer::open(file, path)?;
        let name = path.display().to_string();
        defmt::info!("resnext {=str}: {=str}, {}", env!("CARGO_PKG_VERSION"), short(&clean(&name)), model);
        Ok(Self { open: Some(Open { _writer: writer, frame: 0, dropped: 0 }) })
    }

    /// Records an inference and its logits. Frames are counted from 0.
    pub(crate) fn inference(&mut self, took: Duration, model: &Model<'_>, logits: &[f32]) {
        let Some(open) = &mut self.open else { return };
        let best = resnext::top_k::<1>(logits);
        let Some(hit) = best.first() else { return };
        let (id, label) = model.class(hit.class).map_or(("", ""), |class| (class.id, class.label));
        defmt::info!(
            "frame {=u64}: {=u64} us, class {=usize} {=str} {=str}, probability {=f32}",
            open.frame,
            took.as_micros() as u64,
            hit.class,
            short(id),
            short(label),
            hit.probability
        );
        open.frame += 1;
        open.report_dropped();
    }

    /// Records a frame of a camera under its number there.
    fn reading(&mut self, reading: &Reading<'_>, model: &Model<'_>) {
        let Some(open) = &mut self.open else { return };
        let Some(guess) = reading.top.first() else { return };
        let class = guess.class as usize;
        defmt::info!(
            "frame {=u64}: {=u64} us, class {=usize} {=str} {=str}, probability {=f32}, latency {=u64} us, dropped {=u64}",
            reading.frame,
            micros(reading.inference_ms),
            class,
            short(model.class(class).map_or("", |class| class.id)),
            short(guess.label),
            guess.probability,
            micros(reading.latency_ms),
            reading.dropped
        );
        open.report_dropped();
    }
}

#[cfg(feature = "defmt")]
impl Open {
    /// Reports lost records, once the ring has room again.
    fn report_dropped(&mut self) {
        let dropped = logger::dropped();
        if dropped != self.dropped && logger::has_room() {
            self.dropped = dropped;
            defmt::warn!("{=u64} records dropped so far: the device is too slow", dropped);
        }
    }
}

/// Records a warning that the user gets, from any thread. Without an open log this does nothing.
#[cfg(feature = "defmt")]
pub(crate) fn warning(text: &str) {
    defmt::warn!("{=str}", short(&clean(text)));
}

/// Records a frame that could not be classified, or why there are no more frames. Without an open log this does nothing.
#[cfg(feature = "defmt")]
pub(crate) fn failure(error: &Error) {
    defmt::error!("{=str}", short(&error.to_string()));
}

/// Returns as much of `text` as a record has room for.
#[cfg(feature = "defmt")]
fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(160)]
}

#[cfg(feature = "defmt")]
fn micros(ms: f32) -> u64 {
    (f64::from(ms) * 1000.0).round() as u64
}

#[cfg(not(feature = "defmt"))]
impl Log {
    fn start(_: &Path, _: &Path, _: &Model<'_>) -> Result<Self, Error> {
        Ok(Self::default())
    }

    pub(crate) fn inference(&mut self, _: Duration, _: &Model<'_>, _: &[f32]) {}

    #[cfg(target_os = "linux")]
    fn reading(&mut self, _: &Reading<'_>, _: &Model<'_>) {}
}

#[cfg(not(feature = "defmt"))]
pub(crate) fn warning(_: &str) {}

#[cfg(not(feature = "defmt"))]
pub(crate) fn failure(_: &Error) {}

#[cfg(all(test, feature = "defmt"))]
mod tests {
    use super::*;
    use crate::machine::allocations;
    use resnext_camera::{Health, Prediction};
    use resnext_models::reference;

    #[test]
    fn a_record_of_a_camera_s_frame_allocates_nothing() {
        let _alone = logger::tests::alone();
        let model = Model::from_bytes(reference::ARTIFACT).unwrap();
        let records = Records { file: Some("/dev/null".into()) };
        let mut frames = records.start(Path::new("model.rnx"), &model).unwrap().frames(&model);
        let top = [Prediction { class: 5, label: "French horn", probability: 0.5 }];
        let mut show = |frame| {
            let reading = Reading {
                frame,
                model: "model",
                top: &top,
                latency_ms: 41.5,
                inference_ms: 30.25,
                fps: 24.0,
                dropped: frame / 2,
                health: Health::default(),
            };
            frames.show(&reading, None).unwrap();
        };
        let before = allocations::of_this_thread();
        // The ring wraps around many times, and some records find it full.
        (0..10_000).for_each(&mut show);
        assert_eq!(allocations::of_this_thread() - before, 0);
        drop(std::hint::black_box(Box::new(1)));
        assert_eq!(allocations::of_this_thread() - before, 1, "it counts");
    }

    #[test]
    fn times_are_whole_microseconds() {
        assert_eq!(
            [0.0, 0.0004, 30.25, 1e9, -1.0, f32::NAN].map(micros),
            [0, 0, 30_250, 1_000_000_000_000, 0, 0]
        );
    }
}
