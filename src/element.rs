//! Element types: dtype names, order, sums, and how each is widened for computing and narrowed for storing.
//!
//! Kernels see only the computed types. A [`Codec`] says how a stored element becomes one: itself ([`Plain`]), through
//! float32 ([`Half`]), or through double with one rounding ([`Rounded`]). The half types and the integers of a linear
//! operation so add no kernels.

use half::{bf16, f16};
use num_complex::Complex;
use std::cell::Cell;
use std::mem::MaybeUninit;

mod lanes;

pub use lanes::{Laned, Vector};

/// How a real result becomes an integer, after which it is saturated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// To the nearest, ties toward positive infinity, as image libraries do.
    #[default]
    Nearest,
    /// To the nearest, ties to even.
    HalfEven,
    /// Toward negative infinity.
    Floor,
    /// Toward zero.
    Trunc,
}

impl Rounding {
    /// What to add to a multiple of `2^-fraction` so that its whole part is the rounded number: always, if its whole part
    /// is odd, and if it is negative.
    #[inline(always)]
    fn turns(self, fraction: u32) -> [i64; 3] {
        let half = (1 << fraction) >> 1;
        match self {
            Self::HalfEven if fraction == 0 => [0; 3],
            Self::Nearest => [half, 0, 0],
            Self::HalfEven => [half - 1, 1, 0],
            Self::Floor => [0, 0, 0],
            Self::Trunc => [0, 0, (1 << fraction) - 1],
        }
    }
}

/// The dtypes an array may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names say it all
pub enum Dtype {
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
}

mod sealed {
    pub trait Sealed {}
}

/// A type that arrays may hold.
pub trait Element: sealed::Sealed + Copy + Default + PartialEq + Send + Sync + 'static {
    /// Its dtype.
    const DTYPE: Dtype;
    /// An integer, or two, of its size and alignment: what moves it, moves all types of that size.
    type Bits: Copy + Default + Send + Sync + 'static;
    /// Its bits.
    fn bits(self) -> Self::Bits;
}

macro_rules! elements {
    ($($t:ty, $bits:ty, $v:ident => $of:expr, $d:ident);* $(;)?) => {$(
        const _: () = assert!(size_of::<$t>() == size_of::<$bits>() && align_of::<$t>() == align_of::<$bits>());
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: Dtype = Dtype::$d;
            type Bits = $bits;
            #[inline(always)]
            fn bits(self) -> $bits { let $v = self; $of }
        }
    )*};
}
elements! {
    bool, u8, v => u8::from(v), Bool;
    i8, u8, v => v.cast_unsigned(), I8;
    i16, u16, v => v.cast_unsigned(), I16;
    i32, u32, v => v.cast_unsigned(), I32;
    i64, u64, v => v.cast_unsigned(), I64;
    u8, u8, v => v, U8;
    u16, u16, v => v, U16;
    u32, u32, v => v, U32;
    u64, u64, v => v, U64;
    f16, u16, v => v.to_bits(), F16;
    bf16, u16, v => v.to_bits(), BF16;
    f32, u32, v => v.to_bits(), F32;
    f64, u64, v => v.to_bits(), F64;
    Complex<f32>, [u32; 2], v => [v.re.to_bits(), v.im.to_bits()], C64;
    Complex<f64>, [u64; 2], v => [v.re.to_bits(), v.im.to_bits()], C128;
}

/// Stored elements to computed ones and back.
pub trait Codec: Copy + Send + Sync + 'static {
    /// What memory holds.
    type Stored: Copy + Send + Sync + 'static;
    /// What kernels see.
    type Computed: Copy + Default + Send + Sync + 'static;
    /// Whether the two are the same, so that rows can be borrowed.
    const SAME: bool = false;
    /// One element in.
    fn load(self, v: Self::Stored) -> Self::Computed;
    /// One element out.
    fn store(self, v: Self::Computed) -> Self::Stored;
    /// Elements out. (What the codec decides, it decides once and not for each element.) Returns whether the error of a sum
    /// may have changed how it is rounded.
    #[inline(always)]
    fn store_row(self, from: &[Self::Computed], to: &mut [MaybeUninit<Self::Stored>]) -> bool {
        for (to, from) in to.iter_mut().zip(from) {
            to.write(self.store(*from));
        }
        false
    }
    /// Whether any result may be in doubt.
    fn doubts(self) -> bool {
        false
    }
    /// Whether this one is.
    #[inline(always)]
    fn in_doubt(self, v: Self::Computed) -> bool {
        let _ = v;
        false
    }
    /// An element in double, where results may be in doubt.
    fn wide(self, v: Self::Stored) -> f64 {
        let _ = v;
        0.0
    }
    /// A result from its sum in double, where results may be in doubt.
    fn settled(self, v: f64) -> Option<Self::Stored> {
        let _ = v;
        None
    }
    /// The row itself where no conversion is needed.
    fn borrow(row: &[Cell<Self::Stored>]) -> Option<&[Cell<Self::Computed>]> {
        let _ = row;
        None
    }
    /// The row to be written itself where no conversion is needed.
    fn borrow_mut(row: &mut [MaybeUninit<Self::Stored>]) -> Option<&mut [MaybeUninit<Self::Computed>]> {
        let _ = row;
        None
    }
}

