use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn turn(worker: &str, now: Timestamp) -> Turn<'_> {
    let until = later(now.as_second() + 10);
    let view = Box::leak(Box::new(View::new(now)));
    Turn { worker, now, until, sharing: Sharing::Evenly, only_builds: false, view, feed: None }
}

fn owned(claims: &[Claim], worker: &str) -> u32 {
    claims.iter().filter(|claim| claim.is_of(worker)).map(Claim::slices).sum()
}

#[test]
fn one_worker_gets_everything_in_one_range() {
    let claims = turn("a", NOW).shared_out(vec![everything()], &["a"]);
    assert_eq!(claims.len(), 1);
    assert_eq!((owned(&claims, "a"), claims[0].token), (1_024, 1));
}

#[test]
fn who_comes_gets_a_share_and_who_goes_leaves_it() {
    let live = ["a", "b", "c"];
    let mut claims = turn("a", NOW).shared_out(vec![everything()], &["a"]);
    // Nothing is taken from the living: `a` gives up, then the others take.
    claims = turn("b", NOW).shared_out(claims, &live);
    assert_eq!((owned(&claims, "a"), owned(&claims, "b")), (1_024, 0));
    for worker in ["a", "b", "c"] {
        claims = turn(worker, NOW).shared_out(claims, &live);
    }
    assert_eq!((owned(&claims, "a"), owned(&claims, "b"), owned(&claims, "c")), (342, 342, 340));
    // `b` is gone, and its lease runs out.
    claims = turn("a", later(20)).shared_out(claims, &["a", "c"]);
    claims = turn("c", later(20)).shared_out(claims, &["a", "c"]);
    assert_eq!((owned(&claims, "a"), owned(&claims, "c")), (512, 512));
}

#[test]
fn a_commit_that_moves_nothing_shows_when_a_crash_takes_it_back() {
    let before = Claim { owner: Some("a".into()), token: 7, ..everything() };
    let after = Claim { commits: before.commits + 1, ..before.clone() };
    assert!(!before.is_still(&after), "whoever relies on it has to look again");
    let renewed = Claim { expires: later(99), ..after.clone() };
    assert!(renewed.is_still(&after), "a lease that was renewed changes nothing");
}

#[test]
fn ranges_that_have_not_come_equally_far_stay_apart() {
    let own = Claim { owner: Some("a".into()), expires: later(99), ..everything() };
    let (low, high) = own.split(512);
    let behind = Claim { cursor: Some(Position::FIRST), ..low.clone() };
    assert_eq!(turn("a", NOW).shared_out(vec![behind, high.clone()], &["a"]).len(), 2);
    assert_eq!(turn("a", NOW).shared_out(vec![low, high], &["a"]).len(), 1);
}

proptest! {
    /// Whoever comes, goes and takes turns in whatever order: each slice is claimed once, nobody takes from the
    /// living, every change of hands or bounds has a new token, and in the end all have their share.
    #[test]
    fn claims_always_cover_every_slice_once(
        turns in proptest::collection::vec((0..5_usize, 0..8_i64, 1..32_u8), 1..60),
    ) {
        let names = ["a", "b", "c", "d", "e"];
        let (mut claims, mut now) = (vec![everything()], 0);
        let mut highest = 0;
        for (worker, passed, alive) in turns {
            now += passed;
            let mut live: Vec<&str> = (0..5).filter(|at| alive & (1 << at) != 0 || *at == worker)
                .map(|at| names[at]).collect();
            live.sort_unstable();
            let before = claims.clone();
            claims = turn(names[worker], later(now)).shared_out(claims, &live);
            check(&claims).unwrap();
            for claim in &claims {
                if !before.iter().any(|old| (old.first, old.last, &old.owner, old.token)
                    == (claim.first, claim.last, &claim.owner, claim.token)) {
                    prop_assert!(claim.token > highest, "a token is used again");
                }
            }
            highest = claims.iter().map(|claim| claim.token).max().unwrap_or(0).max(highest);
            for old in before.iter().filter(|old| !old.is_free(later(now)) && !old.is_of(names[worker])) {
                prop_assert!(claims.contains(old), "taken from the living");
            }
        }
        let end = later(now + 1_000);
        for _ in 0..2 {
            for worker in names {
                claims = turn(worker, end).shared_out(claims, &names);
            }
        }
        for worker in names {
            prop_assert!((204..=205).contains(&owned(&claims, worker)), "{claims:?}");
        }
    }
}
