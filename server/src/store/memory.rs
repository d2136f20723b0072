//! The in-memory twin: the same contract on plain maps, for tests and simulation. It knows no runtime and
//! no thread; a transaction is the lock, a commit is the moment at which the batch enters the maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fieldsync::model::{ClientId, Epoch, OpId, TempId, Version};
use fieldsync::protocol::TrailHead;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::conflicts::Listing;
use super::page::Filling;
use super::{
    AuditRow, ChangeRow, Conflict, ConflictFilter, ConflictRow, ConflictRows, Found, Holdings, PageBounds, PageRow, PageRows, Receipt,
    Record, RecordKey, Scope, ServerStore, StoreError, TenantState, UniqueKey, UploadTransaction, Wanted, WriteBatch, issued_before,
};

/// All tenants.
#[derive(Debug)]
pub struct MemoryStore {
    epoch: Epoch,
    issued: u64,
    tenants: Mutex<BTreeMap<String, Arc<Mutex<Tenant>>>>,
}

/// One tenant's tables.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    state: TenantState,
    counters: BTreeMap<String, u64>,
    owners: BTreeMap<ClientId, String>,
    records: BTreeMap<RecordKey, Record>,
    by_version: BTreeMap<Version, RecordKey>,
    referred: BTreeMap<RecordKey, BTreeSet<RecordKey>>,
    refers: BTreeMap<RecordKey, BTreeSet<RecordKey>>,
    held: BTreeSet<(UniqueKey, RecordKey)>,
    pruned: BTreeSet<RecordKey>,
    temps: BTreeMap<TempId, RecordKey>,
    receipts: BTreeMap<OpId, Receipt>,
    successors: BTreeMap<OpId, BTreeSet<OpId>>,
    counted: BTreeSet<OpId>,
    changes: Vec<ChangeRow>,
    groups: BTreeMap<Version, Version>,
    conflicts: BTreeMap<String, Conflict>,
    audit: Vec<AuditRow>,
    trails: BTreeMap<ClientId, TrailHead>,
}

impl MemoryStore {
    /// An empty store of this lineage.
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, issued: 0, tenants: Mutex::default() }
    }
    /// A backup. Moves the watermark of every tenant to what it holds.
    pub async fn snapshot(&self) -> Snapshot {
        let tenants: Vec<_> = self.tenants.lock().await.iter().map(|(name, tenant)| (name.clone(), Arc::clone(tenant))).collect();
        let mut copies = BTreeMap::new();
        for (name, tenant) in tenants {
            let mut tenant = tenant.lock().await;
            tenant.state.backed_up = tenant.state.sequence;
            copies.insert(name, tenant.clone());
        }
        Snapshot { issued: self.issued, tenants: copies }
    }
    /// A server that begins a new epoch from a backup, at `now_ms`: what came after the backup is gone, and its
    /// numbers are not issued again.
    pub fn restore(snapshot: &Snapshot, epoch: Epoch, now_ms: u64) -> Self {
        let numbers = |tenant: &Tenant| tenant.counters.values().copied().chain([tenant.state.sequence.0]).max();
        let highest = snapshot.tenants.values().filter_map(numbers).max().unwrap_or_default();
        let issued = issued_before(highest.max(snapshot.issued), now_ms);
        let begun_anew = |tenant: &Tenant| {
            let state = TenantState { sequence: Version(issued), issued, ..tenant.state.clone() };
            Arc::new(Mutex::new(Tenant { state, ..tenant.clone() }))
        };
        let tenants = snapshot.tenants.iter().map(|(name, tenant)| (name.clone(), begun_anew(tenant))).collect();
        Self { epoch, issued, tenants: Mutex::new(tenants) }
    }
    /// The change rows of a tenant, in order.
    pub async fn changes(&self, tenant: &str) -> Vec<ChangeRow> {
        self.tenant(tenant).await.lock().await.changes.clone()
    }
    /// The audit rows of a tenant, in order.
    pub async fn audit(&self, tenant: &str) -> Vec<AuditRow> {
        self.tenant(tenant).await.lock().await.audit.clone()
    }
    async fn tenant(&self, tenant: &str) -> Arc<Mutex<Tenant>> {
        let tenant = if fieldsync::planted::is(fieldsync::planted::Bug::ServerOneTenant) { "all" } else { tenant };
        let begun = || {
            let state = TenantState { sequence: Version(self.issued), issued: self.issued, ..TenantState::default() };
            Arc::new(Mutex::new(Tenant { state, ..Tenant::default() }))
        };
        Arc::clone(self.tenants.lock().await.entry(tenant.to_owned()).or_insert_with(begun))
    }
}

