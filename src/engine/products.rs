//! A band of a convolution: tiles of sums of products, and the rows they become.
//!
//! The band's lanes are numbered as they lie: row by row, with whatever lies between the rows. Tiles are cut from that
//! one run, so a short row costs no more than a long one; what was computed between the rows is dropped on the way out.
//! All phases of an output row are computed before any is written, and are interleaved as they are.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::rows::as_cells;
use super::simd::{Job, Level, prefetch_at};
use super::tile::{LONGEST_SUM, MOST_ROWS, Steps, Tile, columns, even_part, most_rows};
use crate::element::{Codec, Laned, Vector};
use crate::geometry::gcd;
use crate::layout::Grid;

/// Steps of the tiles that a row of a block's weights is used for before the next block's: what a block takes beside its
/// products is long beside a few steps, and so many lanes stay in the first cache. (k2s2 of 64 channels, 64 steps a tile, on
/// a Zen 3 core: 10.4 ms with one tile a block, 7.1 with 512 steps. With 1,152 k3s1 of 64 channels takes 4 % less again, and
/// k4s2 of 128 13 %; with 2,304 no less. All blocks summed over some input channels before any over the next, so that
/// lanes stay in the first cache from block to block, was no faster.)
const MANY_STEPS: usize = 1152;

/// Most bytes of a block's sums: a half of the first cache.
const BLOCK_BYTES: usize = 16 << 10;

/// Phases of W whose taps read the same inputs.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which table of steps.
    pub table: usize,
    /// Each phase's place among all, and where its first weight lies from an output channel's.
    pub phases: Vec<(usize, isize)>,
    /// Where its packed weights begin, in those of a block for each input channel.
    pub at: usize,
}

/// One phase of D and one of H, with those of W.
#[derive(Debug, Clone)]
pub struct Plane {
    /// Residues along D and H.
    pub residue: [usize; 2],
    /// Its phases of W.
    pub parts: Vec<Part>,
}

/// A row of the band.
#[derive(Debug, Clone, Copy)]
pub struct RowAt {
    /// Its first lane.
    pub lane: usize,
    /// Image.
    pub n: usize,
    /// Place along D, in units of the output's step.
    pub d: usize,
    /// Place along H.
    pub h: usize,
}

/// Rows that are computed as one run of lanes.
#[derive(Debug, Clone)]
pub struct Slice {
    /// Which rows.
    pub rows: Range<usize>,
    /// The lanes of the first to the last.
    pub lanes: Range<usize>,
}

/// An array of two outer and three spatial axes: an address and strides, in elements.
#[derive(Debug, Clone, Copy)]
pub struct Place<P> {
    /// The address of the first element.
    pub origin: P,
    /// Strides of the outer axes: images and channels, or the channels of a weight.
    pub outer: [isize; 2],
    /// Strides of D, H and W.
    pub spatial: [isize; 3],
}

// SAFETY: an address with strides; what may be done there is said where it is used.
unsafe impl<T: Send + Sync> Send for Place<*const T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Place<*const T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Place<*mut T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Place<*mut T> {}

impl<T> Place<*const T> {
    /// The address of an element.
    #[must_use]
    pub fn at(&self, outer: [usize; 2], spatial: [usize; 3]) -> *const T {
        self.origin.wrapping_offset(self.offset(outer, spatial))
    }
}

impl<T> Place<*mut T> {
    /// The address of an element.
    #[must_use]
    pub fn at_mut(&self, outer: [usize; 2], spatial: [usize; 3]) -> *mut T {
        self.origin.wrapping_offset(self.offset(outer, spatial))
    }
}

impl<P> Place<P> {
    /// How far an element is from the first.
    #[must_use]
    pub fn offset(&self, outer: [usize; 2], spatial: [usize; 3]) -> isize {
        let along = |(i, stride): (usize, isize)| (i as isize).wrapping_mul(stride);
        let outer = outer.into_iter().zip(self.outer).map(along);
        outer.chain(spatial.into_iter().zip(self.spatial).map(along)).fold(0, isize::wrapping_add)
    }
}

impl<T: Copy> Grid<*const T> {
    /// Where the elements lie, if they are computed with as they are stored.
    pub fn place<C: Codec<Stored = T>>(&self) -> Option<Place<*const C::Computed>> {
        C::SAME.then(|| Place { origin: self.ptr.cast(), outer: self.outer_strides(), spatial: self.spatial_strides })
    }
}

impl<T: Copy> Grid<*mut T> {
    /// As for an array that is read.
    pub fn place_mut<C: Codec<Stored = T>>(&self) -> Option<Place<*mut C::Computed>> {
        C::SAME.then(|| Place { origin: self.ptr.cast(), outer: self.outer_strides(), spatial: self.spatial_strides })
    }
}

/// Sets some elements of an array to one value, before a band's [`Products`], which will write some of them again.
///
/// What must hold: the ranges lie within the array, and its elements there are the caller's to write.
pub fn fill<T: Copy>(array: &Place<*mut T>, outer: [usize; 2], spatial: &[Range<usize>; 3], value: T) {
    let [planes, rows, cols] = spatial;
    for (d, h) in planes.clone().flat_map(|d| rows.clone().map(move |h| (d, h))) {
        for w in cols.clone() {
            // SAFETY: the offset of an element that the caller vouches for.
            unsafe { array.origin.wrapping_offset(array.offset(outer, [d, h, w])).write(value) };
        }
    }
}

