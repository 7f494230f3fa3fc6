//! Sampling at points: what a run of points reads, and sums over it.
//!
//! A point reads `corners` elements: a few along each axis, all combinations, the last axis fastest. Tables hold a run of
//! points for one corner after the other, so that a vector is one corner of several points. A corner of weight zero is
//! as good as outside the array, and neither is read into a sum.

use std::cell::Cell;

use super::roi::fma;
use crate::element::{Real, chosen};
use crate::engine::places::Blocks;
use crate::engine::room::Room;
use crate::engine::simd::{Job, Level};
use crate::geometry::grid::{Axis, Filter, Outside};

/// Most points of a run.
pub const RUN: usize = 256;

/// The two types coordinates are read as, and sums taken in.
pub trait Wide: Real {
    /// As double.
    fn wide(self) -> f64;
}
impl Wide for f32 {
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
}
impl Wide for f64 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
}

/// What one axis' coordinates of a run of points read: for each tap in turn, an entry for every point.
#[derive(Debug, Default)]
pub struct AxisTaps {
    /// Elements.
    pub at: Room<usize>,
    /// Their weights.
    pub weight: Room<f64>,
    /// Derivatives of the weights by the coordinate; empty if nobody asked for them.
    pub slope: Room<f64>,
}

/// What the coordinates of a run of points read along one axis.
pub struct Locate<'a, R> {
    /// The axis.
    pub axis: Axis,
    /// How it is read.
    pub rule: (Filter, Outside),
    /// Points, of `rank` coordinates each.
    pub points: &'a [Cell<R>],
    /// How many coordinates a point has.
    pub rank: usize,
    /// Which one is this axis'.
    pub which: usize,
    /// From one tap to the next in `taps`.
    pub run: usize,
    /// The result.
    pub taps: &'a mut AxisTaps,
}

impl<R: Wide> Job for Locate<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        // The rule is a constant in each of these, and the loops free of branches.
        match self.rule {
            (Filter::Nearest, Outside::Zeros) => self.by(Filter::Nearest, Outside::Zeros),
            (Filter::Nearest, Outside::Border) => self.by(Filter::Nearest, Outside::Border),
            (Filter::Nearest, Outside::Reflection) => self.by(Filter::Nearest, Outside::Reflection),
            (Filter::Linear, Outside::Zeros) => self.by(Filter::Linear, Outside::Zeros),
            (Filter::Linear, Outside::Border) => self.by(Filter::Linear, Outside::Border),
            (Filter::Linear, Outside::Reflection) => self.by(Filter::Linear, Outside::Reflection),
            (Filter::Cubic, Outside::Zeros) => self.by(Filter::Cubic, Outside::Zeros),
            (Filter::Cubic, Outside::Border) => self.by(Filter::Cubic, Outside::Border),
            (Filter::Cubic, Outside::Reflection) => self.by(Filter::Cubic, Outside::Reflection),
        }
    }
}

impl<R: Wide> Locate<'_, R> {
    #[inline(always)]
    fn by(self, filter: Filter, outside: Outside) {
        let Self { axis, points, rank, which, run, taps, .. } = self;
        let n = (points.len() / rank).min(RUN);
        let (mut places, mut slopes) = ([0.0; RUN], [0.0; RUN]);
        if rank == 2 {
            one_of::<R, 2>(points, which, &mut places[..n]);
        } else {
            one_of::<R, 3>(points, which, &mut places[..n]);
        }
        for (place, slope) in places[..n].iter_mut().zip(&mut slopes) {
            (*place, *slope) = axis.place(*place, filter, outside);
        }
        let sloped = !taps.slope.is_empty();
        for j in 0..filter.taps() {
            let (at, weight) = (&mut taps.at[j * run..][..n], &mut taps.weight[j * run..][..n]);
            for ((at, weight), &place) in at.iter_mut().zip(weight).zip(&places[..n]) {
                let tap = axis.tap(j, place, 0.0, filter, outside);
                (*at, *weight) = (tap.at, tap.weight);
            }
            if sloped {
                let to = &mut taps.slope[j * run..][..n];
                for ((to, &place), &slope) in to.iter_mut().zip(&places[..n]).zip(&slopes[..n]) {
                    *to = axis.tap(j, place, slope, filter, outside).slope;
                }
            }
        }
    }
}

/// Coordinate `which` of points of `N`. Each is read once: another thread may change it.
#[inline(always)]
fn one_of<R: Wide, const N: usize>(points: &[Cell<R>], which: usize, to: &mut [f64]) {
    match which {
        0 => to.iter_mut().zip(points.chunks_exact(N)).for_each(|(to, point)| *to = point[0].get().wide()),
        1 => to.iter_mut().zip(points.chunks_exact(N)).for_each(|(to, point)| *to = point[1].get().wide()),
        _ => to.iter_mut().zip(points.chunks_exact(N)).for_each(|(to, point)| *to = point[N - 1].get().wide()),
    }
}

