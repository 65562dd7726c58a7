//! `keys`: make, list, revoke.

use athanor_store::PageRequest;
use serde_json::json;

use super::{
    Context,
    args::KeysCommand,
    output::{table, time},
};
use crate::{deploy, error::Result, files, keys};

pub(crate) fn run(context: &Context, command: KeysCommand) -> Result<()> {
    match command {
        KeysCommand::Create { name, scopes, expires } => {
            let workspace = context.open_or_init()?;
            let scopes: Vec<_> = scopes.into_iter().map(Into::into).collect();
            let expires = expires.map(|days| workspace.clock.now_millis() + i64::from(days) * 86_400_000);
            let (info, key) = keys::create(&workspace, &name, &scopes, expires)?;
            context.out.result(&json!({ "id": info.id, "name": info.name, "key": key, "scopes": info.scopes, "expires_at_millis": expires }), || {
                format!("{key}\n\nThis key is shown once. Send it as:  Authorization: Bearer {}…", &key[..key.len().min(12)])
            });
        }
        KeysCommand::List => {
            let workspace = context.open()?;
            let page = workspace.store.keys(&PageRequest::first(1000))?;
            context.out.result(&json!({ "keys": page.items }), || {
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
                            time(key.created_at_millis),
                            used,
                        ]
                    })
                    .collect();
                if rows.is_empty() {
                    "no keys; make one with: athanor keys create".to_owned()
                } else {
                    table(&["id", "name", "state", "may", "created (UTC)", "last used"], &rows)
                }
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
