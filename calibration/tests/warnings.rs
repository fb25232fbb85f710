//! Reasons to doubt a calibration: sound ones have none, each way to ruin one has its own.

mod support;

use resnext::Model;
use resnext_calibration::network::{Conv, Network, Op};
use resnext_calibration::{Compiled, Method, Options, Techniques, Warning, bundled};
use resnext_evaluation::samples::{Sample, Samples};
use resnext_metadata::Metadata;
use resnext_photo::Rgb8Image;
use support::{compile, photos, reference_network, reference_options};

fn with(network: &Network, method: Method, samples: &Samples) -> Compiled {
    compile(network, samples, &reference_options(method, 2)).expect("compiles")
}

fn warnings(network: &Network, samples: &Samples) -> Vec<Warning> {
    with(network, Method::Mse, samples).report.warnings
}

fn drawn(count: u64, draw: fn(u64) -> Rgb8Image) -> Samples {
    (0..count).map(|seed| Sample::synthetic(format!("drawn {seed}"), draw, seed)).collect()
}

fn plain(colour: [u8; 3]) -> Rgb8Image {
    Rgb8Image { width: 180, height: 160, data: colour.repeat(180 * 160) }
}

/// A chequered picture of `side` pixels, the same for every seed but for one pixel.
fn nearly_the_same(seed: u64) -> Rgb8Image {
    let pixel = |i: usize| {
        if (i / 200 / 20 + i % 200 / 30).is_multiple_of(3) { [200, 180, 90] } else { [40, 70, 120] }
    };
    let mut data: Vec<u8> = (0..200 * 200).flat_map(pixel).collect();
    data[60_000] = seed as u8;
    Rgb8Image { width: 200, height: 200, data }
}

#[test]
fn sound_calibrations_have_none() {
    let network = reference_network();
    let demo = bundled::photos();
    assert_eq!(warnings(&network, &demo), []);
    let options = Options { techniques: Techniques::HIGH, ..reference_options(Method::Auto, 2) };
    assert_eq!(compile(&network, &demo, &options).expect("compiles").report.warnings, []);
    for method in [Method::Max, Method::Percentile(99.99), Method::Entropy] {
        assert_eq!(with(&network, method, &demo).report.warnings, [], "{method}");
    }
    if let Some(calib) = photos("imagenette/calib") {
        let compiled = with(&network, Method::Auto, &calib.take_spread(64));
        assert_eq!(compiled.report.warnings, []);
        let model = Model::from_bytes(&compiled.artifact).expect("loads");
        assert!(!model.metadata().contains("warnings"), "{}", model.metadata());
    }
}

/// The artifact keeps them.
#[test]
fn a_method_that_ruins_the_model_is_named() {
    let compiled = with(&reference_network(), Method::Percentile(90.0), &bundled::photos());
    let [Warning::Noisy { agreement, logit_sqnr_db, method }] = &compiled.report.warnings[..] else {
        panic!("{:?}", compiled.report.warnings)
    };
    assert!(
        agreement.of == 12 && *logit_sqnr_db < 8.0 && method == "percentile 90",
        "{method} {logit_sqnr_db}"
    );
    let model = Model::from_bytes(&compiled.artifact).expect("loads");
    let [kept] = &Metadata::parse(model.metadata()).calibration.warnings[..] else { panic!("not kept") };
    assert!(
        kept.starts_with("int8 is far from fp32: it names the same class on ")
            && kept.contains("percentile 90")
    );
}

/// Makes a picture from a seed.
type Draw = fn(u64) -> Rgb8Image;

#[test]
fn samples_that_say_nothing_are_told() {
    let network = reference_network();
    let kinds: [(&str, Draw); 4] = [
        ("black", |_| plain([0; 3])),
        ("white", |_| plain([255; 3])),
        ("a colour each", |seed| plain([(seed * 37) as u8, (seed * 91) as u8, 60])),
        ("dark, with noise", |seed| {
            let mut dark = plain([3; 3]);
            let noise = |(i, value): (usize, &mut u8)| {
                *value += ((i as u64 * 2_654_435_761 + seed * 77) >> 9) as u8 % 5
            };
            dark.data.iter_mut().enumerate().for_each(noise);
            dark
        }),
    ];
    for (kind, draw) in kinds {
        let found = warnings(&network, &drawn(8, draw));
        assert!(found.contains(&Warning::Flat { flat: 8, samples: 8 }), "{kind}: {found:?}");
    }
}

