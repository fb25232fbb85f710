use indicatif::ProgressBar;
use resnext_calibration::*;
use std::path::Path;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let opts = import::ImportOptions {
        input_size: Some(a[2].parse().unwrap()),
    };
    let mut n = import::load_with(Path::new(&a[1]), opts).unwrap();
    fold::fold_batch_norm(&mut n);
    let s = samples::Samples::open(Path::new(&a[3]))
        .unwrap()
        .take_spread(a[4].parse().unwrap());
    let method = match a[5].as_str() {
        "max" => observe::Method::Max,
        p => observe::Method::Percentile(p.parse().unwrap()),
    };
    let pre = preprocessing::Preprocessing::imagenet(a[2].parse().unwrap(), 182);
    let classes = resnext_models::labels::IMAGENETTE
        .iter()
        .map(|c| emit::ClassName {
            id: c.wnid.into(),
            label: c.label.into(),
        })
        .collect();
    let t = std::time::Instant::now();
    let c = compile::compile(
        &n,
        &s,
        &compile::Options {
            method,
            preprocessing: pre,
            classes,
            source: "x".into(),
            threads: 2,
        },
        &ProgressBar::hidden(),
    )
    .unwrap();
    println!("compile {:?} {} bytes", t.elapsed(), c.artifact.len());
    for l in &c.report.layers {
        println!(
            "{:24} {:6.2} dB {:?} seen {:?}",
            l.name, l.sqnr_db, l.range, l.seen
        );
    }
    println!("agree {} sqnr {}", c.report.agreement, c.report.logit_sqnr_db);
    let m = resnext::Model::from_bytes(&c.artifact).unwrap();
    println!("arena {}", m.arena_len());
    std::fs::write(&a[8], &c.artifact).unwrap();
    let t = std::time::Instant::now();
    let v = samples::Samples::open(Path::new(&a[6]))
        .unwrap()
        .take_spread(a[7].parse().unwrap());
    let e = evaluate::evaluate(&m, Some(&n), &v, 2, &ProgressBar::hidden()).unwrap();
    println!(
        "{:?} {e:?} p {}",
        t.elapsed(),
        e.comparison.as_ref().unwrap().mcnemar_p()
    );
}
