//! All published variants.
//!
//! There are 53: the 31 that the model zoo's page lists, and 22 weights that torchvision and timm publish besides. The architecture
//! of each of these 22 is that of one of the 31; training, preprocessing and accuracy differ.
//!
//! Recipes are those of the libraries' own configurations. Accuracies are torchvision's own, and for timm's tags timm's results
//! with the same input size and crop. `tests/fixtures/zoo/sources.py` writes both down for the test below.

use crate::architecture::Architecture;
use crate::preprocessing::{Interpolation, Preprocessing};
use crate::variant::Library::{Mmcls, Ppcls, Timm, Torchvision};
use crate::variant::{Accuracy, Cost, Library, TestSize, Variant};

const DEPTH_50: [u8; 4] = [3, 4, 6, 3];
const DEPTH_101: [u8; 4] = [3, 4, 23, 3];
const DEPTH_152: [u8; 4] = [3, 8, 36, 3];

const X50_32X4D: Architecture = Architecture::resnext(DEPTH_50, 32, 4);
const X50_64X4D: Architecture = Architecture::resnext(DEPTH_50, 64, 4);
const X50_32X4D_VD: Architecture = X50_32X4D.vd();
const X50_64X4D_VD: Architecture = X50_64X4D.vd();
const X101_32X4D: Architecture = Architecture::resnext(DEPTH_101, 32, 4);
const X101_64X4D: Architecture = Architecture::resnext(DEPTH_101, 64, 4);
const X101_32X8D: Architecture = Architecture::resnext(DEPTH_101, 32, 8);
const X101_32X16D: Architecture = Architecture::resnext(DEPTH_101, 32, 16);
const X101_32X32D: Architecture = Architecture::resnext(DEPTH_101, 32, 32);
const X101_32X48D: Architecture = Architecture::resnext(DEPTH_101, 32, 48);
const X101_32X4D_VD: Architecture = X101_32X4D.vd();
const X101_64X4D_VD: Architecture = X101_64X4D.vd();
const X152_32X4D: Architecture = Architecture::resnext(DEPTH_152, 32, 4);
const X152_64X4D: Architecture = Architecture::resnext(DEPTH_152, 64, 4);
const X152_32X4D_VD: Architecture = X152_32X4D.vd();
const X152_64X4D_VD: Architecture = X152_64X4D.vd();

const PILLOW_BILINEAR: Preprocessing = Preprocessing::imagenet(Interpolation::PillowBilinear);
/// That of torchvision's newer weights.
const PILLOW_BILINEAR_232: Preprocessing =
    Preprocessing { resize: 232, crop: 224.0 / 232.0, ..PILLOW_BILINEAR };
/// timm evaluates torchvision's newer weights at the size of their training, too.
const PILLOW_BILINEAR_176: Preprocessing = Preprocessing { size: 176, resize: 201, ..PILLOW_BILINEAR };
const PILLOW_BICUBIC: Preprocessing = Preprocessing::imagenet(Interpolation::PillowBicubic);
const PILLOW_BICUBIC_160: Preprocessing =
    Preprocessing { size: 160, resize: 168, crop: 0.95, ..PILLOW_BICUBIC };
const PILLOW_BICUBIC_235: Preprocessing = Preprocessing { resize: 235, crop: 0.95, ..PILLOW_BICUBIC };
const PILLOW_BICUBIC_288: Preprocessing =
    Preprocessing { size: 288, resize: 288, crop: 1.0, ..PILLOW_BICUBIC };
const OPENCV_BILINEAR: Preprocessing = Preprocessing::imagenet(Interpolation::OpenCvBilinear);
const OPENCV_BILINEAR_320: Preprocessing =
    Preprocessing { size: 320, resize: 320, crop: 1.0, ..OPENCV_BILINEAR };

const fn row(
    library: Library,
    name: &'static str,
    architecture: Architecture,
    preprocessing: Preprocessing,
    top1: f32,
    top5: f32,
) -> Variant {
    let published = Accuracy { top1, top5 };
    Variant { library, name, architecture, preprocessing, test: None, published, stated: None }
}

impl Variant {
    /// Adds the second input size.
    const fn tested(self, size: u16, crop: f32) -> Self {
        Self { test: Some(TestSize { size, crop }), ..self }
    }

    /// Adds the cost that the page states for an input of 224 pixels: operations in millions, parameters in thousands.
    const fn stated(self, mega_operations: u64, kilo_params: u64) -> Self {
        let (operations, params) = (mega_operations * 1_000_000, kilo_params * 1000);
        Self { stated: Some(Cost { operations, params, size: 224 }), ..self }
    }
}

