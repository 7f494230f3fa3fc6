//! Folds over windows across a row and down rows: maxima, minima, sums.
//!
//! Folds of an order keep what they have on a tie and go left to right, then top to bottom, so the result is the first
//! of the equal elements in row-major order: the very element [`super::argmax`] points at, also between -0.0 and +0.0.
//!
//! Long windows cost no more than short ones: across a row by doubling (folds of 2, 4, 8, ... elements, of which any
//! length is made up), down rows by the pipeline's block scans.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::down::{any as fold_any, fold_rows, many};
use crate::element::{Codec, Mirrored, Order, Ordered, Real, chosen};
use crate::engine::simd::{Job, Level};
use crate::error::Result;
use crate::geometry::Reach;
use crate::geometry::bins::Bins;
use crate::geometry::taps::reserved;
use crate::geometry::window::Windows;

/// Which elements a pooling keeps.
pub trait Beats: Copy + Default + Send + Sync + 'static {
    /// Elements in and out, so that the largest wins.
    type Codec<T: Ordered>: Codec<Stored = T, Computed = T::Key> + Default;
}

/// Maximum.
#[derive(Debug, Clone, Copy, Default)]
pub struct Larger;
/// Minimum.
#[derive(Debug, Clone, Copy, Default)]
pub struct Smaller;

impl Beats for Larger {
    type Codec<T: Ordered> = T::KeyCodec;
}
impl Beats for Smaller {
    type Codec<T: Ordered> = Mirrored<T::KeyCodec>;
}

/// An associative operation with which windows are folded.
pub trait Fold<T>: Copy + Default + Send + Sync + 'static {
    /// Whether an element counted twice changes nothing.
    const IDEMPOTENT: bool;
    /// Whether elements may meet in any order.
    const UNORDERED: bool;
    /// Whether rows may be folded before columns, if no element is a [twin](Fold::twin).
    const ROWS_FIRST: bool = Self::UNORDERED;
    /// As [`Job::WIDE`].
    const WIDE: bool;
    /// The same for elements of which none is [odd](Fold::odd); itself if there is nothing simpler.
    type Simple: Fold<T>;
    /// Whether there is something simpler.
    const SIMPLER: bool = false;
    /// Whether an element asks for more than the simple fold.
    #[inline(always)]
    fn odd(v: T) -> bool {
        let _ = v;
        false
    }
    /// Whether an element that is not odd equals another that is not the same, so that the order matters.
    #[inline(always)]
    fn twin(v: T) -> bool {
        let _ = v;
        false
    }
    /// Whether, though simple, it can say of elements whether any is [odd](Fold::odd) for what it is simpler than.
    const WATCHES: bool = false;
    /// Whether one is.
    #[inline(always)]
    fn watched(v: T) -> bool {
        let _ = v;
        false
    }
    /// Changes nothing when folded in.
    fn neutral() -> T;
    /// `v` folded into `held`, which came before it.
    fn fold(held: T, v: T) -> T;
}

/// The largest element.
#[derive(Debug, Clone, Copy, Default)]
pub struct Best;

impl<T: Order> Fold<T> for Best {
    const IDEMPOTENT: bool = true;
    const UNORDERED: bool = false;
    const ROWS_FIRST: bool = !T::ODD;
    const WIDE: bool = T::WIDE;
    type Simple = BestPlain;
    const SIMPLER: bool = T::ODD;
    #[inline(always)]
    fn odd(v: T) -> bool {
        v.is_odd()
    }
    #[inline(always)]
    fn twin(v: T) -> bool {
        v.is_twin()
    }
    #[inline(always)]
    fn neutral() -> T {
        T::LEAST
    }
    #[inline(always)]
    fn fold(held: T, v: T) -> T {
        v.larger(held)
    }
}

/// The largest of elements of which none is odd: one instruction, where a NaN that wins takes four.
#[derive(Debug, Clone, Copy, Default)]
pub struct BestPlain;

impl<T: Order> Fold<T> for BestPlain {
    const IDEMPOTENT: bool = true;
    const UNORDERED: bool = false;
    const ROWS_FIRST: bool = true;
    const WIDE: bool = T::WIDE;
    const WATCHES: bool = T::ODD;
    type Simple = Self;
    #[inline(always)]
    fn watched(v: T) -> bool {
        v.is_odd()
    }
    #[inline(always)]
    fn neutral() -> T {
        T::LEAST
    }
    #[inline(always)]
    fn fold(held: T, v: T) -> T {
        chosen(v.exceeds(held), v, held)
    }
}

