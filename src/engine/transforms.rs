//! The border between the form that the app works with and the form of the wire ([`crate::schema::Transform`]): what goes up
//! is turned when it is sealed, what comes down before anybody looks at it. Functions of the app are asked about all values of
//! a message at once, outside of transactions; who has no answer has no form there.

use serde_json::{Value, json};

use super::functions::{Matter, Sort};
use super::session::{SyncError, SyncResult};
use super::upload::Going;
use super::{Engine, EngineError};
use crate::model::Operation;
use crate::outbox::Item;
use crate::platform::Host;
use crate::protocol::Outcome;
use crate::schema::{Asked, Form, NoForm};
use crate::store::Store;
use crate::value::{Limits, Object, from_text, to_text};

const TRANSFORM: Sort = Sort {
    name: "transform",
    failed: "transform_failed",
    late: "transform_late",
    slow: "transform_slow",
    invalid: "transform_invalid",
    bounds: Limits::MESSAGE,
};

/// The code of what has no form there, whatever the reason.
const FAILED: &str = "transform_failed";

/// By what was asked, what was answered.
type Answers = Object;

fn key(entity: &str, field: &str, value: &Value) -> String {
    json!([entity, field, value]).to_string()
}

impl<S: Store, H: Host> Engine<S, H> {
    /// Does what turns values from one form into another, with what functions make of them. It is done twice where there are
    /// any: the first time only tells what they are asked. By reference: each caller's own would be code of its own.
    pub(super) async fn turned(&self, form: Form, turn: &mut dyn FnMut(&mut Asked<'_>)) {
        let mut answers = Answers::new();
        if self.inner.settings.schema.functions().next().is_some() {
            let mut questions: Vec<(String, String, Value)> = Vec::new();
            turn(&mut |entity, field, value| {
                if answers.insert(key(entity, field, value), Value::Null).is_none() {
                    questions.push((entity.to_owned(), field.to_owned(), value.clone()));
                }
                Some(Value::Null)
            });
            while let Some((first, ..)) = questions.first() {
                let entity = first.clone();
                let (asked, others) = questions.into_iter().partition(|(other, ..)| *other == entity);
                questions = others;
                self.ask_about(form, &entity, asked, &mut answers).await;
            }
        }
        // An answer is a list of one value, or nothing.
        turn(&mut |entity, field, value| answers.get(&key(entity, field, value))?.get(0).cloned());
    }

    /// Asks an entity's functions about values.
    async fn ask_about(&self, form: Form, entity: &str, questions: Vec<(String, String, Value)>, answers: &mut Answers) {
        let matter = Matter { entity, ..Matter::default() };
        let values: Vec<Value> = questions.iter().map(|(_, field, value)| json!([field, value])).collect();
        let about = json!({"to": if form == Form::Wire { "wire" } else { "local" }, "values": values});
        let Ok(answer) = self.consult(&TRANSFORM, matter, &about).await else { return };
        let said = match answer {
            Value::Array(said) if said.len() == questions.len() => Some(said),
            _ => None,
        };
        let Ok(said) = self.understood(&TRANSFORM, matter, said) else { return };
        if said.iter().any(Value::is_null) {
            self.warn(FAILED, matter);
        }
        for ((entity, field, value), said) in questions.iter().zip(said) {
            answers.insert(key(entity, field, value), said);
        }
    }

    /// The fields of a record in a form.
    async fn record_in(&self, form: Form, entity: &str, record: &Object) -> Result<Object, NoForm> {
        let mut made = Ok(Object::new());
        self.turned(form, &mut |asked| made = self.inner.settings.schema.turned(entity, form, record, asked)).await;
        made
    }

    /// Whether functions of the app turn values of an entity.
    pub(super) fn is_turned_by_functions(&self, entity: &str) -> bool {
        self.inner.settings.schema.functions().any(|(known, ..)| known == entity)
    }

    /// Refuses a record that has no form on the wire.
    pub(super) async fn has_form(&self, entity: &str, record: &Object) -> Result<(), EngineError> {
        self.record_in(Form::Wire, entity, record).await.map(drop).map_err(|error| {
            let details = json!({"entity": entity, "path": error.0});
            EngineError::with("transform_failed", &error.to_string(), details)
        })
    }

    /// Holds the functions to the examples in the declaration: there and back again, each is what it was.
    pub(super) async fn check_functions(&self) -> Result<(), EngineError> {
        let schema = &self.inner.settings.schema;
        for (entity, field, examples) in schema.functions() {
            for example in examples {
                let mut one = Object::new();
                one.insert(field.to_owned(), example.clone());
                let back = match self.record_in(Form::Wire, entity, &one).await {
                    Ok(there) => self.record_in(Form::Local, entity, &there).await,
                    Err(error) => Err(error),
                };
                if back.ok().as_ref().and_then(|back| back.get(field)) != Some(example) {
                    let path = format!("transforms.{entity}.{field}");
                    let message = format!("'{path}' does not make of an example's wire form the example again");
                    return Err(EngineError::with("bad_setting", &message, json!({"path": path, "example": example})));
                }
            }
        }
        Ok(())
    }

    /// What the server says of a batch, in the form of the app.
    pub(super) async fn outcomes_here(&self, going: &[Going], said: Vec<Outcome>) -> Vec<Outcome> {
        let schema = &self.inner.settings.schema;
        if !schema.is_transformed() {
            return said;
        }
        let mut outcomes = Vec::new();
        let mut here = |asked: &mut Asked<'_>| {
            let each = going.iter().zip(said.clone());
            outcomes = each.map(|(op, outcome)| outcome.here(schema, &op.entity, asked)).collect();
        };
        self.turned(Form::Local, &mut here).await;
        outcomes
    }

