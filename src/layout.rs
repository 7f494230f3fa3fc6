//! Shapes, strides and axes become one canonical view: `[outer, D, H, W, inner]`.
//!
//! 1-D and 2-D insert unit axes; channels-first has `inner = 1`, channels-last `inner = channels`. It is derived from
//! shape and strides, so a channels-first array that lies channels-last in memory takes the channels-last path.

mod recut;
mod side_by_side;

pub use recut::Lump;
pub(crate) use recut::{Cuts, Recut, RecutMut};
pub(crate) use side_by_side::{Bare, SideBySide};

use std::marker::PhantomData;
use std::ops::Range;

use ndarray::{ArrayViewD, ArrayViewMutD};

use crate::element::{Element, Linear};
use crate::error::{Error, Result, Shape};

/// Results from this size on are written past the caches: they would not fit beside their input in the last one, and a
/// normal store reads each line before it writes it. Filling reused memory on a Zen 5 core with 32 MB of L3, normal and
/// streamed: 4 MiB 0.04 and 0.15 ms; 16 MiB 0.4 to 0.6 and 0.46; 26 MiB 1.36 and 0.78; 134 MiB 7.1 and 4.0. On a Zen 4 core
/// with as much of it, shared: 12 MiB 0.14 either way where it is in L3, else 0.45 and 0.18; 3 MiB 0.03 and 0.04, else 0.09
/// and 0.04.
pub(crate) const STREAMED_BYTES: usize = 6 << 20;

/// Bytes of a cache line.
pub(crate) const CACHE_LINE: usize = 64;

/// Most axes an array may have.
pub const MAX_NDIM: usize = 32;

/// An array to read: address, shape, and strides in elements. Its memory may change while it is read, because other
/// threads may write to it; it is never seen as `&[T]`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    pub(crate) ptr: *const T,
    /// Elements along each axis.
    pub shape: &'a [usize],
    pub(crate) strides: &'a [isize],
    life: PhantomData<&'a T>,
}

/// An array to write, as [`View`].
#[derive(Debug)]
pub struct ViewMut<'a, T> {
    pub(crate) ptr: *mut T,
    /// Elements along each axis.
    pub shape: &'a [usize],
    pub(crate) strides: &'a [isize],
    life: PhantomData<&'a mut T>,
}

// SAFETY: a view is a borrowed array of `T: Send + Sync`; every access through it is a plain copy of an element.
unsafe impl<T: Send + Sync> Send for View<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for View<'_, T> {}
// SAFETY: a mutable view is the only way to its elements (see `from_raw`), like `&mut [T]`.
unsafe impl<T: Send> Send for ViewMut<'_, T> {}

impl<'a, T> View<'a, T> {
    /// # Safety
    /// For as long as `'a`, every index within `shape`, times `strides` (in elements), added to `ptr`, must be the
    /// aligned address of a readable, initialised `T`; offsets must fit in `isize` bytes.
    #[must_use]
    pub unsafe fn from_raw(ptr: *const T, shape: &'a [usize], strides: &'a [isize]) -> Self {
        Self { ptr, shape, strides, life: PhantomData }
    }

    /// In canonical form.
    pub(crate) fn grid_of(&self, axes: &Axes) -> Grid<*const T> {
        Grid::new(self.ptr, self.shape, self.strides, axes)
    }
}

impl<T: Element> View<'_, T> {
    /// The same memory as bits, which are of the same size and alignment.
    #[must_use]
    pub(crate) fn bits(&self) -> View<'_, T::Bits> {
        View { ptr: self.ptr.cast(), shape: self.shape, strides: self.strides, life: PhantomData }
    }
}

impl<'a, T: Linear> View<'a, T> {
    /// The same memory as numbers, for which all bits will do.
    #[must_use]
    pub(crate) fn of_bits(bits: &View<'a, T::Bits>) -> Self {
        View { ptr: bits.ptr.cast(), shape: bits.shape, strides: bits.strides, life: PhantomData }
    }
}

