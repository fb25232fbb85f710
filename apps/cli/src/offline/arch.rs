//! `--arch`: the published variant of an fp32 network, as the user names it or as the network reveals it.

use crate::offline::network;
use crate::offline::recipe::{self, Knowledge, described};
use crate::terminal::Error;
use resnext_calibration::import::architecture::{Described, looks_like};
use resnext_calibration::network::Network;
use resnext_calibration::preprocessing::{Recipe, published};
use resnext_models::{Library, Variant, ZOO};
use std::path::Path;

/// The value of `--arch`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arch {
    /// `LIBRARY/VARIANT`.
    Variant(&'static Variant),
    /// `auto` or `LIBRARY/auto`: the variant is recognised by the shapes of the network and the
    /// names of its tensors.
    Auto(Option<Library>),
}

impl Arch {
    /// Parses the option.
    pub(crate) fn parse(name: &str) -> Result<Self, Error> {
        if let Some(variant) = resnext_models::find(name) {
            return Ok(Self::Variant(variant));
        }
        let (library, tail) =
            name.split_once('/').map_or((None, name), |(library, tail)| (Some(library), tail));
        if tail.eq_ignore_ascii_case("auto") {
            match library.map(Library::named) {
                None => return Ok(Self::Auto(None)),
                Some(Some(library)) => return Ok(Self::Auto(Some(library))),
                Some(None) => {}
            }
        }
        let hint = match near(library, tail) {
            near if near.is_empty() => {
                "`resnext zoo` lists the variants, and auto recognises one by its shapes".to_owned()
            }
            near => format!("did you mean {}?", near.join(" or ")),
        };
        Err(Error::new(format_args!("--arch {name}"), format_args!("no such variant; {hint}")))
    }

    /// Returns the variant, if it is known before the network is read.
    pub(crate) fn variant(self) -> Option<&'static Variant> {
        match self {
            Self::Variant(variant) => Some(variant),
            Self::Auto(_) => None,
        }
    }
}

/// Returns the names of variants that resemble `name`: they contain it, or it is one of them with an unknown tag.
fn near(library: Option<&str>, name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let untagged = name.split('.').next().unwrap_or_default();
    let of_library = |variant: &&Variant| {
        library.is_some_and(|library| variant.library.as_str().eq_ignore_ascii_case(library))
    };
    let resembling = |part: &str| {
        let mut found: Vec<&Variant> = ZOO.iter().filter(|variant| variant.name.contains(part)).collect();
        found.sort_by_key(|variant| !of_library(variant));
        found
    };
    let found = match resembling(&name) {
        found if found.is_empty() && !untagged.is_empty() => resembling(untagged),
        found => found,
    };
    found.into_iter().take(3).map(ToString::to_string).collect()
}

/// Finds the variants of `library`, or of all libraries, that the network in `path` may be: by its shapes, by whose names its tensors
/// have, and by the name of the file.
pub(super) fn recognised(path: &Path, network: &Network, library: Option<Library>) -> Knowledge {
    let of_library = |variant: &&'static Variant| library.is_none_or(|library| variant.library == library);
    let alike: Vec<_> = looks_like(&network.architecture).filter(of_library).collect();
    let may_be = |variant: &&&'static Variant| network.origin.may_be(variant.library);
    let found: Vec<_> = alike.iter().filter(may_be).copied().collect();
    let by_name = recipe::named(path).into_iter().find(|variant| found.contains(variant));
    let file = path.display();
    if let Some(variant) = by_name.or(found.first().copied().filter(|_| found.len() == 1)) {
        let by = if by_name.is_some() { "by its name it has the weights" } else { "has the architecture" };
        return Knowledge {
            variant: Some(variant),
            recipe: Some(Recipe::of(variant)),
            said_by: format!("--arch auto, which found {variant}"),
            notes: vec![format!("{file}: {by} of {}; --arch would override it", listed([variant]))],
        };
    }
    let assumed = described(&network::preprocessing(None, network));
    let assumed =
        format!("images are prepared as for torchvision, {assumed}, unless you name a variant with --arch");
    let architecture = Described(&network.architecture);
    let shared = found.first().filter(|first| {
        let recipe = Recipe::of(first);
        found.iter().all(|other| Recipe::of(other) == recipe)
    });
    let (said_by, note) = if shared.is_some() {
        let note = format!(
            "may be any of {}, which prepare images alike; name one with --arch to have its accuracy, too",
            listed(found.iter().copied())
        );
        ("--arch auto, which found variants that share it", note)
    } else if !found.is_empty() {
        let note = format!(
            "may be any of {}, whose preprocessing differs; {assumed}",
            listed(found.iter().copied())
        );
        ("torchvision's, because --arch auto found several variants that differ", note)
    } else if !alike.is_empty() {
        let note = format!(
            "has the architecture of {}, but its tensors have other names than theirs; {assumed}",
            listed(alike)
        );
        ("torchvision's, because --arch auto found no variant with these names of tensors", note)
    } else {
        let note = format!("{architecture}, which is no published variant; {assumed}");
        ("torchvision's, because --arch auto found no variant", note)
    };
    Knowledge {
        variant: None,
        recipe: shared.map(|variant| Recipe::of(variant)),
        said_by: said_by.to_owned(),
        notes: vec![format!("{file}: {note}")],
    }
}

