//! JSON text as a value: the one parser for everything that is stored, sent or handed in.
//!
//! serde_json's parser is written for any type and brings an error for each of them along; this one knows only
//! [`Value`] and weighs a fifth of it. A test holds it against serde_json's, byte by byte.

use serde_json::{Number, Value};

use super::Object;

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It ends too early.
    Early,
    /// It is no JSON.
    Syntax,
    /// A key stands twice in one object, or a number is no double.
    Data,
    /// It has more levels than allowed.
    TooDeep,
}

/// A text that is refused, and the byte where that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) why: Why,
    pub(super) at: usize,
}

/// Reads a text of at most so many levels. With `once`, a key stands once in an object; else the last one counts.
pub(super) fn read(text: &str, depth_max: usize, once: bool) -> Result<Value, Refusal> {
    let mut parser = Parser { text, at: 0, once };
    let value = parser.value(depth_max)?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => parser.refused(Why::Syntax),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    once: bool,
}

impl Parser<'_> {
    fn refused<T>(&self, why: Why) -> Result<T, Refusal> {
        Err(Refusal { why, at: self.at })
    }

    /// Refuses what stands here, or that nothing does.
    fn unexpected<T>(&self) -> Result<T, Refusal> {
        self.refused(if self.at < self.text.len() { Why::Syntax } else { Why::Early })
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let is_next = self.byte() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self, depth_left: usize) -> Result<Value, Refusal> {
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{' | b'[') if depth_left == 0 => self.refused(Why::TooDeep),
            Some(b'{') => self.object(depth_left - 1),
            Some(b'[') => self.array(depth_left - 1),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.unexpected(),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Refusal> {
        for byte in word.bytes() {
            if !self.eat(byte) {
                return self.unexpected();
            }
        }
        Ok(value)
    }

    fn array(&mut self, depth_left: usize) -> Result<Value, Refusal> {
        self.at += 1;
        let mut items = Vec::new();
        if self.peek() != Some(b']') {
            loop {
                items.push(self.value(depth_left)?);
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break,
                    _ => return self.unexpected(),
                }
            }
        }
        self.at += 1;
        Ok(Value::Array(items))
    }

    fn object(&mut self, depth_left: usize) -> Result<Value, Refusal> {
        self.at += 1;
        let mut fields = Object::new();
        if self.peek() != Some(b'}') {
            loop {
                if self.peek() != Some(b'"') {
                    return self.unexpected();
                }
                let key = self.string()?;
                if self.peek() != Some(b':') {
                    return self.unexpected();
                }
                self.at += 1;
                if fields.insert(key, self.value(depth_left)?).is_some() && self.once {
                    return self.refused(Why::Data);
                }
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break,
                    _ => return self.unexpected(),
                }
            }
        }
        self.at += 1;
        Ok(Value::Object(fields))
    }

    fn string(&mut self) -> Result<String, Refusal> {
        self.at += 1;
        let mut read = String::new();
        loop {
            let from = self.at;
            while self.byte().is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            // Both ends stand beside ASCII.
            read.push_str(self.text.get(from..self.at).unwrap_or_default());
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(read);
                }
                Some(b'\\') => {
                    self.at += 1;
                    read.push(self.escape()?);
                }
                _ => return self.unexpected(),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Refusal> {
        let escaped = match self.byte() {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.code();
            }
            _ => return self.unexpected(),
        };
        self.at += 1;
        Ok(escaped)
    }

    /// A character by its number in UTF-16: one unit, or both halves of a pair.
    fn code(&mut self) -> Result<char, Refusal> {
        let first = self.unit()?;
        let mut code = first;
        if (0xD800..0xDC00).contains(&first) {
            if !(self.eat(b'\\') && self.eat(b'u')) {
                return self.unexpected();
            }
            let second = self.unit()?;
            // What is no second half gives no character below.
            code = match second {
                0xDC00..0xE000 => 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                _ => first,
            };
        }
        char::from_u32(code).map_or_else(|| self.refused(Why::Syntax), Ok)
    }

    fn unit(&mut self) -> Result<u32, Refusal> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.byte().and_then(|byte| char::from(byte).to_digit(16)) else { return self.unexpected() };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }

    fn digits(&mut self) -> Result<(), Refusal> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { self.unexpected() }
    }

    fn number(&mut self) -> Result<Value, Refusal> {
        let from = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        let integer = self.at;
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        let word = self.text.get(from..self.at).unwrap_or_default();
        // Most numbers are small integers. (Minus zero is a double.)
        if self.at == integer
            && !word.starts_with("-0")
            && let Ok(integer) = word.parse::<i64>()
        {
            return Ok(Value::from(integer));
        }
        // So are the larger half of what 64 bits hold, as serde_json has it.
        if self.at == integer
            && let Ok(integer) = word.parse::<u64>()
        {
            return Ok(Value::from(integer));
        }
        let double = super::decimal::nearest(word).and_then(Number::from_f64);
        double.map_or_else(|| self.refused(Why::Data), |double| Ok(Value::Number(double)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deeper is refused by serde_json, too.
    const DEPTH: usize = 127;

    /// Both parsers, by what they make of a text.
    fn same(text: &str) {
        let (ours, theirs) = (read(text, DEPTH, false), serde_json::from_str::<Value>(text));
        assert_eq!(ours.as_ref().ok(), theirs.as_ref().ok(), "{text:?}: {ours:?}, {theirs:?}");
    }

    #[test]
    fn what_one_parser_takes_the_other_takes_and_to_the_same_value() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "00",
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1.e1",
            "1e",
            "1e+",
            "1E-2",
            "0e5",
            "1.5e+3",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "1e308",
            "1e309",
            "-1e999",
            "1e-999",
            "2.2250738585072011e-308",
            "0.1",
            "123456789.123456789e-5",
            "9007199254740993.0",
            "5e-324",
            "1.7976931348623159e308",
            "tru",
            "true",
            "truee",
            "nul",
            "false ",
            " null",
            "\u{feff}1",
            "\u{a0}1",
            "'a'",
            "undefined",
            "NaN",
            "Infinity",
            "",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u00e9\\/\\b\\f\\n\\r\\t\\\"\\\\\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "\"\\ud83d\\n\"",
            "\"\\ud83d\\ud83d\"",
            "\"\\ud83dx\"",
            "\"\\uD800\\uDC00\\uDBFF\\uDFFF\"",
            "\"a\nb\"",
            "\"\u{1f}\"",
            "\"\u{7f}é😀\u{2028}\"",
            "[]",
            "[",
            "]",
            "[,]",
            "[1,]",
            "[1 2]",
            "[1,2",
            "[[]]",
            "[}",
            "{}",
            "{",
            "}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{1:1}",
            "{\"a\":1,\"a\":2}",
            "{} {}",
            "[] x",
            "\t\r\n [ 1 , 2 ] \n",
        ] {
            same(text);
        }
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for levels in [1, 126, 127, 128] {
            same(&nested(levels));
        }
    }

    #[test]
    fn a_document_with_any_one_byte_changed_or_cut_is_taken_alike() {
        let text =
            "{\"a\\u0041\\ud83d\\ude00\": [ -1.5e-3, 0, true ,null,{\"é\":\"x\\n\\\\\"}], \"b\":{},\n\"c\":[false,12345678901234567890]}";
        same(text);
        for at in 0..text.len() {
            for other in b"\0 \"\\,:[]{}019-+.eEutn/x\x7f" {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = *other;
                if let Ok(changed) = String::from_utf8(bytes) {
                    same(&changed);
                }
            }
            if text.is_char_boundary(at) {
                same(&text[..at]);
                assert_eq!(read(&text[..at], DEPTH, true), Err(Refusal { why: Why::Early, at }));
                same(&text[at..]);
            }
        }
    }

    #[test]
    fn levels_are_counted_and_keys_stand_once_where_that_is_asked() {
        assert_eq!(read("[[1]]", 2, true).map(|value| value.to_string()).as_deref(), Ok("[[1]]"));
        assert_eq!(read("[{}]", 1, true), Err(Refusal { why: Why::TooDeep, at: 1 }));
        assert_eq!(read("1", 0, true), Ok(Value::from(1)));
        assert_eq!(read(r#"{"a":1,"\u0061":2}"#, 1, true), Err(Refusal { why: Why::Data, at: 17 }));
    }
}