impl<T: Element> ViewMut<'_, T> {
    /// The same memory for bits of elements.
    #[must_use]
    pub(crate) fn bits(&mut self) -> ViewMut<'_, T::Bits> {
        ViewMut { ptr: self.ptr.cast(), shape: self.shape, strides: self.strides, life: PhantomData }
    }
}

impl<T: Copy> View<'_, T> {
    /// All elements with their indices, in C order. Slow; for messages and small arrays.
    pub fn elements(&self) -> impl Iterator<Item = (Vec<usize>, T)> + '_ {
        let total: usize = self.shape.iter().product();
        (0..total).map(|flat| {
            let (mut rest, mut offset) = (flat, 0);
            let mut index = vec![0; self.shape.len()];
            for (axis, (&len, &stride)) in self.shape.iter().zip(self.strides).enumerate().rev() {
                index[axis] = rest % len;
                offset += (rest % len) as isize * stride;
                rest /= len;
            }
            // SAFETY: every index is below its length: an in-range index of the array (see `from_raw`).
            let value = unsafe { self.ptr.offset(offset).read() };
            (index, value)
        })
    }
}

impl<'a, T> ViewMut<'a, T> {
    /// # Safety
    /// As [`View::from_raw`], for writing; no two indices may share an address, and nobody else may use the memory.
    /// The elements need not be initialised.
    #[must_use]
    pub unsafe fn from_raw(ptr: *mut T, shape: &'a [usize], strides: &'a [isize]) -> Self {
        Self { ptr, shape, strides, life: PhantomData }
    }

    pub(crate) fn grid_of(&mut self, axes: &Axes) -> Grid<*mut T> {
        let mut grid = Grid::new(self.ptr, self.shape, self.strides, axes);
        grid.decide_streaming();
        grid
    }
}

impl<T> Grid<*mut T> {
    /// Writes rows past the caches if the array is large and every row begins on a cache line. (At both ends of any other,
    /// a streamed and a normal store would meet in one line, which is several times slower than not streaming at all.)
    pub(crate) fn decide_streaming(&mut self) {
        let on_line = |stride: isize| stride.unsigned_abs().wrapping_mul(size_of::<T>()).is_multiple_of(CACHE_LINE);
        let count = |n: usize, d: usize| n.saturating_mul(d);
        let outer = self.outer.iter().map(|o| o.0).fold(size_of::<T>() * self.inner, count);
        self.streamed = self.spatial.iter().copied().fold(outer, count) >= STREAMED_BYTES
            && (self.ptr as usize).is_multiple_of(CACHE_LINE)
            && self.outer.iter().all(|o| on_line(o.1))
            && self.spatial_strides[..2].iter().all(|&s| on_line(s));
    }
}

impl<'a, T> From<&'a ArrayViewD<'_, T>> for View<'a, T> {
    fn from(a: &'a ArrayViewD<'_, T>) -> Self {
        Self { ptr: a.as_ptr(), shape: a.shape(), strides: a.strides(), life: PhantomData }
    }
}

impl<'a, T> From<&'a mut ArrayViewMutD<'_, T>> for ViewMut<'a, T> {
    fn from(a: &'a mut ArrayViewMutD<'_, T>) -> Self {
        let ptr = a.as_mut_ptr();
        Self { ptr, shape: a.shape(), strides: a.strides(), life: PhantomData }
    }
}

/// A view with a shape of its own: axes in another order, merged, reversed, or a part of them.
#[derive(Debug)]
pub struct Rearranged<'a, P> {
    ptr: P,
    shape: Vec<usize>,
    strides: Vec<isize>,
    life: PhantomData<&'a ()>,
}

impl<T> View<'_, T> {
    /// The same elements, for rearranging.
    #[must_use]
    pub fn rearranged(&self) -> Rearranged<'_, *const T> {
        Rearranged { ptr: self.ptr, shape: self.shape.to_vec(), strides: self.strides.to_vec(), life: PhantomData }
    }
}

