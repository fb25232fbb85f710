//! Which dimension of a tensor is which, on the way from the feature map to the logits.
//!
//! Exporters write the global average and what flattens it in many ways: over both axes at once or one after the other, after the
//! pixels have been put into one dimension, with dimensions of one kept or removed. What matters is which dimension holds what.

/// What a dimension counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    /// The pictures.
    Batch,
    /// The channels; after the classifier, the classes.
    Channels,
    /// The rows.
    Height,
    /// The columns.
    Width,
    /// The rows and columns together.
    Pixels,
    /// Nothing: its size is 1.
    One,
}

/// The most dimensions of a value. It bounds the work that a file can ask for.
const MAX_RANK: usize = 16;

/// The size in a computed shape that stands for the number of pictures.
pub(super) const BATCH: i64 = i64::MIN;

/// The dimensions of one value.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) dims: Vec<Dim>,
    /// The number of pictures that the file declares.
    batch: Option<usize>,
    pub(super) channels: usize,
    height: usize,
    width: usize,
}

impl Layout {
    /// Returns the layout of a feature map.
    pub(super) fn new(batch: Option<usize>, channels: usize, [height, width]: [usize; 2]) -> Self {
        let spatial = |size: usize, dim: Dim| if size == 1 { Dim::One } else { dim };
        let dims = vec![Dim::Batch, Dim::Channels, spatial(height, Dim::Height), spatial(width, Dim::Width)];
        Self { dims, batch, channels, height, width }
    }

    /// Whether no pixels are left, so that all that is left is to flatten.
    pub(super) fn is_averaged(&self) -> bool {
        !self.dims.iter().any(|&dim| is_spatial(dim))
    }

    /// Returns the sizes, of which that of the batch is [`BATCH`].
    pub(super) fn sizes(&self) -> Vec<i64> {
        self.dims.iter().map(|&dim| self.size(dim).map_or(BATCH, to_i64)).collect()
    }

    fn size(&self, dim: Dim) -> Option<usize> {
        match dim {
            Dim::Batch => None,
            Dim::Channels => Some(self.channels),
            Dim::Height => Some(self.height),
            Dim::Width => Some(self.width),
            Dim::Pixels => Some(self.height * self.width),
            Dim::One => Some(1),
        }
    }

    /// Returns the indices of `axes`, of which the negative ones count from the end of `rank` dimensions.
    fn indices(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
        let index = |&axis: &i64| {
            let axis = if axis < 0 { axis.checked_add(to_i64(rank))? } else { axis };
            usize::try_from(axis).ok().filter(|&axis| axis < rank)
        };
        axes.iter().map(index).collect()
    }

    /// Averages or adds up over `axes`, and returns the number of pixels that come together; `None` if an axis is none of pixels.
    pub(super) fn reduce(&mut self, axes: &[i64], keep: bool) -> Option<usize> {
        let axes = Self::indices(axes, self.dims.len())?;
        let mut count = 1;
        for &axis in &axes {
            let dim = self.dims[axis];
            if !is_spatial(dim) && dim != Dim::One {
                return None;
            }
            count *= self.size(dim)?;
            self.dims[axis] = Dim::One;
        }
        if !keep {
            self.remove(&axes);
        }
        Some(count)
    }

    /// Averages over all dimensions after the first two, as pooling does; `None` if those are not the batch and the channels.
    pub(super) fn pool(&mut self) -> Option<()> {
        let [Dim::Batch, Dim::Channels, rest @ ..] = &mut *self.dims else { return None };
        rest.fill(Dim::One);
        Some(())
    }

    /// Removes the dimensions `axes`, or all that are known to be 1; `None` if one of them is not.
    pub(super) fn squeeze(&mut self, axes: Option<&[i64]>) -> Option<()> {
        let axes = match axes {
            Some(axes) => Self::indices(axes, self.dims.len())?,
            // This would remove the batch as well.
            None if self.batch == Some(1) => return None,
            None => (0..self.dims.len()).filter(|&axis| self.dims[axis] == Dim::One).collect(),
        };
        axes.iter().all(|&axis| self.dims[axis] == Dim::One).then(|| self.remove(&axes))
    }

    /// Adds dimensions of 1 where `axes` says.
    pub(super) fn unsqueeze(&mut self, axes: &[i64]) -> Option<()> {
        let rank = self.dims.len() + axes.len();
        if rank > MAX_RANK {
            return None;
        }
        let axes = Self::indices(axes, rank)?;
        let mut left = std::mem::take(&mut self.dims).into_iter();
        self.dims = (0..rank)
            .map(|at| if axes.contains(&at) { Some(Dim::One) } else { left.next() })
            .collect::<Option<_>>()?;
        Some(())
    }

    /// Moves dimension `order[i]` to `i`.
    pub(super) fn transpose(&mut self, order: &[i64]) -> Option<()> {
        let order = Self::indices(order, self.dims.len())?;
        let is_permutation = order.len() == self.dims.len() && (0..order.len()).all(|i| order.contains(&i));
        is_permutation.then(|| self.dims = order.iter().map(|&from| self.dims[from]).collect())
    }

