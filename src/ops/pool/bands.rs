//! How the rows of windows are folded, and which rows together.

use std::cell::Cell;
use std::ops::Range;

use crate::engine::pipeline::Way;
use crate::engine::rows::Rows;
use crate::geometry::Reach;
use crate::geometry::bins::Bins;
use crate::layout::CACHE_LINE;

/// Rows of a window, in strides, from which on folding it by blocks is faster than folding it at once.
pub(super) const SCAN: usize = 4;

/// Most rows of a window to keep two blocks of.
pub(super) const LONGEST_SCAN: usize = 2048;

/// Rows of a window that are better folded as they come than kept until all are there, if few windows share them.
pub(super) const RUNNING: usize = 8;

/// Most rows of a window to be listed where they have gone across.
pub(super) const MOST_TAPS: usize = 64;

/// Windows across a row up to this length are folded before the rows are, if those are few: that reads the rows in the
/// order they lie in, and short ones as long ones. (Means of 2 x 2 take half as long so as folding rows first, of 2 x 2 x 2
/// three quarters, with AVX-512; a quarter longer on a Zen 3 core.)
pub(super) const SHORT: usize = 3;

/// As [`SHORT`], rows of a window.
pub(super) const FEW_ROWS: usize = 4;

/// Bytes of input rows, and of what they become across, to aim at for a band: the next rows come in while it is worked
/// on, which the processor manages only so far ahead. (Reading 26 MB three times, band by band, took 0.7 ms in bands of
/// 4 KiB and 0.8 to 0.9 in bands of 16 KiB.)
const BAND_BYTES: usize = 16 << 10;

/// As [`BAND_BYTES`], of windows of several planes: the rows of each are another stretch of memory, which takes time to come in.
/// (2 x 2 x 2 of 34 MB on a Zen 4 core: 3.0 ms in bands of 16 and 32 KiB, 2.5 of 96, 2.2 of 128, 2.4 of 192 and 256.)
/// And of windows one apart that share rows, which the next band takes across again; they wait for memory less. (Maxima of
/// 3 x 3 of 64 planes of 224 x 224 in bands of 16 KiB 1.9 ms, of 32 1.4, of 128 1.2; of 512 of 112 x 112 4.0, 3.6, 3.0.)
const FAR_BYTES: usize = 128 << 10;

/// Rows of a band, as long as it stays within these bytes, for each that it shares with the next. (Windows of 3 x 3, two apart,
/// of 64 planes of 224 x 224: 0.79 ms in bands of 8 rows, 0.74 of 16; of 1024 x 1024 in bands of 2 7.0, of 4 to 10 4.4. Of planes
/// of 112 x 112, of which 16 are 16 KiB, bands of 32 take longer.)
const FRESH: usize = 16;

/// Elements that folded rows are rounded up to: what is left over of a row of 31 takes longer than the rest.
pub(super) const WHOLE: usize = 16;

/// Overlapping rows are taken across again with the next band: at most one in so many.
pub(super) const AGAIN: usize = 8;

/// When rows may be folded before columns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsFirst {
    Never,
    Mostly,
    Always,
}

/// How many output rows are made at once, of how many rows of each input plane.
#[derive(Clone, Copy)]
pub(super) struct BandRows {
    pub made: usize,
    pub read: usize,
}

/// Bytes to aim at for a band of windows that are these along D and H, of whose rows each takes so many.
#[inline(always)]
pub(super) fn bytes_of_band(d: &Bins, h: &Bins, row: usize) -> usize {
    let (longest, step) = (h.longest(), step(h));
    if d.longest() > 1 || longest > step && step == 1 {
        return FAR_BYTES;
    }
    row.saturating_mul(FRESH.saturating_mul(longest.saturating_sub(step))).clamp(BAND_BYTES, FAR_BYTES)
}

/// The rows of a band of `tile` columns, of whose elements `size` bytes are kept across.
pub(super) fn rows_of_band([d, h, w]: &[Bins; 3], tile: usize, inner: usize, size: usize) -> BandRows {
    let row = reach_of_tile(w, tile).saturating_add(tile).saturating_mul(inner).saturating_mul(size);
    let fitting = bytes_of_band(d, h, row) / row.saturating_mul(d.longest()).max(1);
    let (longest, step) = (h.longest(), step(h));
    let made = (fitting.saturating_sub(longest) / step + 1).min(h.out_len());
    BandRows { made, read: (made - 1).saturating_mul(step).saturating_add(longest).min(h.in_len()) }
}

