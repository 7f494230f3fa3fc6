//! `prepare_conv` and `prepare_conv_transpose`: a callable object that holds a weight ready for use.

use numpy::PyArrayDescr;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::{CONV, CONV_TRANSPOSE, Common, transposed, work};
use crate::element::Multiplied;
use crate::error::Error;
use crate::geometry::window::{Pad, Padding};
use crate::ops::conv::{ConvParams, ConvPlan, Kind, PreparedConv as Prepared};
use crate::python::args::{self, given};
use crate::python::array::{Input, Kind as Stored, Output, require_same_dtype};
use crate::python::dispatch::dispatch;
use crate::python::error::{Fail, Outcome};
use crate::python::{named, released};

/// [`Prepared`] of any element type. Arrays given to it must have the dtype it was made for.
trait OfAnyType: Send + Sync {
    fn plan(&self, x: &[usize]) -> Outcome<ConvPlan>;
    fn params(&self) -> &ConvParams;
    fn weight_shape(&self) -> &[usize];
    fn bias_len(&self) -> Option<usize>;
    /// # Safety
    /// The arrays must be of the dtype this was made for.
    unsafe fn run(&self, py: Python<'_>, plan: &ConvPlan, x: &Input<'_>, out: &mut Output<'_>) -> Outcome<()>;
    /// # Safety
    /// As `run`.
    unsafe fn copy_weight(&self, out: &mut Output<'_>) -> Outcome<()>;
    /// # Safety
    /// As `run`.
    unsafe fn copy_bias(&self, out: &mut Output<'_>) -> Outcome<()>;
}

impl<T: Multiplied> OfAnyType for Prepared<T> {
    fn plan(&self, x: &[usize]) -> Outcome<ConvPlan> {
        Ok(self.plan(x)?)
    }
    fn params(&self) -> &ConvParams {
        self.params()
    }
    fn weight_shape(&self) -> &[usize] {
        self.weight_shape()
    }
    fn bias_len(&self) -> Option<usize> {
        self.bias_len()
    }
    unsafe fn run(&self, py: Python<'_>, plan: &ConvPlan, x: &Input<'_>, out: &mut Output<'_>) -> Outcome<()> {
        // SAFETY: the caller vouches for the dtype, whose type `T` is (see `dispatch`).
        let (x, mut out) = unsafe { (x.view::<T>(), out.view::<T>()) };
        Ok(released(py, work(plan), || self.run(plan, &x, &mut out))?)
    }
    unsafe fn copy_weight(&self, out: &mut Output<'_>) -> Outcome<()> {
        // SAFETY: as in `run`.
        Ok(self.copy_weight(&mut unsafe { out.view::<T>() })?)
    }
    unsafe fn copy_bias(&self, out: &mut Output<'_>) -> Outcome<()> {
        // SAFETY: as in `run`.
        Ok(self.copy_bias(&mut unsafe { out.view::<T>() })?)
    }
}

/// A convolution with its weight, prepared by :func:`~upsample_rs.prepare_conv` or
/// :func:`~upsample_rs.prepare_conv_transpose`.
///
/// ``prepared(x, *, out=None)`` gives what the plain call gives, the same bits. It keeps the weight in the type that is
/// computed with (float32 for float16 and bfloat16) and in the order in which it is read; later changes of the
/// caller's arrays change nothing. Nothing in it changes once it is made: threads may share it, and calls in several
/// threads run at the same time. It can be pickled and copied.
///
/// Attributes
/// ----------
/// op : str
///     The function it stands for, such as ``"conv_transpose2d"``.
/// weight, bias : ndarray, ndarray or None
///     New arrays, as they were given.
/// dtype, weight_shape : dtype, tuple of int
///     Those of the weight.
/// stride, padding, dilation, groups, output_padding, output_size, channels_last
///     The parameters: a tuple with one entry for each axis, for padding a pair or a name.
#[pyclass(frozen, module = "upsample_rs.prepared")]
struct PreparedConv {
    prepared: Box<dyn OfAnyType>,
    stored: Stored,
    dtype: Py<PyArrayDescr>,
}

impl PreparedConv {
    fn new(
        weight: &Bound<'_, PyAny>,
        bias: &Bound<'_, PyAny>,
        params: impl FnOnce(usize) -> Outcome<ConvParams>,
        rank: &Bound<'_, PyAny>,
    ) -> Outcome<Self> {
        let weight = Input::new("weight", weight)?;
        let bias = given(bias).map(|b| Input::new("bias", b)).transpose()?;
        let params = params(rank_of(weight.shape().len(), rank)?)?;
        if let Some(b) = &bias {
            require_same_dtype("bias", b, "weight", &weight)?;
        }
        let prepared = dispatch!(multiplied, weight, "weight", T => {
            // SAFETY: `T` is of the size and alignment of the dtype, and all its bits are valid (see `dispatch`).
            let view = unsafe { weight.view::<T>() };
            // SAFETY: as above.
            let bias = bias.as_ref().map(|b| unsafe { b.view::<T>() });
            Ok::<_, Fail>(Box::new(Prepared::<T>::new(&view, bias.as_ref(), &params)?) as Box<dyn OfAnyType>)
        })?;
        Ok(Self { prepared, stored: weight.kind, dtype: weight.descr().unbind() })
    }

    fn rank(&self) -> usize {
        self.prepared.params().stride.len()
    }

    fn name(&self) -> &'static str {
        let names = if self.prepared.params().kind == Kind::Forward { CONV } else { CONV_TRANSPOSE };
        named(names, self.rank())
    }

    fn run<'py>(&self, x: &Bound<'py, PyAny>, out: Option<&Bound<'py, PyAny>>) -> Outcome<Bound<'py, PyAny>> {
        let py = x.py();
        let x = Input::new("x", x)?;
        if x.kind != self.stored {
            let (found, wanted) = (x.dtype_name(), self.dtype.bind(py).to_string());
            return Err(Error::kind(format!("x.dtype = {found}: must be that of the prepared weight, {wanted}")).into());
        }
        let plan = self.prepared.plan(x.shape())?;
        let mut out = Output::new(&plan.out_shape, &x, &[&x], out, "out")?;
        // SAFETY: `x` has the dtype this was prepared for, and `out` that of `x`.
        unsafe { self.prepared.run(py, &plan, &x, &mut out) }?;
        Ok(out.into_array())
    }

    fn fresh<'py>(&self, py: Python<'py>, shape: &[usize]) -> Outcome<Output<'py>> {
        Output::of_dtype(shape, self.dtype.bind(py).clone(), &[], None, "out")
    }

