//! A band of a convolution of one input channel each, its channels side by side: a vector holds one position of as many
//! channels, with a weight of its own for each.
//!
//! Sums are those of `direct.rs`, product for product. There a vector holds positions of a row, which is right for long rows;
//! here it does not matter how long they are.

use std::ops::Range;

use super::simd::{Job, Level, whole_vectors};
use super::tile::plus_product;
use crate::element::{Laned, Vector};

/// Positions of a row at once.
const AT_ONCE: usize = 8;
const FEW: usize = 4;

/// Outputs of one residue, which have the same taps.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Their taps.
    pub taps: Range<usize>,
    /// The first of them, along D, H and W.
    pub first: [usize; 3],
    /// How many there are.
    pub count: [usize; 3],
}

/// The work on one band.
pub struct Channels<'a, T> {
    /// Elements of a position: whole vectors of every level.
    pub pitch: usize,
    /// The inputs, `[D, H, W, pitch]`, and their lengths: all that the outputs read, zeros where there is no input.
    pub inputs: (&'a [T], [usize; 3]),
    /// Which of them output `j` of a phase reads, along each axis, is `step*j` and what a tap adds.
    pub step: [usize; 3],
    /// The phases.
    pub phases: &'a [Phase],
    /// Their taps: how far away the input is and which weights it meets, both in positions.
    pub taps: &'a [(usize, usize)],
    /// The weights, `[taps, pitch]`.
    pub weights: &'a [T],
    /// What sums begin with.
    pub begin: &'a [T],
    /// The outputs, `[D, H, W, pitch]`, and their lengths.
    pub made: (&'a mut [T], [usize; 3]),
    /// How far outputs of a phase are apart.
    pub out_step: [usize; 3],
}

/// Where a row begins, and how far its positions are apart, in elements.
#[derive(Clone, Copy)]
struct Row {
    from: usize,
    to: usize,
    every: [usize; 2],
}

impl<T: Laned> Job for Channels<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(mut self, level: L) {
        for phase in self.phases {
            let [planes, rows, n] = phase.count;
            let taps = &self.taps[phase.taps.clone()];
            let farthest = |of: fn(&(usize, usize)) -> usize| taps.iter().map(of).max().unwrap_or(0) * self.pitch;
            let (input, weight) = (farthest(|t| t.0), farthest(|t| t.1));
            let vectors = self.pitch.is_multiple_of(L::Register::<T>::LANES);
            assert!(vectors && self.begin.len() >= self.pitch, "whole vectors");
            assert!(weight + self.pitch <= self.weights.len(), "weights outside the table");
            for (d, h) in (0..planes).flat_map(|d| (0..rows).map(move |h| (d, h))) {
                self.row(level, (phase, input), (d, h), n);
            }
        }
    }
}

