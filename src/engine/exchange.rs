//! One array copied to another of the same shape, whatever their strides: what every shuffle of axes comes down to.
//!
//! The axes become a list of (length, distance in the source, distance in the destination), without those of one
//! element, ordered by the destination and merged where both arrays allow. What the innermost ones look like decides
//! how rows are moved: copied, woven from several rows, taken apart into several rows, turned tile by tile, or element
//! by element. Everything works on lumps of bytes, so it is compiled for sizes and not for types.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::parallel;
use super::room::scratch;
use super::rows::as_uninit;
use super::simd::{self, Job, Level, prefetch};
use crate::error::{Error, Result};
use crate::layout::{CACHE_LINE, Lump, SideBySide, View, ViewMut};

/// Bytes of a row to move at once: it, and what it is made of, stay in L1.
const ROW_BYTES: usize = 8 << 10;

/// Bytes along each side of a tile that is turned: as many lumps as that makes, from 8 to 64.
const TILE_BYTES: usize = 256;

/// How many times as long it may be along the source's rows: what is left over of a short row takes as long as a line.
const LONG_TILE: usize = 4;

/// Bytes of rows that are copied without asking the C library.
const SHORT_BYTES: usize = 256;

/// Destinations from this size on are written past the caches. As much is read as is written, and there is nothing to
/// compute meanwhile, so it is worth it from a smaller size on than elsewhere: weaving three rows to 15.75 MiB took 0.8 ms
/// with normal stores and 0.6 ms with streamed ones, the source in the last cache of 32 MB.
const STREAMED_BYTES: usize = 12 << 20;

/// How many units ahead the rows to be woven are asked for: they begin in as many places as there are rows, and the
/// processor sees only the beginning of a stream in each. From memory, three rows took 1.25 ms without and 1.05 ms with it.
const AHEAD: usize = 8;

/// Elements that are moved one by one in a unit of work.
const SINGLY: usize = 4096;

/// Rows of a tile that are woven at once.
const WOVEN: usize = 8;

/// Fewest bytes along the source's row for which weaving is worth it.
const LEAST_BYTES: usize = 32;

/// An axis of both arrays; distances in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Axis {
    len: usize,
    src: isize,
    dst: isize,
}

/// How the elements of the innermost axes are moved.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// Rows that lie alike in both.
    Rows,
    /// Short rows that do, along one more axis.
    Runs { row: usize, along: Axis },
    /// Each destination row from these rows of the source, woven.
    Weave(Vec<isize>),
    /// Each source row into these rows of the destination, taken apart.
    Unweave(Vec<isize>),
    /// These rows of the source become these of the destination, turned: element `j` of source row `i` is element `i` of
    /// destination row `j`.
    Turn { rows: Vec<isize>, turned: Vec<isize> },
    /// Element by element along two axes.
    Singly { along: Axis, inner: Axis },
}

/// A planned copy.
struct Exchange<const N: usize> {
    src: *const Lump<N>,
    dst: *mut Lump<N>,
    /// What is walked, outermost first; the last axes count the pieces of those that are moved at once.
    walked: Vec<Axis>,
    way: Way,
    /// The axis that is moved at once, in pieces; for [`Way::Turn`] two, along the destination's rows and along the
    /// source's.
    pieces: [Piece; 2],
    /// Whether rows are written past the caches.
    streamed: bool,
}

/// An axis that is moved in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    len: usize,
    most: usize,
}

impl Piece {
    const ONE: Self = Self { len: 1, most: 1 };

    /// Pieces of at most `most` elements.
    fn new(len: usize, most: usize) -> Self {
        Self { len, most: most.clamp(1, len) }
    }

    /// Pieces of at most `most` elements, of about the same size: multiples of `line`.
    fn even(len: usize, most: usize, line: usize) -> Self {
        Self::new(len, len.div_ceil(len.div_ceil(most)).next_multiple_of(line).min(most))
    }

    fn count(self) -> usize {
        self.len.div_ceil(self.most)
    }

    /// Elements of piece `i`.
    #[inline(always)]
    fn of(self, i: usize) -> usize {
        self.most.min(self.len - i * self.most)
    }
}

