//! Takes a JSON Schema apart, draft-07 or 2020-12.

mod keywords;
mod unevaluated;

use std::collections::{HashMap, HashSet};

use jsonschema::Draft;
use serde_json::{Map, Value};

use super::node::{Arena, Node, NodeId};
use crate::pointer::Pointer;

/// How deep a schema may be nested, references followed.
const DEEPEST: usize = 100;

/// How many parts a schema may have.
const LARGEST: usize = 50_000;

/// How many parts a schema may have where each is counted as often as it is referred to.
const MOST_EXPANDED: u64 = 1_000_000;

/// How many different patterns a schema may have: each takes time to compile, and memory.
const MOST_PATTERNS: usize = 500;

/// Why a schema could not be taken apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is nested more than {DEEPEST} levels deep")]
    TooDeep,
    #[error("it has more than {LARGEST} parts")]
    TooLarge,
    #[error("it has more than {MOST_PATTERNS} different patterns")]
    TooManyPatterns,
    #[error("its references lead to the same parts more than {MOST_EXPANDED} times")]
    TooManyReferences,
    #[error("it refers to {0:?}, which there is none of")]
    Dangling(String),
    #[error("it refers to itself without stepping into a member or an item, so that it says nothing")]
    Circular,
}

/// Which draft a schema is of: 2020-12 unless it says otherwise.
pub(crate) fn draft_of(schema: &Value) -> Draft {
    match schema.get("$schema").and_then(Value::as_str) {
        Some(uri) if uri.contains("draft-07") => Draft::Draft7,
        _ => Draft::Draft202012,
    }
}

pub(super) struct Reader<'a> {
    arena: &'a mut Arena,
    references: &'a HashMap<String, Value>,
    documents: Vec<Document<'a>>,
    seen: HashMap<(usize, Pointer), Seen>,
    /// How many parts there were before the schema that is read.
    before: usize,
    /// How many values its enumerations list: each is a part.
    values: usize,
    patterns: HashSet<String>,
    /// Where the anchors of a document are, also those that are no schemas.
    anchors: HashMap<usize, HashMap<&'a str, Vec<Pointer>>>,
    /// How many parts there are, counted as often as they are referred to: so many a validator looks at.
    expanded: u64,
}

#[derive(Clone, Copy)]
struct Document<'a> {
    uri: Option<&'a str>,
    schema: &'a Value,
    draft: Draft,
}

#[derive(Clone, Copy)]
enum Seen {
    InProgress(Option<u32>),
    Done(NodeId, u64),
}

/// Where a schema stands: in which document, and where in that.
#[derive(Clone)]
struct Place {
    document: usize,
    pointer: Pointer,
    depth: usize,
}

impl Place {
    fn at(&self, keyword: &str) -> Self {
        Self { document: self.document, pointer: self.pointer.join(keyword), depth: self.depth }
    }

