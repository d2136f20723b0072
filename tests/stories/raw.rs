//! Somebody with the key to a device's storage.

use fieldsync::audit::Row as AuditRow;
use fieldsync::plan::{Plan, Read, Row, Step, Table, View, Write, WriteBatch};
use fieldsync::store::memory::MemoryStore;
use fieldsync::store::{Durability, Store};
use fieldsync::value::{KeyRange, to_text};

#[derive(Clone)]
struct Raw(WriteBatch);
impl Plan for Raw {
    type Out = ();
    fn step(&mut self, _: &View) -> Step<()> {
        Step::Done(std::mem::take(&mut self.0), ())
    }
}

#[derive(Clone)]
struct Whole(Option<Table>);
impl Plan for Whole {
    type Out = Vec<Row>;
    fn step(&mut self, seen: &View) -> Step<Vec<Row>> {
        match self.0.take() {
            Some(table) => Step::Read(vec![Read::Whole { table, range: KeyRange::all(), limit: u32::MAX }]),
            None => Step::Done(Vec::new(), seen.rows(0).to_vec()),
        }
    }
}

/// Writes as nobody here would.
pub async fn write(store: &MemoryStore, batch: WriteBatch) {
    store.reopen().transact(Durability::Strict, Raw(batch)).await.expect("written");
}

/// Every row of a table, with its index entries.
pub async fn whole(store: &MemoryStore, table: Table) -> Vec<Row> {
    store.reopen().read(Whole(Some(table))).await.expect("read")
}

/// Writes another text over each of these rows; their index entries stay.
pub async fn change(store: &MemoryStore, table: Table, rows: Vec<Row>, change: impl Fn(&Row) -> String) {
    let put = |row: Row| Write::Put(table, Row { text: change(&row), ..row });
    write(store, rows.into_iter().map(put).collect()).await;
}

/// Writes the whole trail anew, with these changes and every link in it right.
pub async fn write_trail_anew(store: &MemoryStore, change: impl Fn(&mut AuditRow)) {
    let rows = whole(store, Table::Audit).await;
    let mut anew: Vec<AuditRow> = Vec::new();
    for row in &rows {
        let mut row: AuditRow = serde_json::from_str(&row.text).expect("a row");
        change(&mut row);
        anew.push(AuditRow::after(anew.last(), row.seq, row.stamp, row.offset, &row.user, row.reason, row.entries));
    }
    let written = rows.into_iter().zip(&anew).map(|(row, anew)| Write::Put(Table::Audit, Row { text: to_text(anew), ..row }));
    write(store, written.collect()).await;
}

/// What is left of a text that breaks off.
pub fn cut(text: &str) -> &str {
    &text[..text.len() / 2]
}

/// Breaks off the texts of these rows.
pub async fn damage(store: &MemoryStore, table: Table, rows: Vec<Row>) {
    change(store, table, rows, |row| cut(&row.text).to_owned()).await;
}
