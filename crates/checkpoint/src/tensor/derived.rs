//! Tensors made from other tensors, without decoding them where that is possible.

use super::{StoredTensor, View, row_major};
use crate::element::{Element, Encoding};

impl StoredTensor {
    /// Returns the tensor with its dimensions in reverse order.
    pub fn transposed(self) -> Self {
        let order: Vec<usize> = (0..self.view.shape.len()).rev().collect();
        self.reordered(&order)
    }

    /// Returns the tensor whose dimension `i` is dimension `order[i]` of this one; `None` if `order` is no permutation.
    pub fn permuted(self, order: &[usize]) -> Option<Self> {
        let rank = self.view.shape.len();
        let is_permutation = order.len() == rank && (0..rank).all(|axis| order.contains(&axis));
        is_permutation.then(|| self.reordered(order))
    }

    fn reordered(mut self, order: &[usize]) -> Self {
        let pick = |from: &[usize]| order.iter().map(|&axis| from[axis]).collect();
        (self.view.shape, self.view.strides) = (pick(&self.view.shape), pick(&self.view.strides));
        self.mask = self.mask.map(|mask| Box::new(mask.reordered(order)));
        self
    }

    /// Returns the same elements, in row-major order, as a tensor of `shape`; `None` if that has another number of elements. The
    /// elements are decoded unless they lie in the file in this order.
    pub fn reshaped(mut self, shape: &[usize]) -> Option<Self> {
        if super::product(shape).ok()? != self.len {
            return None;
        }
        if self.mask.is_none() && self.view.strides == row_major(&self.view.shape) {
            self.view.strides = row_major(shape);
            self.view.shape = shape.to_vec();
            return Some(self);
        }
        let bytes: Vec<u8> = self.read().into_iter().flat_map(f32::to_le_bytes).collect();
        let view = View {
            range: 0..bytes.len(),
            encoding: Encoding::Raw,
            element: Element::F32,
            shape: shape.to_vec(),
            strides: row_major(shape),
            offset: 0,
        };
        Self::new(bytes.into(), view).ok()
    }

    /// Returns the product of this tensor and `mask`, element by element; `None` if their shapes differ.
    pub fn masked(mut self, mask: Self) -> Option<Self> {
        if self.view.shape != mask.view.shape || self.mask.is_some() {
            return None;
        }
        self.mask = Some(Box::new(mask));
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], values: &[f32]) -> StoredTensor {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        StoredTensor::new(
            bytes.clone().into(),
            View::contiguous(0..bytes.len(), Element::F32, shape.to_vec()),
        )
        .expect("fits")
    }

    fn ramp(len: usize) -> Vec<f32> {
        (0..len).map(|i| i as f32).collect()
    }

    #[test]
    fn masks_move_with_their_tensor() {
        let mask = tensor(&[2, 3], &[1.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
        let masked = tensor(&[2, 3], &ramp(6)).masked(mask.clone()).expect("same shape");
        assert_eq!(masked.read(), [0.0, 0.0, 2.0, 3.0, 4.0, 0.0]);
        assert_eq!(masked.clone().transposed().read(), [0.0, 3.0, 0.0, 4.0, 2.0, 0.0]);
        assert_eq!(masked.clone().reshaped(&[3, 2]).expect("six").read(), masked.read());
        assert!(tensor(&[3, 2], &ramp(6)).masked(mask.clone()).is_none() && masked.masked(mask).is_none());
    }

    #[test]
    fn dimensions_move() {
        let cube = tensor(&[2, 3, 4], &ramp(24));
        let moved = cube.clone().permuted(&[2, 0, 1]).expect("a permutation");
        assert_eq!((moved.shape(), &moved.read()[..4]), (&[4, 2, 3][..], &[0.0, 4.0, 8.0, 12.0][..]));
        // Row-major in the new order.
        let flat = moved.clone().reshaped(&[24]).expect("all");
        assert_eq!((flat.shape(), flat.read()), (&[24][..], moved.read()));
        assert_eq!(cube.clone().reshaped(&[6, 4]).expect("all").read(), ramp(24));
        for wrong in [&[0, 1][..], &[0, 1, 1], &[0, 1, 3], &[0, 1, 2, 3]] {
            assert!(cube.clone().permuted(wrong).is_none(), "{wrong:?}");
        }
        assert!(cube.clone().reshaped(&[5, 5]).is_none() && cube.reshaped(&[usize::MAX, 24]).is_none());
    }
}
