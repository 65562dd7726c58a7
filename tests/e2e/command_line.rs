//! What scripts rely on: exit status, JSON, and errors that name the user's thing.

use crate::sandbox::{Sandbox, sample, samples};

#[test]
fn the_exit_status_is_0_done_1_failed_2_usage() {
    let sandbox = Sandbox::new();
    let wine = sample("wine");
    let wine = wine.to_str().unwrap();
    let cases: [(&[&str], i32); 14] = [
        (&["--help"], 0),
        (&["--version"], 0),
        (&["check", wine], 0),
        (&["doctor"], 0),
        (&["data", "describe", "no-such-file.csv"], 1),
        (&["run", "no-such-file.json"], 1),
        (&["runs", "list"], 1),
        (&["models", "show", "nobody"], 1),
        (&["warp"], 2),
        (&["run"], 2),
        (&["run", wine, "--set", "nonsense"], 2),
        (&["run", wine, "--set", "linear.epochs=none"], 2),
        (&["models", "show", "../../etc/passwd"], 2),
        (&["predict", "wine", "a.csv", "-o", "out.xls"], 2),
    ];
    for (args, status) in cases {
        // Each in a folder without a workspace, so that one does not lean on another.
        let sandbox = Sandbox::new();
        let done = sandbox.run(args);
        assert_eq!(done.status, status, "{args:?}\n{}\n{}", done.stdout, done.stderr);
    }
    // 'check' and 'data describe' work without a workspace and leave none behind.
    sandbox.ok(&["check", wine]);
    assert!(!sandbox.workspace().exists());
}

#[test]
fn a_table_is_described() {
    let sandbox = Sandbox::new();
    let table = samples().join("breast_cancer.csv");
    let profile = sandbox.ok(&["data", "describe", table.to_str().unwrap()]);
    assert_eq!((profile["n_rows"].as_u64(), profile["columns"].as_array().unwrap().len()), (Some(569), 31));
    let target = profile["columns"].as_array().unwrap().last().unwrap();
    assert_eq!((target["name"].as_str(), target["n_distinct"].as_u64()), (Some("diagnosis"), Some(2)));
    assert_eq!((target["top"][0]["value"].as_str(), target["top"][0]["count"].as_u64()), (Some("benign"), Some(357)));
    let mean = profile["columns"][0]["numbers"]["mean"].as_f64().unwrap();
    assert!((mean - 14.127_291_739_894_55).abs() < 1e-9, "numpy says 14.12729173989455, we say {mean}");
}

#[test]
fn problems_of_a_workflow_name_node_port_and_parameter() {
    let sandbox = Sandbox::new();
    let flow = sandbox.write(
        "flow.json",
        r#"{"version":1,"name":"bad","nodes":[{"id":"open","kind":"table.open"},{"id":"fit","kind":"train.linear","params":{"epochs":0}}],"links":[]}"#,
    );
    let done = sandbox.run(&["check", flow.to_str().unwrap()]);
    assert_eq!((done.status, done.json["ok"].as_bool()), (1, Some(false)));
    let said: Vec<String> = done.json["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| {
            let part = |name: &str| problem[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}: {}", part("node"), part("port"), part("param"), part("message"))
        })
        .collect();
    assert_eq!(
        said,
        [
            "open - path: must be set",
            "fit splits -: nothing is linked to this input; it takes a splits",
            "fit - target: must be set",
            "fit - epochs: is 0, it must be from 1 to 1000000",
        ]
    );
    assert_eq!(sandbox.run(&["run", flow.to_str().unwrap()]).status, 1);
}

