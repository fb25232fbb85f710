use super::*;
use crate::samples::{Sample, Samples};
use crate::truth::ClassIndex;
use resnext::Model;
use resnext_models::reference;

/// Returns logits of ten classes. `order` lists the largest ones.
fn logits(order: &[usize]) -> Vec<f32> {
    let mut logits = vec![-9.0; 10];
    order.iter().enumerate().for_each(|(place, &class)| logits[class] = 5.0 - place as f32);
    logits
}

/// Returns images of tench (class 0), tench, golf ball (8) and golf ball.
fn images() -> Labelled {
    let sample =
        |(folder, name): (&str, &str)| Sample::embedded(format!("{folder}/{name}"), Some(folder), b"");
    let names = [("tench", "a"), ("tench", "b"), ("golf ball", "c"), ("golf ball", "d"), ("else", "e")];
    let samples: Samples = names.into_iter().map(sample).collect();
    let model = Model::from_bytes(reference::ARTIFACT).expect("bundled");
    Labelled::by_folder(&samples, &ClassIndex::new(&model)).expect("labelled")
}

fn outcomes(answers: &[(&[usize], Option<&[usize]>)]) -> Outcomes {
    let outcome = |(image, (int8, fp32)): (usize, &(&[usize], Option<&[usize]>))| {
        let fp32 = fp32.map(logits);
        Outcome::new(image, 0, &logits(int8), fp32.as_deref())
    };
    let failed = SampleError { name: "broken".into(), reason: "is damaged".into() };
    Outcomes { done: answers.iter().enumerate().map(outcome).collect(), failed: vec![failed] }
}

#[test]
fn everything_is_counted() {
    let outcomes = outcomes(&[
        (&[0, 1], Some(&[0, 2])),
        (&[1, 0], Some(&[0, 1])),
        (&[8], Some(&[1, 2, 3, 4, 5, 8])),
        (&[2, 3, 4, 5, 6, 8], Some(&[2, 8])),
    ]);
    let evaluation = Evaluation::new(&images(), outcomes).expect("images");
    assert_eq!((evaluation.images, evaluation.skipped()), (4, 2));
    let of = |hits| Proportion { hits, of: 4 };
    assert_eq!(evaluation.int8, Accuracy { top1: of(2), top5: of(3) });
    let comparison = evaluation.comparison.as_ref().expect("compared");
    assert_eq!(comparison.fp32, Accuracy { top1: of(2), top5: of(3) });
    assert_eq!(comparison.agreement, of(2));
    assert_eq!(comparison.top1, Paired { images: 4, lost: 1, gained: 1 });
    assert_eq!(comparison.top5, Paired { images: 4, lost: 1, gained: 1 });
    assert_eq!(comparison.names(FlipKind::Lost).collect::<Vec<_>>(), ["tench/b"]);
    assert_eq!(comparison.names(FlipKind::Gained).collect::<Vec<_>>(), ["golf ball/c"]);
    assert_eq!(comparison.count(FlipKind::BothWrong), 0, "both are wrong about d, in the same way");
    let flip = &comparison.flips[0];
    assert_eq!((flip.image, flip.truth, flip.int8.class(), flip.fp32.class()), (1, 0, 1, 0));
    let of = |hits| Proportion { hits, of: 2 };
    let expected = [
        ClassSummary { class: 0, int8: of(1), fp32: of(2), lost: 1, gained: 0 },
        ClassSummary { class: 8, int8: of(1), fp32: of(0), lost: 0, gained: 1 },
    ];
    assert_eq!(evaluation.classes, expected);
    assert_eq!(expected.map(|class| class.drop()), [0.5, -0.5]);
    assert!(comparison.kl_max >= comparison.kl_mean && comparison.kl_mean > 0.0);
}

/// The images on which the networks differ are listed, also those that both have wrong.
#[test]
fn flips_are_all_that_differ() {
    let outcomes = outcomes(&[
        (&[3, 1], Some(&[4, 2])),
        (&[1, 0], Some(&[0, 1])),
        (&[8], Some(&[1])),
        (&[2], Some(&[2])),
    ]);
    let evaluation = Evaluation::new(&images(), outcomes).expect("images");
    let comparison = evaluation.comparison.as_ref().expect("compared");
    let flips: Vec<_> = comparison.flips.iter().map(|flip| (flip.name.as_str(), flip.kind)).collect();
    let expected =
        [("tench/b", FlipKind::Lost), ("golf ball/c", FlipKind::Gained), ("tench/a", FlipKind::BothWrong)];
    assert_eq!(flips, expected);
    assert_eq!(comparison.agreement.of - comparison.agreement.hits, flips.len());
    assert_eq!(FlipKind::ALL.map(|kind| comparison.count(kind)), [1, 1, 1]);
    // The same as sklearn.metrics.confusion_matrix, a row of (truth, answer) for each cell that is not zero.
    let cells: Vec<_> = evaluation.confusions.iter().map(|c| (c.truth, c.answer, c.int8, c.fp32)).collect();
    assert_eq!(
        cells,
        [(0, 0, 0, 1), (0, 1, 1, 0), (0, 3, 1, 0), (0, 4, 0, 1), (8, 1, 0, 1), (8, 2, 1, 1), (8, 8, 1, 0)]
    );
    let confused: Vec<_> = evaluation.most_confused().iter().map(|c| (c.truth, c.answer)).collect();
    assert_eq!(confused, [(0, 1), (0, 3), (8, 2)]);
}

#[test]
fn without_baseline_there_is_no_comparison() {
    let evaluation = Evaluation::new(&images(), outcomes(&[(&[0], None), (&[1], None)])).expect("images");
    assert!(evaluation.comparison.is_none());
    assert_eq!(evaluation.int8.top1, Proportion { hits: 1, of: 2 });
    assert!(Evaluation::new(&images(), outcomes(&[])).is_none());
}

/// Chance and other images explain a few points. Wrong preprocessing costs more.
#[test]
fn far_below_the_published_accuracy() {
    let with = |right: usize, of: usize| {
        let top1 = Proportion { hits: right, of };
        let accuracy = Accuracy { top1, top5: top1 };
        let (failed, unmatched, classes) = (vec![], vec![], vec![]);
        let evaluation = Evaluation {
            images: of,
            pictures: HashSet::new(),
            ambivalent: 0,
            failed,
            unmatched,
            int8: accuracy,
            comparison: None,
            classes,
            confusions: vec![],
            unrecorded: 0,
        };
        evaluation.far_below_published(&reference::VARIANT)
    };
    // The published accuracy is 84.7 %.
    assert_eq!(with(1690, 2000), None);
    assert_eq!(with(1600, 2000), None);
    assert!(with(1400, 2000).is_some_and(|published| (published - 0.847).abs() < 1e-6));
    assert_eq!(with(6, 10), None, "ten images say little");
    assert!(with(0, 10).is_some());
}
