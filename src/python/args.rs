//! Parameters as users write them: an int for every axis, or one entry for each.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyString, PyTuple};

use super::array::type_name;
use super::error::{Fail, Outcome};
use crate::element::Rounding;
use crate::error::Error;
use crate::geometry::window::{AxisName, Pad, Padding};

/// One non-negative integer; floats are refused, never truncated.
pub fn index(name: &str, object: &Bound<'_, PyAny>) -> Outcome<usize> {
    if let Ok(n) = object.extract::<usize>()
        && isize::try_from(n).is_ok()
    {
        return Ok(n);
    }
    Err(bad_index(name, object))
}

#[cold]
fn bad_index(name: &str, object: &Bound<'_, PyAny>) -> Fail {
    if object.is_instance_of::<PyInt>() || object.hasattr("__index__").unwrap_or(false) && !is_sequence(object) {
        let value = object.str().map_or_else(|_| "?".to_owned(), |s| s.to_string());
        let negative = object.lt(0).unwrap_or(false);
        let range = if negative { "must not be negative" } else { "must be below 2**63" };
        return Error::value(format!("{name} = {value}: {range}")).into();
    }
    Error::kind(format!("{name} = {}: must be an int, not {}", shown(object), type_name(object))).into()
}

/// The beginning of what an object looks like.
fn shown(object: &Bound<'_, PyAny>) -> String {
    let shown = object.repr().map_or_else(|_| type_name(object), |s| s.to_string());
    shown.lines().next().unwrap_or_default().chars().take(60).collect()
}

/// Whether this is a tuple, a list, or an array of one axis or more.
pub fn is_sequence(object: &Bound<'_, PyAny>) -> bool {
    // Ints first: asking them for a length makes an exception, which takes longer than all the rest.
    !object.is_instance_of::<PyInt>()
        && !object.is_instance_of::<PyFloat>()
        && !object.is_instance_of::<PyString>()
        && object.len().is_ok()
}

/// The entries of a sequence that must have `n`.
fn entries<'py>(name: &str, object: &Bound<'py, PyAny>, n: usize) -> Outcome<Vec<Bound<'py, PyAny>>> {
    let len = object.len()?;
    if len != n {
        return Err(Error::value(format!("{name} has {len} entries: must be an int or {n} entries")).into());
    }
    Ok(object.try_iter()?.collect::<PyResult<Vec<_>>>()?)
}

/// One integer for each of `n` axes.
pub fn indices(name: &str, object: &Bound<'_, PyAny>, n: usize) -> Outcome<Vec<usize>> {
    if !is_sequence(object) {
        return Ok(vec![index(name, object)?; n]);
    }
    let items = entries(name, object, n)?;
    items.iter().enumerate().map(|(i, item)| index(&format!("{name}[{i}]"), item)).collect()
}

/// One length for each of `n` axes, or `None` for an axis that keeps its own.
pub fn lens_or_none(name: &str, object: &Bound<'_, PyAny>, n: usize) -> Outcome<Vec<Option<usize>>> {
    if !is_sequence(object) {
        return Ok(vec![Some(index(name, object)?); n]);
    }
    let one = |(i, item): (usize, &Bound<'_, PyAny>)| {
        given(item).map(|item| index(&format!("{name}[{i}]"), item)).transpose()
    };
    entries(name, object, n)?.iter().enumerate().map(one).collect()
}

/// The entries of a shape, as many as it has.
pub fn shape(name: &str, object: &Bound<'_, PyAny>) -> Outcome<Vec<usize>> {
    if !is_sequence(object) {
        return Err(bad_index(name, object));
    }
    let items = object.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    items.iter().enumerate().map(|(i, item)| index(&format!("{name}[{i}]"), item)).collect()
}

/// One integer of either sign, below `2**63` in magnitude; floats are refused.
pub fn integer(name: &str, object: &Bound<'_, PyAny>) -> Outcome<i64> {
    object.extract::<i64>().map_err(|e| {
        if e.is_instance_of::<PyOverflowError>(object.py()) {
            return Error::value(format!("{name} = {}: must be from -2**63 to 2**63 - 1", shown(object))).into();
        }
        bad_index(name, object)
    })
}

/// One number, infinities and NaN included.
pub fn number(name: &str, object: &Bound<'_, PyAny>) -> Outcome<f64> {
    object.extract::<f64>().map_err(|e| {
        if e.is_instance_of::<PyOverflowError>(object.py()) {
            return Error::value(format!("{name} = {}: must be within the range of float64", shown(object))).into();
        }
        Error::kind(format!("{name} = {}: must be a number, not {}", shown(object), type_name(object))).into()
    })
}

/// How integer results are rounded.
pub fn rounding(object: &Bound<'_, PyAny>) -> Outcome<Rounding> {
    const RULES: [(&str, Rounding); 4] = [
        ("nearest", Rounding::Nearest),
        ("half_even", Rounding::HalfEven),
        ("floor", Rounding::Floor),
        ("trunc", Rounding::Trunc),
    ];
    choice("rounding", object, &RULES)
}

