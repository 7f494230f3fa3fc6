//! The one error type; its `Display` is the line a user reads.
//!
//! A message names the operation, the parameter, the value given and what is allowed:
//! `max_pool2d: kernel_size[1] = 9 exceeds axis W: 5 elements + 2*1 padding`.
//! Geometry does not know which operation asked, so it leaves `op` empty and the planner adds it with [`Error::of`].

use std::borrow::Cow;
use std::fmt;

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A shape or parameter outside the allowed range (`ValueError`).
    Value(Message),
    /// A dtype or kind of argument that is not accepted (`TypeError`).
    Type(Message),
    /// A pooling index outside its spatial block (`IndexError`).
    Index(Message),
    /// Memory that could not be had (`MemoryError`).
    Memory(Message),
    /// The caller asked to stop (Ctrl-C); the result is incomplete and must be dropped.
    Interrupted,
}

/// Operation and text of an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    op: Cow<'static, str>,
    text: String,
}

/// Result of every planner and every operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Message {
    fn new(text: impl Into<String>) -> Self {
        Self { op: Cow::Borrowed(""), text: text.into() }
    }
}

impl Error {
    /// A refused shape or parameter; `text` reads `parameter = value: what is allowed`.
    #[cold]
    pub fn value(text: impl Into<String>) -> Self {
        Self::Value(Message::new(text))
    }

    /// A refused dtype or kind.
    #[cold]
    pub fn kind(text: impl Into<String>) -> Self {
        Self::Type(Message::new(text))
    }

    /// A refused pooling index.
    #[cold]
    pub fn index(text: impl Into<String>) -> Self {
        Self::Index(Message::new(text))
    }

    /// Memory that could not be had.
    #[cold]
    pub fn memory(text: impl Into<String>) -> Self {
        Self::Memory(Message::new(text))
    }

    /// Names the operation, unless one is named already.
    #[cold]
    #[must_use]
    pub fn of(mut self, op: impl Into<Cow<'static, str>>) -> Self {
        if let Self::Value(m) | Self::Type(m) | Self::Index(m) | Self::Memory(m) = &mut self
            && m.op.is_empty()
        {
            m.op = op.into();
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(m) | Self::Type(m) | Self::Index(m) | Self::Memory(m) if m.op.is_empty() => {
                f.write_str(&m.text)
            }
            Self::Value(m) | Self::Type(m) | Self::Index(m) | Self::Memory(m) => {
                write!(f, "{}: {}", m.op, m.text)
            }
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}

/// A shape as NumPy prints it: `(2, 3)`, `(4,)`, `()`.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a>(pub &'a [usize]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lens: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "({}{})", lens.join(", "), if lens.len() == 1 { "," } else { "" })
    }
}
