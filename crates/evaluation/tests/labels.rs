//! Files of labels as other programs write them, and what no program could know is refused.

use resnext::Model;
use resnext_evaluation::samples::{Sample, Samples};
use resnext_evaluation::truth::{ClassIndex, Labelled, Truth, TruthError};
use resnext_models::reference;

/// The images of `fixtures/make.py`, with their classes: tench is 0, English springer 1, golf ball 8.
const IMAGES: [(&str, usize); 7] = [
    ("a/1.jpg", 0),
    ("b/1.jpg", 8),
    ("b/my photo, final.jpg", 1),
    ("b/the \"best\".jpg", 0),
    ("c/x.jpg", 0),
    ("c/x.png", 8),
    ("c/x.v2.jpg", 1),
];

fn samples(names: &[&str]) -> Samples {
    names.iter().map(|name| Sample::embedded(*name, None, b"")).collect()
}

fn classes() -> ClassIndex {
    ClassIndex::new(&Model::from_bytes(reference::ARTIFACT).expect("bundled"))
}

/// Returns the name and the class of each image that `text` labels.
fn labelled<'a>(images: &[&'a str], text: &str) -> Result<Vec<(&'a str, usize)>, TruthError> {
    let truth = Truth::parse(text)?;
    let labelled = Labelled::by_truth(&samples(images), &classes(), &truth, None)?;
    let name = |sample: &Sample| *images.iter().find(|name| **name == sample.key()).expect("an image");
    Ok(labelled.samples().iter().map(name).zip(labelled.truths().iter().copied()).collect())
}

fn refused(images: &[&str], text: &str) -> TruthError {
    labelled(images, text).expect_err(text)
}

#[test]
fn what_other_programs_write() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/labels");
    let images = IMAGES.map(|(name, _)| name);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("fixtures").map(|file| file.expect("file").path()).collect();
    files.sort();
    assert_eq!(files.len(), 12);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        let found = labelled(&images, &text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(found, IMAGES, "{}", file.display());
    }
}

/// Paths may begin above or below the directory of the images, but their folders must agree.
#[test]
fn folders_count() {
    let images = ["a/1.jpg", "b/1.jpg"];
    let both = [("a/1.jpg", 0), ("b/1.jpg", 8)];
    for text in [
        "a/1.jpg 0\nb/1.jpg 8\n",
        "./a/1.jpg 0\n.\\b\\1.jpg 8\n",
        "C:\\val\\a\\1.jpg 0\nC:\\val\\b\\1.jpg 8\n",
        "../val/a/1.jpg 0\n../val/b/1.jpg 8\n",
        "a/1 0\nb/1 8\n",
        "a/1.png 0\nb/1.png 8\n",
        // The closest line counts, and others may repeat it.
        "1.jpg 1\na/1.jpg 0\nb/1.jpg 8\n",
        "a/1.jpg 0\nb/1.jpg 8\nb/1.jpg golf ball\n",
    ] {
        assert_eq!(labelled(&images, text).expect(text), both, "{text}");
    }
    // Another folder of the same list.
    assert_eq!(labelled(&images, "a/1.jpg 0\nc/1.jpg 8\n").expect("one"), both[..1]);
    assert_eq!(labelled(&["1.jpg"], "train/2.jpg 0\nval/1.jpg 8\n").expect("one"), [("1.jpg", 8)]);
    assert_eq!(labelled(&["val/1.jpg", "x/1.jpg"], "val/1.jpg 8\nx/1.jpg 0\n").expect("two").len(), 2);
    let samples: Samples = [Sample::file("/data/val/1.jpg")].into_iter().collect();
    let truth = Truth::parse("train/1.jpg 0\nval/1.jpg 8\n").expect("a list");
    let labelled = Labelled::by_truth(&samples, &classes(), &truth, None).expect("one");
    assert_eq!(
        (labelled.truths(), labelled.unused_lines()),
        (&[8][..], 1),
        "the folder of the images counts, too"
    );
}

#[test]
fn names_that_clash_are_refused() {
    let images = ["a/1.jpg", "b/1.jpg"];
    let clash = |image: &str, first, second| TruthError::Clash { image: image.to_owned(), first, second };
    assert_eq!(refused(&images, "a/1.jpg 0\nb/1.jpg 8\na\\1.jpg 1\n"), clash("a/1.jpg", 1, 3));
    assert_eq!(refused(&["1.jpg"], "train/1.jpg 0\nval/1.jpg 8\n"), clash("1.jpg", 1, 2));
    assert_eq!(refused(&["x.jpg"], "x.bmp 0\nx.png 8\n"), clash("x.jpg", 1, 2));
    let shared = |line, one: &str, other: &str| TruthError::Shared {
        line,
        one: one.to_owned(),
        other: other.to_owned(),
    };
    assert_eq!(refused(&images, "1.jpg 0\n"), shared(1, "a/1.jpg", "b/1.jpg"));
    assert_eq!(refused(&["x.jpg", "x.png"], "x 0\n"), shared(1, "x.jpg", "x.png"));
    // A line with the very name is for that image alone.
    assert_eq!(labelled(&["x.jpg", "x.png"], "x.png 8\n").expect("one"), [("x.png", 8)]);
    let numbers = refused(&["a/1.jpg", "a/2.jpg", "b/1.png"], "449\n792\n1\n");
    assert_eq!(numbers, TruthError::Order { one: "a/1.jpg".to_owned(), other: "b/1.png".to_owned() });
}

