//! Tensors that stay in the file they came in.
//!
//! The largest published ResNeXt has 3.3 GB of weights. A reader therefore decodes nothing: it maps the file,
//! finds out where each tensor lies, and hands out [`StoredTensor`]s, which become floats one layer at a
//! time.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use half::{bf16, f16};
use memmap2::Mmap;

/// Immutable bytes, shared by everything that points into them.
#[derive(Clone)]
pub struct Source(Arc<Bytes>);

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
    Static(&'static [u8]),
}

impl Source {
    /// Maps the file at `path`.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or mapped, or is none.
    pub fn map(path: &Path) -> io::Result<Self> {
        // Looked at before it is opened: opening a named pipe would wait for a writer.
        let kind = fs::metadata(path)?;
        if kind.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
        }
        if !kind.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only and private to this struct. What `Mmap` asks of us beyond that,
        // that nobody truncates the file while it is mapped, is what every user of a model file relies on.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self(Arc::new(Bytes::Mapped(map))))
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        match &*self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
            Bytes::Static(bytes) => bytes,
        }
    }

    /// Gives the pages of `range` back to the system. They count as this process's memory from the first
    /// touch on, and for the largest models that would be most of it.
    pub(crate) fn release(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &*self.0 {
            // SAFETY: the mapping is of a file and never written, so a dropped page reads the same when it is
            // next touched.
            let advised = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
            // Only advice: whatever goes wrong, the bytes are as they were.
            drop(advised);
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl Source {
    /// Number of characters in `range`, if that is text whose characters are all from U+0000 to U+00FF.
    fn latin1_len(&self, range: &Range<usize>) -> Option<usize> {
        /// Bytes that are looked at before their pages are given back.
        const PIECE: usize = 1 << 24;
        let mut len = 0;
        let mut sound = true;
        // Whether the byte before is the first of two.
        let mut opened = false;
        for start in range.clone().step_by(PIECE) {
            let piece = start..range.end.min(start + PIECE);
            for &byte in self.bytes().get(piece.clone())? {
                let closes = byte & 0xc0 == 0x80;
                sound &= closes == opened;
                opened = byte & 0xfe == 0xc2;
                sound &= byte < 0x80 || closes || opened;
                len += usize::from(!closes);
            }
            self.release(&piece);
        }
        (sound && !opened).then_some(len)
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Bytes::Owned(bytes)))
    }
}

impl From<&'static [u8]> for Source {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Arc::new(Bytes::Static(bytes)))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({} bytes)", self.bytes().len())
    }
}

/// How an element is stored; always little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// A whole number from −128 to 127, of which a quantized file says what it stands for.
    I8,
    /// IEEE binary16.
    F16,
    /// The upper half of binary32.
    BF16,
    /// IEEE binary32.
    F32,
    /// IEEE binary64; rounded to f32 when read.
    F64,
}

impl Element {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// How the bytes of a tensor are written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Raw,
    /// Each byte is a character U+0000 to U+00FF in UTF-8: how Python 3 pickles bytes for Python 2.
    Latin1,
}

/// Where a tensor lies and how to read it; see [`StoredTensor::new`].
#[derive(Clone, Debug)]
pub struct View {
    /// Bytes of the file that hold the storage the tensor is a part of.
    pub range: Range<usize>,
    /// How they are written.
    pub encoding: Encoding,
    /// Type of the elements.
    pub element: Element,
    /// Size along each dimension.
    pub shape: Vec<usize>,
    /// Elements of storage from one index to the next, along each dimension.
    pub strides: Vec<usize>,
    /// Element of storage at index zero.
    pub offset: usize,
}

impl View {
    /// A row-major tensor that fills `range`.
    pub fn contiguous(range: Range<usize>, element: Element, shape: Vec<usize>) -> Self {
        let strides = row_major(&shape);
        Self { range, encoding: Encoding::Raw, element, shape, strides, offset: 0 }
    }
}

/// Strides of a row-major tensor. Saturates: a shape so large fits no storage, which [`StoredTensor::new`]
/// finds out.
pub fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}

/// A tensor in a file: validated, and decoded when it is read.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    source: Source,
    view: View,
    len: usize,
}

/// A tensor whose elements are not all in its file. Displays as what is wrong, to follow the tensor's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The number of elements or bytes overflows.
    #[error("it is larger than any memory")]
    Overflow,
    /// Shape and strides have different lengths.
    #[error("its shape and its strides have different lengths")]
    Rank,
    /// The storage ends early.
    #[error("it needs {need} bytes and its storage has {have}")]
    Short {
        /// Bytes up to the end of the last element.
        need: usize,
        /// Bytes of the storage.
        have: usize,
    },
    /// Not the text that [`Encoding::Latin1`] promises.
    #[error("its bytes are not Latin-1 text")]
    Encoding,
}

