//! `resnext demo`: runs the whole path on this machine, with the bundled network and photos.

use crate::files::write::{check_writable, write_atomically};
use crate::machine::cpu_list::CpuList;
use crate::machine::load::{Load, Spread, Watch};
use crate::machine::placement::Placement;
use crate::offline::network;
use crate::session::latency::{FP32, Runs, interleaved, slower};
use crate::session::samples;
use crate::session::statistics::{Times, milliseconds};
use crate::terminal::Error;
use crate::terminal::output::{self, paragraph, terminal_width};
use crate::terminal::table::{Column, Fields, Table};
use crate::terminal::text::{bar, plural, size};
use resnext::{Kernels, Model, Pool, Runner, Workers};
use resnext_calibration::fp32::Fp32Model;
use resnext_calibration::import::{ImportOptions, load_safetensors};
use resnext_calibration::network::fold_batch_norm;
use resnext_calibration::preprocessing::{Recipe, normalize};
use resnext_calibration::{Compiler, LayerReport, Options, ScaleSource, bundled};
use resnext_evaluation::samples::{Sample, Samples};
use resnext_models::reference;
use serde::Serialize;
use serde_json::json;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Calibrate, compile, classify and time the bundled model, without arguments or downloads.
///
/// Shows what this program does, with an fp32 ResNeXt-26 trained on ten ImageNet classes and freely licensed photos that are part
/// of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
JSON: {model: {bytes, arena_bytes, gmac}, agreement, logit_sqnr_db, layers: [{name, sqnr_db}], photos: [{photo, \
shows, int8: {label, probability}, fp32: {label, probability}, agrees}], ms: [{network, threads, p50, p90, p99}], \
cpus: [CPU], runs, warnings: [TEXT]}. shows is the class of the photo, or null if the model does not know what it \
shows; agreement is a fraction of the photos; cpus is null if the networks were timed on any CPU.")]
pub(crate) struct Args {
    /// Keep the compiled model
    #[arg(short, long, value_name = "OUT.rnx")]
    output: Option<PathBuf>,

    /// Inferences of each network to time
    #[arg(long, value_name = "R", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,

    /// Number of threads of the int8 network [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// CPUs to run on, such as 0-3 or 0,2,4-5 [default: all; for the latency, the big cores of a machine that also has
    /// little ones, unless --threads is given]
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuList>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    args.output.as_deref().map_or(Ok(()), check_writable)?;
    let load = Load::now();
    let chosen = Placement::chosen(args.threads, args.cpus.as_ref())?;
    // People read while the demo runs; tools get everything at the end.
    let say = |text: &dyn Display| if args.json { Ok(()) } else { output::print(&text) };

    let variant = &reference::VARIANT;
    let side = usize::from(variant.preprocessing.size);
    let import = ImportOptions::of_size(side);
    let mut network = load_safetensors(reference::WEIGHTS, variant.name, import).map_err(failed)?;
    fold_batch_norm(&mut network);
    let (found, published) = (&network.architecture, &variant.architecture);
    let (groups, classes) = (found.cardinality, found.classes);
    let mut fields = Fields::default();
    fields.add("network", format!("ResNeXt-{}, {groups} groups, {classes} classes", found.depth()));
    fields.add("weights", format!("{:.1} M parameters, bundled", published.params() as f64 / 1e6));
    fields.add("work", format!("{:.2} GMAC at {side}×{side}", published.macs(side) as f64 / 1e9));
    say(&format_args!("1. An fp32 ResNeXt\n\n{fields}"))?;

