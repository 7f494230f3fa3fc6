//! A part of an array in the place of the whole: for callers that hold no whole one.
//!
//! An operation on it is planned for the whole shape and run for some of the outputs, on the inputs those read. Which those
//! are is the question it answers instead of running, if it is asked.

use std::ops::Range;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::array::{Input, Output};
use super::error::Outcome;
use crate::error::{Error, Result, Shape};
use crate::layout::{MAX_NDIM, element_count};

/// Part of an array, and which outputs are wanted.
#[pyclass(frozen, module = "upsample_rs._core")]
pub struct Part {
    /// The inputs that the outputs read; where those are asked for, an empty array of the dtype.
    array: Py<PyAny>,
    /// Lengths of the whole array.
    shape: Vec<usize>,
    /// The outputs wanted, along every axis.
    outs: Vec<Range<usize>>,
    /// Whether the inputs they read are asked for.
    asks: bool,
}

#[pymethods]
impl Part {
    #[new]
    #[pyo3(signature = (array, shape, outs, asks=false, /))]
    fn new(array: Py<PyAny>, shape: Vec<usize>, outs: Vec<(usize, usize)>, asks: bool) -> Self {
        Self { array, shape, outs: outs.into_iter().map(|(start, end)| start..end).collect(), asks }
    }
}

/// An array, or a part of one.
pub struct Whole<'py> {
    /// What there is of it.
    pub held: Input<'py>,
    part: Option<Bound<'py, Part>>,
}

/// A plan to run, or the answer to the question what it reads.
pub enum Cut<'py, P> {
    Run(P),
    Asked(Bound<'py, PyAny>),
}

impl<'py> Whole<'py> {
    /// The argument `name`.
    pub fn new(name: &str, object: &Bound<'py, PyAny>) -> Outcome<Self> {
        match object.cast::<Part>() {
            Ok(part) => {
                Ok(Self { held: Input::new(name, part.get().array.bind(object.py()))?, part: Some(part.clone()) })
            }
            Err(_) => Ok(Self { held: Input::new(name, object)?, part: None }),
        }
    }

    /// Elements of the whole along each axis.
    pub fn shape(&self) -> &[usize] {
        self.part.as_ref().map_or_else(|| self.held.shape(), |p| &p.get().shape)
    }

    /// Of the plan for the whole, what is to be run: all of it, or `part`.
    pub fn cut<P>(
        &self,
        py: Python<'py>,
        plan: P,
        part: impl FnOnce(&P, &[Range<usize>]) -> Result<(P, Vec<Range<usize>>)>,
    ) -> Outcome<Cut<'py, P>> {
        let Some(of) = &self.part else { return Ok(Cut::Run(plan)) };
        let of = of.get();
        let (plan, held) = part(&plan, &of.outs)?;
        if of.asks {
            return Ok(Cut::Asked(PyTuple::new(py, held.iter().map(|r| (r.start, r.end)))?.into_any()));
        }
        let lens: Vec<_> = held.iter().map(Range::len).collect();
        if self.held.shape() != lens {
            let (found, wanted) = (Shape(self.held.shape()), Shape(&lens));
            return Err(Error::value(format!("x.shape = {found}: must be {wanted}, what the part reads")).into());
        }
        Ok(Cut::Run(plan))
    }
}

/// An array of this shape and the dtype of another, in the memory results are made in; what it holds is not set.
#[pyfunction]
#[pyo3(signature = (shape, like, /))]
fn _empty<'py>(shape: Vec<usize>, like: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let made = || -> Outcome<_> {
        let like = Input::new("like", like)?;
        if shape.len() > MAX_NDIM {
            return Err(Error::value(format!("shape has {} entries: must have at most {MAX_NDIM}", shape.len())).into());
        }
        element_count(&shape, like.itemsize)?;
        Ok(Output::new(&shape, &like, &[], None, "out")?.into_array())
    };
    made().map_err(|e| e.of("_empty"))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_empty, m)?)?;
    m.add_class::<Part>()
}
