use super::PolicyBundle;

/// The files of the starter bundle.
macro_rules! starter {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../starter/", $path)))),*]
    };
}

const FILES: [(&str, &str); 14] = starter![
    "append.rego",
    "append_test.rego",
    "architecture.rego",
    "architecture_test.rego",
    "command.rego",
    "command_test.rego",
    "history.rego",
    "history_test.rego",
    "publish.rego",
    "publish_test.rego",
    "architecture/data.json",
    "bus/data.json",
    "history/data.json",
    "limits/data.json",
];

impl PolicyBundle {
    /// Policies to begin with, and their tests; `nexus-governance policy init` writes them into a directory.
    ///
    /// - *Append-only*: no code changes or deletes event records (`nexus.architecture`, which the command judges).
    /// - *Registered schemas only*: no event without one is stored (`nexus.append`), or declared in code (`nexus.architecture`).
    /// - *No direct calls*: services, and the two sides of one, reach each other over the bus (`nexus.architecture`).
    /// - *History by role*: a role reads the categories that `history/data.json` names; nobody else reads anything (`nexus.history`).
    /// - *Limits as data*: how many events an append may have, and how much a command may ask for, by role, is in `limits/data.json`
    ///   (`nexus.append`, `nexus.command`): `{ "command": { "RefundOrder": { "cents": { "clerk": 1000 } } } }`.
    /// - *Paths as data*: which bus path an event takes is in `bus/data.json`, and comes as the obligation `path` (`nexus.publish`).
    ///
    /// ```
    /// use nexus_governance::{PolicyBundle, PolicyEngine};
    ///
    /// let limits = r#"{ "append": { "events": 100 }, "command": { "RefundOrder": { "cents": { "clerk": 1000 } } } }"#;
    /// let policies = PolicyEngine::new(PolicyBundle::starter().with("limits/data.json", limits))?;
    /// # Ok::<(), nexus_governance::BundleError>(())
    /// ```
    pub fn starter() -> Self {
        FILES.into_iter().fold(Self::default(), |bundle, (path, text)| bundle.with(path, text))
    }

    /// What the starter bundle says of an architecture, with the data of another bundle where that has some.
    #[cfg(feature = "cli")]
    pub(crate) fn starter_with_data_of(other: Option<&Self>) -> Self {
        let given = other.and_then(|other| Some(other.data().ok()?.get("architecture")?.to_string()));
        let is_taken = |path: &str| path == "architecture.rego" || path == "architecture/data.json";
        let files = FILES.into_iter().filter(|(path, _)| is_taken(path));
        let starter = files.fold(Self::default(), |bundle, (path, text)| bundle.with(path, text));
        match given {
            Some(given) => starter.with("architecture/data.json", given),
            None => starter,
        }
    }
}
