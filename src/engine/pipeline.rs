//! The separable pipeline: *across* each input row, then *down* the rows that one output row needs.
//!
//! Rows that have gone across are kept in a small ring, so overlapping windows and taps process every input row once,
//! and nothing of the size of an image is ever held between the two passes. Wide rows are cut into column tiles so that
//! the ring stays in cache. Pooling and resampling, forward and backward, in one to three dimensions, are kernels of
//! this pipeline.
//!
//! A [`Kernel`] knows the type that is computed with; [`Ends`] knows the arrays. The ends find or pack the rows of a
//! band; what is to be done with them is written down step by step, by code that is compiled once, whatever the types;
//! and a job does it, for the whole band: choosing the instruction set and asking the arrays for every row took longer
//! than the work on rows of some hundred elements.

use std::ops::Range;

use super::parallel::{self, Pause};
use super::room::{Room, grow};
use super::rows::{At, Finish, LONG_ROW, Place, Rows, RowsMut};
use super::simd::{self, Job, Level};
use crate::element::{Codec, Plain};
use crate::error::{Error, Result};
use crate::geometry::taps::reserved;
use crate::geometry::{Reach, gcd};
use crate::layout::Grid;

/// Bytes of ring to aim at: half of a small L2, so that the rows and the output stay in it too.
const RING_BYTES: usize = 128 << 10;

/// As `RING_BYTES`, with a row of output, where that is converted: mostly in L1, for the conversion is quick. (Doubling bytes
/// takes as long with 48 to 128 KiB, and a tenth longer with 32: there are more tiles.)
const CONVERTED_RING_BYTES: usize = 64 << 10;

/// Most bytes of whole planes, or of the two blocks of a scan, to keep: a share of L2.
const PLANES_BYTES: usize = 512 << 10;

/// Bytes of packed input, or of output not written where it lies, to aim at for a band.
const BAND_BYTES: usize = 64 << 10;

/// Most bytes of a tile's inputs in one row, but for those of one output.
pub const INPUT_BYTES: usize = 512 << 10;

/// Most bytes of a folded row: it stays in L1 until it has gone across.
const FOLDED_BYTES: usize = 24 << 10;

/// Bytes of folded rows to aim at where rows are short. (With more of them, rows asked for leave L1 before they are read.)
const FOLDED_BAND_BYTES: usize = 4 << 10;

/// Bytes of input rows to pack at once where they cannot be folded as they lie.
const FOLDED_PACKED_BYTES: usize = 256 << 10;

/// Bytes of input to aim at for a job at most: between two jobs it is asked whether to stop, and a power of each element
/// takes 30 ns.
const LONGEST_JOB: usize = 16 << 20;

/// Columns of a piece of a row that a single output reads: what may have to be copied of it. As many whatever the type and
/// the number of channels, so that sums do not depend on either.
pub const PIECE: usize = 1 << 14;

/// Input rows of a window that are better packed all at once, where they must be, than folded one by one.
const FEW_ROWS: usize = 8;

/// Narrowest column tile worth its overhead.
const MIN_TILE: usize = 64;

/// Tiles are whole multiples of this, so that periodic taps start in phase.
const TILE_STEP: usize = 64;

/// How a kernel makes its output rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Each input row across once, then down the rows of each window.
    Ring,
    /// As `Ring`, for long windows along H that all have this many rows but for those the ends cut (and for one plane at
    /// a time): rows are folded in blocks of that length, from the end of one block and from the beginning of the next,
    /// so each output row takes three folds whatever the length (van Herk 1992, Gil and Werman 1993). Row 0 lies this far
    /// behind the beginning of a block: not at it, where the array is a part of another.
    Scan(usize, usize),
    /// As `Ring`, each row folded into one as soon as it has gone across, for long windows that overlap little or not:
    /// nothing is kept.
    Running,
    /// Some output rows at once from the input rows themselves, which are read in the order they lie in: short rows as one
    /// long one where they are next to each other.
    Band,
    /// The input rows of each output row folded into one, as they are stored, and what comes of that made into output rows, each of
    /// the row at its own place, as a band: where that is less work, above all where there are fewer output rows than input rows.
    Folded,
}

/// An input row.
pub struct InRow<'a, T> {
    /// Its elements, from position `from` on.
    pub cells: &'a [std::cell::Cell<T>],
    /// Position of the first.
    pub from: usize,
    /// Its plane.
    pub d: usize,
    /// Its place in the plane.
    pub h: usize,
}

/// An output row, or columns of it.
pub struct OutRow<'a> {
    /// Its plane.
    pub d: usize,
    /// Its place in the plane.
    pub h: usize,
    /// The columns wanted.
    pub cols: &'a Range<usize>,
}

/// Neighbouring output rows of a plane, or columns of them.
pub struct OutRows<'a> {
    /// Their plane.
    pub d: usize,
    /// Their places in the plane.
    pub h: Range<usize>,
    /// The columns wanted.
    pub cols: &'a Range<usize>,
}

/// An operation that goes across rows, then down them. Knows nothing of arrays.
pub trait Kernel: Sync {
    /// As [`Job::WIDE`].
    const WIDE: bool = true;

    /// What is computed with.
    type Key: Copy + Default + Send + Sync + 'static;
    /// Per-thread scratch.
    type Scratch;
    /// A row that has gone across.
    type Slot;
    /// Where output rows go.
    type Dst<'a>: Finish;
    /// Per-thread memory for output rows that cannot be written where they lie.
    type Made: Default;

