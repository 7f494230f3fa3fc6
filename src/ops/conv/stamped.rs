//! Linear maps of few inputs and many weights: as stamps.

use super::map::{MOST_BYTES, Map, PRODUCTS_PER_ELEMENT};
use crate::element::Multiplied;
use crate::engine::parallel;
use crate::engine::products::MostRows;
use crate::engine::room::{Room, grow};
use crate::engine::rows::At;
use crate::engine::simd;
use crate::engine::stamps::{Landing, Stamps, lanes, pitch, place_of};
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
        parallel::for_each(blocks * self.groups * chunks, cost, |units| {
            let mut s = Scratch::default();
            for unit in units {
                let (rest, chunk) = (unit / chunks, unit % chunks);
                let (block, group) = (rest / self.groups, rest % self.groups);
                self.gather_inputs(&cut, block, group, &mut s)?;
                self.chunk(isa, &cut, (block, group, chunk), &mut s)?;
            }
            Ok(())
        })
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

    /// Computes some output channels of some images.
    fn chunk(
        &self,
        isa: simd::Isa,
        cut: &Cut,
        (block, group, chunk): (usize, usize, usize),
        s: &mut Scratch<T::Product>,
    ) -> Result<()> {
        let images = block * cut.images..((block + 1) * cut.images).min(self.batch);
        let outs = chunk * cut.outs..((chunk + 1) * cut.outs).min(self.outs);
        let pixels = images.len() * self.positions();
        let [depth, height, width] = cut.lens;
        let pitch = pitch::<T::Product>(outs.len(), cut.taps.len());
        grow(&mut s.lanes, lanes::<T::Product>(pitch, self.ins))?;
        grow(&mut s.sums, pixels * pitch)?;
        let each = depth * height * width;
        grow(&mut s.out, images.len() * outs.len() * each)?;
        let out = &mut s.out[..images.len() * outs.len() * each];
        for (i, out) in out.chunks_exact_mut(each.max(1)).enumerate() {
            let o = group * self.outs + outs.start + i % outs.len();
            out.fill(self.bias.map_or_else(Default::default, |b| b[o]));
        }
        let mut weights = self.weights_of(group, 0);
        let next = (outs.end < self.outs).then(|| weights.at([outs.end, 0], [0; 3]));
        weights.origin = weights.at([outs.start, 0], [0; 3]);
        let asked = s.asked == Some((block, group, chunk));
        s.asked = next.map(|_| (block, group, chunk + 1));
        simd::dispatch_at(
            isa,
            Stamps {
                inputs: &s.inputs,
                rows: cut.rows,
                pixels,
                ins: self.ins,
                weights,
                asked,
                next,
                outs: outs.len(),
                taps: &cut.taps,
                together: cut.together,
                landings: &cut.landings,
                kernel: [self.links[1].runs.len(), self.links[2].runs.len()],
                lanes: &mut s.lanes,
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
