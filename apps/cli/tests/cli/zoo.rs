//! `resnext zoo`.

use crate::keys;
use crate::support::Folder;
use serde_json::json;

#[test]
fn zoo_lists_every_variant() {
    let folder = Folder::new();
    let text = folder.resnext(&["zoo"]).results();
    assert_eq!(text.lines().count(), 55, "{text}");
    let row = |start: &str| {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("variant"), "variant top-1 top-5 params GMAC pixels crop interpolation");
    assert_eq!(
        row("timm/resnext101_64x4d"),
        "timm/resnext101_64x4d 83.14 96.37 83.46M 25.56 288→288 1 pillow bicubic"
    );
    assert_eq!(
        row("ppcls/fix_resnext101_32x48d_wsl"),
        "ppcls/fix_resnext101_32x48d_wsl 86.30 98.00 828.4M 312.9 320→320 1 opencv bilinear"
    );

    let timm = folder.resnext(&["zoo", "Timm"]).results();
    assert!(timm.lines().skip(1).all(|line| line.starts_with("timm/")), "{timm}");
    assert_eq!(timm.lines().count(), 28);
    assert_eq!(
        folder.resnext(&["zoo", "keras"]).failure(),
        "resnext: keras: no variant has this in its name; leave it out to list all"
    );
}

#[test]
fn zoo_has_the_keys_that_tools_rely_on() {
    let variants = Folder::new().resnext(&["zoo", "--json"]).json();
    let variants = variants.as_array().unwrap();
    assert_eq!(variants.len(), 54);
    for variant in variants {
        let expected =
            ["arch", "architecture", "macs", "name", "params", "preprocess", "published", "source"];
        assert_eq!(keys(variant), expected);
    }
    let expected = json!({
        "arch": "timm/resnext50d_32x4d",
        "source": "timm",
        "name": "resnext50d_32x4d",
        "published": {
            "top1": 0.7967,
            "top5": 0.94864,
            "params": 25_048_000,
            "macs": 4_531_000_000_u64,
            "flops": null,
            "size": 224,
        },
        "params": 25_048_136,
        "macs": 4_470_120_448_u64,
        "architecture": {
            "depth": 50,
            "blocks": [3, 4, 6, 3],
            "cardinality": 32,
            "base_width": 4,
            "planes": 64,
            "stem": "deep",
            "shortcut": "avg-pool",
            "classes": 1000,
        },
        "preprocess": {
            "size": 224,
            "resize": 256,
            "crop": 0.875,
            "interpolation": "pillow-bicubic",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "test": { "size": 288, "crop": 0.95 },
        },
    });
    assert_eq!(variants[3], expected);
    // PaddleClas counts floating-point operations, and not all parameters; the page has no cost of later weights.
    let of = |arch: &str| &variants.iter().find(|variant| variant["arch"] == arch).unwrap()["published"];
    let ppcls = json!({
        "top1": 0.778, "top5": 0.938, "params": 23_640_000, "macs": null, "flops": 8_020_000_000_u64, "size": 224,
    });
    assert_eq!(of("ppcls/resnext50_32x4d"), &ppcls);
    let later = of("torchvision/resnext50_32x4d.imagenet1k_v2");
    assert_eq!((&later["top1"], &later["params"]), (&json!(0.81198), &json!(null)));
}
