//! Regions of interest: `RoIAlign` and `RoIPool`, forward and backward.
//!
//! This is the plan; `roi_forward` and `roi_backward` run it, `roi_sides` makes a box's data
//! along each axis.

use std::ops::Range;

use crate::element::Rounding;
use crate::error::{Error, Result, Shape};
use crate::geometry::roi::{FARTHEST, MAX_SAMPLING, Side, Takes, Tally};
use crate::geometry::taps::reserved;
use crate::geometry::window::AxisName;
use crate::layout::{Axes, Canonical, Grid, View, ViewMut, element_count};

/// One box on one image of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roi {
    /// Which image.
    pub image: usize,
    /// Left, top, right and bottom: `x1, y1, x2, y2`, before scaling.
    pub corners: [f64; 4],
}

impl Roi {
    /// A box from a row of numbers, `image, x1, y1, x2, y2`; `name` is what messages call it.
    ///
    /// # Errors
    /// If the image is not a whole number, or negative.
    pub fn from_row([image, x1, y1, x2, y2]: [f64; 5], name: &dyn Fn() -> String) -> Result<Self> {
        if image.fract() != 0.0 || !image.is_finite() {
            return Err(Error::value(format!("{}[0] = {image}: the image must be a whole number", name())));
        }
        if image < 0.0 {
            return Err(Error::index(format!("{}[0] = {image}: the image must not be negative", name())));
        }
        Ok(Self { image: image as usize, corners: [x1, y1, x2, y2] })
    }

    /// Checks the box; `images` counts those of the batch.
    fn check(&self, name: impl FnOnce() -> String, images: usize, scale: f64) -> Result<()> {
        let Self { image, corners } = self;
        if *image >= images {
            let range = if images == 0 { "there is none".into() } else { format!("must be from 0 to {}", images - 1) };
            return Err(Error::index(format!("{}[0] = {image}: the image {range}", name())));
        }
        if corners.iter().any(|c| !c.is_finite()) {
            return Err(Error::value(format!("{}: corners = {corners:?}: must be finite", name())));
        }
        if corners.iter().any(|c| (c * scale).abs() > FARTHEST) {
            return Err(Error::value(format!(
                "{}: corners = {corners:?}: must be within 2**53 elements of 0, times spatial_scale = {scale}",
                name()
            )));
        }
        Ok(())
    }
}

/// What a bin of [`RoiAlignParams`] becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RoiMode {
    /// The mean of its sample points.
    #[default]
    Average,
    /// The largest of its sample points' elements, each times its weight.
    Maximum,
}

/// Parameters of `RoIAlign`.
#[derive(Debug, Clone, PartialEq)]
pub struct RoiAlignParams {
    /// Bins along H and W.
    pub output_size: [usize; 2],
    /// Elements of the image for one unit of a box's corners.
    pub spatial_scale: f64,
    /// Sample points along each side of a bin; 0: as many as the bin has elements, rounded up.
    pub sampling_ratio: usize,
    /// Whether corners are moved by half an element, so that whole numbers mean edges of elements and not their centres.
    pub aligned: bool,
    /// Mean or maximum.
    pub mode: RoiMode,
    /// Rule for integer results.
    pub rounding: Rounding,
    /// Whether the channel axis is the last one.
    pub channels_last: bool,
}

impl RoiAlignParams {
    /// Bins of this number, everything else at torchvision's defaults.
    #[must_use]
    pub fn new(output_size: [usize; 2]) -> Self {
        Self {
            output_size,
            spatial_scale: 1.0,
            sampling_ratio: 0,
            aligned: false,
            mode: RoiMode::Average,
            rounding: Rounding::Nearest,
            channels_last: false,
        }
    }
}

/// Parameters of `RoIPool`.
#[derive(Debug, Clone, PartialEq)]
pub struct RoiPoolParams {
    /// Bins along H and W.
    pub output_size: [usize; 2],
    /// Elements of the image for one unit of a box's corners.
    pub spatial_scale: f64,
    /// Whether the channel axis is the last one.
    pub channels_last: bool,
}

