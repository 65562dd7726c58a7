//! Who may import whom, and who owns which heavy library.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cargo_metadata::{DependencyKind, Metadata, PackageId};

use crate::{assert_none, workspace::metadata};

/// The table of `ARCHITECTURE.md`: a member, and the members that it may depend on. Development dependencies count
/// too: a test that needs more belongs into `athanor-tests`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("athanor-protocol", &[]),
    ("athanor-datasets", &["athanor-protocol"]),
    ("athanor-store", &["athanor-protocol"]),
    ("athanor-learn", &["athanor-protocol"]),
    ("athanor-serve", &["athanor-protocol", "athanor-datasets", "athanor-learn"]),
    ("athanor-fuzz", &["athanor-protocol", "athanor-datasets", "athanor-learn", "athanor-serve"]),
    ("athanor-engine", &["athanor-protocol", "athanor-datasets", "athanor-store", "athanor-learn", "athanor-serve"]),
    (
        "athanor-tests",
        &["athanor-protocol", "athanor-datasets", "athanor-store", "athanor-learn", "athanor-serve", "athanor-engine"],
    ),
    ("athanor-ui", &["athanor-protocol"]),
    ("athanor-desktop", &["athanor-protocol", "athanor-engine"]),
    ("xtask", &[]),
];

/// A heavy library (with all packages named `library-…`), and the members that may depend on it.
const OWNERS: &[(&str, &[&str])] = &[
    ("polars", &["athanor-datasets"]),
    ("burn", &["athanor-learn"]),
    ("cubecl", &["athanor-learn"]),
    ("lightgbm3", &["athanor-learn"]),
    ("rusqlite", &["athanor-store"]),
    // The fuzzer's client uses the files of the endpoint's own tests.
    ("axum", &["athanor-serve", "athanor-fuzz"]),
    ("tower", &["athanor-serve", "athanor-fuzz"]),
    ("hyper", &["athanor-serve", "athanor-fuzz"]),
    ("tonic", &["athanor-serve"]),
    ("tokio-rustls", &["athanor-serve"]),
    ("rcgen", &["athanor-serve"]),
    ("jsonwebtoken", &["athanor-serve"]),
    ("reqwest", &["athanor-engine", "athanor-tests"]),
    ("tokio", &["athanor-engine", "athanor-serve", "athanor-fuzz", "athanor-tests"]),
    ("anyhow", &["athanor-engine", "athanor-tests", "xtask"]),
    ("egui", &["athanor-ui"]),
    ("eframe", &["athanor-ui"]),
    ("web-sys", &["athanor-ui"]),
    ("js-sys", &["athanor-ui"]),
    ("wasm-bindgen", &["athanor-ui", "xtask"]),
    ("tauri", &["athanor-desktop"]),
    ("tract", &["athanor-learn"]),
];

/// What a member must not bring with it, however far down.
const MUST_NOT_REACH: &[(&str, &[&str])] = &[
    (
        "athanor-protocol",
        &["polars", "burn", "lightgbm3", "rusqlite", "axum", "tokio", "reqwest", "rand", "getrandom", "rayon", "cc"],
    ),
    ("athanor-store", &["polars", "burn", "lightgbm3", "axum", "tokio", "reqwest"]),
    ("athanor-datasets", &["burn", "lightgbm3", "rusqlite", "axum"]),
    ("athanor-learn", &["polars", "rusqlite", "axum"]),
    ("athanor-serve", &["rusqlite"]),
    // What the page's program links must compile for WebAssembly: nothing of the engine, no sockets. Threads cannot be
    // asked for here: the graph joins the features of all members, and through the table engine's choice a shared hash
    // table reaches a thread pool that the page's own build has not.
    ("athanor-ui", &["polars", "burn", "lightgbm3", "rusqlite", "axum", "tokio", "reqwest", "tauri"]),
    ("xtask", &["athanor-protocol", "cc", "cmake", "bindgen", "tokio"]),
];

