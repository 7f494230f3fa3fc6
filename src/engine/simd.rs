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

use crate::element::{Laned, Summed, Vector};

mod shuffle;
mod weave;
mod weigh;

pub use shuffle::{SHUFFLED, Shuffle, copy_few};
pub use weigh::{MOST_LANES, Pick, Run, Weighing};

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

/// What [`Level::weigh`] is for some elements.
#[derive(Debug, Clone, Copy)]
pub struct Vectors {
    /// Lanes of a vector, 0 where there is none.
    pub lanes: usize,
    /// Whether a vector's first lanes can be written without the others, quickly.
    pub masks: bool,
    /// Lanes of a vector of [`Pick::Halves`], 0 where there is none.
    pub halves: usize,
}

/// What a kernel may ask of the level it is compiled for.
pub trait Level: Copy {
    /// Whether a fused multiply-add is one instruction.
    const FMA: bool;
    /// A register of `T`s.
    type Register<T: Laned>: Vector<T>;
    /// Rows and registers in a row of the tile of sums that fills the registers best: with sixteen, 6 x 2 leaves two for
    /// the row of factors and one for the other factor; with thirty-two 8 x 3.
    const TILE: (usize, usize) = (6, 2);
    /// Registers in a row of a tile of few rows.
    const WIDE_TILE: usize = 4;

    /// What [`Level::weigh`] is for elements of so many bytes.
    #[must_use]
    #[inline(always)]
    fn vectors(bytes: usize) -> Vectors {
        let _ = bytes;
        Vectors { lanes: 0, masks: false, halves: 0 }
    }

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

    /// `to[i]` becomes `a*src[i] + b*src[i + 1]`, the product by `a` rounded. There must be an input more than results.
    ///
    /// (Left to the compiler, such a loop, unrolled, is taken to pieces of two to eight lanes if what follows weaves the results.)
    #[inline(always)]
    fn two_taps<T: Summed>(self, [a, b]: [T; 2], src: &[Cell<T>], to: &mut [T]) {
        two_taps_singly::<T, Self>([a, b], src, to);
    }

    /// `dst[P*i + j] = weights[j][0] * src[i + later] + weights[j][1] * src[i + later + 1]`, `later` being 0 for the first half of an
    /// even number of phases and 1 for the second; the last result's inputs must be there. Returns whether it did: not where there
    /// are no vectors of such elements, or too few of them. (Each vector of inputs is loaded once: most lie across two lines of the
    /// cache.)
    #[inline(always)]
    fn around<T: Summed, const P: usize>(
        self,
        weights: &[[T; 2]; P],
        src: &[Cell<T>],
        dst: &mut [MaybeUninit<T>],
    ) -> bool {
        let _ = (weights, src, dst);
        false
    }

    /// `dst[i]` the sum of `weights[j] * rows[j][i]`, past the caches, as [`Level::stream`]. Returns whether it did: not where there
    /// are no vectors of such elements, or `dst` is no whole number of lines. The slices must agree in length.
    #[inline(always)]
    fn stream_sum<T: Summed, const N: usize>(
        self,
        weights: &[T; N],
        rows: &[&[T]; N],
        dst: &mut [MaybeUninit<T>],
    ) -> bool {
        let _ = (weights, rows, dst);
        false
    }

    /// Whether loops for special cases are not worth compiling.
    const LEAN: bool = false;

    /// Runs a job at this level, as a function of its own: a few nanoseconds, for what is wanted in several places, or is long.
    /// (The compiler's time grows faster than a function's length.)
    fn call<J: Job>(self, job: J) -> J::Output;

    /// `dst[2*i] = a[i]`, `dst[2*i + 1] = b[i]`; `None` stands for zeros. The slices must agree in length.
    ///
    /// (Left to the compiler, these loops stay scalar more often than not: it must allow for `dst` overlapping a row
    /// seen through `Cell`.)
    fn zip<T: Copy + Default>(self, a: Option<&[Cell<T>]>, b: Option<&[Cell<T>]>, dst: &mut [MaybeUninit<T>]);

