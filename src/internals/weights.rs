//! The layout of packed convolution weights.
//!
//! One layout serves every instruction set. Its unit is 64 bytes: 16 output channels (lanes) × 4 input
//! channels, lane-major, which is four SDOT operands on Arm, two YMM or one ZMM on x86. A *block* is the
//! units of 16 output channels, in the order the kernel walks the window:
//!
//! ```text
//! block → segment → k-group → lane (16) → input channel in the group (4)
//! ```
//!
//! A *segment* is a run of consecutive bytes of the NHWC input: a whole kernel row of an ungrouped
//! convolution, or one tap of a grouped one. It is padded to a multiple of 4 bytes with zero weights. [`WeightLayout`] says
//! which output channels and which input channels the lanes of a block stand for. The units of a
//! [fused shortcut](ConvShape::shortcut_channels) follow those of the window.
//!
//! SMMLA multiplies 8 input channels of 2 output channels at a time. [`Packing::K8`] interleaves units two by
//! two for it: 16 lanes × 8 input channels in 128 bytes. It is a permutation that [`repack`](crate::pack::repack) makes
//! and unmakes in place.

use crate::format::{Header, K_GROUP, LANES};
use zerocopy::FromBytes;

/// Bytes of 16 lanes × 4 input channels.
pub const UNIT: usize = LANES * K_GROUP;

/// Assignment of channels to lanes. The code is [`StepRecord::layout`](crate::format::StepRecord::layout).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum WeightLayout {
    /// Ungrouped: 16 consecutive output channels; segments are kernel rows of `kernel × in_channels` bytes.
    Dense = 0,
    /// Grouped, any width: 16 consecutive output channels of one group (the last block of a group may be
    /// partial); segments are taps of one group's channels.
    PerGroup = 1,
    /// 8 channels a group: lanes 0–7 are one group, lanes 8–15 the next.
    Paired8 = 2,
    /// 4 channels a group: lane `4 j + g` is output `j` of group `g` of four, so that 16 consecutive input bytes, used as
    /// they are, meet the group of each lane.
    Quad4 = 3,
}

/// Order of the bytes of the weights within a block. The code is [`Header::packing`](crate::format::Header::packing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
#[non_exhaustive]
pub enum Packing {
    /// 16 lanes × 4 input channels, for every instruction set but SMMLA.
    K4 = 0,
    /// 16 lanes × 8 input channels where [`ConvShape::interleaves`] says so, for SMMLA.
    K8 = 1,
}

impl WeightLayout {
    /// Returns the name used in reports: `dense`, `per-group`, `paired8` or `quad4`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::PerGroup => "per-group",
            Self::Paired8 => "paired8",
            Self::Quad4 => "quad4",
        }
    }
}

impl Packing {
    /// Returns the name used in reports: `k4` or `k8`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::K4 => "k4",
            Self::K8 => "k8",
        }
    }

    /// Returns the packing with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::K4, Self::K8].into_iter().find(|&packing| packing as u8 == code)
    }

    /// Returns the number of consecutive bytes of one lane.
    const fn lane_len(self) -> usize {
        match self {
            Self::K4 => K_GROUP,
            Self::K8 => 2 * K_GROUP,
        }
    }

    /// Returns where the weights of a 4-channel group begin in a block: byte `lane × lane_len` from there on is the first of a
    /// lane.
    const fn group_offset(self, k_group: usize) -> usize {
        match self {
            Self::K4 => k_group * UNIT,
            Self::K8 => k_group / 2 * (2 * UNIT) + k_group % 2 * K_GROUP,
        }
    }

    /// Returns the sum of the weights of each lane of a block.
    pub(crate) fn lane_sums(self, weights: &[i8]) -> [i32; LANES] {
        match self {
            Self::K4 => lane_sums::<UNIT>(weights),
            Self::K8 => lane_sums::<{ 2 * UNIT }>(weights),
        }
    }

    /// Returns the packing that the header of `artifact` states, or `None` if it has no header. Nothing else is read.
    pub fn of(artifact: &[u8]) -> Option<Self> {
        Header::ref_from_prefix(artifact).ok().and_then(|(header, _)| Self::from_code(header.packing))
    }
}