    fn deeper(&self) -> Self {
        Self { depth: self.depth + 1, ..self.clone() }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(arena: &'a mut Arena, references: &'a HashMap<String, Value>) -> Self {
        Self {
            arena,
            references,
            documents: Vec::new(),
            seen: HashMap::new(),
            before: 0,
            values: 0,
            patterns: HashSet::new(),
            anchors: HashMap::new(),
            expanded: 0,
        }
    }

    /// The node that accepts what `schema` accepts.
    pub(super) fn read(&mut self, schema: &'a Value) -> Result<NodeId, Unreadable> {
        self.before = self.arena.len();
        self.expanded = 0;
        self.values = 0;
        self.patterns.clear();
        let place = self.open(None, schema);
        let read = self.schema(schema, &place);
        if read.is_err() {
            // What was left in the middle is no part of another schema, nor what refers to it.
            self.seen.clear();
        }
        let id = read?;
        self.is_bounded()?;
        if self.arena.turns_in_circles(id) { Err(Unreadable::Circular) } else { Ok(id) }
    }

    fn open(&mut self, uri: Option<&'a str>, schema: &'a Value) -> Place {
        self.documents.push(Document { uri, schema, draft: draft_of(schema) });
        Place { document: self.documents.len() - 1, pointer: Pointer::default(), depth: 0 }
    }

    fn schema(&mut self, schema: &Value, place: &Place) -> Result<NodeId, Unreadable> {
        if place.depth > DEEPEST {
            return Err(Unreadable::TooDeep);
        }
        self.is_bounded()?;
        let keywords = match schema {
            Value::Bool(true) => return Ok(Arena::ANYTHING),
            Value::Bool(false) => return Ok(Arena::NOTHING),
            Value::Object(keywords) => keywords,
            _ => return Ok(self.opaque("schema", schema, place)),
        };
        let key = (place.document, place.pointer.clone());
        match self.seen.get(&key) {
            Some(Seen::Done(id, parts)) => {
                let (id, parts) = (*id, *parts);
                self.expand(parts)?;
                return Ok(id);
            }
            Some(Seen::InProgress(number)) => {
                let number = number.unwrap_or_else(|| self.arena.new_target());
                self.seen.insert(key, Seen::InProgress(Some(number)));
                return Ok(self.arena.add(Node::Recursive(number)));
            }
            None => {}
        }
        self.seen.insert(key.clone(), Seen::InProgress(None));
        let outside = std::mem::take(&mut self.expanded);
        let id = self.keywords(keywords, &place.deeper())?;
        let parts = std::mem::replace(&mut self.expanded, outside).saturating_add(1);
        self.expand(parts)?;
        if let Some(Seen::InProgress(Some(number))) = self.seen.insert(key, Seen::Done(id, parts)) {
            self.arena.set_target(number, id);
        }
        Ok(id)
    }

    fn is_bounded(&self) -> Result<(), Unreadable> {
        if self.arena.len() - self.before + self.values > LARGEST {
            return Err(Unreadable::TooLarge);
        }
        if self.patterns.len() > MOST_PATTERNS {
            return Err(Unreadable::TooManyPatterns);
        }
        Ok(())
    }

    fn expand(&mut self, parts: u64) -> Result<(), Unreadable> {
        self.expanded = self.expanded.saturating_add(parts);
        if self.expanded > MOST_EXPANDED { Err(Unreadable::TooManyReferences) } else { Ok(()) }
    }

    fn keywords(&mut self, of: &Map<String, Value>, place: &Place) -> Result<NodeId, Unreadable> {
        let draft = self.draft(place);
        let is_nested = !place.pointer.is_root();
        if is_nested && of.contains_key("$id") {
            // It changes what references mean.
            return Ok(self.opaque("$id", &Value::Object(of.clone()), place));
        }
        let mut parts = Vec::new();
        if let Some(Value::String(reference)) = of.get("$ref") {
            let target = self.reference(reference, place)?;
            if draft == Draft::Draft7 {
                return Ok(target);
            }
            parts.push(target);
        }
        self.general(of, &mut parts);
        self.numbers(of, place, &mut parts);
        self.texts(of, draft, place, &mut parts);
        self.arrays(of, draft, place, &mut parts)?;
        self.objects(of, draft, place, &mut parts)?;
        self.combinations(of, place, &mut parts)?;
        if draft != Draft::Draft7 {
            self.unevaluated(of, place, &mut parts)?;
            for keyword in ["$dynamicRef", "$recursiveRef"] {
                if let Some(value) = of.get(keyword) {
                    parts.push(self.opaque(keyword, value, place));
                }
            }
        }
        Ok(self.arena.all(parts))
    }

    fn draft(&self, place: &Place) -> Draft {
        self.documents.get(place.document).map_or(Draft::Draft202012, |document| document.draft)
    }

    fn opaque(&mut self, keyword: &str, value: &Value, place: &Place) -> NodeId {
        // Where it refers to something, the same text means something else in another document.
        let text = value.to_string();
        let text =
            if text.contains("$") { format!("{}{}: {text}", place.document, place.pointer) } else { text };
        self.arena.add(Node::Opaque { keyword: keyword.to_owned(), text })
    }

    fn reference(&mut self, reference: &str, place: &Place) -> Result<NodeId, Unreadable> {
        let dangling = || Unreadable::Dangling(reference.to_owned());
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let target = if uri.is_empty() {
            Place { pointer: Pointer::default(), ..place.clone() }
        } else if let Some(document) = self.documents.iter().position(|one| one.uri == Some(uri)) {
            Place { document, ..place.clone() }
        } else {
            let (uri, schema) = self.references.get_key_value(uri).ok_or_else(dangling)?;
            Place { depth: place.depth, ..self.open(Some(uri), schema) }
        };
        let root = self.documents.get(target.document).ok_or_else(dangling)?.schema;
        let pointer = match fragment {
            "" => Pointer::default(),
            fragment if fragment.starts_with('/') => Pointer::parse(fragment).ok_or_else(dangling)?,
            anchor => {
                let anchors = self.anchors.entry(target.document).or_insert_with(|| anchors(root));
                match anchors.get(anchor).map(Vec::as_slice) {
                    Some([only]) => only.clone(),
                    Some(_) => return Ok(self.opaque("$ref", &Value::from(reference), place)),
                    None => return Err(dangling()),
                }
            }
        };
        let schema = root.pointer(pointer.as_str()).ok_or_else(dangling)?;
        if steps_into_another(root, pointer.as_str()) {
            return Ok(self.opaque("$ref", &Value::from(reference), place));
        }
        self.schema(schema, &Place { pointer, ..target }.deeper())
    }

    fn optional(
        &mut self,
        of: &Map<String, Value>,
        keyword: &str,
        place: &Place,
    ) -> Result<NodeId, Unreadable> {
        match of.get(keyword) {
            Some(schema @ (Value::Object(_) | Value::Bool(_))) => self.schema(schema, &place.at(keyword)),
            _ => Ok(Arena::ANYTHING),
        }
    }

    fn each<'v>(
        &mut self,
        schemas: impl Iterator<Item = (usize, &'v Value)>,
        place: &Place,
    ) -> Result<Vec<NodeId>, Unreadable> {
        schemas.map(|(index, schema)| self.schema(schema, &place.at(&index.to_string()))).collect()
    }
}

/// All places in a document that have an anchor.
fn anchors(root: &Value) -> HashMap<&str, Vec<Pointer>> {
    let mut found: HashMap<&str, Vec<Pointer>> = HashMap::new();
    let mut left = vec![(root, Pointer::default())];
    while let Some((value, at)) = left.pop() {
        match value {
            Value::Object(keywords) => {
                if let Some(anchor) = keywords.get("$anchor").and_then(Value::as_str) {
                    found.entry(anchor).or_default().push(at.clone());
                }
                left.extend(keywords.iter().map(|(keyword, value)| (value, at.join(keyword))));
            }
            Value::Array(items) => {
                let places = (0..).map(|index: usize| at.join(&index.to_string()));
                left.extend(items.iter().zip(places));
            }
            _ => {}
        }
    }
    found
}

/// Whether the way there leads into a schema with an `$id` of its own, where references mean something else.
fn steps_into_another(root: &Value, pointer: &str) -> bool {
    let ends = pointer.char_indices().filter(|(_, character)| *character == '/').map(|(at, _)| at).skip(1);
    let mut above = ends.filter_map(|end| root.pointer(&pointer[..end]));
    above.any(|schema| schema.get("$id").is_some())
}
