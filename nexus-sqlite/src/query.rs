use nexus_core::{Position, Query, QueryItem, ReadOptions, Tag};
use rusqlite::types::Value;
use rusqlite::{Connection, ToSql};

use crate::reader::{order, times};

/// Above so many kinds without tags, a query goes through the log instead of merging their lists: so many kinds are in
/// much of it.
const MERGED_KINDS: usize = 16;

/// SQLite takes at most 500 lists in one statement; above that a query goes through the log.
const MERGED_LISTS: usize = 400;

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
        let unrestricted =
            query.is_all() || items.iter().any(|item| item.kinds.is_empty() && item.tags.is_empty());
        let kinds: usize =
            items.iter().filter(|item| item.tags.is_empty()).map(|item| item.kinds.len()).sum();
        let lists = kinds + items.iter().filter(|item| !item.tags.is_empty()).count();
        let positions = if unrestricted || kinds > MERGED_KINDS || lists > MERGED_LISTS {
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
            // CROSS JOIN makes the merge the outer loop, whose order is that of the result. Asked for the order once
            // more, SQLite would sort whole events.
            Positions::Merge(merge) => {
                format!("SELECT {columns} FROM ({merge} LIMIT ?5) CROSS JOIN events ON position = found")
            }
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
            Positions::Merge(merge) => format!("{merge} LIMIT ?5"),
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
            filter.push_str(" AND ");
            filter.push_str(&any_of(&alternatives));
        }
        filter
    }

    fn item_filter(&mut self, item: &Item<'_>) -> String {
        let mut parts: Vec<String> = Vec::new();
        if !item.kinds.is_empty() {
            // The plus keeps SQLite from starting at the kinds, out of order, and sorting whole events.
            parts.push(format!("+kind IN ({})", self.list(&item.kinds)));
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

/// Balanced: SQLite bounds how deep an expression is, and a plain chain of many alternatives is too deep.
fn any_of(alternatives: &[String]) -> String {
    match alternatives {
        [one] => format!("({one})"),
        several => {
            let (left, right) = several.split_at(several.len() / 2);
            format!("({} OR {})", any_of(left), any_of(right))
        }
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

#[cfg(test)]
mod tests {
    use nexus_core::{Category, EventType};
    use rusqlite::config::DbConfig;
    use rusqlite::params_from_iter;

    use super::*;
    use crate::rows::COLUMNS;

    /// 50 kinds in two categories, 2,000 events, two tags on each.
    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
        connection.execute_batch(include_str!("migrations/0001_events.sql")).unwrap();
        connection
            .execute_batch(
                "CREATE TEMP TABLE numbers AS WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n
                 LIMIT 2000) SELECT value FROM n;
                 INSERT INTO kinds SELECT value, iif(value % 2, 'odd', 'even'), 'T' || value, 1
                 FROM numbers LIMIT 50;
                 INSERT INTO events (position, stream, version, slice, kind, id, place, recorded_at, payload)
                 SELECT value, 'odd-' || value, 1, 0, value % 50 + 1, CAST('id' || value AS BLOB), 0, value, '{}'
                 FROM numbers;
                 INSERT INTO tags SELECT 'a:' || (value % 7), value FROM numbers;
                 INSERT INTO tags SELECT 'b:' || (value % 3), value FROM numbers;",
            )
            .unwrap();
        connection
    }

    fn types(numbers: std::ops::Range<u32>) -> QueryItem {
        QueryItem::default().types(numbers.map(|number| EventType::new(format!("T{number}")).unwrap()))
    }

    fn tags(texts: &[&str]) -> QueryItem {
        QueryItem::default().tags(texts.iter().map(|text| Tag::new(text).unwrap()))
    }

    #[test]
    fn no_query_sorts_events_or_goes_through_all_of_them_for_a_few() {
        let connection = database();
        let many_carts = (0..300)
            .fold(Query::item(tags(&["a:1"])), |query, cart| query.or(tags(&[&format!("cart:{cart}")])));
        let cases = [
            (Query::all(), "SCAN events"),
            (Query::item(types(1..2)), "events_by_kind (kind=? AND rowid>? AND rowid<?)"),
            (Query::item(types(1..10)), "events_by_kind (kind=? AND rowid>? AND rowid<?)"),
            (Query::item(types(1..40)), "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (Query::item(types(1..15)).or(types(20..35)), "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (Query::item(types(1..40).tags([Tag::new("a:1").unwrap()])), "PRIMARY KEY (tag=? AND position>?"),
            (Query::item(tags(&["a:1"])), "PRIMARY KEY (tag=? AND position>?"),
            (Query::item(tags(&["a:1", "b:2"])), "PRIMARY KEY (tag=? AND position>?"),
            (Query::item(tags(&["a:1"])).or(types(1..3)), "events_by_kind (kind=? AND rowid>? AND rowid<?)"),
            (many_carts, "PRIMARY KEY (tag=? AND position>?"),
            (Query::categories([Category::new("odd").unwrap()]), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ];
        for (query, expected) in cases {
            for options in [ReadOptions::forwards(), ReadOptions::backwards()] {
                let selection = Selection::of(&connection, &query, &options, 100).unwrap().unwrap();
                for sql in [selection.events(COLUMNS), selection.positions()] {
                    let plan = plan(&connection, &sql, &selection);
                    assert!(!plan.contains("TEMP B-TREE"), "{query:?} sorts:\n{plan}");
                    let is_found =
                        plan.contains(expected) || (query.is_all() && plan.contains("SEARCH events"));
                    assert!(is_found, "{query:?} is not answered by {expected}:\n{plan}");
                }
            }
        }
    }

    fn plan(connection: &Connection, sql: &str, selection: &Selection) -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows =
            statement.query_map(params_from_iter(selection.parameters()), |row| row.get::<_, String>(3));
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn hundreds_of_alternatives_are_answered() {
        let connection = database();
        let query = (0..3_000)
            .fold(Query::item(tags(&["a:1"])), |query, number| query.or(tags(&[&format!("none:{number}")])));
        let selection = Selection::of(&connection, &query, &ReadOptions::forwards(), 2).unwrap().unwrap();
        let mut statement = connection.prepare(&selection.positions()).unwrap();
        let found = statement.query_map(params_from_iter(selection.parameters()), |row| row.get::<_, i64>(0));
        let found: Vec<i64> = found.unwrap().map(Result::unwrap).collect();
        assert_eq!(found, [1, 8]);
    }
}
