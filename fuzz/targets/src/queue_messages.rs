use crate::recorded::look_at;

/// The body of a message, as it was published, or as SNS wraps it.
pub fn queue_messages(bytes: &[u8]) {
    let Ok(body) = std::str::from_utf8(bytes) else { return };
    for event in nexus_sns::events_of_message(body).into_iter().flatten() {
        look_at(&event);
    }
}
