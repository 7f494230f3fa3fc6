//! Window extrema with their positions.
//!
//! A window's position is that of its first NaN if it has one, else of its first best element, in row-major order.
//! What lanes hold of a position is for the caller to say: pooling has the low 32 bits, and makes them whole at the store.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::reduce::{RowWindows, Span, doubles, padded_len};
use crate::element::{Order, chosen};
use crate::engine::rows::as_cells;
use crate::engine::simd::{Job, Level};
use crate::geometry::bins::Bins;
use crate::geometry::window::Windows;

/// A position lane.
pub trait Position: Copy + Default + Send + Sync + 'static {
    /// From a position, of which the lowest bits are kept.
    fn of(i: usize) -> Self;
    /// `self + by`, likewise.
    fn plus(self, by: Self) -> Self;
}

macro_rules! positions {
    ($($t:ty),*) => {$(
        impl Position for $t {
            #[inline(always)]
            fn of(i: usize) -> Self { i as $t }
            #[inline(always)]
            fn plus(self, by: Self) -> Self { self.wrapping_add(by) }
        }
    )*};
}
positions!(i32, i64);

/// The better of two elements and its position; the first on a tie. `PLAIN` if no element is odd.
#[inline(always)]
fn better<T: Order, I: Position, const PLAIN: bool>(held: (T, I), v: (T, I)) -> (T, I) {
    let replaced = if PLAIN { v.0.exceeds(held.0) } else { v.0.rises(held.0) };
    (chosen(replaced, v.0, held.0), chosen(replaced, v.1, held.1))
}

/// Whether windows with positions are folded by doubling. (Not dilated ones: their padding cannot stand for the element
/// next to it.)
fn doubles_located(w: &Windows) -> bool {
    doubles(w) && w.dilation == 1
}

/// Elements and positions of scratch that [`across`] needs for `outs` outputs.
#[must_use]
pub fn across_room(bins: &Bins, outs: usize, inner: usize) -> (usize, usize) {
    match bins {
        Bins::Sliding(w) if doubles_located(w) => {
            let both = padded_len(w, outs).saturating_mul(2).saturating_mul(inner);
            (both, both)
        }
        Bins::Sliding(w) if inner == 1 => (split_room(padded_len(w, outs), w.stride), 0),
        _ => (0, 0),
    }
}

/// Values and positions side by side.
pub struct Pairs<'a, T, I> {
    /// The values.
    pub values: &'a mut [T],
    /// Their positions.
    pub positions: &'a mut [I],
}

impl<T, I> Pairs<'_, T, I> {
    #[inline(always)]
    fn all(&mut self) -> Pairs<'_, T, I> {
        Pairs { values: &mut *self.values, positions: &mut *self.positions }
    }

    #[inline(always)]
    fn part(&mut self, range: Range<usize>) -> Pairs<'_, T, I> {
        Pairs { values: &mut self.values[range.clone()], positions: &mut self.positions[range] }
    }
}

/// Windows across a row whose first element has position `base`; `room` is [`across_room`].
#[inline(always)]
pub fn across<L: Level, T: Order, I: Position>(
    level: L,
    windows: &RowWindows<'_>,
    span: &Span<'_, T>,
    base: usize,
    room: &mut Pairs<'_, T, I>,
    dst: &mut Pairs<'_, T, I>,
) {
    across_rows::<L, T, I, false>(level, windows, span, 1, base, room, dst);
}

/// [`across`] for so many rows, as in [`super::reduce::across_rows`]; `P` if no element may be odd: says whether one is, and what was
/// made is not to be used.
#[inline(always)]
pub fn across_rows<L: Level, T: Order, I: Position, const P: bool>(
    level: L,
    windows: &RowWindows<'_>,
    span: &Span<'_, T>,
    rows: usize,
    base: usize,
    room: &mut Pairs<'_, T, I>,
    dst: &mut Pairs<'_, T, I>,
) -> bool {
    let (room, dst) = (room.all(), dst.all());
    level.call(AcrossRows::<T, I, P> { windows, span, rows, base, room, dst })
}

/// What [`across_rows`] does, compiled once.
struct AcrossRows<'a, T, I, const P: bool> {
    windows: &'a RowWindows<'a>,
    span: &'a Span<'a, T>,
    rows: usize,
    base: usize,
    room: Pairs<'a, T, I>,
    dst: Pairs<'a, T, I>,
}