impl StoredTensor {
    /// Checks that `view` lies in `source`.
    ///
    /// # Errors
    ///
    /// An element is outside, or the sizes overflow.
    pub fn new(source: Source, view: View) -> Result<Self, ViewError> {
        if view.shape.len() != view.strides.len() {
            return Err(ViewError::Rank);
        }
        let Some(bytes) = source.bytes().get(view.range.clone()) else {
            return Err(ViewError::Short { need: view.range.end, have: source.bytes().len() });
        };
        let have = match view.encoding {
            Encoding::Raw => bytes.len(),
            Encoding::Latin1 => source.latin1_len(&view.range).ok_or(ViewError::Encoding)?,
        };
        let len = product(&view.shape)?;
        // Even if every stride is zero: a tensor that expands to more than its file is an attack.
        let last = view.shape.iter().zip(&view.strides).try_fold(view.offset, |last, (&size, &stride)| {
            size.saturating_sub(1).checked_mul(stride)?.checked_add(last)
        });
        let end =
            last.and_then(|last| last.checked_add(usize::from(len > 0))?.checked_mul(view.element.size()));
        let need = end.ok_or(ViewError::Overflow)?.max(len.saturating_mul(view.element.size()));
        if len > 0 && need > have {
            return Err(ViewError::Short { need, have });
        }
        Ok(Self { source, view, len })
    }

    /// Size along each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.view.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The tensor with its dimensions in the opposite order.
    pub fn transposed(mut self) -> Self {
        self.view.shape.reverse();
        self.view.strides.reverse();
        self
    }

    /// The elements, row-major.
    pub fn read(&self) -> Vec<f32> {
        let View { range, encoding, element, .. } = &self.view;
        let bytes = &self.source.bytes()[range.clone()];
        let decoded;
        let bytes = match encoding {
            Encoding::Raw => bytes,
            Encoding::Latin1 => {
                decoded = decode_latin1(bytes);
                self.source.release(range);
                &decoded
            }
        };
        let values = match element {
            Element::I8 => self.gather(bytes, |b| i8::from_le_bytes(b).into()),
            Element::F16 => self.gather(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Element::BF16 => self.gather(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Element::F32 => self.gather(bytes, f32::from_le_bytes),
            Element::F64 => self.gather(bytes, |b| f64::from_le_bytes(b) as f32),
        };
        self.source.release(range);
        values
    }

    /// Elements of `N` bytes each, in the order of the view.
    fn gather<const N: usize>(&self, bytes: &[u8], element: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let storage = bytes.as_chunks::<N>().0;
        let View { shape, strides, offset, .. } = &self.view;
        if self.len == 0 {
            return Vec::new();
        }
        if *strides == row_major(shape) {
            let elements = storage.get(*offset..).unwrap_or_default().iter().take(self.len);
            return elements.map(|&bytes| element(bytes)).collect();
        }
        let mut values = Vec::with_capacity(self.len);
        let mut index = vec![0; shape.len()];
        let mut position = *offset;
        for _ in 0..self.len {
            values.push(storage.get(position).map_or(0.0, |&bytes| element(bytes)));
            // Counts up like an odometer.
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                position += strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                position -= index[axis] * strides[axis];
                index[axis] = 0;
            }
        }
        values
    }
}

/// The characters of text that [`Source::latin1_len`] has checked. If the file has changed since, the result
/// is wrong, but there is one.
fn decode_latin1(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        decoded.push(if byte < 0x80 { byte } else { byte << 6 | bytes.next().map_or(0, |next| next & 0x3f) });
    }
    decoded
}

fn product(shape: &[usize]) -> Result<usize, ViewError> {
    // Without the zeros, so that a shape such as [0, 2⁶³, 2] is not taken for a small one.
    let sizes = shape.iter().filter(|&&size| size > 0).try_fold(1usize, |n, &size| n.checked_mul(size));
    let len = sizes.ok_or(ViewError::Overflow)?;
    Ok(if shape.contains(&0) { 0 } else { len })
}

/// One name in a [`TensorFile`].
#[derive(Clone, Debug)]
pub struct Entry {
    /// Size along each dimension.
    pub shape: Vec<usize>,
    /// The elements, or why they cannot be read as floats: `its element type is int64`.
    pub data: Result<StoredTensor, String>,
}

impl From<StoredTensor> for Entry {
    fn from(tensor: StoredTensor) -> Self {
        Self { shape: tensor.shape().to_vec(), data: Ok(tensor) }
    }
}

/// Named tensors in the order of their file, whatever its format.
#[derive(Clone, Debug, Default)]
pub struct TensorFile {
    entries: Vec<(String, Entry)>,
    index: HashMap<String, usize>,
}

impl TensorFile {
    /// Adds a tensor; a later one of the same name replaces an earlier one, as in a Python dictionary.
    pub fn insert(&mut self, name: String, entry: impl Into<Entry>) {
        let entry = entry.into();
        match self.index.get(&name) {
            Some(&at) => self.entries[at].1 = entry,
            None => {
                self.index.insert(name.clone(), self.entries.len());
                self.entries.push((name, entry));
            }
        }
    }