    let photos = bundled::photos();
    let preprocessing = network::preprocessing(Some(&Recipe::of(variant)), &network);
    let options = Options {
        source: variant.to_string(),
        threads: Placement::everywhere().threads,
        ..Options::new(preprocessing, bundled::reference_classes())
    };
    let (progress, start) = (samples::progress(), Instant::now());
    let compiler = Compiler::new(&network, &options).with_progress(&progress);
    let compiled = compiler.compile(ScaleSource::Samples(&photos));
    progress.finish_and_clear();
    let (compiled, seconds) = (compiled.map_err(failed)?, start.elapsed().as_secs_f64());
    if let Some(path) = &args.output {
        write_atomically(path, &compiled.artifact)?;
    }
    let model = Model::from_bytes(&compiled.artifact).map_err(failed)?;
    let mut fields = Fields::default();
    fields.add(
        "calibrated",
        format!(
            "on {} bundled photos in {seconds:.1} s, as `resnext compile` does",
            compiled.report.pictures.count
        ),
    );
    fields.add("model", size(compiled.artifact.len() as u64));
    fields
        .add("arena", format!("{}, all the memory that an inference needs", size(model.arena_len() as u64)));
    let layers = layer_table(&compiled.report.layers);
    say(&format_args!("\n2. Calibrate and compile to int8\n\n{fields}\n{layers}"))?;

    let fp32 = Fp32Model::new(&network, &[]).map_err(failed)?;
    let mut networks = Networks { model: &model, fp32, options: &options };
    // The first answer that a newcomer sees is to a question that the model can answer.
    let mut answers = networks.classify(&bundled::known_photos())?;
    let known = answer_table(&answers).to_string();
    answers.extend(networks.classify(&photos)?);
    let others = answer_table(&answers[bundled::known_photos().len()..]);
    let agreeing = answers.iter().filter(|answer| answer.agrees).count();
    let labels: Vec<_> = options.classes.iter().map(|class| class.label.as_str()).collect();
    let classes = paragraph(&format!("The model knows {} classes: {}.", labels.len(), labels.join(", ")));
    say(&format_args!("\n3. Classify\n\n{classes}\n\n{known}\n{}\n\n{others}", paragraph(GUESSES)))?;
    say(&format_args!("\nint8 and fp32 agree on {agreeing} of {} photos.\n", answers.len()))?;

    // Pin the threads only now, because calibration is faster with the little cores than without.
    let placement = chosen.unwrap_or_else(Placement::fastest);
    let watch = Watch::start(load, placement.threads);
    let timings = networks.time(&photos, args.runs, placement.threads)?;
    let spreads: Vec<Spread<'_>> = timings.iter().map(Timing::spread).collect();
    let disturbed = watch.finish(&spreads);
    let warnings: Vec<_> = disturbed.into_iter().chain(slower_than_fp32(&timings)).collect();
    let table = timing_table(&timings);
    let place = match placement.on_cpus() {
        on_cpus if on_cpus.is_empty() => " on this machine".to_owned(),
        on_cpus => on_cpus + " of this machine",
    };
    say(&format_args!(
        "\n4. Latency\n\n{table}\n{} run{} of each, in turn,{place}.\n",
        args.runs,
        plural(args.runs as usize)
    ))?;
    say(&format_args!("\n5. Accuracy\n\n{}\n\n{STEPS}", paragraph(ACCURACY)))?;

    if args.json {
        let layer = |layer: &LayerReport| json!({ "name": layer.name, "sqnr_db": layer.sqnr_db });
        output::print_json(&json!({
            "model": {
                "bytes": compiled.artifact.len(),
                "arena_bytes": model.arena_len(),
                "gmac": model.macs() as f64 / 1e9,
            },
            "agreement": agreeing as f64 / answers.len().max(1) as f64,
            "logit_sqnr_db": compiled.report.logit_sqnr_db,
            "layers": compiled.report.layers.iter().map(layer).collect::<Vec<_>>(),
            "photos": answers,
            "ms": timings,
            "cpus": placement.cpus,
            "runs": args.runs,
            "warnings": warnings,
        }))?;
    } else {
        warnings.iter().for_each(output::note);
    }
    Ok(())
}

const GUESSES: &str = "\
The photos on which it was calibrated show none of these, and a classifier has no answer but its classes. So the following are \
guesses: the nearest of the ten. What counts is that int8 and fp32 guess the same.";

const ACCURACY: &str = "\
Two photos measure nothing. To measure accuracy, and what int8 costs, you need labelled images:";

