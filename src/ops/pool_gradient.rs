//! The gradient of average pooling, and what the gradients of all poolings check.
//!
//! Every window's gradient, divided as the forward divides, is a share that goes to each element of the window; so an
//! element gathers the sum of the shares of its readers, the windows that read it. That is a pooling again, by sums,
//! whose windows are the runs of readers.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::pool::{Divisor, Mean, PoolPlan};
use crate::element::{Linear, Real, Rounding};
use crate::engine::pipeline::{self, InRow, Kernel, OutRow, OutRows, Through, Way};
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{List, RowsMut, as_cells, as_uninit};
use crate::engine::simd::Level;
use crate::error::{Error, Result, Shape};
use crate::geometry::Reach;
use crate::geometry::bins::Bins;
use crate::geometry::readers::{Blocks, Readers};
use crate::geometry::taps::{Period, Taps, reserved};
use crate::kernels::pool_gradient::long_sums;
use crate::kernels::reduce::{self, RowWindows, Span, Sum};
use crate::kernels::resample::{self, Weighted};
use crate::layout::{Axes, Grid, View, ViewMut, simplify};
use crate::ops::planes::side_by_side;

/// Refuses divisors below 1: a negative one would silently turn the averages' signs.
///
/// # Errors
/// Names it.
pub fn check_divisor(divisor: Divisor) -> Result<()> {
    match divisor {
        Divisor::Fixed(n) if n.is_nan() || n < 1.0 => {
            Err(Error::value(format!("divisor_override = {n}: must be at least 1")))
        }
        _ => Ok(()),
    }
}

/// Refuses an exponent that makes no norm.
///
/// # Errors
/// Names it.
pub fn check_exponent(p: f64) -> Result<()> {
    if p > 0.0 {
        return Ok(());
    }
    Err(Error::value(format!("norm_type = {p}: must be above 0, infinity included")))
}

/// Refuses a gradient that has not the shape of the forward's result.
///
/// # Errors
/// Names both shapes.
pub fn check_gradient(plan: &PoolPlan, grad: &[usize]) -> Result<()> {
    if grad != plan.out_shape {
        return Err(Error::value(format!("grad_output.shape = {}: must be {}", Shape(grad), Shape(&plan.out_shape))));
    }
    Ok(())
}

/// The adaptive pooling of an input of this shape whose result, and so whose gradient, has that of `grad`.
///
/// # Errors
/// Names the shape that does not fit.
pub fn adaptive_gradient_plan(
    grad: &[usize],
    input: &[usize],
    itemsize: usize,
    rank: usize,
    channels_last: bool,
) -> Result<PoolPlan> {
    let axes = Axes::new(input.len(), rank, channels_last)?;
    if grad.len() != input.len() || axes.spatial(grad).contains(&0) {
        return Err(Error::value(format!(
            "grad_output.shape = {}: must have {} axes, as input_size, and at least 1 element along each spatial one",
            Shape(grad),
            input.len()
        )));
    }
    let lens: Vec<_> = axes.spatial(grad)[3 - rank..].iter().copied().map(Some).collect();
    let plan = PoolPlan::adaptive(input, itemsize, &lens, channels_last)?;
    check_gradient(&plan, grad)?;
    Ok(plan)
}

/// Longest rows of which many planes are better side by side: see [`side_by_side`].
const NARROW: usize = 40;

/// Longest runs along a row that are summed one by one, where windows are more than one element apart; longer ones are
/// put together from blocks, which takes as long as a run of some eight.
const SHORT: usize = 8;

/// Rows of a run from which on they are folded by blocks.
const SCAN: usize = 4;

/// Most rows of a run to keep.
const MOST_ROWS: usize = 2048;

impl PoolPlan {
    /// The gradient of [`PoolPlan::means`] by its input, for the gradient of its result.
    ///
    /// # Errors
    /// If a table or scratch cannot be allocated, or the caller interrupts.
    pub fn means_gradient<T: Linear>(
        &self,
        grad: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
        divisor: Divisor,
    ) -> Result<()> {
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        let (mut grad, mut out) = (grad.grid_of(self.axes()), out.grid_of(self.axes()));
        simplify(&mut grad, &mut [&mut out]);
        if side_by_side(&grad.bare(), &[out.bare()], NARROW, &|grad, made| {
            self.share::<T>(grad.grid(), made[0].grid(), divisor)
        })? {
            return Ok(());
        }
        self.share(grad, out, divisor)
    }

