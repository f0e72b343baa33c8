//! States that do not fit into one item.

use aws_sdk_dynamodb::types::AttributeValue;
use nexus_core::{Snapshot, StateShape, StoreError, StreamId};
use uuid::Uuid;

use super::DynamoSnapshots;
use super::item::{EXPIRES, Head, LARGEST_PART, SHAPE, STATE, STREAM, State, expires, head, key_of, parts};
use crate::client::UNITS;
use crate::error::failed;
use crate::items::{Item, text};

/// What a part is called, in the order of the parts.
fn name(shape: &str, parts: &str, number: u64) -> String {
    format!("{shape}/{parts}/{number:06}")
}

impl DynamoSnapshots {
    /// Writes the parts, if there have to be some; the item that names them is still to be written.
    pub(super) async fn put_parts(&self, snapshot: &Snapshot) -> Result<Item, StoreError> {
        let corrupt = |error| StoreError::corrupt(format!("the snapshot of {}", snapshot.stream), error);
        let mut rest = std::str::from_utf8(snapshot.state.as_bytes()).map_err(corrupt)?;
        if rest.len() <= LARGEST_PART {
            return Ok(head(snapshot, &State::Whole(rest.to_owned()), self.live_for));
        }
        let (parts, mut count) = (Uuid::now_v7().simple().to_string(), 0);
        while !rest.is_empty() {
            let (part, more) = rest.split_at(rest.floor_char_boundary(LARGEST_PART));
            rest = more;
            let mut item = key_of(snapshot.stream.as_str(), &name(snapshot.shape.as_str(), &parts, count));
            item.insert(STATE.to_owned(), AttributeValue::S(part.to_owned()));
            item.insert(EXPIRES.to_owned(), expires(snapshot.taken_at, self.live_for));
            let call = self.client.dynamo.put_item().table_name(&*self.table).set_item(Some(item));
            let sent = call.return_consumed_capacity(UNITS).send().await;
            let attempted = || format!("keep the snapshot of {}", snapshot.stream);
            let answer = sent.map_err(|error| failed(attempted(), error))?;
            self.client.consumed.wrote(answer.consumed_capacity());
            count += 1;
        }
        Ok(head(snapshot, &State::InParts(parts, count), self.live_for))
    }

    /// The state; `None` where parts are missing, because the snapshot was replaced meanwhile.
    pub(super) async fn state(
        &self,
        head: &Head,
        stream: &StreamId,
        shape: &StateShape,
    ) -> Result<Option<String>, StoreError> {
        let (parts, count) = match &head.state {
            State::Whole(state) => return Ok(Some(state.clone())),
            State::InParts(parts, count) => (parts, *count),
        };
        let (mut state, mut found, mut after) = (String::new(), 0, None);
        loop {
            let call = self.client.dynamo.query().table_name(&*self.table).consistent_read(true);
            let call = call.key_condition_expression(format!("{STREAM} = :s AND begins_with({SHAPE}, :p)"));
            let call = call.expression_attribute_values(":s", AttributeValue::S(stream.to_string()));
            let prefix = AttributeValue::S(format!("{shape}/{parts}/"));
            let call = call.expression_attribute_values(":p", prefix).set_exclusive_start_key(after);
            let sent = call.return_consumed_capacity(UNITS).send().await;
            let answer = sent.map_err(|error| failed(format!("load the snapshot of {stream}"), error))?;
            self.client.consumed.read(answer.consumed_capacity());
            for item in answer.items.unwrap_or_default() {
                state.push_str(text(&item, STATE).unwrap_or_default());
                found += 1;
            }
            after = answer.last_evaluated_key;
            if after.is_none() {
                return Ok((found == count).then_some(state));
            }
        }
    }

    /// Removes the parts of a snapshot that is not there any more.
    pub(super) async fn remove_parts(&self, head: &Item) -> Result<(), StoreError> {
        let Some((parts, count)) = parts(head) else { return Ok(()) };
        let (stream, shape) = (text(head, STREAM).unwrap_or_default(), text(head, SHAPE).unwrap_or_default());
        for number in 0..count {
            let key = key_of(stream, &name(shape, parts, number));
            let call = self.client.dynamo.delete_item().table_name(&*self.table).set_key(Some(key));
            let sent = call.return_consumed_capacity(UNITS).send().await;
            let answer = sent.map_err(|error| failed("remove a snapshot", error))?;
            self.client.consumed.wrote(answer.consumed_capacity());
        }
        Ok(())
    }
}
