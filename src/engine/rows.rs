//! Rows of caller memory, borrowed where they lie or carried through scratch.
//!
//! A row is `W x inner` elements of one array at one `(block, d, h)`. Reading gives `&[Cell<T>]`, for another thread
//! may write to a caller's array while the GIL is released; a row with odd strides or another stored type is packed
//! into per-thread scratch. Writing goes to fresh or `out=` memory as `&mut [MaybeUninit<T>]`, or through scratch.
//!
//! Tried and of no help: asking for the next rows (one page ahead) while a borrowed one is worked on; max pooling k2s2 took
//! 0.70 ms without and 0.77 ms with it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::room::{Room, grow};
use super::simd::{self, Job, Level};
use crate::element::Codec;
use crate::error::Result;
use crate::geometry::Reach;
use crate::layout::Grid;

/// Bytes of a row that is long enough to be converted by itself, as soon as it has been made.
pub const LONG_ROW: usize = 4 << 10;

/// Bytes of rows to make at once where they are then written past the caches.
const STAGE_BYTES: usize = 8 << 10;

/// Position of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Outer block.
    pub block: usize,
    /// Position along D.
    pub d: usize,
    /// Position along H.
    pub h: usize,
}

/// Initialised memory as memory to be written.
#[inline(always)]
pub fn as_uninit<T: Copy>(row: &mut [T]) -> &mut [MaybeUninit<T>] {
    // SAFETY: same layout; kernels only ever `write` a `T` through it, so every element stays initialised.
    unsafe { &mut *(std::ptr::from_mut(row) as *mut [MaybeUninit<T>]) }
}

/// Own memory as a row to read.
#[inline(always)]
pub fn as_cells<T: Copy>(row: &mut [T]) -> &[Cell<T>] {
    Cell::from_mut(row).as_slice_of_cells()
}

/// Converts a contiguous row on its way in.
struct Load<'a, C: Codec> {
    codec: C,
    from: &'a [Cell<C::Stored>],
    to: &'a mut [C::Computed],
}

impl<C: Codec> Job for Load<'_, C> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = self.codec.load(from.get());
        }
    }
}

/// Elements as they are stored, as what is computed with.
pub fn widen<C: Codec>(codec: C, from: &mut [C::Stored], to: &mut [C::Computed]) {
    simd::dispatch(Load { codec, from: as_cells(from), to });
}

/// Converts a contiguous row on its way out, up to the end of a stretch in which a result is in doubt; returns how far.
struct Store<'a, C: Codec> {
    codec: C,
    from: &'a [C::Computed],
    to: &'a mut [MaybeUninit<C::Stored>],
    /// Whether past the caches.
    streamed: bool,
}

/// Elements that are looked at together for doubt: few of them are in doubt, and they are found one by one. And elements
/// that are converted before they are streamed.
const STRETCH: usize = 256;

/// A place to convert elements in, on a line of the cache.
#[repr(align(64))]
struct Stretch<T>([MaybeUninit<T>; STRETCH]);

impl<C: Codec> Job for Store<'_, C> {
    type Output = Option<Range<usize>>;
    #[inline(always)]
    fn run<L: Level>(self, level: L) -> Option<Range<usize>> {
        let Self { codec, from, to, streamed } = self;
        let at_once = if codec.doubts() || streamed { STRETCH } else { usize::MAX };
        let mut stretch = Stretch([const { MaybeUninit::uninit() }; STRETCH]);
        let mut done = 0;
        while done < from.len() {
            let end = from.len().min(done.saturating_add(at_once));
            let (from, to) = (&from[done..end], &mut to[done..end]);
            let doubt = if streamed {
                let made = &mut stretch.0[..from.len()];
                let doubt = codec.store_row(from, made);
                // SAFETY: `store_row` has written every element; `MaybeUninit` has their layout.
                level.stream(unsafe { &*(std::ptr::from_ref(made) as *const [C::Stored]) }, to);
                doubt
            } else {
                codec.store_row(from, to)
            };
            if doubt {
                return Some(done..end);
            }
            done = end;
        }
        None
    }
}

/// Converts a contiguous row on its way out, and tells which results are in doubt.
fn convert<C: Codec>(
    codec: C,
    from: &[C::Computed],
    to: &mut [MaybeUninit<C::Stored>],
    streamed: bool,
    settle: &dyn Fn(usize),
) {
    let mut done = 0;
    while let Some(found) = simd::dispatch(Store { codec, from: &from[done..], to: &mut to[done..], streamed }) {
        let (mut next, end) = (done + found.start, done + found.end);
        while let Some(e) = simd::dispatch(Doubt { codec, values: &from[next..end] }) {
            settle(next + e);
            next += e + 1;
        }
        done = end;
    }
}

/// Finds the first value in doubt.
struct Doubt<'a, C: Codec> {
    codec: C,
    values: &'a [C::Computed],
}

