//! Each case about sagas fails on a store that breaks its rule.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod broken {
    pub(crate) mod sagas;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use broken::sagas::{Broken, FAULT, Fault};
use nexus_core::MemoryProjections;
use nexus_core::testing::{ProjectionFixture, be_patient_for, run, sagas};

struct ReadModels(MemoryProjections);

impl ProjectionFixture for ReadModels {
    type Store = MemoryProjections;

    async fn start() -> Self {
        Self(MemoryProjections::new())
    }

    async fn open(&self) -> MemoryProjections {
        self.0.clone()
    }
}

/// A test of each case: it fails on the store that breaks its rule, and passes on the same store without the fault.
macro_rules! each_case_finds_its_fault {
    (sagas; $($case:ident),* $(,)?) => {$(
        #[test]
        fn $case() {
            finds(stringify!($case), || run(sagas::$case::<(Broken, ReadModels)>()));
        }
    )*};
}

fn finds(case: &str, check: impl Fn()) {
    let fault =
        Fault::for_case(case).unwrap_or_else(|| panic!("no store is known that breaks the rule of {case}"));
    FAULT.set(Fault::None);
    check();
    FAULT.set(fault);
    // Much of what is broken shows itself by never happening.
    be_patient_for(Duration::from_secs(3));
    // What it prints is the finding, not a failure of this test.
    let outcome = catch_unwind(AssertUnwindSafe(&check));
    assert!(outcome.is_err(), "{case} did not notice a store with the fault {fault:?}");
}

nexus_core::__saga_cases! { each_case_finds_its_fault { sagas } }
