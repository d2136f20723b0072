//! What the server remembers, as plain rows. Both stores hold exactly these; nothing here decides anything.

use std::collections::BTreeSet;

use fieldsync::model::{ClientId, Kind, OpId, RecordId, Stamp, TempId, Version};
use fieldsync::protocol::{ConflictKind, Outcome, ServerState, TrailHead};
use fieldsync::schema::{Holding, Reference};
use fieldsync::value::{Hash, Object, Sorted};

/// Which record: its entity and its real ID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey {
    /// The entity type.
    pub entity: String,
    /// The real ID.
    pub id: RecordId,
}

/// What a record of an entity can hold for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UniqueKey {
    /// The entity type.
    pub entity: String,
    /// The constraint and the values.
    pub holding: Holding,
}

/// Where a record came from. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The database in which it was born.
    pub client: ClientId,
    /// The temp ID that it was born with, if the server named it.
    pub temp: Option<TempId>,
    /// The operation that created it.
    pub operation: OpId,
}

/// A record, or its tombstone.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Which.
    pub key: RecordKey,
    /// The sequence of its last change.
    pub version: Version,
    /// Its fields; nothing if it is deleted.
    pub data: Option<Object>,
    /// The effective stamp of its creation, restoration or deletion.
    pub stamp: Stamp,
    /// The effective stamps of top-level fields that changed since.
    pub field_stamps: Sorted<String, Stamp>,
    /// Where it came from.
    pub origin: Origin,
    /// Of one that is deleted just now, its fields until then: kept beside the tombstone and as long, for whoever has changed
    /// them and did not know of the deletion.
    pub before: Option<Object>,
}

impl Record {
    /// The record as a conflict shows it.
    pub fn state(&self) -> ServerState {
        ServerState { version: self.version, data: self.data.clone(), stamp: self.stamp, field_stamps: self.field_stamps.clone() }
    }
}

/// The final word on one operation. Kept for ever.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Which operation.
    pub operation: OpId,
    /// Who sent it.
    pub client: ClientId,
    /// What the operation was: another one under the same ID is refused.
    pub fingerprint: Hash,
    /// The word: applied, conflict or rejected.
    pub outcome: Outcome,
    /// In whose place it stands.
    pub supersedes: Option<OpId>,
    /// The request in which it came.
    pub request: String,
    /// When it came, by the server's clock.
    pub received_ms: u64,
    /// The operation's text, if it took no effect: the server's copy survives the loss of the device.
    pub kept: Option<String>,
}

/// One change, in the order of the sequence. Append-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// The sequence number.
    pub version: Version,
    /// The record.
    pub key: RecordKey,
    /// The operation that made it.
    pub operation: OpId,
    /// What it did.
    pub kind: Kind,
    /// Whose database it came from.
    pub client: ClientId,
    /// By the token.
    pub user: String,
    /// The effective stamp.
    pub stamp: Stamp,
    /// The request in which it came.
    pub request: String,
    /// When it came, by the server's clock.
    pub received_ms: u64,
}

/// The server's copy of a conflict. At most one is open for a record and a client: another client's side is
/// another copy, because renewing would lose the first one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Its name on the wire.
    pub id: String,
    /// The record.
    pub key: RecordKey,
    /// Whose side stands against the server's.
    pub client: ClientId,
    /// The last operation that met it.
    pub operation: OpId,
    /// What stands against what.
    pub kind: ConflictKind,
    /// The server's version when it was last met.
    pub version: Version,
    /// When it was opened, by the server's clock.
    pub opened_ms: u64,
    /// Server time minus device time when it was last met, as the device measured it: with it the stamps of the
    /// operation can be compared with the server's at any later time.
    pub offset_ms: i64,
    /// The operation that closed it.
    pub closed_by: Option<OpId>,
}

/// One row of the tenant's audit chain: `hash = SHA-256(0x01 ‖ previous hash ‖ content)`. Append-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Counts up without a hole.
    pub number: u64,
    /// Canonical JSON: who, when, and the outcome of each operation; no fields of records.
    pub content: String,
    /// The link.
    pub hash: Hash,
}

/// The counters of one tenant, read and written under its write transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantState {
    /// The last sequence number.
    pub sequence: Version,
    /// The last audit row.
    pub audit_number: u64,
    /// Its hash.
    pub audit_head: Hash,
    /// Numbers up to here may have been issued in an earlier epoch: no version and no integer ID is taken from
    /// among them any more. Zero in a server that was never restored. Changed by a restore only.
    pub issued: u64,
    /// The sequence that the last backup holds. Changed by a backup only.
    pub backed_up: Version,
    /// Tombstones up to here may be gone: who stands below must start over. Changed by pruning only.
    pub forgotten: Version,
}

impl Default for TenantState {
    fn default() -> Self {
        Self { sequence: Version(0), audit_number: 0, audit_head: Hash::zero(), issued: 0, backed_up: Version(0), forgotten: Version(0) }
    }
}

/// What a decision wants to know. A key that was asked for and is not found means: there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The receipts of these operations.
    pub receipts: BTreeSet<OpId>,
    /// The receipts of the operations that supersede these.
    pub successors: BTreeSet<OpId>,
    /// Whether the counts of these lines were made: the first operation of each.
    pub counted: BTreeSet<OpId>,
    /// What these temp IDs became.
    pub temps: BTreeSet<TempId>,
    /// These records and tombstones.
    pub records: BTreeSet<RecordKey>,
    /// The last integer ID issued for these entities.
    pub counters: BTreeSet<String>,
    /// Live records, other than itself, that refer to these: at most [`Wanted::DEPENDENTS_MAX`] each.
    pub dependents: BTreeSet<RecordKey>,
    /// The live records that hold these.
    pub uniques: BTreeSet<UniqueKey>,
    /// The open conflicts of the asking client over these records.
    pub conflicts: BTreeSet<RecordKey>,
    /// The conflicts of these names, whoever met them, open or not.
    pub named: BTreeSet<String>,
    /// Whether it is how far there is the asking client's trail.
    pub trail: bool,
}

