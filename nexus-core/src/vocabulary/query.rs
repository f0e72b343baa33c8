use super::{Category, EventType, RecordedEvent, Tag};

/// Which events of a store are meant: those that match any of its items, or all.
///
/// The vocabulary is that of <https://dcb.events/specification/>, with categories added.
///
/// ```
/// use nexus_core::{EventType, Query, QueryItem, Tag};
///
/// let query = Query::item(
///     QueryItem::default()
///         .types([EventType::new("CourseDefined")?, EventType::new("StudentSubscribed")?])
///         .tags([Tag::pair("course", 7)?]),
/// )
/// .or(QueryItem::default().tags([Tag::pair("student", 3)?]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Query {
    items: Vec<QueryItem>,
}

/// One alternative of a [`Query`]: an event matches when its category is among `categories`, its type among
/// `types`, and all of `tags` are on it. What is left empty does not restrict.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct QueryItem {
    categories: Vec<Category>,
    types: Vec<EventType>,
    tags: Vec<Tag>,
}

impl Query {
    /// Every event.
    pub fn all() -> Self {
        Self::default()
    }

    /// The events that match `item`.
    pub fn item(item: QueryItem) -> Self {
        Self { items: vec![item] }
    }

    /// The events of these types.
    pub fn types(types: impl IntoIterator<Item = EventType>) -> Self {
        Self::item(QueryItem::default().types(types))
    }

    /// The events of streams in these categories.
    pub fn categories(categories: impl IntoIterator<Item = Category>) -> Self {
        Self::item(QueryItem::default().categories(categories))
    }

    /// The events that carry all of these tags.
    pub fn tags(tags: impl IntoIterator<Item = Tag>) -> Self {
        Self::item(QueryItem::default().tags(tags))
    }

    /// The events that match this query or `item`. Everything, where this query is everything.
    #[must_use]
    pub fn or(mut self, item: QueryItem) -> Self {
        if !self.is_all() {
            self.items.push(item);
        }
        self
    }

    /// The alternatives; none where every event is meant.
    pub fn items(&self) -> &[QueryItem] {
        &self.items
    }

    /// Whether every event is meant.
    pub fn is_all(&self) -> bool {
        self.items.iter().any(QueryItem::is_all) || self.items.is_empty()
    }

    /// Whether there may be events in streams of this category that are meant.
    pub(crate) fn may_match_in(&self, category: &str) -> bool {
        let may = |item: &QueryItem| {
            item.categories.is_empty() || item.categories.iter().any(|of| of.as_str() == category)
        };
        self.items.is_empty() || self.items.iter().any(may)
    }

    /// The categories whose streams may have events that are meant; none where all may.
    pub(crate) fn categories_meant(&self) -> Vec<Category> {
        if self.items.iter().any(|item| item.categories.is_empty()) {
            return Vec::new();
        }
        let mut meant: Vec<Category> = self.items.iter().flat_map(|item| item.categories.clone()).collect();
        meant.sort_unstable();
        meant.dedup();
        meant
    }

    /// Whether `event` is meant: what every backend's filter has to agree with.
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        self.items.is_empty() || self.items.iter().any(|item| item.matches(event))
    }
}

impl QueryItem {
    /// Adds categories, one of which the event's stream has to be in.
    #[must_use]
    pub fn categories(mut self, categories: impl IntoIterator<Item = Category>) -> Self {
        extend(&mut self.categories, categories);
        self
    }

    /// Adds types, one of which the event has to be of.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        extend(&mut self.types, types);
        self
    }

    /// Adds tags, all of which the event has to carry.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        extend(&mut self.tags, tags);
        self
    }

    /// The categories that are meant, in order, each once; none where all are.
    pub fn category_list(&self) -> &[Category] {
        &self.categories
    }

    /// The types that are meant, in order, each once; none where all are.
    pub fn type_list(&self) -> &[EventType] {
        &self.types
    }

    /// The tags that an event must carry, in order, each once.
    pub fn tag_list(&self) -> &[Tag] {
        &self.tags
    }

    /// Whether nothing restricts it.
    pub fn is_all(&self) -> bool {
        self.categories.is_empty() && self.types.is_empty() && self.tags.is_empty()
    }

    fn matches(&self, event: &RecordedEvent) -> bool {
        let category = event.stream().category();
        (self.categories.is_empty() || self.categories.iter().any(|meant| meant.as_str() == category))
            && (self.types.is_empty() || self.types.contains(event.event_type()))
            && self.tags.iter().all(|tag| event.tags().contains(tag))
    }
}

/// Kept in order and once, so that equal queries are written alike.
fn extend<T: Ord>(list: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    list.extend(more);
    list.sort_unstable();
    list.dedup();
}
