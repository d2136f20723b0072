//! Where a page ends. It is full by its bounds, but what was applied as one group comes in one page, so that whoever
//! reads it sees all of it or nothing.

use fieldsync::model::Version;
use fieldsync::planted::{Bug, is};
use fieldsync::protocol::limits::PAGE_EXCESS_BYTES_MAX;

use super::{PageBounds, PageRow, PageRows, TenantState};

/// A page as it fills.
#[derive(Debug)]
pub(super) struct Filling {
    rows: Vec<PageRow>,
    bytes: usize,
    bounds: PageBounds,
    /// Where the group ends for whose sake it goes on.
    through: Option<Version>,
}

impl Filling {
    pub(super) fn new(bounds: PageBounds) -> Self {
        Self { rows: Vec::new(), bytes: 0, bounds, through: None }
    }
    /// Puts a row on the page, if it has room. Returns the version of one that has none.
    pub(super) fn put(&mut self, row: PageRow) -> Result<(), Version> {
        let bytes = self.bytes.saturating_add(size(&row));
        if !self.rows.is_empty() && (self.rows.len() >= self.bounds.records_max || bytes > self.bounds.bytes_max) {
            return Err(row.version);
        }
        self.bytes = bytes;
        self.rows.push(row);
        Ok(())
    }
    /// Where the page ends that has no room for the row `next`. `group` is the first and the last version of the group
    /// that begins there or last before. If the page holds nothing but the beginning of it, it goes on: from its last
    /// version up to the one that comes back.
    pub(super) fn cut(&mut self, next: Version, group: Option<(Version, Version)>) -> Option<(Version, Version)> {
        let (first, last) = group.filter(|(_, last)| next <= *last && !is(Bug::ServerGroupSplit))?;
        let before = self.rows.partition_point(|row| row.version < first);
        if before > 0 {
            self.rows.truncate(before);
            return None;
        }
        let bytes_max = self.bounds.bytes_max.saturating_add(PAGE_EXCESS_BYTES_MAX);
        self.bounds = PageBounds { records_max: usize::MAX, bytes_max };
        self.through = Some(last);
        Some((self.rows.last()?.version, last))
    }
    /// The page, with the version of the first row that it had no room for, if there is one.
    pub(super) fn finish(self, rest: Option<Version>, state: &TenantState) -> PageRows {
        // Nobody looked at what comes after the group.
        let all = self.through.is_none_or(|through| through >= state.sequence);
        PageRows { rows: self.rows, complete: rest.is_none() && all, sequence: state.sequence, forgotten: state.forgotten }
    }
}

/// About the bytes that a row takes on a page: its fields, and what stands beside them.
fn size(row: &PageRow) -> usize {
    const HEAD: usize = 256;
    const STAMP: usize = 48;
    // As JSON: a control character takes six bytes there, and others can take a backslash before them.
    let length = |character: char| if character.is_control() { 6 } else { character.len_utf8() + 1 };
    let stamps: usize = row.field_stamps.keys().map(|field| field.chars().map(length).sum::<usize>() + STAMP).sum();
    HEAD + row.data.as_ref().map_or(0, String::len) + stamps
}

#[cfg(test)]
mod tests {
    use fieldsync::model::{RecordId, Stamp};

    use super::super::RecordKey;
    use super::*;

    fn row(version: u64, bytes: usize) -> PageRow {
        PageRow {
            key: RecordKey { entity: "pet".to_owned(), id: RecordId::Integer(1) },
            version: Version(version),
            data: Some(" ".repeat(bytes)),
            stamp: Stamp { ms: 0, n: 0 },
            field_stamps: fieldsync::value::Sorted::new(),
            born_as: None,
        }
    }

    #[test]
    fn a_page_ends_before_a_group_that_it_cannot_hold_and_holds_whole_the_one_it_begins_with() {
        for (group, kept, through) in [
            (None, 3, None),
            (Some((1, 6)), 3, None),
            (Some((7, 9)), 3, None),
            (Some((4, 7)), 1, None),
            (Some((5, 9)), 2, None),
            (Some((3, 8)), 3, Some(8)),
            (Some((1, 7)), 3, Some(7)),
        ] {
            let mut page = Filling::new(PageBounds { records_max: 3, bytes_max: 9_999 });
            for version in [3, 4, 6] {
                assert_eq!(page.put(row(version, 3)), Ok(()));
            }
            assert_eq!(page.put(row(7, 1)), Err(Version(7)));
            let found = page.cut(Version(7), group.map(|(first, last)| (Version(first), Version(last))));
            assert_eq!(found, through.map(|last| (Version(6), Version(last))), "{group:?}");
            assert_eq!(page.rows.len(), kept, "{group:?}");
            assert!(through.is_none() || page.put(row(7, 1)).is_ok(), "{group:?}");
            let state = TenantState { sequence: Version(8), ..TenantState::default() };
            assert_eq!(page.finish(None, &state).complete, through != Some(7), "{group:?}");
        }
    }

    #[test]
    fn a_group_that_is_larger_than_all_bounds_is_split() {
        let bounds = PageBounds { records_max: 9, bytes_max: 1_000 };
        let mut page = Filling::new(bounds);
        assert_eq!(page.put(row(1, PAGE_EXCESS_BYTES_MAX / 2)), Ok(()), "the first one always has room");
        assert_eq!(page.put(row(2, PAGE_EXCESS_BYTES_MAX / 2)), Err(Version(2)));
        assert_eq!(page.cut(Version(2), Some((Version(1), Version(3)))), Some((Version(1), Version(3))));
        assert_eq!(page.put(row(2, PAGE_EXCESS_BYTES_MAX / 2)), Ok(()));
        assert_eq!(page.put(row(3, PAGE_EXCESS_BYTES_MAX / 2)), Err(Version(3)));
        let page = page.finish(Some(Version(3)), &TenantState { sequence: Version(3), ..TenantState::default() });
        assert_eq!((page.rows.len(), page.complete), (2, false));
    }

    #[test]
    fn what_stands_beside_the_fields_takes_room_too() {
        let stamped = |version| {
            let stamps = (0..100).map(|field| (format!("\u{1}\u{2}field \"{field}\""), Stamp { ms: 1_800_000_000_000, n: 3 }));
            PageRow { field_stamps: stamps.collect(), ..row(version, 2) }
        };
        let mut page = Filling::new(PageBounds { records_max: 5_000, bytes_max: 1 << 20 });
        let count = (1..5_000).take_while(|version| page.put(stamped(*version)).is_ok()).count();
        let text: usize = page.rows.iter().map(|row| serde_json::to_string(&row.field_stamps).map_or(0, |text| text.len())).sum();
        assert!((100..1_000).contains(&count) && text < 1 << 20, "{count} rows with {text} bytes of stamps");
    }
}