    #[inline(never)] // it is called twice
    fn share<T: Linear>(&self, grad: Grid<*const T>, out: Grid<*mut T>, divisor: Divisor) -> Result<()> {
        let [d, h, w] = self.bins();
        let readers = [Readers::new(d)?, Readers::new(h)?, Readers::new(w)?];
        let sliding = readers[2].sliding(w);
        let kernel = Sharing {
            mean: Mean::new(self.bins(), divisor)?,
            sums: Sums::new(&readers[2], sliding.as_ref())?,
            way: way(&readers),
            readers,
            inner: grad.inner,
        };
        let codec = T::sum_codec(Rounding::Nearest);
        pipeline::run(&kernel, &Through { kernel: &kernel, load: codec, store: codec, x: grad, out })
    }
}

fn way([d, h, _]: &[Readers; 3]) -> Way {
    let rows = d.widest().saturating_mul(h.widest());
    let plane_by_plane = d.windows() == d.len() && d.all().iter().all(|r| r.count == 1);
    if plane_by_plane
        && (SCAN + 1..=MOST_ROWS).contains(&h.widest())
        && let Some(block) = h.scanned_by()
    {
        return Way::Scan(block, 0);
    }
    let gaps = d.have_gaps() || h.have_gaps();
    if rows > MOST_ROWS && !gaps { Way::Running } else { Way::Ring }
}

/// How shares are summed along a row.
pub(super) enum Sums<'a, K> {
    /// As a pooling does it.
    Sliding(RowWindows<'a>),
    /// One by one.
    Short { taps: Taps, ones: Vec<K>, period: Option<Period> },
    /// By blocks.
    Long(Blocks),
}

impl<'a, K: Real> Sums<'a, K> {
    /// `sliding` is [`Readers::sliding`].
    pub(super) fn new(readers: &Readers, sliding: Option<&'a Bins>) -> Result<Self> {
        if let Some(bins) = sliding {
            return Ok(Self::Sliding(RowWindows::new(bins)?));
        }
        if readers.have_gaps() || readers.widest() > SHORT {
            return Ok(Self::Long(Blocks::new(readers)?));
        }
        let taps = Taps::sums(readers.windows(), readers.all(), readers.period())?;
        let mut ones = reserved(taps.all_weights().len())?;
        ones.resize(taps.all_weights().len(), K::of(1.0));
        Ok(Self::Short { period: taps.period(), taps, ones })
    }

    /// Values of scratch that `elements` elements, which read up to `windows` windows, need.
    pub(super) fn room(&self, elements: usize, windows: usize, inner: usize) -> usize {
        match self {
            Self::Sliding(row) => reduce::across_room(row.bins, elements, inner),
            Self::Short { .. } => 0,
            Self::Long(_) => windows.saturating_mul(inner).saturating_mul(2),
        }
    }

    /// For each of the elements `cols` the sum of its readers' shares, the first of which is window `from`'s.
    #[inline(always)]
    pub(super) fn across<L: Level>(
        &self,
        level: L,
        (shares, from): (&mut [K], usize),
        (cols, inner): (&Range<usize>, usize),
        room: &mut [K],
        dst: &mut [K],
    ) {
        let dst = &mut dst[..cols.len() * inner];
        if let Self::Long(blocks) = self {
            return long_sums(blocks, shares, from, cols, inner, &mut room[..2 * shares.len()], dst);
        }
        let src = as_cells(shares);
        match self {
            Self::Sliding(row) => reduce::across::<L, K, Sum>(level, row, &Span { src, from, cols, inner }, room, dst),
            Self::Short { taps, ones, period } => {
                let taps = Weighted { taps, weights: ones, period: period.as_ref(), blocks: None };
                level.call(resample::Across {
                    taps,
                    rows: List::one(src),
                    from,
                    cols,
                    inner,
                    end: &mut [],
                    dst: as_uninit(dst),
                });
            }
            Self::Long(_) => {}
        }
    }
}

/// Each element the sum of its readers' shares.
struct Sharing<'a, K> {
    mean: Mean<K>,
    readers: [Readers; 3],
    sums: Sums<'a, K>,
    way: Way,
    inner: usize,
}

/// Scratch of a [`Sharing`].
struct Scratch<K> {
    /// A row of gradients.
    grads: Room<K>,
    /// Their shares.
    shares: Room<K>,
    /// What long runs are summed in.
    room: Room<K>,
    /// The slots of the rows that are summed.
    rows: Vec<usize>,
}