    /// Output lengths `[D, H, W]`.
    fn out_spatial(&self) -> [usize; 3];
    /// The positions along D (0) or H (1) that output position `o` reads.
    fn reach(&self, axis: usize, o: usize) -> Reach;
    /// The input columns that some output columns read.
    fn inputs(&self, cols: Range<usize>) -> Range<usize>;
    /// Bytes of one column of a slot.
    fn column_bytes(&self) -> usize;
    /// Cost of one output row, in elements.
    fn row_cost(&self) -> usize;
    /// How rows are made.
    fn way(&self) -> Way {
        Way::Ring
    }

    /// Whether an output column reads so many neighbours that each row had better be taken across in pieces of [`PIECE`]
    /// columns, absorbed by the first; its way is [`Way::Running`] then. A tile is one column.
    fn in_pieces(&self) -> bool {
        false
    }

    /// Scratch for column tiles of up to `tile` outputs.
    ///
    /// # Errors
    /// If it cannot be allocated.
    fn scratch(&self, tile: usize) -> Result<Self::Scratch>;
    /// A slot for column tiles of up to `tile` outputs.
    ///
    /// # Errors
    /// If it cannot be allocated.
    fn slot(&self, tile: usize) -> Result<Self::Slot>;
    /// Takes a row across for the output columns `cols`.
    fn across<L: Level>(
        &self,
        level: L,
        row: &InRow<'_, Self::Key>,
        cols: &Range<usize>,
        scratch: &mut Self::Scratch,
        slot: &mut Self::Slot,
    );
    /// Folds the rows held in `slots[rows[0]]`, `slots[rows[1]]`, ... into an output row.
    fn down<L: Level>(
        &self,
        level: L,
        to: &OutRow<'_>,
        rows: &[usize],
        slots: &[Self::Slot],
        scratch: &mut Self::Scratch,
        dst: &mut Self::Dst<'_>,
    );
    /// Folds `later` into a row that came before it, for [`Way::Scan`] and [`Way::Running`].
    fn absorb<L: Level>(&self, level: L, into: &mut Self::Slot, later: &Self::Slot) {
        let _ = (level, into, later);
    }
    /// Output rows of `tile` columns that are made at once, for [`Way::Band`].
    fn band_rows(&self, tile: usize) -> usize {
        let _ = tile;
        1
    }
    /// Makes some output rows of the input rows, whose first column is `from`, and finishes each, for [`Way::Band`]; or of rows that
    /// have been folded, for [`Way::Folded`].
    fn band<L: Level>(
        &self,
        level: L,
        to: &OutRows<'_>,
        src: &Rows<'_, Self::Key>,
        from: usize,
        scratch: &mut Self::Scratch,
        dst: &mut Self::Dst<'_>,
    ) {
        let _ = (level, to, src, from, scratch, dst);
    }
    /// One element of the result in double: element `e` of the output row at `(d, h)`, of input elements given by
    /// `sum(d, h, w, c, weights)`, the weighted sum of neighbours along W from `w` on in channel `c`. For results in doubt.
    fn exactly(&self, (d, h): (usize, usize), e: usize, sum: impl Fn([usize; 4], &[f64]) -> f64) -> f64 {
        let _ = (d, h, e, sum);
        0.0
    }
    /// Folds the input rows of an output row, as they are stored, for [`Way::Folded`].
    fn fold<L: Level, C: Codec<Computed = Self::Key>>(
        &self,
        level: L,
        codec: C,
        to: &OutRow<'_>,
        src: &Rows<'_, C::Stored>,
        scratch: &mut Self::Scratch,
        dst: &mut [Self::Key],
    ) {
        let _ = (level, codec, to, src, scratch, dst);
    }
}

/// A band of output rows of one block.
#[derive(Debug)]
pub struct Band {
    /// Outer block.
    pub block: usize,
    /// The output rows, counted through the planes.
    pub rows: Range<usize>,
    /// The output columns.
    pub cols: Range<usize>,
}

/// The arrays at both ends of a kernel. The run knows them by this alone, and so is compiled for each kernel, not for each
/// type that is stored.
pub trait Ends<K: Kernel>: Sync {
    /// Number of outer blocks.
    fn blocks(&self) -> usize;
    /// Whether input rows are read, and output rows written, where they lie.
    fn ready(&self) -> [bool; 2];
    /// The input rows of a place.
    ///
    /// # Errors
    /// If there is no memory to pack them.
    fn source<'a>(&'a self, place: &Place, packed: &'a mut Room<K::Key>) -> Result<Rows<'a, K::Key>>;
    /// Lets `run` have the output rows of a band.
    ///
    /// # Errors
    /// If there is no memory to make them in; or what `run` returns.
    fn with_output<'r>(
        &self,
        band: &Band,
        made: &mut K::Made,
        run: &'r mut dyn for<'d> FnMut(K::Dst<'d>) -> Result<()>,
    ) -> Result<()>
    where
        K: 'r;
    /// Folds the input columns `ins` for each row of a band, one after the other into `to`, for [`Way::Folded`].
    ///
    /// # Errors
    /// If there is no memory to pack rows in.
    fn fold(
        &self,
        band: &Band,
        ins: &Range<usize>,
        scratch: &mut K::Scratch,
        packed: &mut Room<K::Key>,
        to: &mut [K::Key],
        pause: &Pause<'_>,
    ) -> Result<()> {
        let _ = (band, ins, scratch, packed, to, pause);
        Ok(())
    }
}