// SAFETY: an exchange is a view to read and a view to write, of plain bytes; threads that share one write different
// elements, since each unit of the walk has its own.
unsafe impl<const N: usize> Sync for Exchange<N> {}

/// Copies `x` to `out`, which has the same shape.
///
/// # Errors
/// If elements have a size that no dtype has, scratch cannot be allocated, or the caller interrupts.
pub(crate) fn exchange<T>(x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()>
where
    T: Copy + Send + Sync + 'static,
{
    match size_of::<T>() {
        1 => run::<1>(&x.lumps(), &mut out.lumps()),
        2 => run::<2>(&x.lumps(), &mut out.lumps()),
        4 => run::<4>(&x.lumps(), &mut out.lumps()),
        8 => run::<8>(&x.lumps(), &mut out.lumps()),
        16 => run::<16>(&x.lumps(), &mut out.lumps()),
        32 => run::<32>(&x.lumps(), &mut out.lumps()),
        n => Err(Error::kind(format!("elements of {n} bytes: must have 1, 2, 4, 8, 16 or 32"))),
    }
}

/// Copies blocks side by side to as many others.
///
/// # Errors
/// As [`exchange`].
pub(crate) fn turn(x: &SideBySide<*const u8>, out: &SideBySide<*mut u8>) -> Result<()> {
    match x.size {
        1 => run::<1>(&x.lumps(), &mut out.lumps()),
        2 => run::<2>(&x.lumps(), &mut out.lumps()),
        4 => run::<4>(&x.lumps(), &mut out.lumps()),
        8 => run::<8>(&x.lumps(), &mut out.lumps()),
        16 => run::<16>(&x.lumps(), &mut out.lumps()),
        n => Err(Error::kind(format!("elements of {n} bytes: must have 1, 2, 4, 8 or 16"))),
    }
}

fn run<const N: usize>(x: &View<'_, Lump<N>>, out: &mut ViewMut<'_, Lump<N>>) -> Result<()> {
    assert_eq!(x.shape, out.shape, "arrays of the same shape");
    if x.shape.contains(&0) {
        return Ok(());
    }
    let (mut axes, first) = canonical(x, out);
    let (src, dst) = (x.ptr.wrapping_offset(first[0]), out.ptr.wrapping_offset(first[1]));
    match widen(&mut axes, N) {
        1 => Exchange::<1>::new(src.cast(), dst.cast(), &axes).run(),
        2 => Exchange::<2>::new(src.cast(), dst.cast(), &axes).run(),
        4 => Exchange::<4>::new(src.cast(), dst.cast(), &axes).run(),
        8 => Exchange::<8>::new(src.cast(), dst.cast(), &axes).run(),
        16 => Exchange::<16>::new(src.cast(), dst.cast(), &axes).run(),
        _ => Exchange::<32>::new(src.cast(), dst.cast(), &axes).run(),
    }
}

/// Makes one larger lump of two neighbours for as long as nothing comes between them; returns the bytes of a lump.
fn widen(axes: &mut Vec<Axis>, bytes: usize) -> usize {
    let mut bytes = bytes;
    while bytes < 32
        && let Some((inner, outer)) = axes.split_last_mut()
        && inner.src == 1
        && inner.dst == 1
        && inner.len % 2 == 0
        && outer.iter().all(|a| a.src % 2 == 0 && a.dst % 2 == 0)
    {
        bytes *= 2;
        outer.iter_mut().for_each(|a| (a.src, a.dst) = (a.src / 2, a.dst / 2));
        inner.len /= 2;
        if inner.len == 1 {
            axes.pop();
        }
    }
    bytes
}

/// The axes of both arrays as a list, and how far both begin from their first elements.
fn canonical<const N: usize>(x: &View<'_, Lump<N>>, out: &ViewMut<'_, Lump<N>>) -> (Vec<Axis>, [isize; 2]) {
    let mut first = [0; 2];
    let both = x.shape.iter().zip(x.strides.iter().zip(out.strides));
    let mut axes: Vec<_> = both.map(|(&len, (&src, &dst))| Axis { len, src, dst }).filter(|a| a.len > 1).collect();
    for a in axes.iter_mut().filter(|a| a.dst < 0) {
        // Walked from the other end.
        first[0] += (a.len - 1) as isize * a.src;
        first[1] += (a.len - 1) as isize * a.dst;
        (a.src, a.dst) = (-a.src, -a.dst);
    }
    axes.sort_by_key(|a| std::cmp::Reverse(a.dst));
    let mut merged: Vec<Axis> = Vec::with_capacity(axes.len());
    for inner in axes {
        let joins = |step: isize, outer: isize| step.checked_mul(inner.len as isize) == Some(outer);
        match merged.last_mut() {
            Some(outer) if joins(inner.dst, outer.dst) && joins(inner.src, outer.src) => {
                *outer = Axis { len: outer.len * inner.len, ..inner };
            }
            _ => merged.push(inner),
        }
    }
    (merged, first)
}

/// Offsets of every combination of indices of these axes, the last fastest. (In a list as long as it will be: what an iterator
/// grew took a tenth of the time of 3 x 3 of 512 channels of 14 x 14.)
fn offsets(axes: &[Axis], of: impl Fn(&Axis) -> isize) -> Vec<isize> {
    let mut all = Vec::with_capacity(axes.iter().map(|a| a.len).product());
    all.push(0);
    for a in axes {
        let (n, step) = (all.len(), of(a));
        all.resize(n * a.len, 0);
        // From the end on, so that none is written before it has been read.
        for i in (0..n).rev() {
            let first = all[i];
            for (j, to) in all[i * a.len..(i + 1) * a.len].iter_mut().enumerate() {
                *to = first + j as isize * step;
            }
        }
    }
    all
}

/// The innermost axes whose elements lie densely in the destination, from `first` on, as far as they are not `but`.
fn dense_in_destination(axes: &[Axis], but: usize) -> (usize, usize) {
    let (mut first, mut elements) = (axes.len(), 1);
    while first > 0 && first - 1 != but && axes[first - 1].dst == elements as isize {
        first -= 1;
        elements *= axes[first].len;
    }
    (first, elements)
}

/// The axes, outermost first, whose elements lie densely in the source from `from`, which steps by one element, on, as
/// far as they are among the first `free`; and their elements.
fn dense_in_source(axes: &[Axis], from: usize, free: usize) -> (Vec<usize>, usize) {
    let (mut found, mut elements) = (vec![from], axes[from].len);
    while let Some(next) = (0..free).find(|&i| !found.contains(&i) && axes[i].src == elements as isize) {
        found.insert(0, next);
        elements *= axes[next].len;
    }
    (found, elements)
}

/// Whether so many rows are woven, and taken apart, as they are.
fn weavable(rows: usize) -> bool {
    matches!(rows, 2..=4 | WOVEN)
}

impl<const N: usize> Exchange<N> {
    fn new(src: *const Lump<N>, dst: *mut Lump<N>, axes: &[Axis]) -> Self {
        let mut made = Self { src, dst, walked: Vec::new(), way: Way::Rows, pieces: [Piece::ONE; 2], streamed: false };
        let Some((inner, outer)) = axes.split_last() else { return made };
        let along = axes.iter().position(|a| a.src == 1);
        if inner.dst == 1 && inner.src == 1 {
            made.take_rows(outer, *inner);
        } else if let Some(along) = along.filter(|_| inner.dst == 1) {
            made.take_crossed(axes, along);
        } else {
            made.take_singly(axes);
        }
        made.streamed = made.streams(axes);
        made
    }

    fn run(&self) -> Result<()> {
        let units = self.walked.iter().map(|a| a.len).product();
        parallel::for_each(units, self.unit_len(), |units| {
            let mut room = scratch(self.room())?;
            simd::dispatch(Moving { exchange: self, units, room: &mut room });
            Ok(())
        })
    }

    /// Rows that lie alike.
    fn take_rows(&mut self, outer: &[Axis], inner: Axis) {
        let row = inner.len;
        // Short ones along the longest axis, wherever it stands.
        match (0..outer.len()).max_by_key(|&i| outer[i].len).filter(|_| row * N <= SHORT_BYTES) {
            Some(longest) => {
                let (mut rest, along) = (outer.to_vec(), outer[longest]);
                rest.remove(longest);
                self.way = Way::Runs { row, along };
                self.take(&rest, &[(along, Piece::new(along.len, (ROW_BYTES / N / row).max(1)))]);
            }
            None => self.take(outer, &[(inner, Piece::new(row, ROW_BYTES / N))]),
        }
    }

    /// Rows of the source, along axis `along`, that are not rows of the destination, along the last axis.
    fn take_crossed(&mut self, axes: &[Axis], along: usize) {
        let (row, last) = (ROW_BYTES / N, axes.len() - 1);
        let (inner, b) = (axes[last], axes[along]);
        let rest =
            |taken: &dyn Fn(usize) -> bool| -> Vec<_> { (0..=last).filter(|&i| !taken(i)).map(|i| axes[i]).collect() };
        let (dense, rows) = dense_in_destination(axes, along);
        let (taken, parts) = dense_in_source(axes, along, last);
        let weaves = weavable(rows) && along + 1 == dense && b.dst == rows as isize;
        let unweaves = weavable(parts) && inner.src == parts as isize;
        if weaves && (b.len >= inner.len || !unweaves) {
            self.way = Way::Weave(offsets(&axes[dense..], |a| a.src));
            return self.take(&axes[..along], &[(b, Piece::new(b.len, row / rows))]);
        }
        if unweaves {
            let parts_of: Vec<_> = taken.iter().map(|&i| axes[i]).collect();
            self.way = Way::Unweave(offsets(&parts_of, |a| a.dst));
            // In the order of the source, whose rows are the longer ones.
            let mut walked = rest(&|i| i == last || taken.contains(&i));
            walked.sort_by_key(|a| std::cmp::Reverse(a.src.abs()));
            return self.take(&walked, &[(inner, Piece::new(inner.len, row / parts))]);
        }
        let side = (TILE_BYTES / N).clamp(WOVEN, 64);
        let long = LONG_TILE * side;
        // Several short axes as one, where they lie densely.
        let (dense, rows) = if rows > side { (last, inner.len) } else { (dense, rows) };
        let (taken, parts) = dense_in_source(axes, along, dense);
        let (taken, parts) = if parts > long { (vec![along], b.len) } else { (taken, parts) };
        if rows < WOVEN || parts * N < LEAST_BYTES {
            return self.take_singly(axes);
        }
        let cut = |of: &[Axis], n: usize, most: usize| match of {
            [a] => {
                (Axis { len: a.len.min(most), ..*a }, (*a, Piece::even(a.len, most, CACHE_LINE / N.min(CACHE_LINE))))
            }
            _ => (Axis { len: n, src: 0, dst: 0 }, (Axis { len: n, src: 0, dst: 0 }, Piece::new(n, n))),
        };
        let (rows_of, parts_of): (Vec<_>, Vec<_>) = (axes[dense..].to_vec(), taken.iter().map(|&i| axes[i]).collect());
        let table = |of: &[Axis], first: Axis, along: fn(&Axis) -> isize| match of {
            [_] => offsets(&[first], along),
            of => offsets(of, along),
        };
        let ((first, moved), (other, turned)) = (cut(&rows_of, rows, side), cut(&parts_of, parts, long));
        self.way = Way::Turn { rows: table(&rows_of, first, |a| a.src), turned: table(&parts_of, other, |a| a.dst) };
        self.take(&rest(&|i| i >= dense || taken.contains(&i)), &[moved, turned]);
    }

    /// Element by element.
    fn take_singly(&mut self, axes: &[Axis]) {
        let one = Axis { len: 1, src: 0, dst: 0 };
        let (outer, along, inner) = match axes {
            // A long axis is cut, so it is the outer one of the two that are moved at once.
            [outer @ .., a] if a.len >= SINGLY => (outer, *a, one),
            [outer @ .., a, b] => (outer, *a, *b),
            [a] => (&[][..], *a, one),
            [] => (&[][..], one, one),
        };
        self.way = Way::Singly { along, inner };
        self.take(outer, &[(along, Piece::new(along.len, SINGLY / inner.len))]);
    }

    /// Walks `outer` and the pieces of what is moved at once.
    fn take(&mut self, outer: &[Axis], moved: &[(Axis, Piece)]) {
        self.walked = outer.to_vec();
        for (i, (a, piece)) in moved.iter().enumerate() {
            let step = piece.most as isize;
            // Past the last piece the steps are never taken, so they may wrap.
            let (src, dst) = (a.src.wrapping_mul(step), a.dst.wrapping_mul(step));
            self.walked.push(Axis { len: piece.count(), src, dst });
            self.pieces[i] = *piece;
        }
    }

    /// Whether the destination is large, and every row that is written begins on a cache line.
    fn streams(&self, axes: &[Axis]) -> bool {
        let bytes = axes.iter().fold(N, |n, a| n.saturating_mul(a.len));
        let on_line = |step: isize| step.unsigned_abs().wrapping_mul(N).is_multiple_of(CACHE_LINE);
        let rows = match &self.way {
            Way::Rows | Way::Weave(_) => true,
            Way::Unweave(rows) => rows.iter().all(|&r| on_line(r)),
            Way::Runs { .. } | Way::Turn { .. } | Way::Singly { .. } => false,
        };
        let written = match &self.way {
            Way::Weave(rows) => self.pieces[0].most.min(self.pieces[0].len).saturating_mul(rows.len()),
            _ => self.pieces[0].most,
        };
        rows && bytes >= STREAMED_BYTES
            && written.saturating_mul(N) >= CACHE_LINE
            && (self.dst as usize).is_multiple_of(CACHE_LINE)
            && self.walked.iter().all(|a| a.len == 1 || on_line(a.dst))
    }

    /// Elements that a unit of the walk moves.
    fn unit_len(&self) -> usize {
        let pieces = self.pieces[0].most.saturating_mul(self.pieces[1].most);
        match &self.way {
            Way::Rows | Way::Turn { .. } => pieces,
            Way::Weave(rows) | Way::Unweave(rows) => pieces.saturating_mul(rows.len()),
            Way::Runs { row, .. } => pieces.saturating_mul(*row),
            Way::Singly { inner, .. } => pieces.saturating_mul(inner.len),
        }
    }

    /// Elements of scratch.
    fn room(&self) -> usize {
        if self.streamed { self.unit_len() } else { 0 }
    }

    /// `len` elements of the source.
    ///
    /// # Safety
    /// They must be elements of the source.
    #[inline(always)]
    unsafe fn row(&self, offset: isize, len: usize) -> &[Cell<Lump<N>>] {
        // SAFETY: the view this was made from promises that its elements can be read; `Cell` allows for another
        // thread's writes to be seen.
        unsafe { std::slice::from_raw_parts(self.src.offset(offset).cast(), len) }
    }

    /// `len` elements of the destination.
    ///
    /// # Safety
    /// They must be elements of the destination, and nobody else may have them for as long as the caller does.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // the caller's promise
    unsafe fn place(&self, offset: isize, len: usize) -> &mut [MaybeUninit<Lump<N>>] {
        // SAFETY: the view this was made from promises that its elements can be written.
        unsafe { std::slice::from_raw_parts_mut(self.dst.offset(offset).cast(), len) }
    }
}

/// A walk over the units of an exchange.
struct Walk<'a> {
    axes: &'a [Axis],
    at: Vec<usize>,
    src: isize,
    dst: isize,
}

