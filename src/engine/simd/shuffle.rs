//! Bytes of a row put where they are wanted, sixteen at a time.
//!
//! Where a row is stretched, any sixteen neighbouring bytes of the result come from sixteen neighbouring bytes of the row: one
//! load, one byte shuffle and one store, whatever the size of the elements and the number of channels.

use std::cell::Cell;
use std::mem::MaybeUninit;

/// Bytes that one shuffle makes, and that it chooses from.
pub const SHUFFLED: usize = 16;

/// Where sixteen bytes come from.
#[derive(Debug, Clone, Copy)]
pub struct Shuffle {
    /// The first of the bytes to choose from, counted from the beginning of the row.
    pub base: usize,
    /// Which of them, below sixteen.
    pub chosen: [u8; SHUFFLED],
}

/// The bytes behind elements.
#[inline(always)]
fn bytes<T>(src: &[Cell<T>]) -> &[Cell<MaybeUninit<u8>>] {
    // SAFETY: as many bytes as the elements have, borrowed for as long; some may be padding.
    unsafe { std::slice::from_raw_parts(src.as_ptr().cast(), size_of_val(src)) }
}

#[inline(always)]
fn bytes_mut<T>(dst: &mut [MaybeUninit<T>]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: as above; whole elements are written in the end, each with the bytes of another.
    unsafe { std::slice::from_raw_parts_mut(dst.as_mut_ptr().cast(), size_of_val(dst)) }
}

/// One shuffle, byte by byte.
#[inline(always)]
fn one(s: &Shuffle, src: &[Cell<MaybeUninit<u8>>], from: usize, dst: &mut [MaybeUninit<u8>]) {
    for (to, chosen) in dst.iter_mut().zip(s.chosen) {
        *to = src[s.base - from + usize::from(chosen)].get();
    }
}

/// Copies a few elements, sixteen bytes at a time where there are so many: the last sixteen may overlap those before. (As a
/// loop over elements of a number known only here it stays one, and three times as slow.)
#[inline(always)]
pub fn copy_few<T: Copy>(from: &[Cell<T>], to: &mut [MaybeUninit<T>]) {
    let (src, dst) = (bytes(from), bytes_mut(to));
    let n = src.len().min(dst.len());
    if n < SHUFFLED {
        to.iter_mut().zip(from).for_each(|(to, from)| _ = to.write(from.get()));
        return;
    }
    for at in (0..n - SHUFFLED).step_by(SHUFFLED).chain([n - SHUFFLED]) {
        // SAFETY: sixteen bytes from `at` on, at most `n - SHUFFLED`, in both; `dst` is borrowed alone.
        unsafe { dst.as_mut_ptr().add(at).cast::<u8>().copy_from(src.as_ptr().add(at).cast(), SHUFFLED) };
    }
}

/// [`Level::shuffle`](super::Level::shuffle), byte by byte.
#[inline(always)]
pub(super) fn singly<T: Copy>(shuffles: &[Shuffle], (src, from): (&[Cell<T>], usize), dst: &mut [MaybeUninit<T>]) {
    for (s, dst) in shuffles.iter().zip(bytes_mut(dst).chunks_mut(SHUFFLED)) {
        one(s, bytes(src), from, dst);
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Cell, MaybeUninit, SHUFFLED, Shuffle, bytes, bytes_mut, one};
    use std::arch::x86_64::*;

    /// With AVX2 (of which SSSE3 is a part).
    #[inline(always)]
    pub unsafe fn shuffle_128<T: Copy>(
        shuffles: &[Shuffle],
        (src, from): (&[Cell<T>], usize),
        dst: &mut [MaybeUninit<T>],
    ) {
        let src = bytes(src);
        for (s, dst) in shuffles.iter().zip(bytes_mut(dst).chunks_mut(SHUFFLED)) {
            let at = s.base.wrapping_sub(from);
            if dst.len() < SHUFFLED || src.len() < SHUFFLED || at > src.len() - SHUFFLED {
                // The row's last bytes.
                one(s, src, from, dst);
                continue;
            }
            // SAFETY: sixteen bytes of `src` from `at` on, and of `dst`; unaligned accesses; the caller has the instructions.
            unsafe {
                let v = _mm_loadu_si128(src.as_ptr().add(at).cast());
                let chosen = _mm_loadu_si128(s.chosen.as_ptr().cast());
                _mm_storeu_si128(dst.as_mut_ptr().cast(), _mm_shuffle_epi8(v, chosen));
            }
        }
    }
}