/// The steps of a class of phases.
#[derive(Debug, Clone)]
pub struct Table {
    /// See [`Steps`]: those of [`channels`](Self::channels) input channels.
    pub steps: Vec<(isize, isize)>,
    /// Input channels of the table.
    pub channels: usize,
    /// Where its lanes begin.
    pub first: isize,
    /// Where the weight of each step lies from the first's.
    pub weights: Vec<isize>,
}

/// What all bands of a convolution share.
#[derive(Debug)]
pub struct Scheme {
    /// The planes.
    pub planes: Vec<Plane>,
    /// Steps of each class of phases.
    pub tables: Vec<Table>,
    /// Residues of W that have taps, rising.
    pub residues: Vec<usize>,
    /// Distance of a phase's outputs along D, H and W.
    pub step: [usize; 3],
    /// Output lengths.
    pub out: [usize; 3],
    /// Whether some phases have no taps, so that their outputs are but the bias.
    pub bare: bool,
    /// Output channels computed together, so that their phases fill the rows of tiles: a block.
    pub together: usize,
    /// Output channels, a number of blocks, whose weights are used for all tiles of a band before the next, so that they stay
    /// in cache.
    pub at_once: usize,
    /// Packed weights of a block for each input channel.
    pub packed: usize,
}

/// Output channels computed together, where each phase of D and H has so many phases of W, `residues` in all: a whole number of
/// tiles of `rows` rows, unless that were many.
pub fn together(phases: impl Iterator<Item = usize>, residues: usize, rows: usize) -> usize {
    let odd = |n: usize| rows / gcd(n, rows);
    let most = phases.map(odd).max().unwrap_or(1);
    if residues * most > 8 * rows { 1 } else { most }
}

/// Steps of a table that goes through several input channels: a loop of a turn or two for each channel took a tenth of the time
/// of a tile.
const LONG_TABLE: usize = 16;

/// Input channels that a table goes through, `taps` steps each, where so many are summed in each pass: as many as divide
/// whatever is summed by itself.
#[must_use]
pub fn channels_of_table(taps: usize, passes: &[usize]) -> usize {
    let each = (LONGEST_SUM / taps.max(1)).max(1);
    let parts = passes.iter().flat_map(|&n| [if n < each { n } else { each }, n % each]);
    let common = parts.fold(0, gcd).max(1);
    (1..=common.min(LONG_TABLE / taps.max(1))).rev().find(|n| common.is_multiple_of(*n)).unwrap_or(1)
}

impl Scheme {
    /// The distance of a phase's outputs along W, and their number.
    #[inline(always)]
    pub(super) fn along_rows(&self) -> (usize, usize) {
        (self.step[2], self.out[2])
    }

    /// Rows of the largest tile, if `together` channels are computed together.
    fn tallest(&self, together: usize, rows: usize) -> usize {
        let parts = self.planes.iter().flat_map(|p| &p.parts);
        parts.map(|p| even_part(p.phases.len() * together, rows, 0).len().max(1)).max().unwrap_or(1)
    }

    /// Room for the packed weights of all blocks of so many output channels and input channels.
    #[must_use]
    pub fn packed_room(&self, outs: usize, ins: usize) -> usize {
        outs.div_ceil(self.together) * self.packed * ins
    }

    /// The sums of a band at this level.
    #[inline(always)]
    fn shape<L: Level, T: Laned>(&self, outs: usize, ins: usize, slices: &[Slice], keep: bool) -> Shape {
        let rows = rows::<L, T>(slices);
        let together = self.together.min(outs);
        let columns = columns::<L, T>(self.tallest(together, rows));
        let tile = columns * L::Register::<T>::LANES;
        let tiles = if keep {
            1
        } else {
            let steps = ins * self.tables.iter().map(|t| t.weights.len()).max().unwrap_or(1);
            let sums = together * self.residues.len() * tile * size_of::<T>();
            let most = slices.iter().map(|s| s.lanes.len().div_ceil(tile)).max().unwrap_or(1);
            (MANY_STEPS / steps.max(1)).min(BLOCK_BYTES / sums.max(1)).min(most).max(1)
        };
        Shape { rows, together, columns, pitch: tiles * tile }
    }

    /// Room for sums that a band of `slices` needs at this level: of one block, or of all if they are kept.
    pub fn room<L: Level, T: Laned>(&self, outs: &Range<usize>, ins: usize, slices: &[Slice], keep: bool) -> usize {
        let Shape { together, pitch, .. } = self.shape::<L, T>(outs.len(), ins, slices, keep);
        let block = together * self.residues.len() * pitch;
        if !keep {
            return block;
        }
        let tiles: usize = slices.iter().map(|s| s.lanes.len().div_ceil(pitch)).sum();
        let blocks: usize = self.shares(outs).map(|outs| outs.len().div_ceil(together)).sum();
        block * tiles * blocks * self.planes.len()
    }

    /// Panics if lanes below `end` of `ins` input channels, read at every step, are not all among the first `readable`.
    pub(super) fn require_readable(&self, end: usize, ins: usize, readable: usize) {
        let inside = |offset: isize| {
            usize::try_from(offset).is_ok_and(|first| first.checked_add(end).is_some_and(|end| end <= readable))
        };
        for Table { steps, channels, first, .. } in self.tables.iter().filter(|t| !t.steps.is_empty()) {
            // From the first repetition to the last, and within one, as far as its steps lead either way.
            let (mut at, mut low, mut high) = (*first, *first, *first);
            for (_, next) in steps {
                (low, high) = (low.min(at), high.max(at));
                at = at.wrapping_add(*next);
            }
            let far = at.wrapping_sub(*first).saturating_mul((ins / channels) as isize - 1);
            let ends = [low, low.saturating_add(far), high, high.saturating_add(far)];
            assert!(ends.into_iter().all(inside), "a tile would read outside the band's inputs");
        }
    }

