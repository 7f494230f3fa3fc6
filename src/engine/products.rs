//! A band of a convolution: tiles of sums of products, and the rows they become.
//!
//! The band's lanes are numbered as they lie: row by row, with whatever lies between the rows. Tiles are cut from that
//! one run, so a short row costs no more than a long one; what was computed between the rows is dropped on the way out.
//! All phases of an output row are computed before any is written, and are interleaved as they are.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::rows::{as_cells, as_uninit};
use super::simd::{Job, Level, prefetch_at};
use super::tile::{MOST_ROWS, Steps, Tile, columns, even_part, most_rows};
use crate::element::{Codec, Laned, Vector};
use crate::layout::Grid;

/// Most products added one after the other. The error of a sum grows with its length: in parts of 256, those of 4,608 have
/// a quarter of it, and adding the parts takes a hundredth of the time.
const LONGEST_SUM: usize = 256;

/// Phases of W whose taps read the same inputs.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which table of steps.
    pub table: usize,
    /// Each phase's place among all, and where its first weight lies from an output channel's.
    pub phases: Vec<(usize, isize)>,
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

/// What all bands of a convolution share.
#[derive(Debug)]
pub struct Scheme {
    /// The planes.
    pub planes: Vec<Plane>,
    /// Steps of each class of phases, see [`Steps`], and where its lanes begin.
    pub tables: Vec<(Vec<(isize, isize)>, isize)>,
    /// Residues of W that have taps, rising.
    pub residues: Vec<usize>,
    /// Distance of a phase's outputs along D, H and W.
    pub step: [usize; 3],
    /// Output lengths.
    pub out: [usize; 3],
    /// Whether some phases have no taps, so that their outputs are but the bias.
    pub bare: bool,
    /// Kernel lengths.
    pub kernel: [usize; 3],
    /// Output channels whose weights are used for all tiles of a band before the next, so that they stay in cache.
    pub at_once: usize,
}

impl Scheme {
    /// Output channels computed together, so that their phases fill the rows of tiles.
    fn together(&self, rows: usize) -> usize {
        let odd = |n: usize| rows / crate::geometry::gcd(n, rows);
        let most = self.planes.iter().flat_map(|p| &p.parts).map(|p| odd(p.phases.len())).max().unwrap_or(1);
        if self.residues.len() * most > 8 * rows { 1 } else { most }
    }

    /// Rows of the largest tile, if `together` channels are computed together.
    fn tallest(&self, together: usize, rows: usize) -> usize {
        let parts = self.planes.iter().flat_map(|p| &p.parts);
        parts.map(|p| even_part(p.phases.len() * together, rows, 0).len().max(1)).max().unwrap_or(1)
    }

    /// Room for sums that a band of `slices` needs at this level: of one block, or of all if they are kept.
    pub fn room<L: Level, T: Laned>(&self, outs: &Range<usize>, slices: &[Slice], keep: bool) -> usize {
        let rows = rows::<L, T>(slices);
        let together = self.together(rows).min(outs.len());
        let width = L::Register::<T>::LANES;
        let pitch = columns::<L, T>(self.tallest(together, rows)) * width;
        let block = together * self.residues.len() * pitch;
        if !keep {
            return block;
        }
        let tiles: usize = slices.iter().map(|s| s.lanes.len().div_ceil(pitch)).sum();
        let blocks: usize = self.shares(outs).map(|(_, outs)| outs.len().div_ceil(together)).sum();
        block * tiles * blocks * self.planes.len()
    }

    /// Panics if lanes below `end` of `ins` input channels, read at every step, are not all among the first `readable`.
    pub(super) fn require_readable(&self, end: usize, ins: usize, readable: usize) {
        let inside = |offset: isize| {
            usize::try_from(offset).is_ok_and(|first| first.checked_add(end).is_some_and(|end| end <= readable))
        };
        for (table, first) in self.tables.iter().filter(|t| !t.0.is_empty()) {
            // From the first repetition to the last, and within one, as far as its steps lead either way.
            let (mut at, mut low, mut high) = (*first, *first, *first);
            for (_, next) in table {
                (low, high) = (low.min(at), high.max(at));
                at = at.wrapping_add(*next);
            }
            let far = at.wrapping_sub(*first).saturating_mul(ins as isize - 1);
            let ends = [low, low.saturating_add(far), high, high.saturating_add(far)];
            assert!(ends.into_iter().all(inside), "a tile would read outside the band's inputs");
        }
    }