/// One array in, one out.
pub struct Through<'a, K, I: Codec, O: Codec = I> {
    /// The kernel.
    pub kernel: &'a K,
    /// From what is stored to what is computed with.
    pub load: I,
    /// And back.
    pub store: O,
    /// The input.
    pub x: Grid<*const I::Stored>,
    /// The output.
    pub out: Grid<*mut O::Stored>,
}

impl<K, I, O> Ends<K> for Through<'_, K, I, O>
where
    I: Codec,
    O: Codec<Computed = I::Computed>,
    K: for<'a> Kernel<Key = I::Computed, Dst<'a> = RowsMut<'a, I::Computed>, Made = Room<I::Computed>>,
{
    fn blocks(&self) -> usize {
        self.x.blocks()
    }
    fn ready(&self) -> [bool; 2] {
        [self.x.rows_lie_ready::<I>(), self.out.rows_lie_ready::<O>()]
    }
    fn source<'a>(&'a self, place: &Place, packed: &'a mut Room<I::Computed>) -> Result<Rows<'a, I::Computed>> {
        if !I::SAME {
            // The rows that will be wanted next.
            let (d, end) = (place.d.start, place.h.end);
            for h in end..(end + place.h.len()).min(self.x.spatial[1]) {
                self.x.borrow(At { block: place.block, d, h }, &place.cols).into_iter().for_each(simd::prefetch);
            }
        }
        self.x.rows(self.load, place, packed)
    }
    fn with_output<'r>(
        &self,
        band: &Band,
        made: &mut Room<I::Computed>,
        run: &'r mut dyn for<'d> FnMut(RowsMut<'d, I::Computed>) -> Result<()>,
    ) -> Result<()>
    where
        K: 'r,
    {
        let settle = |at: At, e: usize| self.settle(at, band.cols.start * self.out.inner + e);
        self.out.write_rows_then(self.store, band.block, &band.rows, &band.cols, made, run, &settle)
    }
    fn fold(
        &self,
        band: &Band,
        ins: &Range<usize>,
        scratch: &mut K::Scratch,
        packed: &mut Room<I::Computed>,
        to: &mut [I::Computed],
        pause: &Pause<'_>,
    ) -> Result<()> {
        let (kernel, inner) = (self.kernel, self.x.inner);
        let [_, height, _] = kernel.out_spatial();
        let mut reads = [0..0, 0..0];
        for row in band.rows.clone() {
            widen(&mut reads[0], kernel.reach(0, row / height));
            widen(&mut reads[1], kernel.reach(1, row % height));
        }
        let [d, h] = reads;
        let width = ins.len() * inner;
        if d.is_empty() || h.is_empty() || width == 0 {
            to.fill(I::Computed::default());
            return Ok(());
        }
        let bytes = d.len() * h.len() * inner * size_of::<I::Computed>();
        // Rows to ask for that the next band will read.
        let ahead = h.start..(h.end + AHEAD_FOLDED).min(self.x.spatial[1]).max(h.end);
        let place =
            |cols: Range<usize>, h: &Range<usize>| Place { block: band.block, d: d.clone(), h: h.clone(), cols };
        let lying = self.x.lying(&place(ins.clone(), &ahead));
        let most = (if lying.is_some() { LONGEST_JOB } else { FOLDED_PACKED_BYTES } / bytes.max(1)).max(1);
        let mut first = ins.start;
        while first < ins.end {
            let cols = first..ins.end.min(first + most);
            let from = (first - ins.start) * inner;
            first = cols.end;
            if let Some(rows) = &lying {
                let (codec, src) = (self.load, rows.part(from..from + cols.len() * inner));
                simd::dispatch(Folding { kernel, codec, height, band, src, scratch, width, from, to: &mut *to });
            } else {
                let src = self.x.rows(self.load, &place(cols, &h), packed)?;
                let codec = Plain::<I::Computed>::default();
                simd::dispatch(Folding { kernel, codec, height, band, src, scratch, width, from, to: &mut *to });
            }
            if first < ins.end {
                pause.here()?;
            }
        }
        Ok(())
    }
}

impl<K: Kernel<Key = I::Computed>, I: Codec, O: Codec<Computed = I::Computed>> Through<'_, K, I, O> {
    /// Computes an element again, in double.
    #[cold]
    fn settle(&self, at: At, e: usize) {
        let sum = |[d, h, w, c]: [usize; 4], weights: &[f64]| {
            self.x.weighted(self.load, At { block: at.block, d, h }, (w, c), weights)
        };
        if let Some(v) = self.store.settled(self.kernel.exactly((at.d, at.h), e, sum)) {
            self.out.set(at, e / self.out.inner, e % self.out.inner, v);
        }
    }
}

/// Folds the rows of a band, or the columns of them that `src` has, which begin `from` elements into the result.
struct Folding<'a, K: Kernel, C: Codec> {
    kernel: &'a K,
    codec: C,
    height: usize,
    band: &'a Band,
    src: Rows<'a, C::Stored>,
    scratch: &'a mut K::Scratch,
    /// Elements of a row of the result.
    width: usize,
    from: usize,
    to: &'a mut [C::Computed],
}