    /// Puts the dimensions before `axis` into one, and those from there on.
    pub(super) fn flatten(&mut self, axis: i64) -> Option<()> {
        let rank = to_i64(self.dims.len());
        let at = usize::try_from(if axis < 0 { axis.checked_add(rank)? } else { axis }).ok()?;
        let (before, after) = self.dims.split_at_checked(at)?;
        let joined = |dims: &[Dim]| {
            let mut left = dims.iter().copied().filter(|&dim| dim != Dim::One);
            let only = left.next().unwrap_or(Dim::One);
            left.next().is_none().then_some(only)
        };
        self.dims = vec![joined(before)?, joined(after)?];
        Some(())
    }

    /// Gives the value the shape `target`, in which −1 is what is left and, unless `zeros` are sizes, 0 what was there before; `None`
    /// if that mixes dimensions.
    pub(super) fn reshape(&mut self, target: &[i64], zeros: bool) -> Option<()> {
        let before = self.sizes();
        let copy = |(index, &size): (usize, &i64)| match size {
            0 if !zeros => before.get(index).copied(),
            size => Some(size),
        };
        let target: Vec<i64> = target.iter().enumerate().map(copy).collect::<Option<_>>()?;
        let (&first, rest) = target.split_first()?;
        let [Dim::Batch, dims @ ..] = &*self.dims else { return None };
        // A 1 comes from tracing with a single picture.
        let is_batch =
            matches!(first, BATCH | -1 | 1) || self.batch.is_some_and(|batch| first == to_i64(batch));
        if !is_batch {
            return None;
        }
        let all = product(before[1..].iter().copied())?;
        let known = product(rest.iter().copied().filter(|&size| size != -1))?;
        let open = rest.iter().filter(|&&size| size == -1).count() + usize::from(first == -1);
        let fill = if known > 0 && all % known == 0 { all / known } else { return None };
        if open > 1 || (fill != 1 && !rest.contains(&-1)) {
            return None;
        }
        let mut left = dims.iter().copied().filter(|&dim| dim != Dim::One).peekable();
        let mut dims = vec![Dim::Batch];
        for &size in rest {
            let size = if size == -1 { fill } else { size };
            if size == 1 {
                dims.push(Dim::One);
                continue;
            }
            let dim = left.next()?;
            let is = |dim: Dim| self.size(dim).map(to_i64) == Some(size);
            dims.push(match (dim, left.peek()) {
                _ if is(dim) => dim,
                (Dim::Height, Some(Dim::Width)) if is(Dim::Pixels) => {
                    left.next();
                    Dim::Pixels
                }
                _ => return None,
            });
        }
        left.next().is_none().then(|| self.dims = dims)
    }

    fn remove(&mut self, axes: &[usize]) {
        let mut index = 0;
        self.dims.retain(|_| {
            index += 1;
            !axes.contains(&(index - 1))
        });
    }
}

fn is_spatial(dim: Dim) -> bool {
    matches!(dim, Dim::Height | Dim::Width | Dim::Pixels)
}

fn product(mut sizes: impl Iterator<Item = i64>) -> Option<i64> {
    sizes.try_fold(1i64, i64::checked_mul)
}

fn to_i64(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Dim::{Batch, Channels, Height, One, Pixels, Width};
    use super::*;

    fn map() -> Layout {
        Layout::new(None, 32, [7, 5])
    }

    #[test]
    fn averages_may_come_in_steps() {
        let mut layout = map();
        assert_eq!((layout.reduce(&[-1], false), layout.reduce(&[2], false)), (Some(5), Some(7)));
        assert_eq!(layout.dims, [Batch, Channels]);
        let mut layout = map();
        assert_eq!(layout.reshape(&[0, 0, -1], false), Some(()));
        assert_eq!(layout.dims, [Batch, Channels, Pixels]);
        assert_eq!(layout.reduce(&[2], true), Some(35));
        assert!(layout.is_averaged() && layout.flatten(1).is_some());
        assert_eq!(layout.dims, [Batch, Channels]);
        let mut layout = map();
        assert_eq!(layout.transpose(&[0, 2, 3, 1]), Some(()));
        assert_eq!(layout.dims, [Batch, Height, Width, Channels]);
        assert_eq!(layout.pool(), None);
        assert_eq!(layout.reduce(&[1, 2], false), Some(35));
        assert_eq!(layout.dims, [Batch, Channels]);
        assert_eq!(map().reduce(&[1], true), None);
        assert_eq!(map().reduce(&[0, 2, 3], true), None);
        assert_eq!(map().reduce(&[4], true), None);
    }

    #[test]
    fn shapes_that_mix_dimensions_are_none() {
        for target in
            [&[-1, 32 * 35][..], &[1, 64, -1], &[-1, 16, 70], &[32, -1], &[1, 32, 7], &[-1, -1, 7, 5]]
        {
            assert_eq!(map().reshape(target, false), None, "{target:?}");
        }
        assert_eq!(map().flatten(1), None);
        for target in [&[-1, 32][..], &[1, -1], &[0, 32], &[BATCH, -1, 1], &[0, -1, 1, 1]] {
            let mut layout = map();
            layout.pool().expect("a map");
            assert_eq!(layout.reshape(target, false), Some(()), "{target:?}");
        }
        assert_eq!(map().squeeze(Some(&[2])), None);
        let mut single = Layout::new(Some(1), 32, [1, 1]);
        assert_eq!((single.squeeze(None), single.squeeze(Some(&[3, 2]))), (None, Some(())));
        assert_eq!(single.dims, [Batch, Channels]);
        assert_eq!(single.unsqueeze(&[-1]), Some(()));
        assert_eq!(single.dims, [Batch, Channels, One]);
        assert_eq!(map().dims[3], Width);
    }
}