impl<T: Order, I: Position, const P: bool> Job for AcrossRows<'_, T, I, P> {
    const WIDE: bool = T::WIDE;
    type Output = bool;
    #[inline(always)]
    fn run<L: Level>(self, level: L) -> bool {
        let mut odd = false;
        if P {
            for v in self.span.src {
                odd |= v.get().is_odd();
            }
        }
        if !odd {
            self.fold(level);
        }
        odd
    }
}

impl<T: Order, I: Position, const P: bool> AcrossRows<'_, T, I, P> {
    #[inline(always)]
    fn fold<L: Level>(self, _: L) {
        let Self { windows, span, rows, base, mut room, mut dst } = self;
        let Span { src, from, cols, inner } = *span;
        let (bins, inside) = (windows.bins, &windows.inside);
        let (row, width) = (src.len() / rows, cols.len() * inner);
        let mut dst = dst.part(0..rows * width);
        let w = match bins {
            Bins::Sliding(w) if doubles_located(w) => return doubling::<T, I, P>(w, span, base, &mut room, dst),
            Bins::Sliding(w) if inner == 1 => w,
            _ => {
                for (i, src) in src.chunks_exact(row).enumerate() {
                    let span = Span { src, from, cols, inner };
                    let dst = dst.part(i * width..(i + 1) * width);
                    singly::<L, T, I, P>(bins, &span, base + i * bins.in_len(), dst);
                }
                return;
            }
        };
        let (lo, hi) = (inside.start.clamp(cols.start, cols.end), inside.end.clamp(cols.start, cols.end));
        if lo < hi {
            let start = lo * w.stride - w.pad.before; // a window inside begins where it should
            let dst = dst.part(lo - cols.start..hi - cols.start + (rows - 1) * width);
            interior::<L, T, I, P>(w, &src[start - from..], base + start, room.values, dst);
        }
        for &(o, r) in windows.cut(cols) {
            for (i, src) in src.chunks_exact(row).enumerate() {
                let (taps, base) = (&src[r.start - from..], base + i * row);
                let mut held = (taps[0].get(), I::of(base + r.start));
                for j in 1..r.count {
                    held = better::<T, I, P>(held, (taps[j * r.step].get(), I::of(base + r.start + j * r.step)));
                }
                (dst.values[i * width + o - cols.start], dst.positions[i * width + o - cols.start]) = held;
            }
        }
    }
}

/// Window after window.
#[inline(always)]
fn singly<L: Level, T: Order, I: Position, const P: bool>(
    bins: &Bins,
    span: &Span<'_, T>,
    base: usize,
    dst: Pairs<'_, T, I>,
) {
    let Span { src, from, cols, inner } = *span;
    let places = dst.values.chunks_exact_mut(inner).zip(dst.positions.chunks_exact_mut(inner));
    for (o, (values, positions)) in cols.clone().zip(places) {
        let r = bins.at(o);
        let at = |j: usize| I::of(base + r.start + j * r.step);
        let row = |j: usize| &src[(r.start + j * r.step - from) * inner..][..inner];
        match r.count {
            2 if !L::LEAN => {
                let places = values.iter_mut().zip(positions.iter_mut());
                for (((v, p), a), b) in places.zip(row(0)).zip(row(1)) {
                    (*v, *p) = better::<T, I, P>((a.get(), at(0)), (b.get(), at(1)));
                }
            }
            3 if !L::LEAN => {
                let places = values.iter_mut().zip(positions.iter_mut());
                for ((((v, p), a), b), c) in places.zip(row(0)).zip(row(1)).zip(row(2)) {
                    let held = better::<T, I, P>((a.get(), at(0)), (b.get(), at(1)));
                    (*v, *p) = better::<T, I, P>(held, (c.get(), at(2)));
                }
            }
            n => {
                for ((v, p), a) in values.iter_mut().zip(positions.iter_mut()).zip(row(0)) {
                    (*v, *p) = (a.get(), at(0));
                }
                for j in 1..n {
                    for ((v, p), a) in values.iter_mut().zip(positions.iter_mut()).zip(row(j)) {
                        (*v, *p) = better::<T, I, P>((*v, *p), (a.get(), at(j)));
                    }
                }
            }
        }
    }
}