    /// Output channels cut where their weights are: which part, and which of `outs` it holds.
    fn shares(&self, outs: &Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (outs, at_once) = (outs.clone(), self.at_once);
        let parts = outs.start / at_once..outs.end.div_ceil(at_once);
        parts.map(move |part| (part, outs.start.max(part * at_once)..outs.end.min((part + 1) * at_once)))
    }
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
    /// Sums, see [`Scheme::room`].
    pub sums: &'a mut [T],
    /// Room for lists.
    pub lists: &'a mut Lists<T>,
    /// Whether the sums of all blocks are kept: because they are to be added to, or have been begun.
    pub keep: bool,
    /// Whether the sums begin here, and whether they end here.
    pub first_last: (bool, bool),
}

/// Asks for the room of [`Scheme::room`] at the current level.
pub struct Room<'a, T> {
    /// The scheme.
    pub scheme: &'a Scheme,
    /// Output channels.
    pub outs: Range<usize>,
    /// The slices.
    pub slices: &'a [Slice],
    /// See [`Products::keep`].
    pub keep: bool,
    /// The type of the sums.
    pub of: std::marker::PhantomData<T>,
}

impl<T: Laned> Job for Room<'_, T> {
    type Output = usize;
    #[inline(always)]
    fn run<L: Level>(self, _: L) -> usize {
        self.scheme.room::<L, T>(&self.outs, self.slices, self.keep)
    }
}

/// How many input channels ahead weights are asked for.
const AHEAD: isize = 8;

/// The weights of a group, as a band finds them.
pub enum Weights<'a, T> {
    /// Where they lie, the input channels of an output channel one after the other: output channels are this far apart.
    Ready(*const T, isize),
    /// Gathered, [`Scheme::at_once`] output channels after the other, each such part so long.
    Gathered(*const T, usize),
    /// To be gathered into this room, as long as one part.
    Scattered(Place<*const T>, &'a mut [T]),
}

/// Copies the weights of some output channels close together: `[input channel][output channel][tap]`, with room for
/// `at_once` output channels. (A transposed convolution's lie far apart, often a power of two of bytes, where they crowd a
/// few sets of every cache: k16s8 512 to 256 channels took 2.3 ms where they lie, 1.8 gathered.)
pub struct Gather<'a, T> {
    /// The weights: outer axes are output channels and input channels.
    pub from: Place<*const T>,
    /// Which output channels.
    pub outs: Range<usize>,
    /// How many input channels.
    pub ins: usize,
    /// Kernel lengths.
    pub kernel: [usize; 3],
    /// Output channels there is room for.
    pub at_once: usize,
    /// The copy.
    pub to: &'a mut [T],
}

impl<T: Laned> Job for Gather<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let [kd, kh, kw] = self.kernel;
        let taps = kd * kh * kw;
        let [sd, sh, sw] = self.from.spatial;
        let [so, si] = self.from.outer;
        let within = (kw == 1 || sw == 1) && (kh == 1 || sh == kw as isize) && (kd == 1 || sd == (kh * kw) as isize);
        let n = self.outs.len();
        // Runs of weights that lie one after the other.
        let (runs, run) = match within {
            true if so == taps as isize => (1, n * taps),
            true => (n, taps),
            false => (n * taps, 1),
        };
        for i in 0..self.ins {
            let from = self.from.at([self.outs.start, i], [0; 3]);
            let to = &mut self.to[i * self.at_once * taps..][..n * taps];
            prefetch_at(from.wrapping_offset(si.wrapping_mul(AHEAD)), run);
            for (r, to) in to.chunks_exact_mut(run).take(runs).enumerate() {
                let at = match (runs, within) {
                    (1, _) => 0,
                    (_, true) => (r as isize).wrapping_mul(so),
                    _ => {
                        let (o, t) = (r / taps, r % taps);
                        let at = [t / (kh * kw), t / kw % kh, t % kw];
                        self.from.offset([o, 0], at)
                    }
                };
                // SAFETY: `run` weights that exist and lie one after the other.
                let from = unsafe { std::slice::from_raw_parts(from.wrapping_offset(at).cast::<Cell<T>>(), run) };
                level.copy(from, as_uninit(to));
            }
        }
    }
}

/// Weights that will be gathered next, input channel by input channel. (They lie far apart: no processor finds them by
/// itself.)
struct NextWeights<T> {
    at: *const T,
    step: isize,
    run: usize,
    left: usize,
    each: usize,
}

