//! A transposed convolution of few inputs, as the textbook has it: each input stamps its kernel on the output, times its
//! value.
//!
//! Where there are few inputs and many weights, the weights are what takes time: they are read once, as they lie, as the lanes
//! of tiles whose rows are inputs. A tile's sums, over the input channels, are what an input stamps: they are added to the
//! outputs one input after the other, so that a sum does not depend on how the work is shared out.

use std::cell::Cell;

use super::products::{AHEAD, NextWeights, Place};
use super::rows::{as_cells, as_uninit};
use super::simd::{Job, Level, prefetch_at};
use super::tile::{LONGEST_SUM, MOST_ROWS, Steps, Tile, columns, even_part};
use crate::element::{Laned, Vector};

/// Most bytes of a block of lanes.
const MOST_BLOCK: usize = 6 * 64;

/// Where the taps of one axis land that one input has: stretches of neighbours, each its first tap, its first output, and how
/// many they are.
pub type Landing = Vec<(usize, usize, usize)>;

/// The weights of some output channels.
///
/// What must hold of the addresses: every weight of the output and input channels is readable.
#[derive(Clone, Copy)]
pub struct Stamped<'a, T> {
    /// Where they lie: outer axes are output channels and input channels.
    pub from: Place<*const T>,
    /// Number of output channels, and of input channels.
    pub outs: usize,
    /// See above.
    pub ins: usize,
    /// Where each tap lies from the first, and whether they lie one after the other.
    pub taps: &'a [isize],
    /// See above.
    pub together: bool,
    /// Whether they have been asked for already, by the work before. (Asked for twice, k4s2 of 512 channels of 8 x 8 took
    /// 7 % longer on a Xeon.)
    pub asked: bool,
}

/// Weights in the order in which tiles read them: block by block of lanes, channel by channel.
pub enum Lanes<'a, T> {
    /// Room to put them in order, see [`lanes`].
    Room(&'a mut [T]),
    /// In order, by [`Lay`].
    Ready(&'a [T]),
}

/// The work on some output channels of some images.
pub struct Stamps<'a, T> {
    /// Inputs, see [`place_of`].
    pub inputs: &'a [T],
    /// Most rows of a tile.
    pub rows: usize,
    /// Positions, of all images.
    pub pixels: usize,
    /// The weights.
    pub weights: Stamped<'a, T>,
    /// The weights of the output channels that come next, to be asked for: where they lie, or where they are in order.
    pub next: Option<*const T>,
    /// Where the taps of every input position land, along D, H and W.
    pub landings: &'a [Vec<Landing>; 3],
    /// Kernel lengths along H and W.
    pub kernel: [usize; 2],
    /// The weights in order, or room for them.
    pub lanes: Lanes<'a, T>,
    /// Room for the sums, [`pitch`] for each position.
    pub sums: &'a mut [T],
    /// The results, `[image, channel, D, H, W]`, to be added to.
    pub out: &'a mut [T],
    /// Their lengths along D, H and W.
    pub len: [usize; 3],
}

/// Elements of a row of sums: of so many output channels, a whole number of vectors of any level.
#[must_use]
pub fn pitch<T>(outs: usize, taps: usize) -> usize {
    (outs * taps).next_multiple_of(64 / size_of::<T>().min(64))
}

/// Room for the weights of so many input channels: a block more than a row of sums, and a row.
#[must_use]
pub fn lanes<T>(pitch: usize, ins: usize) -> usize {
    (pitch + MOST_BLOCK / size_of::<T>().min(64)) * ins + pitch
}

/// Where the first channel of position `pixel` of so many is among the inputs, in tiles of at most `rows`: channel by channel,
/// `rows` apart.
#[must_use]
pub fn place_of(pixel: usize, pixels: usize, rows: usize, ins: usize) -> usize {
    let tiles = pixels.div_ceil(rows);
    // The last tile that begins at or before it.
    let tile = ((pixel + 1) * tiles - 1) / pixels;
    tile * rows * ins + pixel - even_part(pixels, rows, tile).start
}

