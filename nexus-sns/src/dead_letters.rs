//! Dead letters: what a consumer could not see to, and what becomes of it.

mod archive;
mod letter;
mod processor;

pub use self::archive::{DeadLetterArchive, JsonLinesArchive};
pub use self::letter::{DeadMessage, DeadMessages};
pub use self::processor::{DeadLetterError, DeadLetterQueue};

pub(crate) use self::letter::{Cause, bury};
