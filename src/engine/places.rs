//! Single elements of caller memory, at places that come from data.
//!
//! A place is checked against its array when it is noted, and noted in memory of our own: what another thread does to
//! the data it came from meanwhile cannot move it. Only the array that a list of places was made for is read by it.

use std::cell::Cell;
use std::marker::PhantomData;

use super::room::{Room, scratch};
use super::rows::as_uninit;
use super::simd::{self, Job, Level};
use crate::element::Codec;
use crate::error::Result;
use crate::layout::Grid;

/// Places within a block of an array: all combinations of some places along D, H and W, for each of a run of points.
pub struct Places<'a, T> {
    grid: &'a Grid<*const T>,
    /// For D, H and W the offsets of `taps` places, each for all points: a position below the axis' length, times the
    /// axis' stride. (Zeros, at first, are position 0.)
    along: [Room<isize>; 3],
    /// Sums of one offset along each axis, D slowest.
    offsets: Room<isize>,
    taps: usize,
    run: usize,
    /// Whether the places along W are, for each point, one behind the other in memory.
    neighbours: bool,
}

impl<'a, T: Copy> Places<'a, T> {
    /// Room for `taps` places along each of the last `rank` axes and `run` points. The array must not be empty.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn new(grid: &'a Grid<*const T>, rank: usize, taps: usize, run: usize) -> Result<Self> {
        assert!(
            grid.spatial.iter().all(|&n| n > 0) && grid.blocks() > 0 && grid.inner > 0,
            "no elements to have places"
        );
        let axis = |a: usize| scratch(if a + rank >= 3 { taps * run } else { run });
        let along = [axis(0)?, axis(1)?, axis(2)?];
        let corners = (3 - rank.min(3)..3).fold(1, |n, _| n * taps);
        Ok(Self { grid, along, offsets: scratch(corners * run)?, taps, run, neighbours: false })
    }

    /// Notes the positions of tap `tap` along an axis (0: D). Panics on one outside the array: that is what makes the
    /// functions below safe.
    pub fn note(&mut self, axis: usize, tap: usize, at: &[usize]) {
        let (len, stride) = (self.grid.spatial[axis], self.grid.spatial_strides[axis]);
        let offsets = &mut self.along[axis][tap * self.run..][..at.len()];
        assert!(simd::dispatch(Note { at, len, stride, offsets }), "place outside the array");
    }

    /// Combines what has been noted for the first `n` points.
    pub fn combine(&mut self, n: usize) {
        let Self { along, offsets, run, taps, .. } = self;
        self.neighbours = simd::dispatch(Combine { along, taps: *taps, run: *run, n, offsets });
    }

    /// Reads a block at the places.
    #[inline]
    #[must_use]
    pub fn of_block(&self, block: usize) -> Block<'_, T> {
        // SAFETY: the offset of an index of the array (`block_offset` reduces the block's number or refuses it).
        let origin = unsafe { self.grid.ptr.offset(self.grid.block_offset(block)) };
        let inner = if self.grid.inner == 1 || self.grid.inner_stride == 1 { self.grid.inner } else { 0 };
        let pairs = if self.neighbours && self.taps.is_multiple_of(2) { self.run } else { 0 };
        Block { origin, offsets: &self.offsets, inner, pairs, life: PhantomData }
    }
}

/// Offsets of positions; whether all of them are below `len`. One that is not becomes position 0.
struct Note<'a> {
    at: &'a [usize],
    len: usize,
    stride: isize,
    offsets: &'a mut [isize],
}

impl Job for Note<'_> {
    type Output = bool;
    #[inline(always)]
    fn run<L: Level>(self, _: L) -> bool {
        let mut within = true;
        for (offset, &p) in self.offsets.iter_mut().zip(self.at) {
            let known = p < self.len;
            within &= known;
            *offset = if known { p as isize } else { 0 } * self.stride;
        }
        within
    }
}

/// Sums of one offset along each axis; whether those of W are, for each point, one after the other.
struct Combine<'a> {
    along: &'a [Room<isize>; 3],
    taps: usize,
    run: usize,
    n: usize,
    offsets: &'a mut [isize],
}

