use super::*;
use crate::outcome::Outcome;
use crate::samples::{Sample, Samples};
use crate::{Evaluation, Outcomes};
use resnext::Model;
use resnext_models::reference;

fn classes() -> ClassIndex {
    ClassIndex::new(&Model::from_bytes(reference::ARTIFACT).expect("bundled"))
}

fn samples(names: &[&str]) -> Samples {
    let sample = |name: &&str| {
        let folder = name.rsplit_once('/').map(|(folder, _)| folder);
        Sample::embedded(*name, folder, b"")
    };
    names.iter().map(sample).collect()
}

fn left_out(labelled: &Labelled) -> Vec<(&str, usize)> {
    labelled.unmatched().iter().map(|unmatched| (unmatched.name.as_str(), unmatched.images)).collect()
}

#[test]
fn folders_go_by_identifier_or_label() {
    let names = [
        "n01440764/a",
        "n03445777_golf_ball/b",
        "Golf Ball/c",
        "english_springer/d",
        "golf/e",
        "n99999999/f",
        "golf/g",
        "h",
    ];
    let labelled = Labelled::by_folder(&samples(&names), &classes()).expect("some match");
    let found: Vec<_> =
        labelled.samples().iter().map(Sample::name).zip(labelled.truths().iter().copied()).collect();
    assert_eq!(
        found,
        [("n01440764/a", 0), ("n03445777_golf_ball/b", 8), ("Golf Ball/c", 8), ("english_springer/d", 1)]
    );
    assert_eq!(left_out(&labelled), [("", 1), ("golf", 2), ("n99999999", 1)]);
    assert_eq!(labelled.take_spread(2).truths(), [8, 1]);
}

#[test]
fn a_directory_that_matches_nothing_is_described() {
    let error = Labelled::by_folder(&samples(&["cats/1", "dogs/2"]), &classes()).expect_err("no class");
    assert_eq!(error, TruthError::NoFolder { found: "cats, dogs".into(), example: "n01440764".into() });
    let flat = Labelled::by_folder(&samples(&["1", "2"]), &classes()).expect_err("flat").to_string();
    assert!(flat.contains("found no folders") && flat.contains("a file of labels"), "{flat}");
}

#[test]
fn a_label_of_two_classes_names_none() {
    let classes = ClassIndex::of([("n01440764", "tench"), ("n02012849", "crane"), ("n03126707", "crane")]);
    let labelled = Labelled::by_folder(&samples(&["crane/1", "tench/2"]), &classes).expect("tench");
    let unmatched = Unmatched { name: "crane".into(), images: 1, ambiguous: true };
    assert_eq!((labelled.truths(), labelled.unmatched()), (&[0][..], &[unmatched][..]));
}

#[test]
fn names_and_classes_in_all_spellings() {
    let solution = "ImageId,PredictionString\r\nILSVRC2012_val_2,n03445777 85 1 499 272 n03445777 1 2 3 4\r\n\
                    ILSVRC2012_val_1,n01440764 111 108 365 380\r\n";
    let lines =
        "\u{feff}val/ILSVRC2012_val_1.JPEG 0\n\nILSVRC2012_val_2.JPEG 8\nILSVRC2012_val_3.JPEG shark\n";
    let tabs = "ILSVRC2012_val_1.JPEG\ttench\nILSVRC2012_val_2\tgolf ball\nILSVRC2012_val_3\tcrab\n";
    let commas = "ILSVRC2012_val_1,\"n01440764\"\nILSVRC2012_val_2.png,golf_ball\n";
    let images = samples(&["ILSVRC2012_val_1.JPEG", "ILSVRC2012_val_2.JPEG", "ILSVRC2012_val_3.JPEG"]);
    for (text, rest) in [(solution, ""), (lines, "shark"), (tabs, "crab"), (commas, "")] {
        let truth = Truth::parse(text).expect(text);
        let labelled = Labelled::by_truth(&images, &classes(), &truth, None).expect(text);
        assert_eq!(labelled.truths(), [0, 8], "{text}");
        assert_eq!(left_out(&labelled), [(rest, 1)], "{text}");
    }
}

