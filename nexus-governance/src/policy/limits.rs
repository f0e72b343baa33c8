use std::time::Duration;

/// What one evaluation may take. One that takes more is denied.
///
/// Policies are code that is reviewed; this is against mistakes, and against data that nobody had thought of, and no jail: what a
/// policy builds piece by piece is bounded by its time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyLimits {
    /// How long it may take: 50 ms unless told otherwise. Time is looked at with every fourth step; a step is not interrupted.
    pub time: Duration,
    /// How large its input may be, in bytes of JSON: 1 MiB unless told otherwise.
    pub input: usize,
    /// How large a text, or how long a list, a built-in function may make of what it is given: 1 MiB, or as many items by 24 bytes,
    /// unless told otherwise.
    pub value: usize,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self { time: Duration::from_millis(50), input: 1 << 20, value: 1 << 20 }
    }
}
