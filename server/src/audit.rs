//! The audit chain of a tenant for whoever inspects the database: whether it is in order from its first row to the head
//! that the tenant's counters name, and its rows as lines from which that can be computed elsewhere.

use std::fmt;

use fieldsync::value::Hash;
use serde_json::{Value, json};

use crate::apply::link;
use crate::store::AuditRow;

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The row, or the hash in it, is not what was written; or the one before it was replaced.
    Changed(u64),
    /// The row is gone.
    Missing(u64),
    /// The chain ends before the row that the tenant's counters name.
    Truncated(u64),
    /// The row comes after the one that they name.
    Added(u64),
    /// The last row is not the one whose hash they name.
    OtherHead(u64),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(row) => write!(f, "row {row} was changed"),
            Self::Missing(row) => write!(f, "row {row} is missing"),
            Self::Truncated(row) => write!(f, "row {row} is missing, and all that came after it"),
            Self::Added(row) => write!(f, "row {row} was added without the server"),
            Self::OtherHead(row) => write!(f, "row {row} is the last, and its hash is not the one that the tenant's counters name"),
        }
    }
}

/// How far a chain was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The number of the last row that continues it, which is how many there were; 0 before the first.
    pub number: u64,
    /// Its hash.
    pub head: Hash,
}

impl Default for Chain {
    fn default() -> Self {
        Self { number: 0, head: Hash::zero() }
    }
}

impl Chain {
    /// Goes on to the next row.
    pub fn follow(&mut self, row: &AuditRow) -> Result<(), Broken> {
        let next = self.number + 1;
        if row.number > next {
            return Err(Broken::Missing(next));
        }
        if row.number != next || row.hash != link(&self.head, &row.content) {
            return Err(Broken::Changed(row.number));
        }
        (self.number, self.head) = (next, row.hash.clone());
        Ok(())
    }

    /// Holds the end against the head that the tenant's counters name.
    pub fn ends_at(&self, named: &Self) -> Result<(), Broken> {
        if self.number < named.number {
            return Err(Broken::Truncated(self.number + 1));
        }
        if self.number > named.number {
            return Err(Broken::Added(named.number + 1));
        }
        if self.head == named.head { Ok(()) } else { Err(Broken::OtherHead(self.number)) }
    }
}

/// A row as a line: `{"content", "hash", "number"}`. A content that is no JSON, which the server never writes, stands there as
/// a text.
pub fn line(row: &AuditRow) -> String {
    let content: Value = serde_json::from_str(&row.content).unwrap_or_else(|_| Value::String(row.content.clone()));
    json!({"number": row.number, "content": content, "hash": row.hash}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::audit_row;
    use crate::store::TenantState;

    fn chain() -> (Vec<AuditRow>, Chain) {
        let mut state = TenantState::default();
        let rows = (1..=4).map(|at| audit_row(&mut state, &json!({"at": at}))).collect();
        (rows, Chain { number: state.audit_number, head: state.audit_head })
    }

    fn verify(rows: &[AuditRow], named: &Chain) -> Result<(), Broken> {
        let mut chain = Chain::default();
        rows.iter().try_for_each(|row| chain.follow(row))?;
        chain.ends_at(named)
    }

    #[test]
    fn the_first_bad_row_is_named_and_so_is_an_end_that_is_none() {
        let (rows, head) = chain();
        assert_eq!(verify(&rows, &head), Ok(()));
        assert_eq!(verify(&[], &Chain::default()), Ok(()));
        let mut changed = rows.clone();
        changed[1].content = "{\"at\":9}".to_owned();
        assert_eq!(verify(&changed, &head), Err(Broken::Changed(2)));
        let mut dropped = rows.clone();
        dropped.remove(1);
        assert_eq!(verify(&dropped, &head), Err(Broken::Missing(2)));
        assert_eq!(verify(&rows[..3], &head), Err(Broken::Truncated(4)));
        assert_eq!(verify(&[], &head), Err(Broken::Truncated(1)));
        let earlier = Chain { number: 3, head: rows[2].hash.clone() };
        assert_eq!(verify(&rows, &earlier), Err(Broken::Added(4)));
        assert_eq!(verify(&rows, &Chain { number: 4, head: Hash::zero() }), Err(Broken::OtherHead(4)));
        let mut again = rows.clone();
        again.insert(2, rows[1].clone());
        assert_eq!(verify(&again, &head), Err(Broken::Changed(2)), "a number stands there once");
    }
}
