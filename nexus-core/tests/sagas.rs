//! Sagas on the memory store: what is the same on every backend.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[path = "sagas/outage.rs"]
mod outage;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexus_core::{
    AppendBatch, CommandId, Correlation, EventId, EventStore, EventType, ExpectedVersion, Happened,
    LinearSaga, MemoryProjections, MemoryStore, NewEvent, Payload, ProjectionName, Projections, Query,
    RecordedEvent, Repository, RetrySchedule, RunningSagas, Saga, SagaAction, SagaCommands, SagaEffect,
    SagaEffectError, SagaEffects, SagaError, SagaId, SagaInput, SagaOutline, SagaRunner, SagaState,
    SagaStepState, StepList, StreamId, Timestamp, async_trait,
};
use serde::{Deserialize, Serialize};

/// A log, read models, and what is performed elsewhere.
struct House {
    parts: Repository<MemoryStore>,
    read_models: MemoryProjections,
    elsewhere: Elsewhere,
}

/// Performs what it is asked for, as its name says; and notes it.
#[derive(Clone, Debug, Default)]
struct Elsewhere {
    performed: Arc<Mutex<Vec<(String, CommandId)>>>,
    left_unanswered: Arc<AtomicU32>,
}

impl Elsewhere {
    fn names(&self) -> Vec<String> {
        self.performed.lock().expect("not poisoned").iter().map(|(name, _)| name.clone()).collect()
    }
}

#[async_trait]
impl SagaEffects for Elsewhere {
    async fn perform(&self, effect: &SagaEffect) -> Result<Payload, SagaEffectError> {
        self.performed.lock().expect("not poisoned").push((effect.name.clone(), effect.key));
        match effect.name.as_str() {
            "refuse" => Err(SagaEffectError::Refused("not with us".into())),
            "never answer" => std::future::pending().await,
            "panic" => panic!("the line is dead"),
            "answer later" if self.left_unanswered.fetch_add(1, Ordering::SeqCst) < 2 => {
                Err(SagaEffectError::Unavailable("the line is busy".into()))
            }
            _ => Ok(Payload::of(&format!("receipt for {}", effect.content)).expect("JSON")),
        }
    }
}

impl House {
    fn new() -> Self {
        let parts = Repository::new(MemoryStore::new());
        Self { parts, read_models: MemoryProjections::new(), elsewhere: Elsewhere::default() }
    }

    fn runner<S: Saga>(&self) -> SagaRunner {
        let brisk =
            RetrySchedule::default().tries(2).pauses(Duration::from_millis(1), Duration::from_millis(2));
        SagaRunner::of::<S>(&self.parts, self.read_models.clone())
            .effects(self.elsewhere.clone())
            .retry(brisk)
            .step_timeout(Duration::from_millis(300))
    }

    async fn start<S: Saga>(&self) -> RunningSagas {
        self.runner::<S>().start().await.expect("started")
    }

    async fn tell(&self, stream: &str, name: &str, content: &impl Serialize) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let id =
            EventId::from_bytes(*CommandId::named(Timestamp::UNIX_EPOCH, &number.to_string()).as_bytes());
        let event =
            NewEvent::new(id, EventType::new(name).expect("valid"), Payload::of(content).expect("JSON"));
        let stream: StreamId = stream.parse().expect("valid");
        let batch = AppendBatch::new(stream, ExpectedVersion::Any, vec![event]).expect("valid");
        self.parts.store().append(batch).await.map(drop).expect("stored");
    }
}

fn id(text: &str) -> SagaId {
    SagaId::new(text).expect("valid")
}

async fn until(running: &RunningSagas, saga: &str, state: SagaState) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let found = running.sagas().state(&id(saga)).await.expect("told");
        if found == Some(state) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{saga} is {found:?}, not {state}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Books a journey elsewhere: each leg is named in the event.
#[derive(Default, Serialize, Deserialize)]
struct Journey {
    legs: Vec<String>,
    receipts: Vec<String>,
}

impl Saga for Journey {
    const NAME: &'static str = "journey";

