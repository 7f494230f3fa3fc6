//! A box, ready for kernels: what its bins take along both sides, and the rows of the image they take it from.

use std::cell::Cell;
use std::ops::Range;

use crate::engine::room::{Room, scratch};
use crate::engine::rows::{At, Place, Readable, Rows, as_cells};
use crate::error::Result;
use crate::geometry::roi::Takes;
use crate::geometry::taps::append;
use crate::kernels::roi::{Bins, Join, Run, Source};
use crate::ops::roi::{Roi, RoiPlan};

/// Elements of an image packed at once; several rows, if one has fewer.
const PACKED: usize = 64 << 10;

/// Columns are folded whole blocks at a time.
const BLOCK: usize = 8;

/// Among how many columns one must be taken for all to be folded in one run.
const SPARSE: usize = 8;

/// What a box's bins take. Made to be set again, box after box.
#[derive(Debug, Default)]
pub(super) struct Sides<J: Join> {
    /// Along H.
    pub y: Takes<J::Tally>,
    /// Along W.
    pub x: Takes<J::Tally>,
    down: Vec<J::Weight>,
    across: Vec<J::Weight>,
    /// Columns of the image that are folded, and perhaps some between and beside them.
    pub cols: Range<usize>,
    /// Where each place along W lies in a folded row, in columns.
    pub columns: Vec<usize>,
    /// Which columns of the image are folded, and where they then lie; `from` counts from `cols.start`.
    pub runs: Vec<Run>,
    /// The same for rows that hold these columns only.
    pub packed_runs: Vec<Run>,
    /// Elements of a folded row.
    pub width: usize,
    /// Channels of each column.
    pub inner: usize,
}

impl<J: Join> Sides<J> {
    /// Sets the rows' side, and tells whether any row is taken.
    pub fn set_rows(&mut self, plan: &RoiPlan, roi: &Roi) -> Result<bool> {
        plan.take(roi, 0, &mut self.y)?;
        self.down.clear();
        append(&mut self.down, self.y.weights.iter().map(|&w| J::weight(w)))?;
        Ok(!self.y.used.is_empty())
    }

    /// Sets the columns' side for `inner` channels each, and tells whether any column is taken.
    pub fn set_columns(&mut self, plan: &RoiPlan, roi: &Roi, inner: usize) -> Result<bool> {
        plan.take(roi, 1, &mut self.x)?;
        self.across.clear();
        append(&mut self.across, self.x.weights.iter().map(|&w| J::weight(w)))?;
        let taken = self.x.extent();
        self.inner = inner;
        self.columns.clear();
        self.runs.clear();
        if inner == 1 && taken.len() <= SPARSE * self.x.used.len() {
            let width = taken.len().next_multiple_of(BLOCK).min(plan.lens[1]);
            let start = taken.start.min(plan.lens[1] - width);
            self.cols = start..start + width;
            append(&mut self.columns, self.x.used.iter().map(|&w| w - start))?;
            self.runs.push(Run { from: 0, to: 0, len: width });
            self.width = width;
        } else {
            append(&mut self.columns, 0..self.x.used.len())?;
            for (place, w) in self.x.used.iter().map(|&w| w - taken.start).enumerate() {
                match self.runs.last_mut() {
                    Some(run) if run.from + run.len == w * inner => run.len += inner,
                    _ => append(&mut self.runs, [Run { from: w * inner, to: place * inner, len: inner }])?,
                }
            }
            self.cols = taken;
            self.width = self.x.used.len() * inner;
        }
        self.packed_runs.clear();
        append(&mut self.packed_runs, self.runs.iter().map(|r| Run { from: r.to, ..*r }))?;
        Ok(!self.x.used.is_empty())
    }

    /// The rows' side for kernels.
    pub fn y_bins(&self) -> Bins<'_, J::Weight> {
        Bins::new(&self.y, &self.down)
    }

    /// The columns' side for kernels.
    pub fn x_bins(&self) -> Bins<'_, J::Weight> {
        Bins::new(&self.x, &self.across)
    }

    /// The bins along H between the first and the last that may take some of the rows `rows` of the image.
    pub fn bins_meeting(&self, rows: &Range<usize>) -> Range<usize> {
        let (mut low, mut high) = (usize::MAX, 0);
        for (o, &(start, end)) in self.y.spans.iter().enumerate() {
            if let [first, .., last] | [first @ last] = &self.y.places[start..end]
                && self.y.used[*first] < rows.end
                && self.y.used[*last] >= rows.start
            {
                (low, high) = (low.min(o), o + 1);
            }
        }
        low.min(high)..high
    }

    /// The places along H that some of these bins take.
    pub fn places(&self, which: &Range<usize>) -> Range<usize> {
        let (mut low, mut high) = (usize::MAX, 0);
        for &(start, end) in &self.y.spans[which.clone()] {
            if let [first, .., last] | [first @ last] = &self.y.places[start..end] {
                (low, high) = (low.min(*first), high.max(last + 1));
            }
        }
        low.min(high)..high
    }
}