/// The factors of corner `k` along D, H and W, `taps` taps each; the first `3 - rank` axes have none.
#[inline(always)]
fn along(axes: &[AxisTaps; 3], rank: usize, taps: usize, k: usize) -> [(&AxisTaps, usize); 3] {
    let tap = |a: usize| if a + rank >= 3 { k / taps.pow(2 - a as u32) % taps } else { 0 };
    [(&axes[0], tap(0)), (&axes[1], tap(1)), (&axes[2], tap(2))]
}

/// Weights of all corners.
pub struct Weigh<'a, T> {
    /// What each axis reads.
    pub axes: &'a [AxisTaps; 3],
    /// How many there are, the last ones.
    pub rank: usize,
    /// Taps along each.
    pub taps: usize,
    /// Points, and from one corner to the next.
    pub n: usize,
    /// See `n`.
    pub run: usize,
    /// For each corner in turn, an entry for every point.
    pub weights: &'a mut [T],
}

impl<T: Real> Job for Weigh<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let (n, run) = (self.n, self.run);
        for (k, to) in self.weights.chunks_exact_mut(run).enumerate() {
            let [(d, i), (h, j), (w, l)] = along(self.axes, self.rank, self.taps, k);
            let (h, w) = (&h.weight[j * run..][..n], &w.weight[l * run..][..n]);
            if self.rank == 2 {
                for ((to, &h), &w) in to[..n].iter_mut().zip(h).zip(w) {
                    *to = T::of(h * w);
                }
            } else {
                let d = &d.weight[i * run..][..n];
                for (((to, &d), &h), &w) in to[..n].iter_mut().zip(d).zip(h).zip(w) {
                    *to = T::of(d * h * w);
                }
            }
        }
    }
}

/// Elements of corners by index in one plane or volume without gaps.
pub struct Number<'a> {
    /// What each axis reads.
    pub axes: &'a [AxisTaps; 3],
    /// How many there are, the last ones.
    pub rank: usize,
    /// Taps along each.
    pub taps: usize,
    /// Lengths of H and W.
    pub lens: [usize; 2],
    /// Points, and from one corner to the next.
    pub n: usize,
    /// See `n`.
    pub run: usize,
    /// For each corner in turn, an entry for every point.
    pub numbers: &'a mut [usize],
}

impl Job for Number<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let (n, run, [height, width]) = (self.n, self.run, self.lens);
        for (k, to) in self.numbers.chunks_exact_mut(run).enumerate() {
            let [(d, i), (h, j), (w, l)] = along(self.axes, self.rank, self.taps, k);
            let (h, w) = (&h.at[j * run..][..n], &w.at[l * run..][..n]);
            if self.rank == 2 {
                for ((to, &h), &w) in to[..n].iter_mut().zip(h).zip(w) {
                    *to = h * width + w;
                }
            } else {
                let d = &d.at[i * run..][..n];
                for (((to, &d), &h), &w) in to[..n].iter_mut().zip(d).zip(h).zip(w) {
                    *to = (d * height + h) * width + w;
                }
            }
        }
    }
}

/// Whether all are finite.
#[inline(always)]
fn finite<T: Real>(values: &[T]) -> bool {
    let mut finite = true;
    for &v in values {
        finite &= T::mul(v, T::default()) == T::default();
    }
    finite
}

/// Weighted sums over the corners of some blocks, read where they lie.
pub struct Blend<'a, T, const G: usize> {
    /// The blocks, from the first corner on.
    pub blocks: Blocks<'a, T, G>,
    /// Weights of the corners, as [`Weigh`] makes them: a multiple of four corners.
    pub weights: &'a [T],
    /// Points, and from one corner to the next.
    pub n: usize,
    /// See `n`.
    pub run: usize,
    /// For each block, the points' sums.
    pub lines: &'a mut [[T; RUN]; G],
}

impl<T: Real, const G: usize> Job for Blend<'_, T, G> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(mut self, _: L) {
        if self.weights.len() == 4 * self.run {
            self.four::<L>(0, true);
        } else {
            for k in (0..self.weights.len() / self.run).step_by(4) {
                self.four::<L>(k, k == 0);
            }
        }
        let mut all = true;
        for line in self.lines.iter() {
            all &= finite(&line[..self.n]);
        }
        if !all {
            self.carefully::<L>();
        }
    }
}

impl<T: Real, const G: usize> Blend<'_, T, G> {
    /// Adds corners `k` to `k + 3`.
    #[inline(always)]
    fn four<L: Level>(&mut self, k: usize, fresh: bool) {
        let (n, run) = (self.n.min(RUN), self.run);
        let weights = &self.weights[k * run..];
        let (w0, w1) = (&weights[..n], &weights[run..][..n]);
        let (w2, w3) = (&weights[2 * run..][..n], &weights[3 * run..][..n]);
        let part = |j: usize| self.blocks.part((k + j) * run, n);
        let (b0, b1, b2, b3) = (part(0), part(1), part(2), part(3));
        for i in 0..n {
            let (v0, v1, v2, v3) = (b0.get(i), b1.get(i), b2.get(i), b3.get(i));
            for g in 0..G {
                let held = if fresh { T::default() } else { self.lines[g][i] };
                let held = fma::<T, L>(w1[i], v1[g], fma::<T, L>(w0[i], v0[g], held));
                self.lines[g][i] = fma::<T, L>(w3[i], v3[g], fma::<T, L>(w2[i], v2[g], held));
            }
        }
    }

    /// The same without the corners of weight zero, of which one held an infinity or a NaN.
    #[cold]
    #[inline(never)]
    fn carefully<L: Level>(&mut self) {
        for i in 0..self.n {
            let mut held = [T::default(); G];
            for (k, weights) in self.weights.chunks_exact(self.run).enumerate() {
                if weights[i] != T::default() {
                    let values = self.blocks.get(k * self.run + i);
                    for g in 0..G {
                        held[g] = fma::<T, L>(weights[i], values[g], held[g]);
                    }
                }
            }
            for (line, held) in self.lines.iter_mut().zip(held) {
                line[i] = held;
            }
        }
    }
}

