//! Which builds of a projection there are, which of them serves, and whether it is paused.

use futures::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ProjectionsError;
use super::notes::{PROJECTIONS, note};
use crate::port::{ProjectionStore, Space};
use crate::vocabulary::{ProjectionName, StoreError};

/// What the catalog says of one projection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) builds: Vec<Build>,
    /// How many were made so far: no number is given twice, so that nobody writes into another's space.
    #[serde(default)]
    made: u32,
    #[serde(default)]
    pub(super) paused: bool,
    /// Builds whose spaces are still to be removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gone: Vec<Build>,
}

/// One read model of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Build {
    pub(super) number: u32,
    /// The projection's version that makes it.
    pub(super) version: u32,
    pub(super) state: BuildState,
    pub(super) since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BuildState {
    /// It is what readers read.
    Serving,
    /// It is being made beside the one that serves.
    Building,
    /// It served before; kept until the next one retires.
    Retired,
}

impl Build {
    pub(super) fn space(&self, name: &ProjectionName) -> Space {
        Space::Build { projection: name.clone(), number: self.number }
    }
}

impl Entry {
    pub(super) fn serving(&self) -> Option<Build> {
        self.builds.iter().find(|build| build.state == BuildState::Serving).copied()
    }

    pub(super) fn building(&self) -> Option<Build> {
        self.builds.iter().find(|build| build.state == BuildState::Building).copied()
    }

    pub(super) fn build(&self, number: u32) -> Option<Build> {
        self.builds.iter().find(|build| build.number == number).copied()
    }

    fn add(&mut self, version: u32, state: BuildState, since: Timestamp) -> Build {
        self.made += 1;
        let build = Build { number: self.made, version, state, since };
        self.builds.push(build);
        build
    }

    /// The build that code of this version works on; made where it is new.
    fn open(
        &mut self,
        name: &ProjectionName,
        version: u32,
        now: Timestamp,
    ) -> Result<Build, ProjectionsError> {
        match self.serving() {
            None => Ok(self.add(version, BuildState::Serving, now)),
            Some(serving) if serving.version == version => Ok(serving),
            Some(serving) if serving.version > version => {
                Err(ProjectionsError::Superseded { name: name.clone(), version, serving: serving.version })
            }
            Some(_) => match self.building() {
                Some(building) if building.version == version => Ok(building),
                Some(building) if building.version > version => {
                    let serving = building.version;
                    Err(ProjectionsError::Superseded { name: name.clone(), version, serving })
                }
                _ => Ok(self.start_building(version, now)),
            },
        }
    }

    /// A new build beside the one that serves, in place of another that was being made.
    fn start_building(&mut self, version: u32, now: Timestamp) -> Build {
        self.drop_those_that_are(BuildState::Building);
        self.add(version, BuildState::Building, now)
    }

    /// Their spaces are removed afterwards, and tried again if that fails.
    fn drop_those_that_are(&mut self, state: BuildState) {
        let (dropped, kept) = self.builds.iter().partition(|build| build.state == state);
        self.builds = kept;
        self.gone.extend::<Vec<Build>>(dropped);
    }
}

pub(super) async fn find(
    store: &(impl ProjectionStore + ?Sized),
    name: &ProjectionName,
) -> Result<Option<Entry>, StoreError> {
    PROJECTIONS.find(store, &Space::Catalog, name.as_str()).await
}

pub(super) async fn all(
    store: &(impl ProjectionStore + ?Sized),
) -> Result<Vec<(ProjectionName, Entry)>, ProjectionsError> {
    let entries: Vec<(String, Entry)> = PROJECTIONS.list(store, &Space::Catalog).await?;
    entries.into_iter().map(|(name, entry)| Ok((ProjectionName::new(&name)?, entry))).collect()
}

/// Changes what the catalog says of a projection, in one transaction.
pub(super) async fn change<T>(
    store: &(impl ProjectionStore + ?Sized),
    name: &ProjectionName,
    change: impl FnOnce(&mut Entry) -> Result<T, ProjectionsError> + Clone + Send + 'static,
) -> Result<T, ProjectionsError>
where
    T: Send + 'static,
{
    let name = name.clone();
    note(store, &Space::Catalog, move |notes| {
        async move {
            let before: Entry = PROJECTIONS.read(notes, name.as_str()).await?.unwrap_or_default();
            let mut entry = before.clone();
            let answer = change(&mut entry)?;
            if entry != before {
                PROJECTIONS.write(notes, name.as_str(), &entry).await?;
            }
            Ok(answer)
        }
        .boxed()
    })
    .await
}

