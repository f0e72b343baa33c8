//! Who projects which slices: leases over ranges of slices, with fencing tokens.
//!
//! Every live worker is due the same share of the 1,024 slices. At each heartbeat a worker renews its claims, gives up
//! what is above its share and takes what is free below it, so that ranges split and merge as workers come and go.
//! Nobody takes from the living: a claim is free when it was given up, or its lease has run out. A claim that
//! changes hands, or its bounds, gets a new token; a commit names the tokens it relies on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::board::{Activity, View};
use super::notes::{CLAIMS, WORKERS};
use crate::port::{Documents, EventFeed, ProjectionStore, Space};
use crate::vocabulary::{Checkpoint, Position, Slice, StoreError};

/// Who a worker is: a UUID of its own.
pub(super) type WorkerId = String;

/// A range of slices, how far it was projected, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) first: u16,
    pub(super) last: u16,
    /// Everything up to here is in the read model, or in the dead letters.
    pub(super) cursor: Option<Position>,
    /// The same of a feed that has no positions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) token: u64,
    /// How many transactions have relied on it: one that moves nothing shows, too, when a crash takes it back.
    #[serde(default)]
    pub(super) commits: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<WorkerId>,
    pub(super) expires: Timestamp,
}

/// A worker that is there, and what it tells about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Presence {
    pub(super) expires: Timestamp,
    /// Whether it is there for a rebuild alone.
    #[serde(default)]
    pub(super) only_builds: bool,
    /// Whether it follows a feed, which has no end that could be asked for.
    #[serde(default)]
    pub(super) follows_feed: bool,
    pub(super) activity: Activity,
    pub(super) recorded_at: Option<Timestamp>,
    pub(super) caught_up_at: Option<Timestamp>,
    pub(super) progressed_at: Timestamp,
    pub(super) error: Option<String>,
}

impl Claim {
    pub(super) fn key(&self) -> String {
        format!("{:04}", self.first)
    }

    pub(super) fn slices(&self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    pub(super) fn includes(&self, slice: Slice) -> bool {
        (self.first..=self.last).contains(&slice.get())
    }

    /// Whether it is what it was: the same slices, in the same hands, and come as far; only its lease may be another.
    pub(super) fn is_still(&self, before: &Self) -> bool {
        (self.first, self.last, self.token, self.commits, self.cursor)
            == (before.first, before.last, before.token, before.commits, before.cursor)
            && (&self.owner, &self.checkpoint) == (&before.owner, &before.checkpoint)
    }

    fn is_free(&self, now: Timestamp) -> bool {
        self.owner.is_none() || self.expires <= now
    }

    pub(super) fn is_of(&self, worker: &str) -> bool {
        self.owner.as_deref() == Some(worker)
    }

    /// Splits it: the first `slices` of it, and the rest.
    fn split(self, slices: u32) -> (Self, Self) {
        let middle = self.first + u16::try_from(slices).unwrap_or(0);
        (Self { last: middle - 1, ..self.clone() }, Self { first: middle, ..self })
    }
}

/// How claims are to be shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Every worker gets the same share.
    Evenly,
    /// One worker gets everything, the one that came last: a read model that is being built.
    OneWorker,
    /// The worker that is there the longest gets everything: a feed that each would have to read as a whole.
    Oldest,
}

/// One worker's turn.
pub(super) struct Turn<'a> {
    pub(super) worker: &'a str,
    pub(super) now: Timestamp,
    /// Until when what it claims is its own.
    pub(super) until: Timestamp,
    pub(super) sharing: Sharing,
    /// Whether the worker is there for a rebuild alone.
    pub(super) only_builds: bool,
    /// What the worker tells about itself.
    pub(super) view: &'a View,
    /// The feed that is followed, if it is one.
    pub(super) feed: Option<&'a dyn EventFeed>,
}

