//! What the name of a checkpoint, and what it says beside its tensors, tell about a network that the tensors do not.
//!
//! timm's `resnetaa50` has the tensors of `resnet50` to the last name and shape, and so has any ResNeXt with another activation.
//! Nothing but such a hint tells them apart.

use std::fmt;
use std::path::Path;

use serde_json::Value;

/// A hint that a network is no plain ResNeXt. Displays as `its file name says resnetaa50d (anti-aliased)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where the hint stands: `its file name`, `its metadata (args.model)`.
    pub place: String,
    /// The hint itself.
    pub text: String,
    /// What it means.
    pub meaning: &'static str,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, text, meaning } = self;
        write!(f, "{place} says `{}` ({meaning})", text.escape_debug())
    }
}

const ACTIVATION: &str = "another activation than ReLU";
const ANTI_ALIASED: &str = "anti-aliased: strides are poolings of their own";
const DILATED: &str = "dilated convolutions in place of strides";
const POOLING: &str = "another pooling before the classifier than the average";
const EARLY: &str = "a stride in the first stage";
const CAFFE: &str = "strides on the first convolution of a block, as in Caffe";

/// Activations whose names nothing else contains.
const ACTIVATIONS: [&str; 8] =
    ["silu", "swish", "gelu", "prelu", "leaky", "relu6", "softplus", "hardsigmoid"];
/// Activations whose names are parts of other words, so that only the whole word counts.
const SHORT_ACTIVATIONS: [&str; 8] = ["mish", "elu", "selu", "celu", "frelu", "lrelu", "tanh", "sigmoid"];

/// Returns what the name of the file at `path` tells, or the `config.json` of timm or another library beside it.
pub(super) fn of_file(path: &Path) -> Option<Claim> {
    let stem = path.file_stem()?.to_string_lossy();
    let of_name = network(&stem).map(|meaning| Claim {
        place: "its file name".into(),
        text: stem.into_owned(),
        meaning,
    });
    of_name.or_else(|| {
        let config = std::fs::read(path.with_file_name("config.json")).ok()?;
        let mut facts = Vec::new();
        flatten(String::new(), &serde_json::from_slice(&config).ok()?, &mut facts);
        of_facts("the config.json beside it", &facts)
    })
}

/// Returns what `facts`, keys and values that stand in `place`, tell.
pub(super) fn of_facts(place: &str, facts: &[(String, String)]) -> Option<Claim> {
    facts.iter().find_map(|(key, value)| {
        let claim = |text: &str, meaning| Claim {
            place: format!("{place} ({})", key.escape_debug()),
            text: text.chars().take(80).collect(),
            meaning,
        };
        fact(key, value).map(|meaning| claim(value, meaning)).or_else(|| {
            // A whole configuration file in one text, as OpenMMLab saves it.
            value.lines().find_map(|line| Some(claim(line.trim(), configured(line)?)))
        })
    })
}

/// Returns what the name of a network tells.
fn network(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let words = || name.split(|c: char| !c.is_ascii_alphanumeric());
    let numbered = |word: &str, stem: &str| {
        word.strip_prefix(stem)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    let anti_aliased = |word: &str| {
        ["netaa", "nextaa", "netblur", "nextblur", "blurpool", "antialias"]
            .iter()
            .any(|mark| word.contains(mark))
            || matches!(word, "aa" | "blur")
            || numbered(word, "lpf")
    };
    match () {
        () if words().any(anti_aliased) => Some(ANTI_ALIASED),
        () if words().any(is_activation) => Some(ACTIVATION),
        () if words().any(|word| word.contains("dilated") || word == "os8" || word == "os16") => {
            Some(DILATED)
        }
        () if words().any(|word| matches!(word, "caffe" | "msra")) => Some(CAFFE),
        () => None,
    }
}

fn is_activation(word: &str) -> bool {
    ACTIVATIONS.iter().any(|name| word.contains(name)) || SHORT_ACTIVATIONS.contains(&word)
}

/// Returns what the option `key` of a network or of a training program tells.
fn fact(key: &str, value: &str) -> Option<&'static str> {
    let value = value.to_ascii_lowercase();
    let unset = matches!(value.as_str(), "" | "none" | "null" | "false" | "0");
    let parts: Vec<String> = key.to_ascii_lowercase().split('.').map(str::to_owned).collect();
    // The elements of a list have the key of the list.
    let last = parts.iter().rev().find(|part| part.parse::<usize>().is_err())?.as_str();
    let has = |wanted: &[&str]| parts.iter().any(|part| part.split('_').any(|word| wanted.contains(&word)));
    // The name of a class may come with its module: `torch.nn.modules.activation.SiLU`.
    let class = value.rsplit('.').next().unwrap_or_default();
    match last {
        _ if unset => None,
        "aa_layer" | "antialias" | "anti_alias" | "antialiased" | "blur" => Some(ANTI_ALIASED),
        "global_pool" | "gp" | "pool_type" | "global_pool_type" => {
            (!matches!(class, "avg" | "fast" | "fastavg" | "adaptiveavgpool2d")).then_some(POOLING)
        }
        "output_stride" => (value != "32").then_some(DILATED),
        "replace_stride_with_dilation" => (value == "true").then_some(DILATED),
        "style" => (value == "caffe").then_some(CAFFE),
        // Of transformers.
        "downsample_in_bottleneck" => (value == "true").then_some(CAFFE),
        "downsample_in_first_stage" => (value == "true").then_some(EARLY),
        _ if has(&["act", "activation", "nonlinearity"]) => {
            class.split(|c: char| !c.is_ascii_alphanumeric()).any(is_activation).then_some(ACTIVATION)
        }
        "arch" | "architecture" | "model" | "model_name" | "backbone" | "backbone_name" | "encoder"
        | "encoder_name" | "net" | "network" | "name" | "variant" => network(&value),
        _ => None,
    }
}