    /// Copies a row of any length, without a call. The slices must agree in length.
    #[inline(always)]
    fn copy<T: Laned>(self, from: &[Cell<T>], to: &mut [MaybeUninit<T>]) {
        let n = to.len().min(from.len());
        let (from, to) = (from.as_ptr().cast::<T>(), to.as_mut_ptr().cast::<T>());
        let (wide, mid, narrow) = (Self::Register::<T>::LANES, T::Bytes32::LANES, T::Bytes16::LANES);
        // SAFETY: all loads and stores are of elements below `n`, of which both slices have so many.
        unsafe {
            if n >= wide {
                let mut i = 0;
                while i < n - wide {
                    Self::Register::<T>::load(from.add(i)).store(to.add(i));
                    i += wide;
                }
                Self::Register::<T>::load(from.add(n - wide)).store(to.add(n - wide));
            } else if n >= mid {
                T::Bytes32::load(from).store(to);
                T::Bytes32::load(from.add(n - mid)).store(to.add(n - mid));
            } else if n >= narrow {
                T::Bytes16::load(from).store(to);
                T::Bytes16::load(from.add(n - narrow)).store(to.add(n - narrow));
            } else {
                for i in 0..n {
                    to.add(i).write(from.add(i).read());
                }
            }
        }
    }

    /// `woven[R*i + j] = rows[j][i]`. The rows must hold an `R`th of what is woven.
    #[inline(always)]
    fn weave<T: Copy, const R: usize>(self, rows: &[&[Cell<T>]; R], woven: &mut [MaybeUninit<T>]) {
        weave::weave_singly(rows, woven);
    }

    /// `rows[j][i] = woven[R*i + j]`.
    #[inline(always)]
    fn unweave<T: Copy, const R: usize>(self, woven: &[Cell<T>], rows: &mut [&mut [MaybeUninit<T>]; R]) {
        weave::unweave_singly(woven, rows);
    }

    /// Whether there is more to [`Level::turn_8x8`] than to moving elements of 4 or 8 bytes one by one.
    const TURNS: bool = false;

    /// Element `j`, of `N` bytes, of `from[i]` becomes element `i` of `to[j]`.
    ///
    /// # Safety
    /// Eight elements must be readable at each of `from` and writeable at each of `to`, all of which are apart. Nothing is
    /// aligned.
    #[inline(always)]
    unsafe fn turn_8x8<const N: usize>(self, from: [*const u8; 8], to: [*mut u8; 8]) {
        for (j, to) in to.into_iter().enumerate() {
            for (i, from) in from.into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { std::ptr::copy_nonoverlapping(from.add(N * j), to.add(N * i), N) };
            }
        }
    }

    /// Bytes of `dst`, [`SHUFFLED`] for each shuffle, out of those of `src`, which begins `from` bytes into the row that the
    /// shuffles know. (The slices are of the elements that the bytes make up.)
    #[inline(always)]
    fn shuffle<T: Copy>(self, shuffles: &[Shuffle], (src, from): (&[Cell<T>], usize), dst: &mut [MaybeUninit<T>]) {
        shuffle::singly(shuffles, (src, from), dst);
    }

    /// `to[i]` becomes what lies `offsets[i]` elements from `origin`. The slices must agree in length.
    ///
    /// # Safety
    /// An element must be readable at each offset.
    #[inline(always)]
    unsafe fn gather<T: Copy>(self, origin: *const T, offsets: &[isize], to: &mut [MaybeUninit<T>]) {
        // SAFETY: as the caller promises.
        unsafe { gather_singly(origin, offsets, to) };
    }

    /// As [`Level::gather`], with what lies behind each: `to[i]` and `behind[i]`. The slices must agree in length.
    ///
    /// # Safety
    /// Two elements must be readable at each offset.
    #[inline(always)]
    unsafe fn gather_pairs<T: Copy>(
        self,
        origin: *const T,
        offsets: &[isize],
        to: &mut [MaybeUninit<T>],
        behind: &mut [MaybeUninit<T>],
    ) {
        // SAFETY: as the caller promises.
        unsafe { gather_pairs_singly(origin, offsets, to, behind) };
    }

    /// Copies past the caches where the level can. The slices must agree in length. [`fence`] must follow before another
    /// thread may read what was written.
    #[inline(always)]
    fn stream<T: Copy>(self, from: &[T], to: &mut [MaybeUninit<T>]) {
        to.iter_mut().zip(from).for_each(|(to, from)| _ = to.write(*from));
    }
}

