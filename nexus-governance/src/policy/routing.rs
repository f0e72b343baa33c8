use std::sync::Arc;

use nexus_core::{EventRouter, PathName, RecordedEvent, RoutingError};
use serde_json::Value;

use super::{PolicyEngine, PolicyInput};

/// The obligation that says which path an event takes.
const PATH: &str = "path";

/// Has policies choose the path of each event: the obligation `path` of the package `nexus.publish`. Where they name none, another
/// router does.
///
/// What they deny is not published: with a [`Relay`](nexus_core::Relay) it becomes a dead letter, with the denial as its error, and what comes
/// later in its stream waits behind it, until a person or another policy decides.
///
/// ```
/// use nexus_core::{PathName, Routes};
/// use nexus_governance::{PolicyBundle, PolicyEngine, PolicyRouter};
///
/// let policies = PolicyEngine::new(PolicyBundle::default().with(
///     "publish.rego",
///     r#"package nexus.publish
///     allow := true
///     obligations["path"] := "fast" if input.payload.cents > 100000"#,
/// ))?;
/// let router = PolicyRouter::new(policies, Routes::otherwise(PathName::new("cheap")?));
/// # let _ = router;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PolicyRouter {
    policies: PolicyEngine,
    otherwise: Arc<dyn EventRouter>,
}

impl PolicyRouter {
    /// The path that `policies` name, or else the one that `otherwise` does.
    pub fn new(policies: PolicyEngine, otherwise: impl EventRouter) -> Self {
        Self { policies, otherwise: Arc::new(otherwise) }
    }
}

impl EventRouter for PolicyRouter {
    fn path(&self, event: &RecordedEvent) -> Result<PathName, RoutingError> {
        let refused = |source: nexus_core::BoxError| RoutingError::new("a policy", source);
        let decided = self.policies.decide(PolicyInput::publish(event, self.policies.now()));
        let mut decision = decided.into_result().map_err(|refusal| refused(refusal.into()))?;
        match decision.obligations.remove(PATH) {
            None => self.otherwise.path(event),
            Some(Value::String(path)) => PathName::new(&path).map_err(|error| refused(error.into())),
            Some(other) => Err(refused(
                format!(
                    "the obligation \"path\" of nexus.publish is {other}: it has to be the name of a path"
                )
                .into(),
            )),
        }
    }

    /// What policies can name is not known beforehand.
    fn paths(&self) -> Option<Vec<PathName>> {
        None
    }
}
