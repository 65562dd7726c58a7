//! What stands in the files: words that must not, and sizes.

use crate::{
    assert_none,
    workspace::{SOURCES, Source},
};

/// A Rust file of more lines is refused.
const MAX_LINES: usize = 1000;

/// A Rust file of more lines is listed: the time to think of a split.
const MANY_LINES: usize = 500;

/// A file of the repository, in bytes. What is bigger is data, and data is not kept in a source repository.
const MAX_FILE_BYTES: u64 = 150_000;

/// Exceptions to that, each by prefix of its path.
const BIGGER_FILES: &[(&str, u64)] = &[
    ("datasets/samples/", 300_000),
    ("ui/assets/fonts/", 350_000),
    ("ui/tests/snapshots/", 250_000),
    ("docs/screenshots/", 400_000),
    ("Cargo.lock", 1_000_000),
];

/// A test fixture, in bytes.
const MAX_FIXTURE_BYTES: u64 = 50_000;

/// A heavy library by the name that code uses, and the folder of the crate that may use it.
const LIBRARY_FOLDERS: &[(&str, &str)] = &[
    ("polars", "datasets/"),
    ("burn", "engine/learn/"),
    ("lightgbm3", "engine/learn/"),
    ("rusqlite", "engine/store/"),
    ("axum", "engine/serve/"),
    ("egui", "ui/"),
    ("eframe", "ui/"),
];

// The words are put together here, so that this file is not found by its own rule.
const WORDS_IN_CODE: &[(&str, &str)] = &[
    (concat!("todo", "!("), "an unfinished path; finish it, or return an error that says what is not supported"),
    (concat!("unimplemented", "!("), "an unfinished path; finish it, or return an error"),
    (concat!("dbg", "!("), "left over from debugging"),
    (concat!("#[", "ignore"), "a test that nobody runs; mend it, or assert what it does today"),
    (concat!("#[", "should_panic"), "it cannot tell one panic from another; assert the error instead"),
];

const WORDS_ANYWHERE: &[(&str, &str)] = &[
    (concat!("crates", ".io/"), "a package registry's host"),
    (concat!("index.crates", ".io"), "a package registry's host"),
    (concat!("static.crates", ".io"), "a package registry's host"),
    (concat!("pypi", ".org"), "a package registry's host"),
    (concat!("python", "hosted.org"), "a package registry's host"),
    (concat!("registry.npmjs", ".org"), "a package registry's host"),
    (concat!("<<<<", "<<< "), "a conflict that was not resolved"),
];

/// The code of a line: without comments and without what stands in strings.
fn code_of(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut in_string = false;
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' if in_string => drop(chars.next()),
            '\'' if !in_string && chars.peek() == Some(&'"') => drop(chars.next()),
            '"' => in_string = !in_string,
            '/' if !in_string && chars.peek() == Some(&'/') => break,
            _ if !in_string => code.push(char),
            _ => {}
        }
    }
    code
}

fn word_offences(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    let is_rust = source.path.ends_with(".rs");
    // The lock file names where packages come from; that is cargo's to write.
    if source.path == "Cargo.lock" {
        return offences;
    }
    for (index, line) in source.text.lines().enumerate() {
        let mut add = |word: &str, why: &str| offences.push(format!("{}:{}: `{word}`: {why}", source.path, index + 1));
        for (word, why) in WORDS_ANYWHERE.iter().filter(|(word, _)| line.contains(word)) {
            add(word, why);
        }
        if !is_rust {
            continue;
        }
        // The body of a child process that another test starts is a test by form only.
        let is_child = line.contains(concat!("#[", "ignore = \"run by "));
        for (word, why) in WORDS_IN_CODE.iter().filter(|(word, _)| !is_child && code_of(line).contains(word)) {
            add(word, why);
        }
        if line.contains(concat!("TO", "DO")) && !line.contains(concat!("TO", "DO(")) {
            add(concat!("TO", "DO"), "an intention without an owner; write the owner in parentheses");
        }
    }
    offences
}

/// Whether the code names the library or a part of it: `library::`, `library_part::`, or an import of one.
fn names_library(code: &str, library: &str) -> bool {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    code.match_indices(library).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + library.len()..];
        let after = if after.starts_with('_') { after.trim_start_matches(is_word) } else { after };
        let starts_a_path = before.is_none_or(|char| !is_word(char) && !matches!(char, '-' | ':'));
        let imports = code.trim_start().trim_start_matches("pub ").starts_with("use ");
        starts_a_path && (after.starts_with("::") || imports && after.starts_with([';', ' ', ',']))
    })
}

/// Uses of a library outside its owner's folder, and re-exports of it inside.
fn library_offences(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    if !source.path.ends_with(".rs") {
        return offences;
    }
    for (index, line) in source.text.lines().enumerate() {
        let code = code_of(line);
        for (library, folder) in LIBRARY_FOLDERS.iter().filter(|(library, _)| names_library(&code, library)) {
            let at = format!("{}:{}", source.path, index + 1);
            if !source.path.starts_with(folder) {
                offences.push(format!("{at}: {library} is used outside {folder}"));
            } else if code.trim_start().starts_with("pub use ") {
                offences.push(format!("{at}: {library} is given on to other crates"));
            }
        }
    }
    offences
}

