//! From the local form to the wire form and back, as [`super::transform`] declares it: names, values, whole operations.
//!
//! What a function of the app makes of a value comes through [`Asked`]: whoever calls runs the same twice, once to learn what
//! is asked, and once with the answers.

use serde_json::Value;

use super::transform::Convert;
use super::{Entity, Fault, Schema, Transform, fold_delta, map_references, unfold_delta};
use crate::model::{Action, Operation, RecordId, Stamp, TempId};
use crate::value::{Change, Delta, Object, Pointer, Sorted};

/// Gives what a function makes of a value: by the entity and the field here, and the value. Nothing where it makes none.
pub type Asked<'a> = dyn FnMut(&str, &str, &Value) -> Option<Value> + 'a;

/// To where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// To the form that the app works with.
    Local,
    /// To the form that goes over the wire.
    Wire,
}

/// A field that has no value in the other form: by its name in the form that it is in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transform has no value for the field '{0}'")]
pub struct NoForm(pub String);

/// What a transform makes of a field's name: another, the same, or nothing.
enum Called<'t> {
    Own(&'t str),
    Dropped,
    /// It is another field's.
    Taken,
}

impl Transform {
    fn called<'t>(&'t self, form: Form, name: &'t str) -> Called<'t> {
        let named = |field: &'t super::FieldTransform| field.name.as_deref();
        match form {
            Form::Wire if self.fields.get(name).is_none() && self.is_taken(name) => Called::Taken,
            Form::Wire => Called::Own(self.fields.get(name).and_then(named).unwrap_or(name)),
            Form::Local if self.constants.contains_key(name) || self.drop.iter().any(|dropped| dropped == name) => Called::Dropped,
            Form::Local => match self.renamed(name) {
                Some(own) => Called::Own(own),
                None if self.fields.get(name).and_then(named).is_some_and(|there| there != name) => Called::Taken,
                None => Called::Own(name),
            },
        }
    }

    /// The name of a field in a form, and its value; nothing where it is none there.
    fn field(
        &self,
        entity: &str,
        form: Form,
        (name, value): (&str, &Value),
        asked: &mut Asked<'_>,
    ) -> Result<Option<(String, Value)>, NoForm> {
        let wrong = || NoForm(name.to_owned());
        let to = match self.called(form, name) {
            Called::Own(to) => to,
            Called::Dropped => return Ok(None),
            Called::Taken => return Err(wrong()),
        };
        let own = if form == Form::Wire { name } else { to };
        let value = match self.fields.get(own).and_then(|field| field.convert.as_ref()) {
            None => Some(value.clone()),
            Some(_) if value.is_null() => Some(Value::Null),
            Some(Convert::Function(_)) if form == Form::Wire && value.is_object() => None,
            // In the local form it must be one whose changes can be told.
            Some(Convert::Function(_)) => asked(entity, own, value).filter(|value| form == Form::Wire || !value.is_object()),
            Some(convert) if form == Form::Wire => convert.there(value),
            Some(convert) => convert.here(value),
        };
        value.map(|value| Some((to.to_owned(), value))).ok_or_else(wrong)
    }

    fn delta(&self, entity: &str, form: Form, delta: &Delta, asked: &mut Asked<'_>) -> Result<Delta, NoForm> {
        let mut turned = Delta::default();
        for (pointer, change) in delta.changes() {
            let top = pointer.keys().next().unwrap_or_default().into_owned();
            let inner = pointer.inside(&Pointer::field(&top));
            let own = match self.called(form, &top) {
                Called::Own(to) if form == Form::Local => to,
                _ => &top,
            };
            let converted = self.fields.get(own).is_some_and(|field| field.convert.is_some());
            let set = match (&inner, change) {
                (None, Change::Set(value)) => value,
                (Some(_), _) | (None, Change::Add(_) | Change::List(_)) if converted => return Err(NoForm(top)),
                _ => &Value::Null,
            };
            let Some((name, value)) = self.field(entity, form, (&top, set), asked)? else { continue };
            let field = Pointer::field(&name);
            match (inner, change) {
                (None, Change::Set(_)) => turned.insert(field, Change::Set(value)),
                (inner, change) => turned.insert(inner.map_or(field.clone(), |inner| field.below(&inner)), change.clone()),
            }
        }
        Ok(turned)
    }
}

impl Entity {
    /// The fields of a record in a form. A field that is nothing there takes what is declared for that.
    fn record(&self, entity: &str, form: Form, data: &Object, asked: &mut Asked<'_>) -> Result<Object, NoForm> {
        let Some(transform) = &self.transform else { return Ok(data.clone()) };
        let mut turned = Object::new();
        for (name, value) in data {
            turned.extend(transform.field(entity, form, (name, value), asked)?);
        }
        for (own, field) in transform.fields.iter().filter(|_| form == Form::Local) {
            if let Some(default) = field.default.as_ref().filter(|_| turned.get(own).is_none_or(Value::is_null)) {
                turned.insert(own.clone(), default.clone());
            }
        }
        Ok(turned)
    }

