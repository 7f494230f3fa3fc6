//! Errors become exceptions; Ctrl-C becomes an error.

use std::cell::RefCell;

use pyo3::exceptions::{PyIndexError, PyKeyboardInterrupt, PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::error::Error;

thread_local! {
    /// The exception a signal handler raised while an operation ran on this thread.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Whether a signal handler has raised; the exception is kept for [`Fail`].
pub fn interrupted() -> bool {
    Python::attach(|py| match py.check_signals() {
        Ok(()) => false,
        Err(e) => {
            RAISED.with(|r| *r.borrow_mut() = Some(e));
            true
        }
    })
}

/// A refusal of ours, or an exception already raised.
pub enum Fail {
    Ours(Error),
    Python(PyErr),
}

/// Result of a translation.
pub type Outcome<T> = Result<T, Fail>;

impl From<Error> for Fail {
    fn from(e: Error) -> Self {
        Self::Ours(e)
    }
}
impl From<PyErr> for Fail {
    fn from(e: PyErr) -> Self {
        Self::Python(e)
    }
}

impl Fail {
    /// The exception, with the operation's name in front.
    #[cold]
    pub fn of(self, op: &'static str) -> PyErr {
        let error = match self {
            Self::Python(e) => return e,
            Self::Ours(e) => e.of(op),
        };
        let text = error.to_string();
        match error {
            Error::Value(_) => PyValueError::new_err(text),
            Error::Type(_) => PyTypeError::new_err(text),
            Error::Index(_) => PyIndexError::new_err(text),
            Error::Memory(_) => PyMemoryError::new_err(text),
            Error::Interrupted => {
                RAISED.with(|r| r.borrow_mut().take()).unwrap_or_else(|| PyKeyboardInterrupt::new_err(()))
            }
        }
    }
}
