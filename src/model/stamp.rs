//! The hybrid logical clock (Kulkarni and others, "Logical Physical Clocks", 2014): time that follows the
//! device's clock but never goes back and never repeats.

use serde::{Deserialize, Serialize};

/// When something was written: the device's ms, and a counter for what happened within them.
/// On the wire: `[ms, n]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(u64, u32)", into = "(u64, u32)")]
pub struct Stamp {
    /// Milliseconds since 1970.
    pub ms: u64,
    /// Counts what was stamped within one ms, or while the clock stood back.
    pub n: u32,
}

impl Stamp {
    /// The stamp for something that happens at `now_ms`, after `last`.
    pub fn after(last: Option<Self>, now_ms: u64) -> Self {
        match last {
            Some(last) if last.ms >= now_ms => match last.n.checked_add(1) {
                Some(n) => Self { ms: last.ms, n },
                None => Self { ms: last.ms.saturating_add(1), n: 0 },
            },
            _ => Self { ms: now_ms, n: 0 },
        }
    }

    /// The stamp by the server's clock: moved by the measured offset, and never further ahead than `latest_ms`.
    pub fn effective(self, offset_ms: i64, latest_ms: u64) -> Self {
        let ms = self.ms.saturating_add_signed(offset_ms);
        if ms > latest_ms { Self { ms: latest_ms, n: 0 } } else { Self { ms, n: self.n } }
    }
}

impl From<(u64, u32)> for Stamp {
    fn from((ms, n): (u64, u32)) -> Self {
        Self { ms, n }
    }
}

impl From<Stamp> for (u64, u32) {
    fn from(stamp: Stamp) -> Self {
        (stamp.ms, stamp.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_increase_whatever_the_clock_does() {
        let mut last = None;
        for now in [5, 5, 3, 6, 0, u64::from(u32::MAX)] {
            let next = Stamp::after(last, now);
            assert!(last < Some(next));
            last = Some(next);
        }
        assert_eq!(Stamp::after(Some(Stamp { ms: 5, n: u32::MAX }), 1), Stamp { ms: 6, n: 0 });
    }

    #[test]
    fn a_device_years_ahead_is_clamped() {
        let stamp = Stamp { ms: 9_000, n: 4 };
        assert_eq!(stamp.effective(-1_000, 10_000), Stamp { ms: 8_000, n: 4 });
        assert_eq!(stamp.effective(5_000, 10_000), Stamp { ms: 10_000, n: 0 });
        assert_eq!(stamp.effective(i64::MIN, 10_000), Stamp { ms: 0, n: 4 });
    }
}
