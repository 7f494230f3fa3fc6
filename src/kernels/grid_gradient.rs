//! Gradients of sampling at points: what a point's result gives to the elements it read, and to its coordinates.

use super::grid::{AxisTaps, SOME, Source, Wide};
use super::roi::fma;
use crate::element::{Real, chosen};
use crate::engine::places::Block;
use crate::engine::simd::{Job, Level};

/// Gradients of a run of points to the elements they read, channels side by side.
pub struct Spread<'a, T> {
    /// Weights of the corners: for each in turn, an entry for every point.
    pub weights: &'a [T],
    /// Elements of the corners, likewise.
    pub numbers: &'a [usize],
    /// From one corner to the next.
    pub run: usize,
    /// The points' gradients, of `inner` channels each.
    pub grad: &'a [T],
    /// Channels.
    pub inner: usize,
    /// Number of the first element of `sums`.
    pub first: usize,
    /// What the gradients of some elements are added to, of `inner` channels each.
    pub sums: &'a mut [T],
}

impl<T: Real> Job for Spread<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        match self.inner {
            1 => self.channels::<L, 1>(),
            2 => self.channels::<L, 2>(),
            3 => self.channels::<L, 3>(),
            4 => self.channels::<L, 4>(),
            8 => self.channels::<L, 8>(),
            16 => self.channels::<L, 16>(),
            32 => self.channels::<L, 32>(),
            _ => self.any::<L>(),
        }
    }
}

impl<T: Real> Spread<'_, T> {
    #[inline(always)]
    fn channels<L: Level, const N: usize>(self) {
        for (i, grad) in self.grad.chunks_exact(N).enumerate() {
            let mut held = [T::default(); N];
            held.copy_from_slice(grad);
            for (weights, numbers) in self.weights.chunks_exact(self.run).zip(self.numbers.chunks_exact(self.run)) {
                let (w, element) = (weights[i], numbers[i].wrapping_sub(self.first));
                if w != T::default() && element < self.sums.len() / N {
                    let sums = &mut self.sums[element * N..][..N];
                    for c in 0..N {
                        sums[c] = fma::<T, L>(w, held[c], sums[c]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn any<L: Level>(self) {
        let inner = self.inner;
        for (i, grad) in self.grad.chunks_exact(inner).enumerate() {
            for (weights, numbers) in self.weights.chunks_exact(self.run).zip(self.numbers.chunks_exact(self.run)) {
                let (w, element) = (weights[i], numbers[i].wrapping_sub(self.first));
                if w != T::default() && element < self.sums.len() / inner {
                    for (sum, &g) in self.sums[element * inner..][..inner].iter_mut().zip(grad) {
                        *sum = fma::<T, L>(w, g, *sum);
                    }
                }
            }
        }
    }
}

/// Adds to each corner's sum the products of its elements, in a block, and the points' gradients.
pub struct Meet<'a, T> {
    /// The block.
    pub block: Block<'a, T>,
    /// Gradients of the points.
    pub grad: &'a [T],
    /// From one corner to the next.
    pub run: usize,
    /// For each corner in turn, an entry for every point.
    pub sums: &'a mut [T],
}

impl<T: Real> Job for Meet<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        for (k, sums) in self.sums.chunks_exact_mut(self.run).enumerate() {
            for (i, (grad, sums)) in self.grad.chunks(SOME).zip(sums.chunks_mut(SOME)).enumerate() {
                let mut values = [T::default(); SOME];
                let values = &mut values[..grad.len()];
                self.block.read(level, k * self.run + i * SOME, values);
                for ((sum, &v), &g) in sums.iter_mut().zip(&*values).zip(grad) {
                    *sum = fma::<T, L>(g, v, *sum);
                }
            }
        }
    }
}

/// The same for one block whose elements have been gathered.
pub struct MeetGathered<'a, T> {
    /// The elements: for each corner in turn, an entry for every point.
    pub values: &'a [T],
    /// Gradients of the points.
    pub grad: &'a [T],
    /// From one corner to the next.
    pub run: usize,
    /// As `values`.
    pub sums: &'a mut [T],
}

impl<T: Real> Job for MeetGathered<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        for (sums, values) in self.sums.chunks_exact_mut(self.run).zip(self.values.chunks_exact(self.run)) {
            for ((sum, &v), &g) in sums.iter_mut().zip(values).zip(self.grad) {
                *sum = fma::<T, L>(g, v, *sum);
            }
        }
    }
}

