//! `resnext camera`: classifies the frames of a camera, a pipe or a file.

mod advice;
mod display;
mod list;

use crate::machine::board::Board;
use crate::machine::signals;
use crate::records::{self, Records};
use crate::session::artifact::Artifact;
use crate::session::execution::Execution;
use crate::session::exif;
use crate::session::workspace::{Workspace, packing};
use crate::terminal::Error;
use crate::terminal::output::{self, terminal_width};
use crate::terminal::text::plural;
use clap::ValueEnum;
use display::{Display, Remarks};
use resnext::Model;
use resnext::preprocess::{YuvMatrix, YuvRange};
use resnext_camera::show::{JsonLines, Style, Terminal};
use resnext_camera::smoothing::{MAX_PREDICTIONS, Smoothing};
use resnext_camera::source::{Colours, Container, SourceError, SourceOptions, open};
use resnext_camera::{Health, Options, PipelineError, PixelFormat, Show, ShowError, Stop, Summary};
use resnext_photo::Exif;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Classify what a camera sees.
///
/// Reads frames from a camera, a pipe, a video or pictures, and names what is on them until they end or you press Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "resnext camera [OPTIONS] <MODEL.rnx> <SOURCE>\n       resnext camera --list [--json]",
    after_help = "\
SOURCE is a camera (/dev/video0; --list lists them), a file (YUV4MPEG2, Motion JPEG, JPEG, PNG, raw frames), a folder \
of pictures, or - for standard input. A frame of a camera or pipe is dropped if a newer one has already arrived; every \
frame of a file or folder is classified.

Examples:
  resnext camera model.rnx /dev/video0
  rpicam-vid -n -t 0 --codec yuv420 --width 1280 --height 720 -o - |
    resnext camera model.rnx - --format yuv420 --size 1280x720
  ffmpeg -i film.mp4 -pix_fmt yuv420p -f yuv4mpegpipe - |
    resnext camera model.rnx - --every-frame
  resnext camera model.rnx photos/ --smooth none --json | jq -r '.top[0].label'

JSON, one line for each frame: {frame, t_ms, top: [{class, label, probability}], latency_ms, dropped}. t_ms is the time \
of capture since the start; latency_ms is the time from capture to label. At the end, on stderr: {frames, dropped, damaged, \
seconds, fps, latency_ms: {p50, p90, p99, max}, inference_ms: {p50, p90, p99, max}}."
)]
pub(crate) struct Args {
    /// Model to use
    #[arg(value_name = "MODEL.rnx", required_unless_present = "list")]
    model: Option<PathBuf>,

    /// Camera, file, folder, or - for standard input
    #[arg(value_name = "SOURCE", required_unless_present = "list")]
    source: Option<PathBuf>,

    /// List the cameras of this machine
    #[arg(long, conflicts_with_all = ["model", "source"])]
    list: bool,

    /// Format of the frames: y4m, mjpeg, or raw frames in nv12, nv21, yuv420, yv12, yuv422p, yuv444p, yuyv, uyvy, grey, rgb24,
    /// bgr24, rgb0 or bgr0 [default: detected]
    #[arg(long, value_name = "FORMAT", value_parser = container)]
    format: Option<Container>,

    /// Size of the frames; a camera uses the nearest size that it has [default for cameras: 640x480]
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(u32, u32)>,

    /// Bytes from one row of a raw frame to the next [default: as many as the pixels take]
    #[arg(long, value_name = "BYTES")]
    stride: Option<usize>,

    /// Rows of a raw frame in memory, if its planes are padded below; chroma planes have their share [default: the height]
    #[arg(long, value_name = "ROWS")]
    rows: Option<usize>,

    /// Range of levels of YUV frames [default: as the source says, else limited]
    #[arg(long, value_name = "RANGE")]
    range: Option<Range>,

    /// Colour matrix of YUV frames [default: as the source says, else bt709 from 720p up and bt601 below]
    #[arg(long, value_name = "MATRIX")]
    matrix: Option<Matrix>,