/// Most elements from the beginning of a window to that of the next.
pub(super) fn step(b: &Bins) -> usize {
    match b {
        Bins::Sliding(w) => w.stride,
        Bins::Listed { windows, in_len } => in_len.div_ceil(windows.len()),
    }
}

/// How many windows share an element.
pub(super) fn overlap(b: &Bins) -> usize {
    match b {
        Bins::Sliding(w) => w.kernel.min(w.in_len).div_ceil(w.stride),
        Bins::Listed { windows, in_len } => (b.longest() * windows.len()).div_ceil(*in_len),
    }
}

/// Whether the rows of a window are better folded into one before that is taken across, where the order does not matter.
pub(super) fn folds_rows_first([d, h, w]: &[Bins; 3]) -> bool {
    let (shared, listed) = (overlap(d) * overlap(h), matches!(h, Bins::Listed { .. }));
    let rows = d.longest().saturating_mul(h.longest());
    let many = matches!(w, Bins::Listed { .. }) || w.longest() > SHORT || rows > FEW_ROWS;
    let alone = shared == 1 || listed && shared <= 4;
    // Windows that overlap read rows once more, but there are fewer rows to take across, unless those make one long row.
    let fewer = shared <= 4 && step(h) > 1 && (w.longest() > SHORT || !w.in_len().is_multiple_of(step(w)));
    w.out_len() < w.in_len() && (many && alone || fewer && shared > 1)
}

/// How the rows of these windows are folded, of whose elements `size` bytes are kept across; `lifts` if something happens
/// to elements before; `rows_first` where rows may be folded before columns: always, or unless there are odd elements or twins.
pub(super) fn way(bins: &[Bins; 3], inner: usize, size: usize, lifts: bool, rows_first: RowsFirst) -> Way {
    let [d, h, w] = bins;
    if let Bins::Sliding(s) = h
        && d.longest() == 1
        && s.dilation == 1
        && s.out_len > 1
        && (s.kernel / s.stride > SCAN)
        && s.kernel <= LONGEST_SCAN
    {
        return Way::Scan(s.kernel, 0);
    }
    let (rows, shared) = (d.longest().saturating_mul(h.longest()), overlap(d) * overlap(h));
    let dense = |b: &Bins| matches!(b, Bins::Listed { .. }) || matches!(b, Bins::Sliding(w) if w.dilation == 1);
    let may = match rows_first {
        RowsFirst::Never => false,
        RowsFirst::Mostly => rows <= MOST_TAPS && dense(h), // else the rest could not be bands
        RowsFirst::Always => true,
    };
    if may && !lifts && folds_rows_first(bins) {
        return Way::Band;
    }
    if rows > RUNNING {
        return if shared <= 2 || rows > LONGEST_SCAN { Way::Running } else { Way::Ring };
    }
    let band = rows_of_band(bins, w.out_len(), inner, size);
    let again = h.longest().saturating_sub(step(h));
    let whole = band.made == h.out_len() || band.made * step(h) >= AGAIN * again;
    let bands = !lifts && dense(h) && overlap(d) == 1 && whole;
    if bands { Way::Band } else { Way::Ring }
}

/// The input rows of some neighbouring windows along H. (The first need not begin first: where it is dilated, the padding
/// may leave it only a later element.)
#[inline(always)]
pub(super) fn rows_read(bins: &Bins, windows: &Range<usize>) -> Range<usize> {
    let first = bins.at(windows.start);
    let mut read = first.start..first.end();
    for o in windows.clone().skip(1) {
        let r = bins.at(o);
        read = read.start.min(r.start)..read.end.max(r.end());
    }
    read
}

/// Most input elements, of one channel, that a tile of `tile` outputs reads.
pub(super) fn reach_of_tile(bins: &Bins, tile: usize) -> usize {
    let n = bins.out_len();
    (0..n).step_by(tile.max(1)).map(|o| bins.inputs(o..(o + tile).min(n)).len()).max().unwrap_or(0)
}