/// Sums what each of 16 lanes has in each `LEN` bytes.
fn lane_sums<const LEN: usize>(weights: &[i8]) -> [i32; LANES] {
    /// So many weights fit into the sums of 16 bits that compilers turn into vectors.
    const FIT: usize = 256;
    let mut sums = [0; LANES];
    for units in weights.as_chunks::<LEN>().0.chunks(FIT) {
        let mut columns = [0i16; LEN];
        for unit in units {
            columns.iter_mut().zip(unit).for_each(|(sum, &weight)| *sum += i16::from(weight));
        }
        for (sum, columns) in sums.iter_mut().zip(columns.chunks_exact(LEN / LANES)) {
            *sum += columns.iter().map(|&column| i32::from(column)).sum::<i32>();
        }
    }
    sums
}

/// Interleaves every two units of 16 lanes × 4 into 16 lanes × 8.
pub(crate) fn interleave(weights: &mut [u8]) {
    for pair in weights.as_chunks_mut::<{ 2 * UNIT }>().0 {
        let units = *pair;
        for (lane, bytes) in pair.chunks_exact_mut(2 * K_GROUP).enumerate() {
            bytes[..K_GROUP].copy_from_slice(&units[lane * K_GROUP..][..K_GROUP]);
            bytes[K_GROUP..].copy_from_slice(&units[UNIT + lane * K_GROUP..][..K_GROUP]);
        }
    }
}

/// Separates every 16 lanes × 8 into two units of 16 lanes × 4.
pub(crate) fn separate(weights: &mut [u8]) {
    for pair in weights.as_chunks_mut::<{ 2 * UNIT }>().0 {
        let lanes = *pair;
        for (lane, bytes) in lanes.chunks_exact(2 * K_GROUP).enumerate() {
            pair[lane * K_GROUP..][..K_GROUP].copy_from_slice(&bytes[..K_GROUP]);
            pair[UNIT + lane * K_GROUP..][..K_GROUP].copy_from_slice(&bytes[K_GROUP..]);
        }
    }
}

/// Shape of a convolution's weights; everything about their packing follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConvShape {
    /// Input channels, a multiple of `groups`.
    pub in_channels: usize,
    /// Output channels, a multiple of `groups`.
    pub out_channels: usize,
    /// Window height and width.
    pub kernel: usize,
    /// Cardinality, at least 1.
    pub groups: usize,
    /// Input channels of a fused shortcut, the 1×1 projection of a block whose products go into the same accumulators; 0
    /// without one. A convolution with a fused shortcut is 1×1 and has one group.
    pub shortcut_channels: usize,
}

impl ConvShape {
    /// Returns the number of input channels of one group.
    pub fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Returns the number of output channels of one group.
    pub fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Returns the layout for this shape.
    pub fn layout(&self) -> WeightLayout {
        let whole_blocks = self.out_channels.is_multiple_of(LANES);
        match (self.groups, self.group_in(), self.group_out()) {
            (1, ..) => WeightLayout::Dense,
            (_, 4, 4) if whole_blocks => WeightLayout::Quad4,
            (_, 8, 8) if whole_blocks => WeightLayout::Paired8,
            _ => WeightLayout::PerGroup,
        }
    }

    /// Returns the number of blocks.
    pub fn blocks(&self) -> usize {
        match self.layout() {
            WeightLayout::PerGroup => self.groups * self.blocks_per_group(),
            _ => self.out_channels.div_ceil(LANES),
        }
    }

    /// Returns the number of blocks of one group of [`WeightLayout::PerGroup`].
    pub(crate) fn blocks_per_group(&self) -> usize {
        self.group_out().div_ceil(LANES)
    }

    /// Returns the number of segments of one block.
    pub fn segments(&self) -> usize {
        match self.layout() {
            WeightLayout::Dense => self.kernel,
            _ => self.kernel * self.kernel,
        }
    }

    /// Returns the number of input bytes of one segment.
    pub fn segment_len(&self) -> usize {
        match self.layout() {
            WeightLayout::Dense => self.kernel * self.in_channels,
            _ => self.group_in(),
        }
    }