    /// Frames per second to request from a camera, or of a recording that does not state its rate
    #[arg(long, value_name = "RATE", value_parser = rate)]
    fps: Option<f64>,

    /// Play a file at its recorded rate, and drop frames that are too late
    #[arg(long)]
    realtime: bool,

    /// Classify every frame of a pipe or camera, however late it is
    #[arg(long)]
    every_frame: bool,

    /// Seconds without a frame after which a source counts as stalled
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,

    /// Smooth the result over N frames: exponential:N, majority:N, or none [default: exponential:5 for cameras and pipes,
    /// none for files]
    #[arg(long, value_name = "HOW")]
    smooth: Option<Smoothing>,

    /// Stop after N frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,

    /// Number of classes to list for each frame
    #[arg(long, value_name = "K", default_value_t = 3,
        value_parser = clap::value_parser!(u16).range(1..=MAX_PREDICTIONS as i64))]
    top_k: u16,

    #[command(flatten)]
    execution: Execution,

    #[command(flatten)]
    records: Records,

    /// Print JSON, one line for each frame
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    display: Display,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Range {
    /// Luma from 16 to 235
    Limited,
    /// 0 to 255
    Full,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Matrix {
    Bt601,
    Bt709,
}

fn container(text: &str) -> Result<Container, String> {
    text.parse().map_err(|()| {
        let names: Vec<_> = PixelFormat::names().collect();
        format!("use y4m, mjpeg, or one of {}", names.join(", "))
    })
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once(['x', 'X', '×']);
    let side = |side: &str| {
        side.parse().ok().filter(|side| (1..=resnext::preprocess::MAX_FRAME_SIDE).contains(side))
    };
    sides
        .and_then(|(width, height)| Some((side(width)?, side(height)?)))
        .ok_or_else(|| "use the form 640x480, with sides from 1 to 65535".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: Option<f64> = text.parse().ok();
    rate.filter(|rate| (0.01..=1000.0).contains(rate))
        .ok_or_else(|| "use a number from 0.01 to 1000".to_owned())
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let (Some(model), Some(source)) = (&args.model, &args.source) else { return list::run(args.json) };
    let artifact = Artifact::open(model)?.packed(packing(&args.execution)?)?;
    let model = artifact.model()?;
    let mut workspace = Workspace::new(&model, &args.execution)?;
    let board = Board::open(&workspace.placement().usable());
    let mut runner = workspace.runner(&model)?;
    let mut log = args.records.start(artifact.path(), &model)?.frames(&model);
    let stop = stop_on_signals()?;
    let name = match source {
        path if path == Path::new("-") => "standard input".to_owned(),
        path => path.display().to_string(),
    };
    let refused = |error: &SourceError| advice::failure(&name, source, artifact.path(), error);
    let opened = match open(source, &args.source_options(exif::of_model(&model), &stop)) {
        // The user ended the program before the source was open.
        Err(_) if stop.is_set() => return Ok(()),
        opened => opened.map_err(|error| refused(&error)),
    };
    let mut frames = opened.inspect_err(records::failure)?;
    let style = style();
    // On a terminal, a remark replaces the line that shows the current frame.
    let remarks = Remarks { over: !args.json && style != Style::Changes && io::stderr().is_terminal() };
    let note = |what: &str| {
        remarks.say(format_args!("{name}: {what}"));
        records::warning(what);
    };
    let usual = if frames.live() { Smoothing::Exponential { frames: 5 } } else { Smoothing::None };
    let options = Options {
        model: artifact.path().file_stem().and_then(|stem| stem.to_str()).unwrap_or("model"),
        top_k: args.top_k.into(),
        smoothing: args.smooth.unwrap_or(usual),
        frames: args.frames,
        every_frame: args.every_frame,
        health: &|| health(&board),
        note: &note,
        stop,
    };
    let live = frames.live();
    let mut displays = args.display.open(remarks).inspect_err(records::failure)?;
    let mut text = text(args.json, style, &model);
    let mut shows: Vec<&mut dyn Show> = vec![&mut *text, &mut log];
    shows.extend(displays.shows());
    let summary = resnext_camera::run(&mut *frames, &mut runner, options, &mut shows);
    // End the line of the terminal before any message.
    drop(text);
    let shown = displays.finish();
    let failed = |error| match error {
        PipelineError::Source(error) => refused(&error),
        error => failed(error, &name, artifact.path()),
    };
    let summary = summary.map_err(failed).inspect_err(records::failure)?;
    log.finish();
    if args.json {
        // If stderr is closed, there is nowhere to report that either.
        let _ = serde_json::to_writer(io::stderr(), &summary).map(|()| io::stderr().write_all(b"\n"));
    } else {
        output::note(SummaryText(&summary));
    }
    // A picture that cannot be read or shown is a failure, as in `classify`. A camera's frame is not, if others could be read.
    let failed = summary.damaged > 0 || !shown;
    if failed && !live || summary.damaged > 0 && summary.frames == 0 { Err(Error::Reported) } else { Ok(()) }
}

/// Reads the state of the board without allocating.
fn health(board: &Board) -> Health {
    let sample = board.sample();
    Health { temperature_c: sample.temperature_c, slowed: sample.slowed() }
}

/// Returns how to write to stdout.
fn style() -> Style {
    match terminal_width() {
        Some(width) if io::stdout().is_terminal() => Style::Updating { width },
        _ => Style::Changes,
    }
}

/// Returns the display that writes to stdout.
fn text<'a>(json: bool, style: Style, model: &Model<'a>) -> Box<dyn Show + 'a> {
    match json {
        true => Box::new(JsonLines::new(io::stdout(), model)),
        false => Box::new(Terminal::new(io::stdout(), style)),
    }
}

