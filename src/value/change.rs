//! What happens to one field of a record.
//!
//! A change says either what the field is from now on, or what is done to it, whatever it is by then: one less in stock,
//! one more on a list. Such a *relative* change stands beside what others do to the field, and is done once over it.

use serde_json::Value;

use super::{ListChange, MAX_SAFE_INTEGER, Object};

/// What happens to one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The field gets this value.
    Set(Value),
    /// The field goes away.
    Unset,
    /// So much is added to a whole number, or taken from it. What is not there is nought.
    Add(i64),
    /// Items are put into a list, changed in it or taken out of it. What is not there is an empty list.
    List(ListChange),
}

impl Change {
    /// What makes one whole number another, told as a count; nothing if one of them is none.
    pub fn count(old: Option<&Value>, new: &Value) -> Option<Self> {
        Some(Self::Add(whole(new)? - count(old)?))
    }
    /// Whether it says what is done to the field, not what the field is.
    pub fn is_relative(&self) -> bool {
        matches!(self, Self::Add(_) | Self::List(_))
    }
    /// The field after it; nothing if it is gone. What a relative change cannot be done to stays as it is.
    pub fn done_to(&self, field: Option<&Value>) -> Option<Value> {
        match self {
            Self::Set(value) => Some(value.clone()),
            Self::Unset => None,
            Self::Add(_) | Self::List(_) => self.relative_to(field).or_else(|| field.cloned()),
        }
    }
    /// Whether it can be done to this field: a count to a whole number, where the result is one too, and a change of items to
    /// a list of such items. What says what the field is can always be done.
    pub fn fits(&self, field: Option<&Value>) -> bool {
        !self.is_relative() || self.relative_to(field).is_some()
    }
    fn relative_to(&self, field: Option<&Value>) -> Option<Value> {
        match self {
            Self::Add(more) => {
                let sum = count(field)?.checked_add(*more)?;
                (sum.unsigned_abs() <= MAX_SAFE_INTEGER).then(|| sum.into())
            }
            Self::List(change) => change.applied(field),
            Self::Set(_) | Self::Unset => None,
        }
    }
    /// This one followed by `later`, as one; nothing if that cannot be said.
    pub(super) fn then(self, later: Self) -> Option<Self> {
        Some(match (self, later) {
            (Self::Add(first), Self::Add(second)) => Self::Add(first.checked_add(second)?),
            (Self::List(first), Self::List(second)) => Self::List(first.then(second)?),
            (_, later @ (Self::Set(_) | Self::Unset)) => later,
            (Self::Set(value), later) => Self::Set(later.relative_to(Some(&value))?),
            (Self::Unset, later) => Self::Set(later.relative_to(None)?),
            (Self::Add(_), Self::List(_)) | (Self::List(_), Self::Add(_)) => return None,
        })
    }
    /// Does it to a field of an object.
    pub(super) fn apply(&self, object: &mut Object, field: &str) {
        match self.done_to(object.get(field)) {
            Some(value) => object.insert(field.to_owned(), value),
            None => object.remove(field),
        };
    }
}

fn count(field: Option<&Value>) -> Option<i64> {
    field.map_or(Some(0), whole)
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().filter(|number| number.unsigned_abs() <= MAX_SAFE_INTEGER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_count_is_added_to_whatever_is_there() {
        let less = Change::count(Some(&json!(5)), &json!(3)).expect("whole numbers");
        assert_eq!(less, Change::Add(-2));
        assert_eq!(less.done_to(Some(&json!(10))), Some(json!(8)));
        assert_eq!(less.done_to(None), Some(json!(-2)));
        // What is no whole number, or would be none, stays.
        for odd in [json!("5"), json!(1.5), json!(null), json!(-9_007_199_254_740_991_i64)] {
            assert!(!less.fits(Some(&odd)), "{odd}");
            assert_eq!(less.done_to(Some(&odd)), Some(odd));
        }
        assert_eq!((Change::count(Some(&json!("5")), &json!(3)), Change::count(None, &json!(0.5))), (None, None));
        assert_eq!(Change::count(None, &json!(3)), Some(Change::Add(3)));
    }

    #[test]
    fn what_follows_a_change_becomes_part_of_it() {
        let (two, three) = (Change::Add(2), Change::Add(3));
        assert_eq!(two.clone().then(three), Some(Change::Add(5)));
        assert_eq!(Change::Set(json!(1)).then(two.clone()), Some(Change::Set(json!(3))));
        assert_eq!(Change::Unset.then(two.clone()), Some(Change::Set(json!(2))));
        assert_eq!(two.clone().then(Change::Unset), Some(Change::Unset));
        assert_eq!(Change::Set(json!("x")).then(two), None);
    }
}
