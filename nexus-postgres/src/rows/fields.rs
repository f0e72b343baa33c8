use nexus_core::BoxError;
use sqlx::postgres::PgRow;
use sqlx::{Row, ValueRef};

/// So many fields an event has.
pub(super) const EVENT: usize = 11;

/// What of a row belongs to an event: a field a column, in PostgreSQL's binary form; `None` where it is NULL or not asked for.
pub(crate) struct Fields<'r>([Option<&'r [u8]>; EVENT]);

impl<'r> Fields<'r> {
    /// The columns of a row from `at` on.
    pub(crate) fn of(row: &'r PgRow, at: usize) -> Result<Self, BoxError> {
        let mut fields = [None; EVENT];
        for (column, field) in (at..row.len()).zip(&mut fields) {
            let value = row.try_get_raw(column)?;
            if !value.is_null() {
                *field = Some(value.as_bytes()?);
            }
        }
        Ok(Self(fields))
    }

    /// These, in the order of their columns.
    pub(super) fn from_columns(fields: [Option<&'r [u8]>; EVENT]) -> Self {
        Self(fields)
    }

    /// One that is always there.
    pub(super) fn bytes(&self, column: usize) -> Result<&'r [u8], BoxError> {
        self.optional(column).ok_or_else(|| format!("column {column} is empty").into())
    }

    pub(super) fn optional(&self, column: usize) -> Option<&'r [u8]> {
        self.0.get(column).copied().flatten()
    }
}
