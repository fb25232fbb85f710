//! The names of variants, as people write them and as files bear them.

use crate::reference;
use crate::variant::Library::{self, Mmcls, Ppcls, Timm, Torchvision};
use crate::variant::Variant;
use crate::zoo::ZOO;

/// Finds a variant of the [`ZOO`], or the [reference](mod@reference) model, by `library/name`, such as
/// `torchvision/resnext50_32x4d`, in any case. Other names that the libraries give the same weights are understood too:
///
/// | name | meaning |
/// |---|---|
/// | `timm/resnext50_32x4d.a1h_in1k` | the tag of weights that the zoo lists without one |
/// | `timm/ig_resnext101_32x8d` | timm's names before it had tags |
/// | `torchvision/ResNeXt50_32X4D_Weights.IMAGENET1K_V2` | the name in torchvision's enumeration |
/// | `mmpretrain/resnext50-32x4d_8xb32_in1k` | mmcls under its present name, and the name of the configuration |
/// | `paddleclas/ResNeXt50_32x4d` | PaddleClas under its full name |
pub fn find(id: &str) -> Option<&'static Variant> {
    let (library, name) = id.split_once('/')?;
    let library = Library::named(library)?;
    let same = |(of, alias, _): &&(Library, &str, &str)| *of == library && alias.eq_ignore_ascii_case(name);
    let name = ALIASES.iter().find(same).map_or(name, |(_, _, name)| name);
    let is = |variant: &&Variant| variant.library == library && variant.name.eq_ignore_ascii_case(name);
    ZOO.iter().chain([&reference::VARIANT]).find(is)
}

/// Iterates over the variants whose weights are published in a file of this name, apart from its directory: `file` has the digits
/// of a checksum with which the libraries end such names, or the name of a variant with its tag. It is more than one variant if one
/// library publishes the weights of another under a name of its own.
pub fn published_as(file: &str) -> impl Iterator<Item = &'static Variant> {
    let by_digits = FILES.iter().filter(move |(digits, _)| has_word(file, digits)).map(|(_, id)| *id);
    let tagged = move |of: &Library, name: &str| *of != Mmcls && name.contains('.') && has_word(file, name);
    let of_zoo = ZOO.iter().filter(move |variant| tagged(&variant.library, variant.name));
    let of_alias = ALIASES.iter().filter(move |(library, alias, _)| tagged(library, alias));
    let named = |library: Library, name: &str| {
        ZOO.iter().find(|variant| variant.library == library && variant.name == name)
    };
    let by_alias = of_alias.filter_map(move |&(library, _, name)| named(library, name));
    by_digits.filter_map(find).chain(of_zoo).chain(by_alias)
}

/// Whether `text` contains `word` in any case, with neither a letter nor a digit before or after it.
fn has_word(text: &str, word: &str) -> bool {
    let (text, length) = (text.as_bytes(), word.len());
    let beside = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    text.windows(length).enumerate().any(|(at, window)| {
        window.eq_ignore_ascii_case(word.as_bytes())
            && !beside(at.checked_sub(1))
            && !beside(Some(at + length))
    })
}

impl Library {
    /// Returns the library of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        let renamed = [("mmpretrain", Mmcls), ("paddleclas", Ppcls)];
        let own = Self::ALL.into_iter().map(|library| (library.as_str(), library));
        own.chain(renamed).find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, library)| library)
    }
}

