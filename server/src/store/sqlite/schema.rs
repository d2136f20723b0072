//! The tables. IDs of records are stored as JSON text, so that 7 and "7" stay two IDs. Names of entities
//! are values like any other. Change and audit rows refuse to be changed, by the database itself.

/// Counts up with every change of the tables below. `marks`, `pruned` and the number `issued` in
/// `meta` came with 2: a server that does not know them would issue numbers again. `buried`, `change_groups`, `counted`,
/// `conflict_offsets` and `trails` came later and are no change of layout: a server that does not know them only splits groups, takes no
/// counts, takes the clocks of devices for right when a conflict is resolved by the later stamp, asks no device for its trail, and keeps nothing of what it deletes. `uniques` is filled anew at
/// every start, for the constraints of the schema that is served then.
pub(super) const LAYOUT: &str = "2";
/// What makes of layout 1 this one, beside what `TABLES` adds: a temp ID outlives the tombstone of its record.
pub(super) const FROM_1: &str = "
ALTER TABLE temp_ids RENAME TO temp_ids_1;
CREATE TABLE temp_ids (
    tenant TEXT NOT NULL, temp TEXT NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tenant, temp)
) STRICT, WITHOUT ROWID;
INSERT INTO temp_ids SELECT tenant, temp, entity, id FROM temp_ids_1;
DROP TABLE temp_ids_1;
UPDATE meta SET value = '2' WHERE name = 'layout';
";

/// What makes the tables, run at every start.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta (
    name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS tenants (
    tenant TEXT NOT NULL PRIMARY KEY, sequence INTEGER NOT NULL, audit_number INTEGER NOT NULL, audit_head TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS marks (
    tenant TEXT NOT NULL PRIMARY KEY, backed_up INTEGER NOT NULL DEFAULT 0, forgotten INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS counters (
    tenant TEXT NOT NULL, entity TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (tenant, entity)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS clients (
    tenant TEXT NOT NULL, client TEXT NOT NULL, user_id TEXT NOT NULL, first_seen_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, client)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS records (
    tenant TEXT NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, deleted INTEGER NOT NULL, data TEXT,
    stamp_ms INTEGER NOT NULL, stamp_n INTEGER NOT NULL, field_stamps TEXT NOT NULL,
    origin_client TEXT NOT NULL, origin_temp TEXT, origin_operation TEXT NOT NULL,
    PRIMARY KEY (tenant, entity, id), CHECK (deleted = (data IS NULL))
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS records_by_version ON records (tenant, version);
CREATE INDEX IF NOT EXISTS tombstones ON records (tenant, version) WHERE deleted = 1;

CREATE TABLE IF NOT EXISTS pruned (
    tenant TEXT NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tenant, entity, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS buried (
    tenant TEXT NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (tenant, entity, id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS buried_rise AFTER UPDATE OF deleted ON records WHEN old.deleted = 1 AND new.deleted = 0
BEGIN DELETE FROM buried WHERE tenant = old.tenant AND entity = old.entity AND id = old.id; END;
CREATE TRIGGER IF NOT EXISTS buried_go AFTER DELETE ON records
BEGIN DELETE FROM buried WHERE tenant = old.tenant AND entity = old.entity AND id = old.id; END;

CREATE TABLE IF NOT EXISTS refs (
    tenant TEXT NOT NULL, from_entity TEXT NOT NULL, from_id TEXT NOT NULL, path TEXT NOT NULL, to_entity TEXT NOT NULL, to_id TEXT NOT NULL,
    PRIMARY KEY (tenant, from_entity, from_id, path, to_entity, to_id),
    FOREIGN KEY (tenant, from_entity, from_id) REFERENCES records (tenant, entity, id),
    FOREIGN KEY (tenant, to_entity, to_id) REFERENCES records (tenant, entity, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refs_to ON refs (tenant, to_entity, to_id);

CREATE TABLE IF NOT EXISTS uniques (
    tenant TEXT NOT NULL, entity TEXT NOT NULL, name TEXT NOT NULL, held TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (tenant, entity, name, held, id),
    FOREIGN KEY (tenant, entity, id) REFERENCES records (tenant, entity, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uniques_by_record ON uniques (tenant, entity, id);

CREATE TABLE IF NOT EXISTS temp_ids (
    tenant TEXT NOT NULL, temp TEXT NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tenant, temp)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS receipts (
    tenant TEXT NOT NULL, operation TEXT NOT NULL, client TEXT NOT NULL, fingerprint TEXT NOT NULL, outcome TEXT NOT NULL,
    supersedes TEXT, request TEXT NOT NULL, received_ms INTEGER NOT NULL, kept TEXT,
    PRIMARY KEY (tenant, operation)
) STRICT;
CREATE INDEX IF NOT EXISTS receipts_by_superseded ON receipts (tenant, supersedes) WHERE supersedes IS NOT NULL;
CREATE INDEX IF NOT EXISTS receipts_by_client ON receipts (tenant, client);

CREATE TABLE IF NOT EXISTS counted (
    tenant TEXT NOT NULL, first TEXT NOT NULL, PRIMARY KEY (tenant, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS changes (
    tenant TEXT NOT NULL, version INTEGER NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL, operation TEXT NOT NULL, kind TEXT NOT NULL,
    client TEXT NOT NULL, user_id TEXT NOT NULL, stamp_ms INTEGER NOT NULL, stamp_n INTEGER NOT NULL,
    request TEXT NOT NULL, received_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, version)
) STRICT;

CREATE TABLE IF NOT EXISTS change_groups (
    tenant TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (tenant, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS conflicts (
    tenant TEXT NOT NULL, conflict TEXT NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL, client TEXT NOT NULL, operation TEXT NOT NULL,
    kind TEXT NOT NULL, version INTEGER NOT NULL, opened_ms INTEGER NOT NULL, closed_by TEXT,
    PRIMARY KEY (tenant, conflict)
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS conflicts_open ON conflicts (tenant, entity, id, client) WHERE closed_by IS NULL;

CREATE INDEX IF NOT EXISTS conflicts_open_by_name ON conflicts (tenant, conflict) WHERE closed_by IS NULL;
CREATE INDEX IF NOT EXISTS conflicts_by_client ON conflicts (tenant, client, conflict);
CREATE INDEX IF NOT EXISTS conflicts_by_record ON conflicts (tenant, entity, id, conflict);

CREATE TABLE IF NOT EXISTS conflict_offsets (
    tenant TEXT NOT NULL, conflict TEXT NOT NULL, offset_ms INTEGER NOT NULL, PRIMARY KEY (tenant, conflict)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS audit (
    tenant TEXT NOT NULL, number INTEGER NOT NULL, content TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (tenant, number)
) STRICT;

CREATE TABLE IF NOT EXISTS trails (
    tenant TEXT NOT NULL, client TEXT NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (tenant, client)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS changes_stay BEFORE UPDATE ON changes BEGIN SELECT RAISE(ABORT, 'change rows stay as they are'); END;
CREATE TRIGGER IF NOT EXISTS changes_remain BEFORE DELETE ON changes BEGIN SELECT RAISE(ABORT, 'change rows remain'); END;
CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows stay as they are'); END;
CREATE TRIGGER IF NOT EXISTS audit_remains BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows remain'); END;
";
