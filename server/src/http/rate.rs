//! A bucket of requests for each user: it holds a minute's worth and fills evenly.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::token::Identity;

const MINUTE_MS: u64 = 60_000;
/// Buckets kept. Beyond it the full ones go: they say nothing that a new one would not.
const BUCKETS_MAX: usize = 10_000;

/// All buckets. One is held as the time at which it would be full again.
#[derive(Debug)]
pub(super) struct RateLimiter {
    per_minute: u64,
    /// By tenant and user, whatever roles a token bears.
    full_at: Mutex<BTreeMap<(String, String), u64>>,
}

impl RateLimiter {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute: u64::from(per_minute.max(1)), full_at: Mutex::default() }
    }

    /// Takes one request, or says after how many seconds there will be one.
    pub(super) fn take(&self, identity: &Identity, now_ms: u64) -> Result<(), u64> {
        // Microseconds, so that the share of one request is a whole number at any rate.
        let now = now_ms.saturating_mul(1_000);
        let cost = MINUTE_MS * 1_000 / self.per_minute;
        let user = (identity.tenant.clone(), identity.user.clone());
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&user) {
            buckets.retain(|_, full_at| *full_at > now);
        }
        let full_at = buckets.entry(user).or_insert(now);
        let after = (*full_at).max(now) + cost;
        let wait = after.saturating_sub(now.saturating_add(MINUTE_MS * 1_000));
        if wait > 0 {
            return Err(wait.div_ceil(1_000_000).max(1));
        }
        *full_at = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Identity {
        Identity::new("north", name)
    }

    #[test]
    fn a_minutes_worth_passes_at_once_and_then_one_at_a_time() {
        let limiter = RateLimiter::new(60);
        assert!((0..60).all(|_| limiter.take(&user("anna"), 1_000).is_ok()));
        assert_eq!(limiter.take(&user("anna"), 1_000), Err(1));
        assert_eq!(limiter.take(&user("ben"), 1_000), Ok(()));
        assert_eq!(limiter.take(&user("anna"), 1_999), Err(1));
        assert_eq!(limiter.take(&user("anna"), 2_000), Ok(()));
        assert_eq!(limiter.take(&user("anna"), 2_000), Err(1));
    }

    #[test]
    fn a_slow_rate_tells_how_long_to_wait() {
        let limiter = RateLimiter::new(2);
        assert!((0..2).all(|_| limiter.take(&user("anna"), 0).is_ok()));
        assert_eq!(limiter.take(&user("anna"), 0), Err(30));
    }

    #[test]
    fn the_buckets_are_bounded_and_a_used_one_is_not_forgotten() {
        let limiter = RateLimiter::new(1);
        for number in 0..BUCKETS_MAX {
            assert_eq!(limiter.take(&user(&number.to_string()), 0), Ok(()));
        }
        let later = MINUTE_MS + 1;
        assert_eq!(limiter.take(&user("anna"), later), Ok(()));
        let kept = limiter.full_at.lock().map(|buckets| buckets.len());
        assert_eq!(kept.ok(), Some(1));
        assert!(limiter.take(&user("anna"), later).is_err());
    }
}
