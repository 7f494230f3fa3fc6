//! Bins of regions of interest: down the rows, then across the columns, for each of an image's channels.
//!
//! Mean, maximum and weighted maximum go the same way and differ in how an element joins what a bin holds, which is
//! [`Join`]. A row may hold the channels of every column side by side (`inner`); then columns are vectors and need no
//! more. Where it holds one channel, rows are folded whole, columns side by side, and across them a mean computes
//! [`LANES`] outputs side by side ([`Lanes`]).

use std::cell::Cell;
use std::ops::Range;

use crate::element::{Order, Real, chosen};
use crate::engine::simd::{Job, Level};
use crate::geometry::roi::{Extremes, Takes, Tally};

/// Outputs a row computes side by side: a vector of `f32`. (The compiler takes loops of 8 apart.)
pub const LANES: usize = 16;

/// How an element joins what a bin holds. Along both sides in turn: what joins across the columns has already been
/// joined down the rows.
pub trait Join: Copy + Default + Send + Sync + 'static {
    /// Elements as they are computed with. A bin that takes none holds the default, zero.
    type Value: Copy + Default + Send + Sync + 'static;
    /// What is tallied of an element's weights.
    type Tally: Tally;
    /// The same, as it is computed with.
    type Weight: Copy + Default + Send + Sync + 'static;

    /// The weight of a tally.
    fn weight(tally: Self::Tally) -> Self::Weight;
    /// The first element of a bin.
    fn first<L: Level>(weight: Self::Weight, v: Self::Value) -> Self::Value;
    /// A further element.
    fn next<L: Level>(held: Self::Value, weight: Self::Weight, v: Self::Value) -> Self::Value;
    /// The result of a bin; `zero`: it read a zero somewhere.
    fn finish(held: Self::Value, zero: bool) -> Self::Value {
        let _ = zero;
        held
    }
    /// Lays weights out for outputs side by side, if that helps.
    fn side_by_side(bins: &Bins<'_, Self::Weight>, columns: &[usize], lanes: &mut Lanes<Self::Weight>) {
        let _ = (bins, columns);
        lanes.clear();
    }
    /// Across one channel's columns, outputs side by side; whether that has been done.
    fn across<L: Level>(job: &mut Across<'_, Self>) -> bool {
        let _ = job;
        false
    }
}

/// Sums of weighted elements.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum<T>(std::marker::PhantomData<fn() -> T>);

/// Maximum of weighted elements. An element's weight is its largest, or for one below zero its smallest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peak<T>(std::marker::PhantomData<fn() -> T>);

/// Maximum; of zeros, the positive one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Largest<T>(std::marker::PhantomData<fn() -> T>);

#[inline(always)]
pub(super) fn fma<T: Real, L: Level>(a: T, b: T, c: T) -> T {
    if L::FMA { T::mul_add::<true>(a, b, c) } else { T::mul_add::<false>(a, b, c) }
}

#[inline(always)]
#[allow(clippy::eq_op)] // only a NaN is not itself
fn is_nan<T: PartialEq>(v: T) -> bool {
    v != v
}

/// Whether `v` replaces `held`, whatever comes later: it is larger, or the first NaN.
#[inline(always)]
pub(super) fn rises<T: Real>(v: T, held: T) -> bool {
    (v > held) | (is_nan(v) & !is_nan(held))
}

impl<T: Real> Join for Sum<T> {
    type Value = T;
    type Tally = f64;
    type Weight = T;

    fn weight(tally: f64) -> T {
        T::of(tally)
    }
    #[inline(always)]
    fn first<L: Level>(weight: T, v: T) -> T {
        fma::<T, L>(weight, v, T::default()) // the same zero as where a sum begins with nothing
    }
    #[inline(always)]
    fn next<L: Level>(held: T, weight: T, v: T) -> T {
        fma::<T, L>(weight, v, held)
    }
    fn side_by_side(bins: &Bins<'_, T>, columns: &[usize], lanes: &mut Lanes<T>) {
        lanes.lay_out(bins, columns);
    }
    #[inline(always)]
    fn across<L: Level>(job: &mut Across<'_, Self>) -> bool {
        job.side_by_side::<L>()
    }
}

/// An element times the larger or the smaller of its weights, whichever is more.
#[inline(always)]
pub(super) fn weighted<T: Real>((largest, smallest): (T, T), v: T) -> T {
    T::mul(if v >= T::default() { largest } else { smallest }, v)
}

impl<T: Real> Join for Peak<T> {
    type Value = T;
    type Tally = Extremes;
    type Weight = (T, T);