    /// Output channels whose weights are used together.
    fn shares(&self, outs: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (outs, at_once) = (outs.clone(), self.at_once);
        outs.clone().step_by(at_once).map(move |first| first..(first + at_once).min(outs.end))
    }
}

/// How the sums of a band are cut.
struct Shape {
    /// Most rows of a tile.
    rows: usize,
    /// Output channels computed together.
    together: usize,
    /// Vectors in the columns of a tile.
    columns: usize,
    /// Lanes of a block: of a few tiles side by side, if their sums are short.
    pitch: usize,
}

/// Most rows of the tiles of a band: half as many where all lanes of a slice then fit one tile, for weights are read once
/// for each. (1-D k16s8, 512 channels of 64, whose weights are in L2: 3.3 ms with all rows, 2.9 with half.)
#[inline(always)]
fn rows<L: Level, T: Laned>(slices: &[Slice]) -> usize {
    let width = L::Register::<T>::LANES;
    let wide = |s: &Slice| (L::TILE.1 + 1..=L::WIDE_TILE).contains(&s.lanes.len().div_ceil(width));
    let half = L::WIDE_TILE <= T::LARGEST.1 && slices.iter().all(wide);
    if half { L::TILE.0 / 2 } else { most_rows::<L, T>() }
}

/// The work on one band.
///
/// What must hold of the addresses: from `lanes` on there are `readable` elements; every weight that a table and the
/// offsets of a part lead to is readable; every output position of the rows that lies within the output is this job's to
/// write. That all lanes a tile reads are among the readable ones is checked.
pub struct Products<'a, T> {
    /// What all bands share.
    pub scheme: &'a Scheme,
    /// The group's weights.
    pub weights: Weights<'a, T>,
    /// Where sums begin, for each output channel of the group; zero if there is none.
    pub bias: Option<&'a [T]>,
    /// Output channels to compute.
    pub outs: Range<usize>,
    /// Input channels to sum over.
    pub ins: usize,
    /// Lane 0.
    pub lanes: *const T,
    /// Elements that may be read from lane 0 on.
    pub readable: usize,
    /// Whether there are lanes to read beyond the last: a tile's worth.
    pub slack: bool,
    /// The rows.
    pub rows: &'a [RowAt],
    /// How they are computed.
    pub slices: &'a [Slice],
    /// Lanes of a row.
    pub width: usize,
    /// Place of a row's first lane along W, in units of the output's step.
    pub col: usize,
    /// Where results go.
    pub target: Place<*mut T>,
    /// Found, see [`Scheme::room`].
    pub sums: &'a mut [T],
    /// Room for lists.
    pub lists: &'a mut Lists<T>,
    /// Whether the sums of all blocks are kept: because they are to be added to, or have been begun.
    pub keep: bool,
    /// Whether the sums begin here, and whether they end here.
    pub first_last: (bool, bool),
}

/// Asks for the most rows a tile has at a level.
#[derive(Default)]
pub struct MostRows<T>(std::marker::PhantomData<T>);

impl<T: Laned> Job for MostRows<T> {
    type Output = usize;
    #[inline(always)]
    fn run<L: Level>(self, _: L) -> usize {
        most_rows::<L, T>()
    }
}

/// Asks for the room of [`Scheme::room`] at the current level.
pub struct RoomOfSums<'a, T> {
    /// The scheme.
    pub scheme: &'a Scheme,
    /// Output channels.
    pub outs: Range<usize>,
    /// Input channels to sum over.
    pub ins: usize,
    /// The slices.
    pub slices: &'a [Slice],
    /// See [`Products::keep`].
    pub keep: bool,
    /// The type of the sums.
    pub of: std::marker::PhantomData<T>,
}

impl<T: Laned> Job for RoomOfSums<'_, T> {
    type Output = usize;
    #[inline(always)]
    fn run<L: Level>(self, _: L) -> usize {
        self.scheme.room::<L, T>(&self.outs, self.ins, self.slices, self.keep)
    }
}

/// Most steps of a part for which the place of each weight is written down before they are packed.
const SHORT_PART: usize = 64;

/// How many input channels ahead weights are asked for.
pub(super) const AHEAD: isize = 8;

/// The weights of a group, as a band finds them.
pub enum Weights<'a, T> {
    /// Where they lie, and the distance of output channels. (There is one phase, and the weights of its steps, channel by
    /// channel, lie as the steps say.)
    Ready(*const T, isize),
    /// [Packed](Pack), all blocks of the group; of so many input channels, of which the band's are those from the second on.
    Packed(*const T, usize, usize),
    /// To be packed into this room, [`Scheme::at_once`] output channels at a time.
    Scattered(Place<*const T>, &'a mut [T]),
}

