//! `resnext eval`: measures accuracy on labelled images, and the drop against fp32.

mod baseline;
mod page;
mod text;
mod warnings;

use crate::files::write::{PendingFile, check_distinct, check_writable, write_atomically};
use crate::machine::conditions::conditions;
use crate::machine::cpu_list::CpuList;
use crate::machine::load::Load;
use crate::session::artifact::Artifact;
use crate::session::exif::{ExifOption, note_rotated};
use crate::session::labelled::{calibrated_on, doubts, labelled, miscounted, note_left_out};
use crate::session::latency::Runs;
use crate::session::samples;
use crate::terminal::Error;
use crate::terminal::output;
use baseline::Baseline;
use clap::ValueEnum;
use resnext::{Kernels, Model};
use resnext_evaluation::identity::Identity;
use resnext_evaluation::journal::Journal;
use resnext_evaluation::provenance::Provenance;
use resnext_evaluation::record::{self, LogitType};
use resnext_evaluation::samples::Photos;
use resnext_evaluation::truth::{ClassIndex, Labelled};
use resnext_evaluation::{Evaluation, Run};
use resnext_report::Report;
use std::fs;
use std::path::{Path, PathBuf};
use warnings::warnings;

/// Measure accuracy on labelled images, and the drop against the fp32 network.
///
/// Both networks see the same pixels, so the difference is quantization alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
DIR has one folder for each class, named by identifier (wnid) or label; folders that match no class are left out \
and listed. Or --truth FILE has one line for each image:
  val/0001.JPEG 65          name and output of the model, from 0
  val/0001.JPEG n01751748   name and wnid, or label
  filename,label            a table with a header: commas, semicolons or tabs
  ILSVRC2012_val_00048981,n03995372 85 1 499 272   as LOC_val_solution.csv
  490                       as ILSVRC2012_validation_ground_truth.txt, or a wnid

Names are paths that may begin above or below DIR; the extension may be missing. The last form applies to the images sorted by name. Its numbers count from 1 in the order of the development kit \
(1 is the kit fox, 490 the sea snake), which is not the order of the wnids. If yours count in another order, \
give that order with --synsets FILE: on each line a wnid, or a wnid and a number.

The fp32 network of --baseline runs on tract. A board can use recorded logits instead:
  resnext eval model.rnx --data val --baseline a.onnx --record fp32.safetensors
  resnext eval model.rnx --data val --baseline fp32.safetensors
Recorded logits are valid only for the same pixels; other photos or another preprocessing are an error.

Examples:
  resnext eval model.rnx --data val --baseline net.pth --html report.html
  resnext eval model.rnx --data val --baseline net.onnx --resume eval.journal
  resnext eval model.rnx --data val --truth solution.csv --json | jq .int8.top1

JSON: images, skipped, photos: {rotated (how many have an EXIF orientation), exif: apply|ignore, left_out: {FORMAT: FILES}}, \
unmatched: [{name, images, ambiguous}], unrecorded, int8: {top1, top5, top1_ci95, \
top5_ci95}, classes, confusions: [{truth, answer, int8, fp32}], warnings, and with --baseline fp32 (as int8), drop_top1_pp, drop_top1_pp_ci95, \
drop_top5_pp, drop_top5_pp_ci95, agreement, agreement_ci95, flips: {lost, gained, both_wrong, images: [{image, flip, \
truth, fp32, int8}]}, mcnemar_p, kl_mean, kl_max, logit_sqnr_db; latency: [{network, threads, runs, ms}], conditions: \
{machine, date, load, command}; with --html, or if the model states it, layers: [{name, sqnr_db, alone_db, without_db, method, range}]. Accuracies and \
agreement are fractions of 1, _pp are percentage points, a positive drop is a loss, and _ci95 are the ends of a 95 % confidence interval.")]
pub(crate) struct Args {
    /// Model to evaluate
    #[arg(value_name = "MODEL.rnx")]
    model: PathBuf,

    /// Directory of images, with one folder for each class
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Ground truth: the class of each image, if the directory has no folder for each class
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,

