//! Poolings that compute: `avg_pool`, `lp_pool`, `adaptive_avg_pool`, forward and backward.

use pyo3::prelude::*;

use super::args::{self, given};
use super::array::{Input, Output, require_same_dtype};
use super::dispatch::{accept_float, accept_linear, dispatch};
use super::error::{Fail, Outcome};
use super::part::{Cut, Whole};
use super::pooling::Windowing;
use super::{Names, named, released, volume};
use crate::element::Rounding;
use crate::ops::pool::{Divisor, PoolPlan};
use crate::ops::pool_gradient::{adaptive_gradient_plan, check_divisor, check_exponent, check_gradient};

const AVG_POOL: Names = ["avg_pool1d", "avg_pool2d", "avg_pool3d"];
const AVG_POOL_BACKWARD: Names = ["avg_pool1d_backward", "avg_pool2d_backward", "avg_pool3d_backward"];
const LP_POOL: Names = ["lp_pool1d", "lp_pool2d", "lp_pool3d"];
const LP_POOL_BACKWARD: Names = ["lp_pool1d_backward", "lp_pool2d_backward", "lp_pool3d_backward"];
const ADAPTIVE: Names = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"];
const ADAPTIVE_BACKWARD: Names =
    ["adaptive_avg_pool1d_backward", "adaptive_avg_pool2d_backward", "adaptive_avg_pool3d_backward"];

/// What a sum is divided by.
fn divisor(count_include_pad: &Bound<'_, PyAny>, divisor_override: &Bound<'_, PyAny>) -> Outcome<Divisor> {
    let with_padding = args::flag("count_include_pad", count_include_pad)?;
    let divisor = match given(divisor_override) {
        Some(fixed) => Divisor::Fixed(args::integer("divisor_override", fixed)? as f64),
        None if with_padding => Divisor::WindowAndPadding,
        None => Divisor::Window,
    };
    check_divisor(divisor)?;
    Ok(divisor)
}

/// The exponent of a norm.
fn exponent(norm_type: &Bound<'_, PyAny>) -> Outcome<f64> {
    let p = args::number("norm_type", norm_type)?;
    check_exponent(p)?;
    Ok(p)
}

/// Elements read or written, for the decision to let go of the GIL.
fn work(plan: &PoolPlan, x: &[usize]) -> usize {
    volume(x).max(volume(&plan.out_shape))
}

/// The means of planned windows.
fn means<'py>(
    py: Python<'py>,
    x: &Whole<'py>,
    plan: PoolPlan,
    divisor: Divisor,
    rounding: Rounding,
    out: &Bound<'py, PyAny>,
) -> Outcome<Bound<'py, PyAny>> {
    let plan = match x.cut(py, plan, PoolPlan::part)? {
        Cut::Run(plan) => plan,
        Cut::Asked(answer) => return Ok(answer),
    };
    let x = &x.held;
    let mut out = Output::new(&plan.out_shape, x, &[x], given(out), "out")?;
    let work = work(&plan, x.shape());
    dispatch!(linear, x, "x", T => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
        released(py, work, || plan.means(&x, &mut out, divisor, rounding))?;
        Ok::<(), Fail>(())
    })?;
    Ok(out.into_array())
}

/// The gradient of [`means`].
fn means_backward<'py>(
    py: Python<'py>,
    grad: &Input<'py>,
    input_size: &[usize],
    plan: &PoolPlan,
    divisor: Divisor,
    out: &Bound<'py, PyAny>,
) -> Outcome<Bound<'py, PyAny>> {
    let mut out = Output::new(input_size, grad, &[grad], given(out), "out")?;
    let work = work(plan, input_size);
    dispatch!(float, grad, "grad_output", T => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let (grad, mut out) = unsafe { (grad.view::<T>(), out.view::<T>()) };
        released(py, work, || plan.means_gradient(&grad, &mut out, divisor))?;
        Ok::<(), Fail>(())
    })?;
    Ok(out.into_array())
}

#[pyfunction]
#[pyo3(signature = (n, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation, rounding, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn avg_pool<'py>(
    py: Python<'py>,
    n: usize,
    x: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
    count_include_pad: &Bound<'py, PyAny>,
    divisor_override: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    rounding: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let windowing = Windowing { n, kernel_size, stride, padding, dilation, ceil_mode, channels_last };
    let run = || {
        let x = Whole::new("x", x)?;
        let params = windowing.params()?;
        let divisor = divisor(count_include_pad, divisor_override)?;
        let rounding = args::rounding(rounding)?;
        accept_linear(&x.held, "x")?;
        let plan = PoolPlan::new(x.shape(), x.held.itemsize, &params)?;
        means(py, &x, plan, divisor, rounding, out)
    };
    run().map_err(|e| e.of(named(AVG_POOL, n)))
}

