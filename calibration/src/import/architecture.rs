//! Which published variant an imported network is of.

use std::fmt;

use resnext_models::{Architecture as Published, Shortcut, Stem, Variant, ZOO};

use super::error::ImportErrorKind;
use crate::network::Architecture;

/// Iterates over the published variants of this architecture. The number of classes does not matter, because a network may
/// have been fine-tuned.
pub fn looks_like(architecture: &Architecture) -> impl Iterator<Item = &'static Variant> {
    let architecture = architecture.clone();
    ZOO.iter().filter(move |variant| is(&architecture, &variant.architecture))
}

/// Checks that a network has the architecture of `variant`, with any number of classes.
///
/// # Errors
///
/// It has another; the error says which variant it may be.
pub fn expect(architecture: &Architecture, variant: &Variant) -> Result<(), ImportErrorKind> {
    if is(architecture, &variant.architecture) {
        return Ok(());
    }
    // Of several that it may be, one of the library that was asked for comes first.
    let found = looks_like(architecture).min_by_key(|found| found.library != variant.library);
    let network = Described(architecture);
    Err(ImportErrorKind::Architecture {
        found: found.map_or_else(|| network.to_string(), |found| format!("{found}: {network}")),
        expected: variant.to_string(),
    })
}

fn is(found: &Architecture, published: &Published) -> bool {
    let stages = || 0..published.blocks.len();
    found.stem == published.stem
        && found.shortcut == published.shortcut
        && !found.early_stride
        && found.cardinality == usize::from(published.cardinality)
        && found.blocks.iter().copied().eq(published.blocks.map(usize::from))
        && found.widths.iter().copied().eq(stages().map(|stage| published.inner_width(stage)))
        && found.channels.iter().copied().eq(stages().map(|stage| published.stage_channels(stage)))
}

/// Displays an architecture: `ResNeXt-50 32x4d, blocks [3, 4, 6, 3], deep stem, averaging shortcuts`.
pub struct Described<'a>(pub &'a Architecture);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(network) = self;
        let family = if network.cardinality == 1 { "ResNet" } else { "ResNeXt" };
        let (depth, cardinality, width) = (network.depth(), network.cardinality, network.base_width());
        write!(f, "{family}-{depth} {cardinality}x{width}d, blocks {:?}", network.blocks)?;
        f.write_str(if network.stem == Stem::Deep { ", deep stem" } else { "" })?;
        f.write_str(if network.shortcut == Shortcut::AvgPool { ", averaging shortcuts" } else { "" })?;
        f.write_str(if network.early_stride { ", stride on the 1×1" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(published: &Published) -> Architecture {
        let stages = 0..4;
        Architecture {
            stem: published.stem,
            blocks: published.blocks.map(usize::from).to_vec(),
            widths: stages.clone().map(|stage| published.inner_width(stage)).collect(),
            channels: stages.map(|stage| published.stage_channels(stage)).collect(),
            cardinality: published.cardinality.into(),
            shortcut: published.shortcut,
            early_stride: false,
            classes: 10,
        }
    }

    fn variant(id: &str) -> &'static Variant {
        resnext_models::find(id).expect("in the zoo")
    }

    #[test]
    fn variants_look_like_themselves_and_their_equals() {
        for variant in ZOO {
            let architecture = of(&variant.architecture);
            let same =
                |found: &Variant| Published { classes: 1000, ..found.architecture } == variant.architecture;
            let expected: Vec<_> = ZOO.iter().filter(|found| same(found)).map(ToString::to_string).collect();
            let found: Vec<_> = looks_like(&architecture).map(ToString::to_string).collect();
            assert_eq!(found, expected);
            assert!(expect(&architecture, variant).is_ok(), "{variant}");
        }
    }

    #[test]
    fn a_difference_anywhere_is_one() {
        let asked = variant("timm/resnext50_32x4d");
        type Change = fn(&mut Architecture);
        let changes: [Change; 7] = [
            |t| t.stem = Stem::Deep,
            |t| t.shortcut = Shortcut::AvgPool,
            |t| t.early_stride = true,
            |t| t.cardinality = 1,
            |t| t.blocks.push(1),
            |t| t.widths[2] += 32,
            |t| t.channels[3] /= 2,
        ];
        for change in changes {
            let mut architecture = of(&asked.architecture);
            change(&mut architecture);
            assert!(expect(&architecture, asked).is_err(), "{architecture:?}");
        }
    }

    #[test]
    fn the_error_names_what_it_is() {
        let line = |found: &Architecture, asked: &str| {
            expect(found, variant(asked)).expect_err("another").to_string()
        };
        let found = of(&variant("ppcls/resnext50_vd_32x4d").architecture);
        assert_eq!(
            line(&found, "ppcls/resnext50_32x4d"),
            "this looks like ppcls/resnext50_vd_32x4d: ResNeXt-50 32x4d, blocks [3, 4, 6, 3], deep stem, averaging \
             shortcuts, not ppcls/resnext50_32x4d; give the file of that variant, or name the variant that the file is of"
        );
        assert!(line(&found, "timm/resnext50_32x4d").contains("like timm/resnext50d_32x4d"));
        let resnet = Architecture {
            cardinality: 1,
            widths: vec![64, 128, 256, 512],
            ..of(&Published::resnext([3, 4, 6, 3], 1, 64))
        };
        assert!(line(&resnet, "timm/resnext50_32x4d").contains("this looks like ResNet-50 1x64d, blocks"));
    }
}
