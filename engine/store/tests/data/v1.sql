-- A database of version 1 as that version filled it. Never change it: a test reads it with the newest program.
INSERT INTO run (no, id, workflow, status, attempt, created_at, queued_at, started_at, ended_at, seed, device, resumable,
    reproducibility, failure, log_next, n_series, note) VALUES
    (1, '00000000000000000000000001', 'wine', 'failed', 2, 1000, 1500, 2000, 3000, -1, 'cpu', 1, 'bitwise',
     '{"code":"out_of_memory","message":"too much"}', 2, 1, 'a note');
INSERT INTO run (no, id, workflow, status, attempt, created_at, queued_at, started_at, seed, device, owner_host, owner_pid,
    owner_started, heartbeat_at) VALUES
    (2, '00000000000000000000000002', 'wine', 'running', 1, 1001, 1001, 2000, 7, 'cpu', 'here', 42, -1, 2500);
INSERT INTO run_workflow (run_no, json) VALUES (1, '{"version":1}'), (2, '{"version":1}');
INSERT INTO run_step (run_no, position, node, kind, key, state, millis) VALUES (1, 0, 'open', 'table.open', 'ab', 'done', 12);
INSERT INTO run_param (run_no, name, value) VALUES (1, 'train.epochs', '40');
INSERT INTO run_environment (run_no, name, value) VALUES (1, 'host', 'here');
INSERT INTO run_tag (run_no, name, value) VALUES (1, 'purpose', 'paper');
INSERT INTO run_dataset (run_no, name, digest, n_rows) VALUES (1, 'wine.csv', 'blake3:1', 178);
INSERT INTO run_artifact (run_no, name, kind, digest, n_bytes) VALUES (1, 'train.model', 'model_package', 'blake3:2', 99);
INSERT INTO run_log (run_no, no, attempt, at, level, text) VALUES (1, 1, 1, 2000, 'info', 'a line');
INSERT INTO run_batch (run_no, attempt, seq) VALUES (1, 1, 1);
INSERT INTO metric_latest (series, run_no, split, key, attempt, step, at, value, kind) VALUES (1, 1, 1, 'loss', 1, 3, 2003, 0.0, 3);
INSERT INTO metric_point (series, step, attempt, at, value, kind) VALUES
    (1, 0, 1, 2000, 0.5, 0), (1, 1, 1, 2001, 0.0, 1), (1, 2, 1, 2002, 0.0, 2), (1, 3, 1, 2003, 0.0, 3);
INSERT INTO model (no, name) VALUES (1, 'wine');
INSERT INTO model_version (model_no, version, sha256, n_bytes, run_id, signature, metrics, signed_by, created_at) VALUES
    (1, 1, '0000000000000000000000000000000000000000000000000000000000000001', 99, '00000000000000000000000001',
     '{"task":"multiclass","target":"kind","inputs":[{"name":"ash","dtype":"float","nullable":false}],"classes":["a","b","c"]}',
     '[{"key":"test/accuracy","value":"NaN"}]', 'abababababababababababababababababababababababababababababababab', 4000);
INSERT INTO model_alias (model_no, alias, version, updated_at) VALUES (1, 'production', 1, 4001);
INSERT INTO api_key (id, name, scopes, secret, created_at, expires_at) VALUES
    ('k1', 'scale', 'predict admin', x'0707070707070707070707070707070707070707070707070707070707070707', 5000, 6000);
INSERT INTO trusted_signer (public_key, name, added_at) VALUES
    ('abababababababababababababababababababababababababababababababab', 'us', 5000);
INSERT INTO audit (at, actor, action, subject, detail) VALUES (5000, 'somebody', 'key.create', 'k1', '{}');
