//! Moves by index: max-unpooling, and the backward of both poolings that return indices.
//!
//! Unpooling and the backward of max pooling are one operation, a scatter, with different rules for elements that land
//! on the same place; the backward of unpooling is the gather. A scatter writes the output tile by tile: every tile
//! takes what belongs to it from the indices in their order, so the result is the same at any number of threads, and
//! the scratch stays small. Chunks of indices remember their smallest and largest, so a tile skips the chunks that hold
//! nothing for it.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::element::{Added, Codec, Element, Order, Ordered, Plain, Ring, chosen};
use crate::engine::parallel;
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{At, Finish, Place, Readable, RowsMut, Writable};
use crate::engine::simd::{self, Level};
use crate::error::{Error, Result, Shape};
use crate::geometry::taps::reserved;
use crate::geometry::window::{AxisName, Pad, transposed_len};
use crate::kernels::index::{Extent, PutRow, Settle, gather, scatter};
use crate::layout::{Axes, Grid, View, ViewMut, element_count, simplify};

/// What happens to elements that land on the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// The last in row-major order stays.
    #[default]
    Last,
    /// The first in row-major order stays.
    First,
    /// They are added.
    Sum,
    /// The largest stays; NaN wins.
    Max,
    /// They are refused.
    Error,
}

/// A dtype indices may have.
pub trait IndexElement: Element {
    /// Widens.
    type ToWide: Codec<Stored = Self, Computed = i64> + Default;
}
/// int32 indices, widened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Widened;
impl Codec for Widened {
    type Stored = i32;
    type Computed = i64;
    #[inline(always)]
    fn load(self, v: i32) -> i64 {
        i64::from(v)
    }
    #[inline(always)]
    fn store(self, v: i64) -> i32 {
        v as i32
    }
}
impl IndexElement for i64 {
    type ToWide = Plain<i64>;
}
impl IndexElement for i32 {
    type ToWide = Widened;
}

/// Indices read at once.
const CHUNK: usize = 4096;
/// Output elements of a tile: its accumulators stay in L2.
const TILE: usize = 64 << 10;

/// Elements settled at once: what is held of them stays in L1.
const SETTLED: usize = 1024;

/// Shortest rows that are settled window by window. (Of planes of 14 x 14, pooled from 28 x 28, a row takes longer to begin than its
/// elements take one by one: 0.23 ms for 100,000 of them, and 0.14 scattered.)
const WINDOWED: usize = 20;

/// The output rows of some pooled rows' windows, `sh` each.
struct Windowed<'a, 'b, T> {
    dst: &'a mut RowsMut<'b, T>,
    d: usize,
    first: usize,
    sh: usize,
}

impl<T: Copy> PutRow<T> for Windowed<'_, '_, T> {
    #[inline(always)]
    fn row(&mut self, of: usize, row: usize) -> &mut [MaybeUninit<T>] {
        self.dst.row(self.d, self.first + row * self.sh + of)
    }
    #[inline(always)]
    fn finish<L: Level>(&mut self, level: L, of: usize, row: usize) {
        self.dst.finish(level, self.d, self.first + row * self.sh + of);
    }
}

/// A checked scatter or gather between an array of values with indices and blocks those indices point into.
#[derive(Debug, Clone)]
pub struct IndexPlan {
    axes: Axes,
    /// Shape of values and indices.
    pub values_shape: Vec<usize>,
    /// Shape of the array the indices point into.
    pub block_shape: Vec<usize>,
    /// Elements of one spatial block.
    block: usize,
    /// Whether windows of this size lie side by side and fill the block, so that an index should be in its own.
    own_windows: Option<[usize; 3]>,
}