/// Whether one of the rows, or one next to them, holds something odd, and, if that is asked, a twin. (Asked before there is anything to compute, and in
/// the order the rows lie in, it also brings them in at the speed of memory.)
#[inline(always)]
pub(super) fn any_odd<K: Copy>(
    src: &Rows<'_, K>,
    planes: &Reach,
    read: &Range<usize>,
    odd: impl Fn(K) -> bool,
    twin: Option<impl Fn(K) -> bool>,
) -> [bool; 2] {
    let mut any = [false; 2];
    for j in 0..planes.count {
        for (cells, _, _) in long_rows(src, planes.start + j * planes.step, read, true) {
            match &twin {
                None => {
                    for v in cells {
                        any[0] |= odd(v.get());
                    }
                }
                Some(twin) => {
                    let [mut some, mut twins] = any;
                    for v in cells {
                        let v = v.get();
                        some |= odd(v);
                        twins |= twin(v);
                    }
                    any = [some, twins];
                }
            }
        }
    }
    any
}

/// Brings rows in, in the order they lie in. (13 MB from memory on a Zen 4 core: in order 0.5 ms, two rows in turns 1.2, with
/// rows asked for ahead, near or far, 0.65 to 0.95: what is asked for does not teach the processor which rows come next. On a
/// Sapphire Rapids core asking for the next band's rows takes longer, too.)
#[inline(always)]
pub(super) fn touch<K: Copy>(src: &Rows<'_, K>, planes: &Reach, read: &Range<usize>) {
    let line = (CACHE_LINE / size_of::<K>().max(1)).max(1);
    for j in 0..planes.count {
        for h in read.clone() {
            for v in src.row(planes.start + j * planes.step, h).iter().step_by(line) {
                std::hint::black_box(v.get());
            }
        }
    }
}

/// How many of the rows have whole windows, or one that has not.
#[inline(always)]
pub(super) fn alike(whole: &Range<usize>, rows: Range<usize>) -> usize {
    if rows.start >= whole.start && rows.start < whole.end { rows.end.min(whole.end) - rows.start } else { 1 }
}

/// Where the rows of a window begin that have gone across: of so many planes, a distance apart, those along H from `first` on.
#[inline(always)]
pub(super) fn taps_of(
    taps: &mut [usize],
    (planes, apart): (usize, usize),
    rh: Reach,
    first: usize,
    width: usize,
) -> &[usize] {
    let mut n = 0;
    for d in 0..planes {
        for j in 0..rh.count {
            taps[n] = d * apart + (rh.start + j * rh.step - first) * width;
            n += 1;
        }
    }
    &taps[..n]
}

/// The windows along H that are whole and equally far apart.
pub(super) fn whole_windows(bins: &Bins) -> Range<usize> {
    match bins {
        Bins::Sliding(w) => w.interior(),
        Bins::Listed { .. } => 0..0,
    }
}

/// Rows of a plane as long ones where they lie one after the other and `repeat`, else one by one: the elements of each, how
/// many rows come before it, and how many it is.
#[inline(always)]
pub(super) fn long_rows<'a, K: Copy>(
    src: &'a Rows<'a, K>,
    d: usize,
    read: &'a Range<usize>,
    repeat: bool,
) -> impl Iterator<Item = (&'a [Cell<K>], usize, usize)> {
    let flat = if repeat { src.flat(d, read.clone()) } else { None };
    let at_once = if flat.is_some() { read.len() } else { 1 };
    let row = move |h| flat.unwrap_or_else(|| src.row(d, h));
    read.clone().step_by(at_once.max(1)).map(move |h| (row(h), h - read.start, at_once))
}

/// Cost of one output row, in elements: what is folded for each of its elements, or what it takes of the input, if that
/// is more.
pub(super) fn row_cost([d, h, w]: &[Bins; 3], inner: usize) -> usize {
    let folds = w.longest().min(16).saturating_add(d.longest().saturating_mul(h.longest()).min(16));
    let folded = w.out_len().saturating_mul(folds);
    let rows = d.in_len().saturating_mul(h.in_len()) / d.out_len().saturating_mul(h.out_len()).max(1);
    folded.max(w.in_len().saturating_mul(rows)).saturating_mul(inner)
}