impl<C: Codec> Job for Doubt<'_, C> {
    type Output = Option<usize>;
    #[inline(always)]
    fn run<L: Level>(self, _: L) -> Option<usize> {
        const FEW: usize = 16;
        for (i, values) in self.values.chunks(FEW).enumerate() {
            let mut any = false;
            for v in values {
                any |= self.codec.in_doubt(*v);
            }
            if any {
                return values.iter().position(|v| self.codec.in_doubt(*v)).map(|j| i * FEW + j);
            }
        }
        None
    }
}

/// Copies a row past the caches.
struct Stream<'a, T> {
    from: &'a [T],
    to: &'a mut [MaybeUninit<T>],
}

impl<T: Copy> Job for Stream<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        level.stream(self.from, self.to);
    }
}

/// Geometry of a row within its array.
#[derive(Clone, Copy)]
struct Strides {
    width: usize,
    inner: usize,
    w: isize,
    c: isize,
}

impl Strides {
    /// Whether the elements lie next to each other, in order.
    #[inline(always)]
    fn contiguous(self) -> bool {
        (self.inner == 1 || self.c == 1) && (self.width == 1 || self.w == self.inner as isize)
    }

    #[inline(always)]
    fn len(self) -> usize {
        self.width * self.inner
    }
}

/// Rows of one block that a kernel reads, each contiguous: caller memory where it lies, or packed.
#[derive(Clone, Copy)]
pub struct Rows<'a, T> {
    /// The row `(0, 0)`, whether or not it is one of the rows.
    origin: *const T,
    strides: [isize; 2],
    d: (usize, usize),
    h: (usize, usize),
    len: usize,
    life: PhantomData<&'a Cell<T>>,
}

impl<'a, T: Copy> Rows<'a, T> {
    /// `n` rows of `len` elements that lie one after the other, as those from `(d, h)` on.
    #[must_use]
    pub fn packed(rows: &'a mut [T], (d, h): (usize, usize), n: usize, len: usize) -> Self {
        let rows = &mut rows[..n * len];
        let origin = rows.as_ptr().wrapping_offset(-((h * len) as isize));
        Self { origin, strides: [0, len as isize], d: (d, d + 1), h: (h, h + n), len, life: PhantomData }
    }

    /// Elements of a row.
    #[inline(always)]
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.len
    }

    /// Some elements of each row.
    #[inline(always)]
    #[must_use]
    pub fn part(&self, elements: Range<usize>) -> Self {
        assert!(elements.start <= elements.end && elements.end <= self.len, "elements outside the rows");
        Self { origin: self.origin.wrapping_add(elements.start), len: elements.len(), ..*self }
    }

    /// The row at `(d, h)`, if it is one of the rows.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, d: usize, h: usize) -> Option<&'a [Cell<T>]> {
        let held = d >= self.d.0 && d < self.d.1 && h >= self.h.0 && h < self.h.1;
        held.then(|| self.row(d, h))
    }

    /// The row at `(d, h)`.
    #[inline(always)]
    pub fn row(&self, d: usize, h: usize) -> &'a [Cell<T>] {
        assert!(d >= self.d.0 && d < self.d.1 && h >= self.h.0 && h < self.h.1, "row outside the rows held");
        let offset = d as isize * self.strides[0] + h as isize * self.strides[1];
        // SAFETY: whoever made this promises `len` readable, initialised elements at every row within the bounds just
        // checked, for as long as `'a`; `Cell` allows for another thread's writes to be seen.
        unsafe { std::slice::from_raw_parts(self.origin.wrapping_offset(offset).cast::<Cell<T>>(), self.len) }
    }
}

/// Rows at equal distances, within planes at equal distances.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    origin: *const T,
    /// From plane to plane, and from row to row.
    steps: [isize; 2],
    /// Planes, and rows of each.
    rows: [usize; 2],
    len: usize,
    life: PhantomData<&'a Cell<T>>,
}

impl<'a, T: Copy> List<'a, T> {
    /// A single row.
    #[inline(always)]
    #[must_use]
    pub fn one(row: &'a [Cell<T>]) -> Self {
        Self { origin: row.as_ptr().cast(), steps: [0; 2], rows: [1, 1], len: row.len(), life: PhantomData }
    }

    /// Elements of a row.
    #[inline(always)]
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.len
    }

    /// How many rows there are.
    #[inline(always)]
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows[0] * self.rows[1]
    }

    /// Row `j`.
    #[inline(always)]
    #[must_use]
    pub fn row(&self, j: usize) -> &'a [Cell<T>] {
        // (A division for every row is worth avoiding.)
        let (d, h) = if self.rows[0] == 1 { (0, j) } else { (j / self.rows[1], j % self.rows[1]) };
        assert!(d < self.rows[0] && h < self.rows[1], "row outside the list");
        let offset = d as isize * self.steps[0] + h as isize * self.steps[1];
        // SAFETY: `Rows::list` checked that the first and the last of these rows are held, and so are all between; their
        // `len` elements are those of the row, or are followed, in the rows after it that are held, by as many as that. A
        // single row is the first and the last.
        unsafe { std::slice::from_raw_parts(self.origin.wrapping_offset(offset).cast::<Cell<T>>(), self.len) }
    }
}

