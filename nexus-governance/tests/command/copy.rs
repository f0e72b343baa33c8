use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The schemas and the lock file of the example, or all of it, to be broken.
pub(crate) struct Copy(TempDir);

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/order");

impl Copy {
    pub(crate) fn new() -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        let example = Path::new(EXAMPLE);
        copied(&example.join("schemas"), &copy.path("schemas"));
        fs::copy(example.join("nexus.lock.json"), copy.path("nexus.lock.json")).unwrap();
        copy
    }

    /// The whole example, as a workspace of its own.
    pub(crate) fn whole() -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        copied(Path::new(EXAMPLE), copy.0.path());
        let workspace = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).unwrap();
        let shared = workspace.find("[workspace.package]").unwrap()..workspace.find("[profile.dev]").unwrap();
        let paths = format!("path = \"{}/../", env!("CARGO_MANIFEST_DIR"));
        let shared = workspace[shared]
            .replace("path = \"examples/order/", "path = \"./")
            .replace("path = \"nexus", &format!("{paths}nexus"))
            .replace("path = \"xtask", &format!("{paths}xtask"));
        let members = "[workspace]\nmembers = [\"commands\", \"events\", \"views\"]\n";
        let manifest = format!("{}\n{members}\n{shared}", copy.text("Cargo.toml"));
        copy.write("Cargo.toml", &manifest);
        copy
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub(crate) fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
        fs::write(self.path(file), text).unwrap();
    }

    /// Changes the text of a file, which has to have what is replaced.
    pub(crate) fn replace(&self, file: &str, old: &str, new: &str) {
        let text = self.text(file);
        assert!(text.contains(old), "{file} has no {old}:\n{text}");
        self.write(file, &text.replacen(old, new, 1));
    }

    /// A draft of the next version, made from an earlier one.
    pub(crate) fn draft(&self, from: &str, to: &str, change: impl FnOnce(&mut Value)) {
        let mut schema: Value = serde_json::from_str(&self.text(&format!("schemas/{from}.json"))).unwrap();
        schema["$id"] = json!(format!("nexus:{to}"));
        schema["x-nexus"]["version"] = json!(to.rsplit('/').next().unwrap());
        schema["x-nexus"].as_object_mut().unwrap().remove("digest");
        change(&mut schema);
        self.write(&format!("schemas/{to}.json"), &format!("{schema:#}"));
    }

    /// One more crate of the workspace, with this manifest behind its name.
    pub(crate) fn add_crate(&self, name: &str, manifest: &str) {
        self.write(&format!("{name}/Cargo.toml"), &format!("[package]\nname = \"{name}\"\n{manifest}"));
        self.write(&format!("{name}/src/lib.rs"), "");
        self.replace("Cargo.toml", "members = [", &format!("members = [\"{name}\", "));
    }

    /// All of the example at once.
    pub(crate) fn governance(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-governance"));
        command.args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The command, in the directory of the copy.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-governance"));
        command.arg("schema").args(arguments).current_dir(self.0.path());
        command
    }

    pub(crate) fn git(&self, arguments: &[&str]) {
        let author =
            ["-c", "user.name=Ada", "-c", "user.email=ada@shop.example", "-c", "init.defaultBranch=main"];
        let done =
            Command::new("git").args(author).args(arguments).current_dir(self.0.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// All that `check` finds: rule, file, the line's text from the column on, and pointer.
    pub(crate) fn findings(&self, arguments: &[&str]) -> Vec<Found> {
        self.found(&[&["schema", "check"], arguments].concat())
    }

    /// All that a command finds.
    pub(crate) fn found(&self, arguments: &[&str]) -> Vec<Found> {
        let output = self.governance(&[arguments, &["--format", "json"]].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let findings = report["findings"].as_array().unwrap();
        let errors = findings.iter().filter(|finding| finding["level"] == "error").count();
        assert_eq!(output.status.code(), Some(i32::from(errors > 0)), "{report:#}");
        findings
            .iter()
            .map(|finding| {
                let text = |name: &str| finding[name].as_str().unwrap().to_owned();
                let number = |name: &str| usize::try_from(finding[name].as_u64().unwrap()).unwrap();
                let file = text("file");
                let line = fs::read_to_string(self.path(&file)).ok().and_then(|all| {
                    Some(all.lines().nth(number("line") - 1)?.chars().skip(number("column") - 1).collect())
                });
                let message = text("message");
                Found {
                    rule: text("rule"),
                    file,
                    line: line.unwrap_or_default(),
                    pointer: text("pointer"),
                    message,
                }
            })
            .collect()
    }

    /// The only finding there is.
    #[track_caller]
    pub(crate) fn finding(&self, arguments: &[&str]) -> Found {
        self.only(&[&["schema", "check"], arguments].concat())
    }

    /// The only finding of a command.
    #[track_caller]
    pub(crate) fn only(&self, arguments: &[&str]) -> Found {
        let mut findings = self.found(arguments);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings.remove(0)
    }
}

#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) rule: String,
    pub(crate) file: String,
    pub(crate) line: String,
    pub(crate) pointer: String,
    pub(crate) message: String,
}

impl Found {
    #[track_caller]
    pub(crate) fn is(&self, rule: &str, file: &str, line: &str, pointer: &str) {
        let found = (self.rule.as_str(), self.file.as_str(), self.pointer.as_str());
        assert_eq!(found, (rule, file, pointer), "{self:#?}");
        assert!(self.line.starts_with(line), "{self:#?}");
    }
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
