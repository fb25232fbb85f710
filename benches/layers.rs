//! Measures single layers: every shape that ResNeXt-50 32x4d and ResNeXt-101 32x8d consist of, on every set of kernels that
//! this CPU has, on one thread.
//!
//! ```text
//! cargo bench -p resnext --bench layers                    minutes
//! cargo bench -p resnext --bench layers -- --quick         one minute, less exact
//! cargo bench -p resnext --bench layers -- avx2/3x3s2      some of them
//! ```
//!
//! The shapes come from `resnext-models`. Their names are `kernel[stride][groups]-in-out-side[-add]`: `3x3s2g32-256-256-56`
//! is a 3×3 convolution with stride 2 and 32 groups, from 256 channels to 256, of 56×56 pixels; `-add` adds a residual, and
//! `-add[stride]-in-side` a projection shortcut, which is fused with it.
//!
//! The tables at the end compare the fastest run of each with the peak of the instruction set. For VPDPBUSD the peak is
//! measured with nothing else in the loop ([`vpdpbusd`]); for others it is estimated from [`macs_per_cycle`] and [`clock`],
//! since a core may start more or fewer multiplications, and its clock may change.

use criterion::{Criterion, Throughput};
use resnext::internals::format::{NO_TENSOR, SECTION_ALIGN};
use resnext::{Kernels, Model, Runner, pack};
use resnext_models::layers::{Conv, Op, Position, Role};
use resnext_testing::Random;
use resnext_testing::builder::{Builder, Window};
use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

const NETWORKS: [&str; 2] = ["torchvision/resnext50_32x4d", "torchvision/resnext101_32x8d"];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    let shapes = shapes();
    let tables: Vec<Table> =
        Kernels::available().map(|kernels| measure(&mut criterion, kernels, &shapes)).collect();
    criterion.final_summary();
    tables.iter().for_each(|table| print!("{table}"));
}

/// What a convolution adds to its products.
#[derive(Clone, Copy, PartialEq)]
enum Adds {
    Nothing,
    Residual,
    /// The products of this one.
    Shortcut(Conv),
}

/// Layers of one shape.
struct Shape {
    op: Op,
    adds: Adds,
    /// How many of them each of [`NETWORKS`] has.
    count: [u32; NETWORKS.len()],
}

/// The distinct shapes of all [`NETWORKS`], in the order in which the first of each runs.
fn shapes() -> Vec<Shape> {
    let mut shapes: Vec<Shape> = vec![];
    for (network, id) in NETWORKS.into_iter().enumerate() {
        let variant = resnext_models::find(id).expect("a published variant");
        let mut shortcut = None;
        for layer in variant.architecture.layers(variant.preprocessing.size.into()) {
            let adds = match (layer.position, layer.op) {
                // It comes before what it is added to.
                (Position::Block { role: Role::Shortcut, .. }, Op::Conv(conv)) => {
                    shortcut = Some(conv);
                    continue;
                }
                (Position::Block { role: Role::Expand, .. }, _) => {
                    shortcut.take().map_or(Adds::Residual, Adds::Shortcut)
                }
                _ => Adds::Nothing,
            };
            let known = shapes.iter().position(|shape| (shape.op, shape.adds) == (layer.op, adds));
            let index = known.unwrap_or_else(|| {
                shapes.push(Shape { op: layer.op, adds, count: [0; NETWORKS.len()] });
                shapes.len() - 1
            });
            shapes[index].count[network] += 1;
        }
    }
    shapes
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            Op::Conv(c) => {
                write!(f, "{0}x{0}", c.kernel)?;
                if c.stride > 1 {
                    write!(f, "s{}", c.stride)?;
                }
                if c.groups > 1 {
                    write!(f, "g{}", c.groups)?;
                }
                write!(f, "-{}-{}-{}", c.in_channels, c.out_channels, c.input_size)?;
                match self.adds {
                    Adds::Nothing => Ok(()),
                    Adds::Residual => f.write_str("-add"),
                    Adds::Shortcut(c) if c.stride > 1 => {
                        write!(f, "-adds{}-{}-{}", c.stride, c.in_channels, c.input_size)
                    }
                    Adds::Shortcut(c) => write!(f, "-add-{}-{}", c.in_channels, c.input_size),
                }
            }
            Op::Linear(l) => write!(f, "linear-{}-{}", l.in_features, l.out_features),
        }
    }
}

impl Shape {
    fn macs(&self) -> u64 {
        let shortcut = match self.adds {
            Adds::Shortcut(conv) => Op::Conv(conv).macs(),
            Adds::Nothing | Adds::Residual => 0,
        };
        self.op.macs() + shortcut
    }

