//! What we make of examples that others published (tests/vectors): canonical form by RFC 8785, JSON Patch by RFC 6902 and
//! JSON Merge Patch by RFC 7396. And where a path leads, by a table that the tests of the app-test server read too.

use std::path::{Path, PathBuf};

use fieldsync::value::{FieldPath, Limits, ValueError, apply_merge_patch, apply_patch, canonical, create_merge_patch, create_patch, parse};
use serde_json::{Value, json};

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

/// The cases of a file of the JSON Patch suite, but for those that it has disabled itself.
fn cases(file: &str) -> Vec<Value> {
    let whole: Value = serde_json::from_str(&text(&folder("json-patch").join(file))).expect("JSON");
    whole.as_array().expect("a list").iter().filter(|case| case["disabled"] != true && case.get("patch").is_some()).cloned().collect()
}

#[test]
fn json_patch_does_what_every_case_of_the_suite_says() {
    for (file, count) in [("spec_tests.json", 16), ("tests.json", 92)] {
        let cases = cases(file);
        assert_eq!(cases.len(), count, "{file} is there");
        for case in cases {
            let done = apply_patch(&case["doc"], &case["patch"]);
            match case.get("expected") {
                Some(expected) => assert_eq!(done.as_ref(), Ok(expected), "{case}"),
                None if case.get("error").is_some() => assert!(done.is_err(), "{case}: {done:?}"),
                None => assert!(done.is_ok(), "{case}: {done:?}"),
            }
            // What it makes is made again by a patch of ours.
            if let Ok(done) = done {
                let ours = create_patch(&case["doc"], &done);
                assert_eq!(apply_patch(&case["doc"], &ours), Ok(done), "{ours}");
            }
        }
    }
}

/// Appendix A of RFC 7396.
#[test]
fn merge_patch_does_what_the_appendix_of_the_rfc_says() {
    for (original, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        assert_eq!(apply_merge_patch(&original, &patch), result, "{original} {patch}");
        let ours = create_merge_patch(&original, &result).expect("no null is set");
        assert_eq!(apply_merge_patch(&original, &ours), result, "{original} {ours}");
    }
}

#[test]
fn a_path_leads_where_the_test_server_finds_its_value_too() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/members.json");
    let cases: Vec<Value> = serde_json::from_str(&text(&table)).expect("a list");
    for case in &cases {
        let path = FieldPath::parse(case["path"].as_str().expect("a path")).expect("a path");
        assert_eq!(path.find(case["record"].as_object().expect("a record")), case.get("value"), "{case}");
    }
    assert_eq!(cases.len(), 12);
}
