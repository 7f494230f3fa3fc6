//! The gradient of pooling by p-norms.
//!
//! A window with norm `y` and gradient `g` gives each of its elements `g * sign(x) * (|x| / y)^(p - 1)`. That is a factor
//! of the window's, which its elements gather as they gather the shares of an average, times a factor of the element's
//! own; neither overflows where the forward does not. The norms are computed again, for a band of rows at a time, so
//! nothing of the size of an array is kept.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::pool::PoolPlan;
use super::pool_gradient::{Sums, members, sum_rows, windows_of};
use crate::element::{Codec, Linear, Real, Ring, Rounding};
use crate::engine::parallel;
use crate::engine::room::{Room, grow};
use crate::engine::rows::{At, as_cells, as_uninit};
use crate::engine::simd::{self, Job, Level};
use crate::error::Result;
use crate::geometry::bins::Bins;
use crate::geometry::readers::Readers;
use crate::kernels::argmax::{self, Pairs};
use crate::kernels::gather;
use crate::kernels::norm::Power;
use crate::kernels::pool_gradient::{norm_shares, own_factors, slope};
use crate::kernels::reduce::{self, RowWindows, Span, Sum};
use crate::layout::{Grid, View, ViewMut, simplify};

/// Bytes of rows to aim at for a band: a share of L2.
const BAND_BYTES: usize = 512 << 10;

/// Fewest rows of a band, so that the rows of windows two bands share are few.
const BAND_ROWS: usize = 16;

/// Fewest elements of a row of a band.
const NARROWEST: usize = 64;

/// Most elements, raised to the power, to keep for a band: 2 MiB of doubles.
const MOST_KEPT: usize = 1 << 18;

impl PoolPlan {
    /// The gradient of [`PoolPlan::norms`] by its input `x`, for the gradient of its result.
    ///
    /// An element that is 0 gets nothing, nor does any of a window whose norm is 0. For an infinite `p` the first element
    /// that has the norm as its absolute value gets all.
    ///
    /// # Errors
    /// If a table or scratch cannot be allocated, or the caller interrupts.
    pub fn norms_gradient<T: Linear>(
        &self,
        grad: &View<'_, T>,
        x: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
        p: f64,
    ) -> Result<()> {
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        let axes = self.axes();
        let (mut x, mut grad, mut out) = (x.grid_of(axes), grad.grid_of(axes), out.grid_of(axes));
        simplify(&mut x, &mut [&mut grad, &mut out]);
        let [d, h, w] = self.bins();
        let readers = [Readers::new(d)?, Readers::new(h)?, Readers::new(w)?];
        let sliding = readers[2].sliding(w);
        let op = NormGradient {
            bins: self.bins(),
            row: RowWindows::new(w)?,
            sums: Sums::new(&readers[2], sliding.as_ref())?,
            all_read: readers.iter().all(|r| r.all().iter().all(|r| r.count > 0)),
            readers,
            p,
            codec: T::sum_codec(Rounding::Nearest),
            x,
            grad,
            out,
        };
        op.run()
    }
}

struct NormGradient<'a, T: Linear> {
    bins: &'a [Bins; 3],
    row: RowWindows<'a>,
    readers: [Readers; 3],
    sums: Sums<'a, T::Sum>,
    /// Whether every element has readers.
    all_read: bool,
    p: f64,
    codec: T::SumCodec,
    x: Grid<*const T>,
    grad: Grid<*const T>,
    out: Grid<*mut T>,
}

/// Rows of one plane of one block, some columns of them, and the windows and elements their gradients depend on.
struct Band {
    block: usize,
    d: usize,
    h: Range<usize>,
    cols: Range<usize>,
    /// Windows along D, H and W.
    windows: [Range<usize>; 3],
    /// Elements along D, H and W that the windows read.
    elements: [Range<usize>; 3],
}

