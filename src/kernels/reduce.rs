//! Running maxima and minima across a row and down rows.
//!
//! Every fold keeps what it has on a tie and goes left to right, then top to bottom, so the result is the first of the
//! equal elements in row-major order: the very element [`super::argmax`] points at, also between -0.0 and +0.0.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::down::fold_rows;
use crate::element::Order;
use crate::engine::simd::{Job, Level};
use crate::geometry::window::Windows;

/// Which of two elements a pooling keeps.
pub trait Beats: Copy + Default + Send + Sync + 'static {
    /// Whether `v` replaces `a`, neither being NaN.
    fn beats<T: Order>(v: T, a: T) -> bool;
}

/// Maximum.
#[derive(Debug, Clone, Copy, Default)]
pub struct Larger;
/// Minimum.
#[derive(Debug, Clone, Copy, Default)]
pub struct Smaller;

impl Beats for Larger {
    #[inline(always)]
    fn beats<T: Order>(v: T, a: T) -> bool {
        v > a
    }
}
impl Beats for Smaller {
    #[inline(always)]
    fn beats<T: Order>(v: T, a: T) -> bool {
        v < a
    }
}

/// The better of two; a NaN in either wins, a tie keeps `a`.
#[inline(always)]
pub fn best<T: Order, B: Beats>(a: T, v: T) -> T {
    let better = if B::beats(v, a) { v } else { a }; // a NaN in `a` stays
    if v.is_nan() { v } else { better }
}

/// Part of an input row to be taken across.
pub struct Span<'a, T> {
    /// The input, from position `from` on, `inner` elements each.
    pub src: &'a [Cell<T>],
    /// Position of the first input.
    pub from: usize,
    /// Outputs wanted.
    pub cols: &'a Range<usize>,
    /// Elements (channels) at each position.
    pub inner: usize,
}

/// Window extrema across a row.
pub struct Across<'a, T, B> {
    /// The windows.
    pub windows: &'a Windows,
    /// Those wholly inside the row, [`Windows::interior`].
    pub inside: &'a Range<usize>,
    /// The row.
    pub span: Span<'a, T>,
    /// The result.
    pub dst: &'a mut [T],
    /// Maximum or minimum.
    pub beats: B,
}

impl<T: Order, B: Beats> Job for Across<'_, T, B> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Span { src, from, cols, inner } = self.span;
        across::<T, B>(self.windows, self.inside, src, from, cols, inner, self.dst);
    }
}

/// Extrema down rows, the first row first.
pub struct Down<'a, R, T, B> {
    /// Number of rows, at least 1.
    pub n: usize,
    /// The rows.
    pub row: R,
    /// The result.
    pub dst: &'a mut [MaybeUninit<T>],
    /// Maximum or minimum.
    pub beats: B,
}

impl<'r, R: Fn(usize) -> &'r [T], T: Order, B: Beats> Job for Down<'_, R, T, B> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        fold_rows(self.n, self.row, self.dst, |v| v, |_, a, v| best::<T, B>(a, v));
    }
}

#[inline(always)]
fn across<T: Order, B: Beats>(
    w: &Windows,
    inside: &Range<usize>,
    src: &[Cell<T>],
    from: usize,
    cols: &Range<usize>,
    inner: usize,
    dst: &mut [T],
) {
    let (lo, hi) = (inside.start.clamp(cols.start, cols.end), inside.end.clamp(cols.start, cols.end));
    if inner == 1 {
        edge::<T, B>(w, src, from, cols.start..lo, &mut dst[..lo - cols.start]);
        edge::<T, B>(w, src, from, hi..cols.end, &mut dst[hi - cols.start..cols.len()]);
        if lo < hi {
            let first = w.at(lo).start - from;
            interior::<T, B>(w, &src[first..], &mut dst[lo - cols.start..hi - cols.start]);
        }
        return;
    }
    for (o, dst) in cols.clone().zip(dst.chunks_exact_mut(inner)) {
        let r = w.at(o);
        let at = |j: usize| &src[(r.start + j * r.step - from) * inner..][..inner];
        for (d, v) in dst.iter_mut().zip(at(0)) {
            *d = v.get();
        }
        for j in 1..r.count {
            for (d, v) in dst.iter_mut().zip(at(j)) {
                *d = best::<T, B>(*d, v.get());
            }
        }
    }
}