    /// Removes and returns the tensor called `name`.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        let at = self.index.remove(name)?;
        let (_, entry) = self.entries.remove(at);
        self.index.values_mut().filter(|index| **index > at).for_each(|index| *index -= 1);
        Some(entry)
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.index.get(name).map(|&at| &self.entries[at].1)
    }

    /// All names, in file order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(values: &[f32]) -> Source {
        values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn view(bytes: usize, shape: &[usize]) -> View {
        View::contiguous(0..bytes, Element::F32, shape.to_vec())
    }

    #[test]
    fn elements_of_every_type_are_widened() {
        let cases: [(Element, Vec<u8>); 4] = [
            (Element::F16, f16::from_f32(-1.5).to_le_bytes().to_vec()),
            (Element::BF16, bf16::from_f32(-1.5).to_le_bytes().to_vec()),
            (Element::F32, (-1.5f32).to_le_bytes().to_vec()),
            (Element::F64, (-1.5f64).to_le_bytes().to_vec()),
        ];
        for (element, bytes) in cases {
            let view = View::contiguous(0..element.size(), element, vec![]);
            assert_eq!(StoredTensor::new(bytes.into(), view).unwrap().read(), [-1.5], "{element:?}");
        }
    }

    #[test]
    fn bytes_written_as_text_are_decoded() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text: String = bytes.iter().map(|&b| char::from(b)).collect();
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let mut view = view(text.len(), &[64]);
        view.encoding = Encoding::Latin1;
        let read = StoredTensor::new(text.into_bytes().into(), view.clone()).unwrap().read();
        assert_eq!(
            read.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            values.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        );
        // Another character, a half one, the other half, two first halves.
        for text in ["Ωabc".as_bytes(), b"abc\xc2", b"\x80abc", b"\xc2\xc2\x80c"] {
            let refused =
                StoredTensor::new(text.to_vec().into(), View { range: 0..text.len(), ..view.clone() });
            assert_eq!(refused.unwrap_err(), ViewError::Encoding, "{text:?}");
        }
    }

    #[test]
    fn what_does_not_lie_in_the_file_is_refused() {
        let new = |view: View| StoredTensor::new(source(&[0.0; 6]), view).map(|t| t.len());
        assert_eq!(new(view(24, &[2, 3])), Ok(6));
        assert_eq!(new(view(24, &[2, 4])), Err(ViewError::Short { need: 32, have: 24 }));
        assert_eq!(new(view(28, &[1])), Err(ViewError::Short { need: 28, have: 24 }));
        assert_eq!(new(view(24, &[usize::MAX, 2])), Err(ViewError::Overflow));
        assert_eq!(new(view(24, &[0, usize::MAX, 2])), Err(ViewError::Overflow));
        assert_eq!(new(view(24, &[usize::MAX / 2])), Err(ViewError::Overflow));
        assert_eq!(new(View { offset: 5, ..view(24, &[2]) }), Err(ViewError::Short { need: 28, have: 24 }));
        assert_eq!(new(View { offset: usize::MAX, ..view(24, &[2]) }), Err(ViewError::Overflow));
        assert_eq!(
            new(View { strides: vec![4], ..view(24, &[3]) }),
            Err(ViewError::Short { need: 36, have: 24 })
        );
        assert_eq!(
            new(View { strides: vec![0], ..view(24, &[99]) }),
            Err(ViewError::Short { need: 396, have: 24 })
        );
        assert_eq!(new(View { strides: vec![], ..view(24, &[3]) }), Err(ViewError::Rank));
        assert_eq!(new(view(0, &[0])), Ok(0));
    }

    proptest! {
        /// Any permutation of the dimensions reads what indexing says.
        #[test]
        fn strides_are_followed(a in 1usize..5, b in 1usize..5, c in 1usize..5, swap in any::<bool>()) {
            let values: Vec<f32> = (0..a * b * c).map(|i| i as f32).collect();
            let mut view = view(4 * values.len(), &[a, b, c]);
            let axes = if swap { (0, 2) } else { (1, 2) };
            view.shape.swap(axes.0, axes.1);
            view.strides.swap(axes.0, axes.1);
            let (shape, strides) = (view.shape.clone(), view.strides.clone());
            let read = StoredTensor::new(source(&values), view).unwrap().read();
            for i in 0..shape[0] {
                for j in 0..shape[1] {
                    for k in 0..shape[2] {
                        let expected = i * strides[0] + j * strides[1] + k * strides[2];
                        prop_assert_eq!(read[(i * shape[1] + j) * shape[2] + k], expected as f32);
                    }
                }
            }
        }
    }

    #[test]
    fn files_keep_their_order_and_the_last_of_a_name() {
        let tensor = |v: f32| StoredTensor::new(source(&[v]), view(4, &[1])).unwrap();
        let mut file = TensorFile::default();
        for (name, value) in [("b", 1.0), ("a", 2.0), ("c", 3.0), ("b", 4.0)] {
            file.insert(name.into(), tensor(value));
        }
        assert_eq!(file.names().collect::<Vec<_>>(), ["b", "a", "c"]);
        let read = |file: &TensorFile, name: &str| file.get(name).map(|e| e.data.clone().unwrap().read()[0]);
        assert_eq!(read(&file, "b"), Some(4.0));
        assert!(file.remove("a").is_some() && file.remove("a").is_none());
        assert_eq!((read(&file, "b"), read(&file, "a"), read(&file, "c")), (Some(4.0), None, Some(3.0)));
    }
}
