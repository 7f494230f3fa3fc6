//! Windows folded to values: the largest, sums, means, norms.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::Divisor;
use super::bands::*;
use crate::element::Real;
use crate::engine::pipeline::{InRow, Kernel, OutRow, OutRows, PIECE, Way};
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{Rows, RowsMut, as_cells, as_uninit};
use crate::engine::simd::Level;
use crate::error::Result;
use crate::geometry::Reach;
use crate::geometry::bins::Bins;
use crate::geometry::taps::reserved;
use crate::kernels::norm::{self, Power};
use crate::kernels::reduce::{self, Fold, RowWindows, Span};

/// What happens to elements before they are folded, and to results after.
pub(super) trait Around<K: Copy>: Sync {
    /// Whether anything happens after.
    const FINISHES: bool;
    /// Whether anything happens before.
    fn lifts(&self) -> bool;
    /// A row before.
    fn lift<L: Level>(&self, level: L, row: &[Cell<K>], to: &mut [K]);
    /// Rows after.
    fn finish<L: Level>(&self, level: L, to: &OutRows<'_>, inner: usize, row: &[K], dst: &mut [MaybeUninit<K>]);
}

/// Nothing.
pub(super) struct AsTheyAre;

impl<K: Copy> Around<K> for AsTheyAre {
    const FINISHES: bool = false;
    #[inline(always)]
    fn lifts(&self) -> bool {
        false
    }
    #[inline(always)]
    fn lift<L: Level>(&self, _: L, _: &[Cell<K>], _: &mut [K]) {}
    #[inline(always)]
    fn finish<L: Level>(&self, _: L, _: &OutRows<'_>, _: usize, _: &[K], _: &mut [MaybeUninit<K>]) {}
}

/// A division: by the product of a number for each axis.
pub(in crate::ops) struct Mean<K> {
    bins: [Bins; 3],
    divisor: Divisor,
    /// The windows along W that have the same divisor, and it. (A table of all would be as large as a result of one row.)
    inside: Range<usize>,
    width: f64,
    /// The number of each window along W where they are listed one by one anyway.
    widths: Vec<f64>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Real> Mean<K> {
    /// The divisors of these windows.
    ///
    /// # Errors
    /// If the list of them cannot be allocated.
    pub(in crate::ops) fn new(bins: &[Bins; 3], divisor: Divisor) -> Result<Self> {
        let (inside, width) = match (&bins[2], divisor) {
            (_, Divisor::Fixed(_)) => (0..bins[2].out_len(), 1.0),
            (Bins::Sliding(w), Divisor::Window) => (w.interior(), w.kernel as f64),
            (Bins::Sliding(w), Divisor::WindowAndPadding) => {
                // Only the last windows can reach beyond the padding.
                let full = (0..w.out_len).rev().take_while(|&o| bins[2].with_padding(o) < w.kernel).count();
                (0..w.out_len - full, w.kernel as f64)
            }
            (Bins::Listed { .. }, _) => (0..0, 1.0),
        };
        let mut widths = Vec::new();
        if let (Bins::Listed { windows, .. }, true) = (&bins[2], inside.is_empty()) {
            widths = reserved(windows.len())?;
            widths.extend(windows.iter().map(|r| r.count as f64));
        }
        Ok(Self { bins: bins.clone(), divisor, inside, width, widths, kind: PhantomData })
    }

    /// The number for window `o` of an axis.
    #[inline(always)]
    fn number(&self, axis: usize, o: usize) -> f64 {
        match self.divisor {
            Divisor::Window => self.bins[axis].at(o).count as f64,
            Divisor::WindowAndPadding => self.bins[axis].with_padding(o) as f64,
            Divisor::Fixed(n) => {
                if axis == 0 {
                    n
                } else {
                    1.0
                }
            }
        }
    }

    /// Rows of sums, each sum divided by its divisor.
    #[inline(always)]
    pub(in crate::ops) fn divide(&self, to: &OutRows<'_>, inner: usize, sums: &[K], dst: &mut [MaybeUninit<K>]) {
        let (by_plane, by_first, cols) = (self.number(0, to.d), self.number(1, to.h.start), to.cols);
        let (lo, hi) = (self.inside.start.clamp(cols.start, cols.end), self.inside.end.clamp(cols.start, cols.end));
        let alike = || to.h.clone().skip(1).all(|h| self.number(1, h) == by_first);
        if lo == cols.start && hi == cols.end && alike() {
            return norm::divide(sums, K::of(by_plane * by_first * self.width), dst);
        }
        let width = cols.len() * inner;
        for ((sums, dst), h) in sums.chunks_exact(width).zip(dst.chunks_exact_mut(width)).zip(to.h.clone()) {
            let by_row = by_plane * self.number(1, h);
            if inner == 1
                && let Some(widths) = self.widths.get(cols.clone())
            {
                for ((d, v), w) in dst.iter_mut().zip(sums).zip(widths) {
                    d.write(K::div(*v, K::of(by_row * *w)));
                }
                continue;
            }
            for o in (cols.start..lo).chain(hi.max(lo)..cols.end) {
                let at = (o - cols.start) * inner..(o - cols.start + 1) * inner;
                norm::divide(&sums[at.clone()], K::of(by_row * self.number(2, o)), &mut dst[at]);
            }
            if lo < hi {
                let at = (lo - cols.start) * inner..(hi - cols.start) * inner;
                norm::divide(&sums[at.clone()], K::of(by_row * self.width), &mut dst[at]);
            }
        }
    }
}

/// What surrounds sums. (One for each call; a box would be one more allocation that can fail.)
#[allow(clippy::large_enum_variant)]
pub(super) enum Scaled<K> {
    /// A division after.
    Mean(Mean<K>),
    /// Powers before and a root after.
    Norm(Power),
}

impl<K: Real> Around<K> for Scaled<K> {
    const FINISHES: bool = true;
    #[inline(always)]
    fn lifts(&self) -> bool {
        matches!(self, Self::Norm(_))
    }
    #[inline(always)]
    fn lift<L: Level>(&self, _: L, row: &[Cell<K>], to: &mut [K]) {
        if let Self::Norm(power) = self {
            power.raise(row, to);
        }
    }
    #[inline(always)]
    fn finish<L: Level>(&self, _: L, to: &OutRows<'_>, inner: usize, row: &[K], dst: &mut [MaybeUninit<K>]) {
        match self {
            Self::Mean(mean) => mean.divide(to, inner, row, dst),
            Self::Norm(power) => power.root(row, dst),
        }
    }
}

/// Values only.
pub(super) struct Folding<'a, K, F, A> {
    pub bins: &'a [Bins; 3],
    pub row: RowWindows<'a>,
    pub inner: usize,
    pub way: Way,
    /// The windows along H that are alike.
    pub whole: Range<usize>,
    /// Whether a window's row comes in pieces.
    pub in_pieces: bool,
    pub rows_first: bool,
    pub around: &'a A,
    pub marker: PhantomData<fn() -> (K, F)>,
}

/// Scratch of a [`Folding`].
pub(super) struct Scratch<K> {
    /// Across: what long windows are folded in.
    room: Room<K>,
    /// The window that a piece is, if rows come in pieces.
    only: Option<Bins>,
    /// A row of inputs, lifted; or rows of them, folded or taken across already.
    inputs: Room<K>,
    /// Rows of outputs to be finished.
    outputs: Room<K>,
}

impl<K, F: Fold<K>, A: Around<K>> Kernel for Folding<'_, K, F, A>
where
    K: Copy + Default + Send + Sync + 'static,
{
    const WIDE: bool = F::WIDE;

    type Key = K;
    type Scratch = Scratch<K>;
    type Slot = Room<K>;
    type Dst<'a> = RowsMut<'a, K>;
    type Made = Room<K>;

    fn out_spatial(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.bins[a].out_len())
    }
    #[inline(always)]
    fn reach(&self, axis: usize, o: usize) -> Reach {
        self.bins[axis].at(o)
    }
    fn inputs(&self, cols: Range<usize>) -> Range<usize> {
        self.bins[2].inputs(cols)
    }
    fn column_bytes(&self) -> usize {
        self.inner * size_of::<K>()
    }
    fn row_cost(&self) -> usize {
        row_cost(self.bins, self.inner)
    }
    fn way(&self) -> Way {
        self.way
    }
    fn in_pieces(&self) -> bool {
        self.in_pieces
    }
    fn scratch(&self, tile: usize) -> Result<Self::Scratch> {
        let rows = if self.way == Way::Band { self.rows_of_band(tile).made } else { 1 };
        let longest = reach_of_tile(&self.bins[2], tile);
        let rows_first = rows * (if self.in_pieces { longest.min(PIECE) } else { longest } + WHOLE);
        let across_first =
            if self.way == Way::Band { self.rows_of_band(tile).read * self.bins[0].longest() * tile } else { 0 };
        let inputs = match (self.around.lifts(), self.rows_first) {
            (true, _) => rows_first,
            (_, true) if F::SIMPLER => rows_first.max(across_first),
            (_, true) => rows_first,
            (_, false) => across_first,
        };
        Ok(Scratch {
            room: scratch(if self.in_pieces { 0 } else { reduce::across_room(&self.bins[2], tile, self.inner) })?,
            only: self.in_pieces.then(Bins::only).transpose()?,
            inputs: scratch(inputs * self.inner)?,
            outputs: scratch(if A::FINISHES || self.rows_first { rows * tile * self.inner } else { 0 })?,
        })
    }
    fn slot(&self, tile: usize) -> Result<Self::Slot> {
        scratch(tile * self.inner)
    }

