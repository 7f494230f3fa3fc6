//! Regions of interest, backward: the images are cut into tiles, and every tile takes, box after box, what boxes have
//! for it. No element is written by two threads, and sums are taken in the order of the boxes. Channels are computed
//! side by side.
//!
//! A mean's gradient goes back the way it came: across a row of bins to the columns they took, and from there down to
//! the rows. A maximum's goes to the one element it was, which is looked for again.

use std::ops::Range;

use crate::element::{Linear, Real, Rounding};
use crate::engine::parallel;
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{At, Readable, Writable, as_cells};
use crate::engine::simd;
use crate::error::Result;
use crate::geometry::taps::{append, reserved};
use crate::kernels::roi::{Across, Bins, Lanes, Peak, Run, Sum};
use crate::kernels::roi_gradient::{Locate, NOWHERE, Number, Spread};
use crate::layout::{Grid, View, ViewMut};
use crate::ops::roi::{RoiMode, RoiPlan};
use crate::ops::roi_sides::{Reader, Sides, Whole};

/// Elements of a tile of sums, all its channels included: it stays in the L2 cache.
const TILE: usize = 64 << 10;
/// Most planes that are computed side by side.
const MOST: usize = 32;
/// Gradients read at once, unless a row of bins has more.
const LINE: usize = 4096;
/// Elements of rows of gradients, spread to columns, that are held at once.
const FOLDED: usize = 32 << 10;

impl RoiPlan {
    /// The gradient of `RoiAlign`; `x` is needed for maxima only.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn align_backward<T: Linear>(
        &self,
        grad: &View<'_, T>,
        x: Option<&View<'_, T>>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        match (self.mode, x) {
            (RoiMode::Maximum, Some(x)) => self.pool_backward(grad, x, out),
            _ => self.backward::<T>(grad, None, out),
        }
    }

    /// The gradient of `RoiPool`.
    ///
    /// # Errors
    /// As [`RoiPlan::align_backward`].
    pub fn pool_backward<T: Linear>(
        &self,
        grad: &View<'_, T>,
        x: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        self.backward(grad, Some(x), out)
    }

    fn backward<T: Linear>(&self, grad: &View<'_, T>, x: Option<&View<'_, T>>, out: &mut ViewMut<'_, T>) -> Result<()> {
        if self.in_shape.contains(&0) {
            return Ok(());
        }
        let inside = self.side_by_side(grad);
        let (grad, out) = (self.reading(grad, inside), self.writing(out, inside));
        let x = x.map(|x| self.reading(x, inside));
        let flat = grad.spatial_is_flat().then(|| {
            let mut flat = grad.clone();
            flat.flatten_spatial();
            flat
        });
        let (order, tiles) = (self.order()?, self.tiles(&out));
        let codec = T::sum_codec(Rounding::Nearest);
        let (grad, flat, out) = ((codec, grad), flat.map(|flat| (codec, flat)), (codec, out));
        let x = x.map(|x| (codec, x));
        Backward::<T::Sum> {
            plan: self,
            grad: &grad,
            flat: flat.as_ref().map(|flat| flat as &dyn Readable<T::Sum>),
            x: x.as_ref().map(|x| x as &dyn Readable<T::Sum>),
            out: &out,
            tiles,
            order,
        }
        .run()
    }

    /// How images are cut.
    fn tiles<T>(&self, out: &Grid<*mut T>) -> Tiles {
        let ([height, width], planes) = (self.lens, out.spatial[0]);
        let groups = planes.div_ceil((TILE / height.saturating_mul(width)).clamp(MOST / 4, MOST));
        let together = planes.div_ceil(groups);
        let channels = together * out.inner;
        let cols = (TILE / channels).clamp(1, width);
        let rows = (TILE / (cols * channels)).clamp(1, height);
        Tiles { rows, cols, together, channels, groups, down: height.div_ceil(rows), across: width.div_ceil(cols) }
    }
}

/// How images are cut.
#[derive(Clone, Copy)]
struct Tiles {
    rows: usize,
    cols: usize,
    /// Planes of a tile, and channels: one for each plane, or those that lie inside.
    together: usize,
    channels: usize,
    /// Tiles along each axis.
    groups: usize,
    down: usize,
    across: usize,
}

