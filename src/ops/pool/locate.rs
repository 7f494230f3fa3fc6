//! Windows folded to their largest elements and where those are.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bands::*;
use crate::element::{Codec, Order, Plain};
use crate::engine::pipeline::{Band, Ends, InRow, Kernel, OutRow, OutRows, Way};
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{Finish, Place, Rows, RowsMut};
use crate::engine::simd::Level;
use crate::error::Result;
use crate::geometry::Reach;
use crate::geometry::bins::Bins;
use crate::kernels::argmax::{self, Pairs};
use crate::kernels::reduce::{RowWindows, Span};
use crate::layout::Grid;
use crate::ops::index::IndexElement;

/// Memory for positions that cannot be written where they are stored.
#[derive(Debug, Default)]
pub struct MadePlaces {
    wide: Room<i64>,
    short: Room<i32>,
}

/// A dtype positions are stored as.
pub trait Stored: IndexElement {
    /// Rows of it.
    fn rows(rows: RowsMut<'_, Self>) -> Places<'_>;
    /// Memory for them.
    fn made(places: &mut MadePlaces) -> &mut Room<Self>;
}
impl Stored for i64 {
    fn rows(rows: RowsMut<'_, Self>) -> Places<'_> {
        Places::Wide(rows)
    }
    fn made(places: &mut MadePlaces) -> &mut Room<Self> {
        &mut places.wide
    }
}
impl Stored for i32 {
    fn rows(rows: RowsMut<'_, Self>) -> Places<'_> {
        Places::Short(rows)
    }
    fn made(places: &mut MadePlaces) -> &mut Room<Self> {
        &mut places.short
    }
}

/// Rows that positions are written to. (Which of the two is asked for every row: as a type parameter it would double the
/// kernels.)
pub enum Places<'a> {
    /// As int64.
    Wide(RowsMut<'a, i64>),
    /// As int32; the planner of the binding refuses blocks whose positions do not fit.
    Short(RowsMut<'a, i32>),
}

impl Places<'_> {
    #[inline(always)]
    fn at_once(&self) -> usize {
        match self {
            Self::Wide(rows) => rows.at_once(),
            Self::Short(rows) => rows.at_once(),
        }
    }

    #[inline(always)]
    fn finish_rows<L: Level>(&mut self, level: L, d: usize, h: Range<usize>) {
        match self {
            Self::Wide(rows) => rows.finish_rows(level, d, h),
            Self::Short(rows) => rows.finish_rows(level, d, h),
        }
    }
}

impl Finish for Places<'_> {
    #[inline(always)]
    fn finish<L: Level>(&mut self, level: L, d: usize, h: usize) {
        match self {
            Self::Wide(rows) => rows.finish(level, d, h),
            Self::Short(rows) => rows.finish(level, d, h),
        }
    }
}

/// The low 32 bits of a position. (All of them would be lanes of their own for every type of value, a fifth of what pooling
/// is compiled to.) Those of an output row count from a position before all of them, less than 2^32 before: see [`whole`].
type Low = i32;

/// Most elements that the inputs of an output row may be apart: half of what low bits tell apart, for some output rows are made at
/// once.
const MOST_SPAN: usize = 1 << 31;

static FORCED_SPAN: AtomicUsize = AtomicUsize::new(MOST_SPAN);

/// See [`MOST_SPAN`].
pub(super) fn most_span() -> usize {
    FORCED_SPAN.load(Ordering::Relaxed)
}

/// Has positions looked for after the values where inputs of an output row are further apart than this (`None`: as far as need
/// be), so that tests need no huge arrays.
pub fn force_span(elements: Option<usize>) {
    FORCED_SPAN.store(elements.unwrap_or(MOST_SPAN).min(MOST_SPAN), Ordering::Relaxed);
}

/// The position whose low bits these are, at `first` or less than 2^32 beyond.
#[inline(always)]
fn whole(first: i64, low: Low) -> i64 {
    first + i64::from(low.wrapping_sub(first as Low).cast_unsigned())
}

/// Scratch of a [`Locating`]: values and positions of long windows across, and of rows that have gone across.
pub(super) struct Located<K> {
    /// The window that a piece is, if rows come in pieces.
    only: Option<Bins>,
    room: (Room<K>, Room<Low>),
    kept: (Room<K>, Room<Low>),
}

/// Values and positions.
pub(super) struct Locating<'a, K> {
    pub bins: &'a [Bins; 3],
    /// Where the array lies in the one that positions count in, and the lengths of that.
    pub first: [usize; 3],
    pub lens: [usize; 3],
    pub row: RowWindows<'a>,
    pub inner: usize,
    pub way: Way,
    pub whole: Range<usize>,
    /// Whether a window's row comes in pieces.
    pub in_pieces: bool,
    pub marker: PhantomData<fn() -> K>,
}

impl<K: Order> Kernel for Locating<'_, K> {
    const WIDE: bool = K::WIDE;

