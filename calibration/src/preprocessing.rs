//! What calibration needs of a [`Preprocessing`] beyond the resizing and cropping of the runtime: fp32 reads the pixels that int8
//! reads, normalised. A [`Recipe`] is the preprocessing that weights want, at any size of the input.

use resnext::preprocess::{CropRounding, Interpolation, MAX_FRAME_SIDE, Preprocessing, SideRounding};
use resnext_models::{Interpolation as Published, Library, Preprocessing as PublishedPreprocessing, Variant};
use resnext_photo::Exif;

/// Returns the preprocessing of a published variant, to the byte. That of torchvision, timm and mmcls rounds sizes as
/// [`Preprocessing::imagenet`] does; PaddleClas, which alone resizes with OpenCV, has rules of its own.
pub fn published(preprocessing: &PublishedPreprocessing) -> Preprocessing {
    let imagenet = Preprocessing {
        mean: preprocessing.mean,
        std: preprocessing.std,
        ..Preprocessing::imagenet(preprocessing.size.into(), preprocessing.resize.into())
    };
    match preprocessing.interpolation {
        Published::PillowBilinear => imagenet,
        Published::PillowBicubic => Preprocessing { interpolation: Interpolation::PillowBicubic, ..imagenet },
        Published::OpenCvBilinear => Preprocessing {
            interpolation: Interpolation::OpenCvBilinear,
            side_rounding: SideRounding::Nearest,
            crop_rounding: CropRounding::Floor,
            ..imagenet
        },
    }
}

/// The preprocessing that weights want. Where a network reads another size than the one that it was published for, the crop shows
/// the same part of the resized image, by timm's rule: the short side is resized to ⌊size / crop⌋.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// At the usual size.
    pub preprocessing: Preprocessing,
    /// The part of the resized short side that the network sees, above 0.
    pub crop: f64,
    /// A second size, and its crop, if the library evaluates the weights at that size, too.
    pub test: Option<(u32, f64)>,
    /// What becomes of the EXIF orientation of photos.
    pub exif: Exif,
}

/// Returns what `library` did with the EXIF orientation of the photos that it trained and measured on.
fn exif_of(library: Library) -> Exif {
    if library.applies_exif() { Exif::Apply } else { Exif::Ignore }
}

impl Recipe {
    /// Returns the recipe of a published variant.
    pub fn of(variant: &Variant) -> Self {
        // As text, 0.95 is 0.95 in any precision.
        let exact = |crop: f32| crop.to_string().parse().unwrap_or_else(|_| f64::from(crop));
        Self {
            preprocessing: published(&variant.preprocessing),
            crop: exact(variant.preprocessing.crop),
            test: variant.test.map(|test| (test.size.into(), exact(test.crop))),
            exif: exif_of(variant.library),
        }
    }

    /// Returns the recipe of torchvision's first weights, which most of those who train a network follow.
    pub fn usual() -> Self {
        let preprocessing = Preprocessing::imagenet(224, 256);
        Self { preprocessing, crop: 0.875, test: None, exif: Exif::Ignore }
    }

    /// Returns the side of the input that the recipe was published for, in pixels.
    pub fn size(&self) -> u32 {
        self.preprocessing.crop_height
    }

    /// Returns the recipe with `size` as its usual size.
    #[must_use]
    pub fn sized(&self, size: u32) -> Self {
        Self { preprocessing: self.at(size), crop: self.crop_at(size), ..*self }
    }

    /// Returns the preprocessing for an input of `size` × `size` pixels.
    pub fn at(&self, size: u32) -> Preprocessing {
        if size == self.size() {
            return self.preprocessing;
        }
        let short_side = ((f64::from(size) / self.crop_at(size)) as u32).clamp(1, MAX_FRAME_SIDE);
        Preprocessing { short_side, crop_height: size, crop_width: size, ..self.preprocessing }
    }

    /// Returns the part of the resized short side that an input of `size` × `size` pixels shows.
    pub fn crop_at(&self, size: u32) -> f64 {
        match self.test {
            Some((test, crop)) if test == size && size != self.size() => crop,
            _ => self.crop,
        }
    }

