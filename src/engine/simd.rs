//! The only file that knows instruction sets.
//!
//! Kernels are plain loops marked `#[inline(always)]`. A [`Job`] is compiled three times, inside a function that
//! enables one level's features, and the level is chosen at run time. A job is one row's work: choosing costs one load
//! and one jump, about a nanosecond, and so only row kernels are compiled three times, for the few types that are
//! computed with, and not the drivers around them for every type that is stored. (Choosing once for each parallel task
//! made the extension 11 MB and took six minutes to build.) `UPSAMPLE_RS_ISA` = `scalar`, `avx2` or `avx512` forces a
//! lower level.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction-set level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Isa {
    /// What the target guarantees: SSE2 on x86-64, NEON on aarch64.
    Scalar = 0,
    /// AVX2, FMA and F16C.
    Avx2 = 1,
    /// AVX-512 F, BW, DQ, VL and CD, above AVX2.
    Avx512 = 2,
}

impl Isa {
    /// All levels, lowest first.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The name `UPSAMPLE_RS_ISA` uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }
}

/// Most lanes a vector of [`Level::weigh`] has.
pub const MOST_LANES: usize = 32;

/// Blocks that are the same but for where they are: every so many blocks of the row, and every so many inputs.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The first of them.
    pub block: usize,
    /// Its first input.
    pub base: usize,
    /// How many they are.
    pub count: usize,
    /// Their entry.
    pub entry: u32,
}

/// Blocks of neighbouring outputs, a vector each, as [`Level::weigh`] makes them: lane `i` of a block becomes the sum over
/// `k < taps` of `weights[(entry*taps + k)*lanes + i] * src[base + k*step + index[entry][i]]`.
#[derive(Debug, Clone)]
pub struct Weighing<'a, T> {
    /// First input and entry of each block of a row; inputs never decrease.
    pub blocks: &'a [(usize, u32)],
    /// The blocks to be made.
    pub made: std::ops::Range<usize>,
    /// All blocks of the row as runs, if those are few.
    pub runs: &'a [Run],
    /// Blocks, and inputs, from one block of a run to the next.
    pub every: [usize; 2],
    /// For each entry, where a lane's first input is: below `lanes`, or below `2*lanes` with `two`; and as many of the
    /// taps, from the first on, as every lane has.
    pub entries: &'a [([u8; MOST_LANES], u32)],
    /// Weights, `lanes` for each tap. Minus zero: the lane has no such tap, and the input is left alone.
    pub weights: &'a [T],
    /// Number of taps.
    pub taps: usize,
    /// Distance between the inputs of two taps.
    pub step: usize,
    /// Whether the index reaches into a second vector.
    pub two: bool,
    /// Lanes that are results; the others are added to them, `width` by `width`.
    pub width: usize,
}

impl<T> Weighing<'_, T> {
    /// Inputs that are loaded for a block, whether or not all of them are read.
    #[inline(always)]
    #[must_use]
    pub fn loaded(&self, lanes: usize) -> usize {
        (self.taps.max(1) - 1) * self.step + if self.two { 2 * lanes } else { lanes }
    }
}

/// What a kernel may ask of the level it is compiled for.
pub trait Level: Copy {
    /// Whether a fused multiply-add is one instruction.
    const FMA: bool;

    /// Bytes of the vectors of [`Level::weigh`]; 0 where there is none.
    const VECTOR: usize = 0;

    /// Bytes of the smallest elements it takes.
    const SMALLEST: usize = 4;

    /// Whether a vector's first lanes can be written without the others, quickly.
    const MASKS: bool = false;

    /// Weighted sums for the blocks, block after block into `dst`, the last of them at its end. The first slice of each pair
    /// is inputs, the second where on the axis they begin: blocks whose inputs the one pair has not are made of the next.
    /// Blocks that neither has are not made.
    #[inline(always)]
    fn weigh<T: Copy + Default>(
        self,
        what: &Weighing<'_, T>,
        src: [(&[Cell<T>], usize); 2],
        dst: &mut [MaybeUninit<T>],
    ) {
        let _ = (what, src, dst);
    }

