//! Derived columns in ONNX against the same ones in tables: both are asked for the same rows, and must say the same.

use athanor_datasets::Replay;
use athanor_learn::onnx::{Difference, recipe_differences};
use athanor_protocol::{
    columns::{Column, ColumnData, Frame},
    recipe::{FittedRecipe, FittedStep},
    signature::InputColumn,
    table::{ColumnSchema, DataType, TableSchema},
};

mod random;

const N_ROWS: usize = 120;
const DAY: i64 = 86_400_000_000;
/// Whole numbers beyond this are not exact in a 64-bit float.
const EXACT: i64 = 1 << 53;

/// The columns: their types, and whether they miss values.
const COLUMNS: [(&str, DataType, bool); 15] = [
    ("a", DataType::Int, true),
    ("b", DataType::Int, true),
    ("n", DataType::Int, false),
    ("great", DataType::Int, true),
    ("x", DataType::Float, true),
    ("y", DataType::Float, true),
    ("s", DataType::Text, true),
    ("t", DataType::Text, false),
    ("ok", DataType::Bool, true),
    ("no", DataType::Bool, true),
    ("sure", DataType::Bool, false),
    ("d", DataType::Date, true),
    ("e", DataType::Date, true),
    ("z", DataType::Datetime, true),
    ("far", DataType::Datetime, true),
];

/// Rows that go through all values with another stride in each column, so that every pair of values meets.
fn rows() -> Frame {
    fn spread<T: Clone>(column: usize, values: &[T]) -> Vec<T> {
        let at = |row: usize| (row * (2 * column + 1) + row / values.len() * (column + 1)) % values.len();
        (0..N_ROWS).map(|row| values[at(row)].clone()).collect()
    }
    let nan = f64::NAN;
    let small = [None, Some(0), Some(1), Some(-1), Some(2), Some(3), Some(-7), Some(7), Some(5)];
    let floats =
        [nan, 0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -2.5, 1.235, 49.0, f64::INFINITY, f64::NEG_INFINITY, 1e300, 5e-324];
    let text = |text: &&str| Some(std::sync::Arc::<str>::from(*text));
    let truths = [None, Some(true), Some(false)];
    let date = |day: i64| Some(day * DAY);
    let dates = [
        None,
        date(0),
        date(-1),
        date(11_016),
        date(19_000),
        date(59),
        date(60),
        date(-25_567),
        date(365),
        date(16_801),
        date(-719_469),
        date(2_932_896),
        date(-141_427),
    ];
    let times = [
        None,
        Some(0),
        Some(-1),
        Some(1),
        Some(11_016 * DAY),
        Some(11_017 * DAY - 1),
        Some(19_000 * DAY + 3_661_500_000),
        Some(59 * DAY + 86_399_999_999),
        Some(-DAY),
        Some(-DAY - 1),
    ];
    let far = [
        None,
        Some(i64::MAX),
        Some(i64::MIN + 1),
        Some(8_210_266_876_799_999_999),
        Some(8_210_266_876_800_000_000),
        Some(-8_334_601_228_800_000_000),
        Some(-8_334_601_228_800_000_001),
        Some(0),
    ];
    let great = [
        None,
        Some(EXACT),
        Some(EXACT - 1),
        Some(-EXACT),
        Some(1 << 31),
        Some(-(1 << 31)),
        Some(1 << 40),
        Some(0),
        Some(49),
    ];
    let whole = [Some(4), Some(-3), Some(0), Some(1), Some(6)];
    let data: Vec<ColumnData> = vec![
        ColumnData::Int(spread(1, &small)),
        ColumnData::Int(spread(2, &small)),
        ColumnData::Int(spread(3, &whole)),
        ColumnData::Int(spread(4, &great)),
        ColumnData::Float(spread(5, &floats)),
        ColumnData::Float(spread(6, &floats[..9])),
        ColumnData::Text(spread(7, &[None, text(&"Ulm"), text(&"ulm"), text(&"Köln"), text(&"it's"), text(&"3")])),
        ColumnData::Text(spread(8, &[text(&""), text(&"Ulm"), text(&"b"), text(&"x y"), text(&"Köln")])),
        ColumnData::Bool(spread(9, &truths)),
        ColumnData::Bool(spread(11, &truths)),
        ColumnData::Bool(spread(3, &[Some(true), Some(false)])),
        ColumnData::Datetime(spread(12, &dates)),
        ColumnData::Datetime(spread(14, &dates)),
        ColumnData::Datetime(spread(15, &times)),
        ColumnData::Datetime(spread(16, &far)),
    ];
    let columns = COLUMNS.iter().zip(data).map(|((name, _, _), data)| Column { name: (*name).into(), data });
    Frame::new(columns.collect()).unwrap()
}

