//! Each case about snapshots fails on a store of snapshots that breaks its rule.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod broken {
    pub(crate) mod snapshots;
}

use std::panic::{AssertUnwindSafe, catch_unwind};

use broken::snapshots::{Broken, FAULT, Fault};
use nexus_core::testing::{run, snapshots};

/// A test of each case: it fails on the store that breaks its rule, and passes on the same store without the fault.
macro_rules! each_case_finds_its_fault {
    (snapshots; $($case:ident),* $(,)?) => {$(
        #[test]
        fn $case() {
            finds(stringify!($case), || run(snapshots::$case::<Broken>()));
        }
    )*};
}

fn finds(case: &str, check: impl Fn()) {
    let fault =
        Fault::for_case(case).unwrap_or_else(|| panic!("no store is known that breaks the rule of {case}"));
    FAULT.set(Fault::None);
    check();
    FAULT.set(fault);
    // What it prints is the finding, not a failure of this test.
    let outcome = catch_unwind(AssertUnwindSafe(&check));
    assert!(outcome.is_err(), "{case} did not notice a store with the fault {fault:?}");
}

nexus_core::__snapshot_cases! { each_case_finds_its_fault { snapshots } }