/// Computed as stored.
#[derive(Debug, Clone, Copy)]
pub struct Plain<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Default for Plain<T> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: Copy + Default + Send + Sync + 'static> Codec for Plain<T> {
    type Stored = T;
    type Computed = T;
    const SAME: bool = true;
    #[inline(always)]
    fn load(self, v: T) -> T {
        v
    }
    #[inline(always)]
    fn store(self, v: T) -> T {
        v
    }
    #[inline(always)]
    fn borrow(row: &[Cell<T>]) -> Option<&[Cell<T>]> {
        Some(row)
    }
    #[inline(always)]
    fn borrow_mut(row: &mut [MaybeUninit<T>]) -> Option<&mut [MaybeUninit<T>]> {
        Some(row)
    }
}

/// A half type, computed in float32 and rounded once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Half<T>(std::marker::PhantomData<fn() -> T>);

impl Codec for Half<f16> {
    type Stored = f16;
    type Computed = f32;
    /// Branch-free, so that it vectorises at every level: the exponent is rebiased by a multiplication, which also
    /// makes subnormals right; infinities and NaNs get theirs by a mask.
    #[inline(always)]
    fn load(self, v: f16) -> f32 {
        let bits = u32::from(v.to_bits());
        let magnitude = (bits & 0x7fff) << 13;
        let scaled = f32::from_bits(magnitude) * f32::from_bits(0x7780_0000); // 2^112
        let special = if magnitude >= 0x0f80_0000 { 0x7f80_0000 } else { 0 };
        f32::from_bits(scaled.to_bits() | special | ((bits & 0x8000) << 16))
    }
    /// To nearest, ties to even; a NaN stays a (quiet) NaN.
    #[inline(always)]
    fn store(self, v: f32) -> f16 {
        let bits = v.to_bits();
        let sign = (bits >> 16) & 0x8000;
        let magnitude = bits & 0x7fff_ffff;
        // Subnormal results: adding 0.5 lines the last place of the sum up with the half's own, so the addition rounds.
        let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        // Normal results: rebias the exponent and add half a place less one, plus the last kept bit.
        let odd = (magnitude >> 13) & 1;
        let normal = magnitude.wrapping_sub(0x3800_0000).wrapping_add(0xfff + odd) >> 13;
        let finite = if magnitude < 0x3880_0000 { subnormal } else { normal };
        let bounded = if magnitude >= 0x4780_0000 { 0x7c00 } else { finite };
        let result = if magnitude > 0x7f80_0000 { 0x7e00 | ((magnitude >> 13) & 0x3ff) } else { bounded };
        f16::from_bits((sign | result) as u16)
    }
}

impl Codec for Half<bf16> {
    type Stored = bf16;
    type Computed = f32;
    #[inline(always)]
    fn load(self, v: bf16) -> f32 {
        f32::from_bits(u32::from(v.to_bits()) << 16)
    }
    /// To nearest, ties to even; a NaN stays a (quiet) NaN.
    #[inline(always)]
    fn store(self, v: f32) -> bf16 {
        let bits = v.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        bf16::from_bits(if v.is_nan() { (bits >> 16) | 0x40 } else { rounded } as u16)
    }
}

/// An integer computed in double, rounded once, saturated.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rounded<T> {
    /// Rule for the fraction.
    pub rounding: Rounding,
    marker: std::marker::PhantomData<fn() -> T>,
}

impl<T> Rounded<T> {
    /// Rounds by this rule.
    #[must_use]
    pub fn new(rounding: Rounding) -> Self {
        Self { rounding, marker: std::marker::PhantomData }
    }
}

/// Rounds a sum of weighted integers. The sum carries the weights' rounding error, so it is first snapped to a grid
/// coarser than that error (2^-30 below 2^16, 2^-45 of the size above): a sum that is a tie or an integer in exact
/// arithmetic is then seen as one, and `floor` of a constant image is that constant.
#[inline(always)]
fn round_once(v: f64, rounding: Rounding) -> f64 {
    // Adding and taking away 1.5 * 2^(e + 7) leaves a number of exponent e with a last place of 2^(e - 45).
    let exponent = ((v.to_bits() >> 52) & 0x7ff).max(1023 + 15);
    let grid = f64::from_bits(((exponent + 7) << 52) | (1 << 51));
    // From 2^44 on the grid would reach whole numbers.
    let snapped = if exponent < 1023 + 44 { (v + grid) - grid } else { v };
    match rounding {
        // Beyond 2^52 every double is whole, and half would be lost or rounded up.
        Rounding::Nearest if exponent < 1023 + 52 => (snapped + 0.5).floor(),
        Rounding::Nearest => snapped,
        Rounding::HalfEven => snapped.round_ties_even(),
        Rounding::Floor => snapped.floor(),
        Rounding::Trunc => snapped.trunc(),
    }
}

/// An integer of 8 bits whose sums are exact in 16: whole multiples of `2^-fraction`.
#[derive(Debug, Clone, Copy)]
pub struct Short<T> {
    rounding: Rounding,
    fraction: u32,
    marker: std::marker::PhantomData<fn() -> T>,
}

