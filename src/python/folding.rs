//! `unfold` and `fold`.

use pyo3::prelude::*;

use super::args::{self, given};
use super::array::{Input, Kind, Output};
use super::dispatch::{accept_added, dispatch};
use super::error::{Fail, Outcome};
use super::{released, volume};
use crate::element::{Added, Any};
use crate::ops::fold::{FoldParams, FoldPlan};

/// The parameters of windows, as they were given.
struct Given<'a, 'py> {
    kernel_size: &'a Bound<'py, PyAny>,
    dilation: &'a Bound<'py, PyAny>,
    padding: &'a Bound<'py, PyAny>,
    stride: &'a Bound<'py, PyAny>,
    channels_last: &'a Bound<'py, PyAny>,
}

impl Given<'_, '_> {
    /// Spatial axes: as many as the first of the parameters has entries, of which an int has two.
    fn rank(&self, first: Option<(&str, &Bound<'_, PyAny>)>) -> Outcome<usize> {
        let mut all = first.into_iter().chain([("kernel_size", self.kernel_size)]);
        let Some((name, object)) = all.find(|(_, object)| args::is_sequence(object)) else { return Ok(2) };
        let rank = object.len()?;
        if !(1..=3).contains(&rank) {
            return Err(args::wrong_len(name, object, rank, "have from 1 to 3"));
        }
        Ok(rank)
    }

    fn params(&self, rank: usize) -> Outcome<FoldParams> {
        Ok(FoldParams {
            kernel: args::indices("kernel_size", self.kernel_size, rank)?,
            dilation: args::indices("dilation", self.dilation, rank)?,
            padding: args::pads("padding", self.padding, rank)?,
            stride: args::indices("stride", self.stride, rank)?,
            channels_last: args::flag("channels_last", self.channels_last)?,
        })
    }
}

#[pyfunction]
#[pyo3(signature = (x, kernel_size, dilation, padding, stride, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn unfold<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let params = Given { kernel_size, dilation, padding, stride, channels_last };
    let run = || -> Outcome<_> {
        let x = Input::new("x", x)?;
        let plan = FoldPlan::of_image(x.shape(), x.itemsize, &params.params(params.rank(None)?)?)?;
        let mut out = Output::new(&plan.columns_shape, &x, &[&x], given(out), "out")?;
        dispatch!(moved, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
            released(py, volume(&plan.columns_shape), || plan.unfold(&x, &mut out))?;
        });
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("unfold"))
}

/// Adds columns up.
fn folded<'py>(
    py: Python<'py>,
    x: &Input<'py>,
    plan: &FoldPlan,
    out: &Bound<'py, PyAny>,
) -> Outcome<Bound<'py, PyAny>> {
    let mut out = Output::new(&plan.image_shape, x, &[x], given(out), "out")?;
    let work = volume(&plan.columns_shape).max(volume(&plan.image_shape));
    if x.kind == Kind::Bool {
        // SAFETY: NumPy's bool is a byte.
        let (x, mut out) = unsafe { (x.view::<u8>(), out.view::<u8>()) };
        released(py, work, || plan.fold(Any, &x, &mut out))?;
    } else {
        dispatch!(added, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
            released(py, work, || plan.fold(<T as Added>::TotalCodec::default(), &x, &mut out))?;
            Ok::<(), Fail>(())
        })?;
    }
    Ok(out.into_array())
}

#[pyfunction]
#[pyo3(signature = (x, output_size, kernel_size, dilation, padding, stride, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn fold<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let params = Given { kernel_size, dilation, padding, stride, channels_last };
    let run = || -> Outcome<_> {
        let x = Input::new("x", x)?;
        let rank = params.rank(Some(("output_size", output_size)))?;
        let size = args::indices("output_size", output_size, rank)?;
        if x.kind != Kind::Bool {
            accept_added(&x, "x")?;
        }
        let plan = FoldPlan::of_columns(x.shape(), x.itemsize, &size, &params.params(rank)?)?;
        folded(py, &x, &plan, out)
    };
    run().map_err(|e| e.of("fold"))
}

#[pyfunction]
#[pyo3(signature = (grad_output, input_size, kernel_size, dilation, padding, stride, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn unfold_backward<'py>(
    py: Python<'py>,
    grad_output: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let params = Given { kernel_size, dilation, padding, stride, channels_last };
    let run = || -> Outcome<_> {
        let grad = Input::new("grad_output", grad_output)?;
        let size = args::shape("input_size", input_size)?;
        accept_added(&grad, "grad_output")?;
        let plan = FoldPlan::of_image(&size, grad.itemsize, &params.params(params.rank(None)?)?)?;
        plan.check_columns("grad_output", grad.shape())?;
        folded(py, &grad, &plan, out)
    };
    run().map_err(|e| e.of("unfold_backward"))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(unfold, m)?)?;
    m.add_function(wrap_pyfunction!(unfold_backward, m)?)?;
    m.add_function(wrap_pyfunction!(fold, m)?)
}
