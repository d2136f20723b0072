//! Where a reference leads: to a record that is here, to one that may well be elsewhere, or to nothing. And the report
//! of a check, which grows part by part.

use serde::Serialize;

use crate::model::{RecordId, Version};

/// Why a reference leads to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lost {
    /// The record was deleted here.
    Deleted,
    /// Everything of its entity was downloaded, and it is not among that; or it is a temp ID that nobody here issued.
    Missing,
    /// Its create was given up before the server had it.
    GivenUp,
}

/// Where a reference leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To a record that is here.
    Here,
    /// To nothing.
    Nowhere(Lost),
    /// Nobody here can say: the record may be one that was not downloaded.
    Unknown,
}

/// What the overlay says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlaid {
    /// The record is to be seen.
    Shown,
    /// It was deleted.
    Deleted,
    /// It was given up before the server had it.
    GivenUp,
}

/// What is stored about the record that a reference names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// What the overlay says of it, if it says anything.
    pub overlaid: Option<Overlaid>,
    /// Whether the base has it.
    pub in_base: bool,
    /// Whether it came and could not be read.
    pub set_aside: bool,
    /// Whether it is still named by a temp ID.
    pub is_temp: bool,
    /// The version up to which everything of its entity is known; nothing where that was never downloaded as a whole.
    pub through: Option<Version>,
}

impl Trace {
    /// Where a reference leads that a record with this version holds: what the server counted later than all that is known
    /// of the other entity may refer to what came later too.
    pub fn judge(&self, holder: Option<Version>) -> Leads {
        match self.overlaid {
            Some(Overlaid::Shown) => return Leads::Here,
            Some(Overlaid::Deleted) => return Leads::Nowhere(Lost::Deleted),
            Some(Overlaid::GivenUp) => return Leads::Nowhere(Lost::GivenUp),
            None if self.in_base => return Leads::Here,
            // No download brings a record under a temp ID.
            None if self.is_temp => return Leads::Nowhere(Lost::Missing),
            None => {}
        }
        let known = self.through.is_some_and(|through| holder.is_none_or(|version| version <= through));
        if known && !self.set_aside { Leads::Nowhere(Lost::Missing) } else { Leads::Unknown }
    }
}

/// A record by its entity and its ID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Named {
    /// The entity type.
    pub entity: String,
    /// The ID.
    pub id: RecordId,
}

/// A reference that leads to nothing, and the record that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// The entity of the record.
    pub entity: String,
    /// Its ID.
    pub id: RecordId,
    /// The declared path of the reference.
    pub path: String,
    /// What it names.
    pub target: Named,
    /// Why that is nothing.
    pub why: Lost,
    /// Whether something of the record waits in the queue.
    pub unsent: bool,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReferenceReport {
    /// Records that were looked at: all of the entities that declare references.
    pub records: u64,
    /// References in them.
    pub references: u64,
    /// Those that lead to nothing, as far as they are listed.
    pub dangling: Vec<Orphan>,
    /// How many more there are.
    pub more: u64,
    /// How many lead to what may not have been downloaded.
    pub unknown: u64,
    /// Whether none leads to nothing.
    pub ok: bool,
}

impl ReferenceReport {
    /// Takes the next part in, of which so many are listed at most in all.
    pub fn add(&mut self, part: Self, listed_max: usize) {
        self.records += part.records;
        self.references += part.references;
        self.unknown += part.unknown;
        for orphan in part.dangling {
            if self.dangling.len() < listed_max {
                self.dangling.push(orphan);
            } else {
                self.more += 1;
            }
        }
        self.ok = self.dangling.is_empty() && self.more == 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWNLOADED: Trace = Trace { overlaid: None, in_base: false, set_aside: false, is_temp: false, through: Some(Version(10)) };

    #[test]
    fn what_the_overlay_says_goes_before_what_the_base_has() {
        for (overlaid, leads) in [
            (Overlaid::Shown, Leads::Here),
            (Overlaid::Deleted, Leads::Nowhere(Lost::Deleted)),
            (Overlaid::GivenUp, Leads::Nowhere(Lost::GivenUp)),
        ] {
            for in_base in [true, false] {
                assert_eq!(Trace { overlaid: Some(overlaid), in_base, ..DOWNLOADED }.judge(None), leads);
            }
        }
        assert_eq!(Trace { in_base: true, ..Trace::default() }.judge(None), Leads::Here);
    }

    #[test]
    fn only_what_was_downloaded_as_a_whole_can_miss_a_record() {
        let missing = Leads::Nowhere(Lost::Missing);
        assert_eq!(DOWNLOADED.judge(None), missing);
        assert_eq!((DOWNLOADED.judge(Some(Version(10))), DOWNLOADED.judge(Some(Version(11)))), (missing, Leads::Unknown));
        assert_eq!(Trace { through: None, ..DOWNLOADED }.judge(None), Leads::Unknown);
        assert_eq!(Trace { set_aside: true, ..DOWNLOADED }.judge(None), Leads::Unknown);
        // A temp ID is no matter of the download.
        assert_eq!(Trace { is_temp: true, through: None, ..DOWNLOADED }.judge(None), missing);
    }

    #[test]
    fn a_report_counts_what_it_does_not_list() {
        let target = Named { entity: "client".to_owned(), id: RecordId::Integer(7) };
        let of = |id| Orphan {
            entity: "pet".to_owned(),
            id: RecordId::Integer(id),
            path: "clientId".to_owned(),
            target: target.clone(),
            why: Lost::Missing,
            unsent: false,
        };
        let part = || ReferenceReport { records: 3, references: 2, dangling: vec![of(1), of(2)], unknown: 1, ..ReferenceReport::default() };
        let mut report = ReferenceReport::default();
        report.add(ReferenceReport { records: 1, ..ReferenceReport::default() }, 3);
        assert!(report.ok);
        report.add(part(), 3);
        report.add(part(), 3);
        assert_eq!((report.records, report.references, report.dangling.len(), report.more, report.unknown), (7, 4, 3, 1, 2));
        assert!(!report.ok);
        let mut counted = ReferenceReport::default();
        counted.add(part(), 0);
        assert_eq!((counted.dangling.len(), counted.more, counted.ok), (0, 2, false));
    }
}
