//! Sampling at points: what a run of points reads, and sums over it.
//!
//! A point reads `corners` elements: a few along each axis, all combinations, the last axis fastest. Tables hold a run of
//! points for one corner after the other, so that a vector is one corner of several points. A corner of weight zero is
//! as good as outside the array, and neither is read into a sum.

use std::cell::Cell;

use super::roi::fma;
use crate::element::{Real, chosen};
use crate::engine::places::Block;
use crate::engine::room::Room;
use crate::engine::simd::{Job, Level};
use crate::geometry::grid::{Axis, Filter, Outside, whole};

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
    /// From one tap to the next in `taps`: a multiple of [`LOCATED`].
    pub run: usize,
    /// The length of the axis, if the taps of a point are to lie one after the other (where no slopes are asked for).
    pub in_a_row: Option<usize>,
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

/// Points that are located at once: the tables have room for a whole number of so many.
pub const LOCATED: usize = 16;

impl<R: Wide> Locate<'_, R> {
    #[inline(always)]
    fn by(self, filter: Filter, outside: Outside) {
        match filter {
            Filter::Nearest => self.taps::<1>(filter, outside),
            Filter::Linear => self.taps::<2>(filter, outside),
            Filter::Cubic => self.taps::<4>(filter, outside),
        }
    }

    #[inline(always)]
    fn taps<const N: usize>(self, filter: Filter, outside: Outside) {
        let Self { axis, points, rank, which, run, in_a_row, taps, .. } = self;
        let sloped = !taps.slope.is_empty();
        // The coordinates wait where the first tap's weights will be. (Those of a few points at a time end in single stores,
        // which the vectors that are loaded next wait for.)
        match rank {
            2 => one_of::<R, 2>(points, which, &mut taps.weight),
            _ => one_of::<R, 3>(points, which, &mut taps.weight),
        }
        for i in 0..points.len().div_ceil(LOCATED * rank) {
            let (mut places, mut slopes) = ([0.0; LOCATED], [0.0; LOCATED]);
            places.copy_from_slice(&taps.weight[i * LOCATED..][..LOCATED]);
            for i in 0..LOCATED {
                (places[i], slopes[i]) = axis.place(places[i], filter, outside);
            }
            let (mut at, mut weight) = ([[0.0; LOCATED]; N], [[0.0; LOCATED]; N]);
            for j in 0..N {
                for i in 0..LOCATED {
                    let tap = axis.tap(j, places[i], 0.0, filter, outside);
                    (at[j][i], weight[j][i]) = (tap.at, tap.weight);
                }
            }
            if let (Some(len), false) = (in_a_row, sloped) {
                put_in_a_row(len, &mut at, &mut weight);
            }
            for j in 0..N {
                let here = j * run + i * LOCATED..j * run + (i + 1) * LOCATED;
                taps.weight[here.clone()].copy_from_slice(&weight[j]);
                let mut elements = [0; LOCATED];
                for i in 0..LOCATED {
                    elements[i] = whole(at[j][i]);
                }
                taps.at[here.clone()].copy_from_slice(&elements);
                if sloped {
                    let to = &mut taps.slope[here];
                    for i in 0..LOCATED {
                        to[i] = axis.tap(j, places[i], slopes[i], filter, outside).slope;
                    }
                }
            }
        }
    }
}

/// Moves the taps of points so that each lies one element after the one before, and those that were on one element are one:
/// what lies together can be read at once. Taps of weight zero go anywhere. The axis has `len` elements, `N` at least.
#[inline(always)]
fn put_in_a_row<const N: usize>(len: usize, at: &mut [[f64; LOCATED]; N], weight: &mut [[f64; LOCATED]; N]) {
    let last = (len - N) as f64;
    let mut first = [last; LOCATED];
    for j in 0..N {
        for i in 0..LOCATED {
            let from = chosen(weight[j][i] == 0.0, last, at[j][i]);
            first[i] = chosen(from < first[i], from, first[i]);
        }
    }
    let (from, weights) = (*at, *weight);
    for k in 0..N {
        weight[k] = [0.0; LOCATED];
        for i in 0..LOCATED {
            at[k][i] = first[i] + k as f64;
        }
        for j in 0..N {
            for i in 0..LOCATED {
                weight[k][i] += chosen(from[j][i] == at[k][i], weights[j][i], 0.0);
            }
        }
    }
}

