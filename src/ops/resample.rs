//! Linear maps along each axis: interpolation and its backward.
//!
//! The backward is the same job on the transposed taps.

use std::ops::Range;

use crate::element::{Linear, Rounding};
use crate::error::{Error, Result};
use crate::geometry::coords::{Coordinates, NearestRounding, Rule, scaled_len};
use crate::geometry::filter::Filter;
use crate::geometry::sampler::Method;
use crate::geometry::window::AxisName;
use crate::layout::{Axes, View, ViewMut, element_count};
use crate::ops::resize::{self, ResizePlan, default_a};
use crate::ops::resize_run::Movable;

/// How the value between two elements is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The element left of the output's left edge, `floor(o*in/out)`.
    Nearest,
    /// The element whose centre is nearest, `floor((o + 0.5)*in/out)`.
    NearestExact,
    /// Linear interpolation along every axis.
    Linear,
    /// Cubic convolution along every axis.
    Cubic,
    /// Lanczos with three lobes along every axis.
    Lanczos,
    /// The mean of the elements that adaptive average pooling takes for each output.
    Area,
}

impl Mode {
    /// Whether it copies elements.
    #[must_use]
    pub fn is_move(self) -> bool {
        matches!(self, Self::Nearest | Self::NearestExact)
    }

    /// Whether it weighs elements by their distance.
    fn filters(self) -> bool {
        matches!(self, Self::Linear | Self::Cubic | Self::Lanczos)
    }

    fn method(self, antialias: bool) -> Method {
        let filter = match self {
            Self::Nearest => return Method::Nearest(NearestRounding::Floor),
            Self::NearestExact => return Method::Nearest(NearestRounding::RoundPreferCeil),
            Self::Area => return Method::Bins,
            Self::Linear => Filter::Linear,
            Self::Cubic => Filter::Cubic(default_a(antialias)),
            Self::Lanczos => Filter::Lanczos(3),
        };
        Method::Filtered { filter, antialias }
    }
}

/// The wanted size, for each spatial axis.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Output elements.
    Size(Vec<usize>),
    /// Factors; the output has `floor(len * factor)` elements.
    Scale {
        /// One factor for each axis.
        factors: Vec<f64>,
        /// Whether coordinates follow from the two lengths instead of the factor.
        recompute: bool,
    },
}

/// Parameters of an interpolation.
#[derive(Debug, Clone, PartialEq)]
pub struct InterpolateParams {
    /// Mode.
    pub mode: Mode,
    /// Wanted size.
    pub target: Target,
    /// Whether first and last elements map to first and last (linear, cubic and lanczos only).
    pub align_corners: bool,
    /// Whether the filter widens when shrinking (linear, cubic and lanczos only).
    pub antialias: bool,
    /// Rule for integer results.
    pub rounding: Rounding,
    /// Whether the channel axis is the last one.
    pub channels_last: bool,
}

impl InterpolateParams {
    /// This mode to this target, everything else at its default.
    #[must_use]
    pub fn new(mode: Mode, target: Target) -> Self {
        Self { mode, target, align_corners: false, antialias: false, rounding: Rounding::Nearest, channels_last: false }
    }
}

/// A checked interpolation.
#[derive(Debug, Clone)]
pub struct InterpolatePlan {
    resize: ResizePlan,
    /// Shape of the forward's input.
    pub in_shape: Vec<usize>,
    /// Shape of the forward's result.
    pub out_shape: Vec<usize>,
}

