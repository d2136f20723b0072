//! What every store promises, as tests that run on each: natively on the memory store and its packed mode,
//! in the browser on IndexedDB. A case panics with a sentence when the promise is broken.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{Durability, Store, StoreError};
use crate::plan::{Plan, ROUNDS_MAX, Read, Row, Step, Table, View, Write, WriteBatch};
use crate::value::{Key, KeyRange};

/// A plan that reads once and writes what a function makes of it.
#[derive(Clone)]
struct Once<F> {
    reads: Option<Vec<Read>>,
    then: F,
}

impl<T: 'static, F: Fn(&View) -> (WriteBatch, T) + Clone + 'static> Plan for Once<F> {
    type Out = T;
    fn step(&mut self, seen: &View) -> Step<T> {
        if let Some(reads) = self.reads.take() {
            return Step::Read(reads);
        }
        let (batch, out) = (self.then)(seen);
        Step::Done(batch, out)
    }
}

fn once<T: 'static, F: Fn(&View) -> (WriteBatch, T) + Clone + 'static>(reads: Vec<Read>, then: F) -> Once<F> {
    Once { reads: Some(reads), then }
}

fn row(key: Key, text: &str, index: &[Key]) -> Row {
    Row { key, text: text.to_owned(), index: index.to_vec() }
}

async fn write(store: &impl Store, batch: WriteBatch) {
    let done = store.transact(Durability::Strict, once(Vec::new(), move |_| (batch.clone(), ()))).await;
    assert_eq!(done, Ok(()), "a plain write commits");
}

async fn texts(store: &impl Store, read: Read) -> Vec<String> {
    let found =
        store.read(once(vec![read], |seen| (Vec::new(), seen.rows(0).iter().map(|row| row.text.clone()).collect::<Vec<_>>()))).await;
    found.expect("a read succeeds")
}

async fn count(store: &impl Store, table: Table, range: KeyRange) -> u64 {
    store.read(once(vec![Read::count(table, range)], |seen| (Vec::new(), seen.count(0)))).await.expect("a count succeeds")
}

async fn entries(store: &impl Store, table: Table, range: KeyRange) -> u64 {
    store.read(once(vec![Read::count_index(table, range)], |seen| (Vec::new(), seen.count(0)))).await.expect("a count succeeds")
}

macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        /// The name of every case.
        pub const CASES: &[&str] = &[$(stringify!($case)),*];

        /// Runs one case on an empty store. `again` opens the same database once more, as another context would. Panics
        /// with a sentence where the promise is broken.
        pub async fn run<S: Store>(case: &str, store: S, again: impl AsyncFn(&S) -> S) {
            match case {
                $(stringify!($case) => $case(&store, &again).await,)*
                unknown => panic!("there is no case {unknown}"),
            }
            store.close();
        }
    };
}

cases! {
    rows_come_back_in_key_order,
    a_range_goes_at_once,
    ranges_and_counts,
    index_entries_follow_their_rows,
    whole_rows_come_with_their_index_entries,
    an_empty_batch_writes_nothing,
    overlapping_plans_see_each_other,
    overlapping_contexts_see_each_other,
    a_plan_that_never_ends_is_stopped,
    a_read_may_not_write,
    texts_come_back_as_they_were,
    a_large_row_comes_back_as_it_was,
    random_writes_match_a_model,
    what_was_committed_is_there_after_opening_again,
}

async fn rows_come_back_in_key_order<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    let keys = [
        Key::from(2),
        "a".into(),
        Key::Number(-1.5),
        ["a".into(), 1.into()].into(),
        ["a".into()].into(),
        "B".into(),
        ["a".into(), "1".into()].into(),
    ];
    write(store, keys.iter().map(|key| Write::Put(Table::State, row(key.clone(), &key.to_value().to_string(), &[]))).collect()).await;
    let expected = ["-1.5", "2", "\"B\"", "\"a\"", "[\"a\"]", "[\"a\",1]", "[\"a\",\"1\"]"];
    assert_eq!(texts(store, Read::range(Table::State, KeyRange::all())).await, expected, "keys sort as IndexedDB sorts them");
    write(
        store,
        vec![
            Write::Put(Table::State, row(2.into(), "3", &[])),
            Write::Delete(Table::State, "a".into()),
            Write::Delete(Table::State, "none".into()),
        ],
    )
    .await;
    assert_eq!(texts(store, Read::Get(Table::State, 2.into())).await, ["3"], "a put replaces");
    assert_eq!(texts(store, Read::Get(Table::State, "a".into())).await, Vec::<String>::new(), "a delete takes away");
}