/// Long windows, as in [`super::reduce`]. The padding repeats the element next to it, position and all: counted twice, it
/// changes nothing, and padding alone never makes a window.
#[inline(always)]
fn doubling<T: Order, I: Position, const P: bool>(
    w: &Windows,
    span: &Span<'_, T>,
    base: usize,
    room: &mut Pairs<'_, T, I>,
    dst: Pairs<'_, T, I>,
) {
    let Span { src, from, cols, inner } = *span;
    let positions_needed = padded_len(w, cols.len());
    let len = positions_needed * inner;
    let (mut cur, mut next) = room.values[..2 * len].split_at_mut(len);
    let (mut cur_at, mut next_at) = room.positions[..2 * len].split_at_mut(len);
    let last = from + src.len() / inner - 1;
    for (i, (values, places)) in cur.chunks_exact_mut(inner).zip(cur_at.chunks_exact_mut(inner)).enumerate() {
        let at = (cols.start * w.stride + i).saturating_sub(w.pad.before).clamp(from, last);
        let row = &src[(at - from) * inner..][..inner];
        values.iter_mut().zip(row).for_each(|(d, v)| *d = v.get());
        places.fill(I::of(base + at));
    }
    let mut run = 1;
    while 2 * run <= w.kernel {
        let n = len - (2 * run - 1) * inner;
        let ahead = run * inner;
        let a = cur[..n].iter().zip(&cur_at[..n]);
        let b = cur[ahead..][..n].iter().zip(&cur_at[ahead..][..n]);
        for (((d, p), a), b) in next[..n].iter_mut().zip(&mut next_at[..n]).zip(a).zip(b) {
            (*d, *p) = better::<T, I, P>((*a.0, *a.1), (*b.0, *b.1));
        }
        (cur, next) = (next, cur);
        (cur_at, next_at) = (next_at, cur_at);
        run *= 2;
    }
    let ahead = (w.kernel - run) * inner;
    let step = w.stride * inner;
    let outs = dst.values.chunks_exact_mut(inner).zip(dst.positions.chunks_exact_mut(inner)).enumerate();
    if w.stride == 1 {
        let n = dst.values.len();
        let a = cur[..n].iter().zip(&cur_at[..n]);
        let b = cur[ahead..][..n].iter().zip(&cur_at[ahead..][..n]);
        for (((d, p), a), b) in dst.values.iter_mut().zip(dst.positions.iter_mut()).zip(a).zip(b) {
            (*d, *p) = better::<T, I, P>((*a.0, *a.1), (*b.0, *b.1));
        }
        return;
    }
    for (o, (values, places)) in outs {
        for (c, (d, p)) in values.iter_mut().zip(places).enumerate() {
            let (i, j) = (o * step + c, o * step + c + ahead);
            (*d, *p) = better::<T, I, P>((cur[i], cur_at[i]), (cur[j], cur_at[j]));
        }
    }
}

/// Whole windows, one channel; the first begins at `src[0]`, which has position `start`. With a stride, the row is first
/// split by residue modulo it, so that each element of the windows is a contiguous stretch; values and positions are
/// then folded by plain loops over equal lanes. (Fixed blocks of outputs with strided reads, as in [`super::reduce`],
/// fall apart into scalars here.)
#[inline(always)]
fn interior<L: Level, T: Order, I: Position, const P: bool>(
    w: &Windows,
    src: &[Cell<T>],
    start: usize,
    parts: &mut [T],
    dst: Pairs<'_, T, I>,
) {
    let (n, stride) = (dst.values.len(), w.stride);
    let step = I::of(stride);
    let mut at = I::of(start);
    if !L::LEAN && (w.kernel, w.stride, w.dilation) == (2, 2, 1) {
        for ((value, position), pair) in dst.values.iter_mut().zip(dst.positions).zip(src.chunks_exact(2)) {
            let held = (pair[0].get(), at);
            (*value, *position) = better::<T, I, P>(held, (pair[1].get(), at.plus(I::of(1))));
            at = at.plus(step);
        }
        return;
    }
    let used = (n - 1) * stride + (w.kernel - 1) * w.dilation + 1;
    let part = used.div_ceil(stride);
    let row = &src[..used];
    if stride == 1 {
        return fold_taps::<L, T, I, P>(w, start, |k| &row[k * w.dilation..][..n], dst);
    }
    let parts = &mut parts[..split_room(used, stride)];
    if stride == 2 {
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
    } else {
        split(row, stride, parts);
    }
    let parts = as_cells(parts);
    let tap = |k: usize| {
        let at = k * w.dilation;
        &parts[at % stride * part + at / stride..][..n]
    };
    fold_taps::<L, T, I, P>(w, start, tap, dst);
}

