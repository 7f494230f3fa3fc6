//! `max_pool`, `max_unpool` and the size function, forward and backward.

use numpy::{PyArrayDescr, PyArrayDescrMethods};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::args::{self, given};
use super::array::{Input, Kind, Output, type_name};
use super::dispatch::dispatch;
use super::error::{Fail, Outcome};
use super::{Names, named, released, volume};
use crate::error::Error;
use crate::geometry::window::{AxisName, Windows};
use crate::kernels::reduce::Larger;
use crate::layout::Axes;
use crate::ops::index::{Duplicates, IndexPlan, Placed, unpooled_len};
use crate::ops::pool::{PoolParams, PoolPlan};

const MAX_POOL: Names = ["max_pool1d", "max_pool2d", "max_pool3d"];
const MAX_POOL_BACKWARD: Names = ["max_pool1d_backward", "max_pool2d_backward", "max_pool3d_backward"];
const MAX_UNPOOL: Names = ["max_unpool1d", "max_unpool2d", "max_unpool3d"];
const MAX_UNPOOL_BACKWARD: Names = ["max_unpool1d_backward", "max_unpool2d_backward", "max_unpool3d_backward"];

const DUPLICATES: [(&str, Duplicates); 5] = [
    ("last", Duplicates::Last),
    ("first", Duplicates::First),
    ("sum", Duplicates::Sum),
    ("max", Duplicates::Max),
    ("error", Duplicates::Error),
];

/// An array to write to, if the caller gave one.
type Given<'py> = Option<Bound<'py, PyAny>>;

/// The two results' `out`s: `None` or a pair.
fn pair_of_outs<'py>(out: &Bound<'py, PyAny>) -> Outcome<(Given<'py>, Given<'py>)> {
    let Some(out) = given(out) else { return Ok((None, None)) };
    let Ok(pair) = out.cast::<PyTuple>() else {
        return Err(Error::kind(format!(
            "out is {}: must be None or a tuple (values, indices) with return_indices=True",
            type_name(out)
        ))
        .into());
    };
    if pair.len() != 2 {
        return Err(Error::value(format!("out has {} entries: must be (values, indices)", pair.len())).into());
    }
    let item = |i| pair.get_item(i).map(|o| if o.is_none() { None } else { Some(o) });
    Ok((item(0)?, item(1)?))
}

/// `"int64"`, `"int32"`, or whatever NumPy takes for them; true for the wide one.
fn index_dtype_is_wide(object: &Bound<'_, PyAny>) -> Outcome<bool> {
    const NAMES: [(&str, bool); 2] = [("int64", true), ("int32", false)];
    if object.is_instance_of::<PyString>() {
        return args::choice("index_dtype", object, &NAMES);
    }
    let wrong = || Error::kind(format!("index_dtype is {}: must be \"int64\" or \"int32\"", type_name(object)));
    let descr = PyArrayDescr::new(object.py(), object.clone()).map_err(|_| wrong())?;
    match (descr.kind(), descr.itemsize()) {
        (b'i', 8) => Ok(true),
        (b'i', 4) => Ok(false),
        _ => Err(Error::value(format!("index_dtype = {descr}: must be \"int64\" or \"int32\"")).into()),
    }
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
    let run = || -> Outcome<_> {
        let x = Input::new("x", x)?;
        let params = PoolParams {
            kernel_size: args::indices("kernel_size", kernel_size, n)?,
            stride: given(stride).map_or(Ok(Vec::new()), |s| args::indices("stride", s, n))?,
            padding: args::pads("padding", padding, n)?,
            dilation: args::indices("dilation", dilation, n)?,
            ceil_mode: args::flag("ceil_mode", ceil_mode)?,
            channels_last: args::flag("channels_last", channels_last)?,
        };
        accept_ordered(&x)?;
        let plan = PoolPlan::new(x.shape(), x.itemsize, &params)?;
        let work = volume(x.shape()).max(volume(&plan.out_shape));
        let wide = index_dtype_is_wide(index_dtype)?;
        if !args::flag("return_indices", return_indices)? {
            let mut out = Output::new(&plan.out_shape, &x, &[&x], given(out), "out")?;
            dispatch!(ordered, x, "x", T => {
                // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
                let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
                released(py, work, || plan.extrema::<T, Larger>(&x, &mut out))?;
                Ok::<(), Fail>(())
            })?;
            return Ok(out.into_array());
        }
        let axes = Axes::new(x.shape().len(), n, params.channels_last)?;
        let block = axes.spatial(x.shape()).iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if !wide && block.is_none_or(|b| i32::try_from(b).is_err()) && volume(&plan.out_shape) > 0 {
            return Err(
                Error::value("index_dtype = \"int32\": the spatial block has more than 2**31 - 1 elements").into()
            );
        }
        let (values_out, indices_out) = pair_of_outs(out)?;
        let descr = if wide { PyArrayDescr::of::<i64>(py) } else { PyArrayDescr::of::<i32>(py) };
        let mut values = Output::new(&plan.out_shape, &x, &[&x], values_out.as_ref(), "out[0]")?;
        let mut indices = Output::of_dtype(&plan.out_shape, descr, &[&x], indices_out.as_ref(), "out[1]")?;
        if indices_out.is_some() && values_out.is_some() {
            indices.require_apart(&values)?;
        }
        dispatch!(ordered, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut values) = unsafe { (x.view::<T>(), values.view::<T>()) };
            if wide {
                // SAFETY: as above.
                let mut indices = unsafe { indices.view::<i64>() };
                released(py, work, || plan.extrema_with_indices::<T, Larger, _>(&x, &mut values, &mut indices))?;
            } else {
                // SAFETY: as above.
                let mut indices = unsafe { indices.view::<i32>() };
                released(py, work, || plan.extrema_with_indices::<T, Larger, _>(&x, &mut values, &mut indices))?;
            }
            Ok::<(), Fail>(())
        })?;
        Ok(PyTuple::new(py, [values.into_array(), indices.into_array()])?.into_any())
    };
    run().map_err(|e| e.of(named(MAX_POOL, n)))
}