/// The sum.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum;

impl<T: Real> Fold<T> for Sum {
    const IDEMPOTENT: bool = false;
    const UNORDERED: bool = true;
    const WIDE: bool = T::WIDE;
    type Simple = Self;
    #[inline(always)]
    fn neutral() -> T {
        T::default()
    }
    #[inline(always)]
    fn fold(held: T, v: T) -> T {
        T::add(held, v)
    }
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

/// Windows from this length on, in strides, are folded by doubling. (At stride 1, windows of 5 and 7 elements take as
/// long either way.)
const LONG: usize = 8;

/// Whether windows are folded by doubling.
#[must_use]
pub fn doubles(w: &Windows) -> bool {
    w.kernel >= LONG && w.kernel / LONG >= w.stride
}

/// Elements of scratch that [`across`] needs for `outs` outputs.
#[must_use]
pub fn across_room(bins: &Bins, outs: usize, inner: usize) -> usize {
    match bins {
        Bins::Sliding(w) if doubles(w) => padded_len(w, outs).saturating_mul(2).saturating_mul(inner),
        _ => 0,
    }
}

/// Elements, padding included, that `outs` neighbouring windows read.
#[must_use]
pub fn padded_len(w: &Windows, outs: usize) -> usize {
    let span = (w.kernel - 1).saturating_mul(w.dilation).saturating_add(1);
    outs.saturating_sub(1).saturating_mul(w.stride).saturating_add(span)
}

/// The windows across a row, and what is worth knowing of them before there is a row.
#[derive(Debug)]
pub struct RowWindows<'a> {
    /// The windows.
    pub bins: &'a Bins,
    /// Those wholly inside the row.
    pub inside: Range<usize>,
    /// The others, if they slide. (To compute them for every row takes as long as all the rest of a short row.)
    cut: Vec<(usize, Reach)>,
}

impl<'a> RowWindows<'a> {
    /// Looks at the windows.
    ///
    /// # Errors
    /// If the list of the windows that the ends cut cannot be allocated.
    pub fn new(bins: &'a Bins) -> Result<Self> {
        let Bins::Sliding(w) = bins else { return Ok(Self { bins, inside: 0..0, cut: Vec::new() }) };
        let inside = w.interior();
        let others = (0..inside.start).chain(inside.end..w.out_len);
        let mut cut = reserved(w.out_len - inside.len())?;
        cut.extend(others.map(|o| (o, w.at(o))));
        Ok(Self { bins, inside, cut })
    }

    /// The only window there is: these positions, `bins` being a list of one. (For a piece of a window.)
    ///
    /// # Panics
    /// If it is not.
    #[inline(always)]
    pub fn only(bins: &'a mut Bins, positions: Range<usize>) -> Self {
        if let Bins::Listed { windows, .. } = bins {
            windows[0] = Reach { start: positions.start, count: positions.len(), step: 1 };
        }
        Self { bins, inside: 0..0, cut: Vec::new() }
    }

    /// Whether the windows of whole rows that lie one after the other are those of one long row, but for the cut ones.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        matches!(self.bins, Bins::Sliding(w) if !doubles(w) && w.out_len.checked_mul(w.stride) == Some(w.in_len))
    }

    /// Whether those in `cols` of rows of `len` elements are.
    #[inline(always)]
    #[must_use]
    pub fn repeat(&self, cols: &Range<usize>, len: usize, inner: usize) -> bool {
        self.may_repeat() && cols.len() == self.bins.out_len() && len == self.bins.in_len() * inner
    }

    /// The windows in `cols` that the ends cut.
    #[inline(always)]
    pub fn cut(&self, cols: &Range<usize>) -> impl Iterator<Item = &(usize, Reach)> {
        self.cut.iter().filter(|(o, _)| *o >= cols.start && *o < cols.end)
    }
}

/// Windows across a row; `room` is [`across_room`].
#[inline(always)]
pub fn across<L: Level, T: Copy, F: Fold<T>>(
    level: L,
    windows: &RowWindows<'_>,
    span: &Span<'_, T>,
    room: &mut [T],
    dst: &mut [T],
) {
    across_rows::<L, T, F>(level, windows, span, (1, span.src.len()), false, room, dst);
}