/// What became of an expression.
#[derive(Debug)]
enum Outcome {
    /// The tables' crate does not take it, or not these rows: no package can have it.
    NoPackage,
    /// It is not exported, for this reason.
    Refused(String),
    Compared(Vec<Difference>),
}

fn inputs() -> Vec<InputColumn> {
    COLUMNS.iter().map(|&(name, dtype, nullable)| InputColumn { name: name.to_owned(), dtype, nullable }).collect()
}

/// A recipe that derives one column of this type.
fn recipe(expression: &str, dtype: DataType) -> FittedRecipe {
    let column = |name: &str, dtype: DataType| ColumnSchema { name: name.to_owned(), dtype };
    FittedRecipe {
        version: 1,
        input: TableSchema { columns: COLUMNS.iter().map(|&(name, dtype, _)| column(name, dtype)).collect() },
        steps: vec![FittedStep::Derive { column: "made".to_owned(), expression: expression.to_owned() }],
        output: TableSchema { columns: vec![column("made", dtype)] },
    }
}

fn outcome(expression: &str, raw: &Frame, tolerance: f64) -> Outcome {
    use DataType::{Bool, Date, Datetime, Duration, Float, Int, Text};
    for dtype in [Float, Int, Bool, Text, Date, Datetime, Duration] {
        let recipe = recipe(expression, dtype);
        let Ok(prepared) = Replay::new(&recipe).and_then(|replay| replay.apply(raw)) else { continue };
        return match recipe_differences(&recipe, &inputs(), raw, &prepared, tolerance) {
            Ok(differences) => Outcome::Compared(differences),
            Err(err) => Outcome::Refused(err.to_string()),
        };
    }
    Outcome::NoPackage
}

/// Collects what is wrong with expressions that semicolons part, so that one run names them all.
fn wrong(expressions: &str, tolerance: f64) -> Vec<String> {
    let raw = rows();
    let all =
        expressions.split(';').map(str::trim).filter_map(|expression| match outcome(expression, &raw, tolerance) {
            Outcome::Compared(differences) if differences.is_empty() => None,
            Outcome::Compared(differences) => {
                Some(format!("{expression}: {} rows differ, {}", differences.len(), differences[0]))
            }
            other => Some(format!("{expression}: {other:?}")),
        });
    all.collect()
}

#[test]
fn numbers_are_computed_bit_for_bit_as_in_tables() {
    let expressions = "
        a + 1; a - b; a * b; -a; +a; - a % b; a - b * 2 % 3; 1 - 2 - a; great - 1; a / 4; a / b;
        7 / 2; 49 / 49; x / 49; a / 49; a / (40 + 9); great / 3; 1 / x; 1 / -x; 1 / (a * b); 1 / -a;
        x / (a * b); (a * 0) / b; 1 / (x + 0); 1 / (0 + x); 1 / (x - 0); 0 - x; 1 / (0 - x); +x; a // 2;
        a // -2; a // b; x // 2; x // y; x // 0; great // 7; DIV(a, b); DIV(x, 0.7); 1 / (a // 3); a % 4;
        a % -4; a % b; a % 0; 5 % b; x % 2; x % y; x % 0; MOD(a, 3); great % 10; 1 / (a % 3); x + y; x - y;
        x * y; x * 3; x * a; x + 1.5; 2.5 - x; .5 + a; 1.5e3 + a; n * 2 + a; ABS(a); ABS(x); ABS(-y); SIGN(a);
        SIGN(x); 1 / SIGN(x); SIGN(SQRT(x)); FLOOR(x); CEIL(x); CEILING(y); FLOOR(a); CEIL(a); SQRT(x);
        SQRT(a); SQRT(n); ROUND(x); ROUND(x, 2); ROUND(x, 22); ROUND(a); ROUND(a, 1); ROUND(x * 3, 1);
        TRUNC(x); TRUNCATE(x, 1); TRUNC(a); 1 / TRUNC(y); PI(); POW(a, 0); POW(n, 0); POW(a, 1); POW(a, 2);
        POW(a, 5); POW(2, 3); POW(x, 1); POW(x, 2); POW(x, 7); POW(x, 0.5); POW(a, 0.5); POW(a, 2.0);
        DEGREES(x); RADIANS(a); RADIANS(x); 7; 7.5; -3; 3000000000; 3000000000 + 1; 1 + 2; 1.5 + 2; great * 0;
        n; x
    ";
    assert_eq!(wrong(expressions, 0.0), [""; 0]);
}

