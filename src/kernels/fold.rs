//! One tap of a kernel and the rows of its windows: taken from an image, or added to one.

use std::ops::Range;

use super::gather::zero;
use crate::element::Ring;
use crate::engine::rows::{Finish, Rows, RowsMut, as_cells, as_uninit};
use crate::engine::simd::{Job, Level};
use crate::geometry::phase::Run;

/// Takes from an image the elements that a tap meets in some windows, zeros in the padding.
pub struct TakeTap<'a, 'b, T> {
    /// The image's rows and their plane; nothing if the tap meets padding only.
    pub src: Option<(Rows<'a, T>, usize)>,
    /// Column of the image that its rows begin with.
    pub from: usize,
    /// The plane and the rows of windows.
    pub at: (usize, Range<usize>),
    /// Rows of windows, and of the image, that the tap joins, and the distance of the latter.
    pub down: Run,
    /// See `down`.
    pub down_step: usize,
    /// As `down`, for columns.
    pub across: Run,
    /// See `across`.
    pub across_step: usize,
    /// The columns of windows.
    pub cols: &'a Range<usize>,
    /// Elements of a column.
    pub inner: usize,
    /// Where the rows go.
    pub dst: RowsMut<'b, T>,
}

impl<T: Copy + Default> Job for TakeTap<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(mut self, level: L) {
        let (d, rows) = (self.at.0, self.at.1.clone());
        let (inner, across) = (self.inner, self.across);
        let before = (across.out - self.cols.start.min(across.out)) * inner;
        let step = self.across_step;
        for h in rows {
            let dst = self.dst.row(d, h);
            let ahead = h.wrapping_sub(self.down.out);
            match self.src {
                Some((src, plane)) if ahead < self.down.len && across.len > 0 => {
                    let row = src.row(plane, self.down.in_ + ahead * self.down_step);
                    let row = &row[(across.in_ - self.from) * inner..];
                    let (head, rest) = dst.split_at_mut(before);
                    let (body, tail) = rest.split_at_mut(across.len * inner);
                    zero(head);
                    if step == 1 {
                        body.iter_mut().zip(row).for_each(|(to, v)| _ = to.write(v.get()));
                    } else if inner == 1 {
                        // The last of the elements may be the last of the row.
                        body.iter_mut().zip(row.iter().step_by(step)).for_each(|(to, v)| _ = to.write(v.get()));
                    } else {
                        for (to, from) in body.chunks_exact_mut(inner).zip(row.chunks(step * inner)) {
                            to.iter_mut().zip(from).for_each(|(to, v)| _ = to.write(v.get()));
                        }
                    }
                    zero(tail);
                }
                _ => zero(dst),
            }
            self.dst.finish(level, d, h);
        }
    }
}

/// How the sums of a row lie while they are taken. What one tap adds to neighbouring windows lies `stride` elements apart
/// in the row, so elements are kept by their remainder, as long as these are few.
#[derive(Debug, Clone, Copy)]
pub struct Phases {
    /// Distance between windows.
    stride: usize,
    /// Remainders that are kept apart: `stride`, or 1.
    count: usize,
    /// Columns of one.
    each: usize,
    inner: usize,
}

/// Most remainders to keep apart.
const MOST_PHASES: usize = 8;

impl Phases {
    /// For rows of up to `cols` columns of `inner` elements.
    #[must_use]
    pub fn new(stride: usize, cols: usize, inner: usize) -> Self {
        let count = if (2..=MOST_PHASES).contains(&stride) && cols > stride { stride } else { 1 };
        Self { stride, count, each: cols.div_ceil(count), inner }
    }

    /// Elements of the sums of a row.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.count * self.each * self.inner
    }

    /// Whether the sums lie in the order of the row.
    #[must_use]
    pub fn in_order(&self) -> bool {
        self.count == 1
    }
}

/// Adds what a tap has of some windows to the sums of the rows it belongs to.
pub struct AddTap<'a, T> {
    /// The tap's rows of windows.
    pub src: Rows<'a, T>,
    /// Their plane.
    pub plane: usize,
    /// Their places in it.
    pub windows: Range<usize>,
    /// Which of the rows of sums the first of them belongs to, and how many further on the next does.
    pub first: usize,
    /// See `first`.
    pub step: usize,
    /// Column that their first element belongs to.
    pub column: usize,
    /// How the sums lie.
    pub phases: &'a Phases,
    /// The sums, row after row.
    pub sums: &'a mut [T],
}

impl<T: Ring> Job for AddTap<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, _: L) {
        let Phases { stride, count, each, inner } = *self.phases;
        let len = self.phases.row_len();
        for (j, window) in self.windows.enumerate() {
            let row = &mut self.sums[(self.first + j * self.step) * len..][..len];
            let from = self.src.row(self.plane, window);
            if count > 1 || stride == 1 {
                let (phase, column) =
                    if count > 1 { (self.column % count, self.column / count) } else { (0, self.column) };
                let row = &mut row[(phase * each + column) * inner..][..from.len()];
                row.iter_mut().zip(from).for_each(|(sum, v)| *sum = T::add(*sum, v.get()));
            } else {
                for (i, from) in from.chunks_exact(inner).enumerate() {
                    let row = &mut row[(self.column + i * stride) * inner..][..inner];
                    row.iter_mut().zip(from).for_each(|(sum, v)| *sum = T::add(*sum, v.get()));
                }
            }
        }
    }
}

/// Puts the sums of a row in its order.
pub struct Unphase<'a, T> {
    /// How they lie.
    pub phases: &'a Phases,
    /// The sums.
    pub sums: &'a mut [T],
    /// The row.
    pub row: &'a mut [T],
}

impl<T: Copy> Job for Unphase<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(self, level: L) {
        let Phases { count, each, inner, .. } = *self.phases;
        if inner == 1 && matches!(count, 2..=4) {
            match count {
                2 => woven::<T, L, 2>(level, self.sums, each, self.row),
                3 => woven::<T, L, 3>(level, self.sums, each, self.row),
                _ => woven::<T, L, 4>(level, self.sums, each, self.row),
            }
            return;
        }
        for (i, to) in self.row.chunks_exact_mut(inner).enumerate() {
            to.copy_from_slice(&self.sums[(i % count * each + i / count) * inner..][..inner]);
        }
    }
}

#[inline(always)]
fn woven<T: Copy, L: Level, const R: usize>(level: L, sums: &mut [T], each: usize, row: &mut [T]) {
    let whole = row.len() / R;
    let (body, tail) = as_uninit(row).split_at_mut(whole * R);
    let sums = as_cells(sums);
    let mut phases = [&sums[..0]; R];
    for (phase, sums) in phases.iter_mut().zip(sums.chunks_exact(each)) {
        *phase = &sums[..whole];
    }
    level.weave(&phases, body);
    for (j, to) in tail.iter_mut().enumerate() {
        to.write(sums[j * each + whole].get());
    }
}
