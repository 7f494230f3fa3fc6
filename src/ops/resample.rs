//! Linear maps along each axis: interpolation and its backward.
//!
//! The backward is the same job on the transposed taps.

use std::ops::Range;

use crate::element::{Codec, Linear, Real, Rounding};
use crate::engine::pipeline::{self, Band, Ends, InRow, Kernel, OutRow};
use crate::engine::rows::{Place, Rows, RowsMut, scratch};
use crate::engine::simd::{Job, Level};
use crate::error::{Error, Result};
use crate::geometry::Reach;
use crate::geometry::coords::{Coordinates, NearestRounding, Rule, scaled_len};
use crate::geometry::filter::Filter;
use crate::geometry::sampler::Method;
use crate::geometry::taps::{Period, Taps, reserved};
use crate::geometry::window::AxisName;
use crate::kernels::reduce::Span;
use crate::kernels::resample::{self, Weighted};
use crate::layout::{Axes, Grid, View, ViewMut, element_count};
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
        let resize = ResizePlan::of(shape, out_shape.clone(), lanes, p.rounding);
        Ok(Self { resize, in_shape: shape.to_vec(), out_shape })
    }

    /// Whether this copies elements (nearest, or every axis kept as it is), so that any element type will do.
    #[must_use]
    pub fn is_move(&self) -> bool {
        self.resize.is_move()
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

/// Sums by these taps along D, H and W.
pub(super) fn run<T: Linear>(taps: [Taps; 3], rounding: Rounding, x: Grid<*const T>, out: Grid<*mut T>) -> Result<()> {
    let codec = T::sum_codec(rounding);
    run_between(taps, x, out, codec, codec)
}

/// Sums by these taps along D, H and W, from one type of array to another.
pub(super) fn run_between<I, O>(
    taps: [Taps; 3],
    x: Grid<*const I::Stored>,
    out: Grid<*mut O::Stored>,
    load: I,
    store: O,
) -> Result<()>
where
    I: Codec<Computed: Real>,
    O: Codec<Computed = I::Computed>,
{
    let weights = |t: &Taps| -> Result<Vec<I::Computed>> {
        let mut v = reserved(t.all_weights().len())?;
        v.extend(t.all_weights().iter().map(|w| I::Computed::of(*w)));
        Ok(v)
    };
    let kernel = Resampling {
        weights: weights(&taps[2])?,
        flat: if taps[0].is_identity() { Some(weights(&taps[1])?) } else { None },
        period: taps[2].period(),
        reach: taps[2].widest(),
        taps,
        inner: x.inner,
    };
    pipeline::run(&Between { kernel, load, store, x, out })
}

/// One array in, one of another type out.
struct Between<K, I: Codec, O: Codec> {
    kernel: K,
    load: I,
    store: O,
    x: Grid<*const I::Stored>,
    out: Grid<*mut O::Stored>,
}

impl<K, I, O> Ends for Between<K, I, O>
where
    I: Codec,
    O: Codec<Computed = I::Computed>,
    K: for<'a> Kernel<Key = I::Computed, Dst<'a> = RowsMut<'a, I::Computed>>,
{
    type Kernel = K;
    type Packed = Vec<I::Computed>;
    type Made = Vec<I::Computed>;

    fn kernel(&self) -> &K {
        &self.kernel
    }
    fn blocks(&self) -> usize {
        self.x.blocks()
    }
    fn ready(&self) -> [bool; 2] {
        [self.x.rows_lie_ready::<I>(), self.out.rows_lie_ready::<O>()]
    }
    fn source<'a>(&'a self, place: &Place, packed: &'a mut Self::Packed) -> Result<Rows<'a, I::Computed>> {
        self.x.rows(self.load, place, packed)
    }
    fn with_output(
        &self,
        band: &Band,
        made: &mut Self::Made,
        run: impl FnOnce(RowsMut<'_, I::Computed>) -> Result<()>,
    ) -> Result<()> {
        self.out.write_rows(self.store, band.block, &band.rows, &band.cols, made, run)
    }
}

/// Weighted sums along W, then down D and H.
struct Resampling<S> {
    taps: [Taps; 3],
    weights: Vec<S>,
    period: Option<Period>,
    /// The weights along H in the type of the sum, if nothing happens along D.
    flat: Option<Vec<S>>,
    /// Most inputs one output reads along W.
    reach: usize,
    inner: usize,
}

impl<S: Real> Kernel for Resampling<S> {
    type Key = S;
    /// The weights of an output row.
    type Scratch = Vec<S>;
    type Slot = Vec<S>;
    type Dst<'a> = RowsMut<'a, S>;

    fn out_spatial(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.taps[a].out_len())
    }
    #[inline(always)]
    fn reach(&self, axis: usize, o: usize) -> Reach {
        self.taps[axis].at(o)
    }
    fn inputs(&self, cols: Range<usize>) -> Range<usize> {
        self.taps[2].inputs(cols)
    }
    fn column_bytes(&self) -> usize {
        self.inner * size_of::<S>()
    }
    fn row_cost(&self) -> usize {
        self.taps[2].out_len() * self.inner * (self.reach + self.taps[0].widest() * self.taps[1].widest())
    }
    fn scratch(&self, _: usize) -> Result<Vec<S>> {
        reserved(self.taps[0].widest() * self.taps[1].widest())
    }
    fn slot(&self, tile: usize) -> Result<Self::Slot> {
        scratch(tile * self.inner)
    }

    #[inline(always)]
    fn across<L: Level>(
        &self,
        level: L,
        row: &InRow<'_, S>,
        cols: &Range<usize>,
        _: &mut Self::Scratch,
        slot: &mut Self::Slot,
    ) {
        let taps = Weighted { taps: &self.taps[2], weights: &self.weights, period: self.period.as_ref() };
        let span = Span { src: row.cells, from: row.from, cols, inner: self.inner };
        resample::Across { taps, span, dst: slot }.run(level);
    }

    #[inline(always)]
    fn down<L: Level>(
        &self,
        level: L,
        to: &OutRow<'_>,
        rows: &[usize],
        slots: &[Self::Slot],
        made: &mut Self::Scratch,
        dst: &mut RowsMut<'_, S>,
    ) {
        let weights = match &self.flat {
            Some(flat) => &flat[self.taps[1].offset(to.h)..][..rows.len()],
            None => {
                made.clear();
                for wd in self.taps[0].weights(to.d) {
                    made.extend(self.taps[1].weights(to.h).iter().map(|wh| S::of(wd * wh)));
                }
                made
            }
        };
        resample::Down { weights, row: |j: usize| &slots[rows[j]][..], dst: dst.row(to.d, to.h) }.run(level);
    }
}