    /// Returns a model that consists of this layer and of what every model must have: a frame, which the layer does not
    /// read, and the smallest classifier. The layer reads what it finds in the arena. Its output has no halo, which would
    /// be written in no time.
    fn artifact(&self) -> Vec<u8> {
        let mut b = Builder::new(1);
        b.tensor(1, 1, 3, 0);
        let (features, classes) = match self.op {
            Op::Conv(c) => {
                let window = Window {
                    kernel: c.kernel as u8,
                    stride: c.stride as u8,
                    padding: c.padding() as u8,
                    groups: c.groups as u32,
                };
                let [from, to] = [c.input_size, c.output_size].map(|side| side as u32);
                let input = b.tensor(from, from, c.in_channels as u32, window.padding);
                let output = b.tensor(to, to, c.out_channels as u32, 0);
                match self.adds {
                    Adds::Nothing => b.conv("layer", window, input, output, NO_TENSOR),
                    Adds::Residual => {
                        let sum = b.alias(output);
                        b.conv("layer", window, input, sum, output);
                    }
                    Adds::Shortcut(c) => {
                        let side = c.input_size as u32;
                        let from = b.tensor(side, side, c.in_channels as u32, 0);
                        b.fused("layer", input, output, (from, c.stride as u8));
                    }
                }
                (4, 1)
            }
            Op::Linear(l) => (l.in_features, l.out_features),
        };
        let input = b.tensor(1, 2, features as u32, 0);
        b.linear("classifier", input, classes);
        b.finish().bytes
    }
}

/// Runs `shapes` on `kernels`.
fn measure(criterion: &mut Criterion, kernels: Kernels, shapes: &[Shape]) -> Table {
    let mut group = criterion.benchmark_group(kernels.isa());
    let mut rows = vec![];
    for shape in shapes {
        let mut bytes = shape.artifact();
        pack::repack(&mut bytes, kernels.packing()).expect("an artifact");
        let mut memory = vec![0; bytes.len() + SECTION_ALIGN];
        let artifact = aligned(&mut memory, &bytes);
        let model = Model::from_bytes(artifact).expect("a valid artifact");
        // Memory that nothing was written to is one page of zeros, which the nearest cache holds.
        let mut random = Random(1);
        let mut arena: Vec<u8> = (0..model.arena_len()).map(|_| random.next() as u8).collect();
        let mut logits = vec![0.0; model.class_count()];
        let mut runner = Runner::new(&model, &mut arena).expect("a whole arena").with_kernels(kernels);
        // None if the command line leaves it out.
        let mut fastest: Option<Duration> = None;
        group.throughput(Throughput::Elements(shape.macs()));
        group.bench_function(shape.to_string(), |b| {
            b.iter_custom(|runs| {
                let run = |_| {
                    let start = Instant::now();
                    runner.infer(black_box(&mut logits)).expect("a logit for every class");
                    start.elapsed()
                };
                let times = (0..runs).map(run);
                times.inspect(|&time| fastest = Some(fastest.map_or(time, |least| least.min(time)))).sum()
            });
        });
        rows.extend(fastest.map(|time| Row {
            name: shape.to_string(),
            count: shape.count,
            macs: shape.macs(),
            seconds: time.as_secs_f64(),
        }));
    }
    group.finish();
    if rows.len() == shapes.len() {
        let totals: Vec<Row> = (0..NETWORKS.len()).map(|network| Row::total(network, &rows)).collect();
        rows.extend(totals);
    }
    // Now that the core has been busy for a while.
    let peak = peak(kernels);
    Table { kernels, peak, rows }
}

/// `bytes` at the start of a cache line, where a memory map would have them.
fn aligned<'a>(memory: &'a mut [u8], bytes: &[u8]) -> &'a [u8] {
    let start = memory.as_ptr().align_offset(SECTION_ALIGN);
    let place = &mut memory[start..][..bytes.len()];
    place.copy_from_slice(bytes);
    place
}

/// How many VPDPBUSD that do not wait for each other this core starts a second: one or two of 64 bytes a cycle.
#[cfg(target_arch = "x86_64")]
macro_rules! vpdpbusd {
    ($start:literal, $a:literal, $b:literal) => {{
        const ROUNDS: u64 = 20_000;
        let measure = |_| {
            let start = Instant::now();
            // SAFETY: the kernels' token proves that the CPU has it; changes nothing but its registers.
            unsafe {
                std::arch::asm!(
                    "2:",
                    vpdpbusd!(@ $start $a $b 0 1 2 3 4 5 6 7 8 9 10 11),
                    "dec {rounds}",
                    "jnz 2b",
                    rounds = inout(reg) ROUNDS => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm14") _, out("xmm15") _,
                    options(nomem, nostack)
                );
            }
            12.0 * ROUNDS as f64 / start.elapsed().as_secs_f64()
        };
        (0..20).map(measure).fold(0.0, f64::max)
    }};
    (@ $start:literal $a:literal $b:literal $($acc:literal)+) => {
        concat!($($start, $acc, ", ", $a, ", ", $b, "\n"),+)
    };
}
/// The most that the instruction set can do here: multiply-accumulates a cycle, rounded where they were measured, and
/// cycles a second. `None` where the compiler chooses the instructions.
fn peak(kernels: Kernels) -> Option<(u32, f64)> {
    let clock = clock();
    let measured: Option<f64> = match kernels {
        #[cfg(target_arch = "x86_64")]
        Kernels::AvxVnni(_) => Some(32.0 * vpdpbusd!("{{vex}} vpdpbusd ymm", "ymm14", "ymm15")),
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512Vnni(_) => Some(64.0 * vpdpbusd!("vpdpbusd zmm", "zmm14", "zmm15")),
        _ => None,
    };
    let macs = measured.map(|rate| (rate / clock).round() as u32).or(macs_per_cycle(kernels));
    macs.map(|macs| (macs, clock))
}