/// Every variant: those of the page, grouped by library, then the other weights. The notes at the ends of lines say which of
/// several published weights is meant.
///
/// The WSL variants (weakly supervised pre-training) are ResNeXt-101 with wider groups. timm's `50d` is Paddle's `vd`.
#[rustfmt::skip]
pub const ZOO: &[Variant] = &[
    row(Torchvision, "resnext50_32x4d",           X50_32X4D,     PILLOW_BILINEAR,     77.618, 93.698).stated(4_288, 25_029),  // V1
    row(Torchvision, "resnext101_32x8d",          X101_32X8D,    PILLOW_BILINEAR,     79.312, 94.526).stated(16_539, 88_791),  // V1
    row(Timm,        "resnext50_32x4d",           X50_32X4D,     PILLOW_BICUBIC_235,  81.108, 95.326).tested(288, 1.0).stated(4_288, 25_029),  // a1h_in1k
    row(Timm,        "resnext50d_32x4d",          X50_32X4D_VD,  PILLOW_BICUBIC,      79.67,  94.864).tested(288, 0.95).stated(4_531, 25_048),
    row(Timm,        "resnext101_32x8d",          X101_32X8D,    PILLOW_BILINEAR,     79.316, 94.518).stated(16_539, 88_791),  // tv V1 weights
    row(Timm,        "resnext101_64x4d",          X101_64X4D,    PILLOW_BICUBIC_288,  83.14,  96.37).tested(224, 0.95).stated(15_585, 83_455),
    row(Timm,        "tv_resnext50_32x4d",        X50_32X4D,     PILLOW_BILINEAR,     77.616, 93.7).stated(4_288, 25_029),
    row(Timm,        "gluon_resnext50_32x4d",     X50_32X4D,     PILLOW_BICUBIC,      79.364, 94.426).stated(4_765, 25_029),
    row(Timm,        "gluon_resnext101_32x4d",    X101_32X4D,    PILLOW_BICUBIC,      80.344, 94.926).stated(8_950, 44_178),
    row(Timm,        "gluon_resnext101_64x4d",    X101_64X4D,    PILLOW_BICUBIC,      80.604, 94.992).stated(17_317, 83_455),
    row(Mmcls,       "resnext50_32x4d",           X50_32X4D,     PILLOW_BILINEAR,     77.9,   93.66).stated(4_270, 25_030),
    row(Mmcls,       "resnext101_32x4d",          X101_32X4D,    PILLOW_BILINEAR,     78.61,  94.17).stated(8_030, 44_180),
    row(Mmcls,       "resnext101_32x8d",          X101_32X8D,    PILLOW_BILINEAR,     79.27,  94.58).stated(16_500, 88_790),
    row(Mmcls,       "resnext152_32x4d",          X152_32X4D,    PILLOW_BILINEAR,     78.88,  94.33).stated(11_800, 59_950),
    row(Ppcls,       "resnext50_32x4d",           X50_32X4D,     OPENCV_BILINEAR,     77.8,   93.8).stated(8_020, 23_640),
    row(Ppcls,       "resnext50_64x4d",           X50_64X4D,     OPENCV_BILINEAR,     78.4,   94.1).stated(15_060, 42_360),
    row(Ppcls,       "resnext50_vd_32x4d",        X50_32X4D_VD,  OPENCV_BILINEAR,     79.6,   94.6).stated(8_500, 23_660),
    row(Ppcls,       "resnext50_vd_64x4d",        X50_64X4D_VD,  OPENCV_BILINEAR,     80.1,   94.9).stated(15_540, 42_380),
    row(Ppcls,       "resnext101_32x4d",          X101_32X4D,    OPENCV_BILINEAR,     78.7,   94.2).stated(15_010, 41_540),
    row(Ppcls,       "resnext101_64x4d",          X101_64X4D,    OPENCV_BILINEAR,     78.4,   94.5).stated(29_050, 78_120),
    row(Ppcls,       "resnext101_vd_32x4d",       X101_32X4D_VD, OPENCV_BILINEAR,     80.3,   95.1).stated(15_490, 41_560),
    row(Ppcls,       "resnext101_vd_64x4d",       X101_64X4D_VD, OPENCV_BILINEAR,     80.8,   95.2).stated(29_530, 78_140),
    row(Ppcls,       "resnext152_32x4d",          X152_32X4D,    OPENCV_BILINEAR,     79.0,   94.3).stated(22_010, 56_280),
    row(Ppcls,       "resnext152_64x4d",          X152_64X4D,    OPENCV_BILINEAR,     79.5,   94.7).stated(43_030, 107_570),
    row(Ppcls,       "resnext152_vd_32x4d",       X152_32X4D_VD, OPENCV_BILINEAR,     80.7,   95.2).stated(22_490, 56_300),
    row(Ppcls,       "resnext152_vd_64x4d",       X152_64X4D_VD, OPENCV_BILINEAR,     81.1,   95.3).stated(43_520, 107_590),
    row(Ppcls,       "resnext101_32x8d_wsl",      X101_32X8D,    OPENCV_BILINEAR,     82.6,   96.7).stated(29_140, 78_440),
    row(Ppcls,       "resnext101_32x16d_wsl",     X101_32X16D,   OPENCV_BILINEAR,     84.2,   97.3).stated(57_550, 152_660),
    row(Ppcls,       "resnext101_32x32d_wsl",     X101_32X32D,   OPENCV_BILINEAR,     85.0,   97.6).stated(115_170, 303_110),
    row(Ppcls,       "resnext101_32x48d_wsl",     X101_32X48D,   OPENCV_BILINEAR,     85.4,   97.7),
    row(Ppcls,       "fix_resnext101_32x48d_wsl", X101_32X48D,   OPENCV_BILINEAR_320, 86.3,   98.0),

    row(Torchvision, "resnext50_32x4d.imagenet1k_v2",  X50_32X4D,  PILLOW_BILINEAR_232, 81.198, 95.34),
    row(Torchvision, "resnext101_32x8d.imagenet1k_v2", X101_32X8D, PILLOW_BILINEAR_232, 82.834, 96.228),
    row(Torchvision, "resnext101_64x4d",               X101_64X4D, PILLOW_BILINEAR_232, 83.246, 96.454),
    row(Timm, "resnext50_32x4d.a1_in1k",                   X50_32X4D,   PILLOW_BICUBIC_235,  80.526, 94.458).tested(288, 1.0),
    row(Timm, "resnext50_32x4d.a2_in1k",                   X50_32X4D,   PILLOW_BICUBIC_235,  80.444, 94.63).tested(288, 1.0),
    row(Timm, "resnext50_32x4d.a3_in1k",                   X50_32X4D,   PILLOW_BICUBIC_160,  77.732, 93.314).tested(224, 0.95),
    row(Timm, "resnext50_32x4d.ra_in1k",                   X50_32X4D,   PILLOW_BICUBIC,      79.8,   94.608).tested(288, 0.95),
    row(Timm, "resnext50_32x4d.tv2_in1k",                  X50_32X4D,   PILLOW_BILINEAR_176, 79.384, 94.302).tested(224, 0.965),
    row(Timm, "resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k",   X50_32X4D,   PILLOW_BILINEAR,     80.316, 95.386),
    row(Timm, "resnext50_32x4d.fb_swsl_ig1b_ft_in1k",      X50_32X4D,   PILLOW_BILINEAR,     82.162, 96.224),
    row(Timm, "resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k",  X101_32X4D,  PILLOW_BILINEAR,     80.936, 95.732),
    row(Timm, "resnext101_32x4d.fb_swsl_ig1b_ft_in1k",     X101_32X4D,  PILLOW_BILINEAR,     83.268, 96.76),
    row(Timm, "resnext101_32x8d.tv2_in1k",                 X101_32X8D,  PILLOW_BILINEAR_176, 81.99,  95.716).tested(224, 0.965),
    row(Timm, "resnext101_32x8d.fb_ssl_yfcc100m_ft_in1k",  X101_32X8D,  PILLOW_BILINEAR,     81.62,  96.036),
    row(Timm, "resnext101_32x8d.fb_swsl_ig1b_ft_in1k",     X101_32X8D,  PILLOW_BILINEAR,     84.276, 97.188),
    row(Timm, "resnext101_32x8d.fb_wsl_ig1b_ft_in1k",      X101_32X8D,  PILLOW_BILINEAR,     82.72,  96.624),
    row(Timm, "resnext101_32x16d.fb_ssl_yfcc100m_ft_in1k", X101_32X16D, PILLOW_BILINEAR,     81.856, 96.084),
    row(Timm, "resnext101_32x16d.fb_swsl_ig1b_ft_in1k",    X101_32X16D, PILLOW_BILINEAR,     83.34,  96.844),
    row(Timm, "resnext101_32x16d.fb_wsl_ig1b_ft_in1k",     X101_32X16D, PILLOW_BILINEAR,     84.166, 97.192),
    row(Timm, "resnext101_32x32d.fb_wsl_ig1b_ft_in1k",     X101_32X32D, PILLOW_BILINEAR,     85.09,  97.442),
    row(Timm, "resnext101_64x4d.c1_in1k",                  X101_64X4D,  PILLOW_BICUBIC_235,  82.446, 95.92).tested(288, 1.0),
    row(Timm, "resnext101_64x4d.tv_in1k",                  X101_64X4D,  PILLOW_BILINEAR,     82.978, 96.252),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{Shortcut, Stem};
    use crate::names::find;
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn ids_are_unique() {
        for (i, variant) in ZOO.iter().enumerate() {
            let id = variant.to_string();
            assert_eq!(ZOO.iter().position(|v| v.to_string() == id), Some(i), "{id} twice");
        }
    }

    /// `…resnextD…_CxBd…` states the architecture a second time.
    #[test]
    fn names_agree_with_architectures() {
        for variant in ZOO {
            let (_, name) = variant.name.split_once("resnext").unwrap();
            let (depth, rest) = name.split_at(name.find(|c: char| !c.is_ascii_digit()).unwrap());
            let deep = rest.starts_with("d_") || rest.starts_with("_vd_");
            let (rest, _tag) = rest.split_once('.').unwrap_or((rest, ""));
            let (cardinality, width) =
                rest.split('_').find_map(|part| part.strip_suffix('d')?.split_once('x')).unwrap();
            let a = variant.architecture;
            assert_eq!(a.depth().to_string(), depth, "{variant}");
            assert_eq!(a.cardinality.to_string(), cardinality, "{variant}");
            assert_eq!(a.base_width.to_string(), width, "{variant}");
            assert_eq!((a.planes, a.classes), (64, 1000), "{variant}");
            assert_eq!(a.stem == Stem::Deep, deep, "{variant}");
            assert_eq!(a.shortcut == Shortcut::AvgPool, deep, "{variant}");
        }
    }

    #[test]
    fn crop_and_resize_agree() {
        for variant in ZOO {
            let Preprocessing { size, resize, crop, .. } = variant.preprocessing;
            assert_eq!((f32::from(size) / crop) as u16, resize, "{variant}");
        }
    }

    #[test]
    fn libraries_keep_their_resampling() {
        for variant in ZOO {
            let opencv = variant.preprocessing.interpolation == Interpolation::OpenCvBilinear;
            assert_eq!(opencv, variant.library == Ppcls, "{variant}");
        }
        let count = |library| ZOO.iter().filter(|v| v.library == library).count();
        assert_eq!([Torchvision, Timm, Mmcls, Ppcls].map(count), [5, 27, 4, 17]);
    }

    /// Recipes, accuracies and numbers of parameters as torchvision's and timm's own packages state them.
    #[test]
    fn variants_are_what_their_libraries_say() {
        const SOURCES: &str = include_str!("../tests/fixtures/zoo/sources.txt");
        let mut seen = Vec::new();
        for line in SOURCES.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(' ').collect();
            let [name, size, resize, interpolation, mean, std, test, top1, top5, params] = fields[..] else {
                panic!("malformed line {line}")
            };
            let variant = find(name).unwrap_or_else(|| panic!("no variant {name}"));
            seen.push(variant.to_string());
            let p = variant.preprocessing;
            let list = |values: [f32; 3]| values.map(|value| value.to_string()).join(",");
            let test_size = |test: TestSize| format!("{}/{}", test.size, test.crop);
            assert_eq!([p.size, p.resize].map(|side| side.to_string()), [size, resize], "{name}");
            assert_eq!(p.interpolation.as_str(), interpolation, "{name}");
            assert_eq!([list(p.mean), list(p.std)], [mean, std], "{name}");
            assert_eq!(variant.test.map_or("-".into(), test_size), test, "{name}");
            assert_eq!(variant.architecture.params().to_string(), params, "{name}");
            // The page quotes timm's results of its time. Newer ones differ by a few of the 50,000 images.
            let tolerance = if variant.stated.is_some() { 0.05 } else { 0.0 };
            for (ours, theirs) in [(variant.published.top1, top1), (variant.published.top5, top5)] {
                let theirs: f32 = theirs.parse().unwrap();
                assert!((ours - theirs).abs() <= tolerance, "{name}: {ours}, {theirs}");
            }
        }
        for variant in ZOO.iter().filter(|variant| [Torchvision, Timm].contains(&variant.library)) {
            assert!(seen.contains(&variant.to_string()), "{variant} is not in sources.txt");
        }
    }

    #[test]
    fn the_page_states_costs_of_its_own() {
        let stated = |id: &str| find(id).unwrap().stated;
        let count = ZOO.iter().filter(|variant| variant.stated.is_some()).count();
        assert_eq!(count, 29, "it has none for the two variants of 48 channels");
        let flops = Cost { operations: 8_020_000_000, params: 23_640_000, size: 224 };
        assert_eq!(stated("ppcls/resnext50_32x4d"), Some(flops));
        assert_eq!(stated("ppcls/fix_resnext101_32x48d_wsl"), None);
        // PaddleClas states fewer parameters than there are, the others what there is.
        for variant in ZOO {
            let Some(cost) = variant.stated else { continue };
            let ratio = cost.params as f64 / variant.architecture.params() as f64;
            let expected = if variant.library == Ppcls { 0.6..0.95 } else { 0.999..1.001 };
            assert!(expected.contains(&ratio), "{variant}: {ratio}");
        }
    }
}
