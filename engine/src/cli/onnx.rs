//! `models export --onnx`.

use std::path::Path;

use serde_json::json;

use super::{Context, output::bytes};
use athanor_learn::onnx::Exported;

use crate::{
    error::Result,
    onnx::{self, Rendered},
    registry,
};

pub(crate) fn export(context: &Context, model: &str, intended_use: &str, to: &Path) -> Result<()> {
    let (version, rendered) = onnx::export(&context.open()?, model, intended_use, to, &|| Ok(()))?;
    let n_bytes = rendered.bytes().len() as u64;
    let mut value = json!({
        "model": version.model,
        "version": version.version,
        "file": to,
        "format": "onnx",
        "sha256": registry::sha256(rendered.bytes()),
        "n_bytes": n_bytes,
        "as_imported": matches!(rendered, Rendered::AsImported(_)),
    });
    if let Rendered::Made(exported) = &rendered {
        value["inputs"] = json!(exported.inputs);
        value["outputs"] = json!(exported.outputs);
        value["notes"] = json!(exported.notes);
        value["check"] = json!(exported.check);
    }
    context.out.result(&value, || {
        let written = format!("{}:{} written to {} ({})", version.model, version.version, to.display(), bytes(n_bytes));
        match &rendered {
            Rendered::AsImported(_) => format!("{written}\nit is the file that was imported, byte for byte"),
            Rendered::Made(exported) => {
                let notes: String = exported.notes.iter().map(|note| format!("note: {note}\n")).collect();
                format!("{notes}{written}\n{}", checked(exported))
            }
        }
    });
    Ok(())
}

/// How near the file's answers are to the model's own.
fn checked(exported: &Exported) -> String {
    let check = &exported.check;
    match (check.max_rel_difference.zip(check.max_abs_difference), &check.reason) {
        (Some((share, difference)), _) => format!(
            "checked with {}: {} rows, the greatest difference from the model's own answers is {difference:.1e}, \
             {share:.1e} of the greatest answer (at most {:.0e} is let pass)",
            check.runtime, check.checked_rows, check.tolerance
        ),
        (None, reason) => format!(
            "not checked with {}: {}\nrun it in ONNX Runtime and compare with: athanor predict",
            check.runtime,
            reason.as_deref().unwrap_or_default()
        ),
    }
}
