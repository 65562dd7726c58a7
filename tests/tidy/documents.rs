//! What the documents must list.

use std::collections::BTreeSet;

use crate::{
    assert_none,
    workspace::{SOURCES, metadata, root, text_of},
};

/// The crates of the code map: headings such as ``### `engine/store` (`athanor-store`)``.
fn mapped_crates(text: &str) -> BTreeSet<(String, String)> {
    let heading = |line: &str| {
        let rest = line.strip_prefix("### `")?;
        let (folder, rest) = rest.split_once("` (`")?;
        let (name, _) = rest.split_once("`)")?;
        Some((folder.to_owned(), name.to_owned()))
    };
    text.lines().filter_map(heading).collect()
}

fn difference(of: &str, listed: &BTreeSet<(String, String)>, there: &BTreeSet<(String, String)>) -> Vec<String> {
    let show = |(folder, name): &(String, String), what: &str| format!("{folder} ({name}): {what}");
    let missing = there.difference(listed).map(|it| show(it, &format!("not in {of}")));
    let stale = listed.difference(there).map(|it| show(it, &format!("in {of}, but no member of the workspace")));
    missing.chain(stale).collect()
}

#[test]
fn the_map_lists_exactly_the_members() {
    let root = root();
    let there = metadata().workspace_packages().into_iter().map(|package| {
        let folder = package.manifest_path.parent().unwrap().strip_prefix(&root).unwrap();
        (folder.as_str().replace('\\', "/"), package.name.to_string())
    });
    let listed = mapped_crates(&text_of("ARCHITECTURE.md"));
    assert_none("the code map is not the code", &difference("ARCHITECTURE.md", &listed, &there.collect()));
}

#[test]
fn every_sample_and_fixture_says_where_it_came_from() {
    let mut offences = Vec::new();
    for source in SOURCES.iter() {
        let Some((folder, name)) = source.path.rsplit_once('/') else {
            continue;
        };
        let is_table = [".csv", ".tsv", ".parquet"].iter().any(|extension| name.ends_with(extension));
        if is_table && (folder == "datasets/samples" || folder.starts_with("tests/fixtures")) {
            let readme = SOURCES.iter().find(|other| other.path == format!("{folder}/README.md"));
            if !readme.is_some_and(|readme| readme.text.contains(name)) {
                offences.push(format!("{}: not named in {folder}/README.md", source.path));
            }
        }
    }
    assert_none("a table without a source", &offences);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut offences = Vec::new();
    for source in SOURCES.iter().filter(|source| source.path.ends_with(".md")) {
        let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in local_links(&source.text) {
            if !root().join(folder).join(&target).exists() {
                offences.push(format!("{}: the link to {target} leads nowhere", source.path));
            }
        }
    }
    assert_none("a broken link", &offences);
}

/// Targets of markdown links that are files of the repository, without their anchors.
fn local_links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let local = targets.map(|target| target.split('#').next().unwrap_or_default());
    local
        .filter(|target| !target.is_empty() && !target.contains(':') && !target.contains(' '))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_map_rule_finds_what_it_should() {
    let pair = |folder: &str, name: &str| (folder.to_owned(), name.to_owned());
    let listed = mapped_crates("# Map\n### `a` (`x-a`)\ntext\n### `b/c` (`x-c`)\n### no crate\n### `d`\n");
    assert_eq!(listed, BTreeSet::from([pair("a", "x-a"), pair("b/c", "x-c")]));
    let there = BTreeSet::from([pair("a", "x-a"), pair("e", "x-e")]);
    let offences = difference("MAP", &listed, &there);
    assert_eq!(offences, ["e (x-e): not in MAP", "b/c (x-c): in MAP, but no member of the workspace"]);
}

#[test]
fn the_link_rule_finds_what_it_should() {
    let text = "[a](docs/a.md) [b](https://x/y) [c](#here) [d](b.md#there) a[0](not a link)";
    assert_eq!(local_links(text), ["docs/a.md", "b.md"]);
}
