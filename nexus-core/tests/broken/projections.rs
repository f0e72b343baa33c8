use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use nexus_core::testing::ProjectionFixture;
use nexus_core::{
    Collection, Comparison, Document, DocumentKey, DocumentTx, Documents, KeyRange, Payload, ProjectionStore,
    ProjectionTransaction, ReadModelStore, Space, StoreError, UnitOfWork, WorkError, async_trait,
};

thread_local! {
    /// What the stores of this thread's case do wrong.
    pub(crate) static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
}

/// What a broken store of projections does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Reads what was committed before, not what the transaction wrote.
    ReadsOldWrites,
    /// Writes JSON anew.
    Reformats,
    /// Lists the last key first.
    ListsBackwards,
    /// Has one place for all spaces.
    MixesSpaces,
    /// Never deletes.
    NeverDeletes,
    /// Keeps what failed.
    KeepsWhatFailed,
    /// Commits what panicked.
    KeepsWhatPanicked,
    /// Commits every write at once.
    CommitsAtOnce,
    /// Lets transactions run beside each other.
    IsNotIsolated,
    /// Reads wait for the transaction.
    ReadsWait,
    /// Commits the read model, and then the notes.
    CommitsNotesLate,
    /// Keeps nothing of what is noted alone.
    ForgetsNotes,
    /// Removes nothing.
    KeepsRemovedSpaces,
    /// Finds all read models equal.
    ComparesNothing,
    /// Reads claims as its own handle last wrote them.
    ReadsItsOwnClaims,
    /// Loses who claims what, until when.
    LosesClaims,
    /// Loses letters.
    LosesLetters,
    /// Loses which events were taken in.
    LosesIds,
    /// Loses what a relay has set aside.
    LosesTheBacklog,
}

impl Fault {
    pub(crate) fn for_case(case: &str) -> Option<Self> {
        Some(match case {
            "a_transaction_reads_what_it_wrote" => Self::ReadsOldWrites,
            "documents_come_back_byte_for_byte" => Self::Reformats,
            "documents_are_listed_in_the_order_of_their_keys" => Self::ListsBackwards,
            "spaces_and_collections_are_apart" => Self::MixesSpaces,
            "documents_agree_with_the_model" => Self::NeverDeletes,
            "a_failed_transaction_leaves_nothing" => Self::KeepsWhatFailed,
            "a_panic_leaves_nothing" => Self::KeepsWhatPanicked,
            "a_dropped_transaction_leaves_all_or_nothing" => Self::CommitsAtOnce,
            "concurrent_changes_of_a_document_all_count" => Self::IsNotIsolated,
            "what_a_list_has_shown_to_be_free_is_taken_once" => Self::IsNotIsolated,
            "reading_waits_for_no_transaction" => Self::ReadsWait,
            "read_model_and_notes_commit_together" => Self::CommitsNotesLate,
            "notes_alone_are_kept" => Self::ForgetsNotes,
            "a_removed_space_is_empty" => Self::KeepsRemovedSpaces,
            "read_models_are_compared" => Self::ComparesNothing,
            "slices_are_shared_by_all_workers" => Self::LosesClaims,
            "the_number_of_workers_may_change" => Self::LosesClaims,
            "a_feed_in_parts_is_shared_by_all_workers" => Self::LosesClaims,
            "what_comes_in_no_order_and_again_counts_once" => Self::LosesIds,
            "a_worker_that_is_gone_is_replaced" => Self::LosesClaims,
            "a_worker_that_lost_its_lease_writes_nothing" => Self::ReadsItsOwnClaims,
            "a_clock_that_is_set_back_repeats_nothing" => Self::ReadsItsOwnClaims,
            "a_timer_fires_when_it_is_due_and_not_before" => Self::ListsBackwards,
            "a_timer_outlives_its_runner" => Self::ForgetsNotes,
            "a_timer_can_be_moved_and_taken_back" => Self::NeverDeletes,
            "a_timer_that_was_not_seen_to_fires_again" => Self::NeverDeletes,
            "timers_are_shared_by_all_runners" => Self::IsNotIsolated,
            "the_timers_of_a_runner_that_died_fire" => Self::NeverDeletes,
            "a_failed_event_holds_up_its_stream_alone" => Self::KeepsWhatFailed,
            "a_failed_event_is_tried_again_by_itself" => Self::LosesLetters,
            "an_event_that_fails_too_often_is_a_dead_letter" => Self::LosesLetters,
            "a_panic_is_a_failure" => Self::LosesLetters,
            "dead_letters_are_retried_in_order" => Self::ListsBackwards,
            "a_dead_letter_can_be_skipped" => Self::NeverDeletes,
            "dead_letters_survive_a_restart" => Self::LosesLetters,
            "what_a_path_does_not_take_is_carried_after" => Self::LosesTheBacklog,
            "relays_that_come_and_go_lose_nothing" => Self::LosesTheBacklog,
            "what_a_bus_refuses_waits_with_its_stream" => Self::LosesLetters,
            _ => return None,
        })
    }
}

