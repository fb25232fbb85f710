//! Whole inferences of the bundled network in fp32 beside int8 on the same pixels, one thread each.
//!
//! `cargo bench -p resnext-calibration`; `benches/runtime.rs` has int8 on every set of kernels.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use resnext::{Kernels, Model, Runner};
use resnext_calibration::fp32::Fp32Model;
use resnext_calibration::import::{ImportOptions, load_safetensors};
use resnext_calibration::network::fold_batch_norm;
use resnext_calibration::preprocessing::normalize;
use resnext_models::reference;
use std::hint::black_box;

/// Multiply-accumulates per second of whole inferences.
fn whole_model(c: &mut Criterion) {
    let model = Model::from_bytes(reference::ARTIFACT).expect("the bundled model loads");
    let mut group = c.benchmark_group("whole-model");
    group.throughput(Throughput::Elements(model.macs()));
    let input = model.input();
    let pixels: Vec<u8> = (0..input.pixels() * input.channels).map(|i| (i * 37 % 251) as u8).collect();

    let options = ImportOptions::of_size(input.height);
    let mut network = load_safetensors(reference::WEIGHTS, reference::VARIANT.name, options)
        .expect("the bundled weights load");
    fold_batch_norm(&mut network);
    let mut fp32 = Fp32Model::new(&network, &[]).expect("fp32");
    let normalized = normalize(model.preprocessing(), &pixels);
    group.bench_function("fp32", |b| {
        b.iter(|| black_box(fp32.run(&normalized).expect("logits").result()[0]));
    });

    let (mut arena, mut logits) = (vec![0; model.arena_len()], vec![0.0; model.class_count()]);
    let mut runner = Runner::new(&model, &mut arena).expect("arena");
    group.bench_function(format!("int8-{}", Kernels::detect().isa()), |b| {
        b.iter(|| {
            runner.load_pixels(&pixels).expect("pixels");
            runner.infer(black_box(&mut logits)).expect("logits");
        });
    });
    group.finish();
}

criterion_group!(benches, whole_model);
criterion_main!(benches);
