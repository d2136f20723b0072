//! The tracked inputs of a target, and what becomes of them: bytes flipped, cut out, doubled, taken from another file, or
//! replaced by words that are trouble elsewhere.

use std::path::Path;

use arbtest::arbitrary::{Result, Unstructured};

/// Words that are trouble elsewhere.
const WORDS: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "0",
    "-0",
    "1e400",
    "9007199254740992",
    "-9007199254740991",
    "18446744073709551616",
    "1e-400",
    "\"__proto__\"",
    "\"constructor\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u0000\"",
    "\"/\"",
    "\"//\"",
    "\"~2\"",
    "\"temp_1_a_pet\"",
    "[[[[[[[[",
    "]",
    "}",
    "{\"a\":",
    ",",
    ":",
    "\\",
    "\"",
];
/// Changes of one mutant.
const CHANGES_MAX: usize = 6;
/// Bytes that one change cuts, doubles or takes.
const PIECE_MAX: usize = 64;
/// A mutant does not grow beyond this.
const BYTES_MAX: usize = 64 << 10;

/// The files of a target.
pub struct Corpus {
    /// Name and bytes, by name.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Corpus {
    /// Reads them.
    pub fn read(target: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<(String, Vec<u8>)> = entries
            .map(|entry| {
                let path = entry.expect("its entry is read").path();
                (path.display().to_string(), std::fs::read(&path).expect("the file is read"))
            })
            .collect();
        files.sort();
        Self { files }
    }
}

/// A file of the corpus with some changes.
pub fn mutant(u: &mut Unstructured<'_>, corpus: &Corpus) -> Result<Vec<u8>> {
    let mut bytes = u.choose(&corpus.files)?.1.clone();
    for _ in 0..u.int_in_range(1..=CHANGES_MAX)? {
        let at = u.choose_index(bytes.len() + 1)?;
        let until = (at + u.int_in_range(0..=PIECE_MAX)?).min(bytes.len());
        match u.int_in_range(0..=6)? {
            0 if at < bytes.len() => bytes[at] ^= 1 << u.int_in_range(0..=7)?,
            1 => drop(bytes.drain(at..until)),
            2 => {
                let piece = bytes[at..until].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => {
                let other = &u.choose(&corpus.files)?.1;
                let from = u.choose_index(other.len() + 1)?;
                let piece = other[from..(from + until - at).min(other.len())].to_vec();
                bytes.splice(at..until, piece);
            }
            4 => {
                let word = u.choose(WORDS)?;
                bytes.splice(at..at, word.bytes());
            }
            // A value in the place of a value: most of the rest is no JSON any more.
            _ => {
                let (from, to) = value_at(&bytes, at);
                let word = u.choose(WORDS)?;
                bytes.splice(from..to, word.bytes());
            }
        }
        bytes.truncate(BYTES_MAX);
    }
    Ok(bytes)
}

/// Where the word around a byte begins and ends, by the signs that part words in JSON.
fn value_at(bytes: &[u8], at: usize) -> (usize, usize) {
    let parts = |byte: &u8| matches!(byte, b',' | b':' | b'[' | b']' | b'{' | b'}');
    let from = bytes[..at].iter().rposition(parts).map_or(0, |found| found + 1);
    let to = bytes[at..].iter().position(parts).map_or(bytes.len(), |found| at + found);
    (from, to)
}
