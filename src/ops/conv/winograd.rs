//! Linear maps with few products: outputs in pairs, by Winograd's minimal filtering.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use super::map::{Kept, Map, Order, PRODUCTS_PER_ELEMENT, Packed, Stretches, position};
use crate::element::{Laned, Multiplied};
use crate::engine::parallel;
use crate::engine::products::{MostRows, RowAt};
use crate::engine::room::{Room, grow, scratch};
use crate::engine::rows::{self, At};
use crate::engine::simd;
use crate::engine::winograd::{Expand, Form, Sums, Table, pitch, source_pitch};
use crate::error::Result;
use crate::geometry::phase::Phases;
use crate::geometry::taps::reserved;
use crate::geometry::winograd::Axis;
use crate::kernels::winograd::{Across, Combine, Reads};
use crate::layout::Grid;

/// Which way convolutions are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    /// The one that takes less time, as far as shapes tell.
    Auto = 0,
    /// Every product by itself.
    Direct = 1,
    /// Outputs in pairs wherever that saves a product: for tests.
    Winograd = 2,
}

impl Way {
    /// The way of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Auto, Self::Direct, Self::Winograd].into_iter().find(|w| w.name() == name)
    }

    /// The name `UPSAMPLE_RS_CONV` uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Direct => "direct",
            Self::Winograd => "winograd",
        }
    }
}

static WAY: AtomicU8 = AtomicU8::new(u8::MAX);

/// The way in force.
#[must_use]
pub fn way() -> Way {
    match WAY.load(Ordering::Relaxed) {
        0 => Way::Auto,
        1 => Way::Direct,
        2 => Way::Winograd,
        _ => set_way(None),
    }
}

/// Sets the way for the whole process (`None`: back to the default, which `UPSAMPLE_RS_CONV` may set), and returns it.
#[cold]
pub fn set_way(way: Option<Way>) -> Way {
    let from_env = || std::env::var("UPSAMPLE_RS_CONV").ok().and_then(|name| Way::named(&name));
    let way = way.or_else(from_env).unwrap_or(Way::Auto);
    WAY.store(way as u8, Ordering::Relaxed);
    way
}

/// Bytes of a band's sources and of a block's sums to aim at. (More than a small L2 has: with fewer lanes all weights are read more
/// often, and more rows belong to two bands. k3s1 of 64 channels of 56 x 56 on a Zen 3 core, an hour when all took half as long
/// again: 4.9 ms with 192 KiB, 4.2 with 448, 3.8 with this.)
const BAND_BYTES: usize = 640 << 10;

/// Most bytes of them, with few lanes.
const MOST_BYTES: usize = 2 << 20;

/// Fewest and most lanes of a band.
const LANES: Range<usize> = 16..193;

/// Input channels below which pairs are never worth it, for what they take beside products is for each output channel; and taps of
/// an axis beyond which they are not looked for.
const FEW_CHANNELS: usize = 7;
const LONG_KERNEL: usize = 64;

/// Longest distance of the inputs of neighbours along W, and how many positions apart one's inputs may be.
const MOST_STEP: usize = 16;
const NEAR: usize = 32;

/// Most output channels whose factors are made as one unit of work: a whole number of blocks of any size.
const MOST_SHARE: usize = 960;

/// Most bytes of packed weights.
const MOST_WEIGHTS: usize = 48 << 20;

/// What an element of a source takes, with pairs along so many axes, in products: several axes have more sources, which leave a
/// cache less room. (This and what follows was found on a Zen 3 core, from 3 x 3 of 16 to 256 channels, k3s2 of 64, k4s2 of 128
/// and three-dimensional ones of 16 and 32, and holds for AVX-512 on a Sapphire Rapids core, but for factors: products take half as
/// long there. The last was 27 before planes were combined by themselves.)
const SOURCE: [usize; 4] = [0, 8, 13, 20];

/// What an element of a sum takes, and with pairs along three axes where outputs are of several phases.
const SUM: usize = 14;
const SUM_OF_PHASES: usize = 30;

/// What a factor of a weight takes: more, if there are more than `FEW_FACTORS` bytes of them, and twice as much where vectors are
/// twice as long.
const FACTOR: usize = 24;
const FEW_FACTORS: usize = 2 << 20;

/// How much less it must be than every product by itself takes, in sixteenths.
const WORTH: usize = 15;

/// How many input channels ahead inputs are asked for. (k3s1 of 64 channels of 56 x 56 waited for them a tenth of its time.)
const AHEAD: usize = 2;

