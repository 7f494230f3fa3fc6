//! `max_unpool`, forward and backward.

use pyo3::prelude::*;

use super::args::{self, given};
use super::array::{Input, Kind, Output};
use super::dispatch::{accept_ordered, dispatch};
use super::error::Outcome;
use super::{Names, named, released, volume};
use crate::error::Error;
use crate::geometry::window::AxisName;
use crate::layout::Axes;
use crate::ops::index::{Duplicates, IndexPlan, Placed, unpooled_len};

const MAX_UNPOOL: Names = ["max_unpool1d", "max_unpool2d", "max_unpool3d"];
const MAX_UNPOOL_BACKWARD: Names = ["max_unpool1d_backward", "max_unpool2d_backward", "max_unpool3d_backward"];

const DUPLICATES: [(&str, Duplicates); 5] = [
    ("last", Duplicates::Last),
    ("first", Duplicates::First),
    ("sum", Duplicates::Sum),
    ("max", Duplicates::Max),
    ("error", Duplicates::Error),
];

/// Indices as int64 or int32; other integers are converted first.
pub fn indices_input<'py>(object: &Bound<'py, PyAny>) -> Outcome<Input<'py>> {
    let input = Input::new("indices", object)?;
    match input.kind {
        Kind::I64 | Kind::I32 => Ok(input),
        Kind::I8 | Kind::I16 | Kind::U8 | Kind::U16 | Kind::U32 => input.converted("indices", "int64"),
        Kind::U64 => {
            let array = input.array();
            let beyond = array.call_method1("__gt__", (i64::MAX,))?;
            if beyond.call_method0("any")?.extract::<bool>()? {
                let first = beyond.call_method0("argmax")?;
                let value = array.getattr("flat")?.get_item(first)?.str()?;
                return Err(Error::index(format!("indices = {value}: must be below 2**63")).into());
            }
            input.converted("indices", "int64")
        }
        _ => Err(Error::kind(format!("indices.dtype = {}: must be integers", input.dtype_name())).into()),
    }
}

/// Calls `$body` with `$I` as the type of the indices, int64 or int32.
macro_rules! with_indices {
    ($input:expr, $I:ident => $body:expr) => {
        if $input.kind == $crate::python::array::Kind::I64 {
            type $I = i64;
            $body
        } else {
            type $I = i32;
            $body
        }
    };
}
pub(super) use with_indices;

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
            // A fresh result may be thrown away.
            let later = matches!(rule, Duplicates::Last | Duplicates::First) && given(out).is_none();
            released(py, volume(x.shape()), || match rule {
                Duplicates::Error => plan.refuse_duplicates(&indices),
                _ if later && plan.checks_while_placing() => Ok(()),
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
        Duplicates::Max => accept_ordered(x, "x"),
        Duplicates::Sum if x.kind != Kind::Bool => {
            dispatch!(added, x, "x", T => { let _ = size_of::<T>(); Ok(()) })
        }
        _ => Ok(()),
    }
}

/// Puts the elements of `x` on the places their indices name; see [`Duplicates`].
pub fn unpool<'py>(
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
            released(py, volume(&plan.values_shape), || plan.check(&indices))?;
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

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(max_unpool, m)?)?;
    m.add_function(wrap_pyfunction!(max_unpool_backward, m)?)
}