impl<T> ViewMut<'_, T> {
    /// The same elements, for rearranging.
    #[must_use]
    pub fn rearranged(&mut self) -> Rearranged<'_, *mut T> {
        Rearranged { ptr: self.ptr, shape: self.shape.to_vec(), strides: self.strides.to_vec(), life: PhantomData }
    }
}

impl<T> Rearranged<'_, *const T> {
    /// As a view.
    #[must_use]
    pub fn view(&self) -> View<'_, T> {
        View { ptr: self.ptr, shape: &self.shape, strides: &self.strides, life: PhantomData }
    }

    /// From element `n` of an axis on.
    fn skip(&mut self, axis: usize, n: usize) {
        self.ptr = self.ptr.wrapping_offset(self.strides[axis].wrapping_mul(n as isize));
    }
}

impl<T> Rearranged<'_, *mut T> {
    /// As a view.
    #[must_use]
    pub fn view(&mut self) -> ViewMut<'_, T> {
        ViewMut { ptr: self.ptr, shape: &self.shape, strides: &self.strides, life: PhantomData }
    }

    /// From element `n` of an axis on.
    fn skip(&mut self, axis: usize, n: usize) {
        self.ptr = self.ptr.wrapping_offset(self.strides[axis].wrapping_mul(n as isize));
    }
}

impl<P: Copy> Rearranged<'_, P> {
    /// Elements along each axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Puts axis `order[i]` in place `i`; every axis once.
    pub fn permute(&mut self, order: &[usize]) {
        debug_assert!((0..self.shape.len()).all(|i| order.iter().filter(|a| **a == i).count() == 1), "a permutation");
        self.shape = order.iter().map(|&a| self.shape[a]).collect();
        self.strides = order.iter().map(|&a| self.strides[a]).collect();
    }

    /// Whether the axes from `first` on can be walked as one.
    #[must_use]
    pub fn lie_together(&self, first: usize) -> bool {
        let mut within: Option<(usize, isize)> = None;
        for (&len, &stride) in self.shape[first..].iter().zip(&self.strides[first..]).rev().filter(|a| *a.0 != 1) {
            match within {
                Some((n, step)) if step.checked_mul(n as isize) != Some(stride) => return false,
                Some((n, step)) => within = Some((n.saturating_mul(len), step)),
                None => within = Some((len, stride)),
            }
        }
        true
    }

    /// Makes one axis of those from `first` on, which [lie together](Rearranged::lie_together).
    pub fn merge(&mut self, first: usize) {
        debug_assert!(self.lie_together(first), "axes that can be walked as one");
        let len = self.shape[first..].iter().product();
        let stride = self.shape.iter().zip(&self.strides).skip(first).rev().find(|a| *a.0 != 1).map_or(0, |a| *a.1);
        self.shape.truncate(first);
        self.strides.truncate(first);
        self.shape.push(len);
        self.strides.push(stride);
    }
}

macro_rules! parts {
    ($($pointer:ty),*) => {$(
        impl<T> Rearranged<'_, $pointer> {
            /// Only the elements `range` of an axis.
            pub fn part(&mut self, axis: usize, range: &std::ops::Range<usize>) {
                assert!(range.start <= range.end && range.end <= self.shape[axis], "part outside the axis");
                if !range.is_empty() {
                    self.skip(axis, range.start);
                }
                self.shape[axis] = range.len();
            }

            /// An axis from its end to its beginning.
            pub fn reverse(&mut self, axis: usize) {
                if let Some(last) = self.shape[axis].checked_sub(1) {
                    self.skip(axis, last);
                    self.strides[axis] = self.strides[axis].wrapping_neg();
                }
            }
        }
    )*};
}
parts!(*const T, *mut T);

/// Which axes of an array are spatial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axes {
    /// Number of axes.
    pub ndim: usize,
    /// Number of spatial axes, 1 to 3.
    pub rank: usize,
    /// Whether one channel axis follows the spatial ones.
    pub channels_last: bool,
}

