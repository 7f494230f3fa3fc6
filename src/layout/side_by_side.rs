//! Arrays whatever their elements, and blocks of them side by side: planes as the channels of one plane.

use std::marker::PhantomData;

use super::{Grid, Lump, View, ViewMut};

/// An array in canonical form, whatever its elements: what moves them is compiled for sizes and not for types.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bare<'a, P> {
    ptr: P,
    /// Bytes of an element.
    pub size: usize,
    /// Lengths of D, H and W.
    pub spatial: [usize; 3],
    /// Elements along the inner axis.
    pub inner: usize,
    spatial_strides: [isize; 3],
    outer: &'a [(usize, isize)],
}

// SAFETY: as for `Grid`.
unsafe impl Send for Bare<'_, *const u8> {}
// SAFETY: as above.
unsafe impl Sync for Bare<'_, *const u8> {}
// SAFETY: as above.
unsafe impl Send for Bare<'_, *mut u8> {}
// SAFETY: as above.
unsafe impl Sync for Bare<'_, *mut u8> {}

/// Some blocks of an array side by side, `[D, H, W, blocks]`, whatever their elements: where the first one lies, and how far
/// they are apart, in elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SideBySide<P> {
    ptr: P,
    /// Bytes of an element.
    pub size: usize,
    shape: [usize; 4],
    strides: [isize; 4],
}

macro_rules! side_by_side {
    ($($pointer:ty, $bytes:ty);*) => {$(
        impl<T> Grid<$pointer> {
            /// Whatever its elements.
            pub(crate) fn bare(&self) -> Bare<'_, $bytes> {
                let &Self { ptr, spatial, inner, spatial_strides, ref outer, .. } = self;
                Bare { ptr: ptr.cast(), size: size_of::<T>(), spatial, inner, spatial_strides, outer }
            }
        }

        impl Bare<'_, $bytes> {
            /// `n` blocks that lie at equal distances: every so manyth from the first on. Panics if they are not blocks of one
            /// channel along one outer axis.
            pub(crate) fn side_by_side(&self, first: usize, n: usize, every: usize) -> SideBySide<$bytes> {
                let ([d, h, w], [sd, sh, sw]) = (self.spatial, self.spatial_strides);
                let (offset, apart) = self.in_a_row(first, n, every);
                SideBySide {
                    ptr: self.ptr.wrapping_offset(offset.wrapping_mul(self.size as isize)),
                    size: self.size,
                    shape: [d, h, w, n],
                    strides: [sd, sh, sw, apart],
                }
            }
        }

        impl SideBySide<$bytes> {
            /// Some positions of all blocks. Panics if there are not as many.
            pub(crate) fn part(self, first: [usize; 3], lens: [usize; 3]) -> Self {
                let mut part = self;
                for a in 0..3 {
                    let end = first[a].checked_add(lens[a]);
                    assert!(lens[a] > 0 && end.is_some_and(|end| end <= self.shape[a]), "positions of the blocks");
                    let offset = (first[a] as isize).wrapping_mul(self.strides[a]).wrapping_mul(self.size as isize);
                    part.ptr = part.ptr.wrapping_offset(offset);
                    part.shape[a] = lens[a];
                }
                part
            }

            /// As one block of so many channels. Panics if elements have other sizes.
            pub(crate) fn grid<T>(&self) -> Grid<$pointer> {
                assert_eq!(self.size, size_of::<T>(), "elements of the same size");
                let ([d, h, w, inner], [sd, sh, sw, inner_stride]) = (self.shape, self.strides);
                Grid {
                    ptr: self.ptr.cast(),
                    spatial: [d, h, w],
                    inner,
                    spatial_strides: [sd, sh, sw],
                    inner_stride,
                    streamed: false,
                    outer: Vec::new(),
                }
            }
        }
    )*};
}
side_by_side!(*const T, *const u8; *mut T, *mut u8);