impl<'a> Walk<'a> {
    fn new(axes: &'a [Axis], unit: usize) -> Self {
        let (mut at, mut rest) = (vec![0; axes.len()], unit);
        let (mut src, mut dst) = (0, 0);
        for (at, a) in at.iter_mut().zip(axes).rev() {
            *at = rest % a.len;
            rest /= a.len;
            src += *at as isize * a.src;
            dst += *at as isize * a.dst;
        }
        Self { axes, at, src, dst }
    }

    /// On to the next unit; past the last one, back to the first.
    #[inline(always)]
    fn step(&mut self) {
        for (at, a) in self.at.iter_mut().zip(self.axes).rev() {
            *at += 1;
            self.src += a.src;
            self.dst += a.dst;
            if *at < a.len {
                return;
            }
            self.src -= a.len as isize * a.src;
            self.dst -= a.len as isize * a.dst;
            *at = 0;
        }
    }

    /// Index along the axis that is `from_last` axes before the last.
    #[inline(always)]
    fn index(&self, from_last: usize) -> usize {
        self.at.len().checked_sub(1 + from_last).map_or(0, |i| self.at[i])
    }
}

/// Some units of an exchange.
struct Moving<'a, const N: usize> {
    exchange: &'a Exchange<N>,
    units: Range<usize>,
    room: &'a mut [Lump<N>],
}

