//! Fixtures: a model written record by record, pictures, and a way to run the program.
#![allow(dead_code, reason = "each test file uses its part")]

use resnext::format::{
    ARENA_ALIGN, Block, ClassRecord, Header, LANES, LinearBlock, MAGIC, NO_TENSOR, PoolParams,
    PreprocessingRecord, SECTION_ALIGN, Section, SectionId, StepKind, StepRecord, TENSOR_SLACK, TensorRecord,
    VERSION, checksum,
};
use resnext::pack::ConvShape;
use resnext::requantize::multiplier_for;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use zerocopy::{FromZeros, IntoBytes};

/// Side of the model's input in pixels.
pub(crate) const SIDE: u32 = 16;

/// Labels of the model; it names the colour of a picture.
pub(crate) const COLOURS: [&str; 3] = ["red", "green", "blue"];

/// Quantized value of black, in every tensor: a quantized value is a brightness less 128.
const ZERO: i8 = -128;

/// The only weight there is besides 0.
const WEIGHT: i8 = 64;

/// An artifact with every kind of step, whose logits are the mean red, green and blue of the picture, divided
/// by 16.
pub(crate) fn colour_model(metadata: &str) -> Vec<u8> {
    let mut parts = Parts::default();
    let input = parts.tensor(SIDE, 3, 1);
    let stem = parts.tensor(SIDE / 2, 16, 1);
    let pooled = parts.tensor(SIDE / 4, 16, 1);
    let grouped = parts.tensor(SIDE / 4, 16, 0);
    let added = parts.tensor(SIDE / 4, 16, 0);
    let mean = parts.tensor(1, 16, 0);
    parts.in_digits(mean);

    let shape = ConvShape { in_channels: 3, out_channels: 16, kernel: 3, groups: 1, shortcut_channels: 0 };
    parts.conv("stem", shape, 2, [input, NO_TENSOR, stem]);

    let pool = parts.step("pool", StepKind::MaxPool, [stem, NO_TENSOR, pooled]);
    (pool.kernel, pool.stride, pool.padding) = (3, 2, 1);

    let shape = ConvShape { in_channels: 16, out_channels: 16, kernel: 3, groups: 4, shortcut_channels: 0 };
    parts.conv("block.conv1", shape, 1, [pooled, NO_TENSOR, grouped]);
    let shape = ConvShape { in_channels: 16, out_channels: 16, kernel: 1, groups: 1, shortcut_channels: 0 };
    parts.conv("block.conv2", shape, 1, [grouped, pooled, added]);

    // Sums as they are.
    let params = PoolParams { multiplier: i32::MAX.into() };
    let offset = parts.params(params.as_bytes());
    let step = parts.step("mean", StepKind::GlobalAvgPool, [added, NO_TENSOR, mean]);
    step.params_offset = offset.into();

    parts.linear("fc", mean);
    parts.emit(input, metadata)
}

#[derive(Default)]
struct Parts {
    tensors: Vec<TensorRecord>,
    arena: u64,
    steps: Vec<StepRecord>,
    params: Vec<u8>,
    weights: Vec<i8>,
    strings: String,
    macs: u64,
}

impl Parts {
    fn tensor(&mut self, side: u32, channels: u32, halo: u8) -> u16 {
        let mut tensor = TensorRecord::new_zeroed();
        tensor.arena_offset = self.arena.into();
        (tensor.height, tensor.width, tensor.channels) = (side.into(), side.into(), channels.into());
        (tensor.scale, tensor.halo) = (1.0.into(), halo);
        (tensor.zero_point, tensor.fill) = (ZERO, [ZERO; 4]);
        let padded = u64::from(side) + 2 * u64::from(halo);
        let len = padded * padded * u64::from(channels) + TENSOR_SLACK as u64;
        self.arena = (self.arena + len).next_multiple_of(ARENA_ALIGN as u64);
        self.tensors.push(tensor);
        self.tensors.len() as u16 - 1
    }

    /// Gives the last tensor two digits a channel.
    fn in_digits(&mut self, tensor: u16) {
        let record = &mut self.tensors[usize::from(tensor)];
        record.width = 2.into();
        let pixels = (SIDE / 4).pow(2);
        (record.scale, record.zero_point, record.fill) = ((1.0 / pixels as f32).into(), 0, [0; 4]);
        let len = 2 * record.channels.get() as usize + TENSOR_SLACK;
        self.arena = (record.arena_offset.get() + len as u64).next_multiple_of(ARENA_ALIGN as u64);
    }

    fn text(&mut self, text: &str) -> (u32, u32) {
        let offset = self.strings.len() as u32;
        self.strings.push_str(text);
        (offset, text.len() as u32)
    }