impl<'a, T: Copy> Rows<'a, T> {
    /// The rows as `codec` sees them, if they need not be converted.
    fn borrowed<C: Codec<Stored = T>>(&self) -> Option<Rows<'a, C::Computed>> {
        let &Self { origin, strides, d, h, len, life: _ } = self;
        // The types are the same where an empty row is borrowed.
        C::borrow(&[]).map(|_| Rows { origin: origin.cast(), strides, d, h, len, life: PhantomData })
    }

    /// The rows at the places that `d` and `h` reach, plane by plane, one check for all; of `wide` elements each, if those
    /// that follow a row are elements of rows held.
    #[inline(always)]
    pub fn list(&self, d: Reach, h: Reach, wide: usize) -> List<'a, T> {
        if d.count == 0 || h.count == 0 {
            return List { origin: self.origin, steps: [0; 2], rows: [0; 2], len: 0, life: PhantomData };
        }
        let ends = [d.end() - 1, h.end() - 1];
        let (first, _) = (self.row(d.start, h.start), self.row(ends[0], ends[1]));
        let follows = self.strides[1] == self.len as isize && ends[1] * self.len + wide <= self.h.1 * self.len;
        let steps = [d.step as isize * self.strides[0], h.step as isize * self.strides[1]];
        let len = if follows { wide.max(self.len) } else { self.len };
        List { origin: first.as_ptr().cast(), steps, rows: [d.count, h.count], len, life: PhantomData }
    }

    /// Rows of a plane as one, if they lie one after the other.
    #[inline(always)]
    pub fn flat(&self, d: usize, h: Range<usize>) -> Option<&'a [Cell<T>]> {
        if h.is_empty() || self.strides[1] != self.len as isize {
            return None;
        }
        let (first, _) = (self.row(d, h.start), self.row(d, h.end - 1));
        // SAFETY: the first and the last row, and so all between, are readable; each begins where the one before ends.
        Some(unsafe { std::slice::from_raw_parts(first.as_ptr(), h.len() * self.len) })
    }
}

/// Rows of one block that a kernel writes, each contiguous: `d * height + h` counts them.
pub struct RowsMut<'a, T> {
    /// The row `(0, 0)`, whether or not it is one of the rows.
    origin: *mut MaybeUninit<T>,
    strides: [isize; 2],
    height: usize,
    rows: Range<usize>,
    len: usize,
    /// Where rows are made that are then written past the caches, or one that is taken by `emit`.
    stage: Option<&'a mut [T]>,
    emit: Option<Emit<'a, T>>,
    /// Elements of a row to be made at once, if parts of rows will do.
    part: usize,
    /// Whether the row that is being made need not be finished any more.
    taken: bool,
    life: PhantomData<&'a mut T>,
}

/// What is done with a row that has been made, or with a part of it that begins with this element.
type Emit<'a, T> = &'a dyn Fn(&mut [T], At, usize);

/// Bytes of a part of a row that is made and converted at once: it stays in L1 beside what it is made of.
const PART_BYTES: usize = 4 << 10;

/// Output rows that want to hear when one of them is complete.
pub trait Finish {
    /// The row at `(d, h)` has been written.
    fn finish<L: Level>(&mut self, level: L, d: usize, h: usize);
}

impl<T: Copy> Finish for RowsMut<'_, T> {
    #[inline(always)]
    fn finish<L: Level>(&mut self, level: L, d: usize, h: usize) {
        if self.taken {
            self.taken = false;
        } else {
            self.finish_rows(level, d, h..h + 1);
        }
    }
}

impl<A: Finish, B: Finish> Finish for (A, B) {
    #[inline(always)]
    fn finish<L: Level>(&mut self, level: L, d: usize, h: usize) {
        self.0.finish(level, d, h);
        self.1.finish(level, d, h);
    }
}