/// How bands are cut.
struct Cut {
    /// Positions along each axis, how many bands they are cut into, and images of a band.
    all: [usize; 3],
    parts: [usize; 3],
    images: usize,
    /// Most positions of a band along each axis.
    band: [usize; 3],
    stretches: [Stretches; 3],
    /// The first of the inputs that the positions of a row have, from the first one's on.
    first: i64,
    /// How many positions further on the last one is.
    beyond: usize,
    /// Distance of the inputs of neighbours along W.
    step: usize,
    pitch: usize,
}

impl Cut {
    fn part(&self, axis: usize, i: usize) -> Range<usize> {
        let (all, parts) = (self.all[axis], self.parts[axis]);
        all * i / parts..all * (i + 1) / parts
    }

    /// How the rows of a band of these lengths are taken apart.
    fn across(&self, lens: [usize; 3]) -> Across {
        let rows = (0..2).map(|a| self.stretches[a].starts.len() * (lens[a] + self.stretches[a].extra)).product();
        Across { step: self.step, len: lens[2] + self.beyond, before: 0, rows }
    }
}

/// One unit of work.
struct Band {
    images: Range<usize>,
    group: usize,
    at: [Range<usize>; 3],
}

/// Memory of one thread.
struct Scratch<K> {
    line: Room<K>,
    apart: Room<K>,
    packed: Room<K>,
    made: Room<K>,
    mixed: Room<K>,
    sources: Room<K>,
    sums: Room<K>,
    results: Room<K>,
    rows: Vec<RowAt>,
}

