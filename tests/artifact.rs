//! Loading any bytes gives an error or a model that runs, without a panic or an access out of bounds.

use resnext::internals::format::{
    ARENA_ALIGN, CHECKSUM_FROM, Header, NO_TENSOR, SECTIONS, SectionId, StepKind, StepRecord, TENSOR_SLACK,
    TensorRecord, VERSION,
};
use resnext::pack::{Packing, repack};
use resnext::{Kernels, LoadError, Model, Runner, Serial};
use resnext_testing::guarded::Guarded;
use resnext_testing::{Random, bits, fix_checksum, header, infer, input_pixels, reference, section, small};
use std::ops::Range;
use zerocopy::FromBytes;

/// Rounds of the random tests: `cases` unless the environment asks for more. An emulator gets a tenth.
fn cases(cases: usize) -> usize {
    let cases = if cfg!(target_arch = "x86_64") { cases } else { cases / 10 };
    std::env::var("RESNEXT_FUZZ_CASES")
        .ok()
        .map_or(cases, |n| n.parse().expect("RESNEXT_FUZZ_CASES is a number"))
}

/// The seed of the random tests.
fn seed() -> u64 {
    std::env::var("RESNEXT_FUZZ_SEED").ok().map_or(1, |n| n.parse().expect("RESNEXT_FUZZ_SEED is a number"))
}

#[test]
fn foreign_bytes_are_not_an_artifact() {
    let artifact = small().bytes;
    for foreign in
        [&b""[..], b"\x89", b"\x89RNX\r\n\x1a", b"\x89PNG\r\n\x1a\n and so on", &[0; 4096], &artifact[1..]]
    {
        assert_eq!(Model::from_bytes(foreign).unwrap_err(), LoadError::NotAnArtifact);
    }
    // A transfer in text mode.
    let text = artifact.iter().copied().filter(|&byte| byte != b'\r').collect::<Vec<_>>();
    assert_eq!(Model::from_bytes(&text).unwrap_err(), LoadError::NotAnArtifact);
}

#[test]
fn newer_version_is_named() {
    for found in [VERSION + 1, u32::MAX] {
        let mut artifact = small().bytes;
        header(&mut artifact).version.set(found);
        assert_eq!(Model::from_bytes(&artifact).unwrap_err(), LoadError::NewerVersion { found });
        fix_checksum(&mut artifact);
        assert_eq!(Model::from_bytes(&artifact).unwrap_err(), LoadError::NewerVersion { found });
        // A newer version may keep nothing but the magic and the version.
        assert_eq!(
            Model::from_bytes(&artifact[..CHECKSUM_FROM]).unwrap_err(),
            LoadError::NewerVersion { found }
        );
    }
}

#[test]
fn older_version_is_named() {
    let mut artifact = small().bytes;
    header(&mut artifact).version.set(VERSION - 1);
    assert_eq!(Model::from_bytes(&artifact).unwrap_err(), LoadError::OlderVersion { found: VERSION - 1 });
}

#[test]
fn repacking_changes_weights_and_not_results() {
    let original = small().bytes;
    let model = Model::from_bytes(&original).unwrap();
    let pixels = input_pixels(&model, 2);
    let expected = infer(&model, &pixels, Kernels::Scalar, &Serial);
    let mut artifact = original.clone();
    repack(&mut artifact, Packing::K8).unwrap();
    let changed = section(&artifact, SectionId::Weights);
    assert_ne!(artifact[changed.clone()], original[changed]);
    let model = Model::from_bytes(&artifact).unwrap();
    assert_eq!((model.packing(), Packing::of(&artifact)), (Packing::K8, Some(Packing::K8)));
    for kernels in Kernels::available() {
        let logits = infer(&model, &pixels, kernels, &Serial);
        assert_eq!(bits(&logits), bits(&expected), "{}", kernels.isa());
    }
    let again = artifact.clone();
    repack(&mut artifact, Packing::K8).unwrap();
    assert!(artifact == again, "already packed");
    repack(&mut artifact, Packing::K4).unwrap();
    assert!(artifact == original, "back to the first byte");
}

