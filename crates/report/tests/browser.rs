//! The page in a real browser: light and dark, on a desk and on a phone. Needs Chromium; where CI runs it must be there.
//!
//! `RESNEXT_SCREENSHOTS=DIR` keeps what the browser saw.

use resnext::Model;
use resnext_evaluation::outcome::Outcome;
use resnext_evaluation::samples::{Sample, SampleError, Samples};
use resnext_evaluation::truth::{ClassIndex, Labelled};
use resnext_evaluation::{Evaluation, Outcomes};
use resnext_models::reference;
use resnext_photo::Rgb8Image;
use resnext_report::{Distribution, FlippedPhoto, Latency, Layer, Report, html, json, markdown};
use resnext_testing::devtools::Browser;
use serde_json::{Value, json};

/// A name that would do harm if it were not escaped.
const HOSTILE: &str = "n01440764/<img src=x onerror=alert(1)>'\"&amp;</title><script>alert(2)</script>.JPEG";

/// Logits that put `first` before `second`.
fn logits(first: usize, second: usize) -> Vec<f32> {
    (0..10)
        .map(|class| {
            if class == first {
                4.0
            } else if class == second {
                3.2
            } else {
                class as f32 / 9.0
            }
        })
        .collect()
}

/// 200 images of all classes, of which int8 loses seven and gains three.
fn evaluation(model: &Model<'_>) -> Evaluation {
    let mut names = vec![(0, HOSTILE.to_owned())];
    for image in 1..200 {
        let class = image % 10;
        let wnid = model.class(class).expect("class").id;
        names.push((
            class,
            format!("{wnid}/{wnid}_{image}_with_a_rather_long_name_that_must_be_broken_somewhere.JPEG"),
        ));
    }
    let sample = |(class, name): &(usize, String)| {
        Sample::embedded(name.clone(), Some(model.class(*class).expect("class").id), b"")
    };
    let mut samples: Vec<Sample> = names.iter().map(sample).collect();
    samples.push(Sample::embedded("x", Some("<b>folder</b>"), b""));
    let images = Labelled::by_folder(&samples.into_iter().collect::<Samples>(), &ClassIndex::new(model))
        .expect("classes");
    let outcome = |(image, &truth): (usize, &usize)| {
        let other = (truth + 3) % 10;
        let (fp32, int8) = match image {
            0..7 => (logits(truth, other), logits(other, truth)),
            7..10 => (logits(other, truth), logits(truth, other)),
            12 | 13 => (logits(other, truth), logits((truth + 5) % 10, truth)),
            _ if image % 5 == 0 => (logits(other, truth), logits(other, truth)),
            _ => (logits(truth, other), logits(truth, other)),
        };
        let int8: Vec<f32> =
            int8.iter().enumerate().map(|(i, x)| x + 0.01 * ((i + image) % 5) as f32).collect();
        Outcome::new(image, 0, &int8, Some(&fp32))
    };
    let done = images.truths().iter().enumerate().map(outcome).collect();
    let failed = vec![SampleError { name: "broken<>.jpg".into(), reason: "is damaged".into() }];
    Evaluation::new(&images, Outcomes { done, failed }).expect("images")
}

fn report<'a>(model: &'a Model<'a>, evaluation: &'a Evaluation) -> Report<'a> {
    let mut report = Report::new(model, "<model>.rnx", "resnext <0>");
    report.evaluation = Some(evaluation);
    report.baseline = Some("net<work>.onnx on tract".into());
    report.warnings = vec!["a <warning>; mend it".into()];
    let picture = |flip: usize| {
        let pixel = |i: usize| [(i % 160) as u8, (i / 160) as u8, (40 * flip) as u8];
        let image = Rgb8Image { width: 160, height: 160, data: (0..160 * 160).flat_map(pixel).collect() };
        FlippedPhoto { flip, jpeg: image.to_jpeg(80).expect("encodes") }
    };
    report.flips = (0..6).map(picture).collect();
    let times = |ms: f64| {
        (0..100).map(|i| ms + ms * 0.02 * f64::from(i * 7919 % 10) + f64::from(i % 3) * 0.2).collect()
    };
    report.latency = vec![
        Latency { network: "fp32 (tract)".into(), int8: false, threads: 1, ms: times(23.0) },
        Latency { network: "int8 (avx2)".into(), int8: true, threads: 1, ms: times(7.0) },
    ];
    let layer = |(index, step): (usize, resnext::program::Step<'_>)| {
        let bell = |i: i32| (f64::from(i) / 20.0, (1e6 * (-f64::from(i * i) / 800.0).exp()) as u64);
        Layer {
            name: step.name.to_owned(),
            sqnr_db: Some(36.0 - index as f64 / 3.0),
            alone_db: Some(50.0 - (index * 7 % 13) as f64),
            without_db: Some(34.0 + (index * 5 % 11) as f64 / 10.0),
            method: Some(if index % 4 == 0 { "percentile" } else { "mse" }.to_owned()),
            distribution: step
                .output()
                .map(|_| Distribution::new((-80..80).map(bell), 60, (-4.0, 4.0), (-0.5, 2.6), 1 << 26)),
        }
    };
    report.layers = model.steps().enumerate().map(layer).collect();
    report.layer_images = 32;
    report
}