#[test]
fn few_and_alike_samples_are_told() {
    let (network, demo) = (reference_network(), bundled::photos());
    assert_eq!(warnings(&network, &demo.take_spread(1))[0], Warning::Few { scenes: 1 });
    assert_eq!(warnings(&network, &demo.take_spread(4))[0], Warning::Few { scenes: 4 });
    let copies = drawn(12, nearly_the_same);
    assert_eq!(warnings(&network, &copies)[0], Warning::Copies { scenes: 1, samples: 12 });
    let twice: Samples = demo.take_spread(3).iter().cycle().take(12).cloned().collect();
    assert_eq!(warnings(&network, &twice)[0], Warning::Copies { scenes: 3, samples: 12 });
}

#[test]
fn samples_of_one_class_are_told() {
    let Some(calib) = photos("imagenette/calib") else { return };
    let churches: Samples =
        calib.iter().filter(|s| s.class() == Some("n03028079")).take(16).cloned().collect();
    let found = warnings(&reference_network(), &churches);
    assert!(
        matches!(&found[..], [Warning::OneClass { class, found }] if class == "church" && found.of == 16),
        "{found:?}"
    );
}

#[test]
fn thumbnails_are_told() {
    let small: fn(u64) -> Rgb8Image = |seed| {
        let value = |i: usize| ((i as u64 * 2_654_435_761 + seed * 7_919) >> 7) as u8;
        Rgb8Image { width: 32, height: 32, data: (0..32 * 32 * 3).map(value).collect() }
    };
    let found = warnings(&reference_network(), &drawn(12, small));
    assert!(found.contains(&Warning::Enlarged { enlarged: 12, samples: 12 }), "{found:?}");
}

/// Changes the weights of the first convolution so that the network expects its input in another form. On that form it would be
/// what it was; its batch norms remember the same.
fn expecting(change: impl Fn(&mut [f32])) -> Network {
    let mut network = reference_network();
    let Op::Conv(Conv { weight, .. }) = &mut network.nodes[0].op else { panic!("no stem") };
    let mut weights = weight.read().to_vec();
    let pixels = weights.len() / weight_rows(&network);
    weights.chunks_exact_mut(pixels).for_each(change);
    let Op::Conv(conv) = &mut network.nodes[0].op else { panic!("no stem") };
    conv.weight = weights.into();
    network
}

fn weight_rows(network: &Network) -> usize {
    network.nodes[0].output.channels
}

#[test]
fn a_wrong_preprocessing_is_told() {
    let Some(calib) = photos("imagenette/calib") else { return };
    let photos = calib.take_spread(64);
    // Trained on 0 to 1, or on 0 to 255, without the standard deviation that divides here.
    let unscaled = expecting(|row| row.iter_mut().for_each(|w| *w *= 1.0 / 0.226));
    let bytes = expecting(|row| row.iter_mut().for_each(|w| *w /= 0.226 * 255.0));
    for (form, network) in [("0 to 1", unscaled), ("0 to 255", bytes)] {
        let found = warnings(&network, &photos);
        assert!(found.iter().any(|w| matches!(w, Warning::FarFromTraining(_))), "{form}: {found:?}");
    }
}

/// The distance of the bundled photos, by PyTorch: batch mean and variance of what the batch norms of the projection shortcuts
/// read, against their running statistics (`fixtures/training_distance.py`).
#[test]
fn distances_are_those_of_pytorch() {
    let report = with(&reference_network(), Method::Max, &bundled::photos()).report;
    let found: Vec<f64> = report.training_distance.iter().map(|layer| layer.nats).collect();
    assert_eq!(found.len(), 4);
    for (found, expected) in found.into_iter().zip(PYTORCH) {
        assert!((found / expected - 1.0).abs() < 0.03, "{found}, not {expected}");
    }
}

const PYTORCH: [f64; 4] = [0.01290, 0.01108, 0.00696, 0.01189];
