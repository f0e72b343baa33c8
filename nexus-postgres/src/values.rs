//! Values in PostgreSQL's binary form, written and read without copies in between.

use nexus_core::{BoxError, Timestamp};
use sqlx::encode::IsNull;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// PostgreSQL counts microseconds from 2000-01-01.
const EPOCH: i64 = 946_684_800_000_000;

/// A UUID.
#[derive(Clone, Copy)]
pub(crate) struct Uuid(pub(crate) [u8; 16]);

/// A `timestamptz`.
#[derive(Clone, Copy)]
pub(crate) struct Time(pub(crate) Timestamp);

/// JSON text, as it is.
#[derive(Clone, Copy)]
pub(crate) struct Json<'a>(pub(crate) &'a [u8]);

macro_rules! stored_as {
    ($value:ty, $oid:literal, $array:literal) => {
        impl Type<Postgres> for $value {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($oid))
            }
        }

        impl PgHasArrayType for $value {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($array))
            }
        }
    };
}

// `uuid`, `timestamptz` and `text`: their numbers are the same in every database.
stored_as!(Uuid, 2950, 2951);
stored_as!(Time, 1184, 1185);
stored_as!(Json<'_>, 25, 1009);

impl Encode<'_, Postgres> for Uuid {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxError> {
        buffer.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxError> {
        buffer.extend_from_slice(&micros(self.0).to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Encode<'_, Postgres> for Json<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxError> {
        buffer.extend_from_slice(self.0);
        Ok(IsNull::No)
    }
}

impl<'r> Decode<'r, Postgres> for Time {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxError> {
        Ok(Self(time(i64::from_be_bytes(value.as_bytes()?.try_into()?))?))
    }
}

impl<'r> Decode<'r, Postgres> for Uuid {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxError> {
        Ok(Self(value.as_bytes()?.try_into()?))
    }
}

/// Microseconds, as PostgreSQL counts them.
fn micros(time: Timestamp) -> i64 {
    time.as_microsecond() - EPOCH
}

/// The time so many microseconds, as PostgreSQL counts them.
pub(crate) fn time(micros: i64) -> Result<Timestamp, BoxError> {
    let micros = micros.checked_add(EPOCH).ok_or("a time is out of range")?;
    Ok(Timestamp::from_microsecond(micros)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back() {
        for text in ["1969-12-31T23:59:59.999999Z", "2026-11-24T10:00:00.123456Z", "-009999-01-02T01:59:59Z"]
        {
            let at: Timestamp = text.parse().unwrap();
            assert_eq!(time(micros(at)).unwrap(), at);
        }
        assert!(time(i64::MAX).is_err());
    }
}
