//! The end of a transaction: everything is written, if everything that was read is as it was.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem};
use nexus_core::{BoxError, Collection, Payload, StoreError, TransactionTooLarge, WorkError};
use uuid::Uuid;

use super::MOST_DOCUMENTS;
use super::transaction::Transaction;
use crate::client::UNITS;
use crate::documents::{At, KEY, MARK, Stored, item, key, registration};
use crate::error::{Refusal, transaction_refused};
use crate::items::{Item, LARGEST_ITEM, size};
use crate::writer::LARGEST_TRANSACTION;

/// What became of a transaction.
pub(super) enum Outcome {
    Committed,
    /// What it read is not there any more as it was read.
    Overtaken,
    Refused(WorkError),
}

/// Something that is to be done at the end, under a condition.
enum Action {
    Put(Item, Condition),
    Delete(Item, Condition),
    Check(Item, Condition),
}

/// How a document has to be.
enum Condition {
    /// It does not matter: nobody has looked.
    Any,
    Absent,
    Marked(String),
}

impl Condition {
    fn of(seen: &Option<Stored>) -> Self {
        match seen {
            None => Self::Absent,
            Some(stored) => Self::Marked(stored.mark.clone()),
        }
    }

    /// As DynamoDB writes it, with the values it speaks of.
    fn written(&self) -> (Option<String>, Option<Item>) {
        match self {
            Self::Any => (None, None),
            Self::Absent => (Some(format!("attribute_not_exists({KEY})")), None),
            Self::Marked(mark) => {
                let values = Item::from([(":r".to_owned(), AttributeValue::S(mark.clone()))]);
                (Some(format!("{MARK} = :r")), Some(values))
            }
        }
    }
}

impl Transaction {
    pub(super) async fn commit(self) -> Outcome {
        if self.written.is_empty() {
            return Outcome::Committed;
        }
        let mark = Uuid::new_v4().simple().to_string();
        let actions = match self.actions(&mark) {
            Ok(actions) => actions,
            Err(error) => return Outcome::Refused(error),
        };
        let mut retries = self.documents.client.retry.start();
        loop {
            // Under the same token DynamoDB does it once, whatever has become of the answer, and whoever writes there meanwhile: a put of a
            // single document would cost half as much, and have no token.
            return match self.together(&actions, Some(&mark)).await {
                Ok(()) => {
                    let collections = self.new_collections();
                    self.documents.is_noted(&self.space, collections);
                    Outcome::Committed
                }
                Err(Refusal::Busy(_)) if retries.again().await => continue,
                Err(Refusal::Busy(error) | Refusal::Failed(error)) => Outcome::Refused(error.into()),
                Err(Refusal::Taken) => match self.is_done(&mark).await {
                    Ok(true) => Outcome::Committed,
                    Ok(false) => Outcome::Overtaken,
                    Err(error) => Outcome::Refused(error.into()),
                },
            };
        }
    }

    /// Whether everything that was read is there as it was read, all at once.
    pub(super) async fn has_seen_what_is(&self) -> Result<bool, StoreError> {
        let seen: Vec<(&At, &Option<Stored>)> = self.seen.iter().collect();
        for some in seen.chunks(MOST_DOCUMENTS) {
            let checks =
                some.iter().map(|(at, seen)| Action::Check(key(&self.space, at), Condition::of(seen)));
            match self.together(&checks.collect::<Vec<_>>(), None).await {
                Ok(()) => {}
                Err(Refusal::Taken | Refusal::Busy(_)) => return Ok(false),
                Err(Refusal::Failed(error)) => return Err(error),
            }
        }
        Ok(true)
    }