/// Coordinate `which` of points of `N`. Each is read once: another thread may change it.
#[inline(always)]
fn one_of<R: Wide, const N: usize>(points: &[Cell<R>], which: usize, to: &mut [f64]) {
    macro_rules! each {
        ($which:expr) => {
            for (to, point) in to.iter_mut().zip(points.chunks_exact(N)) {
                *to = point[$which].get().wide();
            }
        };
    }
    // (A loop for each: it is vectorised where the place within a point is known.)
    match which {
        0 => each!(0),
        1 => each!(1),
        _ => each!(N - 1),
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

/// Points that are summed at once, in registers or close to them.
pub(super) const SOME: usize = 64;

/// Weighted sums over the corners of a block, read where they lie.
pub struct Blend<'a, T> {
    /// The block.
    pub block: Block<'a, T>,
    /// Weights of the corners, as [`Weigh`] makes them.
    pub weights: &'a [T],
    /// From one corner to the next.
    pub run: usize,
    /// The points' sums.
    pub line: &'a mut [T],
}

impl<T: Real> Job for Blend<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let Self { block, weights, run, line } = self;
        let mut all = true;
        for (i, line) in line.chunks_mut(SOME).enumerate() {
            let first = i * SOME;
            let mut values = [[T::default(); SOME]; 2];
            let [values, behind] = &mut values;
            let (values, behind) = (&mut values[..line.len()], &mut behind[..line.len()]);
            line.fill(T::default());
            for (k, weights) in weights.chunks_exact(2 * run).enumerate() {
                block.read_pairs(level, 2 * k * run + first, run, [values, behind]);
                let (now, next) = (&weights[first..][..line.len()], &weights[run + first..][..line.len()]);
                for i in 0..line.len() {
                    line[i] = fma::<T, L>(next[i], behind[i], fma::<T, L>(now[i], values[i], line[i]));
                }
            }
            all &= finite(line);
        }
        if !all {
            carefully::<T, L>(&block, weights, run, line);
        }
    }
}

/// The same without the corners of weight zero, of which one held an infinity or a NaN.
#[cold]
#[inline(never)]
fn carefully<T: Real, L: Level>(block: &Block<'_, T>, weights: &[T], run: usize, line: &mut [T]) {
    for (i, sum) in line.iter_mut().enumerate() {
        *sum = T::default();
        for (k, weights) in weights.chunks_exact(run).enumerate() {
            if weights[i] != T::default() {
                *sum = fma::<T, L>(weights[i], block.get(k * run + i), *sum);
            }
        }
    }
}

/// The elements nearest to points; zeros where a weight is 0.
pub struct Pick<'a, T> {
    /// The block.
    pub block: Block<'a, T>,
    /// Weights of the points.
    pub weights: &'a [f32],
    /// The elements.
    pub line: &'a mut [T],
}

impl<T: Copy + Default> Job for Pick<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        for (i, (line, weights)) in self.line.chunks_mut(SOME).zip(self.weights.chunks(SOME)).enumerate() {
            self.block.read(level, i * SOME, line);
            for (v, &w) in line.iter_mut().zip(weights) {
                *v = chosen(w == 0.0, T::default(), *v);
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
    pub block: Block<'a, T>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::room::scratch;
    use crate::engine::rows::as_cells;
    use crate::engine::simd::{self, Isa};
    use crate::error::Result;

    /// The taps of some coordinates: for each tap in turn, an entry for every one.
    fn taps(len: usize, rule: (Filter, Outside), coordinates: &[f64], in_a_row: bool) -> Result<AxisTaps> {
        let run = coordinates.len().next_multiple_of(LOCATED);
        let n = rule.0.taps() * run;
        let mut taps = AxisTaps { at: scratch(n)?, weight: scratch(n)?, slope: scratch(0)? };
        let mut points: Vec<f64> = coordinates.iter().flat_map(|&c| [c, -9.0]).collect();
        let in_a_row = in_a_row.then_some(len);
        let (axis, points) = (Axis::new(len, false), as_cells(&mut points));
        simd::dispatch(Locate { axis, rule, points, rank: 2, which: 0, run, in_a_row, taps: &mut taps });
        Ok(taps)
    }

    #[test]
    fn taps_in_a_row_read_the_same() -> Result<()> {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e18, 1e300, -1.0, 1.0, 0.0, -0.0];
        let coordinates: Vec<f64> = odd.into_iter().chain((-90..90).map(|i| f64::from(i) / 41.0)).collect();
        for isa in Isa::ALL {
            simd::force(Some(isa));
            for filter in [Filter::Nearest, Filter::Linear, Filter::Cubic] {
                for outside in [Outside::Zeros, Outside::Border, Outside::Reflection] {
                    for len in [1, 2, 3, 4, 5, 8, 33].into_iter().filter(|len| *len >= filter.taps()) {
                        let apart = taps(len, (filter, outside), &coordinates, false)?;
                        let moved = taps(len, (filter, outside), &coordinates, true)?;
                        let run = coordinates.len().next_multiple_of(LOCATED);
                        for (i, coordinate) in coordinates.iter().enumerate() {
                            let mut weights = vec![0.0; len];
                            for j in (0..filter.taps()).map(|j| j * run + i) {
                                weights[apart.at[j]] += apart.weight[j];
                            }
                            let first = moved.at[i];
                            for j in 0..filter.taps() {
                                assert_eq!(moved.at[j * run + i], first + j);
                                weights[first + j] -= moved.weight[j * run + i];
                            }
                            let what = format!("{isa:?} {filter:?} {outside:?} {len} {coordinate}");
                            assert!(weights.iter().all(|w| w.abs() < 1e-15), "{what}: {weights:?}");
                        }
                    }
                }
            }
        }
        simd::force(None);
        Ok(())
    }
}
