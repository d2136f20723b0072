//! Checkpoints: where a client stands, as a token that only this server can make. Bound to the tenant and
//! the epoch, authenticated, and without anything in it that the client does not know already.
//!
//! A checkpoint of some entities is signed together with their names, so it serves for exactly those. One of all
//! entities serves for any: who has everything up to somewhere has these up to there.

use data_encoding::BASE64URL_NOPAD;
use fieldsync::model::{Epoch, Version};
use fieldsync::value::hash_bytes;

use super::Reason;
use crate::key::{MacKey, ServerKey};
use crate::store::Scope;

/// The forms of the token: of all entities, and of some.
const OF_ALL: u8 = 1;
const OF_SOME: u8 = 2;
const EPOCH_BYTES: usize = 16;
const BODY_BYTES: usize = 1 + EPOCH_BYTES + 8 + 8;
const MAC_BYTES: usize = 32;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Everything up to here was sent.
    pub sequence: Version,
    /// The tenant's sequence when a first download or a resync began; zero once that is complete.
    pub target: Version,
}

impl Position {
    /// Up to which sequence a client at this position has everything: nothing yet during a first download.
    pub fn through(self) -> Option<Version> {
        (self.target.0 == 0).then_some(self.sequence)
    }
    /// From where on this position needs the tombstones. What was deleted before a first download began is not sent
    /// to it, so nobody there waits for it.
    pub fn needs_after(self) -> Version {
        self.sequence.max(self.target)
    }
    /// The position after everything up to `sequence`. A first download or a resync is over with a page that left
    /// nothing out, and not before: what has not come by then is not there any more. A record that changed while
    /// the pages were sent comes later than where it stood, and must not be missed.
    pub fn advanced(self, sequence: Version, complete: bool) -> Self {
        let target = if complete { Version(0) } else { self.target };
        Self { sequence, target }
    }
}

/// Makes and reads checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    key: MacKey,
}

impl Checkpoints {
    /// With the server's key.
    pub fn new(key: &ServerKey) -> Self {
        Self { key: key.derive("fieldsync checkpoint v1") }
    }

    /// The token for a position.
    pub fn write(&self, tenant: &str, epoch: &Epoch, scope: &Scope, position: Position) -> String {
        let mut body = Vec::with_capacity(BODY_BYTES + MAC_BYTES);
        body.push(if scope.is_all() { OF_ALL } else { OF_SOME });
        body.extend_from_slice(&epoch_bytes(epoch));
        body.extend_from_slice(&position.sequence.0.to_be_bytes());
        body.extend_from_slice(&position.target.0.to_be_bytes());
        let mac = self.key.sign(&[&body, &digest(scope), tenant.as_bytes()]);
        body.extend_from_slice(&mac);
        BASE64URL_NOPAD.encode(&body)
    }

    /// The position of a token that is to be used for a scope.
    pub fn read(&self, tenant: &str, epoch: &Epoch, scope: &Scope, token: &str) -> Result<Position, Reason> {
        if token.len() != BASE64URL_NOPAD.encode_len(BODY_BYTES + MAC_BYTES) {
            return Err(Reason::InvalidCheckpoint);
        }
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| Reason::InvalidCheckpoint)?;
        let (body, mac) = bytes.split_at_checked(BODY_BYTES).ok_or(Reason::InvalidCheckpoint)?;
        let signed = match body.first() {
            Some(&OF_ALL) => Vec::new(),
            Some(&OF_SOME) if !scope.is_all() => digest(scope),
            _ => return Err(Reason::InvalidCheckpoint),
        };
        if !self.key.verify(&[body, &signed, tenant.as_bytes()], mac) {
            return Err(Reason::InvalidCheckpoint);
        }
        if body.get(1..=EPOCH_BYTES) != Some(&epoch_bytes(epoch)[..]) {
            return Err(Reason::EpochChanged(epoch.clone()));
        }
        let number = |at: usize| {
            let bytes = body.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_be_bytes).map(Version).ok_or(Reason::InvalidCheckpoint)
        };
        Ok(Position { sequence: number(1 + EPOCH_BYTES)?, target: number(1 + EPOCH_BYTES + 8)? })
    }
}

