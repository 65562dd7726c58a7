//! `models export --onnx`.

use std::path::Path;

use serde_json::json;

use super::{Context, output::bytes};
use crate::{error::Result, onnx, registry};

pub(crate) fn export(context: &Context, model: &str, intended_use: &str, to: &Path) -> Result<()> {
    let (version, exported) = onnx::export(&context.open()?, model, intended_use, to)?;
    let n_bytes = exported.bytes.len() as u64;
    let value = json!({
        "model": version.model,
        "version": version.version,
        "file": to,
        "format": "onnx",
        "sha256": registry::sha256(&exported.bytes),
        "n_bytes": n_bytes,
        "inputs": exported.inputs,
        "outputs": exported.outputs,
        "notes": exported.notes,
        "check": exported.check,
    });
    context.out.result(&value, || {
        let check = &exported.check;
        let mut text = String::new();
        for note in &exported.notes {
            text += &format!("note: {note}\n");
        }
        text += &format!("{}:{} written to {} ({})\n", version.model, version.version, to.display(), bytes(n_bytes));
        text + &match (check.max_rel_difference.zip(check.max_abs_difference), &check.reason) {
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
    });
    Ok(())
}
