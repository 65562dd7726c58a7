//! A card as a document in Markdown, and a comparison in words.

use athanor_protocol::{
    card::{Difference, Estimate, IntervalMethod, ModelCard, Verdict},
    governance::CARD_FIELDS,
};

use crate::cli::output::{number, time};

/// Text from elsewhere in a line or cell of Markdown: no sign of it makes structure, and none of it becomes HTML.
fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => safe.push(' '),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '!' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

/// What people wrote keeps its lines; it is theirs to structure, but not with HTML.
fn paragraphs(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn table(out: &mut String, header: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    out.push_str(&format!("| {} |\n|{}\n", header.join(" | "), " --- |".repeat(header.len())));
    for row in rows {
        out.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    out.push('\n');
}

fn interval(estimate: &Estimate) -> String {
    estimate.interval.map_or_else(|| "–".to_owned(), |[low, high]| format!("{} to {}", number(low), number(high)))
}

const fn method(method: IntervalMethod) -> &'static str {
    match method {
        IntervalMethod::Bootstrap => "bootstrap",
        IntervalMethod::Wilson => "Wilson",
        IntervalMethod::None => "–",
    }
}

/// The card as a document.
pub fn markdown(card: &ModelCard) -> String {
    let mut out = format!("# {}\n\n", plain(&card.model));
    let signature = &card.signature;
    let aliases = if card.aliases.is_empty() { "none".to_owned() } else { plain(&card.aliases.join(", ")) };
    let mut facts = vec![
        ("Predicts", format!("{} ({})", plain(&signature.target), signature.task.as_str())),
        ("Stage", card.stage.as_str().to_owned()),
        ("Aliases", aliases),
        ("Registered", format!("{} UTC", time(card.created_at_millis))),
        ("Learner", card.train.as_ref().map_or("made by another program", |train| train.learner.name()).to_owned()),
    ];
    if !signature.classes.is_empty() {
        facts.push(("Classes", plain(&signature.classes.join(", "))));
    }
    table(
        &mut out,
        &["", ""],
        &facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect::<Vec<_>>(),
    );
    for field in CARD_FIELDS {
        if let Some(text) = card.texts.iter().find(|text| text.field == field && !text.text.is_empty()) {
            let title = field.replace('_', " ");
            let (first, rest) = title.split_at(1);
            out.push_str(&format!("## {}{rest}\n\n{}\n\n", first.to_uppercase(), paragraphs(&text.text)));
            out.push_str(&format!("Written by {}, {} UTC.\n\n", plain(&text.actor), time(text.at_millis)));
        }
    }
    out.push_str(&format!("## Quality on {} test rows\n\n", card.n_judged));
    let row = |e: &Estimate| {
        vec![
            plain(&e.key),
            e.value.finite().map_or_else(|| e.value.to_string(), number),
            interval(e),
            method(e.method).to_owned(),
        ]
    };
    table(
        &mut out,
        &["metric", "value", "95 % interval", "found by"],
        &card.metrics.iter().map(row).collect::<Vec<_>>(),
    );
    if !card.slices.is_empty() {
        out.push_str("### On parts of these rows\n\n");
        let mut rows = vec![];
        for slice in &card.slices {
            let value = slice.value.as_deref().map_or_else(|| "(missing)".to_owned(), plain);
            for e in &slice.metrics {
                let figure = e.value.finite().map_or_else(|| e.value.to_string(), number);
                rows.push(vec![
                    plain(&slice.column),
                    value.clone(),
                    slice.n_rows.to_string(),
                    plain(&e.key),
                    figure,
                    interval(e),
                ]);
            }
        }
        table(&mut out, &["column", "value", "rows", "metric", "figure", "95 % interval"], &rows);
    }
    out.push_str("## Data\n\n");
    let rows: Vec<Vec<String>> = card
        .datasets
        .iter()
        .map(|used| vec![plain(&used.name), used.n_rows.to_string(), plain(&used.digest)])
        .collect();
    table(&mut out, &["table", "rows", "digest"], &rows);
    let pair = |(name, value): &(String, String)| vec![plain(name), plain(value)];
    table(&mut out, &["split", ""], &card.split.iter().map(pair).collect::<Vec<_>>());
    out.push_str("## Limits\n\nNothing is known of inputs beyond what training has seen.\n\n");
    let rows: Vec<Vec<String>> = card
        .limits
        .iter()
        .map(|input| {
            let seen = match input.range {
                Some([low, high]) => format!("{} to {}", number(low), number(high)),
                None => plain(&input.values.join(", ")),
            };
            let missing = if input.nullable { "allowed" } else { "refused by the endpoint" };
            vec![
                plain(&input.name),
                input.dtype.as_str().to_owned(),
                seen,
                missing.to_owned(),
                format!("{:.1} %", input.missing * 100.0),
            ]
        })
        .collect();
    table(&mut out, &["input", "type", "seen in training", "missing values", "missing in training"], &rows);
    out.push_str("## Training\n\n```json\n");
    out.push_str(&serde_json::to_string_pretty(&card.train).unwrap_or_default().replace("```", "` ` `"));
    out.push_str("\n```\n\n## Lineage\n\n");
    let mut rows = vec![
        vec!["run".to_owned(), card.run.as_ref().map_or_else(|| "imported".to_owned(), |run| run.as_str().to_owned())],
        vec!["workflow".to_owned(), plain(&card.workflow)],
        vec!["workflow digest".to_owned(), plain(&card.workflow_digest)],
        vec!["package SHA-256".to_owned(), card.sha256.clone()],
        vec!["signed by".to_owned(), card.signed_by.clone()],
    ];
    rows.extend(card.versions.iter().map(pair));
    table(&mut out, &["", ""], &rows);
    for note in &card.notes {
        out.push_str(&format!("Note: {}.\n\n", plain(note)));
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// A verdict in words. `main` is the metric that decides.
pub fn words(second: &str, main: Option<&Difference>, n_rows: u64) -> String {
    let Some(main) = main else { return "nothing can be told: no metric is defined on these rows".to_owned() };
    let sign = if main.difference >= 0.0 { "+" } else { "" };
    let told = format!(
        "{} {sign}{}, 95 % interval {} to {}, on {n_rows} rows",
        main.key,
        number(main.difference),
        number(main.interval[0]),
        number(main.interval[1])
    );
    match main.verdict {
        Verdict::Better => format!("{second} is better: {told}"),
        Verdict::Worse => format!("{second} is worse: {told}"),
        Verdict::Unclear => format!("no difference can be told: {told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_what_and_how_sure() {
        let main = |difference, interval, verdict| Difference {
            key: "accuracy".to_owned(),
            first: 0.9,
            second: 0.9 + difference,
            difference,
            interval,
            verdict,
        };
        let better = main(0.012, [0.003, 0.021], Verdict::Better);
        let expect = "wine:3 is better: accuracy +0.012, 95 % interval 0.003 to 0.021, on 100 rows";
        assert_eq!(words("wine:3", Some(&better), 100), expect);
        let unclear = main(-0.01, [-0.02, 0.01], Verdict::Unclear);
        assert!(words("wine:3", Some(&unclear), 9).starts_with("no difference can be told: accuracy -0.01, "));
        assert!(words("wine:3", None, 0).starts_with("nothing"));
    }

    #[test]
    fn no_text_becomes_structure() {
        assert_eq!(plain("a|b\n# <script>`x`"), "a\\|b \\# &lt;script&gt;\\`x\\`");
        assert_eq!(paragraphs("- one\n<b>"), "- one\n&lt;b>");
    }
}