impl Axes {
    /// # Errors
    /// If the array has fewer axes than `rank` (plus the channel axis), or more than 32.
    pub fn new(ndim: usize, rank: usize, channels_last: bool) -> Result<Self> {
        if !(1..=3).contains(&rank) {
            return Err(Error::value(format!("{rank} spatial axes: must be from 1 to 3")));
        }
        let least = rank + usize::from(channels_last);
        if ndim < least || ndim > MAX_NDIM {
            let layout = if channels_last { " with channels_last=True" } else { "" };
            return Err(Error::value(format!(
                "x.ndim = {ndim}: must be from {least} to {MAX_NDIM}, for {rank} spatial axes{layout}"
            )));
        }
        Ok(Self { ndim, rank, channels_last })
    }

    /// Position of the first spatial axis.
    #[must_use]
    pub fn first(&self) -> usize {
        self.ndim - self.rank - usize::from(self.channels_last)
    }

    /// Spatial lengths as `[D, H, W]`, unit axes in front.
    #[must_use]
    pub fn spatial(&self, shape: &[usize]) -> [usize; 3] {
        let mut s = [1; 3];
        s[3 - self.rank..].copy_from_slice(&shape[self.first()..self.first() + self.rank]);
        s
    }

    /// `shape` with other spatial lengths.
    #[must_use]
    pub fn with_spatial(&self, shape: &[usize], spatial: [usize; 3]) -> Vec<usize> {
        let mut s = shape.to_vec();
        s[self.first()..self.first() + self.rank].copy_from_slice(&spatial[3 - self.rank..]);
        s
    }
}

/// Refuses a parameter that does not have one entry for each spatial axis.
///
/// # Errors
/// Names it.
pub fn require_entries(name: &str, len: usize, rank: usize) -> Result<()> {
    if len != rank {
        return Err(Error::value(format!("{name} has {len} entries: must have {rank}, one for each spatial axis")));
    }
    Ok(())
}

/// Number of elements of a shape.
///
/// # Errors
/// If it, times `itemsize` bytes, does not fit in `isize` (lengths of zero aside).
pub fn element_count(shape: &[usize], itemsize: usize) -> Result<usize> {
    if shape.contains(&0) {
        return Ok(0);
    }
    shape
        .iter()
        .try_fold(itemsize.max(1), |n, &d| n.checked_mul(d))
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .map(|bytes| bytes / itemsize.max(1))
        .ok_or_else(|| Error::value(format!("output shape = {}: larger than 2**63 bytes", Shape(shape))))
}

/// One array in canonical form: an address, the strides of its outer axes, of D, H and W, and of the inner axis.
#[derive(Debug, Clone)]
pub struct Grid<P> {
    pub(crate) ptr: P,
    /// Lengths of D, H and W.
    pub spatial: [usize; 3],
    /// Elements along the inner (channel) axis, 1 where there is none.
    pub inner: usize,
    pub(crate) spatial_strides: [isize; 3],
    pub(crate) inner_stride: isize,
    /// Whether rows are better written past the caches.
    pub(crate) streamed: bool,
    outer: Vec<(usize, isize)>,
}

// SAFETY: a grid is a `View` in another form; reads through it are plain copies of elements.
unsafe impl<T: Send + Sync> Send for Grid<*const T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Grid<*const T> {}
// SAFETY: a grid is a `ViewMut` in another form; threads that share one store different rows (see `engine::rows`).
unsafe impl<T: Send + Sync> Send for Grid<*mut T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Grid<*mut T> {}

impl<P: Copy> Grid<P> {
    fn new(ptr: P, shape: &[usize], strides: &[isize], axes: &Axes) -> Self {
        // An axis of one element is never stepped along; its stride may be anything, so it becomes zero.
        let stride = |i: usize| if shape[i] > 1 { strides[i] } else { 0 };
        let first = axes.first();
        let mut spatial_strides = [0; 3];
        for j in 0..axes.rank {
            spatial_strides[3 - axes.rank + j] = stride(first + j);
        }
        let (inner, inner_stride) =
            if axes.channels_last { (shape[axes.ndim - 1], stride(axes.ndim - 1)) } else { (1, 0) };
        Self {
            ptr,
            spatial: axes.spatial(shape),
            inner,
            spatial_strides,
            inner_stride,
            streamed: false,
            outer: (0..first).map(|i| (shape[i], stride(i))).collect(),
        }
    }

