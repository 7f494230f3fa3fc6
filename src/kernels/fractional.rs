//! Window maxima of fractional max pooling: windows of one length, each with a start of its own.

use std::cell::Cell;

use crate::element::{Order, chosen};
use crate::engine::simd::{Job, Level};

/// Folds a piece of one input row into a row of windows. Pieces come in row-major order of the windows' elements, so what
/// stays on a tie is the first element, and of several NaN the first.
pub struct Maxima<'a, T> {
    /// The piece.
    pub src: &'a [Cell<T>],
    /// Its first column.
    pub from: usize,
    /// First column of each window.
    pub starts: &'a [usize],
    /// Columns of each window.
    pub kernel: usize,
    /// Whether this row is the first of the windows.
    pub first: bool,
    /// Flat position of the row's column 0.
    pub base: i64,
    /// The best elements so far.
    pub values: &'a mut [T],
    /// Whether their positions are wanted.
    pub located: bool,
    /// Their flat positions.
    pub positions: &'a mut [i64],
    /// Scratch, one element for each window.
    pub taps: &'a mut [T],
}

impl<T: Order> Job for Maxima<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let whole = |start: usize| start >= self.from && start + self.kernel <= self.from + self.src.len();
        if !(self.starts.first().is_none_or(|&s| whole(s)) && self.starts.last().is_none_or(|&s| whole(s))) {
            parts_of_windows(self);
        } else if self.located {
            whole_windows::<T, true>(self);
        } else {
            whole_windows::<T, false>(self);
        }
    }
}

/// Windows that lie within the piece. Their first elements are brought together, then their second ones, and so on: what
/// follows is a loop over equal lanes, which vectorises. (Window by window it took twice as long.)
#[inline(always)]
fn whole_windows<T: Order, const LOCATED: bool>(f: Maxima<'_, T>) {
    let n = f.starts.len();
    let (values, positions, taps) = (&mut f.values[..n], &mut f.positions[..n], &mut f.taps[..n]);
    for j in 0..f.kernel {
        let src = &f.src[j..];
        for (tap, &start) in taps.iter_mut().zip(f.starts) {
            *tap = src[start - f.from].get();
        }
        let (base, all) = (f.base + j as i64, f.first && j == 0);
        for i in 0..n {
            let better = all | taps[i].rises(values[i]);
            values[i] = chosen(better, taps[i], values[i]);
            if LOCATED {
                positions[i] = chosen(better, base + f.starts[i] as i64, positions[i]);
            }
        }
    }
}

/// Windows of any length, and what of them lies within the piece.
#[inline(always)]
fn parts_of_windows<T: Order>(f: Maxima<'_, T>) {
    for ((&start, value), position) in f.starts.iter().zip(f.values).zip(f.positions) {
        let (at, stop) = (start.max(f.from), (start + f.kernel).min(f.from + f.src.len()));
        if at >= stop {
            continue;
        }
        let window = &f.src[at - f.from..stop - f.from];
        let from = f.base + at as i64;
        let begins = f.first && at == start;
        let (mut held, mut place) = if begins { (window[0].get(), from) } else { (*value, *position) };
        for (v, at) in window.iter().zip(from..) {
            let v = v.get(); // once: another thread may write to it
            let better = v.rises(held);
            held = chosen(better, v, held);
            place = chosen(better, at, place);
        }
        (*value, *position) = (held, place);
    }
}