/// One number for each of `n` axes.
pub fn numbers(name: &str, object: &Bound<'_, PyAny>, n: usize) -> Outcome<Vec<f64>> {
    let one = |name: &str, o: &Bound<'_, PyAny>| {
        o.extract::<f64>().map_err(|e| {
            if e.is_instance_of::<PyOverflowError>(o.py()) {
                return Fail::from(Error::value(format!("{name}: must be a finite number above 0")));
            }
            Error::kind(format!("{name}: must be a number, not {}", type_name(o))).into()
        })
    };
    if !is_sequence(object) {
        return Ok(vec![one(name, object)?; n]);
    }
    let items = entries(name, object, n)?;
    items.iter().enumerate().map(|(i, item)| one(&format!("{name}[{i}]"), item)).collect()
}

/// Padding: an int, one int for each axis, or one pair `(before, after)` for each axis.
pub fn pads(name: &str, object: &Bound<'_, PyAny>, n: usize) -> Outcome<Vec<Pad>> {
    if object.is_instance_of::<PyString>() {
        let text = object.str()?.to_string();
        return Err(Error::value(format!("{name} = {text:?}: must be numbers")).into());
    }
    if !is_sequence(object) {
        return Ok(vec![Pad::both(index(name, object)?); n]);
    }
    let items = entries(name, object, n)?;
    items.iter().enumerate().map(|(i, item)| pad(&format!("{name}[{i}]"), item)).collect()
}

fn pad(name: &str, item: &Bound<'_, PyAny>) -> Outcome<Pad> {
    if !is_sequence(item) {
        return Ok(Pad::both(index(name, item)?));
    }
    if item.len()? != 2 {
        return Err(
            Error::value(format!("{name} has {} entries: must be an int or (before, after)", item.len()?)).into()
        );
    }
    let side = |i: usize| index(&format!("{name}[{i}]"), &item.get_item(i)?);
    Ok(Pad { before: side(0)?, after: side(1)? })
}

/// A convolution's padding: as [`pads`], or `"same"`, `"same_lower"`, `"valid"`.
pub fn padding(name: &str, object: &Bound<'_, PyAny>, n: usize) -> Outcome<Vec<Padding>> {
    if object.is_instance_of::<PyString>() {
        let padding = choice(
            name,
            object,
            &[
                ("same", Padding::Same),
                ("same_lower", Padding::SameLower),
                ("valid", Padding::Explicit(Pad::default())),
            ],
        )?;
        return Ok(vec![padding; n]);
    }
    Ok(pads(name, object, n)?.into_iter().map(Padding::Explicit).collect())
}

/// One of several names.
pub fn choice<T: Copy>(name: &str, object: &Bound<'_, PyAny>, choices: &[(&str, T)]) -> Outcome<T> {
    let allowed = || choices.iter().map(|c| format!("{:?}", c.0)).collect::<Vec<_>>().join(", ");
    let Ok(text) = object.cast::<PyString>() else {
        return Err(Error::kind(format!("{name} is {}: must be one of {}", type_name(object), allowed())).into());
    };
    let text = text.to_string_lossy();
    match choices.iter().find(|c| c.0 == text) {
        Some(&(_, value)) => Ok(value),
        None => {
            let shown: String = text.chars().take(40).collect();
            Err(Error::value(format!("{name} = {shown:?}: must be one of {}", allowed())).into())
        }
    }
}

/// `None` as `None`.
pub fn given<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, PyAny>> {
    if object.is_none() { None } else { Some(object) }
}

/// A truth value; numbers and arrays are refused, only what says yes or no is accepted.
pub fn flag(name: &str, object: &Bound<'_, PyAny>) -> Outcome<bool> {
    object
        .extract::<bool>()
        .or_else(|e| if object.is_instance_of::<PyInt>() { object.is_truthy() } else { Err(e) })
        .map_err(|_| Error::kind(format!("{name} is {}: must be True or False", type_name(object))).into())
}

/// An output size for each entry of `size`, as an int if `size` is one, else as a tuple. `params` are kernel size,
/// stride and dilation.
pub fn sizes<'py>(
    py: Python<'py>,
    size: &Bound<'py, PyAny>,
    params: [&Bound<'py, PyAny>; 3],
    padding_arg: &Bound<'py, PyAny>,
    one: impl Fn(AxisName, [usize; 4], Padding) -> Outcome<usize>,
) -> Outcome<Bound<'py, PyAny>> {
    let many = is_sequence(size);
    let lens = if many { shape("size", size)? } else { vec![index("size", size)?] };
    let rank = lens.len();
    if rank == 0 {
        return Err(Error::value("size has 0 entries: must be an int or at least 1 entry").into());
    }
    let [kernel, stride, dilation] = params;
    let kernel = indices("kernel_size", kernel, rank)?;
    let stride = indices("stride", stride, rank)?;
    let dilation = indices("dilation", dilation, rank)?;
    let pads = padding("padding", padding_arg, rank)?;
    let out = (0..rank)
        .map(|i| one(AxisName { index: i, rank }, [lens[i], kernel[i], stride[i], dilation[i]], pads[i]))
        .collect::<Outcome<Vec<_>>>()?;
    if many {
        Ok(PyTuple::new(py, out)?.into_any())
    } else {
        Ok(out[0].into_pyobject(py).map_err(PyErr::from)?.into_any())
    }
}
