//! Looks after the sagas of the slices that a runner holds: what others have left, and what is due.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::engine::Engine;
use super::sagas::{Sagas, SagasError};
use super::status::SagaState;
use crate::runtime::projection::Holding;
use crate::runtime::telemetry;

/// How often it is looked for timers that are due, and for slices that have changed hands.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How many looks there are from one count to the next.
const COUNT_EVERY: u64 = 50;

/// So many sagas are taken over at a time, the next when most of them rest, or after this.
const PAGE: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks after the sagas of the slices that this runner holds.
pub(super) struct Keeping {
    engine: Arc<Engine>,
    sagas: Sagas,
    holding: Holding,
    /// What was held at the last look: ranges of slices, with their tokens.
    claims: Vec<(u16, u16, u64)>,
    /// Slices whose sagas are still to be gone on with.
    gained: BTreeSet<u16>,
    taking_over: Option<JoinHandle<Result<(), NotTakenOver>>>,
}

/// It is tried again for these slices.
struct NotTakenOver(BTreeSet<u16>, SagasError);

impl Keeping {
    pub(super) fn new(engine: Arc<Engine>, sagas: Sagas, holding: Holding) -> Self {
        Self { engine, sagas, holding, claims: Vec::new(), gained: BTreeSet::new(), taking_over: None }
    }

    pub(super) async fn keep(mut self) {
        let mut looks = 0_u64;
        let mut turns = tokio::time::interval(LOOK_EVERY);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = turns.tick() => {}
                () = self.holding.until_other_than(&self.claims) => {
                    self.look_at_the_slices().await;
                    continue;
                }
            }
            self.look_at_the_slices().await;
            let woken = self.wake_those_due().await;
            self.said(woken);
            if looks.is_multiple_of(COUNT_EVERY) {
                let counted = self.sagas.overview().await;
                let counted = counted.map(|overview| telemetry::sagas(self.engine.name(), &overview.counts));
                self.said(counted);
            }
            looks += 1;
        }
    }

    fn said(&self, outcome: Result<(), SagasError>) {
        if let Err(error) = outcome {
            let error = telemetry::chain(&error);
            tracing::warn!(
                saga = self.engine.name(),
                error,
                "sagas could not be looked for; it is tried again"
            );
        }
    }

    /// Leaves what is others', and goes on with what they have left.
    async fn look_at_the_slices(&mut self) {
        let now = self.holding.claims();
        if now != self.claims {
            // Under another token it may have been somebody else's in between.
            let gained = now.iter().filter(|claim| !self.claims.contains(claim));
            self.gained.extend(gained.flat_map(|(first, last, _)| *first..=*last));
            self.claims = now;
            self.engine.leave();
        }
        if let Some(taking_over) = self.taking_over.take_if(|taking_over| taking_over.is_finished()) {
            match taking_over.await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(NotTakenOver(slices, error))) => {
                    self.gained.extend(slices);
                    self.said(Err(error));
                }
            }
        }
        if self.taking_over.is_none() && !self.gained.is_empty() {
            let slices = std::mem::take(&mut self.gained);
            let (engine, sagas) = (Arc::clone(&self.engine), self.sagas.clone());
            self.taking_over = Some(tokio::spawn(async move {
                let taken = take_over(&engine, &sagas, &slices).await;
                taken.map_err(|error| NotTakenOver(slices, error))
            }));
        }
    }

    async fn wake_those_due(&self) -> Result<(), SagasError> {
        for id in self.sagas.due(self.engine.now()).await? {
            if self.engine.holds(&id) {
                self.engine.wake(id);
            }
        }
        Ok(())
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if let Some(taking_over) = &self.taking_over {
            taking_over.abort();
        }
    }
}

/// Goes on with what others have left.
async fn take_over(engine: &Arc<Engine>, sagas: &Sagas, slices: &BTreeSet<u16>) -> Result<(), SagasError> {
    for state in [SagaState::Compensating, SagaState::Running] {
        let mut last = None;
        loop {
            let page = sagas.list(state, last.as_ref(), PAGE).await?;
            let Some(next) = page.last() else { break };
            last = Some(next.clone());
            engine.until_fewer(PAGE, PATIENCE).await;
            let left = page.into_iter().filter(|saga| !saga.doing.is_empty() || saga.unheard > 0);
            for saga in left {
                if engine.slice(&saga.id).is_some_and(|slice| slices.contains(&slice.get())) {
                    engine.wake(saga.id);
                }
            }
        }
    }
    Ok(())
}
