//! All published variants.

use crate::architecture::Architecture;
use crate::preprocessing::{Interpolation, Preprocessing};
use crate::reference;
use crate::variant::Library::{Mmcls, Ppcls, Timm, Torchvision};
use crate::variant::{Accuracy, Library, Variant};

/// Finds a variant of the [`ZOO`], or the [reference](mod@reference) model, by `library/name`, such as
/// `torchvision/resnext50_32x4d`, in any case.
pub fn find(id: &str) -> Option<&'static Variant> {
    let (library, name) = id.split_once('/')?;
    ZOO.iter()
        .chain([&reference::VARIANT])
        .find(|v| v.library.as_str().eq_ignore_ascii_case(library) && v.name.eq_ignore_ascii_case(name))
}

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
const PILLOW_BICUBIC: Preprocessing = Preprocessing::imagenet(Interpolation::PillowBicubic);
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
    Variant { library, name, architecture, preprocessing, published: Accuracy { top1, top5 } }
}

/// Every variant, grouped by library. The notes at the ends of lines say which of several published weights is meant.
///
/// The WSL variants (weakly supervised pre-training) are ResNeXt-101 with wider groups. timm's `50d` is Paddle's `vd`.
#[rustfmt::skip]
pub const ZOO: &[Variant] = &[
    row(Torchvision, "resnext50_32x4d",           X50_32X4D,     PILLOW_BILINEAR,     77.618, 93.698),  // V1
    row(Torchvision, "resnext101_32x8d",          X101_32X8D,    PILLOW_BILINEAR,     79.312, 94.526),  // V1
    row(Timm,        "resnext50_32x4d",           X50_32X4D,     PILLOW_BICUBIC_235,  81.108, 95.326),  // a1h_in1k
    row(Timm,        "resnext50d_32x4d",          X50_32X4D_VD,  PILLOW_BICUBIC,      79.67,  94.864),
    row(Timm,        "resnext101_32x8d",          X101_32X8D,    PILLOW_BILINEAR,     79.316, 94.518),  // tv V1 weights
    row(Timm,        "resnext101_64x4d",          X101_64X4D,    PILLOW_BICUBIC_288,  83.14,  96.37),
    row(Timm,        "tv_resnext50_32x4d",        X50_32X4D,     PILLOW_BILINEAR,     77.616, 93.7),
    row(Timm,        "gluon_resnext50_32x4d",     X50_32X4D,     PILLOW_BICUBIC,      79.364, 94.426),
    row(Timm,        "gluon_resnext101_32x4d",    X101_32X4D,    PILLOW_BICUBIC,      80.344, 94.926),
    row(Timm,        "gluon_resnext101_64x4d",    X101_64X4D,    PILLOW_BICUBIC,      80.604, 94.992),
    row(Mmcls,       "resnext50_32x4d",           X50_32X4D,     PILLOW_BILINEAR,     77.9,   93.66),
    row(Mmcls,       "resnext101_32x4d",          X101_32X4D,    PILLOW_BILINEAR,     78.61,  94.17),
    row(Mmcls,       "resnext101_32x8d",          X101_32X8D,    PILLOW_BILINEAR,     79.27,  94.58),
    row(Mmcls,       "resnext152_32x4d",          X152_32X4D,    PILLOW_BILINEAR,     78.88,  94.33),
    row(Ppcls,       "resnext50_32x4d",           X50_32X4D,     OPENCV_BILINEAR,     77.8,   93.8),
    row(Ppcls,       "resnext50_64x4d",           X50_64X4D,     OPENCV_BILINEAR,     78.4,   94.1),
    row(Ppcls,       "resnext50_vd_32x4d",        X50_32X4D_VD,  OPENCV_BILINEAR,     79.6,   94.6),
    row(Ppcls,       "resnext50_vd_64x4d",        X50_64X4D_VD,  OPENCV_BILINEAR,     80.1,   94.9),
    row(Ppcls,       "resnext101_32x4d",          X101_32X4D,    OPENCV_BILINEAR,     78.7,   94.2),
    row(Ppcls,       "resnext101_64x4d",          X101_64X4D,    OPENCV_BILINEAR,     78.4,   94.5),
    row(Ppcls,       "resnext101_vd_32x4d",       X101_32X4D_VD, OPENCV_BILINEAR,     80.3,   95.1),
    row(Ppcls,       "resnext101_vd_64x4d",       X101_64X4D_VD, OPENCV_BILINEAR,     80.8,   95.2),
    row(Ppcls,       "resnext152_32x4d",          X152_32X4D,    OPENCV_BILINEAR,     79.0,   94.3),
    row(Ppcls,       "resnext152_64x4d",          X152_64X4D,    OPENCV_BILINEAR,     79.5,   94.7),
    row(Ppcls,       "resnext152_vd_32x4d",       X152_32X4D_VD, OPENCV_BILINEAR,     80.7,   95.2),
    row(Ppcls,       "resnext152_vd_64x4d",       X152_64X4D_VD, OPENCV_BILINEAR,     81.1,   95.3),
    row(Ppcls,       "resnext101_32x8d_wsl",      X101_32X8D,    OPENCV_BILINEAR,     82.6,   96.7),
    row(Ppcls,       "resnext101_32x16d_wsl",     X101_32X16D,   OPENCV_BILINEAR,     84.2,   97.3),
    row(Ppcls,       "resnext101_32x32d_wsl",     X101_32X32D,   OPENCV_BILINEAR,     85.0,   97.6),
    row(Ppcls,       "resnext101_32x48d_wsl",     X101_32X48D,   OPENCV_BILINEAR,     85.4,   97.7),
    row(Ppcls,       "fix_resnext101_32x48d_wsl", X101_32X48D,   OPENCV_BILINEAR_320, 86.3,   98.0),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{Shortcut, Stem};
    use std::string::ToString;

    #[test]
    fn ids_are_unique_and_are_found() {
        for (i, variant) in ZOO.iter().enumerate() {
            let id = variant.to_string();
            assert_eq!(ZOO.iter().position(|v| v.to_string() == id), Some(i), "{id} twice");
            assert_eq!(find(&id), Some(variant));
            assert_eq!(find(&id.to_ascii_uppercase()), Some(variant));
        }
        for unknown in
            ["", "/", "resnext50_32x4d", "torchvision/", "torchvision/resnext50", "keras/resnext50_32x4d"]
        {
            assert_eq!(find(unknown), None);
        }
    }

    /// `…resnextD…_CxBd…` states the architecture a second time.
    #[test]
    fn names_agree_with_architectures() {
        for variant in ZOO {
            let (_, name) = variant.name.split_once("resnext").unwrap();
            let (depth, rest) = name.split_at(name.find(|c: char| !c.is_ascii_digit()).unwrap());
            let deep = rest.starts_with("d_") || rest.starts_with("_vd_");
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
        assert_eq!([Torchvision, Timm, Mmcls, Ppcls].map(count), [2, 8, 4, 17]);
    }
}