/// The build that code of this version works on.
pub(super) async fn open(
    store: &(impl ProjectionStore + ?Sized),
    name: &ProjectionName,
    version: u32,
    now: Timestamp,
) -> Result<Build, ProjectionsError> {
    let of = name.clone();
    let build = change(store, name, move |entry| entry.open(&of, version, now)).await?;
    remove_what_is_gone(store, name).await;
    Ok(build)
}

/// Starts a build beside the one that serves.
pub(super) async fn start_building(
    store: &(impl ProjectionStore + ?Sized),
    name: &ProjectionName,
    version: u32,
    now: Timestamp,
) -> Result<Build, ProjectionsError> {
    let of = name.clone();
    let build = change(store, name, move |entry| match entry.serving() {
        None => Err(ProjectionsError::Unknown { name: of, known: Vec::new() }),
        Some(serving) if serving.version > version => {
            Err(ProjectionsError::Superseded { name: of, version, serving: serving.version })
        }
        Some(_) => Ok(entry.start_building(version, now)),
    })
    .await?;
    remove_what_is_gone(store, name).await;
    Ok(build)
}

/// Has `number`, which is being made, serve from now on, if it does not already; the one that served retires.
pub(super) async fn switch(
    store: &(impl ProjectionStore + ?Sized),
    name: &ProjectionName,
    number: u32,
    now: Timestamp,
) -> Result<(), ProjectionsError> {
    let of = name.clone();
    change(store, name, move |entry| {
        if entry.serving().is_some_and(|build| build.number == number) {
            return Ok(());
        }
        if entry.building().is_none_or(|build| build.number != number) {
            return Err(ProjectionsError::NotRebuilding { name: of });
        }
        entry.drop_those_that_are(BuildState::Retired);
        for build in &mut entry.builds {
            match build.state {
                BuildState::Serving => (build.state, build.since) = (BuildState::Retired, now),
                BuildState::Building => (build.state, build.since) = (BuildState::Serving, now),
                BuildState::Retired => {}
            }
        }
        Ok(())
    })
    .await?;
    remove_what_is_gone(store, name).await;
    Ok(())
}

/// Gives up `number`, which is being made; what serves goes on serving.
pub(super) async fn cancel(
    store: &(impl ProjectionStore + ?Sized),
    name: &ProjectionName,
    number: u32,
) -> Result<(), ProjectionsError> {
    let of = name.clone();
    change(store, name, move |entry| {
        if entry.building().is_none_or(|build| build.number != number) {
            return Err(ProjectionsError::NotRebuilding { name: of });
        }
        entry.drop_those_that_are(BuildState::Building);
        Ok(())
    })
    .await?;
    remove_what_is_gone(store, name).await;
    Ok(())
}

/// Removes the spaces of builds that are gone; what cannot be removed now is tried again the next time.
async fn remove_what_is_gone(store: &(impl ProjectionStore + ?Sized), name: &ProjectionName) {
    let removed = async {
        let gone = find(store, name).await?.unwrap_or_default().gone;
        for build in &gone {
            store.remove(&build.space(name)).await?;
        }
        if !gone.is_empty() {
            change(store, name, move |entry| {
                entry.gone.retain(|build| !gone.contains(build));
                Ok(())
            })
            .await?;
        }
        Ok::<(), ProjectionsError>(())
    };
    if let Err(error) = removed.await {
        tracing::warn!(projection = %name, %error, "a read model that is not needed any more was not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> ProjectionName {
        ProjectionName::new("orders").unwrap()
    }

    #[test]
    fn the_first_build_serves_and_a_newer_version_is_built_beside_it() {
        let (mut entry, now) = (Entry::default(), Timestamp::UNIX_EPOCH);
        let first = entry.open(&name(), 1, now).unwrap();
        assert_eq!((first.number, first.state), (1, BuildState::Serving));
        assert_eq!(entry.open(&name(), 1, now).unwrap(), first);
        let second = entry.open(&name(), 2, now).unwrap();
        assert_eq!((second.number, second.state), (2, BuildState::Building));
        assert_eq!(entry.open(&name(), 2, now).unwrap(), second);
        assert_eq!(entry.open(&name(), 1, now).unwrap(), first, "the old code goes on meanwhile");
        let third = entry.open(&name(), 3, now).unwrap();
        assert_eq!(entry.builds.iter().map(|build| build.number).collect::<Vec<_>>(), [1, third.number]);
    }

    #[test]
    fn code_that_is_older_than_what_serves_is_refused() {
        let (mut entry, now) = (Entry::default(), Timestamp::UNIX_EPOCH);
        entry.open(&name(), 7, now).unwrap();
        let message = entry.open(&name(), 6, now).unwrap_err().to_string();
        assert_eq!(message, "version 6 of projection orders is outdated: version 7 serves already");
    }
}
