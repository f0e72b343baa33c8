#![allow(dead_code, reason = "their shapes are looked at, not they")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use nexus_core::testing::check_shapes;
use nexus_core::{
    Aggregate, Command, DomainEvent, EventKind, RecordedEvent, ShapeLock, Upcast, WayOfReading,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A module a release, each with the shapes it stores.
macro_rules! release {
    ($name:ident, { $($event:tt)* }, { $($command:tt)* }, { $($state:tt)* }, $snapshot:literal) => {
        mod $name {
            use super::*;

            $($event)*
            $($command)*

            #[derive(Default, JsonSchema)]
            $($state)*

            impl Aggregate for Till {
                const CATEGORY: &'static str = "till";
                const SNAPSHOT_VERSION: u32 = $snapshot;
                type Id = u32;
                type Event = TillEvent;
                fn apply(&mut self, _: &TillEvent) {}
            }

            pub(super) fn shapes() -> ShapeLock {
                ShapeLock::default().events::<TillEvent>().command::<Sell>().snapshot::<Till>()
            }
        }
    };
}

release!(
    first,
    {
        #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
        pub(super) enum TillEvent {
            Sold { cents: u64 },
        }
    },
    {
        #[derive(Serialize, Deserialize, JsonSchema, Command)]
        pub(super) struct Sell {
            cents: u64,
        }
    },
    {
        pub(super) struct Till {
            cents: u64,
        }
    },
    1
);

release!(
    careless,
    {
        #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
        pub(super) enum TillEvent {
            Sold { cents: u64, currency: String },
        }
    },
    {
        #[derive(Serialize, Deserialize, JsonSchema, Command)]
        pub(super) struct Sell {
            amount: u64,
        }
    },
    {
        pub(super) struct Till {
            cents: i64,
        }
    },
    1
);

release!(
    forgetful,
    {
        #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
        pub(super) enum TillEvent {
            #[event(version = 2)]
            Sold { cents: u64, currency: String },
        }
    },
    {
        #[derive(Serialize, Deserialize, JsonSchema, Command)]
        pub(super) struct Purchase {
            cents: u64,
        }
        pub(super) use Purchase as Sell;
    },
    {
        pub(super) struct Till {
            cents: u64,
        }
    },
    1
);

release!(
    careful,
    {
        #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
        #[event(upcast(SoldV1))]
        pub(super) enum TillEvent {
            #[event(version = 2)]
            Sold {
                cents: u64,
                currency: String,
            },
            Closed,
        }

        #[derive(Deserialize, JsonSchema)]
        pub(super) struct SoldV1 {
            cents: u64,
        }

        impl Upcast for SoldV1 {
            const KIND: EventKind = EventKind::new("TillSold", 1);
            type Next = TillEvent;
            fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = TillEvent> {
                [TillEvent::Sold { cents: self.cents, currency: "USD".into() }]
            }
        }
    },
    {
        #[derive(Serialize, Deserialize, JsonSchema, Command)]
        #[command(version = 2)]
        pub(super) struct Sell {
            amount: u64,
        }
    },
    {
        pub(super) struct Till {
            cents: i64,
        }
    },
    2
);

release!(
    forging,
    {
        #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
        #[event(upcast(SoldV1))]
        pub(super) enum TillEvent {
            #[event(version = 2)]
            Sold { cents: u64, currency: String },
        }

        #[derive(Deserialize, JsonSchema)]
        pub(super) struct SoldV1 {
            dollars: u64,
        }

        impl Upcast for SoldV1 {
            const KIND: EventKind = EventKind::new("TillSold", 1);
            type Next = TillEvent;
            fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = TillEvent> {
                [TillEvent::Sold { cents: self.dollars * 100, currency: "USD".into() }]
            }
        }
    },
    {
        #[derive(Serialize, Deserialize, JsonSchema, Command)]
        pub(super) struct Sell {
            cents: u64,
        }
    },
    {
        pub(super) struct Till {
            cents: u64,
        }
    },
    1
);

struct File(PathBuf);

impl File {
    fn new(purpose: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexus-{purpose}-{}.lock.json", std::process::id()));
        let _ = fs::remove_file(&path);
        Self(path)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).expect("it is there")
    }

    /// What the check has to say; nothing where it passes.
    fn check(&self, shapes: &ShapeLock) -> Option<String> {
        let checked = catch_unwind(AssertUnwindSafe(|| check_shapes(&self.0, shapes)));
        checked.err().map(|said| *said.downcast::<String>().expect("it says why"))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn new_shapes_are_written_down_and_have_to_be_committed() {
    let file = File::new("new");
    let said = file.check(&first::shapes()).expect("the file was not there");
    assert!(said.contains("from 0 shapes to 3") && said.contains("commit it"), "{said}");
    assert_eq!(file.check(&first::shapes()), None);
    let lock = ShapeLock::from_json(&file.text()).expect("a lock file");
    assert_eq!(lock.events["TillSold"][&1].read, WayOfReading::Directly);
    assert_eq!(lock.commands["Sell"][&1].as_value()["properties"]["cents"]["type"], "integer");
    assert!(lock.snapshots["till"].contains_key(&1));
}

#[test]
fn a_changed_shape_is_refused_with_field_change_and_remedy() {
    let file = File::new("changed");
    let _ = file.check(&first::shapes());
    let before = file.text();
    let said = file.check(&careless::shapes()).expect("shapes have changed");
    for part in [
        "event TillSold, version 1: field `currency` was added",
        "command Sell, version 1: field `amount` was added",
        "command Sell, version 1: field `cents` was removed",
        "snapshot of till, version 1: field `cents`: `format` was \"uint64\" and is \"int64\"",
        "`#[event(upcast(…))]`",
        "`#[command(version = …)]`",
        "`SNAPSHOT_VERSION`",
    ] {
        assert!(said.contains(part), "{part:?} is not said:\n{said}");
    }
    assert_eq!(file.text(), before, "what is refused is not written");
}

#[test]
fn a_new_version_alone_leaves_what_is_stored_unreadable() {
    let file = File::new("forgotten");
    let _ = file.check(&first::shapes());
    let said = file.check(&forgetful::shapes()).expect("nothing reads version 1");
    assert!(said.contains("event TillSold, version 1: nothing reads it any more"), "{said}");
    assert!(said.contains("command Sell, version 1: it is gone"), "{said}");
}

#[test]
fn a_new_version_with_an_upcaster_is_written_down() {
    let file = File::new("careful");
    let _ = file.check(&first::shapes());
    let said = file.check(&careful::shapes()).expect("there is something new");
    assert!(said.contains("from 3 shapes to 7"), "{said}");
    assert_eq!(file.check(&careful::shapes()), None);
    let lock = ShapeLock::from_json(&file.text()).expect("a lock file");
    let read = |version| lock.events["TillSold"][&version].read;
    assert_eq!((read(1), read(2)), (WayOfReading::Upcast, WayOfReading::Directly));
    assert_eq!(lock.commands["Sell"].len(), 2, "earlier versions of commands stay known");
}

#[test]
fn an_upcaster_that_reads_another_shape_than_was_stored_is_refused() {
    let file = File::new("forging");
    let _ = file.check(&first::shapes());
    let said = file.check(&forging::shapes()).expect("dollars were never stored");
    assert!(said.contains("event TillSold, version 1: field `cents` was removed"), "{said}");
}

#[test]
fn what_is_no_lock_file_is_refused_and_left_alone() {
    let file = File::new("broken");
    for (text, reason) in [
        ("{", "no lock file"),
        ("[]", "no lock file"),
        (r#"{"nexus_lock":1,"event":{}}"#, "no lock file"),
        (r#"{"nexus_lock":2}"#, "format 2, written by a newer"),
    ] {
        fs::write(&file.0, text).expect("written");
        let said = file.check(&first::shapes()).expect("it is no lock file");
        assert!(said.contains(reason), "{said}");
        assert_eq!(file.text(), text);
    }
}
