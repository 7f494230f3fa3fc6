//! Fractional max pooling: windows a fractional step apart, placed anew for every plane by random numbers.
//!
//! A plane is one `(D, H, W)` block of one channel, in both layouts: no two have the same windows. Windows are folded
//! row by row; where channels lie next to each other in memory, so do the units of work that read them.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::element::{Order, Ordered};
use crate::engine::parallel;
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{At, Readable, Writable};
use crate::engine::simd;
use crate::error::{Error, Result, Shape};
use crate::geometry::fractional::{Intervals, Placed, Shrunk, random};
use crate::geometry::window::AxisName;
use crate::kernels::fractional::Maxima;
use crate::layout::{Axes, Grid, View, ViewMut, element_count, require_entries};
use crate::ops::index::IndexElement;

/// Output lengths, one for each spatial axis.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputLens {
    /// Number of windows.
    Size(Vec<usize>),
    /// Number of windows as a part of the input's length, above 0 and below 1; rounded down.
    Ratio(Vec<f64>),
}

/// Parameters of a fractional max pooling, one entry for each of two or three spatial axes.
#[derive(Debug, Clone, PartialEq)]
pub struct FractionalParams {
    /// Elements per window.
    pub kernel_size: Vec<usize>,
    /// Output lengths.
    pub output: OutputLens,
    /// Whether the channel axis is the last one.
    pub channels_last: bool,
}

/// Where the random numbers come from: one for each plane and spatial axis, from 0 to below 1.
#[derive(Debug, Clone, Copy)]
pub enum Samples<'a> {
    /// A stream that follows from this number alone.
    Seed(u64),
    /// Given, in the shape [`FractionalPlan::samples_shape`]. As in torch, the numbers of two spatial axes come in the
    /// order W, H, those of three in the order D, H, W.
    Given(View<'a, f64>),
}

impl From<u64> for Samples<'_> {
    fn from(seed: u64) -> Self {
        Self::Seed(seed)
    }
}

impl<'a> From<&'a ndarray::ArrayViewD<'_, f64>> for Samples<'a> {
    fn from(samples: &'a ndarray::ArrayViewD<'_, f64>) -> Self {
        Self::Given(View::from(samples))
    }
}

/// A checked fractional max pooling.
#[derive(Debug, Clone)]
pub struct FractionalPlan {
    axes: Axes,
    intervals: [Intervals; 3],
    /// Shape of the result.
    pub out_shape: Vec<usize>,
    /// Shape of the random numbers: the leading axes, the channels if they come last, and the number of spatial axes.
    pub samples_shape: Vec<usize>,
}

/// Elements of an input row held at once, at most as many outputs: scratch of some 100 KiB a thread.
const PIECE: usize = 4096;

