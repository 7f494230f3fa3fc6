//! Moves along each axis: every output is one input or zero. Nearest interpolation, bed of nails, strided slices.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::element::Plain;
use crate::engine::parallel;
use crate::engine::room::{Room, grow, scratch};
use crate::engine::rows::{At, Place, Rows, RowsMut, as_uninit};
use crate::engine::simd::{self, Job, Level, Shuffle};
use crate::error::{Error, Result};
use crate::geometry::taps::{Period, Picks};
use crate::kernels::gather::{self, SHUFFLED_COLUMNS};
use crate::kernels::reduce::Span;
use crate::layout::{Axes, Grid, View, ViewMut, element_count, require_entries, simplify};
use crate::ops::planes::side_by_side;
use crate::ops::resize_part::check_ranges;

/// Sources along D, H and W.
#[derive(Debug)]
pub struct Moves {
    /// Sources along each axis.
    pub picks: [Picks; 3],
}

/// Longest rows of which many planes are better side by side: see [`side_by_side`]. (20 x 20 doubled take 0.42 ms and 0.36, a bed
/// of nails of them 0.27 and 0.37.)
const NARROW: usize = 36;

/// Elements (of a row, channels included) of a column tile: small enough for a row and its source to stay in L1.
const TILE: usize = 8192;

/// Rows for which a table of shuffles is not worth making.
const FEW_ROWS: usize = 4;

impl Moves {
    /// Copies `x` to `out`.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn run<T>(&self, axes: &Axes, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()>
    where
        T: Copy + Default + Send + Sync + 'static,
    {
        let (mut x, mut out) = (x.grid_of(axes), out.grid_of(axes));
        simplify(&mut x, &mut [&mut out]);
        if side_by_side(&x.bare(), &[out.bare()], NARROW, &|x, made| self.run_grids::<T>(&x.grid(), &made[0].grid()))? {
            return Ok(());
        }
        self.run_grids(&x, &out)
    }

    #[inline(never)] // it is called twice
    fn run_grids<T>(&self, x: &Grid<*const T>, out: &Grid<*mut T>) -> Result<()>
    where
        T: Copy + Default + Send + Sync + 'static,
    {
        let [d, h, w] = &self.picks;
        let (width, inner) = (w.out_len(), x.inner);
        let rows = d.out_len() * h.out_len();
        let tile = (TILE / inner.max(1)).max(64) / SHUFFLED_COLUMNS * SHUFFLED_COLUMNS;
        let tile = tile.min(width);
        let tiles = width.div_ceil(tile.max(1));
        let period = w.period();
        // A table is worth making for a few rows.
        let few = x.blocks() * rows < FEW_ROWS;
        let shuffles = if few { None } else { gather::shuffles::<T>(w, inner)? };
        parallel::for_each(x.blocks() * tiles * rows, tile * inner, |units| {
            let job =
                Copying { moves: self, period: period.as_ref(), shuffles: shuffles.as_deref(), x, out, tile, tiles };
            job.run(units)
        })
    }
}

struct Copying<'a, T> {
    moves: &'a Moves,
    period: Option<&'a Period>,
    shuffles: Option<&'a [Shuffle]>,
    x: &'a Grid<*const T>,
    out: &'a Grid<*mut T>,
    tile: usize,
    tiles: usize,
}