    /// Order of the classes that --truth gives as numbers, one wnid on each line [default: that of ILSVRC2012's development
    /// kit]
    #[arg(long, value_name = "FILE", requires = "truth")]
    synsets: Option<PathBuf>,

    /// fp32 network to compare with: the file that the model was compiled from, or the recorded logits of that network
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Which of several sets of weights the baseline has: the key under which the checkpoint has them, such as ema
    #[arg(long, value_name = "KEY", requires = "baseline")]
    weights_key: Option<String>,

    /// Write the logits of the baseline, to use them as --baseline elsewhere
    #[arg(long, value_name = "OUT.safetensors", requires = "baseline")]
    record: Option<PathBuf>,

    /// Number format of --record
    #[arg(long, value_name = "TYPE", default_value = "f32", requires = "record")]
    record_type: RecordType,

    /// Number of images to use, spread evenly over the directory, or over the recorded images of --baseline [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    num: Option<u32>,

    #[command(flatten)]
    exif: ExifOption,

    /// Keep finished images in FILE, and continue from it if an earlier run was interrupted; deleted at the end
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,

    /// Write a report with pictures as one HTML file
    #[arg(long, value_name = "OUT.html")]
    html: Option<PathBuf>,

    /// Inferences of each network to time [default: 50 with --html, else 10; fewer if they take seconds]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: Option<u32>,

    /// Number of threads [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// CPUs to use, such as 0-3 or 0,2,4-5 [default: all]
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuList>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// `--record-type`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RecordType {
    /// 4 bytes for each logit
    F32,
    /// 2 bytes for each logit; logits that differ by less than 0.1 % may become equal
    F16,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    args.html.as_deref().map_or(Ok(()), check_writable)?;
    args.record.as_deref().map_or(Ok(()), check_writable)?;
    check_distinct(
        &[args.html.as_deref(), args.record.as_deref(), args.resume.as_deref()],
        &[Some(&args.model), args.baseline.as_deref(), args.truth.as_deref(), args.synsets.as_deref()],
    )?;
    let load = Load::now();
    let threads = samples::threads(args.threads, args.cpus.as_ref())?;
    let artifact = Artifact::open(&args.model)?.packed(Kernels::detect().packing())?;
    let model = artifact.model()?;
    let truth = (args.truth.as_deref(), args.synsets.as_deref());
    let exif = args.exif.or_of(&model);
    let classes = ClassIndex::new(&model);
    let (images, left_out) = labelled(&args.data, truth, &classes, exif)?;
    let mapped = args.baseline.as_deref().map(baseline::map).transpose()?;
    let baseline = args.baseline.as_deref().zip(mapped.as_deref());
    let weights_key = args.weights_key.as_deref();
    let baseline =
        baseline.map(|(path, bytes)| Baseline::open(path, weights_key, bytes, &model)).transpose()?;
    let num = args.num.map(|num| num as usize);
    // Recorded images come first: those that --num would choose of all images need not be those that it chose for the record.
    let images = match &baseline {
        Some(baseline) => baseline.recorded(images, num)?,
        None => images,
    };
    let images = match num {
        Some(num) => {
            samples::note_fewer(&args.data, images.len(), num);
            images.take_spread(num)
        }
        None => images,
    };
    let photos = Photos { rotated: images.samples().rotated(), exif, left_out };
    note_rotated("image", photos.rotated, images.len(), exif);
    let provenance = provenance(args, baseline.as_ref(), mapped.as_deref())?;
    let journal = journal(args, &model, &images, &provenance)?;

    let progress = samples::progress();
    progress.set_message("evaluating");
    let run = Run { model: &model, images: &images, journal: journal.as_ref(), threads, progress: &progress };
    let outcomes = match &baseline {
        None => resnext_evaluation::run(&run, None).map_err(|error| Error::new("", error)),
        Some(baseline) => baseline.run(&run),
    };
    progress.finish_and_clear();
    let evaluation = Evaluation::new(&images, outcomes?).ok_or_else(|| {
        let what = format!("none of the {} labelled images can be decoded; give photos", images.len());
        Error::at(&args.data, what)
    })?;
    note_left_out(&evaluation);