    #[inline(always)]
    fn across<L: Level>(
        &self,
        level: L,
        row: &InRow<'_, K>,
        cols: &Range<usize>,
        s: &mut Self::Scratch,
        slot: &mut Self::Slot,
    ) {
        let src = if self.around.lifts() {
            let lifted = &mut s.inputs[..row.cells.len()];
            self.around.lift(level, row.cells, lifted);
            as_cells(lifted)
        } else {
            row.cells
        };
        let (inner, from) = (self.inner, row.from);
        if let Some(only) = &mut s.only {
            let windows = RowWindows::only(only, from..from + src.len() / inner);
            reduce::across::<L, K, F>(level, &windows, &Span { src, from, cols: &(0..1), inner }, &mut s.room, slot);
        } else {
            reduce::across::<L, K, F>(level, &self.row, &Span { src, from, cols, inner }, &mut s.room, slot);
        }
    }

    #[inline(always)]
    fn down<L: Level>(
        &self,
        level: L,
        to: &OutRow<'_>,
        rows: &[usize],
        slots: &[Self::Slot],
        s: &mut Self::Scratch,
        dst: &mut RowsMut<'_, K>,
    ) {
        let row = |j: usize| &slots[rows[j]][..];
        let dst = dst.row(to.d, to.h);
        if A::FINISHES {
            let folded = &mut s.outputs[..dst.len()];
            reduce::down::<L, K, F>(rows.len(), row, as_uninit(folded));
            let to = OutRows { d: to.d, h: to.h..to.h + 1, cols: to.cols };
            self.around.finish(level, &to, self.inner, folded, dst);
        } else {
            reduce::down::<L, K, F>(rows.len(), row, dst);
        }
    }