    type Key = K;
    type Scratch = Located<K>;
    type Slot = (Room<K>, Room<Low>);
    type Dst<'a> = (RowsMut<'a, K>, Places<'a>);
    type Made = (Room<K>, MadePlaces);

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
        self.inner * (size_of::<K>() + size_of::<Low>())
    }
    fn row_cost(&self) -> usize {
        row_cost(self.bins, self.inner).saturating_mul(2)
    }
    fn way(&self) -> Way {
        self.way
    }
    fn in_pieces(&self) -> bool {
        self.in_pieces
    }
    fn scratch(&self, tile: usize) -> Result<Self::Scratch> {
        let band = if self.way == Way::Band { self.rows_of_band(tile).read } else { 1 };
        let rows = if self.row.may_repeat() { band } else { 1 };
        let (values, positions) =
            if self.in_pieces { (0, 0) } else { argmax::across_room(&self.bins[2], tile * rows, self.inner) };
        let kept = if self.way == Way::Band { band * self.bins[0].longest() * tile * self.inner } else { 0 };
        let only = self.in_pieces.then(Bins::only).transpose()?;
        Ok(Located { only, room: (scratch(values)?, scratch(positions)?), kept: (scratch(kept)?, scratch(kept)?) })
    }
    fn slot(&self, tile: usize) -> Result<Self::Slot> {
        Ok((scratch(tile * self.inner)?, scratch(tile * self.inner)?))
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
        let base = self.position(row.d, row.h);
        let (src, from, inner) = (row.cells, row.from, self.inner);
        let mut room = Pairs { values: &mut s.room.0, positions: &mut s.room.1 };
        let mut dst = Pairs { values: &mut slot.0, positions: &mut slot.1 };
        if let Some(only) = &mut s.only {
            let windows = RowWindows::only(only, from..from + src.len() / inner);
            let span = Span { src, from, cols: &(0..1), inner };
            argmax::across::<L, K, Low>(level, &windows, &span, base, &mut room, &mut dst);
        } else {
            argmax::across::<L, K, Low>(level, &self.row, &Span { src, from, cols, inner }, base, &mut room, &mut dst);
        }
    }

    #[inline(always)]
    fn down<L: Level>(
        &self,
        _: L,
        to: &OutRow<'_>,
        rows: &[usize],
        slots: &[Self::Slot],
        _: &mut Self::Scratch,
        (values, positions): &mut Self::Dst<'_>,
    ) {
        let row = |j: usize| {
            let (values, positions) = &slots[rows[j]];
            (&values[..], &positions[..])
        };
        let (n, values) = (rows.len(), values.row(to.d, to.h));
        match positions {
            Places::Wide(places) => {
                let first = self.first_of((to.d, to.h), to.cols);
                argmax::down::<L, K, Low, i64>(n, row, values, places.row(to.d, to.h), |i| whole(first, i));
            }
            Places::Short(places) => {
                argmax::down::<L, K, Low, i32>(n, row, values, places.row(to.d, to.h), |i| i);
            }
        }
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
        dst: &mut Self::Dst<'_>,
    ) {
        let plainly = K::ODD && self.band_of::<L, true>(level, to, src, from, s, dst);
        if !plainly {
            self.band_of::<L, false>(level, to, src, from, s, dst);
        }
    }

    #[inline(always)]
    fn absorb<L: Level>(&self, _: L, into: &mut Self::Slot, later: &Self::Slot) {
        let into = Pairs { values: &mut into.0, positions: &mut into.1 };
        argmax::absorb::<K, Low>(into, (&later.0, &later.1));
    }
}

