//! Weighted sums whose inputs are picked out of vectors.

use std::ops::Range;

/// Most lanes a vector of [`Level::weigh`](super::Level::weigh) has.
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

/// How the lanes of a block find their inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// By index out of a vector.
    FromOne,
    /// By index out of two.
    FromTwo,
    /// As they lie, half a vector for each of two outputs, whose channels fill three or four of its four lanes.
    Halves,
}

/// Blocks of neighbouring outputs, a vector each, as [`Level::weigh`](super::Level::weigh) makes them: lane `i` of a block becomes the sum over
/// `k < taps` of `weights[(entry*taps + k)*lanes + i] * src[base + k*step + index[entry][i]]`.
#[derive(Debug, Clone)]
pub struct Weighing<'a, T> {
    /// First input and entry of each block of a row; inputs never decrease, but for blocks that have no taps.
    pub blocks: &'a [(usize, u32)],
    /// The blocks to be made.
    pub made: Range<usize>,
    /// All blocks of the row as runs, if those are few.
    pub runs: &'a [Run],
    /// Blocks, and inputs, from one block of a run to the next.
    pub every: [usize; 2],
    /// For each entry, where a lane's first input is: below `lanes`, or below `2*lanes` with [`Pick::FromTwo`]; and as many of
    /// the taps, from the first on, as every lane has. With [`Pick::Halves`] the first four bytes are a number: where the
    /// inputs of the second half of the lanes are.
    pub entries: &'a [([u8; MOST_LANES], u32)],
    /// Weights, `lanes` for each tap. Minus zero: the lane has no such tap, and the input is left alone.
    pub weights: &'a [T],
    /// Number of taps.
    pub taps: usize,
    /// Distance between the inputs of two taps.
    pub step: usize,
    /// How lanes find their inputs.
    pub pick: Pick,
    /// Inputs that are loaded for a tap, from the block's first one on.
    pub window: usize,
    /// Taps in succession whose inputs lie within the same one or two vectors: those are loaded once. (A load of a whole
    /// vector mostly meets two lines of the cache, and takes twice as long as the rest of a tap's work.)
    pub fits: usize,
    /// Lanes that are results.
    pub width: usize,
}

impl<T> Weighing<'_, T> {
    /// Inputs that are loaded for a block, whether or not all of them are read.
    #[inline(always)]
    #[must_use]
    pub fn loaded(&self) -> usize {
        (self.taps.max(1) - 1) * self.step + self.window
    }

    /// The first of the blocks that are not made as parts of runs: those write whole vectors, into a result of `len`.
    #[inline(always)]
    fn after_runs(&self, lanes: usize, len: usize) -> usize {
        match len.checked_sub(lanes) {
            Some(room) if !self.runs.is_empty() => self.made.end.min(self.made.start + room / self.width + 1),
            _ => self.made.start,
        }
    }

    /// The blocks of a run that are made, of those before block `end`.
    #[inline(always)]
    fn of_run(&self, run: &Run, end: usize) -> Range<usize> {
        let [every, _] = self.every;
        let end = run.count.min(end.saturating_sub(run.block).div_ceil(every));
        self.made.start.saturating_sub(run.block).div_ceil(every)..end
    }

    /// The next of a run's `blocks` whose inputs a slice has, of `len` elements from `from` on; they are no longer among the
    /// blocks then. A vector begins at most `room` elements into the result.
    #[inline(always)]
    fn stretch(
        &self,
        run: &Run,
        blocks: &mut Range<usize>,
        (len, from): (usize, usize),
        room: usize,
    ) -> Option<Stretch> {
        let [every, advance] = self.every;
        let most = len.checked_sub(self.loaded()).filter(|_| blocks.start < blocks.end)?;
        let at = (run.base + blocks.start * advance).saturating_sub(from);
        if at > most {
            return None;
        }
        let n = if blocks.len() == 1 { 1 } else { blocks.len().min((most - at) / advance.max(1) + 1) };
        let (to, stride) = ((run.block + blocks.start * every - self.made.start) * self.width, every * self.width);
        assert!(to + (n - 1) * stride <= room && at + (n - 1) * advance <= most);
        blocks.start += n;
        Some(Stretch { at, n, to, stride })
    }
}