/// [`across`] for so many rows of so many elements, equally far apart. Where their windows [`RowWindows::repeat`], they
/// are one long row; the windows that the ends of each row cut are then computed again.
///
/// If it `watches`, the fold is a simple one and the elements have not been looked at: says whether one of them is odd, so that
/// what was made is not to be used. (Asked here, and not before there is anything to fold: 3 x 3 maxima a tenth faster.)
#[inline(always)]
pub fn across_rows<L: Level, T: Copy, F: Fold<T>>(
    level: L,
    windows: &RowWindows<'_>,
    span: &Span<'_, T>,
    rows: (usize, usize),
    watches: bool,
    room: &mut [T],
    dst: &mut [T],
) -> bool {
    level.call(AcrossRows::<T, F> { windows, span, rows, room, dst, watches, fold: PhantomData })
}

/// What [`across_rows`] does, compiled once for all that fold so. (A path of its own for one row, whose cut windows then take no
/// division, makes long windows of short rows an eighth faster, with whole vectors compared plainly where no element is odd
/// 5 x 5 with AVX2 twice as fast; but the code of all folds once more is a twelfth of the wheel.)
struct AcrossRows<'a, T, F> {
    windows: &'a RowWindows<'a>,
    span: &'a Span<'a, T>,
    rows: (usize, usize),
    room: &'a mut [T],
    dst: &'a mut [T],
    watches: bool,
    fold: PhantomData<F>,
}

impl<T: Copy, F: Fold<T>> Job for AcrossRows<'_, T, F> {
    const WIDE: bool = F::WIDE;
    type Output = bool;
    #[inline(always)]
    fn run<L: Level>(self, _: L) -> bool {
        let Self { windows, span, rows: (rows, len), room, dst, watches, fold: _ } = self;
        let Span { src, from, cols, inner } = *span;
        let (pitch, width) = (src.len() / rows, cols.len() * inner);
        let dst = &mut dst[..rows * width];
        // A long row, or each by itself.
        let slides = matches!(windows.bins, Bins::Sliding(w) if inner == 1 || w.stride == 1);
        let long = rows > 1 && slides && len == pitch && windows.repeat(cols, len, inner);
        let at_once = if long { rows } else { 1 };
        if inner == 1 && rows >= TOGETHER && matches!(windows.bins, Bins::Listed { .. }) {
            // The last rows may overlap the ones before them: the same values again.
            for first in (0..rows).step_by(TOGETHER).map(|first| first.min(rows - TOGETHER)) {
                let span = Span { src: &src[first * pitch..], from, cols, inner };
                together::<T, F>(windows.bins, &span, pitch, &mut dst[first * width..][..TOGETHER * width]);
            }
            return false;
        }
        for (src, dst) in src.chunks_exact(at_once * pitch).zip(dst.chunks_exact_mut(at_once * width)) {
            let src = &src[..if at_once == 1 { len } else { src.len() }];
            if F::WATCHES && watches {
                // (In pieces of 1 to 4 KiB, each just before it is folded, takes longer.)
                let mut odd = false;
                for v in src {
                    odd |= F::watched(v.get());
                }
                if odd {
                    return true;
                }
            }
            windows.fold::<L, T, F>(&Span { src, from, cols, inner }, at_once, room, dst);
        }
        false
    }
}

