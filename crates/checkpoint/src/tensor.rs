//! Tensors that stay in the file they came in.
//!
//! The largest published ResNeXt has 3.3 GB of weights. A reader therefore decodes nothing. It maps the file, finds where
//! each tensor lies, and returns [`StoredTensor`]s, which become floats one layer at a time.

mod derived;

use std::ops::Range;

use half::{bf16, f16};

use crate::element::{Element, Encoding};
use crate::file_bytes::FileBytes;
use crate::latin1;

/// Where a tensor lies in a file and how to read it. [`StoredTensor::new`] checks it.
#[derive(Clone, Debug)]
pub struct View {
    /// Bytes of the file that hold the tensor's storage. Other tensors may share them.
    pub range: Range<usize>,
    /// How the file encodes these bytes.
    pub encoding: Encoding,
    /// Type of the elements.
    pub element: Element,
    /// Size along each dimension.
    pub shape: Vec<usize>,
    /// Distance in the storage from one index to the next, in elements, along each dimension.
    pub strides: Vec<usize>,
    /// Position in the storage of the element at index zero, in elements.
    pub offset: usize,
}

impl View {
    /// Describes a row-major tensor that fills `range`.
    pub fn contiguous(range: Range<usize>, element: Element, shape: Vec<usize>) -> Self {
        let strides = row_major(&shape);
        Self { range, encoding: Encoding::Raw, element, shape, strides, offset: 0 }
    }
}

/// Returns the strides of a row-major tensor. They saturate: [`StoredTensor::new`] refuses a shape of that size, because
/// no storage holds it.
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}

/// A tensor in a file. It is validated when it is made and decoded when it is read.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    file: FileBytes,
    view: View,
    len: usize,
    /// Factors of the elements, of the same shape: zeros where a weight has been pruned.
    mask: Option<Box<StoredTensor>>,
}

/// Why a [`View`] does not fit its file. Displays as what is wrong, to follow the name of the tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The number of elements or bytes overflows.
    #[error("it is larger than any memory")]
    Overflow,
    /// Shape and strides have different lengths.
    #[error("its shape and its strides have different lengths")]
    Rank,
    /// The storage ends before the last element.
    #[error("it needs {need} bytes and its storage has {have}")]
    Short {
        /// Bytes up to the end of the last element.
        need: usize,
        /// Bytes of the storage.
        have: usize,
    },
    /// The bytes are not the text that [`Encoding::Latin1`] requires.
    #[error("its bytes are not Latin-1 text")]
    Encoding,
}

impl StoredTensor {
    /// Makes the tensor that `view` describes.
    ///
    /// # Errors
    ///
    /// Returns an error if an element lies outside the file or a size overflows.
    pub fn new(file: FileBytes, view: View) -> Result<Self, ViewError> {
        if view.shape.len() != view.strides.len() {
            return Err(ViewError::Rank);
        }
        let Some(bytes) = file.bytes().get(view.range.clone()) else {
            return Err(ViewError::Short { need: view.range.end, have: file.bytes().len() });
        };
        let have = match view.encoding {
            Encoding::Raw => bytes.len(),
            Encoding::Latin1 => latin1::len(&file, &view.range).ok_or(ViewError::Encoding)?,
        };
        let len = product(&view.shape)?;
        let last = view.shape.iter().zip(&view.strides).try_fold(view.offset, |last, (&size, &stride)| {
            size.saturating_sub(1).checked_mul(stride)?.checked_add(last)
        });
        let end =
            last.and_then(|last| last.checked_add(usize::from(len > 0))?.checked_mul(view.element.size()));
        // Strides of zero let a tensor expand to more elements than its file has. Only an attack does that.
        let need = end.ok_or(ViewError::Overflow)?.max(len.saturating_mul(view.element.size()));
        if len > 0 && need > have {
            return Err(ViewError::Short { need, have });
        }
        Ok(Self { file, view, len, mask: None })
    }

    /// Returns the size along each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.view.shape
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Decodes the elements, in row-major order.
    pub fn read(&self) -> Vec<f32> {
        let View { range, encoding, element, .. } = &self.view;
        let bytes = &self.file.bytes()[range.clone()];
        let decoded;
        let bytes = match encoding {
            Encoding::Raw => bytes,
            Encoding::Latin1 => {
                decoded = latin1::decode(bytes);
                self.file.release(range);
                &decoded
            }
        };
        let mut values = match element {
            Element::I8 => self.gather(bytes, |b| i8::from_le_bytes(b).into()),
            Element::F16 => self.gather(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Element::BF16 => self.gather(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Element::F32 => self.gather(bytes, f32::from_le_bytes),
            Element::F64 => self.gather(bytes, |b| f64::from_le_bytes(b) as f32),
        };
        self.file.release(range);
        if let Some(mask) = &self.mask {
            values.iter_mut().zip(mask.read()).for_each(|(value, factor)| *value *= factor);
        }
        values
    }

    /// Decodes elements of `N` bytes, in the order of the view.
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

/// Returns the number of elements of `shape`.
fn product(shape: &[usize]) -> Result<usize, ViewError> {
    // Zeros are left out, so that the overflow in a shape such as [0, 2⁶³, 2] is found.
    let sizes = shape.iter().filter(|&&size| size > 0).try_fold(1usize, |n, &size| n.checked_mul(size));
    let len = sizes.ok_or(ViewError::Overflow)?;
    Ok(if shape.contains(&0) { 0 } else { len })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(values: &[f32]) -> FileBytes {
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
        let new = |view: View| StoredTensor::new(file(&[0.0; 6]), view).map(|t| t.len());
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
            let read = StoredTensor::new(file(&values), view).unwrap().read();
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
}
