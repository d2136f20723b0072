//! The synchronous questions about references and order that an app may ask for its own use.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::EngineError;
use crate::model::{Base, Kind, OpId, RecordId};
use crate::relations::{Graph, Places, Why, needs};
use crate::schema::{Schema, check_references, references};
use crate::value::{Object, to_value};

/// The references of a document by their path: one ID, or a list where the path names a list.
pub fn extract(schema: &Schema, entity: &str, data: &Object) -> Result<Value, EngineError> {
    let declared = schema.entity(entity).ok_or_else(|| unknown(entity))?;
    let mut found: Map<String, Value> = Map::new();
    for reference in references(declared, data) {
        let id = reference.id.to_value();
        if !reference.path.contains("[]") {
            found.insert(reference.path, id);
        } else if let Value::Array(ids) = found.entry(reference.path).or_insert_with(|| json!([])) {
            ids.push(id);
        }
    }
    Ok(Value::Object(found))
}

/// Whether every reference of a document could be one.
pub fn validate(schema: &Schema, entity: &str, data: &Object) -> Result<Value, EngineError> {
    let declared = schema.entity(entity).ok_or_else(|| unknown(entity))?;
    let errors: Vec<Value> = check_references(declared, data)
        .err()
        .into_iter()
        .map(|error| json!({"path": error.path, "code": "invalid_reference", "message": error.to_string()}))
        .collect();
    Ok(json!({"valid": errors.is_empty(), "errors": errors}))
}

fn unknown(entity: &str) -> EngineError {
    EngineError::new("unknown_entity", &format!("the schema has no entity '{entity}'"))
}

/// An operation as JavaScript shows it, as far as ordering needs it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: OpId,
    seq: u64,
    entity: String,
    record_id: RecordId,
    kind: Kind,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    base: Option<Base>,
    #[serde(default)]
    supersedes: Option<OpId>,
}

/// One operation with what comes before it.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    operation: Value,
    depends_on: Vec<OpId>,
    fields: Vec<String>,
}

/// The dependency graph of operations.
pub fn build_graph(schema: &Schema, operations: Vec<Value>) -> Result<Value, EngineError> {
    let (mut nodes, mut places) = (Vec::new(), Places::default());
    for operation in &operations {
        let shown: Shown = read(operation)?;
        let set = match shown.kind {
            Kind::Create => shown.data.as_object().cloned(),
            Kind::Update => crate::value::from_value(&shown.data).ok().map(|delta| crate::schema::fold_delta(&delta)),
            Kind::Delete => None,
        };
        let set = schema.entity(&shown.entity).zip(set).map(|(entity, set)| references(entity, &set)).unwrap_or_default();
        nodes.push(crate::relations::Node {
            place: places.operation(&shown.id),
            record: places.record(&shown.entity, &shown.record_id),
            id: shown.id,
            seq: shown.seq,
            kind: shown.kind,
            after: shown.base.as_ref().and_then(Base::follows).map(|id| places.operation(id)),
            supersedes: shown.supersedes.iter().map(|id| places.operation(id)).collect(),
            needs: needs(set, &mut places),
            drops: Vec::new(),
            group: None,
            lane: 0,
        });
    }
    let graph = Graph::build(&nodes.iter().collect::<Vec<_>>(), &places);
    let shown: Vec<Node> = operations
        .into_iter()
        .enumerate()
        .map(|(at, operation)| {
            let before = graph.before(at);
            let fields = before.iter().filter_map(|(_, why)| match why {
                Why::Refers(path) => Some(path.clone()),
                Why::SameRecord | Why::Deletes => None,
            });
            Node { operation, depends_on: before.iter().map(|(other, _)| nodes[*other].id.clone()).collect(), fields: fields.collect() }
        })
        .collect();
    Ok(to_value(&shown))
}

fn graph_of(nodes: Vec<Value>) -> Result<(Graph, Vec<Value>), EngineError> {
    let nodes: Vec<Node> = nodes.iter().map(read).collect::<Result<_, _>>()?;
    let mut ids: Vec<OpId> = Vec::new();
    let mut seqs: Vec<u64> = Vec::new();
    for node in &nodes {
        let shown: Shown = read(&node.operation)?;
        ids.push(shown.id);
        seqs.push(shown.seq);
    }
    let mut places = Places::default();
    let own: Vec<usize> = ids.iter().map(|id| places.operation(id)).collect();
    let wanted: Vec<Vec<usize>> = nodes.iter().map(|node| node.depends_on.iter().map(|id| places.operation(id)).collect()).collect();
    // By place: where the operation stands in the list. What is not in the list comes before nothing.
    let mut stands: Vec<Option<usize>> = vec![None; places.len()];
    for (at, place) in own.iter().enumerate() {
        stands[*place] = Some(at);
    }
    let before = nodes
        .iter()
        .zip(wanted)
        .map(|(node, wanted)| {
            let mut fields = node.fields.iter();
            let known = wanted.into_iter().filter_map(|place| stands[place]);
            known.map(|at| (at, fields.next().map_or(Why::SameRecord, |path| Why::Refers(path.clone())))).collect()
        })
        .collect();
    Ok((Graph::from_parts(ids.clone(), seqs, before), nodes.into_iter().map(|node| node.operation).collect()))
}

/// The operations in an order in which each comes after what it depends on.
pub fn topological_sort(nodes: Vec<Value>) -> Result<Value, EngineError> {
    let (graph, operations) = graph_of(nodes)?;
    let ordered = graph.order();
    if !ordered.cycles.is_empty() {
        let cycles = cycles(&ordered.cycles);
        return Err(EngineError::with("dependency_cycle", "these operations depend on each other in a circle", json!({"cycles": cycles})));
    }
    Ok(Value::Array(ordered.order.into_iter().map(|at| operations[at].clone()).collect()))
}

/// Every cycle, with the fields that make it.
pub fn find_cycles(nodes: Vec<Value>) -> Result<Value, EngineError> {
    let (graph, _) = graph_of(nodes)?;
    Ok(cycles(&graph.cycles()))
}

fn cycles(found: &[crate::relations::Cycle]) -> Value {
    #[derive(Serialize)]
    struct Shown<'c> {
        operations: &'c [OpId],
        fields: &'c [String],
    }
    let shown: Vec<Shown<'_>> = found.iter().map(|cycle| Shown { operations: &cycle.operations, fields: &cycle.fields }).collect();
    to_value(&shown)
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, EngineError> {
    crate::value::from_value(value).map_err(|error| EngineError::new("invalid_value", &format!("not an operation of this queue: {error}")))
}