struct Backward<'a, S> {
    plan: &'a RoiPlan,
    grad: &'a dyn Readable<S>,
    /// `grad` with all spatial axes as one, if they can be.
    flat: Option<&'a dyn Readable<S>>,
    x: Option<&'a dyn Readable<S>>,
    out: &'a dyn Writable<S>,
    tiles: Tiles,
    order: Vec<usize>,
}

/// Part of some planes of an image, and its sums.
struct Tile<'s, V> {
    rows: Range<usize>,
    cols: Range<usize>,
    planes: Range<usize>,
    /// Channels of each element, side by side.
    inner: usize,
    sums: &'s mut [V],
}

impl<V> Tile<'_, V> {
    /// Where the tile holds an element.
    fn find(&self, h: usize, w: usize) -> Option<usize> {
        let inside = self.rows.contains(&h) && self.cols.contains(&w);
        inside.then(|| ((h - self.rows.start) * self.cols.len() + w - self.cols.start) * self.inner)
    }
}

fn meet(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Adds boxes' gradients to a tile.
trait Adds<S: Real> {
    /// What box `k` has for the tile.
    fn add(&mut self, k: usize, tile: &mut Tile<'_, S>) -> Result<()>;
}

impl<S: Real> Backward<'_, S> {
    fn run(&self) -> Result<()> {
        let (plan, tiles) = (self.plan, self.tiles);
        let units = plan.images * tiles.groups * tiles.down * tiles.across;
        let each = (plan.mean_area().saturating_mul(plan.boxes.len()) / units).saturating_add(tiles.rows * tiles.cols);
        let numbers_are_short = plan.lens[0].checked_mul(plan.lens[1]).is_some_and(|n| u32::try_from(n).is_ok());
        parallel::for_each(units, each.saturating_mul(tiles.channels), |units| match self.x {
            None => self.units(units, Means::new(self)?),
            Some(x) if numbers_are_short => self.units(units, Maxima::<S, u32>::new(self, x)?),
            Some(x) => self.units(units, Maxima::<S, u64>::new(self, x)?),
        })
    }

    fn units(&self, units: Range<usize>, mut work: impl Adds<S>) -> Result<()> {
        let Tiles { rows, cols, together, channels, groups, down, across } = self.tiles;
        let ([height, width], (out, inside)) = (self.plan.lens, self.out.lens());
        let (mut sums, mut line) = (scratch(rows * cols * channels)?, scratch(cols * inside)?);
        for unit in units {
            let (rest, tile_col) = (unit / across, unit % across);
            let (rest, tile_row) = (rest / down, rest % down);
            let (image, group) = (rest / groups, rest % groups);
            let (h, w, c) = (tile_row * rows, tile_col * cols, group * together);
            let (rows, cols) = (h..(h + rows).min(height), w..(w + cols).min(width));
            let planes = c..(c + together).min(out[0]);
            let inner = planes.len() * inside;
            let sums = &mut sums[..rows.len() * cols.len() * inner];
            sums.fill(S::default());
            let mut tile = Tile { rows, cols, planes, inner, sums };
            for &k in &self.order[self.plan.boxes_of(image, &self.order)] {
                work.add(k, &mut tile)?;
            }
            self.store(image, &mut tile, &mut line);
        }
        Ok(())
    }

    fn store(&self, block: usize, tile: &mut Tile<'_, S>, line: &mut [S]) {
        let rows = tile.rows.clone().zip(tile.sums.chunks_exact_mut(tile.cols.len() * tile.inner));
        for (h, row) in rows {
            if tile.planes.len() == 1 {
                self.out.write(At { block, d: tile.planes.start, h }, &tile.cols, row);
                continue;
            }
            for (i, d) in tile.planes.clone().enumerate() {
                line.iter_mut().zip(row[i..].iter().step_by(tile.inner)).for_each(|(to, from)| *to = *from);
                self.out.write(At { block, d, h }, &tile.cols, line);
            }
        }
    }
}

/// Reads gradients of bins.
struct Gradients<'a, S: Real> {
    run: &'a Backward<'a, S>,
    reader: Reader<'a, S>,
    one: Room<S>,
    /// The gradients, channels side by side.
    held: Room<S>,
}