impl<T: Copy> RowsMut<'_, T> {
    /// The row at `(d, h)`, to be written and then [finished](Finish::finish).
    #[inline(always)]
    pub fn row(&mut self, d: usize, h: usize) -> &mut [MaybeUninit<T>] {
        self.rows(d, h..h + 1)
    }

    /// Whether rows are made elsewhere, and then written.
    #[inline(always)]
    #[must_use]
    pub fn is_staged(&self) -> bool {
        self.stage.is_some()
    }

    /// How many rows can be had at once.
    #[inline(always)]
    #[must_use]
    pub fn at_once(&self) -> usize {
        match &self.stage {
            _ if self.strides[1] != self.len as isize => 1,
            Some(stage) => stage.len() / self.len.max(1),
            None => usize::MAX,
        }
    }

    /// Some rows of plane `d`, not more than [can be had at once](RowsMut::at_once), one after the other, to be written and
    /// then [finished](RowsMut::finish_rows).
    #[inline(always)]
    pub fn rows(&mut self, d: usize, h: Range<usize>) -> &mut [MaybeUninit<T>] {
        let n = h.len() * self.len;
        if self.stage.is_none() {
            return self.place(d, h);
        }
        self.stage.as_deref_mut().map_or(&mut [], |stage| as_uninit(&mut stage[..n]))
    }

    /// The row that is being made has been written where it lies.
    #[inline(always)]
    pub fn written(&mut self) {
        self.taken = true;
    }

    /// The row at `(d, h)` where it lies, if rows are made elsewhere only to be written past the caches: to be written so, and then
    /// [told to be](RowsMut::written).
    #[inline(always)]
    pub fn past_caches(&mut self, d: usize, h: usize) -> Option<&mut [MaybeUninit<T>]> {
        (self.stage.is_some() && self.emit.is_none()).then(|| self.place(d, h..h + 1))
    }

    /// The rows have been written.
    #[inline(always)]
    pub fn finish_rows<L: Level>(&mut self, level: L, d: usize, h: Range<usize>) {
        if let Some(stage) = self.stage.take() {
            match self.emit {
                Some(emit) => emit(stage, At { block: 0, d, h: h.start }, 0),
                None => level.stream(&stage[..h.len() * self.len], self.place(d, h)),
            }
            self.stage = Some(stage);
        }
    }

    /// Elements of a row that may be written at once, if it is written part by part.
    #[inline(always)]
    pub fn part(&self) -> usize {
        self.part.min(self.len)
    }

    /// Elements `first..first + n` of the row at `(d, h)` are what [`RowsMut::row`] now begins with, for rows that have parts.
    #[inline(always)]
    pub fn finish_part(&mut self, d: usize, h: usize, first: usize, n: usize) {
        if self.part < self.len
            && let (Some(stage), Some(emit)) = (self.stage.as_deref_mut(), self.emit)
        {
            emit(&mut stage[..n], At { block: 0, d, h }, first);
            self.taken = true;
        }
    }

    #[inline(always)]
    fn place(&mut self, d: usize, h: Range<usize>) -> &mut [MaybeUninit<T>] {
        let row = d * self.height + h.start;
        let held = h.end <= self.height && row >= self.rows.start && row + h.len() <= self.rows.end;
        assert!(held && (h.len() == 1 || self.strides[1] == self.len as isize), "row outside the rows held");
        let offset = d as isize * self.strides[0] + h.start as isize * self.strides[1];
        // SAFETY: whoever made this promises `len` writeable elements at every row within the bounds just checked, which
        // nobody else uses for as long as the borrow of `self`; rows do not overlap, and several begin each where the one
        // before ends.
        unsafe { std::slice::from_raw_parts_mut(self.origin.wrapping_offset(offset), h.len() * self.len) }
    }
}

/// Which rows of which columns of which block.
#[derive(Debug, Clone)]
pub struct Place {
    /// Outer block.
    pub block: usize,
    /// Planes.
    pub d: Range<usize>,
    /// Rows of each.
    pub h: Range<usize>,
    /// Columns.
    pub cols: Range<usize>,
}

impl<P: Copy> Grid<P> {
    /// Offset in elements of the row's element `cols.start`, and the row's strides. Panics on a position outside the
    /// array: that is what makes the functions below safe.
    #[inline(always)]
    fn row(&self, at: At, cols: &Range<usize>) -> (isize, Strides) {
        let [d, h, w] = self.spatial;
        assert!(at.d < d && at.h < h && cols.start <= cols.end && cols.end <= w, "row outside the array");
        let [sd, sh, sw] = self.spatial_strides;
        let offset = self.block_offset(at.block) + at.d as isize * sd + at.h as isize * sh + cols.start as isize * sw;
        (offset, Strides { width: cols.len(), inner: self.inner, w: sw, c: self.inner_stride })
    }
}