impl RowWindows<'_> {
    /// The windows of a row, or of so many whose windows repeat.
    #[inline(always)]
    fn fold<L: Level, T: Copy, F: Fold<T>>(&self, span: &Span<'_, T>, rows: usize, room: &mut [T], dst: &mut [T]) {
        let Span { src, from, cols, inner } = *span;
        let width = dst.len() / rows;
        let w = match self.bins {
            Bins::Sliding(w) if doubles(w) => return doubling::<T, F>(w, span, room, dst),
            Bins::Sliding(w) if inner == 1 || w.stride == 1 => w,
            bins => return singly::<T, F>(bins, span, dst),
        };
        let (lo, hi) = (self.inside.start.clamp(cols.start, cols.end), self.inside.end.clamp(cols.start, cols.end));
        if lo < hi {
            let first = lo * w.stride - w.pad.before - from; // a window inside begins where it should
            // At stride 1, neighbouring positions of all channels are one row of their own.
            let dilation = w.dilation * inner;
            interior::<L, T, F>(
                (w.kernel, w.stride, dilation),
                &src[first * inner..],
                &mut dst[(lo - cols.start) * inner..(hi - cols.start) * inner + (rows - 1) * width],
            );
        }
        for &(o, r) in self.cut(cols) {
            for (src, dst) in src.chunks_exact(src.len() / rows).zip(dst.chunks_exact_mut(width)) {
                let dst = &mut dst[(o - cols.start) * inner..][..inner];
                for (c, d) in dst.iter_mut().enumerate() {
                    let taps = &src[(r.start - from) * inner + c..];
                    if inner == 1 && r.step == 1 && is_long::<T, F>(r.count) {
                        *d = long_window::<T, F>(&taps[..r.count]);
                        continue;
                    }
                    let mut held = taps[0].get();
                    for j in 1..r.count {
                        held = F::fold(held, taps[j * r.step * inner].get());
                    }
                    *d = held;
                }
            }
        }
    }
}

/// Bytes of neighbouring elements that are folded side by side where a window is long, and how many times as many it has.
const SIDE_BY_SIDE: usize = 64;
const LONG_WINDOW: usize = 4;

/// Whether a window of so many elements is folded by [`long_window`].
#[inline(always)]
fn is_long<T, F: Fold<T>>(count: usize) -> bool {
    F::UNORDERED && count >= LONG_WINDOW * SIDE_BY_SIDE / size_of::<T>().max(1)
}

/// A long window, of neighbours whose order does not matter: as many folds as a vector has lanes, and those by halves. (One
/// after the other, each element waits for the one before it.) The same at every level.
#[inline(always)]
fn long_window<T: Copy, F: Fold<T>>(taps: &[Cell<T>]) -> T {
    match size_of::<T>() {
        8.. => lanes::<T, F, 8>(taps),
        4..8 => lanes::<T, F, 16>(taps),
        _ => lanes::<T, F, 32>(taps),
    }
}

/// [`long_window`] for each channel, in the same order; `src` begins with the first of `count` positions.
#[inline(always)]
fn long_windows<T: Copy, F: Fold<T>>(src: &[Cell<T>], count: usize, dst: &mut [T]) {
    match size_of::<T>() {
        8.. => lanes_of_channels::<T, F, 8>(src, count, dst),
        4..8 => lanes_of_channels::<T, F, 16>(src, count, dst),
        _ => lanes_of_channels::<T, F, 32>(src, count, dst),
    }
}

/// [`long_window`] by `N` folds.
#[inline(always)]
fn lanes<T: Copy, F: Fold<T>, const N: usize>(taps: &[Cell<T>]) -> T {
    let mut held = [F::neutral(); N];
    let whole = taps.chunks_exact(N);
    let rest = whole.remainder();
    for (i, taps) in whole.enumerate() {
        for (held, v) in held.iter_mut().zip(taps) {
            *held = if i == 0 { v.get() } else { F::fold(*held, v.get()) };
        }
    }
    let mut n = N / 2;
    while n > 0 {
        let (low, high) = held.split_at_mut(n);
        for (held, v) in low.iter_mut().zip(high) {
            *held = F::fold(*held, *v);
        }
        n /= 2;
    }
    rest.iter().fold(held[0], |held, v| F::fold(held, v.get()))
}

/// [`lanes`] for each channel: a vector of them at a time.
#[inline(always)]
fn lanes_of_channels<T: Copy, F: Fold<T>, const N: usize>(src: &[Cell<T>], count: usize, dst: &mut [T]) {
    let inner = dst.len();
    for (i, dst) in dst.chunks_mut(N).enumerate() {
        let mut held = [[F::neutral(); N]; N];
        let position = |j: usize| &src[j * inner + i * N..][..dst.len()];
        for j in 0..count / N * N {
            for (held, v) in held[j % N].iter_mut().zip(position(j)) {
                *held = if j < N { v.get() } else { F::fold(*held, v.get()) };
            }
        }
        let mut n = N / 2;
        while n > 0 {
            let (low, high) = held.split_at_mut(n);
            for (held, v) in low.iter_mut().flatten().zip(high.iter().flatten()) {
                *held = F::fold(*held, *v);
            }
            n /= 2;
        }
        for j in count / N * N..count {
            for (held, v) in held[0].iter_mut().zip(position(j)) {
                *held = F::fold(*held, v.get());
            }
        }
        dst.copy_from_slice(&held[0][..dst.len()]);
    }
}