impl IndexPlan {
    /// Checks values, indices and blocks of these shapes; `values` and `indices` are the parameters' names.
    ///
    /// # Errors
    /// Names the shape that does not fit.
    pub fn new(
        axes: Axes,
        (values, values_shape): (&str, &[usize]),
        indices_shape: &[usize],
        (block_name, block_shape): (&str, &[usize]),
        itemsize: usize,
    ) -> Result<Self> {
        for (name, shape) in [(values, values_shape), (block_name, block_shape)] {
            if shape.len() != axes.ndim {
                return Err(Error::value(format!("{name} = {}: must have {} axes", Shape(shape), axes.ndim)));
            }
        }
        if indices_shape != values_shape {
            return Err(Error::value(format!(
                "indices.shape = {}: must be that of {values}, {}",
                Shape(indices_shape),
                Shape(values_shape)
            )));
        }
        let first = axes.first();
        let around = |s: &[usize]| {
            let mut s = s.to_vec();
            s.drain(first..first + axes.rank);
            s
        };
        if around(block_shape) != around(values_shape) {
            return Err(Error::value(format!(
                "{block_name} = {}: must be {}, the shape of {values}, but for the {} spatial axes",
                Shape(block_shape),
                Shape(values_shape),
                axes.rank
            )));
        }
        for (name, shape) in [(values, values_shape), (block_name, block_shape)] {
            if axes.spatial(shape).contains(&0) {
                return Err(Error::value(format!(
                    "{name} = {}: a spatial axis has 0 elements, must be at least 1",
                    Shape(shape)
                )));
            }
        }
        element_count(block_shape, itemsize)?;
        element_count(values_shape, itemsize)?;
        // An empty batch may stand beside lengths whose product no machine could hold.
        let block = axes.spatial(block_shape).iter().fold(1usize, |n, &d| n.saturating_mul(d));
        Ok(Self {
            axes,
            values_shape: values_shape.to_vec(),
            block_shape: block_shape.to_vec(),
            block,
            own_windows: None,
        })
    }

    /// Says that the indices come from windows of `kernel` elements, `stride` apart, which lets a scatter try the window
    /// an element belongs to before it looks anywhere else.
    #[must_use]
    pub fn with_windows(mut self, kernel: &[usize], stride: &[usize]) -> Self {
        let rank = self.axes.rank;
        let (values, blocks) = (self.axes.spatial(&self.values_shape), self.axes.spatial(&self.block_shape));
        let mut size = [1; 3];
        size[3 - rank..].copy_from_slice(kernel);
        let side_by_side = kernel == stride && (0..3).all(|a| values[a].checked_mul(size[a]) == Some(blocks[a]));
        self.own_windows = side_by_side.then_some(size);
        self
    }

    fn is_empty(&self) -> bool {
        self.values_shape.contains(&0)
    }

    /// Refuses an index outside its block, before anything is written.
    ///
    /// # Errors
    /// [`Error::Index`] with the first such index and its position.
    pub fn check<I: IndexElement>(&self, indices: &View<'_, I>) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let mut grid = indices.grid_of(&self.axes);
        simplify(&mut grid, &mut []);
        if grid.spatial_is_flat() {
            grid.flatten_spatial();
            grid.flatten_blocks();
        }
        let (chunks, blocks) = (Chunks::of(&grid), grid.blocks());
        let (bad, grid) = (AtomicBool::new(false), (I::ToWide::default(), grid));
        parallel::for_each(blocks * chunks.per_block, chunks.elements, |units| {
            let (lo, hi) = extent_of(&grid, chunks, units)?;
            if lo < 0 || hi as u64 >= self.block as u64 {
                bad.store(true, Ordering::Relaxed);
            }
            Ok(())
        })?;
        if !bad.into_inner() {
            return Ok(());
        }
        let wide = I::ToWide::default();
        let first =
            indices.elements().map(|(at, i)| (at, wide.load(i))).find(|(_, i)| !(0..self.block as i64).contains(i));
        let (at, index) = first.unwrap_or_default(); // none only if another thread has changed it meanwhile
        Err(Error::index(format!("indices[{}] = {index}: must be from 0 to {}", place(&at), self.block - 1)))
    }

    /// Whether [`IndexPlan::place`] finds by itself that an index is outside its block, in most cases without a reading of
    /// its own, though it may have written by then: into a fresh result, indices need not be checked before.
    #[must_use]
    pub fn checks_while_placing(&self) -> bool {
        matches!(self.own_windows, Some([_, _, 2])) && !self.axes.channels_last
    }

