//! Moves: each output is one input or zero.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::reduce::Span;
use crate::engine::simd::{self, Isa, Job, Level, SHUFFLED, Shuffle};
use crate::error::Result;
use crate::geometry::taps::{Period, Picks, reserved};

/// Columns of a row after which bytes are a whole number of shuffles, and of lines of the cache, whatever the elements.
pub const SHUFFLED_COLUMNS: usize = 64;

/// Bytes of the longest rows that have shuffles: the table takes half as many again.
const MOST_SHUFFLED: usize = 1 << 20;

/// The bytes of a row of `inner` elements `T` for each column, sixteen after sixteen, each out of sixteen neighbouring bytes
/// of the input: as it is where a row is stretched. Nothing where it is not, where some outputs have no input, or where
/// each input is copied by itself.
///
/// (With a table of its own for each sixteen bytes: three tables in turn would do where channels are 3 and the ratio 2, but a
/// tile's share stays in L1.)
///
/// # Errors
/// If the table cannot be allocated.
pub fn shuffles<T>(picks: &Picks, inner: usize) -> Result<Option<Vec<Shuffle>>> {
    let (size, group) = (size_of::<T>(), size_of::<T>() * inner);
    // What the period's loops make as quickly.
    let zipped = inner == 1 && matches!(picks.period_hint(), (1 | 2, 1)) && matches!(size, 1 | 2 | 4 | 8);
    let fits = (1..=SHUFFLED).contains(&group) && picks.out_len() >= picks.in_len();
    let bytes = picks.out_len().saturating_mul(group);
    if simd::current() == Isa::Scalar || zipped || !fits || bytes > MOST_SHUFFLED {
        return Ok(None);
    }
    let mut all = reserved(bytes.div_ceil(SHUFFLED))?;
    for first in (0..bytes).step_by(SHUFFLED) {
        let n = SHUFFLED.min(bytes - first);
        let mut from = [0; SHUFFLED];
        for (i, from) in from[..n].iter_mut().enumerate() {
            let Some(source) = picks.at((first + i) / group) else { return Ok(None) };
            *from = source * group + (first + i) % group;
        }
        let base = from[..n].iter().min().copied().unwrap_or(0);
        let mut chosen = [0; SHUFFLED];
        for (chosen, from) in chosen.iter_mut().zip(&from[..n]) {
            match u8::try_from(from - base) {
                Ok(at) if usize::from(at) < SHUFFLED => *chosen = at,
                _ => return Ok(None),
            }
        }
        all.push(Shuffle { base, chosen });
    }
    Ok(Some(all))
}

/// A row expanded, thinned or spread.
pub struct Across<'a, T> {
    /// Sources.
    pub picks: &'a Picks,
    /// Where they repeat.
    pub period: Option<&'a Period>,
    /// The bytes of the row, if they are to be shuffled; columns begin with a multiple of [`SHUFFLED_COLUMNS`] then, and end with
    /// one or with the row.
    pub shuffles: Option<&'a [Shuffle]>,
    /// The row.
    pub span: Span<'a, T>,
    /// The result.
    pub dst: &'a mut [MaybeUninit<T>],
}

impl<T: Copy + Default> Job for Across<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let Span { src, from, cols, inner } = self.span;
        if let Some(shuffles) = self.shuffles {
            let group = size_of::<T>() * inner;
            return level.shuffle(&shuffles[cols.start * group / SHUFFLED..], (src, from * group), self.dst);
        }
        across(level, self.picks, self.period, src, from, cols, inner, self.dst);
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn across<T: Copy + Default, L: Level>(
    level: L,
    picks: &Picks,
    period: Option<&Period>,
    src: &[Cell<T>],
    from: usize,
    cols: &Range<usize>,
    inner: usize,
    dst: &mut [MaybeUninit<T>],
) {
    if inner != 1 {
        for (o, dst) in cols.clone().zip(dst.chunks_exact_mut(inner)) {
            match picks.at(o) {
                None => zero(dst),
                Some(i) => simd::copy_few(&src[(i - from) * inner..][..inner], dst),
            }
        }
        return;
    }
    let repeats = period.map_or(cols.end..cols.end, |p| p.within(cols));
    singly(picks, src, from, cols.start..repeats.start, &mut dst[..repeats.start - cols.start]);
    if let Some(p) = period.filter(|_| !repeats.is_empty()) {
        periodic(
            level,
            picks,
            p,
            src,
            from,
            repeats.start,
            &mut dst[repeats.start - cols.start..repeats.end - cols.start],
        );
    }
    singly(picks, src, from, repeats.end..cols.end, &mut dst[repeats.end - cols.start..]);
}

/// All zero.
#[inline(always)]
pub fn zero<T: Copy + Default>(dst: &mut [MaybeUninit<T>]) {
    dst.iter_mut().for_each(|d| _ = d.write(T::default()));
}

#[inline(always)]
fn singly<T: Copy + Default>(
    picks: &Picks,
    src: &[Cell<T>],
    from: usize,
    cols: Range<usize>,
    dst: &mut [MaybeUninit<T>],
) {
    for (o, d) in cols.zip(dst) {
        d.write(picks.at(o).map_or_else(T::default, |i| src[i - from].get()));
    }
}

