//! Whether every promise was kept: what clients noted, readers saw, projections wrote and sagas did, beside what is stored.

mod appends;
mod decisions;
mod evidence;
mod projections;
mod readers;
mod sagas;
mod streams;

pub(crate) use evidence::{Counts, Evidence};

/// All that is wrong; of each kind a few.
pub(crate) fn all(evidence: &Evidence) -> Vec<String> {
    let checks =
        [streams::check, appends::check, decisions::check, readers::check, projections::check, sagas::check];
    checks
        .iter()
        .flat_map(|check| {
            let mut found = check(evidence);
            let more = found.len().saturating_sub(FEW);
            found.truncate(FEW);
            found.extend((more > 0).then(|| format!("and {more} more of these")));
            found
        })
        .collect()
}

/// So many of one kind are told.
const FEW: usize = 8;