impl<const N: usize> Job for Moving<'_, N> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let Self { exchange, units, room } = self;
        let mut walk = Walk::new(&exchange.walked, units.start);
        let mut ahead = Walk::new(&exchange.walked, units.start);
        (0..AHEAD).for_each(|_| ahead.step());
        for _ in units {
            if let Way::Weave(rows) = &exchange.way {
                for row in rows {
                    // SAFETY: as below, of another unit: the walk goes round.
                    prefetch(unsafe { exchange.row(ahead.src + row, exchange.pieces[0].of(ahead.index(0))) });
                }
                ahead.step();
            }
            // SAFETY: a unit is walked once, by one thread.
            unsafe {
                match &exchange.way {
                    Way::Rows => exchange.copy(level, &walk, room),
                    Way::Runs { row, along } => exchange.copy_runs(*row, *along, &walk),
                    Way::Weave(rows) => match rows.len() {
                        2 => exchange.weave::<L, 2>(level, rows, &walk, room),
                        3 => exchange.weave::<L, 3>(level, rows, &walk, room),
                        4 => exchange.weave::<L, 4>(level, rows, &walk, room),
                        _ => exchange.weave::<L, WOVEN>(level, rows, &walk, room),
                    },
                    Way::Unweave(rows) => match rows.len() {
                        2 => exchange.unweave::<L, 2>(level, rows, &walk, room),
                        3 => exchange.unweave::<L, 3>(level, rows, &walk, room),
                        4 => exchange.unweave::<L, 4>(level, rows, &walk, room),
                        _ => exchange.unweave::<L, WOVEN>(level, rows, &walk, room),
                    },
                    Way::Turn { rows, turned } => exchange.turn(level, rows, turned, &walk),
                    Way::Singly { along, inner } => exchange.singly(*along, *inner, &walk),
                }
            }
            walk.step();
        }
    }
}