/// Whole repetitions from output `o0` on.
#[inline(always)]
fn periodic<T: Copy + Default, L: Level>(
    level: L,
    picks: &Picks,
    p: &Period,
    src: &[Cell<T>],
    from: usize,
    o0: usize,
    dst: &mut [MaybeUninit<T>],
) {
    match (p.outs, p.ins) {
        _ if L::LEAN => singly(picks, src, from, o0..o0 + dst.len(), dst),
        (1, 1) => blocks::<T, L, 1, 1>(level, picks, src, from, o0, dst),
        (2, 1) => blocks::<T, L, 2, 1>(level, picks, src, from, o0, dst),
        (3, 1) => blocks::<T, L, 3, 1>(level, picks, src, from, o0, dst),
        (4, 1) => blocks::<T, L, 4, 1>(level, picks, src, from, o0, dst),
        (8, 1) => blocks::<T, L, 8, 1>(level, picks, src, from, o0, dst),
        (1, 2) => blocks::<T, L, 1, 2>(level, picks, src, from, o0, dst),
        (1, 3) => blocks::<T, L, 1, 3>(level, picks, src, from, o0, dst),
        (1, 4) => blocks::<T, L, 1, 4>(level, picks, src, from, o0, dst),
        _ => singly(picks, src, from, o0..o0 + dst.len(), dst),
    }
}

/// `P` outputs for every `Q` inputs. (Filling phases and interleaving them, as resampling does, is three times slower
/// here than the plain loops: there is no arithmetic to hide the shuffles behind.)
#[inline(always)]
fn blocks<T: Copy + Default, L: Level, const P: usize, const Q: usize>(
    level: L,
    picks: &Picks,
    src: &[Cell<T>],
    from: usize,
    o0: usize,
    dst: &mut [MaybeUninit<T>],
) {
    let n = dst.len() / P;
    let (mut sources, mut filled, mut last) = (0, 0, (0, 0));
    for j in 0..P {
        if let Some(i) = picks.at(o0 + j) {
            filled += 1;
            sources += usize::from(filled == 1 || i != last.1);
            last = (j, i);
        }
    }
    let (place, source) = last;
    if P == 1 && filled == 1 {
        let row = &src[source - from..][..(n - 1) * Q + 1];
        for (d, s) in dst.iter_mut().zip(row.chunks(Q)) {
            d.write(s[0].get());
        }
    } else if P == 2 && Q == 1 && sources == 1 {
        let row = Some(&src[source - from..][..n]);
        let even = row.filter(|_| filled == 2 || place == 0);
        level.zip(even, row.filter(|_| filled == 2 || place == 1), dst);
    } else if Q == 1 && filled == P && sources == 1 {
        for (d, v) in dst.chunks_exact_mut(P).zip(&src[source - from..][..n]) {
            let v = v.get(); // once: for all the compiler knows, the writes below may change it
            for d in d {
                d.write(v);
            }
        }
    } else if Q == 1 && filled == 1 {
        spread::<T, P>(&src[source - from..][..n], place, dst);
    } else {
        singly(picks, src, from, o0..o0 + dst.len(), dst);
    }
}

/// Every input at `place` of its `P` outputs, zeros between.
#[inline(always)]
fn spread<T: Copy + Default, const P: usize>(src: &[Cell<T>], place: usize, dst: &mut [MaybeUninit<T>]) {
    let (head, body) = dst.split_at_mut(place);
    zero(head);
    let mut groups = body.chunks_exact_mut(P);
    for (d, v) in groups.by_ref().zip(src) {
        d[0].write(v.get());
        for d in &mut d[1..] {
            d.write(T::default());
        }
    }
    // Behind an offset the last group is cut short.
    let rest = groups.into_remainder();
    zero(rest);
    if let (Some(d), Some(v)) = (rest.first_mut(), src.last()) {
        d.write(v.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rows::{as_cells, as_uninit};
    use proptest::prelude::*;

    /// Outputs `cols` of a row, by shuffles (if there are any) and plainly.
    fn moved<T: Copy + Default>(picks: &Picks, inner: usize, row: &mut [T], cols: Range<usize>) -> [Vec<T>; 2] {
        let shuffles = shuffles::<T>(picks, inner).ok().flatten();
        let ins = picks.inputs(cols.clone());
        let src = as_cells(&mut row[ins.start * inner..ins.end * inner]);
        [shuffles.as_deref(), None].map(|shuffles| {
            let mut made = vec![T::default(); cols.len() * inner];
            let span = Span { src, from: ins.start, cols: &cols, inner };
            simd::dispatch(Across { picks, period: None, shuffles, span, dst: as_uninit(&mut made) });
            made
        })
    }

    proptest! {
        #[test]
        fn shuffles_move_what_plain_loops_move(
            in_len in 1usize..120,
            more in 0usize..300,
            inner in 1usize..9,
            mirrored in any::<bool>(),
            isa in 0usize..3,
            cut in 0usize..4,
        ) {
            simd::force(Some(Isa::ALL[isa]));
            let out_len = in_len + more;
            let source = |o: usize| Some(if mirrored { in_len - 1 - o * in_len / out_len } else { o * in_len / out_len });
            let picks = Picks::new(in_len, out_len, (out_len, in_len), source).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let start = (cut * SHUFFLED_COLUMNS).min(out_len / SHUFFLED_COLUMNS * SHUFFLED_COLUMNS);
            for cols in [0..out_len, start..out_len, 0..start] {
                let n = in_len * inner;
                let [got, want] = moved(&picks, inner, &mut (0..n).map(|i| i as u8).collect::<Vec<_>>(), cols.clone());
                prop_assert_eq!(got, want);
                let [got, want] = moved(&picks, inner, &mut (0..n).map(|i| i as u16).collect::<Vec<_>>(), cols.clone());
                prop_assert_eq!(got, want);
                let [got, want] = moved(&picks, inner, &mut (0..n).map(|i| i as f32).collect::<Vec<_>>(), cols.clone());
                prop_assert_eq!(got, want);
                let [got, want] = moved(&picks, inner, &mut (0..n).map(|i| i as f64).collect::<Vec<_>>(), cols);
                prop_assert_eq!(got, want);
            }
            simd::force(None);
        }
    }
}
