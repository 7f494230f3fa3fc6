//! Sampling at points, forward: run after run of points, each in all the blocks of its batch.

use std::ops::Range;

use crate::element::{Codec, Linear, Plain};
use crate::engine::parallel;
use crate::engine::places::{Blocks, Places};
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{At, as_cells, widen};
use crate::engine::simd;
use crate::error::Result;
use crate::geometry::taps::reserved;
use crate::kernels::grid::{Blend, BlendChannels, BlendGathered, Gathered, Lying, RUN, Wide};
use crate::layout::{CACHE_LINE, Grid, View, ViewMut};
use crate::ops::grid::{GridPlan, Located, Points, Reading, Runs};

/// Blocks read at once: what a point reads is looked up once for all of them.
pub(super) const TOGETHER: usize = 4;

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
        let runs = Runs::new(out.spatial, batches, plan.corners());
        let blocks = x.blocks() / batches.max(1);
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

/// Neighbouring blocks from `first` on.
pub(super) fn neighbours<const G: usize>(first: usize) -> [usize; G] {
    let mut blocks = [first; G];
    blocks.iter_mut().enumerate().for_each(|(g, block)| *block += g);
    blocks
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
                work.planes(blocks, at, &cols);
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
    /// Results of some blocks.
    lines: [[C::Computed; RUN]; TOGETHER],
    /// Results of one block with channels inside.
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
            (0, most * corners)
        };
        let gathered = if C::SAME { 0 } else { gathered };
        Ok(Self {
            run,
            reading: Reading::new(plan, &run.points, most, false)?,
            weights: scratch(corners * most)?,
            lines: [[C::Computed::default(); RUN]; TOGETHER],
            line: scratch(line)?,
            stored: filled(gathered, places.of_blocks([0], 0).get(0)[0])?,
            gathered: scratch(gathered)?,
            places,
        })
    }

    /// The points of a run in planes, some of them at once.
    fn planes(&mut self, blocks: Range<usize>, at: At, cols: &Range<usize>) {
        if !C::SAME {
            blocks.for_each(|block| self.gathered(At { block, ..at }, cols));
            return;
        }
        let whole = blocks.len() / TOGETHER * TOGETHER;
        for first in blocks.clone().take(whole).step_by(TOGETHER) {
            self.lying::<TOGETHER>(At { block: first, ..at }, cols);
        }
        blocks.skip(whole).for_each(|block| self.lying::<1>(At { block, ..at }, cols));
    }

    /// Some planes where they lie.
    fn lying<const G: usize>(&mut self, at: At, cols: &Range<usize>) {
        let Self { run: Forward { codec, out, .. }, reading: Reading { n, run, .. }, weights, .. } = self;
        let blocks = self.places.of_blocks(neighbours::<G>(at.block), 0).computed::<C>();
        let (Some(blocks), Some(lines)) = (blocks, self.lines.first_chunk_mut::<G>()) else { return };
        simd::dispatch(Blend { blocks, weights, n: *n, run: *run, lines: &mut *lines });
        for (g, line) in lines.iter_mut().enumerate() {
            out.store_from(*codec, At { block: at.block + g, ..at }, cols, &mut line[..*n]);
        }
    }

    /// One plane, its elements converted first.
    fn gathered(&mut self, at: At, cols: &Range<usize>) {
        let Self { run: Forward { codec, out, .. }, reading: Reading { n, run, .. }, weights, .. } = self;
        let block = self.places.of_blocks([at.block], 0);
        for (k, to) in self.stored.chunks_exact_mut(*run).enumerate() {
            for (i, to) in to[..*n].iter_mut().enumerate() {
                *to = block.get(k * *run + i)[0];
            }
        }
        widen(*codec, &mut self.stored, &mut self.gathered);
        let line = &mut self.lines[0][..*n];
        simd::dispatch(BlendGathered { values: &self.gathered, weights, run: *run, line: &mut *line });
        out.store_from(*codec, at, cols, line);
    }

    /// All channels, side by side.
    fn channels(&mut self, at: At, cols: &Range<usize>) {
        let Forward { codec, out, x, plan, .. } = self.run;
        let (n, run, weights, inner) = (self.reading.n, self.reading.run, &self.weights, x.inner);
        let block = self.places.of_blocks([at.block], 0);
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

/// Brings the channels that some points read side by side: for each corner in turn, those of every point. Returns how
/// many elements there are.
pub(super) fn gather<T: Copy>(
    block: &Blocks<'_, T, 1>,
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
fn pick_channels<T: Copy + Default>(
    from: &Blocks<'_, T, 1>,
    first: usize,
    weights: &[f32],
    inner: usize,
    line: &mut [T],
) {
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
                let (at, from) = (At { block, ..at }, places.of_blocks([block], 0));
                for first in (0..reading.n).step_by(some) {
                    let points = first..(first + some).min(reading.n);
                    let line = &mut line[..points.len() * inner];
                    let weights = &weights[points.clone()];
                    if inner > 1 {
                        pick_channels(&from, first, weights, inner, line);
                    } else {
                        for ((i, &w), to) in points.clone().zip(weights).zip(line.iter_mut()) {
                            *to = if w == 0.0 { T::default() } else { from.get(i)[0] };
                        }
                    }
                    let cols = cols.start + points.start..cols.start + points.end;
                    self.out.store_from(self.codec, at, &cols, line);
                }
            }
        }
        Ok(())
    }
}
