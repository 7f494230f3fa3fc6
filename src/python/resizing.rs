//! `resize`, forward and backward.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::args::{self, given};
use super::array::{Input, Output};
use super::dispatch::{accept_float, accept_linear, dispatch};
use super::error::{Fail, Outcome};
use super::part::{Cut, Whole};
use super::{released, volume};
use crate::error::{Error, Shape};
use crate::geometry::coords::{Coordinates, NearestRounding};
use crate::geometry::sampler::Edge;
use crate::layout::MAX_NDIM;
use crate::ops::resample::Target;
use crate::ops::resize::{Aspect, ResizeMethod, ResizeParams, ResizePlan};

const METHODS: [(&str, ResizeMethod); 12] = [
    ("nearest", ResizeMethod::Nearest),
    ("linear", ResizeMethod::Linear),
    ("cubic", ResizeMethod::Cubic),
    ("lanczos2", ResizeMethod::Lanczos(2)),
    ("lanczos3", ResizeMethod::Lanczos(3)),
    ("lanczos4", ResizeMethod::Lanczos(4)),
    ("lanczos5", ResizeMethod::Lanczos(5)),
    ("gaussian", ResizeMethod::Gaussian),
    ("mitchell", ResizeMethod::Mitchell),
    ("box", ResizeMethod::Box),
    ("hamming", ResizeMethod::Hamming),
    ("area", ResizeMethod::Area),
];

const COORDINATES: [(&str, Coordinates); 6] = [
    ("half_pixel", Coordinates::HalfPixel),
    ("half_pixel_symmetric", Coordinates::HalfPixelSymmetric),
    ("pytorch_half_pixel", Coordinates::PytorchHalfPixel),
    ("align_corners", Coordinates::AlignCorners),
    ("asymmetric", Coordinates::Asymmetric),
    ("tf_crop_and_resize", Coordinates::TfCropAndResize),
];

const EDGES: [(&str, Edge); 5] = [
    ("clamp", Edge::Clamp),
    ("reflect", Edge::Reflect),
    ("mirror", Edge::Mirror),
    ("wrap", Edge::Wrap),
    ("constant", Edge::Constant),
];

const ROUNDINGS: [(&str, NearestRounding); 4] = [
    ("round_prefer_ceil", NearestRounding::RoundPreferCeil),
    ("round_prefer_floor", NearestRounding::RoundPreferFloor),
    ("floor", NearestRounding::Floor),
    ("ceil", NearestRounding::Ceil),
];

const ASPECTS: [(&str, Aspect); 3] =
    [("stretch", Aspect::Stretch), ("not_larger", Aspect::NotLarger), ("not_smaller", Aspect::NotSmaller)];

/// What forward and backward are told alike, as it was written.
struct Options<'a, 'py> {
    size: &'a Bound<'py, PyAny>,
    scale: &'a Bound<'py, PyAny>,
    axes: &'a Bound<'py, PyAny>,
    method: &'a Bound<'py, PyAny>,
    coordinates: &'a Bound<'py, PyAny>,
    antialias: &'a Bound<'py, PyAny>,
    edge: &'a Bound<'py, PyAny>,
    cubic_a: &'a Bound<'py, PyAny>,
    nearest_rounding: &'a Bound<'py, PyAny>,
    exclude_outside: &'a Bound<'py, PyAny>,
    roi: &'a Bound<'py, PyAny>,
    keep_aspect_ratio: &'a Bound<'py, PyAny>,
}

impl Options<'_, '_> {
    /// The parameters for an array of `ndim` axes; `result` is the result's shape, where that is known.
    fn params(&self, ndim: usize, result: Option<&[usize]>) -> Outcome<ResizeParams> {
        if ndim == 0 || ndim > MAX_NDIM {
            return Err(Error::value(format!("x.ndim = {ndim}: must be from 1 to {MAX_NDIM}")).into());
        }
        let axes = axes_of(self.axes, ndim)?;
        let n = axes.len();
        let target = match (given(self.size), given(self.scale), result) {
            (Some(_), Some(_), _) => {
                return Err(Error::value("size and scale = both given: must give one of them, not both").into());
            }
            (Some(size), None, _) => Target::Size(args::indices("size", size, n)?),
            (None, Some(scale), _) => Target::Scale { factors: args::numbers("scale", scale, n)?, recompute: false },
            (None, None, Some(result)) => Target::Size(axes.iter().map(|&a| result[a]).collect()),
            (None, None, None) => return Err(Error::value("size and scale = None: must give one of them").into()),
        };
        Ok(ResizeParams {
            methods: one_or_each("method", self.method, n, &METHODS)?,
            coordinates: one_or_each("coordinates", self.coordinates, n, &COORDINATES)?,
            antialias: args::flag("antialias", self.antialias)?,
            edge: args::choice("edge", self.edge, &EDGES)?,
            cubic_a: given(self.cubic_a).map(|a| args::number("cubic_a", a)).transpose()?,
            nearest_rounding: args::choice("nearest_rounding", self.nearest_rounding, &ROUNDINGS)?,
            exclude_outside: given(self.exclude_outside).map(|e| args::flag("exclude_outside", e)).transpose()?,
            roi: given(self.roi).map_or(Ok(Vec::new()), |r| regions(r, n))?,
            aspect: args::choice("keep_aspect_ratio", self.keep_aspect_ratio, &ASPECTS)?,
            ..ResizeParams::new(&axes, target, ResizeMethod::Linear)
        })
    }
}