/// Said in a loop over vectors: they stay whole. (A loop over arrays of lanes looks to the compiler like one over their elements;
/// with AVX-512 it made vectors of the first elements of sixteen such arrays, of the second and so on, gathered and scattered,
/// and Winograd's sources and outputs took four times as long.) It costs nothing: there is no instruction, but what the compiler
/// does not look into is not taken apart.
#[inline(always)]
pub fn whole_vectors() {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    // SAFETY: nothing is done.
    unsafe {
        std::arch::asm!("", options(nomem, nostack, preserves_flags));
    }
}

/// Bytes of the longest rows worth asking for: beyond them the processor has found the way by itself.
const LONGEST_ASKED: usize = 4096;

/// Asks for a row, which will be wanted soon, line by line.
#[inline(always)]
pub fn prefetch<T>(row: &[Cell<T>]) {
    prefetch_at(row.as_ptr(), row.len());
}

/// [`prefetch`] of any address: it need not be one that may be read.
#[inline(always)]
pub fn prefetch_at<T>(first: *const T, n: usize) {
    let bytes = n.saturating_mul(size_of::<T>());
    if bytes > LONGEST_ASKED {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    {
        // (Not `step_by`, here as elsewhere: the compiler divides for it.)
        let mut line = 0;
        while line < bytes {
            // SAFETY: SSE is part of every x86-64; a prefetch of any address is harmless.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(first.cast::<i8>().wrapping_add(line));
            }
            line += 64;
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
    // Every x86-64 that is still in use has AVX2.
    const LEAN: bool = cfg!(target_arch = "x86_64");
    type Register<T: Laned> = T::Bytes16;

    #[inline(always)]
    fn call<J: Job>(self, job: J) -> J::Output {
        job.baseline()
    }

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

/// [`Level::two_taps`], one by one.
#[inline(always)]
fn two_taps_singly<T: Summed, L: Level>([a, b]: [T; 2], src: &[Cell<T>], to: &mut [T]) {
    let (first, second) = (&src[..to.len()], &src[1..][..to.len()]);
    for ((to, v), w) in to.iter_mut().zip(first).zip(second) {
        let (v, w) = (T::mul(a, v.get()), w.get());
        *to = if L::FMA { T::mul_add::<true>(b, w, v) } else { T::mul_add::<false>(b, w, v) };
    }
}

/// [`Level::gather`], one by one.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn gather_singly<T: Copy>(origin: *const T, offsets: &[isize], to: &mut [MaybeUninit<T>]) {
    for (to, &offset) in to.iter_mut().zip(offsets) {
        // SAFETY: as the caller promises.
        to.write(unsafe { origin.offset(offset).read() });
    }
}

/// [`Level::gather_pairs`], one by one.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn gather_pairs_singly<T: Copy>(
    origin: *const T,
    offsets: &[isize],
    to: &mut [MaybeUninit<T>],
    behind: &mut [MaybeUninit<T>],
) {
    for ((to, behind), &offset) in to.iter_mut().zip(behind).zip(offsets) {
        // SAFETY: as the caller promises.
        let [first, second] = unsafe { [origin.offset(offset).read(), origin.offset(offset).add(1).read()] };
        to.write(first);
        behind.write(second);
    }
}

/// Levels that exist on x86-64 only. Their values are made by [`dispatch`] alone, which has found the features.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::shuffle::{Shuffle, x86 as shuffle};
    use super::weave::x86 as weave;
    use super::weigh::x86 as weigh;
    use super::{
        Cell, Compiled, Job, Laned, Level, MaybeUninit, Summed, Vectors, Weighing, gather_pairs_singly, gather_singly,
        two_taps_singly, zip_singly,
    };
    use std::any::TypeId;
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

    /// [`Level::two_taps`] of a type that is `$t`, if the results are whole vectors of them.
    macro_rules! two_taps {
        ($weights:ident, $src:ident, $to:ident, $t:ty, $lanes:expr, $splat:expr, $load:expr, $store:expr, $mul:expr, $fma:expr) => {
            let n = $to.len();
            if TypeId::of::<T>() == TypeId::of::<$t>() && n % $lanes == 0 {
                let src = &$src[..n + 1];
                // SAFETY: `T` is `$t`; vectors of inputs from `i` and `i + 1` on, `i + lanes <= n`, are among the `n + 1`; as
                // many results. The level's value proves the instructions exist.
                unsafe {
                    let [a, b] = $weights.map(|w| $splat(std::mem::transmute_copy::<T, $t>(&w)));
                    let (src, to) = (src.as_ptr().cast::<$t>(), $to.as_mut_ptr().cast::<$t>());
                    let mut i = 0;
                    while i < n {
                        $store(to.add(i), $fma(b, $load(src.add(i + 1)), $mul(a, $load(src.add(i)))));
                        i += $lanes;
                    }
                }
                return;
            }
        };
    }

    /// Own memory as a row to read.
    #[inline(always)]
    fn cells<T>(row: &mut [T]) -> &[Cell<T>] {
        Cell::from_mut(row).as_slice_of_cells()
    }

    /// [`Level::around`] of a type that is `$t`, in vectors of `$lanes`.
    macro_rules! around {
        ($self:ident, $weights:ident, $src:ident, $dst:ident, $t:ty, $lanes:expr, $splat:expr, $load:expr, $store:expr, $mul:expr,
         $fma:expr) => {
            let n = $dst.len() / P;
            if TypeId::of::<T>() == TypeId::of::<$t>() && matches!(P, 2 | 4 | 8) && n >= $lanes {
                let (src, dst) = ($src[..n + 2].as_ptr().cast::<$t>(), &mut $dst[..n * P]);
                // The second block begins a vector of the results, if one can, and the last one ends with them: blocks may overlap,
                // for they make the same again.
                let (bytes, vector) = (P * size_of::<$t>(), $lanes * size_of::<$t>());
                let first = dst.as_ptr().addr().wrapping_neg() % vector / bytes;
                let second = $lanes - ($lanes - first) % (vector / bytes).max(1);
                let (mut b, mut next) = (0, second);
                loop {
                    let mut phases = [[T::default(); $lanes]; P];
                    // SAFETY: `T` is `$t`; vectors of inputs from `b` to `b + 2` on, `b + lanes <= n`, are among the `n + 2`; each
                    // phase is one vector. The level's value proves the instructions exist.
                    unsafe {
                        let v = [$load(src.add(b)), $load(src.add(b + 1)), $load(src.add(b + 2))];
                        for (j, (to, weights)) in phases.iter_mut().zip($weights).enumerate() {
                            let x = $splat(std::mem::transmute_copy::<T, $t>(&weights[0]));
                            let y = $splat(std::mem::transmute_copy::<T, $t>(&weights[1]));
                            let (before, after) = if j < P / 2 { (v[0], v[1]) } else { (v[1], v[2]) };
                            $store(to.as_mut_ptr().cast(), $fma(y, after, $mul(x, before)));
                        }
                    }
                    // SAFETY: the results of a block that ends before `n`.
                    let made = unsafe {
                        std::slice::from_raw_parts_mut(dst.as_mut_ptr().add(b * P), $lanes * P)
                    };
                    match &mut phases[..] {
                        [a, b] => $self.zip(Some(cells(a)), Some(cells(b)), made),
                        _ => $self.weave(&phases.each_mut().map(|phase| cells(phase)), made),
                    }
                    if b + $lanes == n {
                        return true;
                    }
                    b = next.min(n - $lanes);
                    next += $lanes;
                }
            }
        };
    }

    /// [`Level::stream_sum`] of a type that is `$t`, in vectors of `$lanes`.
    macro_rules! stream_sum {
        ($weights:ident, $rows:ident, $dst:ident, $t:ty, $lanes:expr, $splat:expr, $load:expr, $stream:expr, $mul:expr, $fma:expr) => {
            let n = $dst.len();
            let lines = $dst.as_ptr().addr() % ($lanes * size_of::<$t>()) == 0 && n % $lanes == 0;
            if TypeId::of::<T>() == TypeId::of::<$t>() && lines && N > 0 {
                let mut rows = [std::ptr::null::<$t>(); N];
                for (to, row) in rows.iter_mut().zip($rows) {
                    *to = row[..n].as_ptr().cast();
                }
                let mut i = 0;
                while i < n {
                    // SAFETY: `T` is `$t`; `i + lanes <= n`, and so many elements are in each row and in `dst`, which is aligned to
                    // the vector. The level's value proves the instructions exist.
                    unsafe {
                        let w = $splat(std::mem::transmute_copy::<T, $t>(&$weights[0]));
                        let mut sum = $mul(w, $load(rows[0].add(i)));
                        for j in 1..N {
                            let w = $splat(std::mem::transmute_copy::<T, $t>(&$weights[j]));
                            sum = $fma(w, $load(rows[j].add(i)), sum);
                        }
                        $stream($dst.as_mut_ptr().add(i).cast(), sum);
                    }
                    i += $lanes;
                }
                return true;
            }
        };
    }

    impl Level for Avx2 {
        const FMA: bool = true;
        type Register<T: Laned> = T::Bytes32;

        #[inline(always)]
        fn vectors(bytes: usize) -> Vectors {
            let lanes = match bytes {
                2 => 8, // there is no instruction that picks them out of all of a larger vector
                4 => 8,
                8 => 4,
                _ => 0,
            };
            Vectors { lanes, masks: false, halves: if bytes == 4 { 8 } else { 0 } }
        }

        #[inline(always)]
        fn call<J: Job>(self, job: J) -> J::Output {
            // SAFETY: the level's value proves the instructions exist.
            unsafe { job.avx2() }
        }

        #[inline(always)]
        fn around<T: Summed, const P: usize>(
            self,
            weights: &[[T; 2]; P],
            src: &[Cell<T>],
            dst: &mut [MaybeUninit<T>],
        ) -> bool {
            around!(
                self,
                weights,
                src,
                dst,
                f32,
                8,
                _mm256_set1_ps,
                _mm256_loadu_ps,
                _mm256_storeu_ps,
                _mm256_mul_ps,
                _mm256_fmadd_ps
            );
            around!(
                self,
                weights,
                src,
                dst,
                f64,
                4,
                _mm256_set1_pd,
                _mm256_loadu_pd,
                _mm256_storeu_pd,
                _mm256_mul_pd,
                _mm256_fmadd_pd
            );
            false
        }

        #[inline(always)]
        fn stream_sum<T: Summed, const N: usize>(
            self,
            weights: &[T; N],
            rows: &[&[T]; N],
            dst: &mut [MaybeUninit<T>],
        ) -> bool {
            stream_sum!(
                weights,
                rows,
                dst,
                f32,
                8,
                _mm256_set1_ps,
                _mm256_loadu_ps,
                _mm256_stream_ps,
                _mm256_mul_ps,
                _mm256_fmadd_ps
            );
            stream_sum!(
                weights,
                rows,
                dst,
                f64,
                4,
                _mm256_set1_pd,
                _mm256_loadu_pd,
                _mm256_stream_pd,
                _mm256_mul_pd,
                _mm256_fmadd_pd
            );
            false
        }

        #[inline(always)]
        fn two_taps<T: Summed>(self, weights: [T; 2], src: &[Cell<T>], to: &mut [T]) {
            two_taps!(
                weights,
                src,
                to,
                f32,
                8,
                _mm256_set1_ps,
                _mm256_loadu_ps,
                _mm256_storeu_ps,
                _mm256_mul_ps,
                _mm256_fmadd_ps
            );
            two_taps!(
                weights,
                src,
                to,
                f64,
                4,
                _mm256_set1_pd,
                _mm256_loadu_pd,
                _mm256_storeu_pd,
                _mm256_mul_pd,
                _mm256_fmadd_pd
            );
            two_taps_singly::<T, Self>(weights, src, to);
        }

        #[inline(always)]
        fn weigh<T: Copy + Default>(
            self,
            what: &Weighing<'_, T>,
            src: [(&[Cell<T>], usize); 2],
            dst: &mut [MaybeUninit<T>],
        ) {
            // SAFETY: the level's value proves the instructions exist.
            unsafe { weigh::weigh_256(what, src, dst) }
        }

        #[inline(always)]
        fn weave<T: Copy, const R: usize>(self, rows: &[&[Cell<T>]; R], woven: &mut [MaybeUninit<T>]) {
            // SAFETY: the level's value proves the instructions exist.
            unsafe { weave::weave_256(rows, woven) }
        }

        const TURNS: bool = true;

        #[inline(always)]
        unsafe fn turn_8x8<const N: usize>(self, from: [*const u8; 8], to: [*mut u8; 8]) {
            // SAFETY: the caller's promise; the level's value proves the instructions exist.
            unsafe { if N == 8 { weave::turn_8x8_of_8(from, to) } else { weave::turn_8x8_of_4(from, to) } }
        }

        #[inline(always)]
        fn unweave<T: Copy, const R: usize>(self, woven: &[Cell<T>], rows: &mut [&mut [MaybeUninit<T>]; R]) {
            // SAFETY: as above.
            unsafe { weave::unweave_256(woven, rows) }
        }

        #[inline(always)]
        fn shuffle<T: Copy>(self, shuffles: &[Shuffle], src: (&[Cell<T>], usize), dst: &mut [MaybeUninit<T>]) {
            // SAFETY: the level's value proves the instructions exist.
            unsafe { shuffle::shuffle_128(shuffles, src, dst) }
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
        type Register<T: Laned> = T::Bytes64;
        const TILE: (usize, usize) = (8, 3);
        const WIDE_TILE: usize = 6;

        #[inline(always)]
        fn vectors(bytes: usize) -> Vectors {
            let lanes = if matches!(bytes, 2 | 4 | 8) { 64 / bytes } else { 0 };
            Vectors { lanes, masks: true, halves: if bytes == 4 { 8 } else { 0 } }
        }

        #[inline(always)]
        fn call<J: Job>(self, job: J) -> J::Output {
            // SAFETY: the level's value proves the instructions exist; those of the level below are among them.
            if J::WIDE { unsafe { job.avx512() } } else { unsafe { job.avx2() } }
        }

        #[inline(always)]
        fn around<T: Summed, const P: usize>(
            self,
            weights: &[[T; 2]; P],
            src: &[Cell<T>],
            dst: &mut [MaybeUninit<T>],
        ) -> bool {
            around!(
                self,
                weights,
                src,
                dst,
                f32,
                16,
                _mm512_set1_ps,
                _mm512_loadu_ps,
                _mm512_storeu_ps,
                _mm512_mul_ps,
                _mm512_fmadd_ps
            );
            around!(
                self,
                weights,
                src,
                dst,
                f64,
                8,
                _mm512_set1_pd,
                _mm512_loadu_pd,
                _mm512_storeu_pd,
                _mm512_mul_pd,
                _mm512_fmadd_pd
            );
            false
        }

        #[inline(always)]
        fn stream_sum<T: Summed, const N: usize>(
            self,
            weights: &[T; N],
            rows: &[&[T]; N],
            dst: &mut [MaybeUninit<T>],
        ) -> bool {
            stream_sum!(
                weights,
                rows,
                dst,
                f32,
                16,
                _mm512_set1_ps,
                _mm512_loadu_ps,
                _mm512_stream_ps,
                _mm512_mul_ps,
                _mm512_fmadd_ps
            );
            stream_sum!(
                weights,
                rows,
                dst,
                f64,
                8,
                _mm512_set1_pd,
                _mm512_loadu_pd,
                _mm512_stream_pd,
                _mm512_mul_pd,
                _mm512_fmadd_pd
            );
            false
        }

        #[inline(always)]
        fn two_taps<T: Summed>(self, weights: [T; 2], src: &[Cell<T>], to: &mut [T]) {
            two_taps!(
                weights,
                src,
                to,
                f32,
                16,
                _mm512_set1_ps,
                _mm512_loadu_ps,
                _mm512_storeu_ps,
                _mm512_mul_ps,
                _mm512_fmadd_ps
            );
            two_taps!(
                weights,
                src,
                to,
                f64,
                8,
                _mm512_set1_pd,
                _mm512_loadu_pd,
                _mm512_storeu_pd,
                _mm512_mul_pd,
                _mm512_fmadd_pd
            );
            two_taps_singly::<T, Self>(weights, src, to);
        }

        #[inline(always)]
        fn weigh<T: Copy + Default>(
            self,
            what: &Weighing<'_, T>,
            src: [(&[Cell<T>], usize); 2],
            dst: &mut [MaybeUninit<T>],
        ) {
            // SAFETY: the level's value proves the instructions exist.
            unsafe { weigh::weigh_512(what, src, dst) }
        }

        #[inline(always)]
        fn weave<T: Copy, const R: usize>(self, rows: &[&[Cell<T>]; R], woven: &mut [MaybeUninit<T>]) {
            // Short rows fill half a register.
            if woven.len() / R * size_of::<T>() < 64 {
                // SAFETY: the level's value proves the instructions exist.
                return unsafe { weave::weave_256(rows, woven) };
            }
            // SAFETY: as above.
            unsafe { weave::weave_512(rows, woven) }
        }

        const TURNS: bool = true;

        #[inline(always)]
        unsafe fn turn_8x8<const N: usize>(self, from: [*const u8; 8], to: [*mut u8; 8]) {
            // SAFETY: the caller's promise; the level's value proves the instructions exist.
            unsafe { if N == 8 { weave::turn_8x8_of_8(from, to) } else { weave::turn_8x8_of_4(from, to) } }
        }

        #[inline(always)]
        fn unweave<T: Copy, const R: usize>(self, woven: &[Cell<T>], rows: &mut [&mut [MaybeUninit<T>]; R]) {
            if woven.len() / R * size_of::<T>() < 64 {
                // SAFETY: as above.
                return unsafe { weave::unweave_256(woven, rows) };
            }
            // SAFETY: as above.
            unsafe { weave::unweave_512(woven, rows) }
        }

        #[inline(always)]
        fn shuffle<T: Copy>(self, shuffles: &[Shuffle], src: (&[Cell<T>], usize), dst: &mut [MaybeUninit<T>]) {
            // SAFETY: the level's value proves the instructions exist.
            unsafe { shuffle::shuffle_128(shuffles, src, dst) }
        }

        #[inline(always)]
        unsafe fn gather<T: Copy>(self, origin: *const T, offsets: &[isize], to: &mut [MaybeUninit<T>]) {
            let len = to.len().min(offsets.len());
            let mut i = 0;
            while matches!(size_of::<T>(), 4 | 8) && i + 8 <= len {
                // SAFETY: eight offsets and places from `i` on; the caller promises the elements. The bits moved are
                // whole `T`s; the level's value proves the instructions exist.
                unsafe {
                    let at = _mm512_loadu_si512(offsets.as_ptr().add(i).cast());
                    let to = to.as_mut_ptr().add(i);
                    if size_of::<T>() == 4 {
                        _mm256_storeu_si256(to.cast(), _mm512_i64gather_epi32::<4>(at, origin.cast()));
                    } else {
                        _mm512_storeu_si512(to.cast(), _mm512_i64gather_epi64::<8>(at, origin.cast()));
                    }
                }
                i += 8;
            }
            // SAFETY: as the caller promises.
            unsafe { gather_singly(origin, &offsets[i..], &mut to[i..]) };
        }

        #[inline(always)]
        unsafe fn gather_pairs<T: Copy>(
            self,
            origin: *const T,
            offsets: &[isize],
            to: &mut [MaybeUninit<T>],
            behind: &mut [MaybeUninit<T>],
        ) {
            if size_of::<T>() != 4 {
                // SAFETY: as the caller promises.
                unsafe {
                    self.gather(origin, offsets, to);
                    return self.gather(origin.wrapping_add(1), offsets, behind);
                }
            }
            let len = to.len().min(behind.len()).min(offsets.len());
            let mut i = 0;
            while i + 8 <= len {
                // SAFETY: eight offsets and places from `i` on; the caller promises two elements at each. The bits moved are
                // whole `T`s; the level's value proves the instructions exist.
                unsafe {
                    let at = _mm512_loadu_si512(offsets.as_ptr().add(i).cast());
                    let both = _mm512_i64gather_epi64::<4>(at, origin.cast());
                    let (first, second) = (_mm512_cvtepi64_epi32(both), _mm512_srli_epi64::<32>(both));
                    _mm256_storeu_si256(to.as_mut_ptr().add(i).cast(), first);
                    _mm256_storeu_si256(behind.as_mut_ptr().add(i).cast(), _mm512_cvtepi64_epi32(second));
                }
                i += 8;
            }
            // SAFETY: as the caller promises.
            unsafe { gather_pairs_singly(origin, &offsets[i..], &mut to[i..], &mut behind[i..]) };
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
    /// Whether it is worth compiling for the widest vectors; if not, it runs one level lower where those are.
    const WIDE: bool = true;
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

/// What [`Level::weigh`] is for these elements at the current level.
#[must_use]
pub fn weighing<T>() -> Vectors {
    match current() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => x86::Avx2::vectors(size_of::<T>()),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => x86::Avx512::vectors(size_of::<T>()),
        _ => Baseline::vectors(size_of::<T>()),
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
    run_at(current(), job)
}

/// Runs the job at this level, or the highest there is: for jobs that must agree on their level.
#[inline(always)]
pub fn dispatch_at<J: Job>(isa: Isa, job: J) -> J::Output {
    run_at(isa.min(detected()), job)
}

/// The level must not exceed the detected one.
#[inline(always)]
fn run_at<J: Job>(isa: Isa, job: J) -> J::Output {
    #[cfg(target_arch = "x86_64")]
    match isa {
        // SAFETY: the level is at most the detected one, for which every feature that `avx512` enables was found.
        Isa::Avx512 if J::WIDE => return unsafe { job.avx512() },
        // SAFETY: as above, for `avx2`, whose features are among those of `avx512`.
        Isa::Avx512 | Isa::Avx2 => return unsafe { job.avx2() },
        Isa::Scalar => {}
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    job.baseline()
}

/// A job compiled for each level. (Never inlined: a job's callers are many, one for each stored type; as part of each of them
/// the jobs took up a third of the library. And methods of the job, for the compiler divides its work by the modules of what
/// methods belong to: as functions of this file, all jobs were one piece of work, which took nine minutes.)
trait Compiled: Job + Sized {
    #[inline(never)]
    fn baseline(self) -> Self::Output {
        self.run(Baseline)
    }

    /// # Safety
    /// The features must be there.
    #[cfg(target_arch = "x86_64")]
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn avx512(self) -> Self::Output {
        self.run(x86::Avx512(()))
    }

    /// # Safety
    /// The features must be there.
    #[cfg(target_arch = "x86_64")]
    #[inline(never)]
    #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn avx2(self) -> Self::Output {
        self.run(x86::Avx2(()))
    }
}

impl<J: Job> Compiled for J {}