#[test]
fn what_is_refused_is_not_repacked() {
    let mut artifact = small().bytes;
    *artifact.last_mut().unwrap() ^= 1;
    let before = artifact.clone();
    assert_eq!(repack(&mut artifact, Packing::K8).unwrap_err(), LoadError::Damaged);
    assert!(artifact == before);
    repack(&mut [], Packing::K8).unwrap_err();
}

#[test]
fn any_alignment_serves() {
    let artifact = small().bytes;
    let model = Model::from_bytes(&artifact).unwrap();
    let pixels = input_pixels(&model, 1);
    let expected = infer(&model, &pixels, Kernels::Scalar, &Serial);
    for shift in 0..8 {
        let mut moved = vec![0; shift];
        moved.extend_from_slice(&artifact);
        let model = Model::from_bytes(&moved[shift..]).unwrap();
        let mut arena = vec![0; model.arena_len() + shift];
        for kernels in Kernels::available() {
            let mut logits = vec![0.0; model.class_count()];
            let mut runner = Runner::new(&model, &mut arena[shift..]).unwrap().with_kernels(kernels);
            runner.load_pixels(&pixels).unwrap();
            runner.infer(&mut logits).unwrap();
            assert_eq!(
                bits(&logits),
                bits(&expected),
                "{}, artifact and arena moved by {shift}",
                kernels.isa()
            );
        }
    }
}

#[test]
fn truncated_and_extended_files_are_refused() {
    let mut artifact = small().bytes;
    let len = artifact.len();
    for end in 0..len {
        Model::from_bytes(&artifact[..end]).unwrap_err();
    }
    artifact.push(0);
    let wrong = LoadError::WrongLength { expected: len as u64, found: len as u64 + 1 };
    assert_eq!(Model::from_bytes(&artifact).unwrap_err(), wrong);
}

/// The header's length and the checksum are made to agree, so that the cut shows in the sections and their contents.
#[test]
fn truncated_files_with_a_right_length_are_refused() {
    let artifact = small().bytes;
    let step = if cfg!(target_arch = "x86_64") { 1 } else { 17 };
    for end in (size_of::<Header>()..artifact.len()).step_by(step) {
        let mut cut = artifact[..end].to_vec();
        header(&mut cut).file_len.set(end as u64);
        fix_checksum(&mut cut);
        let error = Model::from_bytes(&cut).unwrap_err();
        assert!(matches!(error, LoadError::Invalid { .. }), "{end}: {error}");
    }
}

#[test]
fn every_flipped_bit_of_the_tables_is_noticed() {
    let mut artifact = small().bytes;
    let weights = section(&artifact, SectionId::Weights);
    // Every byte is tried, except that in the weights every 97th must do. Since 97 is prime, all lanes and positions
    // occur.
    for at in (0..weights.start).chain(weights.step_by(97)) {
        for bit in 0..8 {
            artifact[at] ^= 1 << bit;
            assert!(Model::from_bytes(&artifact).is_err(), "byte {at}, bit {bit}");
            artifact[at] ^= 1 << bit;
        }
    }
    Model::from_bytes(&artifact).unwrap();
}

#[test]
fn reference_artifact_notices_damage() {
    let mut artifact = reference();
    Model::from_bytes(&artifact).unwrap();
    for end in (0..artifact.len()).step_by(9973) {
        Model::from_bytes(&artifact[..end]).unwrap_err();
    }
    let mut random = Random(seed());
    for _ in 0..cases(1000) {
        let (at, bit) = (random.below(artifact.len()), random.below(8));
        artifact[at] ^= 1 << bit;
        assert!(Model::from_bytes(&artifact).is_err(), "byte {at}, bit {bit}");
        artifact[at] ^= 1 << bit;
    }
}

