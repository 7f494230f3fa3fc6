//! NumPy arrays in and out: kinds, alignment, byte order, `out=`, overlap, allocation.
//!
//! An array is validated through its untyped header and then seen as a raw pointer with shape and strides: a borrowed
//! `&[T]` would be unsound, since another thread may write to a caller's array while the GIL is released.

use numpy::npyffi::{self, PY_ARRAY_API, npy_intp};
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyType};

use super::error::{Fail, Outcome};
use super::memory;
use crate::error::{Error, Shape};
use crate::layout::{MAX_NDIM, View, ViewMut};

/// The dtypes operations know; the last two are only ever moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    BF16,
    F32,
    F64,
    C64,
    C128,
    LongDouble,
    CLongDouble,
}

impl Kind {
    fn of(descr: &Bound<'_, PyArrayDescr>) -> Option<Self> {
        Some(match (descr.kind(), descr.itemsize()) {
            (b'b', 1) => Self::Bool,
            (b'i', 1) => Self::I8,
            (b'i', 2) => Self::I16,
            (b'i', 4) => Self::I32,
            (b'i', 8) => Self::I64,
            (b'u', 1) => Self::U8,
            (b'u', 2) => Self::U16,
            (b'u', 4) => Self::U32,
            (b'u', 8) => Self::U64,
            (b'f', 2) if descr.num() < USER_DEFINED => Self::F16,
            (b'f', 4) => Self::F32,
            (b'f', 8) => Self::F64,
            (b'f', 16) => Self::LongDouble,
            (b'c', 8) => Self::C64,
            (b'c', 16) => Self::C128,
            (b'c', 32) => Self::CLongDouble,
            (_, 2) if descr.num() >= USER_DEFINED => {
                let name = descr.typeobj().name().ok()?;
                if name.to_str().ok()? != "bfloat16" {
                    return None;
                }
                Self::BF16
            }
            _ => return None,
        })
    }
}

/// First type number of dtypes that packages register, such as bfloat16's.
const USER_DEFINED: i32 = 256;

/// An array to read, kept alive; copied first only if its elements cannot be read where they are.
pub struct Input<'py> {
    array: Bound<'py, PyUntypedArray>,
    /// The caller's, of which `array` may be a copy: what `out` must not overlap.
    given: Bound<'py, PyUntypedArray>,
    pub kind: Kind,
    pub itemsize: usize,
    strides: Vec<isize>,
}

fn numpy_function<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyAny>>,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let found = cell.get_or_try_init(py, || Ok::<_, PyErr>(py.import("numpy")?.getattr(name)?.unbind()))?;
    Ok(found.bind(py).clone())
}

/// Refuses the array types whose meaning a plain read would lose.
fn refuse_subclass(name: &str, class: &Bound<'_, PyType>) -> Outcome<()> {
    for base in class.mro().iter() {
        let base = base.cast_into::<PyType>().map_err(PyErr::from)?;
        let (class_name, module) = (base.name()?.to_string(), base.module()?.to_string());
        if module.starts_with("numpy") && (class_name == "MaskedArray" || class_name == "matrix") {
            return Err(Error::kind(format!(
                "{name} = a {class_name}: must be a plain array (use np.asarray to say so)"
            ))
            .into());
        }
    }
    Ok(())
}

/// A tensor of another library as an array, without a copy. Python does it: NumPy's own reader knows no bfloat16.
fn borrowed<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static BORROW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let find = || Ok::<_, PyErr>(py.import("upsample_rs.borrowing")?.getattr("from_dlpack")?.unbind());
    BORROW.get_or_try_init(py, find)?.bind(py).call1((object,))
}

/// Any accepted object as an array: arrays as they are, else `__dlpack__`, else `np.asarray`.
fn as_array<'py>(name: &str, object: &Bound<'py, PyAny>) -> Outcome<Bound<'py, PyUntypedArray>> {
    static ASARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    if let Ok(array) = object.cast::<PyUntypedArray>() {
        // SAFETY: `object` is an ndarray; only its type is looked at.
        if unsafe { npyffi::PyArray_CheckExact(py, object.as_ptr()) } == 0 {
            refuse_subclass(name, &object.get_type())?;
        }
        return Ok(array.clone());
    }
    let made = if object.hasattr("__dlpack__")? {
        borrowed(object)
    } else {
        numpy_function(py, &ASARRAY, "asarray")?.call1((object,))
    };
    let made = made.map_err(|e| {
        if e.is_instance_of::<pyo3::exceptions::PyMemoryError>(py) {
            return Fail::Python(e);
        }
        let reason = e.value(py).to_string().lines().next().unwrap_or_default().to_owned();
        Error::kind(format!("{name} = {}: cannot be read as an array ({reason})", type_name(object))).into()
    })?;
    Ok(made.cast_into::<PyUntypedArray>().map_err(PyErr::from)?)
}

