-- Released. Never change this file: databases made by it are out there. Changes go into a file with the next number.
--
-- Habits: runs are named by a small number (`run_no`) inside the database and by their id outside; whole numbers that
-- fill 64 bits (`seed`, `owner_started`) are kept as their two's complement; times are milliseconds since the Unix epoch.

CREATE TABLE run (
    no               INTEGER PRIMARY KEY,
    id               TEXT    NOT NULL UNIQUE CHECK (length(id) = 26),
    workflow         TEXT    NOT NULL,
    status           TEXT    NOT NULL CHECK (status IN ('queued', 'running', 'finished', 'failed', 'cancelled')),
    attempt          INTEGER NOT NULL CHECK (attempt >= 1),
    created_at       INTEGER NOT NULL,
    queued_at        INTEGER NOT NULL,
    started_at       INTEGER,
    ended_at         INTEGER,
    seed             INTEGER NOT NULL,
    device           TEXT    NOT NULL,
    resumable        INTEGER NOT NULL DEFAULT 0 CHECK (resumable IN (0, 1)),
    reproducibility  TEXT    CHECK (reproducibility IN ('bitwise', 'within_tolerance')),
    failure          TEXT,
    cancel_reason    TEXT,
    owner_host       TEXT,
    owner_pid        INTEGER,
    owner_started    INTEGER,
    heartbeat_at     INTEGER,
    log_next         INTEGER NOT NULL DEFAULT 1,
    n_series         INTEGER NOT NULL DEFAULT 0,
    note             TEXT    NOT NULL DEFAULT '',
    deleted_at       INTEGER,
    CHECK ((status IN ('finished', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    CHECK (status <> 'running' OR (started_at IS NOT NULL AND owner_host IS NOT NULL AND owner_pid IS NOT NULL
        AND owner_started IS NOT NULL AND heartbeat_at IS NOT NULL)),
    CHECK (status = 'running' OR owner_host IS NULL),
    CHECK (deleted_at IS NULL OR ended_at IS NOT NULL)
);
CREATE INDEX run_by_created ON run (created_at, id);
CREATE INDEX run_by_workflow ON run (workflow, created_at);
CREATE INDEX run_waiting ON run (queued_at, id) WHERE status = 'queued';
CREATE INDEX run_active ON run (id) WHERE status IN ('queued', 'running');

-- Apart from the run, because it may be large and lists never need it.
CREATE TABLE run_workflow (
    run_no INTEGER PRIMARY KEY REFERENCES run (no),
    json   TEXT NOT NULL
);

CREATE TABLE run_step (
    run_no   INTEGER NOT NULL REFERENCES run (no),
    position INTEGER NOT NULL,
    node     TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    state    TEXT    NOT NULL CHECK (state IN ('pending', 'cached', 'running', 'done', 'failed')),
    millis   INTEGER CHECK (millis >= 0),
    PRIMARY KEY (run_no, node)
) WITHOUT ROWID;

CREATE TABLE run_param (
    run_no INTEGER NOT NULL REFERENCES run (no),
    name   TEXT    NOT NULL,
    value  TEXT    NOT NULL,
    PRIMARY KEY (run_no, name)
) WITHOUT ROWID;

CREATE TABLE run_environment (
    run_no INTEGER NOT NULL REFERENCES run (no),
    name   TEXT    NOT NULL,
    value  TEXT    NOT NULL,
    PRIMARY KEY (run_no, name)
) WITHOUT ROWID;

CREATE TABLE run_tag (
    run_no INTEGER NOT NULL REFERENCES run (no),
    name   TEXT    NOT NULL,
    value  TEXT    NOT NULL,
    PRIMARY KEY (run_no, name)
) WITHOUT ROWID;

CREATE TABLE run_dataset (
    run_no INTEGER NOT NULL REFERENCES run (no),
    name   TEXT    NOT NULL,
    digest TEXT    NOT NULL,
    n_rows INTEGER NOT NULL CHECK (n_rows >= 0),
    PRIMARY KEY (run_no, name, digest)
) WITHOUT ROWID;

CREATE TABLE run_artifact (
    run_no  INTEGER NOT NULL REFERENCES run (no),
    name    TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    digest  TEXT    NOT NULL,
    n_bytes INTEGER NOT NULL CHECK (n_bytes >= 0),
    PRIMARY KEY (run_no, name)
) WITHOUT ROWID;

CREATE TABLE run_log (
    run_no  INTEGER NOT NULL REFERENCES run (no),
    no      INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    level   TEXT    NOT NULL,
    text    TEXT    NOT NULL,
    PRIMARY KEY (run_no, no)
) WITHOUT ROWID;

-- Which batches were written: a batch that comes again is recognised without reading any history.
CREATE TABLE run_batch (
    run_no  INTEGER NOT NULL REFERENCES run (no),
    attempt INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (run_no, attempt, seq)
) WITHOUT ROWID;

-- One row for each metric of a run, with its latest value. `split`: 0 train, 1 valid, 2 test, 3 system.
-- `kind`: 0 finite, 1 NaN, 2 infinity, 3 minus infinity; `value` is 0 unless finite, and never NULL, because SQLite
-- would store a NaN as NULL.
CREATE TABLE metric_latest (
    series  INTEGER PRIMARY KEY,
    run_no  INTEGER NOT NULL REFERENCES run (no),
    split   INTEGER NOT NULL CHECK (split BETWEEN 0 AND 3),
    key     TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    value   REAL    NOT NULL,
    kind    INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3),
    UNIQUE (run_no, split, key)
);

-- The history. No foreign key: the series is looked up in the same transaction, and a check for each of a hundred
-- thousand points in a second would buy nothing. What drawing reads comes first, because SQLite reads a row's columns
-- from the left.
CREATE TABLE metric_point (
    series  INTEGER NOT NULL,
    step    INTEGER NOT NULL CHECK (step >= 0),
    value   REAL    NOT NULL,
    kind    INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3),
    at      INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (series, step)
) WITHOUT ROWID;

CREATE TABLE model (
    no   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE model_version (
    model_no   INTEGER NOT NULL REFERENCES model (no),
    version    INTEGER NOT NULL CHECK (version >= 1),
    sha256     TEXT    NOT NULL CHECK (length(sha256) = 64),
    n_bytes    INTEGER NOT NULL CHECK (n_bytes >= 0),
    run_id     TEXT,
    signature  TEXT    NOT NULL,
    metrics    TEXT    NOT NULL,
    signed_by  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (model_no, version),
    UNIQUE (model_no, sha256)
) WITHOUT ROWID;
CREATE TRIGGER model_version_is_immutable BEFORE UPDATE ON model_version
BEGIN SELECT RAISE(ABORT, 'a model version is immutable'); END;
CREATE TRIGGER model_version_stays BEFORE DELETE ON model_version
BEGIN SELECT RAISE(ABORT, 'a model version is immutable'); END;

CREATE TABLE model_alias (
    model_no   INTEGER NOT NULL,
    alias      TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (model_no, alias),
    FOREIGN KEY (model_no, version) REFERENCES model_version (model_no, version)
) WITHOUT ROWID;
CREATE INDEX model_alias_by_name ON model_alias (alias);
CREATE INDEX model_alias_by_version ON model_alias (model_no, version);

CREATE TABLE api_key (
    id           TEXT PRIMARY KEY,
    name         TEXT    NOT NULL,
    scopes       TEXT    NOT NULL,
    secret       BLOB    NOT NULL CHECK (length(secret) = 32),
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) WITHOUT ROWID;

CREATE TABLE trusted_signer (
    public_key TEXT PRIMARY KEY CHECK (length(public_key) = 64),
    name       TEXT    NOT NULL,
    added_at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    detail  TEXT    NOT NULL
);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_never_cut BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- Counts what a server has to notice. Kept by triggers, so that no write path can forget it.
CREATE TABLE change_counter (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    value INTEGER NOT NULL
);
INSERT INTO change_counter (only, value) VALUES (1, 0);
CREATE TRIGGER changed_by_alias_insert AFTER INSERT ON model_alias
BEGIN UPDATE change_counter SET value = value + 1; END;
CREATE TRIGGER changed_by_alias_update AFTER UPDATE ON model_alias
BEGIN UPDATE change_counter SET value = value + 1; END;
CREATE TRIGGER changed_by_alias_delete AFTER DELETE ON model_alias
BEGIN UPDATE change_counter SET value = value + 1; END;
CREATE TRIGGER changed_by_key_insert AFTER INSERT ON api_key
BEGIN UPDATE change_counter SET value = value + 1; END;
CREATE TRIGGER changed_by_key_update AFTER UPDATE OF revoked_at, expires_at, scopes, secret ON api_key
BEGIN UPDATE change_counter SET value = value + 1; END;
CREATE TRIGGER changed_by_signer_insert AFTER INSERT ON trusted_signer
BEGIN UPDATE change_counter SET value = value + 1; END;
CREATE TRIGGER changed_by_signer_delete AFTER DELETE ON trusted_signer
BEGIN UPDATE change_counter SET value = value + 1; END;
