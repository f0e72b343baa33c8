use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::python;

/// What is installed.
const PACKAGE: &str = "cfn-lint==1.58.0";

/// Looks a CloudFormation template over with AWS's own linter, which is installed into `folder`, unless it is there.
///
/// # Errors
/// It cannot be installed, which takes Python 3 with `venv`, or it finds something.
pub fn cfn_lint(folder: &Path, template: &Path) -> anyhow::Result<()> {
    let home = folder.join("cfn-lint-1.58.0");
    python::install(&home, PACKAGE)?;
    let linted = Command::new(home.join("bin/cfn-lint")).arg(template).output();
    let linted = linted.context("could not start cfn-lint")?;
    let found = String::from_utf8_lossy(&linted.stdout);
    ensure!(linted.status.success(), "cfn-lint finds in {}:\n{found}", template.display());
    Ok(())
}
