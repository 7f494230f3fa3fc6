//! Window extrema with their positions.
//!
//! A window's position is that of its first NaN if it has one, else of its first best element, in row-major order.
//! Positions are held in lanes as wide as the values where the block is small enough (`i32`), and widened at the store.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::conv::{split, split_room};
use super::reduce::{Beats, Span};
use crate::element::Order;
use crate::engine::simd::{Job, Level};
use crate::geometry::window::Windows;

/// A position lane.
pub trait Position: Copy + Default + Send + Sync + 'static {
    /// From a position known to fit.
    fn of(i: usize) -> Self;
    /// `self + by`, known to fit.
    fn plus(self, by: Self) -> Self;
    /// Widened.
    fn wide(self) -> i64;
}

macro_rules! positions {
    ($($t:ty),*) => {$(
        impl Position for $t {
            #[inline(always)]
            fn of(i: usize) -> Self { i as $t }
            #[inline(always)]
            fn plus(self, by: Self) -> Self { self.wrapping_add(by) }
            #[inline(always)]
            fn wide(self) -> i64 { i64::from(self) }
        }
    )*};
}
positions!(i32, i64);

/// Whether `v` replaces `a`, NaN included.
#[inline(always)]
fn replaces<T: Order, B: Beats>(v: T, a: T) -> bool {
    B::beats(v, a) | (v.is_nan() & !a.is_nan())
}

/// Window extrema across a row, and their positions along it.
pub struct Across<'a, T, I, B> {
    /// The windows.
    pub windows: &'a Windows,
    /// Those wholly inside the row, [`Windows::interior`].
    pub inside: &'a Range<usize>,
    /// The row.
    pub span: Span<'a, T>,
    /// Scratch for the row, split by residue: [`split_room`] of it.
    pub parts: &'a mut [T],
    /// The best elements.
    pub values: &'a mut [T],
    /// Their positions along the row.
    pub positions: &'a mut [I],
    /// Maximum or minimum.
    pub beats: B,
}

impl<T: Order, I: Position, B: Beats> Job for Across<'_, T, I, B> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Span { src, from, cols, inner } = self.span;
        across::<T, I, B>(self.windows, self.inside, src, from, cols, inner, self.parts, self.values, self.positions);
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn across<T: Order, I: Position, B: Beats>(
    w: &Windows,
    inside: &Range<usize>,
    src: &[Cell<T>],
    from: usize,
    cols: &Range<usize>,
    inner: usize,
    parts: &mut [T],
    values: &mut [T],
    positions: &mut [I],
) {
    let (lo, hi) = (inside.start.clamp(cols.start, cols.end), inside.end.clamp(cols.start, cols.end));
    if inner == 1 && lo < hi {
        let (a, b) = (lo - cols.start, hi - cols.start);
        general::<T, I, B>(w, src, from, cols.start..lo, 1, &mut values[..a], &mut positions[..a]);
        general::<T, I, B>(w, src, from, hi..cols.end, 1, &mut values[b..], &mut positions[b..]);
        let start = w.at(lo).start;
        interior::<T, I, B>(w, &src[start - from..], start, parts, &mut values[a..b], &mut positions[a..b]);
    } else {
        general::<T, I, B>(w, src, from, cols.clone(), inner, values, positions);
    }
}

/// Any windows, any number of channels.
#[inline(always)]
fn general<T: Order, I: Position, B: Beats>(
    w: &Windows,
    src: &[Cell<T>],
    from: usize,
    cols: Range<usize>,
    inner: usize,
    values: &mut [T],
    positions: &mut [I],
) {
    let places = values.chunks_exact_mut(inner).zip(positions.chunks_exact_mut(inner));
    for (o, (values, positions)) in cols.zip(places) {
        let r = w.at(o);
        for j in 0..r.count {
            let at = r.start + j * r.step;
            let row = &src[(at - from) * inner..][..inner];
            for ((best, position), v) in values.iter_mut().zip(positions.iter_mut()).zip(row) {
                let better = (j == 0) | replaces::<T, B>(v.get(), *best);
                *best = if better { v.get() } else { *best };
                *position = if better { I::of(at) } else { *position };
            }
        }
    }
}

