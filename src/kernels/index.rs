//! Moves by index: scatter into a tile of a spatial block, gather from a block.
//!
//! An index is read once and the value read is the one that is checked: the caller's memory may change in between.

use std::cell::Cell;
use std::mem::MaybeUninit;

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

/// One output row of an unpooling by pairs: element `i` belongs on `2*i` or `2*i + 1` if its index says so, and zeros go
/// everywhere else. Returns how many found their place in this row.
pub struct Settle<'a, T> {
    /// Indices of the pooled row.
    pub indices: &'a [Cell<i64>],
    /// Values of the pooled row.
    pub values: &'a [Cell<T>],
    /// Index of the output row's first element.
    pub first: i64,
    /// Scratch, as long as the output row.
    pub halves: &'a mut [T],
    /// The output row, twice as long.
    pub dst: &'a mut [MaybeUninit<T>],
}

impl<T: Copy + Default> Job for Settle<'_, T> {
    type Output = usize;
    #[inline(always)]
    fn run<L: Level>(self, level: L) -> usize {
        let n = self.values.len();
        let (even, odd) = self.halves[..2 * n].split_at_mut(n);
        let found = settle(self.indices, self.values, self.first, even, odd);
        level.zip(Some(as_cells(even)), Some(as_cells(odd)), self.dst);
        found
    }
}

#[inline(always)]
fn settle<T: Copy + Default>(
    indices: &[Cell<i64>],
    values: &[Cell<T>],
    first: i64,
    even: &mut [T],
    odd: &mut [T],
) -> usize {
    let (mut at, mut found) = (first, 0i64);
    for (((index, v), even), odd) in indices.iter().zip(values).zip(even).zip(odd) {
        let (place, v) = (index.get().wrapping_sub(at), v.get());
        *even = if place == 0 { v } else { T::default() };
        *odd = if place == 1 { v } else { T::default() };
        found += i64::from((place as u64) < 2);
        at += 2;
    }
    found as usize
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