impl<T: Copy> Short<T> {
    /// Rounds by this rule.
    #[must_use]
    pub fn new(rounding: Rounding, fraction: u32) -> Self {
        Self { rounding, fraction, marker: std::marker::PhantomData }
    }

    /// The sum rounded by the rule.
    #[inline(always)]
    fn rounded(self, v: i16, [always, odd, negative]: [i16; 3]) -> i16 {
        (v + always + (odd & (v >> self.fraction)) + (negative & (v >> 15))) >> self.fraction
    }
}

/// As [`round_once`] snaps what may become an integer of up to 16 bits: to multiples of `2^-30`.
const SMALL_FRACTION: u32 = 30;

/// [`round_once`] for integers of up to 16 bits, in integers: `turns` is the rule. What is far beyond them stays so.
#[inline(always)]
fn round_small(v: f64, turns: [i64; 3]) -> i32 {
    const FAR: f64 = (1 << 20) as f64;
    let v = if v < FAR { v } else { FAR };
    let v = if v > -FAR { v } else { -FAR };
    // Adding 1.5 * 2^(52 - 30) leaves a last place of 2^-30.
    const GRID: u64 = ((1023 + 52 - SMALL_FRACTION as u64) << 52) | (1 << 51);
    let fixed = ((v + f64::from_bits(GRID)).to_bits() as i64).wrapping_sub(GRID as i64);
    let [always, odd, negative] = turns;
    ((fixed + always + (odd & (fixed >> SMALL_FRACTION)) + (negative & (fixed >> 63))) >> SMALL_FRACTION) as i32
}

/// How closely a sum of weighted integers is known in float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Sums are seen as multiples of `2^-fraction`.
    pub fraction: u32,
    /// A sum this many of those, or fewer, from where rounding changes is in doubt.
    pub doubt: Option<u32>,
}

/// An integer of at most 16 bits whose sums are known to a [`Precision`] in float32: twice as many fit a vector as in double.
/// The result is the one that double gives: the few sums whose error might round them otherwise are taken again.
#[derive(Debug, Clone, Copy)]
pub struct Narrow<T> {
    rounding: Rounding,
    precision: Precision,
    marker: std::marker::PhantomData<fn() -> T>,
}

impl<T: Copy> Narrow<T> {
    /// Rounds by this rule.
    #[must_use]
    pub fn new(rounding: Rounding, precision: Precision) -> Self {
        Self { rounding, precision, marker: std::marker::PhantomData }
    }

    /// `1.5 * 2^(23 - fraction)`: what it is added to has a last place of `2^-fraction`.
    #[inline(always)]
    fn grid(self) -> u32 {
        ((127 + 23 - self.precision.fraction) << 23) | (1 << 22)
    }

    /// A sum as a multiple of `2^-fraction`.
    #[inline(always)]
    fn fixed(self, v: f32) -> i32 {
        let grid = self.grid();
        ((v + f32::from_bits(grid)).to_bits() as i32).wrapping_sub(grid as i32)
    }

    /// The sum rounded by the rule.
    #[inline(always)]
    fn rounded(self, v: f32) -> i32 {
        let (fixed, fraction) = (self.fixed(v), self.precision.fraction);
        let [always, odd, negative] = self.rounding.turns(fraction).map(|n| n as i32);
        (fixed + always + (odd & (fixed >> fraction)) + (negative & (fixed >> 31))) >> fraction
    }

    /// What, added to a sum, leaves at most twice the doubt in its fraction where rounding changes within the doubt.
    #[inline(always)]
    fn doubt_begins(self) -> i32 {
        let half = match self.rounding {
            Rounding::Nearest | Rounding::HalfEven => 1 << (self.precision.fraction - 1),
            Rounding::Floor | Rounding::Trunc => 0,
        };
        half + self.precision.doubt.unwrap_or(0) as i32
    }

    /// Whether rounding changes within the doubt.
    #[inline(always)]
    fn near(self, v: f32) -> bool {
        let Precision { fraction, doubt } = self.precision;
        ((self.fixed(v) + self.doubt_begins()) & ((1 << fraction) - 1)) <= 2 * doubt.unwrap_or(0) as i32
    }

    /// Writes the sums of a row, rounded by [`Rounding::Nearest`] and handed to `end`; whether any is in doubt, if there is
    /// doubt. (What is added is one number, and of what lies beyond the doubt the least is kept: a quarter fewer
    /// operations than [`Narrow::fixed`] and [`Narrow::near`] of each.)
    #[inline(always)]
    fn store_nearest(self, from: &[f32], to: &mut [MaybeUninit<T>], end: impl Fn(i32) -> T) -> bool {
        let Precision { fraction, doubt } = self.precision;
        let (grid, mask) = (self.grid(), (1i32 << fraction) - 1);
        let (turn, edge) =
            ((1i32 << (fraction - 1)).wrapping_sub(grid as i32), self.doubt_begins().wrapping_sub(grid as i32));
        let bits = |v: f32| (v + f32::from_bits(grid)).to_bits() as i32;
        let Some(doubt) = doubt else {
            for (to, from) in to.iter_mut().zip(from) {
                to.write(end(bits(*from).wrapping_add(turn) >> fraction));
            }
            return false;
        };
        let mut least = mask;
        for (to, from) in to.iter_mut().zip(from) {
            let v = bits(*from);
            to.write(end(v.wrapping_add(turn) >> fraction));
            least = least.min(v.wrapping_add(edge) & mask);
        }
        least <= 2 * doubt as i32
    }
}

