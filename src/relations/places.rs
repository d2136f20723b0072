//! Numbers in the place of names: each record and each operation that ordering meets gets one, so that a
//! graph of 100,000 operations is built from small integers. A temp ID and the real ID it became are two
//! places of which one stands for both.

use std::collections::BTreeMap;

use crate::model::{OpId, RecordId};

/// The number of a record or an operation.
pub type Place = usize;

/// All numbers given so far.
#[derive(Clone, Debug, Default)]
pub struct Places {
    numbers: BTreeMap<String, Place>,
    becomes: Vec<Place>,
}

impl Places {
    fn number(&mut self, name: String) -> Place {
        if let Some(known) = self.numbers.get(&name) {
            return *known;
        }
        let next = self.becomes.len();
        self.numbers.insert(name, next);
        self.becomes.push(next);
        next
    }
    /// The place of an operation.
    pub fn operation(&mut self, id: &OpId) -> Place {
        self.number(id.to_string())
    }
    /// The place of a record.
    pub fn record(&mut self, entity: &str, id: &RecordId) -> Place {
        // As JSON, so that 7 and "7" are two. No operation's ID has a slash.
        self.number(format!("{entity}/{}", id.to_value()))
    }
    /// Learns that a record has another ID now.
    pub fn map(&mut self, entity: &str, earlier: &RecordId, present: &RecordId) {
        let (from, to) = (self.record(entity, earlier), self.record(entity, present));
        let to = self.present(to);
        if self.present(from) != to {
            self.becomes[from] = to;
        }
    }
    /// The place that stands for this one now.
    pub fn present(&self, mut place: Place) -> Place {
        while self.becomes[place] != place {
            place = self.becomes[place];
        }
        place
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.becomes.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.becomes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_id_is_the_same_place_whichever_came_first() {
        let mut places = Places::default();
        let (temp, real) = (RecordId::Text("temp_1_a_pet".to_owned()), RecordId::Integer(7));
        let a = places.record("pet", &temp);
        let other = places.record("pet", &RecordId::Text("7".to_owned()));
        places.map("pet", &temp, &real);
        places.map("pet", &temp, &real);
        let b = places.record("pet", &real);
        assert_eq!(places.present(a), places.present(b));
        assert_ne!(places.present(other), places.present(b));
        assert_ne!(places.record("client", &real), b);
    }
}