/// Each tensor in turn lies at the arena's end, and the weights at the artifact's, both next to memory that
/// cannot be read: no kernel reads more than the slack that the format promises.
#[test]
fn kernels_stay_inside_arena_and_artifact() {
    let built = small();
    let model = Model::from_bytes(&built.bytes).unwrap();
    let pixels = input_pixels(&model, 3);
    let expected = infer(&model, &pixels, Kernels::Scalar, &Serial);
    for (index, tensor) in built.tensors.iter().enumerate() {
        let mut artifact = built.bytes.clone();
        let offset = model.arena_len().next_multiple_of(ARENA_ALIGN) as u64;
        header(&mut artifact).arena_len.set(extent(tensor).saturating_add(offset));
        let tensors = section(&artifact, SectionId::Tensors);
        for record in <[TensorRecord]>::mut_from_bytes(&mut artifact[tensors]).unwrap() {
            // Tensors that share memory move together.
            if record.arena_offset == tensor.arena_offset {
                record.arena_offset.set(offset);
            }
        }
        fix_checksum(&mut artifact);
        let artifact = Guarded::copy(&artifact);
        let moved = Model::from_bytes(&artifact).unwrap();
        for kernels in Kernels::available() {
            let mut arena = Guarded::new(moved.arena_len());
            let mut logits = vec![0.0; moved.class_count()];
            let mut runner = Runner::new(&moved, &mut arena).unwrap().with_kernels(kernels);
            runner.load_pixels(&pixels).unwrap();
            runner.infer(&mut logits).unwrap();
            assert_eq!(bits(&logits), bits(&expected), "{}, tensor {index} last", kernels.isa());
        }
        #[cfg(feature = "tract")]
        if let Some(mut gemm) = resnext::TractGemm::new(&moved, 1) {
            let mut arena = Guarded::new(moved.arena_len());
            let mut logits = vec![0.0; moved.class_count()];
            let mut runner = Runner::new(&moved, &mut arena).unwrap().with_tract(&mut gemm);
            runner.load_pixels(&pixels).unwrap();
            runner.infer(&mut logits).unwrap();
            assert_eq!(bits(&logits), bits(&expected), "tract, tensor {index} last");
        }
    }
}

/// Returns how many bytes of the arena a tensor takes, or more than any arena has.
fn extent(tensor: &TensorRecord) -> u64 {
    let halo = 2 * u64::from(tensor.halo);
    let sides = (u64::from(tensor.height) + halo).checked_mul(u64::from(tensor.width) + halo);
    let bytes = sides.and_then(|pixels| pixels.checked_mul(u64::from(tensor.channels)));
    bytes.map_or(u64::MAX, |bytes| bytes.saturating_add(TENSOR_SLACK as u64))
}

/// A change to an artifact.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "printed when a test fails")]
struct Mutation {
    at: usize,
    len: usize,
    value: u64,
}

/// A part of an artifact, with the length of its records.
type Region = (Range<usize>, usize);

/// The parts that changes go to, each as often as it is worth. Changing the length or the checksum would only
/// show that they are checked.
fn regions(artifact: &[u8]) -> [Region; 10] {
    let header = (CHECKSUM_FROM + 8..size_of::<Header>(), 8);
    let tensors = (section(artifact, SectionId::Tensors), size_of::<TensorRecord>());
    let steps = (section(artifact, SectionId::Steps), size_of::<StepRecord>());
    let params = (section(artifact, SectionId::Params), 4);
    let anything = (CHECKSUM_FROM + 8..artifact.len(), 1);
    let (t, s) = (|| tensors.clone(), || steps.clone());
    [t(), t(), t(), s(), s(), s(), s(), header, params, anything]
}

/// Overwrites a field of one of the tables, or a byte of anything, by a value likely to do harm.
fn mutate(artifact: &mut [u8], regions: &[Region], random: &mut Random) -> Mutation {
    let (region, record) = &regions[random.below(regions.len())];
    let len = [1, 2, 4, 8][random.below(4)];
    // Fields are as aligned as they are long.
    let at = region.start + random.below(region.len() - len + 1) / len * len;
    let mut bytes = match random.below(8) {
        0 => 0,
        1 => u64::MAX,
        // These are the largest and the smallest signed number.
        2 => u64::MAX >> (65 - 8 * len as u32),
        3 => 1 << (8 * len as u32 - 1),
        4 => random.below(20) as u64,
        5 => 1 << random.below(64),
        6 => random.next(),
        // The same field of another record is a plausible value in the wrong place.
        _ => {
            let place = (at - region.start) % record;
            let other = region.start + random.below(region.len() / record) * record + place;
            let other = other.min(region.end - len);
            let mut bytes = [0; 8];
            bytes[..len].copy_from_slice(&artifact[other..][..len]);
            u64::from_le_bytes(bytes)
        }
    };
    if random.below(4) == 0 {
        bytes = bytes.wrapping_add([1, u64::MAX][random.below(2)]);
    }
    artifact[at..][..len].copy_from_slice(&bytes.to_le_bytes()[..len]);
    Mutation { at, len, value: bytes }
}