    fn query() -> Query {
        Query::types(EventType::new("JourneyPlanned").ok())
    }

    fn correlate(event: &RecordedEvent) -> Result<Option<Correlation>, SagaError> {
        Ok(Some(Correlation::Starts(SagaId::new(event.stream().id())?)))
    }

    fn commands(_: &mut impl SagaCommands) {}

    fn react(&mut self, input: &SagaInput<'_>) -> Result<Vec<SagaAction>, SagaError> {
        let leg = |index: usize, name: &str| {
            SagaAction::effect(&format!("leg {index}"), name, &index)
                .compensate_by_effect(&format!("cancel {name}"), &index)
        };
        match input.happened() {
            Happened::Event(event) => self.legs = event.payload().decode()?,
            Happened::StepDone { answer: nexus_core::StepAnswer::Effect(answer), .. } => {
                self.receipts.push(answer.decode()?);
            }
            Happened::StepFailed { failure, .. } => return Ok(vec![SagaAction::fail(&failure.error)]),
            _ => {}
        }
        Ok(match self.legs.get(self.receipts.len()) {
            Some(name) => vec![leg(self.receipts.len(), name)],
            None => vec![SagaAction::complete()],
        })
    }
}

#[tokio::test]
async fn what_is_performed_elsewhere_comes_at_least_once_with_one_key() {
    let house = House::new();
    let running = house.start::<Journey>().await;
    house.tell("journey-a", "JourneyPlanned", &["fly", "answer later", "sail"]).await;
    until(&running, "a", SagaState::Completed).await;
    let performed = house.elsewhere.performed.lock().expect("not poisoned").clone();
    let names: Vec<&str> = performed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["fly", "answer later", "answer later", "answer later", "sail"]);
    let mut keys: Vec<CommandId> = performed.iter().map(|(_, key)| *key).collect();
    assert!(keys[1] == keys[2] && keys[2] == keys[3], "the key stays the same: {performed:?}");
    keys.dedup();
    assert_eq!(keys.len(), 3, "each has a key of its own");
    running.stop().await.expect("stopped");
}

