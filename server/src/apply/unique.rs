//! Constraints over several records: what one live record holds, no other of its entity and tenant takes. Whoever asks for it
//! meets a conflict, which a person ends. What a record holds already is asked of nobody, so that records which were there
//! before a constraint was declared can be changed.

use fieldsync::model::Version;
use fieldsync::planted::{Bug, is};
use fieldsync::protocol::{Broken, ConflictKind, Outcome, ServerState};
use fieldsync::value::Object;

use super::judge::Clash;
use super::{Context, Incoming, Stop, Working};
use crate::store::{Record, RecordKey, UniqueKey};

/// What an operation would take, and who holds it.
pub(super) struct Taken {
    /// The record that the operation is about; nothing if it would have created one.
    pub(super) key: Option<RecordKey>,
    /// The paths of the constraint.
    pub(super) fields: Vec<String>,
    /// The other record.
    pub(super) holder: RecordKey,
}

/// What a record with these fields holds for itself.
pub(super) fn holds(context: &Context<'_>, entity: &str, data: Option<&Object>) -> Vec<UniqueKey> {
    let held = context.schema.entity(entity).zip(data).map(|(declared, data)| declared.holdings(data));
    held.into_iter().flatten().map(|holding| UniqueKey { entity: entity.to_owned(), holding }).collect()
}

/// Whether a record with these fields would take what another one holds.
pub(super) fn taken_from(
    view: &Working,
    context: &Context<'_>,
    key: &RecordKey,
    before: Option<&Record>,
    data: &Object,
) -> Result<Option<Taken>, Stop> {
    let Some(declared) = context.schema.entity(&key.entity) else { return Ok(None) };
    for holding in declared.taken(before.and_then(|before| before.data.as_ref()), data) {
        let unique = UniqueKey { entity: key.entity.clone(), holding };
        let Some(holder) = view.holder(&unique, key)?.filter(|_| !is(Bug::ServerUniqueIgnored)) else { continue };
        // Asked for here, so that it is there when the conflict is opened.
        view.record(holder)?;
        let (key, fields) = (before.map(|before| before.key.clone()), declared.unique_fields(&unique.holding.name));
        return Ok(Some(Taken { key, fields, holder: holder.clone() }));
    }
    Ok(None)
}

impl Working {
    /// Opens a conflict over a constraint. Of a record that is not there is no copy: only its device has it.
    pub(super) fn refuse(&mut self, context: &Context<'_>, incoming: &Incoming<'_>, fresh: &str, taken: Taken) -> Outcome {
        let holder = self.record(&taken.holder).ok().flatten();
        let (version, data) = (holder.map(|record| record.version), holder.and_then(|record| record.data.clone()));
        let constraint = Some(Box::new(Broken { fields: taken.fields, id: taken.holder.id, version, data }));
        let record = taken.key.and_then(|key| self.record(&key).ok().flatten().cloned());
        let kind = ConflictKind::Constraint;
        match record {
            Some(record) => self.open(context, incoming, fresh, &record, Clash { kind, done: false }, constraint),
            None => Outcome::Conflict {
                conflict_id: fresh.to_owned(),
                kind,
                real_id: None,
                server: ServerState::plain(Version::LOST, None),
                done: false,
                constraint,
            },
        }
    }

    /// Whether what stands against an operation came with its group.
    pub(super) fn came_since(&self, before: Version, taken: &Taken) -> bool {
        self.record(&taken.holder).ok().flatten().is_some_and(|record| record.version > before)
    }
}
