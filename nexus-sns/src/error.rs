use nexus_core::BoxError;

/// Why a topic or a queue could not be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such topic or queue.
    #[error("there is no {what} {name}: make it with create_topic or create_queue, or from the template")]
    Missing {
        /// A topic, or a queue.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A FIFO topic has FIFO queues only, and a standard topic standard ones.
    #[error(
        "queue {queue} cannot get what is published to {topic}: both are FIFO (their names end with \".fifo\"), or neither is"
    )]
    OtherKind {
        /// The queue.
        queue: String,
        /// The topic.
        topic: String,
    },
    /// A queue without a dead-letter queue keeps handing out what cannot be seen to.
    #[error(
        "queue {queue} has no dead-letter queue: give it a redrive policy, or make it with create_queue or from the template"
    )]
    NoDeadLetterQueue {
        /// The queue.
        queue: String,
    },
    /// Anything else: no answer, no permission, no credentials.
    #[error("could not {attempted}")]
    Unavailable {
        /// What was to be done.
        attempted: String,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
}

impl OpenError {
    pub(crate) fn unavailable(attempted: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Unavailable { attempted: attempted.into(), source: source.into() }
    }
}
