//! `interpolate` and `bed_of_nails`, forward and backward.

use pyo3::prelude::*;

use super::args::{self, given};
use super::array::{Input, Output};
use super::dispatch::{accept_float, accept_linear, dispatch};
use super::error::Outcome;
use super::part::{Cut, Whole};
use super::resizing::refused_part;
use super::{released, volume};
use crate::element::Rounding;
use crate::error::{Error, Shape};
use crate::ops::moves::{NailsParams, NailsPlan};
use crate::ops::resample::{InterpolateParams, InterpolatePlan, Mode, Target};

/// A mode's meaning, and the spatial rank its name says.
const MODES: [(&str, (Mode, Option<usize>)); 9] = [
    ("nearest", (Mode::Nearest, None)),
    ("nearest-exact", (Mode::NearestExact, None)),
    ("linear", (Mode::Linear, Some(1))),
    ("bilinear", (Mode::Linear, Some(2))),
    ("trilinear", (Mode::Linear, Some(3))),
    ("bicubic", (Mode::Cubic, Some(2))),
    ("tricubic", (Mode::Cubic, Some(3))),
    ("area", (Mode::Area, None)),
    ("lanczos", (Mode::Lanczos, None)),
];

/// Spatial axes: from the mode's name, else from a tuple, else all but two; arrays of one or two axes are all spatial.
fn rank_of(named: Option<usize>, tuples: [Option<&Bound<'_, PyAny>>; 2], ndim: usize) -> Outcome<usize> {
    if let Some(rank) = named {
        return Ok(rank);
    }
    let rank = match tuples.into_iter().flatten().find(|t| args::is_sequence(t)) {
        Some(tuple) => tuple.len()?,
        None if ndim <= 2 => ndim,
        None => ndim - 2,
    };
    if !(1..=3).contains(&rank) {
        return Err(Error::value(format!(
            "x.ndim = {ndim}: gives {rank} spatial axes, must be from 1 to 3 (a size with one entry for each spatial axis decides)"
        ))
        .into());
    }
    Ok(rank)
}

/// Size or scale factor, one of which must be given.
fn target(
    size: Option<&Bound<'_, PyAny>>,
    scale: Option<&Bound<'_, PyAny>>,
    recompute: bool,
    rank: usize,
) -> Outcome<Target> {
    match (size, scale) {
        (Some(_), Some(_)) => {
            Err(Error::value("size and scale_factor = both given: must give one of them, not both").into())
        }
        (None, None) => Err(Error::value("size and scale_factor = None: must give one of them").into()),
        (Some(_), None) if recompute => {
            Err(Error::value("recompute_scale_factor = True: must be None with an explicit size").into())
        }
        (Some(size), None) => Ok(Target::Size(args::indices("size", size, rank)?)),
        (None, Some(scale)) => Ok(Target::Scale { factors: args::numbers("scale_factor", scale, rank)?, recompute }),
    }
}

fn optional_flag(name: &str, object: &Bound<'_, PyAny>) -> Outcome<bool> {
    given(object).map_or(Ok(false), |o| args::flag(name, o))
}

#[pyfunction]
#[pyo3(signature = (x, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias, rounding, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn interpolate<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    size: &Bound<'py, PyAny>,
    scale_factor: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    align_corners: &Bound<'py, PyAny>,
    recompute_scale_factor: &Bound<'py, PyAny>,
    antialias: &Bound<'py, PyAny>,
    rounding: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let whole = Whole::new("x", x)?;
        let x = &whole.held;
        let (mode, named) = args::choice("mode", mode, &MODES)?;
        let (size, scale) = (given(size), given(scale_factor));
        let rank = rank_of(named, [size, scale], whole.shape().len())?;
        let recompute = optional_flag("recompute_scale_factor", recompute_scale_factor)?;
        let plan = InterpolatePlan::new(
            whole.shape(),
            x.itemsize,
            &InterpolateParams {
                mode,
                target: target(size, scale, recompute, rank)?,
                align_corners: optional_flag("align_corners", align_corners)?,
                antialias: args::flag("antialias", antialias)?,
                rounding: args::rounding(rounding)?,
                channels_last: args::flag("channels_last", channels_last)?,
            },
        )?;
        if !mode.is_move() {
            accept_linear(x, "x")?;
        }
        let plan = match whole.cut(py, plan, InterpolatePlan::part)? {
            Cut::Run(plan) => plan,
            Cut::Asked(answer) => return Ok(answer),
        };
        let mut out = Output::new(&plan.out_shape, x, &[x], given(out), "out")?;
        let work = volume(&plan.out_shape).max(volume(x.shape()));
        if plan.is_move() {
            dispatch!(moved, x, "x", T => {
                // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
                let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
                released(py, work, || plan.run_move(&x, &mut out))?;
                Ok::<(), super::error::Fail>(())
            })?;
        } else {
            dispatch!(linear, x, "x", T => {
                // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
                let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
                released(py, work, || plan.forward(&x, &mut out))?;
                Ok::<(), super::error::Fail>(())
            })?;
        }
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("interpolate"))
}