/// Numbers belong to the images in the order of their names, and count in the order of the synsets.
#[test]
fn numbers_count_in_the_order_of_the_synsets() {
    let images = samples(&["val_3.JPEG", "val_1.JPEG", "val_2.JPEG"]);
    let truth = Truth::parse("1\n3\n2\n").expect("numbers");
    let synsets =
        parse_synsets("n03445777 1 golf_ball\nn01440764 2 tench\nn02119789 3 kit_fox\n").expect("synsets");
    let labelled = Labelled::by_truth(&images, &classes(), &truth, Some(&synsets)).expect("two match");
    let found: Vec<_> =
        labelled.samples().iter().map(Sample::name).zip(labelled.truths().iter().copied()).collect();
    assert_eq!(found, [("val_3.JPEG", 0), ("val_1.JPEG", 8)]);
    assert_eq!(left_out(&labelled), [("n02119789", 1)]);
    let error = Labelled::by_truth(&samples(&["1"]), &classes(), &truth, None).expect_err("other images");
    assert_eq!(error, TruthError::Count { lines: 3, images: 1 });
    // In the development kit, 449 is the tench and 792 the golf ball.
    let truth = Truth::parse(
        "792
449
1
",
    )
    .expect("numbers");
    let labelled = Labelled::by_truth(&images, &classes(), &truth, None).expect("two match");
    let found: Vec<_> =
        labelled.samples().iter().map(Sample::name).zip(labelled.truths().iter().copied()).collect();
    assert_eq!(found, [("val_1.JPEG", 8), ("val_2.JPEG", 0)]);
}

#[test]
fn malformed_files_name_the_line() {
    assert_eq!(Truth::parse(" \n"), Err(TruthError::Empty));
    let number = "a number of 1 or more";
    assert_eq!(Truth::parse("5\n\nfive\n"), Err(TruthError::Line { line: 3, expected: number }));
    assert_eq!(Truth::parse("0\n"), Err(TruthError::Line { line: 1, expected: number }));
    assert_eq!(parse_synsets("n01440764 tench\ntench\n"), Err(TruthError::Synset(2)));
    assert_eq!(parse_synsets(""), Err(TruthError::Synset(1)));
    let numbered = parse_synsets("n00000002 2 b\nn00000003 3 c\nn00000001 1 a\n");
    assert_eq!(numbered.expect("numbered"), ["n00000001", "n00000002", "n00000003"]);
    for wrong in ["n00000002 3 b\nn00000001 1 a\n", "n00000002 0 b\n", "n00000001 1\nn00000002 1\n"] {
        assert!(parse_synsets(wrong).is_err(), "{wrong}");
    }
    let unnumbered = parse_synsets("n01440764 tench, Tinca tinca\nn01443537 goldfish\n");
    assert_eq!(unnumbered.expect("in order"), ["n01440764", "n01443537"]);
}

/// Halves have no common image, and each has a part of every class.
#[test]
fn halves_are_alike() {
    let classes = ClassIndex::of([("n1", "cat"), ("", "dog")]);
    assert_eq!((classes.find("n1"), classes.find("Dog"), classes.find("")), (Some(0), Some(1), None));
    let names = ["cat/1", "cat/2", "cat/3", "cat/4", "dog/1", "dog/2", "dog/3"];
    let (one, other) = Labelled::by_folder(&samples(&names), &classes).expect("classes").halves();
    let names =
        |half: &Labelled| half.samples().iter().map(|sample| sample.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&one), ["cat/1", "cat/3", "dog/1", "dog/3"]);
    assert_eq!(
        (names(&other), other.truths()),
        (vec!["cat/2".into(), "cat/4".into(), "dog/2".into()], &[0, 0, 1][..])
    );
}