impl Turn<'_> {
    /// Says that the worker is there, and shares out; answers all claims as they are now.
    pub(super) async fn take(&self, notes: &mut dyn Documents) -> Result<Vec<Claim>, StoreError> {
        let mut workers: Vec<(WorkerId, Presence)> = WORKERS.all(notes, "").await?;
        for (gone, _) in workers.iter().filter(|(_, presence)| presence.expires <= self.now) {
            WORKERS.delete(notes, gone).await?;
        }
        workers.retain(|(id, presence)| presence.expires > self.now && id != self.worker);
        let View { activity, recorded_at, caught_up_at, progressed_at, error, follows_feed, .. } =
            self.view.clone();
        let expires = self.until;
        let only_builds = self.only_builds;
        let presence = Presence {
            expires,
            only_builds,
            follows_feed,
            activity,
            recorded_at,
            caught_up_at,
            progressed_at,
            error,
        };
        WORKERS.write(notes, self.worker, &presence).await?;
        // Who was asked to rebuild comes first, and of several who came last; then who came last of all. Ids grow with
        // time.
        let own = (self.only_builds, self.worker);
        let others = workers.iter().map(|(id, presence)| (presence.only_builds, id.as_str()));
        let mut live: Vec<(bool, &str)> = others.chain([own]).collect();
        live.sort_unstable();
        let live: Vec<&str> = live.into_iter().map(|(_, id)| id).collect();
        let before = read(notes).await?;
        let after = self.shared_out(before.clone(), &live);
        replace(notes, &before, &after).await?;
        Ok(after)
    }

    fn share(&self, live: &[&str]) -> u32 {
        let all = u32::from(Slice::COUNT);
        match self.sharing {
            Sharing::Evenly => all.div_ceil(u32::try_from(live.len().max(1)).unwrap_or(1)),
            Sharing::OneWorker if live.last() == Some(&self.worker) => all,
            Sharing::Oldest if live.first() == Some(&self.worker) => all,
            Sharing::OneWorker | Sharing::Oldest => 0,
        }
    }

    fn shared_out(&self, claims: Vec<Claim>, live: &[&str]) -> Vec<Claim> {
        let share = self.share(live);
        let mut token = highest_token(&claims);
        let mut next_token = || {
            token += 1;
            token
        };
        let mut mine: u32 = claims.iter().filter(|claim| claim.is_of(self.worker)).map(Claim::slices).sum();
        let mut shared: Vec<Claim> = Vec::with_capacity(claims.len() + 1);
        // What is above the share is given up from the end, so that the same ranges stay where they are.
        let mut kept: Vec<Claim> = Vec::with_capacity(claims.len() + 1);
        for claim in claims.into_iter().rev() {
            if !claim.is_of(self.worker) || mine <= share {
                kept.push(claim);
                continue;
            }
            let excess = mine - share;
            if claim.slices() <= excess {
                mine -= claim.slices();
                kept.push(Claim { owner: None, token: next_token(), ..claim });
            } else {
                let own = claim.slices() - excess;
                mine -= excess;
                let (own, given) = claim.split(own);
                kept.push(Claim { owner: None, token: next_token(), ..given });
                kept.push(Claim { token: next_token(), ..own });
            }
        }
        for claim in kept.into_iter().rev() {
            if claim.is_of(self.worker) {
                shared.push(Claim { expires: self.until, ..claim });
            } else if claim.is_free(self.now) && mine < share {
                let room = share - mine;
                let (taken, rest) = if claim.slices() <= room {
                    (claim, None)
                } else {
                    let (taken, rest) = claim.split(room);
                    (taken, Some(Claim { owner: None, token: next_token(), ..rest }))
                };
                mine += taken.slices();
                let owner = Some(self.worker.to_owned());
                shared.push(Claim { owner, expires: self.until, token: next_token(), ..taken });
                shared.extend(rest);
            } else {
                shared.push(claim);
            }
        }
        merged(shared, self.worker, self.feed, next_token)
    }
}

/// Ranges of one worker that lie side by side become one, where they have come equally far, or it can be told how far both have.
fn merged(
    claims: Vec<Claim>,
    worker: &str,
    feed: Option<&dyn EventFeed>,
    mut next_token: impl FnMut() -> u64,
) -> Vec<Claim> {
    let mut merged: Vec<Claim> = Vec::with_capacity(claims.len());
    for claim in claims {
        let last = merged
            .last_mut()
            .filter(|last| last.is_of(worker) && claim.is_of(worker) && last.last + 1 == claim.first);
        let joined = last.and_then(|last| Some((joined(last, &claim, feed)?, last)));
        match joined {
            Some((checkpoint, last)) => {
                (last.cursor, last.checkpoint) = (last.cursor.min(claim.cursor), checkpoint);
                last.last = claim.last;
                last.token = next_token();
            }
            None => merged.push(claim),
        }
    }
    merged
}

/// How far both have come, if that can be told.
fn joined(one: &Claim, other: &Claim, feed: Option<&dyn EventFeed>) -> Option<Option<Checkpoint>> {
    match (&one.checkpoint, &other.checkpoint) {
        (one_at, other_at) if one_at == other_at && one.cursor == other.cursor => Some(one_at.clone()),
        (Some(one), Some(other)) => feed?.in_parts()?.joined(one, other).map(Some),
        _ => None,
    }
}