/// Tables and workflows that break trusted tools, through the whole program: an error that names the thing, no panic, and
/// a workspace that works afterwards.
#[test]
fn nasty_tables_and_workflows_end_in_a_clear_error() {
    let sandbox = Sandbox::new();
    let flow = |path: &str| {
        format!(
            r#"{{"version":1,"name":"nasty","nodes":[{{"id":"open","kind":"table.open","params":{{"path":"{path}"}}}},
            {{"id":"split","kind":"split"}},{{"id":"fit","kind":"train.linear","params":{{"target":"y","epochs":2}}}},{{"id":"judge","kind":"evaluate"}}],
            "links":[{{"from":"open.table","to":"split.table"}},{{"from":"split.splits","to":"fit.splits"}},{{"from":"fit.model","to":"judge.model"}},{{"from":"split.splits","to":"judge.splits"}}]}}"#
        )
    };
    let rows = |row: &dyn Fn(usize) -> String| (0..40).map(row).collect::<String>();
    let tables: [(&str, Vec<u8>); 12] = [
        ("empty", vec![]),
        ("header_only", b"x,y\n".to_vec()),
        ("one_row", b"x,y\n1,2\n".to_vec()),
        ("one_column", format!("y\n{}", rows(&|at| format!("{at}\n"))).into_bytes()),
        ("all_null", format!("x,y\n{}", rows(&|_| ",\n".to_owned())).into_bytes()),
        ("one_class", format!("x,y\n{}", rows(&|at| format!("{at},same\n"))).into_bytes()),
        ("ragged", b"x,y\n1,2\n3\n4,5,6\n".to_vec()),
        ("no_target", format!("x,z\n{}", rows(&|at| format!("{at},1\n"))).into_bytes()),
        ("nul_bytes", b"x,y\n1,\0\n\0,2\n".to_vec()),
        ("unterminated", b"x,y\n\"1,2\n3,4\n".to_vec()),
        ("binary", (0..=255u8).cycle().take(5000).collect()),
        ("only_target_known", format!("x,y\n{}", rows(&|at| format!(",{at}\n"))).into_bytes()),
    ];
    for (name, bytes) in tables {
        std::fs::write(sandbox.path(&format!("{name}.csv")), bytes).unwrap();
        let file = sandbox.write(&format!("{name}.json"), &flow(&format!("{name}.csv")));
        let done = sandbox.run(&["run", file.to_str().unwrap(), "--device", "cpu"]);
        assert_eq!(done.status, 1, "{name}: {}\n{}", done.stdout, done.stderr);
        let failure = if done.json["failure"].is_object() { &done.json["failure"] } else { &done.json["error"] };
        let message = failure["message"].as_str().unwrap_or_default();
        assert!(message.len() > 10 && failure["code"] != "internal", "{name}: {failure}");
        assert!(!done.stderr.contains("panicked"), "{name}: {}", done.stderr);
    }
    // Infinite and missing values are data, not errors.
    let odd = format!(
        "x,w,y\n{}",
        rows(&|at| format!(
            "{},{},{}\n",
            if at % 7 == 0 { "inf".to_owned() } else { at.to_string() },
            if at % 5 == 0 { "" } else { "3" },
            at * 2
        ))
    );
    sandbox.write("odd.csv", &odd);
    let file = sandbox.write("odd.json", &flow("odd.csv"));
    let done = sandbox.run(&["run", file.to_str().unwrap(), "--device", "cpu"]);
    assert_eq!(done.status, 0, "{}\n{}", done.stdout, done.stderr);
    let documents: [(&str, String); 5] = [
        ("not_json", "hello".to_owned()),
        ("newer", r#"{"version":99}"#.to_owned()),
        ("deep", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ("circle", r#"{"version":1,"name":"c","nodes":[{"id":"a","kind":"prepare.deduplicate"},{"id":"b","kind":"prepare.deduplicate"}],"links":[{"from":"a.table","to":"b.table"},{"from":"b.table","to":"a.table"}]}"#.to_owned()),
        ("unknown", r#"{"version":1,"name":"u","nodes":[{"id":"a","kind":"python.script"}],"links":[]}"#.to_owned()),
    ];
    for (name, text) in documents {
        let file = sandbox.write(&format!("document_{name}.json"), &text);
        let done = sandbox.run(&["run", file.to_str().unwrap()]);
        assert_eq!(done.status, 1, "{name}: {}", done.stdout);
        assert!(
            done.json["error"]["message"].as_str().is_some_and(|message| !message.is_empty()),
            "{name}: {}",
            done.stdout
        );
    }
}

#[test]
fn hostile_names_are_refused_or_plain_data() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init"]);
    let before = std::fs::read_dir(sandbox.folder.path()).unwrap().count();
    let names = [
        "../etc",
        "a/../b",
        "../../etc/passwd",
        "model/..",
        "..",
        "/etc/passwd",
        "model/subdir",
        "model/",
        " ..",
        ".. ",
        "",
        " ",
        "\t",
        "CON",
        "nul.txt",
        "C:/x",
        "\\\\host\\share",
        "\\..\\file",
        "%2e%2e%2f",
        "%252E%252E%252F",
        "a?b",
        "a#b",
        "a;b",
        "file://./etc",
        "nаme",
    ];
    let long = "x".repeat(300);
    for name in names.iter().copied().chain([long.as_str()]) {
        for args in
            [vec!["models", "show", name], vec!["models", "alias", name, "production", "1"], vec!["runs", "show", name]]
        {
            let done = sandbox.run(&args);
            assert!(done.status == 1 || done.status == 2, "{args:?}: {}", done.stdout);
            assert!(!done.stderr.contains("panicked"), "{args:?}: {}", done.stderr);
        }
    }
    assert_eq!(std::fs::read_dir(sandbox.folder.path()).unwrap().count(), before, "a name became a file");
}