impl<K: Order> Locating<'_, K> {
    /// The position of an input row's first element.
    #[inline(always)]
    fn position(&self, d: usize, h: usize) -> usize {
        let ([od, oh, ow], [_, height, width]) = (self.first, self.lens);
        ((od + d) * height + oh + h) * width + ow
    }

    /// A position that is not beyond any that some columns of an output row read.
    #[inline(always)]
    fn first_of(&self, (d, h): (usize, usize), cols: &Range<usize>) -> i64 {
        let [rd, rh] = [self.bins[0].at(d), self.bins[1].at(h)];
        self.position(rd.start, rh.start).wrapping_add(self.bins[2].inputs(cols.clone()).start).cast_signed() as i64
    }

    fn rows_of_band(&self, tile: usize) -> BandRows {
        rows_of_band(self.bins, tile, self.inner, size_of::<K>() + size_of::<Low>())
    }

    /// Makes a band; or nothing and false, if it would be `PLAIN` and there is an odd element.
    #[inline(always)]
    fn band_of<L: Level, const PLAIN: bool>(
        &self,
        level: L,
        to: &OutRows<'_>,
        src: &Rows<'_, K>,
        from: usize,
        s: &mut Located<K>,
        (values, positions): &mut (RowsMut<'_, K>, Places<'_>),
    ) -> bool {
        let [bd, bh, bw] = self.bins;
        let (rd, read) = (bd.at(to.d), rows_read(bh, &to.h));
        // (Positions go on from row to row, where all of each row is there.)
        let repeat = self.lens[2] == bw.in_len() && self.row.repeat(to.cols, src.row_len(), self.inner);
        let (inner, cols, width) = (self.inner, to.cols, to.cols.len() * self.inner);
        let kept = (read.len() * width).max(1);
        let mut room = Pairs { values: &mut s.room.0, positions: &mut s.room.1 };
        let planes = s.kept.0.chunks_exact_mut(kept).zip(s.kept.1.chunks_exact_mut(kept));
        for (j, (values, positions)) in planes.take(rd.count).enumerate() {
            let d = rd.start + j * rd.step;
            for (cells, at, rows) in long_rows(src, d, &read, repeat) {
                let base = self.position(d, read.start + at);
                let span = Span { src: cells, from, cols, inner };
                let (values, positions) = (&mut values[at * width..], &mut positions[at * width..]);
                let mut made = Pairs { values, positions };
                if argmax::across_rows::<L, K, Low, PLAIN>(level, &self.row, &span, rows, base, &mut room, &mut made) {
                    return false;
                }
            }
        }
        let (kept_of, rows_on) = ((&s.kept.0[..], &s.kept.1[..]), step(bh));
        let (step, near) = (rows_on * width, MOST_SPAN / rows_on.saturating_mul(self.lens[2]).max(1));
        let mut h = to.h.start;
        while h < to.h.end {
            let most = values.at_once().min(positions.at_once()).min(near.max(1));
            let n = alike(&self.whole, h..to.h.end).min(most);
            let (rows, mut taps) = (h..h + n, [0; RUNNING]);
            let taps = taps_of(&mut taps, (rd.count, kept), bh.at(h), read.start, width);
            let found = values.rows(to.d, rows.clone());
            match positions {
                Places::Wide(places) => {
                    let (first, places) = (self.first_of((to.d, h), cols), places.rows(to.d, rows.clone()));
                    argmax::down_rows::<L, K, Low, i64, PLAIN>(level, kept_of, taps, step, width, found, places, |i| {
                        whole(first, i)
                    });
                }
                Places::Short(places) => {
                    let places = places.rows(to.d, rows.clone());
                    argmax::down_rows::<L, K, Low, i32, PLAIN>(level, kept_of, taps, step, width, found, places, |i| i);
                }
            }
            values.finish_rows(level, to.d, rows.clone());
            positions.finish_rows(level, to.d, rows);
            h += n;
        }
        true
    }
}

/// One array in; values and positions out.
pub(super) struct LocatedEnds<C: Codec, O> {
    pub codec: C,
    pub x: Grid<*const C::Stored>,
    pub out: Grid<*mut C::Stored>,
    pub indices: Grid<*mut O>,
}

impl<'b, C: Codec<Computed: Order>, O: Stored> Ends<Locating<'b, C::Computed>> for LocatedEnds<C, O> {
    fn blocks(&self) -> usize {
        self.x.blocks()
    }
    fn ready(&self) -> [bool; 2] {
        let written = self.out.rows_lie_ready::<C>() && self.indices.rows_lie_ready::<Plain<O>>();
        [self.x.rows_lie_ready::<C>(), written]
    }
    fn source<'a>(&'a self, place: &Place, packed: &'a mut Room<C::Computed>) -> Result<Rows<'a, C::Computed>> {
        self.x.rows(self.codec, place, packed)
    }
    fn with_output<'r>(
        &self,
        band: &Band,
        (made, located): &mut (Room<C::Computed>, MadePlaces),
        run: &'r mut dyn for<'d> FnMut((RowsMut<'d, C::Computed>, Places<'d>)) -> Result<()>,
    ) -> Result<()>
    where
        'b: 'r,
    {
        let Band { block, rows, cols } = band;
        let located = O::made(located);
        self.out.write_rows(self.codec, *block, rows, cols, made, &mut |values| {
            let (mut values, plain) = (Some(values), Plain::<O>::default());
            self.indices.write_rows(plain, *block, rows, cols, located, &mut |positions| {
                values.take().map_or(Ok(()), |values| run((values, O::rows(positions))))
            })
        })
    }
}