impl<K: Kernel, C: Codec<Computed = K::Key>> Job for Folding<'_, K, C> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let Self { kernel, codec, height, band, src, scratch, width, from, to } = self;
        let len = src.row_len();
        let mut asked = 0;
        for (row, to) in band.rows.clone().zip(to.chunks_exact_mut(width)) {
            let out = OutRow { d: row / height, h: row % height, cols: &band.cols };
            let (rd, rh) = (kernel.reach(0, out.d), kernel.reach(1, out.h));
            for h in asked.max(rh.start)..rh.end() + AHEAD_FOLDED {
                (rd.start..rd.end()).filter_map(|d| src.get(d, h)).for_each(simd::prefetch);
            }
            asked = rh.end() + AHEAD_FOLDED;
            kernel.fold(level, codec, &out, &src, scratch, &mut to[from..from + len]);
        }
    }
}

/// What a run knows before it begins.
struct Shape {
    way: Way,
    /// Slots along D and H.
    ring: [usize; 2],
    /// Output columns of a tile, and tiles of a row.
    tile: usize,
    tiles: usize,
    /// Output rows made at once, for [`Way::Band`].
    band: usize,
    /// One past the last input row and plane that anything reads.
    used: [usize; 2],
    /// Output lengths `[D, H, W]`.
    out: [usize; 3],
}

impl Shape {
    /// `ready`: whether output rows are written where they lie.
    fn new(way: Way, out: [usize; 3], column_bytes: usize, ready: bool, reach: &dyn Fn(usize, usize) -> Reach) -> Self {
        let reaches = |axis: usize| (0..out[axis]).map(move |o| reach(axis, o));
        let used = [0, 1].map(|axis| reaches(axis).map(Reach::end).max().unwrap_or(1).max(1));
        // Enough slots along D and H that the positions of one reach, modulo their number, are all different:
        // `start + j*step` for j < n are distinct modulo any m >= n that has no factor in common with `step`.
        let mut ring = [0, 1].map(|axis| {
            let most = reaches(axis).map(|r| r.count).max().unwrap_or(0).max(1);
            let step = reaches(axis).find(|r| r.count > 1).map_or(1, |r| r.step);
            (most..).find(|&m| gcd(m, step) == 1).unwrap_or(most)
        });
        let (bytes, per_column) = match way {
            Way::Scan(block, _) => (PLANES_BYTES, 2 * block + 1),
            Way::Band | Way::Folded => (RING_BYTES, 1),
            Way::Running => (RING_BYTES, 2),
            Way::Ring => {
                // The planes one output plane reads, whole: else the next output plane sends them across again.
                let planes = ring[0].saturating_mul(used[1]).saturating_mul(column_bytes);
                let whole = out[0] > 1 && planes.saturating_mul(out[2]) <= PLANES_BYTES;
                if whole {
                    ring[1] = used[1];
                }
                let ring_bytes = if ready { RING_BYTES } else { CONVERTED_RING_BYTES };
                (if whole { PLANES_BYTES } else { ring_bytes }, ring[0].saturating_mul(ring[1]) + usize::from(!ready))
            }
        };
        // Where a column is wide by itself (many channels), a few of them are enough.
        let least = (MIN_TILE * size_of::<f64>() / column_bytes.max(size_of::<f64>())).max(1);
        let fitting = (bytes / per_column.saturating_mul(column_bytes).max(1)).max(least);
        let tile = if fitting > TILE_STEP { fitting / TILE_STEP * TILE_STEP } else { fitting }.min(out[2]);
        Self { way, ring, tile, tiles: out[2].div_ceil(tile), band: 1, used, out }
    }

    /// Narrows the tiles so that the inputs of one, of `column` bytes for each output column, are not too many.
    fn limit(&mut self, column: usize) {
        let bytes = if matches!(self.way, Way::Folded | Way::Band) { FOLDED_BYTES } else { INPUT_BYTES };
        let fitting = (bytes / column.max(1)).max(1);
        let whole = if fitting > TILE_STEP { fitting / TILE_STEP * TILE_STEP } else { fitting };
        self.tile = self.tile.min(whole);
        self.tiles = self.out[2].div_ceil(self.tile);
    }

    /// The group that a unit belongs to, and the rows from it on that make a band.
    fn rows_at(&self, unit: usize, end: usize, at_once: usize) -> (usize, Range<usize>) {
        let [out_d, out_h, _] = self.out;
        let rows = out_d * out_h;
        let (group, row) = (unit / rows, unit % rows);
        let most = at_once.min(MOST_ROWS);
        let mut last = rows.min(row + (end - unit)).min(row.saturating_add(most));
        if most < rows {
            last = last.min((row / out_h + 1) * out_h); // within one plane
        }
        (group, row..last)
    }

    fn slots(&self) -> usize {
        match self.way {
            Way::Scan(block, _) => 2 * block + 1,
            Way::Band | Way::Folded => 0,
            Way::Running => SPARE + 1,
            Way::Ring => self.ring[0] * self.ring[1],
        }
    }
}

/// Where [`Way::Running`] keeps a piece of a row.
const SPARE: usize = 2;