impl Wanted {
    /// More dependents than one upload can touch: if all that are found were touched, there are no others.
    pub const DEPENDENTS_MAX: usize = fieldsync::protocol::limits::OPERATIONS_MAX + 1;

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The answer to [`Wanted`].
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Receipts asked for by operation.
    pub receipts: Vec<Receipt>,
    /// Receipts asked for by what they supersede.
    pub successors: Vec<Receipt>,
    /// Those of the lines asked for whose counts were made.
    pub counted: Vec<OpId>,
    /// Temp IDs and what they became.
    pub temps: Vec<(TempId, RecordKey)>,
    /// Records and tombstones.
    pub records: Vec<Record>,
    /// Those of the records asked for whose tombstones were pruned.
    pub pruned: Vec<RecordKey>,
    /// Entities and the last integer ID issued.
    pub counters: Vec<(String, u64)>,
    /// Records (first) and those that refer to them (second).
    pub dependents: Vec<(RecordKey, RecordKey)>,
    /// What was asked for, and who holds it: one each, or more where a constraint was declared later.
    pub uniques: Vec<(UniqueKey, RecordKey)>,
    /// Open conflicts.
    pub conflicts: Vec<Conflict>,
    /// Conflicts asked for by name, each with the user whose client met it.
    pub named: Vec<(Conflict, String)>,
    /// How far there is the client's trail, if any of it is.
    pub trail: Option<TrailHead>,
}

/// Everything that one upload changes, written at once or not at all.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    /// The tenant's counters afterwards.
    pub state: TenantState,
    /// Records in their last state, each with all references that it then holds.
    pub records: Vec<(Record, Vec<Reference>)>,
    /// What those records hold for themselves then: all of it.
    pub uniques: Vec<(UniqueKey, RecordKey)>,
    /// New names.
    pub temps: Vec<(TempId, RecordKey)>,
    /// The last integer ID issued, by entity.
    pub counters: Vec<(String, u64)>,
    /// New receipts.
    pub receipts: Vec<Receipt>,
    /// Lines of operations whose counts were made by another than their first, which they are named by.
    pub counted: Vec<OpId>,
    /// New change rows.
    pub changes: Vec<ChangeRow>,
    /// The first and the last version of each group that made several changes.
    pub groups: Vec<(Version, Version)>,
    /// Conflicts in their last state.
    pub conflicts: Vec<Conflict>,
    /// New audit rows.
    pub audit: Vec<AuditRow>,
    /// How far there is the client's trail now; nothing where that is as before.
    pub trail: Option<TrailHead>,
}

/// A record as a page carries it: its fields stay text.
#[derive(Clone, Debug)]
pub struct PageRow {
    /// Which.
    pub key: RecordKey,
    /// Its version.
    pub version: Version,
    /// Its fields as JSON text; nothing if it is deleted.
    pub data: Option<String>,
    /// As in [`Record`].
    pub stamp: Stamp,
    /// As in [`Record`].
    pub field_stamps: Sorted<String, Stamp>,
    /// The temp ID it was born with in the asking client's database.
    pub born_as: Option<TempId>,
}

/// Some rows in ascending order of version, read from one state of the store.
#[derive(Clone, Debug)]
pub struct PageRows {
    /// The rows.
    pub rows: Vec<PageRow>,
    /// Whether nothing newer was there.
    pub complete: bool,
    /// The tenant's sequence in that state.
    pub sequence: Version,
    /// Up to where tombstones may have been gone in that state.
    pub forgotten: Version,
}

/// Which entities a download is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(pub BTreeSet<String>);

impl Scope {
    /// Whether it leaves nothing out.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }
    /// Whether it is about this entity.
    pub fn holds(&self, entity: &str) -> bool {
        self.is_all() || self.0.contains(entity)
    }
}

/// What the server holds of a tenant and a client.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// The tenant's counters.
    pub state: TenantState,
    /// Receipts of the client.
    pub receipts: u64,
    /// Open conflicts of the tenant.
    pub open_conflicts: u64,
    /// How far there is the client's trail, if any of it is.
    pub trail: Option<TrailHead>,
}

/// Which conflicts are asked for. Nothing in a field leaves nothing out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictFilter {
    /// Those of this user's clients.
    pub user: Option<String>,
    /// Those that another client than this one met.
    pub except: Option<ClientId>,
    /// Those over records of this entity.
    pub entity: Option<String>,
    /// Those over the record of this ID.
    pub record: Option<RecordId>,
    /// Those that are open, or those that are not.
    pub open: Option<bool>,
    /// Those after the one of this name.
    pub after: Option<String>,
}

/// A conflict with all that it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictRow {
    /// The conflict.
    pub conflict: Conflict,
    /// Whose client it is that met it.
    pub user: String,
    /// The text of the operation.
    pub operation: String,
    /// The record; nothing if even its tombstone is gone.
    pub server: Option<ServerState>,
    /// If it is deleted, what it was before.
    pub before: Option<Object>,
}

/// Some conflicts in the order of their names, read from one state of the store.
#[derive(Clone, Debug)]
pub struct ConflictRows {
    /// The rows.
    pub rows: Vec<ConflictRow>,
    /// Whether these are all.
    pub complete: bool,
    /// The tenant's counters in that state.
    pub state: TenantState,
}
