//! API keys: listed, made, changed, given another secret, revoked.

use std::{collections::HashMap, sync::Arc};

use athanor_protocol::{
    Code, Failure,
    api::{
        Done, Event, KeyChange, KeyCreate, KeyCreated, KeyDetails, KeyEntry, KeyList, KeyPage, KeyRevoke, KeyRotate,
        KeyRotated,
    },
    registry::KeyLimits,
};
use athanor_store::Page;

use super::{Desk, endpoint, models};
use crate::{keys, workspace::Workspace};

const DAY_MILLIS: i64 = 86_400_000;

pub(super) fn key_list(desk: &Arc<Desk>, ask: KeyList) -> Result<KeyPage, Failure> {
    let workspace = desk.workspace()?;
    let Page { items, next } = workspace.store.keys(&models::page(ask.after))?;
    let mut details = details(&workspace)?;
    let items = items.into_iter().map(|info| KeyEntry { details: details.remove(&info.id).unwrap_or_default(), info });
    Ok(KeyPage { items: items.collect(), next })
}

/// What is known of keys besides: of all that are limited, were used today or were rotated lately.
fn details(workspace: &Workspace) -> Result<HashMap<String, KeyDetails>, Failure> {
    let now = workspace.clock.now_millis();
    let mut details: HashMap<String, KeyDetails> = HashMap::new();
    for (id, limits) in workspace.store.key_limits()? {
        details.entry(id).or_default().limits = limits;
    }
    for used in workspace.store.key_usage(u32::try_from(now / DAY_MILLIS).unwrap_or(0))? {
        let of = details.entry(used.key_id).or_default();
        (of.n_requests_today, of.n_rows_today) = (used.n_requests, used.n_rows);
    }
    for old in workspace.store.previous_secrets(now)? {
        details.entry(old.key_id).or_default().old_valid_until_millis = Some(old.valid_until_millis);
    }
    Ok(details)
}

/// Keys changed: the endpoint learns of it at once, and whoever looks at them.
fn changed(desk: &Arc<Desk>) {
    endpoint::refresh(desk);
    desk.publish(Event::KeysChanged {});
}

fn check_limits(limits: &KeyLimits) -> Result<(), Failure> {
    limits.check().map_err(|reason| {
        Failure::new(Code::InvalidArgument, reason).hint("leave a field empty where nothing is to be limited")
    })
}

pub(super) fn key_create(desk: &Arc<Desk>, ask: KeyCreate) -> Result<KeyCreated, Failure> {
    let workspace = desk.workspace()?;
    if ask.scopes.is_empty() {
        return Err(Failure::new(Code::InvalidArgument, "a key that may do nothing is of no use")
            .hint("choose what it may do: predict, admin or both"));
    }
    if ask.expires_at_millis.is_some_and(|at| at <= workspace.clock.now_millis()) {
        return Err(Failure::new(Code::InvalidArgument, "the key would have expired already")
            .hint("choose a time that is still to come"));
    }
    check_limits(&ask.limits)?;
    let (info, key) = keys::create(&workspace, ask.name.trim(), &ask.scopes, ask.expires_at_millis)?;
    if !ask.limits.is_none() {
        keys::limit(&workspace, &info.id, &ask.limits)?;
    }
    changed(desk);
    Ok(KeyCreated { info, key })
}

pub(super) fn key_change(desk: &Arc<Desk>, ask: KeyChange) -> Result<Done, Failure> {
    let workspace = desk.workspace()?;
    check_limits(&ask.limits)?;
    let unknown = || Failure::new(Code::NotFound, format!("there is no key {:?}", ask.id)).on(ask.id.clone());
    let known = workspace.store.find_key(&ask.id)?.ok_or_else(unknown)?.info;
    if known.revoked_at_millis.is_some() {
        return Err(Failure::new(Code::Conflict, format!("the key {:?} was revoked", known.name))
            .on(ask.id)
            .hint("make another one: what is revoked stays so"));
    }
    if known.expires_at_millis != ask.expires_at_millis {
        keys::expire(&workspace, &ask.id, ask.expires_at_millis)?;
    }
    let limits = workspace.store.key_limits()?.into_iter().find(|(id, _)| *id == ask.id).map(|(_, limits)| limits);
    if limits.unwrap_or_default() != ask.limits {
        keys::limit(&workspace, &ask.id, &ask.limits)?;
    }
    changed(desk);
    Ok(Done {})
}

pub(super) fn key_rotate(desk: &Arc<Desk>, ask: KeyRotate) -> Result<KeyRotated, Failure> {
    let (old_valid_until_millis, key) = keys::rotate(&*desk.workspace()?, &ask.id, ask.grace_millis)?;
    changed(desk);
    Ok(KeyRotated { key, old_valid_until_millis })
}

