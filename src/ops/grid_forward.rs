//! Sampling at points, forward: run after run of points, each in all the blocks of its batch.

use std::ops::Range;

use crate::element::{Codec, Linear, Plain};
use crate::engine::parallel;
use crate::engine::places::{Block, Places};
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{At, as_cells, widen};
use crate::engine::simd;
use crate::error::Result;
use crate::geometry::taps::reserved;
use crate::kernels::grid::{Blend, BlendChannels, BlendGathered, Gathered, Lying, Pick, Wide};
use crate::layout::{CACHE_LINE, Grid, View, ViewMut};
use crate::ops::grid::{GridPlan, Located, Points, Reading, Runs};

/// Elements, all channels of some points, that are computed before they are stored, and that are gathered.
pub(super) const LINE: usize = 4096;

impl GridPlan {
    /// Samples `x` at the points.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn forward<T: Linear<Sum: Wide>>(
        &self,
        x: &View<'_, T>,
        points: &Points<'_>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        if self.is_move() {
            return self.run_move(&x.bits(), points, &mut out.bits());
        }
        let run = Forward::new(self, T::sum_codec(self.rounding), x, points, out);
        run.each(|units| run.blend(units))
    }

    /// Copies the elements nearest to the points, of any type.
    ///
    /// # Errors
    /// As [`GridPlan::forward`].
    pub fn run_move<T>(&self, x: &View<'_, T>, points: &Points<'_>, out: &mut ViewMut<'_, T>) -> Result<()>
    where
        T: Copy + Default + Send + Sync + 'static,
    {
        let run = Forward::new(self, Plain::<T>::default(), x, points, out);
        run.each(|units| run.pick(units))
    }
}

struct Forward<'a, C: Codec> {
    plan: &'a GridPlan,
    codec: C,
    points: Located,
    x: Grid<*const C::Stored>,
    out: Grid<*mut C::Stored>,
    runs: Runs,
    /// Blocks of each batch.
    blocks: usize,
}

impl<'a, C: Codec> Forward<'a, C> {
    fn new(
        plan: &'a GridPlan,
        codec: C,
        x: &View<'_, C::Stored>,
        points: &Points<'_>,
        out: &mut ViewMut<'_, C::Stored>,
    ) -> Self {
        let mut points = plan.located(points);
        let (x, mut out) = plan.canonical((x.ptr, (x.shape, x.strides)), (out.ptr, (out.shape, out.strides)));
        out.decide_streaming();
        if points.is_flat() && out.spatial_is_flat() {
            points.flatten();
            out.flatten_spatial();
        }
        let batches = plan.batches();
        let blocks = x.blocks() / batches.max(1);
        let runs = Runs::new(out.spatial, batches, plan.corners(), plan.plane_bytes(&x, blocks));
        // Only whole cache lines are worth streaming.
        out.streamed &= out.inner == 1 && (runs.run * size_of::<C::Stored>()).is_multiple_of(CACHE_LINE);
        Self { plan, codec, points, x, out, runs, blocks }
    }

    fn each(&self, work: impl Fn(Range<usize>) -> Result<()> + Sync) -> Result<()> {
        if self.plan.out_shape.contains(&0) {
            return Ok(());
        }
        let each = self.blocks.saturating_mul(self.x.inner).saturating_add(4);
        let cost = (self.runs.run * self.plan.corners()).saturating_mul(each);
        parallel::for_each(self.plan.batches() * self.runs.of_batch(), cost, work)
    }

    /// Where a unit's points and results are; its batch.
    fn at(&self, unit: usize) -> (At, Range<usize>) {
        self.runs.at(unit / self.runs.of_batch(), unit % self.runs.of_batch())
    }

    /// Points whose channels are computed at once, if each needs room for so many elements.
    fn some(&self, elements: usize) -> usize {
        (LINE / elements.max(1)).clamp(1, self.runs.run)
    }
}

/// Memory for `n` elements of a type without a default: copies of one.
pub(super) fn filled<T: Copy>(n: usize, value: T) -> Result<Vec<T>> {
    let mut v = reserved(n)?;
    v.resize(n, value);
    Ok(v)
}

impl<C: Codec<Computed: Wide>> Forward<'_, C> {
    fn blend(&self, units: Range<usize>) -> Result<()> {
        let mut work = Blending::new(self)?;
        for unit in units {
            let (at, cols) = self.at(unit);
            work.reading.locate(at, &cols);
            work.reading.weigh(&mut work.weights);
            work.reading.mark(&mut work.places);
            let blocks = at.block * self.blocks..(at.block + 1) * self.blocks;
            if self.x.inner > 1 {
                blocks.for_each(|block| work.channels(At { block, ..at }, &cols));
            } else {
                blocks.for_each(|block| work.plane(At { block, ..at }, &cols));
            }
        }
        Ok(())
    }
}

/// A thread's scratch for weighted sums.
struct Blending<'a, C: Codec> {
    run: &'a Forward<'a, C>,
    reading: Reading<'a>,
    places: Places<'a, C::Stored>,
    weights: Room<C::Computed>,
    /// Results of one block.
    line: Room<C::Computed>,
    /// Elements that are stored in another type than is computed with.
    stored: Vec<C::Stored>,
    gathered: Room<C::Computed>,
}