/// What a job does, one after the other.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Takes input row `(d, h)` across into a slot.
    Across(usize, usize, usize),
    /// Folds a slot's row into another's, which came before it.
    Absorb { later: usize, into: usize },
    /// Makes output row `(d, h)` of the slots listed in this range.
    Down(usize, usize, (usize, usize)),
    /// Makes the output rows from `(d, h)` on, so many, of the input rows.
    Band(usize, usize, usize),
}

/// Steps there is room for from the beginning.
const FEW_STEPS: usize = 24;

/// How many steps ahead rows are asked for.
const AHEAD: usize = 8;

/// How many input rows ahead they are asked for where they are folded. (All at once: a part of each, before that part of the rows
/// is folded, takes float32 as long on a Sapphire Rapids core, where half of the folding is waiting for it, and bytes twice as long.
/// Read beforehand, a line after the other, two long rows of bytes are folded in 0.95 of the time on a Zen 4 core, three or five in 1.08
/// to 1.15.)
const AHEAD_FOLDED: usize = 8;

/// Most output rows written down at once: enough for most groups, whose steps then do for the groups that follow.
const MOST_ROWS: usize = 1024;

/// Runs the operation over its whole output.
///
/// # Errors
/// If scratch cannot be allocated, or the caller interrupts.
pub fn run<K: Kernel>(kernel: &K, ends: &dyn Ends<K>) -> Result<()> {
    let [out_d, out_h, out_w] = kernel.out_spatial();
    let rows = out_d * out_h;
    if ends.blocks() == 0 || rows == 0 || out_w == 0 || kernel.column_bytes() == 0 {
        return Ok(());
    }
    let reach = |axis: usize, o: usize| kernel.reach(axis, o);
    let ready = ends.ready();
    let most = |axis: usize, n: usize| (0..n).map(|o| reach(axis, o).count).max().unwrap_or(0);
    let window = most(0, out_d).saturating_mul(most(1, out_h));
    let column = kernel.inputs(0..out_w).len().div_ceil(out_w).saturating_mul(kernel.column_bytes());
    let long = window.saturating_mul(column.max(FOLDED_BYTES)) > LONGEST_JOB;
    let way = match kernel.way() {
        // Packed input is wanted row after row, once; and a step of a band cannot be divided.
        Way::Band if window > FEW_ROWS && (!ready[0] || long) => Way::Running,
        way => way,
    };
    let mut shape = Shape::new(way, kernel.out_spatial(), kernel.column_bytes(), ready[1], &reach);
    shape.limit(column);
    if kernel.in_pieces() {
        (shape.tile, shape.tiles) = (1, out_w);
    }
    shape.band = kernel.band_rows(shape.tile).max(1);
    let row_bytes = shape.tile.saturating_mul(kernel.column_bytes()).max(1);
    let at_once = if ready[1] || row_bytes >= LONG_ROW { usize::MAX } else { (BAND_BYTES / row_bytes).max(1) };
    let units = ends.blocks() * shape.tiles * rows;
    parallel::for_each_long(units, kernel.row_cost() / shape.tiles, |units, pause| match way {
        Way::Folded => folded(kernel, ends, (units, pause), &shape, at_once),
        _ => stretch(kernel, ends, (units, pause), &shape, at_once),
    })
}