/// Linear operations: sums of weighted elements.
pub trait Linear: Element {
    /// Type the sum is taken in.
    type Sum: Real;
    /// In and out of it.
    type SumCodec: Codec<Stored = Self, Computed = Self::Sum>;
    /// The codec, given the rounding rule (which floating types ignore).
    fn sum_codec(rounding: Rounding) -> Self::SumCodec;
    /// The largest magnitude of an element, if sums may be taken in a narrower type.
    const NARROW: Option<f64> = None;
    /// The narrower type; the same where there is none.
    type NarrowSum: Real;
    /// In and out of it.
    type NarrowCodec: Codec<Stored = Self, Computed = Self::NarrowSum>;
    /// Its codec.
    fn narrow_codec(rounding: Rounding, precision: Precision) -> Self::NarrowCodec;
    /// Whether there is a type of 16 bits for sums that are exact in it.
    const SHORT: bool = false;
    /// That type; the same as the others where there is none.
    type ShortSum: Summed;
    /// In and out of it.
    type ShortCodec: Codec<Stored = Self, Computed = Self::ShortSum>;
    /// Its codec.
    fn short_codec(rounding: Rounding, fraction: u32) -> Self::ShortCodec;
}

/// `a` if so, else `b`: chosen, not branched over. (Of `if` in place of it, where one of the two is what is there already, the
/// compiler makes stores under a mask, which with AVX2 take some processors twenty times as long as stores.)
#[inline(always)]
pub fn chosen<T>(so: bool, a: T, b: T) -> T {
    std::hint::select_unpredictable(so, a, b)
}

/// Ordered elements, for maxima. Half types compare as their [`Rank`].
pub trait Ordered: Element {
    /// Type that is compared.
    type Key: Order;
    /// In and out of it.
    type KeyCodec: Codec<Stored = Self, Computed = Self::Key> + Default;
}

/// Elements with a product, for convolutions.
pub trait Multiplied: Element {
    /// Type products are summed in.
    type Product: Laned;
    /// In and out of it.
    type ProductCodec: Codec<Stored = Self, Computed = Self::Product> + Default;
}

/// Elements that can be summed where several land on one place. Integers saturate.
pub trait Added: Element {
    /// Type of the sum.
    type Total: Ring;
    /// In and out of it.
    type TotalCodec: Codec<Stored = Self, Computed = Self::Total> + Default;
}

/// An integer summed exactly and saturated once.
#[derive(Debug, Clone, Copy)]
pub struct Saturated<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Default for Saturated<T> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

/// A byte that says yes or no, added up: whether any said yes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Any;

impl Codec for Any {
    type Stored = u8;
    type Computed = i128;
    #[inline(always)]
    fn load(self, v: u8) -> i128 {
        i128::from(v != 0)
    }
    #[inline(always)]
    fn store(self, v: i128) -> u8 {
        u8::from(v != 0)
    }
}

impl Ring for i128 {
    #[inline(always)]
    fn mul(a: Self, b: Self) -> Self {
        a.wrapping_mul(b)
    }
    #[inline(always)]
    fn add(a: Self, b: Self) -> Self {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn mul_add<const FMA: bool>(a: Self, b: Self, c: Self) -> Self {
        a.wrapping_mul(b).wrapping_add(c)
    }
}

/// Elements that windows choose from. A NaN wins, the first of several; of equal elements the first stays.
pub trait Order: Copy + Default + PartialEq + Send + Sync + 'static {
    /// Loses to everything, or equals it: what padding counts as.
    const LEAST: Self;
    /// Whether so many arrays hold it that pooling is compiled for the widest vectors too.
    const WIDE: bool = false;
    /// Whether this replaces `held`.
    fn rises(self, held: Self) -> bool;
    /// The larger; of two NaNs either.
    #[inline(always)]
    fn larger(self, held: Self) -> Self {
        chosen(self.rises(held), self, held)
    }
    /// What orders the other way round: the largest becomes the smallest; a NaN stays one. Twice is nothing.
    fn mirrored(self) -> Self;
    /// Whether some elements are odd, as NaN is, and two of which none is compare more simply.
    const ODD: bool = false;
    /// Whether this is an odd element.
    #[inline(always)]
    fn is_odd(self) -> bool {
        false
    }
    /// Whether this, though not odd, equals an element that is not the same: a negative zero.
    #[inline(always)]
    fn is_twin(self) -> bool {
        false
    }
    /// [`Order::rises`] where neither is odd.
    #[inline(always)]
    fn exceeds(self, held: Self) -> bool {
        self.rises(held)
    }
}

/// Elements mirrored on their way in and out, so that the largest is the smallest. (Minima are no kernels of their own:
/// they would double the code, for rows that are read once more.)
#[derive(Debug, Clone, Copy, Default)]
pub struct Mirrored<C>(C);

