//! Measures what each part of calibration gains, on labelled images, and prints it as a table in Markdown.

use indicatif::ProgressBar;
use resnext::Model;
use resnext::preprocess::Preprocessing;
use resnext_calibration::evaluate::Judge;
use resnext_calibration::import::{ImportOptions, load_with};
use resnext_calibration::network::fold_batch_norm;
use resnext_calibration::{Compiler, Method, Options, ScaleSource, Techniques, bundled, synthetic_images};
use resnext_evaluation::samples::Samples;
use resnext_evaluation::truth::{ClassIndex, Labelled};
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

const USAGE: &str = "MODEL SIZE DATA CACHE NUM ROW...: DATA has folders calib and val, CACHE keeps fp32 logits, a row is a \
                     method or percentage, then +bias, +gptq, +free, +synthetic";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or(USAGE);
    let (model, size, data, cache) =
        (PathBuf::from(next()?), next()?.parse::<u32>()?, PathBuf::from(next()?), PathBuf::from(next()?));
    let num: usize = next()?.parse()?;
    let rows: Vec<String> = args.collect();
    let mut network = load_with(&model, ImportOptions::of_size(size as usize))?;
    fold_batch_norm(&mut network);
    // timm's rule for the usual crop of 0.875.
    let preprocessing = Preprocessing::imagenet(size, size * 8 / 7);
    let synthetic = synthetic_images();
    let calib = Samples::open(&data.join("calib"))?.take_spread(num);
    let val = Samples::open(&data.join("val"))?;
    std::fs::create_dir_all(&cache)?;
    let kept = cache.join(format!("{}-{size}.safetensors", network.name));
    let progress = ProgressBar::hidden();
    let classes = bundled::reference_classes();
    let names = classes.iter().map(|class| (class.id.as_str(), class.label.as_str()));
    let images = Labelled::by_folder(&val, &ClassIndex::of(names))?;
    let mut judge = Judge::new(&network, &images, 2, &progress);
    if let Ok(record) = std::fs::read(&kept) {
        judge = judge.recorded(record);
    }
    println!(
        "| row | drop, points | lost, gained | agreement % | logits dB | logits dB, calibration photos | KL, nats | s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for row in rows {
        let (method, techniques, source) = parse(&row)?;
        let options =
            Options { method, techniques, threads: 2, ..Options::new(preprocessing, classes.clone()) };
        let start = Instant::now();
        let scales = match source {
            Source::Photos => ScaleSource::Samples(&calib),
            Source::BatchNorms => ScaleSource::BatchNorms,
            Source::Synthetic => ScaleSource::Samples(&synthetic),
        };
        let compiled = Compiler::new(&network, &options).compile(scales)?;
        let seconds = start.elapsed().as_secs_f64();
        let model = Model::from_bytes(&compiled.artifact)?;
        let evaluation = judge.judge(&model)?;
        if !kept.exists() {
            std::fs::write(&kept, judge.record().unwrap_or_default())?;
        }
        let comparison = evaluation.comparison.ok_or("no fp32 logits")?;
        println!(
            "| {row} | {:+.2} | {}, {} | {:.2} | {:.1} | {:.1} | {:.1e} | {seconds:.0} |",
            comparison.drop_top1_pp().0,
            comparison.top1.lost,
            comparison.top1.gained,
            100.0 * comparison.agreement.share(),
            comparison.logit_sqnr_db,
            compiled.report.logit_sqnr_db,
            comparison.kl_mean,
        );
    }
    Ok(())
}

/// Where the scales of a row come from.
enum Source {
    Photos,
    BatchNorms,
    /// Synthetic images, used as if they were photos.
    Synthetic,
}

fn parse(row: &str) -> Result<(Method, Techniques, Source), Box<dyn Error>> {
    let mut parts = row.split('+');
    let method = match parts.next().unwrap_or_default() {
        "max" => Method::Max,
        "mse" => Method::Mse,
        "entropy" => Method::Entropy,
        "auto" => Method::Auto,
        percentage => Method::Percentile(percentage.parse()?),
    };
    let (mut techniques, mut source) = (Techniques::default(), Source::Photos);
    for part in parts {
        match part {
            "bias" => techniques.correct_bias = true,
            "gptq" => techniques.round_together = true,
            "free" => source = Source::BatchNorms,
            "synthetic" => source = Source::Synthetic,
            other => return Err(format!("{other}: not a technique; {USAGE}").into()),
        }
    }
    Ok((method, techniques, source))
}
