//! Conflicts that a function of the app is to decide. JavaScript is asked between transactions: one marks which are asked
//! now, and what the function says is a resolution like a person's ([`super::Resolve`]), for what it was shown. So a tab that
//! dies in between leaves the mark, and the next one asks; and a function by which tabs die is asked no more after
//! [`ASKED_MAX`] times.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run, all_readable};
use super::held::renewed;
use super::rows::conflict_row;
use crate::conflict::{Conflict, Filter, filter::of_asking};
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::schema::Schema;

/// So often a function is asked about one conflict. Then a person decides.
const ASKED_MAX: u32 = 3;
/// So many are looked at for the next one: that which was answered just now, and the one behind it.
const LOOKED_AT: u32 = 2;

/// Marks the next conflict as asked about, right before it is, and leaves others to a person.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The entities for which there is a function here.
    pub entities: Vec<String>,
    /// Those that a function does not decide, as they were shown to it, and why.
    pub left: Vec<(Conflict, &'static str)>,
    /// Now, ms by the device.
    pub now: u64,
}

/// What is to be asked, and what is not any more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// A function is to be asked about this one. The others have not been asked about, whatever becomes of the tab now.
    pub asked: Option<Conflict>,
    /// These are a person's from now on, and why.
    pub left: Vec<(Conflict, &'static str)>,
}

impl Asked {
    /// Why a conflict is left that was asked about too often: each time it was renewed before the answer, or the tab died.
    pub const UNSETTLED: &'static str = "rule_unsettled";
}

impl Decision for Asking {
    type Out = Asked;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Asked)> {
        let read = |entity: &String| {
            let range = Filter::default().range(&of_asking(entity), None);
            Read::Range { table: Table::Conflicts, by_index: true, range, limit: Some(LOOKED_AT), reverse: false }
        };
        let reads: Vec<Read> = self.entities.iter().map(read).collect();
        db.prefetch(reads.iter().cloned());
        let (mut batch, mut out) = (Vec::new(), Asked::default());
        for read in &reads {
            let stored: Vec<Conflict> = all_readable(db, read)?;
            let mut shown = stored.clone();
            renewed(db, &self.schema, &mut shown)?;
            for (mut conflict, mut shown) in stored.into_iter().zip(shown) {
                let answered = self.left.iter().find(|(left, _)| left.id == conflict.id && shown.is_as_asked(left, shown.local.as_ref()));
                let asked = conflict.asks.unwrap_or_default();
                match answered.map(|(_, why)| *why).or((asked >= ASKED_MAX).then_some(Asked::UNSETTLED)) {
                    Some(why) => {
                        conflict.leave(self.now, why);
                        batch.push(Write::Put(Table::Conflicts, conflict_row(&conflict)));
                        out.left.push((conflict, why));
                    }
                    None if out.asked.is_some() => {}
                    None => {
                        conflict.asks = Some(asked + 1);
                        batch.push(Write::Put(Table::Conflicts, conflict_row(&conflict)));
                        shown.asks = conflict.asks;
                        out.asked = Some(shown);
                    }
                }
            }
        }
        Ok((batch, out))
    }
}
