//! Weighted sums across a row and down rows.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::blocks::Blocks;
use super::down::fold_rows;
use crate::element::{Codec, Ring, Summed};
use crate::engine::room::Room;
use crate::engine::rows::{List, as_cells};
use crate::engine::simd::{Job, Level};
use crate::geometry::taps::{Period, Taps};

/// Weighted sums across rows: several at once where rows are short, for finding out how a row is cut takes as long as the sums of a
/// hundred of its elements.
pub struct Across<'a, T> {
    /// The taps.
    pub taps: Weighted<'a, T>,
    /// The rows.
    pub rows: List<'a, T>,
    /// Position of their first element.
    pub from: usize,
    /// Outputs wanted.
    pub cols: &'a Range<usize>,
    /// Elements (channels) at each position.
    pub inner: usize,
    /// Scratch, as much as the taps want.
    pub end: &'a mut [T],
    /// The results, row after row.
    pub dst: &'a mut [MaybeUninit<T>],
}

impl<T: Summed> Job for Across<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let Self { taps, rows, from, cols, inner, end, dst } = self;
        taps.across(level, &rows, (from, cols, inner), end, dst);
    }
}

/// Rows that have gone across.
#[derive(Clone, Copy)]
pub enum Held<'a, T> {
    /// Row `j` is in slot `listed[j]`, from this element on.
    Slots(&'a [Room<T>], &'a [usize], usize),
    /// Rows of so many elements, one after the other; the first ones of the first need not be there.
    InOrder(&'a [T], usize),
}

impl<'a, T> Held<'a, T> {
    /// Row `j`.
    #[inline(always)]
    #[must_use]
    pub fn row(&self, j: usize) -> &'a [T] {
        match *self {
            Self::Slots(slots, listed, first) => &slots[listed[j]][first..],
            Self::InOrder(rows, len) => &rows[j * len..],
        }
    }
}

/// Weighted sums down rows: `dst = sum of weights[j] * row(j)`; zero where there is no row. (Two output rows at once, of rows read
/// once, where upsampling makes both of the same ones: a seventh slower with all in L2, on a Zen 4 core. Both made of the lower one
/// as that goes across, vector by vector, and written past the caches from registers: a seventh to two thirds slower, for two rows
/// written in turns take longer to leave than one after the other. A job of its own where rows are not two: with all its loops in a
/// loop over rows, the compiler made 800 bytes of addresses ready for each row, in case they were wanted.)
pub struct Down<'a, T> {
    /// One weight for each row.
    pub weights: &'a [T],
    /// The rows.
    pub rows: Held<'a, T>,
    /// The result.
    pub dst: &'a mut [MaybeUninit<T>],
    /// Whether it is better written past the caches, if that is possible.
    pub streamed: bool,
}

/// [`Down`] for two rows, of a length with `dst` or longer, without a call.
#[inline(always)]
pub fn down_two<T: Summed, L: Level>(
    level: L,
    weights: [T; 2],
    rows: [&[T]; 2],
    dst: &mut [MaybeUninit<T>],
    streamed: bool,
) {
    if !(streamed && level.stream_sum(&weights, &rows, dst)) {
        let [a, b] = weights;
        for ((to, v), w) in dst.iter_mut().zip(rows[0]).zip(rows[1]) {
            to.write(fma::<T, L>(b, *w, T::mul(a, *v)));
        }
    }
}

/// Rows that [`down_two`] and [`Down`] write past the caches.
pub const STREAMED_ROWS: std::ops::RangeInclusive<usize> = 2..=4;

impl<T: Summed> Job for Down<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        // (Not moved: what has just been passed word by word is not there yet as vectors.)
        let Self { weights, ref rows, dst, streamed } = self;
        let done = streamed
            && match *weights {
                [a, b, c] => level.stream_sum(&[a, b, c], &[rows.row(0), rows.row(1), rows.row(2)], dst),
                [a, b, c, d] => {
                    level.stream_sum(&[a, b, c, d], &[rows.row(0), rows.row(1), rows.row(2), rows.row(3)], dst)
                }
                _ => false,
            };
        if !done {
            down(level, weights, |j| rows.row(j), dst);
        }
    }
}

