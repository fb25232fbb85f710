//! `resnext demo`: the whole path on this machine, with what the program carries.

use crate::error::Error;
use crate::output::{self, Column, Facts, Table, bar, size, terminal_width};
use crate::source;
use crate::statistics::{Times, milliseconds};
use crate::write::{check_writable, write_atomically};
use resnext::{Kernels, Model, Pool, Runner, Workers};
use resnext_calibration::bundled;
use resnext_calibration::compile::{Compiled, Options, compile};
use resnext_calibration::fidelity::argmax;
use resnext_calibration::fold::fold_batch_norm;
use resnext_calibration::fp32::Fp32Model;
use resnext_calibration::import::{ImportOptions, load_safetensors};
use resnext_calibration::network::Network;
use resnext_calibration::observe::Method;
use resnext_calibration::samples::Samples;
use resnext_models::reference;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Calibrate, compile, classify and time the bundled model: no arguments, no network.
///
/// Shows everything this program does with what it carries: an fp32 ResNeXt-26 trained on ten ImageNet
/// classes, and a dozen freely licensed photos.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep the compiled model
    #[arg(short, long, value_name = "OUT.rnx")]
    output: Option<PathBuf>,

    /// Inferences to time, of each network
    #[arg(long, value_name = "R", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,

    /// Threads of the int8 network [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// Inferences before timing starts.
const WARMUP: u32 = 3;

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let internal = |error: &dyn Display| Error::new("demo", error);
    args.output.as_deref().map_or(Ok(()), check_writable)?;
    let variant = &reference::VARIANT;
    let size_px = usize::from(variant.preprocess.size);
    let mut network = load_safetensors(
        reference::WEIGHTS,
        variant.name,
        ImportOptions {
            input_size: Some(size_px),
        },
    )
    .map_err(|error| internal(&error))?;
    fold_batch_norm(&mut network);
    heading("1. An fp32 ResNeXt")?;
    let parameters = network.topology.depth();
    let mut facts = Facts::default();
    facts.add(
        "network",
        format!(
            "ResNeXt-{parameters}, {} groups, {} classes",
            network.topology.cardinality, network.topology.classes
        ),
    );
    facts.add(
        "weights",
        format!(
            "{:.1} M parameters, bundled",
            variant.architecture.params() as f64 / 1e6
        ),
    );
    facts.add(
        "work",
        format!(
            "{:.2} GMAC at {size_px}×{size_px}",
            variant.architecture.macs(size_px) as f64 / 1e9
        ),
    );
    output::print(&facts)?;

    heading("2. Calibrate and compile to int8")?;
    let photos = bundled::photos();
    let options = Options {
        method: Method::Max,
        preprocessing: source::preprocessing(Some(variant), &network)?,
        classes: bundled::reference_classes(),
        source: variant.to_string(),
        threads: source::threads(None),
    };
    let progress = source::progress();
    let start = Instant::now();
    let compiled = compile(&network, &photos, &options, &progress);
    progress.finish_and_clear();
    let compiled = compiled.map_err(|error| internal(&error))?;
    let seconds = start.elapsed().as_secs_f64();
    let model = Model::from_bytes(&compiled.artifact).map_err(|error| internal(&error))?;
    describe_compiled(&compiled, &model, seconds)?;
    if let Some(path) = &args.output {
        write_atomically(path, &compiled.artifact)?;
    }

    heading("3. Classify")?;
    let mut fp32 = Fp32Model::new(&network, &[]).map_err(|error| internal(&error))?;
    classify(&model, &mut fp32, &options, &photos)?;

    heading("4. Latency")?;
    latency(args, &model, &network, &mut fp32, &options, &photos)?;

    heading("5. Accuracy")?;
    output::print(&ACCURACY)
}

