//! A linear map between channels and positions: a convolution, a transposed one, or the gradient of either by its input.
//!
//! Every output residue is a phase with taps of its own, and reads inputs at equal distances. The inputs a band of outputs
//! reads are laid out so that all phases find theirs in unbroken runs of lanes: in the array itself where nothing is
//! padded and neighbours lie together, else in a small copy of the band, zeros around it, split by residue where the map
//! skips inputs. What is done with them is `engine/products.rs`.

use std::marker::PhantomData;
use std::mem::discriminant;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::element::{Laned, Multiplied};
use crate::engine::direct::Direct;
use crate::engine::parallel::{self, Pause};
use crate::engine::products::{
    Lists, MostRows, Pack, Part, Place, Plane, Products, RoomOfSums, RowAt, Scheme, Slice, Table, Weights,
    channels_of_table, fill, together,
};
use crate::engine::room::{Room, grow, scratch};
use crate::engine::rows::{self, At};
use crate::engine::simd::{self, Isa};
use crate::engine::tile::walk;
use crate::error::Result;
use crate::geometry::gcd;
use crate::geometry::phase::{Links, Member, Phases};
use crate::geometry::winograd::Axis;
use crate::kernels::conv::{Found, Spread, clear};
use crate::layout::Grid;

/// Bytes of a band's copy to aim at: most of a small L2. (Half as much, for weights and results to have their share, took
/// 5 % longer for many channels, and 10 % where the windows of bands overlap much. Asking the processor for the size of its
/// L2, 512 KiB on a Zen 3 core, changed nothing that could be told from noise.)
const BAND_BYTES: usize = 768 << 10;

/// Most bytes of a band's copy, and of results that are not written where they lie.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// Farthest that taps along W may read from each other and yet share a stretch, in steps; along D and H a quarter of it. (A
/// shared stretch is copied with all that lies between its taps: far apart, they had better have one each.)
const NEAR: usize = 32;

/// Lanes that fill the widest tile: beyond them rows and images need not share a run.
const FULL_TILE: usize = 96;

/// Lanes of a band that is read where it lies.
const NATURAL_LANES: usize = 16 * FULL_TILE;

/// Elements beyond the last lane that a tile may read.
const SLACK: usize = 2 * FULL_TILE;

/// Bytes of weights to use together: a share of a small L2.
const WEIGHT_BYTES: usize = 256 << 10;

/// Bands that had better pack the weights for themselves: they need not go through memory once more.
const FEW_BANDS: usize = 2;

/// Lanes for which weights that a tile could read where they lie are packed: packing one takes as long as it saves in twelve
/// tiles of 16 lanes.
const MANY_LANES: usize = 384;

/// Units to have at least, where one is work for several threads, and the products from which on it is.
const SHARED: usize = 8;
const WORTH_SHARING: usize = 1 << 23;

/// Cost of a product, as a share of an element's.
pub(super) const PRODUCTS_PER_ELEMENT: usize = 48;

/// A linear map, with its arrays.
pub struct Map<'a, T: Multiplied> {
    /// Images.
    pub batch: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Input channels in a group.
    pub ins: usize,
    /// Output channels in a group.
    pub outs: usize,
    /// The taps of each axis.
    pub links: &'a [Links; 3],
    /// Whether the weight's first axis is its input's channels, as far as the caller knows.
    pub in_first: bool,
    /// Of a part of another map, whose sums it is to have: how those are taken.
    pub sums: Option<Sums>,
    /// Outputs that the links have before the first one of the result, along each axis.
    pub lead: [usize; 3],
    /// The weights: outer axes are output channels (of all groups) and input channels (of one), or the other way round.
    pub weight: Weight<T::Product>,
    /// Where packed weights are kept for the next call with the same.
    pub kept: Option<&'a Kept<T::Product>>,
    /// What each output channel begins with.
    pub bias: Option<&'a [T::Product]>,
    /// The input.
    pub x: Grid<*const T>,
    /// The result.
    pub out: Grid<*mut T>,
}

/// How sums are taken.
#[derive(Debug, Clone, Copy)]
pub struct Sums {
    /// Input channels of a group that are summed at once.
    at_once: usize,
    /// Whether inputs are stamped.
    stamped: bool,
    /// If outputs are computed in pairs: how many of a phase together, along each axis.
    pub(super) units: Option<[usize; 3]>,
}

impl Sums {
    /// The same, every product by itself.
    pub(super) fn unpaired(self) -> Self {
        Self { units: None, ..self }
    }
}

/// Weights in memory.
#[derive(Debug, Clone, Copy)]
pub struct Weight<K> {
    /// The first weight of group 0.
    pub place: Place<*const K>,
    /// Distances of groups, of output channels within one, and of input channels.
    pub strides: [isize; 3],
}

/// Weights in the order in which tiles read them, kept from call to call, and what that order depends on.
#[derive(Debug)]
pub struct Kept<K>(Mutex<Vec<Arc<Packed<K>>>>);

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<K> Kept<K> {
    /// What is kept, if it is in this order. (It is never waited for: whoever holds it may be a thread that a fork has left
    /// behind.)
    pub(super) fn found(&self, order: &Order) -> Option<Arc<Packed<K>>> {
        self.0.try_lock().ok()?.iter().find(|kept| kept.order == *order).cloned()
    }

    /// Keeps it, if it is to be kept: one of each kind, for inputs of several lengths may take either in turns.
    pub(super) fn keep(kept: Option<&Self>, packed: Packed<K>) -> Arc<Packed<K>> {
        let packed = Arc::new(packed);
        if let Some(Ok(mut kept)) = kept.map(|k| k.0.try_lock()) {
            kept.retain(|k| discriminant(&k.order) != discriminant(&packed.order));
            kept.push(Arc::clone(&packed));
        }
        packed
    }
}