    fn params(&mut self, bytes: &[u8]) -> u64 {
        let offset = self.params.len() as u64;
        self.params.extend(bytes);
        offset
    }

    /// A step that reads, adds and writes these tensors; the caller fills in the rest.
    fn step(&mut self, name: &str, kind: StepKind, [input, residual, output]: [u16; 3]) -> &mut StepRecord {
        let (offset, len) = self.text(name);
        let mut step = StepRecord::new_zeroed();
        step.kind = kind as u8;
        (step.name_offset, step.name_len) = (offset.into(), len.into());
        (step.input, step.residual, step.output) = (input.into(), residual.into(), output.into());
        step.shortcut = NO_TENSOR.into();
        self.steps.push(step);
        self.steps.last_mut().unwrap()
    }

    /// Packs weights that pass channel `c` of a window's centre on to channel `c`.
    fn identity(&mut self, shape: &ConvShape) -> u64 {
        let taps = shape.kernel * shape.kernel;
        let mut weights = vec![0; shape.out_channels * taps * shape.group_in()];
        for channel in 0..shape.out_channels.min(shape.in_channels) {
            let centre = channel * taps + taps / 2;
            weights[centre * shape.group_in() + channel % shape.group_in()] = WEIGHT;
        }
        let offset = self.weights.len();
        self.weights.resize(offset + shape.packed_len(), 0);
        shape.pack(&weights, &[], &mut self.weights[offset..]);
        offset as u64
    }

    fn conv(&mut self, name: &str, shape: ConvShape, stride: u8, tensors: [u16; 3]) {
        let weights = self.identity(&shape);
        let weight = i32::from(WEIGHT);
        let adds = tensors[1] != NO_TENSOR;
        let residual = if adds { weight } else { 0 };
        let ratio = 1.0 / f64::from(weight + residual);
        let mut block = Block::new_zeroed();
        for lane in 0..LANES {
            let passes = shape.channel(0, lane).is_some_and(|channel| channel < shape.in_channels);
            let sum = if passes { weight } else { 0 };
            // The output's zero point is `ZERO` too, worth `weight + residual` accumulator units a step.
            block.bias[lane] = (i32::from(ZERO) * (weight - sum)).into();
            block.multiplier[lane] = multiplier_for(ratio).unwrap().into();
            block.weight_sum[lane] = sum.into();
            block.residual[lane] = (residual as i16).into();
        }
        assert_eq!(shape.blocks(), 1);
        let params = self.params(block.as_bytes());
        let side = self.tensors[usize::from(tensors[2])].height.get() as usize;
        self.macs +=
            (side * side * shape.out_channels * shape.kernel * shape.kernel * shape.group_in()) as u64;
        let step = self.step(name, StepKind::Conv, tensors);
        step.layout = shape.layout() as u8;
        (step.kernel, step.stride, step.padding) = (shape.kernel as u8, stride, shape.kernel as u8 / 2);
        (step.clamp_min, step.clamp_max) = (i8::MIN, i8::MAX);
        (step.groups, step.out_channels) = ((shape.groups as u32).into(), (shape.out_channels as u32).into());
        (step.weights_offset, step.params_offset) = (weights.into(), params.into());
    }

    fn linear(&mut self, name: &str, input: u16) {
        let shape = ConvShape {
            in_channels: 16,
            out_channels: COLOURS.len(),
            kernel: 1,
            groups: 1,
            shortcut_channels: 0,
        };
        let weights = self.identity(&shape);
        let weight = i32::from(WEIGHT);
        let mut block = LinearBlock::new_zeroed();
        for lane in 0..COLOURS.len() {
            // What is summed are 16 pixels, and logits are a 16th of their mean.
            block.scale[lane] = (1.0 / 256.0 / f32::from(WEIGHT)).into();
            block.weight_sum[lane] = weight.into();
        }
        let params = self.params(block.as_bytes());
        self.macs += (shape.in_channels * shape.out_channels) as u64;
        let step = self.step(name, StepKind::Linear, [input, NO_TENSOR, NO_TENSOR]);
        (step.layout, step.kernel, step.stride) = (shape.layout() as u8, 1, 1);
        (step.groups, step.out_channels) = (1.into(), (shape.out_channels as u32).into());
        (step.weights_offset, step.params_offset) = (weights.into(), params.into());
    }