fn failed(error: PipelineError, source: &str, model: &Path) -> Error {
    match error {
        PipelineError::Show(ShowError::Closed) => Error::OutputClosed,
        PipelineError::Show(ShowError::Failed { subject, what }) => Error::new(subject, what),
        PipelineError::Frame(error) => Error::new(source, error),
        PipelineError::Run(error) => Error::at(model, error),
        error => Error::new("", error),
    }
}

impl Args {
    fn source_options(&self, exif: Exif, stop: &Stop) -> SourceOptions {
        let matrix = self.matrix.map(|matrix| match matrix {
            Matrix::Bt601 => YuvMatrix::Bt601,
            Matrix::Bt709 => YuvMatrix::Bt709,
        });
        let range = self.range.map(|range| match range {
            Range::Limited => YuvRange::Limited,
            Range::Full => YuvRange::Full,
        });
        SourceOptions {
            container: self.format,
            size: self.size,
            stride: self.stride,
            rows: self.rows,
            rate: self.fps,
            colours: Colours { matrix, range },
            exif,
            timeout: Duration::from_secs(self.timeout.into()),
            realtime: self.realtime,
            stop: stop.clone(),
        }
    }
}

/// Returns the flag that Ctrl-C and service managers set. A second signal ends the program at once.
fn stop_on_signals() -> Result<Stop, Error> {
    let stop = Stop::default();
    signals::stop_first(stop.flag()).map_err(|error| {
        Error::new("", format_args!("cannot catch signals: {error}; run it where signals are allowed"))
    })?;
    Ok(stop)
}

/// The summary of a run for people.
struct SummaryText<'a>(&'a Summary);

impl fmt::Display for SummaryText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { frames, dropped, damaged, seconds, fps, latency_ms, inference_ms } = self.0;
        let plural = plural(*frames as usize);
        write!(f, "{frames} frame{plural} in {seconds:.1} s ({fps:.1} per second), {dropped} dropped")?;
        if *damaged > 0 {
            write!(f, ", {damaged} damaged")?;
        }
        write!(f, "; capture to label {:.1} ms (p99 {:.1})", latency_ms.p50, latency_ms.p99)?;
        write!(f, ", of which inference {:.1} ms (p99 {:.1})", inference_ms.p50, inference_ms.p99)
    }
}
