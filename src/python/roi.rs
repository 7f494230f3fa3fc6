//! `roi_align` and `roi_pool`, forward and backward.

use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList, PyTuple};

use super::args::{self, given};
use super::array::{Input, Kind, Output, require_same_dtype};
use super::dispatch::{accept_float, accept_linear, accept_ordered, dispatch};
use super::error::{Fail, Outcome};
use super::{released, volume};
use crate::error::{Error, Shape};
use crate::geometry::taps::reserved;
use crate::ops::roi::{Roi, RoiAlignParams, RoiMode, RoiPlan, RoiPoolParams};

const MODES: [(&str, RoiMode); 2] = [("avg", RoiMode::Average), ("max", RoiMode::Maximum)];

/// Boxes, and how to name one.
struct Boxes<'py> {
    rois: Vec<Roi>,
    /// The arrays they came in.
    arrays: Vec<Input<'py>>,
    /// Whether they came as one array for each image.
    listed: bool,
}

impl<'py> Boxes<'py> {
    /// `(K, 5)`, or a list or tuple of one `(L, 4)` for each of `images`.
    fn new(object: &Bound<'py, PyAny>, images: usize) -> Outcome<Self> {
        let Some(items) = per_image(object)? else {
            let (rows, array) = rows::<5>("boxes", "(K, 5), or a list of one (L, 4) for each image", object)?;
            let mut rois = reserved(rows.len())?;
            for (k, row) in rows.into_iter().enumerate() {
                rois.push(Roi::from_row(row, &|| format!("boxes[{k}]"))?);
            }
            return Ok(Self { rois, arrays: vec![array], listed: false });
        };
        if items.len() != images {
            let n = items.len();
            return Err(Error::value(format!("boxes = {n} entries: must have {images}, one for each image")).into());
        }
        let (mut rois, mut arrays) = (Vec::new(), Vec::new());
        for (image, item) in items.iter().enumerate() {
            let (corners, array) = rows::<4>(&format!("boxes[{image}]"), "(L, 4)", item)?;
            rois.try_reserve(corners.len()).map_err(|_| Error::memory("cannot allocate a table of boxes"))?;
            rois.extend(corners.into_iter().map(|corners| Roi { image, corners }));
            arrays.push(array);
        }
        Ok(Self { rois, arrays, listed: true })
    }

    /// Every array of a call, for the checks of `out`.
    fn beside<'a>(&'a self, others: &[&'a Input<'py>]) -> Vec<&'a Input<'py>> {
        others.iter().copied().chain(&self.arrays).collect()
    }

    fn name(&self, k: usize) -> String {
        if !self.listed {
            return format!("boxes[{k}]");
        }
        let image = self.rois[k].image;
        let first = self.rois.partition_point(|r| r.image < image);
        format!("boxes[{image}][{}]", k - first)
    }
}

/// The entries of a list or tuple of arrays, one for each image; none if this is one array, perhaps as nested lists.
fn per_image<'py>(object: &Bound<'py, PyAny>) -> Outcome<Option<Vec<Bound<'py, PyAny>>>> {
    if !object.is_instance_of::<PyList>() && !object.is_instance_of::<PyTuple>() {
        return Ok(None);
    }
    let items = object.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    let is_row = |item: &Bound<'py, PyAny>| -> PyResult<bool> {
        if let Ok(ndim) = item.getattr("ndim") {
            return Ok(ndim.extract::<usize>().is_ok_and(|n| n < 2));
        }
        Ok(item.get_item(0).map_or_else(|_| !args::is_sequence(item), |first| !args::is_sequence(&first)))
    };
    let one_array = items.first().map_or(Ok(false), is_row)?;
    Ok((!one_array).then_some(items))
}

/// Rows of `N` numbers, as double, and the array they came in.
fn rows<'py, const N: usize>(
    name: &str,
    wanted: &str,
    object: &Bound<'py, PyAny>,
) -> Outcome<(Vec<[f64; N]>, Input<'py>)> {
    let array = Input::new(name, object)?;
    let &[n, columns] = array.shape() else {
        if array.shape() == [0] {
            return Ok((Vec::new(), array)); // an empty list
        }
        return Err(Error::value(format!("{name}.shape = {}: must be {wanted}", Shape(array.shape()))).into());
    };
    if columns != N {
        return Err(Error::value(format!("{name}.shape = {}: must be {wanted}", Shape(array.shape()))).into());
    }
    let array = as_doubles(name, array)?;
    // SAFETY: the array is of float64, see `as_doubles`; all bits are valid.
    let numbers = unsafe { array.view::<f64>() };
    let mut rows: Vec<[f64; N]> = reserved(n)?;
    for (index, value) in numbers.elements() {
        if index[1] == 0 {
            rows.push([0.0; N]);
        }
        rows[index[0]][index[1]] = value;
    }
    Ok((rows, array))
}

