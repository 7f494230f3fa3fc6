//! Rows on their way into a convolution.

use std::cell::Cell;
use std::ops::Range;

use crate::element::Laned;
use crate::engine::rows::{Rows, as_uninit};
use crate::engine::simd::{Job, Level};

/// Where one stretch of an axis finds its elements: places `to` of it are the inputs `from`, `from + step`, and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Places of the stretch that lie within the input.
    pub to: Range<usize>,
    /// The first one's input.
    pub from: usize,
}

/// Copies the inputs of one channel of a band into its stretches; what lies outside the input is left as it is.
pub struct Spread<'a, T> {
    /// The inputs.
    pub source: Rows<'a, T>,
    /// The input column at which its rows begin.
    pub col: usize,
    /// Stretches of D, H and W.
    pub found: &'a [Vec<Found>; 3],
    /// Distance of neighbours in the input, along D, H and W.
    pub step: [usize; 3],
    /// Distances of stretches, planes and rows in the copy.
    pub strides: [usize; 3],
    /// The copy.
    pub to: &'a mut [T],
}

/// Zeros in a copy, of one channel, for what the first stretches found within the input and the second do not. (A wide image's bands
/// differ in that from one to the next: all zeros anew took a twentieth of the time of 3 x 3 of three channels.)
pub fn clear<T: Laned>([old, new]: [&[Vec<Found>; 3]; 2], [stretches, planes, rows]: [usize; 3], to: &mut [T]) {
    let each = |a: usize| old[a].iter().zip(&new[a]);
    let all = each(0).flat_map(|d| each(1).flat_map(move |h| each(2).map(move |w| (d, h, w))));
    for (stretch, (d, h, w)) in all.enumerate() {
        for (j, k) in d.0.to.clone().flat_map(|j| h.0.to.clone().map(move |k| (j, k))) {
            let (had, has) = (w.0.to.clone(), &w.1.to);
            if had.is_empty() {
                continue; // and there may be no row
            }
            let row = &mut to[stretch * stretches + j * planes + k * rows..];
            let stays = had.start.max(has.start)..had.end.min(has.end);
            if stays.is_empty() || !d.1.to.contains(&j) || !h.1.to.contains(&k) {
                row[had].fill(T::default());
            } else {
                row[had.start..stays.start].fill(T::default());
                row[stays.end..had.end].fill(T::default());
            }
        }
    }
}

impl<T: Laned> Job for Spread<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let [stretches, planes, rows] = self.strides;
        let mut stretch = 0;
        for d in &self.found[0] {
            for h in &self.found[1] {
                for w in &self.found[2] {
                    for (i, j) in d.to.clone().enumerate() {
                        for (k, row) in h.to.clone().enumerate() {
                            let first = stretch * stretches + j * planes + row * rows;
                            let to = &mut self.to[first + w.to.start..first + w.to.end];
                            if to.is_empty() {
                                continue; // and there may be no row
                            }
                            let source = self.source.row(d.from + i * self.step[0], h.from + k * self.step[1]);
                            let source = &source[w.from - self.col..];
                            match self.step[2] {
                                1 => level.copy(&source[..to.len()], as_uninit(to)),
                                2 => every_other(source, to),
                                step => to.iter_mut().zip(source.iter().step_by(step)).for_each(|(t, v)| *t = v.get()),
                            }
                        }
                    }
                    stretch += 1;
                }
            }
        }
    }
}

/// Every other element. (In blocks, for the compiler makes two loads and a permutation of each; the last may overlap the
/// one before it, for what is left over goes one by one otherwise.)
#[inline(always)]
fn every_other<T: Copy>(source: &[Cell<T>], to: &mut [T]) {
    let n = to.len();
    if n >= 16 {
        blocks::<T, 16>(source, to);
    } else if n >= 8 {
        blocks::<T, 8>(source, to);
    } else {
        for j in 0..n {
            to[j] = source[2 * j].get();
        }
    }
}

/// [`every_other`] in blocks of `N`, of which there is at least one.
#[inline(always)]
fn blocks<T: Copy, const N: usize>(source: &[Cell<T>], to: &mut [T]) {
    let n = to.len();
    for i in (0..n).step_by(N) {
        let i = i.min(n - N);
        let (to, source) = (&mut to[i..i + N], &source[2 * i..][..2 * N - 1]);
        for j in 0..N {
            to[j] = source[2 * j].get();
        }
    }
}