    #[inline(always)]
    fn absorb<L: Level>(&self, _: L, into: &mut Self::Slot, later: &Self::Slot) {
        reduce::absorb::<K, F>(into, later);
    }

    fn band_rows(&self, tile: usize) -> usize {
        self.rows_of_band(tile).made
    }

    #[inline(always)]
    fn band<L: Level>(
        &self,
        level: L,
        to: &OutRows<'_>,
        src: &Rows<'_, K>,
        from: usize,
        s: &mut Self::Scratch,
        dst: &mut RowsMut<'_, K>,
    ) {
        if F::SIMPLER {
            // Elements are asked whether they are odd as they go across, or before, if rows are folded first.
            let watches = !self.rows_first && matches!(self.bins[2], Bins::Sliding(_));
            let [odd, twin] = if watches {
                [false; 2]
            } else {
                let (rd, read) = (self.bins[0].at(to.d), rows_read(&self.bins[1], &to.h));
                any_odd(src, &rd, &read, F::odd, self.rows_first.then_some(F::twin))
            };
            let how = (self.rows_first && !twin, watches);
            if !odd && self.band_of::<L, F::Simple>(level, to, (src, from), how, s, dst) {
                return;
            }
        }
        let how = (F::ROWS_FIRST && self.rows_first, false);
        self.band_of::<L, F>(level, to, (src, from), how, s, dst);
    }
}

impl<K: Copy, F: Fold<K>, A: Around<K>> Folding<'_, K, F, A> {
    fn rows_of_band(&self, tile: usize) -> BandRows {
        rows_of_band(self.bins, tile, self.inner, size_of::<K>())
    }