/// The axes named, counted from the front; all of them if none are.
fn axes_of(axes: &Bound<'_, PyAny>, ndim: usize) -> Outcome<Vec<usize>> {
    let Some(axes) = given(axes) else { return Ok((0..ndim).collect()) };
    let one = |name: &str, object: &Bound<'_, PyAny>| -> Outcome<usize> {
        let axis = args::integer(name, object)?;
        let counted = if axis < 0 { axis + ndim as i64 } else { axis };
        usize::try_from(counted).ok().filter(|a| *a < ndim).ok_or_else(|| {
            Error::value(format!("{name} = {axis}: must be from -{ndim} to {}, for x.ndim = {ndim}", ndim - 1)).into()
        })
    };
    if !args::is_sequence(axes) {
        return Ok(vec![one("axes", axes)?]);
    }
    let items = axes.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    items.iter().enumerate().map(|(i, item)| one(&format!("axes[{i}]"), item)).collect()
}

/// A name for all axes, or one for each.
fn one_or_each<T: Copy>(name: &str, object: &Bound<'_, PyAny>, n: usize, choices: &[(&str, T)]) -> Outcome<Vec<T>> {
    if object.is_instance_of::<PyString>() || !args::is_sequence(object) {
        return Ok(vec![args::choice(name, object, choices)?]);
    }
    let items = object.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    if items.len() != n {
        let allowed = format!("be a name or have {n} names, one for each axis");
        return Err(args::wrong_len(name, object, items.len(), &allowed));
    }
    items.iter().enumerate().map(|(i, item)| args::choice(&format!("{name}[{i}]"), item, choices)).collect()
}

/// A pair of numbers for each axis.
fn regions(roi: &Bound<'_, PyAny>, n: usize) -> Outcome<Vec<(f64, f64)>> {
    let wanted = format!("must be {n} pairs (start, end), one for each axis");
    let pairs = || Fail::from(Error::value(format!("roi = {}: {wanted}", args::shown(roi))));
    if !args::is_sequence(roi) || roi.is_instance_of::<PyString>() || roi.len()? != n {
        return Err(pairs());
    }
    let mut regions = Vec::new();
    for (i, pair) in roi.try_iter()?.enumerate() {
        let pair = pair?;
        if !args::is_sequence(&pair) || pair.len()? != 2 {
            return Err(pairs());
        }
        let end = |j: usize| args::number(&format!("roi[{i}][{j}]"), &pair.get_item(j)?);
        regions.push((end(0)?, end(1)?));
    }
    Ok(regions)
}

/// The constant outside as an array of one element, but for plain zero; and as a number, NaN where it is none.
fn fill_of<'py>(fill: &Bound<'py, PyAny>, x: &Input<'py>) -> Outcome<(Option<Input<'py>>, f64)> {
    let value = fill.extract::<f64>();
    if matches!(value, Ok(v) if v == 0.0) {
        return Ok((None, 0.0));
    }
    Ok((Some(x.filled("fill", fill)?), value.unwrap_or(f64::NAN)))
}

#[pyfunction]
#[pyo3(signature = (x, size, scale, axes, method, coordinates, antialias, edge, fill, cubic_a, nearest_rounding, exclude_outside, roi, keep_aspect_ratio, rounding, out, /))]
#[allow(clippy::too_many_arguments)]
fn resize<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    size: &Bound<'py, PyAny>,
    scale: &Bound<'py, PyAny>,
    axes: &Bound<'py, PyAny>,
    method: &Bound<'py, PyAny>,
    coordinates: &Bound<'py, PyAny>,
    antialias: &Bound<'py, PyAny>,
    edge: &Bound<'py, PyAny>,
    fill: &Bound<'py, PyAny>,
    cubic_a: &Bound<'py, PyAny>,
    nearest_rounding: &Bound<'py, PyAny>,
    exclude_outside: &Bound<'py, PyAny>,
    roi: &Bound<'py, PyAny>,
    keep_aspect_ratio: &Bound<'py, PyAny>,
    rounding: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = Options {
        size,
        scale,
        axes,
        method,
        coordinates,
        antialias,
        edge,
        cubic_a,
        nearest_rounding,
        exclude_outside,
        roi,
        keep_aspect_ratio,
    };
    let run = || -> Outcome<_> {
        let whole = Whole::new("x", x)?;
        let x = &whole.held;
        let mut params = options.params(whole.shape().len(), None)?;
        params.rounding = args::rounding(rounding)?;
        if params.methods.iter().any(|m| *m != ResizeMethod::Nearest) {
            accept_linear(x, "x")?;
        }
        let (fill, number) = fill_of(fill, x)?;
        params.fill = number;
        let plan = ResizePlan::new(whole.shape(), x.itemsize, &params)?;
        let plan = match whole.cut(py, plan, ResizePlan::part)? {
            Cut::Run(plan) => plan,
            Cut::Asked(answer) => return Ok(answer),
        };
        let mut out = Output::new(&plan.out_shape, x, &[x], given(out), "out")?;
        run_forward(py, &plan, x, &mut out, fill.as_ref())?;
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("resize"))
}

