use super::*;
use crate::bundled;
use crate::network::batch_norm::fold_batch_norm;
use crate::import::tests::tiny_network;
use crate::preprocessing::Preprocessing;
use resnext_evaluation::outcome::Outcome;
use resnext_evaluation::truth::{ClassIndex, Labelled, Truth};
use resnext_evaluation::{Evaluation, Outcomes};

/// An evaluation of which `lost` of ten right answers are lost.
fn losing(lost: usize, model: &Model<'_>) -> Evaluation {
    let photo = bundled::photos().get(0).expect("a photo").clone();
    let truth = Truth::parse(&format!("{} 0", photo.key())).expect("one line");
    let images = std::iter::repeat_n(photo, 10).collect();
    let labelled = Labelled::by_truth(&images, &ClassIndex::new(model), &truth, None).expect("labelled");
    let (mut right, mut wrong) = (vec![0.0; model.class_count()], vec![0.0; model.class_count()]);
    (right[0], wrong[1]) = (1.0, 1.0);
    let outcome = |image| Outcome::new(image, 0, if image < lost { &wrong } else { &right }, Some(&right));
    Evaluation::new(&labelled, Outcomes { done: (0..10).map(outcome).collect(), failed: Vec::new() })
        .expect("images")
}

/// Escalates a tiny network whose attempts lose so many answers each, the last for all that follow.
fn run(losses: &[usize], limit: f64) -> (Escalated, Vec<Attempt>) {
    let mut network = tiny_network(64);
    fold_batch_norm(&mut network);
    let classes = (0..network.topology.classes)
        .map(|class| crate::emit::ClassName { id: String::new(), label: format!("class {class}") })
        .collect();
    let options = Options {
        method: Method::Mse,
        techniques: Techniques::FAST,
        sensitivity: false,
        preprocessing: Preprocessing::imagenet(64, 64),
        classes,
        source: String::new(),
        threads: 2,
        keep_quantized: false,
    };
    let samples = bundled::photos().take_spread(3);
    let mut losses = losses.iter().copied();
    let mut last = 0;
    let judge = |model: &Model<'_>| {
        last = losses.next().unwrap_or(last);
        Ok(losing(last, model))
    };
    let mut told = Vec::new();
    let tell = |attempt: &Attempt| told.push(attempt.clone());
    let escalated = escalate(&network, &samples, &options, limit, judge, tell, &ProgressBar::hidden());
    (escalated.expect("compiles"), told)
}

fn settings(attempts: &[Attempt]) -> Vec<(&'static str, &'static str)> {
    attempts.iter().map(|attempt| (attempt.method.name(), attempt.techniques.name())).collect()
}

/// The cheapest that is good enough is taken, and nothing is tried after it.
#[test]
fn stops_when_met() {
    let (escalated, told) = run(&[4, 2, 1, 0], 20.0);
    assert!(escalated.met);
    assert_eq!(settings(&told), [("mse", "fast"), ("mse", "normal")]);
    assert_eq!((escalated.best, told[1].drop_pp, told[1].agreement), (1, 20.0, 0.8));
    assert!(told[1].interval.contains(20.0) && told[1].images == 10);
    let model = Model::from_bytes(&escalated.compiled.artifact).expect("loads");
    assert!(model.metadata().contains(r#""biases_corrected":true"#), "{}", model.metadata());
}

/// When everything has been tried, layer by layer in the end, the best is told for what it is.
#[test]
fn says_that_it_could_not() {
    let (escalated, told) = run(&[4, 3, 2, 5], 10.0);
    assert!(!escalated.met);
    assert_eq!(escalated.attempts, told);
    assert_eq!((escalated.best, told[escalated.best].drop_pp), (2, 20.0));
    let whole = [("mse", "fast"), ("mse", "normal"), ("mse", "high"), ("auto", "high")];
    assert_eq!(settings(&told[..4]), whole);
    assert!(told.len() > 4 && told.len() <= 4 + MOST_LAYERS, "{told:?}");
    for (more, attempt) in (1..).zip(&told[4..]) {
        assert_eq!((attempt.layers.len(), attempt.method), (more, Method::Mse), "{attempt:?}");
    }
    // The best model is that of the best attempt.
    let model = Model::from_bytes(&escalated.compiled.artifact).expect("loads");
    assert!(model.metadata().contains(r#""method":"mse""#) && !model.metadata().contains("layers\":{"));
}

/// A model made layer by layer says which ranges are not by its method.
#[test]
fn layers_are_in_the_metadata() {
    let (escalated, told) = run(&[4, 3, 2, 5, 1], 10.0);
    assert!(escalated.met && told.len() == 5, "{told:?}");
    let model = Model::from_bytes(&escalated.compiled.artifact).expect("loads");
    let metadata: serde_json::Value = serde_json::from_str(model.metadata()).expect("JSON");
    let (layer, method) = &told[4].layers[0];
    assert_eq!(metadata["calibration"]["layers"][layer], method.to_string(), "{metadata}");
}