#[pyfunction]
#[pyo3(signature = (n, grad_output, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn avg_pool_backward<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
    count_include_pad: &Bound<'py, PyAny>,
    divisor_override: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let windowing = Windowing { n, kernel_size, stride, padding, dilation, ceil_mode, channels_last };
    let run = || {
        let grad = Input::new("grad_output", grad_output)?;
        accept_float(&grad, "grad_output")?;
        let shape = args::shape("input_size", input_size)?;
        let params = windowing.params()?;
        let divisor = divisor(count_include_pad, divisor_override)?;
        let plan = PoolPlan::new(&shape, grad.itemsize, &params)?;
        check_gradient(&plan, grad.shape())?;
        means_backward(py, &grad, &shape, &plan, divisor, out)
    };
    run().map_err(|e| e.of(named(AVG_POOL_BACKWARD, n)))
}

#[pyfunction]
#[pyo3(signature = (n, x, output_size, rounding, channels_last, out, /))]
fn adaptive_avg_pool<'py>(
    py: Python<'py>,
    n: usize,
    x: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    rounding: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || {
        let x = Whole::new("x", x)?;
        let lens = args::lens_or_none("output_size", output_size, n)?;
        let rounding = args::rounding(rounding)?;
        let channels_last = args::flag("channels_last", channels_last)?;
        accept_linear(&x.held, "x")?;
        let plan = PoolPlan::adaptive(x.shape(), x.held.itemsize, &lens, channels_last)?;
        means(py, &x, plan, Divisor::Window, rounding, out)
    };
    run().map_err(|e| e.of(named(ADAPTIVE, n)))
}

#[pyfunction]
#[pyo3(signature = (n, grad_output, input_size, channels_last, out, /))]
fn adaptive_avg_pool_backward<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || {
        let grad = Input::new("grad_output", grad_output)?;
        accept_float(&grad, "grad_output")?;
        let shape = args::shape("input_size", input_size)?;
        let channels_last = args::flag("channels_last", channels_last)?;
        let plan = adaptive_gradient_plan(grad.shape(), &shape, grad.itemsize, n, channels_last)?;
        means_backward(py, &grad, &shape, &plan, Divisor::Window, out)
    };
    run().map_err(|e| e.of(named(ADAPTIVE_BACKWARD, n)))
}

#[pyfunction]
#[pyo3(signature = (n, x, norm_type, kernel_size, stride, ceil_mode, padding, dilation, rounding, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn lp_pool<'py>(
    py: Python<'py>,
    n: usize,
    x: &Bound<'py, PyAny>,
    norm_type: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    rounding: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let windowing = Windowing { n, kernel_size, stride, padding, dilation, ceil_mode, channels_last };
    let run = || -> Outcome<_> {
        let whole = Whole::new("x", x)?;
        let x = &whole.held;
        let p = exponent(norm_type)?;
        let params = windowing.params()?;
        let rounding = args::rounding(rounding)?;
        accept_linear(x, "x")?;
        let plan = PoolPlan::new(whole.shape(), x.itemsize, &params)?;
        let plan = match whole.cut(py, plan, PoolPlan::part)? {
            Cut::Run(plan) => plan,
            Cut::Asked(answer) => return Ok(answer),
        };
        let mut out = Output::new(&plan.out_shape, x, &[x], given(out), "out")?;
        let work = work(&plan, x.shape());
        dispatch!(linear, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
            released(py, work, || plan.norms(&x, &mut out, p, rounding))?;
            Ok::<(), Fail>(())
        })?;
        Ok(out.into_array())
    };
    run().map_err(|e| e.of(named(LP_POOL, n)))
}

#[pyfunction]
#[pyo3(signature = (n, grad_output, x, norm_type, kernel_size, stride, ceil_mode, padding, dilation, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn lp_pool_backward<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    norm_type: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let windowing = Windowing { n, kernel_size, stride, padding, dilation, ceil_mode, channels_last };
    let run = || -> Outcome<_> {
        let grad = Input::new("grad_output", grad_output)?;
        let x = Input::new("x", x)?;
        accept_float(&grad, "grad_output")?;
        require_same_dtype("x", &x, "grad_output", &grad)?;
        let p = exponent(norm_type)?;
        let params = windowing.params()?;
        let plan = PoolPlan::new(x.shape(), x.itemsize, &params)?;
        check_gradient(&plan, grad.shape())?;
        let mut out = Output::new(x.shape(), &x, &[&grad, &x], given(out), "out")?;
        let work = work(&plan, x.shape());
        dispatch!(float, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (grad, x, mut out) = unsafe { (grad.view::<T>(), x.view::<T>(), out.view::<T>()) };
            released(py, work, || plan.norms_gradient(&grad, &x, &mut out, p))?;
            Ok::<(), Fail>(())
        })?;
        Ok(out.into_array())
    };
    run().map_err(|e| e.of(named(LP_POOL_BACKWARD, n)))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(avg_pool, m)?)?;
    m.add_function(wrap_pyfunction!(avg_pool_backward, m)?)?;
    m.add_function(wrap_pyfunction!(adaptive_avg_pool, m)?)?;
    m.add_function(wrap_pyfunction!(adaptive_avg_pool_backward, m)?)?;
    m.add_function(wrap_pyfunction!(lp_pool, m)?)?;
    m.add_function(wrap_pyfunction!(lp_pool_backward, m)?)
}
