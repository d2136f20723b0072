//! Bytes as text, and typed values as JSON values. Small on purpose: this is code that every page downloads.
//!
//! The general encoders of a crate cost 55 KB of WebAssembly here, serde_json's own `to_value` a second copy of
//! every type's writing. Going by text shares the first copy.

use serde::Serialize;
use serde_json::Value;

const HEX: &[u8; 16] = b"0123456789abcdef";
/// RFC 4648 "extended hex", lower case: sorts as the bytes do.
const BASE32: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Hexadecimal, lower case.
pub fn hex(bytes: &[u8]) -> String {
    encode(bytes, 4, HEX)
}

/// Base32 that sorts as its bytes do, without padding.
pub fn base32(bytes: &[u8]) -> String {
    encode(bytes, 5, BASE32)
}

/// Base64 for URLs, without padding.
pub fn base64url(bytes: &[u8]) -> String {
    encode(bytes, 6, BASE64URL)
}

fn encode(bytes: &[u8], width: u32, alphabet: &[u8]) -> String {
    let (mut text, mut held, mut bits) = (String::new(), 0_u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= width {
            bits -= width;
            text.push(char::from(alphabet[(held >> bits) as usize % alphabet.len()]));
        }
    }
    if bits > 0 {
        text.push(char::from(alphabet[(held << (width - bits)) as usize % alphabet.len()]));
    }
    text
}

/// A typed value as JSON text.
pub fn to_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| unreachable!("our own types are JSON"))
}

/// A typed value as a JSON value.
pub fn to_value(value: &impl Serialize) -> Value {
    super::read::untyped(&to_text(value)).unwrap_or_else(|_| unreachable!("JSON text is JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encodings_match_the_vectors_of_rfc_4648() {
        for (bytes, hexed, base32ed, base64ed) in [
            ("", "", "", ""),
            ("f", "66", "co", "Zg"),
            ("fo", "666f", "cpng", "Zm8"),
            ("foo", "666f6f", "cpnmu", "Zm9v"),
            ("foob", "666f6f62", "cpnmuog", "Zm9vYg"),
            ("fooba", "666f6f6261", "cpnmuoj1", "Zm9vYmE"),
            ("foobar", "666f6f626172", "cpnmuoj1e8", "Zm9vYmFy"),
        ] {
            let bytes = bytes.as_bytes();
            assert_eq!((hex(bytes).as_str(), base32(bytes).as_str(), base64url(bytes).as_str()), (hexed, base32ed, base64ed));
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }
}
