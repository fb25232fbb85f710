//! Every kernel, with any number of threads and on every CPU, gives the same logits to the bit.
//!
//! `fixtures/golden/reference-logits.txt` pins the logits of the reference artifact, for x86-64 and Arm alike. After the
//! artifact has been compiled again, write the file anew with
//!
//! ```text
//! RESNEXT_BLESS=1 cargo test -p resnext --test bit_exact
//! ```

use resnext::{Frame, Kernels, Model, Pool, Runner, Serial, Workers};
use resnext_testing::builder::{Built, Window};
use resnext_testing::{bits, deep, infer, input_pixels, oracle, picture, reference, small, tiny};
use std::fmt::Write;
use std::path::PathBuf;

/// Miri interprets each instruction, so it gets a tiny network, one input and one pool.
const MIRI: bool = cfg!(miri);

/// Calls `f` for every set of kernels with every number of threads.
fn each_configuration(f: impl Fn(Kernels, &dyn Workers, &str)) {
    let pools: Vec<Pool> =
        (2..=if MIRI { 2 } else { 4 }).map(|threads| Pool::new(threads).unwrap()).collect();
    for kernels in Kernels::available() {
        f(kernels, &Serial, &format!("{}, 1 thread", kernels.isa()));
        for pool in &pools {
            f(kernels, pool, &format!("{}, {} threads", kernels.isa(), pool.count()));
        }
    }
}

#[cfg(feature = "tract")]
fn infer_on_tract(model: &Model<'_>, pixels: &[u8], threads: usize) -> Option<Vec<f32>> {
    let mut gemm = resnext::TractGemm::new(model, threads)?;
    let pool = Pool::new(threads).unwrap();
    let mut arena = vec![0; model.arena_len()];
    let mut logits = vec![0.0; model.class_count()];
    let mut runner = Runner::new(model, &mut arena).unwrap().with_workers(&pool).with_tract(&mut gemm);
    runner.load_pixels(pixels).unwrap();
    runner.infer(&mut logits).unwrap();
    Some(logits)
}

#[test]
fn small_network_equals_its_definition() {
    let networks = if MIRI { vec![tiny()] } else { vec![tiny(), small()] };
    for built in networks {
        let model = Model::from_bytes(&built.bytes).unwrap();
        for seed in 0..if MIRI { 1 } else { 3 } {
            equals_its_definition(&built, &model, seed);
        }
    }
}

fn equals_its_definition(built: &Built, model: &Model<'_>, seed: u64) {
    let pixels = input_pixels(model, seed);
    let expected = oracle::logits(built, &pixels);
    assert!(expected.iter().any(|&logit| logit != expected[0]), "the network computes something");
    each_configuration(|kernels, workers, name| {
        let actual = infer(model, &pixels, kernels, workers);
        assert_eq!(bits(&actual), bits(&expected), "{name}, seed {seed}");
    });
    #[cfg(feature = "tract")]
    for threads in 1..=4 {
        if let Some(actual) = infer_on_tract(model, &pixels, threads) {
            assert_eq!(bits(&actual), bits(&expected), "tract, {threads} threads, seed {seed}");
        }
    }
}

/// Sides that are even, odd and a single pixel after the stem's stride; windows that touch, overlap and leave gaps.
#[test]
fn average_pools_count_what_is_there() {
    for (height, width) in [(2, 2), (2, 16), (15, 4), (16, 17), (5, 41), (30, 29)] {
        for (kernel, stride) in [(2, 2), (2, 1), (1, 2), (2, 3), (4, 2), (15, 15)] {
            let built = deep(height, width, Window { kernel, stride, padding: 0, groups: 1 });
            let name = format!("{height}×{width}, window {kernel}, stride {stride}");
            let model = match Model::from_bytes(&built.bytes) {
                Ok(model) => model,
                // The rest of the window must divide it, and the window must start on the tensor.
                Err(error) => {
                    assert!(kernel > 2 || stride > kernel, "{name}: {error}");
                    assert!(error.to_string().contains("average pool"), "{name}: {error}");
                    continue;
                }
            };
            let pixels = input_pixels(&model, 4);
            let expected = oracle::logits(&built, &pixels);
            each_configuration(|kernels, workers, configuration| {
                let actual = infer(&model, &pixels, kernels, workers);
                assert_eq!(bits(&actual), bits(&expected), "{configuration}, {name}");
            });
        }
    }
}

#[test]
fn what_the_arena_held_does_not_matter() {
    let built = small();
    let model = Model::from_bytes(&built.bytes).unwrap();
    let pixels = input_pixels(&model, 0);
    let expected = oracle::logits(&built, &pixels);
    for filler in [0x00, 0x7f, 0x80, 0xff] {
        let mut arena = vec![filler; model.arena_len()];
        let mut runner = Runner::new(&model, &mut arena).unwrap();
        for round in 0..2 {
            let mut logits = vec![0.0; model.class_count()];
            runner.load_pixels(&pixels).unwrap();
            runner.infer(&mut logits).unwrap();
            assert_eq!(bits(&logits), bits(&expected), "arena of {filler:#x}, round {round}");
        }
    }
}