impl<C: Codec<Computed: Order>> Codec for Mirrored<C> {
    type Stored = C::Stored;
    type Computed = C::Computed;
    #[inline(always)]
    fn load(self, v: C::Stored) -> C::Computed {
        self.0.load(v).mirrored()
    }
    #[inline(always)]
    fn store(self, v: C::Computed) -> C::Stored {
        self.0.store(v.mirrored())
    }
}

/// Absolute values, on the way in.
#[derive(Debug, Clone, Copy)]
pub struct Absolute<C>(pub C);

impl<C: Codec<Computed: Real>> Codec for Absolute<C> {
    type Stored = C::Stored;
    type Computed = C::Computed;
    #[inline(always)]
    fn load(self, v: C::Stored) -> C::Computed {
        Real::abs(self.0.load(v))
    }
    #[inline(always)]
    fn store(self, v: C::Computed) -> C::Stored {
        self.0.store(v)
    }
}

/// What weighted sums are taken in.
pub trait Summed: Ring {
    /// From a weight.
    fn weight(w: f64) -> Self;
}

/// Weights times a power of two that makes them whole.
impl Summed for i16 {
    #[inline(always)]
    fn weight(w: f64) -> Self {
        w as Self
    }
}

/// The two real types linear kernels are compiled for.
pub trait Real: Summed + Order + PartialOrd {
    /// From a number.
    fn of(w: f64) -> Self;
    /// `a / b`.
    fn div(a: Self, b: Self) -> Self;
    /// The absolute value.
    fn abs(v: Self) -> Self;
    /// The square root.
    fn sqrt(v: Self) -> Self;
    /// `v^p`.
    fn powf(v: Self, p: f64) -> Self;
    /// Whether this is a power of two (or its negative) whose reciprocal is one too.
    fn is_power_of_two(v: Self) -> bool;
}

/// Sums of products. Integers wrap.
pub trait Ring: Copy + Default + PartialEq + Send + Sync + 'static {
    /// `a*b`.
    fn mul(a: Self, b: Self) -> Self;
    /// `a + b`.
    fn add(a: Self, b: Self) -> Self;
    /// `a*b + c`; fused where `FMA` (elsewhere a fused product is a library call for each element).
    fn mul_add<const FMA: bool>(a: Self, b: Self, c: Self) -> Self;
}

macro_rules! floats {
    ($($t:ty),*) => {$(
        impl Order for $t {
            const LEAST: Self = <$t>::NEG_INFINITY;
            const WIDE: bool = size_of::<$t>() == 4;
            // Not "less or equal" is "greater, or one is NaN": two comparisons, and no third for the NaN.
            #[inline(always)]
            #[allow(clippy::neg_cmp_op_on_partial_ord)]
            fn rises(self, held: Self) -> bool { !(self <= held) & (held == held) }
            // One instruction that keeps `held` if either is NaN, and one choice that does not wait for it.
            #[inline(always)]
            fn larger(self, held: Self) -> Self {
                chosen(self != self, self, chosen(self > held, self, held))
            }
            #[inline(always)]
            fn mirrored(self) -> Self { -self }
            const ODD: bool = true;
            #[inline(always)]
            fn is_odd(self) -> bool { self != self }
            #[inline(always)]
            fn is_twin(self) -> bool { self.to_bits() == (-0.0 as $t).to_bits() }
            #[inline(always)]
            fn exceeds(self, held: Self) -> bool { self > held }
        }
        impl Ring for $t {
            #[inline(always)]
            fn mul(a: Self, b: Self) -> Self { a * b }
            #[inline(always)]
            fn add(a: Self, b: Self) -> Self { a + b }
            #[inline(always)]
            fn mul_add<const FMA: bool>(a: Self, b: Self, c: Self) -> Self {
                if FMA { a.mul_add(b, c) } else { a * b + c }
            }
        }
        impl Summed for $t {
            #[inline(always)]
            fn weight(w: f64) -> Self { w as $t }
        }
        impl Real for $t {
            #[inline(always)]
            fn of(w: f64) -> Self { w as $t }
            #[inline(always)]
            fn div(a: Self, b: Self) -> Self { a / b }
            #[inline(always)]
            fn abs(v: Self) -> Self { v.abs() }
            #[inline(always)]
            fn sqrt(v: Self) -> Self { v.sqrt() }
            #[inline(always)]
            fn powf(v: Self, p: f64) -> Self { v.powf(p as $t) }
            #[inline(always)]
            fn is_power_of_two(v: Self) -> bool {
                let mantissa = (1 << (<$t>::MANTISSA_DIGITS - 1)) - 1;
                v.is_normal() && (1.0 / v).is_normal() && v.to_bits() & mantissa == 0
            }
        }
        impl Linear for $t {
            type Sum = $t;
            type SumCodec = Plain<$t>;
            fn sum_codec(_: Rounding) -> Plain<$t> { Plain::default() }
            type NarrowSum = $t;
            type NarrowCodec = Plain<$t>;
            fn narrow_codec(_: Rounding, _: Precision) -> Plain<$t> { Plain::default() }
            type ShortSum = $t;
            type ShortCodec = Plain<$t>;
            fn short_codec(_: Rounding, _: u32) -> Plain<$t> { Plain::default() }
        }
        impl Ordered for $t { type Key = $t; type KeyCodec = Plain<$t>; }
        impl Multiplied for $t { type Product = $t; type ProductCodec = Plain<$t>; }
        impl Added for $t { type Total = $t; type TotalCodec = Plain<$t>; }
    )*};
}
floats!(f32, f64);

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Order for $t {
            const LEAST: Self = <$t>::MIN;
            const WIDE: bool = size_of::<$t>() == 1 && <$t>::MIN == 0;
            #[inline(always)]
            fn rises(self, held: Self) -> bool { self > held }
            #[inline(always)]
            fn mirrored(self) -> Self { !self }
        }
        impl Ring for $t {
            #[inline(always)]
            fn mul(a: Self, b: Self) -> Self { a.wrapping_mul(b) }
            #[inline(always)]
            fn add(a: Self, b: Self) -> Self { a.wrapping_add(b) }
            #[inline(always)]
            fn mul_add<const FMA: bool>(a: Self, b: Self, c: Self) -> Self { a.wrapping_mul(b).wrapping_add(c) }
        }
        impl Codec for Saturated<$t> {
            type Stored = $t;
            type Computed = i128;
            #[inline(always)]
            fn load(self, v: $t) -> i128 { i128::from(v) }
            #[inline(always)]
            fn store(self, v: i128) -> $t { v.clamp(i128::from(<$t>::MIN), i128::from(<$t>::MAX)) as $t }
        }
        impl Added for $t { type Total = i128; type TotalCodec = Saturated<$t>; }
        impl Ordered for $t { type Key = $t; type KeyCodec = Plain<$t>; }
    )*};
}
integers!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! wide_integers {
    ($($t:ty),*) => {$(
        impl Codec for Rounded<$t> {
            type Stored = $t;
            type Computed = f64;
            #[inline(always)]
            fn load(self, v: $t) -> f64 { v as f64 }
            #[inline(always)]
            fn store(self, v: f64) -> $t { round_once(v, self.rounding) as $t } // `as` saturates
        }
        impl Linear for $t {
            type Sum = f64;
            type SumCodec = Rounded<$t>;
            fn sum_codec(rounding: Rounding) -> Rounded<$t> { Rounded::new(rounding) }
            type NarrowSum = f64;
            type NarrowCodec = Rounded<$t>;
            fn narrow_codec(rounding: Rounding, _: Precision) -> Rounded<$t> { Rounded::new(rounding) }
            type ShortSum = f64;
            type ShortCodec = Rounded<$t>;
            fn short_codec(rounding: Rounding, _: u32) -> Rounded<$t> { Rounded::new(rounding) }
        }
    )*};
}
wide_integers!(i32, i64, u32, u64);

