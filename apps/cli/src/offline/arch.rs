//! `--arch`: the published variant of an fp32 network.

use crate::offline::network;
use crate::remedies;
use crate::terminal::Error;
use crate::terminal::output::note;
use resnext_calibration::import::architecture::{Described, expect, looks_like};
use resnext_calibration::network::Network;
use resnext_models::{Library, Variant};
use std::path::Path;

/// The value of `--arch`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arch {
    /// `LIBRARY/VARIANT`.
    Variant(&'static Variant),
    /// `auto` or `LIBRARY/auto`: the variant is recognised by the shapes of the network.
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
            let named =
                |library: &str| Library::ALL.into_iter().find(|l| l.as_str().eq_ignore_ascii_case(library));
            match library.map(named) {
                None => return Ok(Self::Auto(None)),
                Some(Some(library)) => return Ok(Self::Auto(Some(library))),
                Some(None) => {}
            }
        }
        let near: Vec<String> = resnext_models::ZOO
            .iter()
            .filter(|v| v.name.contains(tail))
            .take(3)
            .map(ToString::to_string)
            .collect();
        let hint = match near.is_empty() {
            true => "`resnext zoo` lists the variants, and auto recognises one by its shapes".to_owned(),
            false => format!("did you mean {}?", near.join(" or ")),
        };
        Err(Error::new(format_args!("--arch {name}"), format_args!("no such variant; {hint}")))
    }

    /// Returns the variant, if it is known before the network is read.
    fn variant(self) -> Option<&'static Variant> {
        match self {
            Self::Variant(variant) => Some(variant),
            Self::Auto(_) => None,
        }
    }
}

/// Reads the fp32 network in `path` with folded batch norms, and returns its variant. The input has `size` pixels on each side,
/// or as many as the variant needs.
pub(crate) fn network(
    path: &Path,
    arch: Option<Arch>,
    size: Option<u32>,
) -> Result<(Network, Option<&'static Variant>), Error> {
    let side = |variant: Option<&Variant>| {
        size.or(variant.map(|v| v.preprocessing.size.into())).map(|side| side as usize)
    };
    let network = network::read(path, side(arch.and_then(Arch::variant)))?;
    match arch {
        None => Ok((network, None)),
        Some(Arch::Variant(variant)) => {
            expect(&network.architecture, variant)
                .map_err(|error| remedies::failure(path.display(), &error))?;
            Ok((network, Some(variant)))
        }
        Some(Arch::Auto(library)) => {
            let found = looks_like(&network.architecture)
                .filter(|v| library.is_none_or(|library| v.library == library));
            let variant = only(path, &network, &found.collect::<Vec<_>>());
            match variant.filter(|v| side(Some(v)) != Some(network.input.height)) {
                Some(variant) => Ok((network::read(path, side(Some(variant)))?, Some(variant))),
                None => Ok((network, variant)),
            }
        }
    }
}

/// Chooses among the variants `found` and tells the user. Several variants with the same preprocessing are as good as one.
fn only(path: &Path, network: &Network, found: &[&'static Variant]) -> Option<&'static Variant> {
    let names: Vec<String> = found.iter().map(ToString::to_string).collect();
    let (names, path) = (names.join(", "), path.display());
    match found {
        [] => {
            let network = Described(&network.architecture);
            note(format_args!(
                "{path}: {network}, which is no published variant; its preprocessing is that of torchvision"
            ));
            None
        }
        [variant, rest @ ..] if rest.iter().all(|other| other.preprocessing == variant.preprocessing) => {
            note(format_args!("{path}: has the architecture of {names}"));
            Some(variant)
        }
        _ => {
            note(format_args!(
                "{path}: has the architecture of {names}, whose preprocessing differs; the preprocessing is that of \
                 torchvision, unless you name one variant with --arch"
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        let parse = |name: &str| Arch::parse(name).map_err(|error| error.to_string());
        assert!(
            matches!(parse("timm/resnext50d_32x4d"), Ok(Arch::Variant(v)) if v.name == "resnext50d_32x4d")
        );
        assert!(matches!(parse("auto"), Ok(Arch::Auto(None))));
        assert!(matches!(parse("Timm/Auto"), Ok(Arch::Auto(Some(Library::Timm)))));
        for (wrong, hint) in
            [("keras/auto", "resnext zoo"), ("resnext50d_32x4d", "did you mean timm/"), ("", "mean")]
        {
            let line = parse(wrong).expect_err("wrong");
            assert!(
                line.starts_with(&format!("--arch {wrong}: no such variant; ")) && line.contains(hint),
                "{line}"
            );
        }
    }
}
