//! Single elements of caller memory, at places that come from data.
//!
//! A place is checked against its array when it is noted, and noted in memory of our own: what another thread does to
//! the data it came from meanwhile cannot move it. Only the array that a list of places was made for is read by it.

use std::cell::Cell;
use std::marker::PhantomData;

use super::room::{Room, scratch};
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
        Ok(Self { grid, along, offsets: scratch(corners * run)?, taps, run })
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
        simd::dispatch(Combine { along, taps: *taps, run: *run, n, offsets });
    }

    /// Reads some blocks at the places of corner `corner` and those after it.
    #[inline]
    #[must_use]
    pub fn of_blocks<const G: usize>(&self, blocks: [usize; G], corner: usize) -> Blocks<'_, T, G> {
        let mut origins = [self.grid.ptr; G];
        for (origin, &block) in origins.iter_mut().zip(&blocks) {
            // SAFETY: the offset of an index of the array (`block_offset` reduces the block's number or refuses it).
            *origin = unsafe { origin.offset(self.grid.block_offset(block)) };
        }
        let inner = if self.grid.inner == 1 || self.grid.inner_stride == 1 { self.grid.inner } else { 0 };
        Blocks { origins, offsets: &self.offsets[corner * self.run..], inner, life: PhantomData }
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

/// Sums of one offset along each axis.
struct Combine<'a> {
    along: &'a [Room<isize>; 3],
    taps: usize,
    run: usize,
    n: usize,
    offsets: &'a mut [isize],
}

impl Job for Combine<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Self { along: [d, h, w], taps, run, n, offsets } = self;
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
    }
}

/// Some blocks of an array, to be read at the same places.
#[derive(Clone, Copy)]
pub struct Blocks<'a, T, const G: usize> {
    /// Where each begins.
    origins: [*const T; G],
    /// Of the places.
    offsets: &'a [isize],
    /// Elements that lie next to each other at every place; 0 where they do not.
    inner: usize,
    life: PhantomData<&'a Cell<T>>,
}

impl<'a, T: Copy, const G: usize> Blocks<'a, T, G> {
    /// The places from `start` on, `n` of them.
    #[inline(always)]
    #[must_use]
    pub fn part(&self, start: usize, n: usize) -> Self {
        Self { offsets: &self.offsets[start..][..n], ..*self }
    }

    /// Each block's element at place `i`, read once. (The first, if several lie there.)
    #[inline(always)]
    #[must_use]
    pub fn get(&self, i: usize) -> [T; G] {
        let offset = self.offsets[i];
        // SAFETY: `Places` made the origin from a block and the offset from a position along each axis of the same
        // array, all within it, so this is the address of an element, which the array's view keeps readable.
        let element = |g: usize| unsafe { self.origins[g].offset(offset).read() };
        let mut values = [element(0); G];
        for (g, value) in values.iter_mut().enumerate().skip(1) {
            *value = element(g);
        }
        values
    }

    /// The first block's elements at place `i`, all channels. Empty if they do not lie next to each other.
    #[inline(always)]
    #[must_use]
    pub fn row(&self, i: usize) -> &'a [Cell<T>] {
        let offset = self.offsets[i];
        // SAFETY: as in `get`, for `inner` elements a stride of 1 apart, or one alone, or none; `Cell` allows for another
        // thread's writes to be seen.
        unsafe { std::slice::from_raw_parts(self.origins[0].offset(offset).cast::<Cell<T>>(), self.inner) }
    }

    /// The same as what is computed with, if elements are stored so.
    #[inline(always)]
    #[must_use]
    pub fn computed<C: Codec<Stored = T>>(&self) -> Option<Blocks<'a, C::Computed, G>> {
        let mut origins = [std::ptr::null(); G];
        for (to, from) in origins.iter_mut().zip(&self.origins) {
            // SAFETY: the first element of a block; see `get`.
            let first = unsafe { std::slice::from_raw_parts(from.cast::<Cell<T>>(), 1) };
            *to = C::borrow(first)?.as_ptr().cast();
        }
        Some(Blocks { origins, offsets: self.offsets, inner: self.inner, life: PhantomData })
    }
}