/// Per-thread memory.
struct Memory<K> {
    /// A row as it is computed with.
    packed: Room<K>,
    /// The rows of elements, raised to the power, if they are few.
    raised: Room<K>,
    /// A row of elements that has gone down a window.
    folded: Room<K>,
    /// What windows and readers are summed in.
    room: Room<K>,
    /// A row of windows: their norms, and what they give to each element.
    norms: Room<K>,
    shares: Room<K>,
    /// For each row of windows, what the columns gather from it; for an infinite power, the gradient.
    gathered: Room<K>,
    /// Rows to be summed.
    rows: Vec<usize>,
    /// For an infinite power: flat positions of the largest elements so far, of a row, and in what they are found.
    places: [Room<i64>; 3],
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        let [packed, raised, folded, room, norms, shares, gathered] = [(); 7].map(|()| Room::default());
        let places = [(); 3].map(|()| Room::default());
        Self { packed, raised, folded, room, norms, shares, gathered, rows: Vec::new(), places }
    }
}

impl<T: Linear> NormGradient<'_, T> {
    fn run(&self) -> Result<()> {
        let ([planes, height, width], inner) = (self.out.spatial, self.out.inner);
        let [_, h, w] = &self.readers;
        let rows = h.widest().clamp(BAND_ROWS.min(height), height);
        // Rows of windows and of elements that `n` rows of the result depend on.
        let held = |axis: usize, n: usize| {
            let windows = windows_of(&self.readers[axis], n);
            windows.saturating_add(self.bins[axis].inputs(0..windows).len())
        };
        let bytes = size_of::<T::Sum>().saturating_mul(inner).max(1);
        let per_column = held(0, 1).saturating_mul(held(1, rows)).saturating_mul(bytes);
        let beside = windows_of(w, 1).saturating_add(self.bins[2].longest());
        let fitting = (BAND_BYTES / per_column).saturating_sub(beside);
        let tile = fitting.max(NARROWEST / inner.clamp(1, NARROWEST)).min(width);
        let (bands, tiles) = (height.div_ceil(rows), width.div_ceil(tile));
        let [deep, high, _] = self.bins;
        let folds = deep.longest().saturating_mul(high.longest()).min(64) + w.widest().min(16) + h.widest().min(16);
        let cost = rows.saturating_mul(tile).saturating_mul(inner).saturating_mul(folds);
        parallel::for_each(self.out.blocks() * tiles * planes * bands, cost, |units| {
            let mut memory = Memory::default();
            for unit in units {
                let (row, column) = (unit % bands * rows, unit / bands / planes % tiles * tile);
                let (block, d) = (unit / bands / planes / tiles, unit / bands % planes);
                let h = row..(row + rows).min(height);
                self.band(&Band::new(self, block, d, h, column..(column + tile).min(width)), &mut memory)?;
            }
            Ok(())
        })
    }

    fn band(&self, band: &Band, m: &mut Memory<T::Sum>) -> Result<()> {
        if self.readers[0].at(band.d).count == 0 {
            return self.store_zeros(band, m);
        }
        let inner = self.out.inner;
        let (row, windows, columns) =
            (band.elements[2].len() * inner, band.windows[2].len() * inner, band.cols.len() * inner);
        grow(&mut m.packed, row.max(windows).max(columns))?;
        grow(&mut m.folded, row.max(columns))?;
        grow(&mut m.norms, windows)?;
        grow(&mut m.shares, windows.max(columns))?;
        if self.p.is_infinite() {
            return self.largest(band, m);
        }
        let room = reduce::across_room(&self.bins[2], band.windows[2].len(), inner);
        let gather = self.sums.room(band.cols.len(), band.windows[2].len(), inner);
        grow(&mut m.room, room.max(gather))?;
        grow(&mut m.gathered, band.windows[0].len() * band.windows[1].len() * columns)?;
        let kept = self.raise_rows(band, m)?;
        for (n, (d, h)) in band.window_rows().enumerate() {
            self.fold_window(band, (d, h), kept, m);
            let grads = self.grad.load(self.codec, At { block: band.block, d, h }, &band.windows[2], &mut m.packed);
            simd::dispatch(Gather {
                op: self,
                band,
                folded: &mut m.folded[..row],
                grads,
                room: &mut m.room,
                norms: &mut m.norms[..windows],
                shares: &mut m.shares[..windows],
                dst: &mut m.gathered[n * columns..(n + 1) * columns],
            });
        }
        for h in band.h.clone() {
            let at = At { block: band.block, d: band.d, h };
            m.rows.clear();
            let [d, rows, _] = &self.readers;
            let first = rows.hull(h).start - band.windows[1].start;
            for jd in members(d, band.d) {
                m.rows.extend(members(rows, h).map(|jh| jd * band.windows[1].len() + first + jh));
            }
            let x = self.x.load(self.codec, at, &band.cols, &mut m.packed);
            self.out.store(self.codec, at, &band.cols, &mut m.folded, |dst| {
                let (rows, gathered, sums) = (&m.rows[..], &m.gathered[..], &mut m.shares[..columns]);
                simd::dispatch(Finish { op: self, band, x, rows, gathered, sums, dst });
            });
        }
        Ok(())
    }

    fn store_zeros(&self, band: &Band, m: &mut Memory<T::Sum>) -> Result<()> {
        grow(&mut m.packed, band.cols.len() * self.out.inner)?;
        for h in band.h.clone() {
            let at = At { block: band.block, d: band.d, h };
            self.out.store(self.codec, at, &band.cols, &mut m.packed, gather::zero);
        }
        Ok(())
    }

    /// Raises the rows of elements to the power and keeps them, if they are few; else windows raise them as they come.
    fn raise_rows(&self, band: &Band, m: &mut Memory<T::Sum>) -> Result<bool> {
        let [d, h, w] = &band.elements;
        let row = w.len() * self.out.inner;
        let total = d.len().saturating_mul(h.len()).saturating_mul(row);
        if total > MOST_KEPT {
            grow(&mut m.raised, row)?;
            return Ok(false);
        }
        grow(&mut m.raised, total)?;
        for (n, (d, h)) in d.clone().flat_map(|d| h.clone().map(move |h| (d, h))).enumerate() {
            let from = self.x.load(self.codec, At { block: band.block, d, h }, w, &mut m.packed);
            simd::dispatch(Raise { power: Power::new(self.p), from, to: &mut m.raised[n * row..(n + 1) * row] });
        }
        Ok(true)
    }

    /// Sums the raised rows of elements that a row of windows reads into `folded`.
    fn fold_window(&self, band: &Band, (d, h): (usize, usize), kept: bool, m: &mut Memory<T::Sum>) {
        let [ed, eh, w] = &band.elements;
        let row = w.len() * self.out.inner;
        m.rows.clear();
        let (rd, rh) = (self.bins[0].at(d), self.bins[1].at(h));
        let rows =
            (0..rd.count).flat_map(|j| (0..rh.count).map(move |k| (rd.start + j * rd.step, rh.start + k * rh.step)));
        if kept {
            m.rows.extend(rows.map(|(d, h)| (d - ed.start) * eh.len() + h - eh.start));
            simd::dispatch(FoldRows { rows: &m.rows, raised: &m.raised, dst: &mut m.folded[..row] });
            return;
        }
        for (n, (d, h)) in rows.enumerate() {
            let from = self.x.load(self.codec, At { block: band.block, d, h }, w, &mut m.packed);
            let to = if n == 0 { &mut m.folded[..row] } else { &mut m.raised[..row] };
            simd::dispatch(Raise { power: Power::new(self.p), from, to });
            if n > 0 {
                simd::dispatch(Absorb { into: &mut m.folded[..row], later: &m.raised[..row] });
            }
        }
    }

    /// An infinite power: every window's gradient goes to one element, which may be in this band.
    fn largest(&self, band: &Band, m: &mut Memory<T::Sum>) -> Result<()> {
        let inner = self.out.inner;
        let [_, height, width] = self.out.spatial;
        let (windows, columns) = (band.windows[2].len() * inner, band.cols.len() * inner);
        let (room, places) = argmax::across_room(&self.bins[2], band.windows[2].len(), inner);
        grow(&mut m.room, room)?;
        for (places, n) in m.places.iter_mut().zip([windows, windows, places]) {
            grow(places, n)?;
        }
        grow(&mut m.gathered, band.h.len() * columns)?;
        m.gathered[..band.h.len() * columns].fill(T::Sum::default());
        for (d, h) in band.window_rows() {
            self.find_largest(band, (d, h), m);
            let at = At { block: band.block, d, h };
            let grads = self.grad.load(self.codec, at, &band.windows[2], &mut m.packed);
            for (n, (place, g)) in m.places[0][..windows].iter().zip(grads).enumerate() {
                let (row, channel) = (*place as usize / width, n % inner);
                let (d, h, w) = (row / height, row % height, *place as usize - row * width);
                if d == band.d && band.h.contains(&h) && band.cols.contains(&w) {
                    let x = self.codec.load(self.x.get(At { block: band.block, d, h }, w, channel));
                    let to = &mut m.gathered[(h - band.h.start) * columns + (w - band.cols.start) * inner + channel];
                    if x != T::Sum::default() {
                        *to = T::Sum::add(*to, T::Sum::mul(g.get(), slope(x, T::Sum::of(1.0))));
                    }
                }
            }
        }
        for (h, row) in band.h.clone().zip(m.gathered.chunks_exact_mut(columns)) {
            self.out.store_from(self.codec, At { block: band.block, d: band.d, h }, &band.cols, row);
        }
        Ok(())
    }

    /// The places of the largest elements of a row of windows.
    fn find_largest(&self, band: &Band, (d, h): (usize, usize), m: &mut Memory<T::Sum>) {
        let inner = self.out.inner;
        let [_, height, width] = self.out.spatial;
        let (row, windows) = (band.elements[2].len() * inner, band.windows[2].len() * inner);
        let (rd, rh) = (self.bins[0].at(d), self.bins[1].at(h));
        for n in 0..rd.count * rh.count {
            let (d, h) = (rd.start + n / rh.count * rd.step, rh.start + n % rh.count * rh.step);
            let at = At { block: band.block, d, h };
            let from = self.x.load(self.codec, at, &band.elements[2], &mut m.packed);
            let [best, places, room] = &mut m.places;
            simd::dispatch(Largest {
                op: self,
                band,
                from,
                base: (d * height + h) * width,
                first: n == 0,
                raised: &mut m.folded[..row],
                room: Pairs { values: &mut m.room, positions: room },
                row: Pairs { values: &mut m.shares[..windows], positions: &mut places[..windows] },
                best: Pairs { values: &mut m.norms[..windows], positions: &mut best[..windows] },
            });
        }
    }
}