    /// Returns the number of 4-channel groups of one segment.
    pub fn k_groups(&self) -> usize {
        self.segment_len().div_ceil(K_GROUP)
    }

    /// Returns the number of 4-channel groups of the fused shortcut.
    pub fn shortcut_k_groups(&self) -> usize {
        self.shortcut_channels.div_ceil(K_GROUP)
    }

    /// Returns whether [`Packing::K8`] interleaves these weights. It does where lanes share their input, 16 channels at a
    /// time.
    pub fn interleaves(&self) -> bool {
        matches!(self.layout(), WeightLayout::Dense | WeightLayout::PerGroup)
            && self.k_groups().is_multiple_of(4)
            && self.shortcut_k_groups().is_multiple_of(4)
    }

    /// Returns the number of bytes of one block of packed weights.
    pub fn block_len(&self) -> usize {
        (self.segments() * self.k_groups() + self.shortcut_k_groups()) * UNIT
    }

    /// Returns the number of bytes of the packed weights.
    pub fn packed_len(&self) -> usize {
        self.blocks() * self.block_len()
    }

    /// Returns the output channel of `lane` of `block`, or `None` for a padding lane.
    pub fn channel(&self, block: usize, lane: usize) -> Option<usize> {
        match self.layout() {
            WeightLayout::Dense | WeightLayout::Paired8 => {
                let channel = block * LANES + lane;
                (channel < self.out_channels).then_some(channel)
            }
            WeightLayout::PerGroup => {
                let (group, part) = (block / self.blocks_per_group(), block % self.blocks_per_group());
                let in_group = part * LANES + lane;
                (in_group < self.group_out()).then(|| group * self.group_out() + in_group)
            }
            WeightLayout::Quad4 => Some(block * LANES + lane % 4 * 4 + lane / 4),
        }
    }

    /// Returns whether everything in the packed weights of a block that stands for no weight is zero: lanes without an output
    /// channel, and the rest of the last k-group of each segment.
    pub(crate) fn padding_is_zero(&self, packing: Packing, block: usize, weights: &[i8]) -> bool {
        let lane_len = packing.lane_len();
        let is_zero = |bytes: &[i8]| bytes.iter().all(|&weight| weight == 0);
        let unused = |lane: &usize| self.channel(block, *lane).is_none();
        let lanes_are_zero = (0..LANES).filter(unused).all(|lane| {
            weights.chunks_exact(LANES * lane_len).all(|unit| is_zero(&unit[lane * lane_len..][..lane_len]))
        });
        let window = core::iter::repeat_n((self.segment_len(), self.k_groups()), self.segments());
        let shortcut = core::iter::once((self.shortcut_channels, self.shortcut_k_groups()));
        let mut k_groups = 0;
        lanes_are_zero
            && window.chain(shortcut).all(|(len, count)| {
                k_groups += count;
                let rest = len % K_GROUP;
                rest == 0
                    || (0..LANES).all(|lane| {
                        let at = packing.group_offset(k_groups - 1) + lane * lane_len;
                        is_zero(&weights[at + rest..at + K_GROUP])
                    })
            })
    }

    /// Packs `weights`, `[out][kernel][kernel][in / groups]`, and those of the fused shortcut,
    /// `[out][shortcut_channels]`, into `packed` of [`Self::packed_len`] bytes.
    ///
    /// # Panics
    ///
    /// If a slice has another length.
    pub fn pack(&self, weights: &[i8], shortcut: &[i8], packed: &mut [i8]) {
        assert_eq!(weights.len(), self.out_channels * self.kernel * self.kernel * self.group_in());
        assert_eq!(shortcut.len(), self.out_channels * self.shortcut_channels);
        assert_eq!(packed.len(), self.packed_len());
        let window = self.segments() * self.k_groups() * UNIT;
        for (block, packed) in packed.chunks_exact_mut(self.block_len()).enumerate() {
            let (packed, shortcut_packed) = packed.split_at_mut(window);
            for (segment, packed) in packed.chunks_exact_mut(self.k_groups() * UNIT).enumerate() {
                self.pack_segment(weights, segment * self.segment_len(), self.segment_len(), block, packed);
            }
            self.pack_segment(shortcut, 0, self.shortcut_channels, block, shortcut_packed);
        }
    }