/// Names that libraries give weights which the zoo lists under another.
#[rustfmt::skip]
const ALIASES: &[(Library, &str, &str)] = &[
    (Torchvision, "resnext50_32x4d.imagenet1k_v1", "resnext50_32x4d"),
    (Torchvision, "resnext50_32x4d_weights.imagenet1k_v1", "resnext50_32x4d"),
    (Torchvision, "resnext50_32x4d_weights.imagenet1k_v2", "resnext50_32x4d.imagenet1k_v2"),
    (Torchvision, "resnext101_32x8d.imagenet1k_v1", "resnext101_32x8d"),
    (Torchvision, "resnext101_32x8d_weights.imagenet1k_v1", "resnext101_32x8d"),
    (Torchvision, "resnext101_32x8d_weights.imagenet1k_v2", "resnext101_32x8d.imagenet1k_v2"),
    (Torchvision, "resnext101_64x4d.imagenet1k_v1", "resnext101_64x4d"),
    (Torchvision, "resnext101_64x4d_weights.imagenet1k_v1", "resnext101_64x4d"),
    (Timm, "resnext50_32x4d.a1h_in1k", "resnext50_32x4d"),
    (Timm, "resnext50d_32x4d.bt_in1k", "resnext50d_32x4d"),
    (Timm, "resnext101_32x8d.tv_in1k", "resnext101_32x8d"),
    (Timm, "resnext50_32x4d.tv_in1k", "tv_resnext50_32x4d"),
    (Timm, "resnext50_32x4d.gluon_in1k", "gluon_resnext50_32x4d"),
    (Timm, "resnext101_32x4d.gluon_in1k", "gluon_resnext101_32x4d"),
    (Timm, "resnext101_64x4d.gluon_in1k", "gluon_resnext101_64x4d"),
    (Timm, "ig_resnext101_32x8d", "resnext101_32x8d.fb_wsl_ig1b_ft_in1k"),
    (Timm, "ig_resnext101_32x16d", "resnext101_32x16d.fb_wsl_ig1b_ft_in1k"),
    (Timm, "ig_resnext101_32x32d", "resnext101_32x32d.fb_wsl_ig1b_ft_in1k"),
    (Timm, "ssl_resnext50_32x4d", "resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k"),
    (Timm, "ssl_resnext101_32x4d", "resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k"),
    (Timm, "ssl_resnext101_32x8d", "resnext101_32x8d.fb_ssl_yfcc100m_ft_in1k"),
    (Timm, "ssl_resnext101_32x16d", "resnext101_32x16d.fb_ssl_yfcc100m_ft_in1k"),
    (Timm, "swsl_resnext50_32x4d", "resnext50_32x4d.fb_swsl_ig1b_ft_in1k"),
    (Timm, "swsl_resnext101_32x4d", "resnext101_32x4d.fb_swsl_ig1b_ft_in1k"),
    (Timm, "swsl_resnext101_32x8d", "resnext101_32x8d.fb_swsl_ig1b_ft_in1k"),
    (Timm, "swsl_resnext101_32x16d", "resnext101_32x16d.fb_swsl_ig1b_ft_in1k"),
    (Mmcls, "resnext50-32x4d_8xb32_in1k", "resnext50_32x4d"),
    (Mmcls, "resnext101-32x4d_8xb32_in1k", "resnext101_32x4d"),
    (Mmcls, "resnext101-32x8d_8xb32_in1k", "resnext101_32x8d"),
    (Mmcls, "resnext152-32x4d_8xb32_in1k", "resnext152_32x4d"),
    (Mmcls, "resnext50_32x4d_b32x8_imagenet", "resnext50_32x4d"),
    (Mmcls, "resnext101_32x4d_b32x8_imagenet", "resnext101_32x4d"),
    (Mmcls, "resnext101_32x8d_b32x8_imagenet", "resnext101_32x8d"),
    (Mmcls, "resnext152_32x4d_b32x8_imagenet", "resnext152_32x4d"),
];

