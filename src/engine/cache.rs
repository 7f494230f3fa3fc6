//! Sizes of the processor's caches.

use std::sync::OnceLock;

/// Bytes of the second cache of one core where the processor does not say: as of most.
const USUAL: usize = 1 << 20;

/// Bytes of the second cache of one core.
#[must_use]
pub fn second() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| measured().map_or(USUAL, |bytes| bytes.clamp(256 << 10, 2 << 20)))
}

/// What the processor says: in leaf 4, or in AMD's own.
#[cfg(target_arch = "x86_64")]
fn measured() -> Option<usize> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let highest = __cpuid(0).eax;
    let highest_extended = __cpuid(0x8000_0000).eax;
    let leaf = |leaf: u32| {
        (0..8).map(|i| __cpuid_count(leaf, i)).take_while(|c| c.eax & 31 != 0).find_map(|c| {
            let (kind, level) = (c.eax & 31, (c.eax >> 5) & 7);
            let [ways, partitions, line] = [c.ebx >> 22, (c.ebx >> 12) & 1023, c.ebx & 4095].map(|n| n as usize + 1);
            (kind != 2 && level == 2).then(|| ways * partitions * line * (c.ecx as usize + 1))
        })
    };
    let intel = if highest >= 4 { leaf(4) } else { None };
    intel.or_else(|| if highest_extended >= 0x8000_001d { leaf(0x8000_001d) } else { None })
}

#[cfg(not(target_arch = "x86_64"))]
fn measured() -> Option<usize> {
    None
}
