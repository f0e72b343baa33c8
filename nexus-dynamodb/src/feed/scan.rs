//! Reads all that is in the table, in several parts at once.

use futures::future::try_join_all;
use nexus_aws::under_way;
use nexus_core::{StoreError, StreamId, StreamVersion};
use serde::{Deserialize, Serialize};

use aws_sdk_dynamodb::types::AttributeValue;

use crate::client::UNITS;
use crate::error::failed;
use crate::items::{CommitItem, FIRST, Item, STREAM, is_commit, number, text};
use crate::reader::Reader;

/// How far a scan is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scan {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Segment {
    /// The stream, or marker, and the version of the item that was read last.
    after: Option<(String, i64)>,
    /// How far that stream was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivered: Option<StreamVersion>,
    done: bool,
}

impl Scan {
    pub(super) fn in_segments(segments: u32) -> Self {
        Self { segments: vec![Segment::default(); segments as usize] }
    }

    pub(super) fn is_done(&self) -> bool {
        self.segments.iter().all(|segment| segment.done)
    }

    /// The next page of each part that is not at its end; how far it is is to be noted when a page was handed on.
    pub(super) async fn next(&self, reader: &Reader) -> Result<Vec<Page>, StoreError> {
        let total = i32::try_from(self.segments.len()).unwrap_or(i32::MAX);
        let open = self.segments.iter().enumerate().filter(|(_, segment)| !segment.done);
        let pages = open.map(|(number, segment)| async move {
            let part = i32::try_from(number).unwrap_or(i32::MAX);
            let call = reader.client.dynamo.scan().table_name(&*reader.table).consistent_read(true);
            let call = call.segment(part).total_segments(total);
            let start = segment.after.as_ref().map(|(stream, first)| {
                Item::from([
                    (STREAM.to_owned(), AttributeValue::S(stream.clone())),
                    (FIRST.to_owned(), AttributeValue::N(first.to_string())),
                ])
            });
            let scan = call.set_exclusive_start_key(start).return_consumed_capacity(UNITS);
            let answer = under_way(scan.send())
                .await
                .map_err(|error| failed(format!("scan table {}", reader.table), error))?;
            reader.client.consumed.read(answer.consumed_capacity());
            let end = answer.last_evaluated_key.as_ref().map(place_of).transpose()?;
            let items = answer.items.unwrap_or_default().into_iter();
            let commits = items.filter(is_commit).map(CommitItem::read).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, StoreError>(Page { segment: number, commits, end })
        });
        try_join_all(pages).await
    }

    /// The streams that parts are in the midst of, and how far those were delivered.
    pub(super) fn begun(&self) -> impl Iterator<Item = (StreamId, StreamVersion)> {
        let begun = self.segments.iter().filter_map(|segment| segment.after.as_ref().zip(segment.delivered));
        begun.filter_map(|((stream, _), delivered)| Some((stream.parse().ok()?, delivered)))
    }

    /// A part is read up to and with this commit; of its stream all was delivered up to that version.
    pub(super) fn is_after(
        &mut self,
        segment: usize,
        stream: &StreamId,
        first: StreamVersion,
        delivered: Option<StreamVersion>,
    ) {
        if let Some(segment) = self.segments.get_mut(segment) {
            segment.after = Some((stream.to_string(), i64::try_from(first.get()).unwrap_or(i64::MAX)));
            segment.delivered = delivered;
        }
    }

    /// A page is handed on whole.
    pub(super) fn has_done(&mut self, segment: usize, end: Option<(String, i64)>) {
        if let Some(segment) = self.segments.get_mut(segment) {
            segment.done = end.is_none();
            let stream = |key: &Option<(String, i64)>| key.as_ref().map(|(stream, _)| stream.clone());
            if end.is_some() && stream(&end) != stream(&segment.after) {
                segment.delivered = None;
            }
            segment.after = end.or(segment.after.take());
        }
    }
}

/// Some commits of a part of the table.
pub(super) struct Page {
    pub(super) segment: usize,
    pub(super) commits: Vec<CommitItem>,
    /// Where the next page starts; `None`: there is none.
    pub(super) end: Option<(String, i64)>,
}

fn place_of(key: &Item) -> Result<(String, i64), StoreError> {
    let corrupt = |error| StoreError::corrupt("the key that a scan goes on from", error);
    Ok((text(key, STREAM).unwrap_or_default().to_owned(), number(key, FIRST).map_err(corrupt)?))
}