// Safety, of all that follows: the walk is at a unit of this exchange that no other thread moves. Its offsets are those of
// an index of the walked axes; with an index of the axes moved at once, whose last pieces end with them, they are those of
// an index of both arrays.
impl<const N: usize> Exchange<N> {
    /// [`Way::Rows`].
    #[inline(always)]
    unsafe fn copy<L: Level>(&self, level: L, walk: &Walk<'_>, room: &mut [Lump<N>]) {
        let n = self.pieces[0].of(walk.index(0));
        // SAFETY: see above: a piece of an axis along which both arrays step by one element.
        let (from, to) = unsafe { (self.row(walk.src, n), self.place(walk.dst, n)) };
        if self.streamed {
            copy_cells(from, as_uninit(&mut room[..n]));
            level.stream(&room[..n], to);
        } else {
            copy_cells(from, to);
        }
    }

    /// [`Way::Weave`] of `R` rows.
    #[inline(always)]
    unsafe fn weave<L: Level, const R: usize>(&self, level: L, rows: &[isize], walk: &Walk<'_>, room: &mut [Lump<N>]) {
        let n = self.pieces[0].of(walk.index(0));
        let mut from: [&[Cell<Lump<N>>]; R] = [&[]; R];
        for (from, row) in from.iter_mut().zip(rows) {
            // SAFETY: see above: a piece of an axis along which the source steps by one element, at an index of the axes
            // within the woven ones.
            *from = unsafe { self.row(walk.src + row, n) };
        }
        // SAFETY: see above: along the axis the destination steps by `R` elements, within which are the other axes'.
        let to = unsafe { self.place(walk.dst, R * n) };
        level.weave(&from, if self.streamed { as_uninit(&mut room[..R * n]) } else { &mut *to });
        if self.streamed {
            level.stream(&room[..R * n], to);
        }
    }

