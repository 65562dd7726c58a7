-- Monitoring: how models are watched, what was found about each period, and what people were told.

CREATE TABLE monitor_config (
    model_no   INTEGER PRIMARY KEY REFERENCES model (no),
    document   TEXT    NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE monitor_report (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    model_no INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    document TEXT    NOT NULL,
    FOREIGN KEY (model_no, version) REFERENCES model_version (model_no, version)
);
CREATE INDEX monitor_report_by_version ON monitor_report (model_no, version, id);

CREATE TABLE monitor_alert (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    model_no        INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    kind            TEXT    NOT NULL,
    column_name     TEXT    NOT NULL,
    message         TEXT    NOT NULL,
    report_id       INTEGER NOT NULL,
    raised_at       INTEGER NOT NULL,
    resolved_at     INTEGER,
    acknowledged_at INTEGER,
    acknowledged_by TEXT,
    CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL)),
    FOREIGN KEY (model_no, version) REFERENCES model_version (model_no, version)
);
-- Of one thing there is at most one open alert.
CREATE UNIQUE INDEX monitor_alert_open ON monitor_alert (model_no, version, kind, column_name) WHERE resolved_at IS NULL;
CREATE INDEX monitor_alert_by_model ON monitor_alert (model_no, id);