impl<T: Copy> Grid<*const T> {
    /// The row as `codec` sees it: borrowed, or packed into `scratch` (at least `cols.len() * inner` long).
    pub fn load<'a, C: Codec<Stored = T>>(
        &'a self,
        codec: C,
        at: At,
        cols: &Range<usize>,
        scratch: &'a mut [C::Computed],
    ) -> &'a [Cell<C::Computed>] {
        let (offset, s) = self.row(at, cols);
        if s.len() == 0 {
            return &[];
        }
        // SAFETY: the view this grid was made from promises that every in-range index is a readable address, and
        // `row` checked the indices (a block index is reduced modulo the outer lengths).
        let first = unsafe { self.ptr.offset(offset) };
        if s.contiguous() {
            // SAFETY: `len` elements from `first` on are in-range indices of a readable array; `Cell` allows for
            // another thread's writes to be seen, and all bit patterns other writers may leave are valid `T`s.
            let row = unsafe { std::slice::from_raw_parts(first.cast::<Cell<T>>(), s.len()) };
            if let Some(row) = C::borrow(row) {
                return row;
            }
            let scratch = &mut scratch[..s.len()];
            simd::dispatch(Load { codec, from: row, to: scratch });
            return as_cells(scratch);
        }
        let scratch = &mut scratch[..s.len()];
        if s.inner == 1 {
            for (w, to) in scratch.iter_mut().enumerate() {
                // SAFETY: `w` is within the row, so this is an in-range index of the array.
                *to = codec.load(unsafe { first.offset(w as isize * s.w).read() });
            }
            return as_cells(scratch);
        }
        for (w, to) in scratch.chunks_exact_mut(s.inner).enumerate() {
            for (c, to) in to.iter_mut().enumerate() {
                // SAFETY: as above, for `(w, c)`.
                *to = codec.load(unsafe { first.offset(w as isize * s.w + c as isize * s.c).read() });
            }
        }
        as_cells(scratch)
    }

    /// The row itself, if it can be borrowed: contiguous, and stored as it is computed.
    #[inline(always)]
    pub fn borrow(&self, at: At, cols: &Range<usize>) -> Option<&[Cell<T>]> {
        let (offset, s) = self.row(at, cols);
        if s.len() == 0 || !s.contiguous() {
            return None;
        }
        // SAFETY: as in `load`.
        Some(unsafe { std::slice::from_raw_parts(self.ptr.offset(offset).cast::<Cell<T>>(), s.len()) })
    }

    /// The sum of neighbours along W, from `(w, c)` on, with these weights.
    pub fn weighted<C: Codec<Stored = T>>(&self, codec: C, at: At, (w, c): (usize, usize), weights: &[f64]) -> f64 {
        let (offset, s) = self.row(at, &(w..w + weights.len()));
        assert!(c < s.inner, "channel outside the array");
        let mut sum = 0.0;
        for (k, weight) in weights.iter().enumerate() {
            // SAFETY: `row` and the assertion checked every index.
            sum += weight * codec.wide(unsafe { self.ptr.offset(offset + k as isize * s.w + c as isize * s.c).read() });
        }
        sum
    }

    /// One element, read once.
    #[inline(always)]
    pub fn get(&self, at: At, w: usize, c: usize) -> T {
        let (offset, s) = self.row(at, &(w..w + 1));
        assert!(c < s.inner, "channel outside the array");
        // SAFETY: `row` and the assertion checked every index.
        unsafe { self.ptr.offset(offset + c as isize * s.c).read() }
    }
}

impl<T: Copy> Grid<*const T> {
    /// Whether [`Grid::rows`] finds the rows where they lie.
    pub fn rows_lie_ready<C: Codec<Stored = T>>(&self) -> bool {
        let [_, _, width] = self.spatial;
        C::SAME && Strides { width, inner: self.inner, w: self.spatial_strides[2], c: self.inner_stride }.contiguous()
    }

    /// The rows of a place where they lie, if each is contiguous.
    #[must_use]
    pub fn lying(&self, place: &Place) -> Option<Rows<'_, T>> {
        let Place { block, d, h, cols } = place;
        let len = cols.len() * self.inner;
        if d.is_empty() || h.is_empty() || len == 0 {
            let origin = std::ptr::NonNull::<T>::dangling().as_ptr().cast_const();
            return Some(Rows { origin, strides: [0; 2], d: (0, 0), h: (0, 0), len: 0, life: PhantomData });
        }
        let (first, last) =
            (At { block: *block, d: d.start, h: h.start }, At { block: *block, d: d.end - 1, h: h.end - 1 });
        let (offset, s) = self.row(first, cols);
        self.row(last, cols); // is within the array, and so is every row between the two
        let [sd, sh, _] = self.spatial_strides;
        // (The row `(0, 0)` need not be one that may be read.)
        let origin = self.ptr.wrapping_offset(offset - (d.start as isize * sd + h.start as isize * sh));
        let (d, h) = ((d.start, d.end), (h.start, h.end));
        s.contiguous().then_some(Rows { origin, strides: [sd, sh], d, h, len, life: PhantomData })
    }

    /// The rows of a place as `codec` sees them: where they lie, or packed.
    ///
    /// # Errors
    /// If there is no memory to pack them.
    pub fn rows<'a, C: Codec<Stored = T>>(
        &'a self,
        codec: C,
        place: &Place,
        packed: &'a mut Room<C::Computed>,
    ) -> Result<Rows<'a, C::Computed>> {
        if let Some(rows) = self.lying(place)
            && let Some(rows) = rows.borrowed::<C>()
        {
            return Ok(rows);
        }
        let Place { block, d, h, cols } = place;
        let (planes, height) = (d.len(), h.len());
        if planes == 0 || height == 0 || cols.is_empty() || self.inner == 0 {
            return Ok(Rows {
                origin: packed.as_ptr(),
                strides: [0; 2],
                d: (0, 0),
                h: (0, 0),
                len: 0,
                life: PhantomData,
            });
        }
        let (d_bounds, h_bounds) = ((d.start, d.end), (h.start, h.end));
        let len = cols.len() * self.inner;
        let first = At { block: *block, d: d.start, h: h.start };
        let (offset, s) = self.row(first, cols);
        let [_, sh, _] = self.spatial_strides;
        grow(packed, planes * height * len)?;
        let at_once = s.contiguous() && planes == 1 && (height == 1 || sh == len as isize);
        if at_once {
            // SAFETY: as in `load`, for rows that lie one after the other.
            let from = unsafe { std::slice::from_raw_parts(self.ptr.offset(offset).cast::<Cell<T>>(), height * len) };
            simd::dispatch(Load { codec, from, to: &mut packed[..height * len] });
        }
        let mut rows = packed.chunks_exact_mut(len).skip(if at_once { planes * height } else { 0 });
        for (d, h) in d.clone().flat_map(|d| h.clone().map(move |h| (d, h))) {
            if let Some(scratch) = rows.next() {
                self.load(codec, At { block: *block, d, h }, cols, scratch);
            }
        }
        let strides = [(height * len) as isize, len as isize];
        let origin = packed.as_ptr().wrapping_offset(-(d.start as isize * strides[0] + h.start as isize * strides[1]));
        Ok(Rows { origin, strides, d: d_bounds, h: h_bounds, len, life: PhantomData })
    }
}