impl RoiPoolParams {
    /// Bins of this number, everything else at torchvision's defaults.
    #[must_use]
    pub fn new(output_size: [usize; 2]) -> Self {
        Self { output_size, spatial_scale: 1.0, channels_last: false }
    }
}

/// Where bins take their elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// At sample points, so many for each side of a bin.
    Points { sampling: Option<usize>, aligned: bool },
    /// Whole elements.
    Elements,
}

/// A checked `RoIAlign` or `RoIPool`.
#[derive(Debug, Clone)]
pub struct RoiPlan {
    /// H and W are the spatial axes.
    flat: Axes,
    /// Channels are a third one, D.
    deep: Axes,
    pub(super) boxes: Vec<Roi>,
    rule: Rule,
    scale: f64,
    pub(super) mode: RoiMode,
    pub(super) rounding: Rounding,
    /// Bins along H and W.
    pub(super) bins: [usize; 2],
    /// Elements of an image along H and W.
    pub(super) lens: [usize; 2],
    pub(super) images: usize,
    channels_last: bool,
    /// Shape of the images.
    pub in_shape: Vec<usize>,
    /// Shape of the result.
    pub out_shape: Vec<usize>,
}

impl RoiPlan {
    /// Checks a `RoIAlign` on images of this shape whose elements have `itemsize` bytes; `name` is what messages call
    /// a box.
    ///
    /// # Errors
    /// Names the parameter or the box that does not fit.
    pub fn align(
        shape: &[usize],
        itemsize: usize,
        boxes: &[Roi],
        name: &dyn Fn(usize) -> String,
        p: &RoiAlignParams,
    ) -> Result<Self> {
        if p.sampling_ratio > MAX_SAMPLING {
            return Err(Error::value(format!("sampling_ratio = {}: must be at most {MAX_SAMPLING}", p.sampling_ratio)));
        }
        let sampling = (p.sampling_ratio > 0).then_some(p.sampling_ratio);
        let rule = Rule::Points { sampling, aligned: p.aligned };
        let plan = Self::new(shape, itemsize, boxes, name, rule, p.output_size, p.spatial_scale, p.channels_last)?;
        Ok(Self { mode: p.mode, rounding: p.rounding, ..plan })
    }

    /// Checks a `RoIPool`, as [`RoiPlan::align`].
    ///
    /// # Errors
    /// As [`RoiPlan::align`].
    pub fn pool(
        shape: &[usize],
        itemsize: usize,
        boxes: &[Roi],
        name: &dyn Fn(usize) -> String,
        p: &RoiPoolParams,
    ) -> Result<Self> {
        let plan =
            Self::new(shape, itemsize, boxes, name, Rule::Elements, p.output_size, p.spatial_scale, p.channels_last)?;
        Ok(Self { mode: RoiMode::Maximum, ..plan })
    }

    #[allow(clippy::too_many_arguments)]
    fn new(
        shape: &[usize],
        itemsize: usize,
        boxes: &[Roi],
        name: &dyn Fn(usize) -> String,
        rule: Rule,
        bins: [usize; 2],
        scale: f64,
        channels_last: bool,
    ) -> Result<Self> {
        let &[images, a, b, c] = shape else {
            let axes = if channels_last { "(N, H, W, C)" } else { "(N, C, H, W)" };
            return Err(Error::value(format!("x.shape = {}: must have 4 axes, {axes}", Shape(shape))));
        };
        let lens = if channels_last { [a, b] } else { [b, c] };
        for index in 0..2 {
            if lens[index] == 0 {
                let letter = AxisName { index, rank: 2 }.letter();
                return Err(Error::value(format!("axis {letter} = 0 elements: must be at least 1")));
            }
            if bins[index] == 0 {
                return Err(Error::value(format!("output_size[{index}] = 0: must be at least 1")));
            }
        }
        if !(scale.is_finite() && scale > 0.0) {
            return Err(Error::value(format!("spatial_scale = {scale}: must be a finite number above 0")));
        }
        let [h, w] = bins;
        let out_shape = if channels_last { vec![boxes.len(), h, w, c] } else { vec![boxes.len(), a, h, w] };
        element_count(&out_shape, itemsize)?;
        element_count(shape, itemsize)?; // the result of a backward
        for (k, roi) in boxes.iter().enumerate() {
            roi.check(|| name(k), images, scale)?;
        }
        let mut kept = reserved(boxes.len())?;
        kept.extend_from_slice(boxes);
        Ok(Self {
            flat: Axes::new(4, 2, channels_last)?,
            deep: Axes::new(4, 3, false)?,
            channels_last,
            boxes: kept,
            rule,
            scale,
            mode: RoiMode::Average,
            rounding: Rounding::Nearest,
            bins,
            lens,
            images,
            in_shape: shape.to_vec(),
            out_shape,
        })
    }