/// Windows that the axis' ends cut.
#[inline(always)]
fn edge<T: Order, B: Beats>(w: &Windows, src: &[Cell<T>], from: usize, cols: Range<usize>, dst: &mut [T]) {
    for (o, d) in cols.zip(dst) {
        let r = w.at(o);
        let at = |j: usize| src[r.start + j * r.step - from].get();
        *d = (1..r.count).fold(at(0), |m, j| best::<T, B>(m, at(j)));
    }
}

/// Whole windows; the first begins at `src[0]`. With the stride (and, for the common kernels, the length) a constant,
/// the compiler separates even from odd elements by shuffles.
#[inline(always)]
fn interior<T: Order, B: Beats>(w: &Windows, src: &[Cell<T>], dst: &mut [T]) {
    match (w.kernel, w.stride, w.dilation) {
        (2, 1, 1) => blocks::<T, B, 1>(src, 2, 1, dst),
        (3, 1, 1) => blocks::<T, B, 1>(src, 3, 1, dst),
        (2, 2, 1) => {
            // By pairs, which the compiler loads once and separates: a quarter faster than two strided reads.
            for (d, pair) in dst.iter_mut().zip(src.chunks_exact(2)) {
                *d = best::<T, B>(pair[0].get(), pair[1].get());
            }
        }
        (3, 2, 1) => blocks::<T, B, 2>(src, 3, 1, dst),
        (k, 1, d) => blocks::<T, B, 1>(src, k, d, dst),
        (k, 2, d) => blocks::<T, B, 2>(src, k, d, dst),
        (k, 3, d) => blocks::<T, B, 3>(src, k, d, dst),
        (k, 4, d) => blocks::<T, B, 4>(src, k, d, dst),
        (k, s, d) => {
            for (o, best_so_far) in dst.iter_mut().enumerate() {
                *best_so_far = src[o * s].get();
                for j in 1..k {
                    *best_so_far = best::<T, B>(*best_so_far, src[o * s + j * d].get());
                }
            }
        }
    }
}

/// Outputs computed side by side: four vectors of float32, or one.
const WIDE: usize = 64;
const NARROW: usize = 16;

#[inline(always)]
fn blocks<T: Order, B: Beats, const S: usize>(src: &[Cell<T>], kernel: usize, dilation: usize, dst: &mut [T]) {
    let (n, mut done) = (dst.len(), 0);
    while done < n {
        // The last block may overlap the one before it: it computes the same values again.
        if n >= WIDE {
            let from = done.min(n - WIDE);
            block::<T, B, S, WIDE>(&src[from * S..], kernel, dilation, &mut dst[from..]);
            done = from + WIDE;
        } else if n >= NARROW {
            let from = done.min(n - NARROW);
            block::<T, B, S, NARROW>(&src[from * S..], kernel, dilation, &mut dst[from..]);
            done = from + NARROW;
        } else {
            block::<T, B, S, 1>(&src[done * S..], kernel, dilation, &mut dst[done..]);
            done += 1;
        }
    }
}

#[inline(always)]
fn block<T: Order, B: Beats, const S: usize, const N: usize>(
    src: &[Cell<T>],
    kernel: usize,
    dilation: usize,
    dst: &mut [T],
) {
    let mut held = [T::default(); N];
    let first = &src[..(N - 1) * S + 1];
    for i in 0..N {
        held[i] = first[i * S].get();
    }
    for k in 1..kernel {
        let tap = &src[k * dilation..][..(N - 1) * S + 1];
        for i in 0..N {
            held[i] = best::<T, B>(held[i], tap[i * S].get());
        }
    }
    dst[..N].copy_from_slice(&held);
}