    fn weight(tally: Extremes) -> (T, T) {
        (T::of(tally.largest), T::of(tally.smallest))
    }
    #[inline(always)]
    fn first<L: Level>(weight: (T, T), v: T) -> T {
        weighted(weight, v)
    }
    #[inline(always)]
    fn next<L: Level>(held: T, weight: (T, T), v: T) -> T {
        let v = weighted(weight, v);
        chosen(rises(v, held), v, held)
    }
    #[inline(always)]
    fn finish(held: T, zero: bool) -> T {
        chosen(zero & rises(T::default(), held), T::default(), held)
    }
}

impl<T: Order> Join for Largest<T> {
    type Value = T;
    type Tally = ();
    type Weight = ();

    fn weight((): ()) {}
    #[inline(always)]
    fn first<L: Level>((): (), v: T) -> T {
        v
    }
    #[inline(always)]
    fn next<L: Level>(held: T, (): (), v: T) -> T {
        chosen(v.rises(held), v, held)
    }
    #[inline(always)]
    fn finish(held: T, _: bool) -> T {
        let zero = T::default();
        chosen(held.rises(zero) | zero.rises(held), held, zero)
    }
}

/// What the bins of one side take, as kernels see it.
#[derive(Debug)]
pub struct Bins<'a, W> {
    /// For each bin in turn, the places it takes, ascending.
    pub places: &'a [usize],
    /// As `places`.
    pub weights: &'a [W],
    /// For each bin, where its places begin and end.
    pub spans: &'a [(usize, usize)],
    /// For each bin, whether it read a zero.
    pub zeros: &'a [bool],
}

impl<W> Clone for Bins<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W> Copy for Bins<'_, W> {}

impl<'a, W> Bins<'a, W> {
    /// The bins of a side, with the weights already converted.
    pub fn new<V>(takes: &'a Takes<V>, weights: &'a [W]) -> Self {
        Self { places: &takes.places, weights, spans: &takes.spans, zeros: &takes.zeros }
    }

    /// Places and weights of bin `o`.
    #[inline(always)]
    pub fn at(&self, o: usize) -> (&'a [usize], &'a [W]) {
        let (start, end) = self.spans[o];
        (&self.places[start..end], &self.weights[start..end])
    }

    /// Those of them that lie in `window`, and how many there are before.
    #[inline(always)]
    pub(super) fn within(&self, o: usize, window: &Range<usize>) -> (&'a [usize], &'a [W], usize) {
        let (places, weights) = self.at(o);
        match places {
            [first, .., last] | [first @ last] if *first < window.start || *last >= window.end => {
                let start = places.partition_point(|&p| p < window.start);
                let end = places.partition_point(|&p| p < window.end);
                (&places[start..end], &weights[start..end], start)
            }
            _ => (places, weights, 0),
        }
    }
}

/// Columns next to each other: where they begin in a source row and in a row of results, and how many elements they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// In the source.
    pub from: usize,
    /// In the result.
    pub to: usize,
    /// Elements.
    pub len: usize,
}

/// The rows at places.
pub trait Source<'r, V>: Copy {
    /// The row at a place. To be inlined always.
    fn row(self, place: usize) -> &'r [Cell<V>];
}

/// Bins down rows: `dst[bin - which.start]` is a row of `width` elements, of which the runs are filled.
pub struct Down<'a, J: Join, S> {
    /// The rows of the window.
    pub src: S,
    /// Places whose rows are at hand; those before have joined already.
    pub window: Range<usize>,
    /// Bins along the rows.
    pub bins: Bins<'a, J::Weight>,
    /// Bins wanted.
    pub which: Range<usize>,
    /// Columns wanted.
    pub runs: &'a [Run],
    /// Elements of a row of results.
    pub width: usize,
    /// The results.
    pub dst: &'a mut [J::Value],
}

impl<'r, J: Join, S: Source<'r, J::Value>> Job for Down<'_, J, S> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        for (o, dst) in self.which.zip(self.dst.chunks_exact_mut(self.width)) {
            if self.bins.at(o).0.is_empty() {
                dst.fill(J::Value::default());
                continue;
            }
            let (places, weights, before) = self.bins.within(o, &self.window);
            if places.is_empty() {
                continue;
            }
            let fresh = before == 0;
            for run in self.runs {
                let dst = &mut dst[run.to..][..run.len];
                let mut done = 0;
                while done < run.len {
                    let (dst, from) = (&mut dst[done..], run.from + done);
                    done += match dst.len() {
                        64.. => fold::<J, L, S, 64>(places, weights, fresh, self.src, from, dst),
                        16.. => fold::<J, L, S, 16>(places, weights, fresh, self.src, from, dst),
                        8.. => fold::<J, L, S, 8>(places, weights, fresh, self.src, from, dst),
                        _ => fold::<J, L, S, 1>(places, weights, fresh, self.src, from, dst),
                    };
                }
            }
        }
    }
}