#[test]
fn functions_that_round_agree_up_to_their_last_digits() {
    let expressions = "
        EXP(x); EXP(a); LN(x); LN(a); LOG(x, 2); LOG(a, 3); LOG(2, a); LOG(x, y); LOG10(x); LOG2(a);
        POW(x, 12); POW(x, -1); POW(x, y); POW(x, a); POW(2, x); POW(-8, y); SIN(y); COS(y); SIND(a); COSD(a);
        SIN(x); COS(a)
    ";
    assert_eq!(wrong(expressions, 1e-13), [""; 0]);
}

#[test]
fn conditions_keep_their_third_value() {
    let expressions = "
        a > 2; a >= b; a < b; a <= 2; a = b; a == b; a <> b; a != 3; a > 2.5; x > 1; x <= y; x = y; x <> y;
        x = -0.0; x < a; n > 1; n = 4; great = 9007199254740992; great < 9007199254740991; NOT a = b;
        SQRT(x) > 1; SQRT(x) <= 1; SQRT(x) >= 1; SQRT(x) < 1; 1 < SQRT(x); 1 >= SQRT(x); SQRT(x) = SQRT(y);
        SQRT(x) <> SQRT(y); SQRT(x) < SQRT(y); SQRT(x) >= SQRT(y); SQRT(x) = 0.5; x - x = x - x; x / 0 > y;
        a IS NULL; a IS NOT NULL; x IS NULL; SQRT(x) IS NULL; n IS NULL; t IS NULL; s IS NULL; ok IS NULL;
        sure IS NOT NULL; d IS NULL; a + b IS NULL; a = b IS NULL; a IS NULL = ok; 7 IS NULL;
        a BETWEEN 1 AND 5; a NOT BETWEEN 1 AND 5; a BETWEEN b AND 5; a NOT BETWEEN b AND 3;
        x BETWEEN 0 AND 2.5; SQRT(x) BETWEEN 0 AND 1; SQRT(x) NOT BETWEEN 0 AND 1; a BETWEEN 1 AND 5 AND ok;
        a BETWEEN b - 1 AND b + 1; a IN (3, 0); a NOT IN (3, 0); a IN (3, NULL); a NOT IN (3, NULL);
        a IN (NULL); a IN (-7); a IN (3.0, 2.5); x IN (2, 3); x IN (2.5, 0.0); x NOT IN (2.5);
        SQRT(x) IN (0.5); n IN (4, 6); ok IN (true); sure NOT IN (true); great IN (9007199254740992);
        7 IN (7, 8); 7 IN (8); NULL = a; a = NULL; a <=> b; a IS DISTINCT FROM b; a IS NOT DISTINCT FROM b;
        x <=> y; SQRT(x) <=> SQRT(y); s IS DISTINCT FROM 'Ulm'; ok IS NOT DISTINCT FROM no;
        n IS DISTINCT FROM 4; a <=> NULL; n IS DISTINCT FROM NULL; ok AND no; ok OR no; ok XOR no; NOT ok;
        NOT ok AND no; ok OR no AND sure; sure AND ok; sure OR no; sure XOR ok; sure AND NOT sure; ok AND NULL;
        ok OR NULL; NOT (ok AND no); NOT (ok OR no); ok AND no OR NOT ok AND NOT no; ok IS TRUE;
        ok IS NOT TRUE; ok IS FALSE; ok IS NOT FALSE; sure IS TRUE; a IS TRUE; x IS NOT FALSE; NOT a; NOT x; NOT n; ok = no; ok <> no;
        ok = true; ok <> false; ok < no; ok >= no; ok > 0; ok = 1; a > ok; a = true; ok BETWEEN 0 AND 1;
        ok = (a > 2); (a > 2) = (b > 1); (a > 2) IS NULL; 1 = 1; true; a > 1 AND b < 3 AND x <> 0; ok; sure
    ";
    assert_eq!(wrong(expressions, 0.0), [""; 0]);
}