/// Rows of an image: of one plane, or of several with their elements side by side.
#[derive(Clone, Copy)]
pub(super) enum Held<'a, V> {
    /// Where they lie; `used` says which row each place is.
    InPlace { rows: Rows<'a, V>, plane: usize, used: &'a [usize] },
    /// Of a whole image; each row begins `from` elements into `len`.
    Gathered { rows: &'a [Cell<V>], len: usize, from: usize, used: &'a [usize] },
    /// Those of a box only, from place `from` on.
    Packed { rows: &'a [Cell<V>], len: usize, from: usize },
}

impl<'a, V: Copy> Source<'a, V> for Held<'a, V> {
    #[inline(always)]
    fn row(self, place: usize) -> &'a [Cell<V>] {
        match self {
            Self::InPlace { rows, plane, used } => rows.row(plane, used[place]),
            Self::Gathered { rows, len, from, used } => &rows[used[place] * len..][from..len],
            Self::Packed { rows, len, from } => &rows[(place - from) * len..][..len],
        }
    }
}

/// An image all of whose rows are at hand.
#[derive(Clone, Copy)]
pub(super) enum Whole<'a, V> {
    /// Where they lie: the rows and the plane.
    Lying(Rows<'a, V>, usize),
    /// Planes side by side: the elements, and how many a row has.
    Gathered(&'a [Cell<V>], usize),
}

impl<'a, V> Whole<'a, V> {
    /// The rows at the places `used`, from element `from` on.
    pub fn held(self, used: &'a [usize], from: usize) -> Held<'a, V> {
        match self {
            Self::Lying(rows, plane) => Held::InPlace { rows, plane, used },
            Self::Gathered(rows, len) => Held::Gathered { rows, len, from, used },
        }
    }
}

/// Reads images. Planes that are read together come with their elements side by side.
pub(super) struct Reader<'x, K> {
    x: &'x dyn Readable<K>,
    in_place: bool,
    /// Rows that have been packed, and their places.
    packed: Room<K>,
    window: Range<usize>,
    one: Room<K>,
}

impl<'x, K: Copy + Default> Reader<'x, K> {
    pub fn new(x: &'x dyn Readable<K>) -> Self {
        let in_place = x.ready();
        Self { x, in_place, packed: Room::default(), window: 0..0, one: Room::default() }
    }

    /// All rows of an image, if they can be read where they lie.
    pub fn lying<'a>(&self, image: usize, cols: &Range<usize>, none: &'a mut Room<K>) -> Result<Option<Rows<'a, K>>>
    where
        'x: 'a,
    {
        if !self.in_place {
            return Ok(None);
        }
        let [planes, height, _] = self.x.lens().0;
        let place = Place { block: image, d: 0..planes, h: 0..height, cols: cols.clone() };
        Ok(Some(self.x.rows(&place, none)?))
    }

    /// Forgets what was packed: other planes or another box follow.
    pub fn restart(&mut self) {
        self.window = 0..0;
    }

    /// Packs rows of planes of an image from place `from` on, as many as there is room for, and tells which they are.
    pub fn pack<'a, J: Join<Value = K>>(
        &'a mut self,
        sides: &Sides<J>,
        (image, planes): (usize, &Range<usize>),
        from: usize,
    ) -> Result<(Held<'a, K>, Range<usize>)> {
        if !self.window.contains(&from) {
            let rows = (PACKED / sides.width).max(1).min(sides.y.used.len() - from);
            self.window = from..from + rows;
            let mut packed = std::mem::take(&mut self.packed);
            if packed.len() < rows * sides.width {
                packed = scratch(rows * sides.width)?;
            }
            for (&h, packed) in sides.y.used[from..from + rows].iter().zip(packed.chunks_exact_mut(sides.width)) {
                for run in &sides.runs {
                    let first = sides.cols.start + run.from / sides.inner;
                    let cols = first..first + run.len / sides.inner;
                    self.gather(image, planes, h, &cols, &mut packed[run.to..][..run.len])?;
                }
            }
            self.packed = packed;
        }
        let rows = as_cells(&mut self.packed);
        Ok((Held::Packed { rows, len: sides.width, from: self.window.start }, self.window.clone()))
    }

    /// Part of a row of planes of an image, side by side, to `to`.
    pub fn gather(
        &mut self,
        block: usize,
        planes: &Range<usize>,
        h: usize,
        cols: &Range<usize>,
        to: &mut [K],
    ) -> Result<()> {
        let len = cols.len() * self.x.lens().1;
        if self.one.len() < len {
            self.one = scratch(len)?;
        }
        for (i, d) in planes.clone().enumerate() {
            let row = self.x.row(At { block, d, h }, cols, &mut self.one);
            to[i..].iter_mut().step_by(planes.len()).zip(row).for_each(|(to, from)| *to = from.get());
        }
        Ok(())
    }
}

/// Elements of planes that lie side by side, plane by plane; or back, with the two counts exchanged.
pub(super) fn turn<V: Copy>(side_by_side: &[V], planes: usize, to: &mut [V]) {
    for (i, to) in to.chunks_exact_mut(side_by_side.len() / planes).enumerate() {
        to.iter_mut().zip(side_by_side[i..].iter().step_by(planes)).for_each(|(to, from)| *to = *from);
    }
}
