-- Rollouts: a new version of a model takes over step by step. At most one of a model runs; ended ones stay.

CREATE TABLE rollout (
    no         INTEGER PRIMARY KEY,
    model_no   INTEGER NOT NULL,
    stable     INTEGER NOT NULL,
    candidate  INTEGER NOT NULL CHECK (candidate <> stable),
    spec       TEXT    NOT NULL,
    phase      TEXT    NOT NULL CHECK (phase IN ('running', 'promoted', 'rolled_back', 'aborted')),
    step       INTEGER NOT NULL CHECK (step >= 0),
    step_since INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    reason     TEXT,
    figures    TEXT    NOT NULL,
    CHECK ((phase = 'running') = (ended_at IS NULL)),
    FOREIGN KEY (model_no, stable) REFERENCES model_version (model_no, version),
    FOREIGN KEY (model_no, candidate) REFERENCES model_version (model_no, version)
);
CREATE UNIQUE INDEX rollout_running ON rollout (model_no) WHERE phase = 'running';
CREATE INDEX rollout_by_model ON rollout (model_no, no);
CREATE INDEX rollout_by_stable ON rollout (model_no, stable);
CREATE INDEX rollout_by_candidate ON rollout (model_no, candidate);

-- Endpoints look again when a rollout begins, moves on or ends; not for its figures, which change every second.
CREATE TRIGGER changed_by_rollout_insert AFTER INSERT ON rollout
BEGIN UPDATE change_counter SET value = value + 1; END;
CREATE TRIGGER changed_by_rollout_update AFTER UPDATE OF phase, step ON rollout
BEGIN UPDATE change_counter SET value = value + 1; END;