#[test]
fn choices_take_the_value_and_the_type_that_tables_take() {
    let expressions = "
        CASE WHEN a > 2 THEN 1 ELSE 0 END; CASE WHEN a > 2 THEN 1 ELSE 0.5 END;
        CASE WHEN a > 2 THEN a ELSE 0.5 END; CASE WHEN a > 2 THEN x END; CASE WHEN a > 2 THEN NULL ELSE 2 END;
        CASE WHEN ok THEN 1 ELSE 2 END; CASE WHEN NOT ok THEN x WHEN no THEN y ELSE a END;
        CASE a WHEN 3 THEN 1 WHEN 0 THEN 2 END; CASE a WHEN NULL THEN 1 ELSE 0 END;
        CASE a WHEN b THEN x WHEN 1 THEN y END; CASE WHEN SQRT(x) >= 5 THEN 1 ELSE 0 END;
        CASE WHEN a > 2 THEN true ELSE false END; CASE WHEN a > 2 THEN ok ELSE no END;
        CASE WHEN a > 2 THEN sure END; CASE WHEN n > 2 THEN NULL ELSE sure END;
        CASE WHEN a > 2 THEN d ELSE e END; CASE WHEN a > 2 THEN d ELSE z END; CASE WHEN ok THEN d END;
        CASE WHEN 1 = 1 THEN 2 ELSE a END; CASE WHEN 1 = 1 THEN 2 ELSE 3 END;
        CASE WHEN ok THEN 3000000000 ELSE 1 END; (CASE WHEN ok THEN 1 ELSE 0 END) * 3000000000;
        (CASE WHEN ok THEN 1 ELSE 0 END) + (CASE WHEN no THEN 1 ELSE 0 END);
        (CASE WHEN ok THEN 1 ELSE 0 END) / 3; CASE WHEN ok THEN SQRT(x) ELSE 1 END;
        CASE WHEN CASE WHEN ok THEN no END THEN 1 ELSE 0 END; COALESCE(a, 7); COALESCE(a, 7.5);
        COALESCE(n, 0.5); COALESCE(a, b, 1); COALESCE(NULL, a); COALESCE(7, a); COALESCE(ok, false);
        COALESCE(ok, no); COALESCE(d, e); COALESCE(d, z); COALESCE(SQRT(x), 5); IFNULL(a, 1);
        COALESCE(CAST(ok AS INT), 0) + COALESCE(CAST(no AS INT), 0); IF(a > 2, 1, 0); IF(ok, x, a);
        IF(ok, 1, 0) * a; NULLIF(a, 3); NULLIF(a, b); NULLIF(x, 0); NULLIF(a, x); NULLIF(n, 4);
        1 / NULLIF(a, 0); NULLIF(ok, no); GREATEST(a, b); GREATEST(a, x); GREATEST(x, 1); GREATEST(n, 2);
        LEAST(a, b, x); LEAST(a, NULL); LEAST(x, y); LEAST(d, e); GREATEST(d, z); GREATEST(7, 8)
    ";
    assert_eq!(wrong(expressions, 0.0), [""; 0]);
}