    /// [`Way::Unweave`] into `R` rows.
    #[inline(always)]
    unsafe fn unweave<L: Level, const R: usize>(
        &self,
        level: L,
        rows: &[isize],
        walk: &Walk<'_>,
        room: &mut [Lump<N>],
    ) {
        let n = self.pieces[0].of(walk.index(0));
        // SAFETY: as in `weave`, with source and destination the other way round.
        let from = unsafe { self.row(walk.src, R * n) };
        let mut to: [&mut [MaybeUninit<Lump<N>>]; R] = std::array::from_fn(|_| Default::default());
        for (to, row) in to.iter_mut().zip(rows) {
            // SAFETY: as above; the rows are those of different indices.
            *to = unsafe { self.place(walk.dst + row, n) };
        }
        if self.streamed {
            let mut stage: [&mut [MaybeUninit<Lump<N>>]; R] = std::array::from_fn(|_| Default::default());
            for (stage, room) in stage.iter_mut().zip(as_uninit(room).chunks_exact_mut(n)) {
                *stage = room;
            }
            level.unweave(from, &mut stage);
            for (to, room) in to.into_iter().zip(room.chunks_exact(n)) {
                level.stream(room, to);
            }
        } else {
            level.unweave(from, &mut to);
        }
    }

    /// [`Way::Runs`].
    #[inline(always)]
    unsafe fn copy_runs(&self, row: usize, along: Axis, walk: &Walk<'_>) {
        let bytes = row * N;
        let (src, dst) = (self.src.wrapping_offset(walk.src), self.dst.wrapping_offset(walk.dst));
        for i in 0..self.pieces[0].of(walk.index(0)) as isize {
            // SAFETY: see above: a whole row of either array, at index `i` of a piece of the axis before it.
            unsafe { copy_bytes(src.offset(i * along.src).cast(), dst.offset(i * along.dst).cast(), bytes) };
        }
    }

