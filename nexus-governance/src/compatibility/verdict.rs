use std::collections::HashMap;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

use super::node::{Arena, NodeId};
use super::patterns::Patterns;
use super::reading::{Reader, Unreadable};
use super::search::{Outcome, Search};
use crate::invalid::{self, InvalidSchema};
use crate::stack::on_a_large_stack;

/// Whether every document that one schema accepts is accepted by another.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Every one is.
    Compatible,
    /// This one is not.
    Incompatible(Box<Witness>),
    /// It is not known.
    Undecided {
        /// Why not.
        reason: String,
    },
}

impl Verdict {
    /// Whether `reader` accepts every document that `writer` accepts; neither refers to other schemas.
    ///
    /// ```
    /// use nexus_governance::Verdict;
    /// use serde_json::json;
    ///
    /// let before = json!({ "type": "object", "properties": { "cents": { "type": "integer" } } });
    /// let after = json!({ "type": "object", "properties": { "cents": { "type": "integer", "minimum": 0 } } });
    ///
    /// assert_eq!(Verdict::of(&after, &before)?, Verdict::Compatible);
    /// let Verdict::Incompatible(witness) = Verdict::of(&before, &after)? else { panic!() };
    /// assert_eq!(witness.pointer, "/properties/cents/minimum");
    /// assert_eq!(witness.document, json!({ "cents": -1 }));
    /// # Ok::<(), nexus_governance::InvalidSchema>(())
    /// ```
    ///
    /// # Errors
    /// One of them is no schema, or one that could not be used safely.
    pub fn of(writer: &Value, reader: &Value) -> Result<Self, InvalidSchema> {
        let references = HashMap::new();
        invalid::check(writer, &references)?;
        invalid::check(reader, &references)?;
        Ok(Comparison::new(&references).verdict(&Side::new(writer), &Side::new(reader))?)
    }
}

/// A document that shows that two schemas are incompatible: the validator has accepted it by the one, and refused it by the
/// other.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    /// The document.
    pub document: Value,
    /// Which keyword of the schema that refuses it does so, as a JSON Pointer into that schema.
    pub pointer: String,
    /// Where in the document, as a JSON Pointer; empty for all of it.
    pub place: String,
    /// What the validator says.
    pub message: String,
}

/// Compares schemas with each other; what they refer to is the same for all.
pub(crate) struct Comparison<'a> {
    references: &'a HashMap<String, Value>,
}

/// A schema and its validator, which is made when it is asked for.
pub(crate) struct Side<'a> {
    pub(crate) schema: &'a Value,
    validator: OnceLock<Result<Validator, String>>,
}

impl<'a> Side<'a> {
    pub(crate) fn new(schema: &'a Value) -> Self {
        Self { schema, validator: OnceLock::new() }
    }

    fn validator(&self, references: &HashMap<String, Value>) -> Result<&Validator, &str> {
        let made = self.validator.get_or_init(|| {
            crate::validator::build(self.schema, references).map_err(|error| error.to_string())
        });
        made.as_ref().map_err(String::as_str)
    }
}

/// The stack that a comparison may need, in bytes: schemas and documents may be nested a hundred levels deep.
const STACK: usize = 256 << 20;

impl<'a> Comparison<'a> {
    pub(crate) fn new(references: &'a HashMap<String, Value>) -> Self {
        Self { references }
    }

    /// Whether `accepting` accepts nothing that `refusing` refuses.
    pub(crate) fn verdict(&self, accepting: &Side<'_>, refusing: &Side<'_>) -> Result<Verdict, Unreadable> {
        let mut verdicts = self.verdicts(&[(accepting, refusing)]);
        verdicts.pop().unwrap_or_else(|| Ok(Verdict::Undecided { reason: "nothing was compared".to_owned() }))
    }

    /// The same for several pairs: what they have in common is looked at once. Where a schema cannot be taken apart it is undecided.
    pub(crate) fn judged(&self, pairs: &[(&Side<'_>, &Side<'_>)]) -> Vec<Verdict> {
        let undecided = |error: Unreadable| Verdict::Undecided { reason: error.to_string() };
        self.verdicts(pairs).into_iter().map(|verdict| verdict.unwrap_or_else(undecided)).collect()
    }

    fn verdicts(&self, pairs: &[(&Side<'_>, &Side<'_>)]) -> Vec<Result<Verdict, Unreadable>> {
        let searched = on_a_large_stack(STACK, || self.search(pairs)).unwrap_or_else(|error| {
            let none = Outcome::unknown(&format!("no thread could be started: {error}"));
            pairs.iter().map(|_| Ok(none.clone())).collect()
        });
        let each = pairs.iter().zip(searched);
        each.map(|((accepting, refusing), outcome)| {
            Ok(match outcome? {
                Outcome::None => Verdict::Compatible,
                Outcome::Found(document) => self.witnessed(accepting, refusing, document, ""),
                Outcome::Unknown(Some(document), reason) => {
                    self.witnessed(accepting, refusing, document, &reason)
                }
                Outcome::Unknown(None, reason) => Verdict::Undecided { reason: reason.to_string() },
            })
        })
        .collect()
    }

    fn search<'s>(&'s self, pairs: &[(&'s Side<'s>, &'s Side<'s>)]) -> Vec<Result<Outcome, Unreadable>> {
        let (mut arena, mut patterns) = (Arena::new(), Patterns::default());
        let mut reader = Reader::new(&mut arena, self.references);
        let mut known: HashMap<*const Value, Result<NodeId, Unreadable>> = HashMap::new();
        let mut read = |schema: &'s Value| {
            let place: *const Value = schema;
            known.entry(place).or_insert_with(|| reader.read(schema)).clone()
        };
        let pairs: Vec<_> =
            pairs.iter().map(|(one, other)| Ok((read(one.schema)?, read(other.schema)?))).collect();
        let mut search = Search::new(&mut arena, &mut patterns);
        let mut solve = |(accepting, refusing)| {
            search.renew();
            search.solve(&[(accepting, true), (refusing, false)])
        };
        pairs.into_iter().map(|pair| pair.map(&mut solve)).collect()
    }

    /// The document is a witness if the validator agrees.
    fn witnessed(&self, accepting: &Side<'_>, refusing: &Side<'_>, document: Value, reason: &str) -> Verdict {
        let undecided = |reason: &str| Verdict::Undecided { reason: reason.to_owned() };
        let (accepts, refuses) =
            match (accepting.validator(self.references), refusing.validator(self.references)) {
                (Ok(accepts), Ok(refuses)) => (accepts, refuses),
                (Err(reason), _) | (_, Err(reason)) => return undecided(reason),
            };
        let error = match refuses.validate(&document) {
            Err(error) if accepts.is_valid(&document) => error,
            _ if reason.is_empty() => {
                return undecided(&format!("the validator judges {document} otherwise than the search"));
            }
            _ => return undecided(reason),
        };
        let (pointer, place, message) =
            (error.schema_path().to_string(), error.instance_path().to_string(), error.to_string());
        Verdict::Incompatible(Box::new(Witness { document, pointer, place, message }))
    }
}

/// Whether a schema can be taken apart.
pub(crate) fn read(schema: &Value, references: &HashMap<String, Value>) -> Result<(), Unreadable> {
    let read =
        on_a_large_stack(STACK, || Reader::new(&mut Arena::new(), references).read(schema).map(|_| ()));
    read.unwrap_or(Err(Unreadable::TooDeep))
}