async fn a_range_goes_at_once<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    for table in [Table::Base, Table::Overlay] {
        let put = |generation: u64, n: u64| {
            let key: Key = [generation.into(), "e".into(), n.into()].into();
            Write::Put(table, row(key.clone(), &(generation * 10 + n).to_string(), &[key]))
        };
        write(store, (0..3).flat_map(|generation| (0..9).map(move |n| put(generation, n))).collect()).await;
        let nothing = KeyRange { lower: Some((2.into(), false)), upper: Some((1.into(), false)) };
        write(store, vec![Write::DeleteRange(table, KeyRange::within(vec![1.into()])), Write::DeleteRange(table, nothing), put(1, 5)])
            .await;
        let left = texts(store, Read::range(table, KeyRange::all())).await;
        assert_eq!(left.len(), 19, "one generation went, in the order of the batch");
        assert_eq!(texts(store, Read::index(table, KeyRange::within(vec![1.into()]))).await, ["15"], "and its index entries with it");
        write(store, vec![Write::DeleteRange(table, KeyRange::all())]).await;
        assert_eq!(count(store, table, KeyRange::all()).await, 0, "all rows are a range too");
    }
}

async fn ranges_and_counts<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    let put = |n: u64| Write::Put(Table::Outbox, row(n.into(), &n.to_string(), &[]));
    write(store, (1..=9).map(put).collect()).await;
    let ranged = |lower: Option<(u64, bool)>, upper: Option<(u64, bool)>| KeyRange {
        lower: lower.map(|(key, open)| (key.into(), open)),
        upper: upper.map(|(key, open)| (key.into(), open)),
    };
    let read = |range, limit, reverse| Read::Range { table: Table::Outbox, by_index: false, range, limit, reverse };
    assert_eq!(texts(store, read(ranged(Some((2, false)), Some((4, false))), None, false)).await, ["2", "3", "4"], "closed bounds");
    assert_eq!(texts(store, read(ranged(Some((2, true)), Some((4, true))), None, false)).await, ["3"], "open bounds");
    assert_eq!(texts(store, read(KeyRange::above(6.into()), Some(2), false)).await, ["7", "8"], "a limit counts from the front");
    assert_eq!(texts(store, read(KeyRange::all(), Some(2), true)).await, ["9", "8"], "reverse counts from the end");
    assert_eq!(texts(store, read(KeyRange::above(9.into()), None, true)).await, Vec::<String>::new(), "nothing beyond the end");
    assert_eq!(count(store, Table::Outbox, ranged(Some((3, false)), None)).await, 7, "a count counts");
    assert_eq!(count(store, Table::Ids, KeyRange::all()).await, 0, "an empty table counts nothing");
}

async fn index_entries_follow_their_rows<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    let entry = |name: &str, n: u64| -> Key { [name.into(), n.into()].into() };
    for table in Table::ALL.into_iter().filter(|table| table.is_indexed()) {
        let put = |n: u64, index: &[Key]| Write::Put(table, row([0.into(), "e".into(), n.into()].into(), &n.to_string(), index));
        write(store, vec![put(1, &[entry("x", 2), entry("y", 1)]), put(2, &[entry("x", 1)]), put(3, &[])]).await;
        assert_eq!(texts(store, Read::index(table, KeyRange::within(vec!["x".into()]))).await, ["2", "1"], "by the order of the entries");
        assert_eq!(texts(store, Read::index(table, KeyRange::all())).await, ["2", "1", "1"], "a row with two entries comes twice");
        assert_eq!(entries(store, table, KeyRange::within(vec!["x".into()])).await, 2, "entries are counted in a range");
        assert_eq!(entries(store, table, KeyRange::all()).await, 3, "and all of them");
        write(store, vec![put(1, &[entry("z", 1)]), Write::Delete(table, [0.into(), "e".into(), 2.into()].into())]).await;
        assert_eq!(
            texts(store, Read::index(table, KeyRange::within(vec!["x".into()]))).await,
            Vec::<String>::new(),
            "old entries go with their rows"
        );
        assert_eq!(texts(store, Read::index(table, KeyRange::only(entry("z", 1)))).await, ["1"], "new ones come");
        write(store, vec![put(4, &[entry("z", 1)])]).await;
        let range = KeyRange::only(entry("z", 1));
        let back = vec![Read::Range { table, by_index: true, range, limit: Some(1), reverse: true }];
        let last = once(back, |seen| (Vec::new(), seen.rows(0).iter().map(|row| row.text.clone()).collect::<Vec<_>>()));
        let last = store.transact(Durability::Relaxed, last).await.expect("read");
        assert_eq!(last, ["4"], "backwards, the last row of an entry comes first");
    }
}