    /// Number of outer blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.outer.iter().map(|a| a.0).product()
    }

    /// Offset, in elements, of outer block `block`.
    #[inline]
    pub(crate) fn block_offset(&self, block: usize) -> isize {
        if let [(len, stride)] = self.outer[..] {
            assert!(block < len, "block outside the array");
            return block as isize * stride;
        }
        let mut rest = block;
        let mut offset = 0;
        for &(len, stride) in self.outer.iter().rev() {
            offset += (rest % len) as isize * stride;
            rest /= len;
        }
        offset
    }

    /// Strides of the last two outer axes, 0 for one that is not there.
    pub(crate) fn outer_strides(&self) -> [isize; 2] {
        let mut last = self.outer.iter().rev().map(|a| a.1);
        let second = last.next().unwrap_or(0);
        [last.next().unwrap_or(0), second]
    }

    /// Whether the last outer axis (the channels of a channels-first array) is the one that lies closest in memory.
    pub(crate) fn lies_channels_last(&self) -> bool {
        matches!(self.outer.last(), Some(&(len, 1)) if len > 1 && self.inner == 1) && self.spatial_strides[2].abs() != 1
    }

    /// Blocks that lie interleaved in memory and so are best visited in turns: the channels of an array that lies
    /// channels-last, else 1.
    pub(crate) fn interleaved(&self) -> usize {
        if self.lies_channels_last() { self.outer.last().map_or(1, |a| a.0) } else { 1 }
    }

    fn promote_channels(&mut self) {
        if let Some((len, stride)) = self.outer.pop() {
            (self.inner, self.inner_stride) = (len, stride);
        }
    }
}

impl<T> Grid<*const T> {
    /// Some of the inner channels.
    pub(crate) fn of_channels(&self, channels: &Range<usize>) -> Self {
        assert!(channels.end <= self.inner, "channels outside the array");
        let ptr = self.ptr.wrapping_offset(channels.start as isize * self.inner_stride);
        Self { ptr, inner: channels.len(), ..self.clone() }
    }
}

impl<T> Grid<*const T> {
    /// Block `outer` of the first outer axis, if there is more than the one of channels, and of its spatial axes some.
    pub(crate) fn part(&self, outer: usize, first: [usize; 3], lens: [usize; 3]) -> Self {
        let mut part = self.clone();
        for (i, stride) in first.into_iter().zip(self.spatial_strides) {
            part.ptr = part.ptr.wrapping_offset((i as isize).wrapping_mul(stride));
        }
        part.spatial = lens;
        if part.outer.len() > 1 {
            part.ptr = part.ptr.wrapping_offset((outer as isize).wrapping_mul(part.outer[0].1));
            part.outer[0].0 = 1;
        }
        part
    }
}

impl<T> Grid<*mut T> {
    /// The array as one to be read: what has been written to it.
    pub(crate) fn to_be_read(&self) -> Grid<*const T> {
        let &Self { ptr, spatial, inner, spatial_strides, inner_stride, streamed, ref outer } = self;
        Grid { ptr: ptr.cast_const(), spatial, inner, spatial_strides, inner_stride, streamed, outer: outer.clone() }
    }

    /// Some of the inner channels.
    pub(crate) fn of_channels(&self, channels: &Range<usize>) -> Self {
        assert!(channels.end <= self.inner, "channels outside the array");
        let ptr = self.ptr.wrapping_offset(channels.start as isize * self.inner_stride);
        Self { ptr, inner: channels.len(), ..self.clone() }
    }
}

