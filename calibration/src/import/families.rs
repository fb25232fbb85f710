//! Networks that are no ResNeXts, recognised by what they alone have.

use super::error::{ImportErrorKind, Location};

/// A family of networks that is refused by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Channels are weighted by their content: SE-ResNeXt, ECA, GC and the like.
    ChannelAttention,
    /// Several branches take the place of the 3×3 convolution and are weighted by their content: ResNeSt and SKNet.
    SplitAttention,
    /// Blocks of two 3×3 convolutions: ResNet-18 and ResNet-34.
    BasicBlocks,
    /// Another network, such as `an EfficientNet or a MobileNet`.
    Other(&'static str),
    /// A network in a form that hides its weights: what it is, and how to get at them.
    Form(&'static str, &'static str),
}

/// Networks that are recognised by their tensors: what they are, and parts of names of which each must occur. More special ones come
/// first. The names are those of torchvision, timm, OpenMMLab, transformers and the authors.
const OTHERS: &[(&str, &[&str])] = &[
    ("an object detector", &["rpn."]),
    ("an object detector", &["rpn_head."]),
    ("an object detector", &["bbox_head."]),
    ("an object detector", &["bbox_embed."]),
    ("a segmentation network", &["decode_head."]),
    ("a segmentation network", &["aux_classifier."]),
    ("a segmentation network", &["segmentation_head."]),
    ("a CLIP model", &["visual.", "token_embedding."]),
    ("a CLIP ResNet, which has attention for pooling", &["attnpool."]),
    ("a Swin or another transformer", &["relative_position_bias_table"]),
    ("a vision transformer", &[".attn.qkv."]),
    ("a vision transformer", &["encoder.layers.encoder_layer_0."]),
    ("a vision transformer", &["attention.attention.query."]),
    ("a vision transformer", &["patch_embed."]),
    ("a ConvNeXt", &[".conv_dw.", ".mlp.fc1."]),
    ("a ConvNeXt", &[".dwconv."]),
    ("a ConvNeXt", &[".layer_scale"]),
    ("a RegNet", &["s1.b1.conv1."]),
    ("a RegNet", &["trunk_output.block1."]),
    ("a RegNet", &["regnet.embedder."]),
    ("a backbone of Detectron2, which has no classifier", &["stem.conv1.weight", "res2.0.conv1.weight"]),
    ("a SqueezeNet", &["features.3.squeeze."]),
    ("an EfficientNet or a MobileNet", &["conv_stem.weight", "blocks."]),
    ("an EfficientNet or a MobileNet", &["_depthwise_conv."]),
    ("an EfficientNet or a MobileNet", &["features.0.0.weight"]),
    ("a ResNetV2, which normalises before its convolutions", &["blocks.0.norm1.", "stem.conv"]),
    ("a ResNetV2, which normalises before its convolutions", &["block1.unit01."]),
    ("a CSPNet, such as CSPResNeXt", &["stages.0.conv_exp."]),
    ("a CSPNet, such as CSPResNeXt", &["stages.0.conv_transition"]),
    ("a DarkNet or CSPNet", &["stages.0.conv_down."]),
    ("a network without norms (NF-ResNet)", &["stages.0.0.conv1.", "stem.conv.gain"]),
    ("a DPN", &["features.conv1_1.conv.weight"]),
    ("a network of timm's ByobNet, such as resnext26ts", &["stages.0.0.conv"]),
    ("an HRNet", &["transition1."]),
    ("a Res2Net", &[".convs.0.weight"]),
    ("a DenseNet", &["denseblock1."]),
    ("an Inception", &["Mixed_5b."]),
    ("a GoogLeNet", &["inception3a."]),
    ("a ShuffleNet", &["stage2.0.branch"]),
    ("an MNASNet", &["layers.8.0.layers."]),
    ("an Xception", &["block1.rep."]),
    ("a VGG or an AlexNet", &["features.0.weight", "classifier.6.weight"]),
    ("a YOLO", &["model.0.conv.weight", "model.1.conv.weight"]),
    ("an IBN-Net, which has instance norms", &[".IN."]),
    ("a network with deformable convolutions", &[".conv_offset"]),
    ("an anti-aliased network, whose strides are blurs", &[".filt"]),
];

const PREPARED: &str = "a network prepared for quantization, whose weights are not those of the fp32 network";
const FP32: &str = "give the fp32 checkpoint, or export the quantized network as ONNX in the QDQ format";
const ADAPTERS: &str = "a network with adapters (LoRA) beside its weights";
const MERGE: &str = "call merge_and_unload() and save the state dict of the network again";

/// Forms that are recognised in the same way: what it is, how to get at the weights, and the parts of names.
const FORMS: &[(&str, &str, &[&str])] = &[
    (PREPARED, FP32, &["fake_quant"]),
    (PREPARED, FP32, &["activation_post_process"]),
    ("a quantized network with packed weights", FP32, &["_packed_params"]),
    ("a quantized network", FP32, &[".zero_point", ".scale"]),
    ("a quantized network", FP32, &[".weight_scale"]),
    ("a network quantized by bitsandbytes", FP32, &[".weight.absmax"]),
    ("a network quantized by bitsandbytes", FP32, &[".SCB"]),
    (
        "a network of pytorchcv, whose strides its tensors do not tell",
        "load it with pytorchcv and export it as ONNX",
        &["init_block.conv.conv.weight", "stage1.unit1.body.conv1."],
    ),
    (ADAPTERS, MERGE, &[".lora_"]),
    (ADAPTERS, MERGE, &[".modules_to_save."]),
];