/// Windows whose `k`-th elements are the stretch `tap(k)`; the first begins at position `start`. Two and three elements
/// are folded in registers, more in passes over the result.
#[inline(always)]
fn fold_taps<'a, L: Level, T: Order + 'a, I: Position, const P: bool>(
    w: &Windows,
    start: usize,
    tap: impl Fn(usize) -> &'a [Cell<T>],
    dst: Pairs<'_, T, I>,
) {
    let (step, gap) = (I::of(w.stride), I::of(w.dilation));
    let mut at = I::of(start);
    let places = dst.values.iter_mut().zip(dst.positions.iter_mut());
    match w.kernel {
        2 if !L::LEAN => {
            for (((v, p), a), b) in places.zip(tap(0)).zip(tap(1)) {
                (*v, *p) = better::<T, I, P>((a.get(), at), (b.get(), at.plus(gap)));
                at = at.plus(step);
            }
        }
        3 if !L::LEAN => {
            for ((((v, p), a), b), c) in places.zip(tap(0)).zip(tap(1)).zip(tap(2)) {
                let held = better::<T, I, P>((a.get(), at), (b.get(), at.plus(gap)));
                (*v, *p) = better::<T, I, P>(held, (c.get(), at.plus(gap).plus(gap)));
                at = at.plus(step);
            }
        }
        n => {
            for ((v, p), a) in places.zip(tap(0)) {
                (*v, *p) = (a.get(), at);
                at = at.plus(step);
            }
            for k in 1..n {
                let mut at = I::of(start + k * w.dilation);
                for ((v, p), a) in dst.values.iter_mut().zip(dst.positions.iter_mut()).zip(tap(k)) {
                    (*v, *p) = better::<T, I, P>((*v, *p), (a.get(), at));
                    at = at.plus(step);
                }
            }
        }
    }
}

/// Values of one row and their positions.
pub type Held<'a, T, I> = (&'a [T], &'a [I]);

/// Extrema down rows, the first row first. Positions are stored by `store`.
#[inline(always)]
pub fn down<'a, L: Level, T: Order, I: Position, O>(
    n: usize,
    row: impl Fn(usize) -> Held<'a, T, I>,
    values: &mut [MaybeUninit<T>],
    positions: &mut [MaybeUninit<O>],
    store: impl Fn(I) -> O,
) {
    let len = values.len();
    let positions = &mut positions[..len];
    let row = |j: usize| {
        let (v, p) = row(j);
        v[..len].iter().zip(&p[..len])
    };
    let put = |v: &mut MaybeUninit<T>, p: &mut MaybeUninit<O>, best: (T, I)| {
        v.write(best.0);
        p.write(store(best.1));
    };
    let places = values.iter_mut().zip(positions.iter_mut());
    match n {
        0 => {}
        1 if !L::LEAN => {
            for ((v, p), a) in places.zip(row(0)) {
                put(v, p, (*a.0, *a.1));
            }
        }
        2 if !L::LEAN => {
            for (((v, p), a), b) in places.zip(row(0)).zip(row(1)) {
                put(v, p, better::<T, I, false>((*a.0, *a.1), (*b.0, *b.1)));
            }
        }
        3 if !L::LEAN => {
            for ((((v, p), a), b), c) in places.zip(row(0)).zip(row(1)).zip(row(2)) {
                let held = better::<T, I, false>((*a.0, *a.1), (*b.0, *b.1));
                put(v, p, better::<T, I, false>(held, (*c.0, *c.1)));
            }
        }
        4 if !L::LEAN => {
            for (((((v, p), a), b), c), d) in places.zip(row(0)).zip(row(1)).zip(row(2)).zip(row(3)) {
                let first = better::<T, I, false>((*a.0, *a.1), (*b.0, *b.1));
                let held = better::<T, I, false>(first, (*c.0, *c.1));
                put(v, p, better::<T, I, false>(held, (*d.0, *d.1)));
            }
        }
        _ => {
            const TILE: usize = 64;
            for from in (0..len).step_by(TILE) {
                let n_cols = TILE.min(len - from);
                let (mut best, mut at) = ([T::default(); TILE], [I::default(); TILE]);
                for j in 0..n {
                    for ((v, p), a) in best[..n_cols].iter_mut().zip(&mut at[..n_cols]).zip(row(j).skip(from)) {
                        (*v, *p) = if j == 0 { (*a.0, *a.1) } else { better::<T, I, false>((*v, *p), (*a.0, *a.1)) };
                    }
                }
                let places = values[from..].iter_mut().zip(&mut positions[from..]);
                for ((v, p), a) in places.zip(best.iter().zip(&at)).take(n_cols) {
                    put(v, p, (*a.0, *a.1));
                }
            }
        }
    }
}

