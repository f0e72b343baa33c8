use nexus_core::{Position, Query, QueryItem, ReadOptions, Tag};
use rusqlite::types::Value;
use rusqlite::{Connection, ToSql};

use crate::reader::{order, times};

/// Above so many kinds a query is answered by going through the log instead of merging their indexes.
const MERGED_KINDS: usize = 16;

/// How far two tags are counted to find the rarer one.
const COUNTED: i64 = 1_000;

/// A [`Query`] as SQL over one view of the database, every value a parameter.
///
/// Each kind of event and each tag has its positions in order in an index. A query that names few of them merges
/// these lists, as far as the page needs; one that names many, or everything, goes through the log.
pub(crate) struct Selection {
    positions: Positions,
    parameters: Vec<Value>,
    order: &'static str,
}

enum Positions {
    /// A filter over the log.
    Scan(String),
    /// A statement that yields them in order, each once.
    Merge(String),
}

impl Selection {
    /// The first `count` events of what `query` and `options` name; `None` where nothing can match.
    pub(crate) fn of(
        connection: &Connection,
        query: &Query,
        options: &ReadOptions<Position>,
        count: usize,
    ) -> rusqlite::Result<Option<Self>> {
        let mut builder = Builder::new(options, count);
        let items = builder.items(connection, query)?;
        if items.is_empty() && !query.is_all() {
            return Ok(None);
        }
        let kinds: usize =
            items.iter().map(|item| if item.tags.is_empty() { item.kinds.len() } else { 1 }).sum();
        let unrestricted =
            query.is_all() || items.iter().any(|item| item.kinds.is_empty() && item.tags.is_empty());
        let positions = if unrestricted || kinds > MERGED_KINDS {
            Positions::Scan(builder.filter(&items, unrestricted))
        } else {
            Positions::Merge(builder.merge(connection, &items)?)
        };
        Ok(Some(Self { positions, parameters: builder.parameters, order: order(options.direction()) }))
    }

    /// A statement that reads these columns of the events.
    pub(crate) fn events(&self, columns: &str) -> String {
        let order = self.order;
        match &self.positions {
            Positions::Scan(filter) => {
                format!("SELECT {columns} FROM events WHERE {filter} ORDER BY position {order} LIMIT ?5")
            }
            // CROSS JOIN keeps the merge outside: its order is that of the result.
            Positions::Merge(merge) => format!(
                "SELECT {columns} FROM (SELECT found FROM ({merge}) LIMIT ?5) CROSS JOIN events \
                 ON position = found ORDER BY position {order}"
            ),
        }
    }

    /// A statement that reads the positions alone.
    pub(crate) fn positions(&self) -> String {
        match &self.positions {
            Positions::Scan(filter) => {
                format!(
                    "SELECT position FROM events WHERE {filter} ORDER BY position {} LIMIT ?5",
                    self.order
                )
            }
            Positions::Merge(merge) => format!("SELECT found FROM ({merge}) LIMIT ?5"),
        }
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &dyn ToSql> {
        self.parameters.iter().map(|value| value as &dyn ToSql)
    }
}

/// An alternative of the query; no kinds: any kind.
struct Item<'a> {
    kinds: Vec<i64>,
    tags: &'a [Tag],
}

struct Builder {
    parameters: Vec<Value>,
    order: &'static str,
    timed: bool,
}

impl Builder {
    /// Parameters 1 to 5 are the same in every statement: first and last position, first and last time, count.
    fn new(options: &ReadOptions<Position>, count: usize) -> Self {
        let first = options.first().map_or(1, Position::to_i64);
        let last = options.last().map_or(i64::MAX, Position::to_i64);
        let times = times(options);
        let (since, until) = times.unwrap_or((i64::MIN, i64::MAX));
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let parameters = [first, last, since, until, count].map(Value::Integer).to_vec();
        Self { parameters, order: order(options.direction()), timed: times.is_some() }
    }

    fn bind(&mut self, value: impl Into<Value>) -> usize {
        self.parameters.push(value.into());
        self.parameters.len()
    }