/// The same for one block whose elements have been gathered: for each corner in turn, an entry for every point.
pub struct BlendGathered<'a, T> {
    /// The elements.
    pub values: &'a [T],
    /// Weights of the corners.
    pub weights: &'a [T],
    /// From one corner to the next.
    pub run: usize,
    /// The points' sums.
    pub line: &'a mut [T],
}

impl<T: Real> Job for BlendGathered<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let n = self.line.len();
        self.line.fill(T::default());
        for (values, weights) in self.values.chunks_exact(self.run).zip(self.weights.chunks_exact(self.run)) {
            for ((held, &v), &w) in self.line.iter_mut().zip(&values[..n]).zip(&weights[..n]) {
                let sum = fma::<T, L>(w, v, *held);
                *held = chosen(w == T::default(), *held, sum);
            }
        }
    }
}

/// Where the channels of an element are.
pub trait Source<T>: Copy {
    /// The channels of what point `i` reads at corner `k`.
    fn channels(&self, k: usize, i: usize) -> &[Cell<T>];
}

/// Where they lie.
#[derive(Clone, Copy)]
pub struct Lying<'a, T> {
    /// The block.
    pub block: Blocks<'a, T, 1>,
    /// From one corner to the next.
    pub run: usize,
}

impl<T: Copy> Source<T> for Lying<'_, T> {
    #[inline(always)]
    fn channels(&self, k: usize, i: usize) -> &[Cell<T>] {
        self.block.row(k * self.run + i)
    }
}

/// Gathered: for each corner in turn, the channels of every point.
#[derive(Clone, Copy)]
pub struct Gathered<'a, T> {
    /// The elements.
    pub values: &'a [Cell<T>],
    /// The first point.
    pub first: usize,
    /// Points.
    pub n: usize,
    /// Channels.
    pub inner: usize,
}

impl<T: Copy> Source<T> for Gathered<'_, T> {
    #[inline(always)]
    fn channels(&self, k: usize, i: usize) -> &[Cell<T>] {
        &self.values[(k * self.n + i - self.first) * self.inner..][..self.inner]
    }
}

/// Weighted sums over the corners, channels side by side.
pub struct BlendChannels<'a, T, S> {
    /// The elements.
    pub source: S,
    /// Weights of the corners.
    pub weights: &'a [T],
    /// From one corner to the next.
    pub run: usize,
    /// The first point.
    pub first: usize,
    /// Channels.
    pub inner: usize,
    /// The points' sums, channels side by side.
    pub line: &'a mut [T],
}

impl<T: Real, S: Source<T>> Job for BlendChannels<'_, T, S> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Self { source, weights, run, first, inner, line } = self;
        for (i, dst) in line.chunks_exact_mut(inner).enumerate() {
            let mut at = 0;
            while at < inner {
                let (dst, i) = (&mut dst[at..], first + i);
                at += match dst.len() {
                    64.. => channels::<T, L, S, 64>(source, weights, run, i, at, dst),
                    32.. => channels::<T, L, S, 32>(source, weights, run, i, at, dst),
                    16.. => channels::<T, L, S, 16>(source, weights, run, i, at, dst),
                    8.. => channels::<T, L, S, 8>(source, weights, run, i, at, dst),
                    4.. => channels::<T, L, S, 4>(source, weights, run, i, at, dst),
                    3 => channels::<T, L, S, 3>(source, weights, run, i, at, dst),
                    _ => channels::<T, L, S, 1>(source, weights, run, i, at, dst),
                };
            }
        }
    }
}

/// `N` channels of point `i`, from channel `at` on; returns `N`.
#[inline(always)]
fn channels<T: Real, L: Level, S: Source<T>, const N: usize>(
    source: S,
    weights: &[T],
    run: usize,
    i: usize,
    at: usize,
    dst: &mut [T],
) -> usize {
    let mut held = [T::default(); N];
    for (k, weights) in weights.chunks_exact(run).enumerate() {
        let w = weights[i];
        if w == T::default() {
            continue;
        }
        let values = &source.channels(k, i)[at..][..N];
        for c in 0..N {
            held[c] = fma::<T, L>(w, values[c].get(), held[c]);
        }
    }
    dst[..N].copy_from_slice(&held);
    N
}
