//! What goes together: the next batch, and what goes or stays with an operation. The order and the groups are those
//! of the graph; [`Queue::standing`] says what may go at all.

use super::queue::{Item, Queue, Standing};
use crate::relations::Why;

impl Queue {
    /// The next batch: at most so many operations and bytes, dependencies first. A group is never split: if it,
    /// or a single operation, is larger than the bounds, it goes alone. Those in `without` stay, and so do their groups.
    pub fn batch(&self, operations_max: usize, bytes_max: usize, without: &[u64]) -> Vec<u64> {
        let standing = self.standing();
        let mut ready: Vec<Option<u64>> = vec![None; standing.len()];
        for (seq, stands) in standing {
            if let Standing::Ready(place) = stands {
                ready[place] = Some(seq);
            }
        }
        let ready: Vec<u64> = ready.into_iter().flatten().collect();
        let group = |seq: &u64| self.items.get(seq).and_then(|item| item.node.group);
        let mut bytes = 0;
        let mut batch = Vec::new();
        for unit in ready.chunk_by(|a, b| group(a).is_some() && group(a) == group(b)) {
            if unit.iter().any(|seq| without.contains(seq)) {
                continue;
            }
            bytes += unit.iter().filter_map(|seq| self.items.get(seq)).map(|item| item.row.body.len()).sum::<usize>();
            if !batch.is_empty() && (bytes > bytes_max || batch.len() + unit.len() > operations_max) {
                break;
            }
            batch.extend_from_slice(unit);
        }
        batch
    }

    /// An operation, its group, and all that could not take effect without them: by sequence.
    pub fn dependents(&self, seq: u64) -> Vec<u64> {
        let acting = self.acting();
        let graph = self.graph(&acting);
        // By unit: the units that hang on it.
        let mut behind: Vec<Vec<usize>> = vec![Vec::new(); acting.len()];
        for at in 0..acting.len() {
            for (other, why) in graph.before(at) {
                if *why != Why::Deletes {
                    behind[graph.unit(*other)].push(graph.unit(at));
                }
            }
        }
        let mut hit = vec![false; acting.len()];
        let mut open: Vec<usize> = acting.iter().position(|item| item.node.seq == seq).map(|at| graph.unit(at)).into_iter().collect();
        while let Some(unit) = open.pop() {
            if !std::mem::replace(&mut hit[unit], true) {
                open.append(&mut behind[unit]);
            }
        }
        (0..acting.len()).filter(|at| hit[graph.unit(*at)]).map(|at| acting[at].node.seq).collect()
    }

    /// The others of an operation's group, and itself: what can only go together.
    pub fn unit(&self, seq: u64) -> Vec<u64> {
        let group = self.items.get(&seq).and_then(|item| item.node.group);
        let shares = |item: &Item| group.is_some() && item.node.group == group;
        self.items.iter().filter(|(other, item)| **other == seq || shares(item)).map(|(other, _)| *other).collect()
    }

    /// What waits for one of these operations, directly or through others.
    pub fn behind(&self, held: &[u64]) -> Vec<u64> {
        if held.is_empty() {
            return Vec::new();
        }
        let items = self.acting();
        let graph = self.graph(&items);
        let mut stuck: Vec<bool> = items.iter().map(|item| held.contains(&item.node.seq)).collect();
        for at in graph.order().order {
            stuck[at] = stuck[at] || graph.before(at).iter().any(|(before, _)| stuck[*before]);
        }
        let stuck = items.iter().zip(stuck).filter(|(item, stuck)| *stuck && !held.contains(&item.node.seq));
        stuck.map(|(item, _)| item.node.seq).collect()
    }

    /// What a batch leaves out when only some operations are wanted: all that these do not need, be it
    /// through others, nor share a group with.
    pub fn not_needed(&self, wanted: &dyn Fn(&Item) -> bool) -> Vec<u64> {
        let items = self.acting();
        let graph = self.graph(&items);
        let mut needed: Vec<bool> = items.iter().map(|item| wanted(item)).collect();
        let mut open: Vec<usize> = (0..items.len()).filter(|at| needed[*at]).collect();
        while let Some(at) = open.pop() {
            let mut others: Vec<usize> = graph.before(at).iter().map(|(before, _)| *before).collect();
            if let Some(group) = &items[at].operation.group {
                let shares = |other: &usize| items[*other].operation.group.as_ref().is_some_and(|other| other.id == group.id);
                others.extend((0..items.len()).filter(shares));
            }
            for other in others {
                if !std::mem::replace(&mut needed[other], true) {
                    open.push(other);
                }
            }
        }
        items.iter().zip(needed).filter(|(_, needed)| !needed).map(|(item, _)| item.node.seq).collect()
    }
}
