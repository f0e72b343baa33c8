//! Each case about publishers fails on one that breaks its rule.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod broken {
    pub(crate) mod publisher;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use broken::publisher::{BrokenBus, FAULT, Fault};
use nexus_core::testing::{be_patient_for, publisher, run};

/// A test of each case: it fails on the publisher that breaks its rule, and passes on the same without the fault.
macro_rules! each_case_finds_its_fault {
    (publisher; $($case:ident),* $(,)?) => {$(
        #[test]
        fn $case() {
            finds(stringify!($case), || run(publisher::$case::<BrokenBus>()));
        }
    )*};
}

fn finds(case: &str, check: impl Fn()) {
    let fault = Fault::for_case(case)
        .unwrap_or_else(|| panic!("no publisher is known that breaks the rule of {case}"));
    FAULT.set(Fault::None);
    check();
    FAULT.set(fault);
    // What is lost shows itself by never coming.
    be_patient_for(Duration::from_secs(3));
    // What it prints is the finding, not a failure of this test.
    let outcome = catch_unwind(AssertUnwindSafe(&check));
    assert!(outcome.is_err(), "{case} did not notice a publisher with the fault {fault:?}");
}

nexus_core::__event_publisher_cases! { each_case_finds_its_fault { publisher } }
