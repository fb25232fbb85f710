//! `resnext classify`: names what is in pictures.

use crate::files::photo;
use crate::records::{self, Log, Records};
use crate::session::artifact::Artifact;
use crate::session::execution::Execution;
use crate::session::exif::{ExifOption, note_rotated};
use crate::session::statistics::milliseconds;
use crate::session::workspace::{Workspace, packing};
use crate::terminal::Error;
use crate::terminal::output;
use crate::terminal::text::{bar, clean};
use resnext::{Model, Prediction, Runner};
use resnext_photo::Exif;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unicode_width::UnicodeWidthStr;

/// The most classes that `--top-k` lists.
const MAX_CLASSES: usize = 100;

/// The width of a probability bar in columns.
const BAR: usize = 20;

/// Classify images.
///
/// Lists the most probable classes of each image. Images that cannot be decoded are reported and skipped, and the
/// exit status is then 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Images are JPEG, PNG, WebP, BMP or GIF files; the model says how to resize and crop them, and whether to turn them \
upright by their EXIF orientation. That is as the library did that published the network, because its accuracy was \
measured so.

Examples:
  resnext classify model.rnx photo.jpg
  resnext classify model.rnx photos/*.jpg --top-k 1
  resnext classify model.rnx photo.jpg --json | jq -r '.[0].top[0].label'

JSON: [{image, top: [{class, label, probability}]}]. class is the identifier of the class (for ImageNet the \
wnid), or its index if the model has no identifiers; probabilities are fractions of 1.")]
pub(crate) struct Args {
    /// Model to use
    #[arg(value_name = "MODEL.rnx")]
    model: PathBuf,

    /// Photos: JPEG, PNG, WebP, BMP or GIF files
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// Number of classes to list for each image
    #[arg(long, value_name = "K", default_value_t = 5,
        value_parser = clap::value_parser!(u16).range(1..=MAX_CLASSES as i64))]
    top_k: u16,

    #[command(flatten)]
    exif: ExifOption,

    #[command(flatten)]
    execution: Execution,

    #[command(flatten)]
    records: Records,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let artifact = Artifact::open(&args.model)?.packed(packing(&args.execution)?)?;
    let model = artifact.model()?;
    let mut workspace = Workspace::new(&model, &args.execution)?;
    let mut runner = workspace.runner(&model)?;
    let mut log = args.records.start(artifact.path(), &model)?;
    let mut results = Vec::new();
    let (mut first, mut failed) = (true, false);
    let exif = args.exif.or_of(&model);
    let mut rotated = 0;
    for path in &args.images {
        let result = classify(&mut runner, &model, path, exif, usize::from(args.top_k), &mut log);
        rotated += usize::from(result.as_ref().is_ok_and(|result| result.rotated));
        match result {
            Ok(result) if args.json => results.push(result),
            Ok(result) => {
                let gap = if first { "" } else { "\n" };
                output::print(&format_args!("{gap}{result}"))?;
                first = false;
            }
            Err(error) => {
                output::complain(&error);
                records::failure(&error);
                failed = true;
            }
        }
    }
    note_rotated("image", rotated, args.images.len(), exif);
    if args.json {
        output::print_json(&results)?;
    }
    if failed { Err(Error::Reported) } else { Ok(()) }
}

/// One image and its classes.
#[derive(Serialize)]
struct Classified {
    image: String,
    top: Vec<Class>,
    // Times differ from run to run and results do not, so the JSON leaves these out.
    #[serde(skip)]
    size: (u32, u32),
    #[serde(skip)]
    rotated: bool,
    #[serde(skip)]
    times: Times,
}

#[derive(Serialize)]
struct Class {
    class: String,
    label: String,
    probability: f32,
}

struct Times {
    decode: Duration,
    resize: Duration,
    infer: Duration,
}

fn classify(
    runner: &mut Runner<'_>,
    model: &Model<'_>,
    path: &Path,
    exif: Exif,
    top_k: usize,
    log: &mut Log,
) -> Result<Classified, Error> {
    let failed = |error| Error::at(path, error);
    let start = Instant::now();
    let (photo, rotated) = photo::open(path, exif)?;
    let decoded = Instant::now();
    let pixels = photo.crop(model.preprocessing()).map_err(|error| Error::at(path, error))?;
    runner.load_pixels(&pixels).map_err(failed)?;
    let loaded = Instant::now();
    let mut logits = vec![0.0; model.class_count()];
    runner.infer(&mut logits).map_err(failed)?;
    let times = Times { decode: decoded - start, resize: loaded - decoded, infer: loaded.elapsed() };
    log.inference(times.infer, model, &logits);
    let hits = resnext::top_k::<MAX_CLASSES>(&logits);
    let top = hits.iter().take(top_k).map(|hit| Class::new(model, hit)).collect();
    let image = path.display().to_string();
    Ok(Classified { image, top, size: (photo.width, photo.height), rotated, times })
}

impl Class {
    fn new(model: &Model<'_>, hit: &Prediction) -> Self {
        let class = model.class(hit.class);
        let (id, label) = class.map_or(("", ""), |class| (class.id, class.label));
        let class = if id.is_empty() { hit.class.to_string() } else { id.to_owned() };
        Self { class, label: label.to_owned(), probability: hit.probability }
    }
}

impl fmt::Display for Classified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.size;
        let Times { decode, resize, infer } = &self.times;
        let [decode, resize, infer] = [decode, resize, infer].map(|time| milliseconds(*time));
        writeln!(
            f,
            "{}: {width}×{height}, inference {infer:.1} ms (decode {decode:.1} ms, resize {resize:.1} ms)",
            clean(&self.image)
        )?;
        let widest = self.top.iter().map(|class| clean(&class.class).width()).max().unwrap_or(0);
        for Class { class, label, probability } in &self.top {
            let (percent, bar) = (100.0 * probability, bar(f64::from(*probability), BAR));
            let class = clean(class);
            let space = " ".repeat(widest - class.width());
            let line = format!("  {percent:5.1} %  {bar}  {class}{space}  {}", clean(label));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