impl FractionalPlan {
    /// Checks a pooling of an array of this shape whose elements have `itemsize` bytes.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn new(shape: &[usize], itemsize: usize, p: &FractionalParams) -> Result<Self> {
        let rank = p.kernel_size.len();
        if !(2..=3).contains(&rank) {
            return Err(Error::value(format!(
                "kernel_size has {rank} entries: must have 2 or 3, one for each spatial axis"
            )));
        }
        let axes = Axes::new(shape.len(), rank, p.channels_last)?;
        match &p.output {
            OutputLens::Size(lens) => require_entries("output_size", lens.len(), rank)?,
            OutputLens::Ratio(ratios) => require_entries("output_ratio", ratios.len(), rank)?,
        }
        let lens = axes.spatial(shape);
        let mut intervals = [Intervals::UNIT; 3];
        for index in 0..rank {
            let at = 3 - rank + index;
            let out = match &p.output {
                OutputLens::Size(lens) => Shrunk::To(lens[index]),
                OutputLens::Ratio(ratios) => Shrunk::By(ratios[index]),
            };
            intervals[at] = Intervals::new(lens[at], p.kernel_size[index], out, AxisName { index, rank })?;
        }
        let out_shape = axes.with_spatial(shape, intervals.map(|i| i.out_len));
        element_count(&out_shape, itemsize)?;
        let mut samples_shape = shape.to_vec();
        samples_shape.drain(axes.first()..axes.first() + rank);
        samples_shape.push(rank);
        Ok(Self { axes, intervals, out_shape, samples_shape })
    }

    /// Whether int32 indices can name every place of a spatial block, or need not name any.
    #[must_use]
    pub fn fits_int32(&self) -> bool {
        let block = self.intervals.iter().try_fold(1usize, |n, i| n.checked_mul(i.in_len));
        block.is_some_and(|n| i32::try_from(n).is_ok()) || self.out_shape.contains(&0)
    }

    /// Refuses random numbers of another shape, or that are not from 0 to below 1.
    ///
    /// # Errors
    /// Names the shape, or the first such number and its position.
    pub fn check(&self, samples: &Samples<'_>) -> Result<()> {
        let Samples::Given(samples) = samples else { return Ok(()) };
        if samples.shape != self.samples_shape {
            return Err(Error::value(format!(
                "random_samples.shape = {}: must be {}",
                Shape(samples.shape),
                Shape(&self.samples_shape)
            )));
        }
        let good = |u: f64| (0.0..1.0).contains(&u);
        let (grid, bad) = (self.sample_grid(samples)?, AtomicBool::new(false));
        parallel::for_each(grid.blocks(), self.axes.rank, |blocks| {
            for block in blocks {
                if !(0..self.axes.rank).all(|i| good(grid.get(At { block, d: 0, h: 0 }, i, 0))) {
                    bad.store(true, Ordering::Relaxed);
                }
            }
            Ok(())
        })?;
        if !bad.into_inner() {
            return Ok(());
        }
        let (at, u) = samples.elements().find(|(_, u)| !good(*u)).unwrap_or_default(); // none only if it was changed meanwhile
        let place = at.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(Error::value(format!("random_samples[{place}] = {u}: must be at least 0 and below 1")))
    }

    /// Random numbers as rows, one for each plane.
    fn sample_grid(&self, samples: &View<'_, f64>) -> Result<Grid<*const f64>> {
        Ok(samples.grid_of(&Axes::new(self.samples_shape.len(), 1, false)?))
    }

    /// The windows' largest elements; with `indices` also their flat positions in the spatial block.
    ///
    /// # Errors
    /// As [`FractionalPlan::check`]; if scratch cannot be allocated, or the caller interrupts.
    pub fn maxima<T: Ordered, I: IndexElement>(
        &self,
        x: &View<'_, T>,
        samples: &Samples<'_>,
        out: &mut ViewMut<'_, T>,
        indices: Option<&mut ViewMut<'_, I>>,
    ) -> Result<()> {
        self.check(samples)?;
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        let Axes { rank, channels_last, .. } = self.axes;
        let [_, _, w] = self.intervals;
        let tile = (PIECE.saturating_sub(w.kernel) / w.longest_step()).clamp(1, w.out_len);
        let x = Grid::channels_outside(x.ptr, x.shape, x.strides, rank, channels_last);
        let out = Grid::channels_outside(out.ptr, out.shape, out.strides, rank, channels_last);
        let indices = indices.map(|i| Grid::channels_outside(i.ptr, i.shape, i.strides, rank, channels_last));
        let (together, blocks) = (x.interleaved(), out.blocks());
        let (x, out) = ((T::KeyCodec::default(), x), (T::KeyCodec::default(), out));
        let indices = indices.map(|i| (I::ToWide::default(), i));
        let walk = Walk::<T::Key> {
            plan: self,
            samples: match samples {
                Samples::Seed(seed) => Numbers::Seed(*seed),
                Samples::Given(samples) => Numbers::Given(self.sample_grid(samples)?),
            },
            together,
            x: &x,
            out: &out,
            indices: indices.as_ref().map(|i| i as &dyn Writable<i64>),
            tile,
            strips: w.out_len.div_ceil(tile),
        };
        walk.all(blocks)
    }
}

/// [`Samples`], ready to be read.
enum Numbers {
    Seed(u64),
    Given(Grid<*const f64>),
}

