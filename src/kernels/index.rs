//! Moves by index: scatter into a tile of a spatial block, gather from a block.
//!
//! An index is read once and the value read is the one that is checked: the caller's memory may change in between.

use std::cell::Cell;
use std::mem::MaybeUninit;

use crate::element::chosen;
use crate::engine::rows::as_cells;
use crate::engine::simd::{Job, Level};

/// Smallest and largest index.
#[derive(Debug)]
pub struct Extent<'a>(pub &'a [Cell<i64>]);

impl Job for Extent<'_> {
    type Output = (i64, i64);
    #[inline(always)]
    fn run<L: Level>(self, _: L) -> (i64, i64) {
        self.0.iter().fold((i64::MAX, i64::MIN), |(lo, hi), i| (lo.min(i.get()), hi.max(i.get())))
    }
}

/// Applies `put` to the tile's element of each index (those outside the tile are passed over), in order, or in reverse
/// order. The tile begins at flat index `from`; channels lie inside.
#[inline(always)]
pub fn scatter<T: Copy, A>(
    indices: &[Cell<i64>],
    values: &[Cell<T>],
    from: usize,
    inner: usize,
    reverse: bool,
    tile: &mut [A],
    put: impl Fn(&mut A, T),
) {
    let n = indices.len().min(values.len());
    let (indices, values) = (&indices[..n], &values[..n]);
    // One bounds check both keeps to the tile and passes over what is outside it.
    if inner == 1 && !reverse {
        for (index, v) in indices.iter().zip(values) {
            let at = (index.get() as u64).wrapping_sub(from as u64);
            if let Some(element) = usize::try_from(at).ok().and_then(|at| tile.get_mut(at)) {
                put(element, v.get());
            }
        }
        return;
    }
    let len = tile.len() / inner.max(1);
    for k in 0..n {
        let position = if reverse { n - 1 - k } else { k };
        let at = (indices[position].get() as u64).wrapping_sub(from as u64);
        if at < len as u64
            && let Some(element) = tile.get_mut(at as usize * inner + position % inner)
        {
            put(element, values[position].get());
        }
    }
}

/// Pooled rows put back by pairs: element `i` of a row belongs in its own window, two wide, if its index says so, and
/// zeros go everywhere else. Returns how many elements found their place.
///
/// Several rows that lie one after the other are compared as one, so that short rows leave no remainders.
pub struct Settle<'a, T, I, D> {
    /// Indices of the pooled rows.
    pub indices: &'a [Cell<I>],
    /// Values of the pooled rows.
    pub values: &'a [Cell<T>],
    /// Index of the first window's first element.
    pub first: i64,
    /// Each window's first element, counted from the first window's: as long as `indices`, or longer.
    pub windows: &'a [i32],
    /// Elements of a pooled row.
    pub width: usize,
    /// Rows of a window, and the distance of each from the window's first element.
    pub rows: &'a [i32],
    /// Scratch: three times as long as `indices`.
    pub places: &'a mut [i32],
    /// Scratch: twice as long as `indices`.
    pub halves: &'a mut [T],
    /// Takes an output row: `(row of a window, pooled row, how to write it)`.
    pub put: D,
}

/// Where [`Settle`] puts its rows.
pub trait PutRow<T> {
    /// The output row for row `of` of the windows of pooled row `row`.
    fn row(&mut self, of: usize, row: usize) -> &mut [MaybeUninit<T>];
    /// That row has been written.
    fn finish<L: Level>(&mut self, level: L, of: usize, row: usize);
}

/// An index as it is stored.
pub trait Index: Copy {
    /// Its distance from `first`, if that is below 2^31, else something that is no place in any window.
    fn from(self, first: i64) -> i32;
}
impl Index for i64 {
    #[inline(always)]
    fn from(self, first: i64) -> i32 {
        let distance = self.wrapping_sub(first);
        chosen(distance as u64 >> 31 == 0, distance as i32, -1)
    }
}

impl<T: Copy + Default, I: Index, D: PutRow<T>> Job for Settle<'_, T, I, D> {
    type Output = usize;
    #[inline(always)]
    fn run<L: Level>(mut self, level: L) -> usize {
        let n = self.values.len();
        let places = &mut self.places[..n];
        for ((place, index), window) in places.iter_mut().zip(self.indices).zip(self.windows) {
            *place = index.get().from(self.first) - window;
        }
        let (even, odd) = self.halves[..2 * n].split_at_mut(n);
        let mut found = 0i32;
        for (of, &distance) in self.rows.iter().enumerate() {
            let halves = even.iter_mut().zip(odd.iter_mut());
            for (((even, odd), place), v) in halves.zip(&*places).zip(self.values) {
                let (v, at) = (v.get(), *place - distance);
                *even = chosen(at == 0, v, T::default());
                *odd = chosen(at == 1, v, T::default());
                found += i32::from((at as u32) < 2);
            }
            let parts = even.chunks_exact_mut(self.width).zip(odd.chunks_exact_mut(self.width));
            for (row, (even, odd)) in parts.enumerate() {
                level.zip(Some(as_cells(even)), Some(as_cells(odd)), self.put.row(of, row));
                self.put.finish(level, of, row);
            }
        }
        found as usize
    }
}

/// `dst[i] = source(indices[i], channel)`.
#[inline(always)]
pub fn gather<T: Copy>(
    indices: &[Cell<i64>],
    inner: usize,
    dst: &mut [MaybeUninit<T>],
    source: impl Fn(i64, usize) -> T,
) {
    for (i, (d, index)) in dst.iter_mut().zip(indices).enumerate() {
        d.write(source(index.get(), if inner == 1 { 0 } else { i % inner }));
    }
}