    fn emit(mut self, input: u16, metadata: &str) -> Vec<u8> {
        let classes: Vec<_> = COLOURS
            .iter()
            .enumerate()
            .map(|(index, label)| {
                // The last one has no identifier, as models outside ImageNet may have none.
                let id = if index < 2 { format!("c{index}") } else { String::new() };
                let ((id_offset, id_len), (label_offset, label_len)) = (self.text(&id), self.text(label));
                ClassRecord {
                    id_offset: id_offset.into(),
                    id_len: id_len.into(),
                    label_offset: label_offset.into(),
                    label_len: label_len.into(),
                }
            })
            .collect();
        let mut header = Header::new_zeroed();
        (header.magic, header.version) = (MAGIC, VERSION.into());
        header.header_len = (size_of::<Header>() as u32).into();
        (header.arena_len, header.macs, header.input) = (self.arena.into(), self.macs.into(), input.into());
        header.preprocessing = PreprocessingRecord {
            short_side: SIDE.into(),
            crop_height: SIDE.into(),
            crop_width: SIDE.into(),
            interpolation: 0,
            side_rounding: 0,
            crop_rounding: 0,
            channel_order: 0,
            mean: [0.485, 0.456, 0.406].map(Into::into),
            std: [0.229, 0.224, 0.225].map(Into::into),
        };
        let mut artifact = vec![0; size_of::<Header>()];
        let sections = [
            (SectionId::Tensors, self.tensors.as_bytes()),
            (SectionId::Steps, self.steps.as_bytes()),
            (SectionId::Params, &self.params),
            (SectionId::Weights, self.weights.as_bytes()),
            (SectionId::Classes, classes.as_bytes()),
            (SectionId::Strings, self.strings.as_bytes()),
            (SectionId::Metadata, metadata.as_bytes()),
        ];
        for (id, bytes) in sections {
            artifact.resize(artifact.len().next_multiple_of(SECTION_ALIGN), 0);
            let (offset, len) = (artifact.len() as u64, bytes.len() as u64);
            header.sections[id as usize] = Section { offset: offset.into(), len: len.into() };
            artifact.extend(bytes);
        }
        header.file_len = (artifact.len() as u64).into();
        artifact[..size_of::<Header>()].copy_from_slice(header.as_bytes());
        header.checksum = checksum(&artifact).into();
        artifact[..size_of::<Header>()].copy_from_slice(header.as_bytes());
        artifact
    }
}

/// A folder with a model and pictures, deleted at the end of the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// `model.rnx`, and `red.png`, `green.png`, `blue.png`.
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("model.rnx", &colour_model(r#"{"source": "fixture", "samples": 3}"#));
        for (channel, name) in COLOURS.iter().enumerate() {
            let mut pixel = [20; 3];
            pixel[channel] = 220;
            image::RgbImage::from_pixel(40, 30, image::Rgb(pixel))
                .save(folder.path(&format!("{name}.png")))
                .unwrap();
        }
        folder
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Path of a file of this folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `resnext` in this folder.
    pub(crate) fn resnext(&self, args: &[&str]) -> Ran {
        Ran::new(command(args).current_dir(self.0.path()).output().unwrap())
    }
}

/// The program with arguments.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resnext"));
    command.args(args).env_remove("COLUMNS");
    command
}

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit status.
    pub(crate) status: i32,
    /// Results.
    pub(crate) stdout: String,
    /// Messages.
    pub(crate) stderr: String,
}

impl Ran {
    /// Takes apart what [`Command::output`] returned.
    pub(crate) fn new(output: Output) -> Self {
        Self {
            // No status means a signal, which is never right.
            status: output.status.code().expect("ended by a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The results, of a run that went well and had nothing to say besides.
    pub(crate) fn results(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }

    /// The results, and what the program had to say of the machine it was measured on.
    pub(crate) fn results_and_warnings(self) -> (String, Vec<String>) {
        let warnings: Vec<_> = self.stderr.lines().map(str::to_owned).collect();
        let polite = warnings.iter().all(|line| line.starts_with("resnext: ") && line.contains("; "));
        assert!(self.status == 0 && polite, "{}{}", self.stdout, self.stderr);
        (self.stdout, warnings)
    }

    /// The results as JSON.
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.results()).unwrap()
    }

    /// The results as JSON of a run that went well, whatever it had to say besides.
    pub(crate) fn json_and_notes(self) -> serde_json::Value {
        assert_eq!(self.status, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The one line on stderr of a run that failed with status 1 and printed no results.
    pub(crate) fn failure(self) -> String {
        assert_eq!((self.status, self.stdout.as_str()), (1, ""), "{}", self.stderr);
        let line = self.stderr.strip_suffix('\n').unwrap_or_default();
        assert!(line.starts_with("resnext: ") && !line.contains('\n'), "not one line: {:?}", self.stderr);
        assert!(line.contains("; "), "no remedy: {line}");
        line.to_owned()
    }
}

/// The bundled reference model, compiled, where the repository has it.
pub(crate) fn reference_model() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models/reference/resnext26_16x4d_half-imagenette.rnx");
    path.is_file().then_some(path)
}
