//! Names as the libraries' own models have them.

use crate::import::tests::Names;

/// mmcls.
pub(super) const MMCLS: Names = Names {
    convs: &[
        ("backbone.conv1.weight", "backbone.bn1"),
        ("backbone.layer1.0.conv1.weight", "backbone.layer1.0.bn1"),
        ("backbone.layer1.0.conv2.weight", "backbone.layer1.0.bn2"),
        ("backbone.layer1.0.conv3.weight", "backbone.layer1.0.bn3"),
        ("backbone.layer1.1.conv1.weight", "backbone.layer1.1.bn1"),
        ("backbone.layer1.1.conv2.weight", "backbone.layer1.1.bn2"),
        ("backbone.layer1.1.conv3.weight", "backbone.layer1.1.bn3"),
        ("backbone.layer2.0.conv1.weight", "backbone.layer2.0.bn1"),
        ("backbone.layer2.0.conv2.weight", "backbone.layer2.0.bn2"),
        ("backbone.layer2.0.conv3.weight", "backbone.layer2.0.bn3"),
        ("backbone.layer1.0.downsample.0.weight", "backbone.layer1.0.downsample.1"),
        ("backbone.layer2.0.downsample.0.weight", "backbone.layer2.0.downsample.1"),
    ],
    norm: [".weight", ".bias", ".running_mean", ".running_var"],
    linear: ["head.fc.weight", "head.fc.bias"],
    transposed: false,
};

/// mmcls, `ResNetV1d`: only a shortcut with a stride averages.
pub(super) const MMCLS_D: Names = Names {
    convs: &[
        ("backbone.stem.0.conv.weight", "backbone.stem.0.bn"),
        ("backbone.stem.1.conv.weight", "backbone.stem.1.bn"),
        ("backbone.stem.2.conv.weight", "backbone.stem.2.bn"),
        ("backbone.layer1.0.conv1.weight", "backbone.layer1.0.bn1"),
        ("backbone.layer1.0.conv2.weight", "backbone.layer1.0.bn2"),
        ("backbone.layer1.0.conv3.weight", "backbone.layer1.0.bn3"),
        ("backbone.layer1.1.conv1.weight", "backbone.layer1.1.bn1"),
        ("backbone.layer1.1.conv2.weight", "backbone.layer1.1.bn2"),
        ("backbone.layer1.1.conv3.weight", "backbone.layer1.1.bn3"),
        ("backbone.layer2.0.conv1.weight", "backbone.layer2.0.bn1"),
        ("backbone.layer2.0.conv2.weight", "backbone.layer2.0.bn2"),
        ("backbone.layer2.0.conv3.weight", "backbone.layer2.0.bn3"),
        ("backbone.layer1.0.downsample.0.weight", "backbone.layer1.0.downsample.1"),
        ("backbone.layer2.0.downsample.1.weight", "backbone.layer2.0.downsample.2"),
    ],
    norm: [".weight", ".bias", ".running_mean", ".running_var"],
    linear: ["head.fc.weight", "head.fc.bias"],
    transposed: false,
};

/// PaddleClas, `ResNeXt`.
pub(super) const PPCLS: Names = Names {
    convs: &[
        ("conv._conv.weight", "conv._batch_norm"),
        ("bb_0_0.conv0._conv.weight", "bb_0_0.conv0._batch_norm"),
        ("bb_0_0.conv1._conv.weight", "bb_0_0.conv1._batch_norm"),
        ("bb_0_0.conv2._conv.weight", "bb_0_0.conv2._batch_norm"),
        ("bb_0_1.conv0._conv.weight", "bb_0_1.conv0._batch_norm"),
        ("bb_0_1.conv1._conv.weight", "bb_0_1.conv1._batch_norm"),
        ("bb_0_1.conv2._conv.weight", "bb_0_1.conv2._batch_norm"),
        ("bb_1_0.conv0._conv.weight", "bb_1_0.conv0._batch_norm"),
        ("bb_1_0.conv1._conv.weight", "bb_1_0.conv1._batch_norm"),
        ("bb_1_0.conv2._conv.weight", "bb_1_0.conv2._batch_norm"),
        ("bb_0_0.short._conv.weight", "bb_0_0.short._batch_norm"),
        ("bb_1_0.short._conv.weight", "bb_1_0.short._batch_norm"),
    ],
    norm: [".weight", ".bias", "._mean", "._variance"],
    linear: ["out.weight", "out.bias"],
    transposed: true,
};

