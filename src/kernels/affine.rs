//! A row of points under an affine map, and back.

use std::cell::Cell;
use std::mem::MaybeUninit;

use super::grid::Wide;
use crate::engine::simd::{Job, Level};

/// The images of a row of points. (Products and sums are rounded one by one, the same on every level.)
pub struct Map<'a, T> {
    /// The coordinates along the row.
    pub along: &'a [f64],
    /// For each coordinate of the image, what it takes of `along`, and what it has at 0.
    pub lines: &'a [[f64; 2]],
    /// The images, of as many coordinates each as there are lines.
    pub dst: &'a mut [MaybeUninit<T>],
}

impl<T: Wide> Job for Map<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        for (i, &[slope, start]) in self.lines.iter().enumerate() {
            for (to, &c) in self.dst.chunks_exact_mut(self.lines.len()).zip(self.along) {
                to[i].write(T::of(slope * c + start));
            }
        }
    }
}

/// Sums over a row's gradients, one coordinate after the other: themselves, and times the coordinate along the row.
pub struct Fold<'a, T> {
    /// The coordinates along the row.
    pub along: &'a [f64],
    /// The gradients.
    pub grad: &'a [Cell<T>],
    /// For each coordinate of an image, the two sums.
    pub sums: &'a mut [[f64; 2]],
}

impl<T: Wide> Job for Fold<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        for (grad, &c) in self.grad.chunks_exact(self.sums.len()).zip(self.along) {
            for ([times, plain], g) in self.sums.iter_mut().zip(grad) {
                let g = g.get().wide();
                *times += g * c;
                *plain += g;
            }
        }
    }
}