    /// Makes a band; or nothing and false, if it `watches` and there is an odd element.
    #[inline(always)]
    fn band_of<L: Level, G: Fold<K>>(
        &self,
        level: L,
        to: &OutRows<'_>,
        (src, from): (&Rows<'_, K>, usize),
        (rows_first, watches): (bool, bool),
        s: &mut Scratch<K>,
        dst: &mut RowsMut<'_, K>,
    ) -> bool {
        let rows_first = G::ROWS_FIRST && rows_first;
        let (rd, read) = (self.bins[0].at(to.d), rows_read(&self.bins[1], &to.h));
        let repeat = self.row.repeat(to.cols, src.row_len(), self.inner);
        let (inner, cols, width) = (self.inner, to.cols, to.cols.len() * self.inner);
        let listed = inner == 1 && matches!(self.bins[2], Bins::Listed { .. });
        let kept = (read.len() * width).max(1);
        if rows_first {
            // (Elements that were asked whether they are odd have been brought in.)
            let bytes = read.len() * src.row_len() * rd.count * size_of::<K>();
            if !F::SIMPLER && bytes <= 2 * bytes_of_band(&self.bins[0], &self.bins[1], src.row_len() * size_of::<K>()) {
                touch(src, &rd, &read);
            }
            let (len, n) = (src.row_len(), to.h.len());
            // In whole vectors, where the elements of the next row follow.
            let wide = len.next_multiple_of(WHOLE);
            let pitch = if repeat { len } else { wide };
            for (i, h) in to.h.clone().enumerate() {
                let rows = src.list(rd, self.bins[1].at(h), wide);
                let folded = as_uninit(&mut s.inputs[i * pitch..][..rows.row_len()]);
                reduce::down_cells::<L, K, G>(rows.rows(), |j| rows.row(j), folded);
            }
            let span = Span { src: as_cells(&mut s.inputs[..n * pitch]), from, cols, inner };
            let made = &mut s.outputs[..n * width];
            reduce::across_rows::<L, K, G>(level, &self.row, &span, (n, len), false, &mut s.room, made);
        }
        for (j, kept) in s.inputs.chunks_exact_mut(kept).take(if rows_first { 0 } else { rd.count }).enumerate() {
            for (cells, at, rows) in long_rows(src, rd.start + j * rd.step, &read, repeat || listed) {
                let span = Span { src: cells, from, cols, inner };
                let rows = (rows, cells.len() / rows);
                let kept = &mut kept[at * width..];
                if reduce::across_rows::<L, K, G>(level, &self.row, &span, rows, watches, &mut s.room, kept) {
                    return false;
                }
            }
        }
        let mut h = to.h.start;
        while h < to.h.end {
            let rh = self.bins[1].at(h);
            let ready = if rows_first { to.h.end - h } else { alike(&self.whole, h..to.h.end) };
            let n = ready.min(dst.at_once());
            let rows = OutRows { d: to.d, h: h..h + n, cols };
            let places = dst.rows(to.d, h..h + n);
            let first = if rows_first { (h - to.h.start) * width } else { 0 };
            let made = if A::FINISHES || rows_first { &mut s.outputs[first..first + n * width] } else { &mut [] };
            if !rows_first {
                let mut taps = [0; MOST_TAPS];
                let taps = taps_of(&mut taps, (rd.count, kept), rh, read.start, width);
                let to = if A::FINISHES { as_uninit(made) } else { &mut *places };
                reduce::down_rows::<L, K, G>(level, &s.inputs, taps, step(&self.bins[1]) * width, width, to);
            }
            if A::FINISHES {
                self.around.finish(level, &rows, inner, made, places);
            } else if rows_first {
                places.copy_from_slice(as_uninit(made));
            }
            dst.finish_rows(level, to.d, h..h + n);
            h += n;
        }
        true
    }
}