    /// The alternatives that can match: one whose types or categories were never stored cannot.
    fn items<'a>(&self, connection: &Connection, query: &'a Query) -> rusqlite::Result<Vec<Item<'a>>> {
        let mut items = Vec::with_capacity(query.items().len());
        for item in query.items() {
            let any_kind = item.type_list().is_empty() && item.category_list().is_empty();
            let kinds = if any_kind { Vec::new() } else { kinds(connection, item)? };
            if any_kind || !kinds.is_empty() {
                items.push(Item { kinds, tags: item.tag_list() });
            }
        }
        Ok(items)
    }

    fn filter(&mut self, items: &[Item<'_>], unrestricted: bool) -> String {
        let mut filter = String::from("position BETWEEN ?1 AND ?2");
        if self.timed {
            filter.push_str(" AND recorded_at BETWEEN ?3 AND ?4");
        }
        if !unrestricted {
            let alternatives: Vec<String> = items.iter().map(|item| self.item_filter(item)).collect();
            filter.push_str(&format!(" AND ({})", alternatives.join(" OR ")));
        }
        filter
    }

    fn item_filter(&mut self, item: &Item<'_>) -> String {
        let mut parts: Vec<String> = Vec::new();
        if !item.kinds.is_empty() {
            parts.push(format!("kind IN ({})", self.list(&item.kinds)));
        }
        for tag in item.tags {
            let tag = self.bind(tag.as_str().to_owned());
            // The plus keeps SQLite from starting at the tag, out of order.
            parts.push(format!(
                "EXISTS (SELECT 1 FROM tags t WHERE t.tag = ?{tag} AND t.position = +events.position)"
            ));
        }
        parts.join(" AND ")
    }

    fn list(&mut self, kinds: &[i64]) -> String {
        let places: Vec<String> = kinds.iter().map(|kind| format!("?{}", self.bind(*kind))).collect();
        places.join(", ")
    }

    /// Lists of positions, each in order, merged by SQLite as far as they are asked for; UNION takes each once.
    fn merge(&mut self, connection: &Connection, items: &[Item<'_>]) -> rusqlite::Result<String> {
        let mut lists: Vec<String> = Vec::new();
        for item in items {
            match rarest_first(connection, item.tags)?.split_first() {
                Some((rarest, others)) => lists.push(self.tagged(rarest, others, &item.kinds)),
                None => {
                    for kind in &item.kinds {
                        let kind = self.bind(*kind);
                        let times = if self.timed { " AND recorded_at BETWEEN ?3 AND ?4" } else { "" };
                        lists.push(format!(
                            "SELECT position AS found FROM events WHERE kind = ?{kind} \
                             AND position BETWEEN ?1 AND ?2{times}"
                        ));
                    }
                }
            }
        }
        Ok(format!("{} ORDER BY found {}", lists.join(" UNION "), self.order))
    }

    fn tagged(&mut self, rarest: &Tag, others: &[&Tag], kinds: &[i64]) -> String {
        let rarest = self.bind(rarest.as_str().to_owned());
        let mut list = format!(
            "SELECT t.position AS found FROM tags t WHERE t.tag = ?{rarest} AND t.position BETWEEN ?1 AND ?2"
        );
        for tag in others {
            let tag = self.bind(tag.as_str().to_owned());
            list.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM tags o WHERE o.tag = ?{tag} AND o.position = t.position)"
            ));
        }
        if !kinds.is_empty() || self.timed {
            let kinds = if kinds.is_empty() {
                String::new()
            } else {
                format!(" AND +e.kind IN ({})", self.list(kinds))
            };
            list.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM events e WHERE e.position = t.position{kinds} \
                 AND e.recorded_at BETWEEN ?3 AND ?4)"
            ));
        }
        list
    }
}

/// Every stored kind that is of one of the item's types, in one of its categories.
fn kinds(connection: &Connection, item: &QueryItem) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached("SELECT kind, category, type FROM kinds ORDER BY kind")?;
    let mut rows = statement.query([])?;
    let mut kinds = Vec::new();
    while let Some(row) = rows.next()? {
        let (category, event_type) = (row.get_ref(1)?.as_bytes()?, row.get_ref(2)?.as_bytes()?);
        let of_category = item.category_list().is_empty()
            || item.category_list().iter().any(|meant| meant.as_str().as_bytes() == category);
        let of_type = item.type_list().is_empty()
            || item.type_list().iter().any(|meant| meant.as_str().as_bytes() == event_type);
        if of_category && of_type {
            kinds.push(row.get(0)?);
        }
    }
    Ok(kinds)
}

/// The tags, the one on the fewest events first: its list is gone through, the others are looked up in.
fn rarest_first<'a>(connection: &Connection, tags: &'a [Tag]) -> rusqlite::Result<Vec<&'a Tag>> {
    if tags.len() < 2 {
        return Ok(tags.iter().collect());
    }
    let mut statement =
        connection.prepare_cached("SELECT count(*) FROM (SELECT 1 FROM tags WHERE tag = ?1 LIMIT ?2)")?;
    let mut counted: Vec<(i64, &Tag)> = Vec::with_capacity(tags.len());
    for tag in tags {
        counted.push((statement.query_row((tag.as_str(), COUNTED), |row| row.get(0))?, tag));
    }
    counted.sort();
    Ok(counted.into_iter().map(|(_, tag)| tag).collect())
}