/// Puts the weights of some output channels in order for tiles of at most `rows` rows, for work to come.
pub struct Lay<'a, T> {
    /// The weights.
    pub weights: Stamped<'a, T>,
    /// See above.
    pub rows: usize,
    /// The result: of as many lanes as a whole number of [blocks](LanesOfBlock) has, for each input channel.
    pub to: &'a mut [T],
    /// Room for a row of sums, see [`pitch`].
    pub row: &'a mut [T],
}

impl<T: Laned> Job for Lay<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        self.weights.lay(level, columns::<L, T>(self.rows) * L::Register::<T>::LANES, self.to, self.row);
    }
}

/// Asks for the lanes of a block of weights in order, for tiles of at most so many rows.
pub struct LanesOfBlock<T> {
    /// See above.
    pub rows: usize,
    /// The type of the weights.
    pub of: std::marker::PhantomData<T>,
}

impl<T: Laned> Job for LanesOfBlock<T> {
    type Output = usize;
    #[inline(always)]
    fn run<L: Level>(self, _: L) -> usize {
        columns::<L, T>(self.rows) * L::Register::<T>::LANES
    }
}

impl<T: Laned> Job for Stamps<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let Self { weights: Stamped { from, outs, ins, taps, .. }, rows, pixels, sums, .. } = self;
        let width = L::Register::<T>::LANES;
        let (n, pitch) = (outs * taps.len(), pitch::<T>(outs, taps.len()));
        let columns = columns::<L, T>(rows);
        let (vectors, block) = (n.div_ceil(width), columns * width);
        let in_order = vectors.div_ceil(columns) * block;
        assert!(self.inputs.len() >= pixels.div_ceil(rows) * rows * ins && rows <= MOST_ROWS);
        let (lanes, [step, run]) = match self.lanes {
            Lanes::Room(room) => {
                let (lanes, row) = room.split_at_mut(in_order * ins);
                self.weights.lay(level, block, lanes, row);
                (&*lanes, [from.outer[1], n as isize])
            }
            Lanes::Ready(lanes) => (lanes, [in_order as isize; 2]),
        };
        assert!(lanes.len() >= in_order * ins);
        let zeros = [T::default(); MOST_ROWS];
        let tiles = pixels.div_ceil(rows);
        let each = ins.div_ceil(tiles * vectors.div_ceil(columns));
        let mut next = self.next.map(|at| NextWeights { at, step, run: run as usize, left: ins, each });
        for v in (0..vectors).step_by(columns) {
            let part = v..(v + columns).min(vectors);
            let wide = part.len() * width;
            for t in 0..tiles {
                if let Some(next) = &mut next {
                    next.ask();
                }
                let pixels = even_part(pixels, rows, t);
                let first = pixels.start * pitch + part.start * width;
                let sums = &mut sums[first..][..(pixels.len() - 1) * pitch + wide];
                let mut done = 0;
                while done < ins {
                    let outer = LONGEST_SUM.min(ins - done);
                    let tile = Tile {
                        rows: pixels.len(),
                        factors: (self.inputs[(t * ins + done) * rows..].as_ptr(), 1),
                        lanes: lanes[v / columns * block * ins + done * block..].as_ptr(),
                        columns: part.len(),
                        steps: Steps { outer, table: &[(rows as isize, block as isize)] },
                        begin: (done == 0).then_some(&zeros[..pixels.len()]),
                        to: sums.as_mut_ptr(),
                        pitch,
                    };
                    // SAFETY: of every channel from `done` on there are `rows` inputs, of which the tile's are the first, and
                    // a block of lanes; `sums` has a row for each input.
                    unsafe { tile.run(level) };
                    done += outer;
                }
            }
        }
        let Self { landings, kernel, out, len, .. } = self;
        Stamping { landings, kernel, out, len, outs, taps: taps.len() }.all(&sums[..pixels * pitch], pitch);
    }
}

