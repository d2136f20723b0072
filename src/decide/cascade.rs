//! What a delete does to the records that refer to its own, by what is declared of their references: they stand in its
//! way, go too, or refer to nothing from then on. Only what is here is looked at; the server does the same to what it
//! alone has.

use super::cache::{Cache, Run, each};
use super::intent::{Place, WriteError, too_many};
use super::overlay::OverlayRow;
use super::rows::Seen;
use super::state::SyncState;
use super::work::Work;
use crate::model::RecordId;
use crate::protocol::limits::OPERATIONS_MAX;
use crate::relations::Named;
use crate::schema::{OnDelete, on_delete, unset_references};
use crate::value::Object;

/// The most IDs that a refusal names.
const DEPENDENTS_NAMED_MAX: usize = 20;

/// So many levels of records one transaction finds: those that refer to the one that goes, those that refer to these, and so on.
/// Each is a round of reading, of which a transaction has few ([`crate::plan::ROUNDS_MAX`]). What an earlier one found counts
/// for nothing: what refers to all of that is read in one round.
const LEVELS_MAX: usize = 3;

/// What follows a delete.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// Records that stay, with what they are to become: they refer to nothing that goes.
    pub(super) cleared: Vec<(OverlayRow, Object)>,
    /// Records that go too, those first that nobody refers to any more when they go; where they refer to each other in a
    /// circle, there is no such order.
    pub(super) gone: Vec<OverlayRow>,
}

impl Following {
    /// All of them, by name.
    pub(super) fn named(&self) -> Vec<Named> {
        self.cleared.iter().map(|(row, _)| row).chain(&self.gone).map(name).collect()
    }
    /// Whether nothing follows.
    pub(super) fn is_empty(&self) -> bool {
        self.cleared.is_empty() && self.gone.is_empty()
    }
}

fn name(row: &OverlayRow) -> Named {
    Named { entity: row.entity.clone(), id: row.id.clone() }
}

/// The refusal of a delete that these stand in the way of.
pub(super) fn has_dependents(entity: &str, id: RecordId, dependents: Vec<Named>) -> WriteError {
    let dependents = dependents.into_iter().take(DEPENDENTS_NAMED_MAX).map(|named| (named.entity, named.id)).collect();
    WriteError::HasDependents { entity: entity.to_owned(), id, dependents }
}

/// Finds what follows the delete of a record; or says who stands in its way. `ended` are records that count as gone, `along` those
/// that an earlier try found.
#[allow(clippy::too_many_arguments, reason = "what is stored, the record, and what is known of others")]
pub(super) fn following(
    db: &mut Cache,
    work: &Work<'_>,
    sync: &SyncState,
    place: Place<'_>,
    id: &RecordId,
    (ended, along): (&[Named], &[Named]),
) -> Run<Result<Following, WriteError>> {
    let schema = place.schema;
    let mut goes = Seen::default();
    goes.insert(place.entity, id);
    let (mut gone, mut cleared, mut in_the_way): (Vec<OverlayRow>, Vec<OverlayRow>, Vec<Named>) = Default::default();
    let mut known = Seen::default();
    for Named { entity, id } in along {
        known.insert(entity, id);
        Place { schema, entity }.prefetch_referring(db, sync, id);
        db.prefetch([OverlayRow::read_by_id(entity, id)]);
    }
    let mut depth = 0;
    let mut level = vec![(place.entity.to_owned(), id.clone())];
    while !level.is_empty() {
        let mut found: Vec<(usize, OverlayRow)> = Vec::new();
        // All of a level at once: a round of reading for each, however many records are in it.
        each(level.iter().enumerate(), |(at, (entity, id))| {
            let referring = Place { schema, entity }.referring(db, work, sync, id)?;
            found.extend(referring.into_iter().map(|row| (at, row)));
            Ok(())
        })?;
        let is_news = |entity: &str, id: &RecordId| !known.contains(entity, id);
        let news = level.iter().any(|(entity, id)| is_news(entity, id)) || found.iter().any(|(_, row)| is_news(&row.entity, &row.id));
        depth += usize::from(news);
        let mut next = Vec::new();
        for (at, row) in found {
            let Some((declared, view)) = schema.entity(&row.entity).zip(row.view.as_ref()) else { continue };
            let (entity, id) = &level[at];
            match on_delete(declared, view, &|target, held| target == entity && held == id) {
                _ if goes.contains(&row.entity, &row.id) => {}
                _ if ended.iter().any(|ended| ended.entity == row.entity && ended.id == row.id) => {}
                Some(OnDelete::Restrict) => in_the_way.push(name(&row)),
                Some(OnDelete::Cascade) => {
                    goes.insert(&row.entity, &row.id);
                    next.push((row.entity.clone(), row.id.clone()));
                    gone.push(row);
                }
                Some(OnDelete::SetNull) => cleared.push(row),
                None => {}
            }
        }
        if gone.len() + cleared.len() > OPERATIONS_MAX {
            return Ok(Err(too_many()));
        }
        // Who stands in the way already is told without the rest.
        if depth > LEVELS_MAX && !next.is_empty() && in_the_way.is_empty() {
            return Ok(Err(WriteError::Deeper { found: gone.iter().chain(&cleared).map(name).collect() }));
        }
        if depth > LEVELS_MAX {
            break;
        }
        level = next;
    }
    if !in_the_way.is_empty() {
        in_the_way.sort_unstable();
        in_the_way.dedup();
        return Ok(Err(has_dependents(place.entity, id.clone(), in_the_way)));
    }
    let mut seen = Seen::default();
    cleared.retain(|row| !goes.contains(&row.entity, &row.id) && seen.insert(&row.entity, &row.id));
    let clear = |row: OverlayRow| {
        let mut data = row.view.clone().unwrap_or_default();
        if let Some(declared) = schema.entity(&row.entity) {
            unset_references(declared, &mut data, &|entity, id| goes.contains(entity, id));
        }
        (row, data)
    };
    gone.reverse();
    Ok(Ok(Following { cleared: cleared.into_iter().map(clear).collect(), gone }))
}