impl<T> NextWeights<T> {
    /// Asks for the next few.
    #[inline(always)]
    fn ask(&mut self) {
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
    /// Room for a part of a tile's sums.
    part: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), tiles: Vec::new(), phases: Vec::new(), segments: Vec::new(), part: Vec::new() }
    }
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
    weights: [*const T; MOST_ROWS],
    begin: [T; MOST_ROWS],
    rows: usize,
    table: usize,
    at: usize,
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
        let rows = rows::<L, T>(self.slices);
        let together = self.scheme.together(rows).min(self.outs.len());
        let columns = columns::<L, T>(self.scheme.tallest(together, rows));
        let width = L::Register::<T>::LANES;
        let pitch = columns * width;
        self.require_readable(pitch);
        let zeros = [T::default(); MOST_ROWS];
        self.lists.part.clear();
        self.lists.part.resize(MOST_ROWS * pitch, T::default());
        let room = together * self.scheme.residues.len() * pitch;
        let mut at = 0;
        for (part, outs) in self.scheme.shares(&self.outs) {
            let weights = self.weights(level, part, &outs);
            self.list(weights, &outs, together, rows);
            let tiles: usize = self.slices.iter().map(|s| s.lanes.len().div_ceil(pitch)).sum();
            let mut next_weights = self.next_weights(part, tiles * self.lists.blocks.len());
            for slice in self.slices {
                let vectors = slice.lanes.len().div_ceil(width);
                let parts = vectors.div_ceil(columns);
                let (mut next, mut row) = (0, 0);
                for t in 0..parts {
                    // The fewest tiles, as even as can be.
                    let wide = vectors / parts + usize::from(t < vectors % parts);
                    let n = wide * width;
                    let mut start = slice.lanes.start + next * width;
                    next += wide;
                    if start + n > slice.lanes.end && (!self.slack || slice.lanes.len() >= n) {
                        start = slice.lanes.end - n;
                    }
                    row = self.segments(slice, row, &(start..start + n));
                    for block in &self.lists.blocks {
                        if self.first_last.1 {
                            ask(self.scheme, &self.target, &self.lists.segments, block);
                        }
                        next_weights.ask();
                        for tile in &self.lists.tiles[block.tiles.clone()] {
                            let (table, first) = &self.scheme.tables[tile.table];
                            let sums = &mut self.sums[at + tile.at * pitch..][..tile.rows * pitch];
                            let begin = &tile.begin[..tile.rows];
                            // Input channels in parts, each summed by itself.
                            let each = (LONGEST_SUM / table.len().max(1)).max(1);
                            let ahead = table.iter().fold((0isize, 0isize), |(a, b), step| {
                                (a.wrapping_add(step.0), b.wrapping_add(step.1))
                            });
                            let mut rows = tile.weights;
                            let mut lanes = self.lanes.wrapping_add(start).wrapping_offset(*first);
                            let mut done = 0;
                            loop {
                                let outer = each.min(self.ins - done);
                                let begun = done > 0 || !self.first_last.0;
                                let part = Tile {
                                    rows: &rows[..tile.rows],
                                    lanes,
                                    columns: wide,
                                    steps: Steps { outer, table },
                                    begin: if begun { &zeros[..tile.rows] } else { begin },
                                    to: if begun { self.lists.part.as_mut_ptr() } else { sums.as_mut_ptr() },
                                    pitch,
                                };
                                // SAFETY: the addresses are those the job's maker vouches for; the sums, and the room for a
                                // part of them, are as many rows of `pitch` elements, at least `wide` vectors.
                                unsafe { part.run(level) };
                                if begun {
                                    for r in 0..tile.rows {
                                        let part = &self.lists.part[r * pitch..r * pitch + n];
                                        let sums = &mut sums[r * pitch..r * pitch + n];
                                        sums.iter_mut().zip(part).for_each(|(sum, v)| *sum = T::add(*sum, *v));
                                    }
                                }
                                done += outer;
                                if done >= self.ins {
                                    break;
                                }
                                let by = outer as isize;
                                rows.iter_mut().for_each(|r| *r = r.wrapping_offset(ahead.0.wrapping_mul(by)));
                                lanes = lanes.wrapping_offset(ahead.1.wrapping_mul(by));
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

impl<T: Laned> Products<'_, T> {
    /// Panics if a tile of at most `width` lanes could read beyond the readable elements.
    fn require_readable(&self, width: usize) {
        let beyond = if self.slack { width } else { 0 };
        let end =
            self.slices.iter().map(|s| (s.lanes.end + beyond).max(s.lanes.start + width.min(s.lanes.len()))).max();
        self.scheme.require_readable(end.unwrap_or(0), self.ins, self.readable);
    }

    /// The weights of output channel 0, were it one of this part, and the distance of output channels.
    #[inline(always)]
    fn weights<L: Level>(&mut self, level: L, part: usize, outs: &Range<usize>) -> (*const T, isize) {
        let taps: usize = self.scheme.kernel.iter().product();
        let first = part * self.scheme.at_once * taps;
        match &mut self.weights {
            Weights::Ready(first, step) => (*first, *step),
            Weights::Gathered(all, each) => (all.wrapping_add(part * *each).wrapping_sub(first), taps as isize),
            Weights::Scattered(from, room) => {
                let (from, at_once, kernel) = (*from, self.scheme.at_once, self.scheme.kernel);
                let begin = (outs.start - part * at_once) * taps;
                Gather { from, outs: outs.clone(), ins: self.ins, kernel, at_once, to: &mut room[begin..] }.run(level);
                (room.as_ptr().wrapping_sub(first), taps as isize)
            }
        }
    }

    /// The weights to be gathered after this part's, to be asked for in `times` shares.
    fn next_weights(&self, part: usize, times: usize) -> NextWeights<T> {
        let none = NextWeights { at: std::ptr::null(), step: 0, run: 0, left: 0, each: 0 };
        let Weights::Scattered(from, _) = &self.weights else { return none };
        let taps: usize = self.scheme.kernel.iter().product();
        let first = (part + 1) * self.scheme.at_once;
        if first >= self.outs.end || from.outer[0] != taps as isize {
            return none;
        }
        let run = (self.outs.end - first).min(self.scheme.at_once) * taps;
        let each = self.ins.div_ceil(times.max(1));
        NextWeights { at: from.at([first, 0], [0; 3]), step: from.outer[1], run, left: self.ins, each }
    }

    /// Lists what is the same for all tiles of some blocks. The sums of a block are row after row: part by part, channel
    /// by channel, phase by phase.
    fn list(&mut self, weights: (*const T, isize), all: &Range<usize>, together: usize, most: usize) {
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
    fn tiles(&mut self, weights: (*const T, isize), part: &Part, outs: &Range<usize>, before: usize, most: usize) {
        let phases = part.phases.len();
        let n = phases * outs.len();
        for i in 0..n.div_ceil(most) {
            let rows = even_part(n, most, i);
            let mut tile = TileOf {
                weights: [std::ptr::null(); MOST_ROWS],
                begin: [T::default(); MOST_ROWS],
                rows: rows.len(),
                table: part.table,
                at: before + rows.start,
            };
            for (r, row) in rows.enumerate() {
                let o = outs.start + row / phases;
                let offset = (o as isize).wrapping_mul(weights.1).wrapping_add(part.phases[row % phases].1);
                tile.weights[r] = weights.0.wrapping_offset(offset);
                if let Some(bias) = self.bias {
                    tile.begin[r] = bias[o];
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
            unsafe { write_row(level, scheme, (row, target.spatial[2]), (segment.col, segment.n), &found, sums) };
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

/// Writes `n` sums of each phase to an output row, given as its first element and its stride, from place `at` on, in units
/// of the step.
///
/// # Safety
/// The row's elements must be writeable from there on, as far as there are sums for them.
#[inline(always)]
pub(super) unsafe fn write_row<L: Level, T: Laned>(
    level: L,
    scheme: &Scheme,
    (row, stride): (*mut T, isize),
    (at, n): (usize, usize),
    found: &Found<'_>,
    sums: &[Cell<T>],
) {
    let (step, width) = (scheme.step[2], scheme.out[2]);
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

/// Sums over the places of a band, for the gradient of a weight.
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
    /// Sums of each tap and channel, `pitch` each, to be added to.
    pub sums: &'a mut [T],
    /// Room for eight rows of sums. (A band's share is summed by itself: the error of one long sum would grow with the
    /// size of the image.)
    pub part: &'a mut [T],
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
                let mut short = [std::ptr::null(); MOST_ROWS];
                for (r, channel) in rows.clone().enumerate() {
                    short[r] = self.short.wrapping_offset((channel as isize).wrapping_mul(self.channel));
                }
                let columns = columns::<L, T>(rows.len());
                for v in 0..vectors.div_ceil(columns) {
                    let part = even_part(vectors, columns, v);
                    let lanes = self.lanes[taps.lane + part.start * width..].as_ptr();
                    let begin = [T::default(); MOST_ROWS];
                    let n = part.len() * width;
                    // SAFETY: the short side's addresses are those the job's maker vouches for; the long side's lie within
                    // `lanes` by the band's layout, up to a register's worth of slack; `part` has a row of sums for each.
                    unsafe {
                        let (rows, begin) = (&short[..rows.len()], &begin[..rows.len()]);
                        let (columns, to) = (part.len(), self.part.as_mut_ptr());
                        Tile { rows, lanes, columns, steps, begin, to, pitch: n }.run(level);
                    }
                    for (r, channel) in rows.clone().enumerate() {
                        let first = (t * self.channels + channel) * self.pitch + part.start * width;
                        let sums = &mut self.sums[first..first + n];
                        for (sum, v) in sums.iter_mut().zip(&self.part[r * n..(r + 1) * n]) {
                            *sum = T::add(*sum, *v);
                        }
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