macro_rules! narrow_integers {
    ($($t:ty, $short:expr, $sum:ty, $codec:ident, $new:expr);*) => {$(
        impl Linear for $t {
            type Sum = f64;
            type SumCodec = Rounded<$t>;
            fn sum_codec(rounding: Rounding) -> Rounded<$t> { Rounded::new(rounding) }
            const NARROW: Option<f64> = Some(if <$t>::MIN == 0 { <$t>::MAX as f64 } else { -(<$t>::MIN as f64) });
            type NarrowSum = f32;
            type NarrowCodec = Narrow<$t>;
            fn narrow_codec(rounding: Rounding, precision: Precision) -> Narrow<$t> { Narrow::new(rounding, precision) }
            const SHORT: bool = $short;
            type ShortSum = $sum;
            type ShortCodec = $codec<$t>;
            fn short_codec(rounding: Rounding, fraction: u32) -> $codec<$t> { $new(rounding, fraction) }
        }
        impl Codec for Rounded<$t> {
            type Stored = $t;
            type Computed = f64;
            #[inline(always)]
            fn load(self, v: $t) -> f64 { f64::from(v) }
            #[inline(always)]
            fn store(self, v: f64) -> $t {
                let turns = self.rounding.turns(SMALL_FRACTION);
                round_small(v, turns).clamp(i32::from(<$t>::MIN), i32::from(<$t>::MAX)) as $t
            }
            #[inline(always)]
            fn store_row(self, from: &[f64], to: &mut [MaybeUninit<$t>]) -> bool {
                let (least, most) = (i32::from(<$t>::MIN), i32::from(<$t>::MAX));
                let turns = self.rounding.turns(SMALL_FRACTION);
                if self.rounding == Rounding::Nearest {
                    for (to, from) in to.iter_mut().zip(from) {
                        to.write(round_small(*from, [1 << (SMALL_FRACTION - 1), 0, 0]).clamp(least, most) as $t);
                    }
                } else {
                    for (to, from) in to.iter_mut().zip(from) {
                        to.write(round_small(*from, turns).clamp(least, most) as $t);
                    }
                }
                false
            }
        }
        impl Codec for Narrow<$t> {
            type Stored = $t;
            type Computed = f32;
            #[inline(always)]
            fn load(self, v: $t) -> f32 { f32::from(v) }
            #[inline(always)]
            fn store(self, v: f32) -> $t {
                self.rounded(v).clamp(i32::from(<$t>::MIN), i32::from(<$t>::MAX)) as $t
            }
            #[inline(always)]
            fn store_row(self, from: &[f32], to: &mut [MaybeUninit<$t>]) -> bool {
                let (least, most) = (i32::from(<$t>::MIN), i32::from(<$t>::MAX));
                if self.rounding != Rounding::Nearest {
                    let mut doubt = false;
                    for (to, from) in to.iter_mut().zip(from) {
                        to.write(self.store(*from));
                        doubt |= self.near(*from);
                    }
                    return doubt & self.precision.doubt.is_some();
                }
                self.store_nearest(from, to, |v| v.clamp(least, most) as $t)
            }
            #[inline(always)]
            fn doubts(self) -> bool { self.precision.doubt.is_some() }
            #[inline(always)]
            fn in_doubt(self, v: f32) -> bool { self.near(v) }
            #[inline(always)]
            fn wide(self, v: $t) -> f64 { f64::from(v) }
            fn settled(self, v: f64) -> Option<$t> { Some(Rounded::<$t>::new(self.rounding).store(v)) }
        }
    )*};
}
narrow_integers!(
    i8, true, i16, Short, Short::new; u8, true, i16, Short, Short::new;
    i16, false, f64, Rounded, |rounding, _| Rounded::new(rounding);
    u16, false, f64, Rounded, |rounding, _| Rounded::new(rounding)
);

