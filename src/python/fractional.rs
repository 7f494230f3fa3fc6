//! `fractional_max_pool`, forward and backward.

use numpy::{PyArray1, PyArrayDescr};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::args::{self, given};
use super::array::{Input, Kind, Output};
use super::dispatch::{accept_ordered, dispatch};
use super::error::Outcome;
use super::pooling::{index_dtype_is_wide, pair_of_outs, scatter_gradients};
use super::{Names, named, released, volume};
use crate::error::Error;
use crate::geometry::fractional::random;
use crate::ops::fractional::{FractionalParams, FractionalPlan, OutputLens, Samples};
use crate::ops::index::IndexElement;

const FORWARD: Names = ["fractional_max_pool", "fractional_max_pool2d", "fractional_max_pool3d"];
const BACKWARD: Names =
    ["fractional_max_pool_backward", "fractional_max_pool2d_backward", "fractional_max_pool3d_backward"];

/// The output's lengths, by size or by ratio.
fn output_lens(size: &Bound<'_, PyAny>, ratio: &Bound<'_, PyAny>, n: usize) -> Outcome<OutputLens> {
    match (given(size), given(ratio)) {
        (Some(size), None) => Ok(OutputLens::Size(args::indices("output_size", size, n)?)),
        (None, Some(ratio)) => Ok(OutputLens::Ratio(args::numbers("output_ratio", ratio, n)?)),
        (None, None) => Err(Error::value("output_size = None, output_ratio = None: one of them must be given").into()),
        (Some(_), Some(_)) => {
            Err(Error::value("output_size and output_ratio = both given: one of them must be None").into())
        }
    }
}

/// Where the random numbers come from.
enum Source<'py> {
    Seed(u64),
    Given(Input<'py>),
}

impl<'py> Source<'py> {
    fn new(samples: &Bound<'py, PyAny>, seed: &Bound<'py, PyAny>) -> Outcome<Self> {
        match (given(samples), given(seed)) {
            (None, None) => {
                let entropy = samples.py().import("os")?.call_method1("urandom", (8,))?;
                Ok(Self::Seed(u64::from_le_bytes(entropy.extract()?)))
            }
            (None, Some(seed)) => Ok(Self::Seed(args::index("seed", seed)? as u64)),
            (Some(samples), None) => Ok(Self::Given(as_doubles(Input::new("random_samples", samples)?)?)),
            (Some(_), Some(seed)) => {
                let seed = args::index("seed", seed)?;
                Err(Error::value(format!("seed = {seed}: must be None, random_samples are given")).into())
            }
        }
    }

    fn array(&self) -> Option<&Input<'py>> {
        match self {
            Self::Seed(_) => None,
            Self::Given(samples) => Some(samples),
        }
    }

    fn samples(&self) -> Samples<'_> {
        match self {
            Self::Seed(seed) => Samples::Seed(*seed),
            // SAFETY: the array is of float64, see `as_doubles`; all bits are valid.
            Self::Given(samples) => Samples::Given(unsafe { samples.view::<f64>() }),
        }
    }
}

