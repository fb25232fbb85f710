//! Measures whole inferences of the bundled reference model on every set of kernels that this CPU has.
//!
//! `cargo bench -p resnext` runs it; `--features tract` adds the kernels of tract-linalg.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use resnext::{Kernels, Model, Runner};
use std::hint::black_box;

use resnext_models::reference::ARTIFACT;

fn model() -> Model<'static> {
    Model::from_bytes(ARTIFACT).expect("the bundled model loads")
}

/// Multiply-accumulates per second of whole inferences, one thread.
fn inference(c: &mut Criterion) {
    let model = model();
    let mut group = c.benchmark_group("inference");
    group.throughput(Throughput::Elements(model.macs()));
    let mut arena = vec![0; model.arena_len()];
    let mut logits = vec![0.0; model.class_count()];
    let pixels: Vec<u8> = (0..model.input().pixels() * 3).map(|i| (i * 37 % 251) as u8).collect();
    for kernels in Kernels::available() {
        let mut runner = Runner::new(&model, &mut arena).expect("arena").with_kernels(kernels);
        group.bench_function(BenchmarkId::from_parameter(kernels.isa()), |b| {
            b.iter(|| {
                runner.load_pixels(&pixels).expect("pixels");
                runner.infer(black_box(&mut logits)).expect("logits");
            });
        });
    }
    #[cfg(feature = "tract")]
    if let Some(mut gemm) = resnext::TractGemm::new(&model, 1) {
        let mut runner = Runner::new(&model, &mut arena).expect("arena").with_tract(&mut gemm);
        group.bench_function("tract", |b| {
            b.iter(|| {
                runner.load_pixels(&pixels).expect("pixels");
                runner.infer(black_box(&mut logits)).expect("logits");
            });
        });
    }
    group.finish();
}

/// Measures what it costs to open a model, which is one pass over its bytes.
fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    group.throughput(Throughput::Bytes(ARTIFACT.len() as u64));
    group.bench_function("from_bytes", |b| b.iter(|| Model::from_bytes(black_box(ARTIFACT)).is_ok()));
    group.finish();
}

criterion_group!(benches, inference, load);
criterion_main!(benches);
