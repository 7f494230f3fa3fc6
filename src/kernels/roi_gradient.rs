//! Gradients of regions of interest: a mean's is spread over the elements it was taken of, a maximum's element is looked
//! for.

use std::cell::Cell;
use std::ops::Range;

use super::roi::{Bins, Run, Source, fma, rises, weighted};
use crate::element::{Real, chosen};
use crate::engine::simd::{Job, Level};

/// No place: a row outside the tile.
pub const NOWHERE: usize = usize::MAX;

/// Gradients of bins, one row for each bin of `which`, to the rows those bins took.
pub struct Spread<'a, T> {
    /// Bins along the rows.
    pub bins: Bins<'a, T>,
    /// Those whose gradients these are.
    pub which: Range<usize>,
    /// Where the row of each place begins in `acc`, or [`NOWHERE`].
    pub rows: &'a [usize],
    /// Columns, from a row of gradients to a row of `acc`.
    pub runs: &'a [Run],
    /// The gradients, in rows of `width` elements.
    pub src: &'a [T],
    /// Elements of a row of gradients.
    pub width: usize,
    /// What they are added to.
    pub acc: &'a mut [T],
}

impl<T: Real> Job for Spread<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        for (o, src) in self.which.zip(self.src.chunks_exact(self.width)) {
            let (places, weights) = self.bins.at(o);
            for (&p, &w) in places.iter().zip(weights) {
                let start = self.rows[p];
                if start == NOWHERE {
                    continue;
                }
                for run in self.runs {
                    let acc = &mut self.acc[start + run.to..][..run.len];
                    for (a, &g) in acc.iter_mut().zip(&src[run.from..][..run.len]) {
                        *a = fma::<T, L>(w, g, *a);
                    }
                }
            }
        }
    }
}

/// A number of an element of a bin: as wide as an element where bins have fewer than 2^32, so that both fit in vectors of
/// the same length.
pub trait Number: Copy + Default + Send + Sync + 'static {
    /// From a count.
    fn of(n: usize) -> Self;
    /// Quotient and remainder by the columns of a bin.
    fn split(self, columns: usize) -> (usize, usize);
}
impl Number for u32 {
    #[inline(always)]
    fn of(n: usize) -> Self {
        n as Self
    }
    #[inline(always)]
    fn split(self, columns: usize) -> (usize, usize) {
        let columns = columns as Self;
        ((self / columns) as usize, (self % columns) as usize)
    }
}
impl Number for u64 {
    #[inline(always)]
    fn of(n: usize) -> Self {
        n as Self
    }
    #[inline(always)]
    fn split(self, columns: usize) -> (usize, usize) {
        let columns = columns as Self;
        ((self / columns) as usize, (self % columns) as usize)
    }
}

/// Looks through the rows at hand for the maxima of one row of bins; the first in row-major order stays.
pub struct Locate<'a, T, N, S> {
    /// The rows of the window.
    pub src: S,
    /// Places whose rows are at hand; those before have been looked through.
    pub window: Range<usize>,
    /// Bins along the rows.
    pub bins: Bins<'a, (T, T)>,
    /// The one these are.
    pub bin: usize,
    /// Bins along the columns.
    pub across: Bins<'a, (T, T)>,
    /// Where each place begins in a row, in columns.
    pub columns: &'a [usize],
    /// Channels of each column.
    pub inner: usize,
    /// The maxima, for each bin and channel.
    pub values: &'a mut [T],
    /// Which of the bin's elements they are, counted row by row.
    pub which: &'a mut [N],
}

impl<'r, T: Real, N: Number, S: Source<'r, T>> Job for Locate<'_, T, N, S> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let (rows, weights, before) = self.bins.within(self.bin, &self.window);
        let (values, which) = (self.values.chunks_exact_mut(self.inner), self.which.chunks_exact_mut(self.inner));
        for (o, (values, which)) in values.zip(which).enumerate() {
            if before == 0 {
                values.fill(T::of(f64::NEG_INFINITY)); // which all of its elements may be: then it is the first
                which.fill(N::default());
            }
            let (columns, across) = self.across.at(o);
            let mut number = before * columns.len();
            for (&y, &down) in rows.iter().zip(weights) {
                let src = self.src.row(y);
                for (&x, &across) in columns.iter().zip(across) {
                    let src = &src[self.columns[x] * self.inner..][..self.inner];
                    consider(src, (down, across), N::of(number), values, which);
                    number += 1;
                }
            }
        }
    }
}

/// All channels of one element.
#[inline(always)]
fn consider<T: Real, N: Number>(
    src: &[Cell<T>],
    (down, across): ((T, T), (T, T)),
    number: N,
    values: &mut [T],
    which: &mut [N],
) {
    for ((v, held), which) in src.iter().zip(values).zip(which) {
        let v = weighted(across, weighted(down, v.get()));
        let better = rises(v, *held);
        *held = chosen(better, v, *held);
        *which = chosen(better, number, *which);
    }
}
