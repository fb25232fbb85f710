//! A small trained ResNeXt, so that everything can be tried without a download.
//!
//! It knows the ten classes of [Imagenette](IMAGENETTE). Its grouped convolutions have 4, 8, 16 and 32 channels a
//! group, as those of resnext50_32x4d do, at half the groups. Training, accuracy and licence are described in
//! `reference/README.md`.

use crate::labels::{Class, IMAGENETTE};
use crate::variant::{Accuracy, Architecture, Interpolation, Preprocessing, Shortcut, Source, Stem, Variant};

/// What the model is. [`published`](Variant::published) was measured on Imagenette's validation images, with the
/// rounded [`WEIGHTS`].
pub static VARIANT: Variant = Variant {
    source: Source::Bundled,
    name: "resnext26_16x4d_half-imagenette",
    architecture: Architecture {
        blocks: [2, 2, 2, 2],
        cardinality: 16,
        // On 32 planes, 8 a 64 planes makes 4 channels a group.
        base_width: 8,
        planes: 32,
        stem: Stem::Plain,
        shortcut: Shortcut::Projection,
        classes: IMAGENETTE.len() as u16,
    },
    preprocess: Preprocessing {
        size: 160,
        resize: 182,
        crop: 0.875,
        ..Preprocessing::imagenet(Interpolation::PillowBilinear)
    },
    published: Accuracy { top1: 84.70, top5: 98.70 },
};

/// The meaning of the model's outputs.
pub const CLASSES: &[Class] = &IMAGENETTE;

/// The trained weights as a safetensors file with timm's key names: convolutions and classifier in fp16, batch norm
/// and the classifier's bias in fp32. A `static`, so that a program holds them once however often it names them.
pub static WEIGHTS: &[u8] = include_bytes!("../reference/resnext26_16x4d_half-imagenette.safetensors");

/// The model compiled to int8, a `.rnx` artifact: what `resnext compile` makes of [`WEIGHTS`] and Imagenette's photos.
pub static ARTIFACT: &[u8] = include_bytes!("../reference/resnext26_16x4d_half-imagenette.rnx");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Op, Place, Role};
    use crate::zoo::find;
    use std::format;
    use std::string::{String, ToString};

    /// The header of the safetensors file, and the bytes of data after it.
    fn header() -> (&'static str, usize) {
        let (length, rest) = WEIGHTS.split_first_chunk().unwrap();
        let length = u64::from_le_bytes(*length) as usize;
        (core::str::from_utf8(&rest[..length]).unwrap(), rest.len() - length)
    }

    /// Enough JSON for one entry of the header: `"name":{"dtype":"F16","shape":[64,3,7,7],…`.
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

    /// The file has exactly the tensors of the described topology, in its shapes.
    #[test]
    fn weights_fit_the_description() {
        let mut bytes = 0;
        for layer in VARIANT.architecture.layers(VARIANT.preprocess.size.into()) {
            let place = layer.place.to_string();
            let (weight, shape): (String, String) = match layer.op {
                Op::Conv(c) => {
                    let shape =
                        format!("{},{},{},{}", c.out_channels, c.in_channels / c.groups, c.kernel, c.kernel);
                    let (weight, norm) = match layer.place {
                        Place::Block { role: Role::Shortcut, .. } => {
                            (format!("{place}.0"), format!("{place}.1"))
                        }
                        _ => (place.clone(), place.replace("conv", "bn")),
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
                    (place, format!("{},{}", l.out_features, l.in_features))
                }
            };
            assert_eq!(entry(&format!("{weight}.weight")), ("F16", shape.as_str()), "{weight}");
            bytes += 2 * layer.op.weights() as usize;
        }
        assert_eq!(bytes, header().1, "nothing else in the file");
    }
}
