//! `conv`, `conv_transpose`, their backward and their size functions.

mod prepared;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::args::{self, given};
use super::array::{Input, Output, require_same_dtype};
use super::dispatch::dispatch;
use super::error::{Fail, Outcome};
use super::part::{Cut, Whole};
use super::{Names, named, released, volume};
use crate::error::Error;
use crate::geometry::window::{Padding, Windows, transposed_len};
use crate::ops::conv::{ConvParams, ConvPlan, Kind};

const CONV: Names = ["conv1d", "conv2d", "conv3d"];
const CONV_BACKWARD: Names = ["conv1d_backward", "conv2d_backward", "conv3d_backward"];
const CONV_TRANSPOSE: Names = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"];
const CONV_TRANSPOSE_BACKWARD: Names =
    ["conv_transpose1d_backward", "conv_transpose2d_backward", "conv_transpose3d_backward"];

/// Parameters both kinds have.
struct Common<'a, 'py> {
    n: usize,
    stride: &'a Bound<'py, PyAny>,
    padding: &'a Bound<'py, PyAny>,
    dilation: &'a Bound<'py, PyAny>,
    groups: &'a Bound<'py, PyAny>,
    channels_last: &'a Bound<'py, PyAny>,
}

impl Common<'_, '_> {
    fn params(&self, kind: Kind) -> Outcome<ConvParams> {
        Ok(ConvParams {
            kind,
            stride: args::indices("stride", self.stride, self.n)?,
            padding: args::padding("padding", self.padding, self.n)?,
            dilation: args::indices("dilation", self.dilation, self.n)?,
            groups: args::index("groups", self.groups)?,
            channels_last: args::flag("channels_last", self.channels_last)?,
        })
    }
}

fn transposed(n: usize, output_padding: &Bound<'_, PyAny>, output_size: &Bound<'_, PyAny>) -> Outcome<Kind> {
    let padding = args::indices("output_padding", output_padding, n)?;
    let size = given(output_size).map(|s| args::indices("output_size", s, n)).transpose()?;
    if size.is_some() && padding.iter().any(|&p| p > 0) {
        return Err(Error::value(format!("output_padding = {padding:?}: must be 0 with an output_size")).into());
    }
    Ok(Kind::Transposed { output_padding: padding, output_size: size })
}

/// Multiplications of the whole call, for the decision to let go of the GIL.
fn work(plan: &ConvPlan) -> usize {
    volume(&plan.out_shape).max(volume(&plan.x_shape)).saturating_mul(volume(&plan.weight_shape))
}

fn accept(x: &Input<'_>, name: &str) -> Outcome<()> {
    dispatch!(multiplied, x, name, T => { let _ = size_of::<T>(); Ok(()) })
}

fn forward<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    weight: &Bound<'py, PyAny>,
    bias: &Bound<'py, PyAny>,
    params: &ConvParams,
    out: &Bound<'py, PyAny>,
) -> Outcome<Bound<'py, PyAny>> {
    let whole = Whole::new("x", x)?;
    let x = &whole.held;
    let weight = Input::new("weight", weight)?;
    let bias = given(bias).map(|b| Input::new("bias", b)).transpose()?;
    accept(x, "x")?;
    require_same_dtype("weight", &weight, "x", x)?;
    let mut inputs = vec![x, &weight];
    if let Some(b) = &bias {
        require_same_dtype("bias", b, "x", x)?;
        inputs.push(b);
    }
    let plan = ConvPlan::new(whole.shape(), weight.shape(), bias.as_ref().map(Input::shape), x.itemsize, params)?;
    let plan = match whole.cut(py, plan, ConvPlan::part)? {
        Cut::Run(plan) => plan,
        Cut::Asked(answer) => return Ok(answer),
    };
    let mut out = Output::new(&plan.out_shape, x, &inputs, given(out), "out")?;
    dispatch!(multiplied, x, "x", T => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let (x, weight, mut out) = unsafe { (x.view::<T>(), weight.view::<T>(), out.view::<T>()) };
        // SAFETY: as above.
        let bias = bias.as_ref().map(|b| unsafe { b.view::<T>() });
        released(py, work(&plan), || plan.forward(&x, &weight, bias.as_ref(), &mut out))?;
        Ok::<(), Fail>(())
    })?;
    Ok(out.into_array())
}

/// Which gradients are wanted.
fn mask(object: &Bound<'_, PyAny>) -> Outcome<[bool; 3]> {
    if !args::is_sequence(object) {
        let shown = args::shown(object);
        return Err(
            Error::kind(format!("output_mask = {shown}: must be 3 truth values, for x, weight and bias")).into()
        );
    }
    if object.len()? != 3 {
        return Err(args::wrong_len("output_mask", object, object.len()?, "have 3, for x, weight and bias"));
    }
    let one = |i: usize| args::flag(&format!("output_mask[{i}]"), &object.get_item(i)?);
    Ok([one(0)?, one(1)?, one(2)?])
}

