//! The document says what was measured.

#![allow(clippy::expect_used, reason = "a test says what is wrong by panicking")]

#[test]
fn the_document_and_its_plots_are_made_of_the_results() {
    for (file, made) in nexus_benches::report::made().expect("the results are readable") {
        let found = std::fs::read_to_string(&file).unwrap_or_default().replace("\r\n", "\n");
        assert!(found == made, "run `cargo run -p nexus-benches --bin report`: {} is old", file.display());
    }
}