/// A run over units of work: a piece of an output row of one plane each.
struct Walk<'a, K> {
    plan: &'a FractionalPlan,
    samples: Numbers,
    x: &'a dyn Readable<K>,
    out: &'a dyn Writable<K>,
    indices: Option<&'a dyn Writable<i64>>,
    /// Planes whose units take turns.
    together: usize,
    /// Outputs of a unit.
    tile: usize,
    /// Units of an output row.
    strips: usize,
}

/// Scratch of a unit.
struct Scratch<K> {
    starts: Room<usize>,
    packed: Room<K>,
    values: Room<K>,
    positions: Room<i64>,
    taps: Room<K>,
}

impl<K: Order> Walk<'_, K> {
    fn all(&self, blocks: usize) -> Result<()> {
        let [d, h, _] = self.out.lens().0;
        let volume = self.plan.intervals.iter().fold(self.tile, |n, i| n.saturating_mul(i.kernel));
        parallel::for_each(blocks * d * h * self.strips, volume, |units| self.run(units))
    }

    /// Row and columns of a unit.
    fn place(&self, unit: usize) -> (At, Range<usize>) {
        let [d, h, w] = self.out.lens().0;
        let (unit, channel) = (unit / self.together, unit % self.together);
        let (unit, strip) = (unit / self.strips, unit % self.strips);
        let (outer, row) = (unit / (d * h), unit % (d * h));
        let cols = strip * self.tile..(strip * self.tile).saturating_add(self.tile).min(w);
        (At { block: outer * self.together + channel, d: row / h, h: row % h }, cols)
    }

    /// Windows of a plane along D, H and W.
    fn windows(&self, block: usize) -> [Placed; 3] {
        let rank = self.plan.axes.rank;
        let sample = |axis: usize| {
            let i = match (rank, axis) {
                (2, 0) => return 0.0, // no such axis
                (2, _) => 2 - axis,
                _ => axis,
            };
            match &self.samples {
                Numbers::Seed(seed) => random(*seed, (block * rank + i) as u64),
                Numbers::Given(grid) => grid.get(At { block, d: 0, h: 0 }, i, 0),
            }
        };
        let [d, h, w] = &self.plan.intervals;
        [d.placed(sample(0)), h.placed(sample(1)), w.placed(sample(2))]
    }

    fn run(&self, units: Range<usize>) -> Result<()> {
        let mut s = Scratch {
            starts: scratch(self.tile)?,
            packed: scratch(PIECE.min(self.x.lens().0[2]))?,
            values: scratch(self.tile)?,
            positions: scratch(self.tile)?,
            taps: scratch(self.tile)?,
        };
        for unit in units {
            let (at, cols) = self.place(unit);
            self.fold(at, &cols, &mut s);
            self.out.write(at, &cols, &mut s.values);
            if let Some(indices) = &self.indices {
                indices.write(at, &cols, &mut s.positions);
            }
        }
        Ok(())
    }

    /// Maxima of some windows of an output row.
    fn fold(&self, at: At, cols: &Range<usize>, s: &mut Scratch<K>) {
        let [ds, hs, ws] = self.windows(at.block);
        let [kd, kh, kw] = self.plan.intervals.map(|i| i.kernel);
        let [_, in_h, in_w] = self.x.lens().0;
        let starts = &mut s.starts[..cols.len()];
        starts.iter_mut().zip(cols.clone()).for_each(|(start, o)| *start = ws.at(o));
        let (values, positions) = (&mut s.values[..cols.len()], &mut s.positions[..cols.len()]);
        let (d0, h0, reach) = (ds.at(at.d), hs.at(at.h), ws.at(cols.start)..ws.at(cols.end - 1) + kw);
        for (d, h) in (d0..d0 + kd).flat_map(|d| (h0..h0 + kh).map(move |h| (d, h))) {
            let first = d == d0 && h == h0;
            let base = ((d * in_h + h) * in_w) as i64;
            for from in reach.clone().step_by(PIECE) {
                let piece = from..reach.end.min(from + PIECE);
                let row = At { block: at.block, d, h };
                let src = self.x.row(row, &piece, &mut s.packed);
                simd::dispatch(Maxima {
                    src,
                    from,
                    starts,
                    kernel: kw,
                    first,
                    base,
                    values,
                    located: self.indices.is_some(),
                    positions,
                    taps: &mut s.taps,
                });
            }
        }
    }
}
