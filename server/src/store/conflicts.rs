//! Where a list of conflicts ends: a conflict brings an operation and a record with it, so bytes bound it as well as
//! their number.

use super::rows::{ConflictRow, ConflictRows};
use super::{PageBounds, TenantState};

/// A list as it fills.
#[derive(Debug)]
pub(super) struct Listing {
    rows: Vec<ConflictRow>,
    bytes: usize,
    bounds: PageBounds,
    complete: bool,
}

impl Listing {
    pub(super) fn new(bounds: PageBounds) -> Self {
        Self { rows: Vec::new(), bytes: 0, bounds, complete: true }
    }
    /// Puts a row on the list and says whether it had room. The first one always has.
    pub(super) fn put(&mut self, row: ConflictRow) -> bool {
        let bytes = self.bytes.saturating_add(size(&row));
        self.complete = self.rows.is_empty() || (self.rows.len() < self.bounds.records_max && bytes <= self.bounds.bytes_max);
        if self.complete {
            self.bytes = bytes;
            self.rows.push(row);
        }
        self.complete
    }
    /// The list.
    pub(super) fn finish(self, state: TenantState) -> ConflictRows {
        ConflictRows { rows: self.rows, complete: self.complete, state }
    }
}

/// About the bytes that a row takes in an answer.
fn size(row: &ConflictRow) -> usize {
    const HEAD: usize = 1_024;
    let server = serde_json::to_vec(&(&row.server, &row.before));
    HEAD + row.operation.len() + server.map_or(0, |text| text.len())
}