impl Band {
    fn new<T: Linear>(op: &NormGradient<'_, T>, block: usize, d: usize, h: Range<usize>, cols: Range<usize>) -> Self {
        let [planes, rows, columns] = &op.readers;
        let windows = [planes.of(d..d + 1), rows.of(h.clone()), columns.of(cols.clone())];
        let elements = [0, 1, 2].map(|a| op.bins[a].inputs(windows[a].clone()));
        Self { block, d, h, cols, windows, elements }
    }

    /// Its rows of windows.
    fn window_rows(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let [d, h, _] = self.windows.clone();
        d.flat_map(move |d| h.clone().map(move |h| (d, h)))
    }
}

/// Raises a row to the power.
struct Raise<'a, K> {
    power: Power,
    from: &'a [Cell<K>],
    to: &'a mut [K],
}

impl<K: Real> Job for Raise<'_, K> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        self.power.raise(self.from, self.to);
    }
}

/// Sums raised rows.
struct FoldRows<'a, K> {
    rows: &'a [usize],
    raised: &'a [K],
    dst: &'a mut [K],
}

impl<K: Real> Job for FoldRows<'_, K> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let len = self.dst.len();
        let row = |j: usize| &self.raised[self.rows[j] * len..][..len];
        reduce::down::<L, K, Sum>(self.rows.len(), row, as_uninit(self.dst));
    }
}