const ACCURACY: &str = "\
None of these photos shows one of the model's ten classes, so the answers above are guesses; what counts here
is that int8 and fp32 make the same ones. Accuracy, and what int8 costs of it, need labelled images:

  1. Imagenette, ten classes of ImageNet (https://github.com/fastai/imagenette, the 160 px archive)
  2. resnext demo -o demo.rnx
  3. resnext eval demo.rnx --data imagenette2-160/val \\
       --baseline models/reference/resnext26_16x4d_half-imagenette.safetensors

For a model of your own: resnext compile --help
";

fn heading(text: &str) -> Result<(), Error> {
    let gap = if text.starts_with("1.") { "" } else { "\n" };
    output::print(&format_args!("{gap}{text}\n\n"))
}

fn describe_compiled(compiled: &Compiled, model: &Model<'_>, seconds: f64) -> Result<(), Error> {
    let report = &compiled.report;
    let mut facts = Facts::default();
    facts.add(
        "calibrated",
        format!("on {} bundled photos in {seconds:.1} s", report.calibrated),
    );
    facts.add("model", size(compiled.artifact.len() as u64));
    facts.add(
        "arena",
        format!(
            "{}, all the memory an inference needs",
            size(model.arena_len() as u64)
        ),
    );
    let mut table = Table::new(
        [
            Column::text("layer"),
            Column::number("SQNR dB"),
            Column::text(""),
            Column::text("int8 covers").optional(1),
        ],
        terminal_width(),
    );
    for layer in &report.layers {
        table.row([
            layer.name.clone(),
            format!("{:.1}", layer.sqnr_db),
            bar(layer.sqnr_db / 50.0, 25),
            layer
                .range
                .map_or_else(String::new, |r| format!("{:.2} to {:.2}", r.low, r.high)),
        ]);
    }
    output::print(&format_args!("{facts}\n{table}"))
}

fn classify(
    model: &Model<'_>,
    fp32: &mut Fp32Model,
    options: &Options,
    photos: &Samples,
) -> Result<(), Error> {
    let mut table = Table::new(
        [
            Column::text("photo"),
            Column::text("int8"),
            Column::number("%"),
            Column::text("fp32"),
            Column::number("%"),
            Column::text(""),
        ],
        terminal_width(),
    );
    let mut arena = vec![0; model.arena_len()];
    let mut runner = Runner::new(model, &mut arena).map_err(|error| Error::new("demo", error))?;
    let mut agreeing = 0;
    for photo in photos {
        let image = photo.decode().map_err(|error| Error::new("demo", error))?;
        let pixels = options
            .preprocessing
            .crop(&image)
            .map_err(|error| Error::new("demo", error))?;
        let mut int8 = vec![0.0; model.class_count()];
        runner
            .load_pixels(&pixels)
            .map_err(|error| Error::new("demo", error))?;
        runner
            .infer(&mut int8, &mut ())
            .map_err(|error| Error::new("demo", error))?;
        let outputs = fp32
            .run(&options.preprocessing.normalize(&pixels))
            .map_err(|error| Error::new("demo", error))?;
        let agrees = argmax(&int8) == argmax(outputs.logits());
        agreeing += usize::from(agrees);
        let answer = |logits: &[f32]| {
            let hits = resnext::top_k::<1>(logits);
            hits.first().map_or_else(Default::default, |hit| {
                let label = options
                    .classes
                    .get(hit.class)
                    .map_or("", |class| class.label.as_str());
                (label.to_owned(), format!("{:.1}", 100.0 * hit.probability))
            })
        };
        let ((int8, int8_p), (fp32, fp32_p)) = (answer(&int8), answer(outputs.logits()));
        let mark = if agrees { "" } else { "differs" };
        table.row([
            photo.name().to_owned(),
            int8,
            int8_p,
            fp32,
            fp32_p,
            mark.to_owned(),
        ]);
    }
    output::print(&format_args!(
        "{table}\nint8 and fp32 agree on {agreeing} of {} photos.\n",
        photos.len()
    ))
}

fn latency(
    args: &Args,
    model: &Model<'_>,
    network: &Network,
    fp32: &mut Fp32Model,
    options: &Options,
    photos: &Samples,
) -> Result<(), Error> {
    let failed = |error: &dyn Display| Error::new("demo", error);
    let Some(photo) = photos.iter().next() else {
        return Ok(());
    };
    let image = photo.decode().map_err(|error| failed(&error))?;
    let pixels = options
        .preprocessing
        .crop(&image)
        .map_err(|error| failed(&error))?;
    let normalized = options.preprocessing.normalize(&pixels);
    let threads = source::threads(args.threads);
    let pool = Pool::new(threads).map_err(|error| failed(&error))?;
    let mut logits = vec![0.0; network.topology.classes];
    let (mut arena, mut arena_threads) = (vec![0; model.arena_len()], vec![0; model.arena_len()]);
    let mut alone = Runner::new(model, &mut arena).map_err(|error| failed(&error))?;
    let mut together = Runner::new(model, &mut arena_threads)
        .map_err(|error| failed(&error))?
        .with_workers(&pool);

    let [mut fp32_times, mut alone_times, mut together_times] = [const { Vec::<Duration>::new() }; 3];
    // Interleaved, so that a change of the machine's speed meets all alike.
    for run in 0..WARMUP + args.runs {
        let times = [
            time(|| fp32.run(&normalized).map(drop).map_err(|error| failed(&error)))?,
            time(|| infer(&mut alone, &pixels, &mut logits))?,
            time(|| infer(&mut together, &pixels, &mut logits))?,
        ];
        if run >= WARMUP {
            for (all, time) in [&mut fp32_times, &mut alone_times, &mut together_times]
                .into_iter()
                .zip(times)
            {
                all.push(time);
            }
        }
    }
    let mut table = Table::new(
        [
            Column::text("milliseconds"),
            Column::number("p50"),
            Column::number("p90"),
            Column::number("p99"),
            Column::number("fp32 ÷"),
        ],
        terminal_width(),
    );
    let median = Times::new(fp32_times.clone()).map_or(0.0, |times| milliseconds(times.percentile(50)));
    let isa = Kernels::detect().isa();
    let mut rows = vec![
        ("fp32 (tract), 1 thread".to_owned(), fp32_times),
        (format!("int8 ({isa}), 1 thread"), alone_times),
    ];
    if pool.count() > 1 {
        rows.push((format!("int8 ({isa}), {} threads", pool.count()), together_times));
    }
    for (name, times) in rows {
        let Some(times) = Times::new(times) else { continue };
        let at = |percent| milliseconds(times.percentile(percent));
        let [p50, p90, p99] = [50, 90, 99].map(|percent| format!("{:.2}", at(percent)));
        table.row([name, p50, p90, p99, format!("{:.2}", median / at(50))]);
    }
    output::print(&format_args!(
        "{table}\n{} runs of each, interleaved, on this machine.\n",
        args.runs
    ))
}

fn infer(runner: &mut Runner<'_>, pixels: &[u8], logits: &mut [f32]) -> Result<(), Error> {
    let result = runner
        .load_pixels(pixels)
        .and_then(|()| runner.infer(logits, &mut ()));
    result.map_err(|error| Error::new("demo", error))
}

fn time(run: impl FnOnce() -> Result<(), Error>) -> Result<Duration, Error> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed())
}