#[test]
fn a_frame_of_the_input_size_is_the_input() {
    let built = small();
    let model = Model::from_bytes(&built.bytes).unwrap();
    let preprocessing = model.preprocessing();
    // Neither resized nor cropped in width; two rows and columns are cut off in all.
    let (width, height) = (preprocessing.short_side as usize, preprocessing.short_side as usize + 4);
    let (left, top) =
        ((width - preprocessing.crop_width as usize) / 2, (height - preprocessing.crop_height as usize) / 2);
    let frame = picture(width, height, 5);
    let rows = frame.chunks_exact(3 * width).skip(top).take(preprocessing.crop_height as usize);
    let pixels: Vec<u8> =
        rows.flat_map(|row| &row[3 * left..][..3 * preprocessing.crop_width as usize]).copied().collect();
    let mut arena = vec![0; model.arena_len()];
    let mut logits = vec![0.0; model.class_count()];
    let mut runner = Runner::new(&model, &mut arena).unwrap();
    let frame = Frame::rgb8(&frame, width as u32, height as u32, 3 * width).unwrap();
    runner.run(&frame, &mut logits).unwrap();
    assert_eq!(bits(&logits), bits(&oracle::logits(&built, &pixels)));
}

/// Logits of the reference artifact that are pinned: of an input given as pixels, and of a frame that is
/// resized and cropped first.
struct Golden {
    pixels: Vec<f32>,
    frame: Vec<f32>,
}

fn run_frame(model: &Model<'_>, kernels: Kernels) -> Vec<f32> {
    let (width, height) = (320, 240);
    let frame = picture(width, height, 8);
    let frame = Frame::rgb8(&frame, width as u32, height as u32, 3 * width).unwrap();
    let mut arena = vec![0; model.arena_len()];
    let mut logits = vec![0.0; model.class_count()];
    let mut runner = Runner::new(model, &mut arena).unwrap().with_kernels(kernels);
    runner.run(&frame, &mut logits).unwrap();
    logits
}

impl Golden {
    fn path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden/reference-logits.txt")
    }

    fn read() -> Self {
        let path = Self::path();
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut golden = Self { pixels: vec![], frame: vec![] };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [input, class, bits, ..] = fields[..] else { panic!("{}: {line:?}", path.display()) };
            let logits = if input == "frame" { &mut golden.frame } else { &mut golden.pixels };
            assert_eq!(class, logits.len().to_string(), "classes in order");
            logits.push(f32::from_bits(u32::from_str_radix(bits, 16).unwrap()));
        }
        golden
    }

    fn write(&self) {
        let mut text = String::from(
            "# Logits of models/reference/*.rnx on synthetic inputs: input, class, f32 bits, value.\n\
             # Written by: RESNEXT_BLESS=1 cargo test -p resnext --test bit_exact\n",
        );
        for (name, logits) in [("pixels", &self.pixels), ("frame", &self.frame)] {
            for (class, logit) in logits.iter().enumerate() {
                writeln!(text, "{name} {class} {:08x} {logit}", logit.to_bits()).unwrap();
            }
        }
        std::fs::create_dir_all(Self::path().parent().unwrap()).unwrap();
        std::fs::write(Self::path(), text).unwrap();
    }
}

#[test]
fn reference_network_is_pinned() {
    let artifact = reference();
    let model = Model::from_bytes(&artifact).unwrap();
    let pixels = input_pixels(&model, 7);
    if std::env::var_os("RESNEXT_BLESS").is_some() {
        let scalar = Kernels::Scalar;
        Golden { pixels: infer(&model, &pixels, scalar, &Serial), frame: run_frame(&model, scalar) }.write();
    }
    let golden = Golden::read();
    each_configuration(|kernels, workers, name| {
        // The portable kernels split work like all others, and take minutes under emulation.
        if kernels == Kernels::Scalar && workers.count() > 1 {
            return;
        }
        let actual = infer(&model, &pixels, kernels, workers);
        assert_eq!(bits(&actual), bits(&golden.pixels), "{name}");
    });
    assert_eq!(bits(&run_frame(&model, Kernels::detect())), bits(&golden.frame), "frame");
    #[cfg(feature = "tract")]
    for threads in 1..=4 {
        if let Some(actual) = infer_on_tract(&model, &pixels, threads) {
            assert_eq!(bits(&actual), bits(&golden.pixels), "tract, {threads} threads");
        }
    }
}