/// Whole windows from output `o0` on, one channel. The row is first split by residue modulo the stride, so that each
/// element of the windows is a contiguous stretch; values and positions are then folded by plain loops over equal
/// lanes. (Fixed blocks of outputs with strided reads, as in [`super::reduce`], fall apart into scalars here.)
#[inline(always)]
fn interior<T: Order, I: Position, B: Beats>(
    w: &Windows,
    src: &[Cell<T>],
    start: usize,
    parts: &mut [T],
    values: &mut [T],
    positions: &mut [I],
) {
    if (w.kernel, w.stride, w.dilation) == (2, 2, 1) {
        let mut at = I::of(start);
        for ((value, position), pair) in values.iter_mut().zip(positions).zip(src.chunks_exact(2)) {
            let (a, b) = (pair[0].get(), pair[1].get());
            let better = replaces::<T, B>(b, a);
            *value = if better { b } else { a };
            *position = at.plus(if better { I::of(1) } else { I::of(0) });
            at = at.plus(I::of(2));
        }
        return;
    }
    let (n, stride) = (values.len(), w.stride);
    let used = (n - 1) * stride + (w.kernel - 1) * w.dilation + 1;
    let part = used.div_ceil(stride);
    let row = &src[..used];
    let parts = &mut parts[..split_room(used, stride)];
    match stride {
        1 => parts.iter_mut().zip(row).for_each(|(p, v)| *p = v.get()),
        2 => {
            let (even, odd) = parts.split_at_mut(part);
            for ((e, o), pair) in even.iter_mut().zip(odd.iter_mut()).zip(row.chunks_exact(2)) {
                *e = pair[0].get();
                *o = pair[1].get();
            }
            if let [.., last] = row
                && row.len() % 2 == 1
            {
                even[part - 1] = last.get();
            }
        }
        _ => split(row, stride, parts),
    }
    let tap = |k: usize| {
        let at = k * w.dilation;
        (at, &parts[at % stride * part + at / stride..][..n])
    };
    let step = I::of(stride);
    let (_, first) = tap(0);
    let mut at = I::of(start);
    for ((value, position), v) in values.iter_mut().zip(positions.iter_mut()).zip(first) {
        *value = *v;
        *position = at;
        at = at.plus(step);
    }
    for k in 1..w.kernel {
        let (offset, taps) = tap(k);
        let mut at = I::of(start + offset);
        for ((value, position), v) in values.iter_mut().zip(positions.iter_mut()).zip(taps) {
            let better = replaces::<T, B>(*v, *value);
            *value = if better { *v } else { *value };
            *position = if better { at } else { *position };
            at = at.plus(step);
        }
    }
}

/// A row that has gone across: its values, its positions along the row, and what to add to them.
pub type Held<'a, T, I> = (&'a [T], &'a [I], I);

/// Extrema down rows, the first row first. Positions are stored as `O`.
pub struct Down<'a, R, S, T, O, B> {
    /// Number of rows, at least 1.
    pub n: usize,
    /// The rows.
    pub row: R,
    /// The best elements.
    pub values: &'a mut [MaybeUninit<T>],
    /// Their positions.
    pub positions: &'a mut [MaybeUninit<O>],
    /// How a position is stored.
    pub store: S,
    /// Maximum or minimum.
    pub beats: B,
}

impl<'r, R, S, T: Order, I: Position + 'r, O, B: Beats> Job for Down<'_, R, S, T, O, B>
where
    R: Fn(usize) -> Held<'r, T, I>,
    S: Fn(I) -> O,
{
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        down::<T, I, B, O>(self.n, self.row, self.values, self.positions, self.store);
    }
}

#[inline(always)]
fn down<'a, T: Order, I: Position, B: Beats, O>(
    n: usize,
    row: impl Fn(usize) -> Held<'a, T, I>,
    values: &mut [MaybeUninit<T>],
    positions: &mut [MaybeUninit<O>],
    store: impl Fn(I) -> O,
) {
    let len = values.len();
    let positions = &mut positions[..len];
    if n == 2 {
        let ((av, ap, a0), (bv, bp, b0)) = (row(0), row(1));
        let (av, ap, bv, bp) = (&av[..len], &ap[..len], &bv[..len], &bp[..len]);
        for i in 0..len {
            let better = replaces::<T, B>(bv[i], av[i]);
            values[i].write(if better { bv[i] } else { av[i] });
            positions[i].write(store(if better { bp[i].plus(b0) } else { ap[i].plus(a0) }));
        }
        return;
    }
    const TILE: usize = 64;
    for from in (0..len).step_by(TILE) {
        let cols = from..(from + TILE).min(len);
        let (mut best, mut at) = ([T::default(); TILE], [I::default(); TILE]);
        for j in 0..n {
            let (v, p, base) = row(j);
            let (v, p) = (&v[cols.clone()], &p[cols.clone()]);
            for i in 0..v.len() {
                let better = (j == 0) | replaces::<T, B>(v[i], best[i]);
                best[i] = if better { v[i] } else { best[i] };
                at[i] = if better { p[i].plus(base) } else { at[i] };
            }
        }
        for (i, c) in cols.enumerate() {
            values[c].write(best[i]);
            positions[c].write(store(at[i]));
        }
    }
}
