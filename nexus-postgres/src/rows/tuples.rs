//! The rows of `COPY … TO STDOUT (FORMAT binary)`: see "Binary Format" in PostgreSQL's documentation of `COPY`.

use bytes::{Buf, Bytes, BytesMut};
use nexus_core::BoxError;

use super::fields::{EVENT, Fields};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The number of fields that stands for the end.
const END: i16 = -1;

/// Takes them out of what has come, wherever that was cut.
#[derive(Default)]
pub(crate) struct Tuples {
    /// What has come and is not taken yet.
    rest: Bytes,
    is_begun: bool,
    is_over: bool,
}

impl Tuples {
    /// Adds what has come.
    pub(crate) fn add(&mut self, data: Bytes) {
        if self.rest.is_empty() {
            self.rest = data;
            return;
        }
        let mut whole = BytesMut::with_capacity(self.rest.len() + data.len());
        whole.extend_from_slice(&self.rest);
        whole.extend_from_slice(&data);
        self.rest = whole.freeze();
    }

    /// Whether the server has said that there are no more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Gives the next row to `take`; `None` where there is no whole one yet, or no more.
    pub(crate) fn next<T>(&mut self, take: impl FnOnce(Fields<'_>) -> T) -> Result<Option<T>, BoxError> {
        if !self.is_begun {
            let Some(header) = header(&self.rest)? else { return Ok(None) };
            self.rest.advance(header);
            self.is_begun = true;
        }
        if self.is_over {
            return Ok(None);
        }
        match tuple(&self.rest)? {
            Tuple::Cut => Ok(None),
            Tuple::End => {
                self.is_over = true;
                Ok(None)
            }
            Tuple::Whole(fields, length) => {
                let taken = take(Fields::from_columns(fields));
                self.rest.advance(length);
                Ok(Some(taken))
            }
        }
    }
}

/// How long the header is; `None`: not all of it is there.
fn header(bytes: &[u8]) -> Result<Option<usize>, BoxError> {
    let fixed = SIGNATURE.len() + 8;
    let Some(extension) = bytes.get(fixed - 4..fixed) else { return Ok(None) };
    if !bytes.starts_with(SIGNATURE) {
        return Err("what was copied does not begin as it should".into());
    }
    let length = fixed + usize::try_from(i32::from_be_bytes(extension.try_into()?))?;
    Ok((bytes.len() >= length).then_some(length))
}

enum Tuple<'r> {
    Cut,
    End,
    Whole([Option<&'r [u8]>; EVENT], usize),
}

fn tuple(bytes: &[u8]) -> Result<Tuple<'_>, BoxError> {
    let Some((count, mut rest)) = bytes.split_first_chunk() else { return Ok(Tuple::Cut) };
    let count = i16::from_be_bytes(*count);
    if count == END {
        return Ok(Tuple::End);
    }
    let mut fields = [None; EVENT];
    let meant = usize::try_from(count).ok().and_then(|count| fields.get_mut(..count));
    for field in meant.ok_or("what was copied has another number of columns")? {
        let Some((length, after)) = rest.split_first_chunk() else { return Ok(Tuple::Cut) };
        rest = after;
        // -1 is NULL.
        if let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) {
            let Some((value, after)) = rest.split_at_checked(length) else { return Ok(Tuple::Cut) };
            (*field, rest) = (Some(value), after);
        }
    }
    Ok(Tuple::Whole(fields, bytes.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows: of a text and a NULL, and of an empty text and one of three bytes.
    fn copied() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 2, 9, 9]);
        bytes.extend([0, 2, 0, 0, 0, 1, b'a', 255, 255, 255, 255]);
        bytes.extend([0, 2, 0, 0, 0, 0, 0, 0, 0, 3, b'b', b'c', b'd']);
        bytes.extend([255, 255]);
        bytes
    }

    fn read(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<[Option<Vec<u8>>; 2]> {
        let mut tuples = Tuples::default();
        let mut rows = Vec::new();
        for piece in pieces {
            tuples.add(piece.into());
            let owned = |fields: Fields<'_>| [0, 1].map(|column| fields.optional(column).map(<[u8]>::to_vec));
            while let Some(row) = tuples.next(owned).unwrap() {
                rows.push(row);
            }
        }
        assert!(tuples.is_over());
        rows
    }

    #[test]
    fn rows_are_read_wherever_they_are_cut() {
        let expected = [[Some(b"a".to_vec()), None], [Some(Vec::new()), Some(b"bcd".to_vec())]];
        for size in 1..=copied().len() {
            assert_eq!(read(copied().chunks(size).map(<[u8]>::to_vec)), expected, "{size}");
        }
    }

    #[test]
    fn what_is_no_copy_is_refused() {
        let mut tuples = Tuples::default();
        tuples.add(Bytes::from_static(b"something else of the same length"));
        assert!(tuples.next(|_| ()).is_err());
        let mut other = SIGNATURE.to_vec();
        other.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 99]);
        let mut tuples = Tuples::default();
        tuples.add(other.into());
        assert!(tuples.next(|_| ()).unwrap_err().to_string().contains("number of columns"));
    }
}
