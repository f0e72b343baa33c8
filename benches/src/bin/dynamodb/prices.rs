//! What appends cost in capacity units, as the server counts them.

use std::time::Duration;

use crate::nexus::Nexus;

pub(crate) async fn tell(nexus: &Nexus) -> anyhow::Result<()> {
    let order = nexus.new_order();
    println!("\nwhat an append costs:");
    let fresh = Nexus::over(nexus.config.clone()).await?;
    for (what, side, first, events) in [
        ("the first commit of a stream", nexus, 0, 1),
        ("a further one, whose end this store has seen", nexus, 1, 1),
        ("a further one, whose end it has not seen", &fresh, 2, 1),
        ("ten events in one commit", &fresh, 3, 10),
    ] {
        // Ids of the same millisecond as what is stored last would be looked for.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let before = nexus.config.consumed();
        side.append(order, first, events).await?;
        let after = nexus.config.consumed();
        println!(
            "  {what}: {} write units, {} read units",
            after.write - before.write,
            after.read - before.read
        );
    }
    Ok(())
}
