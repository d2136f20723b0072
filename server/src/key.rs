//! The server's one secret. It lies in a file or in the environment and is never defaulted. Tokens are signed
//! with the key as it stands, whatever the server signs for itself with keys derived from it.

use std::fmt;
use std::io::Write;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::seams::{Entropy, EntropyError};

/// The shortest key, in bytes of its text.
pub const KEY_BYTES_MIN: usize = 32;
/// The key that stands in documentation. A server that is started with it refuses.
pub const SAMPLE_KEY: &str = "fieldsync-sample-key-do-not-use-in-production";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Nobody gave one.
    #[error("no key: give --key-file, or the key itself in FIELDSYNC_KEY (`fieldsync-server new-key` makes one)")]
    Missing,
    /// It can be guessed.
    #[error("the key is too short: at least {KEY_BYTES_MIN} bytes")]
    TooShort,
    /// Everybody knows it.
    #[error("this is the key from the documentation: make one with `fieldsync-server new-key`")]
    Sample,
    /// The file cannot be read or written.
    #[error("the key file: {0}")]
    File(#[from] std::io::Error),
    /// There is nothing to make one from.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// The secret. It is never printed.
#[derive(Clone)]
pub struct ServerKey(Vec<u8>);

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(…)")
    }
}

impl ServerKey {
    /// Takes a key as it was given, without the white space around it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text == SAMPLE_KEY {
            return Err(KeyError::Sample);
        }
        if text.len() < KEY_BYTES_MIN {
            return Err(KeyError::TooShort);
        }
        Ok(Self(text.as_bytes().to_vec()))
    }

    /// Reads the key from the file, or else from the text of the environment.
    pub fn load(file: Option<&Path>, environment: Option<&str>) -> Result<Self, KeyError> {
        match (file, environment) {
            (Some(file), _) => Self::parse(&std::fs::read_to_string(file)?),
            (None, Some(text)) => Self::parse(text),
            (None, None) => Err(KeyError::Missing),
        }
    }

    /// Writes a new random key to a file that is not there yet, readable by its owner only.
    pub fn create(file: &Path, entropy: &dyn Entropy) -> Result<(), KeyError> {
        let mut bytes = [0; KEY_BYTES_MIN];
        entropy.fill(&mut bytes)?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        writeln!(options.open(file)?, "{}", data_encoding::HEXLOWER.encode(&bytes))?;
        Ok(())
    }

    /// The key of tokens: the text itself, so that whoever holds the key can issue them with any JWT library.
    pub fn for_tokens(&self) -> MacKey {
        MacKey(self.0.clone())
    }

    /// The key for a purpose that is the server's own.
    pub fn derive(&self, purpose: &str) -> MacKey {
        MacKey(hmac(&self.0).chain_update(purpose.as_bytes()).finalize().into_bytes().to_vec())
    }
}

/// A key that authenticates messages of one purpose.
#[derive(Clone)]
pub struct MacKey(Vec<u8>);

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(…)")
    }
}

impl MacKey {
    /// Signs parts that cannot be mistaken for others: the caller fixes their lengths or separates them.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.mac(parts).finalize().into_bytes().into()
    }
    /// Checks a signature in constant time.
    pub fn verify(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        self.mac(parts).verify_slice(signature).is_ok()
    }
    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        parts.iter().fold(hmac(&self.0), |mac, part| mac.chain_update(part))
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_anybody_could_have_is_refused() {
        assert!(matches!(ServerKey::load(None, None), Err(KeyError::Missing)));
        assert!(matches!(ServerKey::parse(&"k".repeat(KEY_BYTES_MIN - 1)), Err(KeyError::TooShort)));
        assert!(matches!(ServerKey::parse(&format!("{SAMPLE_KEY}\n")), Err(KeyError::Sample)));
        assert!(ServerKey::parse(&"k".repeat(KEY_BYTES_MIN)).is_ok());
    }

    #[test]
    fn each_purpose_has_its_own_key() -> Result<(), KeyError> {
        let key = ServerKey::parse(&"k".repeat(KEY_BYTES_MIN))?;
        let (token, checkpoint) = (key.for_tokens(), key.derive("checkpoint"));
        let signature = token.sign(&[b"a", b"b"]);
        assert!(token.verify(&[b"ab"], &signature));
        assert!(!checkpoint.verify(&[b"ab"], &signature));
        assert!(!token.verify(&[b"ab"], &signature[..31]));
        Ok(())
    }
}
