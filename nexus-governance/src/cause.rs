use std::error::Error;

/// What an error says, and what caused it: for people who see no more of it than this.
pub(crate) fn with_cause(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