    /// Reads the recipe back from [`properties`]; `None` if these are not among the metadata of a file.
    ///
    /// # Errors
    ///
    /// The first that is there and has no meaning.
    pub fn from_properties(metadata: &[(String, String)]) -> Result<Option<Self>, PropertyError> {
        let get =
            |key: &str| metadata.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str());
        // Other programs may use some of these words for something else.
        let [Some(resize), Some(size), Some(interpolation), Some(mean), Some(std)] = KEYS.map(get) else {
            return Ok(None);
        };
        let error = |key: &'static str| PropertyError { key, value: get(key).unwrap_or_default().to_owned() };
        let side = |key, value: &str| {
            value.parse().ok().filter(|side| (1..=MAX_FRAME_SIDE).contains(side)).ok_or_else(|| error(key))
        };
        let list = |key, value: &str| three_numbers(value).ok_or_else(|| error(key));
        let (short_side, size) = (side("resize", resize)?, side("crop", size)?);
        let preprocessing = Preprocessing {
            interpolation: named(&Interpolation::ALL, |i| i.as_str(), interpolation)
                .ok_or_else(|| error("interpolation"))?,
            // Files that an earlier release wrote have the rounding of the library that resizes in this way.
            side_rounding: match (get("side_rounding"), interpolation) {
                (Some(value), _) => named(&SideRounding::ALL, |rounding| rounding.as_str(), value)
                    .ok_or_else(|| error("side_rounding"))?,
                (None, "opencv-bilinear") => SideRounding::Nearest,
                (None, _) => SideRounding::Truncate,
            },
            crop_rounding: match (get("crop_rounding"), interpolation) {
                (Some(value), _) => named(&CropRounding::ALL, |rounding| rounding.as_str(), value)
                    .ok_or_else(|| error("crop_rounding"))?,
                (None, "opencv-bilinear") => CropRounding::Floor,
                (None, _) => CropRounding::HalfEven,
            },
            mean: list("mean", mean)?,
            std: Some(list("std", std)?)
                .filter(|std| std.iter().all(|&std| std > 0.0))
                .ok_or_else(|| error("std"))?,
            ..Preprocessing::imagenet(size, short_side)
        };
        let crop = match get("crop_pct") {
            Some(crop) => crop.parse::<f64>().ok().filter(|&crop| crop > 0.0 && crop.is_finite()),
            None => Some(f64::from(size) / f64::from(short_side)),
        };
        let exif = match get("exif") {
            Some(value) => named(&Exif::ALL, |exif| exif.as_str(), value).ok_or_else(|| error("exif"))?,
            // In files that an earlier release wrote, the source tells the library.
            None => {
                let variant = get("source").and_then(resnext_models::find);
                variant.map_or(Exif::Ignore, |variant| exif_of(variant.library))
            }
        };
        Ok(Some(Self { preprocessing, crop: crop.ok_or_else(|| error("crop_pct"))?, test: None, exif }))
    }
}

/// The metadata without which a file says nothing of its preprocessing.
const KEYS: [&str; 5] = ["resize", "crop", "interpolation", "mean", "std"];

/// The metadata of a file have no meaning as a preprocessing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the metadata give `{key}` as `{}`, which no preprocessing has", .value.escape_debug())]
pub struct PropertyError {
    key: &'static str,
    value: String,
}

fn three_numbers(text: &str) -> Option<[f32; 3]> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let three: [f32; 3] = numbers?.try_into().ok()?;
    three.iter().all(|number| number.is_finite()).then_some(three)
}

/// Returns the one of `all` that `name` calls `text`.
fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, text: &str) -> Option<T> {
    all.iter().copied().find(|&each| name(each) == text)
}

/// Returns what a user of a network has to know to prepare images for it, as keys and values: the metadata of ONNX files.
/// [`Recipe::from_properties`] reads them.
pub fn properties(preprocessing: &Preprocessing, exif: Exif) -> Vec<(&'static str, String)> {
    let list = |values: [f32; 3]| values.map(|value| value.to_string()).join(", ");
    vec![
        ("resize", preprocessing.short_side.to_string()),
        ("crop", preprocessing.crop_height.to_string()),
        ("interpolation", preprocessing.interpolation.as_str().to_owned()),
        ("side_rounding", preprocessing.side_rounding.as_str().to_owned()),
        ("crop_rounding", preprocessing.crop_rounding.as_str().to_owned()),
        ("mean", list(preprocessing.mean)),
        ("std", list(preprocessing.std)),
        ("exif", exif.as_str().to_owned()),
    ]
}

