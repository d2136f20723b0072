//! Room `decide`: the plans. A file holds a decision that is taken over stored rows in one transaction (a local write, a
//! claim for sending, the outcomes of an upload, a downloaded page, the resolution of a conflict, a look at quarantine, a
//! part of a check, a read), or what several decisions share: the rows and their keys, the view of a record, what no two
//! records share, what the schema says of fields. All of it is pure: rows in, rows out.
//!
//! A decision is written as a function that asks the [`Cache`] for rows as it goes and stops with `?` where
//! one is not there yet; [`Planned`] fetches what was asked for and runs it again from the top. That keeps a
//! decision readable as one story, however many rounds of reading it takes.
//!
//! Knows every pure room.

mod asking;
mod audit;
mod awaited;
mod cache;
mod cascade;
mod chain;
mod check;
mod circle;
mod claim;
mod conflicts;
mod constraint;
mod damaged;
mod effects;
mod epoch;
mod grounds;
mod held;
mod ids;
mod incoming;
mod intent;
mod items;
mod load;
mod look;
mod meanwhile;
mod mend;
mod merge;
mod orphans;
mod outcomes;
mod overlay;
mod page;
mod purge_trail;
mod quarantine;
mod read;
mod rebase;
mod resolve;
mod resync;
mod retention;
mod rows;
mod session;
mod settle;
mod shown;
mod state;
mod take_back;
mod transfer;
mod unique;
mod valid;
mod wipe;
mod work;
mod write;
mod writing;
mod written;

pub use asking::{Asked, Asking};
pub use audit::{
    Gap, Point, Remember, Rows, Verifying, all_conflicts, all_sessions, last_check, open_conflicts, page_after, page_of, rows_about,
    trail_refused,
};
pub use cache::{Cache, Corrupt, Decision, Planned, Stop};
pub use chain::Fresh;
pub use check::{CheckRows, Checked};
pub use circle::OpenCircle;
pub use claim::{Claim, Claimed, Follower, Stands};
pub use conflicts::{ConflictCounts, ConflictPage, CountConflicts, IndexConflicts, ListConflicts};
pub use effects::{Effects, Settled};
pub use epoch::ChangeEpoch;
pub use held::KeepHeld;
pub use ids::{MapId, Mapping, ResolveId};
pub use incoming::{Incoming, with_id};
pub use intent::{Intent, WriteError};
pub use items::{Discard, ItemError, Retry};
pub use load::{Load, Loaded, OpenDevice, Opened};
pub use mend::Mend;
pub use orphans::{CheckReferences, EndOrphan, Ended, OrphanError, Walk};
pub use outcomes::{Outcomes, Sent};
pub use overlay::{OpRef, RecordState, RecordView};
pub use page::{ApplyPage, PageResult};
pub use purge_trail::PurgeTrail;
pub use quarantine::{InQuarantine, LookAtQuarantine, Quarantined, Validated};
pub use read::{CountRecords, GetRecord, QueryRecords};
pub use rebase::ServerClock;
pub use resolve::{Preview, Resolution, Resolve, ResolveError, Resolved};
pub use resync::BeginResync;
pub use retention::{Purge, PurgeAt, Purged, Retention};
pub use rows::{Device, IdRow};
pub use session::LogSession;
pub use settle::Settle;
pub use shown::Present;
pub use state::{Filling, Scope, SetPaused, SyncState};
pub use take_back::{TakeBack, TakeBackError, TakenBack, Wish};
pub use transfer::{Carried, Export, Import, Unsent};
pub use wipe::Wipe;
pub use write::{LocalWrite, Wanted, Written};
