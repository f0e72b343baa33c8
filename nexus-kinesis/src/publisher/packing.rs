//! Events of one stream that follow each other go into one record.

use std::collections::HashMap;
use std::collections::VecDeque;

use nexus_core::{CloudEvents, PublishError, RecordedEvent, StreamId};

use crate::place::hash_key;

/// So large a record becomes by packing; one event alone may be larger.
const PACKED_BYTES: usize = 256 * 1_024;

/// A record as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    pub(super) text: String,
    pub(super) events: usize,
}

/// What there is to send of one stream, in order.
#[derive(Debug)]
pub(super) struct Queue {
    /// The partition key.
    pub(super) stream: StreamId,
    pub(super) hash_key: String,
    pub(super) records: VecDeque<Packed>,
}

impl Queue {
    /// The size of a record, as Kinesis counts it.
    pub(super) fn size(&self, record: &Packed) -> usize {
        record.text.len() + self.stream.as_str().len()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it has {found} bytes as a record, and {most} are taken")]
struct TooLarge {
    found: usize,
    most: usize,
}

/// An event as text, if it fits into a record.
pub(super) fn encoded(
    form: &CloudEvents,
    event: &RecordedEvent,
    most: usize,
    bus: impl Fn() -> String,
) -> Result<String, PublishError> {
    let text = form.encode(event).map_err(|error| PublishError::refused(bus(), event, error))?;
    let found = text.len() + event.stream().as_str().len();
    if found > most {
        return Err(PublishError::refused(bus(), event, TooLarge { found, most }));
    }
    Ok(text)
}

/// The records of these events, by stream.
pub(super) fn packed(
    form: &CloudEvents,
    events: &[RecordedEvent],
    most: usize,
    bus: impl Fn() -> String,
) -> Result<Vec<Queue>, PublishError> {
    let mut queues: Vec<Queue> = Vec::new();
    let mut of: HashMap<&StreamId, usize> = HashMap::new();
    for event in events {
        let text = encoded(form, event, most, &bus)?;
        let index = *of.entry(event.stream()).or_insert_with(|| {
            let (stream, records) = (event.stream().clone(), VecDeque::new());
            queues.push(Queue { hash_key: hash_key(&stream).to_string(), stream, records });
            queues.len() - 1
        });
        let Some(queue) = queues.get_mut(index) else { continue };
        let key = queue.stream.as_str().len();
        match queue.records.back_mut() {
            // Brackets around all, and a comma.
            Some(last) if last.text.len() + text.len() + key + 3 <= most.min(PACKED_BYTES) => {
                if last.events == 1 {
                    last.text.insert(0, '[');
                } else {
                    last.text.pop();
                }
                last.text.push(',');
                last.text.push_str(&text);
                last.text.push(']');
                last.events += 1;
            }
            _ => queue.records.push_back(Packed { text, events: 1 }),
        }
    }
    Ok(queues)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_core::{
        EventId, EventParts, EventType, Metadata, Payload, SchemaVersion, StreamVersion, Timestamp,
    };

    fn event(stream: u32, version: u64, bytes: usize) -> RecordedEvent {
        let stream = StreamId::new("order", stream).unwrap();
        RecordedEvent::from(EventParts {
            id: EventId::from_bytes([1; 16]),
            event_type: EventType::new("Any").unwrap(),
            schema_version: SchemaVersion::FIRST,
            payload: Payload::from_json(format!("\"{}\"", "x".repeat(bytes))).unwrap(),
            metadata: Metadata::default(),
            tags: Vec::new(),
            slice: stream.slice(),
            stream,
            version: StreamVersion::new(version).unwrap(),
            position: None,
            recorded_at: Timestamp::UNIX_EPOCH,
        })
    }

    fn queues(events: &[RecordedEvent], most: usize) -> Vec<(String, Vec<Vec<u64>>)> {
        let form = CloudEvents::from_source("/test").unwrap();
        let queues = packed(&form, events, most, || "the bus".to_owned()).unwrap();
        let read = |record: &Packed| -> Vec<u64> {
            let events = CloudEvents::decode(record.text.as_bytes()).unwrap();
            assert_eq!(events.len(), record.events);
            events.iter().map(|event| event.version().get()).collect()
        };
        let of = |queue: &Queue| {
            assert!(queue.records.iter().all(|record| queue.size(record) <= most));
            (queue.stream.to_string(), queue.records.iter().map(read).collect())
        };
        queues.iter().map(of).collect()
    }

    #[test]
    fn what_follows_in_a_stream_is_packed_in_its_order() {
        let events: Vec<RecordedEvent> =
            (1..=7).flat_map(|version| [event(1, version, 10), event(2, version, 10)]).collect();
        let all: Vec<u64> = (1..=7).collect();
        assert_eq!(
            queues(&events, 1 << 20),
            [("order-1".into(), vec![all.clone()]), ("order-2".into(), vec![all])]
        );
        assert_eq!(queues(&[], 1 << 20), []);
    }

    #[test]
    fn a_record_is_no_larger_than_it_may_be() {
        let large: Vec<RecordedEvent> = (1..=5).map(|version| event(1, version, 100_000)).collect();
        assert_eq!(queues(&large, 1 << 20), [("order-1".into(), vec![vec![1, 2], vec![3, 4], vec![5]])]);
        let larger = [event(1, 1, 10), event(1, 2, 300_000), event(1, 3, 10)];
        assert_eq!(queues(&larger, 1 << 20), [("order-1".into(), vec![vec![1], vec![2], vec![3]])]);
        for most in 700..760 {
            queues(&[event(1, 1, 10), event(1, 2, 10), event(1, 3, 10)], most);
        }
        let form = CloudEvents::from_source("/test").unwrap();
        let error = packed(&form, &[event(1, 9, 1 << 20)], 1 << 20, || "the bus".to_owned()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().contains("version 9 of stream order-1"), "{error}");
        assert!(source.contains("1048576 are taken"), "{source}");
    }
}