/// Splits of a data set are found by the names of their folders and by classes that are in several.
#[test]
fn pooled_splits_are_found() {
    let samples = |names: &[&str]| -> Samples {
        let sample = |name: &&str| {
            let folder = name.rsplit('/').nth(1);
            Sample::embedded(*name, folder, b"")
        };
        names.iter().map(sample).collect()
    };
    let pooled = |names: &[&str]| {
        let labelled = Labelled::by_folder(&samples(names), &classes()).expect("classes");
        let splits = labelled.pooled_splits().iter();
        splits.map(|split| (split.folder.clone(), split.images)).collect::<Vec<_>>()
    };
    let found = |splits: &[(&str, usize)]| -> Vec<(String, usize)> {
        splits.iter().map(|(folder, images)| ((*folder).to_owned(), *images)).collect()
    };
    let both = ["calib/tench/1", "val/tench/1", "val/church/2"];
    assert_eq!(pooled(&both), found(&[("calib", 1), ("val", 2)]));
    assert_eq!(pooled(&["tench/1", "extra/tench/2"]), found(&[("", 1), ("extra", 1)]));
    assert_eq!(pooled(&["Train/tench/1", "Test/church/2"]), found(&[("Test", 1), ("Train", 1)]));
    for one in
        [&["tench/1", "church/2"][..], &["val/tench/1", "val/church/2"], &["fish/tench/1", "houses/church/2"]]
    {
        assert_eq!(pooled(one), [], "{one:?}");
    }
    let truth = Truth::parse("calib/1.jpg tench\nval/1.jpg church\na/x/1.jpg tench\nb/x/1.jpg tench\n")
        .expect("a list");
    let by_truth = |names: &[&str]| {
        let labelled = Labelled::by_truth(&samples(names), &classes(), &truth, None).expect("labels");
        labelled.pooled_splits().len()
    };
    assert_eq!(by_truth(&["calib/1.jpg", "val/1.jpg"]), 2);
    assert_eq!(by_truth(&["a/x/1.jpg", "b/x/1.jpg"]), 0, "folders do not name classes here");
}

/// The images of a data set whose numbers count in one way and are taken in another.
#[test]
fn numbers_that_count_in_another_way_are_noticed() {
    let ilsvrc2012: Vec<&str> = resnext_models::labels::ilsvrc2012().collect();
    let imagenet: Vec<_> = resnext_models::labels::imagenet1k().collect();
    let classes = ClassIndex::of(imagenet.iter().map(|class| (class.wnid, class.label)));
    let names: Vec<String> = (0..10).map(|i| format!("{i}.jpg")).collect();
    let samples = samples(&names.iter().map(String::as_str).collect::<Vec<_>>());
    // The classes that the images show, and the answers of a network that is wrong twice.
    let shown: Vec<usize> = (0..10).map(|i| 17 + 90 * i).collect();
    let found = |lines: &[String]| {
        let truth = Truth::parse(&lines.join("\n")).expect("a file of labels");
        let images = Labelled::by_truth(&samples, &classes, &truth, None).expect("labelled");
        let done = images.samples().iter().enumerate().map(|(index, sample)| {
            let image: usize = sample.key().trim_end_matches(".jpg").parse().expect("a number");
            let mut logits = vec![0.0; 1000];
            logits[if image < 2 { 999 } else { shown[image] }] = 1.0;
            Outcome::new(index, 0, &logits, None)
        });
        let outcomes = Outcomes { done: done.collect(), failed: Vec::new() };
        let evaluation = Evaluation::new(&images, outcomes).expect("images");
        Miscount::find(&images, &evaluation, &classes)
            .map(|found| (found.seems, found.right, found.taken, found.images))
    };
    let named = |number: &dyn Fn(usize) -> usize| -> Vec<String> {
        names.iter().zip(&shown).map(|(name, &class)| format!("{name} {}", number(class))).collect()
    };
    let bare = |number: &dyn Fn(usize) -> usize| -> Vec<String> {
        shown.iter().map(|&class| number(class).to_string()).collect()
    };
    let in_kit =
        |class: usize| 1 + ilsvrc2012.iter().position(|&wnid| wnid == imagenet[class].wnid).expect("there");
    assert_eq!(found(&named(&|class| class)), None);
    assert_eq!(found(&bare(&in_kit)), None);
    assert_eq!(found(&named(&|class| class + 1)), Some(("from 1", 8, 0, 10)));
    let kit = "from 1 in the order of ILSVRC2012's development kit";
    assert_eq!(found(&named(&in_kit)), Some((kit, 8, 0, 10)));
    assert_eq!(found(&bare(&|class| class + 1)), Some(("from 1 in the order of the outputs", 8, 0, 10)));
    assert_eq!(found(&bare(&|class| class)), Some(("from 0 in the order of the outputs", 8, 0, 10)));
    // Names leave no doubt, and wrong labels of another kind are no matter of counting.
    let wnids: Vec<_> = names
        .iter()
        .zip(&shown)
        .map(|(name, &class)| format!("{name} {}", imagenet[class + 1].wnid))
        .collect();
    assert_eq!(found(&wnids), None);
    assert_eq!(found(&named(&|class| class + 2)), None);
}