#[tokio::test]
async fn what_may_have_happened_elsewhere_is_undone_and_what_was_refused_is_not() {
    let house = House::new();
    let running = house.start::<Journey>().await;
    house.tell("journey-a", "JourneyPlanned", &["fly", "never answer"]).await;
    until(&running, "a", SagaState::Compensated).await;
    assert_eq!(house.elsewhere.names(), ["fly", "never answer", "cancel never answer", "cancel fly"]);
    house.elsewhere.performed.lock().expect("not poisoned").clear();
    house.tell("journey-b", "JourneyPlanned", &["fly", "refuse"]).await;
    until(&running, "b", SagaState::Compensated).await;
    assert_eq!(house.elsewhere.names(), ["fly", "refuse", "cancel fly"]);
    let summary = running.sagas().status(&id("b")).await.expect("told").summary;
    assert_eq!(summary.reason.as_deref(), Some("not with us"));
    running.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_runner_without_means_says_so() {
    let house = House::new();
    let runner = SagaRunner::of::<Journey>(&house.parts, house.read_models.clone());
    let running = runner.start().await.expect("started");
    house.tell("journey-a", "JourneyPlanned", &["fly"]).await;
    until(&running, "a", SagaState::Parked).await;
    let problem = running.sagas().status(&id("a")).await.expect("told").summary.problem;
    assert_eq!(problem.as_deref(), Some("the runner was given nothing to perform the effect \"fly\" with"));
    running.stop().await.expect("stopped");
    // One that has them goes on when a person says so.
    let running = house.start::<Journey>().await;
    running.sagas().retry(&id("a"), None).await.expect("asked for");
    until(&running, "a", SagaState::Completed).await;
    running.stop().await.expect("stopped");
}

/// What does not come back at all is for a person, and not for a loop.
#[tokio::test]
async fn a_panic_elsewhere_parks_the_saga() {
    let house = House::new();
    let running = house.start::<Journey>().await;
    house.tell("journey-a", "JourneyPlanned", &["fly", "panic"]).await;
    until(&running, "a", SagaState::Parked).await;
    let problem = running.sagas().status(&id("a")).await.expect("told").summary.problem;
    assert_eq!(problem.as_deref(), Some("panicked: the line is dead"));
    // A person who skips it has it count as failed; it may have happened, and is undone.
    running.sagas().skip(&id("a"), Some("ada")).await.expect("asked for");
    until(&running, "a", SagaState::Compensated).await;
    assert_eq!(house.elsewhere.names(), ["fly", "panic", "cancel panic", "cancel fly"]);
    running.stop().await.expect("stopped");
}

/// Answers as its events say: badly, at first.
#[derive(Default, Serialize, Deserialize)]
struct Moody {
    reactions: u32,
}

/// How often it has been asked.
static ASKED: AtomicU32 = AtomicU32::new(0);

impl Saga for Moody {
    const NAME: &'static str = "moody";

    fn query() -> Query {
        Query::types(EventType::new("Asked").ok())
    }

    fn correlate(event: &RecordedEvent) -> Result<Option<Correlation>, SagaError> {
        if event.stream().id() == "nonsense" {
            return Err(SagaError::new("that makes no sense"));
        }
        Ok(Some(Correlation::Starts(SagaId::new(event.stream().id())?)))
    }

    fn commands(_: &mut impl SagaCommands) {}

    fn react(&mut self, input: &SagaInput<'_>) -> Result<Vec<SagaAction>, SagaError> {
        self.reactions += 1;
        let step = |name: &str| SagaAction::effect(name, "do", &());
        let Happened::Event(event) = input.happened() else {
            return Ok(if input.under_way().is_empty() { vec![SagaAction::complete()] } else { vec![] });
        };
        Ok(match event.payload().decode::<String>()?.as_str() {
            "fail once" if ASKED.fetch_add(1, Ordering::SeqCst) == 0 => {
                return Err(SagaError::new("not today"));
            }
            "panic" => panic!("what a day"),
            "twice" => vec![step("a"), step("a")],
            "unfinished" => vec![step("a"), SagaAction::complete()],
            "nameless" => vec![step("")],
            "endless" => vec![SagaAction::fail("at once"), SagaAction::complete()],
            "undeclared" => vec![SagaAction::send::<part::Part, _>("a", &"p".to_owned(), &part::Do)],
            "no step" => vec![SagaAction::complete().timeout(Duration::from_secs(1))],
            _ => vec![step(&format!("step {}", self.reactions))],
        })
    }
}

mod part {
    use nexus_core::{Aggregate, Command, CommandContext, CommandHandler, DomainEvent};
    use serde::{Deserialize, Serialize};

    #[derive(Default)]
    pub(crate) struct Part {
        pub(crate) done: u32,
    }

    #[derive(Serialize, Deserialize, DomainEvent)]
    pub(crate) enum PartEvent {
        Done,
    }

    #[derive(Serialize, Deserialize, Command)]
    pub(crate) struct Do;

    impl Aggregate for Part {
        const CATEGORY: &'static str = "part";
        type Id = String;
        type Event = PartEvent;

        fn apply(&mut self, _: &PartEvent) {
            self.done += 1;
        }
    }

    impl CommandHandler<Do> for Part {
        type Rejection = std::convert::Infallible;

        fn handle(&self, _: &Do, _: &CommandContext) -> Result<Vec<PartEvent>, Self::Rejection> {
            Ok(vec![PartEvent::Done])
        }
    }
}

#[tokio::test]
async fn a_reaction_that_cannot_be_parks_the_saga_and_changes_nothing() {
    let house = House::new();
    let running = house.start::<Moody>().await;
    for (saga, why) in [
        ("panic", "panicked: what a day"),
        ("twice", "step \"a\" is under way, and was taken again"),
        ("unfinished", "it completes while steps are under way: a"),
        ("nameless", "a step has no name"),
        ("endless", "it goes on after it has completed or failed"),
        ("undeclared", "command Do for part is not declared by the saga; declared are: none"),
        ("no step", "only a step has a compensation and a timeout"),
        ("fail once", "not today"),
    ] {
        house.tell(&format!("asked-{saga}"), "Asked", &saga).await;
        until(&running, saga, SagaState::Parked).await;
        let status = running.sagas().status(&id(saga)).await.expect("told");
        let problem = status.summary.problem.expect("a reason");
        assert!(problem.contains(why), "{saga}: {problem}");
        assert_eq!((status.steps.len(), status.summary.unheard), (0, 1), "{saga}");
    }
    assert_eq!(house.elsewhere.names(), Vec::<String>::new(), "nothing was done");
    // What comes meanwhile waits behind it; then all is told in its order, and the first reaction has left no trace.
    house.tell("asked-fail once", "Asked", &"and more").await;
    running.sagas().retry(&id("fail once"), None).await.expect("asked for");
    until(&running, "fail once", SagaState::Completed).await;
    let steps = running.sagas().status(&id("fail once")).await.expect("told").steps;
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert!(names.starts_with(&["step 1"]), "{names:?}");
    assert!(steps.iter().all(|step| step.state == SagaStepState::Done), "{steps:?}");
    // A person can do without: then it is told nothing, and ends when that person says so.
    running.sagas().skip(&id("panic"), None).await.expect("asked for");
    until(&running, "panic", SagaState::Running).await;
    running.sagas().abort(&id("panic"), None).await.expect("asked for");
    until(&running, "panic", SagaState::Aborted).await;
    running.stop().await.expect("stopped");
}

#[tokio::test]
async fn lists_can_be_made_anew_and_nothing_is_told_again() {
    let house = House::new();
    let running = house.start::<Journey>().await;
    for number in 0..20 {
        let legs = if number % 3 == 0 { ["fly", "refuse"] } else { ["fly", "sail"] };
        house.tell(&format!("journey-{number}"), "JourneyPlanned", &legs).await;
    }
    for number in 0..20 {
        let ends = if number % 3 == 0 { SagaState::Compensated } else { SagaState::Completed };
        until(&running, &number.to_string(), ends).await;
    }
    let before = house.elsewhere.names();
    let counts = async || running.sagas().overview().await.expect("told").counts;
    while counts().await[4].1 + counts().await[5].1 < 20 {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let listed = running.sagas().list(SagaState::Completed, None, 100).await.expect("listed");
    let rebuild = house.runner::<Journey>().rebuild(nexus_core::SwitchWhen::Told).await.expect("begun");
    let comparison = rebuild.compare().await.expect("compared");
    assert!(comparison.is_equal(), "{comparison:?}");
    rebuild.switch().await.expect("switched");
    assert_eq!(running.sagas().list(SagaState::Completed, None, 100).await.expect("listed"), listed);
    assert_eq!(house.elsewhere.names(), before, "nothing was done again");
    running.stop().await.expect("stopped");
}

#[tokio::test]
async fn an_event_that_cannot_be_understood_is_a_dead_letter() {
    let house = House::new();
    let running = house.start::<Moody>().await;
    house.tell("asked-nonsense", "Asked", &"anything").await;
    house.tell("asked-other", "Asked", &"anything").await;
    until(&running, "other", SagaState::Completed).await;
    let projections = Projections::new(house.parts.store().clone(), house.read_models.clone());
    let name = ProjectionName::new("saga-moody").expect("valid");
    let letters = projections.dead_letters(&name, None, 10).await.expect("listed");
    let error = letters.first().and_then(|letter| letter.error.as_deref()).expect("a letter");
    assert!(error.ends_with("that makes no sense"), "{error}");
    running.stop().await.expect("stopped");
}

#[tokio::test]
async fn what_was_recorded_before_the_kind_was_new_is_for_no_saga() {
    let house = House::new();
    house.tell("asked-early", "Asked", &"anything").await;
    let since = Timestamp::now() + Duration::from_millis(1);
    tokio::time::sleep(Duration::from_millis(5)).await;
    house.tell("asked-late", "Asked", &"anything").await;
    let running = house.runner::<Moody>().since(since).start().await.expect("started");
    until(&running, "late", SagaState::Completed).await;
    assert_eq!(running.sagas().state(&id("early")).await.expect("told"), None);
    running.stop().await.expect("stopped");
}

/// Two steps side by side between two others.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Building {
    site: String,
}

impl LinearSaga for Building {
    const NAME: &'static str = "building";

    fn query() -> Query {
        Query::types(EventType::new("SiteBought").ok())
    }

    fn start(event: &RecordedEvent) -> Result<Option<(SagaId, Self)>, SagaError> {
        let site = event.stream().id().to_owned();
        Ok(Some((SagaId::new(&site)?, Self { site })))
    }

    fn steps(steps: &mut impl StepList<Self>) {
        let part = |what: &'static str| move |house: &Self| (format!("{}.{what}", house.site), part::Do);
        steps
            .step::<part::Part, part::Do>("ground", part("ground"))
            .compensate_by_effect("fill in", |house| house.site.clone())
            .step::<part::Part, part::Do>("walls", part("walls"))
            .timeout(Duration::from_secs(5))
            .alongside()
            .effect("permits", "fetch permits", |house| house.site.clone())
            .step::<part::Part, part::Do>("roof", part("roof"));
    }
}

#[tokio::test]
async fn a_list_of_steps_is_a_saga() {
    let house = House::new();
    let running = house.start::<Building>().await;
    house.tell("site-7", "SiteBought", &()).await;
    until(&running, "7", SagaState::Completed).await;
    assert_eq!(house.elsewhere.names(), ["fetch permits"]);
    for part in ["7.ground", "7.walls", "7.roof"] {
        let loaded = house.parts.load::<part::Part>(&part.to_owned()).await.expect("loaded");
        assert_eq!(loaded.state.done, 1, "{part}");
    }
    let steps = running.sagas().status(&id("7")).await.expect("told").steps;
    let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["ground", "walls", "permits", "roof"]);
    running.stop().await.expect("stopped");
}

