-- Released. Never change this file: databases made by it are out there. Changes go into a file with the next number.
--
-- What a key may ask for, what it has asked for, and the secret that it had before.

CREATE TABLE api_key_limit (
    key_id              TEXT    PRIMARY KEY REFERENCES api_key (id),
    requests_per_second REAL    CHECK (requests_per_second > 0),
    rows_per_second     REAL    CHECK (rows_per_second > 0),
    requests_per_day    INTEGER CHECK (requests_per_day > 0),
    rows_per_day        INTEGER CHECK (rows_per_day > 0)
) WITHOUT ROWID;

CREATE TABLE api_key_previous (
    key_id      TEXT    PRIMARY KEY REFERENCES api_key (id),
    secret      BLOB    NOT NULL CHECK (length(secret) = 32),
    valid_until INTEGER NOT NULL
) WITHOUT ROWID;

-- `day`: days since the Unix epoch. No foreign key: whoever asks without a stored key may be counted here as well.
CREATE TABLE api_key_usage (
    day        INTEGER NOT NULL,
    key_id     TEXT    NOT NULL,
    n_requests INTEGER NOT NULL CHECK (n_requests >= 0),
    n_rows     INTEGER NOT NULL CHECK (n_rows >= 0),
    PRIMARY KEY (day, key_id)
) WITHOUT ROWID;

CREATE TRIGGER changed_by_key_limit_insert AFTER INSERT ON api_key_limit
BEGIN UPDATE change_counter SET value = value + 1; END;
CREATE TRIGGER changed_by_key_limit_update AFTER UPDATE ON api_key_limit
BEGIN UPDATE change_counter SET value = value + 1; END;
CREATE TRIGGER changed_by_key_limit_delete AFTER DELETE ON api_key_limit
BEGIN UPDATE change_counter SET value = value + 1; END;