/// `N` columns of rows into one, from column `from` on; returns `N`.
#[inline(always)]
fn fold<'r, J: Join, L: Level, S: Source<'r, J::Value>, const N: usize>(
    places: &[usize],
    weights: &[J::Weight],
    fresh: bool,
    src: S,
    from: usize,
    dst: &mut [J::Value],
) -> usize {
    let mut held = [J::Value::default(); N];
    let (mut places, mut weights) = (places, weights);
    if let (true, [place, rest @ ..], [weight, others @ ..]) = (fresh, places, weights) {
        let row = &src.row(*place)[from..][..N];
        for i in 0..N {
            held[i] = J::first::<L>(*weight, row[i].get());
        }
        (places, weights) = (rest, others);
    } else {
        held.copy_from_slice(&dst[..N]);
    }
    for (&place, &weight) in places.iter().zip(weights) {
        let row = &src.row(place)[from..][..N];
        for i in 0..N {
            held[i] = J::next::<L>(held[i], weight, row[i].get());
        }
    }
    dst[..N].copy_from_slice(&held);
    N
}

/// Bins across the columns of rows that [`Down`] made.
pub struct Across<'a, J: Join> {
    /// Bins along the columns.
    pub bins: Bins<'a, J::Weight>,
    /// Where each place lies in a row, in columns.
    pub columns: &'a [usize],
    /// Weights for outputs side by side, or empty.
    pub lanes: &'a Lanes<J::Weight>,
    /// For each row, whether its bin read a zero.
    pub zeros: &'a [bool],
    /// The rows, of `width` elements each.
    pub src: &'a [J::Value],
    /// Elements of a row.
    pub width: usize,
    /// Channels of each column.
    pub inner: usize,
    /// The results, without gaps.
    pub dst: &'a mut [J::Value],
}

impl<J: Join> Job for Across<'_, J> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(mut self, _: L) {
        if self.inner == 1 {
            if !J::across::<L>(&mut self) {
                self.one_by_one::<L>();
            }
            return;
        }
        let (inner, rows) = (self.inner, self.src.chunks_exact(self.width).zip(self.zeros));
        let mut dst = self.dst.chunks_exact_mut(inner);
        for (src, &zero) in rows {
            for (o, dst) in (0..self.bins.spans.len()).zip(&mut dst) {
                let (places, weights) = self.bins.at(o);
                channels::<J, L>(places, weights, self.columns, src, zero | self.bins.zeros[o], dst);
            }
        }
    }
}

impl<J: Join> Across<'_, J> {
    #[inline(always)]
    fn one_by_one<L: Level>(&mut self) {
        let rows = self.src.chunks_exact(self.width).zip(self.zeros);
        for ((src, &zero), dst) in rows.zip(self.dst.chunks_exact_mut(self.bins.spans.len())) {
            self.bins.one_by_one::<J, L>(self.columns, src, zero, dst);
        }
    }
}

impl<W: Copy> Bins<'_, W> {
    /// One row of one channel.
    #[inline(always)]
    fn one_by_one<J: Join<Weight = W>, L: Level>(
        &self,
        columns: &[usize],
        src: &[J::Value],
        zero: bool,
        dst: &mut [J::Value],
    ) {
        for (o, d) in dst.iter_mut().enumerate() {
            let (places, weights) = self.at(o);
            let mut held = J::Value::default();
            if let ([first, places @ ..], [weight, weights @ ..]) = (places, weights) {
                held = J::first::<L>(*weight, src[columns[*first]]);
                for (&p, &w) in places.iter().zip(weights) {
                    held = J::next::<L>(held, w, src[columns[p]]);
                }
                held = J::finish(held, zero | self.zeros[o]);
            }
            *d = held;
        }
    }
}

/// All channels of one output.
#[inline(always)]
fn channels<J: Join, L: Level>(
    places: &[usize],
    weights: &[J::Weight],
    columns: &[usize],
    src: &[J::Value],
    zero: bool,
    dst: &mut [J::Value],
) {
    if places.is_empty() {
        dst.fill(J::Value::default());
        return;
    }
    let (inner, mut at) = (dst.len(), 0);
    let column = |p: usize| &src[columns[p] * inner..][..inner];
    while at < inner {
        let dst = &mut dst[at..];
        at += match dst.len() {
            64.. => channel_block::<J, L, 64>(places, weights, column, at, zero, dst),
            32.. => channel_block::<J, L, 32>(places, weights, column, at, zero, dst),
            16.. => channel_block::<J, L, 16>(places, weights, column, at, zero, dst),
            4.. => channel_block::<J, L, 4>(places, weights, column, at, zero, dst),
            _ => channel_block::<J, L, 1>(places, weights, column, at, zero, dst),
        };
    }
}

