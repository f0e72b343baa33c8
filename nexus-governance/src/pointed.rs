//! Places as tools show them beside their messages.

/// The file, line and column of the first line `--> file:line:column`, as the compilers of Rust, cargo and the engine for Rego write it.
pub(crate) fn pointed(text: &str) -> Option<(&str, usize, usize)> {
    text.lines().find_map(|line| {
        let mut parts = line.trim_start().strip_prefix("--> ")?.rsplitn(3, ':');
        let (column, line) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some((parts.next()?, line, column))
    })
}
