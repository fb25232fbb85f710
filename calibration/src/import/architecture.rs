//! Which published variant an imported network is of.

use std::fmt;

use resnext_models::{Architecture, Shortcut, Stem, Variant, ZOO};

use super::error::ImportErrorKind;
use crate::network::Topology;

/// The variants that have this topology. The number of classes does not matter: a network may have been trained on.
pub fn looks_like(topology: &Topology) -> impl Iterator<Item = &'static Variant> {
    let topology = topology.clone();
    ZOO.iter().filter(move |variant| has(&topology, &variant.architecture))
}

/// Checks that a network is of the architecture of `variant`, with any number of classes.
///
/// # Errors
///
/// It is not; the error says which variant it may be.
pub fn expect(topology: &Topology, variant: &Variant) -> Result<(), ImportErrorKind> {
    if has(topology, &variant.architecture) {
        return Ok(());
    }
    // Of several with the same topology, rather one of the library that was asked for.
    let found = looks_like(topology).min_by_key(|found| found.library != variant.library);
    let network = Described(topology);
    Err(ImportErrorKind::Architecture {
        found: found.map_or_else(|| network.to_string(), |found| format!("{found}: {network}")),
        expected: variant.to_string(),
    })
}

fn has(topology: &Topology, architecture: &Architecture) -> bool {
    let stages = || 0..architecture.blocks.len();
    topology.stem == architecture.stem
        && topology.shortcut == architecture.shortcut
        && !topology.early_stride
        && topology.cardinality == usize::from(architecture.cardinality)
        && topology.blocks.iter().copied().eq(architecture.blocks.map(usize::from))
        && topology.widths.iter().copied().eq(stages().map(|stage| architecture.inner_width(stage)))
        && topology.channels.iter().copied().eq(stages().map(|stage| architecture.stage_channels(stage)))
}

/// `ResNeXt-50 32x4d, blocks [3, 4, 6, 3], deep stem, averaging shortcuts`.
pub struct Described<'a>(pub &'a Topology);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(topology) = self;
        let family = if topology.cardinality == 1 { "ResNet" } else { "ResNeXt" };
        let (depth, cardinality, width) = (topology.depth(), topology.cardinality, topology.base_width());
        write!(f, "{family}-{depth} {cardinality}x{width}d, blocks {:?}", topology.blocks)?;
        f.write_str(if topology.stem == Stem::Deep { ", deep stem" } else { "" })?;
        f.write_str(if topology.shortcut == Shortcut::AvgPool { ", averaging shortcuts" } else { "" })?;
        f.write_str(if topology.early_stride { ", stride on the 1×1" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(architecture: &Architecture) -> Topology {
        let stages = 0..4;
        Topology {
            stem: architecture.stem,
            blocks: architecture.blocks.map(usize::from).to_vec(),
            widths: stages.clone().map(|stage| architecture.inner_width(stage)).collect(),
            channels: stages.map(|stage| architecture.stage_channels(stage)).collect(),
            cardinality: architecture.cardinality.into(),
            shortcut: architecture.shortcut,
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
            let topology = of(&variant.architecture);
            let same = |found: &Variant| {
                Architecture { classes: 1000, ..found.architecture } == variant.architecture
            };
            let expected: Vec<_> = ZOO.iter().filter(|found| same(found)).map(ToString::to_string).collect();
            let found: Vec<_> = looks_like(&topology).map(ToString::to_string).collect();
            assert_eq!(found, expected);
            assert!(expect(&topology, variant).is_ok(), "{variant}");
        }
    }

    #[test]
    fn a_difference_anywhere_is_one() {
        let asked = variant("timm/resnext50_32x4d");
        type Change = fn(&mut Topology);
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
            let mut topology = of(&asked.architecture);
            change(&mut topology);
            assert!(expect(&topology, asked).is_err(), "{topology:?}");
        }
    }

    #[test]
    fn the_error_names_what_it_is() {
        let line =
            |found: &Topology, asked: &str| expect(found, variant(asked)).expect_err("another").to_string();
        let found = of(&variant("ppcls/resnext50_vd_32x4d").architecture);
        assert_eq!(
            line(&found, "ppcls/resnext50_32x4d"),
            "this looks like ppcls/resnext50_vd_32x4d: ResNeXt-50 32x4d, blocks [3, 4, 6, 3], deep stem, averaging \
             shortcuts, not ppcls/resnext50_32x4d; give the file that belongs to --arch, or the --arch that belongs to \
             the file"
        );
        assert!(line(&found, "timm/resnext50_32x4d").contains("like timm/resnext50d_32x4d"));
        let resnet = Topology {
            cardinality: 1,
            widths: vec![64, 128, 256, 512],
            ..of(&Architecture::resnext([3, 4, 6, 3], 1, 64))
        };
        assert!(line(&resnet, "timm/resnext50_32x4d").contains("this looks like ResNet-50 1x64d, blocks"));
    }
}
