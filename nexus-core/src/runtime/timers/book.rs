//! Which timers there are. Two collections: each timer by its name, and its name by the time somebody is to look at it.

use std::sync::Arc;

use futures::FutureExt;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::port::{Documents, ProjectionStore, Space};
use crate::runtime::ProjectionsError;
use crate::runtime::projection::{Notes, note};
use crate::vocabulary::{Payload, ProjectionName, StoreError, TimerName, as_json};

const TIMERS: Notes = Notes::new("$timers");
const BY_TIME: Notes = Notes::new("$timers_by_time");

/// Timers of one purpose, in a store that also keeps read models: what is to happen at which time. A
/// [`TimerRunner`](super::TimerRunner) has it happen.
///
/// A timer is there until it has fired, whatever is restarted meanwhile. It fires at least once, when its time has come or
/// later, never before; where a clock goes back, later.
///
/// ```
/// # use nexus_core::*;
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryProjections::new();
/// let reminders = Timers::named("reminders", store)?;
/// let name = TimerName::new("invoice-42")?;
/// reminders.schedule(&name, Timestamp::now() + Duration::from_millis(5), &"ada@example.org").await?;
///
/// let running = TimerRunner::new(reminders.clone(), |timer: Timer| async move {
///     println!("{} is to be reminded of {}", timer.content::<String>()?, timer.name);
///     Ok(())
/// })
/// .start();
/// # while reminders.find(&name).await?.is_some() { tokio::time::sleep(Duration::from_millis(5)).await; }
/// running.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Timers {
    store: Arc<dyn ProjectionStore>,
    space: Space,
    name: Arc<str>,
    /// Rings when a timer was set in this process.
    pub(super) changed: Arc<Notify>,
}

/// A timer that is set.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Timer {
    /// Its name.
    pub name: TimerName,
    /// When it is due.
    pub due: Timestamp,
    /// What it is about.
    pub payload: Payload,
    /// How often it fired, and was not seen to.
    pub tries: u32,
    /// Why not, the last time.
    pub error: Option<String>,
}

/// As it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    due: Timestamp,
    #[serde(with = "as_json")]
    payload: Payload,
    /// Another each time it is set.
    set: Uuid,
    /// When somebody is to look at it: when it is due, is to be tried again, or the lease of who has it in hand has run out.
    look_at: Timestamp,
    /// Who has it in hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Uuid>,
    #[serde(default)]
    pub(super) tries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A timer that a runner has in hand.
#[derive(Clone, Debug)]
pub(super) struct InHand {
    pub(super) timer: Timer,
    set: Uuid,
    owner: Uuid,
}

/// A text that cannot name timers of one purpose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} cannot name timers: it takes 1 to 57 of the characters a-z, 0-9, '_' and '-'")]
pub struct InvalidTimersName {
    found: String,
}

/// What cannot be done with a timer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimersError {
    /// What the timer is about cannot be written as JSON.
    #[error("could not write down what timer {name} is about")]
    Encode {
        /// Its name.
        name: TimerName,
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Timer {
    /// What it is about, as a `T`.
    ///
    /// # Errors
    /// It was set with something else.
    pub fn content<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.payload.decode()
    }
}

impl Timers {
    /// Timers of one purpose, by a name of 1 to 57 of `a–z 0–9 _ -`. They are kept under `timers-` and that name, which no
    /// projection may have.
    ///
    /// # Errors
    /// The name has other characters.
    pub fn named(name: &str, store: impl ProjectionStore) -> Result<Self, InvalidTimersName> {
        let invalid = |_| InvalidTimersName { found: name.to_owned() };
        let projection = ProjectionName::new(&format!("timers-{name}")).map_err(invalid)?;
        if name.is_empty() {
            return Err(InvalidTimersName { found: name.to_owned() });
        }
        let space = Space::Build { projection, number: 1 };
        Ok(Self { store: Arc::new(store), space, name: name.into(), changed: Arc::default() })
    }

    /// What they are for, as they are named.
    pub fn purpose(&self) -> &str {
        &self.name
    }

