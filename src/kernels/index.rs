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

/// Elements settled at once.
const LANES: usize = 64;

/// One output row of an unpooling by pairs: element `i` belongs on `2*i` or `2*i + 1` if its index says so, and zeros go
/// everywhere else. Returns how many found their place in this row.
pub struct Settle<'a, T> {
    /// Indices of the pooled row.
    pub indices: &'a [Cell<i64>],
    /// Values of the pooled row.
    pub values: &'a [Cell<T>],
    /// Index of the output row's first element.
    pub first: i64,
    /// The output row, twice as long.
    pub dst: &'a mut [MaybeUninit<T>],
}

impl<T: Copy + Default> Job for Settle<'_, T> {
    type Output = usize;
    #[inline(always)]
    fn run<L: Level>(self, level: L) -> usize {
        let Self { indices, values, first, dst } = self;
        let mut found = 0;
        let (mut even, mut odd) = ([T::default(); LANES], [T::default(); LANES]);
        let parts = indices.chunks(LANES).zip(values.chunks(LANES)).zip(dst.chunks_mut(2 * LANES));
        for (part, ((indices, values), dst)) in parts.enumerate() {
            let n = values.len();
            let start = first + (part * LANES * 2) as i64;
            let mut hits = 0u32;
            for i in 0..n {
                let place = indices[i].get().wrapping_sub(start + 2 * i as i64);
                let v = values[i].get();
                even[i] = if place == 0 { v } else { T::default() };
                odd[i] = if place == 1 { v } else { T::default() };
                hits += u32::from(place == 0) + u32::from(place == 1);
            }
            found += hits as usize;
            level.zip(Some(&as_cells(&mut even)[..n]), Some(&as_cells(&mut odd)[..n]), dst);
        }
        found
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