/// Puts the weights of some output channels in the order in which tiles read them: block by block, part by part, for each
/// input channel and step those of all rows. A tile then reads one unbroken run. (Where they lie, each row is a stream of its
/// own, and those of a transposed convolution are often a power of two of bytes apart, where they crowd a few sets of every
/// cache. On a Zen 3 core k16s8 of 21 channels took 20.8 ms so, packed 15.9. Blocks of eight rows woven by instructions, where they
/// are in order, took a thirtieth off k3 of 256 channels along one axis, and nothing off k3s2: not worth the code.)
pub struct Pack<'a, T> {
    /// What all bands share.
    pub scheme: &'a Scheme,
    /// The weights: outer axes are output channels and input channels.
    pub from: Place<*const T>,
    /// Which output channels; they begin with a block.
    pub outs: Range<usize>,
    /// How many input channels.
    pub ins: usize,
    /// The copy, see [`Scheme::packed_room`].
    pub to: &'a mut [T],
}

impl<T: Laned> Job for Pack<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Scheme { planes, tables, together, packed, .. } = self.scheme;
        let [so, si] = self.from.outer;
        let (n, size) = (self.outs.len(), packed * self.ins);
        let parts =
            || planes.iter().flat_map(|p| &p.parts).map(|p| (p, &tables[p.table].weights, together * p.phases.len()));
        // Where the weights of a row of a block lie from its first output channel's, and where those of the steps of short parts
        // do, row by row, so that each part is one loop.
        let row = |part: &Part, r: usize| {
            let (o, phase) = (r / part.phases.len(), part.phases[r % part.phases.len()].1);
            (o as isize).wrapping_mul(so).wrapping_add(phase)
        };
        let mut order = Vec::new();
        for (part, steps, rows) in parts().filter(|p| p.1.len() <= SHORT_PART) {
            for step in steps {
                order.extend((0..rows).map(|r| row(part, r).wrapping_add(*step)));
            }
        }
        for i in 0..self.ins {
            let from = self.from.at([self.outs.start, i], [0; 3]);
            prefetch_at(from.wrapping_offset(si.wrapping_mul(AHEAD)), n * so.unsigned_abs());
            for first in (0..n).step_by(*together) {
                let from = from.wrapping_offset((first as isize).wrapping_mul(so));
                let outs = (n - first).min(*together);
                let block = &mut self.to[first / together * size..][..size];
                let mut order = &order[..];
                for (part, steps, rows) in parts() {
                    let len = steps.len() * rows;
                    let to = &mut block[part.at * self.ins + i * len..][..len];
                    let kept = outs * part.phases.len();
                    if steps.len() <= SHORT_PART {
                        let (places, rest) = order.split_at(len);
                        order = rest;
                        // All in one go, unless the last block is shorter than the others.
                        let (run, kept) = if kept == rows { (len, len) } else { (rows, kept) };
                        for (to, places) in to.chunks_exact_mut(run.max(1)).zip(places.chunks_exact(run.max(1))) {
                            for (to, place) in to[..kept].iter_mut().zip(places) {
                                // SAFETY: the weight of an output channel, an input channel and a tap that exist.
                                *to = unsafe { from.wrapping_offset(*place).read() };
                            }
                        }
                        continue;
                    }
                    for r in 0..kept {
                        let from = from.wrapping_offset(row(part, r));
                        for (to, step) in to[r..].iter_mut().step_by(rows).zip(steps) {
                            // SAFETY: as above.
                            *to = unsafe { from.wrapping_offset(*step).read() };
                        }
                    }
                }
            }
        }
    }
}

/// Weights that will be gathered next, input channel by input channel. (They lie far apart: no processor finds them by
/// itself.)
pub(super) struct NextWeights<T> {
    /// The first of them, and how far it is to those of the next input channel.
    pub at: *const T,
    /// See above.
    pub step: isize,
    /// How many lie together.
    pub run: usize,
    /// Input channels left, and those to ask for at a time.
    pub left: usize,
    /// See above.
    pub each: usize,
}

impl<T> NextWeights<T> {
    /// Asks for the next few.
    #[inline(always)]
    pub fn ask(&mut self) {
        for _ in 0..self.each.min(self.left) {
            prefetch_at(self.at, self.run);
            self.at = self.at.wrapping_offset(self.step);
            self.left -= 1;
        }
    }
}

/// Room for what is known of a band's blocks before the first of their tiles.
#[derive(Debug)]
pub struct Lists<T> {
    blocks: Vec<Block>,
    tiles: Vec<TileOf<T>>,
    phases: Vec<PhaseOf>,
    segments: Vec<Segment>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), tiles: Vec::new(), phases: Vec::new(), segments: Vec::new() }
    }
}

/// Where the weights of some output channels are.
struct WeightsAt<T> {
    /// The first one of output channel 0, or the first that is packed.
    first: *const T,
    /// Distance of rows.
    distance: isize,
    /// If they are packed: from which output channel on, of how many input channels, and from which of them on.
    packed: Option<(usize, usize, usize)>,
}

/// A block of results: one plane of phases of some output channels.
#[derive(Debug)]
struct Block {
    residue: [usize; 2],
    outs: Range<usize>,
    /// Its tiles, and its phases of W, among all.
    tiles: Range<usize>,
    phases: Range<usize>,
}

/// The rows of a tile: weights, where sums begin, the steps, and which row of the block's sums is the first.
#[derive(Debug)]
struct TileOf<T> {
    /// The first row's first weight, and the distance of rows.
    weights: (*const T, isize),
    begin: [T; MOST_ROWS],
    rows: usize,
    table: usize,
    at: usize,
    /// Input channels that are summed by themselves, and how far it is from one repetition of the steps to the next.
    each: usize,
    advance: (isize, isize),
}

