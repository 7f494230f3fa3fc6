//! Convolutions by Winograd's minimal filtering: sums of products over channels of inputs that have been combined, outputs of
//! sums.
//!
//! A band's lanes are its positions, each of one or two outputs along every axis, row after row without a gap. A source is
//! as many lanes of each input channel; a sum those of each output channel, and what is multiplied is plain: every sum is
//! a product of two matrices, taken by the same tiles as in `products.rs`.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::products::{AHEAD, Found, PhaseOf, Place, RowAt, channels_of_table, write_row};
use super::rows::{as_cells, as_uninit};
use super::simd::{Job, Level, prefetch_at, whole_vectors};
use super::tile::{LONGEST_SUM, MOST_ROWS, Steps, Tile, columns, even_part, most_rows, plus_product, walk};
use crate::element::{Laned, Vector};
use crate::geometry::winograd::{Axis, Shape};

/// Lanes that a row of them may be written beyond, and begins a multiple of.
pub const SLACK: usize = 16;

/// Bytes of the sums of the output channels that are taken together. (With a third of it sources were read from L2 more often,
/// and k4s2 of 128 channels took 5 % longer; with more, no less.)
const SUMS_BYTES: usize = 256 << 10;

/// Lanes of a row of `n`: some more, for vectors that reach beyond the last.
#[must_use]
pub fn pitch(n: usize) -> usize {
    (n + SLACK).next_multiple_of(SLACK)
}

/// Lanes from a source of so many input channels to the next: some more, lest those of one position fall on the same lines of a
/// cache.
#[must_use]
pub fn source_pitch(ins: usize, pitch: usize) -> usize {
    ins * pitch + 5 * SLACK
}

/// One sum of a class of phases.
#[derive(Debug)]
struct Point {
    /// Sources of its terms.
    sources: Vec<usize>,
    /// Where its packed weights begin, in those of a block for each input channel.
    at: usize,
    /// Whether it begins with the bias.
    begins: bool,
}

/// Phases, of all axes, that read the same inputs.
#[derive(Debug)]
struct Combo {
    shapes: [Shape; 3],
    residues: [Vec<usize>; 3],
    points: Vec<Point>,
    /// Where its sums begin, in those of a block, for each output channel.
    sums: usize,
}

impl Combo {
    fn members(&self) -> usize {
        self.residues.iter().map(Vec::len).product()
    }
}

/// Where a factor goes: its place among all, its place among packed weights for each input channel, how far it is from one input
/// channel to the next, and from there on. (All for each output channel of a block.)
#[derive(Debug, Clone, Copy)]
struct Goes {
    factor: usize,
    at: usize,
    step: usize,
    offset: usize,
}

/// What all bands share.
#[derive(Debug)]
pub struct Form {
    /// The axes.
    pub axes: [Axis; 3],
    /// Distances of a phase's outputs.
    pub step: [usize; 3],
    /// Output lengths.
    pub out: [usize; 3],
    /// Output channels of a block.
    pub together: usize,
    combos: Vec<Combo>,
    goes: Vec<Goes>,
}

