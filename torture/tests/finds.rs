//! The checker finds out each promise that is broken on purpose; and says nothing where all are kept.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::process::Command;

/// What a run says: whether all was well, and what was not.
fn tortured(arguments: &[&str]) -> (bool, String) {
    let program = env!("CARGO_BIN_EXE_nexus-torture");
    let run = Command::new(program)
        .args(["--minutes", "0", "--calm", "--seed", "7"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let kept = said.lines().find_map(|line| line.strip_prefix("what was noted is kept in "));
    kept.into_iter().for_each(|kept| drop(std::fs::remove_dir_all(kept)));
    (run.status.success(), said + &String::from_utf8_lossy(&run.stderr))
}

fn finds(sabotage: &str, told: &str) {
    let (is_well, said) = tortured(&["--seconds", "3", "--sabotage", sabotage]);
    assert!(!is_well && said.contains(told), "{said}");
}

#[test]
fn an_append_that_was_answered_and_not_stored() {
    finds("lose-append", "lost:");
}

#[test]
fn an_append_that_was_refused_and_stored() {
    finds("refuse-stored", "was refused, and event");
}

#[test]
fn a_command_that_took_effect_twice() {
    finds("store-twice", "took effect more than once");
}

#[test]
fn a_batch_that_was_torn() {
    finds("tear-batch", "torn:");
}

#[test]
fn an_event_that_a_reader_missed() {
    finds("skip-event", " missed ");
}

#[test]
fn a_read_that_was_behind() {
    finds("read-stale", "had been told of");
}

#[test]
fn an_expected_version_that_was_not_looked_at() {
    finds("ignore-expected", "was stored after version");
}

#[test]
fn a_condition_that_was_not_looked_at() {
    finds("ignore-condition", "under the condition that nobody had");
}

#[test]
fn nothing_where_nothing_is_wrong() {
    let (is_well, said) = tortured(&["--seconds", "2"]);
    assert!(is_well && said.contains("every promise was kept"), "{said}");
}