/// Rows whose listed windows are folded side by side: the elements of one window wait for each other.
const TOGETHER: usize = 4;

/// Window after window of [`TOGETHER`] rows, `pitch` apart.
#[inline(always)]
fn together<T: Copy, F: Fold<T>>(bins: &Bins, span: &Span<'_, T>, pitch: usize, dst: &mut [T]) {
    let Span { src, from, cols, .. } = *span;
    let rows = [src, &src[pitch..], &src[2 * pitch..], &src[3 * pitch..]];
    for (i, o) in cols.clone().enumerate() {
        let r = bins.at(o);
        let (first, len) = (r.start - from, r.end() - r.start);
        let taps = rows.map(|row| &row[first..first + len]);
        if r.step == 1 && is_long::<T, F>(r.count) {
            for (dst, taps) in dst.chunks_exact_mut(cols.len()).zip(taps) {
                dst[i] = long_window::<T, F>(taps);
            }
            continue;
        }
        let mut held = taps.map(|taps| taps[0].get());
        let mut j = r.step;
        while j < len {
            held = [
                F::fold(held[0], taps[0][j].get()),
                F::fold(held[1], taps[1][j].get()),
                F::fold(held[2], taps[2][j].get()),
                F::fold(held[3], taps[3][j].get()),
            ];
            j += r.step; // (An iterator that steps by a variable divides.)
        }
        for (dst, held) in dst.chunks_exact_mut(cols.len()).zip(held) {
            dst[i] = held;
        }
    }
}

/// Window after window.
#[inline(always)]
fn singly<T: Copy, F: Fold<T>>(bins: &Bins, span: &Span<'_, T>, dst: &mut [T]) {
    let Span { src, from, cols, inner } = *span;
    if inner == 1 {
        for (o, d) in cols.clone().zip(dst) {
            let r = bins.at(o);
            let first = r.start - from;
            let mut held = src[first].get();
            if r.step == 1 && is_long::<T, F>(r.count) {
                held = long_window::<T, F>(&src[first..first + r.count]);
            } else if r.step == 1 {
                // (Stepping by a variable divides.)
                for v in &src[first..first + r.count][1..] {
                    held = F::fold(held, v.get());
                }
            } else {
                for v in src[first..r.end() - from].iter().step_by(r.step).skip(1) {
                    held = F::fold(held, v.get());
                }
            }
            *d = held;
        }
        return;
    }
    for (o, dst) in cols.clone().zip(dst.chunks_exact_mut(inner)) {
        let r = bins.at(o);
        let at = |j: usize| &src[(r.start + j * r.step - from) * inner..][..inner];
        if r.step == 1 && is_long::<T, F>(r.count) {
            long_windows::<T, F>(&src[(r.start - from) * inner..], r.count, dst);
            continue;
        }
        match r.count {
            2 => {
                for ((d, a), b) in dst.iter_mut().zip(at(0)).zip(at(1)) {
                    *d = F::fold(a.get(), b.get());
                }
            }
            3 => {
                for (((d, a), b), c) in dst.iter_mut().zip(at(0)).zip(at(1)).zip(at(2)) {
                    *d = F::fold(F::fold(a.get(), b.get()), c.get());
                }
            }
            n => {
                for (d, v) in dst.iter_mut().zip(at(0)) {
                    *d = v.get();
                }
                for j in 1..n {
                    for (d, v) in dst.iter_mut().zip(at(j)) {
                        *d = F::fold(*d, v.get());
                    }
                }
            }
        }
    }
}

