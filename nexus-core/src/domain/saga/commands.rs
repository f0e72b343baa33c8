use crate::domain::{Command, CommandHandler};

/// What a saga declares its commands to: the aggregates that carry them out, by type.
///
/// A command that is sent is stored first, by its name; this is how it is found again. One that was not declared is refused
/// when the saga answers with it.
pub trait SagaCommands {
    /// The saga sends `C` to `A`, or compensates with it.
    fn declare<A, C>(&mut self) -> &mut Self
    where
        A: CommandHandler<C>,
        C: Command;
}
