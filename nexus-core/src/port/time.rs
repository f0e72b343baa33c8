use jiff::Timestamp;

/// When a commit counts as recorded: now, to the microsecond, but never before `last`, the latest time in the
/// streams it goes to. Clocks go back; the order of a stream does not.
pub fn commit_time(now: Timestamp, last: Option<Timestamp>) -> Timestamp {
    let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    last.map_or(now, |last| last.max(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_never_before_the_one_it_follows() {
        let earlier: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-11-23T10:00:01.0000005Z".parse().unwrap();
        assert_eq!(commit_time(earlier, Some(later)), later);
        assert_eq!(commit_time(later, Some(earlier)).subsec_nanosecond(), 0);
    }
}
