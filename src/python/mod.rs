//! The extension module `upsample_rs._core`: translation between Python and the crate, nothing else.
//!
//! All arguments are positional; the documented functions are those of the Python package.

mod args;
mod array;
mod averaging;
mod convolution;
mod dispatch;
mod error;
mod folding;
mod fractional;
mod grid;
mod memory;
mod part;
mod pooling;
mod reserve;
mod resizing;
mod roi;
mod runtime;
mod shuffling;
mod unpooling;
mod upsampling;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: reserve::Reserve = reserve::Reserve;

/// Names of an operation by its number of spatial axes, for messages.
type Names = [&'static str; 3];

/// The name for `n` axes.
fn named(names: Names, n: usize) -> &'static str {
    names[n.clamp(1, 3) - 1]
}

#[pymodule]
#[pyo3(name = "_core", gil_used = false)]
fn core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    crate::engine::parallel::on_interrupt(error::interrupted);
    upsampling::register(m)?;
    resizing::register(m)?;
    pooling::register(m)?;
    averaging::register(m)?;
    fractional::register(m)?;
    unpooling::register(m)?;
    convolution::register(m)?;
    roi::register(m)?;
    shuffling::register(m)?;
    folding::register(m)?;
    grid::register(m)?;
    part::register(m)?;
    runtime::register(m)
}

/// Elements below which an operation keeps the GIL: letting go of it and taking it back costs more than the work.
const KEEP_GIL_BELOW: usize = 1 << 14;

/// Runs `work`, of about `elements`, without the GIL where that is worth it.
fn released<T: Send>(py: Python<'_>, elements: usize, work: impl FnOnce() -> T + Send) -> T {
    if elements < KEEP_GIL_BELOW { work() } else { py.detach(work) }
}

/// Elements of a shape, for [`released`].
fn volume(shape: &[usize]) -> usize {
    shape.iter().fold(1, |n, &d| n.saturating_mul(d))
}