macro_rules! short_integers {
    ($($t:ty),*) => {$(
        impl Codec for Short<$t> {
            type Stored = $t;
            type Computed = i16;
            #[inline(always)]
            fn load(self, v: $t) -> i16 { i16::from(v) }
            #[inline(always)]
            fn store(self, v: i16) -> $t {
                let turns = self.rounding.turns(self.fraction).map(|n| n as i16);
                self.rounded(v, turns).clamp(i16::from(<$t>::MIN), i16::from(<$t>::MAX)) as $t
            }
            #[inline(always)]
            fn store_row(self, from: &[i16], to: &mut [MaybeUninit<$t>]) -> bool {
                let (least, most) = (i16::from(<$t>::MIN), i16::from(<$t>::MAX));
                let turns = self.rounding.turns(self.fraction).map(|n| n as i16);
                if self.rounding == Rounding::Nearest {
                    for (to, from) in to.iter_mut().zip(from) {
                        to.write(self.rounded(*from, [turns[0], 0, 0]).clamp(least, most) as $t);
                    }
                } else {
                    for (to, from) in to.iter_mut().zip(from) {
                        to.write(self.rounded(*from, turns).clamp(least, most) as $t);
                    }
                }
                false
            }
        }
    )*};
}
short_integers!(i8, u8);

/// An integer computed in a wider or signed one of the same residues: cut off again, it has wrapped in its own type.
#[derive(Debug, Clone, Copy)]
pub struct Wrapping<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Default for Wrapping<T> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

macro_rules! wrapping {
    ($($t:ty as $wide:ty),*) => {$(
        impl Codec for Wrapping<$t> {
            type Stored = $t;
            type Computed = $wide;
            #[inline(always)]
            fn load(self, v: $t) -> $wide { v as $wide }
            #[inline(always)]
            fn store(self, v: $wide) -> $t { v as $t } // keeps the low bits
        }
        impl Multiplied for $t { type Product = $wide; type ProductCodec = Wrapping<$t>; }
    )*};
}
wrapping!(i8 as i32, u8 as i32, i16 as i32, u16 as i32, u32 as i32, u64 as i64);
impl Multiplied for i32 {
    type Product = Self;
    type ProductCodec = Plain<Self>;
}
impl Multiplied for i64 {
    type Product = Self;
    type ProductCodec = Plain<Self>;
}

macro_rules! halves {
    ($($t:ty),*) => {$(
        impl Linear for $t {
            type Sum = f32;
            type SumCodec = Half<$t>;
            fn sum_codec(_: Rounding) -> Half<$t> { Half::default() }
            type NarrowSum = f32;
            type NarrowCodec = Half<$t>;
            fn narrow_codec(_: Rounding, _: Precision) -> Half<$t> { Half::default() }
            type ShortSum = f32;
            type ShortCodec = Half<$t>;
            fn short_codec(_: Rounding, _: u32) -> Half<$t> { Half::default() }
        }
        impl Multiplied for $t { type Product = f32; type ProductCodec = Half<$t>; }
        impl Added for $t { type Total = f32; type TotalCodec = Half<$t>; }
    )*};
}
halves!(f16, bf16);

/// A half type's bits as a number that orders as it does: all lanes of a vector compare in one integer instruction, and
/// nothing is converted to `f32`. The numbers rise from minus infinity, 0, to plus infinity, `TOP`; NaNs lie above, of
/// either sign. The two zeros are neighbours, which count as equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank<const TOP: u16>(u16);

/// The rank of zero.
impl<const TOP: u16> Default for Rank<TOP> {
    fn default() -> Self {
        Self::of(0)
    }
}

impl<const TOP: u16> Rank<TOP> {
    const MINUS_ZERO: u16 = TOP / 2;

    /// From a half type's bits, of which those of plus infinity are half of `TOP`.
    #[inline(always)]
    fn of(bits: u16) -> Self {
        Self(Self::turned(bits).wrapping_add(TOP / 2 + 1))
    }