/// All rows of all tenants at the time of a backup.
#[derive(Clone, Debug)]
pub struct Snapshot {
    issued: u64,
    tenants: BTreeMap<String, Tenant>,
}

/// The tenant's lock, held until commit or drop.
#[derive(Debug)]
pub struct MemoryUpload {
    tenant: OwnedMutexGuard<Tenant>,
    state: TenantState,
    client: ClientId,
}

impl ServerStore for MemoryStore {
    type Upload = MemoryUpload;

    fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    async fn begin(&self, tenant: &str, client: &ClientId) -> Result<MemoryUpload, StoreError> {
        let tenant = self.tenant(tenant).await.lock_owned().await;
        let state = tenant.state.clone();
        Ok(MemoryUpload { tenant, state, client: client.clone() })
    }

    async fn owner(&self, tenant: &str, client: &ClientId, user: &str, _now_ms: u64) -> Result<String, StoreError> {
        let tenant = self.tenant(tenant).await;
        let mut tenant = tenant.lock().await;
        Ok(tenant.owners.entry(client.clone()).or_insert_with(|| user.to_owned()).clone())
    }

    async fn holdings(&self, tenant: &str, client: &ClientId) -> Result<Holdings, StoreError> {
        let tenant = self.tenant(tenant).await;
        let tenant = tenant.lock().await;
        let count = |found: usize| u64::try_from(found).unwrap_or(u64::MAX);
        Ok(Holdings {
            state: tenant.state.clone(),
            receipts: count(tenant.receipts.values().filter(|receipt| receipt.client == *client).count()),
            open_conflicts: count(tenant.conflicts.values().filter(|conflict| conflict.closed_by.is_none()).count()),
            trail: tenant.trails.get(client).cloned(),
        })
    }

    async fn conflicts(&self, tenant: &str, filter: &ConflictFilter, bounds: PageBounds) -> Result<ConflictRows, StoreError> {
        let tenant = self.tenant(tenant).await;
        let tenant = tenant.lock().await;
        let mut listing = Listing::new(bounds);
        let after = filter.after.as_deref().unwrap_or_default();
        let later = tenant.conflicts.values().filter(|conflict| conflict.id.as_str() > after);
        for row in later.filter_map(|conflict| tenant.conflict_row(conflict, filter)) {
            if !listing.put(row) {
                break;
            }
        }
        Ok(listing.finish(tenant.state.clone()))
    }

    async fn count_after(&self, tenant: &str, after: Version, scope: &Scope) -> Result<u64, StoreError> {
        let tenant = self.tenant(tenant).await;
        let tenant = tenant.lock().await;
        Ok(u64::try_from(tenant.newer(after, scope).count()).unwrap_or(u64::MAX))
    }

