//! Where a page ends. It is full by its bounds, but what was applied as one group comes in one page, so that whoever
//! reads it sees all of it or nothing.

use fieldsync::model::Version;
use fieldsync::planted::{Bug, is};

use super::{PageBounds, PageRow};

/// So many bytes a page may go beyond its bound for the sake of a group. A group that is larger is split after all.
const EXCESS_BYTES_MAX: usize = 1 << 20;

/// A page as it fills.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) rows: Vec<PageRow>,
    bytes: usize,
    bounds: PageBounds,
}

impl Filling {
    pub(super) fn new(bounds: PageBounds) -> Self {
        Self { rows: Vec::new(), bytes: 0, bounds }
    }
    /// Whether a row with so many bytes of fields still has room, which is taken then.
    pub(super) fn admits(&mut self, bytes: usize) -> bool {
        let room = self.rows.len() < self.bounds.records_max && self.bytes + bytes <= self.bounds.bytes_max;
        let admitted = room || self.rows.is_empty();
        self.bytes += if admitted { bytes } else { 0 };
        admitted
    }
    /// Where the page ends that has no room for the row `next`. `group` is the first and the last version of the group
    /// that begins there or last before. If the page holds nothing but the beginning of it, it goes on: up to
    /// the version that comes back.
    pub(super) fn cut(&mut self, next: Version, group: Option<(Version, Version)>) -> Option<Version> {
        let (first, last) = group.filter(|(_, last)| next <= *last && !is(Bug::ServerGroupSplit))?;
        let before = self.rows.partition_point(|row| row.version < first);
        if before > 0 {
            self.rows.truncate(before);
            return None;
        }
        self.bounds = PageBounds { records_max: usize::MAX, bytes_max: self.bounds.bytes_max + EXCESS_BYTES_MAX };
        Some(last)
    }
    /// The version of its last row.
    pub(super) fn last(&self) -> Version {
        self.rows.last().map_or(Version(0), |row| row.version)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fieldsync::model::{RecordId, Stamp};

    use super::super::RecordKey;
    use super::*;

    #[test]
    fn a_page_ends_before_a_group_that_it_cannot_hold_and_holds_whole_the_one_it_begins_with() {
        let row = |version| PageRow {
            key: RecordKey { entity: "pet".to_owned(), id: RecordId::Integer(1) },
            version: Version(version),
            data: None,
            stamp: Stamp { ms: 0, n: 0 },
            field_stamps: BTreeMap::new(),
            born_as: None,
        };
        for (group, kept, through) in [
            (None, 3, None),
            (Some((1, 6)), 3, None),
            (Some((7, 9)), 3, None),
            (Some((4, 7)), 1, None),
            (Some((5, 9)), 2, None),
            (Some((3, 8)), 3, Some(8)),
            (Some((1, 7)), 3, Some(7)),
        ] {
            let mut page = Filling::new(PageBounds { records_max: 3, bytes_max: 9 });
            for version in [3, 4, 6] {
                assert!(page.admits(3));
                page.rows.push(row(version));
            }
            assert!(!page.admits(1));
            let found = page.cut(Version(7), group.map(|(first, last)| (Version(first), Version(last))));
            assert_eq!((found, page.rows.len()), (through.map(Version), kept), "{group:?}");
            assert_eq!(page.admits(1), through.is_some());
        }
    }
}