fn run_forward(
    py: Python<'_>,
    plan: &ResizePlan,
    x: &Input<'_>,
    out: &mut Output<'_>,
    fill: Option<&Input<'_>>,
) -> Outcome<()> {
    let work = volume(&plan.out_shape).max(volume(x.shape()));
    if plan.is_move() {
        dispatch!(moved, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
            // SAFETY: as above; the constant has the dtype of `x`.
            let fill = fill.and_then(|f| unsafe { f.view::<T>() }.elements().next()).map_or(T::default(), |e| e.1);
            released(py, work, || plan.run_move(&x, &mut out, fill))?;
            Ok::<(), Fail>(())
        })
    } else {
        dispatch!(linear, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
            // SAFETY: as above; the constant has the dtype of `x`.
            let fill = fill.and_then(|f| unsafe { f.view::<T>() }.elements().next()).map_or(T::default(), |e| e.1);
            released(py, work, || plan.forward(&x, &mut out, fill))?;
            Ok::<(), Fail>(())
        })
    }
}

#[pyfunction]
#[pyo3(signature = (grad_output, input_size, size, scale, axes, method, coordinates, antialias, edge, cubic_a, nearest_rounding, exclude_outside, roi, keep_aspect_ratio, out, /))]
#[allow(clippy::too_many_arguments)]
fn resize_backward<'py>(
    py: Python<'py>,
    grad_output: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    size: &Bound<'py, PyAny>,
    scale: &Bound<'py, PyAny>,
    axes: &Bound<'py, PyAny>,
    method: &Bound<'py, PyAny>,
    coordinates: &Bound<'py, PyAny>,
    antialias: &Bound<'py, PyAny>,
    edge: &Bound<'py, PyAny>,
    cubic_a: &Bound<'py, PyAny>,
    nearest_rounding: &Bound<'py, PyAny>,
    exclude_outside: &Bound<'py, PyAny>,
    roi: &Bound<'py, PyAny>,
    keep_aspect_ratio: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = Options {
        size,
        scale,
        axes,
        method,
        coordinates,
        antialias,
        edge,
        cubic_a,
        nearest_rounding,
        exclude_outside,
        roi,
        keep_aspect_ratio,
    };
    let run = || -> Outcome<_> {
        let whole = Whole::new("grad_output", grad_output)?;
        let grad = &whole.held;
        accept_float(grad, "grad_output")?;
        let input_size = args::shape("input_size", input_size)?;
        let (found, ndim) = (whole.shape().len(), input_size.len());
        if found != ndim {
            let text = format!("grad_output.ndim = {found}: must be {ndim}, the length of input_size");
            return Err(Error::value(text).into());
        }
        let plan = ResizePlan::new(&input_size, grad.itemsize, &options.params(ndim, Some(whole.shape()))?)?;
        if whole.shape() != plan.out_shape {
            let (found, wanted) = (Shape(whole.shape()), Shape(&plan.out_shape));
            return Err(Error::value(format!("grad_output.shape = {found}: must be the result's, {wanted}")).into());
        }
        let plan = match whole.cut(py, plan, |plan, outs| plan.part_of_backward(outs)?.ok_or_else(refused_part))? {
            Cut::Run(plan) => plan,
            Cut::Asked(answer) => return Ok(answer),
        };
        let mut out = Output::new(&plan.in_shape, grad, &[grad], given(out), "out")?;
        let work = volume(&plan.out_shape).max(volume(&plan.in_shape));
        dispatch!(float, grad, "grad_output", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (grad, mut out) = unsafe { (grad.view::<T>(), out.view::<T>()) };
            released(py, work, || plan.backward(&grad, &mut out))?;
            Ok::<(), Fail>(())
        })?;
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("resize_backward"))
}

/// Where an edge rule sends gradients from one end to the other.
pub fn refused_part() -> Error {
    Error::value("grad_output = a part: must be the whole, for this edge rule")
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(resize, m)?)?;
    m.add_function(wrap_pyfunction!(resize_backward, m)?)
}