/// An array to be read, whatever its elements are stored as: for what need not be compiled for each stored type.
pub trait Readable<K: Copy>: Sync {
    /// Whether rows are read where they lie.
    fn ready(&self) -> bool;
    /// Lengths `[D, H, W]`, and channels.
    fn lens(&self) -> ([usize; 3], usize);
    /// As [`Grid::load`].
    fn row<'a>(&'a self, at: At, cols: &Range<usize>, scratch: &'a mut [K]) -> &'a [Cell<K>];
    /// As [`Grid::rows`].
    ///
    /// # Errors
    /// If there is no memory to pack them.
    fn rows<'a>(&'a self, place: &Place, packed: &'a mut Room<K>) -> Result<Rows<'a, K>>;
}

/// An array to be written, whatever its elements are stored as.
pub trait Writable<K>: Sync {
    /// Lengths `[D, H, W]`, and channels.
    fn lens(&self) -> ([usize; 3], usize);
    /// As [`Grid::store_from`].
    fn write(&self, at: At, cols: &Range<usize>, values: &mut [K]);
    /// As [`Grid::store`].
    fn make(&self, at: At, cols: &Range<usize>, scratch: &mut [K], fill: &mut dyn FnMut(&mut [MaybeUninit<K>]));
}

impl<C: Codec> Readable<C::Computed> for (C, Grid<*const C::Stored>) {
    fn ready(&self) -> bool {
        self.1.rows_lie_ready::<C>()
    }
    fn lens(&self) -> ([usize; 3], usize) {
        (self.1.spatial, self.1.inner)
    }
    fn row<'a>(&'a self, at: At, cols: &Range<usize>, scratch: &'a mut [C::Computed]) -> &'a [Cell<C::Computed>] {
        self.1.load(self.0, at, cols, scratch)
    }
    fn rows<'a>(&'a self, place: &Place, packed: &'a mut Room<C::Computed>) -> Result<Rows<'a, C::Computed>> {
        self.1.rows(self.0, place, packed)
    }
}

impl<C: Codec> Writable<C::Computed> for (C, Grid<*mut C::Stored>) {
    fn lens(&self) -> ([usize; 3], usize) {
        (self.1.spatial, self.1.inner)
    }
    fn write(&self, at: At, cols: &Range<usize>, values: &mut [C::Computed]) {
        self.1.store_from(self.0, at, cols, values);
    }
    fn make(
        &self,
        at: At,
        cols: &Range<usize>,
        scratch: &mut [C::Computed],
        fill: &mut dyn FnMut(&mut [MaybeUninit<C::Computed>]),
    ) {
        self.1.store(self.0, at, cols, scratch, fill);
    }
}

impl<T: Copy> Grid<*mut T> {
    /// Whether [`Grid::write_rows`] writes the rows where they lie.
    pub fn rows_lie_ready<C: Codec<Stored = T>>(&self) -> bool {
        let [_, _, width] = self.spatial;
        let s = Strides { width, inner: self.inner, w: self.spatial_strides[2], c: self.inner_stride };
        C::SAME && s.contiguous()
    }