impl Job for Combine<'_> {
    type Output = bool;
    #[inline(always)]
    fn run<L: Level>(self, _: L) -> bool {
        let Self { along: [d, h, w], taps, run, n, offsets } = self;
        let mut neighbours = true;
        for (w, next) in w.chunks_exact(run).zip(w.chunks_exact(run).skip(1)) {
            for (w, next) in w[..n].iter().zip(next) {
                neighbours &= next.wrapping_sub(*w) == 1;
            }
        }
        let mut corners = offsets.chunks_exact_mut(run);
        for d in d.chunks_exact(run) {
            for h in h.chunks_exact(run) {
                for (w, corner) in w.chunks_exact(run).take(taps).zip(&mut corners) {
                    for (((o, d), h), w) in corner[..n].iter_mut().zip(d).zip(h).zip(w) {
                        *o = d + h + w;
                    }
                }
            }
        }
        neighbours
    }
}

/// A block of an array, to be read at places.
#[derive(Clone, Copy)]
pub struct Block<'a, T> {
    /// Where it begins.
    origin: *const T,
    /// Of the places.
    offsets: &'a [isize],
    /// Elements that lie next to each other at every place; 0 where they do not.
    inner: usize,
    /// If not zero, places come in pairs of such runs, of which the second lie one element behind the first.
    pairs: usize,
    life: PhantomData<&'a Cell<T>>,
}

impl<'a, T: Copy> Block<'a, T> {
    /// The element at place `i`, read once. (The first, if several lie there.)
    #[inline(always)]
    #[must_use]
    pub fn get(&self, i: usize) -> T {
        // SAFETY: `Places` made the origin from a block and the offset from a position along each axis of the same
        // array, all within it, so this is the address of an element, which the array's view keeps readable.
        unsafe { self.origin.offset(self.offsets[i]).read() }
    }

    /// The elements at the places from `first` on, each as [`Block::get`] reads it.
    #[inline(always)]
    pub fn read<L: Level>(&self, level: L, first: usize, to: &mut [T]) {
        let offsets = &self.offsets[first..][..to.len()];
        // SAFETY: as in `get`, for each of the offsets.
        unsafe { level.gather(self.origin, offsets, as_uninit(to)) }
    }

    /// The elements at the places from `first` on, and at those `run` after them, if the former are a corner of even number:
    /// both at once where they lie together.
    #[inline(always)]
    pub fn read_pairs<L: Level>(&self, level: L, first: usize, run: usize, to: [&mut [T]; 2]) {
        let [to, behind] = to;
        let (offsets, later) = (&self.offsets[first..][..to.len()], &self.offsets[first + run..][..behind.len()]);
        // SAFETY: as in `get`, for each of the offsets. With pairs, `Places` has seen that the offsets of a second run, which
        // are such too, are each one more than that of the first; a run begins with its corner.
        unsafe {
            if self.pairs == run && (first / run).is_multiple_of(2) && to.len() <= run - first % run {
                level.gather_pairs(self.origin, offsets, as_uninit(to), as_uninit(behind));
            } else {
                level.gather(self.origin, offsets, as_uninit(to));
                level.gather(self.origin, later, as_uninit(behind));
            }
        }
    }

    /// The elements at place `i`, all channels. Empty if they do not lie next to each other.
    #[inline(always)]
    #[must_use]
    pub fn row(&self, i: usize) -> &'a [Cell<T>] {
        let offset = self.offsets[i];
        // SAFETY: as in `get`, for `inner` elements a stride of 1 apart, or one alone, or none; `Cell` allows for another
        // thread's writes to be seen.
        unsafe { std::slice::from_raw_parts(self.origin.offset(offset).cast::<Cell<T>>(), self.inner) }
    }

    /// The same as what is computed with, if elements are stored so.
    #[inline(always)]
    #[must_use]
    pub fn computed<C: Codec<Stored = T>>(&self) -> Option<Block<'a, C::Computed>> {
        // SAFETY: the first element of a block; see `get`.
        let first = unsafe { std::slice::from_raw_parts(self.origin.cast::<Cell<T>>(), 1) };
        let origin = C::borrow(first)?.as_ptr().cast();
        Some(Block { origin, offsets: self.offsets, inner: self.inner, pairs: self.pairs, life: PhantomData })
    }
}
