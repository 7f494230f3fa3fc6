//! Parameters as users write them: an int for every axis, or one entry for each.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};

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
    // `__index__` gave a number: the int it is, or a NumPy one.
    let whole = object.extract::<usize>().map_or_else(|e| e.is_instance_of::<PyOverflowError>(object.py()), |_| true);
    if whole {
        let negative = object.lt(0).unwrap_or(false);
        let range = if negative { "must not be negative" } else { "must be below 2**63" };
        return Error::value(format!("{name} = {}: {range}", said(object))).into();
    }
    Error::kind(format!("{name} = {}: must be an int, not {}", shown(object), type_name(object))).into()
}

/// The beginning of what an object looks like, in one line.
pub fn shown(object: &Bound<'_, PyAny>) -> String {
    beginning(object, object.repr())
}

/// As [`shown`], of what it prints as: `3` rather than `np.int64(3)`.
fn said(object: &Bound<'_, PyAny>) -> String {
    beginning(object, object.str())
}

fn beginning(object: &Bound<'_, PyAny>, text: PyResult<Bound<'_, PyString>>) -> String {
    let text = text.map_or_else(|_| type_name(object), |s| s.to_string_lossy().into_owned());
    let line: String = text.lines().next().unwrap_or_default().chars().take(60).collect();
    if line.is_empty() { format!("a {}", type_name(object)) } else { line }
}

/// Refuses a sequence that has not as many entries as it must.
#[cold]
pub fn wrong_len(name: &str, object: &Bound<'_, PyAny>, len: usize, allowed: &str) -> Fail {
    Error::value(format!("{name} = {}: has {len} entries, must {allowed}", shown(object))).into()
}

/// Whether this is a tuple, a list, or an array of one axis or more; text, bytes, sets and mappings are none.
pub fn is_sequence(object: &Bound<'_, PyAny>) -> bool {
    // Ints first: asking them for a length makes an exception, which takes longer than all the rest.
    !object.is_instance_of::<PyInt>()
        && !object.is_instance_of::<PyFloat>()
        && (object.is_instance_of::<PyTuple>()
            || object.is_instance_of::<PyList>()
            || !is_other_collection(object) && object.len().is_ok())
}

/// Whether this has a length, but no entries in an order, or only characters.
fn is_other_collection(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyString>()
        || object.is_instance_of::<PyBytes>()
        || object.is_instance_of::<PyByteArray>()
        || object.is_instance_of::<PyDict>()
        || object.is_instance_of::<PySet>()
        || object.is_instance_of::<PyFrozenSet>()
}

/// The entries of a sequence that must have `n`.
fn entries<'py>(name: &str, object: &Bound<'py, PyAny>, n: usize) -> Outcome<Vec<Bound<'py, PyAny>>> {
    let len = object.len()?;
    if len != n {
        return Err(wrong_len(name, object, len, &format!("be an int or have {n}")));
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
    if !is_sequence(object) {
        return Ok(vec![number(name, object)?; n]);
    }
    let items = entries(name, object, n)?;
    items.iter().enumerate().map(|(i, item)| number(&format!("{name}[{i}]"), item)).collect()
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
        return Err(wrong_len(name, item, item.len()?, "be an int or (before, after)"));
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
        let (shown, kind) = (shown(object), type_name(object));
        return Err(Error::kind(format!("{name} = {shown}: must be one of {}, not {kind}", allowed())).into());
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
        .map_err(|_| {
            let (shown, kind) = (shown(object), type_name(object));
            Error::kind(format!("{name} = {shown}: must be True or False, not {kind}")).into()
        })
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
        return Err(wrong_len("size", size, 0, "be an int or have at least 1"));
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