/// Most windows that read any of `tile` neighbouring elements, of those tiles that an axis is cut into.
pub(super) fn windows_of(readers: &Readers, tile: usize) -> usize {
    let n = readers.len();
    (0..n).step_by(tile.max(1)).map(|i| readers.of(i..(i + tile).min(n)).len()).max().unwrap_or(0)
}

/// Which of the rows that `reach` gives for an element, counted from 0, are rows of its readers.
pub(super) fn members(readers: &Readers, i: usize) -> impl Iterator<Item = usize> + use<> {
    let (hull, r) = (readers.hull(i), readers.at(i));
    (0..r.count).map(move |j| r.start + j * r.step - hull.start)
}

/// Sums rows, all there are, into an output row.
#[inline(always)]
pub(super) fn sum_rows<'a, L: Level, K: Real>(rows: usize, row: impl Fn(usize) -> &'a [K], dst: &mut [MaybeUninit<K>]) {
    if rows == 0 {
        dst.iter_mut().for_each(|d| _ = d.write(K::default()));
    } else {
        reduce::down::<L, K, Sum>(rows, row, dst);
    }
}

impl<K: Real> Kernel for Sharing<'_, K> {
    type Key = K;
    type Scratch = Scratch<K>;
    type Slot = Room<K>;
    type Dst<'a> = RowsMut<'a, K>;
    type Made = Room<K>;

    fn out_spatial(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.readers[a].len())
    }
    #[inline(always)]
    fn reach(&self, axis: usize, i: usize) -> Reach {
        self.readers[axis].hull(i)
    }
    fn inputs(&self, cols: Range<usize>) -> Range<usize> {
        self.readers[2].of(cols)
    }
    fn column_bytes(&self) -> usize {
        self.inner * size_of::<K>()
    }
    fn row_cost(&self) -> usize {
        let [d, h, w] = &self.readers;
        let folds = w.widest().min(16).saturating_add(d.widest().saturating_mul(h.widest()).min(16)).max(1);
        w.len().saturating_mul(self.inner).saturating_mul(folds)
    }
    fn way(&self) -> Way {
        self.way
    }
    fn scratch(&self, tile: usize) -> Result<Scratch<K>> {
        let [d, h, w] = &self.readers;
        let windows = windows_of(w, tile);
        let row = windows * self.inner;
        let rows = if d.have_gaps() || h.have_gaps() { d.widest() * h.widest() } else { 0 };
        Ok(Scratch {
            grads: scratch(row)?,
            shares: scratch(row)?,
            room: scratch(self.sums.room(tile, windows, self.inner))?,
            rows: reserved(rows)?,
        })
    }
    fn slot(&self, tile: usize) -> Result<Room<K>> {
        scratch(tile * self.inner)
    }

    #[inline(always)]
    fn across<L: Level>(
        &self,
        level: L,
        row: &InRow<'_, K>,
        cols: &Range<usize>,
        s: &mut Scratch<K>,
        slot: &mut Room<K>,
    ) {
        let n = row.cells.len();
        let (grads, shares) = (&mut s.grads[..n], &mut s.shares[..n]);
        grads.iter_mut().zip(row.cells).for_each(|(to, g)| *to = g.get());
        let windows = row.from..row.from + n / self.inner;
        self.mean.divide(
            &OutRows { d: row.d, h: row.h..row.h + 1, cols: &windows },
            self.inner,
            grads,
            as_uninit(shares),
        );
        self.sums.across(level, (shares, row.from), (cols, self.inner), &mut s.room, slot);
    }

    #[inline(always)]
    fn down<L: Level>(
        &self,
        _: L,
        to: &OutRow<'_>,
        rows: &[usize],
        slots: &[Room<K>],
        s: &mut Scratch<K>,
        dst: &mut RowsMut<'_, K>,
    ) {
        let [d, h, _] = &self.readers;
        let mut rows = rows;
        if d.at(to.d).count == 0 || h.at(to.h).count == 0 {
            rows = &[];
        } else if d.have_gaps() || h.have_gaps() {
            s.rows.clear();
            let across = h.hull(to.h).count;
            for jd in members(d, to.d) {
                s.rows.extend(members(h, to.h).map(|jh| rows[jd * across + jh]));
            }
            rows = &s.rows;
        }
        sum_rows::<L, _>(rows.len(), |j| &slots[rows[j]][..], dst.row(to.d, to.h));
    }

    #[inline(always)]
    fn absorb<L: Level>(&self, _: L, into: &mut Room<K>, later: &Room<K>) {
        reduce::absorb::<K, Sum>(into, later);
    }
}
