//! Doubles and their decimal digits, both ways exactly.
//!
//! serde_json reads and `ryu-js` writes them too, with 18 KB of tables between them that no compression makes smaller.
//! Here reading is a division of long integers, bit by bit, and writing takes the digits that serde_json finds for its
//! own form. In the tests Rust's own parser, that of serde_json ([`super::json`]) and `ryu-js` judge.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::to_text;

/// More digits than these decide nothing, except by not all being zero: halfway between two doubles lies a number of
/// at most 767 digits.
const DIGITS_MAX: usize = 768;
/// Every integer below it is a double.
const EXACT: u64 = 1 << 53;
/// The largest power of ten that is a double exactly.
const EXACT_POWER: u64 = 22;
/// As many as ECMAScript ever writes beside the digits.
const ZEROS: &str = "00000000000000000000";
/// The least exponent of a double that has all its bits.
const LEAST: i64 = -1022;

/// The double nearest to a number in JSON's form, of two the even one (IEEE 754-2019, 5.12.2). None if it is infinite.
pub(super) fn nearest(word: &str) -> Option<f64> {
    let (negative, word) = word.strip_prefix('-').map_or((false, word), |word| (true, word));
    let (mantissa, exponent) = word.split_once(['e', 'E']).unwrap_or((word, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // Of so many digits that no i32 holds it, an exponent is as good as infinite.
    let exponent = exponent.parse::<i32>().unwrap_or(if exponent.starts_with('-') { i32::MIN } else { i32::MAX });
    let mut power = i64::from(exponent) - fraction.len() as i64;

    let digits = whole.bytes().chain(fraction.bytes()).map(|digit| u32::from(digit - b'0'));
    let mut digits: Vec<u32> = digits.skip_while(|digit| *digit == 0).collect();
    if digits.len() > DIGITS_MAX {
        let dropped = digits.split_off(DIGITS_MAX);
        power += dropped.len() as i64 - 1;
        digits.push(dropped.iter().any(|digit| *digit > 0).into());
    }
    let places = digits.len() as i64 + power;
    let double = match digits.len() {
        0 => 0.0,
        _ if places < -323 => 0.0,
        _ if places > 309 => return None,
        _ => small(&digits, power).unwrap_or_else(|| divided(&digits, power)),
    };
    double.is_finite().then_some(if negative { -double } else { double })
}

/// What both a double and a power of ten hold exactly takes one operation, and so is rounded once.
fn small(digits: &[u32], power: i64) -> Option<f64> {
    let integer = digits.iter().try_fold(0_u64, |sum, digit| Some(sum * 10 + u64::from(*digit)).filter(|sum| *sum <= EXACT))?;
    if power.unsigned_abs() > EXACT_POWER {
        return None;
    }
    let ten = (0..power.abs()).fold(1.0, |ten, _| ten * 10.0);
    Some(if power < 0 { integer as f64 / ten } else { integer as f64 * ten })
}

/// The digits times a power of ten, as a quotient of integers of which each step of a division gives one bit.
fn divided(digits: &[u32], power: i64) -> f64 {
    let (mut above, mut below) = (Long::default(), Long(vec![1]));
    digits.iter().for_each(|digit| above.times(10, *digit));
    let scaled = if power < 0 { &mut below } else { &mut above };
    (0..power.abs()).for_each(|_| scaled.times(10, 0));
    // above / below * 2^exponent, with a quotient from 1 to 2.
    let mut exponent = above.bits() - below.bits();
    (0..exponent).for_each(|_| below.times(2, 0));
    (exponent..0).for_each(|_| above.times(2, 0));
    if above.compare(&below).is_lt() {
        above.times(2, 0);
        exponent -= 1;
    }
    // Below the least exponent there is one bit less for each step down, in the end none.
    let mut bits = 0_u64;
    for _ in 0..53 + (exponent - LEAST).min(0) {
        bits *= 2;
        if above.compare(&below).is_ge() {
            above.minus(&below);
            bits += 1;
        }
        above.times(2, 0);
    }
    let half = if exponent < LEAST - 53 { Ordering::Less } else { above.compare(&below) };
    if half.is_gt() || (half.is_eq() && bits % 2 == 1) {
        bits += 1;
    }
    // The leading bit is not stored: it adds one to the exponent, as does what rounding carries. So 2,046 and more end
    // as no finite double.
    f64::from_bits(((exponent - LEAST).clamp(0, 2046).unsigned_abs() << 52) + bits)
}

/// A natural number of any length, the low digits first, none of the high ones zero.
#[derive(Default)]
struct Long(Vec<u32>);

impl Long {
    fn times(&mut self, factor: u32, plus: u32) {
        let mut carry = u64::from(plus);
        for digit in &mut self.0 {
            carry += u64::from(*digit) * u64::from(factor);
            *digit = low(carry);
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(low(carry));
        }
    }

    /// Takes off a number that is not larger.
    fn minus(&mut self, other: &Self) {
        let mut borrowed = false;
        for (at, digit) in self.0.iter_mut().enumerate() {
            let (less, first) = digit.overflowing_sub(other.0.get(at).copied().unwrap_or_default());
            let (less, second) = less.overflowing_sub(borrowed.into());
            (*digit, borrowed) = (less, first || second);
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    fn bits(&self) -> i64 {
        self.0.last().map_or(0, |high| self.0.len() as i64 * 32 - i64::from(high.leading_zeros()))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low(product: u64) -> u32 {
    product as u32
}

/// Writes a double as ECMAScript does (ECMA-262, `Number::toString`), which RFC 8785 asks for.
pub(super) fn write(double: f64, text: &mut String) {
    let found = to_text(&double.abs());
    let (mantissa, exponent) = found.split_once('e').unwrap_or((&found, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    // The double is 0.digits times ten to the power of `point`.
    let point = exponent.parse().unwrap_or(0) + whole.len() as i64 - (all.len() - digits.len()) as i64;
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return text.push('0');
    }
    if double < 0.0 {
        text.push('-');
    }
    let places = usize::try_from(point).unwrap_or_default();
    match point {
        1..=21 if places >= digits.len() => text.extend([digits, &ZEROS[..places - digits.len()]]),
        1..=21 => text.extend([&digits[..places], ".", &digits[places..]]),
        -5..=0 => text.extend(["0.", &ZEROS[..usize::try_from(-point).unwrap_or_default()], digits]),
        _ => {
            text.extend([&digits[..1], if digits.len() > 1 { "." } else { "" }, &digits[1..]]);
            let _ = write!(text, "e{:+}", point - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of which nothing is to be expected (xorshift64), the same in each run.
    fn numbers(count: usize) -> impl Iterator<Item = u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        })
        .take(count)
    }

    /// The double that Rust's own parser takes a text for.
    fn reads_as_std(text: &str) {
        let theirs = text.parse::<f64>().ok().filter(|double| double.is_finite());
        assert_eq!(nearest(text).map(f64::to_bits), theirs.map(f64::to_bits), "{text}");
    }

    #[test]
    fn any_double_is_read_back_from_any_way_to_write_it() {
        for double in numbers(5_000).map(f64::from_bits).filter(|double| double.is_finite()) {
            for text in [format!("{double:e}"), format!("{double:.16e}"), format!("{double:.14e}"), format!("{double:.40e}")] {
                reads_as_std(&text);
            }
        }
        for (number, scale) in numbers(5_000).zip(numbers(5_000).map(|number| number % 700)) {
            reads_as_std(&format!("{number}e{}", 350 - i128::from(scale)));
            reads_as_std(&format!("-0.{number}"));
            reads_as_std(&format!("{}.{number}", scale));
        }
    }

    #[test]
    fn what_lies_halfway_between_two_doubles_becomes_the_even_one() {
        for (number, power) in numbers(500).zip(numbers(500).map(|number| number % 21)) {
            let halfway = u128::from((number >> 10) | (1 << 53) | 1);
            let scale = u32::try_from(power).expect("it is small");
            for text in [format!("{}", halfway << scale), format!("{}e-{scale}", halfway * 5_u128.pow(scale))] {
                reads_as_std(&text);
                // Just above and just below it: the digit that decides can stand hundreds of places behind.
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                for far in [0, 30, 800] {
                    reads_as_std(&format!("{digits}.{}1e{exponent}", "0".repeat(far)));
                    let less: u128 = digits.parse::<u128>().expect("it was one") - 1;
                    reads_as_std(&format!("{less}.{}e{exponent}", "9".repeat(far + 1)));
                }
            }
        }
    }

    #[test]
    fn the_ends_of_what_a_double_holds() {
        let halfway_to_the_least = format!("{}e-1075", (0..1075).fold("1".to_owned(), |number, _| five_times(&number)));
        assert_eq!(nearest(&halfway_to_the_least), Some(0.0));
        assert_eq!(nearest(&halfway_to_the_least.replace("e-", "1e-").replace("1075", "1076")), Some(5e-324));
        for text in [
            "0",
            "0e999999999999",
            "0.000e-5",
            "1e-99999999999",
            "1e99999999999",
            "5e-324",
            "2.4703282292062327e-324",
            "2.4703282292062328e-324",
            "2.2250738585072011e-308",
            "2.2250738585072014e-308",
            "2.225073858507201136057409796709131975934819546351645e-308",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "1.7976931348623159e308",
            "179769313486231580793e289",
            "1e308",
            "1e309",
            "9007199254740993",
            "9007199254740992.99999",
            "1e22",
            "1e23",
            "8.5e22",
            "123456789012345678901234567890",
            "0.1",
            "0.30000000000000004",
            "4.35",
            "1e-7",
        ] {
            reads_as_std(text);
            reads_as_std(&format!("-{text}"));
            let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
            let dot = if digits.contains('.') { "" } else { "." };
            reads_as_std(&format!("{digits}{dot}{}e{exponent}", "0".repeat(3_000)));
            reads_as_std(&format!("{digits}{dot}{}1e{exponent}", "0".repeat(3_000)));
        }
        assert_eq!(nearest("-0").map(f64::to_bits), Some((-0.0_f64).to_bits()));
    }

    /// Five times a number in decimal digits.
    fn five_times(number: &str) -> String {
        let mut carry = 0;
        let mut digits: Vec<char> = Vec::new();
        for digit in number.bytes().rev() {
            carry += u32::from(digit - b'0') * 5;
            digits.extend(char::from_digit(carry % 10, 10));
            carry /= 10;
        }
        digits.extend(char::from_digit(carry, 10).filter(|_| carry > 0));
        digits.iter().rev().collect()
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