/// The name of an object's type.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "object".to_owned(), |n| n.to_string())
}

/// Whether elements can be read one by one where they are; then their strides in elements.
fn readable_in_place(array: &Bound<'_, PyUntypedArray>, descr: &Bound<'_, PyArrayDescr>) -> Option<Vec<isize>> {
    if descr.is_native_byteorder() == Some(false) {
        return None;
    }
    let (itemsize, align) = (descr.itemsize() as isize, descr.alignment().max(1));
    if !(data_ptr(array) as usize).is_multiple_of(align) {
        return None;
    }
    let mut strides = Vec::with_capacity(array.ndim());
    for (&stride, &len) in array.strides().iter().zip(array.shape()) {
        if len > 1 && stride % itemsize != 0 {
            return None;
        }
        strides.push(if len > 1 { stride / itemsize } else { 0 });
    }
    Some(strides)
}

fn data_ptr(array: &Bound<'_, PyUntypedArray>) -> *mut u8 {
    // SAFETY: a bound array's header is valid, and only read here.
    unsafe { (*array.as_array_ptr()).fields.data.cast() }
}

fn native<'py>(py: Python<'py>, array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyUntypedArray>> {
    static ARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let options = PyDict::new(py);
    options.set_item("dtype", array.dtype().call_method1("newbyteorder", ("=",))?)?;
    options.set_item("order", "C")?;
    options.set_item("copy", true)?;
    let copy = numpy_function(py, &ARRAY, "array")?.call((array,), Some(&options))?;
    Ok(copy.cast_into::<PyUntypedArray>()?)
}

impl<'py> Input<'py> {
    /// The argument `name` as an array.
    pub fn new(name: &str, object: &Bound<'py, PyAny>) -> Outcome<Self> {
        let array = as_array(name, object)?;
        let descr = array.dtype();
        let Some(kind) = Kind::of(&descr) else {
            return Err(Error::kind(format!("{name}.dtype = {descr}: must be a number type or bool")).into());
        };
        if array.ndim() > MAX_NDIM {
            return Err(Error::value(format!("{name}.ndim = {}: must be at most {MAX_NDIM}", array.ndim())).into());
        }
        let itemsize = descr.itemsize();
        if let Some(strides) = readable_in_place(&array, &descr) {
            return Ok(Self { given: array.clone(), array, kind, itemsize, strides });
        }
        let given = array.clone();
        let array = native(object.py(), &array)?;
        let strides = readable_in_place(&array, &array.dtype()).ok_or_else(|| {
            Error::kind(format!("{name} = an array whose memory layout cannot be read: must be as NumPy lays it out"))
        })?;
        Ok(Self { array, given, kind, itemsize, strides })
    }

    /// The values in another dtype, in a copy.
    pub fn converted(self, name: &str, dtype: &str) -> Outcome<Self> {
        let copy = self.array.call_method1("astype", (dtype,))?;
        Ok(Self { given: self.given, ..Self::new(name, &copy)? })
    }

    /// The array itself.
    pub fn array(&self) -> &Bound<'py, PyUntypedArray> {
        &self.array
    }

    /// Elements along each axis.
    pub fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    /// The array as `T`s.
    ///
    /// # Safety
    /// `T` must have the item size of the array and no larger alignment than its dtype, and all bit patterns must be
    /// `T`s.
    pub unsafe fn view<T>(&self) -> View<'_, T> {
        debug_assert_eq!(size_of::<T>(), self.itemsize);
        // SAFETY: NumPy keeps every in-range index of a live array readable; alignment and strides were checked in
        // `new`; `self` keeps the array alive.
        unsafe { View::from_raw(data_ptr(&self.array).cast(), self.array.shape(), &self.strides) }
    }

    /// The dtype, in native byte order, for making results.
    pub fn descr(&self) -> Bound<'py, PyArrayDescr> {
        self.array.dtype()
    }

    /// A number as an array of one element of this dtype; refused if an integer type or bool cannot hold it.
    pub fn filled(&self, name: &str, value: &Bound<'py, PyAny>) -> Outcome<Self> {
        static FULL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = value.py();
        let refused = || {
            let shown = value.str().map_or_else(|_| "?".to_owned(), |s| s.to_string());
            let shown: String = shown.lines().next().unwrap_or_default().chars().take(40).collect();
            Fail::from(Error::value(format!("{name} = {shown}: must be a number that {} holds", self.dtype_name())))
        };
        let complex = matches!(self.kind, Kind::C64 | Kind::C128 | Kind::CLongDouble);
        let number = match value.extract::<f64>() {
            Ok(number) => number,
            Err(_) if complex && value.hasattr("__complex__")? => f64::NAN,
            Err(_) if value.hasattr("__complex__")? || value.is_instance_of::<PyInt>() => return Err(refused()),
            Err(_) => return Err(Error::kind(format!("{name} = {}: must be a number", type_name(value))).into()),
        };
        let real = matches!(self.kind, Kind::F16 | Kind::BF16 | Kind::F32 | Kind::F64 | Kind::LongDouble);
        let value = if complex || real {
            value.clone()
        } else if number.is_finite() && number.fract() == 0.0 {
            value.call_method0("__int__")?
        } else {
            return Err(refused());
        };
        let full = numpy_function(py, &FULL, "full")?;
        let made = full.call1(((1,), &value, self.descr())).map_err(|_| refused())?;
        if !complex && !real && !made.get_item(0)?.eq(&value)? {
            return Err(refused());
        }
        Self::new(name, &made)
    }

    /// The dtype's name.
    pub fn dtype_name(&self) -> String {
        self.descr().to_string()
    }
}