    /// Packs `len` weights of each channel of `block`, from the weight at `start` on.
    fn pack_segment(&self, weights: &[i8], start: usize, len: usize, block: usize, packed: &mut [i8]) {
        let per_channel = weights.len() / self.out_channels;
        for (k_group, packed) in packed.chunks_exact_mut(UNIT).enumerate() {
            for (lane, packed) in packed.chunks_exact_mut(K_GROUP).enumerate() {
                for (k, packed) in packed.iter_mut().enumerate() {
                    let in_segment = k_group * K_GROUP + k;
                    *packed = match self.channel(block, lane) {
                        Some(channel) if in_segment < len => {
                            weights[channel * per_channel + start + in_segment]
                        }
                        _ => 0,
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn shape(in_channels: usize, out_channels: usize, kernel: usize, groups: usize) -> ConvShape {
        ConvShape { in_channels, out_channels, kernel, groups, shortcut_channels: 0 }
    }

    #[test]
    fn layouts_follow_the_group_width() {
        assert_eq!(shape(3, 64, 7, 1).layout(), WeightLayout::Dense);
        assert_eq!(shape(128, 128, 3, 32).layout(), WeightLayout::Quad4);
        assert_eq!(shape(256, 256, 3, 32).layout(), WeightLayout::Paired8);
        assert_eq!(shape(1536, 1536, 3, 32).layout(), WeightLayout::PerGroup);
        assert_eq!(shape(12, 12, 3, 3).layout(), WeightLayout::PerGroup, "12 channels are not whole blocks");
    }

    #[test]
    fn every_channel_has_exactly_one_lane() {
        for s in [
            shape(3, 64, 7, 1),
            shape(64, 10, 1, 1),
            shape(32, 32, 3, 8),
            shape(64, 64, 3, 8),
            shape(96, 60, 3, 3),
        ] {
            let mut seen = vec![0; s.out_channels];
            for block in 0..s.blocks() {
                (0..LANES).filter_map(|lane| s.channel(block, lane)).for_each(|c| seen[c] += 1);
            }
            assert!(seen.iter().all(|&n| n == 1), "{s:?}: {seen:?}");
        }
    }

    #[test]
    fn interleaving_gathers_eight_channels_of_a_lane_and_is_undone() {
        let mut pair: [u8; 2 * UNIT] = core::array::from_fn(|i| i as u8);
        interleave(&mut pair);
        assert_eq!(pair[..16], [0, 1, 2, 3, 64, 65, 66, 67, 4, 5, 6, 7, 68, 69, 70, 71]);
        separate(&mut pair);
        assert_eq!(pair, core::array::from_fn(|i| i as u8));
    }

    #[test]
    fn stem_rows_are_padded_to_whole_groups() {
        let s = shape(3, 16, 7, 1);
        assert_eq!((s.segments(), s.segment_len(), s.k_groups()), (7, 21, 6));
        let weights = vec![1; 16 * 147];
        let mut packed = vec![9; s.packed_len()];
        s.pack(&weights, &[], &mut packed);
        assert_eq!(packed.iter().map(|&w| i32::from(w)).sum::<i32>(), 16 * 147, "padding is zero");
    }

    #[test]
    fn a_joined_shortcut_follows_the_window() {
        let s = ConvShape { shortcut_channels: 5, ..shape(4, 16, 1, 1) };
        let (weights, shortcut): (Vec<i8>, Vec<i8>) = ((0..64).collect(), (0..80).collect());
        let mut packed = vec![9; s.packed_len()];
        s.pack(&weights, &shortcut, &mut packed);
        assert_eq!(packed.len(), 3 * UNIT);
        assert_eq!(packed[..UNIT], weights);
        // Lane 2: its first four channels, then the fifth and padding.
        assert_eq!(packed[UNIT + 8..][..4], [10, 11, 12, 13]);
        assert_eq!(packed[2 * UNIT + 8..][..4], [14, 0, 0, 0]);
        assert!(!s.interleaves() && ConvShape { shortcut_channels: 32, ..shape(16, 16, 1, 1) }.interleaves());
    }
}