fn model() -> Model<'static> {
    Model::from_bytes(reference::ARTIFACT).expect("bundled")
}

/// Relative luminance of a CSS colour such as `rgb(14, 19, 25)`, roughly.
fn brightness(colour: &Value) -> f64 {
    let colour = colour.as_str().expect("a colour");
    let parts: Vec<f64> = colour
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter_map(|part| part.parse().ok())
        .collect();
    parts[..3].iter().sum::<f64>() / 765.0
}

#[test]
fn readable_in_light_and_dark_on_desk_and_phone() {
    let folder = tempfile::tempdir().expect("folder");
    let Some(mut browser) = Browser::start(folder.path()) else {
        assert!(std::env::var_os("CI").is_none(), "Chromium is missing and CI must have it");
        eprintln!("skipped: Chromium is not here; install it (apt-get install chromium)");
        return;
    };
    let model = model();
    let evaluation = evaluation(&model);
    let path = folder.path().join("report.html");
    std::fs::write(&path, html(&report(&model, &evaluation))).expect("room");
    let url = format!("file://{}", path.display());
    let screenshots = std::env::var_os("RESNEXT_SCREENSHOTS").map(std::path::PathBuf::from);
    for (theme, width) in [("light", 1100), ("dark", 1100), ("light", 375), ("dark", 375)] {
        let case = format!("{theme}-{width}");
        browser.look(theme, width);
        let events = browser.open(&url);

        let of = |method: &str| events.iter().filter(|e| e["method"] == method).collect::<Vec<_>>();
        for complaint in [
            "Log.entryAdded",
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Page.javascriptDialogOpening",
        ] {
            assert_eq!(of(complaint), Vec::<&Value>::new(), "{case}");
        }
        let requests = of("Network.requestWillBeSent");
        let urls: Vec<&str> =
            requests.iter().filter_map(|r| r["params"]["request"]["url"].as_str()).collect();
        assert!(urls.contains(&url.as_str()), "the page itself: {urls:?}");
        let outside: Vec<_> = urls.iter().filter(|u| **u != url && !u.starts_with("data:")).collect();
        assert!(outside.is_empty(), "{case}: {outside:?}");

        let widths = browser.evaluate("[document.documentElement.scrollWidth, innerWidth]");
        assert_eq!(widths, json!([width, width]), "{case}: the page scrolls sideways");
        let beyond = browser.evaluate(
            "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && e.checkVisibility() \
             && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 200))",
        );
        assert_eq!(beyond, json!([]), "{case}: cut off at the right");
        let broken = browser.evaluate("[...document.images].filter(i => !i.naturalWidth).length");
        assert_eq!((broken, browser.evaluate("document.images.length")), (json!(0), json!(6)), "{case}");
        let [page, ink] = ["backgroundColor", "color"]
            .map(|what| brightness(&browser.evaluate(&format!("getComputedStyle(document.body).{what}"))));
        assert!(
            if theme == "dark" { page < 0.2 && ink > 0.8 } else { page > 0.8 && ink < 0.2 },
            "{case}: {page} {ink}"
        );
        let smallest = browser.evaluate(
            "Math.min(...[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && e.innerText) \
             .map(e => parseFloat(getComputedStyle(e).fontSize)))",
        );
        assert!(smallest.as_f64().is_some_and(|px| px >= 12.0), "{case}: text of {smallest} px");

        let text = browser.evaluate("document.body.innerText");
        let text = text.as_str().expect("text");
        for expected in [
            "<model>.rnx",
            HOSTILE,
            "net<work>.onnx",
            "a <warning>; mend it",
            "+2.00",
            "7 lost, 3 gained",
            "p = 0.34",
            "3.2× faster than fp32",
            "Photos on which the two differ",
            "Confusion matrix of int8",
            "Pillow's bilinear",
            "English springer",
            "layer4.1.conv2",
            "int8 (avx2), 1 thread",
            "calibration: method",
            "stage 3",
            "The layers that cost most are layer2.1.conv1 (38.0 dB)",
            "all but it",
            "percentile: −0.50 to 2.60, clips 22.7 %",
        ] {
            assert!(text.contains(expected), "{case}: {expected} is not in\n{text}");
        }
        assert_eq!(browser.evaluate("document.scripts.length"), 0, "{case}");
        assert_eq!(
            browser.evaluate("document.querySelectorAll('img[src=x], b b').length"),
            0,
            "{case}: not escaped"
        );
        // Agreement and SQNR are among the first tiles, and no label is cut.
        let tiles =
            browser.evaluate("[...document.querySelectorAll('.tile b')].slice(0, 3).map(b => b.innerText)");
        assert_eq!(
            (&tiles[1], tiles[2].to_string().contains("dB")),
            (&json!("94.00 %"), true),
            "{case}: {tiles}"
        );
        let cut = browser.evaluate(
            "[...document.querySelectorAll('.prediction span, figcaption h3')].filter(e => e.checkVisibility() && \
             (e.scrollWidth > e.clientWidth + 1 || getComputedStyle(e).textOverflow == 'ellipsis')).map(e => e.innerText)",
        );
        assert_eq!(cut, json!([]), "{case}: labels are cut");
        for name in ["PillowBilinear", "Truncate", "HalfEven", "null", "Some("] {
            assert!(!text.contains(name), "{case}: {name}");
        }

        let shapes = "['svg.big path', 'svg.small', 'svg.arena rect', '.bars .name'].map(s => document.querySelectorAll(s).length)";
        assert_eq!(browser.evaluate(shapes), json!([2, 27, 28, 28]), "{case}");

        // Bars are in the row of their name, or below it on a phone, and above the next; numbers are in the row.
        let astray = browser.evaluate(
            "(() => { const box = e => e.getBoundingClientRect(), middle = e => (box(e).top + box(e).bottom) / 2; \
             const [names, tracks] = ['.bars .name', '.bars .tracks'].map(s => [...document.querySelectorAll(s)]); \
             const numbers = [...document.querySelectorAll('.bars .value')]; const phone = innerWidth < 500; \
             return names.filter((name, i) => { const next = names[i + 1]; const bars = tracks[i]; \
             const place = phone ? box(bars).top >= box(name).bottom && (!next || box(bars).bottom <= box(next).top) \
             : Math.abs(middle(bars) - middle(name)) < 3; \
             return !place || numbers.slice(3 * i, 3 * i + 3).some(n => Math.abs(middle(n) - middle(name)) > 3); }) \
             .map(e => e.innerText); })()",
        );
        assert_eq!(astray, json!([]), "{case}: bars or numbers are not beside their layer");
        let lines = "[...document.querySelectorAll('svg.small')].filter(s => s.querySelectorAll('line.clip').length != 2).length";
        assert_eq!(browser.evaluate(lines), 0, "{case}: ends of int8's ranges");
        let cut = browser.evaluate(
            "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth && !e.closest('details')) \
             .map(e => e.innerText.slice(0, 80))",
        );
        assert_eq!(cut, json!([]), "{case}: tables that scroll sideways");

        if let Some(directory) = &screenshots {
            std::fs::write(directory.join(format!("{case}.png")), browser.screenshot()).expect("room");
        }
    }
}