impl Family {
    /// Returns the family that alone has tensors of these `names`, and the tensor that tells.
    pub(crate) fn of_tensors<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Option<(Self, &'n str)> {
        // timm, the older SE networks of timm, mmcls, two from PaddleClas, CBAM and GCNet.
        const CHANNEL: [&str; 9] = [
            ".se.",
            ".se_module.",
            ".se_layer.",
            ".squeeze.",
            ".attn.",
            "_sqz_weights",
            ".channel_attention.",
            ".context_block.",
            ".layer.2.attention.",
        ];
        // timm and mmcls, SKNet in timm, PaddleClas.
        const SPLIT: [&str; 4] = [".conv2.fc1.", ".paths.", ".conv2.attn.", "_splat."];
        let first = |marker: &str| names.clone().find(|name| name.contains(marker));
        let has = |markers: &[&str]| {
            let found = first(markers.first()?)?;
            markers.iter().all(|marker| first(marker).is_some()).then_some(found)
        };
        let form =
            FORMS.iter().find_map(|&(what, remedy, marks)| Some((Self::Form(what, remedy), has(marks)?)));
        let other = || OTHERS.iter().find_map(|&(what, marks)| Some((Self::Other(what), has(marks)?)));
        // Names such as `.attn.` tell something in the blocks of a ResNet alone.
        let in_block = |name: &&str| {
            ["layer", "bb_", "_conv", "conv", "res"].iter().any(|block| name.contains(block))
                && !name.contains("blocks.")
        };
        let among = |markers: &[&str]| {
            names.clone().filter(in_block).find(|name| markers.iter().any(|marker| name.contains(marker)))
        };
        form.or_else(other)
            .or_else(|| Some((Self::SplitAttention, among(&SPLIT)?)))
            .or_else(|| Some((Self::ChannelAttention, among(&CHANNEL)?)))
    }

    /// Makes the error for such a network, which was recognised at `location`.
    pub(crate) fn refusal(self, location: Location) -> ImportErrorKind {
        let problem = match self {
            Self::ChannelAttention => {
                "this is an SE-ResNeXt or another network with channel attention".to_owned()
            }
            Self::SplitAttention => "this is a ResNeSt or another network with split attention".to_owned(),
            Self::BasicBlocks => {
                "this is a ResNet of basic blocks, such as ResNet-18 or ResNet-34".to_owned()
            }
            Self::Other(what) | Self::Form(what, _) => format!("this is {what}"),
        };
        let remedy = match self {
            Self::Form(_, remedy) => remedy,
            _ => "give a ResNeXt, or a ResNet of bottlenecks, without attention",
        };
        ImportErrorKind::layer(location, problem, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_forms() {
        let line = |names: &[&str]| {
            let (form, name) = Family::of_tensors(names.iter().copied()).expect("a form");
            form.refusal(Location::Tensor(name.to_owned())).to_string()
        };
        for (names, what, remedy) in [
            (&["conv1.weight", "conv1.activation_post_process.min_val"][..], PREPARED, FP32),
            (&["fc.scale", "fc.zero_point"], "a quantized network", FP32),
            (&["fc.weight", "fc.weight.absmax"], "bitsandbytes", FP32),
            (&["base_model.model.fc.lora_A.default.weight"], ADAPTERS, MERGE),
            (
                &["model.fc.original_module.weight", "model.fc.modules_to_save.default.weight"],
                ADAPTERS,
                MERGE,
            ),
            (
                &["features.init_block.conv.conv.weight", "features.stage1.unit1.body.conv1.conv.weight"],
                "pytorchcv",
                "export it as ONNX",
            ),
        ] {
            let line = line(names);
            assert!(line.contains(what) && line.contains(remedy), "{line}");
        }
    }

    #[test]
    fn names_tell_families() {
        let of = |names: &[&str]| Family::of_tensors(names.iter().copied()).map(|(family, _)| family);
        let vit = ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"];
        assert_eq!(of(&vit), Some(Family::Other("a vision transformer")));
        let efficientnet = ["conv_stem.weight", "blocks.0.0.se.conv_reduce.weight"];
        assert_eq!(of(&efficientnet), Some(Family::Other("an EfficientNet or a MobileNet")));
        let regnet = ["stem.conv.weight", "s1.b1.conv1.conv.weight", "s1.b1.se.fc1.weight"];
        assert_eq!(of(&regnet), Some(Family::Other("a RegNet")));
        assert_eq!(of(&["layer1.0.conv1.weight", "layer1.0.se.fc1.weight"]), Some(Family::ChannelAttention));
        assert_eq!(of(&["layer1.0.convs.0.weight"]), Some(Family::Other("a Res2Net")));
        assert_eq!(of(&["layer1.0.conv1.weight", "fc.weight"]), None);
        // A ResNet whose children have numbers.
        assert_eq!(of(&["features.0.weight", "features.4.0.conv1.weight", "classifier.weight"]), None);
        assert_eq!(
            of(&["features.0.weight", "classifier.6.weight"]),
            Some(Family::Other("a VGG or an AlexNet"))
        );
        assert_eq!(of(&["_conv_stem._conv.weight", "_conv1_0._conv0._conv.weight"]), None);
    }
}
