use super::Evidence;

/// Each reader saw all there is from its start to the last that it saw, in order, and nothing else.
pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for seen in &evidence.readers {
        let Some((last, _)) = seen.events.last() else { continue };
        if let Some(pair) = seen.events.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
            wrong.push(format!("{} saw position {} after {}", seen.who, pair[1].0, pair[0].0));
        }
        let there = evidence.log.iter().filter_map(|event| {
            let position = event.position()?.get();
            let is_meant = position > seen.start
                && position <= *last
                && (!seen.only_accounts || event.stream().category() == "account");
            is_meant.then_some((position, event.id()))
        });
        let there: Vec<_> = there.collect();
        if there == seen.events {
            continue;
        }
        let missed = there.iter().find(|event| !seen.events.contains(event));
        let other = seen.events.iter().find(|event| !there.contains(event));
        wrong.push(format!("{} missed {missed:?}, and saw {other:?}", seen.who));
    }
    wrong
}