impl<'a, C: Codec<Computed: Wide>> Blending<'a, C> {
    fn new(run: &'a Forward<'a, C>) -> Result<Self> {
        let (plan, most, inner) = (run.plan, run.runs.run, run.x.inner);
        let corners = plan.corners();
        let places = Places::new(&run.x, plan.rank, plan.filter.taps(), most)?;
        let (line, gathered) = if inner > 1 {
            (run.some(inner) * inner, run.some(inner * corners) * inner * corners)
        } else {
            (most, most * corners)
        };
        let gathered = if C::SAME { 0 } else { gathered };
        Ok(Self {
            run,
            reading: Reading::new(plan, &run.points, most, false)?,
            weights: scratch(corners * most)?,
            line: scratch(line)?,
            stored: filled(gathered, places.of_block(0).get(0))?,
            gathered: scratch(gathered)?,
            places,
        })
    }

    /// The points of a run in one plane.
    fn plane(&mut self, at: At, cols: &Range<usize>) {
        let Self { run: Forward { codec, out, .. }, reading: Reading { n, run, .. }, weights, .. } = self;
        let (run, block, line) = (*run, self.places.of_block(at.block), &mut self.line[..*n]);
        if let Some(block) = block.computed::<C>() {
            simd::dispatch(Blend { block, weights, run, line: &mut *line });
        } else {
            bring(*codec, &block, run, *n, (&mut self.stored, &mut self.gathered));
            simd::dispatch(BlendGathered { values: &self.gathered, weights, run, line: &mut *line });
        }
        out.store_from(*codec, at, cols, line);
    }

    /// All channels, side by side.
    fn channels(&mut self, at: At, cols: &Range<usize>) {
        let Forward { codec, out, x, plan, .. } = self.run;
        let (n, run, weights, inner) = (self.reading.n, self.reading.run, &self.weights, x.inner);
        let block = self.places.of_block(at.block);
        let some = self.run.some(if C::SAME { inner } else { inner * plan.corners() });
        for first in (0..n).step_by(some) {
            let points = first..(first + some).min(n);
            let line = &mut self.line[..points.len() * inner];
            if let Some(block) = block.computed::<C>() {
                let source = Lying { block, run };
                simd::dispatch(BlendChannels { source, weights, run, first, inner, line: &mut *line });
            } else {
                let size = gather(&block, run, plan.corners(), &points, inner, &mut self.stored);
                let values = &mut self.gathered[..size];
                widen(*codec, &mut self.stored[..size], values);
                let source = Gathered { values: as_cells(values), first, n: points.len(), inner };
                simd::dispatch(BlendChannels { source, weights, run, first, inner, line: &mut *line });
            }
            out.store_from(*codec, at, &(cols.start + points.start..cols.start + points.end), line);
        }
    }
}

/// Brings the elements that `n` points read, as what is computed with: for each corner in turn, `run` apart.
pub(super) fn bring<C: Codec>(
    codec: C,
    block: &Block<'_, C::Stored>,
    run: usize,
    n: usize,
    (stored, to): (&mut [C::Stored], &mut [C::Computed]),
) {
    for (k, to) in stored.chunks_exact_mut(run).enumerate() {
        for (i, to) in to[..n].iter_mut().enumerate() {
            *to = block.get(k * run + i);
        }
    }
    widen(codec, stored, to);
}

/// Brings the channels that some points read side by side: for each corner in turn, those of every point. Returns how
/// many elements there are.
pub(super) fn gather<T: Copy>(
    block: &Block<'_, T>,
    run: usize,
    corners: usize,
    points: &Range<usize>,
    inner: usize,
    to: &mut [T],
) -> usize {
    for k in 0..corners {
        let to = to[k * points.len() * inner..].chunks_exact_mut(inner);
        for (i, to) in points.clone().zip(to) {
            to.iter_mut().zip(block.row(k * run + i)).for_each(|(to, v)| *to = v.get());
        }
    }
    corners * points.len() * inner
}

/// The channels that points from `first` on read; zeros where a weight is 0.
fn pick_channels<T: Copy + Default>(from: &Block<'_, T>, first: usize, weights: &[f32], inner: usize, line: &mut [T]) {
    for (i, (&w, to)) in weights.iter().zip(line.chunks_exact_mut(inner)).enumerate() {
        if w == 0.0 {
            to.fill(T::default());
        } else {
            to.iter_mut().zip(from.row(first + i)).for_each(|(to, v)| *to = v.get());
        }
    }
}

impl<T: Copy + Default + Send + Sync + 'static> Forward<'_, Plain<T>> {
    /// The elements nearest to points; zeros outside.
    fn pick(&self, units: Range<usize>) -> Result<()> {
        let (plan, run, inner) = (self.plan, self.runs.run, self.x.inner);
        let mut reading = Reading::new(plan, &self.points, run, false)?;
        let mut places = Places::new(&self.x, plan.rank, 1, run)?;
        let mut weights = scratch::<f32>(run)?;
        let some = self.some(inner);
        let mut line = scratch::<T>(some * inner)?;
        for unit in units {
            let (at, cols) = self.at(unit);
            reading.locate(at, &cols);
            reading.weigh(&mut weights);
            reading.mark(&mut places);
            for block in at.block * self.blocks..(at.block + 1) * self.blocks {
                let (at, from) = (At { block, ..at }, places.of_block(block));
                if inner == 1 {
                    let line = &mut line[..reading.n];
                    simd::dispatch(Pick { block: from, weights: &weights, line: &mut *line });
                    self.out.store_from(self.codec, at, &cols, line);
                    continue;
                }
                for first in (0..reading.n).step_by(some) {
                    let points = first..(first + some).min(reading.n);
                    let line = &mut line[..points.len() * inner];
                    pick_channels(&from, first, &weights[points.clone()], inner, line);
                    let cols = cols.start + points.start..cols.start + points.end;
                    self.out.store_from(self.codec, at, &cols, line);
                }
            }
        }
        Ok(())
    }
}