/// Partial sums of the products of a point's channels.
const LANES: usize = 16;

/// Adds to each corner's sum the products of its elements and the points' gradients, channels side by side.
pub struct MeetChannels<'a, T, S> {
    /// The elements.
    pub source: S,
    /// Gradients of the points, of `inner` channels each.
    pub grad: &'a [T],
    /// Channels.
    pub inner: usize,
    /// The first point.
    pub first: usize,
    /// From one corner to the next.
    pub run: usize,
    /// For each corner in turn, an entry for every point.
    pub sums: &'a mut [T],
}

impl<T: Real, S: Source<T>> Job for MeetChannels<'_, T, S> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        for (i, grad) in self.grad.chunks_exact(self.inner).enumerate() {
            let i = self.first + i;
            for (k, sums) in self.sums.chunks_exact_mut(self.run).enumerate() {
                let values = &self.source.channels(k, i)[..grad.len()];
                let mut held = [T::default(); LANES];
                let (grads, tail) = (grad.chunks_exact(LANES), grad.chunks_exact(LANES).remainder());
                let (blocks, rest) = (values.chunks_exact(LANES), values.chunks_exact(LANES).remainder());
                for (g, v) in grads.zip(blocks) {
                    for c in 0..LANES {
                        held[c] = fma::<T, L>(g[c], v[c].get(), held[c]);
                    }
                }
                for ((h, &g), v) in held.iter_mut().zip(tail).zip(rest) {
                    *h = fma::<T, L>(g, v.get(), *h);
                }
                let mut sum = sums[i];
                for h in held {
                    sum = T::add(sum, h);
                }
                sums[i] = sum;
            }
        }
    }
}

/// Gradients of the coordinates: each corner's sum times the derivative of its weight. A derivative of zero takes nothing.
pub struct Steepen<'a, T> {
    /// What each axis reads, with slopes.
    pub axes: &'a [AxisTaps; 3],
    /// How many there are, the last ones.
    pub rank: usize,
    /// Taps along each.
    pub taps: usize,
    /// Sums of the corners: for each in turn, an entry for every point.
    pub sums: &'a [T],
    /// From one corner to the next.
    pub run: usize,
    /// For each point its coordinates' gradients, W first.
    pub grad: &'a mut [f64],
}

impl<T: Wide> Job for Steepen<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Self { axes, rank, taps, sums, run, grad } = self;
        grad.fill(0.0);
        for (k, sums) in sums.chunks_exact(run).enumerate() {
            for (i, grad) in grad.chunks_mut(SOME * rank).enumerate() {
                let (first, n) = (i * SOME, grad.len() / rank);
                for which in 0..rank {
                    let (mut slopes, mut others) = ([0.0; SOME], [1.0; SOME]);
                    let mut rest = k;
                    for (a, axis) in axes.iter().rev().take(rank).enumerate() {
                        let from = rest % taps * run + first;
                        rest /= taps;
                        if a == which {
                            slopes[..n].copy_from_slice(&axis.slope[from..][..n]);
                        } else {
                            for (other, &w) in others.iter_mut().zip(&axis.weight[from..][..n]) {
                                *other *= w;
                            }
                        }
                    }
                    let points = grad.chunks_exact_mut(rank).zip(&sums[first..]);
                    for ((point, &sum), (&slope, &other)) in points.zip(slopes.iter().zip(&others)) {
                        let factor = slope * other;
                        point[which] += chosen(factor == 0.0, 0.0, factor * sum.wide());
                    }
                }
            }
        }
    }
}