/// The largest arena that a mutated artifact is run in.
const LARGEST_ARENA: usize = 1 << 20;

/// Makes the header agree with the tables, where a check of agreement would hide checks of the tables.
fn agree(artifact: &mut [u8], random: &mut Random) {
    let tables = [SectionId::Tensors, SectionId::Steps].map(|id| {
        let section = Header::ref_from_prefix(artifact).unwrap().0.sections[id as usize];
        let (start, len) = (section.offset.get() as usize, section.len.get() as usize);
        artifact.get(start..).and_then(|bytes| bytes.get(..len))
    });
    let [Some(tensors), Some(steps)] = tables else {
        return;
    };
    let (Ok(tensors), Ok(steps)) =
        (<[TensorRecord]>::ref_from_bytes(tensors), <[StepRecord]>::ref_from_bytes(steps))
    else {
        return;
    };
    let ends = tensors.iter().map(|t| t.arena_offset.get().saturating_add(extent(t)));
    let arena_len = ends.max().unwrap_or(0);
    let mut macs = 0u64;
    for step in steps {
        let Some(input) = tensors.get(usize::from(step.input)) else {
            continue;
        };
        let pixels = match (StepKind::from_code(step.kind), tensors.get(usize::from(step.output))) {
            (Some(StepKind::Conv), Some(output)) => u64::from(output.height) * u64::from(output.width),
            (Some(StepKind::Linear), _) => 1,
            _ => continue,
        };
        let group_in = u64::from(input.channels).checked_div(u64::from(step.groups)).unwrap_or(0);
        let shortcut = tensors.get(usize::from(step.shortcut)).filter(|_| step.kind == StepKind::Conv as u8);
        let shortcut_channels = shortcut.map_or(0, |tensor| u64::from(tensor.channels));
        let taps = u64::from(step.kernel) * u64::from(step.kernel) * group_in + shortcut_channels;
        macs = macs.saturating_add(pixels.saturating_mul(taps).saturating_mul(u64::from(step.out_channels)));
    }
    let header = header(artifact);
    if random.below(8) > 0 {
        header.macs.set(macs);
    }
    if arena_len <= LARGEST_ARENA as u64 && random.below(4) > 0 {
        header.arena_len.set(arena_len);
    }
}

/// Prints what was being tried when a panic unwinds.
struct Trying<'a>(&'a [Mutation]);

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("after {:#?}", self.0);
        }
    }
}

/// The outcome of loading and running mutated artifacts.
#[derive(Default, Debug)]
struct Outcomes {
    refused: usize,
    ran: usize,
    too_large: usize,
}

impl Outcomes {
    /// Loads `artifact` and, if that succeeds, runs it on two sets of kernels in memory that ends where `arena` does.
    fn try_one(&mut self, artifact: &[u8], arena: &mut Guarded, kernels: [Kernels; 2]) {
        let Ok(model) = Model::from_bytes(artifact) else {
            self.refused += 1;
            return;
        };
        let Some(start) = arena.len().checked_sub(model.arena_len()) else {
            self.too_large += 1;
            return;
        };
        self.ran += 1;
        let arena = &mut arena[start..];
        // Accessors decode what loading has validated.
        for class in 0..=model.class_count() {
            assert_eq!(model.class(class).is_some(), class < model.class_count());
        }
        assert_eq!(model.steps().count(), model.step_count());
        let pixels = input_pixels(&model, 1);
        // Neither what the arena held nor the kernels may show in the logits.
        let mut infer = |filler: u8, kernels| {
            arena.fill(filler);
            let mut logits = vec![0.0; model.class_count()];
            let mut runner = Runner::new(&model, arena).unwrap().with_kernels(kernels);
            runner.load_pixels(&pixels).unwrap();
            runner.infer(&mut logits).unwrap();
            logits
        };
        let logits = infer(0x2a, kernels[0]);
        assert_eq!(
            bits(&infer(0x95, kernels[1])),
            bits(&logits),
            "{} and {}",
            kernels[0].isa(),
            kernels[1].isa()
        );
        resnext::top_k::<5>(&logits);
        // Preprocessing may need more scratch memory than the arena has, and says so.
        let frame = resnext::Frame::rgb8(&pixels, pixels.len() as u32 / 3, 1, pixels.len()).unwrap();
        let _ = Runner::new(&model, arena).unwrap().load_frame(&frame);
    }
}