#[inline(always)]
fn channel_block<'r, J: Join, L: Level, const N: usize>(
    places: &[usize],
    weights: &[J::Weight],
    column: impl Fn(usize) -> &'r [J::Value],
    at: usize,
    zero: bool,
    dst: &mut [J::Value],
) -> usize {
    let mut held = [J::Value::default(); N];
    let src = &column(places[0])[at..][..N];
    for i in 0..N {
        held[i] = J::first::<L>(weights[0], src[i]);
    }
    for (&p, &w) in places[1..].iter().zip(&weights[1..]) {
        let src = &column(p)[at..][..N];
        for i in 0..N {
            held[i] = J::next::<L>(held[i], w, src[i]);
        }
    }
    for i in 0..N {
        dst[i] = J::finish(held[i], zero);
    }
    N
}

/// Weights of [`LANES`] outputs side by side, for every column from the first that any of them takes to the last: each
/// column is read once and multiplied by a vector of weights, most of them zero. That is more products than needed, all
/// in vectors; taking each output's few columns one by one took three times as long.
#[derive(Debug, Clone, Default)]
pub struct Lanes<W> {
    /// For each block of outputs, the first column, and one past its last entry in `weights`.
    blocks: Vec<(usize, usize)>,
    weights: Vec<[W; LANES]>,
}

/// Mean number of columns of a bin up to which it is worth it; beyond, the fold down the rows takes most of the time.
const LANES_PAY_UP_TO: usize = 16;

impl<W: Copy + Default> Lanes<W> {
    fn clear(&mut self) {
        self.blocks.clear();
        self.weights.clear();
    }

    /// Lays out the weights of bins; `columns`, ascending, says where each place lies.
    fn lay_out(&mut self, bins: &Bins<'_, W>, columns: &[usize]) {
        self.clear();
        if bins.places.len() > LANES_PAY_UP_TO * bins.spans.len() {
            return;
        }
        for first in (0..bins.spans.len()).step_by(LANES) {
            let block = first..(first + LANES).min(bins.spans.len());
            let (mut low, mut high) = (usize::MAX, 0);
            for o in block.clone() {
                if let ([start, .., end] | [start @ end], _) = bins.at(o) {
                    (low, high) = (low.min(columns[*start]), high.max(columns[*end] + 1));
                }
            }
            let low = low.min(high);
            let base = self.weights.len();
            self.weights.resize(base + high - low, [W::default(); LANES]);
            for (lane, o) in block.enumerate() {
                let (places, weights) = bins.at(o);
                for (&p, &w) in places.iter().zip(weights) {
                    self.weights[base + columns[p] - low][lane] = w;
                }
            }
            self.blocks.push((low, self.weights.len()));
        }
    }
}

impl<T: Real> Across<'_, Sum<T>> {
    #[inline(always)]
    fn side_by_side<L: Level>(&mut self) -> bool {
        let (outs, lanes) = (self.bins.spans.len(), self.lanes);
        if lanes.blocks.is_empty() {
            return false;
        }
        for (src, dst) in self.src.chunks_exact(self.width).zip(self.dst.chunks_exact_mut(outs)) {
            let (mut start, mut finite) = (0, true);
            for (&(column, end), dst) in lanes.blocks.iter().zip(dst.chunks_mut(LANES)) {
                finite &= lanes_of_one_block::<T, L>(&lanes.weights[start..end], &src[column..], dst);
                start = end;
            }
            if !finite {
                // A NaN or infinity has met a weight of zero: once more, with only the columns each output takes.
                self.bins.one_by_one::<Sum<T>, L>(self.columns, src, false, dst);
            }
        }
        true
    }
}

/// Up to [`LANES`] outputs; whether all are finite. (One row at a time: several in one loop, to have more sums under way,
/// the compiler takes apart, and the processor overlaps rows by itself.)
#[inline(always)]
fn lanes_of_one_block<T: Real, L: Level>(weights: &[[T; LANES]], src: &[T], dst: &mut [T]) -> bool {
    let mut held = [T::default(); LANES];
    for (weights, &v) in weights.iter().zip(src) {
        for i in 0..LANES {
            held[i] = fma::<T, L>(weights[i], v, held[i]);
        }
    }
    let n = dst.len();
    dst.copy_from_slice(&held[..n]);
    let mut finite = true;
    for v in held {
        finite &= T::mul(v, T::default()) == T::default();
    }
    finite
}