    fn copied_weight<'py>(&self, py: Python<'py>) -> Outcome<Bound<'py, PyAny>> {
        let mut out = self.fresh(py, self.prepared.weight_shape())?;
        // SAFETY: the array is made with the dtype this was prepared for.
        unsafe { self.prepared.copy_weight(&mut out) }?;
        Ok(out.into_array())
    }

    fn copied_bias<'py>(&self, py: Python<'py>) -> Outcome<Option<Bound<'py, PyAny>>> {
        let Some(len) = self.prepared.bias_len() else { return Ok(None) };
        let mut out = self.fresh(py, &[len])?;
        // SAFETY: as above.
        unsafe { self.prepared.copy_bias(&mut out) }?;
        Ok(Some(out.into_array()))
    }

    /// What the repr lists beside the weight: parameters that are not at their default.
    fn listed(&self, py: Python<'_>) -> PyResult<String> {
        let mut text = String::new();
        let mut add = |name: &str, value: &Bound<'_, PyAny>| -> PyResult<()> {
            text.push_str(&format!(", {name}={}", value.repr()?));
            Ok(())
        };
        let p = self.prepared.params();
        if p.stride.iter().any(|&s| s != 1) {
            add("stride", self.stride(py)?.as_any())?;
        }
        if p.padding.iter().any(|&pad| pad != Padding::Explicit(Pad::default())) {
            add("padding", &self.padding(py)?)?;
        }
        if p.dilation.iter().any(|&d| d != 1) {
            add("dilation", self.dilation(py)?.as_any())?;
        }
        if p.groups != 1 {
            add("groups", p.groups.into_pyobject(py)?.as_any())?;
        }
        if let Kind::Transposed { output_padding, output_size } = &p.kind {
            if output_padding.iter().any(|&n| n != 0) {
                add("output_padding", PyTuple::new(py, output_padding)?.as_any())?;
            }
            if let Some(size) = output_size {
                add("output_size", PyTuple::new(py, size)?.as_any())?;
            }
        }
        if p.channels_last {
            text.push_str(", channels_last=True");
        }
        Ok(text)
    }
}

/// Spatial axes of a weight of `ndim` axes: two less, or all of a bare kernel's one or two; `given` decides otherwise.
fn rank_of(ndim: usize, given_rank: &Bound<'_, PyAny>) -> Outcome<usize> {
    let Some(rank) = given(given_rank) else {
        return match ndim {
            1 | 2 => Ok(ndim),
            3..=5 => Ok(ndim - 2),
            _ => Err(Error::value(format!(
                "weight.ndim = {ndim}: must be from 3 to 5, two channel axes and one to three spatial axes, or 1 or 2 \
                 for a bare array"
            ))
            .into()),
        };
    };
    let rank = args::index("rank", rank)?;
    if !(1..=3).contains(&rank) {
        return Err(Error::value(format!("rank = {rank}: must be 1, 2 or 3")).into());
    }
    Ok(rank)
}