#[test]
fn mutated_artifacts_with_a_right_checksum_are_refused_or_run() {
    let original = small().bytes;
    let regions = regions(&original);
    let mut random = Random(seed());
    let mut arena = Guarded::new(LARGEST_ARENA);
    let mut artifact = Guarded::copy(&original);
    let kernels: Vec<Kernels> = Kernels::available().collect();
    let mut outcomes = Outcomes::default();
    let cases = cases(30_000);
    for _ in 0..cases {
        artifact.copy_from_slice(&original);
        let count = 1 + random.below(3);
        let mutations: Vec<_> = (0..count).map(|_| mutate(&mut artifact, &regions, &mut random)).collect();
        agree(&mut artifact, &mut random);
        fix_checksum(&mut artifact);
        let trying = Trying(&mutations);
        outcomes.try_one(&artifact, &mut arena, [(); 2].map(|()| kernels[random.below(kernels.len())]));
        drop(trying);
    }
    println!("{outcomes:?}");
    // The test proves something only while many artifacts get past the checks.
    assert!(outcomes.ran * 20 > cases && outcomes.refused * 20 > cases, "{outcomes:?}");
}

/// Every byte of every record is set to each of a few values.
#[test]
fn every_byte_of_the_tables_may_be_anything() {
    let original = small().bytes;
    let mut arena = Guarded::new(LARGEST_ARENA);
    let mut artifact = Guarded::copy(&original);
    let mut outcomes = Outcomes::default();
    let mut random = Random(seed());
    let tables = [SectionId::Tensors, SectionId::Steps, SectionId::Classes].map(|id| section(&original, id));
    let step = if cfg!(target_arch = "x86_64") { 1 } else { 5 };
    for at in (0..size_of::<Header>()).chain(tables.into_iter().flatten()).step_by(step) {
        let old = original[at];
        for value in [0, 1, 0x7f, 0x80, 0xff, old.wrapping_add(1), old.wrapping_sub(1), old ^ 0x10] {
            artifact[at] = value;
            let mutations = [Mutation { at, len: 1, value: u64::from(value) }];
            let trying = Trying(&mutations);
            fix_checksum(&mut artifact);
            outcomes.try_one(&artifact, &mut arena, [Kernels::detect(); 2]);
            agree(&mut artifact, &mut random);
            fix_checksum(&mut artifact);
            outcomes.try_one(&artifact, &mut arena, [Kernels::detect(); 2]);
            drop(trying);
            artifact.copy_from_slice(&original);
        }
    }
    println!("{outcomes:?}");
}

/// Sections must neither overlap each other nor the header, and records must not name anything past the end of a section.
#[test]
fn sections_may_lie_anywhere() {
    let original = small().bytes;
    let mut arena = Guarded::new(LARGEST_ARENA);
    let mut artifact = Guarded::copy(&original);
    let mut outcomes = Outcomes::default();
    let len = original.len() as u64;
    let offsets =
        [0, 1, 63, 64, 128, len - 1, len, len + 1, len.next_multiple_of(64), 1 << 32, 1 << 63, u64::MAX];
    let lengths = [0, 1, 16, 36, 48, 64, len - 64, len, 1 << 32, u64::MAX - 63, u64::MAX];
    for index in 0..SECTIONS {
        for offset in offsets {
            for length in lengths {
                artifact.copy_from_slice(&original);
                let section = &mut header(&mut artifact).sections[index];
                section.offset.set(offset);
                section.len.set(length);
                fix_checksum(&mut artifact);
                outcomes.try_one(&artifact, &mut arena, [Kernels::detect(); 2]);
            }
        }
    }
    println!("{outcomes:?}");
}