/// As in TensorFlow's list of the validation images.
#[test]
fn wnids_are_in_the_order_of_the_images() {
    let images = ["val/2.jpg", "val/1.jpg", "val/3.jpg"];
    let text = "n03445777\nn01440764\nn99999999\n";
    assert_eq!(labelled(&images, text).expect("two"), [("val/2.jpg", 0), ("val/1.jpg", 8)]);
    assert_eq!(refused(&images, "n03445777\nn01440764\n"), TruthError::Count { lines: 2, images: 3 });
    let line = refused(&images, "n03445777\n1.jpg n01440764\nn01440764\n");
    assert!(matches!(line, TruthError::Line { line: 2, .. }), "{line}");
}

/// Folders that are named after classes reveal a file that counts in another order.
#[test]
fn contradictions_with_the_folders_are_counted() {
    let sample = |name: &str, folder: &str| Sample::embedded(format!("{folder}/{name}"), Some(folder), b"");
    let samples: Samples = [sample("1.jpg", "tench"), sample("2.jpg", "n03445777"), sample("3.jpg", "pond")]
        .into_iter()
        .collect();
    let contradicted = |text: &str| {
        let truth = Truth::parse(text).expect("a list");
        Labelled::by_truth(&samples, &classes(), &truth, None).expect("labels").contradicted()
    };
    assert_eq!(contradicted("1.jpg 0\n2.jpg 8\n3.jpg 5\n"), 0);
    assert_eq!(contradicted("1.jpg 3\n2.jpg 8\n3.jpg 5\n"), 1);
    assert_eq!(contradicted("1.jpg 3\n2.jpg 4\n3.jpg 5\n"), 2);
}

/// A number that the model does not have shows that all numbers count something else.
#[test]
fn numbers_of_other_classes_are_refused() {
    let images = ["1.jpg", "2.jpg"];
    let numbers = |text: &str| match refused(&images, text) {
        TruthError::Numbers { line, number, last: 9, counts } => (line, number, counts.contains("from 1")),
        error => panic!("{error}"),
    };
    assert_eq!(numbers("1.jpg 1\n2.jpg 10\n"), (2, 10, true));
    assert_eq!(numbers("1.jpg 0\n2.jpg 10\n"), (2, 10, false));
    assert_eq!(numbers("1.jpg 3\n2.jpg 5\nother.jpg 999\n"), (3, 999, false));
}

#[test]
fn what_is_no_list_of_labels_is_called_what_it_is() {
    let images = ["1.jpg", "2.jpg", "a b.jpg"];
    assert_eq!(refused(&images, "{\"1.jpg\": 3}\n"), TruthError::NotLines("JSON"));
    assert_eq!(refused(&images, "<xml>\n</xml>\n"), TruthError::NotLines("XML or HTML"));
    let both = "the name of an image and its class";
    for (text, line) in
        [("1.jpg 1\n2.jpg\n", 2), ("1.jpg,\n2.jpg,3\n", 1), ("1.jpg\n2.jpg\n", 1), ("a\nb\n", 1)]
    {
        assert_eq!(refused(&images, text), TruthError::Line { line, expected: both }, "{text}");
    }
    for text in [
        "1.jpg 3 5\n",
        "1.jpg 0,1,0,1\n",
        "1.jpg,3,tench\n",
        "1.jpg 3 0.97\n",
        "a b.jpg 3 tench\n",
        "1.jpg n01440764 n03445777\n",
        "1.jpg,n01440764 1 2 3 4 n03445777 1 2 3 4\n",
    ] {
        assert!(matches!(refused(&images, text), TruthError::Columns { line: 1, .. }), "{text}");
    }
    let other = refused(&images, "other.jpg tench\n").to_string();
    assert!(other.contains("the first image is 1.jpg, the first line is other.jpg tench"), "{other}");
    let open = refused(&images, "\"1.jpg,3\n2.jpg,4\n").to_string();
    assert!(open.contains("line 1 is not"), "{open}");
}