impl<P> Bare<'_, P> {
    /// Number of outer blocks, and how many of them lie one after the other at equal distances.
    pub(crate) fn blocks(&self) -> [usize; 2] {
        [self.outer.iter().map(|a| a.0).product(), self.outer.last().map_or(1, |a| a.0)]
    }

    /// Where `first` lies and how far every so manyth block is from the one before, in elements.
    fn in_a_row(&self, first: usize, n: usize, every: usize) -> (isize, isize) {
        let last = n.checked_sub(1).and_then(|n| n.checked_mul(every)?.checked_add(first));
        assert!(self.inner == 1 && last.is_some_and(|last| last < self.blocks()[0]), "blocks of the array");
        let (mut rest, mut offset) = (first, 0);
        let (mut every, mut apart) = (Some(every), 0);
        for (i, &(len, stride)) in self.outer.iter().enumerate().rev() {
            if let Some(step) = every.filter(|step| i == 0 || !step.is_multiple_of(len)) {
                // The axis along which they lie.
                assert!(rest % len + (n - 1) * step < len, "blocks of one axis");
                (every, apart) = (None, stride.wrapping_mul(step as isize));
            }
            every = every.map(|step| step / len);
            offset += (rest % len) as isize * stride;
            rest /= len;
        }
        (offset, apart)
    }
}

impl<'a> Bare<'a, *mut u8> {
    /// To be read: what has been written.
    pub(crate) fn to_be_read(self) -> Bare<'a, *const u8> {
        let Self { ptr, size, spatial, inner, spatial_strides, outer } = self;
        Bare { ptr: ptr.cast_const(), size, spatial, inner, spatial_strides, outer }
    }
}

impl<P> SideBySide<P> {
    /// Lengths of D, H and W, and how many blocks there are.
    pub(crate) fn shape(&self) -> [usize; 4] {
        self.shape
    }
}

impl SideBySide<*mut u8> {
    /// As many elements of that size, one after the other in memory, which holds an element of whatever type at each place:
    /// zeros, or what was there before. Panics if there are fewer bytes.
    pub(crate) fn bytes_within(memory: &mut [[u64; 8]], size: usize, [d, h, w, n]: [usize; 4]) -> Self {
        let bytes = [d, h, w, n].iter().fold(size, |n, &len| n.saturating_mul(len));
        assert!(bytes <= size_of_val(memory) && matches!(size, 1 | 2 | 4 | 8 | 16), "room for blocks");
        let strides = [h * w * n, w * n, n, 1].map(|step| step as isize);
        Self { ptr: memory.as_mut_ptr().cast(), size, shape: [d, h, w, n], strides }
    }

    /// `n` blocks of these lengths in memory that has room for `pitch` of them. Panics if it has not.
    pub(crate) fn within<T: Copy + Default>(memory: &mut [T], lens: [usize; 3], (n, pitch): (usize, usize)) -> Self {
        let [d, h, w] = lens;
        assert!(n <= pitch && lens.iter().product::<usize>() * pitch <= memory.len(), "room for blocks");
        let strides = [h * w * pitch, w * pitch, pitch, 1].map(|step| step as isize);
        Self { ptr: memory.as_mut_ptr().cast(), size: size_of::<T>(), shape: [d, h, w, n], strides }
    }

    /// To be read: what has been written.
    pub(crate) fn to_be_read(self) -> SideBySide<*const u8> {
        let Self { ptr, size, shape, strides } = self;
        SideBySide { ptr: ptr.cast_const(), size, shape, strides }
    }

    /// As an array of lumps to write. Panics if elements have other sizes.
    pub(crate) fn lumps<const N: usize>(&self) -> ViewMut<'_, Lump<N>> {
        assert_eq!(self.size, N, "a lump is one element");
        ViewMut { ptr: self.ptr.cast(), shape: &self.shape, strides: &self.strides, life: PhantomData }
    }
}

impl SideBySide<*const u8> {
    /// Elements `[D, H, W, blocks]` from the first on, so far apart.
    pub(crate) fn new<T>(first: *const T, shape: [usize; 4], strides: [isize; 4]) -> Self {
        Self { ptr: first.cast(), size: size_of::<T>(), shape, strides }
    }

    /// As an array of lumps. Panics if elements have other sizes.
    pub(crate) fn lumps<const N: usize>(&self) -> View<'_, Lump<N>> {
        assert_eq!(self.size, N, "a lump is one element");
        View { ptr: self.ptr.cast(), shape: &self.shape, strides: &self.strides, life: PhantomData }
    }
}