impl<'a, S: Real> Gradients<'a, S> {
    /// For `rows` rows of bins at a time.
    fn new(run: &'a Backward<'a, S>, rows: usize) -> Result<Self> {
        let size = rows * run.plan.bins[1] * run.tiles.channels;
        let reader = Reader::new(run.grad);
        Ok(Self { run, reader, one: scratch(size)?, held: scratch(size)? })
    }

    /// Rows of bins of box `block`.
    fn read(&mut self, block: usize, planes: &Range<usize>, rows: &Range<usize>) -> Result<&[S]> {
        let ([height, width], inner) = (self.run.plan.bins, self.run.grad.lens().1);
        let size = rows.len() * width * planes.len() * inner;
        let held = &mut self.held[..size];
        match &self.run.flat {
            Some(flat) if rows.len() == height && planes.len() > 1 => {
                let cols = planes.start * height * width..planes.end * height * width;
                let row = flat.row(At { block, d: 0, h: 0 }, &cols, &mut self.one);
                for (i, plane) in row.chunks_exact(height * width).enumerate() {
                    held[i..].iter_mut().step_by(planes.len()).zip(plane).for_each(|(to, from)| *to = from.get());
                }
            }
            _ => {
                for (h, to) in rows.clone().zip(held.chunks_exact_mut(width * planes.len() * inner)) {
                    self.reader.gather(block, planes, h, &(0..width), to)?;
                }
            }
        }
        Ok(held)
    }
}

/// What columns take from bins: the columns' side of a box, transposed.
#[derive(Default)]
struct Transposed<V> {
    /// Bins, for each column in turn, ascending.
    places: Vec<usize>,
    weights: Vec<V>,
    spans: Vec<(usize, usize)>,
    zeros: Vec<bool>,
}

impl<V: Copy + Default> Transposed<V> {
    /// Transposes `bins`; `columns` says which of `n` columns each of their places is.
    fn set(&mut self, bins: &Bins<'_, V>, columns: &[usize], n: usize) -> Result<()> {
        self.spans.clear();
        append(&mut self.spans, std::iter::repeat_n((0, 0), n))?;
        self.zeros.clear();
        append(&mut self.zeros, std::iter::repeat_n(false, n))?;
        bins.places.iter().for_each(|&p| self.spans[columns[p]].1 += 1);
        let mut start = 0;
        for span in &mut self.spans {
            let count = span.1;
            *span = (start, start);
            start += count;
        }
        self.places.clear();
        append(&mut self.places, std::iter::repeat_n(0, start))?;
        self.weights.clear();
        append(&mut self.weights, std::iter::repeat_n(V::default(), start))?;
        for o in 0..bins.spans.len() {
            let (places, weights) = bins.at(o);
            for (&p, &w) in places.iter().zip(weights) {
                let end = &mut self.spans[columns[p]].1;
                (self.places[*end], self.weights[*end]) = (o, w);
                *end += 1;
            }
        }
        Ok(())
    }

    fn bins(&self) -> Bins<'_, V> {
        Bins { places: &self.places, weights: &self.weights, spans: &self.spans, zeros: &self.zeros }
    }
}

/// Gradients of means.
struct Means<'a, S: Real> {
    plan: &'a RoiPlan,
    grads: Gradients<'a, S>,
    sides: Sides<Sum<S>>,
    transposed: Transposed<S>,
    /// Bins along W, by number.
    numbers: Vec<usize>,
    /// Where the tile holds the rows that are taken, and the columns.
    starts: Vec<usize>,
    runs: Vec<Run>,
    folded: Room<S>,
    /// For each row of bins read together: it read no zeros that matter.
    zeros: Vec<bool>,
}

impl<'a, S: Real> Means<'a, S> {
    fn new(run: &'a Backward<'a, S>) -> Result<Self> {
        let [height, width] = run.plan.bins;
        let rows = (LINE / (width * run.tiles.channels)).clamp(1, height);
        let mut numbers = reserved(width)?;
        numbers.extend(0..width);
        Ok(Self {
            plan: run.plan,
            grads: Gradients::new(run, rows)?,
            sides: Sides::default(),
            transposed: Transposed::default(),
            numbers,
            starts: Vec::new(),
            runs: Vec::new(),
            folded: Room::default(),
            zeros: vec![false; rows],
        })
    }

