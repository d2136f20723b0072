//! Which operations were ever claimed for sending. One small row for the whole outbox instead of one write
//! per operation: sequences are claimed nearly in order, so a few ranges say it all.

use serde::{Deserialize, Serialize};

/// Sealed sequences, as ascending, disjoint, inclusive ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seals(Vec<(u64, u64)>);

impl Seals {
    /// Whether this operation is sealed.
    pub fn contains(&self, seq: u64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < seq);
        self.0.get(at).is_some_and(|(first, _)| *first <= seq)
    }
    /// Seals an operation. Says whether it was not sealed before.
    pub fn insert(&mut self, seq: u64) -> bool {
        if self.contains(seq) {
            return false;
        }
        let at = self.0.partition_point(|(_, last)| *last < seq);
        let joins_left = at > 0 && self.0[at - 1].1 + 1 == seq;
        let joins_right = self.0.get(at).is_some_and(|(first, _)| *first == seq + 1);
        match (joins_left, joins_right) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = seq,
            (false, true) => self.0[at].0 = seq,
            (false, false) => self.0.insert(at, (seq, seq)),
        }
        true
    }
    /// Forgets an operation that has ended. Says whether it was sealed.
    pub fn remove(&mut self, seq: u64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < seq);
        let Some((first, last)) = self.0.get(at).copied().filter(|(first, _)| *first <= seq) else { return false };
        self.0.remove(at);
        if seq < last {
            self.0.insert(at, (seq + 1, last));
        }
        if first < seq {
            self.0.insert(at, (first, seq - 1));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_behave_like_a_set_and_stay_few() {
        let (mut seals, mut set) = (Seals::default(), BTreeSet::new());
        let mut random = 12345_u64;
        for _ in 0..4000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let seq = (random >> 33) % 60;
            if (random >> 20).is_multiple_of(3) {
                assert_eq!(seals.remove(seq), set.remove(&seq));
            } else {
                assert_eq!(seals.insert(seq), set.insert(seq));
            }
            assert!((0..60).all(|seq| seals.contains(seq) == set.contains(&seq)));
            assert!(seals.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "joined: {:?}", seals.0);
        }
    }
}
