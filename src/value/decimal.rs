//! Doubles and their decimal digits, both ways exactly.
//!
//! serde_json reads and `ryu-js` writes them too, with 18 KB of tables between them that no compression makes smaller.
//! Here writing takes the digits that serde_json finds for its own form, and reading, in the module, does without tables
//! ([`super::nearest`]). In the tests Rust's own parser, that of serde_json ([`super::json`]) and `ryu-js` judge.

use std::fmt::Write as _;

use super::to_text;

/// As many as ECMAScript ever writes beside the digits.
const ZEROS: &str = "00000000000000000000";

#[cfg(target_arch = "wasm32")]
pub(super) use super::nearest::nearest;

/// The double nearest to a number in JSON's form, of two the even one (IEEE 754-2019, 5.12.2). None if it is infinite.
/// Where nobody downloads them, the tables of the standard library are the faster way to the same double.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn nearest(word: &str) -> Option<f64> {
    word.parse().ok().filter(|double: &f64| double.is_finite())
}

/// The digits of a number that is not negative, from the first to the last that is not zero. The number is 0.digits times
/// ten to the power that stands beside them.
pub(super) fn digits(number: &str) -> (String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // Of so many digits that no i32 holds it, an exponent is as good as infinite.
    let exponent = exponent.parse::<i32>().unwrap_or(if exponent.starts_with('-') { i32::MIN } else { i32::MAX });
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    let point = i64::from(exponent) + whole.len() as i64 - (all.len() - digits.len()) as i64;
    (digits.trim_end_matches('0').to_owned(), point)
}

/// Writes a double as ECMAScript does (ECMA-262, `Number::toString`), which RFC 8785 asks for.
pub(super) fn write(double: f64, text: &mut String) {
    let (digits, point) = digits(&to_text(&double.abs()));
    if digits.is_empty() {
        return text.push('0');
    }
    if double < 0.0 {
        text.push('-');
    }
    let places = usize::try_from(point).unwrap_or_default();
    match point {
        1..=21 if places >= digits.len() => text.extend([&digits, &ZEROS[..places - digits.len()]]),
        1..=21 => text.extend([&digits[..places], ".", &digits[places..]]),
        -5..=0 => text.extend(["0.", &ZEROS[..usize::try_from(-point).unwrap_or_default()], &digits]),
        _ => {
            text.extend([&digits[..1], if digits.len() > 1 { "." } else { "" }, &digits[1..]]);
            let _ = write!(text, "e{:+}", point - 1);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Numbers of which nothing is to be expected (xorshift64), the same in each run.
    pub(in super::super) fn numbers(count: usize) -> impl Iterator<Item = u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        })
        .take(count)
    }

    #[test]
    fn doubles_are_written_as_a_crate_for_it_does() {
        let around = (0..=44).flat_map(|power| {
            let double: f64 = format!("1e{}", power - 22).parse().expect("it is a number");
            [double, f64::from_bits(double.to_bits() - 1), f64::from_bits(double.to_bits() + 1), double * 1.5, double * 123.0]
        });
        let integers = numbers(20_000).map(|number| (number >> 12) as f64);
        let short = numbers(20_000).map(|number| (number >> 40) as f64 / 1e4);
        for double in
            numbers(50_000).map(f64::from_bits).chain(around).chain(integers).chain(short).chain([0.0, -0.0, 5e-324, f64::MAX, f64::MIN])
        {
            if double.is_finite() {
                let mut text = String::new();
                write(double, &mut text);
                assert_eq!(text, ryu_js::Buffer::new().format(double));
            }
        }
    }
}
