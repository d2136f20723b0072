//! A map that is a sorted list: for the stamps of a record, the changes of a delta, what a schema declares.
//!
//! Each kind of the standard library's tree weighs 8 KB of code in the module, one of these a tenth of it. Searching is as
//! fast; inserting moves what comes after, which is nothing where entries come in order, and little where there are few.
//! So what may be much, in whatever order, is brought in order first: in the module by the one tree that it has, that of
//! an [`Object`](super::Object), and at the server by [`Extend`].

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Values by their keys, in the order of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorted<K, V>(Vec<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Sorted<K, V> {
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(own, _)| own.borrow().cmp(key))
    }
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|at| &self.0[at].1)
    }
    /// Whether a key is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }
    /// Puts a value, in the place of the one that the key has.
    pub fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                #[cfg(test)]
                tests::MOVED.set(tests::MOVED.get() + self.0.len() - at);
                self.0.insert(at, (key, value));
            }
        }
    }
    /// The first entry whose key is not less than this.
    pub fn first_from<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.0.get(self.place(key).unwrap_or_else(|at| at)).map(|(key, value)| (key, value))
    }
}

impl<K, V> Sorted<K, V> {
    /// None yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }
    /// All of them, in order, to change the values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }
    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }
    /// The values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }
    /// The values, in the order of their keys, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }
    /// Keeps what `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K, V> IntoIterator for Sorted<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Ord, V> Extend<(K, V)> for Sorted<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        self.0.extend(entries);
        // It keeps the order of equal keys, of which the last one counts.
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.0.dedup_by(|later, earlier| {
            let is_same = later.0 == earlier.0;
            if is_same {
                std::mem::swap(later, earlier);
            }
            is_same
        });
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Sorted<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut sorted = Self::default();
        sorted.extend(entries);
        sorted
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Sorted<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Serialize, V: Serialize> Serialize for Sorted<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for Sorted<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
    type Value = Sorted<K, V>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        // As they were written, and so in order.
        let mut sorted = Sorted::default();
        while let Some((key, value)) = entries.next_entry()? {
            sorted.insert(key, value);
        }
        Ok(sorted)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::BTreeMap;

    thread_local! {
        /// How many entries made room for others.
        pub(in super::super) static MOVED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn it_holds_what_a_tree_would_hold_in_the_same_order() {
        let (mut ours, mut tree) = (Sorted::<String, u32>::default(), BTreeMap::new());
        for step in 0..500_u32 {
            let key = format!("k{}", step.wrapping_mul(2_654_435_761) >> 25);
            if step % 3 == 2 {
                ours.retain(|other, _| *other != key);
                tree.remove(&key);
            } else {
                ours.insert(key.clone(), step);
                tree.insert(key.clone(), step);
            }
            assert_eq!(ours.first_from(&key), tree.range(key.clone()..).next());
            assert_eq!((ours.get(&key), ours.contains_key(&key)), (tree.get(&key), tree.contains_key(&key)));
        }
        assert!(ours.iter().eq(tree.iter()) && ours.len() == tree.len() && ours.len() > 50);
        let text = serde_json::to_string(&tree).expect("it is JSON");
        assert_eq!(serde_json::to_string(&ours).ok(), Some(text.clone()));
        assert_eq!(serde_json::from_str::<Sorted<String, u32>>(&text).ok(), Some(ours.clone()));
        assert_eq!(super::super::from_text::<Sorted<String, u32>>(&text), Ok(ours));
        assert_eq!(serde_json::to_string(&Sorted::<String, u32>::new()).ok().as_deref(), Some("{}"));
    }

    #[test]
    fn what_comes_together_is_sorted_and_of_equal_keys_the_last_one_counts() {
        for count in 0..40_u32 {
            let entries = |seed: u32| (0..count).map(move |step| ((step + seed).wrapping_mul(2_654_435_761) >> 27, step + seed));
            let (mut ours, mut tree): (Sorted<u32, u32>, BTreeMap<u32, u32>) = (entries(1).collect(), entries(1).collect());
            assert!(ours.iter().eq(tree.iter()));
            ours.extend(entries(1_000));
            tree.extend(entries(1_000));
            assert!(ours.iter().eq(tree.iter()));
        }
        let twice: Sorted<String, u32> = serde_json::from_str(r#"{"b": 1, "a": 2, "b": 3}"#).expect("it is JSON");
        assert_eq!(twice, [("a".to_owned(), 2), ("b".to_owned(), 3)].into());
    }

    #[test]
    fn what_comes_together_is_not_moved_once_for_each_of_it() {
        MOVED.set(0);
        let mut sorted: Sorted<u32, u32> = (0..1_000).rev().map(|key| (key * 2, 0)).collect();
        sorted.extend((0..1_000).rev().map(|key| (key * 2 + 1, 0)));
        assert!(sorted.keys().copied().eq(0..2_000) && MOVED.get() == 0);
    }
}