pub(super) fn key_revoke(desk: &Arc<Desk>, ask: KeyRevoke) -> Result<Done, Failure> {
    keys::revoke(&*desk.workspace()?, &ask.id)?;
    changed(desk);
    Ok(Done {})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use athanor_protocol::{api::AuditList, registry::Scope};

    use super::*;
    use crate::desk::{
        Subscription,
        test_desk::{TestDesk, ask},
    };

    fn heard(events: &Subscription) -> Vec<Event> {
        events.wait(Duration::ZERO).into_iter().map(|event| event.event).collect()
    }

    #[test]
    fn keys_are_made_shown_once_and_revoked() {
        let test = TestDesk::open();
        let make = |name: &str, scopes: &[Scope], expires_at_millis| KeyCreate {
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            expires_at_millis,
            limits: KeyLimits::default(),
        };
        let events = test.desk.subscribe();
        let made = ask(&test.desk, make(" for the shop ", &[Scope::Predict], None)).unwrap();
        assert_eq!(made.info.name, "for the shop");
        assert!(made.key.starts_with(&format!("ath_{}_", made.info.id)));
        assert!(!format!("{made:?}").contains(&made.key), "a secret is in no log");
        let list = ask(&test.desk, KeyList::default()).unwrap();
        assert_eq!(list.items.iter().map(|key| &key.info).collect::<Vec<_>>(), [&made.info]);
        assert!(!serde_json::to_string(&list).unwrap().contains(made.key.rsplit('_').next().unwrap()));
        ask(&test.desk, KeyRevoke { id: made.info.id.clone() }).unwrap();
        assert!(ask(&test.desk, KeyList::default()).unwrap().items[0].info.revoked_at_millis.is_some());
        assert_eq!(heard(&events), [Event::KeysChanged {}, Event::KeysChanged {}]);
        for bad in [
            make("", &[Scope::Predict], None),
            make("a", &[], None),
            make("a", &[Scope::Admin], Some(1)),
            make(&"x".repeat(500), &[Scope::Admin], None),
        ] {
            assert_eq!(ask(&test.desk, bad.clone()).unwrap_err().code, Code::InvalidArgument, "{bad:?}");
        }
        assert_eq!(ask(&test.desk, KeyRevoke { id: "nothing".to_owned() }).unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn limits_and_end_are_set_when_a_key_is_made_and_changed_later() {
        let test = TestDesk::open();
        let limits = KeyLimits { requests_per_second: Some(2.5), rows_per_day: Some(900), ..KeyLimits::default() };
        let scopes = vec![Scope::Predict];
        let make = KeyCreate { name: "a".to_owned(), scopes, expires_at_millis: None, limits };
        let id = ask(&test.desk, make.clone()).unwrap().info.id;
        let now = || {
            let page = ask(&test.desk, KeyList::default()).unwrap();
            (page.items[0].info.expires_at_millis, page.items[0].details.limits)
        };
        assert_eq!(now(), (None, limits));
        let ends = Some(test.desk.workspace().unwrap().clock.now_millis() + DAY_MILLIS);
        let other = KeyLimits { rows_per_second: Some(7.0), ..KeyLimits::default() };
        let change = |expires_at_millis, limits| KeyChange { id: id.clone(), expires_at_millis, limits };
        ask(&test.desk, change(ends, other)).unwrap();
        assert_eq!(now(), (ends, other));
        ask(&test.desk, change(None, KeyLimits::default())).unwrap();
        assert_eq!(now(), (None, KeyLimits::default()));
        let audit = ask(&test.desk, AuditList::default()).unwrap().items;
        let count = |action: &str| audit.iter().filter(|line| line.action == action).count();
        assert_eq!((count("key.limit"), count("key.expire")), (3, 2));
        let wrong = KeyLimits { requests_per_second: Some(f64::NAN), ..KeyLimits::default() };
        for bad in [change(Some(1), KeyLimits::default()), change(None, wrong)] {
            assert_eq!(ask(&test.desk, bad.clone()).unwrap_err().code, Code::InvalidArgument, "{bad:?}");
        }
        let refused = ask(&test.desk, KeyCreate { limits: wrong, ..make }).unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(ask(&test.desk, KeyList::default()).unwrap().items.len(), 1, "what is refused makes no key");
        ask(&test.desk, KeyRevoke { id: id.clone() }).unwrap();
        assert_eq!(ask(&test.desk, change(None, other)).unwrap_err().code, Code::Conflict);
        let nobody = KeyChange { id: "nothing".to_owned(), expires_at_millis: None, limits: other };
        assert_eq!(ask(&test.desk, nobody).unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn another_secret_is_shown_once_and_the_old_one_is_valid_for_its_grace() {
        let test = TestDesk::open();
        let scopes = vec![Scope::Predict];
        let make = KeyCreate { name: "a".to_owned(), scopes, expires_at_millis: None, limits: KeyLimits::default() };
        let made = ask(&test.desk, make).unwrap();
        let id = made.info.id;
        let rotated = ask(&test.desk, KeyRotate { id: id.clone(), grace_millis: DAY_MILLIS }).unwrap();
        assert!(rotated.key.starts_with(&format!("ath_{id}_")) && rotated.key != made.key);
        assert!(!format!("{rotated:?}").contains(&rotated.key), "a secret is in no log");
        let old = || ask(&test.desk, KeyList::default()).unwrap().items[0].details.old_valid_until_millis;
        assert_eq!(old(), Some(rotated.old_valid_until_millis));
        for grace_millis in [-1, 31 * DAY_MILLIS] {
            let ask = ask(&test.desk, KeyRotate { id: id.clone(), grace_millis });
            assert_eq!(ask.unwrap_err().code, Code::InvalidArgument, "{grace_millis}");
        }
        let ended = ask(&test.desk, KeyRotate { id: id.clone(), grace_millis: 0 }).unwrap();
        assert_ne!(ended.key, rotated.key);
        assert_eq!(old(), None, "the old one has ended");
    }

    #[test]
    fn without_a_workspace_there_are_no_keys() {
        assert_eq!(ask(&TestDesk::new().desk, KeyList::default()).unwrap_err().code, Code::Conflict);
    }
}