    /// `dst[2*i] = a[i]`, `dst[2*i + 1] = b[i]`; `None` stands for zeros. The slices must agree in length.
    ///
    /// (Left to the compiler, these loops stay scalar more often than not: it must allow for `dst` overlapping a row
    /// seen through `Cell`.)
    fn zip<T: Copy + Default>(self, a: Option<&[Cell<T>]>, b: Option<&[Cell<T>]>, dst: &mut [MaybeUninit<T>]);

    /// Copies past the caches where the level can. The slices must agree in length. [`fence`] must follow before another
    /// thread may read what was written.
    #[inline(always)]
    fn stream<T: Copy>(self, from: &[T], to: &mut [MaybeUninit<T>]) {
        to.iter_mut().zip(from).for_each(|(to, from)| _ = to.write(*from));
    }
}

/// Bytes of the longest rows worth asking for: beyond them the processor has found the way by itself.
const LONGEST_ASKED: usize = 4096;

/// Asks for a row, which will be wanted soon, line by line.
#[inline(always)]
pub fn prefetch<T>(row: &[Cell<T>]) {
    if size_of_val(row) > LONGEST_ASKED {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of_val(row)).step_by(64) {
        // SAFETY: SSE is part of every x86-64; a prefetch of any address is harmless.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().cast::<i8>().wrapping_add(line));
        }
    }
}

