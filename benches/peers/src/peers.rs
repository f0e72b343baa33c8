//! One file a peer: its aggregate in that library's terms, and which call does what.

pub(crate) mod cqrs_es;
pub(crate) mod disintegrate;
pub(crate) mod esrs;
pub(crate) mod evento;