    /// Sets a timer, in place of one of the same name.
    ///
    /// # Errors
    /// What it is about cannot be written as JSON, or the store fails.
    pub async fn schedule<T: Serialize + ?Sized>(
        &self,
        name: &TimerName,
        due: Timestamp,
        content: &T,
    ) -> Result<(), TimersError> {
        let payload =
            Payload::of(content).map_err(|source| TimersError::Encode { name: name.clone(), source })?;
        let set = Uuid::now_v7();
        let kept = Kept { due, payload, set, look_at: due, owner: None, tries: 0, error: None };
        let name = name.clone();
        self.note(move |notes| {
            async move {
                let before: Option<Kept> = TIMERS.read(notes, name.as_str()).await?;
                replace(notes, &name, before.as_ref(), Some(&kept)).await
            }
            .boxed()
        })
        .await?;
        self.changed.notify_one();
        Ok(())
    }

    /// Takes a timer back; whether it was there. One that is firing at this moment fires to its end.
    ///
    /// # Errors
    /// The store fails.
    pub async fn cancel(&self, name: &TimerName) -> Result<bool, TimersError> {
        let name = name.clone();
        self.note(move |notes| {
            async move {
                let before: Option<Kept> = TIMERS.read(notes, name.as_str()).await?;
                replace(notes, &name, before.as_ref(), None).await?;
                Ok(before.is_some())
            }
            .boxed()
        })
        .await
    }

    /// A timer that is set; `None` where it is not, or has fired.
    ///
    /// # Errors
    /// The store fails.
    pub async fn find(&self, name: &TimerName) -> Result<Option<Timer>, TimersError> {
        let found: Option<Kept> = TIMERS.find(&*self.store, &self.space, name.as_str()).await?;
        Ok(found.map(|kept| kept.timer(name.clone())))
    }