/// All claims, in the order of their slices: one over everything, where nobody has claimed anything yet.
pub(super) async fn read(notes: &mut dyn Documents) -> Result<Vec<Claim>, StoreError> {
    let claims: Vec<(String, Claim)> = CLAIMS.all(notes, "").await?;
    let claims: Vec<Claim> = claims.into_iter().map(|(_, claim)| claim).collect();
    if claims.is_empty() {
        return Ok(vec![everything()]);
    }
    check(&claims)?;
    Ok(claims)
}

/// All claims on a build as they were last committed; none, where nobody has claimed anything yet.
pub(super) async fn find(
    store: &(impl ProjectionStore + ?Sized),
    space: &Space,
) -> Result<Vec<Claim>, StoreError> {
    let claims: Vec<(String, Claim)> = CLAIMS.list(store, space).await?;
    Ok(claims.into_iter().map(|(_, claim)| claim).collect())
}

/// How far all of them have come.
pub(super) fn low_water(claims: &[Claim]) -> Option<Position> {
    claims.iter().map(|claim| claim.cursor).min().flatten()
}

/// The token that was given last.
pub(super) fn highest_token(claims: &[Claim]) -> u64 {
    claims.iter().map(|claim| claim.token).max().unwrap_or(0)
}

pub(super) fn everything() -> Claim {
    Claim {
        first: 0,
        last: Slice::COUNT - 1,
        cursor: None,
        checkpoint: None,
        token: 0,
        commits: 0,
        owner: None,
        expires: Timestamp::UNIX_EPOCH,
    }
}

/// Claims cover all slices, each once.
pub(super) fn check(claims: &[Claim]) -> Result<(), StoreError> {
    let mut next = 0;
    for claim in claims {
        if claim.first != next || claim.last < claim.first || claim.last >= Slice::COUNT {
            break;
        }
        next = claim.last + 1;
    }
    if next == Slice::COUNT {
        return Ok(());
    }
    let what = format!("no claim, or more than one, covers slice {next}");
    Err(StoreError::corrupt("the claims of a projection", what))
}

pub(super) async fn replace(
    notes: &mut dyn Documents,
    before: &[Claim],
    after: &[Claim],
) -> Result<(), StoreError> {
    for claim in before {
        if !after.iter().any(|other| other.first == claim.first) {
            CLAIMS.delete(notes, &claim.key()).await?;
        }
    }
    for claim in after {
        if !before.contains(claim) || claim.token == 0 {
            CLAIMS.write(notes, &claim.key(), claim).await?;
        }
    }
    Ok(())
}

/// Gives up what the worker holds, and says that it is gone.
pub(super) async fn release(notes: &mut dyn Documents, worker: &str) -> Result<(), StoreError> {
    let before = read(notes).await?;
    let mut token = highest_token(&before);
    let mut after = before.clone();
    for claim in after.iter_mut().filter(|claim| claim.is_of(worker)) {
        token += 1;
        (claim.owner, claim.token) = (None, token);
    }
    replace(notes, &before, &after).await?;
    WORKERS.delete(notes, worker).await
}

/// Renews what was seized, if nothing of it has changed since.
pub(super) async fn renew(
    notes: &mut dyn Documents,
    seized: &[Claim],
    until: Timestamp,
) -> Result<bool, StoreError> {
    let before = read(notes).await?;
    let is_same = |(now, then): (&Claim, &Claim)| now.is_still(then) && now.owner == then.owner;
    if before.len() != seized.len() || !before.iter().zip(seized).all(is_same) {
        return Ok(false);
    }
    let after: Vec<Claim> = before.iter().cloned().map(|claim| Claim { expires: until, ..claim }).collect();
    replace(notes, &before, &after).await?;
    Ok(true)
}

/// Takes everything, whoever holds it: for who switches from one build to another.
pub(super) async fn seize(
    notes: &mut dyn Documents,
    worker: &str,
    until: Timestamp,
) -> Result<Vec<Claim>, StoreError> {
    let before = read(notes).await?;
    let mut token = highest_token(&before);
    let mut after = before.clone();
    for claim in &mut after {
        token += 1;
        (claim.owner, claim.token, claim.expires) = (Some(worker.to_owned()), token, until);
    }
    replace(notes, &before, &after).await?;
    Ok(after)
}

#[cfg(test)]
mod tests;