fn accept_ordered(x: &Input<'_>) -> Outcome<()> {
    dispatch!(ordered, x, "x", T => { let _ = size_of::<T>(); Ok(()) })
}

/// Indices as int64 or int32; other integers are converted first.
fn indices_input<'py>(object: &Bound<'py, PyAny>) -> Outcome<Input<'py>> {
    let input = Input::new("indices", object)?;
    match input.kind {
        Kind::I64 | Kind::I32 => Ok(input),
        Kind::I8 | Kind::I16 | Kind::U8 | Kind::U16 | Kind::U32 => {
            Input::new("indices", &input.into_array().call_method1("astype", ("int64",))?)
        }
        Kind::U64 => {
            let array = input.into_array();
            let beyond = array.call_method1("__gt__", (i64::MAX,))?;
            if beyond.call_method0("any")?.extract::<bool>()? {
                let first = beyond.call_method0("argmax")?;
                let value = array.getattr("flat")?.get_item(first)?.str()?;
                return Err(Error::index(format!("indices = {value}: must be below 2**63")).into());
            }
            Input::new("indices", &array.call_method1("astype", ("int64",))?)
        }
        _ => Err(Error::kind(format!("indices.dtype = {}: must be integers", input.dtype_name())).into()),
    }
}

/// Calls `$body` with `$I` as the type of the indices, int64 or int32.
macro_rules! with_indices {
    ($input:expr, $I:ident => $body:expr) => {
        if $input.kind == Kind::I64 {
            type $I = i64;
            $body
        } else {
            type $I = i32;
            $body
        }
    };
}

/// The shape of a block: that of `values` with these spatial lengths.
fn block_shape(axes: &Axes, values: &[usize], lens: impl Fn(usize) -> Outcome<usize>) -> Outcome<Vec<usize>> {
    let mut shape = values.to_vec();
    for i in 0..axes.rank {
        shape[axes.first() + i] = lens(i)?;
    }
    Ok(shape)
}

#[pyfunction]
#[pyo3(signature = (n, x, indices, kernel_size, stride, padding, output_size, duplicates, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn max_unpool<'py>(
    py: Python<'py>,
    n: usize,
    x: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    duplicates: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let x = Input::new("x", x)?;
        let indices = indices_input(indices)?;
        let rule = args::choice("duplicates", duplicates, &DUPLICATES)?;
        let kernel = args::indices("kernel_size", kernel_size, n)?;
        let stride = given(stride).map_or_else(|| Ok(kernel.clone()), |s| args::indices("stride", s, n))?;
        let padding = args::pads("padding", padding, n)?;
        let axes = Axes::new(x.shape().len(), n, args::flag("channels_last", channels_last)?)?;
        let first = axes.first();
        let given_size = match given(output_size) {
            None => None,
            // The whole shape may be given too, as torch allows; the planner compares the other axes.
            Some(s) if args::is_sequence(s) && s.len()? == axes.ndim => Some(args::shape("output_size", s)?),
            Some(s) => {
                let lens = args::indices("output_size", s, n)?;
                Some(block_shape(&axes, x.shape(), |i| Ok(lens[i]))?)
            }
        };
        let shape = block_shape(&axes, x.shape(), |i| {
            let size = given_size.as_ref().map(|s| s[first + i]);
            let name = AxisName { index: i, rank: n };
            Ok(unpooled_len(x.shape()[first + i], kernel[i], stride[i], padding[i], size, name)?)
        })?;
        let shape = given_size.unwrap_or(shape);
        let plan = IndexPlan::new(axes, ("x", x.shape()), indices.shape(), ("output_size", &shape), x.itemsize)?
            .with_windows(&kernel, &stride);
        refuse_rule(rule, &x)?;
        with_indices!(indices, I => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let indices = unsafe { indices.view::<I>() };
            released(py, volume(x.shape()), || match rule {
                Duplicates::Error => plan.refuse_duplicates(&indices),
                _ => plan.check(&indices),
            })?;
        });
        let mut out = Output::new(&shape, &x, &[&x, &indices], given(out), "out")?;
        unpool(py, &plan, rule, &x, &indices, &mut out)?;
        Ok(out.into_array())
    };
    run().map_err(|e| e.of(named(MAX_UNPOOL, n)))
}

