-- Stages with their history, the history of aliases, deletion marks, texts of cards, rules.

-- The stage of a version is the last line about it; without a line it is 'none'.
CREATE TABLE version_stage (
    no         INTEGER PRIMARY KEY AUTOINCREMENT,
    model_no   INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    from_stage TEXT    NOT NULL CHECK (from_stage IN ('none', 'candidate', 'approved', 'rejected', 'archived')),
    to_stage   TEXT    NOT NULL CHECK (to_stage IN ('none', 'candidate', 'approved', 'rejected', 'archived')),
    at         INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    FOREIGN KEY (model_no, version) REFERENCES model_version (model_no, version)
);
CREATE INDEX version_stage_by_version ON version_stage (model_no, version, no);

-- Every move of an alias. What it points to now is in model_alias; this says how it came there, and where back leads.
CREATE TABLE alias_move (
    no           INTEGER PRIMARY KEY AUTOINCREMENT,
    model_no     INTEGER NOT NULL REFERENCES model (no),
    alias        TEXT    NOT NULL,
    from_version INTEGER,
    to_version   INTEGER,
    kind         TEXT    NOT NULL CHECK (kind IN ('move', 'roll_back', 'undo_move', 'undo_roll_back')),
    at           INTEGER NOT NULL,
    actor        TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    CHECK (from_version IS NOT to_version)
);
CREATE INDEX alias_move_by_alias ON alias_move (model_no, alias, no);

-- A version that is not wanted any more. The row of the version itself stays for ever, so that its number does.
CREATE TABLE version_deleted (
    model_no   INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    cleaned_at INTEGER,
    PRIMARY KEY (model_no, version),
    FOREIGN KEY (model_no, version) REFERENCES model_version (model_no, version)
) WITHOUT ROWID;
-- What lists and references find.
CREATE VIEW live_version AS
SELECT v.model_no, v.version, v.sha256, v.n_bytes, v.run_id, v.signature, v.metrics, v.signed_by, v.created_at
FROM model_version v WHERE NOT EXISTS
    (SELECT 1 FROM version_deleted d WHERE d.model_no = v.model_no AND d.version = v.version);
CREATE INDEX version_by_sha256 ON model_version (sha256);

-- What people wrote on a version's card; the newest revision counts.
CREATE TABLE card_text (
    model_no INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    field    TEXT    NOT NULL,
    revision INTEGER NOT NULL CHECK (revision >= 1),
    text     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    PRIMARY KEY (model_no, version, field, revision),
    FOREIGN KEY (model_no, version) REFERENCES model_version (model_no, version)
) WITHOUT ROWID;

-- Rules as JSON; the empty name stands for the workspace.
CREATE TABLE registry_rules (
    model TEXT PRIMARY KEY,
    rules TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX audit_by_subject ON audit (subject, id);

-- Stages, moves and texts are history: lines are added and never changed.
CREATE TRIGGER version_stage_is_never_changed BEFORE UPDATE ON version_stage
BEGIN SELECT RAISE(ABORT, 'the history of stages is append-only'); END;
CREATE TRIGGER version_stage_is_never_cut BEFORE DELETE ON version_stage
BEGIN SELECT RAISE(ABORT, 'the history of stages is append-only'); END;
CREATE TRIGGER alias_move_is_never_changed BEFORE UPDATE ON alias_move
BEGIN SELECT RAISE(ABORT, 'the history of aliases is append-only'); END;
CREATE TRIGGER alias_move_is_never_cut BEFORE DELETE ON alias_move
BEGIN SELECT RAISE(ABORT, 'the history of aliases is append-only'); END;