    /// Whether channels are computed side by side: they are the last axis, or lie so in memory.
    pub(super) fn side_by_side<T>(&self, x: &View<'_, T>) -> bool {
        let lie_so = || x.strides[1] == 1 && x.strides[3].abs() != 1;
        self.channels_last || (self.in_shape[1] > 1 && lie_so())
    }

    /// An array to read: one block for each image or box; channels inside, or as D.
    pub(super) fn reading<T>(&self, x: &View<'_, T>, inside: bool) -> Grid<*const T> {
        let mut grid = x.grid_of(if inside { &self.flat } else { &self.deep });
        if inside && !self.channels_last {
            grid.move_channels_inside();
        }
        grid
    }

    /// The same for an array to write.
    pub(super) fn writing<T>(&self, out: &mut ViewMut<'_, T>, inside: bool) -> Grid<*mut T> {
        let mut grid = out.grid_of(if inside { &self.flat } else { &self.deep });
        if inside && !self.channels_last {
            grid.move_channels_inside();
        }
        grid
    }

    /// Side `axis` (0: along H, 1: along W) of a box.
    pub(super) fn side(&self, roi: &Roi, axis: usize) -> Side {
        let [x1, y1, x2, y2] = roi.corners;
        let ends = if axis == 0 { [y1, y2] } else { [x1, x2] };
        Side { ends: ends.map(|e| e * self.scale), bins: self.bins[axis], len: self.lens[axis] }
    }

    /// What the bins of a side take.
    pub(super) fn take<W: Tally>(&self, roi: &Roi, axis: usize, takes: &mut Takes<W>) -> Result<()> {
        let side = self.side(roi, axis);
        match self.rule {
            Rule::Points { sampling, aligned } => takes.sample(&side.points(sampling, aligned)),
            Rule::Elements => takes.quantise(&side),
        }
    }

    /// The boxes, those of one image after those of another, else in their own order.
    pub(super) fn order(&self) -> Result<Vec<usize>> {
        let mut order = reserved(self.boxes.len())?;
        order.extend(0..self.boxes.len());
        order.sort_by_key(|&k| self.boxes[k].image);
        Ok(order)
    }

    /// Where in [`RoiPlan::order`] the boxes of an image are.
    pub(super) fn boxes_of(&self, image: usize, order: &[usize]) -> Range<usize> {
        let before = |n: usize| order.partition_point(|&k| self.boxes[k].image < n);
        before(image)..before(image + 1)
    }

    /// About the elements of an image that a box takes, on average, and those of its result.
    pub(super) fn mean_area(&self) -> usize {
        let length = |roi: &Roi, axis: usize| {
            let Side { ends: [start, end], len, .. } = self.side(roi, axis);
            (end.min(len as f64) - start.max(0.0)).max(1.0)
        };
        let total: f64 = self.boxes.iter().map(|b| length(b, 0) * length(b, 1)).sum();
        (total / self.boxes.len().max(1) as f64) as usize + self.bins[0].saturating_mul(self.bins[1]).saturating_mul(8)
    }
}