/// Where a phase of W finds its sums: the row of the block's first output channel, and how many rows there are to the
/// next.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PhaseOf {
    pub residue: usize,
    pub row: usize,
    pub per_channel: usize,
}

impl<T: Laned> Job for Products<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(mut self, level: L) {
        let shape = self.scheme.shape::<L, T>(self.outs.len(), self.ins, self.slices, self.keep);
        let Shape { rows, together, columns, pitch } = shape;
        let width = L::Register::<T>::LANES;
        self.require_readable(width, columns * width);
        let room = together * self.scheme.residues.len() * pitch;
        let mut at = 0;
        for outs in self.scheme.shares(&self.outs) {
            let weights = self.weights(level, &outs);
            self.list(&weights, &outs, together, rows);
            let blocks: usize = self.slices.iter().map(|s| s.lanes.len().div_ceil(pitch)).sum();
            let mut next_weights = self.next_weights(&outs, blocks * self.lists.blocks.len());
            for slice in self.slices {
                let vectors = slice.lanes.len().div_ceil(width);
                let parts = vectors.div_ceil(pitch / width);
                let (mut next, mut row) = (0, 0);
                for t in 0..parts {
                    // The fewest parts, as even as can be.
                    let wide = vectors / parts + usize::from(t < vectors % parts);
                    let n = wide * width;
                    let mut start = slice.lanes.start + next * width;
                    next += wide;
                    if start + n > slice.lanes.end && (!self.slack || slice.lanes.len() >= n) {
                        start = slice.lanes.end.saturating_sub(n).max(slice.lanes.start);
                    }
                    row = self.segments(slice, row, &(start..start + n));
                    for block in &self.lists.blocks {
                        if self.first_last.1 {
                            ask(self.scheme, &self.target, &self.lists.segments, block);
                        }
                        next_weights.ask();
                        for tile in &self.lists.tiles[block.tiles.clone()] {
                            let sums = &mut self.sums[at + tile.at * pitch..][..tile.rows * pitch];
                            for c in 0..wide.div_ceil(columns) {
                                let vectors = even_part(wide, columns, c);
                                let mut from = vectors.start * width;
                                if !self.slack {
                                    // What a tile would read beyond the last lane it reads before.
                                    let left = slice.lanes.end - start;
                                    from = from.min(left.saturating_sub(vectors.len() * width));
                                }
                                let lanes = self.lanes.wrapping_add(start + from);
                                let to = &mut sums[from..];
                                // SAFETY: all lanes read are among the readable ones, which was checked; the other addresses
                                // are those the job's maker vouches for.
                                unsafe {
                                    tile.run(
                                        level,
                                        self.scheme,
                                        (lanes, self.ins, !self.first_last.0),
                                        vectors.len(),
                                        (to, pitch),
                                    )
                                };
                            }
                        }
                        if self.first_last.1 {
                            put(level, self.scheme, &self.target, self.lists, block, self.sums, at, pitch);
                        }
                        at += if self.keep { room } else { 0 };
                    }
                }
            }
        }
    }
}

impl<T: Laned> TileOf<T> {
    /// Found `ins` repetitions of the steps over some vectors of lanes, in parts that are each summed by themselves, to rows
    /// that are `pitch` apart; or, if they are `begun`, adds to what is there.
    ///
    /// # Safety
    /// The tile's weights, and the lanes, must be readable at every step.
    #[inline(always)]
    unsafe fn run<L: Level>(
        &self,
        level: L,
        scheme: &Scheme,
        (mut lanes, ins, mut begun): (*const T, usize, bool),
        columns: usize,
        (to, pitch): (&mut [T], usize),
    ) {
        let table = &scheme.tables[self.table];
        lanes = lanes.wrapping_offset(table.first);
        let mut weights = self.weights.0;
        let mut done = 0;
        // The tile's own bounds: it has so many rows of sums.
        let _ = &to[(self.rows - 1) * pitch..][..columns * L::Register::<T>::LANES];
        loop {
            let channels = self.each.min(ins - done);
            let outer = channels / table.channels;
            let part = Tile {
                rows: self.rows,
                factors: (weights, self.weights.1),
                lanes,
                columns,
                steps: Steps { outer, table: &table.steps },
                begin: (!begun).then_some(&self.begin[..self.rows]),
                to: to.as_mut_ptr(),
                pitch,
            };
            // SAFETY: the factors and lanes are those the caller vouches for, and the sums are within `to`, see above.
            unsafe { part.run(level) };
            begun = true;
            done += channels;
            if done >= ins {
                return;
            }
            let by = outer as isize;
            weights = weights.wrapping_offset(self.advance.0.wrapping_mul(by));
            lanes = lanes.wrapping_offset(self.advance.1.wrapping_mul(by));
        }
    }
}