/// Adds a raised row.
struct Absorb<'a, K> {
    into: &'a mut [K],
    later: &'a [K],
}

impl<K: Real> Job for Absorb<'_, K> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        reduce::absorb::<K, Sum>(self.into, self.later);
    }
}

/// A row of windows: from the sums down them to what each column gathers.
struct Gather<'a, 'b, T: Linear> {
    op: &'a NormGradient<'b, T>,
    band: &'a Band,
    folded: &'a mut [T::Sum],
    grads: &'a [Cell<T::Sum>],
    room: &'a mut [T::Sum],
    norms: &'a mut [T::Sum],
    shares: &'a mut [T::Sum],
    dst: &'a mut [T::Sum],
}

impl<T: Linear> Job for Gather<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let (op, band) = (self.op, self.band);
        let (windows, inner) = (&band.windows[2], op.out.inner);
        let span = Span { src: as_cells(self.folded), from: band.elements[2].start, cols: windows, inner };
        reduce::across::<L, T::Sum, Sum>(level, &op.row, &span, self.room, self.shares);
        Power::new(op.p).root(self.shares, as_uninit(self.norms));
        norm_shares(op.p, self.norms, self.grads, self.shares);
        op.sums.across(level, (self.shares, windows.start), (&band.cols, inner), self.room, self.dst);
    }
}