#[test]
fn the_next_steps_follow_from_those_that_were_done() {
    let answers = |done: &[&str], under_way: &[&str], step: &str| {
        let mut saga = Building { site: "7".to_owned() };
        let (saga_id, at) = (id("7"), Timestamp::UNIX_EPOCH);
        let answer = nexus_core::StepAnswer::Effect(Payload::of(&()).expect("JSON"));
        let input = SagaInput::new(&saga_id, at, Happened::StepDone { step, answer: &answer });
        let actions = saga.react(&input.with_steps(done, under_way)).expect("an answer");
        actions.iter().map(|action| format!("{action:?}")).collect::<Vec<_>>()
    };
    let after_ground = answers(&["ground"], &[], "ground");
    assert_eq!(after_ground.len(), 2, "{after_ground:?}");
    assert_eq!(answers(&["ground", "permits"], &["walls"], "permits"), Vec::<String>::new());
    let after_both = answers(&["ground", "permits", "walls"], &[], "walls");
    assert!(after_both.len() == 1 && after_both[0].contains("7.roof"), "{after_both:?}");
    let at_the_end = answers(&["ground", "permits", "walls", "roof"], &[], "roof");
    assert_eq!(at_the_end, ["SagaAction(Ok(Complete))"]);
}

#[test]
fn a_list_of_steps_can_be_drawn() {
    let drawn = SagaOutline::of::<Building>().mermaid();
    let expected = "flowchart TD
    start([building]) --> ground
    ground[\"ground: Do to part\"] --> walls & permits
    walls[\"walls: Do to part\"] --> roof
    permits[\"permits: fetch permits\"] --> roof
    roof[\"roof: Do to part\"] --> done([completed])
    roof -. fails .-> undo_ground
    walls -. fails .-> undo_ground
    permits -. fails .-> undo_ground
    ground -. fails .-> undone
    undo_ground[\"undo ground: fill in\"] -.-> undone([compensated])
";
    assert_eq!(drawn, expected);
}
