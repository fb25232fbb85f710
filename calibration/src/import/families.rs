//! Networks that look like ResNeXts but are not, recognised by what they alone have.

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
}

impl Family {
    /// Returns the family that alone has a tensor of this name.
    pub(crate) fn of_tensor(name: &str) -> Option<Self> {
        // timm, the older SE networks of timm, mmcls, and two from PaddleClas.
        const CHANNEL: [&str; 6] =
            [".se.", ".se_module.", ".se_layer.", ".squeeze.", ".attn.", "_sqz_weights"];
        // timm and mmcls, SKNet in timm, PaddleClas.
        const SPLIT: [&str; 4] = [".conv2.fc1.", ".conv2.paths.", ".conv2.attn.", "_splat."];
        let has = |markers: &[&str]| markers.iter().any(|marker| name.contains(marker));
        match () {
            () if has(&SPLIT) => Some(Self::SplitAttention),
            () if has(&CHANNEL) => Some(Self::ChannelAttention),
            () => None,
        }
    }

    /// Returns the family that alone has an ONNX node of this operator.
    pub(crate) fn of_operator(operator: &str) -> Option<Self> {
        match operator {
            "Sigmoid" | "HardSigmoid" | "Mul" => Some(Self::ChannelAttention),
            "ReduceSum" | "Split" => Some(Self::SplitAttention),
            _ => None,
        }
    }

    /// Makes the error for such a network, which was recognised at `location`.
    pub(crate) fn refusal(self, location: Location) -> ImportErrorKind {
        let problem = match self {
            Self::ChannelAttention => "this is an SE-ResNeXt or another network with channel attention",
            Self::SplitAttention => "this is a ResNeSt or another network with split attention",
            Self::BasicBlocks => "this is a ResNet of basic blocks, such as ResNet-18 or ResNet-34",
        };
        ImportErrorKind::layer(
            location,
            problem,
            "give a ResNeXt, or a ResNet of bottlenecks, without attention",
        )
    }
}