    #[inline(always)]
    fn bits(self) -> u16 {
        Self::turned(self.0.wrapping_sub(TOP / 2 + 1))
    }

    /// Sign and magnitude to two's complement, or back.
    #[inline(always)]
    fn turned(bits: u16) -> u16 {
        bits ^ (((bits as i16 >> 15) as u16) >> 1)
    }
}

impl<const TOP: u16> Order for Rank<TOP> {
    const WIDE: bool = true;
    const LEAST: Self = Self(0);
    #[inline(always)]
    fn rises(self, held: Self) -> bool {
        (self.0 > held.0) & (held.0 <= TOP) & !((held.0 == Self::MINUS_ZERO) & (self.0 == Self::MINUS_ZERO + 1))
    }
    #[inline(always)]
    fn larger(self, held: Self) -> Self {
        // The larger number, but for the zeros, of which the first stays.
        let larger = self.0.max(held.0);
        let zeros = (larger == Self::MINUS_ZERO + 1) & (held.0 == Self::MINUS_ZERO);
        Self(larger - u16::from(zeros))
    }
    #[inline(always)]
    fn mirrored(self) -> Self {
        Self(if self.0 <= TOP { TOP - self.0 } else { self.0 })
    }
    const ODD: bool = true;
    #[inline(always)]
    fn is_odd(self) -> bool {
        (self.0 > TOP) | (self.0 == Self::MINUS_ZERO)
    }
    #[inline(always)]
    fn exceeds(self, held: Self) -> bool {
        self.0 > held.0
    }
}

/// Between a half type and its [`Rank`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Ranked<T>(std::marker::PhantomData<fn() -> T>);

macro_rules! ranked {
    ($($t:ty, $top:expr);*) => {$(
        impl Codec for Ranked<$t> {
            type Stored = $t;
            type Computed = Rank<{ $top }>;
            #[inline(always)]
            fn load(self, v: $t) -> Self::Computed { Rank::of(v.to_bits()) }
            #[inline(always)]
            fn store(self, v: Self::Computed) -> $t { <$t>::from_bits(v.bits()) }
        }
        impl Ordered for $t { type Key = Rank<{ $top }>; type KeyCodec = Ranked<$t>; }
    )*};
}
ranked!(f16, 2 * 0x7c00 + 1; bf16, 2 * 0x7f80 + 1);

impl Order for bool {
    const LEAST: Self = false;
    #[inline(always)]
    fn rises(self, held: Self) -> bool {
        self & !held
    }
    #[inline(always)]
    fn mirrored(self) -> Self {
        !self
    }
}
impl Ordered for bool {
    type Key = bool;
    type KeyCodec = Plain<bool>;
}

macro_rules! complexes {
    ($($t:ty),*) => {$(
        impl Ring for Complex<$t> {
            #[inline(always)]
            fn mul(a: Self, b: Self) -> Self { a * b }
            #[inline(always)]
            fn add(a: Self, b: Self) -> Self { a + b }
            #[inline(always)]
            fn mul_add<const FMA: bool>(a: Self, b: Self, c: Self) -> Self {
                let fma = <$t as Ring>::mul_add::<FMA>;
                Complex::new(
                    fma(a.re, b.re, fma(-a.im, b.im, c.re)),
                    fma(a.re, b.im, fma(a.im, b.re, c.im)),
                )
            }
        }
        impl Added for Complex<$t> { type Total = Complex<$t>; type TotalCodec = Plain<Complex<$t>>; }
        impl Multiplied for Complex<$t> { type Product = Complex<$t>; type ProductCodec = Plain<Complex<$t>>; }
    )*};
}
complexes!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f16_conversions_agree_with_the_half_crate() {
        let codec = Half::<f16>::default();
        for bits in 0..=u16::MAX {
            let v = f16::from_bits(bits);
            let (ours, theirs) = (codec.load(v), v.to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{bits:#x}");
        }
        for i in 0..=u32::MAX / 977 {
            let v = f32::from_bits(i * 977);
            let (ours, theirs) = (codec.store(v), f16::from_f32(v));
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{v:e}");
        }
    }

    #[test]
    fn bf16_conversions_agree_with_the_half_crate() {
        let codec = Half::<bf16>::default();
        for i in 0..=u32::MAX / 977 {
            let v = f32::from_bits(i * 977);
            let (ours, theirs) = (codec.store(v), bf16::from_f32(v));
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{v:e}");
        }
    }

    #[test]
    fn rounding_rules_and_saturation() {
        let at = |r, v| Rounded::<i8>::new(r).store(v);
        for (rule, expected) in [
            (Rounding::Nearest, [3, -2, 3, -3, 127]),
            (Rounding::HalfEven, [2, -2, 3, -3, 127]),
            (Rounding::Floor, [2, -3, 2, -4, 127]),
            (Rounding::Trunc, [2, -2, 2, -3, 127]),
        ] {
            assert_eq!([2.5, -2.5, 2.7, -3.3, 1e9].map(|v| at(rule, v)), expected, "{rule:?}");
        }
        assert_eq!(Rounded::<i64>::new(Rounding::Floor).store(9.999_999_999_999_998), 10);
        assert_eq!(Rounded::<u32>::new(Rounding::Floor).store(4_294_967_294.999_998), u32::MAX);
    }
}
