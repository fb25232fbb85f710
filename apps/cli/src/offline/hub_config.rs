//! `config.json`, which timm and its hub keep beside a checkpoint: the preprocessing that its weights want.
//!
//! In it, `pretrained_cfg` has the fields of timm's pretrained configurations; before 2023 they were at the top.

use resnext::preprocess::{Interpolation, Preprocessing};
use resnext_calibration::preprocessing::Recipe;
use resnext_models::Variant;
use resnext_photo::Exif;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes that are read: such a file has about one thousand.
const MAX_BYTES: u64 = 1 << 20;

/// What `config.json` says of the checkpoint beside it.
#[derive(Debug, PartialEq)]
pub(crate) struct HubConfig {
    /// The preprocessing that the weights want.
    pub(crate) recipe: Recipe,
    /// The name of the architecture, such as `resnext50_32x4d`.
    pub(crate) architecture: Option<String>,
    /// The published variant that the tag names, if the recipe is still that of the variant.
    pub(crate) variant: Option<&'static Variant>,
}

/// Returns the path of the configuration beside `checkpoint`.
pub(crate) fn path(checkpoint: &Path) -> PathBuf {
    checkpoint.with_file_name("config.json")
}

impl HubConfig {
    /// Reads the configuration beside `checkpoint`. `None` if there is none, or if it is not timm's.
    ///
    /// # Errors
    ///
    /// It is timm's, but asks for something that resnext cannot do; the error says what.
    pub(crate) fn beside(checkpoint: &Path) -> Result<Option<Self>, String> {
        let Ok(file) = File::open(path(checkpoint)) else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
        match read.ok().and_then(|_| serde_json::from_slice(&bytes).ok()) {
            Some(document) => Self::parse(&document),
            None => Err("is not a JSON document".to_owned()),
        }
    }

    fn parse(document: &Value) -> Result<Option<Self>, String> {
        let nested = document.get("pretrained_cfg").filter(|config| config.is_object());
        let config = nested.unwrap_or(document);
        let size = match config.get("input_size") {
            Some(size) => {
                square(size).ok_or_else(|| format!("has the input_size {size}, which is not [3, N, N]"))?
            }
            None if nested.is_some() => 224,
            None => return Ok(None),
        };
        let crop = |key: &str, default: f64| match config.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => {
                let crop = value.as_f64().filter(|crop| (0.1..=10.0).contains(crop));
                crop.ok_or_else(|| format!("has the {key} {value}, which is no share of a side"))
            }
        };
        if let Some(mode) = config.get("crop_mode").and_then(Value::as_str).filter(|mode| *mode != "center") {
            return Err(format!("asks for the crop_mode {mode}, and resnext crops the centre only"));
        }
        // Where a field is missing, timm assumes these.
        let interpolation = match config.get("interpolation").and_then(Value::as_str).unwrap_or("bicubic") {
            "bilinear" => Interpolation::PillowBilinear,
            "bicubic" => Interpolation::PillowBicubic,
            other => {
                return Err(format!("asks for {other} interpolation, and resnext has bilinear and bicubic"));
            }
        };
        let share = crop("crop_pct", 0.875)?;
        let usual = Preprocessing::imagenet(size, (f64::from(size) / share) as u32);
        let preprocessing = Preprocessing {
            interpolation,
            mean: triple(config, "mean", usual.mean)?,
            std: triple(config, "std", usual.std)?,
            ..usual
        };
        let test = config.get("test_input_size").and_then(square).filter(|test| *test != size);
        let test = test.map(|test| Ok::<_, String>((test, crop("test_crop_pct", share)?))).transpose()?;
        let recipe = Recipe { preprocessing, crop: share, test, exif: Exif::Ignore };

        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let architecture = text(document, "architecture").or_else(|| text(config, "architecture"));
        let tag = text(config, "tag").filter(|tag| !tag.is_empty());
        let variant = architecture.as_ref().zip(tag).and_then(|(architecture, tag)| {
            let variant = resnext_models::find(&format!("timm/{architecture}.{tag}"))?;
            (Recipe::of(variant).preprocessing == preprocessing).then_some(variant)
        });
        Ok(Some(Self { recipe, architecture, variant }))
    }
}