impl<T: Laned> Products<'_, T> {
    /// Panics if a tile of vectors of `width` lanes, or the widest, could read beyond the readable elements.
    fn require_readable(&self, width: usize, widest: usize) {
        let end = |s: &Slice| {
            let n = s.lanes.len().next_multiple_of(width);
            // Without slack a tile that would read beyond the last lane begins before, unless it is longer than all.
            if self.slack { s.lanes.start + n } else { s.lanes.end.max(s.lanes.start + n.min(widest)) }
        };
        let end = self.slices.iter().map(end).max();
        self.scheme.require_readable(end.unwrap_or(0), self.ins, self.readable);
    }

    /// Where the weights of this part of the output channels are.
    #[inline(always)]
    fn weights<L: Level>(&mut self, level: L, outs: &Range<usize>) -> WeightsAt<T> {
        match &mut self.weights {
            Weights::Ready(first, distance) => WeightsAt { first: *first, distance: *distance, packed: None },
            Weights::Packed(first, ins, from) => {
                WeightsAt { first: *first, distance: 1, packed: Some((0, *ins, *from)) }
            }
            Weights::Scattered(from, room) => {
                Pack { scheme: self.scheme, from: *from, outs: outs.clone(), ins: self.ins, to: room }.run(level);
                WeightsAt { first: room.as_ptr(), distance: 1, packed: Some((outs.start, self.ins, 0)) }
            }
        }
    }

    /// The weights to be packed after those of `outs`, to be asked for in `times` shares.
    fn next_weights(&self, outs: &Range<usize>, times: usize) -> NextWeights<T> {
        let none = NextWeights { at: std::ptr::null(), step: 0, run: 0, left: 0, each: 0 };
        let Weights::Scattered(from, _) = &self.weights else { return none };
        if outs.end >= self.outs.end {
            return none;
        }
        let run = (self.outs.end - outs.end).min(self.scheme.at_once) * from.outer[0].unsigned_abs();
        let each = self.ins.div_ceil(times.max(1));
        NextWeights { at: from.at([outs.end, 0], [0; 3]), step: from.outer[1], run, left: self.ins, each }
    }

    /// Lists what is the same for all tiles of some blocks. The sums of a block are row after row: part by part, channel
    /// by channel, phase by phase.
    fn list(&mut self, weights: &WeightsAt<T>, all: &Range<usize>, together: usize, most: usize) {
        self.lists.blocks.clear();
        self.lists.tiles.clear();
        self.lists.phases.clear();
        let planes = &self.scheme.planes;
        let groups = all.clone().step_by(together).map(|first| first..(first + together).min(all.end));
        for (outs, plane) in groups.flat_map(|outs| planes.iter().map(move |plane| (outs.clone(), plane))) {
            let (tiles, phases) = (self.lists.tiles.len(), self.lists.phases.len());
            let mut before = 0;
            for part in &plane.parts {
                self.tiles(weights, part, &outs, before, most);
                let per_channel = part.phases.len();
                let of = part.phases.iter().enumerate().map(|(i, p)| PhaseOf {
                    residue: self.scheme.residues[p.0],
                    row: before + i,
                    per_channel,
                });
                self.lists.phases.extend(of);
                before += per_channel * outs.len();
            }
            self.lists.phases[phases..].sort_unstable_by_key(|p| p.residue);
            self.lists.blocks.push(Block {
                residue: plane.residue,
                outs,
                tiles: tiles..self.lists.tiles.len(),
                phases: phases..self.lists.phases.len(),
            });
        }
    }

    /// Lists the tiles of one part of a block, whose sums begin at row `before`.
    fn tiles(&mut self, weights: &WeightsAt<T>, part: &Part, outs: &Range<usize>, before: usize, most: usize) {
        let phases = part.phases.len();
        let n = phases * outs.len();
        let Table { steps, weights: taps, .. } = &self.scheme.tables[part.table];
        let add = |a: (isize, isize), b: &(isize, isize)| (a.0.wrapping_add(b.0), a.1.wrapping_add(b.1));
        let advance = steps.iter().fold((0, 0), add);
        let first = match weights.packed {
            None => {
                let offset = (outs.start as isize).wrapping_mul(weights.distance);
                weights.first.wrapping_offset(offset.wrapping_add(part.phases.first().map_or(0, |p| p.1)))
            }
            Some((begin, ins, from)) => {
                let Scheme { together, packed, .. } = self.scheme;
                let block = (outs.start - begin) / together * packed * ins;
                weights.first.wrapping_add(block + part.at * ins + from * taps.len() * together * phases)
            }
        };
        for i in 0..n.div_ceil(most) {
            let rows = even_part(n, most, i);
            let mut tile = TileOf {
                weights: (
                    first.wrapping_offset((rows.start as isize).wrapping_mul(weights.distance)),
                    weights.distance,
                ),
                begin: [T::default(); MOST_ROWS],
                rows: rows.len(),
                table: part.table,
                at: before + rows.start,
                each: (LONGEST_SUM / taps.len().max(1)).max(1),
                advance,
            };
            if let Some(bias) = self.bias {
                for (begin, row) in tile.begin.iter_mut().zip(rows) {
                    *begin = bias[outs.start + row / phases];
                }
            }
            self.lists.tiles.push(tile);
        }
    }

    /// Lists the parts of rows that a tile's lanes are. The first row is looked for near `from`, that of the tile before.
    #[inline(always)]
    fn segments(&mut self, slice: &Slice, mut from: usize, lanes: &Range<usize>) -> usize {
        self.lists.segments.clear();
        let rows = &self.rows[slice.rows.clone()];
        while from > 0 && rows[from - 1].lane + self.width > lanes.start {
            from -= 1;
        }
        while from < rows.len() && rows[from].lane + self.width <= lanes.start {
            from += 1;
        }
        for row in rows[from..].iter().take_while(|r| r.lane < lanes.end) {
            let (start, end) = (row.lane.max(lanes.start), (row.lane + self.width).min(lanes.end));
            self.lists.segments.push(Segment {
                from: start - lanes.start,
                n: end - start,
                col: self.col + (start - row.lane),
                d: row.d * self.scheme.step[0],
                h: row.h * self.scheme.step[1],
                image: (row.n as isize).wrapping_mul(self.target.outer[0]),
            });
        }
        from
    }
}