    /// Where the tile holds what the sides take.
    fn place(&mut self, tile: &Tile<'_, S>) -> Result<()> {
        let (inner, row) = (tile.inner, tile.cols.len() * tile.inner);
        let start = |h: &usize| if tile.rows.contains(h) { (h - tile.rows.start) * row } else { NOWHERE };
        self.starts.clear();
        append(&mut self.starts, self.sides.y.used.iter().map(start))?;
        self.runs.clear();
        for run in &self.sides.runs {
            let start = self.sides.cols.start + run.from / inner;
            let (low, high) = (start.max(tile.cols.start), (start + run.len / inner).min(tile.cols.end));
            if low < high {
                let met = Run {
                    from: run.to + (low - start) * inner,
                    to: (low - tile.cols.start) * inner,
                    len: (high - low) * inner,
                };
                append(&mut self.runs, [met])?;
            }
        }
        Ok(())
    }
}

impl<S: Real> Adds<S> for Means<'_, S> {
    fn add(&mut self, k: usize, tile: &mut Tile<'_, S>) -> Result<()> {
        let (plan, inner) = (self.plan, tile.inner);
        let roi = &plan.boxes[k];
        if !self.sides.set_rows(plan, roi)? || !meet(&self.sides.y.extent(), &tile.rows) {
            return Ok(());
        }
        if !self.sides.set_columns(plan, roi, inner)? || !meet(&self.sides.x.extent(), &tile.cols) {
            return Ok(());
        }
        self.place(tile)?;
        self.transposed.set(&self.sides.x_bins(), &self.sides.columns, self.sides.width / inner)?;
        let (bins, width) = (plan.bins[1] * inner, self.sides.width);
        let group = (FOLDED / width).clamp(1, self.zeros.len());
        if self.folded.len() < group * width {
            self.folded = scratch(group * width)?;
        }
        let meeting = self.sides.bins_meeting(&tile.rows);
        for first in meeting.clone().step_by(group) {
            let which = first..(first + group).min(meeting.end);
            let n = which.len();
            simd::dispatch(Across::<Sum<S>> {
                bins: self.transposed.bins(),
                columns: &self.numbers,
                lanes: &Lanes::default(),
                zeros: &self.zeros[..n],
                src: self.grads.read(k, &tile.planes, &which)?,
                width: bins,
                inner,
                dst: &mut self.folded[..n * width],
            });
            simd::dispatch(Spread {
                bins: self.sides.y_bins(),
                which,
                rows: &self.starts,
                runs: &self.runs,
                src: &self.folded[..n * width],
                width,
                acc: &mut *tile.sums,
            });
        }
        Ok(())
    }
}

/// Gradients of maxima.
struct Maxima<'a, S: Real, N> {
    plan: &'a RoiPlan,
    grads: Gradients<'a, S>,
    reader: Reader<'a, S>,
    /// Planes of an image side by side, if that is worth it, and which.
    gathered: Room<S>,
    held: Option<(usize, usize)>,
    gathers: bool,
    sides: Sides<Peak<S>>,
    /// Where each place along W begins in a row that is read, in columns.
    columns: Vec<usize>,
    values: Room<S>,
    which: Room<N>,
}

impl<'a, S: Real, N: Number> Maxima<'a, S, N> {
    fn new(run: &'a Backward<'a, S>, x: &'a dyn Readable<S>) -> Result<Self> {
        let row = run.plan.bins[1] * run.tiles.channels;
        Ok(Self {
            plan: run.plan,
            grads: Gradients::new(run, 1)?,
            reader: Reader::new(x),
            gathered: Room::default(),
            held: None,
            gathers: run.plan.worth_gathering(size_of::<S>(), x.lens().0[0]).is_some(),
            sides: Sides::default(),
            columns: Vec::new(),
            values: scratch(row)?,
            which: scratch(row)?,
        })
    }

    /// Brings planes of an image side by side, unless they are.
    fn gather(&mut self, image: usize, planes: &Range<usize>) -> Result<()> {
        if self.held == Some((image, planes.start)) {
            return Ok(());
        }
        let ([height, width], row) = (self.plan.lens, self.plan.lens[1] * planes.len());
        if self.gathered.len() < height * row {
            self.gathered = scratch(height * row)?;
        }
        for (h, to) in self.gathered.chunks_exact_mut(row).take(height).enumerate() {
            self.reader.gather(image, planes, h, &(0..width), to)?;
        }
        self.held = Some((image, planes.start));
        Ok(())
    }

