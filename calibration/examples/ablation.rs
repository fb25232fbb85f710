//! What each part of calibration brings, measured on labelled images.
use indicatif::ProgressBar;
use resnext::{Model, Runner};
use resnext_calibration::compile::{Options, Techniques, compile};
use resnext_calibration::fidelity::{Noise, argmax};
use resnext_calibration::fold::fold_batch_norm;
use resnext_calibration::fp32::Fp32Model;
use resnext_calibration::import::{ImportOptions, load_with};
use resnext_calibration::observe::Method;
use resnext_calibration::preprocessing::Preprocessing;
use resnext_calibration::{bundled, samples::Samples};
use resnext_evaluation::statistics::kl_divergence;
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let model = PathBuf::from(args.next().ok_or("MODEL")?);
    let data = PathBuf::from(args.next().ok_or("DATA")?);
    let cache = PathBuf::from(args.next().ok_or("CACHE")?);
    let num: usize = args.next().ok_or("NUM")?.parse()?;
    let rows: Vec<String> = args.collect();
    let mut network = load_with(&model, ImportOptions { input_size: Some(160) })?;
    fold_batch_norm(&mut network);
    let preprocessing = Preprocessing::imagenet(160, 182);
    let val = Samples::open(&data.join("val"))?;
    let calib = Samples::open(&data.join("calib"))?.take_spread(num);
    std::fs::create_dir_all(&cache)?;
    // Pixels, truth, fp32 logits.
    let pixels_at = cache.join("pixels.u8");
    let size = 160 * 160 * 3;
    if !pixels_at.exists() {
        let mut all = Vec::new();
        for s in &val {
            all.extend(preprocessing.crop(&s.decode()?)?);
        }
        std::fs::write(&pixels_at, &all)?;
    }
    let pixels = std::fs::read(&pixels_at)?;
    let logits_at = cache.join(format!("{}.f32", network.name));
    if !logits_at.exists() {
        let fp32 = Fp32Model::new(&network, &[])?;
        let mut all = vec![Vec::new(); 2];
        let half = pixels.len() / size / 2 * size;
        std::thread::scope(|scope| {
            for (part, out) in [&pixels[..half], &pixels[half..]].into_iter().zip(&mut all) {
                let (mut fp32, preprocessing) = (fp32.clone(), &preprocessing);
                scope.spawn(move || {
                    for image in part.chunks_exact(size) {
                        let r = fp32.run(&preprocessing.normalize(image)).unwrap();
                        out.extend(r.result().iter().flat_map(|v| v.to_le_bytes()));
                    }
                });
            }
        });
        std::fs::write(&logits_at, all.concat())?;
    }
    let fp32: Vec<f32> = std::fs::read(&logits_at)?
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let classes = bundled::reference_classes();
    let truths: Vec<usize> =
        val.iter().map(|s| classes.iter().position(|c| Some(c.id.as_str()) == s.class()).unwrap()).collect();
    for row in rows {
        let (method, techniques) = parse(&row)?;
        let options = Options {
            method,
            techniques,
            sensitivity: false,
            keep_quantized: false,
            preprocessing,
            classes: classes.clone(),
            source: "x".into(),
            threads: 2,
        };
        let start = Instant::now();
        let compiled = compile(&network, &calib, &options, &ProgressBar::hidden())?;
        let seconds = start.elapsed().as_secs_f64();
        let model = Model::from_bytes(&compiled.artifact)?;
        let mut arena = vec![0; model.arena_len()];
        let mut runner = Runner::new(&model, &mut arena)?;
        let (mut noise, mut agree, mut right8, mut right32, mut lost, mut gained) =
            (Noise::default(), 0, 0, 0, 0, 0);
        let mut kl = 0.0f64;
        for ((image, fp32), &truth) in pixels.chunks_exact(size).zip(fp32.chunks_exact(10)).zip(&truths) {
            let mut logits = vec![0.0; 10];
            runner.load_pixels(image)?;
            runner.infer(&mut logits, &mut ())?;
            noise += Noise::of_slices(&logits, fp32);
            let (a, b) = (argmax(&logits), argmax(fp32));
            agree += usize::from(a == b);
            right8 += usize::from(a == truth);
            right32 += usize::from(b == truth);
            lost += usize::from(b == truth && a != truth);
            gained += usize::from(a == truth && b != truth);
            kl += kl_divergence(fp32, &logits);
        }
        let n = truths.len() as f64;
        println!(
            "{row:40} fp32 {:.2} int8 {:.2} drop {:+.2} lost {lost} gained {gained} agree {:.2} % val {:.2} dB kl {:.2e} calib {:.2} dB {seconds:.1} s",
            100.0 * right32 as f64 / n,
            100.0 * right8 as f64 / n,
            100.0 * (right32 as f64 - right8 as f64) / n,
            100.0 * agree as f64 / n,
            noise.sqnr_db(),
            kl / n,
            compiled.report.logit_sqnr_db
        );
        println!("   signal {:.3e} noise {:.3e} per image", noise.signal / n, noise.noise / n);
    }
    Ok(())
}

fn parse(row: &str) -> Result<(Method, Techniques), Box<dyn std::error::Error>> {
    let mut parts = row.split('+');
    let method = match parts.next().unwrap() {
        "max" => Method::Max,
        "mse" => Method::Mse,
        "entropy" => Method::Entropy,
        "auto" => Method::Auto,
        p => Method::Percentile(p.parse()?),
    };
    let mut t = Techniques::default();
    for part in parts {
        match part {
            "bias" => t.correct_bias = true,
            "gptq" => t.round_together = true,
            other => return Err(other.into()),
        }
    }
    Ok((method, t))
}