#[test]
fn a_page_of_nothing_but_the_model_is_whole() {
    let model = model();
    let page = html(&Report::new(&model, "m.rnx", "resnext"));
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{page}");
    for (present, text) in [
        (true, "calibration images get the same class as with fp32"),
        (true, " <small>dB</small>"),
        (true, "Model card"),
        (true, "Arena"),
        (false, "Photos on which the two differ"),
        (false, "Latency</h2>"),
    ] {
        assert_eq!(page.contains(text), present, "{text}");
    }
    for outside in ["http://", "https://", "src=\"/", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// What the page promises, also where there is no browser to look at it.
#[test]
fn the_page_says_what_it_knows() {
    let model = model();
    let evaluation = evaluation(&model);
    let page = html(&report(&model, &evaluation));
    for part in [
        "<b>94.00 <small>%</small></b><span>of the images get the same class",
        "(McNemar p = 0.34); 2 more with two different wrong answers",
        "<span class=\"badge\">both wrong</span>",
        "A positive drop is a loss.",
        "English springer, right: int8 ",
        "3.2× faster than fp32 (",
        "short side to 182 (Pillow's bilinear), centre crop 160×160, normalised with mean 0.485 0.456 0.406",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    for rust in ["PillowBilinear", "HalfEven", "Truncate", "Some(", "[0.485"] {
        assert!(!page.contains(rust), "{rust}");
    }
}

#[test]
fn broken_metadata_is_no_obstacle() {
    // Nothing on the way reads numbers that are not there.
    let model = model();
    let mut report = Report::new(&model, "m.rnx", "resnext");
    report.latency = vec![Latency { network: "none".into(), int8: true, threads: 1, ms: vec![] }];
    report.layers = vec![
        Layer { name: "nan".into(), sqnr_db: Some(f64::NAN), ..Layer::default() },
        Layer { name: "exact".into(), sqnr_db: Some(f64::INFINITY), ..Layer::default() },
        Layer {
            distribution: Some(Distribution::new([].into_iter(), 8, (0.0, 0.0), (0.0, 0.0), 0)),
            ..Layer::default()
        },
    ];
    let page = html(&report);
    assert!(!page.contains("NaN%") && !page.contains("inf%"), "{page}");
    let _ = (json(&report), markdown(&report));
}

#[test]
fn json_keeps_its_promises() {
    let model = model();
    let evaluation = evaluation(&model);
    let value = json(&report(&model, &evaluation));
    assert_eq!((&value["images"], &value["skipped"]), (&json!(200), &json!(2)));
    assert_eq!((&value["flips"]["lost"], &value["flips"]["gained"]), (&json!(7), &json!(3)));
    assert_eq!(value["drop_top1_pp"], 2.0);
    assert_eq!(value["agreement"], 0.94);
    assert_eq!(value["flips"]["both_wrong"], 2);
    let flips = value["flips"]["images"].as_array().expect("flips");
    assert_eq!(flips.iter().filter(|flip| flip["flip"] == "both wrong").count(), 2);
    let cells = value["confusions"].as_array().expect("cells");
    for network in ["int8", "fp32"] {
        let sum = |right: bool| -> u64 {
            let of = cells.iter().filter(|cell| (cell["truth"] == cell["answer"]) == right);
            of.filter_map(|cell| cell[network].as_u64()).sum()
        };
        assert_eq!(sum(true) + sum(false), 200, "{network}");
        assert_eq!(sum(true) as f64 / 200.0, value[network]["top1"].as_f64().expect("top1"), "{network}");
    }
    assert_eq!(value["flips"]["images"][0]["image"], HOSTILE);
    assert_eq!(value["flips"]["images"][0]["int8"].as_array().map(Vec::len), Some(5));
    let within = |ends: &Value, x: f64| ends[0].as_f64() <= Some(x) && Some(x) <= ends[1].as_f64();
    assert!(within(&value["drop_top1_pp_ci95"], 2.0) && within(&value["agreement_ci95"], 0.94), "{value}");
    for network in ["int8", "fp32"] {
        let accuracy = &value[network];
        assert!(within(&accuracy["top1_ci95"], accuracy["top1"].as_f64().expect("top1")), "{accuracy}");
    }
    assert!((value["mcnemar_p"].as_f64().expect("p") - 0.34375).abs() < 1e-12);
    assert_eq!(value["classes"].as_array().map(Vec::len), Some(10));
    assert_eq!(value["latency"][1]["ms"]["min"], 7.0);
    let layer = &value["layers"][0];
    assert_eq!(layer["range"]["int8"], json!([-0.5, 2.6]));
    assert!((0.001..0.5).contains(&layer["range"]["clipped"].as_f64().expect("share")), "{layer}");
    assert_eq!((&layer["alone_db"], &layer["without_db"]), (&json!(50.0), &json!(34.0)));
    assert_eq!(layer["method"], "percentile");
    assert_eq!(value["unmatched"][0]["name"], "<b>folder</b>");
}

#[test]
fn markdown_is_a_table_that_nothing_breaks() {
    let model = model();
    let evaluation = evaluation(&model);
    let text = markdown(&report(&model, &evaluation));
    for expected in [
        "| 200 images | top-1 % | top-5 % |",
        "| drop, points | +2.00 (",
        "7 right answers lost and 3 gained (McNemar p = 0.34), 2 more with two different wrong answers",
        "A positive drop is a loss.",
        "Both wrong: `",
        "int8 takes most often: ",
        "| noisiest layers, dB | method | output | logits, only it | logits, all but it |",
        "| fc | mse | 27.0 | 43.0 | 34.3 |",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(
        text.contains("### &lt;model>.rnx") && text.contains("> **Warning:** a &lt;warning>; mend it"),
        "{text}"
    );
    // Only inside backquotes is the name as it is.
    assert_eq!(text.matches("<script>").count(), text.matches("`n01440764/<img").count(), "{text}");
    for line in text.lines().filter(|line| line.starts_with('|')) {
        assert!(matches!(line.matches('|').count(), 4..=6), "{line}");
    }
}
