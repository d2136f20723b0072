//! What we make of examples that others published (tests/vectors): canonical form by RFC 8785.

use std::path::{Path, PathBuf};

use fieldsync::value::{Limits, ValueError, canonical, parse};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files of the suite whose input breaks a rule of ours, with the rule. The number rule refuses integers beyond
/// ±(2^53-1); the suite's files have none, its numbers of that size have exponents or fractions.
const REFUSED: &[(&str, &str)] = &[];

#[test]
fn every_file_of_the_suite_has_the_canonical_form_that_is_published() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder("jcs/input")).expect("the folder is listed") {
        let input = entry.expect("its entry is read").path();
        let name = input.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let read = parse(&text(&input), &Limits::RECORD);
        match REFUSED.iter().find(|(file, _)| *file == name) {
            Some((_, why)) => assert!(read.is_err(), "{name} is taken, though {why}"),
            None => {
                let published = text(&folder("jcs/output").join(&name));
                assert_eq!(read.as_ref().map(canonical), Ok(published.clone()), "{name}");
                // What is canonical stays as it is.
                assert_eq!(parse(&published, &Limits::RECORD).as_ref().map(canonical), Ok(published), "{name}");
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 6, "the suite is there");
}

/// Appendix B of RFC 8785: the bits of a double, and how it is written. What is no number for us is listed as such.
#[test]
fn doubles_are_written_as_the_appendix_of_the_rfc_has_them() {
    for (bits, written) in [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        let double = f64::from_bits(bits);
        assert_eq!(canonical(&double.into()), written, "{bits:x}");
        // Integers beyond ±(2^53-1) that are written without an exponent have their form, and are refused at the entrance.
        let is_refused = double.fract() == 0.0 && double.abs() > 9_007_199_254_740_991.0 && double.abs() < 1e21;
        match parse(written, &Limits::RECORD) {
            Ok(value) => assert!(!is_refused && canonical(&value) == written, "{written}"),
            Err(error) => assert!(is_refused && matches!(error, ValueError::IntegerOutOfRange { .. }), "{written}: {error}"),
        }
    }
    for written in ["NaN", "Infinity", "-Infinity", "1e400", "3.5953862697246318e308"] {
        assert!(matches!(parse(written, &Limits::RECORD), Err(ValueError::Malformed { .. })), "{written} is no double");
    }
}