/// A row of the result: the sum of what it gathers from its rows of windows, times each element's own factor.
struct Finish<'a, 'b, T: Linear> {
    op: &'a NormGradient<'b, T>,
    band: &'a Band,
    x: &'a [Cell<T::Sum>],
    rows: &'a [usize],
    gathered: &'a [T::Sum],
    sums: &'a mut [T::Sum],
    dst: &'a mut [MaybeUninit<T::Sum>],
}

impl<T: Linear> Job for Finish<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let len = self.dst.len();
        let row = |j: usize| &self.gathered[self.rows[j] * len..][..len];
        sum_rows::<L, _>(self.rows.len(), row, as_uninit(self.sums));
        own_factors(self.op.p, self.x, self.sums, self.dst);
        if !self.op.all_read {
            let readers = &self.op.readers[2].all()[self.band.cols.clone()];
            for (dst, r) in self.dst.chunks_exact_mut(self.op.out.inner).zip(readers) {
                if r.count == 0 || self.rows.is_empty() {
                    dst.iter_mut().for_each(|d| _ = d.write(T::Sum::default()));
                }
            }
        }
    }
}

/// A row of windows and a row of elements: where the largest are, and of those so far.
struct Largest<'a, 'b, T: Linear> {
    op: &'a NormGradient<'b, T>,
    band: &'a Band,
    from: &'a [Cell<T::Sum>],
    /// Flat position of the row's first element.
    base: usize,
    first: bool,
    raised: &'a mut [T::Sum],
    room: Pairs<'a, T::Sum, i64>,
    row: Pairs<'a, T::Sum, i64>,
    best: Pairs<'a, T::Sum, i64>,
}

impl<T: Linear> Job for Largest<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(mut self, level: L) {
        let (op, windows) = (self.op, &self.band.windows[2]);
        Power::Infinite.raise(self.from, self.raised);
        let from = self.band.elements[2].start;
        let span = Span { src: as_cells(self.raised), from, cols: windows, inner: op.out.inner };
        let dst = if self.first { &mut self.best } else { &mut self.row };
        argmax::across::<L, T::Sum, i64>(level, &op.row, &span, self.base, &mut self.room, dst);
        if !self.first {
            argmax::absorb::<T::Sum, i64>(self.best, (self.row.values, self.row.positions));
        }
    }
}