/// See [`Kept`].
#[derive(Debug)]
pub struct Packed<K> {
    pub(super) order: Order,
    pub(super) weights: Room<K>,
}

/// What the order of packed weights depends on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Output channels of a block, and of each part of it the places of its phases' weights and of its steps'.
    Phases(usize, Vec<(Vec<isize>, Vec<isize>)>),
    /// Output channels of a block, and the axes.
    Pairs(usize, Box<[Axis; 3]>),
    /// Output channels whose weights are laid together, rows of a tile, and lanes of a block.
    Stamps([usize; 3]),
}

impl Order {
    fn of(scheme: &Scheme) -> Self {
        let part = |p: &Part| (p.phases.iter().map(|p| p.1).collect(), scheme.tables[p.table].weights.clone());
        Self::Phases(scheme.together, scheme.planes.iter().flat_map(|p| &p.parts).map(part).collect())
    }
}

/// Where the taps of one axis find their inputs in a band's copy: stretches that each begin `starts[i]` from `in_step*j`
/// and are `extra` elements longer than the band.
#[derive(Debug, Default)]
pub struct Stretches {
    /// Where each begins.
    pub starts: Vec<i64>,
    /// How much longer they are than the band.
    pub extra: usize,
    /// Shift, stretch, and place in it relative to the output's.
    found: Vec<(i64, usize, usize)>,
}

impl Stretches {
    /// Shifts of one residue whose distance is at most `gap` steps share a stretch.
    pub fn new(phases: &[Phases], step: usize, gap: usize) -> Self {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let mut shifts: Vec<i64> = phases.iter().flat_map(|p| p.shifts.iter().copied()).collect();
        shifts.sort_unstable_by_key(|&s| (s.rem_euclid(step), s));
        shifts.dedup();
        let mut made = Self { starts: Vec::new(), extra: 0, found: Vec::new() };
        let mut last = None;
        for shift in shifts {
            let near = |l: i64| {
                (l.rem_euclid(step) == shift.rem_euclid(step)) && ((shift - l) / step).unsigned_abs() <= gap as u64
            };
            if !last.is_some_and(near) {
                made.starts.push(shift);
            }
            let stretch = made.starts.len() - 1;
            let ahead = usize::try_from((shift - made.starts[stretch]) / step).unwrap_or(0);
            made.extra = made.extra.max(ahead);
            made.found.push((shift, stretch, ahead));
            last = Some(shift);
        }
        made.found.sort_unstable();
        made
    }

    /// Stretch and place of a shift.
    pub fn of(&self, shift: i64) -> (usize, usize) {
        match self.found.binary_search_by_key(&shift, |f| f.0) {
            Ok(i) => (self.found[i].1, self.found[i].2),
            Err(_) => (0, 0),
        }
    }

    /// Where they find their elements, all below `end`, for these outputs of a phase, whose inputs are `step` apart. (One stretch
    /// may be longer than its taps need.)
    pub(super) fn found(&self, step: usize, at: &Range<usize>, end: usize) -> Vec<Found> {
        let n = at.len() + self.extra;
        let one = |start: &i64| {
            let first = position(at.start, step, *start);
            let step = step as i128;
            let before = if first < 0 { (step - 1 - first) / step } else { 0 }.min(n as i128);
            let end = ((end as i128 - first + step - 1).max(0) / step).clamp(before, n as i128);
            // All three are within the band or the axis, or, where nothing is found, not used.
            let from = usize::try_from(first + before * step).unwrap_or(0);
            Found { to: before as usize..end as usize, from }
        };
        self.starts.iter().map(one).collect()
    }

    /// The inputs that exist among those that these outputs read.
    pub(super) fn seen(&self, step: usize, len: usize, at: &Range<usize>) -> Range<usize> {
        let (Some(first), Some(last)) = (self.found.iter().map(|f| f.0).min(), self.found.iter().map(|f| f.0).max())
        else {
            return 0..0;
        };
        let low = position(at.start, step, first).clamp(0, len as i128);
        let high = (position(at.end - 1, step, last) + 1).clamp(low, len as i128);
        // Both lie within the axis.
        usize::try_from(low).unwrap_or(0)..usize::try_from(high).unwrap_or(0)
    }
}

/// How bands are cut and where their inputs lie.
#[derive(Debug)]
struct Layout {
    /// Whether inputs are read in the array itself.
    natural: bool,
    /// Outputs of a phase along each axis.
    all: [usize; 3],
    /// How many bands they are cut into, evenly, and the most of a band.
    parts: [usize; 3],
    band: [usize; 3],
    /// Images in a band.
    images: usize,
    /// Input channels in a pass.
    ins: usize,
    /// Output channels in a unit.
    outs: usize,
    stretches: [Stretches; 3],
    /// Elements along D, H and W of one stretch of one image, W's being the distance of rows.
    extent: [usize; 3],
    /// Distances of stretches (of all three axes together), images, planes and rows.
    strides: [usize; 4],
    /// Distance of channels.
    channel: isize,
    /// Whether all rows of a band are one run of lanes, rather than those of each plane.
    joined: bool,
}

impl Layout {
    /// Cuts an axis into bands of at most `most`.
    fn cut(&mut self, axis: usize, most: usize) {
        self.parts[axis] = self.all[axis].div_ceil(most).max(1);
        self.band[axis] = self.all[axis].div_ceil(self.parts[axis]);
    }

    /// Number of bands: of images, and along each axis.
    fn bands(&self, batch: usize) -> [usize; 4] {
        let [d, h, w] = self.parts;
        [batch.div_ceil(self.images), d, h, w]
    }