impl Form {
    /// What these axes need. `together` output channels are a block.
    #[must_use]
    pub fn new(axes: [Axis; 3], step: [usize; 3], out: [usize; 3], together: usize) -> Self {
        let mut form = Self { axes, step, out, together, combos: Vec::new(), goes: Vec::new() };
        let count = [0, 1, 2].map(|a| form.axes[a].classes.len());
        let (mut packed, mut sums) = (0, 0);
        for c in 0..count.iter().product() {
            let at = [c / count[2] / count[1], c / count[2] % count[1], c % count[2]];
            let classes = [0, 1, 2].map(|a| &form.axes[a].classes[at[a]]);
            let residues = classes.map(|c| c.residues.clone());
            let shapes = classes.map(|c| c.shape);
            let mut combo = Combo { shapes, residues, points: Vec::new(), sums };
            let members = combo.members();
            for (d, pd) in classes[0].points.iter().enumerate() {
                for (h, ph) in classes[1].points.iter().enumerate() {
                    for (w, pw) in classes[2].points.iter().enumerate() {
                        let terms = || {
                            let pairs = pd.iter().flat_map(|d| ph.iter().map(move |h| (d, h)));
                            pairs.flat_map(|(d, h)| pw.iter().map(move |w| [d, h, w]))
                        };
                        let place = |of: [usize; 3], all: [usize; 3]| (of[0] * all[1] + of[1]) * all[2] + of[2];
                        let [sources, factors] =
                            [form.axes.each_ref().map(|a| a.sources.len()), form.axes.each_ref().map(Axis::products)];
                        let step = terms().count() * members;
                        for (t, term) in terms().enumerate() {
                            let counts = [0, 1, 2].map(|a| combo.residues[a].len());
                            for m in 0..members {
                                let of = [m / counts[2] / counts[1], m / counts[2] % counts[1], m % counts[2]];
                                let factor = place([0, 1, 2].map(|a| term[a].factors[of[a]]), factors);
                                form.goes.push(Goes { factor, at: packed, step, offset: t * members + m });
                            }
                        }
                        combo.points.push(Point {
                            sources: terms().map(|t| place(t.map(|t| t.source), sources)).collect(),
                            at: packed,
                            begins: shapes[0].begins(d) && shapes[1].begins(h) && shapes[2].begins(w),
                        });
                        packed += step;
                    }
                }
            }
            sums += combo.points.len() * members;
            form.combos.push(combo);
        }
        form
    }

    /// The steps of all tiles, for so many input channels whose lanes are `pitch` apart.
    #[must_use]
    pub fn tables(&self, ins: usize, pitch: usize) -> Vec<Table> {
        let points = self.combos.iter().flat_map(|c| c.points.iter().map(move |p| (c, p)));
        points.map(|(combo, point)| Table::new(combo, point, ins, self.together, pitch)).collect()
    }

    fn product(&self, of: fn(&Axis) -> usize) -> usize {
        self.axes.iter().map(of).product()
    }

    /// Sources: lanes of each input channel.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.product(|a| a.sources.len())
    }

    /// Sums: lanes of each output channel.
    #[must_use]
    pub fn sums(&self) -> usize {
        self.product(Axis::sums)
    }

    /// Packed weights of all blocks.
    #[must_use]
    pub fn packed_room(&self, outs: usize, ins: usize) -> usize {
        outs.div_ceil(self.together) * self.packed(ins)
    }

    /// Packed weights of a block.
    fn packed(&self, ins: usize) -> usize {
        self.product(Axis::products) * self.together * ins
    }

    /// Blocks whose sums are taken together.
    fn blocks_at_once<T>(&self, pitch: usize) -> usize {
        (SUMS_BYTES / (self.sums() * self.together * pitch * size_of::<T>()).max(1)).max(1)
    }

    /// Room for the sums of a band, and for the rows they become.
    #[must_use]
    pub fn room<T>(&self, outs: usize, pitch: usize) -> usize {
        let blocks = self.blocks_at_once::<T>(pitch).min(outs.div_ceil(self.together));
        self.sums() * self.together * pitch * blocks + self.woven(pitch)
    }

    /// Room for outputs of one row of each phase along W.
    fn woven(&self, pitch: usize) -> usize {
        let residues: usize = self.axes[2].classes.iter().map(|c| c.residues.len()).sum();
        residues * self.axes[2].unit * pitch
    }
}

/// Makes the factors of weights, and puts them in the order in which tiles read them: block by block, for each sum, input channel
/// and term those of all rows.
pub struct Expand<'a, T> {
    /// What all bands share.
    pub form: &'a Form,
    /// Kernel lengths.
    pub kernel: [usize; 3],
    /// The weights: outer axes are output channels and input channels.
    pub from: Place<*const T>,
    /// Output channels.
    pub outs: Range<usize>,
    /// Input channels.
    pub ins: usize,
    /// Room for some weights and factors, see [`Expand::room`].
    pub made: &'a mut [T],
    /// The packed weights of these output channels, which begin with a block.
    pub to: &'a mut [T],
}

/// Output channels whose factors are made at once: a whole number of blocks, of the largest there are.
const AT_ONCE: usize = 48;

