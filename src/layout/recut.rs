//! The same elements seen otherwise: axes cut into parts and put in another order, elements as lumps of bytes.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::{View, ViewMut};

/// `N` bytes that are moved and never looked at. Elements of one size are all the same to a move, so what moves is
/// compiled for sizes and not for types; a lump has no alignment, and may have bytes that hold nothing.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Lump<const N: usize>(MaybeUninit<[u8; N]>);

impl<const N: usize> Default for Lump<N> {
    fn default() -> Self {
        Self(MaybeUninit::zeroed())
    }
}

impl<'a, T: Copy> View<'a, T> {
    /// The elements as lumps. Panics unless they have `N` bytes.
    pub(crate) fn lumps<const N: usize>(&self) -> View<'a, Lump<N>> {
        assert_eq!(size_of::<T>(), N, "a lump is one element");
        View { ptr: self.ptr.cast(), shape: self.shape, strides: self.strides, life: PhantomData }
    }
}

impl<T> ViewMut<'_, T> {
    /// The same view, for a while.
    pub(crate) fn reborrow(&mut self) -> ViewMut<'_, T> {
        ViewMut { ptr: self.ptr, shape: self.shape, strides: self.strides, life: PhantomData }
    }
}

impl<T: Copy> ViewMut<'_, T> {
    /// As [`View::lumps`]. Every lump that is written must be one that was read from elements of the same type, or zero,
    /// which is an element of every type that arrays hold.
    pub(crate) fn lumps<const N: usize>(&mut self) -> ViewMut<'_, Lump<N>> {
        assert_eq!(size_of::<T>(), N, "a lump is one element");
        ViewMut { ptr: self.ptr.cast(), shape: self.shape, strides: self.strides, life: PhantomData }
    }
}

/// How the axes of an array are cut and ordered anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cuts {
    /// For each axis the lengths of its parts, outermost first; their product is the axis' own.
    pub parts: Vec<Vec<usize>>,
    /// Which part, counted through all axes, each new axis is.
    pub order: Vec<usize>,
}

impl Cuts {
    /// Lengths and strides of the new axes. Panics if the parts are not the array's, or the order leaves one out.
    fn of(&self, shape: &[usize], strides: &[isize]) -> (Vec<usize>, Vec<isize>) {
        assert_eq!(self.parts.len(), shape.len(), "parts of every axis");
        let mut parts = Vec::with_capacity(self.order.len());
        for ((lens, &len), &stride) in self.parts.iter().zip(shape).zip(strides) {
            let product = lens.iter().try_fold(1usize, |n, &part| n.checked_mul(part));
            assert_eq!(product, Some(len), "the parts of an axis multiply to its length");
            let first = parts.len();
            let mut step = stride;
            for &part in lens.iter().rev() {
                // A part of one element is never stepped along.
                parts.push((part, if part > 1 { step } else { 0 }));
                step = step.wrapping_mul(part as isize); // within the array, but perhaps for the outermost's end
            }
            parts[first..].reverse();
        }
        let mut left = vec![true; parts.len()];
        assert_eq!(self.order.len(), parts.len(), "every part once");
        for &i in &self.order {
            assert!(std::mem::take(&mut left[i]), "every part once");
        }
        self.order.iter().map(|&i| parts[i]).unzip()
    }
}

/// A view with its axes [cut](Cuts).
pub(crate) struct Recut<'a, T> {
    of: View<'a, T>,
    shape: Vec<usize>,
    strides: Vec<isize>,
}

impl<'a, T> Recut<'a, T> {
    /// Panics if the cuts do not fit the array.
    pub(crate) fn new(of: View<'a, T>, cuts: &Cuts) -> Self {
        let (shape, strides) = cuts.of(of.shape, of.strides);
        Self { of, shape, strides }
    }

    /// The elements by their new axes: an index of the parts of an axis is one of the axis.
    pub(crate) fn view(&self) -> View<'_, T> {
        View { ptr: self.of.ptr, shape: &self.shape, strides: &self.strides, life: PhantomData }
    }
}

/// A view to write with its axes [cut](Cuts).
pub(crate) struct RecutMut<'a, T> {
    of: ViewMut<'a, T>,
    shape: Vec<usize>,
    strides: Vec<isize>,
}

impl<'a, T> RecutMut<'a, T> {
    /// Panics if the cuts do not fit the array.
    pub(crate) fn new(of: ViewMut<'a, T>, cuts: &Cuts) -> Self {
        let (shape, strides) = cuts.of(of.shape, of.strides);
        Self { of, shape, strides }
    }

    /// As [`Recut::view`].
    pub(crate) fn view(&mut self) -> ViewMut<'_, T> {
        ViewMut { ptr: self.of.ptr, shape: &self.shape, strides: &self.strides, life: PhantomData }
    }
}