/// Random numbers as float64; other real numbers are converted first.
fn as_doubles(samples: Input<'_>) -> Outcome<Input<'_>> {
    match samples.kind {
        Kind::F64 => Ok(samples),
        Kind::Bool | Kind::C64 | Kind::C128 | Kind::CLongDouble => {
            Err(Error::kind(format!("random_samples.dtype = {}: must be real numbers", samples.dtype_name())).into())
        }
        _ => samples.converted("random_samples", "float64"),
    }
}

#[pyfunction]
#[pyo3(signature = (n, x, kernel_size, output_size, output_ratio, return_indices, random_samples, seed, index_dtype, channels_last, out, /))]
#[allow(clippy::too_many_arguments)]
fn fractional_max_pool<'py>(
    py: Python<'py>,
    n: usize,
    x: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    output_ratio: &Bound<'py, PyAny>,
    return_indices: &Bound<'py, PyAny>,
    random_samples: &Bound<'py, PyAny>,
    seed: &Bound<'py, PyAny>,
    index_dtype: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let run = || -> Outcome<_> {
        let x = Input::new("x", x)?;
        let params = FractionalParams {
            kernel_size: args::indices("kernel_size", kernel_size, n)?,
            output: output_lens(output_size, output_ratio, n)?,
            channels_last: args::flag("channels_last", channels_last)?,
        };
        accept_ordered(&x, "x")?;
        let plan = FractionalPlan::new(x.shape(), x.itemsize, &params)?;
        let wide = index_dtype_is_wide(index_dtype)?;
        let located = args::flag("return_indices", return_indices)?;
        if located && !wide && !plan.fits_int32() {
            return Err(
                Error::value("index_dtype = \"int32\": the spatial block has more than 2**31 - 1 elements").into()
            );
        }
        let source = Source::new(random_samples, seed)?;
        plan.check(&source.samples())?;
        let inputs: Vec<_> = [Some(&x), source.array()].into_iter().flatten().collect();
        let (values_out, indices_out) = if located { pair_of_outs(out)? } else { (given(out).cloned(), None) };
        let name = if located { "out[0]" } else { "out" };
        let mut values = Output::new(&plan.out_shape, &x, &inputs, values_out.as_ref(), name)?;
        if !located {
            pool::<i64>(py, &plan, &x, &source, &mut values, None)?;
            return Ok(values.into_array());
        }
        let descr = if wide { PyArrayDescr::of::<i64>(py) } else { PyArrayDescr::of::<i32>(py) };
        let mut indices = Output::of_dtype(&plan.out_shape, descr, &inputs, indices_out.as_ref(), "out[1]")?;
        if indices_out.is_some() && values_out.is_some() {
            indices.require_apart(&values)?;
        }
        if wide {
            pool::<i64>(py, &plan, &x, &source, &mut values, Some(&mut indices))?;
        } else {
            pool::<i32>(py, &plan, &x, &source, &mut values, Some(&mut indices))?;
        }
        Ok(PyTuple::new(py, [values.into_array(), indices.into_array()])?.into_any())
    };
    run().map_err(|e| e.of(named(FORWARD, n)))
}

/// Runs the plan; `I` is the type of the indices.
fn pool<'py, I: IndexElement>(
    py: Python<'py>,
    plan: &FractionalPlan,
    x: &Input<'py>,
    source: &Source<'py>,
    values: &mut Output<'py>,
    indices: Option<&mut Output<'py>>,
) -> Outcome<()> {
    let work = volume(x.shape()).max(volume(&plan.out_shape));
    let samples = source.samples();
    // SAFETY: the caller made the indices of `I`'s dtype; all bits are valid.
    let mut indices = indices.map(|i| unsafe { i.view::<I>() });
    dispatch!(ordered, x, "x", T => {
        // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
        let (x, mut values) = unsafe { (x.view::<T>(), values.view::<T>()) };
        Ok(released(py, work, || plan.maxima(&x, &samples, &mut values, indices.as_mut()))?)
    })
}

#[pyfunction]
#[pyo3(signature = (n, grad_output, indices, input_size, channels_last, out, /))]
fn fractional_max_pool_backward<'py>(
    py: Python<'py>,
    n: usize,
    grad_output: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyAny>,
    input_size: &Bound<'py, PyAny>,
    channels_last: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    scatter_gradients(py, n, grad_output, indices, input_size, channels_last, out).map_err(|e| e.of(named(BACKWARD, n)))
}

/// The random numbers that follow from a seed, from the first on.
#[pyfunction]
#[pyo3(signature = (seed, count, /))]
fn _fractional_samples<'py>(
    py: Python<'py>,
    seed: &Bound<'py, PyAny>,
    count: usize,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let seed = args::index("seed", seed).map_err(|e| e.of("fractional_max_pool"))? as u64;
    Ok(PyArray1::from_iter(py, (0..count as u64).map(|i| random(seed, i))))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_fractional_samples, m)?)?;
    m.add_function(wrap_pyfunction!(fractional_max_pool, m)?)?;
    m.add_function(wrap_pyfunction!(fractional_max_pool_backward, m)?)
}
