use super::*;
use crate::bundled;
use crate::emit::ClassName;
use crate::import::tests::tiny_network;
use crate::network::fold_batch_norm;
use resnext::preprocess::Preprocessing;
use resnext_evaluation::outcome::Outcome;
use resnext_evaluation::truth::{ClassIndex, Labelled, Truth};
use resnext_evaluation::{Evaluation, Outcomes};

/// Makes an evaluation in which int8 loses `lost` of ten right answers.
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

/// Escalates a tiny network. `losses` says how many answers each attempt loses; the last number counts for all later attempts.
fn run(losses: &[usize], limit: f64) -> (Escalated, Vec<Attempt>) {
    let mut network = tiny_network(64);
    fold_batch_norm(&mut network);
    let classes = (0..network.architecture.classes)
        .map(|class| ClassName { id: String::new(), label: format!("class {class}") })
        .collect();
    let options = Options {
        method: Method::Mse,
        techniques: Techniques::FAST,
        threads: 2,
        ..Options::new(Preprocessing::imagenet(64, 64), classes)
    };
    let samples = bundled::photos().take_spread(3);
    let mut losses = losses.iter().copied();
    let mut last = 0;
    let judge = |model: &Model<'_>| {
        last = losses.next().unwrap_or(last);
        Ok(losing(last, model))
    };
    let mut attempts = Vec::new();
    let note = |attempt: &Attempt| attempts.push(attempt.clone());
    let escalated = Compiler::new(&network, &options).compile_within(limit, &samples, judge, note);
    (escalated.expect("compiles"), attempts)
}

fn settings(attempts: &[Attempt]) -> Vec<(&'static str, &'static str)> {
    attempts.iter().map(|attempt| (attempt.method.name(), attempt.techniques.name())).collect()
}

/// The first attempt that is good enough ends the escalation.
#[test]
fn stops_when_met() {
    let (escalated, attempts) = run(&[4, 2, 1, 0], 20.0);
    assert!(escalated.met);
    assert_eq!(settings(&attempts), [("mse", "fast"), ("mse", "normal")]);
    assert_eq!((escalated.best, attempts[1].drop_pp, attempts[1].agreement), (1, 20.0, 0.8));
    assert!(attempts[1].interval.contains(20.0) && attempts[1].images == 10);
    let model = Model::from_bytes(&escalated.compiled.artifact).expect("loads");
    assert!(model.metadata().contains(r#""biases_corrected":true"#), "{}", model.metadata());
}

/// When everything has been tried, layer by layer in the end, the best attempt is returned, and `met` says that it is not enough.
#[test]
fn says_that_it_could_not() {
    let (escalated, attempts) = run(&[4, 3, 2, 5], 10.0);
    assert!(!escalated.met);
    assert_eq!(escalated.attempts, attempts);
    assert_eq!((escalated.best, attempts[escalated.best].drop_pp), (2, 20.0));
    let whole = [("mse", "fast"), ("mse", "normal"), ("mse", "high"), ("auto", "high")];
    assert_eq!(settings(&attempts[..4]), whole);
    assert!(attempts.len() > 4 && attempts.len() <= 4 + MAX_LAYERS, "{attempts:?}");
    for (more, attempt) in (1..).zip(&attempts[4..]) {
        assert_eq!((attempt.layers.len(), attempt.method), (more, Method::Mse), "{attempt:?}");
    }
    // The model is that of the best attempt.
    let model = Model::from_bytes(&escalated.compiled.artifact).expect("loads");
    assert!(model.metadata().contains(r#""method":"mse""#) && !model.metadata().contains("layers\":{"));
}

/// The metadata name the layers whose range another method has chosen.
#[test]
fn layers_are_in_the_metadata() {
    let (escalated, attempts) = run(&[4, 3, 2, 5, 1], 10.0);
    assert!(escalated.met && attempts.len() == 5, "{attempts:?}");
    let model = Model::from_bytes(&escalated.compiled.artifact).expect("loads");
    let metadata: serde_json::Value = serde_json::from_str(model.metadata()).expect("JSON");
    let (layer, method) = &attempts[4].layers[0];
    assert_eq!(metadata["calibration"]["layers"][layer], method.to_string(), "{metadata}");
}