impl<T: Laned> Stamped<'_, T> {
    /// Puts the weights in order, in blocks of `block` lanes; `row` is room for those of one input channel.
    #[inline(always)]
    fn lay<L: Level>(&self, level: L, block: usize, lanes: &mut [T], row: &mut [T]) {
        let (taps, each) = (self.taps.len(), block * self.ins);
        let n = self.outs * taps;
        let [so, si] = self.from.outer;
        let whole = self.together && so == taps as isize;
        for i in 0..self.ins {
            let from = self.from.at([0, i], [0; 3]);
            if whole {
                if !self.asked {
                    prefetch_at(from.wrapping_offset(si.wrapping_mul(AHEAD)), n);
                }
                // SAFETY: `n` weights that exist and lie one after the other.
                let from = unsafe { std::slice::from_raw_parts(from.cast::<Cell<T>>(), n) };
                for (b, from) in from.chunks(block).enumerate() {
                    level.copy(from, as_uninit(&mut lanes[b * each + i * block..][..from.len()]));
                }
                continue;
            }
            for (o, to) in row.chunks_exact_mut(taps).take(self.outs).enumerate() {
                let from = from.wrapping_offset((o as isize).wrapping_mul(so));
                if self.together {
                    // SAFETY: as many weights as there are taps, which exist and lie one after the other.
                    let from = unsafe { std::slice::from_raw_parts(from.cast::<Cell<T>>(), taps) };
                    level.copy(from, as_uninit(to));
                    continue;
                }
                for (to, tap) in to.iter_mut().zip(self.taps) {
                    // SAFETY: a weight that exists.
                    *to = unsafe { from.wrapping_offset(*tap).read() };
                }
            }
            for (b, from) in as_cells(row)[..n].chunks(block).enumerate() {
                level.copy(from, as_uninit(&mut lanes[b * each + i * block..][..from.len()]));
            }
        }
    }
}

/// Where sums are added.
struct Stamping<'a, T> {
    landings: &'a [Vec<Landing>; 3],
    kernel: [usize; 2],
    out: &'a mut [T],
    len: [usize; 3],
    outs: usize,
    taps: usize,
}

impl<T: Laned> Stamping<'_, T> {
    /// Adds the sums, of which each position has a row, to the results.
    #[inline(always)]
    fn all(self, sums: &[T], pitch: usize) {
        let [kh, kw] = self.kernel;
        let [ds, hs, ws] = self.landings;
        let [planes, height, width] = self.len;
        let (positions, each) = (ds.len() * hs.len() * ws.len(), planes * height * width);
        for (p, sums) in sums.chunks_exact(pitch).enumerate() {
            let (image, p) = (p / positions, p % positions);
            let (d, h, w) = (p / (hs.len() * ws.len()), p / ws.len() % hs.len(), p % ws.len());
            let images = &mut self.out[image * self.outs * each..][..self.outs * each];
            for (td, od) in taps_of(&ds[d]) {
                for (th, oh) in taps_of(&hs[h]) {
                    for &(tw, ow, n) in &ws[w] {
                        let (tap, at) = ((td * kh + th) * kw + tw, (od * height + oh) * width + ow);
                        // (Channels innermost: found anew for each of them, short stretches took longer than their sums.)
                        for (out, sums) in images.chunks_exact_mut(each).zip(sums.chunks_exact(self.taps)) {
                            plus(&mut out[at..at + n], &sums[tap..tap + n]);
                        }
                    }
                }
            }
        }
    }
}

/// Each tap of a landing, and its output.
#[inline(always)]
fn taps_of(landing: &Landing) -> impl Iterator<Item = (usize, usize)> {
    landing.iter().flat_map(|&(tap, at, n)| (0..n).map(move |i| (tap + i, at + i)))
}

/// `to += from`, in fours: most kernels have no more.
#[inline(always)]
fn plus<T: Laned>(to: &mut [T], from: &[T]) {
    let (whole, rest) = to.as_chunks_mut::<4>();
    let (from, last) = from.as_chunks::<4>();
    for (to, from) in whole.iter_mut().zip(from) {
        for i in 0..4 {
            to[i] = T::add(to[i], from[i]);
        }
    }
    for (to, from) in rest.iter_mut().zip(last) {
        *to = T::add(*to, *from);
    }
}
