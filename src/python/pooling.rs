//! Poolings by order, which know where their values come from: `max_pool`, `min_pool`, `adaptive_max_pool`, forward and
//! backward; and the size function.

use numpy::{PyArrayDescr, PyArrayDescrMethods};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::args::{self, given};
use super::array::{Input, Output, type_name};
use super::dispatch::{accept_float, accept_ordered, dispatch};
use super::error::{Fail, Outcome};
use super::part::{Cut, Whole};
use super::unpooling::{indices_input, unpool, with_indices};
use super::{Names, named, released, volume};
use crate::error::Error;
use crate::geometry::window::{Padding, Windows};
use crate::kernels::reduce::{Beats, Larger, Smaller};
use crate::layout::Axes;
use crate::ops::index::{Duplicates, IndexPlan};
use crate::ops::pool::{PoolParams, PoolPlan};

const MAX_POOL: Names = ["max_pool1d", "max_pool2d", "max_pool3d"];
const MAX_POOL_BACKWARD: Names = ["max_pool1d_backward", "max_pool2d_backward", "max_pool3d_backward"];
const MIN_POOL: Names = ["min_pool1d", "min_pool2d", "min_pool3d"];
const MIN_POOL_BACKWARD: Names = ["min_pool1d_backward", "min_pool2d_backward", "min_pool3d_backward"];
const ADAPTIVE: Names = ["adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"];
const ADAPTIVE_BACKWARD: Names =
    ["adaptive_max_pool1d_backward", "adaptive_max_pool2d_backward", "adaptive_max_pool3d_backward"];

/// An array to write to, if the caller gave one.
type Given<'py> = Option<Bound<'py, PyAny>>;

/// The two results' `out`s: `None` or a pair.
pub fn pair_of_outs<'py>(out: &Bound<'py, PyAny>) -> Outcome<(Given<'py>, Given<'py>)> {
    let Some(out) = given(out) else { return Ok((None, None)) };
    let Ok(pair) = out.cast::<PyTuple>() else {
        return Err(Error::kind(format!(
            "out = {}: must be None or a tuple (values, indices) with return_indices=True",
            type_name(out)
        ))
        .into());
    };
    if pair.len() != 2 {
        return Err(Error::value(format!("out = {} entries: must be (values, indices)", pair.len())).into());
    }
    let item = |i| pair.get_item(i).map(|o| if o.is_none() { None } else { Some(o) });
    Ok((item(0)?, item(1)?))
}

/// `"int64"`, `"int32"`, or whatever NumPy takes for them; true for the wide one.
pub fn index_dtype_is_wide(object: &Bound<'_, PyAny>) -> Outcome<bool> {
    const NAMES: [(&str, bool); 2] = [("int64", true), ("int32", false)];
    if object.is_instance_of::<PyString>() {
        return args::choice("index_dtype", object, &NAMES);
    }
    let wrong = || Error::kind(format!("index_dtype = {}: must be \"int64\" or \"int32\"", args::shown(object)));
    let descr = PyArrayDescr::new(object.py(), object.clone()).map_err(|_| wrong())?;
    match (descr.kind(), descr.itemsize()) {
        (b'i', 8) => Ok(true),
        (b'i', 4) => Ok(false),
        _ => Err(Error::value(format!("index_dtype = {descr}: must be \"int64\" or \"int32\"")).into()),
    }
}

/// A window's parameters as users write them.
pub struct Windowing<'a, 'py> {
    pub n: usize,
    pub kernel_size: &'a Bound<'py, PyAny>,
    pub stride: &'a Bound<'py, PyAny>,
    pub padding: &'a Bound<'py, PyAny>,
    pub dilation: &'a Bound<'py, PyAny>,
    pub ceil_mode: &'a Bound<'py, PyAny>,
    pub channels_last: &'a Bound<'py, PyAny>,
}

impl Windowing<'_, '_> {
    pub fn params(&self) -> Outcome<PoolParams> {
        Ok(PoolParams {
            kernel_size: args::indices("kernel_size", self.kernel_size, self.n)?,
            stride: given(self.stride).map_or(Ok(Vec::new()), |s| args::indices("stride", s, self.n))?,
            padding: args::padding("padding", self.padding, self.n)?,
            dilation: args::indices("dilation", self.dilation, self.n)?,
            ceil_mode: args::flag("ceil_mode", self.ceil_mode)?,
            channels_last: args::flag("channels_last", self.channels_last)?,
        })
    }
}