/// Refuses rules the dtype has no meaning for.
fn refuse_rule(rule: Duplicates, x: &Input<'_>) -> Outcome<()> {
    match rule {
        Duplicates::Max => accept_ordered(x),
        Duplicates::Sum if x.kind != Kind::Bool => {
            dispatch!(added, x, "x", T => { let _ = size_of::<T>(); Ok(()) })
        }
        _ => Ok(()),
    }
}

fn unpool<'py>(
    py: Python<'py>,
    plan: &IndexPlan,
    rule: Duplicates,
    x: &Input<'py>,
    indices: &Input<'py>,
    out: &mut Output<'py>,
) -> Outcome<()> {
    let work = volume(&plan.block_shape);
    with_indices!(indices, I => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let i = unsafe { indices.view::<I>() };
        match rule {
            // The sum of truth values is their "or", which is their maximum.
            Duplicates::Sum if x.kind != Kind::Bool => dispatch!(added, x, "x", T => {
                // SAFETY: as above.
                let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
                Ok(released(py, work, || plan.add(&x, &i, &mut out))?)
            }),
            Duplicates::Max | Duplicates::Sum => dispatch!(ordered, x, "x", T => {
                // SAFETY: as above.
                let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
                Ok(released(py, work, || plan.largest(&x, &i, &mut out))?)
            }),
            Duplicates::Last | Duplicates::First | Duplicates::Error => dispatch!(moved, x, "x", T => {
                let placed = if rule == Duplicates::First { Placed::First } else { Placed::Last };
                // SAFETY: as above.
                let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
                Ok(released(py, work, || plan.place(placed, &x, &i, &mut out))?)
            }),
        }
    })
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
    let run = || -> Outcome<_> {
        let grad = Input::new("grad_output", grad_output)?;
        dispatch!(float, grad, "grad_output", T => { let _ = size_of::<T>(); Ok::<_, Fail>(()) })?;
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
    };
    run().map_err(|e| e.of(named(MAX_POOL_BACKWARD, n)))
}

#[pyfunction]
#[pyo3(signature = (n, grad_output, indices, channels_last, out, /))]
fn max_unpool_backward<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let grad = Input::new("grad_output", grad_output)?;
        let indices = indices_input(indices)?;
        let axes = Axes::new(grad.shape().len(), n, args::flag("channels_last", channels_last)?)?;
        let blocks = ("grad_output.shape", grad.shape());
        let values = ("indices", indices.shape());
        let plan = IndexPlan::new(axes, values, indices.shape(), blocks, grad.itemsize)?;
        with_indices!(indices, I => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let indices = unsafe { indices.view::<I>() };
            released(py, plan.values_shape.len(), || plan.check(&indices))?;
        });
        let mut out = Output::new(&plan.values_shape, &grad, &[&grad, &indices], given(out), "out")?;
        with_indices!(indices, I => dispatch!(moved, grad, "grad_output", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let i = unsafe { indices.view::<I>() };
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (grad, mut out) = unsafe { (grad.view::<T>(), out.view::<T>()) };
            released(py, volume(&plan.values_shape), || plan.take(&grad, &i, &mut out))?;
        }));
        Ok(out.into_array())
    };
    run().map_err(|e| e.of(named(MAX_UNPOOL_BACKWARD, n)))
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
            let crate::geometry::window::Padding::Explicit(pad) = pad else {
                return Err(Error::value("padding: must be numbers, a pooling has no 'same'").into());
            };
            Ok(Windows::pool(len, kernel, stride, dilation, pad, ceil_mode, axis)?.out_len)
        })
    };
    run().map_err(|e| e.of("pool_output_size"))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(max_pool, m)?)?;
    m.add_function(wrap_pyfunction!(max_pool_backward, m)?)?;
    m.add_function(wrap_pyfunction!(max_unpool, m)?)?;
    m.add_function(wrap_pyfunction!(max_unpool_backward, m)?)?;
    m.add_function(wrap_pyfunction!(pool_output_size, m)?)
}
