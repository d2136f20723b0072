//! The double nearest to a decimal number, without tables: for the module, of which the standard library's way
//! would be 24 KB.
//!
//! Nineteen digits and a few multiplications of 64 bits say nearly always between which two doubles a number lies, and to
//! which of them it is nearer. Where they do not, integers as long as it takes are compared.

use std::cmp::Ordering;

use super::decimal::digits;

/// So many digits are no more than 64 bits, whatever they are.
const HEAD: usize = 19;
/// More digits than these decide nothing, except by not all being zero: halfway between two doubles lies a number of
/// at most 767 digits.
const DIGITS_MAX: usize = 768;
/// The power of five that fills 63 bits.
const FIVES: i64 = 27;
/// Five to that power,
const UP: u64 = 7_450_580_596_923_828_125;
/// and the whole part of 2^126 over it.
const DOWN: u64 = 11_417_981_541_647_679_048;
/// The power of five that a word of a long number is multiplied by at once.
const FIVES_OF_WORD: u32 = 13;
/// The least exponent of a double that has all its bits.
const LEAST: i64 = -1022;

/// The double nearest to a number in JSON's form, of two the even one (IEEE 754-2019, 5.12.2). None if it is infinite.
pub(super) fn nearest(word: &str) -> Option<f64> {
    let (negative, word) = word.strip_prefix('-').map_or((false, word), |word| (true, word));
    let (digits, point) = digits(word);
    let double = match point {
        _ if digits.is_empty() => 0.0,
        ..-323 => 0.0,
        310.. => return None,
        _ => rounded(&digits, point)?,
    };
    Some(if negative { -double } else { double })
}

/// 0.digits times a power of ten. None if it is infinite.
fn rounded(digits: &str, point: i64) -> Option<f64> {
    let head = digits.get(..HEAD).unwrap_or(digits);
    let power = point - head.len() as i64;
    // The number is not less than `bits` times 2^exponent, and little more: whatever is left out here makes it less.
    let scaled = times((head.parse().unwrap_or_default(), power), 5_u64.pow(low(power.rem_euclid(FIVES).unsigned_abs())));
    let steps = power.div_euclid(FIVES);
    let (factor, lifted) = if steps < 0 { (DOWN, 126) } else { (UP, 0) };
    let (bits, exponent) = (0..steps.abs()).fold(scaled, |(bits, exponent), _| times((bits, exponent - lifted), factor));
    // 61 bits leave room for one more below the least double, and for the sum of what was left out: of a unit, less than
    // one by each multiplication, two and a half with the digits after the head, and one with the bits cut off here.
    let cut = 3 - i64::from(bits.leading_zeros());
    let (bits, exponent, missing) = (bits >> cut, exponent + cut, steps.unsigned_abs() + 5);
    let highest = exponent + 60;
    // A double has 53 bits; below the least exponent there is one less for each step down, in the end none.
    let dropped = 8 + (LEAST - highest).clamp(0, 55);
    let (kept, half) = (bits >> dropped, 1_u64 << (dropped - 1));
    let order = match half.checked_sub(bits - (kept << dropped)) {
        None => Ordering::Greater,
        Some(gap) if gap > missing => Ordering::Less,
        Some(_) => compare(digits, point, 2 * kept + 1, exponent + dropped - 1),
    };
    let kept = kept + u64::from(order.is_gt() || (order.is_eq() && kept % 2 == 1));
    // The leading bit is not stored: it adds one to the exponent, as does what rounding carries.
    let double = f64::from_bits(((highest - LEAST).max(0).unsigned_abs() << 52) + kept);
    (highest < 1024 && double.is_finite()).then_some(double)
}

/// The upper half of a product, of which at most the highest bit is zero.
fn times((bits, exponent): (u64, i64), factor: u64) -> (u64, i64) {
    let (up, over) = (bits.leading_zeros(), factor.leading_zeros());
    let product = u128::from(bits << up) * u128::from(factor << over);
    (high(product), exponent + 64 - i64::from(up + over))
}