/// Lines to paste.
const STEPS: &str = "  1. Imagenette, ten classes of ImageNet, the archive of 160 pixels:
     https://github.com/fastai/imagenette
  2. resnext demo -o demo.rnx
  3. resnext eval demo.rnx --data imagenette2-160/val --baseline \\
       models/reference/resnext26_16x4d_half-imagenette.safetensors

To compile your own model: resnext compile --help
";

/// Network and photos are part of the program, so an error has no file to name.
fn failed(error: impl Display) -> Error {
    Error::new("demo", error)
}

/// Both networks, which read the same pixels.
struct Networks<'a> {
    model: &'a Model<'a>,
    fp32: Fp32Model,
    options: &'a Options,
}

/// The answers of both networks for a photo.
#[derive(Serialize)]
struct Answer {
    photo: String,
    /// The class of the photo, if it shows one.
    shows: Option<String>,
    int8: Prediction,
    fp32: Prediction,
    agrees: bool,
}

#[derive(Serialize)]
struct Prediction {
    label: String,
    probability: f32,
}

/// The latency of one network in ms.
#[derive(Serialize)]
struct Timing {
    network: String,
    threads: usize,
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(skip)]
    min: f64,
}

impl Timing {
    fn new(network: &str, threads: usize, times: Vec<Duration>) -> Option<Self> {
        let times = Times::new(times)?;
        let [p50, p90, p99] = [50, 90, 99].map(|percent| milliseconds(times.percentile(percent)));
        Some(Self { network: network.to_owned(), threads, p50, p90, p99, min: milliseconds(times.min()) })
    }

    fn spread(&self) -> Spread<'_> {
        Spread { network: &self.network, min: self.min, p90: self.p90 }
    }
}

impl Networks<'_> {
    fn pixels(&self, photo: &Sample) -> Result<Vec<u8>, Error> {
        photo.pixels(&self.options.preprocessing).map_err(failed)
    }

    fn classify(&mut self, photos: &Samples) -> Result<Vec<Answer>, Error> {
        let mut arena = vec![0; self.model.arena_len()];
        let mut runner = Runner::new(self.model, &mut arena).map_err(failed)?;
        let mut int8 = vec![0.0; self.model.class_count()];
        let classes = &self.options.classes;
        let predict = |logits: &[f32]| {
            let hit = resnext::top_k::<1>(logits).first().copied();
            let (class, probability) = hit.map_or((0, 0.0), |hit| (hit.class, hit.probability));
            let label = classes.get(class).map_or_else(String::new, |class| class.label.clone());
            (class, Prediction { label, probability })
        };
        let mut answers = Vec::new();
        for photo in photos {
            let pixels = self.pixels(photo)?;
            infer(&mut runner, &pixels, &mut int8)?;
            let image = normalize(&self.options.preprocessing, &pixels);
            let outputs = self.fp32.run(&image).map_err(failed)?;
            let ((class, int8), (original, fp32)) = (predict(&int8), predict(outputs.result()));
            let (photo, shows) = (photo.name().to_owned(), photo.class().map(str::to_owned));
            answers.push(Answer { photo, shows, int8, fp32, agrees: class == original });
        }
        Ok(answers)
    }

    fn time(&mut self, photos: &Samples, runs: u32, threads: usize) -> Result<Vec<Timing>, Error> {
        let Some(photo) = photos.iter().next() else { return Ok(Vec::new()) };
        let pixels = self.pixels(photo)?;
        let normalized = normalize(&self.options.preprocessing, &pixels);
        let pool = Pool::new(threads).map_err(failed)?;
        let [mut logits, mut together_logits] = [0, 1].map(|_| vec![0.0; self.model.class_count()]);
        let [mut arena, mut arena_together] = [const { Vec::new() }; 2];
        arena.resize(self.model.arena_len(), 0);
        arena_together.resize(self.model.arena_len(), 0);
        let mut alone = Runner::new(self.model, &mut arena).map_err(failed)?;
        let mut together = Runner::new(self.model, &mut arena_together).map_err(failed)?.with_workers(&pool);

        let measured = interleaved(
            Runs::Exactly(runs),
            &mut [
                &mut || self.fp32.run(&normalized).map(drop).map_err(failed),
                &mut || infer(&mut alone, &pixels, &mut logits),
                &mut || infer(&mut together, &pixels, &mut together_logits),
            ],
        )?;
        let [fp32, int8, int8_together] = measured.try_into().unwrap_or_default();
        let name = format!("int8 ({})", Kernels::detect().isa());
        let mut timings = vec![Timing::new(FP32, 1, fp32), Timing::new(&name, 1, int8)];
        if pool.count() > 1 {
            timings.push(Timing::new(&name, pool.count(), int8_together));
        }
        Ok(timings.into_iter().flatten().collect())
    }
}