/// Makes streamed stores visible to other threads, in order.
#[inline]
pub fn fence() {
    // SAFETY: SSE is part of every x86-64.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// The target's guaranteed features.
#[derive(Debug, Clone, Copy)]
pub struct Baseline;

impl Level for Baseline {
    const FMA: bool = cfg!(target_arch = "aarch64");

    #[inline(always)]
    fn zip<T: Copy + Default>(self, a: Option<&[Cell<T>]>, b: Option<&[Cell<T>]>, dst: &mut [MaybeUninit<T>]) {
        zip_singly(a, b, dst);
    }
}

/// [`Level::zip`], one by one.
#[inline(always)]
fn zip_singly<T: Copy + Default>(a: Option<&[Cell<T>]>, b: Option<&[Cell<T>]>, dst: &mut [MaybeUninit<T>]) {
    for (i, d) in dst.chunks_exact_mut(2).enumerate() {
        d[0].write(a.map_or_else(T::default, |a| a[i].get()));
        d[1].write(b.map_or_else(T::default, |b| b[i].get()));
    }
}

/// Levels that exist on x86-64 only. Their values are made by [`dispatch`] alone, which has found the features.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Cell, Level, MOST_LANES, MaybeUninit, Weighing, zip_singly};
    use std::arch::x86_64::*;

    /// AVX2 and what belongs to it.
    #[derive(Debug, Clone, Copy)]
    pub struct Avx2(pub(super) ());
    /// AVX-512 and what belongs to it.
    #[derive(Debug, Clone, Copy)]
    pub struct Avx512(pub(super) ());

    /// Streams whole, aligned vectors of `$width` bytes; the elements before and after them are copied.
    macro_rules! stream_vectors {
        ($from:ident, $to:ident, $width:expr, $load:expr, $store:expr) => {{
            let n = $to.len().min($from.len());
            let (from, to) = (&$from[..n], &mut $to[..n]);
            let head = to.as_ptr().align_offset($width).min(n);
            let lanes = ($width / size_of::<T>().max(1)).max(1);
            let whole = if $width % size_of::<T>().max(1) == 0 { (n - head) / lanes * lanes } else { 0 };
            let mut i = head;
            while i < head + whole {
                // SAFETY: `i + lanes <= n`; `to` is aligned to the vector from `head` on, in steps of whole vectors;
                // the level's value proves the instructions exist. The bits moved are whole `T`s.
                unsafe { $store(to.as_mut_ptr().add(i).cast(), $load(from.as_ptr().add(i).cast())) };
                i += lanes;
            }
            for i in (0..head).chain(head + whole..n) {
                to[i].write(from[i]);
            }
        }};
    }

    /// Interleaves vector by vector: `$load` and `$store` move `$width` bytes, `$zip` interleaves two vectors into two.
    macro_rules! zip_vectors {
        ($a:ident, $b:ident, $dst:ident, $width:expr, $vector:ty, $zero:expr, $load:expr, $store:expr, $zip:expr) => {{
            let lanes = $width / size_of::<T>();
            let n = $dst.len() / 2;
            if !matches!(size_of::<T>(), 1 | 2 | 4 | 8) || n < lanes {
                return zip_singly($a, $b, $dst);
            }
            // Checked once: every vector below lies within these.
            let (a, b) = ($a.map(|a| a[..n].as_ptr()), $b.map(|b| b[..n].as_ptr()));
            let (mut next, last) = (0, n - lanes);
            while next < n {
                // The last vector may overlap the one before it: it writes the same again.
                let i = next.min(last);
                // SAFETY: `i + lanes <= n` elements of each source, `2*(i + lanes)` of `dst`; unaligned accesses; the
                // level's value proves the instructions exist. The bits moved are whole `T`s.
                unsafe {
                    let load = |p: Option<*const std::cell::Cell<T>>| -> $vector {
                        match p {
                            Some(p) => $load(p.add(i).cast()),
                            None => $zero,
                        }
                    };
                    let (low, high) = $zip(load(a), load(b));
                    $store($dst.as_mut_ptr().add(2 * i).cast(), low);
                    $store($dst.as_mut_ptr().add(2 * i + lanes).cast(), high);
                }
                next += lanes;
            }
        }};
    }

    /// [`Level::weigh`] for one type: `$pick_one` and `$pick_two` take the lanes out of one or two vectors, `$add` is a fused
    /// multiply-add, `$some` one for the lanes that have the tap, `$down` moves lanes down by a number of places, zeros
    /// following.
    macro_rules! weigh_vectors {
        ($what:ident, $src:ident, $dst:ident, $lanes:expr, $index:expr, $load:expr, $store:expr, $store_some:expr, $zero:expr,
         $mul:expr, $add:expr, $plus:expr, $some:expr, $pick_one:expr, $pick_two:expr, $down:expr) => {{
            const LANES: usize = $lanes;
            let &Weighing { blocks, ref made, runs, every: [every, advance], entries, weights, taps, step, two, width } = $what;
            let loaded = $what.loaded(LANES);
            assert!(taps > 0 && width > 0 && width <= LANES && $dst.len() >= width && made.end <= blocks.len());
            assert!(weights.len() >= entries.len() * taps * LANES);
            let last = $dst.len() - width;
            let (alone, written) = (LANES / width == 1, if width == LANES { u32::MAX } else { (1 << width) - 1 });
            macro_rules! all {
                ($inputs:expr) => {{
                    // SAFETY (of all that is marked so): the inputs of a block, of which those of the last tap end `loaded`
                    // after the first, are within `src`, for the first is at `most` at most; the weights, by the assertion,
                    // with the entry's bounds. The level's value proves the instructions exist. `T` is the type the
                    // instructions work on: the caller has looked at its size.
                    macro_rules! product {
                        ($from:ident, $weights:ident, $i:ident, $k:expr) => {
                            ($load($weights.add($k * LANES).cast()), $inputs($from.add($k * step), $i))
                        };
                    }
                    macro_rules! sum {
                        ($from:ident, $weights:ident, $i:ident, $full:ident) => {{
                            let (mut sum, mut k) = ($zero, 0);
                            if $full > 0 {
                                let (w, v) = product!($from, $weights, $i, 0);
                                (sum, k) = ($mul(w, v), 1);
                            }
                            while k < $full.min(taps) {
                                let (w, v) = product!($from, $weights, $i, k);
                                sum = $add(w, v, sum);
                                k += 1;
                            }
                            while k < taps {
                                let (w, v) = product!($from, $weights, $i, k);
                                sum = $some(w, v, sum);
                                k += 1;
                            }
                            // Groups of `width` lanes onto the first: half of the groups at a time.
                            let mut groups = LANES / width;
                            while groups > 1 {
                                let half = groups.div_ceil(2);
                                sum = $plus(sum, $down(sum, half * width, groups * width));
                                groups = half;
                            }
                            sum
                        }};
                    }
                    let (mut left, mut next) = (made.start, 0);
                    if !runs.is_empty() && $dst.len() >= LANES {
                        left = made.end.min(made.start + ($dst.len() - LANES) / width + 1);
                        next = (left - made.start) * width;
                        for run in runs {
                            let mut r = made.start.saturating_sub(run.block).div_ceil(every);
                            let end = run.count.min(left.saturating_sub(run.block).div_ceil(every));
                            let (index, full) = &entries[run.entry as usize];
                            let full = *full as usize;
                            for (src, from) in $src {
                                let Some(most) = src.len().checked_sub(loaded).filter(|_| r < end) else { continue };
                                let at = (run.base + r * advance).wrapping_sub(from);
                                if at > most {
                                    continue;
                                }
                                let n = if end - r == 1 { 1 } else { (end - r).min((most - at) / advance.max(1) + 1) };
                                let to = (run.block + r * every - made.start) * width;
                                let stride = every * width;
                                assert!(to + (n - 1) * stride + LANES <= $dst.len() && at + (n - 1) * advance <= most);
                                r += n;
                                // SAFETY: above; and `LANES` elements of `dst` from each place on, by the assertion.
                                unsafe {
                                    let mut src = src.as_ptr().add(at);
                                    let weights = weights.as_ptr().add(run.entry as usize * taps * LANES);
                                    let i = $index(index.as_ptr());
                                    let mut dst = $dst.as_mut_ptr().add(to);
                                    macro_rules! repeat {
                                        ($sum:expr) => {{
                                            let mut left = n;
                                            loop {
                                                $store_some(dst.cast(), written, $sum);
                                                left -= 1;
                                                if left == 0 {
                                                    break;
                                                }
                                                src = src.add(advance);
                                                dst = dst.add(stride);
                                            }
                                        }};
                                    }
                                    if full == 2 && taps == 2 && alone {
                                        let (a, b) = ($load(weights.cast()), $load(weights.add(LANES).cast()));
                                        repeat!($add(b, $inputs(src.add(step), i), $mul(a, $inputs(src, i))));
                                    } else if full == 4 && taps == 4 && alone {
                                        let (a, b) = ($load(weights.cast()), $load(weights.add(LANES).cast()));
                                        let (c, d) =
                                            ($load(weights.add(2 * LANES).cast()), $load(weights.add(3 * LANES).cast()));
                                        repeat!({
                                            let ab = $add(b, $inputs(src.add(step), i), $mul(a, $inputs(src, i)));
                                            let abc = $add(c, $inputs(src.add(2 * step), i), ab);
                                            $add(d, $inputs(src.add(3 * step), i), abc)
                                        });
                                    } else {
                                        repeat!(sum!(src, weights, i, full));
                                    }
                                }
                            }
                        }
                    }
                    let mut blocks = &blocks[left..made.end.max(left)];
                    for (src, from) in $src {
                        let Some(most) = src.len().checked_sub(loaded) else { continue };
                        while let [(base, entry), rest @ ..] = blocks {
                            let (at, entry) = (base.wrapping_sub(from), *entry);
                            if at > most {
                                break;
                            }
                            blocks = rest;
                            let (index, full) = &entries[entry as usize];
                            let full = *full as usize;
                            // SAFETY: above.
                            let sum = unsafe {
                                let src = src.as_ptr().add(at);
                                let weights = weights.as_ptr().add(entry as usize * taps * LANES);
                                let i = $index(index.as_ptr());
                                if full == 2 && taps == 2 && alone {
                                    let ((v, a), (w, b)) = (product!(src, weights, i, 0), product!(src, weights, i, 1));
                                    $add(w, b, $mul(v, a))
                                } else if full == 4 && taps == 4 && alone {
                                    let ((v, a), (w, b)) = (product!(src, weights, i, 0), product!(src, weights, i, 1));
                                    let ((x, c), (y, d)) = (product!(src, weights, i, 2), product!(src, weights, i, 3));
                                    $add(y, d, $add(x, c, $add(w, b, $mul(v, a))))
                                } else {
                                    sum!(src, weights, i, full)
                                }
                            };
                            let to = next;
                            next += width;
                            if to + LANES <= $dst.len() {
                                // SAFETY: `LANES` elements from `to` on.
                                unsafe { $store($dst.as_mut_ptr().add(to).cast(), sum) };
                            } else {
                                let to = to.min(last);
                                let mut lanes = [T::default(); LANES];
                                // SAFETY: as many elements as lanes.
                                unsafe { $store(lanes.as_mut_ptr().cast(), sum) };
                                for (to, from) in $dst[to..].iter_mut().zip(&lanes[..width]) {
                                    to.write(*from);
                                }
                            }
                        }
                    }
                }};
            }
            if two {
                all!(|src: *const Cell<T>, i| $pick_two($load(src.cast()), i, $load(src.add(LANES).cast())));
            } else {
                all!(|src: *const Cell<T>, i| $pick_one($load(src.cast()), i));
            }
        }};
    }

    /// Minus zero as a vector of 32-bit or 64-bit integers.
    /// Numbers of lanes.
    static LANE: [u8; MOST_LANES] = {
        let mut lane = [0; MOST_LANES];
        let mut i = 0;
        while i < MOST_LANES {
            lane[i] = i as u8;
            i += 1;
        }
        lane
    };

    const NO_TAP_32: i32 = i32::MIN;
    const NO_TAP_64: i64 = i64::MIN;

    impl Level for Avx2 {
        const FMA: bool = true;
        const VECTOR: usize = 32;

        #[inline(always)]
        fn weigh<T: Copy + Default>(
            self,
            what: &Weighing<'_, T>,
            src: [(&[Cell<T>], usize); 2],
            dst: &mut [MaybeUninit<T>],
        ) {
            if size_of::<T>() == 4 {
                weigh_vectors!(
                    what,
                    src,
                    dst,
                    8,
                    |i: *const u8| _mm256_cvtepu8_epi32(_mm_loadl_epi64(i.cast())),
                    _mm256_loadu_ps,
                    _mm256_storeu_ps,
                    |to, _, v| _mm256_storeu_ps(to, v),
                    _mm256_setzero_ps(),
                    _mm256_mul_ps,
                    _mm256_fmadd_ps,
                    _mm256_add_ps,
                    |w, v, sum| {
                        let none = _mm256_cmpeq_epi32(_mm256_castps_si256(w), _mm256_set1_epi32(NO_TAP_32));
                        _mm256_blendv_ps(_mm256_fmadd_ps(w, v, sum), sum, _mm256_castsi256_ps(none))
                    },
                    |a, i| _mm256_permutevar8x32_ps(a, i),
                    |a, i, b| {
                        let second = _mm256_cmpgt_epi32(i, _mm256_set1_epi32(7));
                        let (a, b) = (_mm256_permutevar8x32_ps(a, i), _mm256_permutevar8x32_ps(b, i));
                        _mm256_blendv_ps(a, b, _mm256_castsi256_ps(second))
                    },
                    |v, by, held| {
                        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                        let from = _mm256_add_epi32(lane, _mm256_set1_epi32(by as i32));
                        let there = _mm256_cmpgt_epi32(_mm256_set1_epi32(held as i32), from);
                        _mm256_and_ps(_mm256_permutevar8x32_ps(v, from), _mm256_castsi256_ps(there))
                    }
                );
            } else {
                weigh_vectors!(
                    what,
                    src,
                    dst,
                    4,
                    |i: *const u8| {
                        // Each lane is two of 32 bits, and the instruction knows only those.
                        let i = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(i.cast::<i32>().read_unaligned()));
                        let first = _mm256_add_epi64(i, i);
                        let second = _mm256_add_epi64(first, _mm256_set1_epi64x(1));
                        _mm256_or_si256(first, _mm256_slli_epi64::<32>(second))
                    },
                    _mm256_loadu_pd,
                    _mm256_storeu_pd,
                    |to, _, v| _mm256_storeu_pd(to, v),
                    _mm256_setzero_pd(),
                    _mm256_mul_pd,
                    _mm256_fmadd_pd,
                    _mm256_add_pd,
                    |w, v, sum| {
                        let none = _mm256_cmpeq_epi64(_mm256_castpd_si256(w), _mm256_set1_epi64x(NO_TAP_64));
                        _mm256_blendv_pd(_mm256_fmadd_pd(w, v, sum), sum, _mm256_castsi256_pd(none))
                    },
                    |a, i| _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(a), i)),
                    |a, i, b| {
                        let second = _mm256_cmpgt_epi32(i, _mm256_set1_epi32(7));
                        let a = _mm256_permutevar8x32_ps(_mm256_castpd_ps(a), i);
                        let b = _mm256_permutevar8x32_ps(_mm256_castpd_ps(b), i);
                        _mm256_castps_pd(_mm256_blendv_ps(a, b, _mm256_castsi256_ps(second)))
                    },
                    |v, by, held| {
                        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                        let from = _mm256_add_epi32(lane, _mm256_set1_epi32(2 * by as i32));
                        let there = _mm256_cmpgt_epi32(_mm256_set1_epi32(2 * held as i32), from);
                        let v = _mm256_permutevar8x32_ps(_mm256_castpd_ps(v), from);
                        _mm256_castps_pd(_mm256_and_ps(v, _mm256_castsi256_ps(there)))
                    }
                );
            }
        }

        #[inline(always)]
        fn stream<T: Copy>(self, from: &[T], to: &mut [MaybeUninit<T>]) {
            stream_vectors!(from, to, 32, _mm256_loadu_si256, _mm256_stream_si256);
        }

        #[inline(always)]
        fn zip<T: Copy + Default>(self, a: Option<&[Cell<T>]>, b: Option<&[Cell<T>]>, dst: &mut [MaybeUninit<T>]) {
            zip_vectors!(
                a,
                b,
                dst,
                32,
                __m256i,
                _mm256_setzero_si256(),
                _mm256_loadu_si256,
                _mm256_storeu_si256,
                |a, b| {
                    let (low, high) = match size_of::<T>() {
                        1 => (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)),
                        2 => (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)),
                        4 => (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)),
                        _ => (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)),
                    };
                    // Unpacking works within halves; put the halves in order.
                    (_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high))
                }
            );
        }
    }

    impl Level for Avx512 {
        const FMA: bool = true;
        const VECTOR: usize = 64;
        const SMALLEST: usize = 2;
        const MASKS: bool = true;

        #[inline(always)]
        fn weigh<T: Copy + Default>(
            self,
            what: &Weighing<'_, T>,
            src: [(&[Cell<T>], usize); 2],
            dst: &mut [MaybeUninit<T>],
        ) {
            if size_of::<T>() == 2 {
                weigh_vectors!(
                    what,
                    src,
                    dst,
                    32,
                    |i: *const u8| _mm512_cvtepu8_epi16(_mm256_loadu_si256(i.cast())),
                    _mm512_loadu_si512,
                    _mm512_storeu_si512,
                    |to, written: u32, v| _mm512_mask_storeu_epi16(to, written, v),
                    _mm512_setzero_si512(),
                    _mm512_mullo_epi16,
                    |w, v, sum| _mm512_add_epi16(_mm512_mullo_epi16(w, v), sum),
                    _mm512_add_epi16,
                    |w, v, sum| _mm512_add_epi16(_mm512_mullo_epi16(w, v), sum), // no tap: a weight of zero
                    |a, i| _mm512_permutexvar_epi16(i, a),
                    |a, i, b| _mm512_permutex2var_epi16(a, i, b),
                    |v, by, held| {
                        let from = _mm512_add_epi16(
                            _mm512_cvtepu8_epi16(_mm256_loadu_si256(LANE.as_ptr().cast())),
                            _mm512_set1_epi16(by as i16),
                        );
                        let there = _mm512_cmplt_epi16_mask(from, _mm512_set1_epi16(held as i16));
                        _mm512_maskz_permutexvar_epi16(there, from, v)
                    }
                );
            } else if size_of::<T>() == 4 {
                weigh_vectors!(
                    what,
                    src,
                    dst,
                    16,
                    |i: *const u8| _mm512_cvtepu8_epi32(_mm_loadu_si128(i.cast())),
                    _mm512_loadu_ps,
                    _mm512_storeu_ps,
                    |to, written: u32, v| _mm512_mask_storeu_ps(to, written as u16, v),
                    _mm512_setzero_ps(),
                    _mm512_mul_ps,
                    _mm512_fmadd_ps,
                    _mm512_add_ps,
                    |w, v, sum| {
                        let has = _mm512_cmpneq_epi32_mask(_mm512_castps_si512(w), _mm512_set1_epi32(NO_TAP_32));
                        _mm512_mask3_fmadd_ps(w, v, sum, has)
                    },
                    |a, i| _mm512_permutexvar_ps(i, a),
                    |a, i, b| _mm512_permutex2var_ps(a, i, b),
                    |v, by, held| {
                        let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
                        let from = _mm512_add_epi32(lane, _mm512_set1_epi32(by as i32));
                        let there = _mm512_cmplt_epi32_mask(from, _mm512_set1_epi32(held as i32));
                        _mm512_maskz_permutexvar_ps(there, from, v)
                    }
                );
            } else {
                weigh_vectors!(
                    what,
                    src,
                    dst,
                    8,
                    |i: *const u8| _mm512_cvtepu8_epi64(_mm_loadl_epi64(i.cast())),
                    _mm512_loadu_pd,
                    _mm512_storeu_pd,
                    |to, written: u32, v| _mm512_mask_storeu_pd(to, written as u8, v),
                    _mm512_setzero_pd(),
                    _mm512_mul_pd,
                    _mm512_fmadd_pd,
                    _mm512_add_pd,
                    |w, v, sum| {
                        let has = _mm512_cmpneq_epi64_mask(_mm512_castpd_si512(w), _mm512_set1_epi64(NO_TAP_64));
                        _mm512_mask3_fmadd_pd(w, v, sum, has)
                    },
                    |a, i| _mm512_permutexvar_pd(i, a),
                    |a, i, b| _mm512_permutex2var_pd(a, i, b),
                    |v, by, held| {
                        let lane = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
                        let from = _mm512_add_epi64(lane, _mm512_set1_epi64(by as i64));
                        let there = _mm512_cmplt_epi64_mask(from, _mm512_set1_epi64(held as i64));
                        _mm512_maskz_permutexvar_pd(there, from, v)
                    }
                );
            }
        }

        #[inline(always)]
        fn stream<T: Copy>(self, from: &[T], to: &mut [MaybeUninit<T>]) {
            stream_vectors!(from, to, 64, _mm512_loadu_si512, _mm512_stream_si512);
        }

        #[inline(always)]
        fn zip<T: Copy + Default>(self, a: Option<&[Cell<T>]>, b: Option<&[Cell<T>]>, dst: &mut [MaybeUninit<T>]) {
            zip_vectors!(
                a,
                b,
                dst,
                64,
                __m512i,
                _mm512_setzero_si512(),
                _mm512_loadu_si512,
                _mm512_storeu_si512,
                |a, b| {
                    let (low, high) = match size_of::<T>() {
                        1 => (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)),
                        2 => (_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)),
                        4 => (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)),
                        _ => (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)),
                    };
                    // Unpacking works within quarters; put the quarters in order.
                    let first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
                    let second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
                    (_mm512_permutex2var_epi64(low, first, high), _mm512_permutex2var_epi64(low, second, high))
                }
            );
        }
    }
}

