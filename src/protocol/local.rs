//! What the server says, in the form that the app works with: the client's side of [`crate::schema::Transform`].

use super::{Broken, HeldConflict, Outcome, Rejection, ServerState};
use crate::model::TempId;
use crate::schema::{Asked, Form, NoForm, Schema};

impl ServerState {
    /// In the form of the app; by the entity's name here.
    fn here(self, schema: &Schema, entity: &str, asked: &mut Asked<'_>) -> Result<Self, NoForm> {
        let data = self.data.as_ref().map(|data| schema.turned(entity, Form::Local, data, asked)).transpose()?;
        Ok(Self { data, field_stamps: schema.stamps_here(entity, self.field_stamps), ..self })
    }
}

impl Outcome {
    /// In the form of the app; by the entity's name here. A conflict with a record that has no form here is shown to nobody: its
    /// operation is parked. Sent again as it is, it would be given this answer for ever; a retry meets what the record is then.
    pub fn here(self, schema: &Schema, entity: &str, asked: &mut Asked<'_>) -> Self {
        let path = |path: String| schema.path_here(entity, &path);
        match self {
            Self::Conflict { conflict_id, kind, real_id, server, done, constraint } => {
                let server = match server.here(schema, entity, asked) {
                    Ok(server) => server,
                    Err(error) => return Self::unshown(&error, path),
                };
                let constraint = constraint.map(|broken| {
                    let data = broken.data.and_then(|data| schema.turned(entity, Form::Local, &data, asked).ok());
                    Box::new(Broken { fields: broken.fields.into_iter().map(path).collect(), data, ..*broken })
                });
                Self::Conflict { conflict_id, kind, real_id, server, done, constraint }
            }
            Self::Rejected { error } => {
                let mut faults = error.faults;
                for fault in &mut faults {
                    fault.path = path(std::mem::take(&mut fault.path));
                }
                Self::Rejected { error: Rejection { path: error.path.map(path), faults, ..error } }
            }
            Self::Duplicate { original } => Self::Duplicate { original: Box::new(original.here(schema, entity, asked)) },
            Self::Blocked { waits_for } => {
                let name = |text: String| TempId::parse(&text).map_or(text, |temp| schema.temp_in(Form::Local, temp).to_string());
                Self::Blocked { waits_for: waits_for.into_iter().map(name).collect() }
            }
            plain @ (Self::Applied { .. } | Self::Deferred { .. }) => plain,
        }
    }

    /// What stands for a conflict that cannot be shown.
    fn unshown(error: &NoForm, path: impl Fn(String) -> String) -> Self {
        let (code, message) = ("transform_failed".to_owned(), error.to_string());
        Self::Rejected { error: Rejection { code, message, path: Some(path(error.0.clone())), faults: Vec::new() } }
    }
}

impl HeldConflict {
    /// In the form of the app. One over an entity that is none of ours stays as it is.
    pub fn here(self, schema: &Schema, asked: &mut Asked<'_>) -> Result<Self, NoForm> {
        let Some(entity) = schema.here(self.entity.clone()) else { return Ok(self) };
        let operation = schema.operation_in(Form::Local, self.operation, asked)?;
        let server = self.server.here(schema, &entity, asked)?;
        let before = self.before.map(|data| schema.turned(&entity, Form::Local, &data, asked)).transpose()?;
        Ok(Self { entity, operation, server, before, ..self })
    }
}
