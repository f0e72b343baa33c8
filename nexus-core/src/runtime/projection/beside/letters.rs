//! What the build that served has put aside, when another takes its place.

use std::time::Instant;

use futures::FutureExt;

use super::super::PAGE;
use super::super::catalog::Build;
use super::super::claims::Claim;
use super::super::letters::{DeadLetter, Owed};
use super::super::notes::{LETTERS, note};
use super::super::state::State;
use super::super::worker::{Trouble, Worker};
use crate::domain::Projection;

/// How many bytes of payloads go into one transaction.
const LARGEST_PORTION: usize = 1 << 20;

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// The effects of what the old build has put aside are still to come, where they were to come: its letters become
    /// this one's. Both builds rest meanwhile, and are kept from going on.
    pub(super) async fn take_over_letters(
        &self,
        old: Build,
        marks: &[Claim],
        own: &[Claim],
    ) -> Result<(), Trouble> {
        self.forget_what_is_owed().await?;
        let (store, space) = (&*self.shared.store, old.space(&self.shared.name));
        let (state, query) = (State::find(store, &space).await?.unwrap_or_default(), &self.shared.query);
        // What this one does not ask for it has no effect for.
        let is_owed = |letter: &DeadLetter| match letter.owed {
            _ if !query.matches(&letter.event) => false,
            Some(Owed::Effect | Owed::Both) => true,
            Some(Owed::Nothing) => false,
            None => state.effects.of(&letter.event),
        };
        let (mut after, mut last_stream, mut renewed) = (None, None, Instant::now());
        loop {
            let page: Vec<(String, DeadLetter)> = LETTERS.page(store, &space, "", after, PAGE).await?;
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
            for some in self.portions(owing) {
                note(store, &self.space(), move |notes| {
                    async move {
                        for (key, letter) in some {
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
                if renewed.elapsed() > self.shared.settings.lease / 3 {
                    self.renew(old, marks).await?;
                    self.renew(self.build, own).await?;
                    renewed = Instant::now();
                }
            }
        }
    }

    /// So many go into one transaction.
    pub(in crate::runtime::projection) fn letters_at_once(&self) -> usize {
        self.shared.store.max_documents().map_or(PAGE, |most| PAGE.min((most / 2).max(1)))
    }

    /// As many as go into one transaction, by their number and their bytes.
    fn portions(&self, letters: Vec<(String, DeadLetter)>) -> Vec<Vec<(String, DeadLetter)>> {
        let (most, mut bytes) = (self.letters_at_once(), 0);
        let mut portions: Vec<Vec<(String, DeadLetter)>> = Vec::new();
        for (key, letter) in letters {
            let size = letter.event.payload().len();
            bytes += size;
            match portions.last_mut() {
                Some(last) if last.len() < most && bytes <= LARGEST_PORTION => last.push((key, letter)),
                _ => {
                    bytes = size;
                    portions.push(vec![(key, letter)]);
                }
            }
        }
        portions
    }

    /// An earlier attempt to switch may have got no further than this.
    pub(in crate::runtime::projection) async fn forget_what_is_owed(&self) -> Result<(), Trouble> {
        let (store, space, mut after) = (&*self.shared.store, self.space(), None);
        let owed_before = self.owed();
        loop {
            let page: Vec<(String, DeadLetter)> = LETTERS.page(store, &space, "", after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let is_others =
                |(_, letter): &(String, DeadLetter)| matches!(letter.owed, Some(Owed::Effect | Owed::Both));
            for some in self.portions(page.into_iter().filter(is_others).collect()) {
                let forgotten = self.note_under_claims(move |notes| {
                    async move {
                        for (key, letter) in some {
                            if letter.owed == Some(Owed::Effect) {
                                LETTERS.delete(notes, &key).await?;
                            } else {
                                let letter = DeadLetter { owed: owed_before, ..letter };
                                LETTERS.write(notes, &key, &letter).await?;
                            }
                        }
                        Ok(())
                    }
                    .boxed()
                });
                forgotten.await?;
            }
        }
    }
}