type Contents = BTreeMap<(Collection, DocumentKey), Payload>;

/// A store of projections in its plainest form, with one fault.
#[derive(Clone, Debug)]
pub(crate) struct BrokenProjections {
    spaces: Arc<Mutex<HashMap<Space, Arc<Mutex<Contents>>>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What this handle last wrote about claims.
    own: Arc<Mutex<Contents>>,
    fault: Fault,
}

impl ProjectionFixture for BrokenProjections {
    type Store = Self;

    async fn start() -> Self {
        Self { spaces: Arc::default(), turn: Arc::default(), own: Arc::default(), fault: FAULT.get() }
    }

    async fn open(&self) -> Self {
        Self { own: Arc::default(), ..self.clone() }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BrokenProjections {
    fn space(&self, space: &Space) -> Arc<Mutex<Contents>> {
        let space = if self.fault == Fault::MixesSpaces { &Space::Catalog } else { space };
        Arc::clone(locked(&self.spaces).entry(space.clone()).or_default())
    }

    async fn run<Tx>(&self, space: &Space, mut work: Box<dyn UnitOfWork<Tx>>) -> Result<(), WorkError>
    where
        Tx: ?Sized + 'static,
        Transaction: ProjectionTransaction<Tx>,
    {
        let contents = self.space(space);
        let _turn = match self.fault {
            Fault::IsNotIsolated => None,
            _ => Some(self.turn.lock().await),
        };
        let committed = locked(&contents).clone();
        let own = Arc::clone(&self.own);
        let mut transaction = Transaction {
            contents,
            own,
            committed: committed.clone(),
            now: committed,
            nothing: (),
            fault: self.fault,
        };
        let ran = std::panic::AssertUnwindSafe(work.run(&mut transaction)).catch_unwind().await;
        match ran {
            Ok(Ok(())) => transaction.commit().await,
            Ok(Err(error)) => {
                if self.fault == Fault::KeepsWhatFailed {
                    transaction.commit().await;
                }
                return Err(error);
            }
            Err(_) => {
                if self.fault == Fault::KeepsWhatPanicked {
                    transaction.commit().await;
                }
                return Err(WorkError::Failed("panicked".into()));
            }
        }
        Ok(())
    }
}

pub(crate) struct Transaction {
    contents: Arc<Mutex<Contents>>,
    own: Arc<Mutex<Contents>>,
    committed: Contents,
    now: Contents,
    nothing: (),
    fault: Fault,
}

impl Transaction {
    async fn commit(self) {
        if self.fault == Fault::CommitsNotesLate {
            let mut half = self.now.clone();
            half.retain(|(collection, _), _| !collection.is_reserved());
            let notes = self.committed.iter().filter(|((collection, _), _)| collection.is_reserved());
            half.extend(notes.map(|(address, content)| (address.clone(), content.clone())));
            *locked(&self.contents) = half;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        *locked(&self.contents) = self.now;
    }

    fn is_lost(&self, collection: &Collection) -> bool {
        match self.fault {
            Fault::ForgetsNotes => collection.is_reserved(),
            Fault::LosesClaims => collection.as_str() == "$claims",
            Fault::LosesLetters => collection.as_str() == "$letters",
            Fault::LosesIds => collection.as_str() == "$seen",
            Fault::LosesTheBacklog => collection.as_str() == "backlog",
            _ => false,
        }
    }
}

#[async_trait]
impl Documents for Transaction {
    async fn get(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        let address = (collection.clone(), key.clone());
        if self.fault == Fault::ReadsItsOwnClaims
            && collection.as_str() == "$claims"
            && let Some(own) = locked(&self.own).get(&address)
        {
            return Ok(Some(own.clone()));
        }
        let read = if self.fault == Fault::ReadsOldWrites { &self.committed } else { &self.now };
        Ok(read.get(&address).cloned())
    }

    async fn put(
        &mut self,
        collection: &Collection,
        key: &DocumentKey,
        content: Payload,
    ) -> Result<(), StoreError> {
        if self.is_lost(collection) {
            return Ok(());
        }
        let content = match self.fault {
            Fault::Reformats => {
                let value: serde_json::Value =
                    content.decode().map_err(|error| StoreError::corrupt("it", error))?;
                Payload::of(&value).map_err(|error| StoreError::corrupt("it", error))?
            }
            _ => content,
        };
        let address = (collection.clone(), key.clone());
        locked(&self.own).insert(address.clone(), content.clone());
        self.now.insert(address.clone(), content.clone());
        if self.fault == Fault::CommitsAtOnce {
            locked(&self.contents).insert(address, content);
        }
        Ok(())
    }

    async fn delete(&mut self, collection: &Collection, key: &DocumentKey) -> Result<(), StoreError> {
        if self.fault != Fault::NeverDeletes {
            self.now.remove(&(collection.clone(), key.clone()));
        }
        Ok(())
    }

    async fn list(&mut self, collection: &Collection, range: &KeyRange) -> Result<Vec<Document>, StoreError> {
        Ok(listed(&self.now, collection, range, self.fault))
    }
}

fn listed(contents: &Contents, collection: &Collection, range: &KeyRange, fault: Fault) -> Vec<Document> {
    let within = contents.iter().filter(|((of, key), _)| of == collection && range.includes(key.as_str()));
    let mut documents: Vec<Document> =
        within.map(|((_, key), content)| Document { key: key.clone(), content: content.clone() }).collect();
    // Only what is no claim: otherwise nothing works at all.
    if fault == Fault::ListsBackwards && collection.as_str() != "$claims" {
        documents.reverse();
    }
    documents.truncate(range.max_documents());
    documents
}

impl ProjectionTransaction<DocumentTx> for Transaction {
    fn read_model(&mut self) -> &mut DocumentTx {
        self
    }

    fn notes(&mut self) -> &mut dyn Documents {
        self
    }
}

impl ProjectionTransaction<()> for Transaction {
    fn read_model(&mut self) -> &mut () {
        &mut self.nothing
    }

    fn notes(&mut self) -> &mut dyn Documents {
        self
    }
}

#[async_trait]
impl ProjectionStore for BrokenProjections {
    async fn note(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.run(space, work).await
    }

    async fn get(
        &self,
        space: &Space,
        collection: &Collection,
        key: &DocumentKey,
    ) -> Result<Option<Payload>, StoreError> {
        if self.fault == Fault::ReadsWait {
            drop(self.turn.lock().await);
        }
        let contents = self.space(space);
        let found = locked(&contents).get(&(collection.clone(), key.clone())).cloned();
        Ok(found)
    }

    async fn list(
        &self,
        space: &Space,
        collection: &Collection,
        range: &KeyRange,
    ) -> Result<Vec<Document>, StoreError> {
        let contents = self.space(space);
        let listed = listed(&locked(&contents), collection, range, self.fault);
        Ok(listed)
    }

    async fn remove(&self, space: &Space) -> Result<(), StoreError> {
        if self.fault != Fault::KeepsRemovedSpaces {
            locked(&self.spaces).remove(space);
        }
        Ok(())
    }

    async fn compare(&self, old: &Space, new: &Space) -> Result<Comparison, StoreError> {
        let mut comparison = Comparison::default();
        let read_model = |space: &Space| {
            let mut contents = locked(&self.space(space)).clone();
            contents.retain(|(collection, _), _| !collection.is_reserved());
            contents
        };
        let (old, new) = (read_model(old), read_model(new));
        for (address, content) in &old {
            match new.get(address) {
                Some(other) if other == content || self.fault == Fault::ComparesNothing => {
                    comparison.same += 1;
                }
                Some(other) => {
                    comparison.changed += 1;
                    comparison.show(|| format!("{}: {content} became {other}", address.1));
                }
                None => {
                    comparison.only_old += 1;
                    comparison.show(|| format!("{} is gone", address.1));
                }
            }
        }
        for address in new.keys().filter(|address| !old.contains_key(*address)) {
            comparison.only_new += 1;
            comparison.show(|| format!("{} is new", address.1));
        }
        Ok(comparison)
    }
}

#[async_trait]
impl ReadModelStore<DocumentTx> for BrokenProjections {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<DocumentTx>>) -> Result<(), WorkError> {
        self.run(space, work).await
    }

    fn takes_back(&self) -> bool {
        true
    }
}

#[async_trait]
impl ReadModelStore<()> for BrokenProjections {
    async fn transact(&self, space: &Space, work: Box<dyn UnitOfWork<()>>) -> Result<(), WorkError> {
        self.run(space, work).await
    }

    fn takes_back(&self) -> bool {
        false
    }
}
