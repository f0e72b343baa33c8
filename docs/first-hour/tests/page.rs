//! The page of the book and this program are the same.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .replace("\r\n", "\n")
}

#[test]
fn the_first_hour_shows_the_program_as_it_is_and_what_it_prints() {
    let page = read("../src/first-hour.md");
    for file in ["account", "balances", "transfer", "main"] {
        let source = read(&format!("src/{file}.rs"));
        assert!(page.contains(&source), "{file}.rs is another");
    }
    let directory = tempfile::tempdir().expect("a directory");
    for _ in 0..2 {
        let run = Command::new(env!("CARGO_BIN_EXE_first-hour")).current_dir(directory.path()).output();
        let printed = String::from_utf8(run.expect("the program runs").stdout).expect("text");
        assert!(page.contains(&format!("```text\n{printed}```")), "it prints\n{printed}");
    }
}
