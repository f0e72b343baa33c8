use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// What continuation tokens are signed with: 32 bytes that nobody else knows.
///
/// Give the same to all processes that answer the same clients; tokens of another key are refused.
#[derive(Clone)]
pub struct HistoryKey([u8; 32]);

impl HistoryKey {
    /// This key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key of this process alone: its tokens end with it.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn random() -> Result<Self, std::io::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for HistoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HistoryKey(…)")
    }
}

/// Where a partial answer ended, to go on from. It is of use to the same client for the same request only, and for a limited
/// time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContinuationToken(String);

impl ContinuationToken {
    /// Its text: letters, digits, `-` and `_`. It grows with the state of the aggregate that it continues.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContinuationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ContinuationToken {
    type Err = std::convert::Infallible;

    /// Any text: whether it is a token is seen when it is used.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Why a text continues nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// It was not given for this request of this client, by this key.
    #[error("the continuation token is not one that this client was given for this request: ask without it")]
    Foreign,
    /// It is too old.
    #[error("the continuation token has expired: ask without it")]
    Expired,
}

/// What a token says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Continuation<T> {
    /// In seconds.
    expires: i64,
    pub(super) after: T,
}

type Signature = Hmac<Sha256>;

/// The length of a signature.
const SIGNATURE: usize = 32;

impl HistoryKey {
    /// A token that says `after`, for `request` of `client`.
    pub(super) fn sign<T: Serialize>(
        &self,
        client: &str,
        request: &str,
        expires: Timestamp,
        after: T,
    ) -> Result<ContinuationToken, serde_json::Error> {
        let mut token = serde_json::to_vec(&Continuation { expires: expires.as_second(), after })?;
        let signature = self.signature(client, request, &token).finalize();
        token.extend_from_slice(&signature.into_bytes());
        Ok(ContinuationToken(URL_SAFE_NO_PAD.encode(token)))
    }

    /// What a token says, if it was given for `request` of `client`.
    pub(super) fn read<T: for<'de> Deserialize<'de>>(
        &self,
        client: &str,
        request: &str,
        now: Timestamp,
        token: &ContinuationToken,
    ) -> Result<T, InvalidToken> {
        let bytes = URL_SAFE_NO_PAD.decode(&token.0).map_err(|_| InvalidToken::Foreign)?;
        let length = bytes.len().checked_sub(SIGNATURE).ok_or(InvalidToken::Foreign)?;
        let (content, signature) = bytes.split_at(length);
        // In constant time.
        let verified = self.signature(client, request, content).verify_slice(signature);
        verified.map_err(|_| InvalidToken::Foreign)?;
        // By the signature we wrote it; another version of this crate may have.
        let said: Continuation<T> = serde_json::from_slice(content).map_err(|_| InvalidToken::Foreign)?;
        if said.expires < now.as_second() {
            return Err(InvalidToken::Expired);
        }
        Ok(said.after)
    }

    fn signature(&self, client: &str, request: &str, content: &[u8]) -> Signature {
        // As long as a block of the hash: what a shorter key is padded to, too.
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut signature = Signature::new(&block.into());
        for part in [b"nexus history 1".as_slice(), client.as_bytes(), request.as_bytes(), content] {
            signature.update(&(part.len() as u64).to_be_bytes());
            signature.update(part);
        }
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-25T10:00:00Z".parse().unwrap()
    }

    fn key() -> HistoryKey {
        HistoryKey::new([7; 32])
    }

    fn token() -> ContinuationToken {
        key().sign("ada", "order-1", now(), 41_u64).unwrap()
    }

    #[test]
    fn a_token_is_of_use_to_its_client_for_its_request() {
        assert_eq!(key().read::<u64>("ada", "order-1", now(), &token()), Ok(41));
        let foreign = Err(InvalidToken::Foreign);
        assert_eq!(key().read::<u64>("eve", "order-1", now(), &token()), foreign);
        assert_eq!(key().read::<u64>("ada", "order-2", now(), &token()), foreign);
        // Where one part ends and the next begins is signed, too.
        assert_eq!(key().read::<u64>("adao", "rder-1", now(), &token()), foreign);
        assert_eq!(HistoryKey::new([8; 32]).read::<u64>("ada", "order-1", now(), &token()), foreign);
        let later = now() + jiff::SignedDuration::from_secs(1);
        assert_eq!(key().read::<u64>("ada", "order-1", later, &token()), Err(InvalidToken::Expired));
    }

    #[test]
    fn a_token_cannot_be_changed() {
        let text = token().as_str().to_owned();
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let changed = ContinuationToken(URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(key().read::<u64>("ada", "order-1", now(), &changed), Err(InvalidToken::Foreign));
        }
        for text in ["", "x", "äöü", &text[..text.len() - 4], &"A".repeat(100_000)] {
            let Ok(token) = text.parse();
            assert_eq!(
                key().read::<u64>("ada", "order-1", now(), &token),
                Err(InvalidToken::Foreign),
                "{text}"
            );
        }
    }

    #[test]
    fn a_random_key_is_another_each_time_and_is_not_shown() {
        let (one, other) = (HistoryKey::random().unwrap(), HistoryKey::random().unwrap());
        assert_ne!(one.0, other.0);
        assert_eq!(format!("{one:?}"), "HistoryKey(…)");
    }
}
