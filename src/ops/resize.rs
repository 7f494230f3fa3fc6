//! Resizing along any axes: parameters and the plan. `interpolate` is a front of it.

use crate::element::Rounding;
use crate::error::{Error, Result};
use crate::geometry::coords::{AxisMap, Coordinates, NearestRounding, Rule, factor_len};
use crate::geometry::filter::Filter;
use crate::geometry::sampler::{Edge, Method, Outside, Sampler};
use crate::layout::{MAX_NDIM, element_count};
use crate::ops::resample::Target;
use crate::ops::resize_part::Stretch;

/// How the elements near a position are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResizeMethod {
    /// One element alone.
    Nearest,
    /// Linear interpolation.
    #[default]
    Linear,
    /// Cubic convolution.
    Cubic,
    /// Lanczos with 2 to 5 lobes.
    Lanczos(u8),
    /// A Gaussian, `sigma` half an element.
    Gaussian,
    /// Mitchell and Netravali's cubic.
    Mitchell,
    /// The mean of the elements within half an element.
    Box,
    /// A sinc in a Hamming window.
    Hamming,
    /// The share each element has in the output's box, up and down.
    Area,
}

/// What becomes of the wanted sizes so that all axes are resized alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aspect {
    /// Nothing: each axis gets its size.
    #[default]
    Stretch,
    /// The largest common factor that makes no axis larger than its size.
    NotLarger,
    /// The smallest common factor that makes no axis smaller than its size.
    NotSmaller,
}

/// Parameters of a resize.
#[derive(Debug, Clone, PartialEq)]
pub struct ResizeParams {
    /// The axes to resize, each once.
    pub axes: Vec<usize>,
    /// Wanted sizes or factors, one for each of `axes`.
    pub target: Target,
    /// Methods: one for all, or one for each of `axes`.
    pub methods: Vec<ResizeMethod>,
    /// Coordinate rules: one for all, or one for each of `axes`.
    pub coordinates: Vec<Coordinates>,
    /// Whether filters widen when shrinking.
    pub antialias: bool,
    /// What lies outside.
    pub edge: Edge,
    /// The constant outside: of [`Edge::Constant`], and around what [`Coordinates::TfCropAndResize`] reaches.
    pub fill: f64,
    /// The `a` of [`ResizeMethod::Cubic`]; -0.75, or -0.5 with `antialias`, if not given.
    pub cubic_a: Option<f64>,
    /// Which element [`ResizeMethod::Nearest`] takes.
    pub nearest_rounding: NearestRounding,
    /// Whether what lies outside is left out; if not given, with `antialias` and [`Edge::Clamp`] it is.
    pub exclude_outside: Option<bool>,
    /// Start and end of the region of [`Coordinates::TfCropAndResize`], for each of `axes`; 0 and 1 are the first and last
    /// element. Empty without that rule.
    pub roi: Vec<(f64, f64)>,
    /// What becomes of the wanted sizes.
    pub aspect: Aspect,
    /// Rule for integer results.
    pub rounding: Rounding,
}

impl ResizeParams {
    /// This method along these axes, everything else at its default.
    #[must_use]
    pub fn new(axes: &[usize], target: Target, method: ResizeMethod) -> Self {
        Self {
            axes: axes.to_vec(),
            target,
            methods: vec![method],
            coordinates: vec![Coordinates::HalfPixel],
            antialias: false,
            edge: Edge::Clamp,
            fill: 0.0,
            cubic_a: None,
            nearest_rounding: NearestRounding::default(),
            exclude_outside: None,
            roi: Vec::new(),
            aspect: Aspect::Stretch,
            rounding: Rounding::Nearest,
        }
    }

    fn check(&self, shape: &[usize]) -> Result<()> {
        let n = self.axes.len();
        if shape.is_empty() || shape.len() > MAX_NDIM {
            return Err(Error::value(format!("x.ndim = {}: must be from 1 to {MAX_NDIM}", shape.len())));
        }
        for (i, &axis) in self.axes.iter().enumerate() {
            if axis >= shape.len() {
                return Err(Error::value(format!("axes[{i}] = {axis}: must be below x.ndim = {}", shape.len())));
            }
            if self.axes[..i].contains(&axis) {
                return Err(Error::value(format!("axes[{i}] = {axis}: is named twice")));
            }
            if shape[axis] == 0 {
                return Err(Error::value(format!("x.shape[{axis}] = 0: must be at least 1 to be resized")));
            }
        }
        let (name, len) = match &self.target {
            Target::Size(size) => ("size", size.len()),
            Target::Scale { factors, .. } => ("scale", factors.len()),
        };
        let per_axis = [(name, len), ("roi", if self.roi.is_empty() { n } else { self.roi.len() })];
        let broadcast = [("method", self.methods.len()), ("coordinates", self.coordinates.len())];
        for (name, len) in per_axis.into_iter().chain(broadcast.into_iter().filter(|b| b.1 != 1)) {
            if len != n {
                return Err(Error::value(format!("{name} has {len} entries: must have {n}, one for each axis")));
            }
        }
        self.check_options()
    }