impl<T: Copy + Default + Send + Sync + 'static> Copying<'_, T> {
    /// A unit is one output row of one column tile of one block, rows fastest. The rows of a plane are made together where
    /// the input lies ready: to choose the instruction set and find the arrays' rows takes longer than to copy a row of some
    /// hundred bytes. (A bed of nails of 57,344 rows of 448 bytes took 33 ns a row, row by row.)
    fn run(&self, units: Range<usize>) -> Result<()> {
        let Self { moves: Moves { picks: [d, h, w] }, x, out, tile, tiles, .. } = *self;
        let (inner, height) = (x.inner, h.out_len());
        let rows = d.out_len() * height;
        let (mut made, mut hands) = (Room::default(), Hands::new(tile * inner)?);
        let row_bytes = (tile * inner * size_of::<T>()).max(1);
        let most = if out.rows_lie_ready::<Plain<T>>() { usize::MAX } else { (BAND_BYTES / row_bytes).max(1) };
        let (mut unit, end) = (units.start, units.end);
        while unit < end {
            let (group, row) = (unit / rows, unit % rows);
            let (block, strip) = (group / tiles, group % tiles);
            let (depth, line) = (row / height, row % height);
            let n = (height - line).min(end - unit).min(most);
            unit += n;
            let cols = strip * tile..((strip + 1) * tile).min(w.out_len());
            let lines = line..line + n;
            let sources = d.at(depth).and_then(|d| Some((d, span_of(h, &lines)?)));
            let ins = if sources.is_some() { w.inputs(cols.clone()) } else { 0..0 };
            let src = match &sources {
                None => None,
                Some((d, h)) => {
                    let place = Place { block, d: *d..d + 1, h: h.clone(), cols: ins.clone() };
                    match x.lying(&place) {
                        Some(src) => Some((*d, src)),
                        None => {
                            self.one_by_one(block, (*d, depth), lines, (&cols, &ins), &mut hands)?;
                            continue;
                        }
                    }
                }
            };
            let all = depth * height + lines.start..depth * height + lines.end;
            out.write_rows(Plain::default(), block, &all, &cols, &mut made, &mut |mut dst| {
                let expanded = as_uninit(&mut hands.expanded);
                simd::dispatch(Together {
                    copying: self,
                    src,
                    depth,
                    lines: lines.clone(),
                    cols: &cols,
                    from: ins.start,
                    expanded,
                    dst: &mut dst,
                });
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Output rows, each from its input row, which is packed. A row with the same source as the one before it is expanded
    /// once and copied.
    fn one_by_one(
        &self,
        block: usize,
        (d, depth): (usize, usize),
        lines: Range<usize>,
        (cols, ins): (&Range<usize>, &Range<usize>),
        hands: &mut Hands<T>,
    ) -> Result<()> {
        let Self { moves: Moves { picks: [_, h, w] }, period, shuffles, x, out, .. } = *self;
        let (inner, codec) = (x.inner, Plain::<T>::default());
        let mut previous = None;
        let Hands { expanded, packed } = hands;
        grow(packed, ins.len() * inner)?;
        for line in lines {
            let at = At { block, d: depth, h: line };
            let source = h.at(line);
            match source {
                None => out.store(codec, at, cols, expanded, |dst| gather::zero(dst)),
                _ if previous == source => out.store_from(codec, at, cols, expanded),
                Some(line) => {
                    let src = x.load(codec, At { block, d, h: line }, ins, packed);
                    let dst = as_uninit(&mut expanded[..cols.len() * inner]);
                    let span = Span { src, from: ins.start, cols, inner };
                    simd::dispatch(gather::Across { picks: w, period, shuffles, span, dst });
                    out.store_from(codec, at, cols, expanded);
                }
            }
            previous = source; // `expanded` may have been overwritten
        }
        Ok(())
    }
}

/// The input rows that some output rows are made of.
fn span_of(picks: &Picks, outs: &Range<usize>) -> Option<Range<usize>> {
    let mut span: Option<Range<usize>> = None;
    for i in outs.clone().filter_map(|o| picks.at(o)) {
        span = Some(span.map_or(i..i + 1, |s| s.start.min(i)..s.end.max(i + 1)));
    }
    span
}

/// Bytes of rows made at once that are not written where they lie.
const BAND_BYTES: usize = 64 << 10;

/// What a thread holds on the way.
struct Hands<T> {
    expanded: Room<T>,
    packed: Room<T>,
}

impl<T: Copy + Default> Hands<T> {
    fn new(row: usize) -> Result<Self> {
        Ok(Self { expanded: scratch(row)?, packed: Room::default() })
    }
}

/// Some rows of a plane.
struct Together<'a, 'b, 'd, T> {
    copying: &'a Copying<'b, T>,
    /// The plane they are made of, and its rows; nothing if they are all zero.
    src: Option<(usize, Rows<'a, T>)>,
    depth: usize,
    lines: Range<usize>,
    cols: &'a Range<usize>,
    /// The first column of the input rows.
    from: usize,
    expanded: &'a mut [MaybeUninit<T>],
    dst: &'a mut RowsMut<'d, T>,
}

impl<T: Copy + Default + Send + Sync + 'static> Job for Together<'_, '_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let Self { copying, src, depth, lines, cols, from, expanded, dst } = self;
        let Copying { moves: Moves { picks: [_, h, w] }, period, shuffles, x, .. } = *copying;
        let (inner, width) = (x.inner, cols.len() * x.inner);
        let staged = dst.is_staged();
        let expanded = &mut expanded[..width];
        let (mut previous, mut line) = (None, lines.start);
        while line < lines.end {
            let n = dst.at_once().clamp(1, lines.end - line);
            let mut rows = dst.rows(depth, line..line + n);
            let mut before: Option<&[MaybeUninit<T>]> = None;
            for o in line..line + n {
                let (row, rest) = std::mem::take(&mut rows).split_at_mut(width);
                rows = rest;
                let source = src.as_ref().and_then(|(d, src)| Some((h.at(o)?, src.row(*d, h.at(o)?))));
                let Some((i, src)) = source else {
                    gather::zero(row);
                    before = None;
                    continue;
                };
                // Once into scratch, then out as often as it is wanted: reading back what was just written to the result is
                // up to three times slower, depending on where the result lies. A stage is in L1, and read back.
                let next = !staged && o + 1 < lines.end && h.at(o + 1) == Some(i);
                let again = if previous != Some(i) { None } else { if staged { before } else { Some(&*expanded) } };
                if let Some(made) = again {
                    row.copy_from_slice(made);
                } else {
                    let dst = if next { &mut *expanded } else { &mut *row };
                    let span = Span { src, from, cols, inner };
                    gather::Across { picks: w, period, shuffles, span, dst }.run(level);
                    if next {
                        row.copy_from_slice(expanded);
                    }
                    previous = Some(i).filter(|_| staged || next);
                }
                before = Some(row);
            }
            dst.finish_rows(level, depth, line..line + n);
            line += n;
        }
    }
}

/// Parameters of a bed of nails, one entry for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NailsParams {
    /// Distance between nails, in output elements.
    pub factor: Vec<usize>,
    /// Place of the first nail, below `factor`.
    pub offset: Vec<usize>,
    /// Whether the channel axis is the last one.
    pub channels_last: bool,
}

/// A checked bed of nails.
#[derive(Debug, Clone)]
pub struct NailsPlan {
    axes: Axes,
    lens: [usize; 3],
    factor: [usize; 3],
    offset: [usize; 3],
    /// The outputs wanted along D, H and W, if not all.
    part: Option<[Range<usize>; 3]>,
    /// Shape of the result.
    pub out_shape: Vec<usize>,
}

impl NailsPlan {
    /// Checks a bed of nails of an array of this shape whose elements have `itemsize` bytes.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn new(shape: &[usize], itemsize: usize, p: &NailsParams) -> Result<Self> {
        let rank = p.factor.len();
        let axes = Axes::new(shape.len(), rank, p.channels_last)?;
        require_entries("offset", p.offset.len(), rank)?;
        let lens = axes.spatial(shape);
        let (mut factor, mut offset, mut out) = ([1; 3], [0; 3], [1; 3]);
        for i in 0..rank {
            let at = 3 - rank + i;
            let (f, o) = (p.factor[i], p.offset[i]);
            if f == 0 {
                return Err(Error::value(format!("factor[{i}] = 0: must be at least 1")));
            }
            if o >= f {
                return Err(Error::value(format!("offset[{i}] = {o}: must be below factor[{i}] = {f}")));
            }
            if lens[at] == 0 {
                return Err(Error::value("x.shape = 0 elements along a spatial axis: must be at least 1"));
            }
            out[at] = lens[at].checked_mul(f).filter(|&n| isize::try_from(n).is_ok()).ok_or_else(|| {
                Error::value(format!("factor[{i}] = {f}: makes an axis of {} elements longer than 2**63", lens[at]))
            })?;
            (factor[at], offset[at]) = (f, o);
        }
        let out_shape = axes.with_spatial(shape, out);
        element_count(&out_shape, itemsize)?;
        Ok(Self { axes, lens, factor, offset, part: None, out_shape })
    }