    async fn tenants(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.tenants.lock().await.keys().cloned().collect())
    }

    async fn settled_before(&self, tenant: &str, received_ms: u64) -> Result<Version, StoreError> {
        let tenant = self.tenant(tenant).await;
        let tenant = tenant.lock().await;
        let recent = tenant.changes.iter().find(|change| change.received_ms >= received_ms);
        let last = tenant.changes.last().map_or(Version(0), |change| change.version);
        Ok(recent.map_or(last, |change| Version(change.version.0 - 1)))
    }

    async fn forget(&self, tenant: &str, through: Version) -> Result<u64, StoreError> {
        let tenant = self.tenant(tenant).await;
        let tenant = &mut *tenant.lock().await;
        tenant.state.forgotten = tenant.state.forgotten.max(through.min(tenant.state.sequence));
        let open: BTreeSet<_> = tenant.conflicts.values().filter(|conflict| conflict.closed_by.is_none()).map(|open| &open.key).collect();
        let old = tenant.by_version.range(..=tenant.state.forgotten).map(|(_, key)| key).filter(|key| !open.contains(key));
        let old: Vec<_> = old.filter_map(|key| tenant.records.get(key)).filter(|record| record.data.is_none()).cloned().collect();
        for record in &old {
            tenant.by_version.remove(&record.version);
            tenant.records.remove(&record.key);
            tenant.refers.remove(&record.key);
            tenant.pruned.insert(record.key.clone());
        }
        Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
    }

    async fn page(
        &self,
        tenant: &str,
        client: &ClientId,
        after: Version,
        scope: &Scope,
        bounds: PageBounds,
    ) -> Result<PageRows, StoreError> {
        let tenant = self.tenant(tenant).await;
        let tenant = tenant.lock().await;
        let mut page = Filling::new(bounds);
        let mut rest = tenant.fill(&mut page, client, after, None, scope);
        if let Some(next) = rest {
            let group = tenant.groups.range(..=next).next_back().map(|(first, last)| (*first, *last));
            if let Some((after, last)) = page.cut(next, group) {
                rest = tenant.fill(&mut page, client, after, Some(last), scope);
            }
        }
        Ok(page.finish(rest, &tenant.state))
    }

    async fn ready(&self) -> bool {
        true
    }
}

impl Tenant {
    /// The conflict with all that it is about, if it passes the filter.
    fn conflict_row(&self, conflict: &Conflict, filter: &ConflictFilter) -> Option<ConflictRow> {
        let user = self.owners.get(&conflict.client)?;
        let passes = filter.user.as_ref().is_none_or(|asked| asked == user)
            && filter.except.as_ref() != Some(&conflict.client)
            && filter.entity.as_ref().is_none_or(|entity| *entity == conflict.key.entity)
            && filter.record.as_ref().is_none_or(|id| *id == conflict.key.id)
            && filter.open.is_none_or(|open| open == conflict.closed_by.is_none());
        let operation = self.receipts.get(&conflict.operation).and_then(|receipt| receipt.kept.clone());
        let record = self.records.get(&conflict.key);
        let (server, before) = (record.map(Record::state), record.and_then(|record| record.before.clone()));
        operation.filter(|_| passes).map(|operation| ConflictRow {
            conflict: conflict.clone(),
            user: user.clone(),
            operation,
            server,
            before,
        })
    }

    fn newer<'t>(&'t self, after: Version, scope: &'t Scope) -> impl Iterator<Item = &'t Record> {
        let newer = self.by_version.range(Version(after.0.saturating_add(1))..).filter(|(_, key)| scope.holds(&key.entity));
        newer.filter_map(|(_, key)| self.records.get(key))
    }

    /// Puts what has room on a page, up to a version. Returns that of the first row that has none.
    fn fill(&self, page: &mut Filling, client: &ClientId, after: Version, through: Option<Version>, scope: &Scope) -> Option<Version> {
        for record in self.newer(after, scope).take_while(|record| through.is_none_or(|through| record.version <= through)) {
            let data = record.data.as_ref().map(|data| serde_json::Value::Object(data.clone()).to_string());
            let row = PageRow {
                key: record.key.clone(),
                version: record.version,
                data,
                stamp: record.stamp,
                field_stamps: record.field_stamps.clone(),
                born_as: record.origin.temp.clone().filter(|_| record.origin.client == *client),
            };
            if let Err(next) = page.put(row) {
                return Some(next);
            }
        }
        None
    }