/// Numbers as float64; other real ones are converted first.
fn as_doubles<'py>(name: &str, array: Input<'py>) -> Outcome<Input<'py>> {
    match array.kind {
        Kind::F64 => Ok(array),
        Kind::Bool | Kind::C64 | Kind::C128 | Kind::CLongDouble => {
            Err(Error::kind(format!("{name}.dtype = {}: must be integers or real numbers", array.dtype_name())).into())
        }
        _ => array.converted(name, "float64"),
    }
}

/// Bins along H and W.
fn output_size(object: &Bound<'_, PyAny>) -> Outcome<[usize; 2]> {
    let sizes = args::indices("output_size", object, 2)?;
    Ok([sizes[0], sizes[1]])
}

/// Zero for any number below 1, which all ask for as many points as elements.
fn sampling_ratio(object: &Bound<'_, PyAny>) -> Outcome<usize> {
    if object.is_instance_of::<PyInt>() && object.lt(1)? {
        return Ok(0);
    }
    if let Ok(n) = object.extract::<isize>()
        && n < 1
    {
        return Ok(0);
    }
    args::index("sampling_ratio", object)
}

#[pyfunction]
#[pyo3(signature = (x, boxes, output_size, spatial_scale, sampling_ratio, aligned, mode, rounding, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn roi_align<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    boxes: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    spatial_scale: &Bound<'py, PyAny>,
    sampling_ratio: &Bound<'py, PyAny>,
    aligned: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    rounding: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let x = Input::new("x", x)?;
        accept_linear(&x, "x")?;
        let params = RoiAlignParams {
            output_size: self::output_size(output_size)?,
            spatial_scale: args::number("spatial_scale", spatial_scale)?,
            sampling_ratio: self::sampling_ratio(sampling_ratio)?,
            aligned: args::flag("aligned", aligned)?,
            mode: args::choice("mode", mode, &MODES)?,
            rounding: args::rounding(rounding)?,
            channels_last: args::flag("channels_last", channels_last)?,
        };
        let boxes = Boxes::new(boxes, images(x.shape()))?;
        let plan = RoiPlan::align(x.shape(), x.itemsize, &boxes.rois, &|k| boxes.name(k), &params)?;
        let mut out = Output::new(&plan.out_shape, &x, &boxes.beside(&[&x]), given(out), "out")?;
        dispatch!(linear, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
            let points = volume(&plan.out_shape).saturating_mul(params.sampling_ratio.saturating_pow(2).max(1));
            let work = points.max(volume(&plan.in_shape));
            released(py, work, || plan.align_forward(&x, &mut out))?;
            Ok::<_, Fail>(())
        })?;
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("roi_align"))
}

#[pyfunction]
#[pyo3(signature = (x, boxes, output_size, spatial_scale, channels_last, out, /))]
fn roi_pool<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    boxes: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    spatial_scale: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let x = Input::new("x", x)?;
        accept_ordered(&x, "x")?;
        let params = RoiPoolParams {
            output_size: self::output_size(output_size)?,
            spatial_scale: args::number("spatial_scale", spatial_scale)?,
            channels_last: args::flag("channels_last", channels_last)?,
        };
        let boxes = Boxes::new(boxes, images(x.shape()))?;
        let plan = RoiPlan::pool(x.shape(), x.itemsize, &boxes.rois, &|k| boxes.name(k), &params)?;
        let mut out = Output::new(&plan.out_shape, &x, &boxes.beside(&[&x]), given(out), "out")?;
        dispatch!(ordered, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
            let work = volume(&plan.out_shape).max(volume(&plan.in_shape));
            released(py, work, || plan.pool_forward(&x, &mut out))?;
            Ok::<_, Fail>(())
        })?;
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("roi_pool"))
}

/// Images of a batch, for lists of boxes; what is not a batch is refused by the planner.
fn images(shape: &[usize]) -> usize {
    shape.first().copied().unwrap_or(0)
}

/// Bins along H and W, from the shape of the results' gradient.
fn bins(grad: &Input<'_>, channels_last: bool) -> Outcome<[usize; 2]> {
    match *grad.shape() {
        [_, h, w, _] if channels_last => Ok([h, w]),
        [_, _, h, w] if !channels_last => Ok([h, w]),
        ref shape => Err(Error::value(format!("grad_output.shape = {}: must have 4 axes", Shape(shape))).into()),
    }
}

fn require_result(grad: &Input<'_>, plan: &RoiPlan) -> Outcome<()> {
    if grad.shape() != plan.out_shape {
        let (found, wanted) = (Shape(grad.shape()), Shape(&plan.out_shape));
        return Err(Error::value(format!("grad_output.shape = {found}: must be the result's, {wanted}")).into());
    }
    Ok(())
}