#[pymethods]
impl PreparedConv {
    #[pyo3(signature = (x, /, *, out = None))]
    fn __call__<'py>(&self, x: &Bound<'py, PyAny>, out: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        self.run(x, out).map_err(|e| e.of(self.name()))
    }

    #[getter]
    fn op(&self) -> &'static str {
        self.name()
    }

    #[getter]
    fn weight<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.copied_weight(py).map_err(|e| e.of(self.name()))
    }

    #[getter]
    fn bias<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.copied_bias(py).map_err(|e| e.of(self.name()))
    }

    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> Bound<'py, PyArrayDescr> {
        self.dtype.bind(py).clone()
    }

    #[getter]
    fn weight_shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.prepared.weight_shape())
    }

    #[getter]
    fn stride<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.prepared.params().stride)
    }

    #[getter]
    fn padding<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let pairs = self.prepared.params().padding.iter().map(|p| match p {
            Padding::Explicit(pad) => Ok((pad.before, pad.after)),
            Padding::Same => Err("same"),
            Padding::SameLower => Err("same_lower"),
        });
        match pairs.collect::<Result<Vec<_>, _>>() {
            Ok(pairs) => Ok(PyTuple::new(py, pairs)?.into_any()),
            Err(name) => Ok(PyString::new(py, name).into_any()),
        }
    }

    #[getter]
    fn dilation<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.prepared.params().dilation)
    }

    #[getter]
    fn groups(&self) -> usize {
        self.prepared.params().groups
    }

    #[getter]
    fn channels_last(&self) -> bool {
        self.prepared.params().channels_last
    }

    #[getter]
    fn output_padding<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        match &self.prepared.params().kind {
            Kind::Transposed { output_padding, .. } => Ok(Some(PyTuple::new(py, output_padding)?)),
            Kind::Forward => Ok(None),
        }
    }

    #[getter]
    fn output_size<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        match &self.prepared.params().kind {
            Kind::Transposed { output_size: Some(size), .. } => Ok(Some(PyTuple::new(py, size)?)),
            _ => Ok(None),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let shape = self.weight_shape(py)?;
        let bias = if self.prepared.bias_len().is_some() { ", with bias" } else { "" };
        Ok(format!(
            "<PreparedConv {}, weight {} {}{bias}{}>",
            self.name(),
            self.dtype.bind(py),
            shape.repr()?,
            self.listed(py)?
        ))
    }

    /// The function that makes it again, and what it is to be given.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let module = py.import("upsample_rs.prepared")?;
        let p = self.prepared.params();
        let (rank, weight, bias) = (self.rank(), self.weight(py)?, self.bias(py)?);
        let (stride, padding) = (self.stride(py)?, self.padding(py)?);
        if p.kind == Kind::Forward {
            let args = (rank, weight, bias, stride, padding, self.dilation(py)?, p.groups, p.channels_last);
            return Ok((module.getattr("_conv_again")?, args.into_pyobject(py)?));
        }
        let (extra, size) = (self.output_padding(py)?, self.output_size(py)?);
        let args = (rank, weight, bias, stride, padding, extra, p.groups, self.dilation(py)?, size, p.channels_last);
        Ok((module.getattr("_conv_transpose_again")?, args.into_pyobject(py)?))
    }
}

#[pyfunction]
#[pyo3(signature = (rank, weight, bias, stride, padding, dilation, groups, channels_last, /))]
#[allow(clippy::too_many_arguments)]
fn prepare_conv(
    rank: &Bound<'_, PyAny>,
    weight: &Bound<'_, PyAny>,
    bias: &Bound<'_, PyAny>,
    stride: &Bound<'_, PyAny>,
    padding: &Bound<'_, PyAny>,
    dilation: &Bound<'_, PyAny>,
    groups: &Bound<'_, PyAny>,
    channels_last: &Bound<'_, PyAny>,
) -> PyResult<PreparedConv> {
    let params = |n| Common { n, stride, padding, dilation, groups, channels_last }.params(Kind::Forward);
    PreparedConv::new(weight, bias, params, rank).map_err(|e| e.of("prepare_conv"))
}

#[pyfunction]
#[pyo3(signature = (rank, weight, bias, stride, padding, output_padding, groups, dilation, output_size, channels_last, /))]
#[allow(clippy::too_many_arguments)]
fn prepare_conv_transpose(
    rank: &Bound<'_, PyAny>,
    weight: &Bound<'_, PyAny>,
    bias: &Bound<'_, PyAny>,
    stride: &Bound<'_, PyAny>,
    padding: &Bound<'_, PyAny>,
    output_padding: &Bound<'_, PyAny>,
    groups: &Bound<'_, PyAny>,
    dilation: &Bound<'_, PyAny>,
    output_size: &Bound<'_, PyAny>,
    channels_last: &Bound<'_, PyAny>,
) -> PyResult<PreparedConv> {
    let params = |n| {
        let common = Common { n, stride, padding, dilation, groups, channels_last };
        common.params(transposed(n, output_padding, output_size)?)
    };
    PreparedConv::new(weight, bias, params, rank).map_err(|e| e.of("prepare_conv_transpose"))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PreparedConv>()?;
    m.add_function(wrap_pyfunction!(prepare_conv, m)?)?;
    m.add_function(wrap_pyfunction!(prepare_conv_transpose, m)?)
}
