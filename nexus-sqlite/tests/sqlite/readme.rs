//! The README's example is `examples/readme.rs`, and those of the book's page of programs are beside it; they do what is said of them.

use std::path::Path;
use std::process::Command;

use crate::support::directory;

#[test]
fn the_readme_shows_the_example_that_is_compiled() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read =
        |path: &str| std::fs::read_to_string(root.join(path)).expect("it is there").replace("\r\n", "\n");
    let shown = read("../README.md").contains(&format!("```rust\n{}```", read("examples/readme.rs")));
    assert!(shown, "the README does not show examples/readme.rs as it is");
    for example in ["examples/projection.rs", "examples/past.rs", "examples/saga.rs"] {
        let shown =
            read("../docs/src/programs.md").contains(&format!("```rust,no_run\n{}```", read(example)));
        assert!(shown, "docs/src/programs.md does not show {example} as it is");
    }
}

#[test]
fn the_example_pays_once_and_remembers() {
    let this = std::env::current_exe().expect("this program");
    let example = this.parent().and_then(Path::parent).expect("the target directory").join("examples/readme");
    let directory = directory();
    for expected in ["order-42 is paid: 1 event stored\n", "refused: the order is paid already\n"] {
        let output =
            Command::new(&example).current_dir(directory.path()).output().expect("cargo test builds it");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}

#[test]
fn the_projection_adds_up_across_runs() {
    let this = std::env::current_exe().expect("this program");
    let example =
        this.parent().and_then(Path::parent).expect("the target directory").join("examples/projection");
    let directory = directory();
    for total in [1_177, 2_354] {
        let output = Command::new(&example).current_dir(directory.path()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.trim(), format!("sold for {total} cents so far; Healthy"), "{output:?}");
    }
}

#[test]
fn the_transfers_end() {
    let this = std::env::current_exe().expect("this program");
    let example = this.parent().and_then(Path::parent).expect("the target directory").join("examples/saga");
    let directory = directory();
    let output = Command::new(&example).current_dir(directory.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "transfer 1 is completed \ntransfer 2 is compensated withdraw: only 200 cents are there\n";
    assert_eq!(said, expected, "{output:?}");
}

#[test]
fn the_past_is_told() {
    let this = std::env::current_exe().expect("this program");
    let example = this.parent().and_then(Path::parent).expect("the target directory").join("examples/past");
    let directory = directory();
    let output = Command::new(&example).current_dir(directory.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "by the end of March there were 0 cents\n", "{output:?}");
}