    /// Timers in the order in which somebody is to look at them: those that are due first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(&self, limit: usize) -> Result<Vec<Timer>, TimersError> {
        let mut all = Vec::new();
        for (_, name) in self.by_time(limit).await? {
            // It may have fired since.
            all.extend(self.find(&name).await?);
        }
        Ok(all)
    }

    /// When somebody is to look at the next one.
    pub(super) async fn next(&self) -> Result<Option<Timestamp>, TimersError> {
        Ok(self.by_time(1).await?.into_iter().next().map(|(time, _)| time))
    }

    async fn by_time(&self, limit: usize) -> Result<Vec<(Timestamp, TimerName)>, TimersError> {
        let page: Vec<(String, bool)> = BY_TIME.page(&*self.store, &self.space, "", None, limit).await?;
        page.into_iter().map(|(key, _)| Ok(of_key(&key)?)).collect()
    }

    /// Takes timers in hand that are due, for a time: whoever has them is to be done by then, or says that it goes on.
    pub(super) async fn take(
        &self,
        owner: Uuid,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<InHand>, TimersError> {
        // Most looks find nothing: they need no transaction.
        if self.next().await?.is_none_or(|next| next > now) {
            return Ok(Vec::new());
        }
        // Each writes three documents.
        let limit = self.store.max_documents().map_or(limit, |most| limit.min((most / 4).max(1)));
        self.note(move |notes| {
            async move {
                let mut taken = Vec::new();
                let by_time: Vec<(String, bool)> = BY_TIME.first(notes, limit).await?;
                for (key, _) in by_time {
                    let (time, name) = of_key(&key)?;
                    if time > now {
                        break;
                    }
                    let Some(before) = TIMERS.read::<Kept>(notes, name.as_str()).await? else {
                        BY_TIME.delete(notes, &key).await?;
                        continue;
                    };
                    let kept = Kept { look_at: until, owner: Some(owner), ..before.clone() };
                    replace(notes, &name, Some(&before), Some(&kept)).await?;
                    let set = kept.set;
                    taken.push(InHand { timer: kept.timer(name), set, owner });
                }
                Ok(taken)
            }
            .boxed()
        })
        .await
    }

    /// The timer has fired and was seen to, unless it was set anew meanwhile.
    pub(super) async fn done(&self, in_hand: &InHand) -> Result<(), TimersError> {
        self.change(in_hand, |_| None).await
    }

    /// It was not seen to, and is to fire again at this time.
    pub(super) async fn failed(
        &self,
        in_hand: &InHand,
        error: String,
        again_at: Timestamp,
    ) -> Result<(), TimersError> {
        self.change(in_hand, move |kept| {
            let (owner, error) = (None, Some(error));
            Some(Kept { look_at: again_at, owner, tries: kept.tries + 1, error, ..kept })
        })
        .await
    }

    /// It takes longer.
    pub(super) async fn extend(&self, in_hand: &InHand, until: Timestamp) -> Result<(), TimersError> {
        self.change(in_hand, move |kept| Some(Kept { look_at: until, ..kept })).await
    }

    async fn change(
        &self,
        in_hand: &InHand,
        change: impl FnOnce(Kept) -> Option<Kept> + Clone + Send + 'static,
    ) -> Result<(), TimersError> {
        let InHand { timer, set, owner } = in_hand.clone();
        self.note(move |notes| {
            async move {
                let name = timer.name;
                let before: Option<Kept> = TIMERS.read(notes, name.as_str()).await?;
                let is_ours = |kept: &Kept| kept.set == set && kept.owner == Some(owner);
                if let Some(before) = before.filter(is_ours) {
                    let after = change(before.clone());
                    replace(notes, &name, Some(&before), after.as_ref()).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn note<T, Work>(&self, work: Work) -> Result<T, TimersError>
    where
        T: Send + 'static,
        Work: for<'a> FnOnce(&'a mut dyn Documents) -> futures::future::BoxFuture<'a, Result<T, StoreError>>
            + Clone
            + Send
            + 'static,
    {
        let noted =
            note(&*self.store, &self.space, move |notes| async move { Ok(work(notes).await?) }.boxed());
        noted.await.map_err(|error| match error {
            ProjectionsError::Store(error) => error.into(),
            error => StoreError::unavailable("note a timer", error).into(),
        })
    }
}

impl Kept {
    fn timer(self, name: TimerName) -> Timer {
        let Self { due, payload, tries, error, .. } = self;
        Timer { name, due, payload, tries, error }
    }
}

async fn replace(
    notes: &mut dyn Documents,
    name: &TimerName,
    before: Option<&Kept>,
    after: Option<&Kept>,
) -> Result<(), StoreError> {
    let key = |kept: &Kept| key(kept.look_at, name);
    if let Some(before) = before
        && after.is_none_or(|after| key(after) != key(before))
    {
        BY_TIME.delete(notes, &key(before)).await?;
    }
    match after {
        Some(after) => {
            BY_TIME.write(notes, &key(after), &true).await?;
            TIMERS.write(notes, name.as_str(), after).await
        }
        None => TIMERS.delete(notes, name.as_str()).await,
    }
}

/// Sorts by time: microseconds with as many digits for every time; what lies before 1970 comes together.
fn key(time: Timestamp, name: &TimerName) -> String {
    format!("{:020}/{name}", time.as_microsecond().max(0))
}

fn of_key(key: &str) -> Result<(Timestamp, TimerName), StoreError> {
    let damaged = || StoreError::corrupt("the list of timers", format!("{key:?} is no time and name"));
    let (time, name) = key.split_once('/').ok_or_else(damaged)?;
    let time: u64 = time.parse().map_err(|_| damaged())?;
    // The last microsecond of all is not read as a time.
    let time = i64::try_from(time).ok().and_then(|time| Timestamp::from_microsecond(time).ok());
    let time = time.unwrap_or(Timestamp::MAX);
    Ok((time, TimerName::new(name).map_err(|_| damaged())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_comes_back_from_a_list() {
        let name = TimerName::new("n").unwrap();
        for time in ["1970-01-01T00:00:00Z", "2026-11-27T10:00:00.123456Z", "9999-12-30T22:00:00Z"] {
            let time: Timestamp = time.parse().unwrap();
            assert_eq!(of_key(&key(time, &name)).unwrap(), (time, name.clone()));
        }
        assert_eq!(of_key(&key(Timestamp::MAX, &name)).unwrap().0, Timestamp::MAX);
        assert_eq!(of_key(&key(Timestamp::MIN, &name)).unwrap().0, Timestamp::UNIX_EPOCH);
        assert!(of_key("x/n").is_err() && of_key("7").is_err());
    }
}
