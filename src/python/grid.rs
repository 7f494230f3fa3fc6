//! `grid_sample`, `affine_grid`, forward and backward.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::args::{self, given};
use super::array::{Input, Kind, Output, require_same_dtype};
use super::dispatch::{accept_float, accept_linear, dispatch};
use super::error::{Fail, Outcome};
use super::{released, volume};
use crate::element::Rounding;
use crate::error::{Error, Shape};
use crate::geometry::grid::{Filter, Outside};
use crate::ops::affine::AffinePlan;
use crate::ops::grid::{GridPlan, GridSampleParams, Points, PointsMut};

const MODES: [(&str, Filter); 3] =
    [("nearest", Filter::Nearest), ("bilinear", Filter::Linear), ("bicubic", Filter::Cubic)];
const PADDINGS: [(&str, Outside); 3] =
    [("zeros", Outside::Zeros), ("border", Outside::Border), ("reflection", Outside::Reflection)];

/// Points, which may be of any floating dtype.
fn points<'a>(grid: &'a Input<'_>) -> Outcome<Points<'a>> {
    accept_float(grid, "grid")?;
    // SAFETY: each type is of the size and alignment of the dtype, and all its bits are valid.
    Ok(unsafe {
        match grid.kind {
            Kind::F16 => Points::F16(grid.view()),
            Kind::BF16 => Points::BF16(grid.view()),
            Kind::F32 => Points::F32(grid.view()),
            _ => Points::F64(grid.view()),
        }
    })
}

/// The same for their gradients, of the same dtype.
fn points_mut<'a>(out: &'a mut Output<'_>, kind: Kind) -> PointsMut<'a> {
    // SAFETY: as in `points`.
    unsafe {
        match kind {
            Kind::F16 => PointsMut::F16(out.view()),
            Kind::BF16 => PointsMut::BF16(out.view()),
            Kind::F32 => PointsMut::F32(out.view()),
            _ => PointsMut::F64(out.view()),
        }
    }
}

/// The parameters that forward and backward share.
struct Common<'a, 'py> {
    mode: &'a Bound<'py, PyAny>,
    padding_mode: &'a Bound<'py, PyAny>,
    align_corners: &'a Bound<'py, PyAny>,
    channels_last: &'a Bound<'py, PyAny>,
}

impl Common<'_, '_> {
    fn params(&self, rounding: Rounding) -> Outcome<GridSampleParams> {
        Ok(GridSampleParams {
            filter: args::choice("mode", self.mode, &MODES)?,
            outside: args::choice("padding_mode", self.padding_mode, &PADDINGS)?,
            align_corners: args::flag("align_corners", self.align_corners)?,
            rounding,
            channels_last: args::flag("channels_last", self.channels_last)?,
        })
    }
}

/// Work of a call, for the decision to let go of the GIL.
fn work(plan: &GridPlan) -> usize {
    volume(&plan.out_shape).max(volume(&plan.in_shape)).max(volume(&plan.grid_shape))
}

#[pyfunction]
#[pyo3(signature = (x, grid, mode, padding_mode, align_corners, rounding, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn grid_sample<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    grid: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    padding_mode: &Bound<'py, PyAny>,
    align_corners: &Bound<'py, PyAny>,
    rounding: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let common = Common { mode, padding_mode, align_corners, channels_last };
    let run = || -> Outcome<_> {
        let (x, grid) = (Input::new("x", x)?, Input::new("grid", grid)?);
        let params = common.params(args::rounding(rounding)?)?;
        if params.filter != Filter::Nearest {
            accept_linear(&x, "x")?;
        }
        let points = points(&grid)?;
        let plan = GridPlan::new(x.shape(), x.itemsize, grid.shape(), &params)?;
        let mut out = Output::new(&plan.out_shape, &x, &[&x, &grid], given(out), "out")?;
        if plan.is_move() {
            dispatch!(moved, x, "x", T => {
                // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
                let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
                released(py, work(&plan), || plan.run_move(&x, &points, &mut out))?;
            });
        } else {
            dispatch!(linear, x, "x", T => {
                // SAFETY: as above.
                let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
                released(py, work(&plan), || plan.forward(&x, &points, &mut out))?;
                Ok::<_, Fail>(())
            })?;
        }
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("grid_sample"))
}

/// Which gradients are wanted.
fn mask(object: &Bound<'_, PyAny>) -> Outcome<[bool; 2]> {
    if !args::is_sequence(object) {
        let shown = args::shown(object);
        return Err(Error::kind(format!("output_mask = {shown}: must be 2 truth values, for x and grid")).into());
    }
    if object.len()? != 2 {
        return Err(args::wrong_len("output_mask", object, object.len()?, "have 2, for x and grid"));
    }
    let one = |i: usize| args::flag(&format!("output_mask[{i}]"), &object.get_item(i)?);
    Ok([one(0)?, one(1)?])
}