/// As [`stretch`], for [`Way::Folded`].
fn folded<K: Kernel>(
    kernel: &K,
    ends: &dyn Ends<K>,
    (units, pause): (Range<usize>, &Pause<'_>),
    shape: &Shape,
    at_once: usize,
) -> Result<()> {
    let [_, height, _] = shape.out;
    let mut scratch = kernel.scratch(shape.tile)?;
    let (mut packed, mut made, mut rows_folded) = (Room::default(), K::Made::default(), Room::default());
    let mut unit = units.start;
    while unit < units.end {
        let (group, _) = shape.rows_at(unit, units.end, 1);
        let (block, strip) = (group / shape.tiles, group % shape.tiles);
        let cols = strip * shape.tile..((strip + 1) * shape.tile).min(shape.out[2]);
        let ins = kernel.inputs(cols.clone());
        let bytes = ins.len() * kernel.column_bytes();
        let most = at_once.min((FOLDED_BAND_BYTES / bytes.max(1)).max(1));
        let (_, rows) = shape.rows_at(unit, units.end, most);
        unit += rows.len();
        let width = bytes / size_of::<K::Key>().max(1);
        let band = Band { block, rows, cols };
        ends.with_output(&band, &mut made, &mut |mut dst| {
            grow(&mut rows_folded, band.rows.len() * width)?;
            let to = &mut rows_folded[..band.rows.len() * width];
            ends.fold(&band, &ins, &mut scratch, &mut packed, to, pause)?;
            // Plane by plane.
            let (mut row, mut to) = (band.rows.start, to);
            while row < band.rows.end {
                let (d, h) = (row / height, row % height);
                let n = (height - h).min(band.rows.end - row);
                let (first, rest) = to.split_at_mut(n * width);
                let (steps, rows, cols, from) = (&[Step::Band(d, h, n)][..], &[][..], &band.cols, ins.start);
                let (src, scratch, slots) = (Rows::packed(first, (d, h), n, width), &mut scratch, &mut [][..]);
                simd::dispatch((kernel, Steps { steps, rows, cols, src, from, scratch, slots, dst: &mut dst }));
                (row, to) = (row + n, rest);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Runs a range of units; a unit is one output row of one column tile of one block, rows fastest.
fn stretch<K: Kernel>(
    kernel: &K,
    ends: &dyn Ends<K>,
    (units, pause): (Range<usize>, &Pause<'_>),
    shape: &Shape,
    at_once: usize,
) -> Result<()> {
    let reach = |axis: usize, o: usize| kernel.reach(axis, o);
    let packs = !ends.ready()[0];
    let mut scratch = kernel.scratch(shape.tile)?;
    let mut slots = reserved(shape.slots())?;
    for _ in 0..shape.slots() {
        slots.push(kernel.slot(shape.tile)?);
    }
    let mut script = Script::new(shape, &reach)?;
    let (mut packed, mut made) = (Room::default(), K::Made::default());
    let mut unit = units.start;
    while unit < units.end {
        let (group, rows) = shape.rows_at(unit, units.end, at_once);
        let (block, strip) = (group / shape.tiles, group % shape.tiles);
        let cols = strip * shape.tile..((strip + 1) * shape.tile).min(shape.out[2]);
        unit += rows.len();
        let reads = script.for_rows(group, rows.clone())?;
        let ins = kernel.inputs(cols.clone());
        let most = if packs { BAND_BYTES } else { LONGEST_JOB };
        let most = (most / ins.len().saturating_mul(kernel.column_bytes()).max(1)).max(1);
        let band = Band { block, rows, cols };
        let rows = &script.rows[..];
        let mut run = |src: Rows<'_, K::Key>, (steps, from): (&[Step], usize), dst: &mut K::Dst<'_>| {
            let (cols, scratch, slots) = (&band.cols, &mut scratch, &mut slots[..]);
            let job = (kernel, Steps { steps, rows, cols, src, from, scratch, slots, dst });
            simd::dispatch(job);
        };
        ends.with_output(&band, &mut made, &mut |mut dst| {
            let mut left = &script.steps[..];
            while !left.is_empty() {
                if let (true, Step::Across(d, h, slot)) = (kernel.in_pieces(), left[0]) {
                    for first in ins.clone().step_by(PIECE) {
                        let part = first..ins.end.min(first + PIECE);
                        let later = [Step::Across(d, h, SPARE), Step::Absorb { later: SPARE, into: slot }];
                        let steps = if first == ins.start { &[Step::Across(d, h, slot)][..] } else { &later };
                        let at = Place { block, d: d..d + 1, h: h..h + 1, cols: part };
                        run(ends.source(&at, &mut packed)?, (steps, first), &mut dst);
                        pause.here()?;
                    }
                    left = &left[1..];
                    continue;
                }
                let ([d, h], n) = match left[0] {
                    _ if !packs => (reads.clone(), left.len().min(most)),
                    Step::Band(d, h, n) => (script.reads(d, h..h + n), 1),
                    _ => input_of(left, most),
                };
                let (steps, rest) = left.split_at(n);
                left = rest;
                let src = ends.source(&Place { block, d, h, cols: ins.clone() }, &mut packed)?;
                run(src, (steps, ins.start), &mut dst);
                if !left.is_empty() {
                    pause.here()?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The planes and rows that the next steps read, and how many steps those are: steps that read neighbouring rows of one
/// plane, at most `most`.
fn input_of(steps: &[Step], most: usize) -> ([Range<usize>; 2], usize) {
    let mut read: Option<(usize, Range<usize>)> = None;
    let mut n = 0;
    for step in steps {
        if let &Step::Across(d, h, _) = step {
            read = match read {
                None => Some((d, h..h + 1)),
                Some((plane, rows)) => {
                    let both = rows.start.min(h)..rows.end.max(h + 1);
                    if plane != d || both.len() > most {
                        return ([plane..plane + 1, rows], n);
                    }
                    Some((plane, both))
                }
            };
        }
        n += 1;
    }
    (read.map_or([0..0, 0..0], |(d, rows)| [d..d + 1, rows]), n)
}

/// The steps of one band. (Each method of the kernel is called in one place: it is inlined there, once for each level.)
struct Steps<'a, 'd, K: Kernel> {
    steps: &'a [Step],
    /// Slots, listed for the steps.
    rows: &'a [usize],
    cols: &'a Range<usize>,
    src: Rows<'a, K::Key>,
    from: usize,
    scratch: &'a mut K::Scratch,
    slots: &'a mut [K::Slot],
    dst: &'a mut K::Dst<'d>,
}

/// (With the kernel first, for it is to its module that the compiler counts the work.)
impl<K: Kernel> Job for (&K, Steps<'_, '_, K>) {
    const WIDE: bool = K::WIDE;
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let (kernel, Steps { steps, rows, cols, src, from, scratch, slots, dst }) = self;
        for (i, &step) in steps.iter().enumerate() {
            if let Some(&Step::Across(d, h, _)) = steps.get(i + AHEAD) {
                simd::prefetch(src.row(d, h));
            }
            match step {
                Step::Across(d, h, slot) => {
                    let row = InRow { cells: src.row(d, h), from, d, h };
                    kernel.across(level, &row, cols, scratch, &mut slots[slot]);
                }
                Step::Absorb { later, into } => {
                    if let Ok([later, into]) = slots.get_disjoint_mut([later, into]) {
                        kernel.absorb(level, into, later);
                    }
                }
                Step::Down(d, h, (first, end)) => {
                    kernel.down(level, &OutRow { d, h, cols }, &rows[first..end], slots, scratch, dst);
                    dst.finish(level, d, h);
                }
                Step::Band(d, h, n) => {
                    kernel.band(level, &OutRows { d, h: h..h + n, cols }, &src, from, scratch, dst);
                }
            }
        }
    }
}

const NOTHING: usize = usize::MAX;

/// A group, and what an output row of it reads along D and H.
type Wanted = (usize, Reach, Reach);

/// Writes down the steps, and keeps in mind which rows the slots hold after them.
struct Script<'a> {
    shape: &'a Shape,
    reach: &'a dyn Fn(usize, usize) -> Reach,
    steps: Vec<Step>,
    /// Slots, listed for the steps.
    rows: Vec<usize>,
    /// Which row each slot holds: its place among the rows of all groups, in one word.
    held: Vec<usize>,
    /// The group and reach of the last slots listed, and where they are.
    last: Option<(Wanted, (usize, usize))>,
    scan: Scan,
    /// The output rows that the steps make, and the input planes and rows they read.
    written: Option<(Range<usize>, [Range<usize>; 2])>,
}

/// How far a scan is: in which plane of which group, which block has been folded from its end, and which from its
/// beginning, up to where.
#[derive(Default)]
struct Scan {
    plane: Option<(usize, usize)>,
    from_end: Option<usize>,
    from_start: Option<(usize, usize)>,
}

impl<'a> Script<'a> {
    fn new(shape: &'a Shape, reach: &'a dyn Fn(usize, usize) -> Reach) -> Result<Self> {
        let mut held = reserved(shape.slots())?;
        held.resize(shape.slots(), NOTHING);
        let (steps, rows) = (Vec::new(), Vec::new());
        Ok(Self { shape, reach, steps, rows, held, last: None, scan: Scan::default(), written: None })
    }

    /// The steps of a band in place of what there was; returns the input planes and rows they read. Bands that begin with
    /// a group find nothing of it in the slots, so that the steps of the group before do again.
    ///
    /// # Errors
    /// If there is no memory for them.
    fn for_rows(&mut self, group: usize, rows: Range<usize>) -> Result<[Range<usize>; 2]> {
        match &self.written {
            Some((as_before, reads)) if rows.start == 0 && *as_before == rows => Ok(reads.clone()),
            _ => {
                let reads = self.write(group, &rows)?;
                self.written = Some((rows, reads.clone()));
                Ok(reads)
            }
        }
    }

    fn write(&mut self, group: usize, rows: &Range<usize>) -> Result<[Range<usize>; 2]> {
        let out_h = self.shape.out[1];
        self.steps.clear();
        self.rows.clear();
        self.last = None;
        let reach = self.reach;
        let (mut d, mut h) = (rows.start / out_h, rows.start % out_h);
        if self.shape.way == Way::Band {
            return self.bands(rows);
        }
        // (Lists that grow from nothing are allocated several times for a small array.)
        self.reserve(FEW_STEPS, FEW_STEPS)?;
        let mut rd = reach(0, d);
        // (The first window need not begin first: where it is dilated, the padding may leave it only a later element.)
        let mut reads = [0..0, 0..0];
        for _ in rows.clone() {
            let rh = reach(1, h);
            widen(&mut reads[0], rd);
            widen(&mut reads[1], rh);
            self.make_room(rd.count.saturating_mul(rh.count))?;
            match self.shape.way {
                Way::Ring => self.ring((group, rd, rh), d, h),
                Way::Scan(block, ahead) => self.scan((group, rd, rh), d, h, (block, ahead)),
                Way::Running => self.running((rd, rh), d, h),
                Way::Band | Way::Folded => {}
            }
            h += 1;
            if h == out_h {
                (d, h) = (d + 1, 0);
                rd = if d < self.shape.out[0] { reach(0, d) } else { rd };
            }
        }
        Ok(reads)
    }

    /// Makes room for the steps of an output row that reads `rows` input rows.
    fn make_room(&mut self, rows: usize) -> Result<()> {
        let (steps, listed) = match self.shape.way {
            Way::Ring => (rows.saturating_add(1), rows),
            Way::Running => (rows.saturating_mul(2), 1),
            Way::Scan(block, _) => (block.saturating_mul(6), 2), // both blocks anew
            Way::Band | Way::Folded => (0, 0),                   // write their own
        };
        self.reserve(steps, listed)
    }

    fn reserve(&mut self, steps: usize, listed: usize) -> Result<()> {
        let reserved = self.steps.try_reserve(steps).and_then(|()| self.rows.try_reserve(listed));
        reserved.map_err(|_| Error::memory(format!("cannot allocate a list of {steps} steps")))
    }

    fn ring(&mut self, reach: Wanted, d: usize, h: usize) {
        let ([ring_d, ring_h], [in_d, in_h]) = (self.shape.ring, self.shape.used);
        if let Some((last, listed)) = self.last
            && last == reach
        {
            // (Upsampling, several output rows in succession read the same rows.)
            self.steps.push(Step::Down(d, h, listed));
            return;
        }
        let (group, rd, rh) = reach;
        let first = self.rows.len();
        for jd in 0..rd.count {
            for jh in 0..rh.count {
                let (d, h) = (rd.start + jd * rd.step, rh.start + jh * rh.step);
                let slot = modulo(d, ring_d) * ring_h + modulo(h, ring_h);
                let place = (group * in_d + d) * in_h + h;
                if self.held[slot] != place {
                    self.held[slot] = place;
                    self.steps.push(Step::Across(d, h, slot));
                }
                self.rows.push(slot);
            }
        }
        let listed = (first, self.rows.len());
        self.last = Some((reach, listed));
        self.steps.push(Step::Down(d, h, listed));
    }

    /// The rows as bands of a plane.
    fn bands(&mut self, rows: &Range<usize>) -> Result<[Range<usize>; 2]> {
        let (out_h, most) = (self.shape.out[1], self.shape.band);
        let steps = rows.len().div_ceil(most) + rows.len().div_ceil(out_h) + 1;
        let reserved = self.steps.try_reserve(steps);
        reserved.map_err(|_| Error::memory(format!("cannot allocate a list of {steps} steps")))?;
        let (mut reads, mut row) = ([0..0, 0..0], rows.start);
        while row < rows.end {
            let (d, h) = (row / out_h, row % out_h);
            let n = most.min(out_h - h).min(rows.end - row);
            self.steps.push(Step::Band(d, h, n));
            for (all, some) in reads.iter_mut().zip(self.reads(d, h..h + n)) {
                *all = if all.start == all.end { some } else { all.start.min(some.start)..all.end.max(some.end) };
            }
            row += n;
        }
        Ok(reads)
    }

    /// The input planes and rows that some output rows of a plane read.
    fn reads(&self, d: usize, h: Range<usize>) -> [Range<usize>; 2] {
        let mut reads = [0..0, 0..0];
        widen(&mut reads[0], (self.reach)(0, d));
        h.for_each(|h| widen(&mut reads[1], (self.reach)(1, h)));
        reads
    }

    fn running(&mut self, (rd, rh): (Reach, Reach), d: usize, h: usize) {
        for j in 0..rd.count * rh.count {
            let (jd, jh) = (j / rh.count, j % rh.count);
            self.steps.push(Step::Across(rd.start + jd * rd.step, rh.start + jh * rh.step, j.min(1)));
            if j > 0 {
                self.steps.push(Step::Absorb { later: 1, into: 0 });
            }
        }
        self.rows.push(0);
        self.steps.push(Step::Down(d, h, (self.rows.len() - 1, self.rows.len())));
    }

    fn scan(&mut self, (group, rd, reach): Wanted, d: usize, h: usize, (block, ahead): (usize, usize)) {
        let plane = rd.start;
        if self.scan.plane != Some((group, plane)) {
            self.scan = Scan { plane: Some((group, plane)), ..Scan::default() };
            self.held.fill(NOTHING);
        }
        let (start, end, of) = (reach.start, reach.end(), (reach.start + ahead) / block);
        let first = self.rows.len();
        if start + ahead == of * block {
            self.fold_from_start(plane, block, (of, start), end);
        } else {
            let next = (of + 1) * block - ahead;
            let block_end = next.min(self.shape.used[1]);
            self.fold_from_end(plane, block, of, start..block_end);
            self.rows.push(slot_of(start, block));
            if end > block_end {
                self.fold_from_start(plane, block, (of + 1, next), end);
            }
        }
        self.steps.push(Step::Down(d, h, (first, self.rows.len())));
    }

    /// The rows of block `of`, which begins with `first`, before row `end`, folded, as the next of the rows to go down.
    fn fold_from_start(&mut self, plane: usize, block: usize, (of, first): (usize, usize), end: usize) {
        let folded = 2 * block;
        let mut next = match self.scan.from_start {
            Some((held, next)) if held == of => next,
            _ => {
                self.steps.push(Step::Across(plane, first, folded));
                first + 1
            }
        };
        while next < end {
            self.hold(plane, block, next);
            self.steps.push(Step::Absorb { later: slot_of(next, block), into: folded });
            next += 1;
        }
        self.scan.from_start = Some((of, next));
        self.rows.push(folded);
    }

    /// Each row of `rows`, which end with block `of`, folded with all rows of the block that follow it.
    fn fold_from_end(&mut self, plane: usize, block: usize, of: usize, rows: Range<usize>) {
        if self.scan.from_end == Some(of) {
            return;
        }
        self.scan.from_end = Some(of);
        for row in rows.clone() {
            self.hold(plane, block, row);
        }
        for row in rows.rev().skip(1) {
            self.steps.push(Step::Absorb { later: slot_of(row + 1, block), into: slot_of(row, block) });
        }
    }

    /// Takes an input row across, unless it is there already.
    fn hold(&mut self, plane: usize, block: usize, row: usize) {
        let slot = slot_of(row, block);
        if self.held[slot] != row {
            self.held[slot] = row;
            self.steps.push(Step::Across(plane, row, slot));
        }
    }
}

/// Extends a range so that it holds all that is reached.
fn widen(range: &mut Range<usize>, reach: Reach) {
    if reach.count > 0 {
        let start = if range.start == range.end { reach.start } else { range.start.min(reach.start) };
        *range = start..range.end.max(reach.end());
    }
}

/// Where a scan keeps an input row: two blocks take turns.
fn slot_of(row: usize, block: usize) -> usize {
    row % (2 * block)
}

/// `a % n`; rings mostly have one or two places, and a division for every row is worth avoiding.
fn modulo(a: usize, n: usize) -> usize {
    if n.is_power_of_two() { a & (n - 1) } else { a % n }
}
