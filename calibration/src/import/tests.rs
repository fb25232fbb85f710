//! Fixtures shared by the tests of this crate, and tests of importing from files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::network::Architecture;
use resnext_checkpoint::TensorFile;
use resnext_models::{Shortcut, Stem};

/// The small reference model, without extension.
pub(crate) const SMALL: &str = "resnext26_16x4d_half-imagenette";
/// The reference model with the full architecture of resnext50_32x4d, without extension.
pub(crate) const FULL: &str = "resnext50_32x4d-imagenette";

/// Returns the path of a file of the reference models. Without these files, tests that need them are skipped, except on CI.
pub(crate) fn reference(file: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference-model");
    let directory = std::env::var_os("RESNEXT_REFERENCE").map_or(beside, PathBuf::from);
    let path = directory.join(file);
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing; set RESNEXT_REFERENCE", path.display());
    eprintln!("skipped: no {}", path.display());
    None
}

/// Returns `len` pseudo-random numbers from −1 to 1, the same on every machine.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Returns the largest difference, relative to the largest magnitude.
pub(crate) fn relative_error(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let error = got.iter().zip(want).fold(0.0, |m: f32, (g, w)| m.max((g - w).abs()));
    error / scale
}

/// Tensors in memory.
#[derive(Clone, Default)]
pub(crate) struct Tensors(pub(crate) BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Tensors {
    pub(crate) fn put(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        self.0.insert(name.into(), (shape.into(), values));
    }

    /// Returns the bytes of a `.safetensors` file of these tensors in f32.
    pub(crate) fn safetensors(&self) -> Vec<u8> {
        let bytes: BTreeMap<_, Vec<u8>> = self
            .0
            .iter()
            .map(|(name, (_, v))| (name, v.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let view = |name: &String| {
            let shape = self.0[name].0.clone();
            ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F32, shape, &bytes[name])
                .expect("shape")
        };
        ::safetensors::serialize(self.0.keys().map(|name| (name, view(name))), None).expect("serializable")
    }

    /// Returns that file, opened.
    pub(crate) fn file(&self) -> TensorFile {
        safetensors::read(self.safetensors().into()).expect("sound")
    }
}

/// The names that a library gives the tensors of a tiny network, spelt out.
pub(crate) struct Names {
    /// The name of each convolution's weight, and the prefix of the names of its batch norm: first the stem, then the three
    /// convolutions of the blocks 1.0, 1.1 and 2.0, and the shortcuts of 1.0 and 2.0.
    pub(crate) convs: &'static [(&'static str, &'static str)],
    /// The suffixes of the names of batch norms.
    pub(crate) norm: [&'static str; 4],
    /// The weight and the bias of the classifier.
    pub(crate) linear: [&'static str; 2],
    /// Whether the weight is `[features, classes]`.
    pub(crate) transposed: bool,
}

impl Names {
    /// Returns the names of torchvision, without a deep stem.
    pub(crate) const TORCHVISION: Self = Self {
        convs: &[
            ("conv1.weight", "bn1"),
            ("layer1.0.conv1.weight", "layer1.0.bn1"),
            ("layer1.0.conv2.weight", "layer1.0.bn2"),
            ("layer1.0.conv3.weight", "layer1.0.bn3"),
            ("layer1.1.conv1.weight", "layer1.1.bn1"),
            ("layer1.1.conv2.weight", "layer1.1.bn2"),
            ("layer1.1.conv3.weight", "layer1.1.bn3"),
            ("layer2.0.conv1.weight", "layer2.0.bn1"),
            ("layer2.0.conv2.weight", "layer2.0.bn2"),
            ("layer2.0.conv3.weight", "layer2.0.bn3"),
            ("layer1.0.downsample.0.weight", "layer1.0.downsample.1"),
            ("layer2.0.downsample.0.weight", "layer2.0.downsample.1"),
        ],
        norm: [".weight", ".bias", ".running_mean", ".running_var"],
        linear: ["fc.weight", "fc.bias"],
        transposed: false,
    };

    /// Returns the names of timm for a deep stem and averaging shortcuts.
    pub(crate) const TIMM_D: Self = Self {
        convs: &[
            ("conv1.0.weight", "conv1.1"),
            ("conv1.3.weight", "conv1.4"),
            ("conv1.6.weight", "bn1"),
            ("layer1.0.conv1.weight", "layer1.0.bn1"),
            ("layer1.0.conv2.weight", "layer1.0.bn2"),
            ("layer1.0.conv3.weight", "layer1.0.bn3"),
            ("layer1.1.conv1.weight", "layer1.1.bn1"),
            ("layer1.1.conv2.weight", "layer1.1.bn2"),
            ("layer1.1.conv3.weight", "layer1.1.bn3"),
            ("layer2.0.conv1.weight", "layer2.0.bn1"),
            ("layer2.0.conv2.weight", "layer2.0.bn2"),
            ("layer2.0.conv3.weight", "layer2.0.bn3"),
            ("layer1.0.downsample.1.weight", "layer1.0.downsample.2"),
            ("layer2.0.downsample.1.weight", "layer2.0.downsample.2"),
        ],
        ..Self::TORCHVISION
    };

    fn is_deep(&self) -> bool {
        self.convs.len() == 14
    }

    /// Makes a checkpoint of a tiny network with these names: a stem of 8 channels, blocks [2, 1], `cardinality` groups, width 8
    /// and 3 classes. Networks with the same stem and cardinality have the same weights, whatever their names.
    pub(crate) fn checkpoint(&self, cardinality: usize) -> Tensors {
        let mut shapes =
            if self.is_deep() { vec![[4, 3, 3, 3], [4, 4, 3, 3], [8, 4, 3, 3]] } else { vec![[8, 3, 7, 7]] };
        for (from, width, out) in [(8, 8, 16), (16, 8, 16), (16, 16, 32)] {
            shapes.extend([[width, from, 1, 1], [width, width / cardinality, 3, 3], [out, width, 1, 1]]);
        }
        shapes.extend([[16, 8, 1, 1], [32, 16, 1, 1]]);
        let mut file = Tensors::default();
        for (seed, (&(weight, norm), shape)) in (1..).zip(self.convs.iter().zip(shapes)) {
            let fan_in: usize = shape[1..].iter().product();
            let gain = 1.5 / (fan_in as f32).sqrt();
            let values = noise(seed, shape.iter().product()).iter().map(|v| v * gain).collect();
            file.put(weight, &shape, values);
            for (i, tensor) in self.norm.iter().enumerate() {
                let values = noise(seed * 100 + i as u64, shape[0]);
                // Scale and variance near 1, shift and mean near 0.
                let values =
                    values.iter().map(|v| if i % 3 == 0 { 1.0 + 0.3 * v } else { 0.3 * v }).collect();
                file.put(&format!("{norm}{tensor}"), &[shape[0]], values);
            }
        }
        let (weight, bias) = (noise(1000, 96), noise(1001, 3));
        let transposed = (0..96).map(|i| weight[i % 3 * 32 + i / 3]).collect();
        match self.transposed {
            true => file.put(self.linear[0], &[32, 3], transposed),
            false => file.put(self.linear[0], &[3, 32], weight),
        }
        file.put(self.linear[1], &[3], bias);
        file
    }
}

/// Makes a checkpoint of a tiny ResNeXt: a stem of 8 channels, blocks [2, 1], cardinality 2, base width 4 and 3 classes.
pub(crate) fn tiny_checkpoint() -> Tensors {
    Names::TORCHVISION.checkpoint(2)
}

/// Makes the same network with a deep stem and averaging shortcuts, for images of `side` pixels.
pub(crate) fn tiny_deep_network(side: usize) -> Network {
    network_of(&Names::TIMM_D.checkpoint(2), side)
}

/// Reads the network in `file`, for images of `side` pixels.
pub(crate) fn network_of(file: &Tensors, side: usize) -> Network {
    let options = ImportOptions::of_size(side);
    without_origin(checkpoint::load(&file.file(), "tiny".into(), options).expect("a ResNeXt").network)
}

/// Forgets where a network comes from, since the same network may come from anywhere.
pub(crate) fn without_origin(network: Network) -> Network {
    Network { origin: crate::network::Origin::default(), ..network }
}

/// Makes the network of [`tiny_checkpoint`], for images of `side` pixels.
pub(crate) fn tiny_network(side: usize) -> Network {
    network_of(&tiny_checkpoint(), side)
}

#[test]
fn reference_models_have_the_architecture_of_their_names() {
    let cases = [(SMALL, [2, 2, 2, 2], 16, 26), (FULL, [3, 4, 6, 3], 32, 50)];
    for (name, blocks, cardinality, depth) in cases {
        for extension in ["onnx", "safetensors"] {
            let Some(path) = reference(&format!("{name}.{extension}")) else {
                return;
            };
            let network = load_with(&path, ImportOptions::of_size(160)).expect("a ResNeXt");
            let widths = (0..4).map(|stage| (cardinality * 4) << stage);
            let expected = Architecture {
                stem: Stem::Plain,
                blocks: blocks.to_vec(),
                widths: widths.clone().collect(),
                channels: widths.map(|width| 2 * width).collect(),
                cardinality,
                shortcut: Shortcut::Projection,
                early_stride: false,
                classes: 10,
            };
            assert_eq!(network.architecture, expected, "{}", path.display());
            assert_eq!(network.architecture.depth(), depth);
            assert_eq!((network.name.as_str(), network.input.height), (name, 160));
            let names: Vec<_> = network.nodes.iter().map(|n| n.name.as_str()).collect();
            assert_eq!(
                names[..7],
                [
                    "conv1",
                    "maxpool",
                    "layer1.0.conv1",
                    "layer1.0.conv2",
                    "layer1.0.downsample",
                    "layer1.0.conv3",
                    "layer1.1.conv1"
                ]
            );
            assert_eq!(names[names.len() - 2..], ["global_pool", "fc"]);
        }
    }
}

#[test]
fn an_onnx_file_declares_its_input_size_and_a_checkpoint_does_not() {
    let side = |file: &str| Some(load(&reference(file)?).expect("a ResNeXt").input.width);
    assert!(matches!(side(&format!("{SMALL}.onnx")), None | Some(160)));
    assert!(matches!(side(&format!("{SMALL}.safetensors")), None | Some(DEFAULT_INPUT_SIZE)));
}

/// Returns the error, one line, for a file of these `bytes`.
fn error_for(name: &str, bytes: &[u8]) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).expect("room");
    let line = load(&path).expect_err("damaged").to_string();
    assert!(line.starts_with(&path.display().to_string()) && !line.contains('\n'), "{line}");
    assert!(line.contains("; "), "no remedy: {line}");
    line
}

#[test]
fn files_that_are_not_models_say_so() {
    for name in ["model.pth", "model", "model.onnx"] {
        assert!(error_for(name, b"").contains("it is empty"));
        assert!(error_for(name, b"<html>Sign in</html>").contains("web page"));
    }
    assert!(error_for("model", b"\x01\x02\x03").contains("not a known model format"));
    assert!(error_for("model.onnx", &[0xFF; 100]).contains("not a valid ONNX file"));
    assert!(error_for("model.safetensors", &[0xFF; 100]).contains("not a known model format"));
    let missing = load(Path::new("/nowhere/model.onnx")).expect_err("missing").to_string();
    assert!(missing.contains("cannot be read"), "{missing}");
}

#[test]
fn truncated_files_are_errors() {
    let whole = tiny_checkpoint().safetensors();
    for len in [12, 200, whole.len() / 2, whole.len() - 1] {
        assert!(error_for("m.safetensors", &whole[..len]).contains("not a valid safetensors file"), "{len}");
    }
    let Some(path) = reference(&format!("{SMALL}.onnx")) else {
        return;
    };
    let whole = std::fs::read(path).expect("readable");
    for len in [1, 100, whole.len() / 2, whole.len() - 1] {
        error_for("m.onnx", &whole[..len]);
    }
}

/// Damages `bytes` in a few places below `end` and imports the result, which must not panic.
fn import_damaged(name: &str, bytes: &[u8], end: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(name);
    for seed in 0..40 {
        let mut damaged = bytes.to_vec();
        for pair in noise(seed + 1, 6).chunks(2) {
            let at = (pair[0].abs() * (end - 1) as f32) as usize;
            damaged[at] = (pair[1].abs() * 255.0) as u8;
        }
        std::fs::write(&path, &damaged).expect("room");
        if let Err(error) = load(&path) {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    let whole = tiny_checkpoint().safetensors();
    import_damaged("m.safetensors", &whole, 5000);
    let Some(path) = reference(&format!("{SMALL}.onnx")) else {
        return;
    };
    // The nodes come first in the file, the weights after them.
    import_damaged("m.onnx", &std::fs::read(path).expect("readable"), 16_000);
}

#[test]
fn a_safetensors_file_is_what_was_written() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("tiny.safetensors");
    std::fs::write(&path, tiny_checkpoint().safetensors()).expect("room");
    let network = without_origin(load_with(&path, ImportOptions::of_size(64)).expect("a ResNeXt"));
    assert_eq!(format!("{network:?}"), format!("{:?}", tiny_network(64)));
}

#[test]
fn absurd_input_sizes_are_refused() {
    for side in [0, 1 << 20, usize::MAX] {
        let options = ImportOptions::of_size(side);
        let error = checkpoint::load(&tiny_checkpoint().file(), "tiny".into(), options).expect_err("absurd");
        assert!(error.to_string().contains("input size"), "{error}");
    }
    assert_eq!(tiny_network(1).nodes[0].output.height, 1);
}

/// Removes what a file without batch norms does not have.
pub(crate) fn forget_statistics(network: &mut Network) {
    for node in &mut network.nodes {
        if let crate::network::Op::Conv(conv) = &mut node.op {
            conv.statistics = None;
        }
    }
}