/// Something in canonical form, whatever its element type.
pub trait Canonical {
    /// See [`simplify`].
    fn outer(&mut self) -> &mut Vec<(usize, isize)>;
    /// See [`simplify`].
    fn move_channels_inside(&mut self);
}

impl<P: Copy> Grid<P> {
    /// Whether D, H and W can be walked as one axis.
    #[must_use]
    pub fn spatial_is_flat(&self) -> bool {
        let [d, h, w] = self.spatial;
        let [sd, sh, sw] = self.spatial_strides;
        let joins = |outer: usize, outer_stride: isize, len: usize, stride: isize| {
            outer == 1 || stride.checked_mul(len as isize) == Some(outer_stride)
        };
        let row = if w == 1 { sh } else { sw };
        let hw = h * w;
        (w == 1 || joins(h, sh, w, sw)) && (hw == 1 || joins(d, sd, hw, if hw == 1 { sd } else { row }))
    }

    /// D, H and W as one axis, after [`Grid::spatial_is_flat`].
    pub fn flatten_spatial(&mut self) {
        let [d, h, w] = self.spatial;
        let [sd, sh, sw] = self.spatial_strides;
        let step = if w > 1 {
            sw
        } else if h > 1 {
            sh
        } else {
            sd
        };
        self.spatial = [1, 1, d * h * w];
        self.spatial_strides = [0, 0, step];
    }

    /// Blocks of one row each, after [`Grid::flatten_spatial`], as one row, as far as they lie one after the other: for what does
    /// not matter how many there are.
    pub fn flatten_blocks(&mut self) {
        while let Some(&(len, stride)) = self.outer.last()
            && self.inner == 1
            && self.spatial[..2] == [1, 1]
            && self.spatial_strides[2].checked_mul(self.spatial[2] as isize) == Some(stride)
        {
            self.spatial[2] *= len;
            self.outer.pop();
        }
    }

    /// Channels as the last outer axis, whatever the layout, for operations that mix them: blocks are `n*C + c`. An
    /// array without batch or channel axis gets unit ones.
    pub(crate) fn channels_outside(
        ptr: P,
        shape: &[usize],
        strides: &[isize],
        rank: usize,
        channels_last: bool,
    ) -> Self {
        let extra = shape.len() - rank;
        let axes = Axes { ndim: shape.len(), rank, channels_last: channels_last && extra > 0 };
        let mut grid = Self::new(ptr, shape, strides, &axes);
        if axes.channels_last {
            grid.outer.push((grid.inner, grid.inner_stride));
            (grid.inner, grid.inner_stride) = (1, 0);
        }
        grid
    }
}

impl<P: Copy> Canonical for Grid<P> {
    fn outer(&mut self) -> &mut Vec<(usize, isize)> {
        &mut self.outer
    }
    fn move_channels_inside(&mut self) {
        self.promote_channels();
    }
}

/// Merges the outer axes of several arrays wherever all of them allow it, then makes the channel axis the inner one of
/// all if `source` lies channels-last in memory. The arrays must have the same outer lengths.
pub fn simplify<P: Copy>(source: &mut Grid<P>, others: &mut [&mut dyn Canonical]) {
    let mut axis = source.outer.len();
    while axis > 1 {
        axis -= 1;
        let mergeable = |outer: &[(usize, isize)]| {
            let ((before, outer_stride), (len, stride)) = (outer[axis - 1], outer[axis]);
            len == 1 || before == 1 || stride.checked_mul(len as isize) == Some(outer_stride)
        };
        if mergeable(&source.outer) && others.iter_mut().all(|g| mergeable(g.outer())) {
            let merge = |outer: &mut Vec<(usize, isize)>| {
                let (len, stride) = outer.remove(axis);
                let before = &mut outer[axis - 1];
                *before = (before.0 * len, if len == 1 { before.1 } else { stride });
            };
            merge(&mut source.outer);
            others.iter_mut().for_each(|g| merge(g.outer()));
        }
    }
    if source.lies_channels_last() {
        source.move_channels_inside();
        others.iter_mut().for_each(|g| g.move_channels_inside());
    }
}
