//! Linear maps of few inputs and many weights: as stamps.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use super::map::{Kept, MOST_BYTES, Map, Order, PRODUCTS_PER_ELEMENT, Packed};
use crate::element::Multiplied;
use crate::engine::parallel;
use crate::engine::products::MostRows;
use crate::engine::room::{Room, grow, scratch};
use crate::engine::rows::At;
use crate::engine::simd;
use crate::engine::stamps::{Landing, Lanes, LanesOfBlock, Lay, Stamped, Stamps, lanes, pitch, place_of};
use crate::error::Result;
use crate::geometry::phase::Links;

/// Most positions of an image, so that all sums of some output channels stay in cache.
const FEW: usize = 400;

/// Input channels times neighbouring taps that a position must have: putting weights in order for tiles of all positions takes
/// about 1.3 ns for each of them, adding a stretch of sums to the outputs 4 ns. (On a Zen 3 core, as against phases: k4s2 of
/// 512 channels of 8 x 8 10.5 and 5.0 ms, of 256 of 14 x 14 6.5 and 3.3; of 128 of 16 x 16 1.1 and 1.5.)
const WORTH: usize = 3;

/// Most bytes of weights in order.
const LANES_BYTES: usize = 512 << 10;

/// Positions to take together, if images have fewer, and lanes, if output channels have fewer taps.
const TOGETHER: usize = 96;

/// What a thread needs.
#[derive(Default)]
struct Scratch<K> {
    inputs: Room<K>,
    /// Which images and group they are.
    holds: Option<(usize, usize)>,
    /// Which unit's weights have been asked for.
    asked: Option<(usize, usize, usize)>,
    row: Room<K>,
    lanes: Room<K>,
    sums: Room<K>,
    out: Room<K>,
}

/// How the work is cut.
struct Cut {
    images: usize,
    outs: usize,
    /// Most rows of a tile.
    rows: usize,
    taps: Vec<isize>,
    together: bool,
    landings: [Vec<Landing>; 3],
    lens: [usize; 3],
}