/// The taps of one axis with their weights in the type of the sum, and the stretch that repeats.
#[derive(Debug)]
pub struct Weighted<'a, T> {
    /// First inputs and counts.
    pub taps: &'a Taps,
    /// Weights, output after output.
    pub weights: &'a [T],
    /// Where the taps repeat.
    pub period: Option<&'a Period>,
    /// The taps for vectors, where those are of use.
    pub blocks: Option<&'a Blocks<T>>,
}

/// Whether repeating taps are better taken phase by phase, each for many repetitions at once, than in [`Blocks`]: in rows of
/// one channel, whole ratios with few taps. Phases need no index and nothing set up for a row: doubling rows of 128 takes
/// 0.75 of the time in blocks. (They are slower wherever the input advances by more than one element and there are many
/// taps, or by a fraction: 43 ms against 27 for a volume made 1.5 times as large.)
#[must_use]
pub fn has_phases(p: &Period, widest: usize) -> bool {
    matches!((p.outs, p.ins), (1 | 2 | 3 | 4 | 8, 1) | (1, 2..=4)) && (p.ins == 1 || widest <= 4)
}

/// Repetitions computed at once: four vectors of float32, or one in shorter rows. (With one
/// vector throughout, finding the taps costs as much as the sums.)
const WIDE: usize = 64;
const NARROW: usize = 16;

