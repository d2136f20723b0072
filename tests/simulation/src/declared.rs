//! What the schema of a run declares. The plainest has references and a few rules for conflicts; each further part is on
//! in some runs and off in the others, so that neither hides what the other comes by.

use std::rc::Rc;

use fieldsync::schema::Schema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::executor::Owner;
use crate::plan::{Action, What};
use crate::random::{Random, mix};

/// The parts of a run's schema that can be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Declared {
    /// What becomes of records when the one that they refer to is deleted, values that only one record may have, and what
    /// fields may hold.
    pub relations: bool,
    /// The audit trail goes up to the server, and what is old enough is let go.
    pub trail: bool,
}

/// The entities of every run.
const SCHEMA: &str = r#"{"name": "clinic", "version": 1, "entities": {
    "client": {"indexes": ["name"]},
    "pet": {"references": {"clientId": "client", "motherId": "pet"}, "conflicts": {"fields": {"dose": "manual"}}},
    "appointment": {"references": {"petId": "pet", "clientId": "client"}},
    "note": {"references": {"appointmentId": "appointment"}, "key": "text"},
    "tag": {"key": "uuid"},
    "product": {"conflicts": {"default": "client-wins", "fields": {"stock": "counter", "labels": "set", "parts": {"list": "id"}}}},
    "order": {"references": {"lines[].productId": "product", "clientId": "client"}, "conflicts": {"default": "server-wins"}}}}"#;

/// A release later: other indexes and another entity.
const NEXT: &str = r#"{"version": 2, "entities": {
    "client": {"indexes": ["name", "phone"]}, "pet": {"indexes": ["name"]}, "invoice": {"references": {"clientId": "client"}}}}"#;

/// Orders and invoices stand in the way of a client's delete; pets go with him, and appointments with them.
const RELATIONS: &str = r#"{"entities": {
    "client": {"unique": [["code"]]},
    "pet": {"onDelete": {"clientId": "cascade", "motherId": "set-null"}},
    "appointment": {"onDelete": {"petId": "cascade", "clientId": "set-null"}},
    "order": {"onDelete": {"lines[].productId": "set-null"}}}}"#;

/// What only the next release knows of fields, and the server.
const FIELDS: &str = r#"{"entities": {"client": {"fields": {"age": {"type": "integer", "min": 0, "max": 100}}}}}"#;

impl Declared {
    /// What the run of a seed has. From a source of its own: no other draw depends on it.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed, 8);
        Self { relations: random.chance(350), trail: random.chance(300) }
    }

    /// What happens in a run beside the rest: where anything is let go, some days pass.
    pub(crate) fn days(self, seed: u64, contexts: usize, length: u64) -> Vec<Action> {
        if !self.trail {
            return Vec::new();
        }
        let mut random = Random::new(seed, 10);
        let at = random.between(length / 3, length);
        let actor = Owner::try_from(random.place(contexts) + 1).unwrap_or(1);
        let days = i64::try_from(random.between(1, 5)).unwrap_or(1) * 86_400_000;
        [What::Jump(days), What::ServerJump(days)].into_iter().map(|what| Action { at, actor, what }).collect()
    }

    /// The schema of a release of the app.
    pub(crate) fn schema(self, next: bool) -> Rc<Schema> {
        let parts = [(true, SCHEMA), (next, NEXT), (self.relations, RELATIONS), (self.relations && next, FIELDS)];
        let mut whole = Value::Null;
        for (_, part) in parts.iter().filter(|(there, _)| *there) {
            put_into(&mut whole, serde_json::from_str(part).expect("the schema of the simulation is JSON"));
        }
        Rc::new(Schema::parse(&whole.to_string()).expect("the schema of the simulation is one"))
    }

    /// What a write of a record has beside its own fields, by what is declared of them: values that others may have too, and
    /// now and then one that is none.
    pub(crate) fn fields(self, entity: &str, number: u64) -> Map<String, Value> {
        let mut fields = Map::new();
        let drawn = mix(number, 88);
        if self.relations && entity == "client" && drawn.is_multiple_of(2) {
            fields.insert("code".to_owned(), json!((drawn >> 8) % 40));
            fields.insert("age".to_owned(), json!((drawn >> 16) % 110));
        }
        fields
    }
}

/// Objects into objects, anything else in the place of what was there.
fn put_into(whole: &mut Value, part: Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                put_into(whole.entry(name).or_insert(Value::Null), value);
            }
        }
        (whole, part) => *whole = part,
    }
}