/// Long windows: folds of 1, 2, 4, ... neighbouring elements, of which the windows are put together.
#[inline(always)]
fn doubling<T: Copy, F: Fold<T>>(w: &Windows, span: &Span<'_, T>, room: &mut [T], dst: &mut [T]) {
    let Span { src, from, cols, inner } = *span;
    let len = padded_len(w, cols.len()) * inner;
    let (mut cur, mut next) = room[..2 * len].split_at_mut(len);
    // The row with its padding, from the first window's first element on.
    let first = cols.start * w.stride; // in padded coordinates
    let lead = (w.pad.before.saturating_sub(first) * inner).min(len);
    let skip = ((first.saturating_sub(w.pad.before)).saturating_sub(from) * inner).min(src.len());
    let have = (src.len() - skip).min(len - lead);
    cur[..lead].fill(F::neutral());
    for (c, v) in cur[lead..lead + have].iter_mut().zip(&src[skip..]) {
        *c = v.get();
    }
    cur[lead + have..].fill(F::neutral());

    let step = w.dilation * inner;
    let (mut run, mut done) = (1, 0);
    loop {
        if !F::IDEMPOTENT && w.kernel & run != 0 {
            add_run::<T, F>(&cur[done * step..], w.stride, inner, done == 0, dst);
            done += run;
        }
        if 2 * run > w.kernel {
            break;
        }
        let n = len - (2 * run - 1) * step;
        for ((d, a), b) in next[..n].iter_mut().zip(&cur[..n]).zip(&cur[run * step..][..n]) {
            *d = F::fold(*a, *b);
        }
        (cur, next) = (next, cur);
        run *= 2;
    }
    if F::IDEMPOTENT && w.stride == 1 {
        for ((d, a), b) in dst.iter_mut().zip(&*cur).zip(&cur[(w.kernel - run) * step..]) {
            *d = F::fold(*a, *b);
        }
    } else if F::IDEMPOTENT {
        add_run::<T, F>(cur, w.stride, inner, true, dst);
        add_run::<T, F>(&cur[(w.kernel - run) * step..], w.stride, inner, false, dst);
    }
}

/// Folds the runs that begin at each window's place into `dst`, or sets it to them.
#[inline(always)]
fn add_run<T: Copy, F: Fold<T>>(runs: &[T], stride: usize, inner: usize, first: bool, dst: &mut [T]) {
    if stride == 1 {
        if first {
            dst.copy_from_slice(&runs[..dst.len()]);
        } else {
            for (d, v) in dst.iter_mut().zip(runs) {
                *d = F::fold(*d, *v);
            }
        }
        return;
    }
    for (dst, runs) in dst.chunks_exact_mut(inner).zip(runs.chunks(stride * inner)) {
        for (d, v) in dst.iter_mut().zip(runs) {
            *d = if first { *v } else { F::fold(*d, *v) };
        }
    }
}

/// Whole windows of `(kernel, stride, dilation)`; the first begins at `src[0]`. With the stride (and, for the common
/// kernels, the length) a constant, the compiler separates even from odd elements by shuffles.
#[inline(always)]
fn interior<L: Level, T: Copy, F: Fold<T>>(shape: (usize, usize, usize), src: &[Cell<T>], dst: &mut [T]) {
    match shape {
        (k, s, d) if L::LEAN => any::<T, F>(k, s, d, src, dst),
        (k, 1, d) => side_by_side::<T, F>(k, d, src, dst),
        // By pairs, which the compiler loads once and separates: a quarter faster than two strided reads.
        (k, 2, 1) if k > 1 && (size_of::<T>() < 4 || k == 2 && dst.len() >= PAIRS) => pairs::<T, F>(k, src, dst),
        (2, 2, 1) => blocks::<T, F, 2>(src, 2, 1, dst),
        (3, 2, 1) => blocks::<T, F, 2>(src, 3, 1, dst),
        (k, 2, d) => blocks::<T, F, 2>(src, k, d, dst),
        (k, 3, d) => blocks::<T, F, 3>(src, k, d, dst),
        (k, 4, d) => blocks::<T, F, 4>(src, k, d, dst),
        (k, s, d) => any::<T, F>(k, s, d, src, dst),
    }
}

/// Windows of any kind.
#[inline(always)]
fn any<T: Copy, F: Fold<T>>(kernel: usize, stride: usize, dilation: usize, src: &[Cell<T>], dst: &mut [T]) {
    let long = dilation == 1 && is_long::<T, F>(kernel);
    for (o, to) in dst.iter_mut().enumerate() {
        if long {
            *to = long_window::<T, F>(&src[o * stride..][..kernel]);
            continue;
        }
        let mut held = src[o * stride].get();
        for j in 1..kernel {
            held = F::fold(held, src[o * stride + j * dilation].get());
        }
        *to = held;
    }
}