#[pyfunction]
#[pyo3(signature = (grad_output, input_size, mode, align_corners, antialias, scale_factor, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn interpolate_backward<'py>(
    py: Python<'py>,
    grad_output: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    align_corners: &Bound<'py, PyAny>,
    antialias: &Bound<'py, PyAny>,
    scale_factor: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let whole = Whole::new("grad_output", grad_output)?;
        let grad = &whole.held;
        accept_float(grad, "grad_output")?;
        let input_size = args::shape("input_size", input_size)?;
        let (mode, named) = args::choice("mode", mode, &MODES)?;
        let channels_last = args::flag("channels_last", channels_last)?;
        let ndim = input_size.len();
        if whole.shape().len() != ndim {
            return Err(Error::value(format!(
                "grad_output.ndim = {}: must be {ndim}, the length of input_size",
                whole.shape().len()
            ))
            .into());
        }
        let scale = given(scale_factor);
        let rank = match (named, scale) {
            (None, None) => changed_axes(&input_size, whole.shape(), channels_last),
            _ => rank_of(named, [scale, None], ndim)?,
        };
        let axes = crate::layout::Axes::new(ndim, rank, channels_last)?;
        let spatial = axes.first()..axes.first() + rank;
        let target = match scale {
            None => Target::Size(whole.shape()[spatial].to_vec()),
            Some(s) => Target::Scale { factors: args::numbers("scale_factor", s, rank)?, recompute: false },
        };
        let plan = InterpolatePlan::new(
            &input_size,
            grad.itemsize,
            &InterpolateParams {
                mode,
                target,
                align_corners: optional_flag("align_corners", align_corners)?,
                antialias: args::flag("antialias", antialias)?,
                rounding: Rounding::Nearest,
                channels_last,
            },
        )?;
        if whole.shape() != plan.out_shape {
            return Err(Error::value(format!(
                "grad_output.shape = {}: must be the result's, {}",
                Shape(whole.shape()),
                Shape(&plan.out_shape)
            ))
            .into());
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
            Ok::<(), super::error::Fail>(())
        })?;
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("interpolate_backward"))
}

/// The spatial rank of a nearest forward whose size is not known any more: the trailing axes from the first whose
/// length changed. (An axis of the same length is copied, so leaving one out changes nothing.)
fn changed_axes(input: &[usize], output: &[usize], channels_last: bool) -> usize {
    let end = input.len() - usize::from(channels_last && !input.is_empty());
    let first = (0..end).find(|&i| input[i] != output[i]).unwrap_or(end.saturating_sub(1));
    (end - first).clamp(1, 3)
}

/// Factor and offset, one for each axis; an int factor means two axes.
fn nails(
    factor: &Bound<'_, PyAny>,
    offset: &Bound<'_, PyAny>,
    channels_last: &Bound<'_, PyAny>,
) -> Outcome<NailsParams> {
    let rank = if args::is_sequence(factor) { factor.len()? } else { 2 };
    if !(1..=3).contains(&rank) {
        return Err(args::wrong_len("factor", factor, rank, "be an int or have from 1 to 3"));
    }
    Ok(NailsParams {
        factor: args::indices("factor", factor, rank)?,
        offset: args::indices("offset", offset, rank)?,
        channels_last: args::flag("channels_last", channels_last)?,
    })
}

#[pyfunction]
#[pyo3(signature = (x, factor, offset, channels_last, out, /))]
fn bed_of_nails<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    factor: &Bound<'py, PyAny>,
    offset: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let whole = Whole::new("x", x)?;
        let x = &whole.held;
        let plan = NailsPlan::new(whole.shape(), x.itemsize, &nails(factor, offset, channels_last)?)?;
        let plan = match whole.cut(py, plan, NailsPlan::part)? {
            Cut::Run(plan) => plan,
            Cut::Asked(answer) => return Ok(answer),
        };
        let mut out = Output::new(&plan.out_shape, x, &[x], given(out), "out")?;
        dispatch!(moved, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
            released(py, volume(&plan.out_shape), || plan.forward(&x, &mut out))?;
        });
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("bed_of_nails"))
}

#[pyfunction]
#[pyo3(signature = (grad_output, input_size, factor, offset, channels_last, out, /))]
fn bed_of_nails_backward<'py>(
    py: Python<'py>,
    grad_output: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    factor: &Bound<'py, PyAny>,
    offset: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let grad = Input::new("grad_output", grad_output)?;
        let input_size = args::shape("input_size", input_size)?;
        let plan = NailsPlan::new(&input_size, grad.itemsize, &nails(factor, offset, channels_last)?)?;
        if grad.shape() != plan.out_shape {
            return Err(Error::value(format!(
                "grad_output.shape = {}: must be the result's, {}",
                Shape(grad.shape()),
                Shape(&plan.out_shape)
            ))
            .into());
        }
        let mut out = Output::new(&input_size, &grad, &[&grad], given(out), "out")?;
        dispatch!(moved, grad, "grad_output", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (grad, mut out) = unsafe { (grad.view::<T>(), out.view::<T>()) };
            released(py, volume(&input_size), || plan.backward(&grad, &mut out))?;
        });
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("bed_of_nails_backward"))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(interpolate, m)?)?;
    m.add_function(wrap_pyfunction!(interpolate_backward, m)?)?;
    m.add_function(wrap_pyfunction!(bed_of_nails, m)?)?;
    m.add_function(wrap_pyfunction!(bed_of_nails_backward, m)?)
}
