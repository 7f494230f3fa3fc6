//! The one inner loop of all convolutions: a tile of sums of products, held in registers.
//!
//! `sums[r][l] = sum over steps of row_r[a] * lanes[b + l]`: every step takes one factor for each row and some vectors of
//! lanes, at offsets that a table gives. So a tile knows nothing of kernels, channels, strides or layouts: weights are
//! read where they lie, and no patch of the input is ever copied for its sake.

use std::ops::Range;

use super::simd::{Job, Level};
use crate::element::{Laned, Vector};

/// A loop of at most eight turns, written out: left a loop, the compiler vectorises it over the rows of a tile of one
/// column, and scatters.
macro_rules! each {
    ($i:ident < $n:ident, $body:block) => {
        each!(@ $i $n $body 0 1 2 3 4 5 6 7)
    };
    (@ $i:ident $n:ident $body:block $($at:literal)*) => {
        $(
            if $at < $n {
                let $i = $at;
                $body
            }
        )*
    };
}

/// What is summed: `outer` times the steps of a table.
#[derive(Debug, Clone, Copy)]
pub struct Steps<'a> {
    /// Repetitions.
    pub outer: usize,
    /// How far it is from each step to the next, in the rows and in the lanes; from the last to the next repetition.
    /// (Offsets from the repetition's begin would have to be added to it for each row: where the table is short, that took
    /// as long as the products.)
    pub table: &'a [(isize, isize)],
}

/// The steps that lie at these offsets, where a repetition is `advance` from the one before.
pub fn walk(offsets: &[(isize, isize)], advance: (isize, isize)) -> Vec<(isize, isize)> {
    let Some(first) = offsets.first() else { return Vec::new() };
    let again = (first.0.wrapping_add(advance.0), first.1.wrapping_add(advance.1));
    let next = offsets[1..].iter().chain(std::iter::once(&again));
    offsets.iter().zip(next).map(|(a, b)| (b.0.wrapping_sub(a.0), b.1.wrapping_sub(a.1))).collect()
}

// Tried and of no help: one running offset for all rows in place of a pointer for each (24 operations a step instead of 31,
// and no faster on a Zen 3 core: what is waited for is the lanes).

/// Most products added one after the other. The error of a sum grows with its length: in parts of 256, those of 4,608 have
/// a quarter of it, and adding the parts takes a hundredth of the time.
pub const LONGEST_SUM: usize = 256;

/// Most rows of a tile.
pub const MOST_ROWS: usize = 8;

/// Vectors in the columns of a tile of `rows` rows.
#[inline(always)]
pub fn columns<L: Level, T: Laned>(rows: usize) -> usize {
    let columns = if rows <= L::TILE.0 / 2 { L::WIDE_TILE } else { L::TILE.1 };
    columns.min(T::LARGEST.1)
}

/// Most rows a tile may have.
#[inline(always)]
pub fn most_rows<L: Level, T: Laned>() -> usize {
    L::TILE.0.min(T::LARGEST.0)
}

/// Cuts `n` into the fewest parts of at most `most`, as even as can be; returns part `i`.
#[inline(always)]
pub fn even_part(n: usize, most: usize, i: usize) -> Range<usize> {
    let parts = n.div_ceil(most).max(1);
    n * i / parts..n * (i + 1) / parts
}

/// A tile: its factors, and where its sums go.
#[derive(Debug, Clone, Copy)]
pub struct Tile<'a, T> {
    /// Rows, at most [`most_rows`].
    pub rows: usize,
    /// The first factor of the first row, and the distance of rows. (A pointer for each row, as was tried first, took 31
    /// operations a step instead of 25.)
    pub factors: (*const T, isize),
    /// The first lane.
    pub lanes: *const T,
    /// Vectors of lanes.
    pub columns: usize,
    /// What is summed.
    pub steps: Steps<'a>,
    /// Where each row's sums begin; without, they begin at zero and are added to those that are there. (By way of
    /// memory of their own k3s1 of 64 channels took 3 % longer.)
    pub begin: Option<&'a [T]>,
    /// The first row's sums, and the distance to the next row's.
    pub to: *mut T,
    /// See `to`.
    pub pitch: usize,
}

/// A tile as a job of its own: all its shapes are much code. (Made by [`Tile::run`] alone, whose caller promises
/// what must hold.)
struct Apart<'a, T>(Tile<'a, T>);

impl<T: Laned> Job for Apart<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        // SAFETY: as the caller of `Tile::run` promises.
        unsafe { self.0.sum::<L>() };
    }
}

