//! From a dtype at run time to a type: the one place that lists which operation takes which.

use super::array::Input;
use super::error::Outcome;

/// Calls `$body` with `$T` as the element type of `$input`, one of those listed. NumPy's bool is read as `u8`: its bytes
/// may hold anything, which a Rust `bool` may not.
macro_rules! dispatch {
    (@types ordered) => { "bool, integers, float16, bfloat16, float32 or float64" };
    (@types linear) => { "integers, float16, bfloat16, float32 or float64" };
    (@types multiplied) => { "integers, float16, bfloat16, float32, float64, complex64 or complex128" };
    (@types float) => { "float16, bfloat16, float32 or float64" };

    (moved, $input:expr, $name:expr, $T:ident => $body:expr) => {{
        use $crate::python::array::Kind::*;
        match $input.kind {
            Bool | I8 | U8 => { type $T = u8; $body }
            I16 | U16 | F16 | BF16 => { type $T = u16; $body }
            I32 | U32 | F32 => { type $T = u32; $body }
            I64 | U64 | F64 => { type $T = u64; $body }
            C64 => { type $T = [u32; 2]; $body }
            C128 | LongDouble => { type $T = [u64; 2]; $body }
            CLongDouble => { type $T = [u64; 4]; $body }
        }
    }};
    (ordered, $input:expr, $name:expr, $T:ident => $body:expr) => {
        dispatch!(@match ordered, $input, $name, $T => $body;
            Bool u8, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64,
            F16 half::f16, BF16 half::bf16, F32 f32, F64 f64)
    };
    (linear, $input:expr, $name:expr, $T:ident => $body:expr) => {
        dispatch!(@match linear, $input, $name, $T => $body;
            I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64,
            F16 half::f16, BF16 half::bf16, F32 f32, F64 f64)
    };
    (added, $input:expr, $name:expr, $T:ident => $body:expr) => {
        dispatch!(@match multiplied, $input, $name, $T => $body;
            I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64,
            F16 half::f16, BF16 half::bf16, F32 f32, F64 f64,
            C64 num_complex::Complex<f32>, C128 num_complex::Complex<f64>)
    };
    // Products and sums that wrap are the same bits signed and unsigned.
    (multiplied, $input:expr, $name:expr, $T:ident => $body:expr) => {
        dispatch!(@match multiplied, $input, $name, $T => $body;
            I8 u8, I16 u16, I32 u32, I64 u64, U8 u8, U16 u16, U32 u32, U64 u64,
            F16 half::f16, BF16 half::bf16, F32 f32, F64 f64,
            C64 num_complex::Complex<f32>, C128 num_complex::Complex<f64>)
    };
    (float, $input:expr, $name:expr, $T:ident => $body:expr) => {
        dispatch!(@match float, $input, $name, $T => $body;
            F16 half::f16, BF16 half::bf16, F32 f32, F64 f64)
    };
    (@match $class:ident, $input:expr, $name:expr, $T:ident => $body:expr; $($kind:ident $t:ty),*) => {
        match $input.kind {
            $($crate::python::array::Kind::$kind => { type $T = $t; $body })*
            #[allow(unreachable_patterns)]
            _ => Err($crate::error::Error::kind(format!(
                "{}.dtype = {}: must be {}", $name, $input.dtype_name(), dispatch!(@types $class)
            )).into()),
        }
    };
}
pub(super) use dispatch;

/// Refuses a dtype without an order.
pub fn accept_ordered(x: &Input<'_>, name: &str) -> Outcome<()> {
    dispatch!(ordered, x, name, T => { let _ = size_of::<T>(); Ok(()) })
}

/// Refuses a dtype that cannot be averaged.
pub fn accept_linear(x: &Input<'_>, name: &str) -> Outcome<()> {
    dispatch!(linear, x, name, T => { let _ = size_of::<T>(); Ok(()) })
}

/// Refuses a dtype that gradients cannot have.
pub fn accept_float(x: &Input<'_>, name: &str) -> Outcome<()> {
    dispatch!(float, x, name, T => { let _ = size_of::<T>(); Ok(()) })
}

/// Refuses a dtype that cannot be added up.
pub fn accept_added(x: &Input<'_>, name: &str) -> Outcome<()> {
    dispatch!(added, x, name, T => { let _ = size_of::<T>(); Ok(()) })
}
