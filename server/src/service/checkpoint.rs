//! Checkpoints: where a client stands, as a token that only this server can make. Bound to the tenant and
//! the epoch, authenticated, and without anything in it that the client does not know already.

use data_encoding::BASE64URL_NOPAD;
use fieldsync::model::{Epoch, Version};

use super::Reason;
use crate::key::{MacKey, ServerKey};

/// The form of the token; counts up when it changes.
const FORM: u8 = 1;
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
    /// The position after everything up to `sequence`.
    pub fn advanced(self, sequence: Version) -> Self {
        let target = if sequence >= self.target { Version(0) } else { self.target };
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
    pub fn write(&self, tenant: &str, epoch: &Epoch, position: Position) -> String {
        let mut body = Vec::with_capacity(BODY_BYTES + MAC_BYTES);
        body.push(FORM);
        body.extend_from_slice(&epoch_bytes(epoch));
        body.extend_from_slice(&position.sequence.0.to_be_bytes());
        body.extend_from_slice(&position.target.0.to_be_bytes());
        let mac = self.key.sign(&[&body, tenant.as_bytes()]);
        body.extend_from_slice(&mac);
        BASE64URL_NOPAD.encode(&body)
    }

    /// The position of a token.
    pub fn read(&self, tenant: &str, epoch: &Epoch, token: &str) -> Result<Position, Reason> {
        if token.len() != BASE64URL_NOPAD.encode_len(BODY_BYTES + MAC_BYTES) {
            return Err(Reason::InvalidCheckpoint);
        }
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| Reason::InvalidCheckpoint)?;
        let (body, mac) = bytes.split_at_checked(BODY_BYTES).ok_or(Reason::InvalidCheckpoint)?;
        if !self.key.verify(&[body, tenant.as_bytes()], mac) || body.first() != Some(&FORM) {
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

    fn epoch(last: char) -> Epoch {
        Epoch::parse(&format!("0190a1b2-0000-7000-8000-00000000000{last}")).expect("an epoch")
    }

    #[test]
    fn a_checkpoint_is_read_by_its_own_tenant_and_epoch_only() {
        let token = checkpoints().write("north", &epoch('1'), AT);
        assert_eq!(checkpoints().read("north", &epoch('1'), &token).ok(), Some(AT));
        assert!(matches!(checkpoints().read("south", &epoch('1'), &token), Err(Reason::InvalidCheckpoint)));
        assert!(matches!(checkpoints().read("north", &epoch('2'), &token), Err(Reason::EpochChanged(_))));
        let other = Checkpoints::new(&ServerKey::parse(&"o".repeat(32)).expect("a key"));
        assert!(matches!(other.read("north", &epoch('1'), &token), Err(Reason::InvalidCheckpoint)));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let token = checkpoints().write("north", &epoch('1'), AT);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("still text");
            assert!(matches!(checkpoints().read("north", &epoch('1'), &changed), Err(Reason::InvalidCheckpoint)), "character {at}");
        }
        for text in ["", "x", &token[1..], &format!("{token}A")] {
            assert!(matches!(checkpoints().read("north", &epoch('1'), text), Err(Reason::InvalidCheckpoint)), "{text}");
        }
    }

    #[test]
    fn a_first_download_says_through_only_when_it_is_complete() {
        let begun = Position { sequence: Version(0), target: Version(10) };
        assert_eq!(begun.advanced(Version(9)).through(), None);
        assert_eq!(begun.advanced(Version(10)).through(), Some(Version(10)));
        assert_eq!(begun.advanced(Version(10)).advanced(Version(12)).through(), Some(Version(12)));
    }
}
