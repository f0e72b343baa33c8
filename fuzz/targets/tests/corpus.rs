//! Runs each target over its corpus: what fuzzing has found stays mended.

use std::path::Path;

use nexus_fuzz_targets::ALL;

#[test]
fn each_corpus_is_read() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, target) in ALL {
        let inputs = std::fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut read = 0;
        for input in inputs {
            let path = input.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            eprintln!("{}", path.display());
            target(&bytes);
            read += 1;
        }
        assert!(read > 0, "there is nothing in the corpus of {name}");
    }
}

/// Cut anywhere and with any bit wrong, a sound input is still read or refused.
#[test]
fn what_is_cut_or_damaged_is_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, target) in ALL {
        for input in std::fs::read_dir(corpus.join(name)).unwrap().take(4) {
            let bytes = std::fs::read(input.unwrap().path()).unwrap();
            for place in (0..bytes.len()).step_by(bytes.len() / 8 + 1) {
                target(&bytes[..place]);
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << (place % 8);
                target(&damaged);
            }
        }
    }
}

#[test]
fn each_target_is_fuzzed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz_targets");
    let mut fuzzed: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    fuzzed.sort_unstable();
    assert_eq!(fuzzed, ALL.map(|(name, _)| name));
}