/// Asks for the places a block's sums will be written to, while its products are taken. (k2s2 of 64 channels of 128 x 128:
/// 4.9 ms without, 4.3 with. Results of 16 MiB and more written past the caches instead were no faster, and 6 % slower
/// for k16s8.)
#[inline(always)]
fn ask<T>(scheme: &Scheme, target: &Place<*mut T>, segments: &[Segment], block: &Block) {
    let [sd, sh, sw] = target.spatial;
    if sw != 1 {
        return;
    }
    for segment in segments {
        let (d, h) = (block.residue[0] + segment.d, block.residue[1] + segment.h);
        let base =
            segment.image.wrapping_add((d as isize).wrapping_mul(sd)).wrapping_add((h as isize).wrapping_mul(sh));
        let row = target.origin.wrapping_offset(base).wrapping_add(segment.col * scheme.step[2]);
        for o in block.outs.clone() {
            let row = row.wrapping_offset((o as isize).wrapping_mul(target.outer[1]));
            prefetch_at(row, segment.n * scheme.step[2]);
        }
    }
}

/// Writes a block's sums, which begin at `at`, to the rows they belong to.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // the fields of a job, apart so that they can be borrowed apart
fn put<L: Level, T: Laned>(
    level: L,
    scheme: &Scheme,
    target: &Place<*mut T>,
    lists: &Lists<T>,
    block: &Block,
    sums: &mut [T],
    at: usize,
    pitch: usize,
) {
    let [sd, sh, _] = target.spatial;
    let phases = &lists.phases[block.phases.clone()];
    let sums = as_cells(sums);
    for segment in &lists.segments {
        let (d, h) = (block.residue[0] + segment.d, block.residue[1] + segment.h);
        if d >= scheme.out[0] || h >= scheme.out[1] {
            continue;
        }
        let base =
            segment.image.wrapping_add((d as isize).wrapping_mul(sd)).wrapping_add((h as isize).wrapping_mul(sh));
        for (i, o) in block.outs.clone().enumerate() {
            let row = target.origin.wrapping_offset(base.wrapping_add((o as isize).wrapping_mul(target.outer[1])));
            let found = Found { phases, first: at + segment.from, channel: i, pitch };
            // SAFETY: a row of an output that exists, whose places from the segment's on are this job's to write.
            unsafe {
                write_row(level, scheme.along_rows(), (row, target.spatial[2]), (segment.col, segment.n), &found, sums)
            };
        }
    }
}

/// Where the sums of a part of an output row are: of each phase, from `first + pitch*row` on.
pub(super) struct Found<'a> {
    pub phases: &'a [PhaseOf],
    pub first: usize,
    pub channel: usize,
    pub pitch: usize,
}

impl Found<'_> {
    #[inline(always)]
    fn of(&self, p: &PhaseOf) -> usize {
        self.first + (p.row + self.channel * p.per_channel) * self.pitch
    }
}

/// Writes `n` sums of each phase to an output row of `width`, given as its first element and its stride, from place `at` on,
/// in units of the step.
///
/// # Safety
/// The row's elements must be writeable from there on, as far as there are sums for them.
#[inline(always)]
pub(super) unsafe fn write_row<L: Level, T: Laned>(
    level: L,
    (step, width): (usize, usize),
    (row, stride): (*mut T, isize),
    (at, n): (usize, usize),
    found: &Found<'_>,
    sums: &[Cell<T>],
) {
    let col = at * step;
    if matches!(step, 2 | 3 | 4 | 8) && found.phases.len() == step && stride == 1 {
        let mut starts = [0; MOST_PHASES];
        for (start, p) in starts.iter_mut().zip(found.phases) {
            *start = found.of(p);
        }
        let n = (step * n).min(width.saturating_sub(col));
        // SAFETY: `n` places of one row, from `col` on, this job's to write.
        let to = unsafe { std::slice::from_raw_parts_mut(row.wrapping_add(col).cast::<MaybeUninit<T>>(), n) };
        return match step {
            2 => woven_rows::<L, T, 2>(level, sums, &starts, to),
            3 => woven_rows::<L, T, 3>(level, sums, &starts, to),
            4 => woven_rows::<L, T, 4>(level, sums, &starts, to),
            _ => woven_rows::<L, T, 8>(level, sums, &starts, to),
        };
    }
    let jump = (step as isize).wrapping_mul(stride);
    for p in found.phases {
        let col = col + p.residue;
        let left = width.saturating_sub(col);
        let n = n.min(if step == 1 { left } else { left.div_ceil(step) });
        let to = row.wrapping_offset((col as isize).wrapping_mul(stride));
        let values = &sums[found.of(p)..][..n];
        if jump == 1 {
            // SAFETY: `n` places of one row, from `col` on, this job's to write.
            level.copy(values, unsafe { std::slice::from_raw_parts_mut(to.cast::<MaybeUninit<T>>(), n) });
            continue;
        }
        for (j, v) in values.iter().enumerate() {
            // SAFETY: place `col + j*step` of the row, below `width`; this job's to write.
            unsafe { to.wrapping_offset((j as isize).wrapping_mul(jump)).write(v.get()) };
        }
    }
}