/// PaddleClas, `ResNeXt_vd`.
pub(super) const PPCLS_VD: Names = Names {
    convs: &[
        ("conv1_1._conv.weight", "conv1_1._batch_norm"),
        ("conv1_2._conv.weight", "conv1_2._batch_norm"),
        ("conv1_3._conv.weight", "conv1_3._batch_norm"),
        ("bb_0_0.conv0._conv.weight", "bb_0_0.conv0._batch_norm"),
        ("bb_0_0.conv1._conv.weight", "bb_0_0.conv1._batch_norm"),
        ("bb_0_0.conv2._conv.weight", "bb_0_0.conv2._batch_norm"),
        ("bb_0_1.conv0._conv.weight", "bb_0_1.conv0._batch_norm"),
        ("bb_0_1.conv1._conv.weight", "bb_0_1.conv1._batch_norm"),
        ("bb_0_1.conv2._conv.weight", "bb_0_1.conv2._batch_norm"),
        ("bb_1_0.conv0._conv.weight", "bb_1_0.conv0._batch_norm"),
        ("bb_1_0.conv1._conv.weight", "bb_1_0.conv1._batch_norm"),
        ("bb_1_0.conv2._conv.weight", "bb_1_0.conv2._batch_norm"),
        ("bb_0_0.short._conv.weight", "bb_0_0.short._batch_norm"),
        ("bb_1_0.short._conv.weight", "bb_1_0.short._batch_norm"),
    ],
    norm: [".weight", ".bias", "._mean", "._variance"],
    linear: ["out.weight", "out.bias"],
    transposed: true,
};

/// PaddleClas, `ResNeXt101_*_wsl`.
pub(super) const PPCLS_WSL: Names = Names {
    convs: &[
        ("_conv_stem._conv.weight", "_conv_stem._bn"),
        ("_conv1_0._conv0._conv.weight", "_conv1_0._conv0._bn"),
        ("_conv1_0._conv1._conv.weight", "_conv1_0._conv1._bn"),
        ("_conv1_0._conv2._conv.weight", "_conv1_0._conv2._bn"),
        ("_conv1_1._conv0._conv.weight", "_conv1_1._conv0._bn"),
        ("_conv1_1._conv1._conv.weight", "_conv1_1._conv1._bn"),
        ("_conv1_1._conv2._conv.weight", "_conv1_1._conv2._bn"),
        ("_conv2_0._conv0._conv.weight", "_conv2_0._conv0._bn"),
        ("_conv2_0._conv1._conv.weight", "_conv2_0._conv1._bn"),
        ("_conv2_0._conv2._conv.weight", "_conv2_0._conv2._bn"),
        ("_conv1_0._short._conv._conv.weight", "_conv1_0._short._conv._bn"),
        ("_conv2_0._short._conv._conv.weight", "_conv2_0._short._conv._bn"),
    ],
    norm: [".weight", ".bias", "._mean", "._variance"],
    linear: ["_out.weight", "_out.bias"],
    transposed: true,
};

/// A program exported from PaddleClas' `ResNeXt`.
pub(super) const PROGRAM: Names = Names {
    convs: &[
        ("res_conv1_weights", "bn_conv1"),
        ("res2a_branch2a_weights", "bn2a_branch2a"),
        ("res2a_branch2b_weights", "bn2a_branch2b"),
        ("res2a_branch2c_weights", "bn2a_branch2c"),
        ("res2b_branch2a_weights", "bn2b_branch2a"),
        ("res2b_branch2b_weights", "bn2b_branch2b"),
        ("res2b_branch2c_weights", "bn2b_branch2c"),
        ("res3a_branch2a_weights", "bn3a_branch2a"),
        ("res3a_branch2b_weights", "bn3a_branch2b"),
        ("res3a_branch2c_weights", "bn3a_branch2c"),
        ("res2a_branch1_weights", "bn2a_branch1"),
        ("res3a_branch1_weights", "bn3a_branch1"),
    ],
    norm: ["_scale", "_offset", "_mean", "_variance"],
    linear: ["fc_weights", "fc_offset"],
    transposed: true,
};

/// A program exported from PaddleClas' `ResNeXt_vd`.
pub(super) const PROGRAM_VD: Names = Names {
    convs: &[
        ("conv1_1_weights", "bnv1_1"),
        ("conv1_2_weights", "bnv1_2"),
        ("conv1_3_weights", "bnv1_3"),
        ("res2a_branch2a_weights", "bn2a_branch2a"),
        ("res2a_branch2b_weights", "bn2a_branch2b"),
        ("res2a_branch2c_weights", "bn2a_branch2c"),
        ("res2b_branch2a_weights", "bn2b_branch2a"),
        ("res2b_branch2b_weights", "bn2b_branch2b"),
        ("res2b_branch2c_weights", "bn2b_branch2c"),
        ("res3a_branch2a_weights", "bn3a_branch2a"),
        ("res3a_branch2b_weights", "bn3a_branch2b"),
        ("res3a_branch2c_weights", "bn3a_branch2c"),
        ("res2a_branch1_weights", "bn2a_branch1"),
        ("res3a_branch1_weights", "bn3a_branch1"),
    ],
    norm: ["_scale", "_offset", "_mean", "_variance"],
    linear: ["fc_weights", "fc_offset"],
    transposed: true,
};