    /// Lets `fill` write the rows `rows` (counted through the planes) of some columns of a block: where they lie, or into
    /// `scratch`, which is then stored. `fill` must write every element.
    ///
    /// # Errors
    /// If there is no memory for the scratch, and `fill` has not run then; or what `fill` returns.
    pub fn write_rows<C: Codec<Stored = T>>(
        &self,
        codec: C,
        block: usize,
        rows: &Range<usize>,
        cols: &Range<usize>,
        scratch: &mut Room<C::Computed>,
        fill: &mut dyn FnMut(RowsMut<'_, C::Computed>) -> Result<()>,
    ) -> Result<()> {
        self.write_rows_then(codec, block, rows, cols, scratch, fill, &|_, _| {})
    }

    /// As [`Grid::write_rows`]; `settle` is told where a result is in doubt once it has been stored: the row, which of its
    /// elements, counted from the first column, and its sum.
    ///
    /// # Errors
    /// As [`Grid::write_rows`].
    #[allow(clippy::too_many_arguments)]
    pub fn write_rows_then<C: Codec<Stored = T>>(
        &self,
        codec: C,
        block: usize,
        rows: &Range<usize>,
        cols: &Range<usize>,
        scratch: &mut Room<C::Computed>,
        fill: &mut dyn FnMut(RowsMut<'_, C::Computed>) -> Result<()>,
        settle: &dyn Fn(At, usize),
    ) -> Result<()> {
        let [_, height, _] = self.spatial;
        let len = cols.len() * self.inner;
        if rows.is_empty() || len == 0 {
            return Ok(());
        }
        let at = |row: usize| At { block, d: row / height, h: row % height };
        let (offset, s) = self.row(at(rows.start), cols);
        self.row(at(rows.end - 1), cols); // is within the array, and so is every row between the two
        let [sd, sh, _] = self.spatial_strides;
        if s.contiguous() {
            // SAFETY: as in `store`, for the first row.
            let row =
                unsafe { std::slice::from_raw_parts_mut(self.ptr.offset(offset).cast::<MaybeUninit<T>>(), s.len()) };
            if let Some(row) = C::borrow_mut(row) {
                let first = at(rows.start);
                let origin = row.as_mut_ptr().wrapping_offset(-(first.d as isize * sd + first.h as isize * sh));
                let stage = if self.streamed {
                    let at_once = if sh == len as isize { STAGE_BYTES / (len * size_of::<T>()).max(1) } else { 1 };
                    let staged = at_once.clamp(1, rows.len()) * len;
                    grow(scratch, staged)?;
                    Some(&mut scratch[..staged])
                } else {
                    None
                };
                let rows = rows.clone();
                let strides = [sd, sh];
                let whole = usize::MAX;
                return fill(RowsMut {
                    origin,
                    strides,
                    height,
                    rows,
                    len,
                    stage,
                    emit: None,
                    part: whole,
                    taken: false,
                    life: PhantomData,
                });
            }
        }
        if len * size_of::<C::Computed>() >= LONG_ROW && !C::SAME {
            // Row by row, while it is in L1.
            grow(scratch, len)?;
            let emit = |values: &mut [C::Computed], at: At, first: usize| {
                let at = At { block, ..at };
                match values.len() {
                    n if n == len => self.store_settled(codec, at, cols, values, settle),
                    _ => self.store_part(codec, at, cols, first, values, settle),
                }
            };
            let origin = std::ptr::NonNull::dangling().as_ptr();
            let stage = Some(&mut scratch[..len]);
            let rows = rows.clone();
            return fill(RowsMut {
                origin,
                strides: [0; 2],
                height,
                rows,
                len,
                stage,
                emit: Some(&emit),
                part: if s.contiguous() { PART_BYTES / size_of::<C::Computed>() } else { len },
                taken: false,
                life: PhantomData,
            });
        }
        grow(scratch, rows.len() * len)?;
        let origin =
            scratch.as_mut_ptr().cast::<MaybeUninit<C::Computed>>().wrapping_offset(-((rows.start * len) as isize));
        let strides = [(height * len) as isize, len as isize];
        fill(RowsMut {
            origin,
            strides,
            height,
            rows: rows.clone(),
            len,
            stage: None,
            emit: None,
            part: usize::MAX,
            taken: false,
            life: PhantomData,
        })?;
        let first = at(rows.start);
        if s.contiguous() && !self.streamed && first.d == at(rows.end - 1).d && (rows.len() == 1 || sh == len as isize)
        {
            let n = rows.len() * len;
            // SAFETY: as in `store`, for rows that lie one after the other.
            let to = unsafe { std::slice::from_raw_parts_mut(self.ptr.offset(offset).cast::<MaybeUninit<T>>(), n) };
            convert(codec, &scratch[..n], to, false, &|e| settle(at(rows.start + e / len), e % len));
            return Ok(());
        }
        for (row, values) in rows.clone().zip(scratch.chunks_exact_mut(len)) {
            self.store_settled(codec, at(row), cols, values, &settle);
        }
        Ok(())
    }

    /// Lets `fill` write the row, in place where it can, else into `scratch` (at least `cols.len() * inner` long), which
    /// is then stored. `fill` must write every element: where it does not, the row keeps what `scratch` or memory held.
    ///
    /// Rows of different positions never share an element, so threads may store different rows at once.
    pub fn store<C: Codec<Stored = T>>(
        &self,
        codec: C,
        at: At,
        cols: &Range<usize>,
        scratch: &mut [C::Computed],
        fill: impl FnOnce(&mut [MaybeUninit<C::Computed>]),
    ) {
        let (offset, s) = self.row(at, cols);
        if s.len() == 0 {
            return;
        }
        // SAFETY: as in `load`.
        let first = unsafe { self.ptr.offset(offset) };
        if s.contiguous() {
            // SAFETY: in-range, writeable, and nobody else's: the view's contract, and one row is stored by one thread.
            let row = unsafe { std::slice::from_raw_parts_mut(first.cast::<MaybeUninit<T>>(), s.len()) };
            if !self.streamed
                && let Some(row) = C::borrow_mut(row)
            {
                fill(row);
                return;
            }
            let scratch = &mut scratch[..s.len()];
            fill(as_uninit(scratch));
            self.put(codec, scratch, row);
            return;
        }
        let scratch = &mut scratch[..s.len()];
        fill(as_uninit(scratch));
        if s.c.unsigned_abs() < s.w.unsigned_abs() {
            for (w, from) in scratch.chunks_exact(s.inner).enumerate() {
                for (c, from) in from.iter().enumerate() {
                    // SAFETY: `(w, c)` is within the row; nobody else writes it.
                    unsafe { first.offset(w as isize * s.w + c as isize * s.c).write(codec.store(*from)) };
                }
            }
            return;
        }
        // Channels outside: where a row is transposed on its way out, each channel's run of W is written at once.
        for c in 0..s.inner {
            for (w, from) in scratch[c..].iter().step_by(s.inner).enumerate() {
                // SAFETY: `(w, c)` is within the row; nobody else writes it.
                unsafe { first.offset(w as isize * s.w + c as isize * s.c).write(codec.store(*from)) };
            }
        }
    }

    /// Writes one element. As for [`Grid::store`], it must be of a row that this thread stores.
    pub fn set(&self, at: At, w: usize, c: usize, v: T) {
        let (offset, s) = self.row(at, &(w..w + 1));
        assert!(c < s.inner, "channel outside the array");
        // SAFETY: `row` and the assertion checked every index; nobody else writes the row.
        unsafe { self.ptr.offset(offset + c as isize * s.c).write(v) };
    }

    /// Stores a row that has been computed already.
    pub fn store_from<C: Codec<Stored = T>>(&self, codec: C, at: At, cols: &Range<usize>, values: &mut [C::Computed]) {
        self.store_settled(codec, at, cols, values, &|_, _| {});
    }

    /// As [`Grid::store_from`], with the results in doubt told.
    fn store_settled<C: Codec<Stored = T>>(
        &self,
        codec: C,
        at: At,
        cols: &Range<usize>,
        values: &mut [C::Computed],
        settle: &dyn Fn(At, usize),
    ) {
        let (offset, s) = self.row(at, cols);
        if !s.contiguous() || s.len() == 0 {
            self.store(codec, at, cols, values, |_| {}); // goes through `values` as its scratch
            if codec.doubts() {
                (0..s.len()).filter(|e| codec.in_doubt(values[*e])).for_each(|e| settle(at, e));
            }
            return;
        }
        // SAFETY: as in `store`.
        let row = unsafe { std::slice::from_raw_parts_mut(self.ptr.offset(offset).cast::<MaybeUninit<T>>(), s.len()) };
        if codec.doubts() {
            convert(codec, &values[..s.len()], row, self.streamed, &|e| settle(at, e));
        } else {
            self.put(codec, &values[..s.len()], row);
        }
    }

    /// As [`Grid::store_settled`], of a part of a contiguous row that begins with element `first`.
    fn store_part<C: Codec<Stored = T>>(
        &self,
        codec: C,
        at: At,
        cols: &Range<usize>,
        first: usize,
        values: &[C::Computed],
        settle: &dyn Fn(At, usize),
    ) {
        let (offset, s) = self.row(at, cols);
        assert!(s.contiguous() && first + values.len() <= s.len(), "part outside the row");
        // SAFETY: as in `store`, for elements of the row by the assertion.
        let part = unsafe {
            let start = self.ptr.offset(offset).add(first).cast::<MaybeUninit<T>>();
            std::slice::from_raw_parts_mut(start, values.len())
        };
        convert(codec, values, part, self.streamed, &|e| settle(at, first + e));
    }

    /// Writes a computed row to a contiguous one.
    fn put<C: Codec<Stored = T>>(&self, codec: C, from: &[C::Computed], to: &mut [MaybeUninit<T>]) {
        match C::borrow_mut(to) {
            Some(to) if self.streamed => simd::dispatch(Stream { from, to }),
            _ => convert(codec, from, to, self.streamed, &|_| {}),
        }
    }
}