fn size_offences(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    let n_lines = source.text.lines().count();
    if source.path.ends_with(".rs") && n_lines > MAX_LINES {
        offences.push(format!("{}: {n_lines} lines, {MAX_LINES} allowed", source.path));
    }
    let exception = BIGGER_FILES.iter().find(|(prefix, _)| source.path.starts_with(prefix));
    let limit = match exception {
        Some((_, limit)) => *limit,
        None if source.path.starts_with("tests/fixtures/") => MAX_FIXTURE_BYTES,
        None => MAX_FILE_BYTES,
    };
    if source.n_bytes > limit {
        offences.push(format!("{}: {} bytes, {limit} allowed", source.path, source.n_bytes));
    }
    offences
}

fn over_all(rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    assert!(SOURCES.iter().any(|source| source.path == "engine/protocol/src/lib.rs"), "the walk must find the sources");
    SOURCES.iter().flat_map(rule).collect()
}

#[test]
fn no_forbidden_words() {
    assert_none("a word that must not stand there", &over_all(word_offences));
}

#[test]
fn heavy_libraries_are_named_only_by_their_owner() {
    assert_none("a heavy library is named outside its owner", &over_all(library_offences));
}

#[test]
fn files_stay_readable() {
    let long = SOURCES.iter().filter(|source| source.path.ends_with(".rs"));
    for source in long.filter(|source| source.text.lines().count() > MANY_LINES) {
        println!("long: {} ({} lines)", source.path, source.text.lines().count());
    }
    assert_none("a file is too big", &over_all(size_offences));
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), n_bytes: text.len() as u64, text: text.into() }
}

#[test]
fn the_word_rule_finds_what_it_should() {
    let check = |path: &str, text: &str, n_offences: usize| {
        let offences = word_offences(&source(path, text));
        assert_eq!(offences.len(), n_offences, "{path} {text:?}: {offences:?}");
    };
    for (word, _) in WORDS_IN_CODE {
        check("a/src/lib.rs", word, 1);
        check("a/src/lib.rs", &format!("// about {word}"), 0);
        check("docs/a.md", word, 0);
    }
    for (word, _) in WORDS_ANYWHERE {
        assert!(!word_offences(&source("docs/a.md", word)).is_empty(), "{word}");
    }
    check("a.rs", concat!("#[", "ignore = \"run by x in a process of its own\"]"), 0);
    check("a.rs", concat!("#[", "ignore = \"slow\"]"), 1);
    check("Cargo.lock", concat!("https://github.com/rust-lang/crates", ".io-index"), 0);
    check("a.rs", concat!("// TO", "DO: later"), 1);
    check("a.rs", concat!("// TO", "DO(ada): later"), 0);
}

#[test]
fn the_library_rule_finds_what_it_should() {
    let check = |path: &str, line: &str, n_offences: usize| {
        let offences = library_offences(&source(path, line));
        assert_eq!(offences.len(), n_offences, "{path} {line:?}: {offences:?}");
    };
    check("engine/src/a.rs", "use polars::prelude::*;", 1);
    check("engine/src/a.rs", "    let x: polars::frame::DataFrame;", 1);
    check("engine/src/a.rs", "use polars as p;", 1);
    check("engine/src/a.rs", "polars_core::x()", 1);
    check("engine/src/a.rs", "// as polars::lazy does", 0);
    check("engine/src/a.rs", "let name = \"polars\";", 0);
    check("engine/src/a.rs", "let text = \"polars::x\";", 0);
    check("engine/src/a.rs", "fn burn_version() {}", 0);
    check("engine/src/a.rs", "athanor_learn::burn::x()", 0);
    check("engine/src/a.rs", "let unburn = sunburn::x();", 0);
    check("engine/learn/src/a.rs", "use burn::tensor::Tensor;", 0);
    check("engine/learn/src/a.rs", "pub use burn::tensor::Tensor;", 1);
    check("datasets/src/a.rs", "pub(crate) use polars::prelude::Expr;", 0);
    check("engine/store/README.md", "use polars::x", 0);
}

#[test]
fn the_size_rule_finds_what_it_should() {
    let check = |path: &str, n_bytes: u64, n_lines: usize, n_offences: usize| {
        let text = "x\n".repeat(n_lines);
        let offences = size_offences(&Source { path: path.into(), n_bytes, text });
        assert_eq!(offences.len(), n_offences, "{path}: {offences:?}");
    };
    check("a/src/lib.rs", 2_000, 1000, 0);
    check("a/src/lib.rs", 2_002, 1001, 1);
    check("docs/a.md", 2_002, 1001, 0);
    check("tests/fixtures/a.csv", 50_000, 1, 0);
    check("tests/fixtures/a.csv", 50_001, 1, 1);
    check("datasets/samples/a.csv", 300_000, 1, 0);
    check("docs/a.png", 150_001, 0, 1);
}

#[test]
fn comments_are_told_from_code() {
    for (line, code) in [
        ("let a = 1; // one", "let a = 1; "),
        ("// all", ""),
        ("let url = \"http://x\"; // y", "let url = ; "),
        ("if char == '\"' { // y", "if char == ' { "),
        ("let escaped = \"\\\"// in\";", "let escaped = ;"),
        ("fn a<'a>(b: &'a str)", "fn a<'a>(b: &'a str)"),
        ("", ""),
        ("é//x", "é"),
        ("a / b", "a / b"),
    ] {
        assert_eq!(code_of(line), code, "{line}");
    }
}