impl<T: Laned> Expand<'_, T> {
    /// Room to work in.
    #[must_use]
    pub fn room(form: &Form, kernel: [usize; 3]) -> usize {
        let [fd, fh, fw] = form.axes.each_ref().map(Axis::products);
        let [kd, kh, kw] = kernel;
        (kd * kh * kw + kd * kh * fw + kd * fh * fw + fd * fh * fw) * AT_ONCE
    }
}

/// Lanes of each of some rows of `n` places.
type Lanes<T> = [T; AT_ONCE];

/// The first `lanes` of sums of some rows of `n` places, each times a number of halves.
#[inline(always)]
fn combined<T: Laned>(from: &[Lanes<T>], n: usize, lanes: usize, parts: &[(usize, i8)], to: &mut [Lanes<T>]) {
    for (i, to) in to[..n].iter_mut().enumerate() {
        let to = &mut to[..lanes];
        let row = |part: &(usize, i8)| &from[part.0 * n + i][..lanes];
        match parts {
            [one @ (_, 2)] => to.copy_from_slice(row(one)),
            [one @ (_, 2), other @ (_, 2)] => {
                for ((to, a), b) in to.iter_mut().zip(row(one)).zip(row(other)) {
                    *to = T::add(*a, *b);
                }
            }
            [one, rest @ ..] => {
                let half = T::halves(one.1);
                to.iter_mut().zip(row(one)).for_each(|(to, v)| *to = T::mul(*v, half));
                for part in rest {
                    let half = T::halves(part.1);
                    to.iter_mut().zip(row(part)).for_each(|(to, v)| *to = T::add(*to, T::mul(*v, half)));
                }
            }
            [] => {}
        }
    }
}