    /// Outputs of band `i` along an axis.
    fn part(&self, axis: usize, i: usize) -> Range<usize> {
        let (all, parts) = (self.all[axis], self.parts[axis]);
        all * i / parts..all * (i + 1) / parts
    }

    /// Elements of a band's copy of one channel.
    fn copied(&self) -> usize {
        let stretches: usize = self.stretches.iter().map(|s| s.starts.len()).product();
        stretches * self.images * self.extent.iter().product::<usize>()
    }

    /// Sets extents and strides for the band.
    fn measure(&mut self) {
        self.extent = [0, 1, 2].map(|a| self.band[a] + self.stretches[a].extra);
        let [d, h, w] = self.extent;
        self.strides = [self.images * d * h * w, d * h * w, h * w, w];
        // Channels a whole number of lines apart, but not of pages: those would share a set of the first cache.
        let lines = self.copied().next_multiple_of(16);
        self.channel = (if lines.is_multiple_of(1024) { lines + 16 } else { lines }) as isize;
    }

    fn bytes(&self, item: usize) -> usize {
        self.ins.saturating_mul(self.channel.unsigned_abs()).saturating_mul(item)
    }
}

/// Memory of one thread.
struct Scratch<K> {
    staged: Room<K>,
    /// Where in `staged` there are inputs; elsewhere there are zeros.
    found: [Vec<Found>; 3],
    /// Which band and channels `staged` holds.
    holds: Option<[usize; 6]>,
    packed: Room<K>,
    sums: Room<K>,
    made: Room<K>,
    rows: Vec<RowAt>,
    slices: Vec<Slice>,
    lists: Lists<K>,
    weights: Room<K>,
}

/// How all bands are computed.
struct How<'a, K> {
    layout: &'a Layout,
    scheme: &'a Scheme,
    isa: Isa,
    /// Whether weights are packed, and those that have been.
    packs: bool,
    packed: Option<&'a Packed<K>>,
    /// Whether bands go row by row.
    rows_by_row: bool,
}

/// One unit of work: images, group, outputs of a phase along each axis, output channels.
struct Band {
    images: Range<usize>,
    group: usize,
    at: [Range<usize>; 3],
    outs: Range<usize>,
}