    fn check_options(&self) -> Result<()> {
        let crops = self.coordinates.contains(&Coordinates::TfCropAndResize);
        if crops && self.roi.is_empty() && !self.axes.is_empty() {
            return Err(Error::value("roi = None: must be given with coordinates = \"tf_crop_and_resize\""));
        }
        if !crops && !self.roi.is_empty() {
            return Err(Error::value(format!(
                "roi = {:?}: is for coordinates = \"tf_crop_and_resize\" only",
                self.roi
            )));
        }
        for (i, (start, end)) in self.roi.iter().enumerate() {
            if !(start.abs() <= 1e9 && end.abs() <= 1e9) {
                return Err(Error::value(format!("roi[{i}] = ({start}, {end}): must be finite, at most 1e9")));
            }
        }
        if let Some(a) = self.cubic_a
            && (a.is_nan() || a.abs() > 1e6)
        {
            return Err(Error::value(format!("cubic_a = {a}: must be finite, at most 1e6")));
        }
        if let Some(ResizeMethod::Lanczos(n)) =
            self.methods.iter().find(|m| matches!(m, ResizeMethod::Lanczos(n) if !(2..=5).contains(n)))
        {
            return Err(Error::value(format!("method = lanczos{n}: must be from lanczos2 to lanczos5")));
        }
        if self.antialias && !self.methods.is_empty() && self.methods.iter().all(|m| *m == ResizeMethod::Nearest) {
            return Err(Error::value("antialias = True: method = \"nearest\" has no filter to widen"));
        }
        if self.aspect != Aspect::Stretch && matches!(self.target, Target::Scale { .. }) {
            return Err(Error::value("keep_aspect_ratio = given with scale: is for size only"));
        }
        Ok(())
    }

    /// Output length of each axis, and the factor its coordinates follow.
    fn lens(&self, shape: &[usize]) -> Result<Vec<(usize, Option<f64>)>> {
        let in_lens: Vec<usize> = self.axes.iter().map(|&a| shape[a]).collect();
        let lens = match &self.target {
            Target::Size(size) => match self.aspect {
                Aspect::Stretch => size.iter().map(|&n| (n, None)).collect(),
                aspect => alike(&in_lens, size, aspect)?,
            },
            Target::Scale { factors, recompute } => {
                let one = |(i, (&len, &f)): (usize, (&usize, &f64))| {
                    let (what, axis) = (format_args!("scale[{i}] = {f}"), format_args!("axis {}", self.axes[i]));
                    Ok((factor_len(len, f, &what, &axis)?, (!recompute).then_some(f)))
                };
                in_lens.iter().zip(factors).enumerate().map(one).collect::<Result<_>>()?
            }
        };
        match lens.iter().position(|l| l.0 == 0) {
            Some(i) => Err(Error::value(format!("size[{i}] = 0: must be at least 1"))),
            None => Ok(lens),
        }
    }

    /// The weights along axis `i` of `axes`.
    fn method(&self, i: usize) -> Method {
        let method = if self.methods.len() == 1 { self.methods[0] } else { self.methods[i] };
        let filter = match method {
            ResizeMethod::Nearest => return Method::Nearest(self.nearest_rounding),
            ResizeMethod::Area => return Method::Area,
            ResizeMethod::Linear => Filter::Linear,
            ResizeMethod::Cubic => Filter::Cubic(self.cubic_a.unwrap_or(default_a(self.antialias))),
            ResizeMethod::Lanczos(n) => Filter::Lanczos(n),
            ResizeMethod::Gaussian => Filter::Gaussian,
            ResizeMethod::Mitchell => Filter::Mitchell,
            ResizeMethod::Box => Filter::Box,
            ResizeMethod::Hamming => Filter::Hamming,
        };
        Method::Filtered { filter, antialias: self.antialias }
    }