    /// [`Way::Turn`]: rows of the source are woven eight at a time, which makes of each of their elements eight of a row
    /// of the destination; sixteen rows in turns, so that whole lines are written.
    #[inline(always)]
    unsafe fn turn<L: Level>(&self, level: L, rows: &[isize], turned: &[isize], walk: &Walk<'_>) {
        let (across, down) = (self.pieces[0].of(walk.index(1)), self.pieces[1].of(walk.index(0)));
        let (rows, turned) = (&rows[..across], &turned[..down]);
        if across < WOVEN {
            for (j, to) in turned.iter().enumerate() {
                for (i, from) in rows.iter().enumerate() {
                    // SAFETY: see above: element `j` of a row, which is element `i` of a turned one.
                    unsafe {
                        *self.dst.offset(walk.dst + to + i as isize) = *self.src.offset(walk.src + from + j as isize);
                    }
                }
            }
            return;
        }
        if L::TURNS && matches!(N, 4 | 8) && down >= WOVEN {
            for j in (0..down).step_by(WOVEN).map(|j| j.min(down - WOVEN)) {
                for i in (0..across).step_by(WOVEN).map(|i| i.min(across - WOVEN)) {
                    let from = |k: usize| self.src.wrapping_offset(walk.src + rows[i + k] + j as isize).cast();
                    let to = |k: usize| self.dst.wrapping_offset(walk.dst + turned[j + k] + i as isize).cast();
                    let eight = [0, 1, 2, 3, 4, 5, 6, 7];
                    // SAFETY: see above: eight elements of as many rows of the piece, and of turned ones. Blocks may overlap:
                    // what they hold twice they hold alike.
                    unsafe { level.turn_8x8::<N>(eight.map(from), eight.map(to)) };
                }
            }
            return;
        }
        // (Column by column, so that lines next to each other are written. Row by row takes as long.)
        let n = const { CACHE_LINE / N }.min(down);
        let mut col = 0;
        while col < down {
            // The last columns, and rows, may overlap those before: what they hold twice they hold alike.
            let j = col.min(down - n);
            let mut first = 0;
            while first < across {
                let at = first.min(across.saturating_sub(2 * WOVEN));
                let halves = if across < 2 * WOVEN { [0, across - WOVEN] } else { [at, at + WOVEN] };
                // SAFETY: see above: `WOVEN` rows of the piece from each of `halves` on, and of each `n` elements from `j` on.
                unsafe { self.turn_block(level, (rows, turned), walk, halves, j..j + n) };
                first = at + 2 * WOVEN;
            }
            col = j + n;
        }
    }