/// Blocks of a run one after the other.
struct Stretch {
    /// The first one's first input in its slice.
    at: usize,
    /// How many, one at least; the inputs of all are in the slice.
    n: usize,
    /// Where the first one goes.
    to: usize,
    /// Results from one to the next.
    stride: usize,
}

/// For the levels of x86-64.
#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Pick, Stretch, Weighing};
    use std::arch::x86_64::*;
    use std::cell::Cell;
    use std::mem::MaybeUninit;

    /// [`Level::weigh`] for one type: `$pick_one` and `$pick_two` take the lanes out of one or two vectors, `$add` is a fused
    /// multiply-add, `$some` one for the lanes that have the tap, `$only` the product of those, zero for the others; `$shift`
    /// adds a number to each lane of an index.
    macro_rules! weigh_vectors {
        ($what:ident, $src:ident, $dst:ident, $lanes:expr, $index:expr, $load:expr, $store:expr, $store_some:expr, $zero:expr,
         $mul:expr, $add:expr, $only:expr, $some:expr, $pick_one:expr, $pick_two:expr, $shift:expr) => {{
            const LANES: usize = $lanes;
            let &Weighing { blocks, ref made, runs, every: [_, advance], entries, weights, taps, step, pick, fits, width, .. } =
                $what;
            let loaded = $what.loaded();
            assert!(taps > 0 && width > 0 && width <= LANES && $dst.len() >= width && made.end <= blocks.len());
            assert!(weights.len() >= entries.len() * taps * LANES);
            let last = $dst.len() - width;
            let written = if width == 32 { u32::MAX } else { (1 << width) - 1 };
            macro_rules! all {
                ($window:expr, $pick:expr) => {{
                    // SAFETY (of all that is marked so): the inputs of a block, of which those of the last tap end `loaded`
                    // after the first, are within `src`, for the first is at `most` at most; the weights, by the assertion,
                    // with the entry's bounds. The level's value proves the instructions exist. `T` is the type the
                    // instructions work on: the caller has looked at its size.
                    macro_rules! product {
                        ($from:ident, $weights:ident, $i:ident, $k:expr) => {
                            ($load($weights.add($k * LANES).cast()), $pick($window($from.add($k * step)), $i))
                        };
                    }
                    // A tap's product added to a sum, the first one in its place.
                    macro_rules! plus {
                        ($sum:ident, $w:ident, $v:expr, $k:ident, $full:ident) => {
                            match $k {
                                0 if $full > 0 => $mul($w, $v),
                                0 => $only($w, $v), // (added to zero, one of minus zero would become zero)
                                _ if $k < $full => $add($w, $v, $sum),
                                _ => $some($w, $v, $sum),
                            }
                        };
                    }
                    // The sums of two blocks of one entry, side by side: each is a chain of additions that wait for one another.
                    macro_rules! sums {
                        ($from:ident, $later:expr, $weights:ident, $i:ident, $full:ident) => {{
                            let later = $later;
                            let (mut sum, mut second, mut first) = ($zero, $zero, 0);
                            while first < taps {
                                let (window, beside) = ($window($from.add(first * step)), $window(later.add(first * step)));
                                let (end, mut at) = (taps.min(first + fits), $i);
                                for k in first..end {
                                    let w = $load($weights.add(k * LANES).cast());
                                    sum = plus!(sum, w, $pick(window, at), k, $full);
                                    second = plus!(second, w, $pick(beside, at), k, $full);
                                    at = $shift(at, step);
                                }
                                first = end;
                            }
                            (sum, second)
                        }};
                    }
                    macro_rules! sum {
                        ($from:ident, $weights:ident, $i:ident, $full:ident) => {{
                            let (mut sum, mut first) = ($zero, 0);
                            while first < taps {
                                let window = $window($from.add(first * step));
                                let (end, mut at) = (taps.min(first + fits), $i);
                                for k in first..end {
                                    let w = $load($weights.add(k * LANES).cast());
                                    sum = plus!(sum, w, $pick(window, at), k, $full);
                                    at = $shift(at, step);
                                }
                                first = end;
                            }
                            sum
                        }};
                    }
                    let left = $what.after_runs(LANES, $dst.len());
                    let mut next = (left - made.start) * width;
                    if left > made.start {
                        let room = $dst.len() - LANES;
                        for run in runs {
                            let mut blocks = $what.of_run(run, left);
                            let (index, full) = &entries[run.entry as usize];
                            let full = *full as usize;
                            for (src, from) in $src {
                                let Some(Stretch { at, n, to, stride }) =
                                    $what.stretch(run, &mut blocks, (src.len(), from), room)
                                else {
                                    continue;
                                };
                                // SAFETY: above, for all blocks of the stretch; `LANES` elements of `dst` follow each place.
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
                                    if full == 2 && taps == 2 {
                                        let (a, b) = ($load(weights.cast()), $load(weights.add(LANES).cast()));
                                        if fits >= 2 {
                                            let next = $shift(i, step);
                                            repeat!({
                                                let window = $window(src);
                                                $add(b, $pick(window, next), $mul(a, $pick(window, i)))
                                            });
                                        } else {
                                            repeat!($add(b, $pick($window(src.add(step)), i), $mul(a, $pick($window(src), i))));
                                        }
                                    } else if full == 4 && taps == 4 {
                                        let (a, b) = ($load(weights.cast()), $load(weights.add(LANES).cast()));
                                        let (c, d) =
                                            ($load(weights.add(2 * LANES).cast()), $load(weights.add(3 * LANES).cast()));
                                        if fits >= 2 {
                                            let next = $shift(i, step);
                                            repeat!({
                                                let (window, later) = ($window(src), $window(src.add(2 * step)));
                                                let ab = $add(b, $pick(window, next), $mul(a, $pick(window, i)));
                                                $add(d, $pick(later, next), $add(c, $pick(later, i), ab))
                                            });
                                        } else {
                                            repeat!({
                                                let ab = $add(b, $pick($window(src.add(step)), i), $mul(a, $pick($window(src), i)));
                                                let abc = $add(c, $pick($window(src.add(2 * step)), i), ab);
                                                $add(d, $pick($window(src.add(3 * step)), i), abc)
                                            });
                                        }
                                    } else {
                                        for _ in 0..n / 2 {
                                            let (sum, second) = sums!(src, src.add(advance), weights, i, full);
                                            $store_some(dst.cast(), written, sum);
                                            $store_some(dst.add(stride).cast(), written, second);
                                            src = src.wrapping_add(2 * advance);
                                            dst = dst.wrapping_add(2 * stride);
                                        }
                                        if n % 2 == 1 {
                                            $store_some(dst.cast(), written, sum!(src, weights, i, full));
                                        }
                                    }
                                }
                            }
                        }
                    }
                    let mut blocks = &blocks[left..made.end];
                    for (src, from) in $src {
                        let Some(most) = src.len().checked_sub(loaded) else { continue };
                        while let [(base, entry), rest @ ..] = blocks {
                            let (at, entry) = (base.saturating_sub(from), *entry);
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
                                if full == 2 && taps == 2 {
                                    let ((v, a), (w, b)) = (product!(src, weights, i, 0), product!(src, weights, i, 1));
                                    $add(w, b, $mul(v, a))
                                } else if full == 4 && taps == 4 {
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
            if pick == Pick::FromTwo {
                all!(
                    |src: *const Cell<T>| ($load(src.cast()), $load(src.add(LANES).cast())),
                    |window, i| {
                        let (a, b) = window;
                        $pick_two(a, i, b)
                    }
                );
            } else {
                all!(|src: *const Cell<T>| $load(src.cast()), |window, i| $pick_one(window, i));
            }
        }};
    }

    /// Minus zero as a vector of 32-bit or 64-bit integers.
    const NO_TAP_32: i32 = i32::MIN;
    const NO_TAP_64: i64 = i64::MIN;

    /// [`Level::weigh`](super::super::Level::weigh) in vectors of 32 bytes.
    ///
    /// # Safety
    /// The level's instructions must exist, and `T` be `f32`, `f64` or an integer of 16 bits; `f32` for [`Pick::Halves`].
    #[inline(always)]
    pub unsafe fn weigh_256<T: Copy + Default>(
        what: &Weighing<'_, T>,
        src: [(&[Cell<T>], usize); 2],
        dst: &mut [MaybeUninit<T>],
    ) {
        if size_of::<T>() == 2 {
            weigh_vectors!(
                what,
                src,
                dst,
                8,
                |i: *const u8| {
                    // Each lane is two bytes, and the instruction knows only those; 16 and more are in the second vector.
                    let i = _mm_cvtepu8_epi16(_mm_loadl_epi64(i.cast()));
                    _mm_add_epi16(_mm_mullo_epi16(i, _mm_set1_epi16(0x0202)), _mm_set1_epi16(0x0100))
                },
                |from: *const __m128i| _mm_loadu_si128(from),
                |to: *mut __m128i, v| _mm_storeu_si128(to, v),
                |to: *mut __m128i, _, v| _mm_storeu_si128(to, v),
                _mm_setzero_si128(),
                _mm_mullo_epi16,
                |w, v, sum| _mm_add_epi16(_mm_mullo_epi16(w, v), sum),
                _mm_mullo_epi16,
                |w, v, sum| _mm_add_epi16(_mm_mullo_epi16(w, v), sum), // no tap: a weight of zero
                |a, i| _mm_shuffle_epi8(a, i),
                |a, i, b| {
                    // A byte whose highest bit is set is zero: those of the other vector.
                    let first = _mm_adds_epu8(i, _mm_set1_epi8(0x70));
                    let second = _mm_sub_epi8(i, _mm_set1_epi8(0x10));
                    _mm_or_si128(_mm_shuffle_epi8(a, first), _mm_shuffle_epi8(b, second))
                },
                |i, by| _mm_add_epi8(i, _mm_set1_epi8(2 * by as i8))
            );
        } else if what.pick == Pick::Halves {
            // SAFETY: as the caller promises.
            unsafe { weigh_halves_of(what, src, dst) };
        } else if size_of::<T>() == 4 {
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
                |w, v| {
                    let none = _mm256_cmpeq_epi32(_mm256_castps_si256(w), _mm256_set1_epi32(NO_TAP_32));
                    _mm256_andnot_ps(_mm256_castsi256_ps(none), _mm256_mul_ps(w, v))
                },
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
                |i, by| _mm256_add_epi32(i, _mm256_set1_epi32(by as i32))
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
                |w, v| {
                    let none = _mm256_cmpeq_epi64(_mm256_castpd_si256(w), _mm256_set1_epi64x(NO_TAP_64));
                    _mm256_andnot_pd(_mm256_castsi256_pd(none), _mm256_mul_pd(w, v))
                },
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
                |i, by| _mm256_add_epi32(i, _mm256_set1_epi32(2 * by as i32))
            );
        }
    }

    /// Lanes of [`Pick::Halves`].
    const BOTH: usize = 8;

    /// [`weigh_halves`], of what is known to be of `f32`.
    ///
    /// # Safety
    /// AVX2 and FMA must exist, and `T` be `f32`.
    #[inline(always)]
    unsafe fn weigh_halves_of<T>(what: &Weighing<'_, T>, src: [(&[Cell<T>], usize); 2], dst: &mut [MaybeUninit<T>]) {
        // SAFETY: as the caller promises.
        unsafe {
            let &Weighing { blocks, runs, every, entries, taps, step, pick, window, fits, width, .. } = what;
            let (made, weights) = (what.made.clone(), as_floats(what.weights));
            let what = Weighing { blocks, made, runs, every, entries, weights, taps, step, pick, window, fits, width };
            let dst = std::slice::from_raw_parts_mut(dst.as_mut_ptr().cast(), dst.len());
            weigh_halves(&what, src.map(|(src, from)| (as_floats(src), from)), dst);
        }
    }

    /// A block of [`Pick::Halves`], ready to be summed.
    #[derive(Clone, Copy)]
    struct Both {
        /// What the first half reads.
        low: *const f32,
        /// What the second half reads.
        high: *const f32,
        weights: *const f32,
        /// Taps that all lanes have.
        full: usize,
    }

    impl Both {
        /// The inputs and the weights of tap `k`.
        ///
        /// # Safety
        /// There must be such a tap, and AVX.
        #[inline(always)]
        unsafe fn tap(self, k: usize, step: usize) -> (__m256, __m256) {
            // SAFETY: as the caller promises.
            unsafe {
                let (low, high) = (_mm_loadu_ps(self.low.add(k * step)), _mm_loadu_ps(self.high.add(k * step)));
                let v = _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(low), high);
                (v, _mm256_loadu_ps(self.weights.add(k * BOTH)))
            }
        }

        /// The product of the first tap, zero in lanes that do not have it. (One of minus zero added to zero would become zero.)
        ///
        /// # Safety
        /// As [`Both::tap`]; and AVX2.
        #[inline(always)]
        unsafe fn first(self, step: usize) -> __m256 {
            // SAFETY: as the caller promises.
            unsafe {
                let (v, w) = self.tap(0, step);
                let none = _mm256_cmpeq_epi32(_mm256_castps_si256(w), _mm256_set1_epi32(NO_TAP_32));
                _mm256_andnot_ps(_mm256_castsi256_ps(none), _mm256_mul_ps(w, v))
            }
        }

        /// A sum with the product of tap `k`, in all lanes.
        ///
        /// # Safety
        /// As [`Both::tap`]; and FMA.
        #[inline(always)]
        unsafe fn plus(self, k: usize, step: usize, sum: __m256) -> __m256 {
            // SAFETY: as the caller promises.
            unsafe {
                let (v, w) = self.tap(k, step);
                _mm256_fmadd_ps(w, v, sum)
            }
        }

        /// The same in the lanes that have the tap.
        ///
        /// # Safety
        /// As [`Both::plus`]; and AVX2.
        #[inline(always)]
        unsafe fn plus_some(self, k: usize, step: usize, sum: __m256) -> __m256 {
            // SAFETY: as the caller promises.
            unsafe {
                let (v, w) = self.tap(k, step);
                let none = _mm256_cmpeq_epi32(_mm256_castps_si256(w), _mm256_set1_epi32(NO_TAP_32));
                _mm256_blendv_ps(_mm256_fmadd_ps(w, v, sum), sum, _mm256_castsi256_ps(none))
            }
        }

        /// The sum over the taps.
        ///
        /// # Safety
        /// As [`Both::plus_some`], for `taps` of them, one at least.
        #[inline(always)]
        unsafe fn sum(self, taps: usize, step: usize) -> __m256 {
            // SAFETY: as the caller promises.
            unsafe {
                let mut sum = self.first(step);
                for k in 1..self.full {
                    sum = self.plus(k, step, sum);
                }
                for k in self.full.max(1)..taps {
                    sum = self.plus_some(k, step, sum);
                }
                sum
            }
        }
    }

    /// The same slice.
    ///
    /// # Safety
    /// `T` must be `f32`, or a cell of it.
    unsafe fn as_floats<T, U>(floats: &[T]) -> &[U] {
        // SAFETY: as the caller promises.
        unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), floats.len()) }
    }

    /// Where the block of a [`Both`] goes.
    #[derive(Clone, Copy)]
    struct To {
        first: *mut f32,
        /// From the first half to the second: at most half of `BOTH`.
        half: usize,
    }

    impl To {
        /// Writes a block. An idle lane of the first half lies where the second half begins, one of the second half behind
        /// the block.
        ///
        /// # Safety
        /// `BOTH` elements must be writeable `at` elements after the first; and AVX must exist.
        #[inline(always)]
        unsafe fn put(self, at: usize, v: __m256) {
            // SAFETY: as the caller promises; `half` is at most half of `BOTH`.
            unsafe {
                _mm_storeu_ps(self.first.add(at), _mm256_castps256_ps128(v));
                _mm_storeu_ps(self.first.add(at + self.half), _mm256_extractf128_ps::<1>(v));
            }
        }
    }

    /// Writes the sums of two blocks, `between` elements apart: each sum is a chain of additions that wait for one another. (A
    /// function of its own, like the next: they need the registers.)
    ///
    /// # Safety
    /// There must be so many taps, one at least, and room for the results.
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn sum_two(a: Both, b: Both, (taps, step): (usize, usize), to: To, between: usize) {
        let full = a.full.min(b.full);
        // SAFETY: as the caller promises.
        unsafe {
            let (mut sum, mut beside) = (a.first(step), b.first(step));
            for k in 1..full {
                (sum, beside) = (a.plus(k, step, sum), b.plus(k, step, beside));
            }
            for k in full.max(1)..taps {
                (sum, beside) = (a.plus_some(k, step, sum), b.plus_some(k, step, beside));
            }
            to.put(0, sum);
            to.put(between, beside);
        }
    }

    /// Writes the sums of `n` blocks that are alike, from one to the next `advance` inputs and `stride` results further.
    ///
    /// # Safety
    /// There must be so many taps, one at least, and room for the results.
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn sum_run(
        mut block: Both,
        (taps, step): (usize, usize),
        mut to: To,
        n: usize,
        (advance, stride): (usize, usize),
    ) {
        // (Whole vectors of what is behind the last block are not read: the steps wrap.)
        macro_rules! each {
            ($sum:expr) => {
                for _ in 0..n {
                    to.put(0, $sum);
                    (block.low, block.high) = (block.low.wrapping_add(advance), block.high.wrapping_add(advance));
                    to.first = to.first.wrapping_add(stride);
                }
            };
        }
        // SAFETY: as the caller promises.
        unsafe {
            match taps {
                2 if block.full == 2 => {
                    let weights = [0, 1].map(|k| block.tap(k, step).1);
                    each!({
                        let (v, x) = (block.tap(0, step).0, block.tap(1, step).0);
                        _mm256_fmadd_ps(weights[1], x, _mm256_mul_ps(weights[0], v))
                    });
                }
                4 if block.full == 4 => {
                    let weights = [0, 1, 2, 3].map(|k| block.tap(k, step).1);
                    each!({
                        let (v, x) = (block.tap(0, step).0, block.tap(1, step).0);
                        let (y, z) = (block.tap(2, step).0, block.tap(3, step).0);
                        let both = _mm256_fmadd_ps(weights[1], x, _mm256_mul_ps(weights[0], v));
                        _mm256_fmadd_ps(weights[3], z, _mm256_fmadd_ps(weights[2], y, both))
                    });
                }
                _ => {
                    for i in 0..n / 2 {
                        let (low, high) = (block.low.add(2 * i * advance), block.high.add(2 * i * advance));
                        let a = Both { low, high, ..block };
                        let b = Both { low: low.add(advance), high: high.add(advance), ..block };
                        sum_two(a, b, (taps, step), To { first: to.first.add(2 * i * stride), ..to }, stride);
                    }
                    if n % 2 == 1 {
                        let (low, high) = (block.low.add((n - 1) * advance), block.high.add((n - 1) * advance));
                        to.put((n - 1) * stride, Both { low, high, ..block }.sum(taps, step));
                    }
                }
            }
        }
    }

    /// [`weigh_256`] for [`Pick::Halves`].
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    fn weigh_halves(what: &Weighing<'_, f32>, src: [(&[Cell<f32>], usize); 2], dst: &mut [MaybeUninit<f32>]) {
        let &Weighing { blocks, ref made, runs, every: [_, advance], entries, weights, taps, step, width, .. } = what;
        let (loaded, len, half) = (what.loaded(), dst.len(), width / 2);
        assert!(taps > 0 && width > 0 && width + 2 >= BOTH && width <= BOTH && len >= width);
        assert!(made.end <= blocks.len() && weights.len() >= entries.len() * taps * BOTH);
        let mut to = To { first: dst.as_mut_ptr().cast(), half };
        // The block of an entry whose first input is `at`.
        let both = |src: &[Cell<f32>], at: usize, entry: u32| {
            let (index, full) = &entries[entry as usize];
            let delta = index.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes) as usize);
            assert!(delta + BOTH / 2 <= what.window);
            let low = src.as_ptr().wrapping_add(at).cast::<f32>();
            let weights = weights.as_ptr().wrapping_add(entry as usize * taps * BOTH);
            Both { low, high: low.wrapping_add(delta), weights, full: *full as usize }
        };
        // SAFETY (of what is marked so): the taps of a block that `both` returned end `loaded` after its first input, for half
        // a vector is loaded from either half's on; that input is at `most` at most; its weights are there by the
        // assertion, with the entry's bounds. Results, of which `BOTH` elements are written, lie within `dst`.
        let left = what.after_runs(BOTH, len);
        if left > made.start {
            for run in runs {
                let mut blocks = what.of_run(run, left);
                for (src, from) in src {
                    let found = what.stretch(run, &mut blocks, (src.len(), from), len - BOTH);
                    let Some(Stretch { at, n, to: begin, stride }) = found else { continue };
                    let first = to.first.wrapping_add(begin);
                    // SAFETY: above, for all blocks of the stretch.
                    unsafe {
                        sum_run(both(src, at, run.entry), (taps, step), To { first, half }, n, (advance, stride))
                    };
                }
            }
        }
        let mut begin = (left - made.start) * width;
        let mut blocks = &blocks[left..made.end];
        for (src, from) in src {
            let Some(most) = src.len().checked_sub(loaded) else { continue };
            while let [(base, entry), rest @ ..] = blocks {
                let at = base.saturating_sub(from);
                if at > most {
                    break;
                }
                let a = both(src, at, *entry);
                if let [(base, entry), rest @ ..] = rest
                    && base.saturating_sub(from) <= most
                    && begin + width + BOTH <= len
                {
                    let b = both(src, base.saturating_sub(from), *entry);
                    to.first = dst[begin..].as_mut_ptr().cast();
                    // SAFETY: above.
                    unsafe { sum_two(a, b, (taps, step), to, width) };
                    (blocks, begin) = (rest, begin + 2 * width);
                    continue;
                }
                let mut lanes = [0f32; BOTH];
                // SAFETY: above.
                unsafe { To { first: lanes.as_mut_ptr(), half }.put(0, a.sum(taps, step)) };
                for (to, from) in dst[begin.min(len - width)..].iter_mut().zip(&lanes[..width]) {
                    to.write(*from);
                }
                (blocks, begin) = (rest, begin + width);
            }
        }
    }

    /// [`Level::weigh`](super::super::Level::weigh) in vectors of 64 bytes.
    ///
    /// # Safety
    /// The level's instructions must exist, and `T` be `f32`, `f64` or an integer of 16 bits; `f32` for [`Pick::Halves`].
    #[inline(always)]
    pub unsafe fn weigh_512<T: Copy + Default>(
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
                _mm512_mullo_epi16,
                |w, v, sum| _mm512_add_epi16(_mm512_mullo_epi16(w, v), sum), // no tap: a weight of zero
                |a, i| _mm512_permutexvar_epi16(i, a),
                |a, i, b| _mm512_permutex2var_epi16(a, i, b),
                |i, by| _mm512_add_epi16(i, _mm512_set1_epi16(by as i16))
            );
        } else if what.pick == Pick::Halves {
            // SAFETY: as the caller promises: AVX2 and FMA are below this level.
            unsafe { weigh_halves_of(what, src, dst) };
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
                |w, v| {
                    let has = _mm512_cmpneq_epi32_mask(_mm512_castps_si512(w), _mm512_set1_epi32(NO_TAP_32));
                    _mm512_maskz_mul_ps(has, w, v)
                },
                |w, v, sum| {
                    let has = _mm512_cmpneq_epi32_mask(_mm512_castps_si512(w), _mm512_set1_epi32(NO_TAP_32));
                    _mm512_mask3_fmadd_ps(w, v, sum, has)
                },
                |a, i| _mm512_permutexvar_ps(i, a),
                |a, i, b| _mm512_permutex2var_ps(a, i, b),
                |i, by| _mm512_add_epi32(i, _mm512_set1_epi32(by as i32))
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
                |w, v| {
                    let has = _mm512_cmpneq_epi64_mask(_mm512_castpd_si512(w), _mm512_set1_epi64(NO_TAP_64));
                    _mm512_maskz_mul_pd(has, w, v)
                },
                |w, v, sum| {
                    let has = _mm512_cmpneq_epi64_mask(_mm512_castpd_si512(w), _mm512_set1_epi64(NO_TAP_64));
                    _mm512_mask3_fmadd_pd(w, v, sum, has)
                },
                |a, i| _mm512_permutexvar_pd(i, a),
                |a, i, b| _mm512_permutex2var_pd(a, i, b),
                |i, by| _mm512_add_epi64(i, _mm512_set1_epi64(by as i64))
            );
        }
    }
}
