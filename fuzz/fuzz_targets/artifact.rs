//! Changes sound artifacts. Whatever is accepted must run within its memory and give the same logits on every kernel.
//! The checksum is made right, as an attacker would do.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use resnext::{Kernels, Model, Runner};
use resnext_fuzz::changed;
use resnext_testing::builder::Window;
use resnext_testing::guarded::Guarded;
use resnext_testing::{bits, deep, fix_checksum, input_pixels, small};

/// A network with one step of every kind, and one with a deep stem.
static SOUND: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let pool = Window { kernel: 2, stride: 2, padding: 0, groups: 1 };
    [small().bytes, deep(15, 13, pool).bytes]
});

/// The largest numbers of multiply-accumulates and of bytes of memory that are worth the time.
const MAX_MACS: u64 = 20_000_000;
const MAX_ARENA: usize = 1 << 22;

fuzz_target!(|data: &[u8]| {
    let Some(mut bytes) = changed(&*SOUND, data) else { return };
    fix_checksum(&mut bytes);
    // An access past the end of this memory faults, since the sanitizers do not see into assembly.
    let artifact = Guarded::copy(&bytes);
    let Ok(model) = Model::from_bytes(&artifact) else { return };
    let macs: u64 = model.steps().map(|step| step.macs()).sum();
    if macs > MAX_MACS || model.arena_len() > MAX_ARENA {
        return;
    }
    let pixels = input_pixels(&model, 1);
    let mut expected = None;
    for (index, kernels) in Kernels::available().enumerate() {
        let mut arena = Guarded::new(model.arena_len());
        // What the memory held must not matter.
        arena.fill(0x2a ^ (index as u8).wrapping_mul(0x5b));
        let mut logits = vec![0.0; model.class_count()];
        let mut runner = Runner::new(&model, &mut arena).expect("enough memory").with_kernels(kernels);
        runner.load_pixels(&pixels).expect("as many as the input has");
        runner.infer(&mut logits).expect("a sound model");
        let logits = bits(&logits);
        assert_eq!(expected.get_or_insert_with(|| logits.clone()), &logits, "{}", kernels.isa());
    }
});
