//! The README's example is `examples/readme.rs`, and does what the README says.

use std::path::Path;
use std::process::Command;

use crate::support::directory;

#[test]
fn the_readme_shows_the_example_that_is_compiled() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read =
        |path: &str| std::fs::read_to_string(root.join(path)).expect("it is there").replace("\r\n", "\n");
    assert!(read("../README.md").contains(&format!("```rust\n{}```", read("examples/readme.rs"))));
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
