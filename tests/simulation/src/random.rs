//! The only source of chance: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators", 2014). A seed and a label give a stream of its own, so that one part of a run can draw more
//! without moving what another part draws.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scatters two numbers into one.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(b.wrapping_mul(STEP)).wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// The stream of a seed for one purpose.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(seed, purpose))
    }
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0, 0)
    }
    /// A number below `bound`; zero if that is zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }
    /// A number from `low` to `high`, both inclusive.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }
    /// A place in a list of this length.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        place(self.next(), length)
    }
    /// True in so many of a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

/// A place in a list of this length, from a number; zero in an empty one.
pub(crate) fn place(number: u64, length: usize) -> usize {
    usize::try_from(number % (length.max(1) as u64)).unwrap_or(0)
}
