//! Linear maps along each axis: interpolation and its backward.
//!
//! The backward is the same job on the transposed taps.

use crate::element::{Linear, Rounding};
use crate::error::{Error, Result};
use crate::geometry::coords::{AxisMap, Rule, scaled_len};
use crate::geometry::taps::{Picks, Taps};
use crate::geometry::window::AxisName;
use crate::layout::{Axes, View, ViewMut, element_count, simplify};
use crate::ops::moves::Moves;
use crate::ops::separable;

/// How the value between two elements is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The element left of the output's left edge, `floor(o*in/out)`.
    Nearest,
    /// The element whose centre is nearest, `floor((o + 0.5)*in/out)`.
    NearestExact,
    /// Linear interpolation along every axis.
    Linear,
}

impl Mode {
    fn is_move(self) -> bool {
        self != Self::Linear
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
    /// Whether first and last elements map to first and last (linear only).
    pub align_corners: bool,
    /// Whether the filter widens when shrinking (linear only).
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
    axes: Axes,
    maps: [AxisMap; 3],
    mode: Mode,
    antialias: bool,
    rounding: Rounding,
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
        if p.mode.is_move() && p.align_corners {
            return Err(Error::value("align_corners = True: only the linear modes have it, not nearest"));
        }
        if p.mode.is_move() && p.antialias {
            return Err(Error::value("antialias = True: only the linear modes have it, not nearest"));
        }
        let lens = axes.spatial(shape);
        let mut maps = [AxisMap { in_len: 1, out_len: 1, rule: Rule::HalfPixel }; 3];
        for index in 0..rank {
            let name = AxisName { index, rank };
            let at = 3 - rank + index;
            if lens[at] == 0 {
                return Err(Error::value(format!("axis {} = 0 elements: must be at least 1", name.letter())));
            }
            maps[at] = axis_map(lens[at], p, index, name)?;
        }
        let out_shape = axes.with_spatial(shape, maps.map(|m| m.out_len));
        element_count(&out_shape, itemsize)?;
        Ok(Self {
            axes,
            maps,
            mode: p.mode,
            antialias: p.antialias,
            rounding: p.rounding,
            in_shape: shape.to_vec(),
            out_shape,
        })
    }

    /// Whether this copies elements (nearest, or every axis kept as it is), so that any element type will do.
    #[must_use]
    pub fn is_move(&self) -> bool {
        self.mode.is_move() || self.maps.iter().all(AxisMap::is_identity)
    }

    /// Sources of a move.
    fn picks(&self) -> Result<[Picks; 3]> {
        let one = |m: &AxisMap| {
            Picks::new(m.in_len, m.out_len, m.period(), |o| {
                Some(match self.mode {
                    Mode::Nearest => m.nearest(o),
                    Mode::NearestExact => m.nearest_exact(o),
                    Mode::Linear => o,
                })
            })
        };
        let [d, h, w] = &self.maps;
        Ok([one(d)?, one(h)?, one(w)?])
    }

    fn taps(&self) -> Result<[Taps; 3]> {
        if self.is_move() {
            let [d, h, w] = self.picks()?;
            return Ok([Taps::from_picks(&d)?, Taps::from_picks(&h)?, Taps::from_picks(&w)?]);
        }
        let one = |m: &AxisMap| if self.antialias { Taps::linear_antialiased(m) } else { Taps::linear(m) };
        let [d, h, w] = &self.maps;
        Ok([one(d)?, one(h)?, one(w)?])
    }

    /// Copies elements: for [`InterpolatePlan::is_move`] only.
    ///
    /// # Errors
    /// If a table or scratch cannot be allocated, or the caller interrupts.
    pub fn run_move<T: Copy + Default + Send + Sync + 'static>(
        &self,
        x: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        Moves { picks: self.picks()? }.run(&self.axes, x, out)
    }

    /// Interpolates.
    ///
    /// # Errors
    /// As [`InterpolatePlan::run_move`].
    pub fn forward<T: Linear>(&self, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        if self.is_move() {
            return self.run_move(x, out);
        }
        self.linear(x, out, Ok)
    }

    /// The transposed map: from the gradient of the result to the gradient of the input.
    ///
    /// # Errors
    /// As [`InterpolatePlan::run_move`].
    pub fn backward<T: Linear>(&self, grad: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        self.linear(grad, out, |t| t.transposed())
    }

    fn linear<T: Linear>(
        &self,
        x: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
        turn: impl Fn(Taps) -> Result<Taps>,
    ) -> Result<()> {
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        let [d, h, w] = self.taps()?;
        let taps = [turn(d)?, turn(h)?, turn(w)?];
        let (mut x, mut out) = (x.grid_of(&self.axes), out.grid_of(&self.axes));
        simplify(&mut x, &mut [&mut out]);
        separable::run::<T>(taps, self.rounding, x, out)
    }
}

fn axis_map(in_len: usize, p: &InterpolateParams, index: usize, name: AxisName) -> Result<AxisMap> {
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
    let rule = match factor {
        _ if p.align_corners => Rule::AlignCorners,
        Some(f) => Rule::Factor(f),
        None => Rule::HalfPixel,
    };
    Ok(AxisMap { in_len, out_len, rule })
}