/// Windows two apart, two elements at a time. (Blocks of 8- and 16-bit elements are put together one by one.)
#[inline(always)]
fn pairs<T: Copy, F: Fold<T>>(kernel: usize, src: &[Cell<T>], dst: &mut [T]) {
    for (d, pair) in dst.iter_mut().zip(src.chunks_exact(2)) {
        *d = F::fold(pair[0].get(), pair[1].get());
    }
    let mut done = 2;
    while done < kernel {
        // The last window may end with its row, and then with half a pair.
        let whole = dst.len() - usize::from(kernel - done == 1);
        let (head, last) = dst.split_at_mut(whole);
        if kernel - done == 1 {
            for (d, pair) in head.iter_mut().zip(src[done..].chunks_exact(2)) {
                *d = F::fold(*d, pair[0].get());
            }
            for d in last {
                *d = F::fold(*d, src[2 * whole + done].get());
            }
        } else {
            for (d, pair) in head.iter_mut().zip(src[done..].chunks_exact(2)) {
                *d = F::fold(F::fold(*d, pair[0].get()), pair[1].get());
            }
        }
        done += 2;
    }
}

/// Windows one apart: up to three elements at once. (Blocks of outputs, as below, end up in memory here.)
#[inline(always)]
fn side_by_side<T: Copy, F: Fold<T>>(kernel: usize, dilation: usize, src: &[Cell<T>], dst: &mut [T]) {
    let tap = |k: usize| src[k * dilation..].iter().map(Cell::get);
    let mut done = match kernel {
        1 => {
            dst.iter_mut().zip(tap(0)).for_each(|(d, v)| *d = v);
            return;
        }
        2 => {
            for ((d, a), b) in dst.iter_mut().zip(tap(0)).zip(tap(1)) {
                *d = F::fold(a, b);
            }
            return;
        }
        _ => {
            for (((d, a), b), c) in dst.iter_mut().zip(tap(0)).zip(tap(1)).zip(tap(2)) {
                *d = F::fold(F::fold(a, b), c);
            }
            3
        }
    };
    while done + 1 < kernel {
        for ((d, a), b) in dst.iter_mut().zip(tap(done)).zip(tap(done + 1)) {
            *d = F::fold(F::fold(*d, a), b);
        }
        done += 2;
    }
    if done < kernel {
        for (d, a) in dst.iter_mut().zip(tap(done)) {
            *d = F::fold(*d, a);
        }
    }
}

/// Outputs from which on pairs are faster than blocks, which need no loop for what is left over.
const PAIRS: usize = 64;

/// Outputs computed side by side: a wide vector of float32. (More do not stay in registers; as many bytes of smaller elements are
/// put together one by one.)
const BLOCK: usize = 16;

#[inline(always)]
fn blocks<T: Copy, F: Fold<T>, const S: usize>(src: &[Cell<T>], kernel: usize, dilation: usize, dst: &mut [T]) {
    if dst.len() >= BLOCK {
        blocks_of::<T, F, S, BLOCK>(src, kernel, dilation, dst);
    } else {
        blocks_of::<T, F, S, 1>(src, kernel, dilation, dst);
    }
}

/// Blocks of `N` outputs, of which there are at least `N`.
#[inline(always)]
fn blocks_of<T: Copy, F: Fold<T>, const S: usize, const N: usize>(
    src: &[Cell<T>],
    kernel: usize,
    dilation: usize,
    dst: &mut [T],
) {
    let (n, mut done) = (dst.len(), 0);
    while done < n {
        // The last block may overlap the one before it: it computes the same values again.
        let from = done.min(n - N);
        block::<T, F, S, N>(&src[from * S..], kernel, dilation, &mut dst[from..]);
        done = from + N;
    }
}

#[inline(always)]
fn block<T: Copy, F: Fold<T>, const S: usize, const N: usize>(
    src: &[Cell<T>],
    kernel: usize,
    dilation: usize,
    dst: &mut [T],
) {
    let mut held = [F::neutral(); N];
    let first = &src[..(N - 1) * S + 1];
    for i in 0..N {
        held[i] = first[i * S].get();
    }
    for k in 1..kernel {
        let tap = &src[k * dilation..][..(N - 1) * S + 1];
        for i in 0..N {
            held[i] = F::fold(held[i], tap[i * S].get());
        }
    }
    dst[..N].copy_from_slice(&held);
}

