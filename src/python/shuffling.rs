//! `pixel_shuffle`, `pixel_unshuffle`, `depth_to_space`, `space_to_depth` and `channel_shuffle`.

use pyo3::prelude::*;

use super::args::{self, given};
use super::array::{Input, Output};
use super::dispatch::dispatch;
use super::error::Outcome;
use super::{released, volume};
use crate::ops::shuffle::{BlockMode, BlockParams, BlockPlan, ChannelPlan};

/// Parameters of a shuffle of blocks, of which `name` is the size; an int means two axes.
fn block_params(
    name: &str,
    block: &Bound<'_, PyAny>,
    mode: BlockMode,
    channels_last: &Bound<'_, PyAny>,
) -> Outcome<BlockParams> {
    let rank = if args::is_sequence(block) { block.len()? } else { 2 };
    if !(1..=3).contains(&rank) {
        return Err(args::wrong_len(name, block, rank, "be an int or have from 1 to 3"));
    }
    let channels_last = args::flag("channels_last", channels_last)?;
    Ok(BlockParams { block: args::indices(name, block, rank)?, mode, channels_last })
}

/// From channels to space.
fn spread<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    (name, params): (&str, &BlockParams),
    out: &Bound<'py, PyAny>,
) -> Outcome<Bound<'py, PyAny>> {
    let x = Input::new("x", x)?;
    let plan = BlockPlan::to_space(x.shape(), x.itemsize, params, name)?;
    let mut out = Output::new(&plan.wide_shape, &x, &[&x], given(out), "out")?;
    dispatch!(moved, x, "x", T => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
        released(py, volume(&plan.wide_shape), || plan.spread(&x, &mut out))?;
    });
    Ok(out.into_array())
}

/// From space to channels.
fn stack<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    (name, params): (&str, &BlockParams),
    out: &Bound<'py, PyAny>,
) -> Outcome<Bound<'py, PyAny>> {
    let x = Input::new("x", x)?;
    let plan = BlockPlan::to_depth(x.shape(), x.itemsize, params, name)?;
    let mut out = Output::new(&plan.deep_shape, &x, &[&x], given(out), "out")?;
    dispatch!(moved, x, "x", T => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
        released(py, volume(&plan.deep_shape), || plan.stack(&x, &mut out))?;
    });
    Ok(out.into_array())
}

/// Which channels make a block.
fn mode(object: &Bound<'_, PyAny>) -> Outcome<BlockMode> {
    args::choice("mode", object, &[("DCR", BlockMode::Dcr), ("CRD", BlockMode::Crd)])
}

#[pyfunction]
#[pyo3(signature = (x, upscale_factor, channels_last, out, /))]
fn pixel_shuffle<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    upscale_factor: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let name = "upscale_factor";
    block_params(name, upscale_factor, BlockMode::Crd, channels_last)
        .and_then(|params| spread(py, x, (name, &params), out))
        .map_err(|e| e.of("pixel_shuffle"))
}

#[pyfunction]
#[pyo3(signature = (x, downscale_factor, channels_last, out, /))]
fn pixel_unshuffle<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    downscale_factor: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let name = "downscale_factor";
    block_params(name, downscale_factor, BlockMode::Crd, channels_last)
        .and_then(|params| stack(py, x, (name, &params), out))
        .map_err(|e| e.of("pixel_unshuffle"))
}

#[pyfunction]
#[pyo3(signature = (x, block, mode, channels_last, out, /))]
fn depth_to_space<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    block: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    self::mode(mode)
        .and_then(|mode| block_params("block", block, mode, channels_last))
        .and_then(|params| spread(py, x, ("block", &params), out))
        .map_err(|e| e.of("depth_to_space"))
}

#[pyfunction]
#[pyo3(signature = (x, block, mode, channels_last, out, /))]
fn space_to_depth<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    block: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    self::mode(mode)
        .and_then(|mode| block_params("block", block, mode, channels_last))
        .and_then(|params| stack(py, x, ("block", &params), out))
        .map_err(|e| e.of("space_to_depth"))
}

#[pyfunction]
#[pyo3(signature = (x, groups, channels_last, out, /))]
fn channel_shuffle<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    groups: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let x = Input::new("x", x)?;
        let groups = args::index("groups", groups)?;
        let plan = ChannelPlan::new(x.shape(), groups, args::flag("channels_last", channels_last)?)?;
        let mut out = Output::new(&plan.shape, &x, &[&x], given(out), "out")?;
        dispatch!(moved, x, "x", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
            released(py, volume(&plan.shape), || plan.forward(&x, &mut out))?;
        });
        Ok(out.into_array())
    };
    run().map_err(|e| e.of("channel_shuffle"))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(pixel_shuffle, m)?)?;
    m.add_function(wrap_pyfunction!(pixel_unshuffle, m)?)?;
    m.add_function(wrap_pyfunction!(depth_to_space, m)?)?;
    m.add_function(wrap_pyfunction!(space_to_depth, m)?)?;
    m.add_function(wrap_pyfunction!(channel_shuffle, m)?)
}