/// Normalises cropped `pixels` (`[height][width][3]`) to `[3][height][width]` floats.
pub fn normalize(preprocessing: &Preprocessing, pixels: &[u8]) -> Vec<f32> {
    let mut planes = Vec::with_capacity(pixels.len());
    for channel in 0..3 {
        let (mean, std) = (preprocessing.mean[channel], preprocessing.std[channel]);
        planes.extend(pixels.iter().skip(channel).step_by(3).map(|&p| (f32::from(p) / 255.0 - mean) / std));
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnext_photo::Rgb8Image;

    /// Checksums that `sources.py` beside it has written, with the transforms of the libraries that published the variants.
    const SOURCES: &str = include_str!("../../tests/fixtures/preprocess/sources.txt");

    /// Makes the pixels of `make.py`.
    fn frame(width: u32, height: u32) -> Rgb8Image {
        let mut state = width * 65536 + height;
        let mut data = Vec::new();
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            for _ in 0..3 {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                let value = (state >> 24) as u8;
                let edge = (x >> 4 ^ y >> 4) & 1 == 1;
                data.push(if edge { if value >= 128 { 255 } else { 0 } } else { value });
            }
        }
        Rgb8Image { width, height, data }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let bit = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
        !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
    }

    /// Covers all variants, each with the library that published it, at odd sizes, as portraits, and enlarged.
    #[test]
    fn equals_the_libraries_own_transforms() {
        let mut variants = vec![];
        let mut seen = 0;
        for line in SOURCES.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(' ').collect();
            if line.contains('/') {
                seen += fields.len();
                variants = fields.iter().map(|id| resnext_models::find(id).expect(id)).collect();
                continue;
            }
            let [width, height, crc] = fields[..] else { panic!("malformed line {line}") };
            let image = frame(width.parse().unwrap(), height.parse().unwrap());
            let mut results: Vec<(Preprocessing, u32)> = vec![];
            for variant in &variants {
                let preprocessing = published(&variant.preprocessing);
                if results.iter().all(|(known, _)| *known != preprocessing) {
                    results.push((preprocessing, crc32(&image.crop(&preprocessing).unwrap())));
                }
            }
            for (preprocessing, result) in results {
                assert_eq!(format!("{result:08x}"), crc, "{width}x{height} {preprocessing:?}");
            }
        }
        assert_eq!(seen, resnext_models::ZOO.len());
    }

    /// Sizes that timm's transforms resize to, for the crops of all variants.
    #[test]
    fn other_sizes_show_the_same_part() {
        let mut lines = 0;
        let table = include_str!("../../models/tests/fixtures/zoo/sizes.txt");
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(' ').collect();
            let [crop, size, resize] = fields[..] else { panic!("malformed line {line}") };
            let recipe = Recipe { crop: crop.parse().unwrap(), ..Recipe::usual() };
            let size = size.parse().unwrap();
            if size == recipe.size() {
                continue;
            }
            let found = recipe.at(size);
            assert_eq!((found.crop_height, found.crop_width), (size, size));
            assert_eq!(found.short_side.to_string(), resize, "{line}");
            lines += 1;
        }
        assert!(lines > 20);
        let recipe = |id: &str| Recipe::of(resnext_models::find(id).unwrap());
        assert_eq!(recipe("timm/resnext50_32x4d.tv2_in1k").at(224).short_side, 232);
        assert_eq!(recipe("timm/resnext50_32x4d").at(288).short_side, 288);
        assert_eq!(recipe("torchvision/resnext50_32x4d").at(160).short_side, 182);
    }

    #[test]
    fn properties_come_back_for_every_variant() {
        let text = |preprocessing: &Preprocessing, exif| {
            let owned = |(key, value): (&str, String)| (key.to_owned(), value);
            properties(preprocessing, exif).into_iter().map(owned).collect::<Vec<_>>()
        };
        for variant in resnext_models::ZOO.iter().chain([&resnext_models::reference::VARIANT]) {
            let recipe = Recipe::of(variant);
            for size in [recipe.size(), 160, 321] {
                let preprocessing = recipe.at(size);
                for exif in Exif::ALL {
                    let found = Recipe::from_properties(&text(&preprocessing, exif)).unwrap().unwrap();
                    assert_eq!((found.at(size), found.exif), (preprocessing, exif), "{variant}");
                }
            }
            // An earlier release left the rounding and the orientation out.
            let mut old = text(&recipe.preprocessing, recipe.exif);
            old.retain(|(key, _)| !key.ends_with("_rounding") && key != "exif");
            old.push(("source".to_owned(), variant.to_string()));
            let found = Recipe::from_properties(&old).unwrap().unwrap();
            let expected = if matches!(variant.library, Library::Mmcls | Library::Ppcls) {
                Exif::Apply
            } else {
                Exif::Ignore
            };
            assert_eq!((found.preprocessing, found.exif), (recipe.preprocessing, expected), "{variant}");
        }
        let good = text(&Recipe::usual().preprocessing, Exif::Ignore);
        assert_eq!(Recipe::from_properties(&good[1..]), Ok(None), "something of other programs");
        for (key, value) in [
            ("resize", "0"),
            ("crop", "224.5"),
            ("interpolation", "lanczos\n"),
            ("side_rounding", "up"),
            ("mean", "0.5, 0.5"),
            ("mean", "0.5, 0.5, NaN"),
            ("std", "0.1, 0, 0.1"),
            ("exif", "transpose"),
        ] {
            let mut bad = good.clone();
            bad.iter_mut().filter(|(other, _)| other == key).for_each(|entry| entry.1 = value.to_owned());
            let line = Recipe::from_properties(&bad).unwrap_err().to_string();
            assert!(line.contains(key) && !line.contains('\n'), "{line}");
        }
    }
}