    /// Writes zeros and, on each index' place, its value. Indices are to be [checked](IndexPlan::check) before if `out` must
    /// not change on an error.
    ///
    /// # Errors
    /// [`Error::Index`] as [`IndexPlan::check`]; if scratch cannot be allocated, or the caller interrupts.
    pub fn place<T, I>(
        &self,
        rule: Placed,
        x: &View<'_, T>,
        indices: &View<'_, I>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()>
    where
        T: Copy + Default + Send + Sync + 'static,
        I: IndexElement,
    {
        let wide = self.axes.spatial(&self.values_shape).last().is_some_and(|w| *w >= WINDOWED);
        if let Some(size) = self.own_windows.filter(|_| wide && self.checks_while_placing())
            && self.settle(size, x, indices, out)?
        {
            return Ok(());
        }
        match rule {
            Placed::Last => self.scatter::<Plain<T>, I, Latest>(x, indices, out),
            Placed::First => self.scatter::<Plain<T>, I, Earliest>(x, indices, out),
        }
    }

    /// Writes every output row once, each element in its own window, zeros elsewhere; false if some index is not in its
    /// element's window, and the result therefore incomplete.
    fn settle<T, I>(
        &self,
        size: [usize; 3],
        x: &View<'_, T>,
        indices: &View<'_, I>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<bool>
    where
        T: Copy + Default + Send + Sync + 'static,
        I: IndexElement,
    {
        if self.is_empty() {
            return Ok(true);
        }
        let (mut x, mut i, mut out) = (x.grid_of(&self.axes), indices.grid_of(&self.axes), out.grid_of(&self.axes));
        simplify(&mut x, &mut [&mut i, &mut out]);
        if x.inner != 1 {
            return Ok(false);
        }
        let strayed = AtomicBool::new(false);
        let ([sd, sh, sw], [_, out_h, out_w]) = (size, out.spatial);
        let [planes, height, width] = x.spatial;
        let piece = SETTLED.min(width);
        let (at_once, pieces) = ((SETTLED / width).clamp(1, height), width.div_ceil(piece));
        // Distances within what is settled at once, and a window, must leave room in 31 bits.
        let farthest = (at_once * sh).checked_mul(out_w).and_then(|n| n.checked_mul(4));
        if farthest.is_none_or(|n| n > i32::MAX as usize) {
            return Ok(false);
        }
        let (mut windows, mut rows) = (reserved(at_once * piece)?, reserved(sh)?);
        windows.extend((0..at_once * piece).map(|i| (i / piece * sh * out_w + i % piece * sw) as i32));
        rows.extend((0..sh).map(|h| (h * out_w) as i32));
        let groups = height.div_ceil(at_once);
        let per_block = planes * groups * pieces;
        let plain = Plain::<T>::default();
        parallel::for_each(x.blocks() * per_block, at_once * piece * sd * sh * sw, |units| {
            let (mut wide, mut packed, mut made) = (Room::default(), Room::default(), Room::default());
            let (mut places, mut halves) = (scratch(windows.len())?, scratch(2 * windows.len())?);
            for unit in units {
                let (block, rest) = (unit / per_block, unit % per_block);
                let (strip, d) = (rest / pieces % groups, rest / pieces / groups);
                let h = strip * at_once..((strip + 1) * at_once).min(height);
                let cols = rest % pieces * piece..((rest % pieces + 1) * piece).min(width);
                let from = Place { block, d: d..d + 1, h: h.clone(), cols: cols.clone() };
                let indices = i.rows(I::ToWide::default(), &from, &mut wide)?;
                let values = x.rows(plain, &from, &mut packed)?;
                let (mut found, out_cols) = (0, cols.start * sw..cols.end * sw);
                for d_out in d * sd..(d + 1) * sd {
                    let to = d_out * out_h + h.start * sh..d_out * out_h + h.end * sh;
                    out.write_rows(plain, block, &to, &out_cols, &mut made, &mut |mut dst| {
                        // As one, if they lie one after the other.
                        let flat = indices.flat(d, h.clone()).zip(values.flat(d, h.clone()));
                        let step = if flat.is_some() { h.len() } else { 1 };
                        for row in h.clone().step_by(step) {
                            let (indices, values) = flat.unwrap_or_else(|| (indices.row(d, row), values.row(d, row)));
                            found += simd::dispatch(Settle {
                                indices,
                                values,
                                first: ((d_out * out_h + row * sh) * out_w + out_cols.start) as i64,
                                windows: &windows,
                                width: cols.len(),
                                rows: &rows,
                                places: &mut places,
                                halves: &mut halves,
                                put: Windowed { dst: &mut dst, d: d_out, first: row * sh, sh },
                            });
                        }
                        Ok(())
                    })?;
                }
                if found != h.len() * cols.len() {
                    strayed.store(true, Ordering::Relaxed);
                    return Ok(());
                }
            }
            Ok(())
        })?;
        Ok(!strayed.into_inner())
    }

    /// Writes, on each place, the sum of the values whose index it is.
    ///
    /// # Errors
    /// As [`IndexPlan::place`].
    pub fn add<T: Added, I: IndexElement>(
        &self,
        x: &View<'_, T>,
        indices: &View<'_, I>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        self.scatter::<T::TotalCodec, I, Sums>(x, indices, out)
    }

    /// Writes, on each place, the largest of the values whose index it is, or zero.
    ///
    /// # Errors
    /// As [`IndexPlan::place`].
    pub fn largest<T: Ordered, I: IndexElement>(
        &self,
        x: &View<'_, T>,
        indices: &View<'_, I>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        self.scatter::<T::KeyCodec, I, Best>(x, indices, out)
    }

    /// Refuses indices that name one place twice.
    ///
    /// # Errors
    /// [`Error::Value`] with the first such index and its position.
    pub fn refuse_duplicates<I: IndexElement>(&self, indices: &View<'_, I>) -> Result<()> {
        self.check(indices)?;
        if self.is_empty() {
            return Ok(());
        }
        let mut grid = indices.grid_of(&self.axes);
        simplify(&mut grid, &mut []);
        if grid.spatial_is_flat() {
            grid.flatten_spatial();
        }
        let chunks = Chunks::of(&grid);
        let (found, width) = (AtomicBool::new(false), (TILE / grid.inner).max(1));
        let tiles = self.block.div_ceil(width);
        parallel::for_each(grid.blocks() * tiles, self.block.min(width) * grid.inner, |units| {
            let mut seen = scratch::<u8>(width * grid.inner)?;
            let mut packed = scratch(chunks.elements)?;
            for unit in units {
                seen.fill(0);
                let from = unit % tiles * width;
                for c in 0..chunks.per_block {
                    let (at, cols) = chunks.at(unit / tiles * chunks.per_block + c);
                    let row = grid.load(I::ToWide::default(), at, &cols, &mut packed);
                    scatter(row, row, from, grid.inner, false, &mut seen, |n, _| *n = n.saturating_add(1));
                }
                if seen.iter().any(|&n| n > 1) {
                    found.store(true, Ordering::Relaxed);
                }
            }
            Ok(())
        })?;
        if !found.into_inner() {
            return Ok(());
        }
        let mut earlier = std::collections::HashSet::new();
        let spatial = self.axes.first()..self.axes.first() + self.axes.rank;
        for (at, index) in indices.elements() {
            let mut block = at.clone();
            block.drain(spatial.clone());
            let index = I::ToWide::default().load(index);
            earlier.try_reserve(1).map_err(|_| Error::memory("cannot allocate a table of the indices"))?;
            if !earlier.insert((block, index)) {
                return Err(Error::value(format!(
                    "indices[{}] = {index}: is there twice, must be unique in its block with duplicates='error'",
                    place(&at)
                )));
            }
        }
        Err(Error::value("indices: one is there twice, must be unique in their block with duplicates='error'"))
    }

    /// Takes, for each index, the element it points to.
    ///
    /// # Errors
    /// As [`IndexPlan::place`].
    pub fn take<T, I>(&self, source: &View<'_, T>, indices: &View<'_, I>, out: &mut ViewMut<'_, T>) -> Result<()>
    where
        T: Copy + Default + Send + Sync + 'static,
        I: IndexElement,
    {
        self.check(indices)?;
        if self.is_empty() {
            return Ok(());
        }
        let (mut x, mut i, mut out) =
            (source.grid_of(&self.axes), indices.grid_of(&self.axes), out.grid_of(&self.axes));
        simplify(&mut i, &mut [&mut x, &mut out]);
        if i.spatial_is_flat() && out.spatial_is_flat() {
            i.flatten_spatial();
            out.flatten_spatial();
        }
        if x.spatial_is_flat() {
            x.flatten_spatial();
        }
        let chunks = Chunks::of(&i);
        parallel::for_each(i.blocks() * chunks.per_block, chunks.elements, |units| {
            Taking { x: &x, indices: &i, out: &out, chunks }.run(units)
        })
    }

    fn scatter<C, I, P>(
        &self,
        x: &View<'_, C::Stored>,
        indices: &View<'_, I>,
        out: &mut ViewMut<'_, C::Stored>,
    ) -> Result<()>
    where
        C: Codec + Default,
        I: IndexElement,
        P: Put<C::Computed>,
    {
        self.check(indices)?;
        if self.block_shape.contains(&0) {
            return Ok(());
        }
        let (mut x, mut i, mut out) = (x.grid_of(&self.axes), indices.grid_of(&self.axes), out.grid_of(&self.axes));
        simplify(&mut x, &mut [&mut i, &mut out]);
        if x.spatial_is_flat() && i.spatial_is_flat() {
            x.flatten_spatial();
            i.flatten_spatial();
        }
        if out.spatial_is_flat() {
            out.flatten_spatial();
        }
        let (chunks, blocks) = (Chunks::of(&i), out.blocks());
        let (x, indices, out) = ((C::default(), x), (I::ToWide::default(), i), (C::default(), out));
        Scattering::<C::Computed, P>::of(&x, &indices, &out, chunks, blocks)?.all(blocks)
    }
}

/// An index as NumPy takes it: `0, 1, 2`.
fn place(at: &[usize]) -> String {
    at.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Which of several values on one place stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// The last in row-major order.
    Last,
    /// The first in row-major order.
    First,
}

/// The indices of a block cut into pieces of rows.
#[derive(Debug, Clone, Copy)]
struct Chunks {
    rows: usize,
    height: usize,
    width: usize,
    chunk: usize,
    per_row: usize,
    per_block: usize,
    /// Elements of a whole chunk.
    elements: usize,
}

impl Chunks {
    fn of<P: Copy>(g: &Grid<P>) -> Self {
        let [d, h, w] = g.spatial;
        let chunk = (CHUNK / g.inner.max(1)).max(1).min(w);
        let per_row = w.div_ceil(chunk);
        Self { rows: d * h, height: h, width: w, chunk, per_row, per_block: d * h * per_row, elements: chunk * g.inner }
    }

    /// Place of chunk `n`, counted over all blocks.
    #[inline(always)]
    fn at(&self, n: usize) -> (At, Range<usize>) {
        let (row, part) = (n / self.per_row, n % self.per_row);
        let (block, row) = (row / self.rows, row % self.rows);
        let cols = part * self.chunk..((part + 1) * self.chunk).min(self.width);
        (At { block, d: row / self.height, h: row % self.height }, cols)
    }
}

/// Smallest and largest index of some chunks.
fn extent_of(indices: &dyn Readable<i64>, chunks: Chunks, units: Range<usize>) -> Result<(i64, i64)> {
    let mut packed = scratch(chunks.elements)?;
    Ok(units.fold((i64::MAX, i64::MIN), |(lo, hi), n| {
        let (at, cols) = chunks.at(n);
        let (a, b) = simd::dispatch(Extent(indices.row(at, &cols, &mut packed)));
        (lo.min(a), hi.max(b))
    }))
}

/// Smallest and largest index of each chunk.
fn extents(indices: &dyn Readable<i64>, chunks: Chunks, blocks: usize) -> Result<Vec<[AtomicI64; 2]>> {
    let total = blocks * chunks.per_block;
    let mut table = reserved(total)?;
    table.resize_with(total, || [AtomicI64::new(0), AtomicI64::new(0)]);
    parallel::for_each(total, chunks.elements, |units| {
        for n in units {
            let (lo, hi) = extent_of(indices, chunks, n..n + 1)?;
            table[n][0].store(lo, Ordering::Relaxed);
            table[n][1].store(hi, Ordering::Relaxed);
        }
        Ok(())
    })?;
    Ok(table)
}

struct Taking<'a, T, I> {
    x: &'a Grid<*const T>,
    indices: &'a Grid<*const I>,
    out: &'a Grid<*mut T>,
    chunks: Chunks,
}

impl<T: Copy + Default + Send + Sync + 'static, I: IndexElement> Taking<'_, T, I> {
    fn run(&self, units: Range<usize>) -> Result<()> {
        let (mut packed, mut row) = (scratch(self.chunks.elements)?, scratch(self.chunks.elements)?);
        let [d, h, w] = self.x.spatial;
        let inner = self.x.inner;
        for n in units {
            let (at, cols) = self.chunks.at(n);
            let indices = self.indices.load(I::ToWide::default(), at, &cols, &mut packed);
            let whole = if d * h == 1 { self.x.borrow(At { block: at.block, d: 0, h: 0 }, &(0..w)) } else { None };
            self.out.store(Plain::<T>::default(), at, &cols, &mut row, |dst| match whole {
                // An index out of range was refused; if another thread has changed it since, the result is zero.
                Some(x) => gather(indices, inner, dst, |i, c| {
                    let at = usize::try_from(i).ok().and_then(|i| i.checked_mul(inner));
                    at.and_then(|i| x.get(i + c)).map_or_else(T::default, std::cell::Cell::get)
                }),
                None => gather(indices, inner, dst, |i, c| match usize::try_from(i) {
                    Ok(i) if i / w < d * h => self.x.get(At { block: at.block, d: i / w / h, h: i / w % h }, i % w, c),
                    _ => T::default(),
                }),
            });
        }
        Ok(())
    }
}

/// A rule for values on one place.
trait Put<A>: Send + Sync + 'static {
    /// Times the values are gone through.
    const PASSES: usize = 1;
    /// Whether a pass goes from the last to the first.
    fn reverse(_pass: usize) -> bool {
        false
    }
    /// Whether places are only ever overwritten, so that fresh memory will do.
    const OVERWRITES: bool = false;
    /// Puts `v` on a place.
    fn put(pass: usize, place: &mut A, v: A);
}

struct Latest;
struct Earliest;
struct Sums;
struct Best;

impl<A> Put<A> for Latest {
    const OVERWRITES: bool = true;
    #[inline(always)]
    fn put(_: usize, place: &mut A, v: A) {
        *place = v;
    }
}
impl<A> Put<A> for Earliest {
    const OVERWRITES: bool = true;
    fn reverse(_: usize) -> bool {
        true
    }
    #[inline(always)]
    fn put(_: usize, place: &mut A, v: A) {
        *place = v;
    }
}
impl<A: Ring> Put<A> for Sums {
    #[inline(always)]
    fn put(_: usize, place: &mut A, v: A) {
        *place = A::add(*place, v);
    }
}
impl<A: Order> Put<A> for Best {
    /// First each place's first value, instead of the zero there; then the largest, the first of equals.
    const PASSES: usize = 2;
    fn reverse(pass: usize) -> bool {
        pass == 0
    }
    #[inline(always)]
    fn put(pass: usize, place: &mut A, v: A) {
        *place = chosen(pass == 0 || v.rises(*place), v, *place);
    }
}

struct Scattering<'a, A, P> {
    x: &'a dyn Readable<A>,
    indices: &'a dyn Readable<i64>,
    out: &'a dyn Writable<A>,
    chunks: Chunks,
    extents: Option<Vec<[AtomicI64; 2]>>,
    rows: usize,
    width: usize,
    strips: usize,
    tiles: usize,
    put: PhantomData<P>,
}