/// Returns the other weights of the library that have the name of `variant` and a tag; `None` if there are none, or if the name of
/// `variant` has a tag itself.
pub(super) fn siblings(variant: &Variant) -> Option<Vec<&'static Variant>> {
    let tagged = |other: &&Variant| {
        let tag = other.name.strip_prefix(variant.name).filter(|_| other.library == variant.library);
        tag.is_some_and(|tag| tag.starts_with('.'))
    };
    let found: Vec<_> = ZOO.iter().filter(tagged).collect();
    (!found.is_empty()).then_some(found)
}

/// Lists variants with what differs between them: `timm/a (77.62 % top-1), timm/b (81.86 % top-1) with pillow bilinear 256→224`.
pub(super) fn listed(variants: impl IntoIterator<Item = &'static Variant>) -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for variant in variants {
        let preprocessing = described(&published(&variant.preprocessing));
        let one = format!("{variant} ({:.2} % top-1)", variant.published.top1);
        match groups.iter_mut().find(|(other, _)| *other == preprocessing) {
            Some((_, members)) => members.push(one),
            None => groups.push((preprocessing, vec![one])),
        }
    }
    let group = |(preprocessing, members): (String, Vec<String>)| {
        format!("{} with {preprocessing}", members.join(", "))
    };
    groups.into_iter().map(group).collect::<Vec<_>>().join("; or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnext_calibration::network::{Architecture, Origin, Shape};

    #[test]
    fn names_are_understood() {
        let parse = |name: &str| Arch::parse(name).map_err(|error| error.to_string());
        assert!(
            matches!(parse("timm/resnext50d_32x4d"), Ok(Arch::Variant(v)) if v.name == "resnext50d_32x4d")
        );
        assert!(matches!(parse("auto"), Ok(Arch::Auto(None))));
        assert!(matches!(parse("Timm/Auto"), Ok(Arch::Auto(Some(Library::Timm)))));
        assert!(matches!(parse("mmpretrain/auto"), Ok(Arch::Auto(Some(Library::Mmcls)))));
        for (wrong, hint) in [
            ("keras/auto", "resnext zoo"),
            ("resnext50d_32x4d", "did you mean timm/"),
            ("timm/resnext50_32x4d.a1", "did you mean timm/resnext50_32x4d.a1_in1k?"),
            ("torchvision/ResNeXt50_32x4d.v3", "did you mean torchvision/resnext50_32x4d or "),
            ("", "mean"),
        ] {
            let line = parse(wrong).expect_err("wrong");
            assert!(
                line.starts_with(&format!("--arch {wrong}: no such variant; ")) && line.contains(hint),
                "{line}"
            );
        }
    }
    /// A network without layers.
    fn network(arch: &str, libraries: &[Library]) -> Network {
        let published = resnext_models::find(arch).unwrap().architecture;
        let stages = 0..4;
        Network {
            name: String::new(),
            input: Shape { channels: 3, height: 224, width: 224 },
            nodes: Vec::new(),
            normalisation: None,
            architecture: Architecture {
                stem: published.stem,
                blocks: published.blocks.map(usize::from).to_vec(),
                widths: stages.clone().map(|stage| published.inner_width(stage)).collect(),
                channels: stages.map(|stage| published.stage_channels(stage)).collect(),
                cardinality: published.cardinality.into(),
                shortcut: published.shortcut,
                early_stride: false,
                classes: 1000,
            },
            prequantized: None,
            origin: Origin { libraries: libraries.to_vec(), ..Origin::default() },
        }
    }

    /// Torchvision's and timm's checkpoints name tensors alike. PaddleClas and mmcls have names of their own.
    const TORCH: &[Library] = &[Library::Torchvision, Library::Timm, Library::Bundled];

    #[test]
    fn names_of_tensors_and_of_files_decide() {
        let found = |file: &str, arch: &str, libraries: &[Library]| {
            let found = recognised(Path::new(file), &network(arch, libraries), None);
            assert_eq!(found.notes.len(), 1);
            (found.variant.map(ToString::to_string), found.recipe, found.notes[0].clone())
        };
        let recipe = |arch: &str| Some(Recipe::of(resnext_models::find(arch).unwrap()));
        // The shapes of a 32x16d are those of one PaddleClas variant and of three of timm, which share a recipe.
        let wsl = "timm/resnext101_32x16d.fb_wsl_ig1b_ft_in1k";
        let (variant, of, note) = found("net.pth", wsl, TORCH);
        assert_eq!((variant, of), (None, recipe(wsl)));
        assert!(
            note.contains("fb_ssl_yfcc100m_ft_in1k (81.86 % top-1)") && !note.contains("ppcls"),
            "{note}"
        );
        let (variant, ..) = found("net.pdparams", wsl, &[Library::Ppcls]);
        assert_eq!(variant.as_deref(), Some("ppcls/resnext101_32x16d_wsl"));
        let (variant, ..) = found("d/ig_resnext101_32x16-c6f796b0.pth", wsl, TORCH);
        assert_eq!(variant.as_deref(), Some(wsl));
        let (variant, ..) = found("net.pth", "mmcls/resnext101_32x8d", &[Library::Mmcls]);
        assert_eq!(variant.as_deref(), Some("mmcls/resnext101_32x8d"));
        // torchvision's two generations differ in preprocessing, and only the name of the file tells them apart.
        let (variant, of, note) = found("net.pth", "torchvision/resnext101_32x8d", TORCH);
        assert_eq!((variant, of), (None, None));
        for part in ["pillow bilinear 232→224", "79.31 %", "82.83 %", "name a variant with --arch"] {
            assert!(note.contains(part), "{note}");
        }
        let (variant, ..) = found("resnext101_32x8d-110c445d.pth", "torchvision/resnext101_32x8d", TORCH);
        assert_eq!(variant.as_deref(), Some("torchvision/resnext101_32x8d.imagenet1k_v2"));
        // timm publishes no network of 152 layers.
        let (variant, of, note) = found("net.pth", "mmcls/resnext152_32x4d", TORCH);
        assert_eq!((variant, of), (None, None));
        assert!(note.contains("its tensors have other names"), "{note}");
        // A graph of an unknown program may be of any library.
        let (.., note) = found("net.onnx", wsl, &[]);
        assert!(note.contains("ppcls/") && note.contains("timm/"), "{note}");
    }

    #[test]
    fn the_name_of_several_weights_has_siblings() {
        let count = |arch: &str| siblings(resnext_models::find(arch).unwrap()).map(|others| others.len());
        assert_eq!(count("torchvision/resnext50_32x4d"), Some(1));
        assert_eq!(count("timm/resnext50_32x4d"), Some(7));
        assert_eq!(count("timm/resnext50_32x4d.a1_in1k"), None);
        assert_eq!(count("mmcls/resnext50_32x4d"), None);
    }
}
