//! Writes the artifact.
//!
//! | module | role |
//! |---|---|
//! | `arena_plan` | lifetimes of the values → offsets in the arena |
//! | `steps` | nodes and their integers → records of steps, parameters, packed weights |
//! | `blocks` | the parameters of 16 output channels |

mod arena_plan;
mod blocks;
mod steps;

use crate::network::{Activation, Network, ValueId};
use crate::quantize::Layer;
use resnext::internals::format::{
    ClassRecord, Header, MAGIC, PreprocessingRecord, SECTION_ALIGN, SECTIONS, Section, SectionId, StepRecord,
    TensorRecord, VERSION, checksum,
};
use resnext::preprocess::Preprocessing;
use steps::Writer;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

pub(crate) use arena_plan::{ArenaPlan, plan};

/// The identifier and the label of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassName {
    /// For ImageNet the wnid, such as `n01440764`; may be empty.
    pub id: String,
    /// The label, such as `tench`.
    pub label: String,
}

/// The parts of an artifact, apart from the integers of the layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    /// Shapes and names.
    pub(crate) network: &'a Network,
    /// The quantization of each value.
    pub(crate) activations: &'a [Activation],
    /// Arena offsets.
    pub(crate) plan: &'a ArenaPlan,
    /// The way from a frame to the input.
    pub(crate) preprocessing: &'a Preprocessing,
    /// The class of each logit.
    pub(crate) classes: &'a [ClassName],
}

/// Writes the artifact, with empty [metadata](set_metadata). The same parts give the same bytes.
///
/// `layers` has an entry for each node. They are dropped as they are packed, because they may take most of the memory.
///
/// # Panics
///
/// If the parts do not belong together.
pub(crate) fn emit(parts: &Parts<'_>, layers: Vec<Layer>) -> Vec<u8> {
    let network = parts.network;
    assert_eq!(layers.len(), network.nodes.len(), "a layer for each node");
    let mut writer = Writer::new(network);
    let tensors: Vec<TensorRecord> = network.tensors().map(|value| tensor(parts, value.0)).collect();
    let steps: Vec<StepRecord> =
        layers.into_iter().enumerate().filter_map(|(index, layer)| writer.step(index, layer)).collect();
    let classes: Vec<ClassRecord> = parts
        .classes
        .iter()
        .map(|class| {
            let ((id_offset, id_len), (label_offset, label_len)) =
                (writer.string(&class.id), writer.string(&class.label));
            ClassRecord {
                id_offset: id_offset.into(),
                id_len: id_len.into(),
                label_offset: label_offset.into(),
                label_len: label_len.into(),
            }
        })
        .collect();

    let mut sections: [&[u8]; SECTIONS] = [&[]; SECTIONS];
    sections[SectionId::Tensors as usize] = tensors.as_bytes();
    sections[SectionId::Steps as usize] = steps.as_bytes();
    sections[SectionId::Params as usize] = &writer.params;
    sections[SectionId::Weights as usize] = writer.weights.as_bytes();
    sections[SectionId::Classes as usize] = classes.as_bytes();
    sections[SectionId::Strings as usize] = writer.strings.as_bytes();
    sections[SectionId::Metadata as usize] = NO_METADATA.as_bytes();

    let len = sections
        .iter()
        .fold(size_of::<Header>(), |len, section| len.next_multiple_of(SECTION_ALIGN) + section.len());
    let mut artifact = Vec::with_capacity(len);
    artifact.resize(size_of::<Header>(), 0);
    let mut header = Header::new_zeroed();
    for (section, bytes) in header.sections.iter_mut().zip(sections) {
        artifact.resize(artifact.len().next_multiple_of(SECTION_ALIGN), 0);
        *section = Section { offset: (artifact.len() as u64).into(), len: (bytes.len() as u64).into() };
        artifact.extend_from_slice(bytes);
    }
    header.magic = MAGIC;
    header.version = VERSION.into();
    header.header_len = (size_of::<Header>() as u32).into();
    header.arena_len = (parts.plan.arena_len as u64).into();
    header.preprocessing = PreprocessingRecord::from(parts.preprocessing);
    header.macs = network.macs().into();
    header.input = (ValueId::IMAGE.0 as u16).into();
    seal(&mut artifact, header);
    artifact
}

/// The metadata that [`emit`] writes and [`set_metadata`] replaces.
const NO_METADATA: &str = "{}";

/// Replaces the metadata of an artifact that [`emit`] has made.
///
/// # Panics
///
/// If `artifact` was not made by [`emit`].
pub(crate) fn set_metadata(artifact: &mut Vec<u8>, metadata: &str) {
    let (mut header, _) = Header::read_from_prefix(artifact).expect("emit begins with a header");
    let section = &mut header.sections[SectionId::Metadata as usize];
    // It is the last section, so nothing has to move.
    artifact.truncate(section.offset.get() as usize);
    artifact.extend_from_slice(metadata.as_bytes());
    section.len = (metadata.len() as u64).into();
    seal(artifact, header);
}

/// Writes `header` with the length and the checksum of the file.
fn seal(artifact: &mut [u8], mut header: Header) {
    header.file_len = (artifact.len() as u64).into();
    artifact[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    header.checksum = checksum(artifact).into();
    artifact[..size_of::<Header>()].copy_from_slice(header.as_bytes());
}

fn tensor(parts: &Parts<'_>, value: usize) -> TensorRecord {
    let (shape, allocation) = (parts.network.stored(ValueId(value)), parts.plan.allocations[value]);
    let Activation { scale, zero_point } = parts.activations[value];
    let fill = if value == ValueId::IMAGE.0 {
        // The pixel nearest to a normalised zero. The fourth entry is for a channel that an image does not have.
        let [r, g, b] = parts.preprocessing.mean.map(|mean| ((mean * 255.0).round() - 128.0) as i8);
        [r, g, b, zero_point]
    } else if allocation.pooled {
        [i8::MIN; 4]
    } else {
        [zero_point; 4]
    };
    TensorRecord {
        arena_offset: (allocation.offset as u64).into(),
        height: (shape.height as u32).into(),
        width: (shape.width as u32).into(),
        channels: (shape.channels as u32).into(),
        scale: (scale as f32).into(),
        halo: allocation.halo as u8,
        zero_point,
        fill,
        reserved: [0; 2],
    }
}