/// Folds rows, the first row first.
#[inline(always)]
pub fn down<'a, L: Level, T: Copy + 'a, F: Fold<T>>(
    n: usize,
    row: impl Fn(usize) -> &'a [T],
    dst: &mut [MaybeUninit<T>],
) {
    if L::LEAN {
        return fold_any(n, row, dst, |v| *v, |_, held, v| F::fold(held, *v));
    }
    fold_rows(n, row, dst, |v| *v, |_, held, v| F::fold(held, *v));
}

/// [`down`] for several results: row `r` of `dst`, of `width` elements, of the rows that begin at the places `taps` of
/// `kept`, moved on by `r*step`.
#[inline(always)]
pub fn down_rows<L: Level, T: Copy, F: Fold<T>>(
    level: L,
    kept: &[T],
    taps: &[usize],
    step: usize,
    width: usize,
    dst: &mut [MaybeUninit<T>],
) {
    level.call(DownRows::<T, F> { kept, taps, step, width, dst, fold: PhantomData });
}

/// What [`down_rows`] does, compiled once for all that fold so.
struct DownRows<'a, T, F> {
    kept: &'a [T],
    taps: &'a [usize],
    step: usize,
    width: usize,
    dst: &'a mut [MaybeUninit<T>],
    fold: PhantomData<F>,
}

impl<T: Copy, F: Fold<T>> Job for DownRows<'_, T, F> {
    const WIDE: bool = F::WIDE;
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Self { kept, taps, step, width, dst, fold: _ } = self;
        // Rows one apart are one long row.
        let width = if step == width { dst.len() } else { width };
        for (r, dst) in dst.chunks_exact_mut(width).enumerate() {
            let row = &kept[r * step..];
            match *taps {
                [] => {}
                _ if L::LEAN => {
                    let tap = |j: usize| &row[taps[j]..][..width];
                    fold_any(taps.len(), tap, dst, |v| *v, |_, held, v| F::fold(held, *v));
                }
                [a] => {
                    for (d, a) in dst.iter_mut().zip(&row[a..][..width]) {
                        d.write(*a);
                    }
                }
                [a, b] => {
                    for ((d, a), b) in dst.iter_mut().zip(&row[a..][..width]).zip(&row[b..][..width]) {
                        d.write(F::fold(*a, *b));
                    }
                }
                [a, b, c] => {
                    let rows = row[a..][..width].iter().zip(&row[b..][..width]).zip(&row[c..][..width]);
                    for (d, ((a, b), c)) in dst.iter_mut().zip(rows) {
                        d.write(F::fold(F::fold(*a, *b), *c));
                    }
                }
                [a, b, c, e] => {
                    let rows = row[a..][..width].iter().zip(&row[b..][..width]);
                    let rows = rows.zip(&row[c..][..width]).zip(&row[e..][..width]);
                    for (d, (((a, b), c), e)) in dst.iter_mut().zip(rows) {
                        d.write(F::fold(F::fold(F::fold(*a, *b), *c), *e));
                    }
                }
                _ => many(taps.len(), |j| &row[taps[j]..][..width], dst, |v| *v, |_, held, v| F::fold(held, *v)),
            }
        }
    }
}

/// [`down`] from rows of the input itself.
#[inline(always)]
pub fn down_cells<'a, L: Level, T: Copy + 'a, F: Fold<T>>(
    n: usize,
    row: impl Fn(usize) -> &'a [Cell<T>],
    dst: &mut [MaybeUninit<T>],
) {
    if L::LEAN {
        return fold_any(n, row, dst, Cell::get, |_, held, v| F::fold(held, v.get()));
    }
    fold_rows(n, row, dst, Cell::get, |_, held, v| F::fold(held, v.get()));
}

/// Folds a row into another that came before it.
#[inline(always)]
pub fn absorb<T: Copy, F: Fold<T>>(into: &mut [T], later: &[T]) {
    for (held, v) in into.iter_mut().zip(later) {
        *held = F::fold(*held, *v);
    }
}