impl<T: Laned> Channels<'_, T> {
    /// The outputs of a phase in one row, `n` of them, whose taps read at most `farthest` elements ahead. The phase's weights and
    /// the vectors have been checked.
    #[inline(always)]
    fn row<L: Level>(&mut self, level: L, (phase, farthest): (&Phase, usize), (d, h): (usize, usize), n: usize) {
        if n == 0 {
            return;
        }
        let (width, pitch) = (L::Register::<T>::LANES, self.pitch);
        let place = |[_, rows, cols]: [usize; 3], [d, h, w]: [usize; 3]| ((d * rows + h) * cols + w) * pitch;
        let (step, out_step, first) = (self.step, self.out_step, phase.first);
        let from = place(self.inputs.1, [d * step[0], h * step[1], 0]);
        let to = place(self.made.1, [d * out_step[0] + first[0], h * out_step[1] + first[1], first[2]]);
        let row = Row { from, to, every: [step[2] * pitch, out_step[2] * pitch] };
        let taps = &self.taps[phase.taps.clone()];
        // All that is read and written below lies before these ends.
        let last = from + (n - 1) * row.every[0] + farthest;
        assert!(last + pitch <= self.inputs.0.len(), "inputs outside the copy");
        assert!(to + (n - 1) * row.every[1] + pitch <= self.made.0.len(), "outputs outside the band");
        for v in (0..pitch).step_by(width) {
            let mut done = 0;
            while done < n {
                // SAFETY: `v` is the first of a vector's elements in a position; positions are below `n`, whose last is
                // among the elements that were checked above. The last positions may be computed twice.
                done = unsafe {
                    match n {
                        AT_ONCE.. => self.block::<L, AT_ONCE>(level, taps, row, v, done.min(n - AT_ONCE)),
                        FEW.. => self.block::<L, FEW>(level, taps, row, v, done.min(n - FEW)),
                        _ => self.block::<L, 1>(level, taps, row, v, done),
                    }
                };
            }
        }
    }

    /// `N` neighbouring outputs of a row, from `at` on: a vector of channels of each, from channel `v` on. Returns the next.
    ///
    /// # Safety
    /// Of the positions `at..at + N` a vector from `v` on, of the outputs, of the inputs at every tap, and of the weights, must
    /// be elements of the slices.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // indices, so that the array stays in registers
    unsafe fn block<L: Level, const N: usize>(
        &mut self,
        _: L,
        taps: &[(usize, usize)],
        row: Row,
        v: usize,
        at: usize,
    ) -> usize {
        // SAFETY: as the caller promises, here and below.
        let begin = unsafe { L::Register::<T>::load(self.begin.as_ptr().add(v)) };
        let from = self.inputs.0.as_ptr().wrapping_add(row.from + at * row.every[0] + v);
        let weights = self.weights.as_ptr().wrapping_add(v);
        let to = self.made.0.as_mut_ptr().wrapping_add(row.to + at * row.every[1] + v);
        let mut sums = [begin; N];
        for &(input, weight) in taps {
            // SAFETY: a tap's weights.
            let factors = unsafe { L::Register::<T>::load(weights.wrapping_add(weight * self.pitch)) };
            let from = from.wrapping_add(input * self.pitch);
            for i in 0..N {
                whole_vectors();
                // SAFETY: a position's input at that tap.
                let lanes = unsafe { L::Register::<T>::load(from.wrapping_add(i * row.every[0])) };
                sums[i] = plus_product::<L, T>(sums[i], factors, lanes);
            }
        }
        for i in 0..N {
            whole_vectors();
            // SAFETY: a position's output.
            unsafe { sums[i].store(to.wrapping_add(i * row.every[1])) };
        }
        at + N
    }
}

/// For every tap and channel, the sum of products of two sides of a band over its places: the gradient of weights.
pub struct TapSums<'a, T> {
    /// Elements of a position: whole vectors of every level.
    pub pitch: usize,
    /// The side that has each place once, `[D, H, W, pitch]`, and its lengths.
    pub short: (&'a [T], [usize; 3]),
    /// The other side, zeros around it.
    pub long: (&'a [T], [usize; 3]),
    /// Places of the band.
    pub count: [usize; 3],
    /// How far apart they are on the long side.
    pub step: [usize; 3],
    /// How far ahead on the long side each tap reads, in positions.
    pub taps: &'a [usize],
    /// The sums, `[taps, pitch]`, to be added to. (A band's share is summed by itself, as everywhere.)
    pub sums: &'a mut [T],
}

impl<T: Laned> Job for TapSums<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(mut self, level: L) {
        let vectors = self.pitch / L::Register::<T>::LANES;
        let place = |[_, rows, cols]: [usize; 3], [d, h, w]: [usize; 3]| ((d * rows + h) * cols + w) * self.pitch;
        let farthest = self.taps.iter().max().map_or(0, |t| t * self.pitch);
        if self.count.contains(&0) || self.taps.is_empty() {
            return;
        }
        let last = self.count.map(|n| n - 1);
        let far = [0, 1, 2].map(|a| last[a] * self.step[a]);
        // All that is read and written below lies before these ends.
        assert!(self.pitch.is_multiple_of(L::Register::<T>::LANES), "whole vectors");
        assert!(place(self.short.1, last) + self.pitch <= self.short.0.len(), "places outside the copy");
        assert!(place(self.long.1, far) + farthest + self.pitch <= self.long.0.len(), "inputs outside the copy");
        assert!(self.taps.len() * self.pitch <= self.sums.len(), "sums outside the table");
        let mut t = 0;
        while t < self.taps.len() {
            let mut v = 0;
            let left = self.taps.len() - t;
            let at_once = match left {
                9.. => 9,
                4.. => 4,
                _ => 1,
            };
            while v < vectors {
                // SAFETY: so many taps and vectors are left; what they read and write was checked above.
                v += unsafe {
                    match (left, vectors - v) {
                        (9.., _) => self.block::<L, 9, 1>(level, t, v),
                        (4.., 2..) => self.block::<L, 4, 2>(level, t, v),
                        (4.., _) => self.block::<L, 4, 1>(level, t, v),
                        (_, 4..) => self.block::<L, 1, 4>(level, t, v),
                        _ => self.block::<L, 1, 1>(level, t, v),
                    }
                };
            }
            t += at_once;
        }
    }
}