/// Weaves `R` rows of `n` elements that begin at these places. `to` may be shorter than all of them.
#[inline(always)]
fn woven_rows<L: Level, T: Laned, const R: usize>(
    level: L,
    from: &[Cell<T>],
    starts: &[usize; MOST_PHASES],
    to: &mut [MaybeUninit<T>],
) {
    let n = to.len() / R;
    let mut rows: [&[Cell<T>]; R] = [&[]; R];
    for (row, &start) in rows.iter_mut().zip(starts) {
        *row = &from[start..start + n];
    }
    let (whole, rest) = to.split_at_mut(n * R);
    level.weave(&rows, whole);
    for (to, &start) in rest.iter_mut().zip(starts) {
        to.write(from[start + n].get());
    }
}

/// Most phases that are woven by registers.
pub(super) const MOST_PHASES: usize = 8;

/// Lanes of one row.
#[derive(Debug, Clone, Copy)]
struct Segment {
    /// The first, among the tile's.
    from: usize,
    /// How many.
    n: usize,
    /// Its place along W, in units of the output's step.
    col: usize,
    /// Its place along D and H, without the phase's.
    d: usize,
    h: usize,
    /// Offset of its image.
    image: isize,
}

/// Taps that read neighbouring lanes.
#[derive(Debug, Clone, Copy)]
pub struct Taps {
    /// Where the first place's lanes begin.
    pub lane: usize,
    /// How many lanes.
    pub lanes: usize,
}

/// Found over the places of a band, for the gradient of a weight.
///
/// What must hold of the addresses: every channel's element is readable from `short` on at every step of every row.
pub struct Correlations<'a, T> {
    /// The short side's first element of the first channel.
    pub short: *const T,
    /// Distance of its channels, and their number.
    pub channel: isize,
    /// Number of channels.
    pub channels: usize,
    /// The long side, with a register's worth of slack at the end.
    pub lanes: &'a [T],
    /// The taps.
    pub taps: &'a [Taps],
    /// Rows of the band.
    pub rows: usize,
    /// From place to place of a row, see [`Steps`].
    pub steps: &'a [(isize, isize)],
    /// Found of each tap and channel, `pitch` each, to be added to. (A band's share is summed by itself: the error of one long
    /// sum would grow with the size of the image.)
    pub sums: &'a mut [T],
    /// Elements of a row of sums, a whole number of registers.
    pub pitch: usize,
}

impl<T: Laned> Job for Correlations<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let most = most_rows::<L, T>();
        let width = L::Register::<T>::LANES;
        let steps = Steps { outer: self.rows, table: self.steps };
        for (t, taps) in self.taps.iter().enumerate() {
            let vectors = taps.lanes.div_ceil(width);
            for i in 0..self.channels.div_ceil(most) {
                let rows = even_part(self.channels, most, i);
                let short = self.short.wrapping_offset((rows.start as isize).wrapping_mul(self.channel));
                let columns = columns::<L, T>(rows.len());
                for v in 0..vectors.div_ceil(columns) {
                    let part = even_part(vectors, columns, v);
                    let lanes = self.lanes[taps.lane + part.start * width..].as_ptr();
                    let first = (t * self.channels + rows.start) * self.pitch + part.start * width;
                    let sums = &mut self.sums[first..][..(rows.len() - 1) * self.pitch + part.len() * width];
                    // SAFETY: the short side's addresses are those the job's maker vouches for; the long side's lie within
                    // `lanes` by the band's layout, up to a register's worth of slack; there are `sums` for each row.
                    unsafe {
                        let (rows, factors, columns) = (rows.len(), (short, self.channel), part.len());
                        let (to, pitch) = (sums.as_mut_ptr(), self.pitch);
                        Tile { rows, factors, lanes, columns, steps, begin: None, to, pitch }.run(level);
                    }
                }
            }
        }
    }
}

/// Where a tap's sums are, and its place in the gradient.
#[derive(Debug, Clone, Copy)]
pub struct Tap {
    /// The first sum, of the first channels, if there is one: else the gradient is zero.
    pub sum: Option<usize>,
    /// Offset in the gradient.
    pub to: isize,
}

/// Writes sums, `pitch` apart for the short side's channels and next to each other for the long side's, to the gradient of
/// a weight. What must hold: every pair of channels has every tap, and they are this job's to write.
pub struct Deliver<'a, T> {
    /// The sums.
    pub sums: &'a [T],
    /// See above.
    pub pitch: usize,
    /// The taps.
    pub taps: &'a [Tap],
    /// Channels of the short side, and of the long one.
    pub channels: [usize; 2],
    /// The first pair's gradient; its outer axes are these channels.
    pub to: Place<*mut T>,
}

impl<T: Laned> Job for Deliver<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let [short, long] = self.to.outer;
        for a in 0..self.channels[0] {
            for b in 0..self.channels[1] {
                let pair = (a as isize).wrapping_mul(short).wrapping_add((b as isize).wrapping_mul(long));
                let to = self.to.origin.wrapping_offset(pair);
                for tap in self.taps {
                    let value = tap.sum.map_or_else(T::default, |first| self.sums[first + a * self.pitch + b]);
                    // SAFETY: a tap of a pair of channels, which the job's maker vouches for.
                    unsafe { to.wrapping_offset(tap.to).write(value) };
                }
            }
        }
    }
}
