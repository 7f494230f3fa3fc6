//! Rows of caller memory, borrowed where they lie or carried through scratch.
//!
//! A row is `W x inner` elements of one array at one `(block, d, h)`. Reading gives `&[Cell<T>]`, for another thread
//! may write to a caller's array while the GIL is released; a row with odd strides or another stored type is packed
//! into per-thread scratch. Writing goes to fresh or `out=` memory as `&mut [MaybeUninit<T>]`, or through scratch.
//!
//! Tried and of no help: asking for the next rows (one page ahead) while a borrowed one is worked on; max pooling k2s2 took
//! 0.70 ms without and 0.77 ms with it.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::simd::{self, Job, Level};
use crate::element::Codec;
use crate::error::{Error, Result};
use crate::layout::Grid;

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

/// Scratch memory of `n` default elements.
///
/// # Errors
/// [`Error::Memory`] if it cannot be allocated.
pub fn scratch<T: Copy + Default>(n: usize) -> Result<Vec<T>> {
    let mut v = Vec::new();
    v.try_reserve_exact(n).map_err(|_| Error::memory(format!("cannot allocate scratch for {n} elements")))?;
    v.resize(n, T::default());
    Ok(v)
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

/// Converts a contiguous row on its way out.
struct Store<'a, C: Codec> {
    codec: C,
    from: &'a [C::Computed],
    to: &'a mut [MaybeUninit<C::Stored>],
}

impl<C: Codec> Job for Store<'_, C> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            to.write(self.codec.store(*from));
        }
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

    /// One element, read once.
    #[inline(always)]
    pub fn get(&self, at: At, w: usize, c: usize) -> T {
        let (offset, s) = self.row(at, &(w..w + 1));
        assert!(c < s.inner, "channel outside the array");
        // SAFETY: `row` and the assertion checked every index.
        unsafe { self.ptr.offset(offset + c as isize * s.c).read() }
    }
}

impl<T: Copy> Grid<*mut T> {
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
        // Channels outside: where a row is transposed on its way out, each channel's run of W is written at once.
        for c in 0..s.inner {
            for (w, from) in scratch[c..].iter().step_by(s.inner).enumerate() {
                // SAFETY: `(w, c)` is within the row; nobody else writes it.
                unsafe { first.offset(w as isize * s.w + c as isize * s.c).write(codec.store(*from)) };
            }
        }
    }

    /// Stores a row that has been computed already.
    pub fn store_from<C: Codec<Stored = T>>(&self, codec: C, at: At, cols: &Range<usize>, values: &mut [C::Computed]) {
        let (offset, s) = self.row(at, cols);
        if !s.contiguous() || s.len() == 0 {
            self.store(codec, at, cols, values, |_| {}); // goes through `values` as its scratch
            return;
        }
        // SAFETY: as in `store`.
        let row = unsafe { std::slice::from_raw_parts_mut(self.ptr.offset(offset).cast::<MaybeUninit<T>>(), s.len()) };
        self.put(codec, &values[..s.len()], row);
    }

    /// Writes a computed row to a contiguous one.
    fn put<C: Codec<Stored = T>>(&self, codec: C, from: &[C::Computed], to: &mut [MaybeUninit<T>]) {
        if !self.streamed || !C::SAME {
            simd::dispatch(Store { codec, from, to });
        } else if let Some(to) = C::borrow_mut(to) {
            simd::dispatch(Stream { from, to });
        }
    }
}