    fn actions(&self, mark: &str) -> Result<Vec<Action>, WorkError> {
        let (mut actions, mut bytes) = (Vec::with_capacity(self.written.len() + 1), 0);
        for (at, content) in &self.written {
            let condition = match self.seen.get(at) {
                Some(seen) => Condition::of(seen),
                None if self.was_missed(at) => Condition::Absent,
                None => Condition::Any,
            };
            let Some(content) = content else {
                let key = key(&self.space, at);
                actions.push(match condition {
                    // What is not there need not be removed.
                    Condition::Absent => Action::Check(key, condition),
                    _ => Action::Delete(key, condition),
                });
                continue;
            };
            let new = item(&self.space, at, content, mark)?;
            let size = size(&new);
            refuse_above(LARGEST_ITEM, size, "bytes in one document")?;
            bytes += size;
            actions.push(Action::Put(new, condition));
        }
        for collection in self.new_collections() {
            actions.push(Action::Put(registration(&self.space, collection.as_str()), Condition::Any));
        }
        let only_seen = self.seen.iter().filter(|(at, _)| !self.written.contains_key(at));
        for (at, seen) in only_seen {
            actions.push(Action::Check(key(&self.space, at), Condition::of(seen)));
        }
        refuse_above(MOST_DOCUMENTS as u64, actions.len() as u64, "documents, written or read,")?;
        refuse_above(LARGEST_TRANSACTION, bytes, "bytes")?;
        Ok(actions)
    }

    /// Where documents are put for the first time, as far as is known here.
    fn new_collections(&self) -> BTreeSet<Collection> {
        let put = self.written.iter().filter(|(_, content)| content.is_some());
        let collections = put.map(|((collection, _), _)| collection);
        collections.filter(|collection| self.documents.is_new(&self.space, collection)).cloned().collect()
    }

    /// Whether it was written after all, and only the answer was lost.
    async fn is_done(&self, mark: &str) -> Result<bool, StoreError> {
        let mut put = self.written.iter().filter(|(_, content): &(&At, &Option<Payload>)| content.is_some());
        let Some((at, _)) = put.next() else { return Ok(false) };
        Ok(self.documents.get(&self.space, at).await?.is_some_and(|stored| stored.mark == mark))
    }

    /// Does all or nothing, under a token of its own where none is given.
    async fn together(&self, actions: &[Action], token: Option<&str>) -> Result<(), Refusal> {
        if actions.is_empty() {
            return Ok(());
        }
        let client = &self.documents.client;
        let items: Result<Vec<TransactWriteItem>, _> =
            actions.iter().map(|action| action.item(&self.documents.table)).collect();
        let unbuilt = |error| Refusal::Failed(StoreError::unavailable("write a read model", error));
        let call = client.dynamo.transact_write_items().set_transact_items(Some(items.map_err(unbuilt)?));
        let call = call.set_client_request_token(token.map(str::to_owned));
        let sent = call.return_consumed_capacity(UNITS).send().await;
        let answer = sent.map_err(|error| transaction_refused("write a read model", error))?;
        client.consumed.wrote(answer.consumed_capacity());
        Ok(())
    }
}

impl Action {
    fn item(&self, table: &str) -> Result<TransactWriteItem, BoxError> {
        let item = TransactWriteItem::builder();
        Ok(match self {
            Self::Put(new, condition) => {
                let (condition, values) = condition.written();
                let put = Put::builder().table_name(table).set_item(Some(new.clone()));
                let put = put.set_condition_expression(condition);
                item.put(put.set_expression_attribute_values(values).build()?)
            }
            Self::Delete(key, condition) => {
                let (condition, values) = condition.written();
                let delete = Delete::builder().table_name(table).set_key(Some(key.clone()));
                let delete = delete.set_condition_expression(condition);
                item.delete(delete.set_expression_attribute_values(values).build()?)
            }
            Self::Check(key, condition) => {
                let (condition, values) = condition.written();
                let check = ConditionCheck::builder().table_name(table).set_key(Some(key.clone()));
                let check = check.set_condition_expression(condition);
                item.condition_check(check.set_expression_attribute_values(values).build()?)
            }
        }
        .build())
    }
}

fn refuse_above(limit: u64, found: u64, unit: &'static str) -> Result<(), WorkError> {
    if found > limit {
        Err(WorkError::Failed(TransactionTooLarge { unit, found, limit }.into()))
    } else {
        Ok(())
    }
}
