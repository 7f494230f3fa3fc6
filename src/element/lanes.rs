//! Vector registers as arrays.
//!
//! An array of as many elements as a register of the level has is kept in one by the compiler, as long as it is moved
//! whole. (Measured: a tile of 8 x 3 such arrays of sixteen `f32` runs at 246 of 250 GFLOP/s with AVX-512, 6 x 2 of
//! eight at 125 with AVX2: what intrinsics reach. 4 x 3 of eight, which needs all sixteen registers, falls to 58.)

use num_complex::Complex;

use super::Ring;

/// A vector of `T`s.
pub trait Vector<T>: Copy {
    /// How many.
    const LANES: usize;
    /// All lanes the same.
    fn splat(v: T) -> Self;
    /// # Safety
    /// `LANES` elements must be readable from `from` on.
    unsafe fn load(from: *const T) -> Self;
    /// # Safety
    /// `LANES` elements must be writeable from `to` on.
    unsafe fn store(self, to: *mut T);
    /// `a*b + self`, fused if so told.
    #[must_use]
    fn plus_product<const FMA: bool>(self, a: Self, b: Self) -> Self;
    /// `self + other`.
    #[must_use]
    fn plus(self, other: Self) -> Self;
}

/// `N` lanes.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Block<T, const N: usize>([T; N]);

impl<T: Ring, const N: usize> Vector<T> for Block<T, N> {
    const LANES: usize = N;
    #[inline(always)]
    fn splat(v: T) -> Self {
        Self([v; N])
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: as the caller promises; an array has the layout of its elements.
        Self(unsafe { from.cast::<[T; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: as the caller promises.
        unsafe { to.cast::<[T; N]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    fn plus_product<const FMA: bool>(mut self, a: Self, b: Self) -> Self {
        for i in 0..N {
            self.0[i] = T::mul_add::<FMA>(a.0[i], b.0[i], self.0[i]);
        }
        self
    }
    #[inline(always)]
    fn plus(mut self, other: Self) -> Self {
        for i in 0..N {
            self.0[i] = T::add(self.0[i], other.0[i]);
        }
        self
    }
}

/// Elements that come in vectors: the types products are summed in.
pub trait Laned: Ring {
    /// 64 bytes of them.
    type Bytes64: Vector<Self>;
    /// 32 bytes.
    type Bytes32: Vector<Self>;
    /// 16 bytes.
    type Bytes16: Vector<Self>;
    /// Most rows and columns of vectors worth a tile of their own. Types that are no machine's strength get few, for
    /// each takes up room in the library.
    const LARGEST: (usize, usize) = (4, 2);
    /// Whether there are halves, so that sums of products can be had from fewer of them.
    const HALVED: bool = false;
    /// So many halves, where there are any.
    #[must_use]
    fn halves(n: i8) -> Self {
        let _ = n;
        Self::default()
    }
    /// Whether it is neither infinite nor NaN.
    #[must_use]
    fn is_finite(self) -> bool {
        true
    }
}

macro_rules! laned {
    ($($t:ty: $wide:literal $mid:literal $narrow:literal $largest:expr $(, $halved:tt)?;)*) => {$(
        impl Laned for $t {
            type Bytes64 = Block<$t, $wide>;
            type Bytes32 = Block<$t, $mid>;
            type Bytes16 = Block<$t, $narrow>;
            const LARGEST: (usize, usize) = $largest;
            $(laned!(@ $halved $t);)?
        }
    )*};
    (@ halved $t:ty) => {
        const HALVED: bool = true;
        #[inline(always)]
        fn halves(n: i8) -> Self {
            <$t>::from(n) * 0.5
        }
        #[inline(always)]
        fn is_finite(self) -> bool {
            <$t>::is_finite(self)
        }
    };
}
laned! {
    f32: 16 8 4 (8, 6), halved;
    f64: 8 4 2 (8, 6), halved;
    i32: 16 8 4 (4, 2);
    i64: 8 4 2 (4, 2);
    Complex<f32>: 8 4 2 (4, 2);
    Complex<f64>: 4 2 1 (4, 2);
}