/// A residual that is the convolution's own input would be read while it is overwritten, or not at all.
#[test]
fn operands_that_share_memory_are_refused() {
    let built = small();
    let steps = section(&built.bytes, SectionId::Steps);
    let count = built.layers.len();
    for index in 0..count {
        let mut artifact = built.bytes.clone();
        let records = <[StepRecord]>::mut_from_bytes(&mut artifact[steps.clone()]).unwrap();
        if records[index].residual == NO_TENSOR {
            continue;
        }
        // The input gets the residual's shape by being it: only a pointwise convolution can then match.
        let residual = records[index].residual;
        records[index].input = residual;
        let mut random = Random(0);
        agree(&mut artifact, &mut random);
        fix_checksum(&mut artifact);
        assert!(matches!(Model::from_bytes(&artifact), Err(LoadError::Invalid { .. })), "step {index}");
    }
}

/// A fused shortcut must not read memory that is overwritten or beyond its tensor, and only some convolutions can have one.
#[test]
fn shortcuts_that_do_not_fit_are_refused() {
    let built = small();
    let fused = built.layers.iter().position(|layer| layer.shortcut.is_some()).unwrap();
    let layer = &built.layers[fused];
    let wide = built.layers.iter().position(|layer| layer.kernel > 1).unwrap();
    // The step, the tensor that its shortcut reads and at what stride, and its residual.
    let own = layer.shortcut.as_ref().unwrap().input;
    let changes = [
        (fused, own, 0, NO_TENSOR, "shortcut's input allows"),
        (fused, own, 4, NO_TENSOR, "shortcut's input allows"),
        (fused, layer.output, 1, NO_TENSOR, "shortcut and output share memory"),
        (fused, layer.input, 1, NO_TENSOR, "shortcut and input share memory"),
        (fused, 1000, 1, NO_TENSOR, "a tensor that does not exist"),
        (fused, own, 2, layer.output, "or has groups or a residual"),
        (wide, own, 1, NO_TENSOR, "shortcut's input allows"),
        (wide, built.layers[wide].input, 1, NO_TENSOR, "a step that is not 1×1"),
    ];
    for (step, shortcut, stride, residual, expected) in changes {
        let mut artifact = built.bytes.clone();
        let steps = section(&artifact, SectionId::Steps);
        let record = &mut <[StepRecord]>::mut_from_bytes(&mut artifact[steps]).unwrap()[step];
        (record.shortcut, record.shortcut_stride) = (shortcut.into(), stride);
        record.residual = residual.into();
        agree(&mut artifact, &mut Random(0));
        fix_checksum(&mut artifact);
        let error = Model::from_bytes(&artifact).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}, not {expected}");
    }
}

#[test]
fn reference_artifact_may_be_mutated_too() {
    let original = reference();
    let regions = regions(&original);
    let mut random = Random(seed());
    let mut arena = Guarded::new(Model::from_bytes(&original).unwrap().arena_len());
    let mut artifact = Guarded::copy(&original);
    let mut outcomes = Outcomes::default();
    for _ in 0..cases(60) {
        let mutations: Vec<_> =
            (0..1 + random.below(2)).map(|_| mutate(&mut artifact, &regions, &mut random)).collect();
        fix_checksum(&mut artifact);
        let trying = Trying(&mutations);
        outcomes.try_one(&artifact, &mut arena, [Kernels::detect(); 2]);
        drop(trying);
        artifact.copy_from_slice(&original);
    }
    println!("{outcomes:?}");
}

#[test]
fn errors_say_what_to_do() {
    for (error, advice) in [
        (LoadError::NotAnArtifact, "give a model"),
        (LoadError::NewerVersion { found: 9 }, "update resnext"),
        (LoadError::WrongLength { expected: 2, found: 1 }, "copy it again"),
        (LoadError::Damaged, "copy it again"),
        (LoadError::Invalid { what: "x", index: 0 }, "recompile"),
    ] {
        assert!(error.to_string().contains(advice), "{error}");
    }
    assert_eq!(small().bytes[..4], *b"\x89RNX");
}
