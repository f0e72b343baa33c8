//! Each case of the conformance suite fails on a store that breaks its rule.
//!
//! The broken store is the memory store behind a wrapper that does one thing wrong.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod broken {
    pub(crate) mod fault;
    pub(crate) mod store;
}

use std::panic::{AssertUnwindSafe, catch_unwind};

use broken::fault::{Fault, fault_for};
use broken::store::{Broken, FAULT};
use nexus_core::testing::{log, run, store};

/// A test of each case: it fails on the store that breaks its rule, and passes on the same store without the fault.
macro_rules! each_case_finds_its_fault {
    ($port:ident; $($case:ident),* $(,)?) => {$(
        #[test]
        fn $case() {
            finds(stringify!($case), || run($port::$case::<Broken>()));
        }
    )*};
}

fn finds(case: &str, check: impl Fn()) {
    let fault = fault_for(case).unwrap_or_else(|| panic!("no store is known that breaks the rule of {case}"));
    FAULT.set(Fault::None);
    check();
    FAULT.set(fault);
    // What it prints is the finding, not a failure of this test.
    let outcome = catch_unwind(AssertUnwindSafe(&check));
    assert!(outcome.is_err(), "{case} did not notice a store with the fault {fault:?}");
}

mod event_store {
    use super::{Broken, finds, run, store};

    nexus_core::__event_store_cases! { each_case_finds_its_fault { store } }
}

mod event_log {
    use super::{Broken, finds, log, run};

    nexus_core::__event_log_cases! { each_case_finds_its_fault { log } }
}