impl<T: Summed> Weighted<'_, T> {
    /// Sum over the taps of output element `e` of a row of `inner` channels; `src` begins at input `from`.
    #[inline(always)]
    fn one<L: Level>(&self, src: &[Cell<T>], from: usize, inner: usize, e: usize) -> T {
        let (o, channel) = if inner == 1 { (e, 0) } else { (e / inner, e % inner) };
        let r = self.taps.at(o);
        if r.count == 0 {
            return T::default();
        }
        let w = &self.weights[self.taps.offset(o)..][..r.count];
        let src = &src[(r.start - from) * inner + channel..][..(r.count - 1) * inner + 1];
        if inner == 1 {
            return dot::<T, L>(w, src);
        }
        let mut sum = T::mul(w[0], src[0].get());
        // (Stepping by a variable divides.)
        for (w, v) in w[1..].iter().zip(src.iter().step_by(inner).skip(1)) {
            sum = fma::<T, L>(*w, v.get(), sum);
        }
        sum
    }

    /// Outputs `cols` of rows, `inner` elements each, row after row into `dst`. The rows begin at input `from`.
    #[inline(always)]
    fn across<L: Level>(
        &self,
        level: L,
        rows: &List<'_, T>,
        (from, cols, inner): (usize, &Range<usize>, usize),
        end: &mut [T],
        dst: &mut [MaybeUninit<T>],
    ) {
        let len = cols.len() * inner;
        if len == 0 {
            return;
        }
        let mut done = 0;
        if let Some(blocks) = self.blocks {
            while done < rows.rows() {
                let (src, dst) = (rows.row(done), &mut dst[done * len..][..len]);
                if !blocks.across(level, (src, from), cols, |e| self.one::<L>(src, from, inner, e), end, dst) {
                    break;
                }
                done += 1;
            }
        }
        if done == rows.rows() {
            return;
        }
        if inner != 1 {
            for j in 0..rows.rows() {
                self.across_channels::<L>(rows.row(j), from, cols, inner, &mut dst[j * len..][..len]);
            }
            return;
        }
        let repeats = self.repeats(cols);
        for o in (cols.start..repeats.start).chain(repeats.end..cols.end) {
            let (r, to) = (self.taps.at(o), o - cols.start);
            let w = &self.weights[self.taps.offset(o)..][..r.count];
            for j in 0..rows.rows() {
                let sum = match r.count {
                    0 => T::default(),
                    n => dot::<T, L>(w, &rows.row(j)[r.start - from..][..n]),
                };
                dst[j * len + to].write(sum);
            }
        }
        if let Some(period) = self.period.filter(|_| !repeats.is_empty()) {
            let (first, end) = (repeats.start - cols.start, repeats.end - cols.start);
            self.periodic(level, period, rows, from, (repeats.start, first..end, len), dst);
        }
    }

    /// The whole repetitions within `cols`, if they fill a block; where that is possible from a multiple of a repetition on,
    /// so that blocks can begin vectors.
    #[inline(always)]
    fn repeats(&self, cols: &Range<usize>) -> Range<usize> {
        let none = cols.start..cols.start;
        let Some(p) = self.period else { return none };
        let mut repeats = p.within(cols);
        if matches!(p.outs, 2 | 4 | 8) {
            let beyond = (repeats.start - cols.start) & (p.outs - 1);
            if beyond > 0 {
                repeats = p.within(&(repeats.start + p.outs - beyond..cols.end.max(repeats.start + p.outs - beyond)));
            }
        }
        if repeats.len() >= p.outs * NARROW { repeats } else { none }
    }

    #[inline(always)]
    fn periodic<L: Level>(
        &self,
        level: L,
        p: &Period,
        rows: &List<'_, T>,
        from: usize,
        (o0, part, len): (usize, Range<usize>, usize),
        dst: &mut [MaybeUninit<T>],
    ) {
        match (p.outs, p.ins) {
            _ if L::LEAN => self.singly::<L>(rows, from, (o0, part, len), dst),
            (1, 1) => self.blocks::<L, 1, 1>(level, rows, from, (o0, part, len), dst),
            (2, 1) => self.blocks::<L, 2, 1>(level, rows, from, (o0, part, len), dst),
            (3, 1) => self.blocks::<L, 3, 1>(level, rows, from, (o0, part, len), dst),
            (4, 1) => self.blocks::<L, 4, 1>(level, rows, from, (o0, part, len), dst),
            (8, 1) => self.blocks::<L, 8, 1>(level, rows, from, (o0, part, len), dst),
            (1, 2) => self.blocks::<L, 1, 2>(level, rows, from, (o0, part, len), dst),
            (1, 3) => self.blocks::<L, 1, 3>(level, rows, from, (o0, part, len), dst),
            (1, 4) => self.blocks::<L, 1, 4>(level, rows, from, (o0, part, len), dst),
            _ => self.singly::<L>(rows, from, (o0, part, len), dst),
        }
    }

    /// As [`Weighted::blocks`], one by one.
    #[inline(always)]
    fn singly<L: Level>(
        &self,
        rows: &List<'_, T>,
        from: usize,
        (o0, part, len): (usize, Range<usize>, usize),
        dst: &mut [MaybeUninit<T>],
    ) {
        for j in 0..rows.rows() {
            for (i, d) in dst[j * len..][part.clone()].iter_mut().enumerate() {
                d.write(self.one::<L>(rows.row(j), from, 1, o0 + i));
            }
        }
    }

    /// `P` outputs for every `Q` inputs, from output `o0` on, as elements `part` of the results, which are `len` long: each of the `P`
    /// phases is a short convolution with constant weights, computed for `N` repetitions side by side and interleaved at the end.
    #[inline(always)]
    fn blocks<L: Level, const P: usize, const Q: usize>(
        &self,
        level: L,
        rows: &List<'_, T>,
        from: usize,
        (o0, part, len): (usize, Range<usize>, usize),
        dst: &mut [MaybeUninit<T>],
    ) {
        let (n, lead) = (part.len() / P, part.start);
        // Blocks may overlap: they compute the same values again. So the second one can begin a line of the cache, ...
        let next = |b: usize, block: usize| match (b, P) {
            _ if b + block >= n => n,
            (0, 1 | 2 | 4 | 8) => block - (lead / P + block) % (NARROW / P),
            _ => b + block,
        };
        let pairs = self.pairs::<P>(o0, from);
        if let Some(Pairs { starts, weights, around: true }) = &pairs
            && Q == 1
        {
            let mut done = 0;
            while done < rows.rows()
                && level.around(weights, &rows.row(done)[starts[0]..], &mut dst[done * len..][part.clone()])
            {
                done += 1;
            }
            if done > 0 {
                return;
            }
        }
        for j in 0..rows.rows() {
            let (src, dst) = (rows.row(j), &mut dst[j * len..][part.clone()]);
            let mut done = 0;
            while done < n {
                // ... and the last one end with the row.
                if let Some(pairs) = &pairs {
                    let b = done.min(n - NARROW);
                    pair_block::<T, L, P, Q>(level, pairs, src, b * Q, &mut dst[b * P..]);
                    done = next(b, NARROW);
                } else if n >= WIDE {
                    let b = done.min(n - WIDE);
                    self.block::<L, P, Q, WIDE>(level, src, from, (o0, b), &mut dst[b * P..]);
                    done = next(b, WIDE);
                } else {
                    let b = done.min(n - NARROW);
                    self.block::<L, P, Q, NARROW>(level, src, from, (o0, b), &mut dst[b * P..]);
                    done = next(b, NARROW);
                }
            }
        }
    }

    /// The phases' first inputs (from input `from` on) and weights, if each has two taps, as linear interpolation has
    /// wherever no output falls on an input.
    #[inline(always)]
    fn pairs<const P: usize>(&self, o0: usize, from: usize) -> Option<Pairs<T, P>> {
        let mut pairs = Pairs { starts: [0; P], weights: [[T::default(); 2]; P], around: false };
        for j in 0..P {
            let r = self.taps.at(o0 + j);
            let &[a, b] = &self.weights[self.taps.offset(o0 + j)..][..r.count] else { return None };
            (pairs.starts[j], pairs.weights[j]) = (r.start - from, [a, b]);
        }
        let (first, half) = (pairs.starts[0], P / 2);
        pairs.around = P.is_multiple_of(2) && (0..P).all(|j| pairs.starts[j] == first + usize::from(j >= half));
        Some(pairs)
    }

    /// `N` repetitions, from the `b`-th after output `o0` on.
    #[inline(always)]
    fn block<L: Level, const P: usize, const Q: usize, const N: usize>(
        &self,
        level: L,
        src: &[Cell<T>],
        from: usize,
        (o0, b): (usize, usize),
        dst: &mut [MaybeUninit<T>],
    ) {
        let mut phases = [[T::default(); N]; P];
        for (j, phase) in phases.iter_mut().enumerate() {
            let r = self.taps.at(o0 + j);
            let weights = &self.weights[self.taps.offset(o0 + j)..][..r.count];
            one_phase::<T, L, Q, N>(level, weights, src, r.start.wrapping_sub(from).wrapping_add(b * Q), phase);
        }
        interleave::<T, L, P, N>(level, &mut phases, dst);
    }

    #[inline(always)]
    fn across_channels<L: Level>(
        &self,
        src: &[Cell<T>],
        from: usize,
        cols: &Range<usize>,
        inner: usize,
        dst: &mut [MaybeUninit<T>],
    ) {
        for (o, dst) in cols.clone().zip(dst.chunks_exact_mut(inner)) {
            let r = self.taps.at(o);
            let w = &self.weights[self.taps.offset(o)..][..r.count];
            let row = |j: usize| &src[(r.start + j - from) * inner..][..inner];
            match *w {
                [] => dst.fill(MaybeUninit::new(T::default())),
                [w0, ..] => {
                    fold_rows(w.len(), row, dst, |v| T::mul(w0, v.get()), |j, a, v| fma::<T, L>(w[j], v.get(), a))
                }
            }
        }
    }
}