/// The digits in the names of published files, and the variants whose weights they have. timm publishes torchvision's files as they
/// are.
#[rustfmt::skip]
const FILES: &[(&str, &str)] = &[
    ("7cdf4587", "torchvision/resnext50_32x4d"),
    ("7cdf4587", "timm/tv_resnext50_32x4d"),
    ("1a0047aa", "torchvision/resnext50_32x4d.imagenet1k_v2"),
    ("1a0047aa", "timm/resnext50_32x4d.tv2_in1k"),
    ("8ba56ff5", "torchvision/resnext101_32x8d"),
    ("8ba56ff5", "timm/resnext101_32x8d"),
    ("110c445d", "torchvision/resnext101_32x8d.imagenet1k_v2"),
    ("110c445d", "timm/resnext101_32x8d.tv2_in1k"),
    ("173b62eb", "torchvision/resnext101_64x4d"),
    ("173b62eb", "timm/resnext101_64x4d.tv_in1k"),
    ("0146ab0a", "timm/resnext50_32x4d"),
    ("b5a91a1d", "timm/resnext50_32x4d.a1_in1k"),
    ("efc76add", "timm/resnext50_32x4d.a2_in1k"),
    ("3e450271", "timm/resnext50_32x4d.a3_in1k"),
    ("d733960d", "timm/resnext50_32x4d.ra_in1k"),
    ("103e99f8", "timm/resnext50d_32x4d"),
    ("0d0e0cc0", "timm/resnext101_64x4d.c1_in1k"),
    ("0d0e0cc0", "timm/resnext101_64x4d"),
    ("e6a097c1", "timm/gluon_resnext50_32x4d"),
    ("b253c8c4", "timm/gluon_resnext101_32x4d"),
    ("f9a8e184", "timm/gluon_resnext101_64x4d"),
    ("c38310e5", "timm/resnext101_32x8d.fb_wsl_ig1b_ft_in1k"),
    ("c6f796b0", "timm/resnext101_32x16d.fb_wsl_ig1b_ft_in1k"),
    ("e4b90b00", "timm/resnext101_32x32d.fb_wsl_ig1b_ft_in1k"),
    ("ddb3e555", "timm/resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k"),
    ("dc43570a", "timm/resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k"),
    ("2cfe2f8b", "timm/resnext101_32x8d.fb_ssl_yfcc100m_ft_in1k"),
    ("15fffa57", "timm/resnext101_32x16d.fb_ssl_yfcc100m_ft_in1k"),
    ("72679e44", "timm/resnext50_32x4d.fb_swsl_ig1b_ft_in1k"),
    ("3f87e46b", "timm/resnext101_32x4d.fb_swsl_ig1b_ft_in1k"),
    ("b4712904", "timm/resnext101_32x8d.fb_swsl_ig1b_ft_in1k"),
    ("f3559a9c", "timm/resnext101_32x16d.fb_swsl_ig1b_ft_in1k"),
    ("56066e27", "mmcls/resnext50_32x4d"),
    ("e0fa3dd5", "mmcls/resnext101_32x4d"),
    ("23a247d5", "mmcls/resnext101_32x8d"),
    ("927787be", "mmcls/resnext152_32x4d"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    #[test]
    fn every_variant_is_found_by_its_name() {
        for variant in ZOO {
            let id = variant.to_string();
            assert_eq!(find(&id), Some(variant));
            assert_eq!(find(&id.to_ascii_uppercase()), Some(variant));
        }
        for unknown in
            ["", "/", "resnext50_32x4d", "torchvision/", "torchvision/resnext50", "keras/resnext50_32x4d"]
        {
            assert_eq!(find(unknown), None);
        }
    }

    #[test]
    fn other_names_mean_the_same_weights() {
        for (alias, name) in [
            ("timm/resnext50_32x4d.a1h_in1k", "timm/resnext50_32x4d"),
            ("timm/ig_resnext101_32x16d", "timm/resnext101_32x16d.fb_wsl_ig1b_ft_in1k"),
            (
                "torchvision/ResNeXt50_32X4D_Weights.IMAGENET1K_V2",
                "torchvision/resnext50_32x4d.imagenet1k_v2",
            ),
            ("mmpretrain/resnext101-32x8d_8xb32_in1k", "mmcls/resnext101_32x8d"),
            ("mmcls/resnext50-32x4d_8xb32_in1k", "mmcls/resnext50_32x4d"),
            ("PaddleClas/ResNeXt101_vd_64x4d", "ppcls/resnext101_vd_64x4d"),
        ] {
            assert_eq!(find(alias).map(ToString::to_string).as_deref(), Some(name));
        }
        // An alias is no name of its own, and leads to one of the zoo.
        for (library, alias, name) in ALIASES {
            assert!(!ZOO.iter().any(|variant| variant.library == *library && variant.name == *alias));
            let named = |variant: &&Variant| variant.library == *library && variant.name == *name;
            assert!(ZOO.iter().any(|variant| named(&variant)), "{alias}");
        }
    }

    /// `sources.py` takes the names of files from the packages of the libraries.
    #[test]
    fn files_are_known_by_their_names() {
        let names = |file: &str| published_as(file).map(ToString::to_string).collect::<Vec<String>>();
        let published = include_str!("../tests/fixtures/zoo/files.txt");
        let mut lines = 0;
        for line in published.lines().filter(|line| !line.starts_with('#')) {
            let (file, id) = line.split_once(' ').unwrap();
            let variant = find(id).unwrap().to_string();
            assert!(names(file).contains(&variant), "{line}: {:?}", names(file));
            lines += 1;
        }
        assert_eq!(lines, FILES.len() - 1, "the page lists c1_in1k at another size");
        for (file, expected) in [
            ("copy of ResNeXt50_32x4d-1A0047AA (1).pth", 2),
            ("resnext50_32x4d.a1_in1k.safetensors", 1),
            ("timm_resnext50_32x4d.a1h_in1k.bin", 1),
            ("seresnext50_32x4d.a1_in1k.safetensors", 0),
            ("resnext50-a1a0047aa.pth", 0),
            ("resnext50_32x4d.pth", 0),
            ("", 0),
        ] {
            assert_eq!(names(file).len(), expected, "{file}");
        }
    }
}