async fn whole_rows_come_with_their_index_entries<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    let entries = [Key::from("rex"), ["pet".into(), 7.into()].into()];
    let rows = [row("a".into(), "1", &entries), row("b".into(), "2", &[]), row("c".into(), "3", &entries[..1])];
    write(store, rows.iter().cloned().map(|row| Write::Put(Table::Overlay, row)).collect()).await;
    let whole = |range, limit| {
        let read = Read::Whole { table: Table::Overlay, range, limit };
        once(vec![read], |seen| {
            let mut rows = seen.rows(0).to_vec();
            // In which order a browser gives the entries of a row is its affair.
            rows.iter_mut().for_each(|row| row.index.sort());
            (Vec::new(), rows)
        })
    };
    let mut expected = rows.to_vec();
    expected.iter_mut().for_each(|row| row.index.sort());
    assert_eq!(store.read(whole(KeyRange::all(), 9)).await.expect("a read succeeds"), expected, "each with all of its entries");
    assert_eq!(store.read(whole(KeyRange::all(), 2)).await.expect("a read succeeds"), expected[..2], "the first ones");
    assert_eq!(store.transact(Durability::Relaxed, whole(KeyRange::above("a".into()), 9)).await.expect("it commits"), expected[1..]);
    let plain = once(vec![Read::range(Table::Overlay, KeyRange::all())], |seen| (Vec::new(), seen.rows(0).to_vec()));
    let plain = store.read(plain).await.expect("a read succeeds");
    assert!(plain.iter().all(|row| row.index.is_empty()), "nobody else pays for entries");
}

async fn an_empty_batch_writes_nothing<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    let before = store.counts().writes;
    assert_eq!(
        store.transact(Durability::Strict, once(vec![Read::last(Table::Audit)], |seen| (Vec::new(), seen.rows(0).len()))).await,
        Ok(0)
    );
    assert_eq!(store.counts().writes, before, "an empty batch writes nothing");
}

/// Reads a counter, waits a round, and writes it one higher: only if each sees the rows as its predecessor left them does
/// the counter reach their number.
#[derive(Clone)]
struct Increment(u8);

impl Plan for Increment {
    type Out = u64;
    fn step(&mut self, seen: &View) -> Step<u64> {
        self.0 += 1;
        if self.0 < 3 {
            return Step::Read(vec![Read::Get(Table::State, "n".into())]);
        }
        let next = seen.row(0).and_then(|row| row.text.parse::<u64>().ok()).unwrap_or(0) + 1;
        Step::Done(vec![Write::Put(Table::State, row("n".into(), &next.to_string(), &[]))], next)
    }
}

async fn overlapping_plans_see_each_other<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    let seen = join_all((0..100).map(|_| store.transact(Durability::Strict, Increment(0)))).await;
    assert_eq!(counted(seen), (1..=100).collect::<Vec<_>>(), "a hundred overlapping plans, one after another");
}

async fn overlapping_contexts_see_each_other<S: Store>(store: &S, again: &impl AsyncFn(&S) -> S) {
    let other = again(store).await;
    let turn = |at: usize| if at.is_multiple_of(2) { store } else { &other };
    let seen = join_all((0..40).map(|at| turn(at).transact(Durability::Strict, Increment(0)))).await;
    assert_eq!(counted(seen), (1..=40).collect::<Vec<_>>(), "twenty plans of each, one after another");
    assert_eq!(texts(&other, Read::Get(Table::State, "n".into())).await, ["40"], "what one commits the other reads");
    other.close();
    assert_eq!(texts(store, Read::Get(Table::State, "n".into())).await, ["40"], "and whoever closes closes nobody else");
}