/// Phases with two taps each.
struct Pairs<T, const P: usize> {
    /// Their first inputs.
    starts: [usize; P],
    weights: [[T; 2]; P],
    /// Whether the outputs lie around an input: half of the phases read the one before it and that, the others that and the
    /// next.
    around: bool,
}

/// `NARROW` repetitions of phases with two taps each, `ahead` inputs after the first: one vector each, in registers.
#[inline(always)]
fn pair_block<T: Summed, L: Level, const P: usize, const Q: usize>(
    level: L,
    pairs: &Pairs<T, P>,
    src: &[Cell<T>],
    ahead: usize,
    dst: &mut [MaybeUninit<T>],
) {
    let mut phases = [[T::default(); NARROW]; P];
    for (phase, (&start, &[a, b])) in phases.iter_mut().zip(pairs.starts.iter().zip(&pairs.weights)) {
        let s = &src[start + ahead..][..(NARROW - 1) * Q + 2];
        if Q == 1 {
            level.two_taps([a, b], s, phase);
            continue;
        }
        for i in 0..NARROW {
            phase[i] = fma::<T, L>(b, s[i * Q + 1].get(), T::mul(a, s[i * Q].get()));
        }
    }
    interleave::<T, L, P, NARROW>(level, &mut phases, dst);
}

