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
        across::<T, B>(self.windows, src, from, cols, inner, self.dst);
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
    src: &[Cell<T>],
    from: usize,
    cols: &Range<usize>,
    inner: usize,
    dst: &mut [T],
) {
    let inside = w.interior();
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

/// Whole windows; the first begins at `src[0]`. Kernel and stride as constants let the compiler load each vector once
/// and separate even from odd elements by shuffles.
#[inline(always)]
fn interior<T: Order, B: Beats>(w: &Windows, src: &[Cell<T>], dst: &mut [T]) {
    match (w.kernel, w.stride, w.dilation) {
        (1, 1, _) => windows::<T, B, 1, 1>(src, dst),
        (2, 1, 1) => windows::<T, B, 2, 1>(src, dst),
        (3, 1, 1) => windows::<T, B, 3, 1>(src, dst),
        (2, 2, 1) => windows::<T, B, 2, 2>(src, dst),
        (3, 2, 1) => windows::<T, B, 3, 2>(src, dst),
        (3, 3, 1) => windows::<T, B, 3, 3>(src, dst),
        _ => {
            strided(src, w.stride, dst, |_, v| v);
            for k in 1..w.kernel {
                strided(&src[k * w.dilation..], w.stride, dst, best::<T, B>);
            }
        }
    }
}

#[inline(always)]
fn windows<T: Order, B: Beats, const K: usize, const S: usize>(src: &[Cell<T>], dst: &mut [T]) {
    let src = &src[..(dst.len() - 1) * S + K];
    for (o, d) in dst.iter_mut().enumerate() {
        let mut m = src[o * S].get();
        for k in 1..K {
            m = best::<T, B>(m, src[o * S + k].get());
        }
        *d = m;
    }
}

/// `dst[o] = fold(dst[o], src[o*stride])`.
#[inline(always)]
pub(super) fn strided<T: Copy, A: Copy>(src: &[Cell<T>], stride: usize, dst: &mut [A], fold: impl Fn(A, T) -> A) {
    #[inline(always)]
    fn by<T: Copy, A: Copy>(src: &[Cell<T>], stride: usize, dst: &mut [A], fold: impl Fn(A, T) -> A) {
        let src = &src[..(dst.len() - 1) * stride + 1];
        for (o, d) in dst.iter_mut().enumerate() {
            *d = fold(*d, src[o * stride].get());
        }
    }
    if dst.is_empty() {
        return;
    }
    match stride {
        1 => by(src, 1, dst, fold),
        2 => by(src, 2, dst, fold),
        3 => by(src, 3, dst, fold),
        4 => by(src, 4, dst, fold),
        _ => by(src, stride, dst, fold),
    }
}