impl<T: Laned> TapSums<'_, T> {
    /// `N` taps from the `t`th on, `V` vectors of channels from the `v`th on: as many sums as hide how long a product takes.
    /// Returns `V`.
    ///
    /// # Safety
    /// There must be so many; and all of their elements in all places must be elements of the slices.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // indices, so that the arrays stay in registers
    unsafe fn block<L: Level, const N: usize, const V: usize>(&mut self, _: L, t: usize, v: usize) -> usize {
        let (width, pitch, [planes, rows, n]) = (L::Register::<T>::LANES, self.pitch, self.count);
        let place = |[_, rows, cols]: [usize; 3], [d, h, w]: [usize; 3]| ((d * rows + h) * cols + w) * pitch;
        let mut ahead = [0; N];
        for i in 0..N {
            ahead[i] = self.taps[t + i] * pitch;
        }
        let (short, long) =
            (self.short.0.as_ptr().wrapping_add(v * width), self.long.0.as_ptr().wrapping_add(v * width));
        let mut sums = [[L::Register::<T>::splat(T::default()); V]; N];
        for d in 0..planes {
            for h in 0..rows {
                let mut short = short.wrapping_add(place(self.short.1, [d, h, 0]));
                let mut long = long.wrapping_add(place(self.long.1, [d * self.step[0], h * self.step[1], 0]));
                for _ in 0..n {
                    for j in 0..V {
                        // SAFETY: a place's vector, as the caller promises.
                        let factor = unsafe { L::Register::<T>::load(short.wrapping_add(j * width)) };
                        for i in 0..N {
                            whole_vectors();
                            // SAFETY: what the tap reads at that place.
                            let lanes = unsafe { L::Register::<T>::load(long.wrapping_add(ahead[i] + j * width)) };
                            sums[i][j] = plus_product::<L, T>(sums[i][j], factor, lanes);
                        }
                    }
                    short = short.wrapping_add(pitch);
                    long = long.wrapping_add(self.step[2] * pitch);
                }
            }
        }
        for i in 0..N {
            for j in 0..V {
                whole_vectors();
                let to = self.sums.as_mut_ptr().wrapping_add((t + i) * pitch + (v + j) * width);
                // SAFETY: the tap's sums.
                unsafe { L::Register::<T>::load(to).plus(sums[i][j]).store(to) };
            }
        }
        V
    }
}

/// Lanes in which a row is summed.
pub const LANES: usize = 16;

/// Sums of rows, channels side by side, each added to what there is of its channel.
pub struct RowSums<'a, T> {
    /// Elements of a position: whole vectors of every level.
    pub pitch: usize,
    /// The rows, `[rows, columns, pitch]`.
    pub lanes: &'a [T],
    /// How many rows there are, and columns.
    pub shape: [usize; 2],
    /// What there is, `[pitch]`.
    pub totals: &'a mut [T],
}

impl<T: Laned> Job for RowSums<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let (width, [rows, columns]) = (L::Register::<T>::LANES, self.shape);
        assert!(self.pitch.is_multiple_of(width) && self.pitch <= self.totals.len(), "whole vectors");
        assert!(rows * columns * self.pitch <= self.lanes.len(), "rows of the copy");
        let zero = L::Register::<T>::splat(T::default());
        for v in (0..self.pitch).step_by(width) {
            let to = self.totals.as_mut_ptr().wrapping_add(v);
            // SAFETY: a vector of `totals`, here and below.
            let mut total = unsafe { L::Register::<T>::load(to) };
            for row in 0..rows {
                let mut sum = zero;
                let first = self.lanes.as_ptr().wrapping_add(row * columns * self.pitch + v);
                for lane in 0..LANES.min(columns) {
                    let mut part = zero;
                    for column in (lane..columns).step_by(LANES) {
                        // SAFETY: a vector of `lanes`, as was checked.
                        part = part.plus(unsafe { L::Register::<T>::load(first.wrapping_add(column * self.pitch)) });
                    }
                    sum = sum.plus(part);
                }
                total = total.plus(sum);
            }
            // SAFETY: as above.
            unsafe { total.store(to) };
        }
    }
}
