//! A small trained ResNeXt that needs no download.
//!
//! It knows the ten classes of [Imagenette](IMAGENETTE). Its grouped convolutions have groups of 4, 8, 16 and 32 channels, as
//! in resnext50_32x4d, and half as many groups. `reference/README.md` describes its training, its accuracy and its licence.

use crate::architecture::{Architecture, Shortcut, Stem};
use crate::labels::{Class, IMAGENETTE};
use crate::preprocessing::{Interpolation, Preprocessing};
use crate::variant::{Accuracy, Library, Variant};

/// The variant of the model. [`published`](Variant::published) was measured on the validation images of Imagenette, with the
/// rounded [`WEIGHTS`].
pub static VARIANT: Variant = Variant {
    library: Library::Bundled,
    name: "resnext26_16x4d_half-imagenette",
    architecture: Architecture {
        blocks: [2, 2, 2, 2],
        cardinality: 16,
        // With 32 planes, a base width of 8 gives groups of 4 channels.
        base_width: 8,
        planes: 32,
        stem: Stem::Plain,
        shortcut: Shortcut::Projection,
        classes: IMAGENETTE.len() as u16,
    },
    preprocessing: Preprocessing {
        size: 160,
        resize: 182,
        crop: 0.875,
        ..Preprocessing::imagenet(Interpolation::PillowBilinear)
    },
    test: None,
    published: Accuracy { top1: 84.70, top5: 98.70 },
    stated: None,
};

/// The classes of the outputs.
pub const CLASSES: &[Class] = &IMAGENETTE;

/// The trained weights: a safetensors file with the keys of timm. Convolutions and classifier are in fp16, batch norms and the
/// bias of the classifier in fp32. This is a `static`, so that a program that names it several times holds it once.
pub static WEIGHTS: &[u8] = include_bytes!("../reference/resnext26_16x4d_half-imagenette.safetensors");

/// The `.rnx` artifact: the model as resnext compiles it from [`WEIGHTS`] and photos of Imagenette.
pub static ARTIFACT: &[u8] = include_bytes!("../reference/resnext26_16x4d_half-imagenette.rnx");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Op, Position, Role};
    use crate::names::find;
    use std::format;
    use std::string::{String, ToString};

    /// The header of the safetensors file, and the bytes of data after it.
    fn header() -> (&'static str, usize) {
        let (length, rest) = WEIGHTS.split_first_chunk().unwrap();
        let length = u64::from_le_bytes(*length) as usize;
        (core::str::from_utf8(&rest[..length]).unwrap(), rest.len() - length)
    }

    /// Reads one entry of the JSON header, such as `"name":{"dtype":"F16","shape":[64,3,7,7],…`.
    fn entry(name: &str) -> (&'static str, &'static str) {
        let (header, _) = header();
        let start = header.find(&format!("\"{name}\":{{")).unwrap_or_else(|| panic!("no tensor {name}"));
        let field = |key: &str, end: char| {
            let from = start + header[start..].find(key).unwrap() + key.len();
            &header[from..from + header[from..].find(end).unwrap()]
        };
        (field("\"dtype\":\"", '"'), field("\"shape\":[", ']'))
    }

    #[test]
    fn it_can_be_found() {
        assert_eq!(find("bundled/resnext26_16x4d_half-imagenette"), Some(&VARIANT));
        assert_eq!(VARIANT.architecture.depth(), 26);
        assert_eq!(CLASSES.len(), usize::from(VARIANT.architecture.classes));
    }

    /// The file has exactly the tensors of the architecture, in its shapes.
    #[test]
    fn weights_fit_the_description() {
        let mut bytes = 0;
        for layer in VARIANT.architecture.layers(VARIANT.preprocessing.size.into()) {
            let position = layer.position.to_string();
            let (weight, shape): (String, String) = match layer.op {
                Op::Conv(c) => {
                    let shape =
                        format!("{},{},{},{}", c.out_channels, c.in_channels / c.groups, c.kernel, c.kernel);
                    let (weight, norm) = match layer.position {
                        Position::Block { role: Role::Shortcut, .. } => {
                            (format!("{position}.0"), format!("{position}.1"))
                        }
                        _ => (position.clone(), position.replace("conv", "bn")),
                    };
                    for part in ["weight", "bias", "running_mean", "running_var"] {
                        let expected = c.out_channels.to_string();
                        assert_eq!(
                            entry(&format!("{norm}.{part}")),
                            ("F32", expected.as_str()),
                            "{norm}.{part}"
                        );
                        bytes += 4 * c.out_channels;
                    }
                    (weight, shape)
                }
                Op::Linear(l) => {
                    assert_eq!(entry("fc.bias"), ("F32", "10"));
                    bytes += 4 * l.out_features;
                    (position, format!("{},{}", l.out_features, l.in_features))
                }
            };
            assert_eq!(entry(&format!("{weight}.weight")), ("F16", shape.as_str()), "{weight}");
            bytes += 2 * layer.op.weights() as usize;
        }
        assert_eq!(bytes, header().1, "nothing else in the file");
    }
}