    fn put_record(&mut self, record: Record, refers: BTreeSet<RecordKey>) {
        if let Some(before) = self.records.get(&record.key) {
            self.by_version.remove(&before.version);
        }
        for target in self.refers.remove(&record.key).unwrap_or_default() {
            if let Some(from) = self.referred.get_mut(&target) {
                from.remove(&record.key);
            }
        }
        for target in &refers {
            self.referred.entry(target.clone()).or_default().insert(record.key.clone());
        }
        self.refers.insert(record.key.clone(), refers);
        self.by_version.insert(record.version, record.key.clone());
        self.records.insert(record.key.clone(), record);
    }
}

impl UploadTransaction for MemoryUpload {
    fn state(&self) -> &TenantState {
        &self.state
    }

    async fn load(&mut self, wanted: &Wanted) -> Result<Found, StoreError> {
        let tenant = &*self.tenant;
        let mut found = Found {
            receipts: wanted.receipts.iter().filter_map(|id| tenant.receipts.get(id)).cloned().collect(),
            temps: wanted.temps.iter().filter_map(|temp| Some((temp.clone(), tenant.temps.get(temp)?.clone()))).collect(),
            records: wanted.records.iter().filter_map(|key| tenant.records.get(key)).cloned().collect(),
            pruned: wanted.records.intersection(&tenant.pruned).cloned().collect(),
            counted: wanted.counted.intersection(&tenant.counted).cloned().collect(),
            counters: wanted.counters.iter().filter_map(|entity| Some((entity.clone(), *tenant.counters.get(entity)?))).collect(),
            trail: tenant.trails.get(&self.client).filter(|_| wanted.trail).cloned(),
            ..Found::default()
        };
        for id in &wanted.successors {
            let later = tenant.successors.get(id).into_iter().flatten();
            found.successors.extend(later.filter_map(|id| tenant.receipts.get(id)).cloned());
        }
        for key in &wanted.dependents {
            let from = tenant.referred.get(key).into_iter().flatten().filter(|from| *from != key);
            found.dependents.extend(from.take(Wanted::DEPENDENTS_MAX).map(|from| (key.clone(), from.clone())));
        }
        for unique in &wanted.uniques {
            found.uniques.extend(tenant.held.iter().filter(|(held, _)| held == unique).cloned());
        }
        let open = tenant.conflicts.values().filter(|conflict| conflict.closed_by.is_none() && conflict.client == self.client);
        let named = wanted.named.iter().filter_map(|name| tenant.conflicts.get(name));
        found.named.extend(named.filter_map(|conflict| Some((conflict.clone(), tenant.owners.get(&conflict.client)?.clone()))));
        found.conflicts.extend(open.filter(|conflict| wanted.conflicts.contains(&conflict.key)).cloned());
        Ok(found)
    }

    async fn commit(mut self, batch: WriteBatch) -> Result<(), StoreError> {
        let tenant = &mut *self.tenant;
        tenant.state = batch.state;
        let written: BTreeSet<&RecordKey> = batch.records.iter().map(|(record, _)| &record.key).collect();
        tenant.held.retain(|(_, key)| !written.contains(key));
        tenant.held.extend(batch.uniques);
        for (record, references) in batch.records {
            let refers = references.into_iter().map(|reference| RecordKey { entity: reference.entity, id: reference.id }).collect();
            tenant.put_record(record, refers);
        }
        tenant.temps.extend(batch.temps);
        tenant.counters.extend(batch.counters);
        for receipt in batch.receipts {
            if let Some(earlier) = &receipt.supersedes {
                tenant.successors.entry(earlier.clone()).or_default().insert(receipt.operation.clone());
            }
            let before = tenant.receipts.insert(receipt.operation.clone(), receipt);
            assert!(before.is_none(), "a receipt is written once");
        }
        tenant.counted.extend(batch.counted);
        tenant.changes.extend(batch.changes);
        tenant.groups.extend(batch.groups);
        tenant.conflicts.extend(batch.conflicts.into_iter().map(|conflict| (conflict.id.clone(), conflict)));
        tenant.audit.extend(batch.audit);
        tenant.trails.extend(batch.trail.map(|trail| (self.client.clone(), trail)));
        Ok(())
    }
}