/// Returns a warning if int8 takes longer than fp32 on the same number of threads.
fn slower_than_fp32(timings: &[Timing]) -> Option<String> {
    let (fp32, others) = timings.split_first()?;
    let int8 = others.iter().find(|int8| int8.threads == fp32.threads)?;
    slower((&int8.network, int8.p50), (&fp32.network, fp32.p50))
}

fn layer_table(layers: &[LayerReport]) -> impl Display {
    let mut table = Table::new(
        [
            Column::text("layer"),
            Column::number("SQNR dB"),
            Column::text(""),
            Column::text("int8 covers").optional(1),
        ],
        terminal_width(),
    );
    for layer in layers {
        let range = layer.range.map_or_else(String::new, |r| format!("{:.2} to {:.2}", r.low, r.high));
        let sqnr = format!("{:.1}", layer.sqnr_db);
        table.row([layer.name.clone(), sqnr, bar(layer.sqnr_db / 50.0, 25), range]);
    }
    table
}

fn answer_table(answers: &[Answer]) -> impl Display {
    let columns = [
        Column::text("photo"),
        Column::text("int8"),
        Column::number("%"),
        Column::text("fp32"),
        Column::number("%"),
        Column::text(""),
    ];
    let mut table = Table::new(columns, terminal_width());
    let percent = |prediction: &Prediction| format!("{:.1}", 100.0 * prediction.probability);
    for Answer { photo, shows, int8, fp32, agrees } in answers {
        let mark = match shows {
            _ if !agrees => "differs",
            Some(class) if int8.label == *class => "right",
            Some(_) => "wrong",
            None => "",
        };
        let (int8_percent, fp32_percent) = (percent(int8), percent(fp32));
        let (int8, fp32) = (int8.label.clone(), fp32.label.clone());
        table.row([photo.clone(), int8, int8_percent, fp32, fp32_percent, mark.to_owned()]);
    }
    table
}

fn timing_table(timings: &[Timing]) -> impl Display {
    let columns = [
        Column::text("milliseconds"),
        Column::number("p50"),
        Column::number("p90"),
        Column::number("p99"),
        Column::number("speed-up"),
    ];
    let mut table = Table::new(columns, terminal_width());
    let fp32 = timings.first().map_or(0.0, |fp32| fp32.p50);
    for Timing { network, threads, p50, p90, p99, .. } in timings {
        let threads = if *threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
        let [ratio, p50, p90, p99] = [fp32 / p50, *p50, *p90, *p99].map(|value| format!("{value:.2}"));
        table.row([format!("{network}, {threads}"), p50, p90, p99, ratio]);
    }
    table
}

fn infer(runner: &mut Runner<'_>, pixels: &[u8], logits: &mut [f32]) -> Result<(), Error> {
    runner.load_pixels(pixels).and_then(|()| runner.infer(logits)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_is_compared_on_as_many_threads() {
        let timing = |network: &str, threads, ms| {
            Timing::new(network, threads, vec![Duration::from_millis(ms)]).unwrap()
        };
        let timings =
            |int8| [timing("fp32 (tract)", 1, 20), timing("int8 (scalar)", 1, int8), timing("int8", 4, 30)];
        assert_eq!(slower_than_fp32(&timings(20)), None);
        let warning = slower_than_fp32(&timings(25)).expect("a warning");
        assert!(warning.contains("(int8 (scalar) 25.00 ms, fp32 (tract) 20.00 ms)"), "{warning}");
        assert_eq!(slower_than_fp32(&[]), None);
    }
}
