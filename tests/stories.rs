//! Stories: what happens to people, told against the shipped engine and the production handlers of the
//! server. Each is one hole that a sync client can fall into (DESIGN 5.4, 5.5, 5.11, 5.12), or one promise.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "test support is not an API")]

#[path = "stories/network.rs"]
mod network;
#[path = "stories/parts.rs"]
mod parts;
#[path = "stories/raw.rs"]
mod raw;
#[path = "stories/records.rs"]
mod records;
#[path = "stories/telling.rs"]
mod telling;
#[path = "stories/world.rs"]
mod world;

#[path = "stories/alerts.rs"]
mod alerts;
#[path = "stories/awaited.rs"]
mod awaited;
#[path = "stories/batches.rs"]
mod batches;
#[path = "stories/carried.rs"]
mod carried;
#[path = "stories/cascades.rs"]
mod cascades;
#[path = "stories/cells.rs"]
mod cells;
#[path = "stories/chains.rs"]
mod chains;
#[path = "stories/circles.rs"]
mod circles;
#[path = "stories/conflict_store.rs"]
mod conflict_store;
#[path = "stories/conflicts.rs"]
mod conflicts;
#[path = "stories/constraints.rs"]
mod constraints;
#[path = "stories/damaged.rs"]
mod damaged;
#[path = "stories/dangling.rs"]
mod dangling;
#[path = "stories/decided.rs"]
mod decided;
#[path = "stories/detection.rs"]
mod detection;
#[path = "stories/followed.rs"]
mod followed;
#[path = "stories/functions.rs"]
mod functions;
#[path = "stories/given_up.rs"]
mod given_up;
#[path = "stories/groups.rs"]
mod groups;
#[path = "stories/held.rs"]
mod held;
#[path = "stories/held_decided.rs"]
mod held_decided;
#[path = "stories/held_deleted.rs"]
mod held_deleted;
#[path = "stories/holes.rs"]
mod holes;
#[path = "stories/hostile.rs"]
mod hostile;
#[path = "stories/integrity.rs"]
mod integrity;
#[path = "stories/items.rs"]
mod items;
#[path = "stories/lifetimes.rs"]
mod lifetimes;
#[path = "stories/log.rs"]
mod log;
#[path = "stories/looking_over.rs"]
mod looking_over;
#[path = "stories/mapping.rs"]
mod mapping;
#[path = "stories/meanwhile.rs"]
mod meanwhile;
#[path = "stories/meanwhile_merged.rs"]
mod meanwhile_merged;
#[path = "stories/merging.rs"]
mod merging;
#[path = "stories/orphans.rs"]
mod orphans;
#[path = "stories/pausing.rs"]
mod pausing;
#[path = "stories/refusals.rs"]
mod refusals;
#[path = "stories/refused_changes.rs"]
mod refused_changes;
#[path = "stories/repair.rs"]
mod repair;
#[path = "stories/restored_conflicts.rs"]
mod restored_conflicts;
#[path = "stories/restores.rs"]
mod restores;
#[path = "stories/resyncs.rs"]
mod resyncs;
#[path = "stories/retention.rs"]
mod retention;
#[path = "stories/rules.rs"]
mod rules;
#[path = "stories/schedule.rs"]
mod schedule;
#[path = "stories/selections.rs"]
mod selections;
#[path = "stories/starving.rs"]
mod starving;
#[path = "stories/stealing.rs"]
mod stealing;
#[path = "stories/tabs.rs"]
mod tabs;
#[path = "stories/taken_back.rs"]
mod taken_back;
#[path = "stories/trail.rs"]
mod trail;
#[path = "stories/trail_content.rs"]
mod trail_content;
#[path = "stories/trail_kept.rs"]
mod trail_kept;
#[path = "stories/trail_up.rs"]
mod trail_up;
#[path = "stories/transform_functions.rs"]
mod transform_functions;
#[path = "stories/transforms.rs"]
mod transforms;
#[path = "stories/uniques.rs"]
mod uniques;
#[path = "stories/unjudged.rs"]
mod unjudged;
#[path = "stories/validated_decisions.rs"]
mod validated_decisions;
#[path = "stories/validation.rs"]
mod validation;
#[path = "stories/validators.rs"]
mod validators;