    let mut report =
        Report::new(&model, file_name(&args.model), concat!("resnext ", env!("CARGO_PKG_VERSION")));
    report.evaluation = Some(&evaluation);
    report.photos = Some(photos);
    report.baseline = baseline.as_ref().map(|baseline| baseline.name(&provenance));
    let runs = match (args.runs, &args.html) {
        (Some(runs), _) => Runs::Exactly(runs),
        (None, Some(_)) => Runs::MANY,
        (None, None) => Runs::FEW,
    };
    let timed = page::time(&model, baseline.as_ref(), runs, load)?;
    report.latency = timed.latency;
    report.conditions = Some(conditions(load));
    report.warnings = warnings(&model, &evaluation);
    report.warnings.extend(doubts(&args.data, &images));
    report.warnings.extend(miscounted(&images, &evaluation, &classes));
    report.warnings.extend(calibrated_on(&model, &evaluation));
    report.warnings.extend(timed.warnings);
    report.warnings.iter().for_each(output::note);
    if let (Some(path), Some(journal)) = (&args.record, &journal) {
        let kind = match args.record_type {
            RecordType::F32 => LogitType::F32,
            RecordType::F16 => LogitType::F16,
        };
        let mut file = PendingFile::create(path)?;
        file.write(|out| record::write(out, journal, images.samples(), &model, &provenance, kind))?;
        file.commit()?;
    }
    if let Some(path) = &args.html {
        page::fill(&mut report, &images, baseline.as_ref(), threads)?;
        write_atomically(path, resnext_report::html(&report).as_bytes())?;
    }
    if args.json {
        output::print_json(&resnext_report::json(&report))?;
    } else if args.markdown {
        output::print(&resnext_report::markdown(&report))?;
    } else {
        text::print(&model, &evaluation, (&report.latency, report.conditions.as_ref()), args)?;
    }
    if let Some(path) = &args.resume {
        // The journal is no longer needed. If it stays, it only repeats what is known.
        let _ = fs::remove_file(path);
    }
    Ok(())
}

fn provenance(
    args: &Args,
    baseline: Option<&Baseline<'_>>,
    bytes: Option<&[u8]>,
) -> Result<Provenance, Error> {
    match baseline {
        Some(Baseline::Recorded { record, .. }) if args.record.is_none() => Ok(record.provenance().clone()),
        Some(Baseline::Recorded { path, .. }) => {
            Err(Error::at(path, "is a record already; --record needs the fp32 network as --baseline"))
        }
        #[cfg(feature = "compile")]
        Some(Baseline::Network { path, .. }) => {
            // Only files that outlive this run need to identify the baseline.
            let kept = args.record.is_some() || args.resume.is_some();
            let checksum = bytes.filter(|_| kept).map_or(0, resnext_evaluation::provenance::checksum);
            Ok(Provenance { baseline: file_name(path), checksum })
        }
        None => {
            let _ = bytes;
            Ok(Provenance::default())
        }
    }
}

/// Opens the journal, if the options need one.
fn journal(
    args: &Args,
    model: &Model<'_>,
    images: &Labelled,
    provenance: &Provenance,
) -> Result<Option<Journal>, Error> {
    let logits = if args.record.is_some() { model.class_count() } else { 0 };
    let failed = |error| Error::new("", error);
    match (&args.resume, &args.record) {
        (Some(path), _) => {
            let identity = Identity::new(model, images, provenance);
            Journal::open(path, identity, logits).map(Some).map_err(failed)
        }
        (None, Some(path)) => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let file = tempfile::tempfile_in(directory.unwrap_or(Path::new(".")));
            let file = file.map_err(|error| {
                Error::at(path, format_args!("cannot be written: {error}; free some space"))
            })?;
            Journal::anonymous(file, logits).map(Some).map_err(failed)
        }
        (None, None) => Ok(None),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