/// What stands for a scope under the signature: nothing for all, as many bytes as a hash has for some.
fn digest(scope: &Scope) -> Vec<u8> {
    if scope.is_all() {
        return Vec::new();
    }
    let names = serde_json::Value::from_iter(scope.0.iter().cloned());
    hash_bytes(names.to_string().as_bytes()).as_str().as_bytes().to_vec()
}

fn epoch_bytes(epoch: &Epoch) -> [u8; EPOCH_BYTES] {
    uuid::Uuid::try_parse(epoch.as_str()).unwrap_or_else(|_| unreachable!("an epoch is a UUID")).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { sequence: Version(7), target: Version(1 << 40) };

    fn checkpoints() -> Checkpoints {
        Checkpoints::new(&ServerKey::parse(&"k".repeat(32)).expect("a key"))
    }

    fn all() -> Scope {
        Scope::default()
    }

    fn some(entities: &[&str]) -> Scope {
        Scope(entities.iter().map(|name| (*name).to_owned()).collect())
    }

    fn epoch(last: char) -> Epoch {
        Epoch::parse(&format!("0190a1b2-0000-7000-8000-00000000000{last}")).expect("an epoch")
    }

    #[test]
    fn a_checkpoint_is_read_by_its_own_tenant_and_epoch_only() {
        let token = checkpoints().write("north", &epoch('1'), &all(), AT);
        assert_eq!(checkpoints().read("north", &epoch('1'), &all(), &token).ok(), Some(AT));
        assert!(matches!(checkpoints().read("south", &epoch('1'), &all(), &token), Err(Reason::InvalidCheckpoint)));
        assert!(matches!(checkpoints().read("north", &epoch('2'), &all(), &token), Err(Reason::EpochChanged(_))));
        let other = Checkpoints::new(&ServerKey::parse(&"o".repeat(32)).expect("a key"));
        assert!(matches!(other.read("north", &epoch('1'), &all(), &token), Err(Reason::InvalidCheckpoint)));
    }

    #[test]
    fn a_checkpoint_of_some_entities_serves_for_exactly_those() {
        let of_all = checkpoints().write("north", &epoch('1'), &all(), AT);
        let of_some = checkpoints().write("north", &epoch('1'), &some(&["client", "pet"]), AT);
        let read = |scope: &Scope, token: &str| checkpoints().read("north", &epoch('1'), scope, token).ok();
        assert_eq!(read(&some(&["pet"]), &of_all), Some(AT), "who has everything has these");
        assert_eq!(read(&some(&["pet", "client"]), &of_some), Some(AT));
        for other in [all(), some(&["pet"]), some(&["client", "pet", "visit"]), some(&["client\",\"pet"])] {
            assert_eq!(read(&other, &of_some), None, "{other:?}");
        }
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let token = checkpoints().write("north", &epoch('1'), &all(), AT);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("still text");
            assert!(matches!(checkpoints().read("north", &epoch('1'), &all(), &changed), Err(Reason::InvalidCheckpoint)), "character {at}");
        }
        for text in ["", "x", &token[1..], &format!("{token}A")] {
            assert!(matches!(checkpoints().read("north", &epoch('1'), &all(), text), Err(Reason::InvalidCheckpoint)), "{text}");
        }
    }

    #[test]
    fn a_first_download_says_through_only_when_it_is_complete() {
        let begun = Position { sequence: Version(0), target: Version(10) };
        assert_eq!(begun.advanced(Version(9), false).through(), None);
        assert_eq!(begun.advanced(Version(10), false).through(), None, "something is left out still");
        assert_eq!(begun.advanced(Version(10), true).through(), Some(Version(10)));
        assert_eq!(begun.advanced(Version(10), true).advanced(Version(12), false).through(), Some(Version(12)));
    }
}
