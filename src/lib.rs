//! FieldSync: records that an app reads and writes without a network, and that are later where they belong,
//! once, in order, with nothing lost and every conflict visible.
//!
//! # The model on one page
//!
//! A **record** belongs to an entity of the app's [`schema`] and has an ID: the server's, or until that is
//! known a **temp ID** that goes on naming the record for ever. A local write is one transaction of three
//! rows: the **overlay** shows it, the **outbox** holds the **operation** that sends it, the **audit** trail
//! proves it. It is *saved* when the browser has reported that transaction complete, under strict durability.
//!
//! What the server said last lies in the **base**, and a read is overlay over base. A **session** claims a
//! batch of operations (which seals them: their bytes never change again), uploads it, and stores the
//! outcomes: versions, mappings from temp to real IDs, conflicts, and what is **parked** because the server
//! can never apply it. Then it downloads what changed since its **checkpoint**, page by page. When a record
//! changed on both sides, pending operations are **rebased** over the newer state and judged field by field.
//!
//! # The rooms
//!
//! Decisions are pure: [`value`], [`model`], [`schema`], [`protocol`], [`plan`], [`query`], [`relations`],
//! [`conflict`], [`audit`], [`integrity`], [`metrics`], [`outbox`] and [`decide`] know no clock, no randomness, no network and no
//! JavaScript. A decision is a [`plan::Plan`] that names the rows it needs, sees them, and says what to
//! write. A [`store`] runs it in one transaction; the [`engine`] takes time and IDs, carries bytes through
//! the traits of [`platform`], and decides nothing. In the browser, `wasm` wires the adapters.
//! `tests/house.rs` holds who may know whom.
//!
//! # An example
//!
//! What a page does at its first save, with the store in memory in the place of IndexedDB:
//!
//! ```
//! use std::rc::Rc;
//! use fieldsync::decide::{GetRecord, Intent, LocalWrite, Planned, Wanted};
//! use fieldsync::model::{IdSource, RecordId};
//! use fieldsync::schema::Schema;
//! use fieldsync::store::{Durability, Store, memory::MemoryStore};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # futures_executor::block_on(async {
//! let schema = Schema::parse(r#"{"name": "clinic", "version": 1, "entities": {"pet": {"indexes": ["name"]}}}"#)?;
//! let (store, mut ids) = (MemoryStore::new(), IdSource::default());
//! let (now, random) = (1_700_000_000_000, [7; 10]); // the engine asks the device for these
//! let id: RecordId = ids.temp_id(now, random, "pet").into();
//! let write = LocalWrite {
//!     schema: Rc::new(schema),
//!     wanted: vec![Wanted {
//!         entity: "pet".to_owned(),
//!         intent: Intent::Create { id: id.clone(), data: serde_json::from_str(r#"{"name": "Rex"}"#)? },
//!         operation: ids.op_id(now, random),
//!     }],
//!     coalesce: true,
//!     now,
//!     user: "anna".to_owned(),
//!     generation: 0,
//!     dry: false,
//!     shown: None,
//!     ended: Rc::default(),
//!     keeps: false,
//!     along: Rc::default(),
//! };
//! let written = store.transact(Durability::Strict, Planned::new(write)).await??.map_err(|(_, error)| error)?;
//! assert!(written.operations[0].is_some());
//!
//! let read = GetRecord { entity: "pet".to_owned(), id, generation: 0 };
//! let record = store.read(Planned::new(read)).await??.expect("it was saved");
//! assert_eq!(record.data["name"], "Rex");
//! # Ok(())
//! # })
//! # }
//! ```

pub mod audit;
pub mod conflict;
pub mod decide;
pub mod engine;
pub mod integrity;
pub mod metrics;
pub mod model;
pub mod outbox;
pub mod plan;
pub mod planted;
pub mod platform;
pub mod protocol;
pub mod query;
pub mod relations;
pub mod schema;
pub mod store;
pub mod value;
#[cfg(all(target_arch = "wasm32", feature = "browser"))]
pub mod wasm;