fn counted(seen: Vec<Result<u64, StoreError>>) -> Vec<u64> {
    let mut seen: Vec<u64> = seen.into_iter().map(|out| out.expect("commits")).collect();
    seen.sort_unstable();
    seen
}

async fn a_plan_that_never_ends_is_stopped<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    #[derive(Clone)]
    struct Endless;
    impl Plan for Endless {
        type Out = ();
        fn step(&mut self, _: &View) -> Step<()> {
            Step::Read(vec![Read::last(Table::Audit)])
        }
    }
    assert!(matches!(store.transact(Durability::Strict, Endless).await, Err(StoreError::Contract { .. })), "more than {ROUNDS_MAX} rounds");
    write(store, vec![Write::Put(Table::State, row("n".into(), "1", &[]))]).await;
    assert_eq!(count(store, Table::State, KeyRange::all()).await, 1, "and does no harm to others");
}

async fn a_read_may_not_write<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    let plan = once(Vec::new(), |_| (vec![Write::Put(Table::State, row("n".into(), "1", &[]))], ()));
    assert!(matches!(store.read(plan).await, Err(StoreError::Contract { .. })), "a read that writes is refused");
    assert_eq!(count(store, Table::State, KeyRange::all()).await, 0, "and has written nothing");
}

async fn texts_come_back_as_they_were<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    let nasty = r#"{"__proto__":{"x":1},"a":[1,-0.5,1e+30,null,true,"\u0000\ud83d\ude00\n€"],"constructor":"","k":[1],"ix":["x"],"v":{}}"#;
    let expected: serde_json::Value = serde_json::from_str(nasty).expect("JSON");
    write(store, vec![Write::Put(Table::Quarantine, row("k".into(), nasty, &[]))]).await;
    let back = texts(store, Read::Get(Table::Quarantine, "k".into())).await;
    let back: serde_json::Value = serde_json::from_str(back.first().expect("the row")).expect("JSON");
    assert_eq!(back, expected, "content survives, whatever its keys are called");
}

/// The largest record that is taken, and more: a row may hold several.
async fn a_large_row_comes_back_as_it_was<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    let text = serde_json::Value::from("é🐾\u{0}x".repeat(1 << 19)).to_string();
    write(store, vec![Write::Put(Table::Quarantine, row("k".into(), &text, &[]))]).await;
    assert!(texts(store, Read::Get(Table::Quarantine, "k".into())).await == [text], "four million characters survive");
}

async fn random_writes_match_a_model<S: Store>(store: &S, _: &impl AsyncFn(&S) -> S) {
    let mut model: BTreeMap<Key, String> = BTreeMap::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..60_u64 {
        let mut batch = Vec::new();
        for _ in 0..10 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let n = (random >> 33) % 80;
            let key: Key = [(n % 2).into(), "e".into(), if n.is_multiple_of(3) { n.to_string().as_str().into() } else { n.into() }].into();
            if (random >> 20).is_multiple_of(4) {
                model.remove(&key);
                batch.push(Write::Delete(Table::Base, key));
            } else {
                let text = format!("{}", round * 1000 + n);
                model.insert(key.clone(), text.clone());
                batch.push(Write::Put(Table::Base, row(key.clone(), &text, &[key])));
            }
        }
        write(store, batch).await;
        let all: Vec<String> = model.values().cloned().collect();
        assert_eq!(texts(store, Read::range(Table::Base, KeyRange::all())).await, all, "by key, round {round}");
        assert_eq!(texts(store, Read::index(Table::Base, KeyRange::all())).await, all, "by index, round {round}");
        let prefix = KeyRange::within(vec![1.into(), "e".into()]);
        let some = model.keys().filter(|key| prefix.contains(key)).count();
        assert_eq!(count(store, Table::Base, prefix).await, some as u64, "by count, round {round}");
    }
}

async fn what_was_committed_is_there_after_opening_again<S: Store>(store: &S, again: &impl AsyncFn(&S) -> S) {
    write(store, vec![Write::Put(Table::Audit, row(1.into(), "1", &["a".into()]))]).await;
    store.close();
    let closed = store.transact(Durability::Strict, once(Vec::new(), |_| (Vec::new(), ()))).await;
    assert_eq!(closed, Err(StoreError::Closed), "a closed store says so");
    let store = again(store).await;
    assert_eq!(texts(&store, Read::last(Table::Audit)).await, ["1"], "what was committed is there");
    store.close();
}