#[pyfunction]
#[pyo3(signature = (grad_output, x, grid, mode, padding_mode, align_corners, output_mask, channels_last, /))]
#[allow(clippy::too_many_arguments)]
fn grid_sample_backward<'py>(
    py: Python<'py>,
    grad_output: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    grid: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    padding_mode: &Bound<'py, PyAny>,
    align_corners: &Bound<'py, PyAny>,
    output_mask: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let common = Common { mode, padding_mode, align_corners, channels_last };
    let run = || -> Outcome<_> {
        let (grad, x) = (Input::new("grad_output", grad_output)?, Input::new("x", x)?);
        let grid = Input::new("grid", grid)?;
        accept_float(&grad, "grad_output")?;
        require_same_dtype("x", &x, "grad_output", &grad)?;
        let points = points(&grid)?;
        let wanted = mask(output_mask)?;
        let plan = GridPlan::new(x.shape(), x.itemsize, grid.shape(), &common.params(Rounding::Nearest)?)?;
        plan.check_grad(grad.shape())?;
        let fresh = |wanted: bool, like: &Input<'py>| {
            wanted.then(|| Output::new(like.shape(), like, &[], None, "out")).transpose()
        };
        let (mut gx, mut gg) = (fresh(wanted[0], &x)?, fresh(wanted[1], &grid)?);
        dispatch!(float, grad, "grad_output", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (grad, x) = unsafe { (grad.view::<T>(), x.view::<T>()) };
            // SAFETY: as above.
            let mut gx = gx.as_mut().map(|o| unsafe { o.view::<T>() });
            let mut gg = gg.as_mut().map(|o| points_mut(o, grid.kind));
            released(py, work(&plan), || {
                gx.as_mut().map_or(Ok(()), |out| plan.input_grad(&grad, &points, out))?;
                gg.as_mut().map_or(Ok(()), |out| plan.points_grad(&grad, &x, &points, out))
            })?;
            Ok::<_, Fail>(())
        })?;
        Ok(PyTuple::new(py, [gx, gg].map(|g| g.map(Output::into_array)))?.into_any())
    };
    run().map_err(|e| e.of("grid_sample_backward"))
}

#[pyfunction]
#[pyo3(signature = (theta, size, align_corners, channels_last, out, /))]
fn affine_grid<'py>(
    py: Python<'py>,
    theta: &Bound<'py, PyAny>,
    size: &Bound<'py, PyAny>,
    align_corners: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let theta = Input::new("theta", theta)?;
        accept_float(&theta, "theta")?;
        let (align, last) = (args::flag("align_corners", align_corners)?, args::flag("channels_last", channels_last)?);
        let plan = AffinePlan::new(theta.shape(), theta.itemsize, &args::shape("size", size)?, align, last)?;
        let mut out = Output::new(&plan.grid_shape, &theta, &[&theta], given(out), "out")?;
        dispatch!(float, theta, "theta", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (theta, mut out) = unsafe { (theta.view::<T>(), out.view::<T>()) };
            released(py, volume(&plan.grid_shape), || plan.forward(&theta, &mut out))?;
            Ok::<_, Fail>(())
        })?;
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("affine_grid"))
}

/// Shape of the matrices whose points have this shape.
fn matrices(grid: &[usize]) -> Vec<usize> {
    match grid {
        [rest @ .., rank @ 2..=3] if rest.len() >= *rank => {
            let mut shape = rest[..rest.len() - rank].to_vec();
            shape.extend([*rank, rank + 1]);
            shape
        }
        _ => Vec::new(),
    }
}

#[pyfunction]
#[pyo3(signature = (grad_output, size, align_corners, channels_last, out, /))]
fn affine_grid_backward<'py>(
    py: Python<'py>,
    grad_output: &Bound<'py, PyAny>,
    size: &Bound<'py, PyAny>,
    align_corners: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let grad = Input::new("grad_output", grad_output)?;
        accept_float(&grad, "grad_output")?;
        let (align, last) = (args::flag("align_corners", align_corners)?, args::flag("channels_last", channels_last)?);
        let theta = matrices(grad.shape());
        if theta.is_empty() {
            let found = Shape(grad.shape());
            return Err(Error::value(format!(
                "grad_output.shape = {found}: must be (..., H, W, 2) or (..., D, H, W, 3)"
            ))
            .into());
        }
        let plan = AffinePlan::new(&theta, grad.itemsize, &args::shape("size", size)?, align, last)?;
        if grad.shape() != plan.grid_shape {
            let (found, wanted) = (Shape(grad.shape()), Shape(&plan.grid_shape));
            return Err(Error::value(format!("grad_output.shape = {found}: must be the result's, {wanted}")).into());
        }
        let mut out = Output::new(&plan.theta_shape, &grad, &[&grad], given(out), "out")?;
        dispatch!(float, grad, "grad_output", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (grad, mut out) = unsafe { (grad.view::<T>(), out.view::<T>()) };
            released(py, volume(&plan.grid_shape), || plan.backward(&grad, &mut out))?;
            Ok::<_, Fail>(())
        })?;
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("affine_grid_backward"))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(grid_sample, m)?)?;
    m.add_function(wrap_pyfunction!(grid_sample_backward, m)?)?;
    m.add_function(wrap_pyfunction!(affine_grid, m)?)?;
    m.add_function(wrap_pyfunction!(affine_grid_backward, m)?)
}
