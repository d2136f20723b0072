//! Which part of a list somebody asks for: every filter says it in the same words, and they are read here alone.

use serde_json::Value;

use super::{MAX_SAFE_INTEGER, Object};

/// A part of what lies in the order of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Then or later, ms.
    pub since: Option<u64>,
    /// Then or earlier, ms.
    pub until: Option<u64>,
    /// Behind this one, in the order.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: Option<u64>,
    /// Whether the latest comes first.
    pub descending: bool,
}

impl Span {
    /// Takes `{since, until, after, limit, order}` out of the members of a filter. An error names the member that makes no sense,
    /// and why: it would match more than was asked for.
    pub fn take(members: &mut Object, limit_max: u64) -> Result<Self, (String, &'static str)> {
        let mut span = Self::default();
        let Self { since, until, after, limit, .. } = &mut span;
        for (place, name, from, to, reason) in [
            (since, "since", 0, MAX_SAFE_INTEGER, "must be a whole number from 0"),
            (until, "until", 0, MAX_SAFE_INTEGER, "must be a whole number from 0"),
            (after, "after", 0, MAX_SAFE_INTEGER, "must be a whole number from 0"),
            (limit, "limit", 1, limit_max, "must be a whole number from 1 up to what one answer may hold"),
        ] {
            if let Some(value) = members.remove(name) {
                let number = value.as_u64().filter(|number| (from..=to).contains(number));
                *place = Some(number.ok_or_else(|| (name.to_owned(), reason))?);
            }
        }
        span.descending = match members.remove("order").as_ref().map(Value::as_str) {
            None | Some(Some("asc")) => false,
            Some(Some("desc")) => true,
            Some(_) => return Err(("order".to_owned(), "must be asc or desc")),
        };
        Ok(span)
    }

    /// A member that says which page is meant, if there is one: that has no meaning where all are counted.
    pub fn page_in(members: &Object) -> Option<&'static str> {
        ["after", "order", "limit"].into_iter().find(|name| members.contains_key(*name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_is_what_is_said_of_it_and_what_makes_no_sense_is_named() {
        let take = |members: Value| {
            let mut members = members.as_object().cloned().expect("an object");
            Span::take(&mut members, 10).map(|span| (span, members.len())).map_err(|(path, _)| path)
        };
        let whole = Span { since: Some(0), until: Some(5), after: Some(2), limit: Some(10), descending: true };
        let all = json!({"since": 0, "until": 5, "after": 2, "limit": 10, "order": "desc", "kind": 1});
        assert_eq!(take(all), Ok((whole, 1)), "the rest is for who asked");
        assert_eq!(take(json!({"order": "asc"})), Ok((Span::default(), 0)));
        for (name, value) in [
            ("since", json!(-1)),
            ("until", json!(1.5)),
            ("after", json!("1")),
            ("since", json!(9_007_199_254_740_992_u64)),
            ("limit", json!(0)),
            ("limit", json!(11)),
            ("limit", json!(null)),
            ("order", json!("up")),
            ("order", json!(1)),
        ] {
            assert_eq!(take(json!({name: value})), Err(name.to_owned()));
        }
    }
}