    /// What of a record has no wire form, but for what functions say.
    pub(super) fn formless(&self, data: &Object) -> Vec<Fault> {
        let Some(transform) = &self.transform else { return Vec::new() };
        let of =
            |(name, value): (&String, &Value)| transform.field("", Form::Wire, (name, value), &mut |_, _, value| Some(value.clone())).err();
        data.iter().filter_map(of).map(|NoForm(path)| Fault { path, rule: "transform".to_owned(), message: None }).collect()
    }
}

impl Schema {
    /// What an entity is called there.
    pub fn there<'s>(&'s self, entity: &'s str) -> &'s str {
        let declared = self.entity(entity).and_then(|declared| declared.transform.as_ref());
        declared.and_then(|transform| transform.entity.as_deref()).unwrap_or(entity)
    }

    /// What an entity of the wire is called here; nothing where it is none of ours.
    pub fn here(&self, there: String) -> Option<String> {
        // Most have no other name, and are found at once.
        if self.entities.contains_key(&there) && self.there(&there) == there {
            return Some(there);
        }
        self.entities.keys().find(|name| self.there(name) == there).cloned()
    }

    /// The fields of a record in a form; by the entity's name here.
    pub fn turned(&self, entity: &str, form: Form, data: &Object, asked: &mut Asked<'_>) -> Result<Object, NoForm> {
        self.entity(entity).map_or_else(|| Ok(data.clone()), |declared| declared.record(entity, form, data, asked))
    }

    /// A path of an entity as the wire names it, as it is named here.
    pub fn path_here(&self, entity: &str, path: &str) -> String {
        let (top, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
        match self.entity(entity).and_then(|declared| declared.transform.as_ref()).map(|transform| transform.called(Form::Local, top)) {
            Some(Called::Own(own)) => [own, rest].concat(),
            _ => path.to_owned(),
        }
    }

    /// The stamps of fields as the wire names them, by their names here.
    pub fn stamps_here(&self, entity: &str, stamps: Sorted<String, Stamp>) -> Sorted<String, Stamp> {
        self.renamed(entity, Form::Local, stamps)
    }

    fn renamed(&self, entity: &str, form: Form, stamps: Sorted<String, Stamp>) -> Sorted<String, Stamp> {
        let Some(transform) = self.entity(entity).and_then(|declared| declared.transform.as_ref()) else { return stamps };
        let mut renamed = Sorted::new();
        for (name, stamp) in stamps.iter() {
            if let Called::Own(to) = transform.called(form, name) {
                renamed.insert(to.to_owned(), *stamp);
            }
        }
        renamed
    }

    /// A temp ID in a form: it ends in the name of its entity.
    pub fn temp_in(&self, form: Form, temp: TempId) -> TempId {
        let name = if form == Form::Wire { Some(self.there(temp.entity()).to_owned()) } else { self.here(temp.entity().to_owned()) };
        name.filter(|name| name != temp.entity()).map_or(temp.clone(), |name| temp.under(&name))
    }

    /// Brings the temp IDs at the references of an action, which is in the form of the app, into a form.
    fn name_temps_of(&self, declared: &Entity, form: Form, action: &mut Action) {
        let mut name = |_: &str, id: &RecordId| Some(self.temp_in(form, id.as_temp()?).into());
        match action {
            Action::Create { data } => drop(map_references(declared, data, &mut name)),
            Action::Update { delta } => {
                let mut folded = fold_delta(delta);
                if map_references(declared, &mut folded, &mut name) {
                    unfold_delta(delta, folded);
                }
            }
            Action::Delete => {}
        }
    }

    /// An operation in a form. One whose entity is none of ours stays as it is.
    pub fn operation_in(&self, form: Form, operation: Operation, asked: &mut Asked<'_>) -> Result<Operation, NoForm> {
        let here = if form == Form::Wire { Some(operation.entity.clone()) } else { self.here(operation.entity.clone()) };
        let Some((here, declared)) = here.and_then(|here| Some((here.clone(), self.entity(&here)?))) else { return Ok(operation) };
        let mut action = operation.action;
        // References are declared in the form of the app.
        if form == Form::Wire {
            self.name_temps_of(declared, form, &mut action);
        }
        if let Some(transform) = &declared.transform {
            action = match action {
                Action::Create { data } => {
                    let mut data = declared.record(&here, form, &data, asked)?;
                    if form == Form::Wire {
                        data.extend(transform.constants.clone());
                    }
                    Action::Create { data }
                }
                Action::Update { delta } => Action::Update { delta: transform.delta(&here, form, &delta, asked)? },
                Action::Delete => Action::Delete,
            };
        }
        if form == Form::Local {
            self.name_temps_of(declared, form, &mut action);
        }
        let record = operation.record.as_temp().map_or(operation.record, |temp| self.temp_in(form, temp).into());
        let stamps = self.renamed(&here, form, operation.stamps);
        let entity = if form == Form::Wire { self.there(&here).to_owned() } else { here };
        Ok(Operation { entity, record, action, stamps, ..operation })
    }
}