/// The gradient, by images `x` where the plan chooses elements.
fn backward<'py>(
    py: Python<'py>,
    plan: &RoiPlan,
    grad: &Input<'py>,
    x: Option<&Input<'py>>,
    boxes: &Boxes<'py>,
    out: &Bound<'py, PyAny>,
) -> Outcome<Bound<'py, PyAny>> {
    require_result(grad, plan)?;
    let mut inputs = boxes.beside(&[grad]);
    inputs.extend(x);
    let mut out = Output::new(&plan.in_shape, grad, &inputs, given(out), "out")?;
    let work = volume(&plan.out_shape).max(volume(&plan.in_shape));
    dispatch!(float, grad, "grad_output", T => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let (grad, mut out) = unsafe { (grad.view::<T>(), out.view::<T>()) };
        // SAFETY: as above; the images have the gradient's dtype.
        let x = x.map(|x| unsafe { x.view::<T>() });
        released(py, work, || plan.align_backward(&grad, x.as_ref(), &mut out))?;
        Ok::<_, Fail>(())
    })?;
    Ok(out.into_array())
}

#[pyfunction]
#[pyo3(signature = (grad_output, boxes, input_size, spatial_scale, sampling_ratio, aligned, mode, x, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn roi_align_backward<'py>(
    py: Python<'py>,
    grad_output: &Bound<'py, PyAny>,
    boxes: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    spatial_scale: &Bound<'py, PyAny>,
    sampling_ratio: &Bound<'py, PyAny>,
    aligned: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let grad = Input::new("grad_output", grad_output)?;
        accept_float(&grad, "grad_output")?;
        let input_size = args::shape("input_size", input_size)?;
        let channels_last = args::flag("channels_last", channels_last)?;
        let params = RoiAlignParams {
            output_size: bins(&grad, channels_last)?,
            spatial_scale: args::number("spatial_scale", spatial_scale)?,
            sampling_ratio: self::sampling_ratio(sampling_ratio)?,
            aligned: args::flag("aligned", aligned)?,
            mode: args::choice("mode", mode, &MODES)?,
            rounding: crate::element::Rounding::Nearest,
            channels_last,
        };
        let boxes = Boxes::new(boxes, images(&input_size))?;
        let plan = RoiPlan::align(&input_size, grad.itemsize, &boxes.rois, &|k| boxes.name(k), &params)?;
        let x = match (params.mode, given(x)) {
            (RoiMode::Average, _) => None,
            (RoiMode::Maximum, Some(x)) => Some(Input::new("x", x)?),
            (RoiMode::Maximum, None) => {
                return Err(Error::value("x = None: mode = \"max\" needs the forward's input").into());
            }
        };
        if let Some(x) = &x {
            require_same_dtype("x", x, "grad_output", &grad)?;
            if x.shape() != plan.in_shape {
                let (found, wanted) = (Shape(x.shape()), Shape(&plan.in_shape));
                return Err(Error::value(format!("x.shape = {found}: must be input_size, {wanted}")).into());
            }
        }
        backward(py, &plan, &grad, x.as_ref(), &boxes, out)
    };
    run().map_err(|e| e.of("roi_align_backward"))
}

#[pyfunction]
#[pyo3(signature = (grad_output, x, boxes, spatial_scale, channels_last, out, /))]
fn roi_pool_backward<'py>(
    py: Python<'py>,
    grad_output: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    boxes: &Bound<'py, PyAny>,
    spatial_scale: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let grad = Input::new("grad_output", grad_output)?;
        accept_float(&grad, "grad_output")?;
        let x = Input::new("x", x)?;
        require_same_dtype("x", &x, "grad_output", &grad)?;
        let channels_last = args::flag("channels_last", channels_last)?;
        let params = RoiPoolParams {
            output_size: bins(&grad, channels_last)?,
            spatial_scale: args::number("spatial_scale", spatial_scale)?,
            channels_last,
        };
        let boxes = Boxes::new(boxes, images(x.shape()))?;
        let plan = RoiPlan::pool(x.shape(), x.itemsize, &boxes.rois, &|k| boxes.name(k), &params)?;
        backward(py, &plan, &grad, Some(&x), &boxes, out)
    };
    run().map_err(|e| e.of("roi_pool_backward"))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(roi_align, m)?)?;
    m.add_function(wrap_pyfunction!(roi_align_backward, m)?)?;
    m.add_function(wrap_pyfunction!(roi_pool, m)?)?;
    m.add_function(wrap_pyfunction!(roi_pool_backward, m)?)
}