    /// Finds the maxima of row `bin` of bins of an image.
    fn locate(&mut self, whole: Option<Whole<'_, S>>, at: (usize, &Range<usize>), bin: usize) -> Result<()> {
        let Self { plan, reader, sides, columns, values, which, .. } = self;
        let (inner, used, across) = (sides.inner, &sides.y.used, sides.x_bins());
        let row = plan.bins[1] * inner;
        let (values, which, bins) = (&mut values[..row], &mut which[..row], sides.y_bins());
        if let Some(whole) = whole {
            let (src, window) = (whole.held(used, sides.cols.start * inner), 0..used.len());
            simd::dispatch(Locate { src, window, bins, bin, across, columns, inner, values, which });
            return Ok(());
        }
        let places = sides.places(&(bin..bin + 1));
        let mut next = places.start;
        while next < places.end {
            let (src, window) = reader.pack(sides, at, next)?;
            next = window.end;
            let (columns, values, which) = (&sides.columns, &mut *values, &mut *which);
            simd::dispatch(Locate { src, window, bins, bin, across, columns, inner, values, which });
        }
        Ok(())
    }

    /// Adds the gradients of row `bin` of bins to the elements of the tile that they chose.
    fn scatter(&mut self, k: usize, bin: usize, tile: &mut Tile<'_, S>) -> Result<()> {
        let Self { sides, values, which, grads, .. } = self;
        let (inner, zero) = (tile.inner, S::default());
        let grads = grads.read(k, &tile.planes, &(bin..bin + 1))?;
        let (rows, downs) = sides.y_bins().at(bin);
        let all = grads.chunks_exact(inner).zip(values.chunks_exact(inner)).zip(which.chunks_exact(inner));
        for (o, ((grads, values), which)) in all.enumerate() {
            let (columns, acrosses) = sides.x_bins().at(o);
            let has_zero = sides.y.zeros[bin] | sides.x.zeros[o];
            if columns.is_empty() {
                continue;
            }
            for (c, ((&g, &value), which)) in grads.iter().zip(values).zip(which).enumerate() {
                if has_zero && zero > value {
                    continue;
                }
                let (i, j) = which.split(columns.len());
                let Some(at) = tile.find(sides.y.used[rows[i]], sides.x.used[columns[j]]) else { continue };
                let (down, across) = (downs[i], acrosses[j]);
                let weight = if value >= zero { S::mul(down.0, across.0) } else { S::mul(down.1, across.1) };
                tile.sums[at + c] = S::add(tile.sums[at + c], S::mul(weight, g));
            }
        }
        Ok(())
    }
}

impl<S: Real, N: Number> Adds<S> for Maxima<'_, S, N> {
    fn add(&mut self, k: usize, tile: &mut Tile<'_, S>) -> Result<()> {
        let (plan, inner) = (self.plan, tile.inner);
        let roi = &plan.boxes[k];
        if !self.sides.set_rows(plan, roi)? || !meet(&self.sides.y.extent(), &tile.rows) {
            return Ok(());
        }
        if !self.sides.set_columns(plan, roi, inner)? || !meet(&self.sides.x.extent(), &tile.cols) {
            return Ok(());
        }
        self.reader.restart();
        self.columns.clear();
        append(&mut self.columns, self.sides.x.used.iter().map(|w| w - self.sides.cols.start))?;
        let (mut none, mut gathered) = (Room::default(), Room::default());
        let whole = if tile.planes.len() == 1 {
            let rows = self.reader.lying(roi.image, &self.sides.cols, &mut none)?;
            rows.map(|rows| Whole::Lying(rows, tile.planes.start))
        } else if self.gathers {
            self.gather(roi.image, &tile.planes)?;
            gathered = std::mem::take(&mut self.gathered);
            Some(Whole::Gathered(as_cells(&mut gathered), plan.lens[1] * inner))
        } else {
            None
        };
        for bin in self.sides.bins_meeting(&tile.rows) {
            if !self.sides.places(&(bin..bin + 1)).is_empty() {
                self.locate(whole, (roi.image, &tile.planes), bin)?;
                self.scatter(k, bin, tile)?;
            }
        }
        if !gathered.is_empty() {
            self.gathered = gathered;
        }
        Ok(())
    }
}