/// Whether a package is the library or one of its parts.
fn belongs_to(package: &str, library: &str) -> bool {
    package.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

/// Offences against the import table. `edges` are direct dependencies between members; all members are in `members`.
fn import_offences(table: &[(&str, &[&str])], members: &BTreeSet<&str>, edges: &[(&str, &str)]) -> Vec<String> {
    let mut offences = Vec::new();
    for member in members {
        if !table.iter().any(|(name, _)| name == member) {
            offences.push(format!("{member} has no row in the table of who may import whom"));
        }
    }
    for (name, _) in table {
        if !members.contains(name) {
            offences.push(format!("the table of who may import whom has a row for {name}, which is no member"));
        }
    }
    for (from, to) in edges.iter().filter(|(_, to)| members.contains(to)) {
        let allowed = table.iter().any(|(name, may)| name == from && may.contains(to));
        if !allowed {
            offences.push(format!("{from} -> {to}: not allowed by the table of who may import whom"));
        }
    }
    offences
}

/// Direct dependencies of members on libraries that another member owns.
fn owner_offences(owners: &[(&str, &[&str])], edges: &[(&str, &str)]) -> Vec<String> {
    let mut offences = Vec::new();
    for (from, to) in edges {
        for (library, may) in owners.iter().filter(|(library, _)| belongs_to(to, library)) {
            if !may.contains(from) {
                offences.push(format!("{from} -> {to}: {library} belongs to {}", may.join(", ")));
            }
        }
    }
    offences
}

/// The shortest path from `from` to a package of `library`, as names.
fn path_to(graph: &BTreeMap<&str, BTreeSet<&str>>, from: &str, library: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let (&start, _) = graph.get_key_value(from)?;
    let mut queue = VecDeque::from([start]);
    while let Some(here) = queue.pop_front() {
        if here != start && belongs_to(here, library) {
            let back = std::iter::successors(Some(here), |name| came_from.get(name).copied());
            let mut path: Vec<String> = back.map(str::to_owned).collect();
            path.reverse();
            return Some(path);
        }
        for &next in graph.get(here).into_iter().flatten() {
            if next != start && !came_from.contains_key(next) {
                came_from.insert(next, here);
                queue.push_back(next);
            }
        }
    }
    None
}

fn reach_offences(rules: &[(&str, &[&str])], graph: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let check = |(member, libraries): &(&str, &[&str])| {
        let paths = libraries.iter().filter_map(|library| path_to(graph, member, library));
        paths.map(|path| format!("{member} must not reach this: {}", path.join(" -> "))).collect::<Vec<_>>()
    };
    rules.iter().flat_map(check).collect()
}

/// Names of the members.
fn members(metadata: &Metadata) -> BTreeSet<&str> {
    metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect()
}

/// Direct dependencies of every member, of all kinds.
fn declared_edges(metadata: &Metadata) -> Vec<(&str, &str)> {
    let packages = metadata.workspace_packages();
    let edges = packages.into_iter().flat_map(|package| {
        package.dependencies.iter().map(|dependency| (package.name.as_str(), dependency.name.as_str()))
    });
    edges.collect::<BTreeSet<_>>().into_iter().collect()
}

/// What is linked into what, by name, without development dependencies. Versions of one package are one node.
fn linked_graph(metadata: &Metadata) -> BTreeMap<&str, BTreeSet<&str>> {
    let name_of: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for node in &metadata.resolve.as_ref().unwrap().nodes {
        let linked = node.deps.iter().filter(|dep| {
            dep.dep_kinds.iter().any(|info| matches!(info.kind, DependencyKind::Normal | DependencyKind::Build))
        });
        graph.entry(name_of[&node.id]).or_default().extend(linked.map(|dep| name_of[&dep.pkg]));
    }
    graph
}

#[test]
fn members_import_only_what_the_table_allows() {
    let offences = import_offences(MAY_IMPORT, &members(metadata()), &declared_edges(metadata()));
    assert_none("a crate imports what it may not", &offences);
}

#[test]
fn heavy_libraries_have_one_owner() {
    assert_none("a heavy library is used outside its owner", &owner_offences(OWNERS, &declared_edges(metadata())));
}

#[test]
fn nothing_heavy_comes_in_by_a_detour() {
    let graph = linked_graph(metadata());
    assert!(path_to(&graph, "athanor-datasets", "polars").is_some(), "the graph must hold what is there");
    assert!(path_to(&graph, "athanor-engine", "burn").is_some(), "the graph must hold what is there");
    assert_none("a dependency brings in what its user must not reach", &reach_offences(MUST_NOT_REACH, &graph));
}

#[test]
fn serving_does_not_ask_for_the_trainer_in_cpp() {
    let serve = metadata().workspace_packages().into_iter().find(|package| package.name == "athanor-serve").unwrap();
    let learn = serve.dependencies.iter().find(|dependency| dependency.name == "athanor-learn").unwrap();
    assert!(!learn.uses_default_features, "athanor-serve must take athanor-learn without its default features");
    assert!(
        learn.features.iter().all(|feature| feature != "lightgbm"),
        "athanor-serve must not ask for athanor-learn's feature lightgbm: it would link C++ into every endpoint"
    );
}

#[test]
fn every_member_follows_the_workspace() {
    let mut offences = Vec::new();
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        let lints = manifest.split("\n[").find(|table| table.starts_with("lints]"));
        if !lints.is_some_and(|table| table.lines().any(|line| line.trim() == "workspace = true")) {
            offences.push(format!("{}: no `[lints] workspace = true`", package.manifest_path));
        }
        if package.license.as_deref() != Some("MIT OR Apache-2.0") {
            offences.push(format!("{}: the licence must be MIT OR Apache-2.0", package.manifest_path));
        }
        let n_test_programs = package.targets.iter().filter(|target| target.is_test()).count();
        // Each one links everything again; the end-to-end package is the one that needs two.
        let limit = if package.name == "athanor-tests" { 2 } else { 1 };
        if n_test_programs > limit {
            offences.push(format!("{}: {n_test_programs} test programs, {limit} allowed", package.manifest_path));
        }
    }
    assert_none("a manifest does not follow the workspace", &offences);
}

