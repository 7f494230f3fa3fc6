//! What the Rust tests share: data, memory layouts, and running one thing on every engine setting.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::{Array4, ArrayD, ArrayViewD, ArrayViewMutD, Axis, IxDyn, Slice};
use upsample_rs::engine::parallel::{force_grain, set_num_threads};
use upsample_rs::engine::simd::{self, Isa};

/// Instruction set, threads and grain are global to the process: whoever sets them holds this.
static ENGINE: Mutex<()> = Mutex::new(());

/// Holds the engine's settings, and puts the defaults back.
pub struct Engine(#[allow(dead_code)] MutexGuard<'static, ()>);

impl Engine {
    pub fn hold() -> Self {
        Self(ENGINE.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        simd::force(None);
        force_grain(0);
        set_num_threads(0).unwrap();
    }
}

/// Runs at every level this machine has and at 1, 2 and 5 threads, tiny work split too. Thread counts must agree
/// exactly; returned is one result for each level.
pub fn every_engine<R: PartialEq + Debug>(what: &str, run: impl Fn() -> R) -> Vec<R> {
    let _engine = Engine::hold();
    let levels = Isa::ALL.into_iter().filter(|isa| *isa <= simd::detected());
    levels
        .map(|isa| {
            assert_eq!(simd::force(Some(isa)), isa);
            set_num_threads(1).unwrap();
            force_grain(0);
            let alone = run();
            force_grain(1);
            for threads in [1, 2, 5] {
                set_num_threads(threads).unwrap();
                assert_eq!(run(), alone, "{what}: {isa:?}, {threads} threads");
            }
            alone
        })
        .collect()
}

/// The one result of all levels.
pub fn on_every_engine<R: PartialEq + Debug>(what: &str, run: impl Fn() -> R) -> R {
    let mut results = every_engine(what, run);
    let last = results.pop().unwrap();
    results.iter().for_each(|r| assert_eq!(*r, last, "{what}: levels differ"));
    last
}

/// Deterministic noise.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: usize) -> Self {
        Self(seed as u64 ^ 0x9e37_79b9_7f4a_7c15)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// An array of small whole numbers from `low` to `low + n - 1`, each through `make`.
pub fn noise<T>(shape: &[usize], low: i64, n: u64, make: impl Fn(i64) -> T) -> ArrayD<T> {
    let mut noise = Noise::new(shape.iter().sum());
    ArrayD::from_shape_simple_fn(IxDyn(shape), || make(low + noise.below(n) as i64))
}

/// Ways an array may lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    C,
    Fortran,
    /// The first axis lies closest; of four or more (a batch in front) the second.
    ChannelsInside,
    Reversed,
    /// Every second element along the last axis.
    Gaps,
}

impl Layout {
    pub const ALL: [Self; 5] = [Self::C, Self::Fortran, Self::ChannelsInside, Self::Reversed, Self::Gaps];

    /// Memory in which `x` lies this way; the gaps hold `gap`.
    pub fn lay<T: Copy>(self, x: &ArrayD<T>, gap: T) -> ArrayD<T> {
        match self {
            Self::C => x.clone(),
            Self::Fortran => x.t().as_standard_layout().into_owned(),
            Self::ChannelsInside => {
                let c = usize::from(x.ndim() >= 4);
                let order: Vec<usize> = (0..c).chain(c + 1..x.ndim()).chain([c]).collect();
                x.view().permuted_axes(order).as_standard_layout().into_owned()
            }
            Self::Reversed => {
                let mut view = x.view();
                (0..x.ndim()).for_each(|a| view.invert_axis(Axis(a)));
                view.as_standard_layout().into_owned()
            }
            Self::Gaps => {
                let mut shape = x.shape().to_vec();
                *shape.last_mut().unwrap() *= 2;
                let mut base = ArrayD::from_elem(shape, gap);
                self.see_mut(&mut base).assign(x);
                base
            }
        }
    }

    /// The array in memory made by [`Layout::lay`].
    pub fn see<T>(self, base: &ArrayD<T>) -> ArrayViewD<'_, T> {
        let mut view = base.view();
        let n = base.ndim();
        match self {
            Self::C => {}
            Self::Fortran => return view.reversed_axes(),
            Self::ChannelsInside => {
                let c = usize::from(n >= 4);
                let order: Vec<usize> = (0..c).chain([n - 1]).chain(c..n - 1).collect();
                return view.permuted_axes(order);
            }
            Self::Reversed => (0..n).for_each(|a| view.invert_axis(Axis(a))),
            Self::Gaps => view.slice_axis_inplace(Axis(n - 1), Slice::new(0, None, 2)),
        }
        view
    }

    pub fn see_mut<T>(self, base: &mut ArrayD<T>) -> ArrayViewMutD<'_, T> {
        let n = base.ndim();
        let mut view = base.view_mut();
        match self {
            Self::C => {}
            Self::Fortran => return view.reversed_axes(),
            Self::ChannelsInside => {
                let c = usize::from(n >= 4);
                let order: Vec<usize> = (0..c).chain([n - 1]).chain(c..n - 1).collect();
                return view.permuted_axes(order);
            }
            Self::Reversed => (0..n).for_each(|a| view.invert_axis(Axis(a))),
            Self::Gaps => view.slice_axis_inplace(Axis(n - 1), Slice::new(0, None, 2)),
        }
        view
    }

    /// An `out` of this layout filled by `fill`, which must leave the gaps alone.
    pub fn filled<T: Copy + PartialEq + Debug>(
        self,
        shape: &[usize],
        gap: T,
        fill: impl FnOnce(ArrayViewMutD<'_, T>),
    ) -> ArrayD<T> {
        let mut base = self.lay(&ArrayD::from_elem(shape, gap), gap);
        fill(self.see_mut(&mut base));
        if self == Self::Gaps {
            let last = Axis(base.ndim() - 1);
            assert!(base.slice_axis(last, Slice::new(1, None, 2)).iter().all(|v| *v == gap), "a gap was written");
        }
        self.see(&base).to_owned()
    }
}

/// As `[blocks, D, H, W]`, the last `rank` axes spatial.
pub fn as4<T: Clone>(x: &ArrayD<T>, rank: usize) -> Array4<T> {
    let (outer, spatial) = x.shape().split_at(x.ndim() - rank);
    let mut s = [1; 3];
    s[3 - rank..].copy_from_slice(spatial);
    let shape = (outer.iter().product(), s[0], s[1], s[2]);
    x.to_shape(shape).unwrap().into_owned()
}

/// The channel axis of `x`, `[.., channels, spatial..]`, moved to the end.
pub fn channels_last<T: Clone>(x: &ArrayD<T>, rank: usize) -> ArrayD<T> {
    let c = x.ndim() - rank - 1;
    let order: Vec<usize> = (0..c).chain(c + 1..x.ndim()).chain([c]).collect();
    x.view().permuted_axes(order).as_standard_layout().into_owned()
}

/// [`channels_last`] undone.
pub fn channels_first<T: Clone>(x: &ArrayD<T>, rank: usize) -> ArrayD<T> {
    let (n, c) = (x.ndim(), x.ndim() - rank - 1);
    let order: Vec<usize> = (0..c).chain([n - 1]).chain(c..n - 1).collect();
    x.view().permuted_axes(order).as_standard_layout().into_owned()
}