/// [`down`] for several results, as [`super::reduce::down_rows`]; `P` if no element is odd.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn down_rows<L: Level, T: Order, I: Position, O, const P: bool>(
    level: L,
    kept: Held<'_, T, I>,
    taps: &[usize],
    step: usize,
    width: usize,
    values: &mut [MaybeUninit<T>],
    positions: &mut [MaybeUninit<O>],
    store: impl Fn(I) -> O,
) {
    level.call(DownRows::<T, I, O, _, P> { kept, taps, step, width, values, positions, store });
}

/// What [`down_rows`] does, compiled once.
struct DownRows<'a, T, I, O, S, const P: bool> {
    kept: Held<'a, T, I>,
    taps: &'a [usize],
    step: usize,
    width: usize,
    values: &'a mut [MaybeUninit<T>],
    positions: &'a mut [MaybeUninit<O>],
    store: S,
}

impl<T: Order, I: Position, O, S: Fn(I) -> O, const P: bool> Job for DownRows<'_, T, I, O, S, P> {
    const WIDE: bool = T::WIDE;
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Self { kept, taps, step, width, values, positions, store } = self;
        // Rows one apart are one long row.
        let width = if step == width { values.len() } else { width };
        let rows = values.chunks_exact_mut(width).zip(positions.chunks_exact_mut(width));
        for (r, (values, positions)) in rows.enumerate() {
            let places = values.iter_mut().zip(positions);
            let row = (&kept.0[r * step..], &kept.1[r * step..]);
            macro_rules! tap {
                ($at:expr) => {
                    row.0[$at..][..width].iter().zip(&row.1[$at..][..width])
                };
            }
            match *taps {
                [] => {}
                [a] if !L::LEAN => {
                    for ((v, p), a) in places.zip(tap!(a)) {
                        v.write(*a.0);
                        p.write(store(*a.1));
                    }
                }
                [a, b] if !L::LEAN => {
                    for (((v, p), a), b) in places.zip(tap!(a)).zip(tap!(b)) {
                        let best = better::<T, I, P>((*a.0, *a.1), (*b.0, *b.1));
                        v.write(best.0);
                        p.write(store(best.1));
                    }
                }
                [a, b, c] if !L::LEAN => {
                    for ((((v, p), a), b), c) in places.zip(tap!(a)).zip(tap!(b)).zip(tap!(c)) {
                        let held = better::<T, I, P>((*a.0, *a.1), (*b.0, *b.1));
                        let best = better::<T, I, P>(held, (*c.0, *c.1));
                        v.write(best.0);
                        p.write(store(best.1));
                    }
                }
                [a, b, c, d] if !L::LEAN => {
                    for (((((v, p), a), b), c), d) in places.zip(tap!(a)).zip(tap!(b)).zip(tap!(c)).zip(tap!(d)) {
                        let held = better::<T, I, P>((*a.0, *a.1), (*b.0, *b.1));
                        let held = better::<T, I, P>(held, (*c.0, *c.1));
                        let best = better::<T, I, P>(held, (*d.0, *d.1));
                        v.write(best.0);
                        p.write(store(best.1));
                    }
                }
                _ => {
                    for (i, (v, p)) in places.enumerate() {
                        let mut best = (row.0[taps[0] + i], row.1[taps[0] + i]);
                        for &at in &taps[1..] {
                            best = better::<T, I, P>(best, (row.0[at + i], row.1[at + i]));
                        }
                        v.write(best.0);
                        p.write(store(best.1));
                    }
                }
            }
        }
    }
}

/// Folds a row into another that came before it.
#[inline(always)]
pub fn absorb<T: Order, I: Position>(into: Pairs<'_, T, I>, later: Held<'_, T, I>) {
    for ((v, p), o) in into.values.iter_mut().zip(into.positions).zip(later.0.iter().zip(later.1)) {
        (*v, *p) = better::<T, I, false>((*v, *p), (*o.0, *o.1));
    }
}

/// Elements of each residue when `len` elements are split by `step`.
#[inline(always)]
fn split_len(len: usize, step: usize) -> usize {
    len.div_ceil(step)
}

/// Elements a split row takes: its residues, all as long as the first. A step beyond the row leaves one each.
#[inline(always)]
fn split_room(len: usize, step: usize) -> usize {
    split_len(len, step) * step.min(len)
}

/// Splits a row by residue: element `i` goes to `dst[(i % step)*split_len + i / step]`.
#[inline(always)]
fn split<T: Copy>(row: &[Cell<T>], step: usize, dst: &mut [T]) {
    let part = split_len(row.len(), step).max(1);
    for (r, dst) in dst.chunks_mut(part).take(step.min(row.len())).enumerate() {
        for (d, v) in dst.iter_mut().zip(row[r..].iter().step_by(step)) {
            *d = v.get();
        }
    }
}