impl<T: Multiplied> Map<'_, T> {
    /// How sums are taken.
    ///
    /// # Errors
    /// If a table cannot be allocated.
    pub fn sums(&self) -> Result<Sums> {
        let stamped = self.is_stamped();
        let units = if stamped { None } else { self.paired()?.map(|axes| axes.map(|a| a.unit)) };
        Ok(Sums { at_once: self.layout(&self.phases()?, 1).ins, stamped, units })
    }

    pub(super) fn phases(&self) -> Result<[Arc<Vec<Phases>>; 3]> {
        let [d, h, w] = self.links;
        Ok([d.phases()?, h.phases()?, w.phases()?])
    }

    /// Computes the result.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn run(&self) -> Result<()> {
        if self.sums.map_or_else(|| self.is_stamped(), |s| s.stamped) {
            return self.stamped();
        }
        if const { <T::Product as Laned>::HALVED } {
            let paired = match self.sums {
                None => self.paired()?,
                Some(Sums { units, .. }) => units.map(|units| self.axes(units.map(|u| u > 1))).transpose()?,
            };
            if let Some(axes) = paired {
                return self.by_pairs(axes);
            }
        }
        let phases = self.phases()?;
        if const { <T::Product as Laned>::LARGEST.1 > 2 } && self.by_channels(&phases)? {
            return Ok(());
        }
        // One level for all: which rows a tile has, and so the order of packed weights, depends on it.
        let isa = simd::current();
        let rows = simd::dispatch_at(isa, MostRows::<T::Product>::default());
        let counts = || phases[2].iter().map(|class| class.members.len());
        let together = together(counts(), counts().sum(), rows).clamp(1, self.outs.max(1));
        let layout = self.layout(&phases, together);
        let [n, d, h, w] = layout.bands(self.batch);
        let bands = n * d * h * w;
        let taps: usize = self.links.iter().map(|l| l.runs.len()).product();
        let rows_by_row = const { <T::Product as Laned>::LARGEST.1 > 2 } && self.is_direct(&layout, &phases[2]);
        let lanes = layout.images * layout.band.iter().product::<usize>() * if bands > FEW_BANDS { bands } else { 1 };
        let ready = self.is_ready(taps) && counts().all(|n| n == 1) && lanes < MANY_LANES && self.kept.is_none();
        let packs = !(ready || rows_by_row);
        let scheme = self.scheme(&layout, &phases, together, packs);
        let splits = self.outs.div_ceil(layout.outs);
        let units = bands * self.groups * splits;
        // Packed once, if more than a few bands need them.
        let packed =
            if packs && (self.kept.is_some() || bands > FEW_BANDS) { Some(self.packed(&scheme, isa)?) } else { None };
        let how = How { layout: &layout, scheme: &scheme, isa, packs, rows_by_row, packed: packed.as_deref() };
        let outputs =
            layout.images * layout.band.iter().product::<usize>() * scheme.planes.len() * scheme.residues.len();
        let per_output = self.links.iter().map(|l| l.runs.len().div_ceil(l.out_step)).product::<usize>();
        let products = outputs.saturating_mul(layout.outs).saturating_mul(self.ins).saturating_mul(per_output);
        let cost =
            (products / PRODUCTS_PER_ELEMENT).saturating_add(outputs * layout.outs + layout.copied() * layout.ins);
        let make = || {
            Ok(Scratch {
                staged: Room::default(),
                found: Default::default(),
                holds: None,
                packed: Room::default(),
                sums: Room::default(),
                made: Room::default(),
                rows: Vec::new(),
                slices: Vec::new(),
                lists: Lists::default(),
                weights: Room::default(),
            })
        };
        parallel::for_each_with(units, cost, make, |scratch, units, pause| {
            for unit in units {
                let (rest, split) = (unit / splits, unit % splits);
                let (rest, bw) = (rest / w, rest % w);
                let (rest, bh) = (rest / h, rest % h);
                let (rest, bd) = (rest / d, rest % d);
                let (bn, group) = (rest / self.groups, rest % self.groups);
                let part = |i: usize, size: usize, all: usize| i * size..((i + 1) * size).min(all);
                let band = Band {
                    images: part(bn, layout.images, self.batch),
                    group,
                    at: [layout.part(0, bd), layout.part(1, bh), layout.part(2, bw)],
                    outs: part(split, layout.outs, self.outs),
                };
                self.band(&how, &band, scratch, pause)?;
            }
            Ok(())
        })
    }

    /// Cuts the outputs into bands.
    fn layout(&self, phases: &[Arc<Vec<Phases>>; 3], together: usize) -> Layout {
        let all = [0, 1, 2].map(|a| self.links[a].out_len.div_ceil(self.links[a].out_step));
        let item = size_of::<T::Product>();
        // Products of one input element: what a copy of it costs is nothing beside many of them.
        let members: usize = phases.iter().map(|p| p.iter().map(|c| c.members.len()).sum::<usize>()).product();
        let taps: usize = self.links.iter().map(|l| l.runs.len()).product();
        let per_output = (taps / members.max(1)).max(1);
        let work = self.outs * members * per_output;
        let stretches = |a: usize, gap: usize| Stretches::new(&phases[a], self.links[a].in_step, gap);
        // A stretch shared by taps is longer than the band, and what is computed there is lost; a stretch for each tap
        // costs a copy. (The factor is that of a copied vector to a multiplied one, and of caution: copies crowd L1.)
        let pick = |a: usize, run: usize| {
            let shared = stretches(a, NEAR);
            if shared.extra == 0 {
                return shared; // nothing is lost
            }
            let apart = stretches(a, 0);
            let copies = apart.starts.len() - shared.starts.len();
            let lost = shared.extra * work / run.max(1);
            if lost > 12 * copies { apart } else { shared }
        };
        let mut layout = Layout {
            natural: false,
            all,
            parts: [all[0], all[1], 1],
            band: [1, 1, all[2]],
            images: 1,
            ins: self.sums.map_or(self.ins, |s| s.at_once),
            outs: self.outs,
            stretches: [Stretches::default(), Stretches::default(), pick(2, all[2])],
            extent: [0; 3],
            strides: [0; 4],
            channel: 0,
            joined: false,
        };
        let small = all[1] * all[2] < 2 * FULL_TILE && self.batch * all[0] > 1;
        (layout.stretches[0], layout.stretches[1]) = if small {
            (pick(0, all[0] * all[1] * all[2]), pick(1, all[1] * all[2]))
        } else {
            (stretches(0, NEAR / 4), stretches(1, NEAR / 4))
        };
        if layout.ins == self.ins && self.is_natural(&layout) {
            return self.natural(layout, together);
        }
        layout.measure();
        while layout.bytes(item) > BAND_BYTES && layout.band[2] > FULL_TILE {
            layout.cut(2, (layout.band[2] / 2).next_multiple_of(FULL_TILE));
            layout.measure();
        }
        while layout.bytes(item) > MOST_BYTES && layout.ins > 1 && self.sums.is_none() {
            layout.ins = layout.ins.div_ceil(2);
            layout.measure();
        }
        for axis in [1, 0] {
            if axis == 0 && layout.band[1] < all[1] || layout.band[2] < all[2] {
                break;
            }
            self.widen(&mut layout, all[axis], |l, n| l.cut(axis, n));
        }
        if small && layout.band == all {
            self.widen(&mut layout, self.batch, |l, n| l.images = n);
        }
        let run = layout.strides[2] - (layout.extent[2] - layout.band[2]);
        let planes = layout.images * layout.band[0];
        let whole = layout.images * layout.strides[1];
        layout.joined = planes > 1 && whole.div_ceil(16) < planes * run.div_ceil(16);
        self.share(&mut layout, together);
        layout
    }

    /// Makes a band as long along an axis of `all` as its copy may be, and bands even.
    fn widen(&self, layout: &mut Layout, all: usize, set: impl Fn(&mut Layout, usize)) {
        let item = size_of::<T::Product>();
        let fits = |layout: &mut Layout, n: usize| {
            set(layout, n);
            layout.measure();
            layout.bytes(item) <= BAND_BYTES
        };
        let (mut good, mut bad) = (1, all + 1);
        while good + 1 < bad {
            let middle = usize::midpoint(good, bad);
            if fits(layout, middle) { good = middle } else { bad = middle }
        }
        // An even number of them, if they are few, so that two threads have as many each.
        let bands = all.div_ceil(good);
        let bands = if bands > 1 && bands < SHARED && all > bands { bands.next_multiple_of(2) } else { bands };
        set(layout, all.div_ceil(bands));
        layout.measure();
    }

    /// Cuts output channels so that there are units for several threads, and so that results that are not written where
    /// they lie take little memory: a number of blocks, of channels that are computed together.
    fn share(&self, layout: &mut Layout, together: usize) {
        let [n, d, h, w] = layout.bands(self.batch);
        let units = n * self.groups * d * h * w;
        let members: usize = self.links.iter().map(Links::phase_count).product();
        let outputs = layout.images * layout.band.iter().product::<usize>() * members;
        let taps = self.links.iter().map(|l| l.runs.len().div_ceil(l.out_step)).product::<usize>();
        let products = outputs.saturating_mul(self.outs).saturating_mul(self.ins).saturating_mul(taps);
        // (Two threads with channels of one band would copy it twice.)
        if units < SHARED && !units.is_multiple_of(parallel::threads()) && products > WORTH_SHARING {
            layout.outs = self.outs.div_ceil(SHARED.div_ceil(units)).next_multiple_of(together);
        }
        if self.out.place_mut::<T::ProductCodec>().is_none() {
            let most = (MOST_BYTES / (outputs * size_of::<T::Product>()).max(1)).max(1);
            layout.outs = layout.outs.min((most / together).max(1) * together);
        }
        layout.outs = layout.outs.min(self.outs);
    }

    /// Whether the input can be read where it lies: neighbours along W together, rows close to each other, nothing
    /// outside.
    fn is_natural(&self, layout: &Layout) -> bool {
        let inside = |a: usize| {
            let link = &self.links[a];
            let found = &layout.stretches[a].found;
            let (Some(first), Some(last)) = (found.first(), found.last()) else { return false };
            let most = last.0.saturating_add(layout.all[a] as i64 - 1);
            link.in_step == 1 && first.0 >= 0 && most < link.in_len as i64
        };
        let Some(place) = self.x.place::<T::ProductCodec>() else { return false };
        let [_, h, w] = layout.all;
        let [sd, sh, sw] = place.spatial;
        let [height, width] = [self.links[1].in_len, self.links[2].in_len];
        // Rows one after the other, so that what is read between a band's rows are elements of the input as well.
        let near = height == 1 || (sh == width as isize && width.saturating_sub(w) <= w / 8);
        let ahead = sd >= 0 && place.outer[1] >= 0 && (width == 1 || sw == 1);
        let enough = (h - 1) * width + w >= FULL_TILE;
        (0..3).all(inside) && ahead && near && enough && !self.collides(place.outer[1])
    }

    /// Whether the lanes of a tile, one stretch in each channel, want more of some sets of the first cache than it has:
    /// channels a power of two apart all lie in the same few, and every block of output channels would fetch them anew.
    /// (k2s2 128 channels of 64 x 64: 2.1 ms read where they lie, 1.3 copied.)
    fn collides(&self, channel: isize) -> bool {
        const PAGE: usize = 4096;
        const TILE: usize = 256;
        const WAYS: usize = 12;
        let bytes = channel.unsigned_abs().wrapping_mul(size_of::<T>());
        let places = PAGE / gcd(bytes, PAGE).max(1);
        let covered = (places * TILE).min(PAGE);
        covered < PAGE && self.ins * TILE > covered * WAYS
    }

    /// The layout of an input read where it lies.
    fn natural(&self, mut layout: Layout, together: usize) -> Layout {
        let [_, h, w] = layout.all;
        layout.natural = true;
        layout.stretches = Default::default();
        layout.cut(0, 1);
        layout.cut(1, (NATURAL_LANES / w).max(1));
        layout.cut(2, NATURAL_LANES.max(if h > 1 { w } else { 1 }));
        self.share(&mut layout, together);
        layout
    }

    /// What all bands share.
    fn scheme(&self, layout: &Layout, phases: &[Arc<Vec<Phases>>; 3], together: usize, packs: bool) -> Scheme {
        let mut residues: Vec<usize> = members(&phases[2]).map(|m| m.1.residue).collect();
        residues.sort_unstable();
        let place = self.x.place::<T::ProductCodec>();
        let at = |shifts: [i64; 3]| match &place {
            Some(place) if layout.natural => place.offset([0; 2], shifts.map(|s| s as usize)),
            _ => {
                let found = [0, 1, 2].map(|a| layout.stretches[a].of(shifts[a]));
                let [_, sh, sw] = [0, 1, 2].map(|a| layout.stretches[a].starts.len());
                let stretch = (found[0].0 * sh + found[1].0) * sw + found[2].0;
                let [stretches, _, planes, rows] = layout.strides;
                (stretch * stretches + found[0].1 * planes + found[1].1 * rows + found[2].1) as isize
            }
        };
        let strides = self.weight.place.spatial;
        let weight = |taps: [usize; 3]| Place { origin: (), outer: [0; 2], spatial: strides }.offset([0; 2], taps);
        let mut tables = Vec::new();
        for d in phases[0].iter() {
            for h in phases[1].iter() {
                for w in phases[2].iter() {
                    let first = weight([d.members[0].taps[0], h.members[0].taps[0], w.members[0].taps[0]]);
                    let (mut places, mut table) = (Vec::new(), Vec::new());
                    let rows = (together * w.members.len()) as isize;
                    for (td, sd) in d.members[0].taps.iter().zip(&d.shifts) {
                        for (th, sh) in h.members[0].taps.iter().zip(&h.shifts) {
                            for (tw, sw) in w.members[0].taps.iter().zip(&w.shifts) {
                                let weight = weight([*td, *th, *tw]).wrapping_sub(first);
                                let step = if packs { table.len() as isize * rows } else { weight };
                                table.push((step, at([*sd, *sh, *sw])));
                                places.push(weight);
                            }
                        }
                    }
                    let first = table.first().map_or(0, |t: &(isize, isize)| t.1);
                    let next = if packs { table.len() as isize * rows } else { self.weight.strides[2] };
                    let channels = channels_of_table(table.len(), &[layout.ins, self.ins % layout.ins.max(1)]);
                    let again = (next, self.channel(layout));
                    let far = |(step, lane): (isize, isize), c: isize| {
                        (step.wrapping_add(c.wrapping_mul(again.0)), lane.wrapping_add(c.wrapping_mul(again.1)))
                    };
                    let each = 0..channels.cast_signed();
                    let all: Vec<_> = each.flat_map(|c| table.iter().map(move |t| far(*t, c))).collect();
                    let steps = walk(&all, far((0, 0), channels.cast_signed()));
                    tables.push(Table { steps, channels, first, weights: places });
                }
            }
        }
        let mut packed = 0;
        let mut planes = Vec::new();
        for (cd, d) in members(&phases[0]) {
            for (ch, h) in members(&phases[1]) {
                let mut parts = Vec::new();
                for (cw, class) in phases[2].iter().enumerate() {
                    let table = (cd * phases[1].len() + ch) * phases[2].len() + cw;
                    let phase = |w: &Member| {
                        let place = residues.binary_search(&w.residue).unwrap_or(0);
                        (place, weight([d.taps[0], h.taps[0], w.taps[0]]))
                    };
                    let phases: Vec<_> = class.members.iter().map(phase).collect();
                    let at = packed;
                    packed += tables[table].weights.len() * together * phases.len();
                    parts.push(Part { table, phases, at });
                }
                planes.push(Plane { residue: [d.residue, h.residue], parts });
            }
        }
        let bare = (0..3).any(|a| {
            let some: usize = phases[a].iter().map(|p| p.members.len()).sum();
            some < self.links[a].phase_count()
        });
        Scheme {
            planes,
            bare,
            tables,
            residues,
            step: [0, 1, 2].map(|a| self.links[a].out_step),
            out: [0, 1, 2].map(|a| self.links[a].out_len),
            together,
            at_once: self.at_once(layout, packed / together, together),
            packed,
        }
    }

    /// Whether the weights that a row of a tile reads lie one after the other.
    fn is_ready(&self, taps: usize) -> bool {
        self.ins == 1 || self.weight.strides[2] == taps as isize
    }

    /// Output channels whose weights are used together: as many blocks as stay in cache.
    fn at_once(&self, layout: &Layout, taps: usize, together: usize) -> usize {
        let fitting = WEIGHT_BYTES / (taps * layout.ins * size_of::<T::Product>()).max(1);
        (fitting / together).max(1) * together
    }

    /// All weights, packed now or kept since.
    fn packed(&self, scheme: &Scheme, isa: Isa) -> Result<Arc<Packed<T::Product>>> {
        let order = Order::of(scheme);
        if let Some(kept) = self.kept.and_then(|k| k.found(&order)) {
            return Ok(kept);
        }
        let each = scheme.packed_room(self.outs, self.ins);
        let mut weights = scratch(self.groups * each)?;
        for (group, to) in weights.chunks_exact_mut(each.max(1)).enumerate() {
            for first in (0..self.outs).step_by(scheme.at_once) {
                let outs = first..(first + scheme.at_once).min(self.outs);
                let to = &mut to[scheme.packed_room(first, self.ins)..];
                simd::dispatch_at(isa, Pack { scheme, from: self.weights_of(group, 0), outs, ins: self.ins, to });
            }
        }
        Ok(Kept::keep(self.kept, Packed { order, weights }))
    }

    /// The weights of a group from an input channel on.
    pub(super) fn weights_of(&self, group: usize, first: usize) -> Place<*const T::Product> {
        let [group_stride, out, in_] = self.weight.strides;
        let offset = (group as isize).wrapping_mul(group_stride).wrapping_add((first as isize).wrapping_mul(in_));
        let place = self.weight.place;
        Place { origin: place.origin.wrapping_offset(offset), outer: [out, in_], spatial: place.spatial }
    }

    /// Computes one band.
    fn band(
        &self,
        how: &How<'_, T::Product>,
        band: &Band,
        scratch: &mut Scratch<T::Product>,
        pause: &Pause<'_>,
    ) -> Result<()> {
        let &How { layout, scheme, isa, packs, rows_by_row, packed } = how;
        self.lanes(layout, band, scratch);
        let codec = T::ProductCodec::default();
        let reach = [0, 1, 2].map(|a| {
            let link = &self.links[a];
            let (first, end) = (band.at[a].start * link.out_step, band.at[a].end * link.out_step);
            first..end.min(link.out_len)
        });
        let first_out = band.group * self.outs;
        let target = self.target((band.group, &band.images, &band.outs), &reach, &mut scratch.made)?;
        if scheme.bare {
            let biases = self.bias.map(|b| &b[first_out..first_out + self.outs]);
            for (n, o) in band.images.clone().flat_map(|n| band.outs.clone().map(move |o| (n, o))) {
                let value = biases.map_or_else(Default::default, |b| b[o]);
                fill(&target, [n, o], &reach, value);
            }
        }
        if scheme.planes.is_empty() || scheme.residues.is_empty() {
            self.deliver((band.group, &band.images, &band.outs), &reach, &mut scratch.made);
            return Ok(());
        }
        if rows_by_row {
            return self.direct(layout, scheme, band, codec, (&target, &reach), scratch);
        }
        let keep = layout.ins < self.ins;
        let room = simd::dispatch_at(
            isa,
            RoomOfSums {
                scheme,
                outs: band.outs.clone(),
                ins: self.ins,
                slices: &scratch.slices,
                keep,
                of: PhantomData::<T::Product>,
            },
        );
        grow(&mut scratch.sums, room)?;
        if packs && packed.is_none() {
            let outs = scheme.at_once.min(band.outs.len());
            grow(&mut scratch.weights, scheme.packed_room(outs, layout.ins))?;
        }
        for first in (0..self.ins).step_by(layout.ins) {
            if first > 0 {
                pause.here()?;
            }
            let channels = first..(first + layout.ins).min(self.ins);
            let lanes = self.inputs(layout, band, &channels, codec, scratch)?;
            let readable = self.readable(layout, band, channels.len(), scratch.staged.len());
            let from = self.weights_of(band.group, first);
            let weights = match packed {
                _ if !packs => Weights::Ready(from.origin, from.outer[0]),
                Some(packed) => {
                    let group = band.group * scheme.packed_room(self.outs, self.ins);
                    Weights::Packed(packed.weights[group..].as_ptr(), self.ins, first)
                }
                None => Weights::Scattered(from, &mut scratch.weights),
            };
            simd::dispatch_at(
                isa,
                Products {
                    scheme,
                    weights,
                    bias: self.bias.map(|b| &b[first_out..first_out + self.outs]),
                    outs: band.outs.clone(),
                    ins: channels.len(),
                    lanes,
                    readable,
                    slack: !layout.natural,
                    rows: &scratch.rows,
                    slices: &scratch.slices,
                    width: band.at[2].len(),
                    col: band.at[2].start,
                    target,
                    sums: &mut scratch.sums,
                    lists: &mut scratch.lists,
                    keep,
                    first_last: (first == 0, channels.end == self.ins),
                },
            );
        }
        self.deliver((band.group, &band.images, &band.outs), &reach, &mut scratch.made);
        Ok(())
    }

    /// Whether rows are computed one by one: where there is one input channel, few rows of weights for a tile, and a vector
    /// in a row. (Types that have few tiles have none of these loops either.)
    fn is_direct(&self, layout: &Layout, phases: &[Phases]) -> bool {
        let tallest = phases.iter().map(|p| p.members.len()).max().unwrap_or(0);
        let vector = 64 / size_of::<T::Product>();
        self.ins == 1 && tallest * self.outs < 4 && layout.all[2] / layout.parts[2] >= vector
    }

    /// Computes one band, its inputs staged where they are not read where they lie, row by row.
    fn direct(
        &self,
        layout: &Layout,
        scheme: &Scheme,
        band: &Band,
        codec: T::ProductCodec,
        (target, reach): (&Place<*mut T::Product>, &[Range<usize>; 3]),
        scratch: &mut Scratch<T::Product>,
    ) -> Result<()> {
        let lanes = self.inputs(layout, band, &(0..1), codec, scratch)?;
        grow(&mut scratch.sums, Direct::<T::Product>::room(scheme))?;
        let first_out = band.group * self.outs;
        let from = self.weights_of(band.group, 0);
        simd::dispatch(Direct {
            scheme,
            weights: (from.origin, from.outer[0]),
            bias: self.bias.map(|b| &b[first_out..first_out + self.outs]),
            outs: band.outs.clone(),
            lanes,
            readable: self.readable(layout, band, 1, scratch.staged.len()),
            rows: &scratch.rows,
            width: band.at[2].len(),
            col: band.at[2].start,
            target: *target,
            sums: &mut scratch.sums,
        });
        self.deliver((band.group, &band.images, &band.outs), reach, &mut scratch.made);
        Ok(())
    }

    /// Lane 0 of a band: in the input, or in a copy made here.
    fn inputs(
        &self,
        layout: &Layout,
        band: &Band,
        channels: &Range<usize>,
        codec: T::ProductCodec,
        scratch: &mut Scratch<T::Product>,
    ) -> Result<*const T::Product> {
        if let (true, Some(x)) = (layout.natural, self.x.place::<T::ProductCodec>()) {
            let start = [0, 1, 2].map(|a| band.at[a].start);
            return Ok(x.at([band.images.start, band.group * self.ins], start));
        }
        self.stage(layout, band, channels, codec, scratch)?;
        Ok(scratch.staged.as_ptr())
    }

    /// Elements there are from a band's lane 0 on: to the end of the copy, or to the last of the input's.
    fn readable(&self, layout: &Layout, band: &Band, ins: usize, staged: usize) -> usize {
        let Some(place) = self.x.place::<T::ProductCodec>().filter(|_| layout.natural) else { return staged };
        let left = [0, 1, 2].map(|a| self.links[a].in_len - 1 - band.at[a].start);
        1 + place.offset([0, ins - 1], left).unsigned_abs()
    }

    /// Distance of channels in the lanes.
    fn channel(&self, layout: &Layout) -> isize {
        match self.x.place::<T::ProductCodec>() {
            Some(place) if layout.natural => place.outer[1],
            _ => layout.channel,
        }
    }

    /// Lists the rows of a band, and the runs they are computed in.
    fn lanes(&self, layout: &Layout, band: &Band, scratch: &mut Scratch<T::Product>) {
        let (rows, slices) = (&mut scratch.rows, &mut scratch.slices);
        rows.clear();
        slices.clear();
        let [_, images, planes, mut row] = layout.strides;
        if let (true, Some(x)) = (layout.natural, self.x.place::<T::ProductCodec>()) {
            row = if self.links[1].in_len > 1 { x.spatial[1].unsigned_abs() } else { 0 };
        }
        let mut begun = 0;
        for (i, n) in band.images.clone().enumerate() {
            for (j, d) in band.at[0].clone().enumerate() {
                for (k, h) in band.at[1].clone().enumerate() {
                    rows.push(RowAt { lane: i * images + j * planes + k * row, n, d, h });
                }
                let last = n + 1 == band.images.end && d + 1 == band.at[0].end;
                if !layout.joined || last {
                    let end = rows.last().map_or(0, |r| r.lane + band.at[2].len());
                    slices.push(Slice { rows: begun..rows.len(), lanes: rows[begun].lane..end });
                    begun = rows.len();
                }
            }
        }
    }

    /// Copies the inputs of a band, zeros around them.
    fn stage(
        &self,
        layout: &Layout,
        band: &Band,
        channels: &Range<usize>,
        codec: T::ProductCodec,
        scratch: &mut Scratch<T::Product>,
    ) -> Result<()> {
        let at = [0, 1, 2].map(|a| band.at[a].start);
        let holds = [band.images.start, band.group, at[0], at[1], at[2], channels.start];
        if scratch.holds == Some(holds) {
            return Ok(());
        }
        scratch.holds = None;
        // A tile's worth of slack at the end, for tiles that reach beyond the last lane.
        let fresh = scratch.staged.is_empty();
        grow(&mut scratch.staged, channels.len() * layout.channel.unsigned_abs() + SLACK)?;
        let [stretches, images, planes, rows] = layout.strides;
        let step = [0, 1, 2].map(|a| self.links[a].in_step);
        let seen = [0, 1, 2].map(|a| layout.stretches[a].seen(step[a], self.links[a].in_len, &band.at[a]));
        let found = [0, 1, 2].map(|a| layout.stretches[a].found(step[a], &band.at[a], seen[a].end));
        if scratch.found != found {
            // Zeros stay where they are from band to band; there are more where other places lie outside the input.
            let channel = layout.channel.unsigned_abs();
            let copies = if fresh { 0 } else { scratch.staged.len() / channel.max(1) };
            for (c, i) in (0..copies).flat_map(|c| (0..layout.images).map(move |i| (c, i))) {
                let to = &mut scratch.staged[c * channel + i * images..];
                clear([&scratch.found, &found], [stretches, planes, rows], to);
            }
            scratch.found = found;
        }
        for (i, n) in band.images.clone().enumerate() {
            for (c, channel) in channels.clone().enumerate() {
                let block = (n * self.groups + band.group) * self.ins + channel;
                let place = rows::Place { block, d: seen[0].clone(), h: seen[1].clone(), cols: seen[2].clone() };
                simd::dispatch(Spread {
                    source: self.x.rows(codec, &place, &mut scratch.packed)?,
                    col: seen[2].start,
                    found: &scratch.found,
                    step,
                    strides: [stretches, planes, rows],
                    to: &mut scratch.staged[c * layout.channel.unsigned_abs() + i * images..],
                });
            }
        }
        scratch.holds = Some(holds);
        Ok(())
    }

    /// Where the results lie, if they can be written there: in the type they are computed in, none of them before the first that
    /// is wanted.
    pub(super) fn in_place(&self) -> Option<Place<*mut T::Product>> {
        self.out.place_mut::<T::ProductCodec>().filter(|_| self.lead == [0; 3])
    }

    /// Where a band's results go, those of a group's output channels in some images, at `reach` of each axis: where they lie, or
    /// into `made`.
    pub(super) fn target(
        &self,
        (group, images, outs): (usize, &Range<usize>, &Range<usize>),
        reach: &[Range<usize>; 3],
        made: &mut Room<T::Product>,
    ) -> Result<Place<*mut T::Product>> {
        if let Some(place) = self.in_place() {
            let offset = place.offset([0, group * self.outs], [0; 3]);
            return Ok(Place { origin: place.origin.wrapping_offset(offset), ..place });
        }
        let [d, h, w] = reach.each_ref().map(Range::len);
        grow(made, images.len() * outs.len() * d * h * w)?;
        let place = Place {
            origin: made.as_mut_ptr(),
            outer: [(outs.len() * d * h * w) as isize, (d * h * w) as isize],
            spatial: [(h * w) as isize, w as isize, 1],
        };
        let offset = place.offset([images.start, outs.start], reach.each_ref().map(|r| r.start));
        Ok(Place { origin: place.origin.wrapping_offset(offset.wrapping_neg()), ..place })
    }

    /// Stores results that were not written where they lie.
    pub(super) fn deliver(
        &self,
        (group, images, outs): (usize, &Range<usize>, &Range<usize>),
        reach: &[Range<usize>; 3],
        made: &mut [T::Product],
    ) {
        if self.in_place().is_some() {
            return;
        }
        // Those from the first that is wanted on.
        let wanted = [0, 1, 2].map(|a| self.lead[a].clamp(reach[a].start, reach[a].end)..reach[a].end);
        let cols = wanted[2].start - reach[2].start..reach[2].len();
        let mut rows = made.chunks_exact_mut(reach[2].len().max(1));
        for (n, o) in images.clone().flat_map(|n| outs.clone().map(move |o| (n, o))) {
            let block = (n * self.groups + group) * self.outs + o;
            let all = reach[0].clone().flat_map(|d| reach[1].clone().map(move |h| (d, h)));
            for ((d, h), row) in all.zip(&mut rows) {
                if wanted[0].contains(&d) && wanted[1].contains(&h) && !wanted[2].is_empty() {
                    let at = At { block, d: d - self.lead[0], h: h - self.lead[1] };
                    let to = wanted[2].start - self.lead[2]..wanted[2].end - self.lead[2];
                    self.out.store_from(T::ProductCodec::default(), at, &to, &mut row[cols.clone()]);
                }
            }
        }
    }
}

/// Members of all classes, with the number of their class.
fn members(phases: &[Phases]) -> impl Iterator<Item = (usize, &Member)> {
    phases.iter().enumerate().flat_map(|(class, p)| p.members.iter().map(move |m| (class, m)))
}

/// Where an output's tap of this shift reads.
pub(super) fn position(j: usize, step: usize, shift: i64) -> i128 {
    j as i128 * step as i128 + i128::from(shift)
}
