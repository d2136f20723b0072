//! Tombstones grow old: what was deleted long ago is forgotten, and who has been away for so long starts over.

use super::{ServerStore, StoreError};

/// Forgets the tombstones of everything that was deleted before this time, and says how many those were.
pub async fn prune<S: ServerStore>(store: &S, deleted_before_ms: u64) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    for tenant in store.tenants().await? {
        let through = store.settled_before(&tenant, deleted_before_ms).await?;
        forgotten += store.forget(&tenant, through).await?;
    }
    Ok(forgotten)
}
