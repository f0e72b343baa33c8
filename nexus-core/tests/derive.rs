//! The derive macros: names that outlive renaming, and errors that say what to write instead.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use nexus_core::{Command, DomainEvent, EventKind, Payload};
use serde::{Deserialize, Serialize};

#[test]
fn mistakes_are_compile_errors_that_say_what_to_write() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/derive/*.rs");
}

/// As it was when events were first stored.
mod then {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
    pub(crate) enum OrderEvent {
        Placed { cents: u64 },
        Cancelled,
    }
}

/// After a year of renaming.
mod now {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
    #[event(prefix = "Order")]
    pub(crate) enum PurchaseHappening {
        #[event(name = "OrderPlaced")]
        Submitted {
            #[serde(rename = "cents")]
            #[event(tag = "worth")]
            amount: u64,
        },
        Cancelled,
        #[event(name = "OrderPlaced", version = 2)]
        SubmittedWithCurrency(#[event(tag = "currency")] String, u64),
        r#Move,
    }
}

#[test]
fn stored_names_survive_the_renaming_of_types_variants_and_fields() {
    use now::PurchaseHappening;
    use then::OrderEvent;

    for (old, new) in [
        (OrderEvent::Placed { cents: 5 }, PurchaseHappening::Submitted { amount: 5 }),
        (OrderEvent::Cancelled, PurchaseHappening::Cancelled),
    ] {
        assert_eq!(old.kind(), new.kind());
        let payload = old.encode().expect("encoded");
        assert_eq!(payload, new.encode().expect("encoded"));
        assert_eq!(PurchaseHappening::decode(new.kind(), &payload).expect("decoded"), new);
    }
}

#[test]
fn versions_of_one_name_are_kinds_of_their_own() {
    use now::PurchaseHappening;

    let kinds = [("OrderPlaced", 1), ("OrderCancelled", 1), ("OrderPlaced", 2), ("OrderMove", 1)];
    let kinds = kinds.map(|(name, version)| EventKind::new(name, version));
    assert_eq!(PurchaseHappening::KINDS, kinds);
    let event = PurchaseHappening::SubmittedWithCurrency("EUR".into(), 5);
    assert_eq!(event.kind(), &kinds[2]);
    assert_eq!(event.encode().expect("encoded").to_string(), r#"["EUR",5]"#);
}

#[test]
fn tags_are_made_of_fields() {
    use now::PurchaseHappening;

    let tags = |event: PurchaseHappening| -> Vec<String> {
        event.tags().expect("valid tags").iter().map(ToString::to_string).collect()
    };
    assert_eq!(tags(PurchaseHappening::Submitted { amount: 5 }), ["worth:5"]);
    assert_eq!(tags(PurchaseHappening::SubmittedWithCurrency("EUR".into(), 5)), ["currency:EUR"]);
    assert!(tags(PurchaseHappening::Move).is_empty());
    let long = PurchaseHappening::SubmittedWithCurrency("x".repeat(300), 5);
    assert!(long.tags().is_err(), "a tag that is too long is an error, not cut");
}

#[test]
fn a_struct_is_an_event_of_one_kind() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
    #[event(name = "AccountOpened", version = 3)]
    struct Opened {
        #[event(tag)]
        account: u32,
    }
    let event = Opened { account: 7 };
    assert_eq!(Opened::KINDS, [EventKind::new("AccountOpened", 3)]);
    assert_eq!(event.tags().expect("valid")[0].as_str(), "account:7");
    let payload = event.encode().expect("encoded");
    assert_eq!(payload, Payload::from_json(r#"{"account":7}"#).expect("JSON"));
    assert_eq!(Opened::decode(event.kind(), &payload).expect("decoded"), event);
}

#[test]
fn commands_have_names_and_versions() {
    #[derive(Serialize, Deserialize, Command)]
    struct Open;
    #[derive(Serialize, Deserialize, Command)]
    #[command(name = "CloseAccount", version = 2)]
    enum Close {
        Now,
        Later,
    }
    assert_eq!((Open::NAME, Open::VERSION), ("Open", 1));
    assert_eq!((Close::NAME, Close::VERSION), ("CloseAccount", 2));
    let _ = (Close::Now, Close::Later);
}
