//! `keys`: make, list, rotate, limit, set their end, revoke.

use std::collections::HashMap;

use athanor_protocol::registry::KeyLimits;
use athanor_store::PageRequest;
use serde_json::json;

use super::{
    Context,
    args::KeysCommand,
    output::{table, time},
};
use crate::{
    deploy,
    error::{EngineError, Result},
    files, keys,
};

pub(crate) fn run(context: &Context, command: KeysCommand) -> Result<()> {
    match command {
        KeysCommand::Create { name, scopes, expires, limits } => {
            let workspace = context.open_or_init()?;
            let scopes: Vec<_> = scopes.into_iter().map(Into::into).collect();
            let expires = expires.map(|days| workspace.clock.now_millis() + i64::from(days) * 86_400_000);
            let limits = KeyLimits::from(&limits);
            limits.check().map_err(EngineError::Usage)?;
            let (info, key) = keys::create(&workspace, &name, &scopes, expires)?;
            if !limits.is_none() {
                keys::limit(&workspace, &info.id, &limits)?;
            }
            context.out.result(&json!({ "id": info.id, "name": info.name, "key": key, "scopes": info.scopes, "expires_at_millis": expires, "limits": limits }), || {
                format!("{key}\n\nThis key is shown once. Send it as:  Authorization: Bearer {}…", &key[..key.len().min(12)])
            });
        }
        KeysCommand::List => {
            let workspace = context.open()?;
            let page = workspace.store.keys(&PageRequest::first(1000))?;
            let limits: HashMap<String, KeyLimits> = workspace.store.key_limits()?.into_iter().collect();
            context.out.result(&json!({ "keys": page.items, "limits": limits }), || {
                let now = workspace.clock.now_millis();
                let rows: Vec<Vec<String>> = page
                    .items
                    .iter()
                    .map(|key| {
                        let state = match (key.revoked_at_millis, key.expires_at_millis) {
                            (Some(_), _) => "revoked",
                            (None, Some(at)) if at <= now => "expired",
                            _ => "valid",
                        };
                        let scopes: Vec<String> = key
                            .scopes
                            .iter()
                            .filter_map(|scope| serde_json::to_value(scope).ok()?.as_str().map(str::to_owned))
                            .collect();
                        let used = key.last_used_at_millis.map_or("never".to_owned(), time);
                        vec![
                            key.id.clone(),
                            key.name.clone(),
                            state.to_owned(),
                            scopes.join(", "),
                            limits.get(&key.id).map_or(String::new(), limits_text),
                            time(key.created_at_millis),
                            used,
                        ]
                    })
                    .collect();
                if rows.is_empty() {
                    "no keys; make one with: athanor keys create".to_owned()
                } else {
                    table(&["id", "name", "state", "may", "limits", "created (UTC)", "last used"], &rows)
                }
            });
        }
        KeysCommand::Rotate { id, grace } => {
            let workspace = context.open()?;
            let (until, key) = keys::rotate(&workspace, &id, grace)?;
            context.out.result(&json!({ "id": id, "key": key, "old_valid_until_millis": until }), || {
                format!("{key}\n\nThis key is shown once. The old one is valid until {} (UTC).", time(until))
            });
        }
        KeysCommand::Limit { id, limits } => {
            let workspace = context.open()?;
            let limits = KeyLimits::from(&limits);
            keys::limit(&workspace, &id, &limits)?;
            context.out.result(&json!({ "id": id, "limits": limits }), || match limits.is_none() {
                true => format!("key {id} is not limited"),
                false => format!("key {id} may ask for {}", limits_text(&limits)),
            });
        }
        KeysCommand::Expire { id, ends } => {
            let workspace = context.open()?;
            // Without days it is '--never': one of the two is asked for.
            let ends = ends.days.map(|days| workspace.clock.now_millis() + i64::from(days) * 86_400_000);
            keys::expire(&workspace, &id, ends)?;
            context.out.result(&json!({ "id": id, "expires_at_millis": ends }), || match ends {
                Some(at) => format!("key {id} ends on {} (UTC)", time(at)),
                None => format!("key {id} does not end by itself"),
            });
        }
        KeysCommand::Export { output } => {
            let records = deploy::exported_keys(&context.open()?)?;
            let lines = deploy::key_lines(&records)?;
            match output {
                Some(path) => {
                    files::write_atomic(&path, &lines)?;
                    context.out.result(&json!({ "file": path, "n_keys": records.len() }), || {
                        format!("{} keys, hashed, written to {}", records.len(), path.display())
                    });
                }
                None => {
                    context.out.result(&json!({ "keys": records }), || String::from_utf8_lossy(&lines).into_owned())
                }
            }
        }
        KeysCommand::Revoke { id } => {
            let workspace = context.open()?;
            keys::revoke(&workspace, &id)?;
            context.out.result(&json!({ "id": id, "revoked": true }), || format!("key {id} is revoked"));
        }
    }
    Ok(())
}

/// Limits in a line.
fn limits_text(limits: &KeyLimits) -> String {
    let parts = [
        limits.requests_per_second.map(|n| format!("{n} requests/s")),
        limits.rows_per_second.map(|n| format!("{n} rows/s")),
        limits.requests_per_day.map(|n| format!("{n} requests/day")),
        limits.rows_per_day.map(|n| format!("{n} rows/day")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