fn backward<'py>(
    py: Python<'py>,
    grad_output: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    weight: &Bound<'py, PyAny>,
    params: &ConvParams,
    output_mask: &Bound<'py, PyAny>,
) -> Outcome<Bound<'py, PyAny>> {
    let grad = Input::new("grad_output", grad_output)?;
    let x = Input::new("x", x)?;
    let weight = Input::new("weight", weight)?;
    let wanted = mask(output_mask)?;
    dispatch!(float, grad, "grad_output", T => { let _ = size_of::<T>(); Ok::<_, Fail>(()) })?;
    require_same_dtype("x", &x, "grad_output", &grad)?;
    require_same_dtype("weight", &weight, "grad_output", &grad)?;
    let plan = ConvPlan::new(x.shape(), weight.shape(), None, x.itemsize, params)?;
    plan.check_grad(grad.shape())?;
    let result =
        |wanted: bool, shape: &[usize]| wanted.then(|| Output::new(shape, &grad, &[], None, "out")).transpose();
    let mut grads =
        [result(wanted[0], x.shape())?, result(wanted[1], weight.shape())?, result(wanted[2], &[plan.out_channels()])?];
    dispatch!(float, grad, "grad_output", T => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let (grad, x, weight) = unsafe { (grad.view::<T>(), x.view::<T>(), weight.view::<T>()) };
        let [gx, gw, gb] = &mut grads;
        // SAFETY: as above, for each of the three.
        let [mut gx, mut gw, mut gb] = [gx, gw, gb].map(|g| g.as_mut().map(|o| unsafe { o.view::<T>() }));
        released(py, work(&plan), || {
            gx.as_mut().map_or(Ok(()), |out| plan.input_grad(&grad, &weight, out))?;
            gw.as_mut().map_or(Ok(()), |out| plan.weight_grad(&grad, &x, out))?;
            gb.as_mut().map_or(Ok(()), |out| plan.bias_grad(&grad, out))
        })?;
        Ok::<(), Fail>(())
    })?;
    Ok(PyTuple::new(py, grads.map(|g| g.map(Output::into_array)))?.into_any())
}

#[pyfunction]
#[pyo3(signature = (n, x, weight, bias, stride, padding, dilation, groups, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn conv<'py>(
    py: Python<'py>,
    n: usize,
    x: &Bound<'py, PyAny>,
    weight: &Bound<'py, PyAny>,
    bias: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    groups: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let common = Common { n, stride, padding, dilation, groups, channels_last };
    let run = || forward(py, x, weight, bias, &common.params(Kind::Forward)?, out);
    run().map_err(|e| e.of(named(CONV, n)))
}

#[pyfunction]
#[pyo3(signature = (n, x, weight, bias, stride, padding, output_padding, groups, dilation, output_size, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn conv_transpose<'py>(
    py: Python<'py>,
    n: usize,
    x: &Bound<'py, PyAny>,
    weight: &Bound<'py, PyAny>,
    bias: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    output_padding: &Bound<'py, PyAny>,
    groups: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let common = Common { n, stride, padding, dilation, groups, channels_last };
    let run = || forward(py, x, weight, bias, &common.params(transposed(n, output_padding, output_size)?)?, out);
    run().map_err(|e| e.of(named(CONV_TRANSPOSE, n)))
}

#[pyfunction]
#[pyo3(signature = (n, grad_output, x, weight, stride, padding, dilation, groups, output_mask, channels_last, /))]
#[allow(clippy::too_many_arguments)]
fn conv_backward<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    weight: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    groups: &Bound<'py, PyAny>,
    output_mask: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let common = Common { n, stride, padding, dilation, groups, channels_last };
    let run = || backward(py, grad_output, x, weight, &common.params(Kind::Forward)?, output_mask);
    run().map_err(|e| e.of(named(CONV_BACKWARD, n)))
}

#[pyfunction]
#[pyo3(signature = (n, grad_output, x, weight, stride, padding, output_padding, groups, dilation, output_size, output_mask, channels_last, /))]
#[allow(clippy::too_many_arguments)]
fn conv_transpose_backward<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    weight: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    output_padding: &Bound<'py, PyAny>,
    groups: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    output_mask: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let common = Common { n, stride, padding, dilation, groups, channels_last };
    let run = || {
        let kind = transposed(n, output_padding, output_size)?;
        backward(py, grad_output, x, weight, &common.params(kind)?, output_mask)
    };
    run().map_err(|e| e.of(named(CONV_TRANSPOSE_BACKWARD, n)))
}

#[pyfunction]
#[pyo3(signature = (size, kernel_size, stride, padding, dilation, /))]
fn conv_output_size<'py>(
    py: Python<'py>,
    size: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || {
        args::sizes(py, size, [kernel_size, stride, dilation], padding, |axis, [len, kernel, stride, dilation], pad| {
            Ok(Windows::conv(len, kernel, stride, dilation, pad, axis)?.out_len)
        })
    };
    run().map_err(|e| e.of("conv_output_size"))
}

#[pyfunction]
#[pyo3(signature = (size, kernel_size, stride, padding, output_padding, dilation, /))]
fn conv_transpose_output_size<'py>(
    py: Python<'py>,
    size: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    output_padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || {
        let rank = if args::is_sequence(size) { size.len()? } else { 1 };
        let extra = args::indices("output_padding", output_padding, rank)?;
        args::sizes(py, size, [kernel_size, stride, dilation], padding, |axis, [len, kernel, stride, dilation], pad| {
            let Padding::Explicit(pad) = pad else {
                return Err(Error::value("padding = 'same': must be numbers for a transposed convolution").into());
            };
            Ok(transposed_len(len, kernel, stride, dilation, pad, extra[axis.index], axis)?)
        })
    };
    run().map_err(|e| e.of("conv_transpose_output_size"))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    prepared::register(m)?;
    m.add_function(wrap_pyfunction!(conv, m)?)?;
    m.add_function(wrap_pyfunction!(conv_transpose, m)?)?;
    m.add_function(wrap_pyfunction!(conv_backward, m)?)?;
    m.add_function(wrap_pyfunction!(conv_transpose_backward, m)?)?;
    m.add_function(wrap_pyfunction!(conv_output_size, m)?)?;
    m.add_function(wrap_pyfunction!(conv_transpose_output_size, m)?)
}