#[test]
fn casts_give_what_tables_give() {
    let expressions = "
        CAST(a AS DOUBLE); CAST(a AS DOUBLE PRECISION); CAST(a AS FLOAT); a::double; a::BIGINT;
        CAST(n AS DOUBLE) / 3; 1 / CAST(a * b AS DOUBLE); CAST(ok AS INT); CAST(ok AS DOUBLE);
        CAST(sure AS BIGINT) + 1; CAST(a AS BOOLEAN); CAST(x AS BOOLEAN); CAST(a AS INT) + 1000000;
        TRY_CAST(great AS INT); TRY_CAST(great AS SMALLINT); TRY_CAST(a AS TINYINT) % b; TRY_CAST(x AS BIGINT);
        TRY_CAST(x AS INT); TRY_CAST(x AS TINYINT); 1 / TRY_CAST(y AS INT); TRY_CAST(SQRT(y) AS BIGINT);
        CAST(y AS INT) IS NULL; CAST(a AS VARCHAR); CAST(a AS VARCHAR(1)); CAST(n AS TEXT);
        CAST(ok AS VARCHAR); CAST(a > 2 AS VARCHAR); CAST(s AS VARCHAR); CAST(a AS VARCHAR) = '3';
        CAST(a * b AS VARCHAR) = '0'; CAST(ok AS VARCHAR) IN ('true'); CAST(z AS DATE); CAST(d AS TIMESTAMP);
        CAST(d AS DATE); CAST(CAST(a AS VARCHAR) AS VARCHAR) <> '7'
    ";
    assert_eq!(wrong(expressions, 0.0), [""; 0]);
}

#[test]
fn texts_are_compared_and_chosen() {
    let expressions = "
        s = 'Ulm'; s <> 'Ulm'; 'Ulm' = s; s LIKE 'Ulm'; s NOT LIKE 'Ulm'; s IN ('Ulm', 'Köln', 'Ulm');
        s NOT IN ('Ulm', 'it''s'); s IN ('Ulm', NULL); s NOT IN ('Ulm', NULL); s = NULL; t = ''; t <> '';
        t IN ('', 'b'); t = 'Ulm'; t NOT IN ('b'); 'a' = 'a'; 'a' = 'b'; 'text'; s; t; COALESCE(s, 'none');
        COALESCE(s, t); COALESCE(t, 'x'); NULLIF(s, 'Ulm'); NULLIF(t, 'b'); IF(ok, s, t);
        CASE WHEN a > 2 THEN 'big' ELSE 'small' END; CASE WHEN a > 2 THEN 'big' END;
        CASE WHEN a > 2 THEN s ELSE 'x' END; CASE WHEN ok THEN s END; CASE WHEN 1 = 1 THEN 'a' ELSE 'b' END;
        CASE s WHEN 'Ulm' THEN 1 WHEN 'ulm' THEN 2 ELSE 0 END; CASE s WHEN 'Ulm' THEN 'U' ELSE s END;
        CASE a WHEN 3 THEN 'three' WHEN 0 THEN 'zero' END; CASE WHEN s = 'Ulm' OR t = 'Ulm' THEN 1.5 END;
        CASE WHEN a > 2 THEN 'big' ELSE 'small' END = 'big';
        CASE WHEN ok THEN 'a' END = CASE WHEN no THEN 'a' ELSE 'b' END; CASE WHEN ok THEN s END IS NULL;
        CASE WHEN ok THEN 'a' END IS NOT NULL; CASE WHEN ok THEN s ELSE 'x' END IN ('Ulm', 'x');
        COALESCE(s, 'none') = 'none'; CASE WHEN ok THEN CAST(a AS VARCHAR) ELSE s END;
        CASE WHEN a > 2 THEN '' ELSE t END; s IS NULL AND t = 'b';
        CASE WHEN ok THEN CASE WHEN no THEN 'both' ELSE 'one' END ELSE 'none' END
    ";
    assert_eq!(wrong(expressions, 0.0), [""; 0]);
}