/// Refuses arrays whose dtypes differ.
pub fn require_same_dtype(name: &str, a: &Input<'_>, first: &str, b: &Input<'_>) -> Outcome<()> {
    if a.kind != b.kind {
        let (a, b) = (a.dtype_name(), b.dtype_name());
        return Err(Error::kind(format!("{name}.dtype = {a}: must be that of {first}, {b}")).into());
    }
    Ok(())
}

/// NumPy's refusal to allocate a result, in the form of ours.
#[cold]
fn no_memory(py: Python<'_>, error: PyErr, shape: &[usize], bytes: usize) -> Fail {
    if !error.is_instance_of::<pyo3::exceptions::PyMemoryError>(py) {
        return Fail::Python(error);
    }
    Error::memory(format!("output shape = {}: its {bytes} bytes cannot be allocated", Shape(shape))).into()
}

/// A result: fresh, or the caller's `out`.
pub struct Output<'py> {
    array: Bound<'py, PyUntypedArray>,
    strides: Vec<isize>,
}

impl<'py> Output<'py> {
    /// A result of this shape and the dtype of `like`: `out` after checks against every input, or a fresh array.
    pub fn new(
        shape: &[usize],
        like: &Input<'py>,
        inputs: &[&Input<'py>],
        out: Option<&Bound<'py, PyAny>>,
        name: &str,
    ) -> Outcome<Self> {
        Self::of_dtype(shape, like.descr(), inputs, out, name)
    }

    /// As [`Output::new`], of any dtype.
    pub fn of_dtype(
        shape: &[usize],
        descr: Bound<'py, PyArrayDescr>,
        inputs: &[&Input<'py>],
        out: Option<&Bound<'py, PyAny>>,
        name: &str,
    ) -> Outcome<Self> {
        match out {
            None => Self::fresh(shape, descr),
            Some(out) => Self::given(shape, &descr, inputs, out, name),
        }
    }

    fn fresh(shape: &[usize], descr: Bound<'py, PyArrayDescr>) -> Outcome<Self> {
        let py = descr.py();
        let itemsize = descr.itemsize() as isize;
        let mut dims = [0 as npy_intp; MAX_NDIM];
        let mut strides = vec![0; shape.len()];
        let mut step = 1isize;
        for (i, &len) in shape.iter().enumerate().rev() {
            dims[i] = len as npy_intp; // the planner has checked that the whole shape fits in isize bytes
            strides[i] = if len > 1 { step } else { 0 };
            step = step.saturating_mul(len as isize);
        }
        debug_assert!(itemsize > 0);
        let make = || {
            // SAFETY: `descr` is passed as an owned reference, which the call consumes; `dims` has `shape.len()`
            // entries; null strides and data ask for a fresh C-contiguous array. NumPy sets MemoryError itself and
            // returns null.
            unsafe {
                let array = PY_ARRAY_API.PyArray_NewFromDescr(
                    py,
                    npyffi::get_type_object(py, npyffi::NpyTypes::PyArray_Type),
                    descr.into_dtype_ptr(),
                    shape.len() as i32,
                    dims.as_mut_ptr(),
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    0,
                    std::ptr::null_mut(),
                );
                Bound::from_owned_ptr_or_err(py, array)
            }
        };
        let bytes = step.saturating_mul(itemsize) as usize;
        let made = if memory::serves(bytes) { memory::from_store(py, make) } else { make() };
        let array = made.map_err(|e| no_memory(py, e, shape, bytes))?;
        Ok(Self { array: array.cast_into::<PyUntypedArray>().map_err(PyErr::from)?, strides })
    }

    fn given(
        shape: &[usize],
        descr: &Bound<'py, PyArrayDescr>,
        inputs: &[&Input<'py>],
        out: &Bound<'py, PyAny>,
        name: &str,
    ) -> Outcome<Self> {
        let Ok(array) = out.cast::<PyUntypedArray>() else {
            return Err(Error::kind(format!("{name} = {}: must be a numpy array", type_name(out))).into());
        };
        refuse_subclass(name, &out.get_type())?;
        let given = array.dtype();
        if Kind::of(&given) != Kind::of(descr) || given.is_native_byteorder() == Some(false) {
            return Err(Error::kind(format!("{name}.dtype = {given}: must be {descr}")).into());
        }
        if array.shape() != shape {
            return Err(
                Error::value(format!("{name}.shape = {}: must be {}", Shape(array.shape()), Shape(shape))).into()
            );
        }
        // SAFETY: a bound array's header is valid.
        let flags = unsafe { (*array.as_array_ptr()).fields.flags };
        if flags & npyffi::NPY_ARRAY_WRITEABLE == 0 {
            return Err(Error::value(format!("{name}.flags.writeable = False: must be a writeable array")).into());
        }
        let Some(strides) = readable_in_place(array, &given) else {
            return Err(Error::value(format!(
                "{name}.strides = {:?}: must be aligned, whole multiples of the item size",
                array.strides()
            ))
            .into());
        };
        if overlaps_itself(shape, &strides) {
            return Err(Error::value(format!(
                "{name}.strides = {:?}: its elements overlap, each must have its own place",
                array.strides()
            ))
            .into());
        }
        for input in inputs {
            if shares_memory(array, &input.given)? {
                return Err(Error::value(format!("{name} = memory shared with an input: must have its own")).into());
            }
        }
        Ok(Self { array: array.clone(), strides })
    }

    /// Refuses two results that share memory.
    pub fn require_apart(&self, other: &Self) -> Outcome<()> {
        if shares_memory(&self.array, &other.array)? {
            return Err(Error::value("out[1] = memory shared with out[0]: must have its own").into());
        }
        Ok(())
    }

    /// The array as `T`s to be written.
    ///
    /// # Safety
    /// As [`Input::view`].
    pub unsafe fn view<T>(&mut self) -> ViewMut<'_, T> {
        // SAFETY: the array is writeable, aligned, without overlap in itself and with any input, and alive.
        unsafe { ViewMut::from_raw(data_ptr(&self.array).cast(), self.array.shape(), &self.strides) }
    }

    /// The array, for the caller.
    pub fn into_array(self) -> Bound<'py, PyAny> {
        self.array.into_any()
    }
}

/// Whether two indices may share an address: some axis steps less than the axes inside it reach.
fn overlaps_itself(shape: &[usize], strides: &[isize]) -> bool {
    if shape.contains(&0) {
        return false;
    }
    let mut axes: Vec<_> =
        shape.iter().zip(strides).filter(|(len, _)| **len > 1).map(|(&len, &s)| (s.unsigned_abs(), len)).collect();
    axes.sort_unstable();
    let mut reach = 0usize; // largest offset of the axes seen so far
    for (stride, len) in axes {
        if stride <= reach {
            return true;
        }
        reach = reach.saturating_add(stride.saturating_mul(len - 1));
    }
    false
}

/// First and one past the last byte of an array.
fn extent(array: &Bound<'_, PyUntypedArray>) -> (usize, usize) {
    let start = data_ptr(array) as usize;
    let (mut low, mut high) = (start, start);
    for (&len, &stride) in array.shape().iter().zip(array.strides()) {
        let reach = stride.saturating_mul(len.saturating_sub(1) as isize);
        if reach < 0 {
            low = low.saturating_sub(reach.unsigned_abs());
        } else {
            high = high.saturating_add(reach.unsigned_abs());
        }
    }
    let size = if array.shape().contains(&0) { 0 } else { array.dtype().itemsize() };
    (low, high.saturating_add(size))
}

/// Whether two arrays have a byte in common: by their extents, and where those meet, by NumPy's exact test; what that
/// cannot decide in reasonable time counts as shared.
fn shares_memory(a: &Bound<'_, PyUntypedArray>, b: &Bound<'_, PyUntypedArray>) -> PyResult<bool> {
    static SHARES_MEMORY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let ((a0, a1), (b0, b1)) = (extent(a), extent(b));
    if a0 >= b1 || b0 >= a1 || a0 == a1 || b0 == b1 {
        return Ok(false);
    }
    let options = PyDict::new(a.py());
    options.set_item("max_work", 100_000)?;
    match numpy_function(a.py(), &SHARES_MEMORY, "shares_memory")?.call((a, b), Some(&options)) {
        Ok(shared) => shared.extract(),
        Err(_) => Ok(true),
    }
}