impl<T: Laned> Job for Expand<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Self { form, kernel: [kd, kh, kw], from, outs, ins, made, to } = self;
        let factors = form.axes.each_ref().map(Axis::products);
        let together = form.together;
        let size = form.packed(ins);
        let [sd, sh, sw] = from.spatial;
        let mut offsets = Vec::new();
        for (d, h) in (0..kd as isize).flat_map(|d| (0..kh as isize).map(move |h| (d, h))) {
            let first = d.wrapping_mul(sd).wrapping_add(h.wrapping_mul(sh));
            offsets.extend((0..kw as isize).map(|w| first.wrapping_add(w.wrapping_mul(sw))));
        }
        let (made, _) = made.as_chunks_mut::<AT_ONCE>();
        let (taps, made) = made.split_at_mut(kd * kh * kw);
        let (rows, made) = made.split_at_mut(kd * kh * factors[2]);
        let (planes, all) = made.split_at_mut(kd * factors[1] * factors[2]);
        let of_plane = factors[1] * factors[2];
        let whole = kd == 1 && factors[0] == 1;
        let at_once = AT_ONCE / together * together;
        for first in outs.clone().step_by(at_once) {
            let n = (outs.end - first).min(at_once);
            // In whole vectors, of any length.
            let lanes = n.next_multiple_of(SLACK).min(AT_ONCE);
            let blocks = &mut to[(first - outs.start) / together * size..];
            for i in 0..ins {
                for o in 0..n {
                    let at = from.at([first + o, i], [0; 3]);
                    prefetch_at(at.wrapping_offset(from.outer[1].wrapping_mul(AHEAD)), 1);
                    for (tap, offset) in taps.iter_mut().zip(&offsets) {
                        // SAFETY: a tap of an output channel and an input channel that exist.
                        tap[o] = unsafe { at.wrapping_offset(*offset).read() };
                    }
                }
                for (taps, rows) in taps.chunks_exact(kw).zip(rows.chunks_exact_mut(factors[2])) {
                    for (factor, to) in form.axes[2].factors.iter().zip(rows.chunks_exact_mut(1)) {
                        combined(taps, 1, lanes, factor, to);
                    }
                }
                for (rows, planes) in rows.chunks_exact(kh * factors[2]).zip(planes.chunks_exact_mut(of_plane)) {
                    for (factor, to) in form.axes[1].factors.iter().zip(planes.chunks_exact_mut(factors[2])) {
                        combined(rows, factors[2], lanes, factor, to);
                    }
                }
                if !whole {
                    for (factor, to) in form.axes[0].factors.iter().zip(all.chunks_exact_mut(of_plane)) {
                        combined(planes, of_plane, lanes, factor, to);
                    }
                }
                let all: &[_] = if whole { planes } else { all };
                for goes in &form.goes {
                    let at = (goes.at * ins + goes.step * i + goes.offset) * together;
                    let values = &all[goes.factor][..n];
                    match together {
                        8 => in_blocks::<T, 8>(values, &mut blocks[at..], size),
                        6 => in_blocks::<T, 6>(values, &mut blocks[at..], size),
                        _ => {
                            for (b, values) in values.chunks(together).enumerate() {
                                blocks[at + b * size..][..values.len()].copy_from_slice(values);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Values in blocks of `N`, `size` apart.
#[inline(always)]
fn in_blocks<T: Copy, const N: usize>(values: &[T], to: &mut [T], size: usize) {
    let (blocks, rest) = values.as_chunks::<N>();
    let mut at = 0;
    for block in blocks {
        to[at..at + N].copy_from_slice(block);
        at += size;
    }
    if !rest.is_empty() {
        to[at..at + rest.len()].copy_from_slice(rest);
    }
}

/// Rows of `n` elements, in whole vectors: of one or two slices that they lie in, so far apart, the second times a number.
///
/// # Panics
/// If `n` is not a whole number of vectors, or one of the slices is shorter than the rows are.
#[inline(always)]
pub(crate) fn blend<L: Level, T: Laned, const N: usize>(
    from: [&[T]; N],
    sign: T,
    to: &mut [T],
    (rows, n): (usize, usize),
    [apart, apart_to]: [usize; 2],
) {
    let sign = L::Register::<T>::splat(sign);
    let lanes = L::Register::<T>::LANES;
    let last = rows.saturating_sub(1);
    assert!(n.is_multiple_of(lanes) && last * apart_to + n <= to.len(), "whole vectors, within the row");
    assert!(from.iter().all(|row| last * apart + n <= row.len()), "rows within the slices");
    for row in 0..rows {
        let mut i = 0;
        while i < n {
            whole_vectors();
            // SAFETY: `i` and the lanes after it are below `n`, so long is every row.
            let vector = |from: &[T]| unsafe { L::Register::<T>::load(from.as_ptr().add(row * apart + i)) };
            let mut sum = vector(from[0]);
            if N > 1 {
                sum = plus_product::<L, T>(sum, vector(from[N - 1]), sign);
            }
            // SAFETY: as above.
            unsafe { sum.store(to.as_mut_ptr().add(row * apart_to + i)) };
            i += lanes;
        }
    }
}

/// What sums and differences of rows of a plane become, one beside the other.
pub(crate) struct Several<'a, T> {
    /// Where the next goes.
    pub to: &'a mut [T],
    /// How far they are from each other.
    pub apart: usize,
    /// Rows, and elements of one, a whole number of vectors.
    pub of: (usize, usize),
    /// Elements from row to row.
    pub run: usize,
    /// The plane.
    pub from: &'a [T],
    /// As `run`.
    pub len: usize,
}

impl<T: Laned> Several<'_, T> {
    /// Makes the next few, of two places in the plane and the second's factor.
    ///
    /// # Panics
    /// If they are not whole vectors, or not within the slices.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // indices, so that the arrays stay in registers
    pub(crate) fn next<L: Level, const N: usize>(&mut self, reads: [([usize; 2], T); N]) {
        let Self { ref mut to, apart, of: (rows, n), run, from, len } = *self;
        let lanes = L::Register::<T>::LANES;
        let mut signs = [L::Register::<T>::splat(T::default()); N];
        for k in 0..N {
            signs[k] = L::Register::<T>::splat(reads[k].1);
            let [first, second] = reads[k].0;
            assert!(first.max(second) + (rows - 1) * len + n <= from.len(), "rows within the plane");
        }
        assert!(n.is_multiple_of(lanes) && (N - 1) * apart + (rows - 1) * run + n <= to.len(), "whole vectors, within");
        for row in 0..rows {
            let mut i = 0;
            while i < n {
                whole_vectors();
                for k in 0..N {
                    // SAFETY: `i` and the lanes after it are below `n`, so long are the rows of both and the one made.
                    unsafe {
                        let from = from.as_ptr().add(row * len + i);
                        let first = L::Register::<T>::load(from.add(reads[k].0[0]));
                        let second = L::Register::<T>::load(from.add(reads[k].0[1]));
                        let to = to.as_mut_ptr().add(k * apart + row * run + i);
                        plus_product::<L, T>(first, second, signs[k]).store(to);
                    }
                }
                i += lanes;
            }
        }
        // (Nothing is left after the last.)
        *to = std::mem::take(to).get_mut(N * apart..).unwrap_or_default();
    }
}

/// The work on one band.
///
/// What must hold of the addresses: every output of the band that lies within the output is this job's to write.
pub struct Sums<'a, T> {
    /// What all bands share.
    pub form: &'a Form,
    /// All packed weights of the group.
    pub weights: &'a [T],
    /// See [`Form::tables`].
    pub tables: &'a [Table],
    /// Where sums begin, for each output channel of the group; zero if there is none.
    pub bias: Option<&'a [T]>,
    /// Output channels to compute, which begin with a block.
    pub outs: Range<usize>,
    /// Input channels.
    pub ins: usize,
    /// The sources: of each, for each input channel, `pitch` lanes.
    pub sources: &'a [T],
    /// See above.
    pub pitch: usize,
    /// The rows, in the order of lanes, `width` each.
    pub rows: &'a [RowAt],
    /// See above.
    pub width: usize,
    /// Position along W of the first lane of a row.
    pub col: usize,
    /// Where results go.
    pub target: Place<*mut T>,
    /// See [`Form::room`].
    pub sums: &'a mut [T],
}

/// A tile's steps.
#[derive(Debug)]
pub struct Table {
    steps: Vec<(isize, isize)>,
    /// Input channels of the table, and those that are summed by themselves.
    channels: usize,
    each: usize,
    /// The first lane.
    first: usize,
}

impl Table {
    fn new(combo: &Combo, point: &Point, ins: usize, together: usize, pitch: usize) -> Self {
        let (terms, rows) = (point.sources.len(), together * combo.members());
        let each = (LONGEST_SUM / terms.max(1)).clamp(1, ins.max(1));
        let channels = channels_of_table(terms, &[ins]);
        let at = |c: usize, t: usize| {
            let source = point.sources[t] * source_pitch(ins, pitch);
            (((c * terms + t) * rows).cast_signed(), (source + c * pitch).cast_signed())
        };
        let places: Vec<_> = (0..channels).flat_map(|c| (0..terms).map(move |t| at(c, t))).collect();
        let steps = walk(&places, ((channels * terms * rows).cast_signed(), (channels * pitch).cast_signed()));
        Self { steps, channels, each, first: point.sources.first().map_or(0, |s| s * source_pitch(ins, pitch)) }
    }
}

impl<T: Laned> Sums<'_, T> {
    /// Elements of a row of outputs.
    #[inline(always)]
    fn reach(&self) -> usize {
        if self.target.spatial[2] == 1 { self.width * self.form.axes[2].unit * self.form.step[2] } else { 0 }
    }

    /// Where the rows of the first output channel begin.
    fn places(&self) -> Vec<isize> {
        let [d, h, w] = [0, 1, 2].map(|a| self.form.axes[a].unit * self.form.step[a]);
        let row = |r: RowAt| {
            let lines = (r.d * d..(r.d + 1) * d).flat_map(move |i| (r.h * h..(r.h + 1) * h).map(move |j| (i, j)));
            let inside = lines.filter(|&(i, j)| i < self.form.out[0] && j < self.form.out[1]);
            inside.map(move |(i, j)| self.target.offset([r.n, 0], [i, j, self.col * w]))
        };
        self.rows.iter().copied().flat_map(row).collect()
    }
}

impl<T: Laned> Job for Sums<'_, T> {
    /// Whether all results are finite.
    type Output = bool;
    #[inline(always)]
    fn run<L: Level>(self, level: L) -> bool {
        let &Self { form, ins, pitch, .. } = &self;
        let (together, packed) = (form.together, form.packed(ins));
        let lanes = L::Register::<T>::LANES;
        let n = (self.rows.len() * self.width).div_ceil(lanes) * lanes;
        assert!(
            n <= pitch && self.sources.len() >= form.sources() * source_pitch(ins, pitch),
            "lanes are there for every vector"
        );
        assert!(self.weights.len() >= form.packed_room(self.outs.end, ins), "weights are there for every tile");
        // The rows that results go to, as far as one channel's are from its first.
        let (places, reach) = (self.places(), self.reach());
        let (room, woven) = self.sums.split_at_mut(self.sums.len() - form.woven(pitch));
        let at_once = form.blocks_at_once::<T>(pitch) * together;
        let size = form.sums() * together * pitch;
        let mut finite = true;
        let points: usize = form.combos.iter().map(|c| c.points.len()).sum();
        for first in self.outs.clone().step_by(at_once) {
            let outs = first..(first + at_once).min(self.outs.end);
            let mut tables = self.tables.iter();
            let each = (places.len() * outs.len()).div_ceil(points);
            let mut asked = outs.clone().flat_map(|o| places.iter().map(move |p| (o, *p)));
            for combo in &form.combos {
                let rows = together * combo.members();
                let most = most_rows::<L, T>();
                let row_parts: Vec<_> = (0..rows.div_ceil(most)).map(|i| even_part(rows, most, i)).collect();
                let wide = columns::<L, T>(row_parts[0].len());
                let parts = (n / lanes).div_ceil(wide);
                let parts: Vec<_> = (0..parts).map(|c| even_part(n / lanes, wide, c)).collect();
                for (p, (point, table)) in combo.points.iter().zip(&mut tables).enumerate() {
                    // Asked for while products are taken.
                    for (o, place) in asked.by_ref().take(each) {
                        let row = place.wrapping_add((o as isize).wrapping_mul(self.target.outer[1]));
                        prefetch_at(self.target.origin.wrapping_offset(row), reach);
                    }
                    let to = (combo.sums * together + p * rows) * pitch;
                    let terms = point.sources.len();
                    for vectors in &parts {
                        let from = vectors.start * lanes;
                        for (b, o) in (outs.start / together..outs.end.div_ceil(together)).enumerate() {
                            let weights = &self.weights[o * packed + point.at * together * ins..][..terms * rows * ins];
                            let block = &mut room[b * size + to..][..rows * pitch];
                            for part in &row_parts {
                                let mut begin = [T::default(); MOST_ROWS];
                                if let (true, Some(bias)) = (point.begins, self.bias) {
                                    for (begin, row) in begin.iter_mut().zip(part.clone()) {
                                        *begin = bias.get(o * together + row % together).copied().unwrap_or_default();
                                    }
                                }
                                let sums = &mut block[part.start * pitch + from..];
                                let _ = &sums[(part.len() - 1) * pitch..][..vectors.len() * lanes];
                                for done in (0..ins).step_by(table.each) {
                                    let factors = &weights[done * terms * rows + part.start..];
                                    let outer = table.each.min(ins - done) / table.channels;
                                    // SAFETY: packed weights and sources are there for every step, and sums for every
                                    // row and vector, all of which was checked.
                                    unsafe {
                                        Tile {
                                            rows: part.len(),
                                            factors: (factors.as_ptr(), 1),
                                            lanes: self.sources[table.first + done * pitch + from..].as_ptr(),
                                            columns: vectors.len(),
                                            steps: Steps { outer, table: &table.steps },
                                            begin: (done == 0).then_some(&begin[..part.len()]),
                                            to: sums.as_mut_ptr(),
                                            pitch,
                                        }
                                        .run(level);
                                    }
                                }
                            }
                        }
                    }
                }
            }
            for (b, o) in outs.clone().step_by(together).enumerate() {
                let block = &mut room[b * size..][..size];
                for combo in &form.combos {
                    let rows = together * combo.members();
                    let sums = &mut block[combo.sums * together * pitch..][..combo.points.len() * rows * pitch];
                    for r in 0..rows {
                        if o + r % together < outs.end {
                            finite &= fold::<L, T>(combo, sums, (r, rows), pitch, n);
                        }
                    }
                }
                let outs = o..(o + together).min(outs.end);
                put(level, form, (&self.target, outs), (self.rows, self.width, self.col), block, woven, pitch);
            }
        }
        finite
    }
}

/// Sums of a row of a class of phases to its outputs, in place: those of position `y` along an axis are where its sum of that
/// number was. Tells whether all are finite.
#[inline(always)]
fn fold<L: Level, T: Laned>(
    combo: &Combo,
    sums: &mut [T],
    (row, rows): (usize, usize),
    pitch: usize,
    n: usize,
) -> bool {
    let points = combo.shapes.map(Shape::points);
    let [d, h, w] = [points[1] * points[2], points[2], 1].map(|s| s * rows * pitch);
    let mut seen = L::Register::<T>::splat(T::default());
    for i in 0..points[0] {
        let sums = &mut sums[i * d + row * pitch..];
        let _ = &sums[(points[1] * points[2] - 1) * w..][..n];
        let to = sums.as_mut_ptr();
        macro_rules! shapes {
            ($($h:literal $w:literal)*) => {
                match (points[1], points[2]) {
                    // SAFETY: `n` lanes of each of the sums.
                    $(($h, $w) => seen = unsafe { outputs::<L, T, $h, $w>(to, [h, w], n, seen) },)*
                    _ => {}
                }
            };
        }
        shapes!(1 1 1 2 1 3 1 4 2 1 2 2 2 3 2 4 3 1 3 2 3 3 3 4 4 1 4 2 4 3 4 4);
    }
    if points[0] > 1 {
        for (yh, yw) in (0..points[1].min(2)).flat_map(|h| (0..points[2].min(2)).map(move |w| (h, w))) {
            let sums = &mut sums[yh * h + yw * w + row * pitch..];
            let _ = &sums[(points[0] - 1) * d..][..n];
            let to = sums.as_mut_ptr();
            // SAFETY: as above.
            seen = unsafe {
                match points[0] {
                    2 => outputs::<L, T, 1, 2>(to, [0, d], n, seen),
                    3 => outputs::<L, T, 1, 3>(to, [0, d], n, seen),
                    _ => outputs::<L, T, 1, 4>(to, [0, d], n, seen),
                }
            };
        }
    }
    let mut lanes = [T::default(); 16];
    // SAFETY: no vector has more lanes.
    unsafe { seen.store(lanes.as_mut_ptr()) };
    lanes.iter().all(|v| v.is_finite())
}

/// The two outputs of so many sums (see [`Shape`]), or the one of one.
#[inline(always)]
fn pair<L: Level, T: Laned, const N: usize>(m: [L::Register<T>; N], minus: L::Register<T>) -> [L::Register<T>; 2] {
    match N {
        1 => [m[0]; 2],
        2 => [m[0], m[1 % N]],
        3 => [m[0].plus(m[1 % N]), plus_product::<L, T>(m[1 % N], m[2 % N], minus)],
        _ => {
            let (b, c, d) = (m[1 % N], m[2 % N], m[3 % N]);
            [m[0].plus(b).plus(c), plus_product::<L, T>(b, c.plus(d), minus)]
        }
    }
}

/// `H x W` sums that lie so far apart to outputs; adds zero times each to `seen`, which is NaN once one is not finite.
///
/// # Safety
/// `n` lanes, a whole number of vectors, must be there of each sum.
#[inline(always)]
unsafe fn outputs<L: Level, T: Laned, const H: usize, const W: usize>(
    sums: *mut T,
    [h, w]: [usize; 2],
    n: usize,
    mut seen: L::Register<T>,
) -> L::Register<T> {
    let zero = L::Register::<T>::splat(T::default());
    let minus = L::Register::<T>::splat(T::halves(-2));
    let mut i = 0;
    while i < n {
        whole_vectors();
        let [mut firsts, mut seconds] = [[zero; H]; 2];
        for (y, (first, second)) in firsts.iter_mut().zip(&mut seconds).enumerate() {
            let mut row = [zero; W];
            for (x, to) in row.iter_mut().enumerate() {
                whole_vectors();
                // SAFETY: `i` is below `n`, and so is the vector's last lane.
                *to = unsafe { L::Register::<T>::load(sums.add(y * h + x * w + i)) };
            }
            [*first, *second] = pair::<L, T, W>(row, minus);
        }
        for (x, row) in [firsts, seconds].into_iter().take(W).enumerate() {
            for (y, made) in pair::<L, T, H>(row, minus).into_iter().take(H).enumerate() {
                whole_vectors();
                seen = plus_product::<L, T>(seen, made, zero);
                // SAFETY: as above.
                unsafe { made.store(sums.add(y * h + x * w + i)) };
            }
        }
        i += L::Register::<T>::LANES;
    }
    seen
}

/// Writes the outputs of some channels.
#[inline(always)]
fn put<L: Level, T: Laned>(
    level: L,
    form: &Form,
    (target, outs): (&Place<*mut T>, Range<usize>),
    (rows, width, col): (&[RowAt], usize, usize),
    sums: &mut [T],
    woven: &mut [T],
    pitch: usize,
) {
    let together = form.together;
    let unit = form.axes.each_ref().map(|a| a.unit);
    let n = rows.len() * width;
    let classes = form.axes.each_ref().map(|a| a.classes.len());
    let mut phases: Vec<PhaseOf> = Vec::new();
    let sums = as_cells(sums);
    // Pairs of neighbours go where they belong; of several phases they are woven first.
    let paired = unit[2] == 2;
    let at_once = paired && form.step[2] == 1 && target.spatial[2] == 1;
    for (i, o) in outs.enumerate() {
        for (cd, ch) in (0..classes[0]).flat_map(|d| (0..classes[1]).map(move |h| (d, h))) {
            let of = &form.combos[(cd * classes[1] + ch) * classes[2]..][..classes[2]];
            let [ds, hs, _] = of[0].residues.each_ref().map(Vec::len);
            for (md, mh) in (0..ds).flat_map(|d| (0..hs).map(move |h| (d, h))) {
                for (yd, yh) in (0..unit[0]).flat_map(|d| (0..unit[1]).map(move |h| (d, h))) {
                    phases.clear();
                    for combo in of {
                        let all = together * combo.members();
                        let points = combo.shapes.map(Shape::points);
                        let ws = combo.residues[2].len();
                        for (mw, &residue) in combo.residues[2].iter().enumerate() {
                            let row = ((md * hs + mh) * ws + mw) * together + i;
                            let at = (combo.sums * together + (yd * points[1] + yh) * points[2] * all + row) * pitch;
                            let mut first = at;
                            if paired && !at_once {
                                first = 2 * pitch * phases.len();
                                let (one, other) = (&sums[at..][..n], &sums[at + all * pitch..][..n]);
                                level.zip(Some(one), Some(other), as_uninit(&mut woven[first..][..2 * n]));
                            }
                            phases.push(PhaseOf { residue, row: first, per_channel: 0 });
                        }
                    }
                    phases.sort_unstable_by_key(|p| p.residue);
                    let from: &[Cell<T>] = if paired && !at_once { as_cells(woven) } else { sums };
                    for row in rows {
                        let d = (row.d * unit[0] + yd) * form.step[0] + of[0].residues[0][md];
                        let h = (row.h * unit[1] + yh) * form.step[1] + of[0].residues[1][mh];
                        if d >= form.out[0] || h >= form.out[1] {
                            continue;
                        }
                        let place = (target.at_mut([row.n, o], [d, h, 0]), target.spatial[2]);
                        let (at, n) = (col * unit[2], width * unit[2]);
                        if at_once {
                            let all = together * of[0].members();
                            let from = phases[0].row + row.lane;
                            let n = n.min(form.out[2] - at);
                            // SAFETY: a row of an output that exists, whose places from there on are this job's to write.
                            let to = unsafe {
                                std::slice::from_raw_parts_mut(place.0.wrapping_add(at).cast::<MaybeUninit<T>>(), n)
                            };
                            let (pairs, last) = to.split_at_mut(n / 2 * 2);
                            let (one, other) = (&sums[from..][..n / 2], &sums[from + all * pitch..][..n / 2]);
                            level.zip(Some(one), Some(other), pairs);
                            if let [last] = last {
                                last.write(sums[from + n / 2].get());
                            }
                            continue;
                        }
                        let found = Found { phases: &phases, first: row.lane * unit[2], channel: 0, pitch: 1 };
                        // SAFETY: a row of an output that exists, whose places from there on are this job's to write.
                        unsafe { write_row(level, (form.step[2], form.out[2]), place, (at, n), &found, from) };
                    }
                }
            }
        }
    }
}
