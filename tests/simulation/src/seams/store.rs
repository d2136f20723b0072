//! A store with the manners of IndexedDB: transactions of all contexts one after another, each undone as a
//! whole when it fails or its context dies, reported only when it is committed. Commits under relaxed
//! durability can be lost by the device, the latest first, until a strict one comes after them.

mod damage;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use fieldsync::plan::{Plan, ROUNDS_MAX, Read, Row, Step, Table as Name, View, Write};
use fieldsync::store::{Counts, Durability, Store, StoreError};
use fieldsync::value::Key;

use crate::executor::Owner;
use crate::fault::{Fault, Site};
use crate::oracle::stored::{Stored, Truth};
use crate::sim::{Invariant, Sim};
use crate::table::Table;
use damage::{Damage, given_up};

/// What a relaxed commit changed, to be undone by a loss of power.
type Undo = Vec<(Name, Key, Option<Row>)>;

/// The rows of one database.
pub(crate) struct Rows {
    tables: RefCell<Vec<Table>>,
    relaxed: RefCell<Vec<Undo>>,
    damaged: RefCell<Vec<Damage>>,
    /// Whether any row ever was.
    pub(crate) was_damaged: Cell<bool>,
    /// How many commits there were.
    pub(crate) commits: Cell<u64>,
    /// How often a connection died behind one, and the plan ran once more.
    pub(crate) replays: Cell<u64>,
    /// Whoever has the right to run a transaction now, and who waits for it.
    taken: Cell<bool>,
    queue: RefCell<VecDeque<Weak<Ticket>>>,
    /// Looks at every commit.
    pub(crate) watch: RefCell<Stored>,
}

