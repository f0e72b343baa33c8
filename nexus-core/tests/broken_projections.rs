//! Each case about feeds and projections fails on an implementation that breaks its rule.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod broken {
    pub(crate) mod feed;
    pub(crate) mod projections;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use broken::feed::{BrokenFeed, FEED_FAULT, FeedFault};
use broken::projections::{BrokenProjections, FAULT, Fault};
use nexus_core::testing::{be_patient_for, feed, parts, projections, relays, run};

/// A test of each case: it fails on the implementation that breaks its rule, and passes on the same without the fault.
macro_rules! each_case_finds_its_fault {
    ($port:ident $broken:ident; $($case:ident),* $(,)?) => {$(
        #[test]
        fn $case() {
            $port(stringify!($case), || run($port::$case::<$broken>()));
        }
    )*};
}

fn finds(case: &str, check: impl Fn(), set: impl Fn(bool)) {
    set(false);
    check();
    set(true);
    // Much of what is broken shows itself by never happening.
    be_patient_for(Duration::from_secs(3));
    // What it prints is the finding, not a failure of this test. Whether two that are not kept apart meet is a matter of chance.
    let is_noticed = (0..5).any(|_| catch_unwind(AssertUnwindSafe(&check)).is_err());
    assert!(is_noticed, "{case} did not notice the fault");
}

fn feed(case: &str, check: impl Fn()) {
    let fault = FeedFault::for_case(case)
        .unwrap_or_else(|| panic!("no feed is known that breaks the rule of {case}"));
    finds(case, check, |is_broken| FEED_FAULT.set(if is_broken { fault } else { FeedFault::None }));
}

fn relays(case: &str, check: impl Fn()) {
    projections(case, check);
}

fn parts(case: &str, check: impl Fn()) {
    feed(case, check);
}

fn projections(case: &str, check: impl Fn()) {
    let fault =
        Fault::for_case(case).unwrap_or_else(|| panic!("no store is known that breaks the rule of {case}"));
    finds(case, check, |is_broken| FAULT.set(if is_broken { fault } else { Fault::None }));
}

mod feeds {
    use super::{BrokenFeed, feed, run};

    nexus_core::__event_feed_cases! { each_case_finds_its_fault { feed BrokenFeed } }
}

mod feeds_in_parts {
    use super::{BrokenFeed, parts, run};

    nexus_core::__feed_in_parts_cases! { each_case_finds_its_fault { parts BrokenFeed } }
}

mod documents {
    use super::{BrokenProjections, projections, run};

    nexus_core::__document_cases! { each_case_finds_its_fault { projections BrokenProjections } }
}

mod transactions {
    use super::{BrokenProjections, projections, run};

    nexus_core::__projection_transaction_cases! { each_case_finds_its_fault { projections BrokenProjections } }
}

mod leases {
    use super::{BrokenProjections, projections, run};

    nexus_core::__lease_cases! { each_case_finds_its_fault { projections BrokenProjections } }
}

mod timers {
    use super::{BrokenProjections, projections, run};

    nexus_core::__timer_cases! { each_case_finds_its_fault { projections BrokenProjections } }
}

mod dead_letters {
    use super::{BrokenProjections, projections, run};

    nexus_core::__dead_letter_cases! { each_case_finds_its_fault { projections BrokenProjections } }
}

mod relays_over {
    use super::{BrokenProjections, relays, run};

    nexus_core::__relay_cases! { each_case_finds_its_fault { relays BrokenProjections } }
}
