//! The only file that knows instruction sets.
//!
//! Kernels are plain loops marked `#[inline(always)]`. A [`Job`] is compiled three times, inside a function that
//! enables one level's features, and the level is chosen at run time. A job is one row's work: choosing costs one load
//! and one jump, about a nanosecond, and so only row kernels are compiled three times, for the few types that are
//! computed with, and not the drivers around them for every type that is stored. (Choosing once for each parallel task
//! made the extension 11 MB and took six minutes to build.) `UPSAMPLE_RS_ISA` = `scalar`, `avx2` or `avx512` forces a
//! lower level.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction-set level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Isa {
    /// What the target guarantees: SSE2 on x86-64, NEON on aarch64.
    Scalar = 0,
    /// AVX2, FMA and F16C.
    Avx2 = 1,
    /// AVX-512 F, BW, DQ, VL and CD, above AVX2.
    Avx512 = 2,
}

impl Isa {
    /// All levels, lowest first.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The name `UPSAMPLE_RS_ISA` uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }
}

/// What a kernel may ask of the level it is compiled for.
pub trait Level: Copy {
    /// Whether a fused multiply-add is one instruction.
    const FMA: bool;
}

/// Levels as types.
#[derive(Debug, Clone, Copy)]
pub struct Baseline;
/// A level with fused multiply-add.
#[derive(Debug, Clone, Copy)]
pub struct Fused;

impl Level for Baseline {
    const FMA: bool = cfg!(target_arch = "aarch64");
}
impl Level for Fused {
    const FMA: bool = true;
}

/// Work to be compiled for every level. `run` must be `#[inline(always)]`, as must all it calls in a hot loop.
pub trait Job {
    /// What it returns.
    type Output;
    /// The work.
    fn run<L: Level>(self, level: L) -> Self::Output;
}

/// The best level of this machine.
#[must_use]
pub fn detected() -> Isa {
    static DETECTED: OnceLock<Isa> = OnceLock::new();
    *DETECTED.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Isa {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512cd");
    match (avx512, avx2) {
        (true, _) => Isa::Avx512,
        (_, true) => Isa::Avx2,
        _ => Isa::Scalar,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Isa {
    Isa::Scalar
}

/// The level in force; `UNSET` until it is first asked for.
static CURRENT: AtomicU8 = AtomicU8::new(UNSET);
const UNSET: u8 = u8::MAX;

/// The level kernels run at: the detected one, unless a lower one is forced.
#[inline]
#[must_use]
pub fn current() -> Isa {
    match CURRENT.load(Ordering::Relaxed) {
        0 => Isa::Scalar,
        1 => Isa::Avx2,
        2 => Isa::Avx512,
        _ => force(None),
    }
}

/// Forces a level for the whole process (`None`: back to the default, which `UPSAMPLE_RS_ISA` may lower) and returns
/// the level now in force, which is never above the detected one.
#[cold]
pub fn force(isa: Option<Isa>) -> Isa {
    let from_env = || std::env::var("UPSAMPLE_RS_ISA").ok().and_then(|name| Isa::named(&name));
    let isa = isa.or_else(from_env).map_or_else(detected, |isa| isa.min(detected()));
    CURRENT.store(isa as u8, Ordering::Relaxed);
    isa
}

/// Runs the job at the current level.
#[inline(always)]
pub fn dispatch<J: Job>(job: J) -> J::Output {
    #[cfg(target_arch = "x86_64")]
    match current() {
        // SAFETY: `current` never exceeds `detected`, which found every feature that `avx512` enables.
        Isa::Avx512 => return unsafe { avx512(job) },
        // SAFETY: as above, for `avx2`.
        Isa::Avx2 => return unsafe { avx2(job) },
        Isa::Scalar => {}
    }
    job.run(Baseline)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
fn avx512<J: Job>(job: J) -> J::Output {
    job.run(Fused)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
fn avx2<J: Job>(job: J) -> J::Output {
    job.run(Fused)
}
