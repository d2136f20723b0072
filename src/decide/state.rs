//! Where a database stands against the server: one row of `state`, read by every page and every session.

use serde::{Deserialize, Serialize};

use super::cache::{Cache, Decision, Run};
use super::rows::row;
use crate::model::{Epoch, Version};
use crate::plan::{Read, Row, Table, Write, WriteBatch};
use crate::schema::{Entity, Schema};

/// Between an entity and the version of its transform, in what is covered: no name of an entity has it.
const AS_TURNED: &str = "@";

/// Where this database stands against the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncState {
    /// The server's lineage; none before the first answer.
    pub epoch: Option<Epoch>,
    /// The position of the last page.
    pub checkpoint: Option<String>,
    /// Which generation of `base` is visible.
    pub generation: u64,
    /// Up to here everything is known.
    pub through: Option<Version>,
    /// Server time minus device time, ms, as last measured.
    pub offset_ms: i64,
    /// The newest schema version that has downloaded here: what an older one would leave out, it must not touch.
    pub schema: u32,
    /// Entities, `entity.path` of their indexes and `entity@version` of their transforms, that every row of `base` was written
    /// under.
    pub covers: Vec<String>,
    /// What a download from the beginning, now under way, will have covered at its end.
    pub covering: Option<Vec<String>>,
    /// The resync that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filling: Option<Filling>,
    /// Whether the user wants no session until told otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Whether conflicts that other devices met are open here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Entities of which more is here than of all the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
}

/// A resync under way: everything is downloaded anew into a generation that nobody sees yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filling {
    /// Which generation.
    pub generation: u64,
    /// The position of its last page; nothing before the first.
    pub checkpoint: Option<String>,
}

/// A download of one entity that went further than that of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Which entity.
    pub entity: String,
    /// The position of its last page.
    pub checkpoint: String,
    /// Up to here everything of it is known.
    pub through: Option<Version>,
}

impl SyncState {
    /// Reads it.
    pub fn read() -> Read {
        Read::Get(Table::State, "sync".into())
    }
    /// What a schema wants covered.
    pub fn wanted(schema: &Schema) -> Vec<String> {
        let mut wanted = Vec::new();
        for (name, entity) in schema.entities.iter() {
            wanted.push(name.clone());
            wanted.extend(entity.transform.as_ref().map(|transform| format!("{name}{AS_TURNED}{}", transform.version)));
            wanted.extend(entity.index_paths().map(|path| format!("{name}.{}", path.as_str())));
            wanted.extend(entity.unique.iter().map(|paths| format!("{name}.{}", Entity::unique_name(paths))));
        }
        wanted
    }
    /// Whether what was sent of this entity before today went up in the form that it has here.
    pub fn was_plain(&self, schema: &Schema, entity: &str) -> bool {
        let own = schema.entity(entity).is_some_and(|declared| declared.transform.is_some());
        // One without a form of its own may refer to one that has.
        let turned = |covered: &String| covered.split_once(AS_TURNED).is_some_and(|(of, _)| !own || of == entity);
        self.checkpoint.is_some() && !self.covers.iter().any(turned)
    }
    /// Up to here everything of an entity is known. Of one that was declared since, nothing is.
    pub(super) fn through_of(&self, entity: &str) -> Option<Version> {
        self.through.filter(|_| self.covers.iter().any(|covered| covered == entity))
    }
    /// Whether every row of `base` has its entries in this index.
    pub(super) fn is_indexed(&self, entity: &str, path: &str) -> bool {
        self.covers.iter().any(|covered| covered.strip_prefix(entity).and_then(|rest| rest.strip_prefix('.')) == Some(path))
    }
    /// Whether the app has declared what `base` was not filled under: everything is downloaded anew then, once.
    pub fn is_behind(&self, schema: &Schema) -> bool {
        let under_way = self.covering.as_ref().unwrap_or(&self.covers);
        let wanted = Self::wanted(schema);
        // What came in another form than that of today is as good as not here.
        let otherwise = |covered: &String| covered.contains(AS_TURNED) && !wanted.contains(covered);
        (self.checkpoint.is_some() || self.filling.is_some())
            && (wanted.iter().any(|wanted| !under_way.contains(wanted)) || under_way.iter().any(otherwise))
    }
    /// Whether a newer release of the app downloads here. An older one would skip what only that one declares.
    pub fn is_ahead(&self, schema: &Schema) -> bool {
        self.schema > schema.version
    }
    /// Whether the whole position is the same: what was asked for on the one may be stored on the other.
    pub fn stands_where(&self, other: &Self) -> bool {
        let same = (&self.checkpoint, &self.filling, &self.scopes) == (&other.checkpoint, &other.filling, &other.scopes);
        same && (self.generation, self.schema) == (other.generation, other.schema)
    }
    /// The checkpoint from which a download goes on, of everything or of one entity.
    pub fn goes_on_from(&self, scope: Option<&str>) -> Option<&String> {
        match (&self.filling, self.scopes.iter().find(|known| Some(known.entity.as_str()) == scope)) {
            (Some(filling), _) => filling.checkpoint.as_ref(),
            (None, Some(scope)) => Some(&scope.checkpoint),
            (None, None) => self.checkpoint.as_ref(),
        }
    }
    /// As a row.
    pub fn row(&self) -> Row {
        row("sync".into(), self)
    }
}

/// Keeps every context of this database from syncing, or lets them again. Outlives a reload.
#[derive(Clone, Debug)]
pub struct SetPaused {
    /// Which.
    pub paused: bool,
}

impl Decision for SetPaused {
    type Out = ();
    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, ())> {
        let mut sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        if sync.paused == self.paused {
            return Ok((Vec::new(), ()));
        }
        sync.paused = self.paused;
        Ok((vec![Write::Put(Table::State, sync.row())], ()))
    }
}
