//! Threads, instruction sets, version; hooks for the tests.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::args;
use super::error::{Fail, Outcome};
use super::memory;
use crate::engine::parallel;
use crate::engine::simd::{self, Isa};
use crate::error::Error;
use crate::ops::{conv, pool};

#[pyfunction]
#[pyo3(signature = (n, /))]
fn set_num_threads(n: &Bound<'_, PyAny>) -> PyResult<()> {
    let set = || -> Outcome<()> {
        let n = args::index("n", n)?;
        if n == 0 {
            return Err(Error::value(format!("n = 0: must be from 1 to {}", parallel::MAX_THREADS)).into());
        }
        Ok(parallel::set_num_threads(n)?)
    };
    set().map_err(|e| e.of("set_num_threads"))
}

#[pyfunction]
fn get_num_threads() -> usize {
    parallel::num_threads()
}

#[pyfunction]
#[pyo3(signature = (nbytes, /))]
fn set_cache_limit(nbytes: &Bound<'_, PyAny>) -> PyResult<()> {
    let nbytes = args::index("nbytes", nbytes).map_err(|e| e.of("set_cache_limit"))?;
    memory::set_limit(nbytes);
    Ok(())
}

#[pyfunction]
fn config(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("version", env!("CARGO_PKG_VERSION"))?;
    dict.set_item("isa", simd::current().name())?;
    dict.set_item("isa_detected", simd::detected().name())?;
    dict.set_item("threads", parallel::num_threads())?;
    dict.set_item("conv", conv::way().name())?;
    let (waiting, limit) = memory::usage();
    dict.set_item("cache_bytes", waiting)?;
    dict.set_item("cache_limit", limit)?;
    Ok(dict)
}

/// Threads for the operations this thread calls (0: as any other's); returns what it was.
#[pyfunction]
#[pyo3(signature = (n, /))]
fn _own_threads(n: &Bound<'_, PyAny>) -> PyResult<usize> {
    let set = || -> Outcome<usize> { Ok(parallel::set_own_threads(args::index("n", n)?)?) };
    set().map_err(|e| e.of("_own_threads"))
}

/// Test hook: kernels of one level (`None`: the default), if the machine has it.
#[pyfunction]
#[pyo3(signature = (name, /))]
fn _force_isa(name: Option<&str>) -> PyResult<()> {
    let isa = match name {
        None => None,
        Some(name) => {
            let isa = Isa::named(name).filter(|isa| *isa <= simd::detected());
            let refused = || Fail::from(Error::value(format!("name = {name:?}: not on this machine"))).of("_force_isa");
            Some(isa.ok_or_else(refused)?)
        }
    };
    simd::force(isa);
    Ok(())
}

/// Test hook: elements per parallel task (`None`: the default), so that tiny arrays are split too.
#[pyfunction]
#[pyo3(signature = (n, /))]
fn _force_grain(n: Option<usize>) {
    parallel::force_grain(n.unwrap_or(0));
}

/// Test hook: the way convolutions are taken (`None`: the default).
#[pyfunction]
#[pyo3(signature = (name, /))]
fn _force_conv(name: Option<&str>) -> PyResult<()> {
    let refused = |name| Fail::from(Error::value(format!("name = {name:?}: no such way"))).of("_force_conv");
    conv::set_way(name.map(|name| conv::Way::named(name).ok_or_else(|| refused(name))).transpose()?);
    Ok(())
}

/// Test hook: how far the inputs of an output row may be apart for the positions of maxima to be found with them (`None`: the
/// default).
#[pyfunction]
#[pyo3(signature = (elements, /))]
fn _force_span(elements: Option<usize>) {
    pool::force_span(elements);
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(get_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(set_cache_limit, m)?)?;
    m.add_function(wrap_pyfunction!(config, m)?)?;
    m.add_function(wrap_pyfunction!(_own_threads, m)?)?;
    m.add_function(wrap_pyfunction!(_force_isa, m)?)?;
    m.add_function(wrap_pyfunction!(_force_grain, m)?)?;
    m.add_function(wrap_pyfunction!(_force_conv, m)?)?;
    m.add_function(wrap_pyfunction!(_force_span, m)?)
}