/// Work to be compiled for every level. `run` must be `#[inline(always)]`, as must all it calls in a hot loop.
pub trait Job {
    /// What it returns.
    type Output;
    /// The work.
    fn run<L: Level>(self, level: L) -> Self::Output;
}

/// The best level of this machine.
#[must_use]
pub fn detected() -> Isa {
    static DETECTED: OnceLock<Isa> = OnceLock::new();
    *DETECTED.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Isa {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512cd");
    match (avx512, avx2) {
        (true, _) => Isa::Avx512,
        (_, true) => Isa::Avx2,
        _ => Isa::Scalar,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Isa {
    Isa::Scalar
}

/// The level in force; `UNSET` until it is first asked for.
static CURRENT: AtomicU8 = AtomicU8::new(UNSET);
const UNSET: u8 = u8::MAX;

/// The level kernels run at: the detected one, unless a lower one is forced.
#[inline]
#[must_use]
pub fn current() -> Isa {
    match CURRENT.load(Ordering::Relaxed) {
        0 => Isa::Scalar,
        1 => Isa::Avx2,
        2 => Isa::Avx512,
        _ => force(None),
    }
}

/// What [`Level::weigh`] is at the current level: lanes of a vector, 0 where there is none, and whether runs may be of blocks
/// that do not fill one.
#[must_use]
pub fn weighing<T>() -> (usize, bool) {
    const fn of<L: Level>(bytes: usize) -> (usize, bool) {
        (if bytes < L::SMALLEST { 0 } else { L::VECTOR / bytes }, L::MASKS)
    }
    match current() {
        Isa::Scalar => of::<Baseline>(size_of::<T>()),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => of::<x86::Avx2>(size_of::<T>()),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => of::<x86::Avx512>(size_of::<T>()),
        #[cfg(not(target_arch = "x86_64"))]
        _ => (0, false),
    }
}

/// Forces a level for the whole process (`None`: back to the default, which `UPSAMPLE_RS_ISA` may lower) and returns
/// the level now in force, which is never above the detected one.
#[cold]
pub fn force(isa: Option<Isa>) -> Isa {
    let from_env = || std::env::var("UPSAMPLE_RS_ISA").ok().and_then(|name| Isa::named(&name));
    let isa = isa.or_else(from_env).map_or_else(detected, |isa| isa.min(detected()));
    CURRENT.store(isa as u8, Ordering::Relaxed);
    isa
}

/// Runs the job at the current level.
#[inline(always)]
pub fn dispatch<J: Job>(job: J) -> J::Output {
    #[cfg(target_arch = "x86_64")]
    match current() {
        // SAFETY: `current` never exceeds `detected`, which found every feature that `avx512` enables.
        Isa::Avx512 => return unsafe { avx512(job) },
        // SAFETY: as above, for `avx2`.
        Isa::Avx2 => return unsafe { avx2(job) },
        Isa::Scalar => {}
    }
    baseline(job)
}

/// Runs the job with what the target guarantees. (Never inlined: a job's callers are many, one for each stored type; as
/// part of each of them the jobs took up a third of the library.)
#[inline(never)]
pub fn baseline<J: Job>(job: J) -> J::Output {
    job.run(Baseline)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
fn avx512<J: Job>(job: J) -> J::Output {
    job.run(x86::Avx512(()))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
fn avx2<J: Job>(job: J) -> J::Output {
    job.run(x86::Avx2(()))
}