/// One phase of `N` repetitions: taps from `src[ahead]` on, every `Q` inputs. (Plain loops: a closure handed to
/// `array::from_fn` or `map` is compiled without the level's features, and every fused product becomes a library call.)
#[inline(always)]
fn one_phase<T: Summed, L: Level, const Q: usize, const N: usize>(
    level: L,
    weights: &[T],
    src: &[Cell<T>],
    ahead: usize,
    out: &mut [T; N],
) {
    match *weights {
        [] => *out = [T::default(); N],
        [a, b] if Q == 1 => level.two_taps([a, b], &src[ahead..], out),
        [a, b] => {
            let s = &src[ahead..][..(N - 1) * Q + 2];
            for i in 0..N {
                out[i] = fma::<T, L>(b, s[i * Q + 1].get(), T::mul(a, s[i * Q].get()));
            }
        }
        [first, ref rest @ ..] => {
            let s = &src[ahead..][..(N - 1) * Q + 1];
            for i in 0..N {
                out[i] = T::mul(first, s[i * Q].get());
            }
            for (k, &w) in rest.iter().enumerate() {
                let s = &src[ahead + k + 1..][..(N - 1) * Q + 1];
                for i in 0..N {
                    out[i] = fma::<T, L>(w, s[i * Q].get(), out[i]);
                }
            }
        }
    }
}

/// `dst[i*P + j] = phases[j][i]`.
#[inline(always)]
fn interleave<T: Summed, L: Level, const P: usize, const N: usize>(
    level: L,
    phases: &mut [[T; N]; P],
    dst: &mut [MaybeUninit<T>],
) {
    let dst = &mut dst[..P * N];
    match &mut phases[..] {
        [one] => dst.iter_mut().zip(one.iter()).for_each(|(to, v)| _ = to.write(*v)),
        [a, b] => level.zip(Some(as_cells(a)), Some(as_cells(b)), dst),
        _ => level.weave(&phases.each_mut().map(|phase| as_cells(phase)), dst),
    }
}

/// Elements of a row that more than four rows are folded for at once, so that sums and rows stay in L1.
const FOLDED_AT_ONCE: usize = 1024;

/// `dst = sum of weights[j] * row(j)`, of rows as they are stored; zero where there is no row.
#[inline(always)]
pub fn fold<'a, C: Codec<Computed: Summed>, L: Level>(
    codec: C,
    weights: &[C::Computed],
    row: impl Fn(usize) -> &'a [Cell<C::Stored>],
    dst: &mut [C::Computed],
) {
    let at_once = if weights.len() > 4 { FOLDED_AT_ONCE } else { dst.len().max(1) };
    for (i, dst) in dst.chunks_mut(at_once).enumerate() {
        fold_part::<C, L>(codec, weights, |j| &row(j)[i * at_once..], dst);
    }
}

