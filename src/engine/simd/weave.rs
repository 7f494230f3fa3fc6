//! Rows woven into one, and one row taken apart: `woven[R*i + j] = rows[j][i]`.
//!
//! Two rows of vectors are woven by unpacking; four and eight by doing that again and again (a perfect shuffle of
//! `2^k` rows is `k` of two); three by shuffling bytes within sixteen of them, whatever the elements' size. Taking apart
//! is the same backwards. Elements have 1, 2, 4 or 8 bytes, and there are 2, 3, 4 or 8 rows; others go one by one.

use std::cell::Cell;
use std::mem::MaybeUninit;

/// [`Level::weave`](super::Level::weave), one by one.
#[inline(always)]
pub(super) fn weave_singly<T: Copy, const R: usize>(rows: &[&[Cell<T>]; R], woven: &mut [MaybeUninit<T>]) {
    let n = woven.len() / R;
    let mut from = *rows;
    from.iter_mut().for_each(|row| *row = &row[..n]);
    for (i, group) in woven.chunks_exact_mut(R).enumerate() {
        for j in 0..R {
            group[j].write(from[j][i].get());
        }
    }
}

/// [`Level::unweave`](super::Level::unweave), one by one.
#[inline(always)]
pub(super) fn unweave_singly<T: Copy, const R: usize>(woven: &[Cell<T>], rows: &mut [&mut [MaybeUninit<T>]; R]) {
    let n = woven.len() / R;
    for (j, row) in rows.iter_mut().enumerate() {
        for (to, group) in row[..n].iter_mut().zip(woven.chunks_exact(R)) {
            to.write(group[j].get());
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Cell, MaybeUninit, unweave_singly, weave_singly};
    use std::arch::x86_64::*;

    /// Sixteen places, each the number of a byte or, with the top bit set, zero.
    type Bytes = [u8; 16];

    /// A byte shuffle's way to say zero.
    const NOTHING: u8 = 0x80;

    /// For byte shuffles of vectors of two elements or more of `size` bytes: the even ones, then the odd ones.
    const fn evens_then_odds(size: usize) -> Bytes {
        let mut bytes = [0; 16];
        let mut at = 0;
        while at < 16 {
            let (half, place) = (at / 8, at % 8);
            bytes[at] = ((2 * (place / size) + half) * size + place % size) as u8;
            at += 1;
        }
        bytes
    }

    /// For elements of `size` bytes, `[chunk][row]`: where in sixteen bytes of a row the bytes of each sixteen of three
    /// woven rows come from.
    const fn weaving(size: usize) -> [[Bytes; 3]; 3] {
        let mut masks = [[[NOTHING; 16]; 3]; 3];
        let mut at = 0;
        while at < 48 {
            let element = at / size;
            masks[at / 16][element % 3][at % 16] = (element / 3 * size + at % size) as u8;
            at += 1;
        }
        masks
    }

    /// `[row][chunk]`: where in each sixteen bytes of three woven rows the sixteen bytes of a row come from.
    const fn unweaving(size: usize) -> [[Bytes; 3]; 3] {
        let mut masks = [[[NOTHING; 16]; 3]; 3];
        let mut row = 0;
        while row < 3 {
            let mut at = 0;
            while at < 16 {
                let from = (3 * (at / size) + row) * size + at % size;
                masks[row][from / 16][at] = (from % 16) as u8;
                at += 1;
            }
            row += 1;
        }
        masks
    }

    /// A table for each size of elements: 1, 2, 4 and 8 bytes.
    macro_rules! by_size {
        ($table:ident) => {
            [$table(1), $table(2), $table(4), $table(8)]
        };
    }
    static EVENS_THEN_ODDS: [Bytes; 4] = by_size!(evens_then_odds);
    static WEAVING: [[[Bytes; 3]; 3]; 4] = by_size!(weaving);
    static UNWEAVING: [[[Bytes; 3]; 3]; 4] = by_size!(unweaving);

    /// Whether vectors of `width` bytes of `n` elements `T` for each of `R` rows can be woven.
    #[inline(always)]
    fn fits<T, const R: usize>(n: usize, width: usize) -> bool {
        matches!(size_of::<T>(), 1 | 2 | 4 | 8) && matches!(R, 2 | 3 | 4 | 8) && n >= width / size_of::<T>()
    }

    /// Which table is that of elements of `size` bytes.
    #[inline(always)]
    fn table(size: usize) -> usize {
        size.trailing_zeros() as usize % 4
    }

    /// `$first` is the first of `lanes` elements to weave of each row; the last vectors may overlap those before: what
    /// they hold twice they hold alike.
    macro_rules! in_steps {
        ($n:expr, $lanes:expr, $first:ident => $body:expr) => {{
            let (n, lanes) = ($n, $lanes);
            let (mut next, last) = (0, n - lanes);
            while next < n {
                let $first = next.min(last);
                $body;
                next += lanes;
            }
        }};
    }

    /// Weaves `2^k` rows of vectors of `$width` bytes by weaving two.
    macro_rules! weave_powers {
        ($rows:ident, $woven:ident, $width:expr, $zero:expr, $load:expr, $store:expr, $zip:expr) => {{
            let (lanes, n) = ($width / size_of::<T>(), $woven.len() / R);
            let mut from = [std::ptr::null::<Cell<T>>(); R];
            for j in 0..R {
                from[j] = $rows[j][..n].as_ptr(); // checked once: every vector below lies within these
            }
            let to = $woven.as_mut_ptr();
            // SAFETY: `first + lanes <= n` elements of every row, `R` times as many of `woven`; unaligned accesses; the
            // level's value proves the instructions exist. The bits moved are whole `T`s.
            in_steps!(n, lanes, first => unsafe {
                let mut v = [$zero; R];
                for j in 0..R {
                    v[j] = $load(from[j].add(first).cast());
                }
                let mut rest = R;
                while rest > 1 {
                    let w = v;
                    for j in 0..R / 2 {
                        (v[2 * j], v[2 * j + 1]) = $zip(w[j], w[j + R / 2], size_of::<T>());
                    }
                    rest /= 2;
                }
                for j in 0..R {
                    $store(to.add(R * first + j * lanes).cast(), v[j]);
                }
            });
        }};
    }

    /// As `weave_powers`, backwards.
    macro_rules! unweave_powers {
        ($woven:ident, $rows:ident, $width:expr, $zero:expr, $load:expr, $store:expr, $unzip:expr) => {{
            let (lanes, n) = ($width / size_of::<T>(), $woven.len() / R);
            let mut to = [std::ptr::null_mut::<MaybeUninit<T>>(); R];
            for j in 0..R {
                to[j] = $rows[j][..n].as_mut_ptr();
            }
            let from = $woven.as_ptr();
            // SAFETY: as in `weave_powers`.
            in_steps!(n, lanes, first => unsafe {
                let mut v = [$zero; R];
                for j in 0..R {
                    v[j] = $load(from.add(R * first + j * lanes).cast());
                }
                let mut rest = R;
                while rest > 1 {
                    let w = v;
                    for j in 0..R / 2 {
                        (v[j], v[j + R / 2]) = $unzip(w[2 * j], w[2 * j + 1], size_of::<T>());
                    }
                    rest /= 2;
                }
                for j in 0..R {
                    $store(to[j].add(first).cast(), v[j]);
                }
            });
        }};
    }

    /// Two vectors woven into two.
    #[inline(always)]
    unsafe fn zip_256(a: __m256i, b: __m256i, size: usize) -> (__m256i, __m256i) {
        // SAFETY: the caller has AVX2.
        unsafe {
            let (low, high) = match size {
                1 => (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)),
                2 => (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)),
                4 => (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)),
                _ => (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)),
            };
            // Unpacking works within halves; put the halves in order.
            (_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high))
        }
    }

    /// As [`zip_256`].
    #[inline(always)]
    unsafe fn zip_512(a: __m512i, b: __m512i, size: usize) -> (__m512i, __m512i) {
        // SAFETY: the caller has AVX-512 F and BW.
        unsafe {
            let (low, high) = match size {
                1 => (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)),
                2 => (_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)),
                4 => (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)),
                _ => (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)),
            };
            let first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
            let second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
            (_mm512_permutex2var_epi64(low, first, high), _mm512_permutex2var_epi64(low, second, high))
        }
    }

    /// The even elements of two vectors, and the odd ones.
    #[inline(always)]
    unsafe fn unzip_256(low: __m256i, high: __m256i, size: usize) -> (__m256i, __m256i) {
        // SAFETY: the caller has AVX2; the table has sixteen bytes.
        unsafe {
            let (mut low, mut high) = (low, high);
            if size < 8 {
                let apart = _mm256_broadcastsi128_si256(_mm_loadu_si128(EVENS_THEN_ODDS[table(size)].as_ptr().cast()));
                (low, high) = (_mm256_shuffle_epi8(low, apart), _mm256_shuffle_epi8(high, apart));
            }
            let (even, odd) = (_mm256_unpacklo_epi64(low, high), _mm256_unpackhi_epi64(low, high));
            (_mm256_permute4x64_epi64::<0xd8>(even), _mm256_permute4x64_epi64::<0xd8>(odd))
        }
    }

    /// As [`unzip_256`].
    #[inline(always)]
    unsafe fn unzip_512(low: __m512i, high: __m512i, size: usize) -> (__m512i, __m512i) {
        // SAFETY: the caller has AVX-512 F and BW; the table has sixteen bytes.
        unsafe {
            let (mut low, mut high) = (low, high);
            if size < 8 {
                let apart = _mm512_broadcast_i32x4(_mm_loadu_si128(EVENS_THEN_ODDS[table(size)].as_ptr().cast()));
                (low, high) = (_mm512_shuffle_epi8(low, apart), _mm512_shuffle_epi8(high, apart));
            }
            let (even, odd) = (_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
            let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
            (_mm512_permutexvar_epi64(order, even), _mm512_permutexvar_epi64(order, odd))
        }
    }

    /// Two chunks of sixteen bytes from those of three rows (or of three rows from three chunks): what the masks name.
    #[inline(always)]
    unsafe fn picked(from: [__m256i; 3], low: &[Bytes; 3], high: &[Bytes; 3]) -> __m256i {
        // SAFETY: the caller has AVX2; a mask has sixteen bytes.
        unsafe {
            let mut all = _mm256_setzero_si256();
            for j in 0..3 {
                let (low, high) = (_mm_loadu_si128(low[j].as_ptr().cast()), _mm_loadu_si128(high[j].as_ptr().cast()));
                all = _mm256_or_si256(all, _mm256_shuffle_epi8(from[j], _mm256_set_m128i(high, low)));
            }
            all
        }
    }

    /// Weaves three rows, 32 bytes of each at once.
    #[inline(always)]
    unsafe fn weave_three<T: Copy, const R: usize>(rows: &[&[Cell<T>]; R], woven: &mut [MaybeUninit<T>]) {
        let (lanes, n, masks) = (32 / size_of::<T>(), woven.len() / R, &WEAVING[table(size_of::<T>())]);
        let from = [rows[0][..n].as_ptr(), rows[1 % R][..n].as_ptr(), rows[2 % R][..n].as_ptr()];
        let to = woven.as_mut_ptr();
        // SAFETY: the caller has AVX2, and `n` is at least `lanes`; else as in `weave_powers`.
        in_steps!(n, lanes, first => unsafe {
            let mut low = [_mm256_setzero_si256(); 3];
            let (mut both, mut high) = (low, low);
            for j in 0..3 {
                let at = from[j].add(first).cast::<__m128i>();
                low[j] = _mm256_broadcastsi128_si256(_mm_loadu_si128(at));
                both[j] = _mm256_loadu_si256(at.cast());
                high[j] = _mm256_broadcastsi128_si256(_mm_loadu_si128(at.add(1)));
            }
            let at = to.add(3 * first).cast::<__m256i>();
            _mm256_storeu_si256(at, picked(low, &masks[0], &masks[1]));
            _mm256_storeu_si256(at.add(1), picked(both, &masks[2], &masks[0]));
            _mm256_storeu_si256(at.add(2), picked(high, &masks[1], &masks[2]));
        });
    }

    /// Takes three rows apart, 32 bytes of each at once.
    #[inline(always)]
    unsafe fn unweave_three<T: Copy, const R: usize>(woven: &[Cell<T>], rows: &mut [&mut [MaybeUninit<T>]; R]) {
        let (lanes, n, masks) = (32 / size_of::<T>(), woven.len() / R, &UNWEAVING[table(size_of::<T>())]);
        let to = [rows[0][..n].as_mut_ptr(), rows[1 % R][..n].as_mut_ptr(), rows[2 % R][..n].as_mut_ptr()];
        let from = woven.as_ptr();
        // SAFETY: as in `weave_three`.
        in_steps!(n, lanes, first => unsafe {
            let at = from.add(3 * first).cast::<__m128i>();
            let mut chunks = [_mm256_setzero_si256(); 3];
            for (j, chunk) in chunks.iter_mut().enumerate() {
                *chunk = _mm256_set_m128i(_mm_loadu_si128(at.add(3 + j)), _mm_loadu_si128(at.add(j)));
            }
            for j in 0..3 {
                _mm256_storeu_si256(to[j].add(first).cast(), picked(chunks, &masks[j], &masks[j]));
            }
        });
    }

    /// Which lanes of two vectors, and then of what they gave and of a third, make a vector; those of the second begin at the
    /// number of lanes.
    #[repr(align(64))]
    struct Lanes<E>([[[E; 2]; 3]; 2]);

    /// For vectors of `N` lanes: three rows woven, and three taken apart.
    macro_rules! lanes_of_three {
        ($name:ident, $e:ty, $n:expr) => {
            static $name: Lanes<[$e; $n]> = Lanes({
                let mut all = [[[[0; $n]; 2]; 3]; 2];
                let mut at = 0;
                while at < 3 * $n {
                    let (v, lane) = (at / $n, at % $n);
                    // Woven, place `at` is that of element `at / 3` of row `at % 3`.
                    let (source, from) = (at % 3, at / 3);
                    all[0][v][0][lane] = (if source == 1 { $n + from } else { from }) as $e;
                    all[0][v][1][lane] = (if source == 2 { $n + from } else { lane }) as $e;
                    // Taken apart, element `lane` of row `v` comes from place `3*lane + v`.
                    let (source, from) = ((3 * lane + v) / $n, (3 * lane + v) % $n);
                    all[1][v][0][lane] = (if source == 1 { $n + from } else { from }) as $e;
                    all[1][v][1][lane] = (if source == 2 { $n + from } else { lane }) as $e;
                    at += 1;
                }
                all
            });
        };
    }
    lanes_of_three!(OF_32, u16, 32);
    lanes_of_three!(OF_16, u32, 16);
    lanes_of_three!(OF_8, u64, 8);

    /// Three rows woven (`which` 0), or taken apart (1), a vector of each: by elements of `size` bytes, two at least.
    #[inline(always)]
    unsafe fn three_512(v: [__m512i; 3], which: usize, size: usize) -> [__m512i; 3] {
        macro_rules! pick {
            ($table:ident, $permute:ident) => {{
                let mut made = v;
                for (made, [two, three]) in made.iter_mut().zip(&$table.0[which]) {
                    // SAFETY: the caller has AVX-512 F and BW; a row of the table has 64 bytes.
                    *made = unsafe {
                        let both = $permute(v[0], _mm512_loadu_si512(two.as_ptr().cast()), v[1]);
                        $permute(both, _mm512_loadu_si512(three.as_ptr().cast()), v[2])
                    };
                }
                made
            }};
        }
        match size {
            2 => pick!(OF_32, _mm512_permutex2var_epi16),
            4 => pick!(OF_16, _mm512_permutex2var_epi32),
            _ => pick!(OF_8, _mm512_permutex2var_epi64),
        }
    }

    /// As `weave_three`, 64 bytes of each row at once, of elements of two bytes or more.
    #[inline(always)]
    unsafe fn weave_three_512<T: Copy, const R: usize>(rows: &[&[Cell<T>]; R], woven: &mut [MaybeUninit<T>]) {
        let (lanes, n) = (64 / size_of::<T>(), woven.len() / R);
        let from = [rows[0][..n].as_ptr(), rows[1 % R][..n].as_ptr(), rows[2 % R][..n].as_ptr()];
        let to = woven.as_mut_ptr();
        // SAFETY: the caller has AVX-512 F and BW, and `n` is at least `lanes`; else as in `weave_powers`.
        in_steps!(n, lanes, first => unsafe {
            let mut v = [_mm512_setzero_si512(); 3];
            for (v, from) in v.iter_mut().zip(from) {
                *v = _mm512_loadu_si512(from.add(first).cast());
            }
            for (j, v) in three_512(v, 0, size_of::<T>()).into_iter().enumerate() {
                _mm512_storeu_si512(to.add(3 * first + j * lanes).cast(), v);
            }
        });
    }

    /// As `unweave_three`, likewise.
    #[inline(always)]
    unsafe fn unweave_three_512<T: Copy, const R: usize>(woven: &[Cell<T>], rows: &mut [&mut [MaybeUninit<T>]; R]) {
        let (lanes, n) = (64 / size_of::<T>(), woven.len() / R);
        let to = [rows[0][..n].as_mut_ptr(), rows[1 % R][..n].as_mut_ptr(), rows[2 % R][..n].as_mut_ptr()];
        let from = woven.as_ptr();
        // SAFETY: as in `weave_three_512`.
        in_steps!(n, lanes, first => unsafe {
            let mut v = [_mm512_setzero_si512(); 3];
            for (j, v) in v.iter_mut().enumerate() {
                *v = _mm512_loadu_si512(from.add(3 * first + j * lanes).cast());
            }
            for (to, v) in to.into_iter().zip(three_512(v, 1, size_of::<T>())) {
                _mm512_storeu_si512(to.add(first).cast(), v);
            }
        });
    }

    /// [`Level::turn_8x8`](super::super::Level::turn_8x8) of eight bytes: four rows and two columns at a time, as below.
    ///
    /// # Safety
    /// As there, with AVX2.
    #[inline(always)]
    pub unsafe fn turn_8x8_of_8(from: [*const u8; 8], to: [*mut u8; 8]) {
        for rows in 0..2 {
            for cols in 0..4 {
                // SAFETY: sixteen bytes of the sixty-four of each row, thirty-two of those of two turned ones.
                unsafe {
                    let mut pairs = [_mm256_setzero_si256(); 2];
                    for i in 0..2 {
                        let low = _mm_loadu_si128(from[4 * rows + i].add(16 * cols).cast());
                        let high = _mm_loadu_si128(from[4 * rows + i + 2].add(16 * cols).cast());
                        pairs[i] = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high);
                    }
                    let [a, b] = pairs;
                    _mm256_storeu_si256(to[2 * cols].add(32 * rows).cast(), _mm256_unpacklo_epi64(a, b));
                    _mm256_storeu_si256(to[2 * cols + 1].add(32 * rows).cast(), _mm256_unpackhi_epi64(a, b));
                }
            }
        }
    }

    /// [`Level::turn_8x8`](super::super::Level::turn_8x8) of four bytes: four columns at a time, of which rows `i` and
    /// `i + 4` are the halves of a vector from the beginning. (Loads bring halves together for nothing; what is left is eight
    /// shuffles.)
    ///
    /// # Safety
    /// As there, with AVX2.
    #[inline(always)]
    pub unsafe fn turn_8x8_of_4(from: [*const u8; 8], to: [*mut u8; 8]) {
        for half in 0..2 {
            // SAFETY: sixteen bytes of the thirty-two of each row, all of those of the turned ones.
            unsafe {
                let mut rows = [_mm256_setzero_si256(); 4];
                for i in 0..4 {
                    let low = _mm_loadu_si128(from[i].add(16 * half).cast());
                    let high = _mm_loadu_si128(from[i + 4].add(16 * half).cast());
                    rows[i] = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high);
                }
                let [a, b, c, d] = rows;
                let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
                _mm256_storeu_si256(to[4 * half].cast(), _mm256_unpacklo_epi64(ab, cd));
                _mm256_storeu_si256(to[4 * half + 1].cast(), _mm256_unpackhi_epi64(ab, cd));
                let (ab, cd) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
                _mm256_storeu_si256(to[4 * half + 2].cast(), _mm256_unpacklo_epi64(ab, cd));
                _mm256_storeu_si256(to[4 * half + 3].cast(), _mm256_unpackhi_epi64(ab, cd));
            }
        }
    }

    /// With AVX2.
    #[inline(always)]
    pub unsafe fn weave_256<T: Copy, const R: usize>(rows: &[&[Cell<T>]; R], woven: &mut [MaybeUninit<T>]) {
        if !fits::<T, R>(woven.len() / R, 32) {
            weave_singly(rows, woven);
        } else if R == 3 {
            // SAFETY: the caller has AVX2, and there are enough elements.
            unsafe { weave_three(rows, woven) };
        } else {
            weave_powers!(rows, woven, 32, _mm256_setzero_si256(), _mm256_loadu_si256, _mm256_storeu_si256, zip_256);
        }
    }

    /// With AVX2.
    #[inline(always)]
    pub unsafe fn unweave_256<T: Copy, const R: usize>(woven: &[Cell<T>], rows: &mut [&mut [MaybeUninit<T>]; R]) {
        if !fits::<T, R>(woven.len() / R, 32) {
            unweave_singly(woven, rows);
        } else if R == 3 {
            // SAFETY: the caller has AVX2, and there are enough elements.
            unsafe { unweave_three(woven, rows) };
        } else {
            unweave_powers!(
                woven,
                rows,
                32,
                _mm256_setzero_si256(),
                _mm256_loadu_si256,
                _mm256_storeu_si256,
                unzip_256
            );
        }
    }

    /// With AVX-512 F and BW, and AVX2.
    #[inline(always)]
    pub unsafe fn weave_512<T: Copy, const R: usize>(rows: &[&[Cell<T>]; R], woven: &mut [MaybeUninit<T>]) {
        let fits = fits::<T, R>(woven.len() / R, 64);
        if fits && R == 3 && size_of::<T>() > 1 {
            // SAFETY: the caller has the instructions, and there are enough elements.
            return unsafe { weave_three_512(rows, woven) };
        }
        if !fits || R == 3 {
            // SAFETY: the caller has AVX2.
            return unsafe { weave_256(rows, woven) };
        }
        weave_powers!(rows, woven, 64, _mm512_setzero_si512(), _mm512_loadu_si512, _mm512_storeu_si512, zip_512);
    }

    /// With AVX-512 F and BW, and AVX2.
    #[inline(always)]
    pub unsafe fn unweave_512<T: Copy, const R: usize>(woven: &[Cell<T>], rows: &mut [&mut [MaybeUninit<T>]; R]) {
        let fits = fits::<T, R>(woven.len() / R, 64);
        if fits && R == 3 && size_of::<T>() > 1 {
            // SAFETY: the caller has the instructions, and there are enough elements.
            return unsafe { unweave_three_512(woven, rows) };
        }
        if !fits || R == 3 {
            // SAFETY: the caller has AVX2.
            return unsafe { unweave_256(woven, rows) };
        }
        unweave_powers!(woven, rows, 64, _mm512_setzero_si512(), _mm512_loadu_si512, _mm512_storeu_si512, unzip_512);
    }
}