#[derive(Default)]
struct Ticket {
    called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Rows {
    pub(crate) fn new(name: String, truth: Truth) -> Rc<Self> {
        Rc::new(Self {
            tables: RefCell::new(Name::ALL.iter().map(|_| Table::default()).collect()),
            relaxed: RefCell::default(),
            damaged: RefCell::default(),
            was_damaged: Cell::new(false),
            commits: Cell::new(0),
            replays: Cell::new(0),
            taken: Cell::new(false),
            queue: RefCell::default(),
            watch: RefCell::new(Stored::new(name, truth)),
        })
    }

    /// Looks at one table.
    pub(crate) fn with<T>(&self, name: Name, look: impl FnOnce(&Table) -> T) -> T {
        look(&self.tables.borrow()[name as usize])
    }

    /// The device lost its power: of the relaxed commits since the last strict one only so many are left.
    pub(crate) fn lose_power(&self, sim: &Sim) {
        self.repair();
        let lost = {
            let mut relaxed = self.relaxed.borrow_mut();
            let kept = usize::try_from(sim.executor.draw(relaxed.len() as u64 + 1)).unwrap_or(0);
            relaxed.split_off(kept)
        };
        self.relaxed.borrow_mut().clear();
        if lost.is_empty() {
            return;
        }
        sim.mark("power loss that lost a relaxed commit");
        {
            let mut tables = self.tables.borrow_mut();
            for (name, key, before) in lost.into_iter().rev().flat_map(|undo| undo.into_iter().rev()) {
                let table = &mut tables[name as usize];
                match before {
                    Some(row) => drop(table.put(row)),
                    None => drop(table.delete(&key)),
                }
            }
        }
        self.watch.borrow_mut().read_again(self);
    }

    /// Everything is gone.
    pub(crate) fn evict(&self) {
        self.damaged.borrow_mut().clear();
        self.tables.borrow_mut().iter_mut().for_each(|table| *table = Table::default());
        self.relaxed.borrow_mut().clear();
        self.watch.borrow_mut().emptied();
    }

    fn commit(&self, sim: &Sim, durability: Durability, batch: Vec<Write>) {
        if batch.is_empty() {
            return;
        }
        self.commits.set(self.commits.get() + 1);
        let mut watch = self.watch.borrow_mut();
        let text = |table: Name, key: &Key| {
            let found = self.tables.borrow()[table as usize].text_of(key)?.to_owned();
            serde_json::from_str(&found).ok()
        };
        watch.see_written(sim, &batch, &text);
        watch.see(sim, &batch);
        let relaxed = durability == Durability::Relaxed;
        let given_up = given_up(&batch);
        let mut undo = Undo::new();
        let mut tables = self.tables.borrow_mut();
        for write in batch {
            let (name, key, before) = match write {
                Write::Put(name, row) => {
                    sim.executor.note(row.text.len() as u64);
                    let key = if relaxed { row.key.clone() } else { Key::Number(0.0) };
                    let before = tables[name as usize].put(row);
                    self.unread(sim, name, before.as_ref(), &given_up);
                    (name, key, before)
                }
                Write::Delete(name, key) => {
                    let before = tables[name as usize].delete(&key);
                    self.unread(sim, name, before.as_ref(), &given_up);
                    (name, key, before)
                }
                Write::DeleteRange(name, range) => {
                    for key in tables[name as usize].keys(&range) {
                        let before = tables[name as usize].delete(&key);
                        undo.push((name, key, before));
                    }
                    continue;
                }
            };
            if relaxed {
                undo.push((name, key, before));
            }
        }
        if relaxed {
            self.relaxed.borrow_mut().push(undo);
        } else {
            self.relaxed.borrow_mut().clear();
        }
    }

    fn release(&self) {
        self.taken.set(false);
        loop {
            let Some(next) = self.queue.borrow_mut().pop_front() else { return };
            // Who is gone has no turn.
            let Some(ticket) = next.upgrade() else { continue };
            self.taken.set(true);
            ticket.called.set(true);
            if let Some(waker) = ticket.waker.take() {
                waker.wake();
            }
            return;
        }
    }
}

/// The right to run a transaction, asked for and then held. Its end lets the next one in.
struct Turn {
    rows: Rc<Rows>,
    ticket: Rc<Ticket>,
    held: bool,
}

impl Turn {
    fn ask(rows: &Rc<Rows>) -> Self {
        let ticket = Rc::new(Ticket::default());
        if rows.taken.get() {
            rows.queue.borrow_mut().push_back(Rc::downgrade(&ticket));
        } else {
            rows.taken.set(true);
            ticket.called.set(true);
        }
        Self { rows: rows.clone(), ticket, held: false }
    }
}

impl Future for Turn {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.ticket.called.get() {
            self.held = true;
            return Poll::Ready(());
        }
        self.ticket.waker.replace(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.ticket.called.get() {
            self.rows.release();
        }
    }
}

/// One context's connection.
pub(crate) struct SimStore {
    pub(crate) sim: Rc<Sim>,
    pub(crate) owner: Owner,
    pub(crate) rows: Rc<Rows>,
    pub(crate) counts: Cell<Counts>,
    pub(crate) closed: Cell<bool>,
}

impl SimStore {
    pub(crate) fn new(sim: Rc<Sim>, owner: Owner, rows: Rc<Rows>) -> Self {
        Self { sim, owner, rows, counts: Cell::default(), closed: Cell::new(false) }
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    fn answer(&self, reads: &[Read]) -> View {
        let tables = self.rows.tables.borrow();
        let answer = |read: &Read| {
            let (Read::Get(name, _) | Read::Count { table: name, .. } | Read::Range { table: name, .. } | Read::Whole { table: name, .. }) =
                read;
            tables[*name as usize].answer(read)
        };
        View::new(reads.iter().map(answer).collect())
    }

    /// Runs a plan to its end in the transaction that is held.
    async fn run<P: Plan>(&self, mut plan: P) -> Result<(Vec<Write>, P::Out), StoreError> {
        let mut seen = View::default();
        for _ in 0..=ROUNDS_MAX {
            match plan.step(&seen) {
                Step::Read(reads) => {
                    if let Some(fault) = self.sim.gate(self.owner, Site::Round).await {
                        refused(fault)?;
                    }
                    if self.closed.get() {
                        return Err(StoreError::Closed);
                    }
                    seen = self.answer(&reads);
                }
                Step::Done(batch, out) => return Ok((batch, out)),
            }
        }
        let plan = std::any::type_name::<P>();
        self.sim.violate(Invariant::Sound, format!("a plan did not end within its rounds: {plan}"));
        Err(StoreError::Contract { reason: "too many rounds of reading" })
    }
}

/// What the store says of a fault; nothing for those that are none of its own.
fn refused(fault: Fault) -> Result<(), StoreError> {
    match fault {
        Fault::Full => Err(StoreError::Full),
        Fault::Abort => Err(StoreError::Aborted { reason: "AbortError".to_owned() }),
        Fault::Unavailable => Err(StoreError::Unavailable { reason: "UnknownError".to_owned() }),
        _ => Ok(()),
    }
}

impl Store for SimStore {
    async fn transact<P: Plan>(&self, durability: Durability, plan: P) -> Result<P::Out, StoreError> {
        let again = plan.clone();
        let mut plan = Some(plan);
        loop {
            if self.closed.get() {
                return Err(StoreError::Closed);
            }
            if let Some(fault) = self.sim.gate(self.owner, Site::Begin).await {
                if fault == Fault::Rot {
                    self.rows.rot(&self.sim);
                }
                refused(fault)?;
            }
            let turn = {
                let mut turn = Turn::ask(&self.rows);
                std::future::poll_fn(|context| Pin::new(&mut turn).poll(context)).await;
                turn
            };
            let (batch, out) = self.run(plan.take().unwrap_or_else(|| again.clone())).await?;
            let fault = self.sim.gate(self.owner, Site::Commit).await;
            match fault {
                // The connection went before the commit: as if nothing had been asked.
                Some(Fault::Reconnect) => continue,
                Some(fault) => refused(fault)?,
                None => {}
            }
            if self.closed.get() {
                return Err(StoreError::Closed);
            }
            self.count(|counts| {
                counts.plans += 1;
                if !batch.is_empty() {
                    counts.commits += 1;
                    counts.writes += batch.len() as u64;
                }
            });
            self.rows.commit(&self.sim, durability, batch);
            drop(turn);
            if self.sim.gate(self.owner, Site::Committed).await == Some(Fault::Replay) {
                self.sim.mark("plan replayed after its commit");
                self.rows.replays.set(self.rows.replays.get() + 1);
                continue;
            }
            return Ok(out);
        }
    }

    async fn read<P: Plan>(&self, plan: P) -> Result<P::Out, StoreError> {
        if self.closed.get() {
            return Err(StoreError::Closed);
        }
        if let Some(fault) = self.sim.gate(self.owner, Site::Read).await {
            refused(fault)?;
        }
        self.count(|counts| counts.reads += 1);
        let mut turn = Turn::ask(&self.rows);
        std::future::poll_fn(|context| Pin::new(&mut turn).poll(context)).await;
        match self.run(plan).await? {
            (batch, out) if batch.is_empty() => Ok(out),
            _ => Err(StoreError::Contract { reason: "a read wanted to write" }),
        }
    }

    fn counts(&self) -> Counts {
        self.counts.get()
    }
    fn close(&self) {
        self.closed.set(true);
    }
}