    fn lane(&self, i: usize, in_len: usize, (out_len, factor): (usize, Option<f64>)) -> Result<Lane> {
        let coordinates = if self.coordinates.len() == 1 { self.coordinates[0] } else { self.coordinates[i] };
        let region = self.roi.get(i).copied().unwrap_or((0.0, 1.0));
        let (rule, reversed) = coordinates.rule(in_len, out_len, factor, region);
        let outside = Outside {
            edge: if self.edge == Edge::Constant && self.fill == 0.0 { Edge::Zero } else { self.edge },
            exclude: self.exclude_outside.unwrap_or(self.antialias && self.edge == Edge::Clamp),
            extrapolate: coordinates == Coordinates::TfCropAndResize,
        };
        let sampler = Sampler::new(AxisMap { in_len, out_len, rule }, self.method(i), outside)?;
        Ok(Lane { axis: self.axes[i], sampler, reversed, part: None })
    }
}

/// Torch's, OpenCV's and ONNX's parameter of the cubic; with antialiasing torch's and Pillow's.
pub(super) fn default_a(antialias: bool) -> f64 {
    if antialias { -0.5 } else { -0.75 }
}

/// Lengths by one factor for all axes, a fraction of a wanted size and a length, to the nearest, ties up.
fn alike(in_lens: &[usize], size: &[usize], aspect: Aspect) -> Result<Vec<(usize, Option<f64>)>> {
    let less = |a: (usize, usize), b: (usize, usize)| (a.0 as u128) * (b.1 as u128) < (b.0 as u128) * (a.1 as u128);
    let mut fractions = size.iter().copied().zip(in_lens.iter().copied());
    let Some(first) = fractions.next() else { return Ok(Vec::new()) };
    let (num, den) = fractions.fold(first, |best, f| {
        let takes = if aspect == Aspect::NotLarger { less(f, best) } else { less(best, f) };
        if takes { f } else { best }
    });
    let one = |&len: &usize| {
        let exact = (2 * len as u128 * num as u128 + den as u128) / (2 * den as u128);
        let n = usize::try_from(exact).ok().filter(|&n| isize::try_from(n).is_ok());
        let n = n.ok_or_else(|| Error::value(format!("size = {num}/{den} of {len} elements: must be below 2**63")))?;
        Ok((n, Some(num as f64 / den as f64)))
    };
    in_lens.iter().map(one).collect()
}

/// One axis that changes.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// Its place in the array.
    pub axis: usize,
    /// What happens along it.
    pub sampler: Sampler,
    /// Whether outputs run against inputs.
    pub reversed: bool,
    /// Which of its outputs are wanted, if not all.
    pub part: Option<Stretch>,
}

/// A checked resize.
#[derive(Debug, Clone)]
pub struct ResizePlan {
    pub(super) lanes: Vec<Lane>,
    pub(super) rounding: Rounding,
    /// Shape of the forward's input.
    pub in_shape: Vec<usize>,
    /// Shape of the forward's result.
    pub out_shape: Vec<usize>,
}

impl ResizePlan {
    /// Checks a resize of an array of this shape whose elements have `itemsize` bytes.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn new(shape: &[usize], itemsize: usize, p: &ResizeParams) -> Result<Self> {
        p.check(shape)?;
        let lens = p.lens(shape)?;
        let mut out_shape = shape.to_vec();
        p.axes.iter().zip(&lens).for_each(|(&axis, len)| out_shape[axis] = len.0);
        element_count(&out_shape, itemsize)?;
        // Without elements nothing is computed, and no table wanted, however long the axes.
        let n = if out_shape.contains(&0) { 0 } else { p.axes.len() };
        let lanes = (0..n).map(|i| p.lane(i, shape[p.axes[i]], lens[i])).collect::<Result<Vec<_>>>()?;
        Ok(Self::of(shape, out_shape, lanes, p.rounding))
    }

    /// A resize along these axes, of lengths that have been checked.
    pub(super) fn of(shape: &[usize], out_shape: Vec<usize>, mut lanes: Vec<Lane>, rounding: Rounding) -> Self {
        lanes.retain(|l| l.reversed || !l.sampler.is_identity());
        lanes.sort_by_key(|l| l.axis);
        Self { lanes, rounding, in_shape: shape.to_vec(), out_shape }
    }

    /// Whether this copies elements (nearest, or every axis kept as it is), so that any element type will do.
    #[must_use]
    pub fn is_move(&self) -> bool {
        self.lanes.iter().all(|l| l.sampler.is_move())
    }
}

/// An axis by a rule of torch's, with torch's edges.
pub(super) fn lane(axis: usize, in_len: usize, out_len: usize, rule: Rule, method: Method) -> Result<Lane> {
    let exclude = matches!(method, Method::Filtered { antialias: true, .. });
    let outside = Outside { exclude, ..Outside::default() };
    let sampler = Sampler::new(AxisMap { in_len, out_len, rule }, method, outside)?;
    Ok(Lane { axis, sampler, reversed: false, part: None })
}