/// Scratch of one thread.
struct Packed<A> {
    indices: Room<i64>,
    values: Room<A>,
}

impl<'a, A: Copy + Default + Send + Sync + 'static, P: Put<A>> Scattering<'a, A, P> {
    fn of(
        x: &'a dyn Readable<A>,
        indices: &'a dyn Readable<i64>,
        out: &'a dyn Writable<A>,
        chunks: Chunks,
        blocks: usize,
    ) -> Result<Self> {
        // A tile is a number of whole rows of the output, or a part of one.
        let ([d, h, w], inner) = out.lens();
        let width = (TILE / inner).max(1).min(w);
        let rows = if width < w { 1 } else { (TILE / (w * inner)).clamp(1, d * h) };
        let strips = w.div_ceil(width);
        let tiles = (d * h).div_ceil(rows) * strips;
        let extents = if tiles > 1 { Some(extents(indices, chunks, blocks)?) } else { None };
        Ok(Self { x, indices, out, chunks, extents, rows, width, strips, tiles, put: PhantomData })
    }

    fn all(&self, blocks: usize) -> Result<()> {
        let inner = self.out.lens().1;
        let cost = (self.rows * self.width * inner).max(self.chunks.per_block * self.chunks.elements / self.tiles);
        parallel::for_each(blocks * self.tiles, cost, |units| self.run(units))
    }

    /// Lets `put` have every value of `block` whose index may lie in the flat range `span`.
    #[inline(always)]
    fn each<B>(
        &self,
        block: usize,
        span: &Range<usize>,
        packed: &mut Packed<A>,
        tile: &mut [B],
        put: impl Fn(usize, &mut B, A),
    ) {
        let (count, inner) = (self.chunks.per_block, self.x.lens().1);
        for pass in 0..P::PASSES {
            let reverse = P::reverse(pass);
            for k in 0..count {
                let n = block * count + if reverse { count - 1 - k } else { k };
                if let Some(table) = &self.extents {
                    let [lo, hi] = [0, 1].map(|i| table[n][i].load(Ordering::Relaxed));
                    if hi < span.start as i64 || lo >= span.end as i64 {
                        continue;
                    }
                }
                let (at, cols) = self.chunks.at(n);
                let indices = self.indices.row(at, &cols, &mut packed.indices);
                let values = self.x.row(at, &cols, &mut packed.values);
                scatter(indices, values, span.start, inner, reverse, tile, |a, v| put(pass, a, v));
            }
        }
    }

    fn run(&self, units: Range<usize>) -> Result<()> {
        let ([depth, h, w], inner) = self.out.lens();
        let elements = self.chunks.elements;
        let mut packed = Packed { indices: scratch(elements)?, values: scratch(elements)? };
        let mut tile = scratch::<A>(self.rows * self.width * inner)?;
        for unit in units {
            let (block, t) = (unit / self.tiles, unit % self.tiles);
            let first = t / self.strips * self.rows;
            let rows = first..(first + self.rows).min(depth * h);
            let strip = t % self.strips * self.width;
            let cols = strip..(strip + self.width).min(w);
            let start = first * w + cols.start;
            let span = start..start + rows.len() * cols.len(); // whole rows, or a part of one: contiguous either way
            if P::OVERWRITES && rows.len() == 1 {
                let at = At { block, d: first / h, h: first % h };
                self.out.make(at, &cols, &mut tile, &mut |dst| {
                    dst.iter_mut().for_each(|d| _ = d.write(A::default()));
                    self.each(block, &span, &mut packed, dst, |_, a: &mut MaybeUninit<_>, v| _ = a.write(v));
                });
                continue;
            }
            let tile = &mut tile[..span.len() * inner];
            tile.fill(A::default());
            self.each(block, &span, &mut packed, tile, P::put);
            for (row, values) in rows.zip(tile.chunks_exact_mut(cols.len() * inner)) {
                let at = At { block, d: row / h, h: row % h };
                self.out.write(at, &cols, values);
            }
        }
        Ok(())
    }
}

/// Output lengths of an unpooling: `(len - 1)*stride - before - after + kernel`, or `given` if it is less than a stride
/// away from that.
///
/// # Errors
/// Names the parameter that does not fit.
pub fn unpooled_len(
    in_len: usize,
    kernel: usize,
    stride: usize,
    pad: Pad,
    given: Option<usize>,
    axis: AxisName,
) -> Result<usize> {
    let Some(size) = given else { return transposed_len(in_len, kernel, stride, 1, pad, 0, axis) };
    // With as much at the end as a size may add, the length is at least 1 wherever some size will do.
    let most = transposed_len(in_len, kernel, stride, 1, pad, stride.max(1) - 1, axis)?;
    let least = most.saturating_sub(2 * (stride - 1)).max(1);
    if !(least..=most).contains(&size) {
        return Err(Error::value(format!("output_size[{}] = {size}: must be from {least} to {most}", axis.index)));
    }
    Ok(size)
}