/// Returns N of `[3, N, N]`.
fn square(size: &Value) -> Option<u32> {
    let sides: Vec<u64> = size.as_array()?.iter().filter_map(Value::as_u64).collect();
    match sides[..] {
        [3, height, width] if height == width && (1..=4096).contains(&height) => u32::try_from(height).ok(),
        _ => None,
    }
}

/// Returns the three numbers of a list, or `default` if there is none.
fn triple(config: &Value, key: &str, default: [f32; 3]) -> Result<[f32; 3], String> {
    let Some(list) = config.get(key).filter(|list| !list.is_null()) else { return Ok(default) };
    let numbers =
        list.as_array().map(|list| list.iter().filter_map(Value::as_f64).map(|number| number as f32));
    let numbers: Vec<f32> = numbers.into_iter().flatten().collect();
    let sound = |number: &f32| number.is_finite() && (key != "std" || *number > 0.0);
    match numbers.try_into() {
        Ok::<[f32; 3], _>(numbers) if numbers.iter().all(sound) => Ok(numbers),
        _ => Err(format!("has the {key} {list}, which is not one number for each colour")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Configurations as timm 1.0.31 writes them and what its own transforms then do; made by
    /// `make.py` beside them.
    #[test]
    fn configurations_of_timm_give_its_transforms() {
        let document: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/hub/configs.json")).unwrap();
        let cases = document.as_array().unwrap();
        assert!(cases.len() > 20);
        for case in cases {
            let name = case["name"].as_str().unwrap();
            let found = HubConfig::parse(&case["config"]).unwrap().unwrap();
            let number = |key: &str| case[key].as_u64().unwrap() as u32;
            for (size, resize) in [("size", "resize"), ("test_size", "test_resize")] {
                let preprocessing = found.recipe.at(number(size));
                assert_eq!(preprocessing.short_side, number(resize), "{name}");
                assert_eq!(preprocessing.crop_height, number(size), "{name}");
                let interpolation = preprocessing.interpolation.as_str();
                assert_eq!(
                    interpolation,
                    format!("pillow-{}", case["interpolation"].as_str().unwrap()),
                    "{name}"
                );
            }
            assert_eq!(found.recipe.size(), number("size"), "{name}");
            let variant = resnext_models::find(&format!("timm/{name}"));
            assert_eq!(found.variant, variant, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let parse = |text: &str| HubConfig::parse(&serde_json::from_str(text).unwrap());
        // transformers has files of this name, too, as does everybody else.
        for other in [r#"{"architectures": ["ResNetForImageClassification"]}"#, "{}", "[1]", "3"] {
            assert_eq!(parse(other), Ok(None), "{other}");
        }
        for (text, part) in [
            (r#"{"input_size": [3, 224, 160]}"#, "not [3, N, N]"),
            (r#"{"input_size": [1, 28, 28]}"#, "not [3, N, N]"),
            (r#"{"input_size": [3, 224, 224], "interpolation": "lanczos"}"#, "lanczos interpolation"),
            (r#"{"input_size": [3, 224, 224], "crop_mode": "squash"}"#, "crop_mode squash"),
            (r#"{"input_size": [3, 224, 224], "crop_pct": 0}"#, "no share of a side"),
            (r#"{"input_size": [3, 224, 224], "mean": [0.5]}"#, "one number for each colour"),
            (r#"{"input_size": [3, 224, 224], "std": [0, 1, 1]}"#, "one number for each colour"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let old = parse(r#"{"architecture": "x", "input_size": [3, 160, 160], "crop_pct": 0.95}"#)
            .unwrap()
            .unwrap();
        assert_eq!((old.recipe.preprocessing.short_side, old.variant), (168, None));
    }
}
