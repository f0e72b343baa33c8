use std::collections::{HashMap, HashSet};

use super::Evidence;

/// Positions grow, versions of a stream are 1, 2, 3 …, no event is there twice, times do not fall within a stream, and a stream that is read by itself is
/// as it is in the log.
pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut last, mut ids) = (0, HashSet::new());
    let mut streams: HashMap<&str, Vec<_>> = HashMap::new();
    for event in &evidence.log {
        let position = event.position().map_or(0, |position| position.get());
        if position <= last {
            wrong.push(format!("position {position} comes after {last} in the log"));
        }
        last = position;
        if !ids.insert(event.id()) {
            wrong.push(format!("event {} is stored twice", event.id()));
        }
        let stream = streams.entry(event.stream().as_str()).or_default();
        if event.version().get() != stream.len() as u64 + 1 {
            wrong.push(format!(
                "version {} of {} comes after {}",
                event.version(),
                event.stream(),
                stream.len()
            ));
        }
        if stream.last().is_some_and(|(_, time)| *time > event.recorded_at()) {
            wrong.push(format!("in {} version {} has an earlier time", event.stream(), event.version()));
        }
        stream.push((event.id(), event.recorded_at()));
    }
    for (name, events) in &evidence.streams {
        let alone = events.iter().map(|event| (event.id(), event.recorded_at()));
        let in_log = streams.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        if !alone.eq(in_log.iter().copied()) {
            wrong.push(format!("{name} is read otherwise than it is in the log"));
        }
    }
    wrong
}