impl InterpolatePlan {
    /// Checks an interpolation of an array of this shape whose elements have `itemsize` bytes.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn new(shape: &[usize], itemsize: usize, p: &InterpolateParams) -> Result<Self> {
        let rank = match &p.target {
            Target::Size(size) => size.len(),
            Target::Scale { factors, .. } => factors.len(),
        };
        let axes = Axes::new(shape.len(), rank, p.channels_last)?;
        if !p.mode.filters() {
            let mode = if p.mode == Mode::Area { "area" } else { "nearest" };
            let options = [("align_corners", p.align_corners), ("antialias", p.antialias)];
            if let Some((name, _)) = options.iter().find(|o| o.1) {
                return Err(Error::value(format!(
                    "{name} = True: only the linear, cubic and lanczos modes have it, not {mode}"
                )));
            }
        }
        let lens = axes.spatial(shape);
        let mut out = [1; 3];
        let mut rules = [Rule::HalfPixel; 3];
        for index in 0..rank {
            let name = AxisName { index, rank };
            let at = 3 - rank + index;
            if lens[at] == 0 {
                return Err(Error::value(format!("axis {} = 0 elements: must be at least 1", name.letter())));
            }
            (out[at], rules[at]) = axis_rule(lens[at], p, index, name)?;
        }
        let out_shape = axes.with_spatial(shape, out);
        element_count(&out_shape, itemsize)?;
        let method = p.mode.method(p.antialias);
        // Without elements nothing is computed, and no table wanted, however long the axes.
        let wanted = if out_shape.contains(&0) { 3..3 } else { 3 - rank..3 };
        let lanes = wanted
            .map(|at| resize::lane(axes.first() + at + rank - 3, lens[at], out[at], rules[at], method))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self::of(ResizePlan::of(shape, out_shape, lanes, p.rounding)))
    }

    /// Whether this copies elements (nearest, or every axis kept as it is), so that any element type will do.
    #[must_use]
    pub fn is_move(&self) -> bool {
        self.resize.is_move()
    }

    /// The plan of some outputs alone, see [`ResizePlan::part`].
    ///
    /// # Errors
    /// As [`ResizePlan::part`].
    pub fn part(&self, outs: &[Range<usize>]) -> Result<(Self, Vec<Range<usize>>)> {
        self.resize.part(outs).map(|(resize, held)| (Self::of(resize), held))
    }

    /// As [`InterpolatePlan::part`], for the backward; torch's edges send no gradient elsewhere.
    ///
    /// # Errors
    /// As [`ResizePlan::part`].
    pub fn part_of_backward(&self, outs: &[Range<usize>]) -> Result<Option<(Self, Vec<Range<usize>>)>> {
        Ok(self.resize.part_of_backward(outs)?.map(|(resize, held)| (Self::of(resize), held)))
    }

    fn of(resize: ResizePlan) -> Self {
        Self { in_shape: resize.in_shape.clone(), out_shape: resize.out_shape.clone(), resize }
    }

    /// Copies elements: for [`InterpolatePlan::is_move`] only.
    ///
    /// # Errors
    /// If a table or scratch cannot be allocated, or the caller interrupts.
    pub fn run_move<T: Movable>(&self, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        self.resize.run_move(x, out, T::default())
    }

    /// Interpolates.
    ///
    /// # Errors
    /// As [`InterpolatePlan::run_move`].
    pub fn forward<T: Linear>(&self, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        self.resize.forward(x, out, T::default())
    }

    /// The transposed map: from the gradient of the result to the gradient of the input.
    ///
    /// # Errors
    /// As [`InterpolatePlan::run_move`].
    pub fn backward<T: Linear>(&self, grad: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        self.resize.backward(grad, out)
    }
}

/// Output length and coordinate rule of an axis.
fn axis_rule(in_len: usize, p: &InterpolateParams, index: usize, name: AxisName) -> Result<(usize, Rule)> {
    let (out_len, factor) = match &p.target {
        Target::Size(size) => (size[index], None),
        Target::Scale { factors, recompute } => {
            let len = scaled_len(in_len, factors[index], name)?;
            (len, (!recompute).then_some(factors[index]))
        }
    };
    if out_len == 0 {
        return Err(Error::value(format!("size[{index}] = 0: must be at least 1")));
    }
    let (coordinates, factor) = match p.mode {
        _ if p.align_corners => (Coordinates::AlignCorners, None),
        Mode::Nearest => (Coordinates::Asymmetric, factor),
        Mode::Area => (Coordinates::HalfPixel, None),
        _ => (Coordinates::HalfPixel, factor),
    };
    Ok((out_len, coordinates.rule(in_len, out_len, factor, (0.0, 1.0)).0))
}