    /// Twice eight rows, from each of `halves` on, and of these the elements `cols`, at most a line.
    ///
    /// # Safety
    /// They must be rows, and elements, of the piece that the walk is at.
    #[inline(always)]
    unsafe fn turn_block<L: Level>(
        &self,
        level: L,
        (rows, turned): (&[isize], &[isize]),
        walk: &Walk<'_>,
        halves: [usize; 2],
        cols: Range<usize>,
    ) {
        let n = cols.len();
        let mut room = [const { MaybeUninit::<[Lump<N>; WOVEN]>::uninit() }; CACHE_LINE];
        for half in halves {
            let mut from: [&[Cell<Lump<N>>]; WOVEN] = [&[]; WOVEN];
            for (from, row) in from.iter_mut().zip(&rows[half..half + WOVEN]) {
                // SAFETY: the caller's promise.
                *from = unsafe { self.row(walk.src + row + cols.start as isize, n) };
            }
            // SAFETY: room for `n` times eight lumps, which may hold nothing.
            level.weave(&from, unsafe { std::slice::from_raw_parts_mut(room[..n].as_mut_ptr().cast(), n * WOVEN) });
            for (woven, to) in room[..n].iter().zip(&turned[cols.clone()]) {
                // SAFETY: the caller's promise: eight elements of a turned row.
                unsafe { self.dst.offset(walk.dst + to + half as isize).cast::<Bits<_>>().write_unaligned(*woven) };
            }
        }
    }

    /// [`Way::Singly`].
    #[inline(always)]
    unsafe fn singly(&self, along: Axis, inner: Axis, walk: &Walk<'_>) {
        for i in 0..self.pieces[0].of(walk.index(0)) as isize {
            let (src, dst) = (walk.src + i * along.src, walk.dst + i * along.dst);
            for j in 0..inner.len as isize {
                // SAFETY: see above: one index of the two axes.
                unsafe {
                    *self.dst.offset(dst + j * inner.dst) = *self.src.offset(src + j * inner.src);
                }
            }
        }
    }
}

/// Copies a row.
#[inline(always)]
fn copy_cells<const N: usize>(from: &[Cell<Lump<N>>], to: &mut [MaybeUninit<Lump<N>>]) {
    let n = from.len().min(to.len()) * N;
    // SAFETY: both have as many bytes; what can be written is nobody else's.
    unsafe { copy_bytes(from.as_ptr().cast(), to.as_mut_ptr().cast(), n) };
}

/// Copies bytes. (A few of them would take longer to be handed to the C library than to be copied: two copies, from both
/// ends, that may overlap.)
///
/// # Safety
/// `n` bytes can be read and written, and the two are apart.
#[inline(always)]
unsafe fn copy_bytes(from: *const u8, to: *mut u8, n: usize) {
    macro_rules! copy {
        ($t:ty, $at:expr) => {
            // SAFETY: `$at` and the type's size are at most `n` together; nothing is aligned.
            unsafe { to.add($at).cast::<Bits<$t>>().write_unaligned(from.add($at).cast::<Bits<$t>>().read_unaligned()) }
        };
    }
    macro_rules! both_ends {
        ($t:ty) => {{
            copy!($t, 0);
            copy!($t, n - size_of::<$t>());
        }};
    }
    match n {
        0 => {}
        1 => copy!(u8, 0),
        2..4 => both_ends!(u16),
        4..8 => both_ends!(u32),
        8..16 => both_ends!(u64),
        16..32 => both_ends!([u8; 16]),
        32..=SHORT_BYTES => {
            let mut at = 0;
            while at + 32 < n {
                copy!([u8; 32], at);
                at += 32;
            }
            copy!([u8; 32], n - 32);
        }
        // SAFETY: the caller's promise.
        _ => unsafe { std::ptr::copy_nonoverlapping(from, to, n) },
    }
}

/// Bytes that may hold nothing.
type Bits<T> = MaybeUninit<T>;