/// What a pooling by order is to return.
struct Results<'a, 'py> {
    return_indices: &'a Bound<'py, PyAny>,
    index_dtype: &'a Bound<'py, PyAny>,
    out: &'a Bound<'py, PyAny>,
}

/// The best elements of planned windows, with their places if those are asked for.
fn extrema<'py, B: Beats>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    plan: impl FnOnce(&Input<'py>, &[usize]) -> Outcome<PoolPlan>,
    results: &Results<'_, 'py>,
) -> Outcome<Bound<'py, PyAny>> {
    let whole = Whole::new("x", x)?;
    let x = &whole.held;
    let plan = match whole.cut(py, plan(x, whole.shape())?, PoolPlan::part)? {
        Cut::Run(plan) => plan,
        Cut::Asked(answer) => return Ok(answer),
    };
    let work = volume(x.shape()).max(volume(&plan.out_shape));
    let wide = index_dtype_is_wide(results.index_dtype)?;
    if !args::flag("return_indices", results.return_indices)? {
        let mut out = Output::new(&plan.out_shape, x, &[x], given(results.out), "out")?;
        dispatch!(ordered, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
            released(py, work, || plan.extrema::<T, B>(&x, &mut out))?;
            Ok::<(), Fail>(())
        })?;
        return Ok(out.into_array());
    }
    let block = plan.axes().spatial(whole.shape()).iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if !wide && block.is_none_or(|b| i32::try_from(b).is_err()) && volume(&plan.out_shape) > 0 {
        return Err(Error::value("index_dtype = \"int32\": the spatial block has more than 2**31 - 1 elements").into());
    }
    let (values_out, indices_out) = pair_of_outs(results.out)?;
    let descr = if wide { PyArrayDescr::of::<i64>(py) } else { PyArrayDescr::of::<i32>(py) };
    let mut values = Output::new(&plan.out_shape, x, &[x], values_out.as_ref(), "out[0]")?;
    let mut indices = Output::of_dtype(&plan.out_shape, descr, &[x], indices_out.as_ref(), "out[1]")?;
    if indices_out.is_some() && values_out.is_some() {
        indices.require_apart(&values)?;
    }
    dispatch!(ordered, x, "x", T => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let (x, mut values) = unsafe { (x.view::<T>(), values.view::<T>()) };
        if wide {
            // SAFETY: as above.
            let mut indices = unsafe { indices.view::<i64>() };
            released(py, work, || plan.extrema_with_indices::<T, B, _>(&x, &mut values, &mut indices))?;
        } else {
            // SAFETY: as above.
            let mut indices = unsafe { indices.view::<i32>() };
            released(py, work, || plan.extrema_with_indices::<T, B, _>(&x, &mut values, &mut indices))?;
        }
        Ok::<(), Fail>(())
    })?;
    Ok(PyTuple::new(py, [values.into_array(), indices.into_array()])?.into_any())
}

/// The best elements of sliding windows.
fn window_extrema<'py, B: Beats>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    windowing: &Windowing<'_, 'py>,
    results: &Results<'_, 'py>,
) -> Outcome<Bound<'py, PyAny>> {
    let plan = |x: &Input<'py>, shape: &[usize]| {
        let params = windowing.params()?;
        accept_ordered(x, "x")?;
        Ok(PoolPlan::new(shape, x.itemsize, &params)?)
    };
    extrema::<B>(py, x, plan, results)
}

#[pyfunction]
#[pyo3(signature = (n, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, index_dtype, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn max_pool<'py>(
    py: Python<'py>,
    n: usize,
    x: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
    return_indices: &Bound<'py, PyAny>,
    index_dtype: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let windowing = Windowing { n, kernel_size, stride, padding, dilation, ceil_mode, channels_last };
    let results = Results { return_indices, index_dtype, out };
    window_extrema::<Larger>(py, x, &windowing, &results).map_err(|e| e.of(named(MAX_POOL, n)))
}

#[pyfunction]
#[pyo3(signature = (n, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, index_dtype, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn min_pool<'py>(
    py: Python<'py>,
    n: usize,
    x: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
    return_indices: &Bound<'py, PyAny>,
    index_dtype: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let windowing = Windowing { n, kernel_size, stride, padding, dilation, ceil_mode, channels_last };
    let results = Results { return_indices, index_dtype, out };
    window_extrema::<Smaller>(py, x, &windowing, &results).map_err(|e| e.of(named(MIN_POOL, n)))
}

