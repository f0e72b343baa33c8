use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use nexus_core::{Clock, SystemClock};
use regorus::Value;

use super::input::told;
use super::prepared::Prepared;
use super::{BundleDigest, BundleError, Decision, Operation, PolicyBundle, PolicyInput, PolicyLimits};

/// Policies that are compiled and decide: as a [`CommandGuard`](nexus_core::CommandGuard) about commands, in a
/// [`Governed`](crate::Governed) store about appends, as [`HistoryAccess`](nexus_core::HistoryAccess) about the past, and about what is
/// published where it is asked.
///
/// About each [`Operation`] the package of its name decides, such as `nexus.command`:
///
/// - `deny contains {"message": "…", "remedy": "…"} if { … }` denies, with what would be accepted; a text will do, too.
/// - `allow if { … }`, where there is such a rule: what is not allowed is denied.
/// - `obligations["path"] := "stream" if { … }` says what has to be done with what is allowed.
///
/// Where a package has neither `deny` nor `allow`, or cannot be evaluated within the [`PolicyLimits`], it is denied. The same input is always
/// decided alike: policies reach nobody, and have no clock but `input.time`.
///
/// Decisions are counted (`nexus_policy_decisions_total`, by `operation` and `outcome`), and logged as [`DecisionLog`] says.
///
/// With `RUST_BACKTRACE=1` the engine makes a backtrace of each text that it looks for and does not find, which takes half as long again:
/// `RUST_LIB_BACKTRACE=0` leaves them to panics.
///
/// Compiled once; cloning is cheap, and clones share what is loaded, and reload together.
///
/// ```
/// use nexus_core::{MemoryStore, Repository};
/// use nexus_governance::{PolicyBundle, PolicyEngine};
///
/// let policies = PolicyEngine::new(PolicyBundle::default().with(
///     "command.rego",
///     r#"package nexus.command
///     deny contains "nobody is named" if not input.actor"#,
/// ))?;
/// let orders = Repository::new(MemoryStore::new()).with_guard(policies);
/// # let _ = orders;
/// # Ok::<(), nexus_governance::BundleError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PolicyEngine {
    source: Source,
    current: Arc<RwLock<Arc<Prepared>>>,
    /// One reloads at a time: what was loaded first must not replace what was loaded later.
    reloading: Arc<tokio::sync::Mutex<()>>,
    limits: PolicyLimits,
    log: DecisionLog,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug)]
enum Source {
    Given,
    Directory(Arc<PathBuf>),
}

/// Which decisions are logged (`tracing`, target `nexus_governance::decision`), with operation, actor, aggregate, digest and denials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecisionLog {
    /// None.
    Off,
    /// What was denied, at level `warn`. The default.
    #[default]
    Denials,
    /// What was allowed, too, at level `info`.
    All,
}

impl PolicyEngine {
    /// These policies, within the default [`PolicyLimits`].
    ///
    /// # Errors
    /// Something is wrong with them; the error says where.
    pub fn new(bundle: PolicyBundle) -> Result<Self, BundleError> {
        Self::within(bundle, PolicyLimits::default())
    }

    /// These policies, within these limits.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn within(bundle: PolicyBundle, limits: PolicyLimits) -> Result<Self, BundleError> {
        Ok(Self::of(Prepared::new(&bundle, limits)?, Source::Given, limits))
    }

    /// The policies in a directory, which can be [reloaded](Self::reload).
    ///
    /// # Errors
    /// The directory cannot be read, or something is wrong with them.
    pub async fn load(directory: impl Into<PathBuf>, limits: PolicyLimits) -> Result<Self, BundleError> {
        let directory = Arc::new(directory.into());
        let prepared = prepared(Arc::clone(&directory), limits).await?;
        Ok(Self::of(prepared, Source::Directory(directory), limits))
    }

    fn of(prepared: Prepared, source: Source, limits: PolicyLimits) -> Self {
        let current = Arc::new(RwLock::new(Arc::new(prepared)));
        let (log, clock) = (DecisionLog::default(), Arc::new(SystemClock));
        Self { source, current, reloading: Arc::default(), limits, log, clock }
    }

    /// The same, with other decisions logged.
    #[must_use]
    pub fn with_log(self, log: DecisionLog) -> Self {
        Self { log, ..self }
    }

    /// The same, where `input.time` is what this clock tells.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Loads what is in the directory by now, all of it or nothing, and answers whether that is something else. Whatever is decided
    /// meanwhile is decided by what was loaded before. Policies that were given have nothing to load.
    ///
    /// # Errors
    /// As for [`load`](Self::load); then what was loaded before stays.
    pub async fn reload(&self) -> Result<bool, BundleError> {
        let Source::Directory(directory) = &self.source else { return Ok(false) };
        let _alone = self.reloading.lock().await;
        let prepared = prepared(Arc::clone(directory), self.limits).await?;
        if prepared.digest == self.current().digest {
            return Ok(false);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(prepared);
        Ok(true)
    }

    /// What decides now.
    pub fn digest(&self) -> BundleDigest {
        self.current().digest.clone()
    }

    /// What the policies decide about something.
    pub fn decide(&self, input: PolicyInput) -> Decision {
        self.decide_by(&self.current(), input)
    }

    /// What these policies decide, whichever are loaded by now.
    pub(crate) fn decide_by(&self, policies: &Prepared, input: PolicyInput) -> Decision {
        let (operation, input) = input.into_parts();
        let decision = policies.decide(operation, input.clone());
        self.tell(operation, input.as_ref().ok(), &decision);
        decision
    }

    pub(crate) fn now(&self) -> nexus_core::Timestamp {
        self.clock.now()
    }

    pub(crate) fn current(&self) -> Arc<Prepared> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, operation: Operation, input: Option<&Value>, decision: &Decision) {
        let (operation, is_allowed) = (operation.as_str(), decision.is_allowed());
        let outcome = if is_allowed { "allowed" } else { "denied" };
        metrics::counter!("nexus_policy_decisions_total", "operation" => operation, "outcome" => outcome)
            .increment(1);
        let is_logged = match self.log {
            DecisionLog::Off => false,
            DecisionLog::Denials => !is_allowed,
            DecisionLog::All => true,
        };
        if !is_logged {
            return;
        }
        let (actor, aggregate) = told(input.unwrap_or(&Value::Undefined));
        let bundle = decision.bundle.as_str();
        if !is_allowed {
            let denials: Vec<String> = decision.denials.iter().map(ToString::to_string).collect();
            let denials = denials.join("; ");
            tracing::warn!(target: "nexus_governance::decision", operation, actor, aggregate, bundle, denials, "denied");
        } else {
            let obligations = serde_json::to_string(&decision.obligations).unwrap_or_default();
            tracing::info!(target: "nexus_governance::decision", operation, actor, aggregate, bundle, obligations, "allowed");
        }
    }
}

/// Files block, and compiling takes its time.
async fn prepared(directory: Arc<PathBuf>, limits: PolicyLimits) -> Result<Prepared, BundleError> {
    let path = Arc::clone(&directory);
    let prepared = tokio::task::spawn_blocking(move || {
        Prepared::new(&PolicyBundle::from_directory(directory.as_path())?, limits)
    });
    prepared.await.unwrap_or_else(|error| {
        Err(BundleError::Unreadable { path: path.to_path_buf(), source: error.into() })
    })
}
