//! Schemas taken apart: each distinct subschema has one number, so that equal ones are found equal at once.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use serde_json::Value;

use super::number::Rational;

/// The number of a [`Node`] in its [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

/// A schema, or one keyword of it. A keyword that concerns values of one type accepts all values of other types.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Anything,
    Nothing,
    All(Vec<NodeId>),
    Any(Vec<NodeId>),
    One(Vec<NodeId>),
    Not(NodeId),
    If {
        test: NodeId,
        then: NodeId,
        otherwise: NodeId,
    },
    Types(Types),
    /// `enum` and `const`.
    Values(Vec<Value>),
    Number(NumberTest),
    Text(TextTest),
    Array(ArrayTest),
    Object(ObjectTest),
    /// A schema that contains itself: its number in [`Arena::target`].
    Recursive(u32),
    /// What the validator understands and the search does not.
    Opaque {
        keyword: String,
        text: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum NumberTest {
    AtLeast(Rational),
    Above(Rational),
    AtMost(Rational),
    Below(Rational),
    MultipleOf(Rational),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum TextTest {
    AtLeast(u64),
    AtMost(u64),
    Pattern(String),
    Format(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ArrayTest {
    Items {
        prefix: Vec<NodeId>,
        rest: NodeId,
    },
    /// So many items fit; `max` is none where there may be any number.
    Contains {
        item: NodeId,
        min: u64,
        max: Option<u64>,
    },
    AtLeast(u64),
    AtMost(u64),
    Unique,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ObjectTest {
    /// `properties`, `patternProperties` and `additionalProperties`, which only mean something together.
    Members {
        named: BTreeMap<String, NodeId>,
        patterns: Vec<(String, NodeId)>,
        rest: NodeId,
    },
    Names(NodeId),
    Required(String),
    AtLeast(u64),
    AtMost(u64),
}

/// The six types of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Boolean,
    Null,
}

impl Kind {
    /// Those that tell the most come first.
    pub(super) const ALL: [Self; 6] =
        [Self::Object, Self::Array, Self::Text, Self::Number, Self::Boolean, Self::Null];

    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Object(_) => Self::Object,
            Value::Array(_) => Self::Array,
            Value::String(_) => Self::Text,
            Value::Number(_) => Self::Number,
            Value::Bool(_) => Self::Boolean,
            Value::Null => Self::Null,
        }
    }
}

/// What `type` admits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Types(u8);

/// How a [`Types`] admits the values of one [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    All,
    Integers,
    None,
}

impl Types {
    const INTEGER: u8 = 1 << 6;

    /// With the type of this name, if there is one.
    pub(super) fn with(self, name: &str) -> Option<Self> {
        let bit = match name {
            "object" => Self::bit(Kind::Object),
            "array" => Self::bit(Kind::Array),
            "string" => Self::bit(Kind::Text),
            "number" => Self::bit(Kind::Number),
            "boolean" => Self::bit(Kind::Boolean),
            "null" => Self::bit(Kind::Null),
            "integer" => Self::INTEGER,
            _ => return None,
        };
        let all = self.0 | bit;
        // An integer is a number.
        Some(Self(if all & Self::bit(Kind::Number) == 0 { all } else { all & !Self::INTEGER }))
    }

    fn bit(kind: Kind) -> u8 {
        1 << kind as u8
    }

    pub(super) fn admit(self, kind: Kind) -> Admitted {
        if self.0 & Self::bit(kind) != 0 {
            Admitted::All
        } else if kind == Kind::Number && self.0 & Self::INTEGER != 0 {
            Admitted::Integers
        } else {
            Admitted::None
        }
    }
}

/// All nodes of the schemas that are compared.
#[derive(Debug)]
pub(super) struct Arena {
    nodes: Vec<Rc<Node>>,
    ids: HashMap<Rc<Node>, NodeId>,
    targets: Vec<Option<NodeId>>,
}

impl Arena {
    pub(super) const ANYTHING: NodeId = NodeId(0);
    pub(super) const NOTHING: NodeId = NodeId(1);

    pub(super) fn new() -> Self {
        let mut arena = Self { nodes: Vec::new(), ids: HashMap::new(), targets: Vec::new() };
        arena.add(Node::Anything);
        arena.add(Node::Nothing);
        arena
    }

    pub(super) fn add(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.ids.get(&node) {
            return *id;
        }
        // A schema has far fewer parts than numbers there are: reading stops long before.
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let node = Rc::new(node);
        self.nodes.push(Rc::clone(&node));
        self.ids.insert(node, id);
        id
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0 as usize).map_or(&Node::Anything, |node| &**node)
    }

    /// The same, to keep while nodes are added.
    pub(super) fn shared(&self, id: NodeId) -> Rc<Node> {
        self.nodes.get(id.0 as usize).map_or_else(|| Rc::new(Node::Anything), Rc::clone)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// What accepts the values that all `parts` accept.
    pub(super) fn all(&mut self, mut parts: Vec<NodeId>) -> NodeId {
        if parts.contains(&Self::NOTHING) {
            return Self::NOTHING;
        }
        parts.retain(|part| *part != Self::ANYTHING);
        parts.sort_unstable();
        parts.dedup();
        match parts[..] {
            [] => Self::ANYTHING,
            [only] => only,
            _ => self.add(Node::All(parts)),
        }
    }

    /// What accepts the values that one of `parts` accepts, or several.
    pub(super) fn any(&mut self, mut parts: Vec<NodeId>) -> NodeId {
        if parts.contains(&Self::ANYTHING) {
            return Self::ANYTHING;
        }
        parts.retain(|part| *part != Self::NOTHING);
        parts.sort_unstable();
        parts.dedup();
        match parts[..] {
            [] => Self::NOTHING,
            [only] => only,
            _ => self.add(Node::Any(parts)),
        }
    }

    pub(super) fn not(&mut self, part: NodeId) -> NodeId {
        match self.node(part) {
            Node::Anything => Self::NOTHING,
            Node::Nothing => Self::ANYTHING,
            Node::Not(inner) => *inner,
            _ => self.add(Node::Not(part)),
        }
    }

    /// What accepts these values, each written in the normal way.
    pub(super) fn values(&mut self, mut values: Vec<Value>) -> NodeId {
        values.sort_by_cached_key(Value::to_string);
        values.dedup();
        self.add(Node::Values(values))
    }

    pub(super) fn new_target(&mut self) -> u32 {
        self.targets.push(None);
        u32::try_from(self.targets.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn set_target(&mut self, number: u32, id: NodeId) {
        if let Some(target) = self.targets.get_mut(number as usize) {
            *target = Some(id);
        }
    }

    /// Where a [`Node::Recursive`] leads, and where that leads; itself where it leads nowhere.
    pub(super) fn followed(&self, mut id: NodeId) -> NodeId {
        for _ in 0..=self.targets.len() {
            let Node::Recursive(number) = self.node(id) else { break };
            let Some(Some(target)) = self.targets.get(*number as usize) else { break };
            id = *target;
        }
        id
    }

    /// Whether a schema refers to itself without stepping into a member or item: it would never end.
    pub(super) fn turns_in_circles(&self, id: NodeId) -> bool {
        let mut done = vec![false; self.nodes.len()];
        self.circles(id, &mut Vec::new(), &mut done)
    }

    fn circles(&self, id: NodeId, path: &mut Vec<NodeId>, done: &mut [bool]) -> bool {
        if let Node::Recursive(number) = self.node(id) {
            let Some(Some(target)) = self.targets.get(*number as usize) else { return true };
            if path.contains(&id) || path.contains(target) {
                return true;
            }
            path.push(id);
            let found = self.circles(*target, path, done);
            path.pop();
            return found;
        }
        if done.get(id.0 as usize).copied().unwrap_or(true) {
            return false;
        }
        path.push(id);
        let beside: Vec<NodeId> = match self.node(id) {
            Node::All(parts) | Node::Any(parts) | Node::One(parts) => parts.clone(),
            Node::Not(part) => vec![*part],
            Node::If { test, then, otherwise } => vec![*test, *then, *otherwise],
            _ => Vec::new(),
        };
        let found = beside.into_iter().any(|part| self.circles(part, path, done));
        // What members and items refer to is followed from there.
        let below = match self.node(id) {
            Node::Array(ArrayTest::Items { prefix, rest }) => prefix.iter().chain([rest]).copied().collect(),
            Node::Array(ArrayTest::Contains { item, .. }) => vec![*item],
            Node::Object(ObjectTest::Names(names)) => vec![*names],
            Node::Object(ObjectTest::Members { named, patterns, rest }) => {
                named.values().chain(patterns.iter().map(|(_, of)| of)).chain([rest]).copied().collect()
            }
            _ => Vec::new(),
        };
        path.pop();
        if let Some(done) = done.get_mut(id.0 as usize) {
            *done = true;
        }
        let is_new = |part: &NodeId| !matches!(self.node(*part), Node::Recursive(_));
        found || below.into_iter().filter(is_new).any(|part| self.circles(part, &mut Vec::new(), done))
    }
}
