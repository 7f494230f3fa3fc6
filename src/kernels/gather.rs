//! Moves: each output is one input or zero.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::reduce::Span;
use crate::engine::simd::{Job, Level};
use crate::geometry::taps::{Period, Picks};

/// A row expanded, thinned or spread.
pub struct Across<'a, T> {
    /// Sources.
    pub picks: &'a Picks,
    /// Where they repeat.
    pub period: Option<&'a Period>,
    /// The row.
    pub span: Span<'a, T>,
    /// The result.
    pub dst: &'a mut [MaybeUninit<T>],
}

impl<T: Copy + Default> Job for Across<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Span { src, from, cols, inner } = self.span;
        across(self.picks, self.period, src, from, cols, inner, self.dst);
    }
}

#[inline(always)]
fn across<T: Copy + Default>(
    picks: &Picks,
    period: Option<&Period>,
    src: &[Cell<T>],
    from: usize,
    cols: &Range<usize>,
    inner: usize,
    dst: &mut [MaybeUninit<T>],
) {
    if inner != 1 {
        for (o, dst) in cols.clone().zip(dst.chunks_exact_mut(inner)) {
            match picks.at(o) {
                None => zero(dst),
                Some(i) => {
                    dst.iter_mut().zip(&src[(i - from) * inner..][..inner]).for_each(|(d, v)| _ = d.write(v.get()))
                }
            }
        }
        return;
    }
    let repeats = match period {
        Some(p) => {
            let start = p.range.start.max(cols.start).min(cols.end);
            start..start + p.range.end.min(cols.end).saturating_sub(start) / p.outs * p.outs
        }
        None => cols.end..cols.end,
    };
    singly(picks, src, from, cols.start..repeats.start, &mut dst[..repeats.start - cols.start]);
    if let Some(p) = period.filter(|_| !repeats.is_empty()) {
        periodic(picks, p, src, from, repeats.start, &mut dst[repeats.start - cols.start..repeats.end - cols.start]);
    }
    singly(picks, src, from, repeats.end..cols.end, &mut dst[repeats.end - cols.start..]);
}

/// All zero.
#[inline(always)]
pub fn zero<T: Copy + Default>(dst: &mut [MaybeUninit<T>]) {
    dst.iter_mut().for_each(|d| _ = d.write(T::default()));
}

#[inline(always)]
fn singly<T: Copy + Default>(
    picks: &Picks,
    src: &[Cell<T>],
    from: usize,
    cols: Range<usize>,
    dst: &mut [MaybeUninit<T>],
) {
    for (o, d) in cols.zip(dst) {
        d.write(picks.at(o).map_or_else(T::default, |i| src[i - from].get()));
    }
}

/// Whole repetitions from output `o0` on.
#[inline(always)]
fn periodic<T: Copy + Default>(
    picks: &Picks,
    p: &Period,
    src: &[Cell<T>],
    from: usize,
    o0: usize,
    dst: &mut [MaybeUninit<T>],
) {
    match (p.outs, p.ins) {
        (1, 1) => blocks::<T, 1, 1>(picks, src, from, o0, dst),
        (2, 1) => blocks::<T, 2, 1>(picks, src, from, o0, dst),
        (3, 1) => blocks::<T, 3, 1>(picks, src, from, o0, dst),
        (4, 1) => blocks::<T, 4, 1>(picks, src, from, o0, dst),
        (8, 1) => blocks::<T, 8, 1>(picks, src, from, o0, dst),
        (1, 2) => blocks::<T, 1, 2>(picks, src, from, o0, dst),
        (1, 3) => blocks::<T, 1, 3>(picks, src, from, o0, dst),
        (1, 4) => blocks::<T, 1, 4>(picks, src, from, o0, dst),
        _ => singly(picks, src, from, o0..o0 + dst.len(), dst),
    }
}

/// `P` outputs for every `Q` inputs.
#[inline(always)]
fn blocks<T: Copy + Default, const P: usize, const Q: usize>(
    picks: &Picks,
    src: &[Cell<T>],
    from: usize,
    o0: usize,
    dst: &mut [MaybeUninit<T>],
) {
    let sources: [Option<usize>; P] = std::array::from_fn(|j| picks.at(o0 + j));
    let n = dst.len() / P;
    let Some(base) = sources.iter().flatten().min().copied() else { return zero(dst) };
    if Q == 1 && sources.iter().all(|s| *s == Some(base)) {
        // Nearest: every input P times.
        for (d, v) in dst.chunks_exact_mut(P).zip(&src[base - from..][..n]) {
            let v = v.get();
            for d in d {
                d.write(v);
            }
        }
        return;
    }
    if let [(j, Some(i))] = sources.iter().enumerate().filter(|s| s.1.is_some()).collect::<Vec<_>>()[..]
        && Q == 1
    {
        // Bed of nails: every input once, zeros between.
        for (d, v) in dst.chunks_exact_mut(P).zip(&src[i - from..][..n]) {
            let v = v.get();
            for (k, d) in d.iter_mut().enumerate() {
                d.write(if k == j { v } else { T::default() });
            }
        }
        return;
    }
    for (b, d) in dst.chunks_exact_mut(P).enumerate() {
        for (d, s) in d.iter_mut().zip(sources) {
            d.write(s.map_or_else(T::default, |i| src[i - from + b * Q].get()));
        }
    }
}