#[pyfunction]
#[pyo3(signature = (n, x, output_size, return_indices, index_dtype, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn adaptive_max_pool<'py>(
    py: Python<'py>,
    n: usize,
    x: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    return_indices: &Bound<'py, PyAny>,
    index_dtype: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let plan = |x: &Input<'py>, shape: &[usize]| {
        let lens = args::lens_or_none("output_size", output_size, n)?;
        let channels_last = args::flag("channels_last", channels_last)?;
        accept_ordered(x, "x")?;
        Ok(PoolPlan::adaptive(shape, x.itemsize, &lens, channels_last)?)
    };
    let results = Results { return_indices, index_dtype, out };
    extrema::<Larger>(py, x, plan, &results).map_err(|e| e.of(named(ADAPTIVE, n)))
}

/// The gradient of a pooling that returned indices: each element added on the place its index names.
pub fn scatter_gradients<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> Outcome<Bound<'py, PyAny>> {
    let grad = Input::new("grad_output", grad_output)?;
    accept_float(&grad, "grad_output")?;
    let indices = indices_input(indices)?;
    let shape = args::shape("input_size", input_size)?;
    let axes = Axes::new(grad.shape().len(), n, args::flag("channels_last", channels_last)?)?;
    let blocks = ("input_size", &shape[..]);
    let plan = IndexPlan::new(axes, ("grad_output", grad.shape()), indices.shape(), blocks, grad.itemsize)?;
    with_indices!(indices, I => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let indices = unsafe { indices.view::<I>() };
        released(py, volume(grad.shape()), || plan.check(&indices))?;
    });
    let mut out = Output::new(&shape, &grad, &[&grad, &indices], given(out), "out")?;
    unpool(py, &plan, Duplicates::Sum, &grad, &indices, &mut out)?;
    Ok(out.into_array())
}

#[pyfunction]
#[pyo3(signature = (n, grad_output, indices, input_size, channels_last, out, /))]
fn max_pool_backward<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    scatter_gradients(py, n, grad_output, indices, input_size, channels_last, out)
        .map_err(|e| e.of(named(MAX_POOL_BACKWARD, n)))
}

#[pyfunction]
#[pyo3(signature = (n, grad_output, indices, input_size, channels_last, out, /))]
fn min_pool_backward<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    scatter_gradients(py, n, grad_output, indices, input_size, channels_last, out)
        .map_err(|e| e.of(named(MIN_POOL_BACKWARD, n)))
}

#[pyfunction]
#[pyo3(signature = (n, grad_output, indices, input_size, channels_last, out, /))]
fn adaptive_max_pool_backward<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    scatter_gradients(py, n, grad_output, indices, input_size, channels_last, out)
        .map_err(|e| e.of(named(ADAPTIVE_BACKWARD, n)))
}

#[pyfunction]
#[pyo3(signature = (size, kernel_size, stride, padding, dilation, ceil_mode, /))]
fn pool_output_size<'py>(
    py: Python<'py>,
    size: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let ceil_mode = args::flag("ceil_mode", ceil_mode)?;
        let stride = given(stride).unwrap_or(kernel_size);
        args::sizes(py, size, [kernel_size, stride, dilation], padding, |axis, [len, kernel, stride, dilation], pad| {
            let windows = match pad {
                Padding::Explicit(pad) => Windows::pool(len, kernel, stride, dilation, pad, ceil_mode, axis)?,
                // Such padding leaves no partial window for `ceil_mode` to keep.
                Padding::Same | Padding::SameLower => Windows::conv(len, kernel, stride, dilation, pad, axis)?,
            };
            Ok(windows.out_len)
        })
    };
    run().map_err(|e| e.of("pool_output_size"))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(max_pool, m)?)?;
    m.add_function(wrap_pyfunction!(max_pool_backward, m)?)?;
    m.add_function(wrap_pyfunction!(min_pool, m)?)?;
    m.add_function(wrap_pyfunction!(min_pool_backward, m)?)?;
    m.add_function(wrap_pyfunction!(adaptive_max_pool, m)?)?;
    m.add_function(wrap_pyfunction!(adaptive_max_pool_backward, m)?)?;
    m.add_function(wrap_pyfunction!(pool_output_size, m)?)
}