/// Four rows at a time over the whole width: the loads and stores of the sums are few beside those of the rows, and the
/// loops are long.
#[inline(always)]
fn fold_part<'a, C: Codec<Computed: Summed>, L: Level>(
    codec: C,
    weights: &[C::Computed],
    row: impl Fn(usize) -> &'a [Cell<C::Stored>],
    dst: &mut [C::Computed],
) {
    let len = dst.len();
    let row = |j: usize| &row(j)[..len];
    let (mut done, n) = (0, weights.len());
    while done < n || n == 0 {
        let w = &weights[done..];
        match *w {
            [] => {
                dst.fill(C::Computed::default());
                return;
            }
            [a, b, c, d, ..] => {
                let rows = row(done).iter().zip(row(done + 1)).zip(row(done + 2)).zip(row(done + 3));
                if done == 0 {
                    for (to, (((r, s), t), u)) in dst.iter_mut().zip(rows) {
                        let first = C::Computed::mul(a, codec.load(r.get()));
                        let second = fma::<C::Computed, L>(b, codec.load(s.get()), first);
                        let third = fma::<C::Computed, L>(c, codec.load(t.get()), second);
                        *to = fma::<C::Computed, L>(d, codec.load(u.get()), third);
                    }
                } else {
                    for (to, (((r, s), t), u)) in dst.iter_mut().zip(rows) {
                        let first = fma::<C::Computed, L>(a, codec.load(r.get()), *to);
                        let second = fma::<C::Computed, L>(b, codec.load(s.get()), first);
                        let third = fma::<C::Computed, L>(c, codec.load(t.get()), second);
                        *to = fma::<C::Computed, L>(d, codec.load(u.get()), third);
                    }
                }
                done += 4;
            }
            [a, b, ..] => {
                let rows = row(done).iter().zip(row(done + 1));
                if done == 0 {
                    for (to, (r, s)) in dst.iter_mut().zip(rows) {
                        let first = C::Computed::mul(a, codec.load(r.get()));
                        *to = fma::<C::Computed, L>(b, codec.load(s.get()), first);
                    }
                } else {
                    for (to, (r, s)) in dst.iter_mut().zip(rows) {
                        let first = fma::<C::Computed, L>(a, codec.load(r.get()), *to);
                        *to = fma::<C::Computed, L>(b, codec.load(s.get()), first);
                    }
                }
                done += 2;
            }
            [a] => {
                if done == 0 {
                    dst.iter_mut().zip(row(0)).for_each(|(to, r)| *to = C::Computed::mul(a, codec.load(r.get())));
                } else {
                    for (to, r) in dst.iter_mut().zip(row(done)) {
                        *to = fma::<C::Computed, L>(a, codec.load(r.get()), *to);
                    }
                }
                done += 1;
            }
        }
    }
}

/// Sum of the weights, one at least, times as many elements.
#[inline(always)]
fn dot<T: Summed, L: Level>(weights: &[T], src: &[Cell<T>]) -> T {
    let mut sum = T::mul(weights[0], src[0].get());
    for (w, v) in weights[1..].iter().zip(&src[1..]) {
        sum = fma::<T, L>(*w, v.get(), sum);
    }
    sum
}

/// `a*b + c` as the level does it best.
#[inline(always)]
fn fma<T: Summed, L: Level>(a: T, b: T, c: T) -> T {
    if L::FMA { T::mul_add::<true>(a, b, c) } else { T::mul_add::<false>(a, b, c) }
}

#[inline(always)]
fn down<'a, T: Summed + 'a, L: Level>(_: L, weights: &[T], row: impl Fn(usize) -> &'a [T], dst: &mut [MaybeUninit<T>]) {
    match *weights {
        [] => dst.iter_mut().for_each(|d| _ = d.write(T::default())),
        [w] if w == T::weight(1.0) => fold_rows(1, row, dst, |v| *v, |_, a, _| a),
        [w0, ..] => fold_rows(weights.len(), row, dst, |v| T::mul(w0, *v), |j, a, v| fma::<T, L>(weights[j], *v, a)),
    }
}
