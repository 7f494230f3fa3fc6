//! Products along rows for convolutions, forward, transposed and for the weight's gradient.
//!
//! Rows are split by residue first, so that the pairs a kernel tap joins are contiguous in both.

use std::cell::Cell;

use crate::element::Ring;
use crate::engine::simd::{Job, Level};

/// `a*b + c` as the level does it best.
#[inline(always)]
fn fma<T: Ring, L: Level>(a: T, b: T, c: T) -> T {
    if L::FMA { T::mul_add::<true>(a, b, c) } else { T::mul_add::<false>(a, b, c) }
}

/// One input row's share of several output rows: `acc[o][to ..] += weight(o, k) * row[from ..]` for every run.
pub struct Accumulate<'a, T, W> {
    /// The runs: tap, place in the accumulators, place in the row, length.
    pub runs: &'a [(usize, usize, usize, usize)],
    /// The weight of an output and a tap.
    pub weight: W,
    /// The input row, split by residue.
    pub row: &'a [Cell<T>],
    /// The accumulators of all outputs, one after the other.
    pub acc: &'a mut [T],
    /// Elements of one output's accumulators.
    pub acc_len: usize,
}

impl<T: Ring, W: Fn(usize, usize) -> T> Job for Accumulate<'_, T, W> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        for &(k, to, from, len) in self.runs {
            let row = &self.row[from..from + len];
            for (o, acc) in self.acc.chunks_exact_mut(self.acc_len).enumerate() {
                let w = (self.weight)(o, k);
                for (a, v) in acc[to..to + len].iter_mut().zip(row) {
                    *a = fma::<T, L>(w, v.get(), *a);
                }
            }
        }
    }
}

/// One pair of rows' share of a weight's gradient: `acc[k] += sum of grad[to ..] * row[from ..]` for every run.
pub struct Correlate<'a, T> {
    /// As in [`Accumulate`].
    pub runs: &'a [(usize, usize, usize, usize)],
    /// The gradient's row, split by residue.
    pub grad: &'a [Cell<T>],
    /// The input's row, split by residue.
    pub row: &'a [Cell<T>],
    /// One sum for each tap.
    pub acc: &'a mut [T],
}

impl<T: Ring> Job for Correlate<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        for &(k, to, from, len) in self.runs {
            let product = dot::<T, L>(&self.grad[to..to + len], &self.row[from..from + len]);
            self.acc[k] = T::add(self.acc[k], product);
        }
    }
}

/// Lanes of a dot product: enough to hide the latency of an addition, and a fixed order of summing.
const LANES: usize = 32;

/// `sum of a*b`, in a fixed order.
#[inline(always)]
fn dot<T: Ring, L: Level>(a: &[Cell<T>], b: &[Cell<T>]) -> T {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut lanes = [T::default(); LANES];
    let (mut whole_a, mut whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in whole_a.by_ref().zip(whole_b.by_ref()) {
        for i in 0..LANES {
            lanes[i] = fma::<T, L>(a[i].get(), b[i].get(), lanes[i]);
        }
    }
    for (i, (a, b)) in whole_a.remainder().iter().zip(whole_b.remainder()).enumerate() {
        lanes[i] = fma::<T, L>(a.get(), b.get(), lanes[i]);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = T::add(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// Elements of each residue when `len` elements are split by `step`.
#[inline(always)]
pub fn split_len(len: usize, step: usize) -> usize {
    len.div_ceil(step)
}

/// Elements a split row takes: its residues, all as long as the first. A step beyond the row leaves one each.
#[inline(always)]
pub fn split_room(len: usize, step: usize) -> usize {
    split_len(len, step) * step.min(len)
}

/// Splits a row by residue: element `i` goes to `dst[(i % step)*split_len + i / step]`.
#[inline(always)]
pub fn split<T: Copy>(row: &[Cell<T>], step: usize, dst: &mut [T]) {
    let part = split_len(row.len(), step).max(1);
    for (r, dst) in dst.chunks_mut(part).take(step.min(row.len())).enumerate() {
        for (d, v) in dst.iter_mut().zip(row[r..].iter().step_by(step)) {
            *d = v.get();
        }
    }
}

/// Puts a split row back in order, element by element.
#[inline(always)]
pub fn unsplit<T: Copy>(split: &[T], step: usize, len: usize, mut put: impl FnMut(usize, T)) {
    let part = split_len(len, step).max(1);
    for (r, split) in split.chunks(part).take(step.min(len)).enumerate() {
        for (i, v) in (r..len).step_by(step).zip(split) {
            put(i, *v);
        }
    }
}