/// Multiply-accumulates into 32 bits that the instruction set does a cycle, on cores that start as many of its
/// multiplications a cycle as most do.
fn macs_per_cycle(kernels: Kernels) -> Option<u32> {
    match kernels.isa() {
        // Two VPMADDWD of 16; also VPMADDUBSW of 32, which needs a VPMADDWD to get to 32 bits.
        "avx2" => Some(2 * 16),
        // One SMULL or SMLAL (Cortex-A53, A72).
        "neon" => Some(8),
        // Two SDOT (Cortex-A76; one on A55).
        "dotprod" => Some(2 * 16),
        // Two SMMLA (Cortex-A710; one on A510).
        "i8mm" => Some(2 * 32),
        _ => None,
    }
}

/// Cycles a second, by a chain of additions, each of which takes one.
fn clock() -> f64 {
    const ROUNDS: u64 = 100_000;
    let additions = 64.0 * ROUNDS as f64;
    let measure = |_| {
        let start = Instant::now();
        // Of two registers: some cores are done with an immediate operand before they start to count.
        #[cfg(target_arch = "x86_64")]
        // SAFETY: changes nothing but its registers.
        unsafe {
            std::arch::asm!(
                "2:", ".rept 64", "add {sum}, {one}", ".endr", "sub {rounds}, {one}", "jnz 2b",
                sum = inout(reg) 0u64 => _, one = in(reg) 1u64, rounds = inout(reg) ROUNDS => _,
                options(nomem, nostack)
            );
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: changes nothing but its registers.
        unsafe {
            std::arch::asm!(
                "2:", ".rept 64", "add {sum}, {sum}, {one}", ".endr", "subs {rounds}, {rounds}, {one}", "b.ne 2b",
                sum = inout(reg) 0u64 => _, one = in(reg) 1u64, rounds = inout(reg) ROUNDS => _,
                options(nomem, nostack)
            );
        }
        additions / start.elapsed().as_secs_f64()
    };
    // Whatever interrupts the chain makes it slower.
    (0..20).map(measure).fold(0.0, f64::max)
}

/// What one set of kernels has achieved.
struct Table {
    kernels: Kernels,
    /// Multiply-accumulates a cycle and cycles a second.
    peak: Option<(u32, f64)>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    /// How many of these layers each of [`NETWORKS`] has.
    count: [u32; NETWORKS.len()],
    macs: u64,
    /// The least that one run took: others may have shared the machine.
    seconds: f64,
}

impl Row {
    /// All layers of one of [`NETWORKS`].
    fn total(network: usize, layers: &[Self]) -> Self {
        let count = |row: &Self| row.count[network];
        Self {
            name: NETWORKS[network].to_owned(),
            count: std::array::from_fn(|n| if n == network { layers.iter().map(count).sum() } else { 0 }),
            macs: layers.iter().map(|row| u64::from(count(row)) * row.macs).sum(),
            seconds: layers.iter().map(|row| f64::from(count(row)) * row.seconds).sum(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let giga = 1e-9;
        let peak = self.peak.map(|(macs, clock)| f64::from(macs) * clock);
        write!(f, "\n{}", self.kernels.isa())?;
        if let (Some((macs, clock)), Some(peak)) = (self.peak, peak) {
            let (peak, clock) = (giga * peak, giga * clock);
            write!(f, ": at most {peak:.1} GMAC/s, {macs} MACs a cycle at {clock:.2} GHz")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:28} {:>6} {:>6} {:>8} {:>9} {:>8} {:>6}",
            "layer", "in 50", "in 101", "MMAC", "ms", "GMAC/s", "%"
        )?;
        for row in &self.rows {
            let rate = row.macs as f64 / row.seconds;
            let share = peak.map_or("-".to_owned(), |peak| format!("{:.1}", 100.0 * rate / peak));
            let [first, second] = row.count.map(|n| if n == 0 { String::new() } else { n.to_string() });
            let (mmac, ms, rate) = (row.macs as f64 / 1e6, 1e3 * row.seconds, giga * rate);
            writeln!(
                f,
                "{:28} {first:>6} {second:>6} {mmac:>8.1} {ms:>9.3} {rate:>8.2} {share:>6}",
                row.name
            )?;
        }
        Ok(())
    }
}