/// 0.digits times a power of ten against an integer times a power of two.
fn compare(digits: &str, point: i64, half: u64, twos: i64) -> Ordering {
    let kept = digits.get(..DIGITS_MAX).unwrap_or(digits);
    let (mut ours, mut power) = (Long::of(kept), point - kept.len() as i64);
    if kept.len() < digits.len() {
        ours.times(10, 1);
        power -= 1;
    }
    // What is a divisor of one is a factor of the other.
    ours.scale(power, power - twos);
    let mut other = Long::of(&half.to_string());
    other.scale(-power, twos - power);
    ours.0.len().cmp(&other.0.len()).then_with(|| ours.0.iter().rev().cmp(other.0.iter().rev()))
}

/// A natural number of any length, the low digits first, none of the high ones zero.
#[derive(Default)]
struct Long(Vec<u32>);

impl Long {
    /// The number of some decimal digits.
    fn of(digits: &str) -> Self {
        let mut long = Self::default();
        for nine in digits.as_bytes().chunks(9) {
            let (factor, plus) = nine.iter().fold((1, 0), |(factor, plus), digit| (factor * 10, plus * 10 + u32::from(digit - b'0')));
            long.times(factor, plus);
        }
        long
    }

    fn times(&mut self, factor: u32, plus: u32) {
        #[cfg(test)]
        tests::WORDS.set(tests::WORDS.get() + self.0.len());
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

    /// Multiplies by a power of five and a power of two. A power below zero is none.
    fn scale(&mut self, fives: i64, twos: i64) {
        let (fives, twos) = (low(fives.max(0).unsigned_abs()), low(twos.max(0).unsigned_abs()));
        for _ in 0..fives / FIVES_OF_WORD {
            self.times(5_u32.pow(FIVES_OF_WORD), 0);
        }
        self.times(5_u32.pow(fives % FIVES_OF_WORD), 0);
        let mut shifted = vec![0; twos as usize / 32];
        shifted.append(&mut self.0);
        self.0 = shifted;
        self.times(1 << (twos % 32), 0);
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low(product: u64) -> u32 {
    product as u32
}

#[allow(clippy::cast_possible_truncation, reason = "of two halves one is left")]
fn high(product: u128) -> u64 {
    (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::decimal::{self, tests::numbers};
    use super::*;

    thread_local! {
        /// How many words of long numbers were multiplied.
        pub(super) static WORDS: Cell<usize> = const { Cell::new(0) };
    }

    /// The double that Rust's own parser takes a text for.
    fn reads_as_std(text: &str) {
        let theirs = text.parse::<f64>().ok().filter(|double| double.is_finite());
        assert_eq!(nearest(text).map(f64::to_bits), theirs.map(f64::to_bits), "{text}");
        assert_eq!(decimal::nearest(text).map(f64::to_bits), theirs.map(f64::to_bits), "{text}");
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
            // It would round to 2^1025.
            "3.5953862697246318e308",
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
    fn hardly_a_number_takes_long_integers_and_none_takes_many_words() {
        let words = |text: &str| {
            WORDS.set(0);
            reads_as_std(text);
            WORDS.get()
        };
        for text in ["1e-300", "1e300", "9e-320", "0.30000000000000004", "48.137154000000003", "179.99999999999997"] {
            assert_eq!(words(text), 0, "{text}");
        }
        let of_all = numbers(2_000).map(f64::from_bits).filter(|double| double.is_finite()).map(|double| words(&format!("{double:e}")));
        let long = of_all.filter(|words| *words > 0).count();
        assert!((1..200).contains(&long), "{long} of 2,000");
        // Halfway between the two least doubles, to as many digits as count, and one more.
        let halfway = format!("{}1e-1075", (0..1075).fold("3".to_owned(), |number, _| five_times(&number)));
        for text in [&halfway, &format!("0.{}e-300", "9".repeat(100_000)), &format!("{}1e-100000", "0".repeat(99_000))] {
            assert!(words(text) < 10_000, "{} words for {} bytes", words(text), text.len());
        }
    }
}
