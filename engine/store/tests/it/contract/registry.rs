//! Registry, keys, signers, audit.

use athanor_protocol::{
    Code,
    metric::MetricValue,
    registry::{KeyLimits, Scope},
};
use athanor_store::{Expected, KeyUsage, NewApiKey, NewAudit, PageRequest, Store};

use super::code;
use crate::help::{id, running, version};

pub fn versions_are_counted_and_immutable(a: &dyn Store, b: &dyn Store) {
    let first = a.register_version("wine", &version(1)).unwrap();
    assert_eq!((first.version, first.model.as_str(), first.run_id.clone()), (1, "wine", Some(id(1))));
    assert_eq!(first.metrics[0].value, MetricValue::NaN);
    assert_eq!(b.register_version("wine", &version(2)).unwrap().version, 2);
    // The same package again is the same version, whatever else is said with it.
    let again = athanor_store::NewVersion { run_id: None, created_at_millis: 99, ..version(1) };
    assert_eq!(b.register_version("wine", &again).unwrap(), first);
    assert_eq!(a.register_version("digits", &version(1)).unwrap().version, 1);
    let reference = |text: &str| text.parse().unwrap();
    assert_eq!(b.resolve(&reference("wine")).unwrap().version, 2);
    assert_eq!(b.resolve(&reference("wine@latest")).unwrap().version, 2);
    assert_eq!(b.resolve(&reference("wine:1")).unwrap(), first);
    for missing in ["wine:3", "wine@production", "beer", "Wine"] {
        assert_eq!(code(b.resolve(&reference(missing))), Code::NotFound, "{missing}");
    }
    let page = b.versions("wine", &PageRequest::first(1)).unwrap();
    assert_eq!(page.items[0].version, 2);
    let page = b.versions("wine", &PageRequest::after(1, page.next.unwrap())).unwrap();
    assert_eq!((page.items[0].version, page.next), (1, None));
    assert_eq!(code(b.versions("beer", &PageRequest::first(1))), Code::NotFound);
    let models = b.models(&PageRequest::first(1)).unwrap();
    assert_eq!((models.items[0].name.as_str(), models.items[0].latest), ("digits", 1));
    let models = b.models(&PageRequest::after(1, models.next.unwrap())).unwrap();
    let wine = &models.items[0];
    assert_eq!((wine.name.as_str(), wine.n_versions, wine.latest, wine.updated_at_millis), ("wine", 2, 2, 2));
    // Many at once: numbers without gap or repeat.
    let mut numbers: Vec<_> = std::thread::scope(|scope| {
        let register = |store: &dyn Store, from: u32| -> Vec<_> {
            (from..from + 10).map(|n| store.register_version("wine", &version(n)).unwrap().version).collect()
        };
        let others = [scope.spawn(move || register(a, 100)), scope.spawn(move || register(b, 200))];
        others.into_iter().flat_map(|other| other.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (3..23).collect::<Vec<_>>());
}

pub fn a_run_knows_what_was_registered_from_it(a: &dyn Store, b: &dyn Store) {
    a.register_version("wine", &version(1)).unwrap();
    a.register_version("wine", &version(2)).unwrap();
    a.register_version("beer", &version(2)).unwrap();
    let found = |n| b.versions_of(&crate::help::id(n)).unwrap();
    assert_eq!(found(2), [("beer".to_owned(), 1), ("wine".to_owned(), 2)]);
    assert!(found(3).is_empty());
}

pub fn aliases_move_and_move_back(a: &dyn Store, b: &dyn Store) {
    a.register_version("wine", &version(1)).unwrap();
    a.register_version("wine", &version(2)).unwrap();
    a.register_version("digits", &version(3)).unwrap();
    assert_eq!(a.set_alias("wine", "production", 1, Expected::Nothing, 1).unwrap(), None);
    assert_eq!(a.set_alias("wine", "production", 2, Expected::Version(1), 2).unwrap(), Some(1));
    for expected in [Expected::Nothing, Expected::Version(1)] {
        assert_eq!(code(a.set_alias("wine", "production", 1, expected, 3)), Code::Conflict);
        assert_eq!(code(a.remove_alias("wine", "production", expected)), Code::Conflict);
    }
    assert_eq!(b.resolve(&"wine@production".parse().unwrap()).unwrap().version, 2);
    // Undone with what the move returned.
    assert_eq!(a.set_alias("wine", "production", 1, Expected::Version(2), 4).unwrap(), Some(2));
    a.set_alias("digits", "production", 1, Expected::Anything, 5).unwrap();
    a.set_alias("wine", "candidate", 1, Expected::Anything, 5).unwrap();
    let served = b.aliased("production").unwrap();
    let names: Vec<_> = served.iter().map(|v| (v.model.as_str(), v.version)).collect();
    assert_eq!(names, [("digits", 1), ("wine", 1)]);
    assert_eq!(served[1].aliases, ["candidate", "production"]);
    assert_eq!(
        b.models(&PageRequest::first(9)).unwrap().items[1].aliases,
        [("candidate".into(), 1), ("production".into(), 1)]
    );
    assert_eq!(a.remove_alias("wine", "production", Expected::Anything).unwrap(), Some(1));
    assert_eq!(a.remove_alias("wine", "production", Expected::Anything).unwrap(), None);
    assert_eq!(b.aliased("production").unwrap().len(), 1);
    assert_eq!(code(a.set_alias("wine", "production", 3, Expected::Anything, 6)), Code::NotFound);
    assert_eq!(code(a.set_alias("beer", "production", 1, Expected::Anything, 6)), Code::NotFound);
    assert_eq!(code(a.remove_alias("beer", "production", Expected::Anything)), Code::NotFound);
}

fn key(n: u8, at: i64) -> NewApiKey {
    NewApiKey {
        id: format!("k{n}"),
        name: "the scale in the yard".to_owned(),
        scopes: vec![Scope::Admin, Scope::Predict, Scope::Admin],
        secret_sha256: [n; 32],
        created_at_millis: at,
        expires_at_millis: Some(100),
    }
}

pub fn keys_live_and_end(a: &dyn Store, b: &dyn Store) {
    let info = a.create_key(&key(1, 50)).unwrap();
    assert_eq!(info.scopes, [Scope::Predict, Scope::Admin]);
    let found = b.find_key("k1").unwrap().unwrap();
    assert_eq!((&found.info, found.secret_sha256), (&info, [1; 32]));
    assert!(!format!("{found:?} {:?}", key(1, 50)).contains("secret"));
    assert_eq!(b.find_key("k2").unwrap(), None);
    assert_eq!(code(a.create_key(&key(1, 60))), Code::AlreadyExists);
    assert_eq!(code(a.create_key(&NewApiKey { scopes: vec![], ..key(3, 0) })), Code::InvalidArgument);
    a.create_key(&key(2, 50)).unwrap();
    a.create_key(&key(0, 60)).unwrap();
    let page = b.keys(&PageRequest::first(2)).unwrap();
    let more = b.keys(&PageRequest::after(2, page.next.unwrap())).unwrap();
    let ids: Vec<_> = page.items.iter().chain(&more.items).map(|key| key.id.as_str()).collect();
    assert_eq!((ids, more.next), (vec!["k1", "k2", "k0"], None));
    let used = || b.find_key("k1").unwrap().unwrap().info.last_used_at_millis;
    for (at, expect) in [(119_999, 60_000), (60_001, 60_000), (59_999, 60_000), (120_000, 120_000)] {
        a.touch_key("k1", at).unwrap();
        assert_eq!(used(), Some(expect), "used at {at}");
    }
    a.touch_key("unknown", 1).unwrap();
    assert_eq!(a.revoke_key("k1", 70).unwrap().revoked_at_millis, Some(70));
    assert_eq!(a.revoke_key("k1", 80).unwrap().revoked_at_millis, Some(70));
    assert_eq!(b.find_key("k1").unwrap().unwrap().info.revoked_at_millis, Some(70));
    assert_eq!(code(a.revoke_key("k9", 70)), Code::NotFound);
}

pub fn keys_rotate(a: &dyn Store, b: &dyn Store) {
    a.create_key(&NewApiKey { expires_at_millis: None, ..key(1, 50) }).unwrap();
    let counter = b.change_counter().unwrap();
    assert_eq!(a.rotate_key("k1", &[2; 32], 60, 100).unwrap().id, "k1");
    assert!(b.change_counter().unwrap() > counter, "a server learns of it");
    assert_eq!(b.find_key("k1").unwrap().unwrap().secret_sha256, [2; 32]);
    let previous = |at| {
        let all = b.previous_secrets(at).unwrap();
        all.into_iter().map(|old| (old.key_id, old.secret_sha256, old.valid_until_millis)).collect::<Vec<_>>()
    };
    assert_eq!(previous(99), [("k1".to_owned(), [1; 32], 100)]);
    assert_eq!(previous(100), [], "its time is over");
    a.rotate_key("k1", &[3; 32], 70, 200).unwrap();
    assert_eq!(previous(70), [("k1".to_owned(), [2; 32], 200)], "there are never more than two");
    assert!(!format!("{:?}", b.previous_secrets(70).unwrap()).contains("secret"));
    a.revoke_key("k1", 80).unwrap();
    assert_eq!(code(a.rotate_key("k1", &[4; 32], 90, 90)), Code::Conflict);
    a.create_key(&key(2, 50)).unwrap();
    assert_eq!(code(a.rotate_key("k2", &[4; 32], 100, 100)), Code::Conflict, "it has expired");
    assert_eq!(code(a.rotate_key("k9", &[4; 32], 90, 90)), Code::NotFound);
}

pub fn keys_end_when_they_are_told_to(a: &dyn Store, b: &dyn Store) {
    a.create_key(&NewApiKey { expires_at_millis: Some(90), ..key(1, 50) }).unwrap();
    let counter = b.change_counter().unwrap();
    for ends in [Some(200), None, Some(60)] {
        assert_eq!(a.set_key_expiry("k1", ends).unwrap().expires_at_millis, ends);
        assert_eq!(b.find_key("k1").unwrap().unwrap().info.expires_at_millis, ends);
    }
    assert!(b.change_counter().unwrap() > counter, "a server learns of it");
    a.revoke_key("k1", 80).unwrap();
    assert_eq!(code(a.set_key_expiry("k1", None)), Code::Conflict);
    assert_eq!(code(a.set_key_expiry("k9", None)), Code::NotFound);
}

pub fn keys_have_limits(a: &dyn Store, b: &dyn Store) {
    a.create_key(&key(1, 50)).unwrap();
    let counter = b.change_counter().unwrap();
    let limits = KeyLimits { requests_per_second: Some(2.5), rows_per_day: Some(1_000), ..KeyLimits::default() };
    a.set_key_limits("k1", &limits).unwrap();
    assert_eq!(b.key_limits().unwrap(), [("k1".to_owned(), limits)]);
    let other = KeyLimits { rows_per_second: Some(7.0), requests_per_day: Some(9), ..KeyLimits::default() };
    a.set_key_limits("k1", &other).unwrap();
    assert_eq!(b.key_limits().unwrap(), [("k1".to_owned(), other)], "what is not named any more is not limited");
    a.set_key_limits("k1", &KeyLimits::default()).unwrap();
    assert_eq!(b.key_limits().unwrap(), []);
    assert!(b.change_counter().unwrap() >= counter + 3);
    assert_eq!(code(a.set_key_limits("k9", &limits)), Code::NotFound);
    for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e10] {
        let limits = KeyLimits { requests_per_second: Some(bad), ..limits };
        assert_eq!(code(a.set_key_limits("k1", &limits)), Code::InvalidArgument, "{bad}");
    }
    for bad in [0, u64::MAX] {
        let limits = KeyLimits { rows_per_day: Some(bad), ..limits };
        assert_eq!(code(a.set_key_limits("k1", &limits)), Code::InvalidArgument, "{bad}");
    }
}

pub fn usage_adds_up(a: &dyn Store, b: &dyn Store) {
    let usage = |key_id: &str, n_requests, n_rows| KeyUsage { key_id: key_id.to_owned(), n_requests, n_rows };
    let counter = b.change_counter().unwrap();
    a.add_key_usage(20_000, &[usage("k1", 1, 10), usage("jwt:b", 2, 0)]).unwrap();
    b.add_key_usage(20_000, &[usage("k1", 1, 5)]).unwrap();
    assert_eq!(b.key_usage(20_000).unwrap(), [usage("jwt:b", 2, 0), usage("k1", 2, 15)]);
    assert_eq!(b.key_usage(20_001).unwrap(), []);
    a.add_key_usage(20_401, &[usage("k1", 1, 1)]).unwrap();
    assert_eq!(b.key_usage(20_000).unwrap(), [], "what is long past goes");
    assert_eq!(b.change_counter().unwrap(), counter, "no server has to look because of it");
}

pub fn signers_are_trusted_and_not(a: &dyn Store, b: &dyn Store) {
    let key = |n: u8| format!("{n:02x}").repeat(32);
    a.trust_signer(&key(2), "two", 5).unwrap();
    a.trust_signer(&key(1), "one", 6).unwrap();
    a.trust_signer(&key(1), "uno", 7).unwrap();
    let found: Vec<_> =
        b.trusted_signers().unwrap().into_iter().map(|s| (s.public_key, s.name, s.added_at_millis)).collect();
    assert_eq!(found, [(key(1), "uno".to_owned(), 6), (key(2), "two".to_owned(), 5)]);
    assert!(a.distrust_signer(&key(1)).unwrap());
    assert!(!a.distrust_signer(&key(1)).unwrap());
    assert_eq!(b.trusted_signers().unwrap().len(), 1);
    for bad in ["", "zz", &key(1).to_uppercase().replace('0', "A"), &key(1)[1..]] {
        assert_eq!(code(a.trust_signer(bad, "x", 0)), Code::InvalidArgument, "{bad:?}");
    }
}

pub fn the_audit_log_grows(a: &dyn Store, b: &dyn Store) {
    let entry = |n: i64| NewAudit {
        at_millis: n,
        actor: "somebody".to_owned(),
        action: "model.alias".to_owned(),
        subject: "wine@production".to_owned(),
        detail: serde_json::json!({ "n": n, "text": "\u{0}" }),
    };
    for n in 1..=5 {
        assert_eq!(a.append_audit(&entry(n)).unwrap(), n.cast_unsigned());
    }
    let page = b.audit(&PageRequest::first(3)).unwrap();
    let more = b.audit(&PageRequest::after(3, page.next.unwrap())).unwrap();
    let ids: Vec<_> = page.items.iter().chain(&more.items).map(|line| line.id).collect();
    assert_eq!((ids, more.next), (vec![5, 4, 3, 2, 1], None));
    assert_eq!(more.items[1].detail, entry(1).detail);
    assert_eq!((more.items[1].at_millis, more.items[1].actor.as_str()), (1, "somebody"));
    let large = NewAudit { detail: "x".repeat(100_000).into(), ..entry(1) };
    assert_eq!(code(a.append_audit(&large)), Code::TooLarge);
}

pub fn the_change_counter_tells(a: &dyn Store, b: &dyn Store) {
    let mut before = b.change_counter().unwrap();
    let mut check = |what: &str, changes: bool, act: &dyn Fn()| {
        act();
        let after = b.change_counter().unwrap();
        assert_eq!(after > before, changes, "{what}");
        before = after;
    };
    check("a version", false, &|| drop(a.register_version("wine", &version(1)).unwrap()));
    check("an alias", true, &|| assert!(a.set_alias("wine", "production", 1, Expected::Anything, 1).is_ok()));
    check("the same alias", false, &|| assert!(a.set_alias("wine", "production", 1, Expected::Anything, 1).is_ok()));
    check("an alias goes", true, &|| assert!(a.remove_alias("wine", "production", Expected::Anything).is_ok()));
    check("a key", true, &|| drop(a.create_key(&key(1, 1)).unwrap()));
    check("a use", false, &|| a.touch_key("k1", 1_000_000).unwrap());
    check("a revocation", true, &|| drop(a.revoke_key("k1", 1).unwrap()));
    check("a signer", true, &|| a.trust_signer(&"ab".repeat(32), "x", 1).unwrap());
    check("a signer goes", true, &|| assert!(a.distrust_signer(&"ab".repeat(32)).unwrap()));
    check("a run", false, &|| drop(running(a, 1)));
}

pub fn every_alias_is_listed(a: &dyn Store, b: &dyn Store) {
    for n in 1..=2 {
        a.register_version("wine", &version(n)).unwrap();
    }
    a.register_version("digits", &version(3)).unwrap();
    for (model, alias, number) in
        [("wine", "production", 2), ("wine", "champion", 2), ("wine", "blue", 1), ("digits", "staging", 1)]
    {
        a.set_alias(model, alias, number, Expected::Nothing, 1).unwrap();
    }
    let found = b.all_aliased().unwrap();
    let found: Vec<_> = found.iter().map(|(alias, v)| (v.model.as_str(), v.version, alias.as_str())).collect();
    assert_eq!(
        found,
        [("digits", 1, "staging"), ("wine", 1, "blue"), ("wine", 2, "champion"), ("wine", 2, "production")]
    );
}
