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
