//! Neither interruptions nor the number of threads change the result of an evaluation.

use indicatif::ProgressBar;
use resnext::Model;
use resnext_evaluation::identity::Identity;
use resnext_evaluation::journal::Journal;
use resnext_evaluation::outcome::Outcome;
use resnext_evaluation::provenance::Provenance;
use resnext_evaluation::record::{self, LogitType, Record};
use resnext_evaluation::samples::{Sample, Samples};
use resnext_evaluation::truth::{ClassIndex, Labelled, Truth};
use resnext_evaluation::{Outcomes, Run, RunFailed, run};
use resnext_models::reference;
use std::path::Path;

fn model() -> Model<'static> {
    Model::from_bytes(reference::ARTIFACT).expect("bundled")
}

/// Returns some bundled photos, labelled alternately as church and tench, and a broken one.
fn images(model: &Model<'_>) -> Labelled {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../calibration/samples");
    let mut samples: Vec<Sample> =
        Samples::open(&directory).expect("photos").iter().take(7).cloned().collect();
    samples.insert(3, Sample::embedded("broken.jpg", None, b"\xff\xd8\xff no photo"));
    let line = |(i, sample): (usize, &Sample)| {
        format!("{} {}\n", sample.key(), if i % 2 == 0 { "church" } else { "tench" })
    };
    let truth: String = samples.iter().enumerate().map(line).collect();
    let truth = Truth::parse(&truth).expect("labels");
    Labelled::by_truth(&samples.into_iter().collect(), &ClassIndex::new(model), &truth, None).expect("labels")
}

/// Returns a record of `images` with made-up logits, written through a journal.
fn record(model: &Model<'_>, images: &Labelled, change: impl Fn(&mut Outcome, &mut Vec<f32>)) -> Vec<u8> {
    let journal =
        Journal::anonymous(tempfile::tempfile().expect("file"), model.class_count()).expect("journal");
    let done = evaluate(model, images, None, None, 2).expect("runs").done;
    for outcome in done {
        let mut fp32: Vec<f32> = (0..10).map(|class| ((outcome.image + 3 * class) % 7) as f32).collect();
        let mut outcome = Outcome::new(outcome.image, outcome.pixels, &fp32, Some(&fp32));
        change(&mut outcome, &mut fp32);
        journal.add(&outcome, &fp32).expect("room");
    }
    let mut bytes = Vec::new();
    let provenance = Provenance { baseline: "made up".into(), checksum: 1 };
    record::write(&mut bytes, &journal, images.samples(), model, &provenance, LogitType::F32)
        .expect("writes");
    bytes
}

fn evaluate(
    model: &Model<'_>,
    images: &Labelled,
    baseline: Option<&Record<'_>>,
    journal: Option<&Journal>,
    threads: usize,
) -> Result<Outcomes, RunFailed> {
    let progress = ProgressBar::hidden();
    let outcomes = run(&Run { model, images, journal, threads, progress: &progress }, baseline);
    if outcomes.is_ok() {
        assert_eq!(Some(progress.position()), progress.length());
    }
    outcomes
}

#[test]
fn an_interruption_changes_nothing() {
    let model = model();
    let images = images(&model);
    let bytes = record(&model, &images, |_, _| {});
    let baseline = Record::from_bytes(&bytes, &model).expect("sound");
    let whole = evaluate(&model, &images, Some(&baseline), None, 1).expect("runs");
    assert_eq!((whole.done.len(), whole.failed.len()), (7, 1));
    assert_eq!(whole.failed[0].name, "broken.jpg");
    assert!(whole.done.iter().all(|outcome| outcome.fp32.is_some()));

    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("journal");
    let identity = Identity::new(&model, &images, baseline.provenance());
    let open = || Journal::open(&path, identity, 0).expect("journal");
    let full = {
        let outcomes = evaluate(&model, &images, Some(&baseline), Some(&open()), 2).expect("runs");
        assert_eq!(outcomes.done, whole.done);
        std::fs::read(&path).expect("journal")
    };
    // The journal is cut between entries and within them. Whole entries are not run again.
    for (threads, len) in (0..=full.len()).step_by(full.len() / 9).enumerate() {
        std::fs::write(&path, &full[..len]).expect("room");
        let journal = open();
        let outcomes =
            evaluate(&model, &images, Some(&baseline), Some(&journal), 1 + threads % 3).expect("runs");
        assert_eq!(
            (outcomes.done, outcomes.failed),
            (whole.done.clone(), whole.failed.clone()),
            "{len} bytes"
        );
        assert_eq!(std::fs::metadata(&path).expect("journal").len(), full.len() as u64);
    }
}

/// Model, images, labels and baseline identify an evaluation.
#[test]
fn another_evaluation_has_another_identity() {
    let model = model();
    let images = images(&model);
    let of = |images: &Labelled, baseline: &Provenance| Identity::new(&model, images, baseline);
    let none = Provenance::default();
    let identity = of(&images, &none);
    assert_eq!(identity, of(&images, &none));
    assert_ne!(identity, of(&images.take_spread(4), &none));
    assert_ne!(identity, of(&images, &Provenance { checksum: 1, ..none.clone() }));
    assert_ne!(identity, of(&images, &Provenance { baseline: "x".into(), ..none.clone() }));
    // Another packing of the weights is the same model.
    let mut repacked = reference::ARTIFACT.to_vec();
    resnext::pack::repack(&mut repacked, resnext::pack::Packing::K8).expect("repacks");
    let repacked = Model::from_bytes(&repacked).expect("loads");
    assert_eq!(identity, Identity::new(&repacked, &images, &none));
}

#[test]
fn other_pixels_than_recorded_stop_the_run() {
    let model = model();
    let images = images(&model);
    let bytes = record(&model, &images, |outcome, _| outcome.pixels ^= u64::from(outcome.image == 4));
    let baseline = Record::from_bytes(&bytes, &model).expect("sound");
    let error = evaluate(&model, &images, Some(&baseline), None, 2).expect_err("other pixels");
    assert!(matches!(&error, RunFailed::Pixels(name) if name.contains("cat")), "{error}");

    let bytes = record(&model, &images, |outcome, fp32| {
        if outcome.image == 4 {
            fp32[2] = f32::NAN;
        }
    });
    let baseline = Record::from_bytes(&bytes, &model).expect("sound");
    let error = evaluate(&model, &images, Some(&baseline), None, 2).expect_err("NaN");
    assert!(matches!(&error, RunFailed::NotFinite(name) if name.contains("cat")), "{error}");
}