    /// The forms of a batch that its claim is to keep, by sequence: what is sealed goes up as it went up before. Parks what has
    /// none, with all that can only go together with it, and says so by nothing.
    pub(super) async fn forms(&self, going: &[Going], result: &mut SyncResult) -> Result<Option<Vec<(u64, String)>>, SyncError> {
        let schema = self.inner.settings.schema.clone();
        if !schema.is_transformed() {
            return Ok(Some(Vec::new()));
        }
        let operations: Vec<(u64, String, bool)> = {
            let (queue, seals, state) = (self.inner.queue.borrow(), self.inner.seals.borrow(), self.inner.state.borrow());
            let items = going.iter().filter_map(|op| queue.get(op.seq).map(|item| (op.seq, item)));
            let without = items.filter(|(_, item)| item.row.wire.is_none());
            let of = |(seq, item): (u64, &Item)| {
                // What was sealed before there was a transform went up as it is; what was written before has the server's form.
                let before = seals.contains(seq) || item.operation.schema < schema.version;
                let plain = before && state.was_plain(&schema, &item.operation.entity);
                (seq, item.row.body.clone(), plain)
            };
            without.map(of).collect()
        };
        let mut turned = Vec::new();
        let mut turn = |asked: &mut Asked<'_>| {
            let of = |(seq, body, plain): &(u64, String, bool)| {
                let operation = from_text::<Operation>(body).ok().filter(|_| !plain);
                let form = operation.map(|operation| schema.operation_in(Form::Wire, operation, asked).map(|form| to_text(&form)));
                (*seq, form.unwrap_or_else(|| Ok(body.clone())))
            };
            turned = operations.iter().map(of).collect();
        };
        self.turned(Form::Wire, &mut turn).await;
        let own = |seq: u64| {
            let op = going.iter().find(|op| op.seq == seq);
            op.and_then(|op| schema.entity(&op.entity)).is_some_and(|declared| declared.transform.is_some())
        };
        let (mut forms, mut formless) = (Vec::new(), Vec::new());
        for (seq, form) in turned {
            match form {
                // What only might refer to a record of another form needs none where it does not.
                Ok(text) if own(seq) || !operations.iter().any(|(known, body, _)| *known == seq && *body == text) => {
                    forms.push((seq, text))
                }
                Ok(_) => {}
                Err(error) => formless.push((seq, error)),
            }
        }
        let mut parked: Vec<u64> = Vec::new();
        for (seq, error) in formless.iter() {
            if parked.contains(seq) {
                continue;
            }
            let unit = self.inner.queue.borrow().unit(*seq);
            parked.extend(&unit);
            self.park(&self.going(&unit), FAILED, &error.to_string(), Some(error.0.clone()), result).await?;
        }
        Ok(formless.is_empty().then_some(forms))
    }
}
