//! How long to wait after a failure, and how much to send at once. Pure: the random number comes from outside.

/// Full jitter (the AWS architecture blog's "Exponential Backoff And Jitter", 2015): a wait drawn evenly
/// between nothing and the doubled base, never above the cap. Retries never end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first wait, ms.
    pub base_ms: u64,
    /// The bound of every wait, ms.
    pub cap_ms: u64,
}

/// The longest `Retry-After` that is obeyed, ms: an absurd one must not stop a device for ever.
const RETRY_AFTER_MAX_MS: u64 = 60 * 60 * 1_000;

impl Backoff {
    /// The upper bound of the wait after this many failures in a row (from 1), ms.
    pub fn bound(&self, failures: u32) -> u64 {
        let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
        self.base_ms.saturating_mul(doubled).min(self.cap_ms)
    }
    /// The wait, ms. A server that names a time is obeyed up to an hour.
    pub fn wait(&self, failures: u32, retry_after_ms: Option<u64>, random: u64) -> u64 {
        match retry_after_ms {
            Some(named) => named.min(RETRY_AFTER_MAX_MS),
            None => random % (self.bound(failures) + 1),
        }
    }
}

/// A wait by the device's clock, which may be set back at any moment: a wait never becomes longer by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// When it began, ms.
    pub since: u64,
    /// How long it is, ms.
    pub wait_ms: u64,
}

impl Hold {
    /// What is left of it, ms. A clock that stands before the beginning says nothing: then nothing is left.
    pub fn left(self, now: u64) -> u64 {
        if crate::planted::is(crate::planted::Bug::WaitsByTheClock) {
            return (self.since + self.wait_ms).saturating_sub(now);
        }
        now.checked_sub(self.since).map_or(0, |passed| self.wait_ms.saturating_sub(passed))
    }
}

/// How much goes into one upload: more with each that went well, less after each that did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    now: usize,
    max: usize,
    bytes: usize,
}

impl BatchSize {
    /// Starts with `first` operations and never exceeds `max`, nor these bytes.
    pub fn new(first: usize, max: usize, bytes: usize) -> Self {
        Self { now: first.clamp(1, max.max(1)), max: max.max(1), bytes }
    }
    /// The operations of the next batch.
    pub fn get(self) -> usize {
        self.now
    }
    /// The bytes of any batch.
    pub fn bytes(self) -> usize {
        self.bytes
    }
    /// What the server allows.
    pub fn limit(&mut self, max: usize, bytes: usize) {
        *self = Self::new(self.now, max.min(self.max), bytes.clamp(1, self.bytes));
    }
    /// After a clean answer. A batch that was not full says nothing about a larger one.
    pub fn grow(&mut self, sent: usize) {
        if sent >= self.now {
            self.now = self.now.saturating_mul(2).min(self.max);
        }
    }
    /// After one that was too large, too slow, or refused as a whole: half of what was sent, at least one.
    pub fn halve(&mut self, sent: usize) {
        self.now = (sent / 2).clamp(1, self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_obey_the_server() {
        let backoff = Backoff { base_ms: 1_000, cap_ms: 60_000 };
        assert_eq!([1, 2, 3, 4, 7, 64, 100].map(|n| backoff.bound(n)), [1_000, 2_000, 4_000, 8_000, 60_000, 60_000, 60_000]);
        assert!((0..5_000).all(|random| backoff.wait(2, None, random) <= 2_000));
        assert_eq!(backoff.wait(9, Some(7_000), 1), 7_000);
        assert_eq!(backoff.wait(1, Some(u64::MAX), 1), 3_600_000);
    }

    #[test]
    fn a_clock_that_is_set_back_ends_a_wait_and_one_that_is_set_forward_too() {
        let hold = Hold { since: 1_000, wait_ms: 500 };
        assert_eq!([1_000, 1_400, 1_500, 9_000, 999, 0].map(|now| hold.left(now)), [500, 100, 0, 0, 0, 0]);
    }

    #[test]
    fn a_batch_stays_within_its_bounds() {
        let mut size = BatchSize::new(50, 1_000, 9_000);
        size.limit(20, 10_000);
        assert_eq!((size.get(), size.bytes()), (20, 9_000));
        size.halve(3);
        assert_eq!(size.get(), 1);
        size.halve(1);
        assert_eq!(size.get(), 1);
    }

    #[test]
    fn full_batches_that_go_well_double_up_to_what_is_allowed() {
        let mut size = BatchSize::new(50, 1_000, 9_000);
        size.grow(49);
        assert_eq!(size.get(), 50);
        let mut sizes = Vec::new();
        for _ in 0..6 {
            sizes.push(size.get());
            size.grow(size.get());
        }
        assert_eq!(sizes, [50, 100, 200, 400, 800, 1_000]);
        size.halve(1_000);
        assert_eq!(size.get(), 500);
    }
}