impl<T: Laned> Tile<'_, T> {
    /// Computes the sums.
    ///
    /// # Safety
    /// For every row and every step the factor must be readable, as must `columns` vectors of lanes; each row's sums must
    /// be writeable.
    #[inline(always)]
    pub unsafe fn run<L: Level>(self, level: L) {
        level.call(Apart(self));
    }

    /// [`Tile::run`], in the caller.
    ///
    /// # Safety
    /// As [`Tile::run`].
    #[inline(always)]
    unsafe fn sum<L: Level>(self) {
        macro_rules! shapes {
            ($($m:literal x $($v:literal)*;)*) => {
                match (self.rows, self.columns) {
                    $($(
                        ($m, $v) if const { fits::<L, T>($m, $v) } => {
                            // SAFETY: as the caller promises.
                            unsafe { self.fixed::<L, $m, $v>() }
                        }
                    )*)*
                    // SAFETY: as the caller promises, for one row and one vector at a time.
                    _ => unsafe { self.singly::<L>() },
                }
            };
        }
        shapes! {
            1 x 1 2 3 4 5 6;
            2 x 1 2 3 4 5 6;
            3 x 1 2 3 4 5 6;
            4 x 1 2 3 4 5 6;
            5 x 1 2 3;
            6 x 1 2 3;
            7 x 1 2 3;
            8 x 1 2 3;
        }
    }

    /// [`Tile::run`] for any shape.
    ///
    /// # Safety
    /// As [`Tile::run`].
    #[inline(always)]
    unsafe fn singly<L: Level>(self) {
        let width = L::Register::<T>::LANES;
        for r in 0..self.rows {
            for v in 0..self.columns {
                let begin = self.begin.map(|b| &b[r..=r]);
                let lanes = self.lanes.wrapping_add(v * width);
                let factors = (self.factors.0.wrapping_offset((r as isize).wrapping_mul(self.factors.1)), 0);
                // SAFETY: as the caller promises: this is row `r` and vector `v`.
                unsafe {
                    let to = self.to.add(r * self.pitch + v * width);
                    Self { rows: 1, factors, lanes, columns: 1, begin, to, ..self }.fixed::<L, 1, 1>();
                }
            }
        }
    }

    /// [`Tile::run`] for a shape the compiler knows, so that all sums stay in registers.
    ///
    /// # Safety
    /// As [`Tile::run`].
    #[inline(always)]
    unsafe fn fixed<L: Level, const M: usize, const V: usize>(self) {
        let width = L::Register::<T>::LANES;
        let (mut row, distance) = self.factors;
        let mut sums = [[L::Register::<T>::splat(T::default()); V]; M];
        if let Some(begin) = self.begin {
            let begin = &begin[..M];
            each!(r < M, {
                each!(v < V, {
                    sums[r][v] = L::Register::<T>::splat(begin[r]);
                });
            });
        }
        let mut from = self.lanes;
        for _ in 0..self.steps.outer {
            for &(next_row, next_lanes) in self.steps.table {
                let (at, lanes) = (row, from);
                (row, from) = (row.wrapping_offset(next_row), from.wrapping_offset(next_lanes));
                // SAFETY: every row's factor, and `V` vectors of lanes, are readable at every step.
                let factor = |r: usize| unsafe { at.wrapping_offset((r as isize).wrapping_mul(distance)).read() };
                // SAFETY: as above.
                let vector = |v: usize| unsafe { L::Register::<T>::load(lanes.wrapping_add(v * width)) };
                // Which of them are fewer stay in registers: 3 x 4 sums leave four of sixteen.
                if M < V {
                    let mut factors = [L::Register::<T>::splat(T::default()); M];
                    each!(r < M, { factors[r] = L::Register::<T>::splat(factor(r)) });
                    each!(v < V, {
                        let vector = vector(v);
                        each!(r < M, { sums[r][v] = plus_product::<L, T>(sums[r][v], factors[r], vector) });
                    });
                } else {
                    let mut vectors = [L::Register::<T>::splat(T::default()); V];
                    each!(v < V, { vectors[v] = vector(v) });
                    each!(r < M, {
                        let factor = L::Register::<T>::splat(factor(r));
                        each!(v < V, { sums[r][v] = plus_product::<L, T>(sums[r][v], factor, vectors[v]) });
                    });
                }
            }
        }
        if self.begin.is_none() {
            each!(r < M, {
                each!(v < V, {
                    // SAFETY: there are `V` vectors of sums in row `r`.
                    let before = unsafe { L::Register::<T>::load(self.to.add(r * self.pitch + v * width)) };
                    sums[r][v] = before.plus(sums[r][v]);
                });
            });
        }
        each!(r < M, {
            each!(v < V, {
                // SAFETY: `V` vectors of row `r` are writeable.
                unsafe { sums[r][v].store(self.to.add(r * self.pitch + v * width)) };
            });
        });
    }
}

/// Whether the registers hold a tile of this shape, and it is worth one.
const fn fits<L: Level, T: Laned>(m: usize, v: usize) -> bool {
    let (rows, columns) = L::TILE;
    let narrow = m <= rows && v <= columns;
    let wide = m <= rows / 2 && v <= L::WIDE_TILE;
    let worth = !L::LEAN || m == 1 || m == rows;
    worth && (narrow || wide) && m <= T::LARGEST.0 && v <= T::LARGEST.1
}

/// `sum + a*b` as the level does it best.
#[inline(always)]
pub(crate) fn plus_product<L: Level, T: Laned>(
    sum: L::Register<T>,
    a: L::Register<T>,
    b: L::Register<T>,
) -> L::Register<T> {
    if L::FMA { sum.plus_product::<true>(a, b) } else { sum.plus_product::<false>(a, b) }
}