/// Returns what a line of a configuration file of OpenMMLab tells.
fn configured(line: &str) -> Option<&'static str> {
    let line: String = line.to_ascii_lowercase().replace('"', "'").split_whitespace().collect();
    let value = |key: &str| Some(line.split_once(key)?.1.split(['\'', ')']).next().unwrap_or_default());
    if value("act_cfg=dict(type='").is_some_and(is_activation) {
        return Some(ACTIVATION);
    }
    if line.contains("style='caffe'") {
        return Some(CAFFE);
    }
    // Dilations are plain where they are all one.
    value("dilations=(")
        .is_some_and(|list| list.split(',').any(|one| !matches!(one, "" | "1")))
        .then_some(DILATED)
}

/// Lists the texts, numbers and flags in `value` under their dotted keys.
fn flatten(key: String, value: &Value, facts: &mut Vec<(String, String)>) {
    let below = |part: &str| if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") };
    match value {
        Value::Object(entries) => {
            entries.iter().for_each(|(part, value)| flatten(below(part), value, facts));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| flatten(below(&index.to_string()), item, facts));
        }
        Value::String(text) => facts.push((key, text.clone())),
        Value::Null => {}
        other => facts.push((key, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names under which timm and others publish plain ResNets and ResNeXts say nothing; those of others do.
    #[test]
    fn names_tell() {
        for plain in [
            "resnext50_32x4d-7cdf4587",
            "resnext50_32x4d_a1h-0146ab0a",
            "resnext101_64x4d_c-0d0e0cc0",
            "ig_resnext101_32x8-c38310e5",
            "semi_weakly_supervised_resnext50_32x4-72679e44",
            "ResNeXt101_32x16d_wsl_pretrained",
            "resnext50d_32x4d-103e99f8",
            "wide_resnet50_2",
            "gluon_resnext50_32x4d-e6a097c1",
            "resnext50_32x4d.fb_swsl_ig1b_ft_in1k",
            "model",
            "family_photos",
        ] {
            assert_eq!(network(plain), None, "{plain}");
        }
        for (other, meaning) in [
            ("resnetaa50-4cbb5b", ANTI_ALIASED),
            ("resnetaa50d.sw_in12k", ANTI_ALIASED),
            ("seresnextaa101d_32x8d", ANTI_ALIASED),
            ("resnetblur50-84f4748f", ANTI_ALIASED),
            ("resnext50_32x4d_lpf3", ANTI_ALIASED),
            ("resnext50_silu", ACTIVATION),
            ("ResNeXt50-Mish", ACTIVATION),
            ("resnext50leakyrelu", ACTIVATION),
            ("resnet50_dilated", DILATED),
            ("resnet50_caffe-f9f9b1e1", CAFFE),
        ] {
            assert_eq!(network(other), Some(meaning), "{other}");
        }
    }

    #[test]
    fn options_tell() {
        for (key, value) in [
            ("arch", "resnext50_32x4d"),
            ("args.model", "resnext50_32x4d"),
            ("args.gp", "avg"),
            ("args.aa_layer", "false"),
            ("args.act_layer", "torch.nn.modules.activation.ReLU"),
            ("hyper_parameters.factor", "silu"),
            ("hidden_act", "relu"),
            ("output_stride", "32"),
            (
                "meta.cfg",
                "model = dict(backbone=dict(style='pytorch', dilations=(1, 1, 1, 1), act_cfg=dict(type='ReLU')))",
            ),
        ] {
            assert_eq!(of_facts("here", &[(key.into(), value.into())]), None, "{key}: {value}");
        }
        for (key, value, meaning) in [
            ("arch", "resnetaa50", ANTI_ALIASED),
            ("model_args.aa_layer", "avg", ANTI_ALIASED),
            ("hyper_parameters.act_layer", "torch.nn.modules.activation.SiLU", ACTIVATION),
            ("model_args.act_layer", "silu", ACTIVATION),
            ("act_cfg.type", "LeakyReLU", ACTIVATION),
            ("global_pool", "catavgmax", POOLING),
            ("args.output_stride", "8", DILATED),
            ("replace_stride_with_dilation.2", "true", DILATED),
            ("meta.cfg", "model = dict(\n    backbone=dict(act_cfg=dict(type=\"SiLU\")))", ACTIVATION),
            ("meta.cfg", "  style='caffe',\n", CAFFE),
            ("downsample_in_bottleneck", "true", CAFFE),
            ("downsample_in_first_stage", "true", EARLY),
        ] {
            let claim = of_facts("here", &[(key.into(), value.into())]).unwrap_or_else(|| panic!("{key}"));
            assert_eq!(claim.meaning, meaning, "{key}: {value}");
            assert!(!claim.to_string().contains('\n'), "{claim}");
        }
    }
}