#[test]
fn the_import_rule_finds_what_it_should() {
    let table: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &[])];
    let check = |members: &[&str], edges: &[(&str, &str)], expect: &[&str]| {
        let offences = import_offences(table, &members.iter().copied().collect(), edges);
        assert_eq!(offences.len(), expect.len(), "{offences:?}");
        for (offence, expect) in offences.iter().zip(expect) {
            assert!(offence.contains(expect), "{offence}");
        }
    };
    check(&["a", "b"], &[("a", "b"), ("b", "serde")], &[]);
    check(&["a", "b"], &[("b", "a")], &["b -> a"]);
    check(&["a", "b", "c"], &[], &["c has no row"]);
    check(&["a"], &[], &["row for b"]);
}

#[test]
fn the_owner_rule_finds_what_it_should() {
    let owners: &[(&str, &[&str])] = &[("polars", &["datasets"]), ("burn", &["learn"])];
    let check = |from: &str, to: &str, n_offences: usize| {
        assert_eq!(owner_offences(owners, &[(from, to)]).len(), n_offences, "{from} -> {to}");
    };
    check("datasets", "polars", 0);
    check("learn", "polars", 1);
    check("learn", "polars-core", 1);
    check("learn", "burn_flex", 0);
    check("store", "burnish", 0);
}

#[test]
fn the_detour_rule_shows_the_shortest_path() {
    let graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::from([
        ("a", BTreeSet::from(["b", "c"])),
        ("b", BTreeSet::from(["d"])),
        ("c", BTreeSet::from(["polars-core"])),
        ("d", BTreeSet::from(["polars-core", "a"])),
        ("polars-core", BTreeSet::new()),
    ]);
    let rules: &[(&str, &[&str])] = &[("a", &["polars"]), ("polars-core", &["polars"]), ("a", &["burn"])];
    assert_eq!(reach_offences(rules, &graph), ["a must not reach this: a -> c -> polars-core"]);
}