impl<T: Multiplied> Map<'_, T> {
    fn positions(&self) -> usize {
        self.links.iter().map(|l| l.in_len).product()
    }

    /// Whether an image has so few inputs, each of which goes into so many outputs, that they had better be stamped. (That
    /// depends on neither strides nor layouts nor the number of images, so that results do not.)
    pub(super) fn is_stamped(&self) -> bool {
        let item = size_of::<T::Product>();
        let product = |of: fn(&Links) -> usize| self.links.iter().map(of).try_fold(item, usize::checked_mul);
        let within = |bytes: Option<usize>, times: usize, most: usize| {
            bytes.and_then(|b| b.checked_mul(times)).is_some_and(|bytes| bytes <= most)
        };
        self.in_first
            && self.ins.saturating_mul(self.links[2].runs.len()) / WORTH >= self.positions()
            && self.links.iter().all(|l| l.in_step == 1)
            && within(product(|l| l.in_len), 1, FEW * item)
            && within(product(|l| l.runs.len()), self.ins, LANES_BYTES)
            && within(product(|l| l.out_len), 1, MOST_BYTES)
            && within(product(|l| l.in_len), self.ins, MOST_BYTES)
            && self.ins * longest(&self.links[2]) >= WORTH * self.positions()
    }

    /// Computes the result by stamps.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub(super) fn stamped(&self) -> Result<()> {
        // One level for all: which rows a tile has depends on it.
        let isa = simd::current();
        let cut = self.cut(simd::dispatch_at(isa, MostRows::<T::Product>::default()));
        let (blocks, chunks) = (self.batch.div_ceil(cut.images), self.outs.div_ceil(cut.outs));
        let products = cut.outs * cut.taps.len() * self.ins;
        let cost = (products * cut.images * self.positions() + 16 * products) / PRODUCTS_PER_ELEMENT;
        let laid = self.kept.map(|kept| self.laid(&cut, chunks, isa, kept)).transpose()?;
        let laid = laid.as_deref().map(|laid| &*laid.weights);
        let make = || Ok(Scratch::default());
        parallel::for_each_with(blocks * self.groups * chunks, cost, make, |s, units, _| {
            for unit in units {
                let (rest, chunk) = (unit / chunks, unit % chunks);
                let (block, group) = (rest / self.groups, rest % self.groups);
                self.gather_inputs(&cut, block, group, s)?;
                let laid = laid.map(|laid| {
                    let each = laid.len() / (self.groups * chunks);
                    let (laid, later) = laid[(group * chunks + chunk) * each..].split_at(each);
                    [laid, later]
                });
                self.chunk(isa, &cut, (block, group, chunk), laid, s)?;
            }
            Ok(())
        })
    }

    /// The weights of all output channels in order, group by group, some channels after the other: made now, or kept since.
    fn laid(
        &self,
        cut: &Cut,
        chunks: usize,
        isa: simd::Isa,
        kept: &Kept<T::Product>,
    ) -> Result<Arc<Packed<T::Product>>> {
        let (rows, of) = (cut.rows, PhantomData::<T::Product>);
        let block = simd::dispatch_at(isa, LanesOfBlock { rows, of });
        let each = (cut.outs * cut.taps.len()).next_multiple_of(block) * self.ins;
        let order = Order::Stamps([cut.outs, rows, block]);
        if let Some(found) = kept.found(&order) {
            return Ok(found);
        }
        let mut weights = scratch(self.groups * chunks * each)?;
        let parts: Vec<Mutex<&mut [T::Product]>> = weights.chunks_exact_mut(each.max(1)).map(Mutex::new).collect();
        parallel::for_each(parts.len(), each, |units| {
            let mut row = scratch(pitch::<T::Product>(cut.outs, cut.taps.len()))?;
            for unit in units {
                let weights = self.stamped_weights(cut, unit / chunks, unit % chunks);
                // (Each is locked once.)
                if let Ok(mut to) = parts[unit].lock() {
                    simd::dispatch_at(isa, Lay { weights, rows, to: &mut to, row: &mut row });
                }
            }
            Ok(())
        })?;
        drop(parts);
        Ok(Kept::keep(Some(kept), Packed { order, weights }))
    }

    /// Weights of some output channels of a group, where they lie.
    fn stamped_weights<'a>(&self, cut: &'a Cut, group: usize, chunk: usize) -> Stamped<'a, T::Product> {
        let outs = chunk * cut.outs..((chunk + 1) * cut.outs).min(self.outs);
        let mut from = self.weights_of(group, 0);
        from.origin = from.at([outs.start, 0], [0; 3]);
        let Cut { taps, together, .. } = cut;
        Stamped { from, outs: outs.len(), ins: self.ins, taps, together: *together, asked: false }
    }

    fn cut(&self, rows: usize) -> Cut {
        let kernel = [0, 1, 2].map(|a| self.links[a].runs.len());
        let [sd, sh, sw] = self.weight.place.spatial;
        let all = |n: usize, stride: isize| (0..n as isize).map(move |k| k.wrapping_mul(stride));
        let mut taps = Vec::new();
        for d in all(kernel[0], sd) {
            for h in all(kernel[1], sh) {
                taps.extend(all(kernel[2], sw).map(|w| d.wrapping_add(h).wrapping_add(w)));
            }
        }
        let together = taps.iter().enumerate().all(|(k, tap)| *tap == k as isize);
        let lens = [0, 1, 2].map(|a| self.links[a].out_len);
        let bytes = lens.iter().product::<usize>() * size_of::<T::Product>();
        let most = (MOST_BYTES / bytes.max(1)).max(1);
        let outs = (TOGETHER / taps.len()).clamp(1, self.outs.max(1)).min(most);
        let positions = self.positions();
        let images = (TOGETHER / positions.max(1)).clamp(1, self.batch.max(1)).min((most / outs).max(1));
        let rows = rows.min(images * positions).max(1);
        Cut { images, outs, rows, taps, together, landings: [0, 1, 2].map(|a| landings(&self.links[a])), lens }
    }

    /// Puts the inputs of some images in the order of tiles.
    fn gather_inputs(&self, cut: &Cut, block: usize, group: usize, s: &mut Scratch<T::Product>) -> Result<()> {
        if s.holds == Some((block, group)) {
            return Ok(());
        }
        s.holds = None;
        let [depth, height, width] = [0, 1, 2].map(|a| self.links[a].in_len);
        let images = block * cut.images..((block + 1) * cut.images).min(self.batch);
        let pixels = images.len() * self.positions();
        grow(&mut s.inputs, pixels.div_ceil(cut.rows) * cut.rows * self.ins)?;
        grow(&mut s.row, width)?;
        let mut first = 0;
        for n in images {
            for (d, h) in (0..depth).flat_map(|d| (0..height).map(move |h| (d, h))) {
                let places: Vec<_> = (first..first + width).map(|p| place_of(p, pixels, cut.rows, self.ins)).collect();
                first += width;
                for i in 0..self.ins {
                    let at = At { block: (n * self.groups + group) * self.ins + i, d, h };
                    let row = self.x.load(T::ProductCodec::default(), at, &(0..width), &mut s.row);
                    for (place, v) in places.iter().zip(row) {
                        s.inputs[place + i * cut.rows] = v.get();
                    }
                }
            }
        }
        s.holds = Some((block, group));
        Ok(())
    }

    /// Computes some output channels of some images; `laid`: their weights in order, and those after them.
    fn chunk(
        &self,
        isa: simd::Isa,
        cut: &Cut,
        (block, group, chunk): (usize, usize, usize),
        laid: Option<[&[T::Product]; 2]>,
        s: &mut Scratch<T::Product>,
    ) -> Result<()> {
        let images = block * cut.images..((block + 1) * cut.images).min(self.batch);
        let outs = chunk * cut.outs..((chunk + 1) * cut.outs).min(self.outs);
        let pixels = images.len() * self.positions();
        let [depth, height, width] = cut.lens;
        let pitch = pitch::<T::Product>(outs.len(), cut.taps.len());
        if laid.is_none() {
            grow(&mut s.lanes, lanes::<T::Product>(pitch, self.ins))?;
        }
        grow(&mut s.sums, pixels * pitch)?;
        let each = depth * height * width;
        grow(&mut s.out, images.len() * outs.len() * each)?;
        let out = &mut s.out[..images.len() * outs.len() * each];
        for (i, out) in out.chunks_exact_mut(each.max(1)).enumerate() {
            let o = group * self.outs + outs.start + i % outs.len();
            out.fill(self.bias.map_or_else(Default::default, |b| b[o]));
        }
        let mut weights = self.stamped_weights(cut, group, chunk);
        weights.asked = s.asked == Some((block, group, chunk));
        let more = outs.end < self.outs;
        s.asked = more.then_some((block, group, chunk + 1));
        let (lanes, next) = match laid {
            Some([laid, later]) => (Lanes::Ready(laid), later.as_ptr()),
            None => (Lanes::Room(&mut s.lanes), self.weights_of(group, 0).at([outs.end, 0], [0; 3])),
        };
        simd::dispatch_at(
            isa,
            Stamps {
                inputs: &s.inputs,
                rows: cut.rows,
                pixels,
                weights,
                next: more.then_some(next),
                landings: &cut.landings,
                kernel: [self.links[1].runs.len(), self.links[2].runs.len()],
                lanes,
                sums: &mut s.sums,
                out,
                len: cut.lens,
            },
        );
        let mut rows = out.chunks_exact_mut(width.max(1));
        for (n, o) in images.flat_map(|n| outs.clone().map(move |o| (n, o))) {
            let block = (n * self.groups + group) * self.outs + o;
            for (d, h) in (0..depth).flat_map(|d| (0..height).map(move |h| (d, h))) {
                if let Some(row) = rows.next() {
                    self.out.store_from(T::ProductCodec::default(), At { block, d, h }, &(0..width), row);
                }
            }
        }
        Ok(())
    }
}

/// The longest stretch of neighbouring outputs that an input of an axis has.
fn longest(links: &Links) -> usize {
    landings(links).iter().flatten().map(|l| l.2).max().unwrap_or(0)
}

/// Where the taps of every input of an axis land.
fn landings(links: &Links) -> Vec<Landing> {
    let land = |i: usize| {
        let mut landing: Landing = Vec::new();
        for (tap, run) in links.runs.iter().enumerate() {
            let Some(j) = i.checked_sub(run.in_).filter(|&j| j < run.len) else { continue };
            let at = run.out + j * links.out_step;
            match landing.last_mut() {
                Some((first, begin, n)) if (*first + *n, *begin + *n) == (tap, at) => *n += 1,
                _ => landing.push((tap, at, 1)),
            }
        }
        landing
    };
    (0..links.in_len).map(land).collect()
}
