//! SQL expressions: what works, and what is refused before anything runs.

use athanor_datasets::plan_schema;
use athanor_protocol::Code;

use crate::support::{Folder, derive, filter, plan, run, shape, train_rows};

const TABLE: &str = "a,b,name,when,ok\n1,2.5,Ann,2024-01-31,true\n4,,bob,2023-12-01,false\n,0,,,\n";

/// Derives `x` and gives its values, or the error without the node.
fn value(expression: &str) -> Result<Vec<String>, String> {
    let folder = Folder::new();
    let source = folder.write("t.csv", TABLE);
    let prepared = run(&source, [derive("x", expression)]).map_err(|err| {
        assert_eq!(err.node(), Some("n1"), "{err}");
        assert_ne!(err.code(), Code::Internal, "{err}");
        let text = err.to_string();
        text.strip_prefix("node \"n1\" (derive): ").unwrap_or(&text).to_owned()
    })?;
    Ok(train_rows(&prepared).iter().map(|row| row.rsplit('|').next().unwrap().to_owned()).collect())
}

#[test]
fn expressions_over_one_row() {
    fn check(expression: &str, expect: [&str; 3]) {
        assert_eq!(value(expression).unwrap(), expect, "{expression}");
    }
    check("a + 1", ["2", "5", "-"]);
    check("a * b", ["2.5", "-", "-"]);
    check("\"a\" - 1", ["0", "3", "-"]);
    check("b / 0", ["inf", "-", "-"]);
    check("SQRT(a)", ["1", "2", "-"]);
    check("UPPER(name)", ["ANN", "BOB", "-"]);
    check("LENGTH(name)", ["3", "3", "-"]);
    check("name || '!'", ["Ann!", "bob!", "-"]);
    check("CASE WHEN a > 2 THEN 'big' ELSE 'small' END", ["small", "big", "small"]);
    check("COALESCE(b, 9)", ["2.5", "9", "0"]);
    check("a IS NULL", ["false", "false", "true"]);
    check("a IN (1, 2)", ["true", "false", "-"]);
    check("a BETWEEN 2 AND 5", ["false", "true", "-"]);
    check("name LIKE 'A%'", ["true", "false", "-"]);
    check("NOT ok", ["false", "true", "-"]);
    check("GREATEST(a, b)", ["2.5", "4", "0"]);
    check("CAST(a AS DOUBLE)", ["1", "4", "-"]);
    check("EXTRACT(YEAR FROM \"when\")", ["2024", "2023", "-"]);
    check("7", ["7", "7", "7"]);
    check("ROUND(b + 0.2, 0)", ["3", "-", "0"]);
}

#[test]
fn hostile_and_wrong_expressions_are_refused() {
    fn check(expression: &str, expect: &str) {
        let err = value(expression).unwrap_err();
        assert!(err.contains(expect), "{:.60}: {err}", expression);
    }
    check("", "it is empty");
    check("a +", "it can't be understood");
    check("frobnicate(a)", "there is no function \"frobnicate\"");
    check("SQRTT(a)", "there is no function \"sqrtt\"");
    check("SUM(a)", "SUM() looks at several rows");
    check("MAX(a)", "MAX() looks at several rows");
    check("SUM(a) OVER (PARTITION BY name)", "SUM() looks at several rows");
    check("a OVER ()", "\"OVER\" is not allowed");
    check("ROW_NUMBER() OVER ()", "ROW_NUMBER() looks at several rows");
    check("LAG(a)", "LAG() looks at several rows");
    check("(SELECT 1)", "\"SELECT\" is not allowed");
    check("read_csv('/etc/passwd')", "there is no function \"read_csv\"");
    check("a IN (SELECT x FROM read_csv('/etc/passwd'))", "is not allowed");
    check("(FROM read_csv('/etc/passwd'))", "there is no function \"read_csv\"");
    check("\"read_csv\"('/etc/passwd')", "a name in quotes can't be a function");
    check("COLUMNS('.*')", "there is no function \"columns\"");
    check("*", "expression \"*\"");
    check("UNNEST(a)", "there is no function \"unnest\"");
    check("REPEAT('x', 1000000000)", "there is no function \"repeat\"");
    check("LPAD('x', 1000000000, 'y')", "there is no function \"lpad\"");
    check("a; DROP TABLE t", "not allowed");
    check("a -- b", "comments are not allowed");
    check("a /* b */", "comments are not allowed");
    check("E'\\'' || name", "letters directly before a quote");
    check("'open", "a quote is not closed");
    check("aa + 1", "there is no column \"aa\" (did you mean \"a\"");
    check("nam || 'x'", "there is no column \"nam\" (did you mean \"name\"?)");
    check("t.a", "expression \"t.a\"");
    check("name + 1", "expression \"name + 1\"");
    check("NULL", "it is missing in every row");
    check("[a, b]", "is not allowed");
    check("a[1]", "is not allowed");
    check("{'x': a}", "is not allowed");
    check("a\0", "NUL byte");
    check(&format!("{}a{}", "(".repeat(4900), ")".repeat(4900)), "words and signs");
    check(&format!("{}a{}", "(".repeat(400), ")".repeat(400)), "nested deeper than");
    check(&format!("{}a", "- ".repeat(400)), "signs follow one another");
    check(&format!("{}ok", "NOT ".repeat(400)), "NOTs before parentheses");
    check(&"NOT (".repeat(12), "NOTs before parentheses");
    check("((a)", "the parentheses do not match");
    check(&format!("a{}", " BETWEEN a AND a".repeat(30)), "too complex");
    check(&"CASE WHEN ok THEN ".repeat(100), "nested deeper than");
    check(&"a".repeat(10_001), "longer than 10000 bytes");
}

#[test]
fn the_longest_and_deepest_allowed_expressions_do_not_overflow_the_stack() {
    let chain = vec!["a"; 490].join(" + ");
    assert_eq!(value(&chain).unwrap(), ["490", "1960", "-"]);
    let deep = format!("{}a{}", "(".repeat(12), ")".repeat(12));
    assert_eq!(value(&deep).unwrap(), ["1", "4", "-"]);
    let calls = format!("{}a{}", "ABS(".repeat(12), ")".repeat(12));
    assert_eq!(value(&calls).unwrap(), ["1", "4", "-"]);
}

#[test]
fn filters_are_conditions() {
    let folder = Folder::new();
    let source = folder.write("t.csv", TABLE);
    assert_eq!(train_rows(&run(&source, [filter("a > 1 OR b = 0")]).unwrap()).len(), 2);
    let err = run(&source, [filter("a + 1")]).unwrap_err();
    assert_eq!(err.to_string(), "node \"n1\" (filter): expression \"a + 1\": it is of type int, not a condition");
}

#[test]
fn types_are_known_before_rows_are_read() {
    let folder = Folder::new();
    let source = folder.write("t.csv", TABLE);
    let steps = [derive("x", "a / b"), derive("y", "x > 1"), derive("z", "name"), derive("a", "'t'")];
    let schema = plan_schema(&plan(&source, steps)).unwrap();
    assert_eq!(shape(&schema), "a:text b:float name:text when:date ok:bool x:float y:bool z:text");
}
