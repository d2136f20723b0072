//! Points in time as RFC 3339 writes them. Only their order counts: no calendar of a platform is asked.

/// A number of two digits within these bounds.
fn pair(text: &str, from: usize, least: i64, most: i64) -> Option<i64> {
    let digit = |at: usize| text.as_bytes().get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0'));
    let number = digit(from)? * 10 + digit(from + 1)?;
    (least <= number && number <= most).then_some(number)
}

/// A point in time: whole seconds since 1970, and the digits of the fraction without the zeros at its end. Two of them are
/// in order as the times are. Nothing where the text is none.
pub fn instant(text: &str) -> Option<(i64, &str)> {
    let (year, month, day) = (pair(text, 0, 0, 99)? * 100 + pair(text, 2, 0, 99)?, pair(text, 5, 1, 12)?, pair(text, 8, 1, 31)?);
    let (hours, minutes, seconds) = (pair(text, 11, 0, 23)?, pair(text, 14, 0, 59)?, pair(text, 17, 0, 60)?);
    let marks = [(4, b'-'), (7, b'-'), (10, b't'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| text.as_bytes().get(*at).map(u8::to_ascii_lowercase) != Some(*mark)) {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().position(|byte| !byte.is_ascii_digit()).filter(|digits| *digits > 0)?),
        None => ("", rest),
    };
    let ahead = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let minutes = pair(zone, 1, 0, 23)? * 60 + pair(zone, 4, 0, 59)?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    // The year begins in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 719_469;
    Some((((days * 24 + hours) * 60 + minutes - ahead) * 60 + seconds, fraction.trim_end_matches('0')))
}

/// The time of so many ms since 1970, in UTC; nothing where its year has not four digits.
pub fn time_text(ms: i64) -> Option<String> {
    let (days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Years that begin in March, in eras of 400: each has the same days.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year + i64::from(month >= 10), if month < 10 { month + 3 } else { month - 9 });
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    (0..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", ms % 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_seconds_since_1970() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31t23:59:59z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2000-03-01T00:00:00+01:30", 951_863_400),
            ("2026-11-23T09:40:20-05:00", 1_795_444_820),
            ("0000-03-01T00:00:00Z", -62_162_035_200),
        ] {
            assert_eq!(instant(text), Some((seconds, "")), "{text}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_825_600_007, "2000-02-29T12:00:00.007Z"),
            (1_795_444_820_500, "2026-11-23T14:40:20.500Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(time_text(ms).as_deref(), Some(text));
        }
        assert_eq!((time_text(-62_167_219_200_001), time_text(253_402_300_800_000), time_text(i64::MIN)), (None, None, None));
        // Each day of 800 years, with a time in it.
        for day in -200_000..100_000_i64 {
            let text = time_text(day * 86_400_000 + 45_296_000).expect("four digits");
            assert_eq!(instant(&text), Some((day * 86_400 + 45_296, "")), "{text}");
        }
    }

    #[test]
    fn they_sort_as_time_goes() {
        let sorted = [
            "2026-01-01T00:30:00+01:00",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.05Z",
            "2026-01-01T00:00:00.4999Z",
            "2026-01-01T00:00:00.5Z",
            "2026-01-01T00:00:00.51Z",
            "2025-12-31T23:00:01-01:00",
        ];
        assert!(sorted.windows(2).all(|pair| instant(pair[0]) < instant(pair[1])), "{:?}", sorted.map(instant));
        assert_eq!(instant("2026-01-01T00:00:00.50Z"), instant("2026-01-01T01:00:00.5+01:00"));
    }

    #[test]
    fn what_is_no_such_text_is_no_time() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-13-01T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01 00:00:00Z",
            "2026/01/01T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.5",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00Zé",
            "2026-01-é1T00:00:00Z",
            "+226-01-01T00:00:00Z",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
