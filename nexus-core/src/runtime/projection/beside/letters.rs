//! What the build that served has put aside, when another takes its place.

use futures::FutureExt;

use super::super::PAGE;
use super::super::catalog::Build;
use super::super::letters::{DeadLetter, Owed};
use super::super::notes::{LETTERS, note};
use super::super::state::State;
use super::super::worker::{Trouble, Worker};
use crate::domain::Projection;

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// The effects of what the old build has put aside are still to come, where they were to come: its letters become
    /// this one's.
    pub(super) async fn take_over_letters(&self, old: Build) -> Result<(), Trouble> {
        self.forget_what_is_owed().await?;
        let (store, space) = (&*self.shared.store, old.space(&self.shared.name));
        let state = State::find(store, &space).await?.unwrap_or_default();
        let is_owed = |letter: &DeadLetter| letter.owed.is_some() || state.effects.of(&letter.event);
        let (mut after, mut last_stream, at_once) = (None, None, self.letters_at_once());
        loop {
            let page: Vec<(String, DeadLetter)> = LETTERS.page(store, &space, "", after, at_once).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let now = self.now();
            let mut owing = Vec::with_capacity(page.len());
            for (key, letter) in page.into_iter().filter(|(_, letter)| is_owed(letter)) {
                let stream = Some(letter.event.stream().clone());
                let is_first = stream != last_stream;
                last_stream = stream;
                owing.push((key, letter.owing(is_first, now)));
            }
            note(store, &self.space(), move |notes| {
                async move {
                    for (key, letter) in owing {
                        // What this build has put aside, too, is handled and has its effect in one.
                        let owing = match LETTERS.read::<DeadLetter>(notes, &key).await? {
                            Some(own) => DeadLetter { owed: Some(Owed::Both), ..own },
                            None => letter,
                        };
                        LETTERS.write(notes, &key, &owing).await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await?;
        }
    }

    /// So many go into one transaction.
    pub(super) fn letters_at_once(&self) -> usize {
        self.shared.store.max_documents().map_or(PAGE, |most| PAGE.min((most / 2).max(1)))
    }

    /// An earlier attempt to switch may have got no further than this.
    async fn forget_what_is_owed(&self) -> Result<(), Trouble> {
        let (store, space, mut after) = (&*self.shared.store, self.space(), None);
        let at_once = self.letters_at_once();
        loop {
            let page: Vec<(String, DeadLetter)> = LETTERS.page(store, &space, "", after, at_once).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            note(store, &space, move |notes| {
                async move {
                    for (key, letter) in page {
                        match letter.owed {
                            None => {}
                            Some(Owed::Effect) => LETTERS.delete(notes, &key).await?,
                            Some(Owed::Both) => {
                                LETTERS.write(notes, &key, &DeadLetter { owed: None, ..letter }).await?;
                            }
                        }
                    }
                    Ok(())
                }
                .boxed()
            })
            .await?;
        }
    }
}
