//! Moves along each axis: every output is one input or zero. Nearest interpolation, bed of nails, strided slices.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::element::Plain;
use crate::engine::parallel;
use crate::engine::rows::{At, as_uninit, scratch};
use crate::engine::simd::{self, Shuffle};
use crate::error::{Error, Result};
use crate::geometry::taps::{Period, Picks};
use crate::kernels::gather::{self, SHUFFLED_COLUMNS};
use crate::kernels::reduce::Span;
use crate::layout::{Axes, Grid, View, ViewMut, element_count, require_entries, simplify};

/// Sources along D, H and W.
#[derive(Debug)]
pub struct Moves {
    /// Sources along each axis.
    pub picks: [Picks; 3],
}

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
            let job = Copying {
                moves: self,
                period: period.as_ref(),
                shuffles: shuffles.as_deref(),
                x: &x,
                out: &out,
                tile,
                tiles,
            };
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
    /// A unit is one output row of one column tile of one block, rows fastest. A row with the same source as the one
    /// before it is expanded once and copied.
    fn run(&self, units: Range<usize>) -> Result<()> {
        let Self { moves: Moves { picks: [d, h, w] }, period, shuffles, x, out, tile, tiles } = *self;
        let (inner, height) = (x.inner, h.out_len());
        let rows = d.out_len() * height;
        let codec = Plain::<T>::default();
        let mut packed = Vec::new();
        let mut expanded = scratch(tile * inner)?;
        let (mut previous, mut inputs) = (None, None);
        let repeated = (1..height).any(|o| h.at(o) == h.at(o - 1)) || (1..d.out_len()).any(|o| d.at(o) == d.at(o - 1));
        let (mut group, mut row) = (units.start / rows, units.start % rows);
        for _ in units {
            let (block, strip) = if tiles == 1 { (group, 0) } else { (group / tiles, group % tiles) };
            let (depth, line) = if height == rows { (0, row) } else { (row / height, row % height) };
            let at = At { block, d: depth, h: line };
            let cols = strip * tile..((strip + 1) * tile).min(w.out_len());
            (group, row) = if row + 1 == rows { (group + 1, 0) } else { (group, row + 1) };
            let source = d.at(at.d).zip(h.at(at.h)).map(|(d, h)| At { block, d, h });
            let Some(from) = source else {
                previous = None; // `expanded` may be overwritten
                out.store(codec, at, &cols, &mut expanded, |dst| gather::zero(dst));
                continue;
            };
            if previous == Some((strip, from)) {
                out.store_from(codec, at, &cols, &mut expanded);
                continue;
            }
            let ins = match &inputs {
                Some((of, ins)) if *of == strip => ins,
                _ => &inputs.insert((strip, w.inputs(cols.clone()))).1,
            };
            if packed.len() < ins.len() * inner {
                packed = scratch(ins.len() * inner)?;
            }
            let src = x.load(codec, from, ins, &mut packed);
            let expand = |dst: &mut [MaybeUninit<T>]| {
                let span = Span { src, from: ins.start, cols: &cols, inner };
                simd::dispatch(gather::Across { picks: w, period, shuffles, span, dst });
            };
            if repeated {
                // Once into scratch, then out as often as it is wanted: reading back what was just written to the result
                // is up to three times slower, depending on where the result lies.
                expand(as_uninit(&mut expanded[..cols.len() * inner]));
                out.store_from(codec, at, &cols, &mut expanded);
                previous = Some((strip, from));
            } else {
                out.store(codec, at, &cols, &mut expanded, expand);
            }
        }
        Ok(())
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
        Ok(Self { axes, lens, factor, offset, out_shape })
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
            Picks::new(self.lens[a], self.lens[a] * f, (f, 1), |o| (o % f == offset).then_some(o / f))
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