#[test]
fn dates_are_compared_subtracted_and_taken_apart() {
    let expressions = "
        d > DATE '2000-01-01'; d = DATE '1970-01-01'; d <> e; d <= e; d = z; z >= d;
        d IN (DATE '1970-01-01', DATE '2000-02-29'); d NOT IN (DATE '1970-01-01');
        z > TIMESTAMP '2000-01-01 10:00:00'; z = TIMESTAMP '2022-01-08 01:01:01.5';
        z < TIMESTAMP '2000-02-29 10:00'; CAST(z AS DATE) = '2000-02-29'; CAST(d AS TIMESTAMP) = '2000-02-29';
        CAST(d AS TIMESTAMP) > '1970-01-01 00:00:01'; CAST(d AS DATE) BETWEEN '1969-01-01' AND '1970-12-31';
        CAST(z AS DATE) NOT BETWEEN '1969-12-31' AND '1970-01-01'; d BETWEEN DATE '1970-01-01' AND e; z - d;
        d - e; d - DATE '2000-01-01'; CASE WHEN z - d > d - d THEN 1 ELSE 0 END; COALESCE(z - d, d - d);
        (d - e) IS NULL; d; z; DATE '2000-02-29'; EXTRACT(MONTH FROM d) + 1; EXTRACT(MONTH FROM d) > 200;
        EXTRACT(MONTH FROM d) + 200; EXTRACT(MONTH FROM d) + a; EXTRACT(MONTH FROM d) / 4;
        EXTRACT(YEAR FROM d) * 12 + EXTRACT(MONTH FROM d); EXTRACT(YEAR FROM d) * 3000000000;
        DATE_PART('month', d); DATE_PART('dow', z); MOD(EXTRACT(YEAR FROM d), 100);
        EXTRACT(DOW FROM d) IN (0, 6); CASE WHEN EXTRACT(MONTH FROM d) = 2 THEN 'february' ELSE 'other' END;
        COALESCE(EXTRACT(MONTH FROM d), 0) + 1; EXTRACT(HOUR FROM z) BETWEEN 1 AND 12;
        EXTRACT(HOUR FROM CAST(d AS TIMESTAMP)); -EXTRACT(MONTH FROM d);
        CAST(EXTRACT(MONTH FROM d) AS BIGINT) * 100
    ";
    assert_eq!(wrong(expressions, 0.0), [""; 0]);
    for column in ["d", "e", "z", "far"] {
        for part in ["YEAR", "QUARTER", "MONTH", "DAY", "DOY", "DOW", "ISODOW", "HOUR", "MINUTE", "SECOND"] {
            if matches!(part, "HOUR" | "MINUTE" | "SECOND") && matches!(column, "d" | "e") {
                continue;
            }
            assert_eq!(wrong(&format!("EXTRACT({part} FROM {column})"), 0.0), [""; 0]);
        }
    }
}

#[test]
fn narrow_whole_numbers_wrap_around_as_in_tables() {
    let expressions = "
        EXTRACT(MONTH FROM d) * 100; EXTRACT(DOY FROM d) * 300; SIGN(EXTRACT(MONTH FROM d)) + 127;
        CAST(ok AS TINYINT) + 127; POW(EXTRACT(MONTH FROM d), 2); CAST(a AS INT) + 1000000;
        TRY_CAST(x AS INT) + 2147483647; TRY_CAST(great AS INT) - EXTRACT(MONTH FROM d); -TRY_CAST(great AS INT);
        -TRY_CAST(great AS SMALLINT); TRY_CAST(great AS INT) * EXTRACT(MONTH FROM d); TRY_CAST(a AS TINYINT) * 100 % 7;
        EXTRACT(MONTH FROM d) * 100 / 3; COALESCE(EXTRACT(MONTH FROM d), 100) * 2; EXTRACT(MONTH FROM d) // 5 * 100;
        (CASE WHEN ok THEN EXTRACT(MONTH FROM d) ELSE 3 END) * 50; EXTRACT(YEAR FROM d) * 2000000
    ";
    assert_eq!(wrong(expressions, 0.0), [""; 0]);
}

#[test]
fn a_value_that_differs_is_told_with_its_row() {
    let raw = rows();
    let derive = |expression: &str| recipe(expression, DataType::Float);
    let prepared = Replay::new(&derive("x / 3")).unwrap().apply(&raw).unwrap();
    // Another rounding of the last digit, in some rows.
    let found = recipe_differences(&derive("x / (a - a + 3)"), &inputs(), &raw, &prepared, 0.0).unwrap();
    assert!(!found.is_empty() && found.iter().all(|difference| difference.column == "made"), "{found:?}");
    assert!(found[0].to_string().contains(&format!("row {}", found[0].row)), "{}", found[0]);
    let close =
        recipe_differences(&derive("COALESCE(x / (a - a + 3), x / 3)"), &inputs(), &raw, &prepared, 1e-9).unwrap();
    assert_eq!(close, []);
}