impl<T: Multiplied> Map<'_, T> {
    /// The axes with outputs in pairs, if that is worth it: as shapes tell, but for that of the batch, so that results depend
    /// on neither layouts nor the number of images.
    ///
    /// # Errors
    /// If a table cannot be allocated.
    pub(super) fn paired(&self) -> Result<Option<[Axis; 3]>> {
        let way = way();
        // (Before any table is made: small calls are to stay small.)
        let few = self.ins < FEW_CHANNELS || self.ins.saturating_mul(self.outs) < FEW_CHANNELS * FEW_CHANNELS;
        let long = self.links.iter().any(|l| l.runs.len() > LONG_KERNEL);
        if !<T::Product as Laned>::HALVED || long || way == Way::Direct || way == Way::Auto && few {
            return Ok(None);
        }
        let phases = self.phases()?;
        let bare = |a: usize| phases[a].iter().map(|p| p.members.len()).sum::<usize>() < self.links[a].phase_count();
        if (0..3).any(bare) {
            return Ok(None);
        }
        let axes = self.axes([0, 1, 2].map(|a| self.links[a].out_len > self.links[a].out_step))?;
        if axes.iter().all(|a| a.unit == 1) || !self.is_near(&axes[2]) {
            return Ok(None);
        }
        if way == Way::Auto && !self.is_worth_pairs(&phases, &axes) {
            return Ok(None);
        }
        Ok(Some(axes))
    }

    /// Whether what a row of positions reads is little more than those positions: it is copied with all that lies between.
    fn is_near(&self, axis: &Axis) -> bool {
        let shifts = axis.shifts();
        let step = self.links[2].in_step.saturating_mul(axis.unit);
        let far = shifts.last().zip(shifts.first()).map_or(0, |(last, first)| last.saturating_sub(*first));
        step <= MOST_STEP && usize::try_from(far).is_ok_and(|far| far <= NEAR * step)
    }

    /// The axes, where pairs are allowed.
    pub(super) fn axes(&self, pairs: [bool; 3]) -> Result<[Axis; 3]> {
        let phases = self.phases()?;
        let axis = |a: usize| Axis::new(&phases[a], self.links[a].in_step, pairs[a]);
        Ok([axis(0)?, axis(1)?, axis(2)?])
    }

    /// Whether pairs take less time.
    fn is_worth_pairs(&self, phases: &[Arc<Vec<Phases>>; 3], axes: &[Axis; 3]) -> bool {
        let positions = |unit: fn(&Axis) -> usize| {
            let each = |a: usize| self.links[a].out_len.div_ceil(self.links[a].out_step).div_ceil(unit(&axes[a]));
            (0..3).map(each).fold(1, usize::saturating_mul)
        };
        let product = |of: fn(&Axis) -> usize| axes.iter().map(of).fold(1, usize::saturating_mul);
        let taps = |a: usize| phases[a].iter().map(|p| p.members.len() * p.shifts.len()).sum::<usize>();
        let direct = (0..3).map(taps).fold(positions(|_| 1), usize::saturating_mul);
        let (factors, sources, sums) = (product(Axis::products), product(|a| a.sources.len()), product(Axis::sums));
        let pairs = positions(|a| a.unit);
        let channels = self.ins.saturating_mul(self.outs);
        let item = size_of::<T::Product>();
        let weights = factors.saturating_mul(channels).saturating_mul(self.groups).saturating_mul(item);
        let along = axes.iter().filter(|a| a.unit > 1).count();
        let source = SOURCE[along];
        let sum = if along == 3 && self.links[2].out_step > 1 { SUM_OF_PHASES } else { SUM };
        let factor = if weights > FEW_FACTORS { 3 * FACTOR } else { FACTOR };
        let factor = if simd::current() >= simd::Isa::Avx512 { 2 * factor } else { factor };
        let with = [
            factors.saturating_mul(pairs).saturating_mul(channels),
            sources.saturating_mul(pairs).saturating_mul(self.ins).saturating_mul(source),
            sums.saturating_mul(pairs).saturating_mul(self.outs).saturating_mul(sum),
            factors.saturating_mul(channels).saturating_mul(factor),
        ];
        let lane = sources.saturating_mul(self.ins).saturating_add(sums.saturating_mul(8)).saturating_mul(item);
        weights <= MOST_WEIGHTS
            && lane.saturating_mul(4 * LANES.start) <= MOST_BYTES
            && with.into_iter().fold(0, usize::saturating_add) < direct.saturating_mul(channels) / 16 * WORTH
    }

    /// Computes the result with outputs in pairs.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub(super) fn by_pairs(&self, axes: [Axis; 3]) -> Result<()> {
        // One level for all: the order of packed weights depends on it.
        let isa = simd::current();
        let rows = simd::dispatch_at(isa, MostRows::<T::Product>::default());
        let step = [0, 1, 2].map(|a| self.links[a].out_step);
        let lens = [0, 1, 2].map(|a| self.links[a].out_len);
        let form = Form::new(axes, step, lens, rows.clamp(1, self.outs.max(1)));
        let cut = self.cut_pairs(&form);
        let weights = self.expanded(&form, isa)?;
        let of_group = form.packed_room(self.outs, self.ins);
        let [d, h, w] = cut.parts;
        let bands = self.batch.div_ceil(cut.images) * d * h * w;
        let positions = cut.images * cut.band.iter().product::<usize>();
        let products = positions * form.axes.iter().map(Axis::products).product::<usize>() * self.ins * self.outs;
        let cost = products / PRODUCTS_PER_ELEMENT + positions * form.sources() * self.ins;
        let tables = form.tables(self.ins, cut.pitch);
        let odd = Mutex::new(Vec::new());
        let make = || {
            Ok(Scratch {
                line: Room::default(),
                apart: Room::default(),
                packed: Room::default(),
                made: Room::default(),
                mixed: Room::default(),
                sources: Room::default(),
                sums: Room::default(),
                results: Room::default(),
                rows: Vec::new(),
            })
        };
        parallel::for_each_with(bands * self.groups, cost, make, |scratch, units, pause| {
            for unit in units {
                pause.here()?;
                let (rest, bw) = (unit / w, unit % w);
                let (rest, bh) = (rest / h, rest % h);
                let (rest, bd) = (rest / d, rest % d);
                let (bn, group) = (rest / self.groups, rest % self.groups);
                let band = Band {
                    images: bn * cut.images..((bn + 1) * cut.images).min(self.batch),
                    group,
                    at: [cut.part(0, bd), cut.part(1, bh), cut.part(2, bw)],
                };
                let weights = &weights.weights[group * of_group..][..of_group];
                if !self.band_of_pairs(isa, &form, &cut, &band, (weights, &tables), scratch)?
                    && let Ok(mut odd) = odd.lock()
                {
                    odd.push(band);
                }
            }
            Ok(())
        })?;
        let odd = odd.into_inner().unwrap_or_default();
        odd.iter().try_for_each(|band| self.mend(&form, band))
    }

    /// Cuts positions into bands.
    fn cut_pairs(&self, form: &Form) -> Cut {
        let unit = form.axes.each_ref().map(|a| a.unit);
        let all = [0, 1, 2].map(|a| self.links[a].out_len.div_ceil(self.links[a].out_step * unit[a]));
        let lane = (form.sources() * self.ins + form.sums() * form.together) * size_of::<T::Product>();
        // Bands for each thread to have some, unless they were short.
        let threads = parallel::threads();
        let share = if threads > 1 { all.iter().product::<usize>() * self.batch / (2 * threads) } else { usize::MAX };
        let most = (BAND_BYTES / lane.max(1)).min(share.max(2 * LANES.start)).clamp(LANES.start, LANES.end - 1);
        let stretches = [0, 1, 2].map(|a| {
            // (Only the shifts count.)
            let shifts = Phases { shifts: form.axes[a].shifts(), members: Vec::new() };
            Stretches::new(&[shifts], self.links[a].in_step * unit[a], NEAR / 4)
        });
        let mut parts = [1; 3];
        // Whole rows, if not too long; then as many as fit.
        let even = |n: usize, most: usize| n.div_ceil(most.max(1)).max(1);
        parts[2] = even(all[2], most);
        let width = all[2].div_ceil(parts[2]);
        parts[1] = even(all[1], most / width);
        let plane = width * all[1].div_ceil(parts[1]);
        parts[0] = if parts[1] > 1 { all[0] } else { even(all[0], most / plane) };
        let band = [0, 1, 2].map(|a| all[a].div_ceil(parts[a]));
        let volume: usize = band.iter().product();
        let images = if parts == [1; 3] { (most / volume.max(1)).clamp(1, self.batch.max(1)) } else { 1 };
        let images = self.batch.div_ceil(self.batch.div_ceil(images).max(1)).max(1);
        let shifts = form.axes[2].shifts();
        let (first, last) = (shifts.first().map_or(0, |s| *s), shifts.last().map_or(0, |s| *s));
        let step = self.links[2].in_step * unit[2];
        let beyond = usize::try_from(last - first).unwrap_or(0) / step;
        Cut { all, parts, images, band, stretches, first, beyond, step, pitch: pitch(images * volume) }
    }

    /// The factors of all weights, in order: made now, or kept since.
    fn expanded(&self, form: &Form, isa: simd::Isa) -> Result<Arc<Packed<T::Product>>> {
        let order = Order::Pairs(form.together, Box::new(form.axes.clone()));
        if let Some(kept) = self.kept.and_then(|k| k.found(&order)) {
            return Ok(kept);
        }
        let each = form.packed_room(self.outs, self.ins);
        let kernel = [0, 1, 2].map(|a| self.links[a].runs.len());
        let mut weights = scratch(self.groups * each)?;
        // A share of the output channels for each thread.
        let share = self.outs.div_ceil(parallel::threads()).next_multiple_of(form.together).min(MOST_SHARE);
        let shares: Vec<Mutex<&mut [T::Product]>> = weights
            .chunks_exact_mut(each.max(1))
            .flat_map(|of_group| of_group.chunks_mut(form.packed_room(share, self.ins).max(1)).map(Mutex::new))
            .collect();
        let in_group = self.outs.div_ceil(share);
        let cost = share * self.ins * form.axes.iter().map(Axis::products).product::<usize>();
        parallel::for_each(shares.len(), cost, |units| {
            let mut made = scratch(Expand::<T::Product>::room(form, kernel))?;
            for unit in units {
                let first = unit % in_group * share;
                let outs = first..(first + share).min(self.outs);
                let from = self.weights_of(unit / in_group, 0);
                // (Each is locked once.)
                if let Ok(mut to) = shares[unit].lock() {
                    simd::dispatch_at(
                        isa,
                        Expand { form, kernel, from, outs, ins: self.ins, made: &mut made, to: &mut to },
                    );
                }
            }
            Ok(())
        })?;
        Ok(Kept::keep(self.kept, Packed { order, weights }))
    }

    /// Computes one band; tells whether all of it is finite.
    fn band_of_pairs(
        &self,
        isa: simd::Isa,
        form: &Form,
        cut: &Cut,
        band: &Band,
        (weights, tables): (&[T::Product], &[Table]),
        s: &mut Scratch<T::Product>,
    ) -> Result<bool> {
        let pitch = cut.pitch;
        self.gather_sources(isa, form, cut, band, s)?;
        s.rows.clear();
        for n in band.images.clone() {
            for d in band.at[0].clone() {
                for h in band.at[1].clone() {
                    s.rows.push(RowAt { lane: s.rows.len() * band.at[2].len(), n, d, h });
                }
            }
        }
        let reach = self.reach(form, band);
        let first_out = band.group * self.outs;
        // Results that are not written where they lie: of as many output channels as take little memory.
        let at_once = if self.in_place().is_some() {
            self.outs
        } else {
            let of_one = band.images.len() * reach.iter().map(Range::len).product::<usize>() * size_of::<T::Product>();
            ((MOST_BYTES / 2 / of_one.max(1)) / form.together * form.together).max(form.together)
        };
        grow(&mut s.sums, form.room::<T::Product>(self.outs.min(at_once), pitch))?;
        let mut finite = true;
        for first in (0..self.outs).step_by(at_once) {
            let outs = first..(first + at_once).min(self.outs);
            let target = self.target((band.group, &band.images, &outs), &reach, &mut s.results)?;
            finite &= simd::dispatch_at(
                isa,
                Sums {
                    form,
                    weights,
                    tables,
                    bias: self.bias.map(|b| &b[first_out..first_out + self.outs]),
                    outs: outs.clone(),
                    ins: self.ins,
                    sources: &s.sources,
                    pitch,
                    rows: &s.rows,
                    width: band.at[2].len(),
                    col: band.at[2].start,
                    target,
                    sums: &mut s.sums,
                },
            );
            self.deliver((band.group, &band.images, &outs), &reach, &mut s.results);
        }
        Ok(finite)
    }

    /// The outputs of a band, as the plan counts them: from a whole number of positions before the first that is wanted.
    fn reach(&self, form: &Form, band: &Band) -> [Range<usize>; 3] {
        [0, 1, 2].map(|a| {
            let each = self.links[a].out_step * form.axes[a].unit;
            band.at[a].start * each..(band.at[a].end * each).min(self.links[a].out_len)
        })
    }

    /// Makes the sources of a band.
    fn gather_sources(
        &self,
        isa: simd::Isa,
        form: &Form,
        cut: &Cut,
        band: &Band,
        s: &mut Scratch<T::Product>,
    ) -> Result<()> {
        let lens = [0, 1, 2].map(|a| band.at[a].len());
        let extent = [0, 1].map(|a| lens[a] + cut.stretches[a].extra);
        let step = [0, 1, 2].map(|a| self.links[a].in_step * form.axes[a].unit);
        let range = [0, 1, 2].map(|a| cut.stretches[a].seen(step[a], self.links[a].in_len, &band.at[a]));
        let mut found = [0, 1].map(|a| cut.stretches[a].found(step[a], &band.at[a], range[a].end));
        if range.iter().any(Range::is_empty) {
            // Nothing but padding: there is no row.
            found.iter_mut().flatten().for_each(|f| f.to = 0..0);
        }
        // How far the first input that exists is behind the first that is wanted: less than a row is long.
        let wanted = position(band.at[2].start, step[2], cut.first);
        let before = usize::try_from(range[2].start as i128 - wanted).unwrap_or(0);
        let across = Across { before, ..cut.across(lens) };
        grow(&mut s.line, across.room())?;
        // Zeros around the inputs; they stay.
        s.line.fill(T::Product::default());
        grow(&mut s.apart, if step[2] > 1 { step[2] * across.pitch() } else { 0 })?;
        grow(&mut s.made, form.axes[2].sources.len() * across.pitch())?;
        grow(&mut s.mixed, if form.axes[0].unit > 1 { across.pitch() } else { 0 })?;
        let pitch = cut.pitch;
        grow(&mut s.sources, form.sources() * source_pitch(self.ins, pitch))?;
        let codec = T::ProductCodec::default();
        let reads = Self::reads(form, cut, lens);
        let volume: usize = lens.iter().product();
        let ready = self.x.place::<T::ProductCodec>().filter(|x| x.spatial[2] == 1);
        for (i, n) in band.images.clone().enumerate() {
            for c in 0..self.ins {
                if let (Some(x), true) = (ready, c + AHEAD < self.ins) {
                    // The rows of a channel are too few for the processor to find the way by itself.
                    let outer = [n, band.group * self.ins + c + AHEAD];
                    for (d, h) in range[0].clone().flat_map(|d| range[1].clone().map(move |h| (d, h))) {
                        simd::prefetch_at(x.at(outer, [d, h, range[2].start]), range[2].len());
                    }
                }
                let block = (n * self.groups + band.group) * self.ins + c;
                let place = rows::Place { block, d: range[0].clone(), h: range[1].clone(), cols: range[2].clone() };
                simd::dispatch_at(
                    isa,
                    Combine {
                        source: self.x.rows(codec, &place, &mut s.packed)?,
                        found: &found,
                        step: [step[0], step[1]],
                        extent,
                        across,
                        line: &mut s.line,
                        apart: &mut s.apart,
                        reads: &reads,
                        band: lens,
                        made: &mut s.made,
                        mixed: &mut s.mixed,
                        to: &mut s.sources[c * pitch + i * volume..],
                        pitch: source_pitch(self.ins, pitch),
                    },
                );
            }
        }
        Ok(())
    }

    /// Where the sources of a band of these lengths find their elements.
    fn reads(form: &Form, cut: &Cut, lens: [usize; 3]) -> [Vec<Reads>; 3] {
        let extent = [0, 1].map(|a| lens[a] + cut.stretches[a].extra);
        let across = cut.across(lens);
        let (rows, len) = (extent[0] * extent[1], across.len);
        let along = [[cut.stretches[1].starts.len() * rows * len, extent[1] * len], [rows * len, len]];
        [0, 1, 2].map(|a| {
            let place = |shift: i64| {
                if a == 2 {
                    let ahead = usize::try_from(shift - cut.first).unwrap_or(0);
                    return ahead % across.step * across.pitch() + ahead / across.step;
                }
                let (stretch, ahead) = cut.stretches[a].of(shift);
                stretch * along[a][0] + ahead * along[a][1]
            };
            let reads = form.axes[a]
                .sources
                .iter()
                .map(|s| Reads { first: place(s.shift), second: s.second.map(|(shift, minus)| (place(shift), minus)) });
            reads.collect()
        })
    }

    /// Outputs of a band that are not finite, as every product by itself has them: what is infinite there may be NaN here.
    fn mend(&self, form: &Form, band: &Band) -> Result<()> {
        let reach = self.reach(form, band);
        let [planes, rows, cols] = [0, 1, 2].map(|a| self.lead[a].max(reach[a].start)..reach[a].end);
        // Some rows of all channels at a time.
        let row = self.groups * self.outs * cols.len() * size_of::<T>();
        let some = (MOST_BYTES / row.max(1)).max(1);
        for (n, d) in band.images.clone().flat_map(|n| planes.clone().map(move |d| (n, d))) {
            for h in rows.clone().step_by(some) {
                self.mend_rows(n, &[d..d + 1, h..(h + some).min(rows.end), cols.clone()])?;
            }
        }
        Ok(())
    }

    /// See [`Map::mend`].
    fn mend_rows(&self, n: usize, outs: &[Range<usize>; 3]) -> Result<()> {
        let reads = [0, 1, 2].map(|a| {
            let reads = self.links[a].inputs(&outs[a]);
            if reads.is_empty() { 0..1 } else { reads }
        });
        let part = |a: usize| self.links[a].part(&outs[a], &reads[a]);
        let links = [part(0)?, part(1)?, part(2)?];
        let [_, rows, w] = outs.each_ref().map(Range::len);
        let all = self.groups * self.outs;
        let mut made = reserved::<T>(all * rows * w)?;
        made.resize(all * rows * w, T::default());
        let strides = [all * rows * w, rows * w, rows * w, w, 1].map(usize::cast_signed);
        let out = Grid::channels_outside(made.as_mut_ptr(), &[1, all, 1, rows, w], &strides, 3, false);
        let x = self.x.part(n, reads.each_ref().map(|r| r.start), reads.each_ref().map(Range::len));
        let sums = Some(self.sums.map_or_else(|| self.sums(), Ok)?.unpaired());
        Map::<T> { batch: 1, links: &links, x, out: out.clone(), sums, lead: [0; 3], kept: None, ..*self }.run()?;
        let (written, made) = (self.out.to_be_read(), out.to_be_read());
        let (mut row, mut other, mut one) = (scratch(w)?, scratch(w)?, scratch(w)?);
        let codec = T::ProductCodec::default();
        let first = [0, 1, 2].map(|a| outs[a].start - self.lead[a]);
        let cols = first[2]..first[2] + w;
        for (c, h) in (0..all).flat_map(|c| (0..rows).map(move |h| (c, h))) {
            let at = At { block: n * all + c, d: first[0], h: first[1] + h };
            let exact = made.load(codec, At { block: c, d: 0, h }, &(0..w), &mut other);
            let found = written.load(codec, at, &cols, &mut one);
            if found.iter().all(|v| v.get().is_finite()) {
                continue;
            }
            for (to, (v, exact)) in row.iter_mut().zip(found.iter().zip(exact)) {
                *to = if v.get().is_finite() { v.get() } else { exact.get() };
            }
            self.out.store_from(codec, at, &cols, &mut row);
        }
        Ok(())
    }
}
