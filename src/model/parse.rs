//! Finds the sections of an artifact and the records in them.

use super::{Class, invalid};
use crate::error::LoadError;
use crate::format::{
    CHECKSUM_FROM, ClassRecord, Header, MAGIC, SECTION_ALIGN, SectionId, StepRecord, TensorRecord, VERSION,
};
use crate::preprocess::{CropRounding, Interpolation, Preprocessing, SideRounding};
use crate::program::Tensor;
use crate::weights::Packing;
use zerocopy::FromBytes;

/// Largest resize target in pixels.
const MAX_SHORT_SIDE: u32 = 4096;

/// The sections of an artifact, which may hold anything until they have been validated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Artifact<'a> {
    pub(super) header: &'a Header,
    pub(super) tensors: &'a [TensorRecord],
    pub(super) steps: &'a [StepRecord],
    pub(super) params: &'a [u8],
    pub(super) weights: &'a [i8],
    pub(super) classes: &'a [ClassRecord],
    pub(super) strings: &'a str,
    pub(super) metadata: &'a str,
    pub(super) preprocessing: Preprocessing,
    pub(super) packing: Packing,
    pub(super) len: usize,
}

impl<'a> Artifact<'a> {
    /// Finds the sections. Apart from the header, what they hold has not been looked at yet.
    pub(crate) fn parse(artifact: &'a [u8]) -> Result<Self, LoadError> {
        if artifact.get(..MAGIC.len()) != Some(&MAGIC[..]) {
            return Err(LoadError::NotAnArtifact);
        }
        let truncated = |expected: usize| LoadError::WrongLength {
            expected: expected as u64,
            found: artifact.len() as u64,
        };
        if artifact.len() < CHECKSUM_FROM {
            return Err(truncated(size_of::<Header>()));
        }
        let version = u32::from_le_bytes([artifact[8], artifact[9], artifact[10], artifact[11]]);
        if version > VERSION {
            return Err(LoadError::NewerVersion { found: version });
        }
        if version < VERSION {
            return Err(LoadError::OlderVersion { found: version });
        }
        let (header, _) = Header::ref_from_prefix(artifact).map_err(|_| truncated(size_of::<Header>()))?;
        if header.header_len.get() as usize != size_of::<Header>() {
            return Err(invalid("header length", 0));
        }
        if header.file_len.get() != artifact.len() as u64 {
            return Err(LoadError::WrongLength {
                expected: header.file_len.get(),
                found: artifact.len() as u64,
            });
        }
        let section = |id: SectionId| -> Result<&'a [u8], LoadError> {
            let section = header.sections[id as usize];
            let (offset, len) = (section.offset.get(), section.len.get());
            let end = offset.checked_add(len).ok_or(invalid("section length", id as usize))?;
            let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
            range
                .filter(|(start, _)| start.is_multiple_of(SECTION_ALIGN))
                .and_then(|(start, end)| artifact.get(start..end))
                .ok_or(invalid("section outside the file or misaligned", id as usize))
        };
        for (id, section) in header.sections.iter().enumerate() {
            let others = header.sections[..id].iter().map(|other| (other.offset.get(), other.len.get()));
            let mut apart = others.chain([(0, size_of::<Header>() as u64)]).map(|(offset, len)| {
                offset.saturating_add(len) <= section.offset.get()
                    || section.offset.get().saturating_add(section.len.get()) <= offset
            });
            if section.len.get() != 0 && !apart.all(|apart| apart) {
                return Err(invalid("sections overlap", id));
            }
        }
        let text =
            |id| core::str::from_utf8(section(id)?).map_err(|_| invalid("text is not UTF-8", id as usize));
        let whole = |id: SectionId| invalid("section is not whole records", id as usize);
        let (tensors, steps) = (SectionId::Tensors, SectionId::Steps);
        Ok(Self {
            header,
            tensors: <[TensorRecord]>::ref_from_bytes(section(tensors)?).map_err(|_| whole(tensors))?,
            steps: <[StepRecord]>::ref_from_bytes(section(steps)?).map_err(|_| whole(steps))?,
            params: section(SectionId::Params)?,
            weights: <[i8]>::ref_from_bytes(section(SectionId::Weights)?)
                .map_err(|_| whole(SectionId::Weights))?,
            classes: <[ClassRecord]>::ref_from_bytes(section(SectionId::Classes)?)
                .map_err(|_| whole(SectionId::Classes))?,
            strings: text(SectionId::Strings)?,
            metadata: text(SectionId::Metadata)?,
            preprocessing: preprocessing(header)?,
            packing: Packing::from_code(header.packing).ok_or(invalid("unknown packing", 0))?,
            len: artifact.len(),
        })
    }

    /// Returns the class of logit `index`, or `None` if there is none or its names lie outside the strings.
    pub(super) fn class(&self, index: usize) -> Option<Class<'a>> {
        let record = self.classes.get(index)?;
        Some(Class {
            id: self.text(record.id_offset.get(), record.id_len.get())?,
            label: self.text(record.label_offset.get(), record.label_len.get())?,
        })
    }

    /// Returns the tensor that the preprocessed frame is written to.
    pub(super) fn input(&self) -> Result<Tensor, LoadError> {
        self.tensor(self.header.input.get(), 0)
    }

    /// Returns tensor `id`, which step `step` names.
    pub(super) fn tensor(&self, id: u16, step: usize) -> Result<Tensor, LoadError> {
        let t = self
            .tensors
            .get(usize::from(id))
            .ok_or(invalid("step names a tensor that does not exist", step))?;
        // The casts lose nothing once `validate` has seen every tensor.
        Ok(Tensor {
            arena_offset: t.arena_offset.get() as usize,
            height: t.height.get() as usize,
            width: t.width.get() as usize,
            channels: t.channels.get() as usize,
            halo: usize::from(t.halo),
            scale: t.scale.get(),
            zero_point: t.zero_point,
            fill: t.fill,
        })
    }

    pub(super) fn text(&self, offset: u32, len: u32) -> Option<&'a str> {
        let start = offset as usize;
        self.strings.get(start..start.checked_add(len as usize)?)
    }

    /// Returns `count` records of type `T` from `offset` of the params section on.
    pub(super) fn params<T>(&self, offset: u64, count: usize, index: usize) -> Result<&'a [T], LoadError>
    where
        T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned,
    {
        usize::try_from(offset)
            .ok()
            .and_then(|offset| self.params.get(offset..))
            .and_then(|bytes| <[T]>::ref_from_prefix_with_elems(bytes, count).ok())
            .map(|(params, _)| params)
            .ok_or(invalid("parameters outside their section", index))
    }
}

fn preprocessing(header: &Header) -> Result<Preprocessing, LoadError> {
    let p = &header.preprocessing;
    let interpolation =
        Interpolation::from_code(p.interpolation).ok_or_else(|| invalid("unknown resize filter", 0))?;
    let side_rounding =
        SideRounding::from_code(p.side_rounding).ok_or(invalid("unknown rounding of the resized side", 0))?;
    let crop_rounding =
        CropRounding::from_code(p.crop_rounding).ok_or(invalid("unknown rounding of the crop", 0))?;
    if p.channel_order != 0 || p.short_side.get() == 0 || p.short_side.get() > MAX_SHORT_SIDE {
        return Err(invalid("unknown channel order or resize target", 0));
    }
    Ok(Preprocessing {
        short_side: p.short_side.get(),
        crop_height: p.crop_height.get(),
        crop_width: p.crop_width.get(),
        interpolation,
        side_rounding,
        crop_rounding,
        mean: p.mean.map(|x| x.get()),
        std: p.std.map(|x| x.get()),
    })
}