    /// The elements whose nails are among some outputs; one of them at least, so that there is an array.
    fn nailed(&self, axis: usize, outs: &Range<usize>) -> Range<usize> {
        let (f, offset) = (self.factor[axis], self.offset[axis]);
        let from = |o: usize| o.saturating_sub(offset).div_ceil(f);
        let held = from(outs.start)..from(outs.end);
        if held.is_empty() { 0..1 } else { held }
    }

    /// The plan of some outputs alone, given as a range along every axis, and the range of inputs that it wants.
    ///
    /// # Errors
    /// If a range is not within its axis.
    pub fn part(&self, outs: &[Range<usize>]) -> Result<(Self, Vec<Range<usize>>)> {
        check_ranges(outs, &self.out_shape)?;
        let (mut held, mut part) = (outs.to_vec(), [0..1, 0..1, 0..1]);
        for (at, part) in part.iter_mut().enumerate().skip(3 - self.axes.rank) {
            let i = self.axes.first() + at + self.axes.rank - 3;
            *part = outs[i].clone();
            held[i] = self.nailed(at, &outs[i]);
        }
        let out_shape = outs.iter().map(Range::len).collect();
        Ok((Self { part: Some(part), out_shape, ..self.clone() }, held))
    }

    /// Puts each element of `x` on its nail, zeros elsewhere.
    ///
    /// # Errors
    /// If a table or scratch cannot be allocated, or the caller interrupts.
    pub fn forward<T: Copy + Default + Send + Sync + 'static>(
        &self,
        x: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        let axis = |a: usize| {
            let (f, offset) = (self.factor[a], self.offset[a]);
            let outs = self.part.as_ref().map_or(0..self.lens[a] * f, |p| p[a].clone());
            let held = self.nailed(a, &outs);
            let source = |o: usize| ((outs.start + o) % f == offset).then(|| (outs.start + o) / f - held.start);
            Picks::new(held.len(), outs.len(), (f, 1), source)
        };
        Moves { picks: [axis(0)?, axis(1)?, axis(2)?] }.run(&self.axes, x, out)
    }

    /// The strided slice that takes the nails' elements back.
    ///
    /// # Errors
    /// As [`NailsPlan::forward`].
    pub fn backward<T: Copy + Default + Send + Sync + 'static>(
        &self,
        grad: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        let axis = |a: usize| {
            let (f, offset) = (self.factor[a], self.offset[a]);
            Picks::new(self.lens[a] * f, self.lens[a], (1, f), |o| Some(o * f + offset))
        };
        Moves { picks: [axis(0)?, axis(1)?, axis(2)?] }.run(&self.axes, grad, out)
    }
}
