use nexus_core::{Direction, Place, Position, Query, ReadOptions, Tag, Timestamp};
use sqlx::Row;
use sqlx::postgres::{PgArguments, PgConnection, Postgres};

use crate::kinds::Known;
use crate::schema::{Schema, Sql};
use crate::values::Time;

/// Above so many kinds without tags, a query goes through the log instead of merging their lists: so many kinds are in
/// much of it.
const MERGED_KINDS: usize = 16;

/// Above so many lists a query goes through the log.
const MERGED_LISTS: usize = 400;

/// How far tags are counted to find the rarest.
const COUNTED: i64 = 1_000;

/// A [`Query`] as SQL, every value a parameter.
///
/// Each kind of event and each tag has its positions in order in an index. A query that names few of them merges
/// these lists, as far as the page needs; one that names many, or everything, goes through the log.
#[derive(Debug)]
pub(crate) struct Selection {
    positions: Positions,
    parameters: Vec<Value>,
    order: &'static str,
}

#[derive(Debug)]
enum Positions {
    /// A filter over the log.
    Scan(String),
    /// A statement that yields them in order, each once.
    Merge(String),
}

/// A parameter.
#[derive(Clone, Debug)]
enum Value {
    Integer(i64),
    Time(Option<Timestamp>),
    Kinds(Vec<i32>),
    Text(String),
}

impl Selection {
    /// The first `count` events of what `query` and `options` name; `None` where nothing can match. `kinds` are those of
    /// all events that are to be found.
    pub(crate) async fn of(
        connection: &mut PgConnection,
        schema: &Schema,
        kinds: &Known,
        query: &Query,
        options: &ReadOptions<Position>,
        count: usize,
    ) -> Result<Option<Self>, sqlx::Error> {
        let mut builder = Builder::new(options, count);
        let items = items(kinds, query);
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
            let items = rarest_first(connection, schema, items, options).await?;
            Positions::Merge(builder.merge(&items))
        };
        Ok(Some(Self { positions, parameters: builder.parameters, order: order(options.direction()) }))
    }

    /// A statement that reads these columns of the events.
    pub(crate) fn events(&self, schema: &Schema, columns: &str) -> Sql {
        let order = self.order;
        schema.sql(&match &self.positions {
            Positions::Scan(filter) => {
                format!("SELECT {columns} FROM nexus.events e WHERE {filter} ORDER BY position {order} LIMIT $3")
            }
            Positions::Merge(merge) => {
                // The page is known before events are fetched, one by one.
                format!(
                    "WITH page AS MATERIALIZED ({merge} LIMIT $3) \
                     SELECT {columns} FROM page JOIN nexus.events e ON e.position = page.found ORDER BY page.found {order}"
                )
            }
        })
    }

    /// A statement that reads the positions alone.
    pub(crate) fn positions(&self, schema: &Schema) -> Sql {
        schema.sql(&match &self.positions {
            Positions::Scan(filter) => format!(
                "SELECT position FROM nexus.events e WHERE {filter} ORDER BY position {} LIMIT $3",
                self.order
            ),
            Positions::Merge(merge) => format!("{merge} LIMIT $3"),
        })
    }

    /// The statement with its parameters.
    pub(crate) fn bind(&self, sql: &Sql) -> sqlx::query::Query<'static, Postgres, PgArguments> {
        self.parameters.iter().fold(sql.query(), |query, value| match value {
            Value::Integer(number) => query.bind(*number),
            Value::Time(time) => query.bind(time.map(Time)),
            Value::Kinds(kinds) => query.bind(kinds.as_slice()),
            Value::Text(text) => query.bind(text.as_str()),
        })
    }
}

/// An alternative of the query; no kinds: any kind.
struct Item<'a> {
    kinds: Vec<i32>,
    tags: Vec<&'a Tag>,
}

/// The alternatives that can match: one whose types or categories were never stored cannot.
fn items<'a>(known: &Known, query: &'a Query) -> Vec<Item<'a>> {
    let mut items = Vec::with_capacity(query.items().len());
    for item in query.items() {
        let any_kind = item.type_list().is_empty() && item.category_list().is_empty();
        let kinds = if any_kind { Vec::new() } else { known.of_item(item) };
        if any_kind || !kinds.is_empty() {
            items.push(Item { kinds, tags: item.tag_list().iter().collect() });
        }
    }
    items
}

struct Builder {
    parameters: Vec<Value>,
    order: &'static str,
    /// What is said about times, where there are bounds.
    times: &'static str,
}

impl Builder {
    /// Parameters 1 to 3 are the same in every statement: first and last position, count. Where times are bounded, 4 and 5
    /// are the first and the last.
    fn new(options: &ReadOptions<Position>, count: usize) -> Self {
        let first = options.first().map_or(1, Position::to_i64);
        let last = options.last().map_or(i64::MAX, Position::to_i64);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let mut parameters = [first, last, count].map(Value::Integer).to_vec();
        let times = times(options);
        if let Some((since, until)) = times {
            parameters.extend([Value::Time(since), Value::Time(until)]);
        }
        let times = if times.is_some() { IN_TIME } else { "" };
        Self { parameters, order: order(options.direction()), times }
    }

    fn bind(&mut self, value: Value) -> usize {
        self.parameters.push(value);
        self.parameters.len()
    }

    fn filter(&mut self, items: &[Item<'_>], unrestricted: bool) -> String {
        let mut filter = format!("position BETWEEN $1 AND $2{}", self.times);
        if !unrestricted {
            let alternatives: Vec<String> = items.iter().map(|item| self.item_filter(item)).collect();
            filter.push_str(&format!(" AND ({})", alternatives.join(" OR ")));
        }
        filter
    }

    fn item_filter(&mut self, item: &Item<'_>) -> String {
        let mut parts: Vec<String> = Vec::new();
        if !item.kinds.is_empty() {
            // The addition keeps PostgreSQL from starting at the kinds, out of order, and sorting whole events.
            let kinds = self.bind(Value::Kinds(item.kinds.clone()));
            parts.push(format!("e.kind + 0 = ANY(${kinds})"));
        }
        for tag in &item.tags {
            let tag = self.bind(Value::Text(tag.as_str().to_owned()));
            parts.push(tagged("e", tag));
        }
        format!("({})", parts.join(" AND "))
    }

    /// Lists of positions, each in order and as long as the page, merged; each position once.
    fn merge(&mut self, items: &[Item<'_>]) -> String {
        let mut lists: Vec<String> = Vec::new();
        for item in items {
            match item.tags.split_first() {
                Some((rarest, others)) => lists.push(self.tagged(rarest, others, &item.kinds)),
                None => {
                    for kind in &item.kinds {
                        let kind = self.bind(Value::Integer(i64::from(*kind)));
                        lists.push(format!(
                            "(SELECT e.position AS found FROM nexus.events e WHERE e.kind = ${kind}::int4 \
                             AND e.position BETWEEN $1 AND $2{times} ORDER BY e.position {order} LIMIT $3)",
                            times = self.times,
                            order = self.order
                        ));
                    }
                }
            }
        }
        match lists.as_slice() {
            [one] => format!("SELECT found FROM {one} AS list ORDER BY found {}", self.order),
            several => format!(
                "SELECT DISTINCT found FROM ({}) AS lists ORDER BY found {}",
                several.join(" UNION ALL "),
                self.order
            ),
        }
    }

    fn tagged(&mut self, rarest: &Tag, others: &[&Tag], kinds: &[i32]) -> String {
        let rarest = self.bind(Value::Text(rarest.as_str().to_owned()));
        let mut list = format!(
            "(SELECT t.position AS found FROM nexus.tags t WHERE t.tag = ${rarest} AND t.position BETWEEN $1 AND $2"
        );
        for tag in others {
            let tag = self.bind(Value::Text(tag.as_str().to_owned()));
            list.push_str(&format!(" AND {}", tagged("t", tag)));
        }
        if !kinds.is_empty() || !self.times.is_empty() {
            let kinds = if kinds.is_empty() {
                String::new()
            } else {
                format!(" AND e.kind = ANY(${})", self.bind(Value::Kinds(kinds.to_vec())))
            };
            // A subquery that stays one: looked up for each position, in their order.
            list.push_str(&format!(
                " AND (SELECT true FROM nexus.events e WHERE e.position = t.position{kinds}{}) IS NOT NULL",
                self.times
            ));
        }
        format!("{list} ORDER BY t.position {} LIMIT $3)", self.order)
    }
}

const IN_TIME: &str =
    " AND e.recorded_at >= coalesce($4, '-infinity') AND e.recorded_at <= coalesce($5, 'infinity')";

/// A subquery that stays one, so that it is looked up for each position, in their order; PostgreSQL would make a join of
/// an EXISTS.
fn tagged(of: &str, tag: usize) -> String {
    format!("(SELECT true FROM nexus.tags o WHERE o.tag = ${tag} AND o.position = {of}.position) IS NOT NULL")
}

/// Of each alternative, the tag on the fewest events first: its list is gone through, the others are looked up in.
async fn rarest_first<'a>(
    connection: &mut PgConnection,
    schema: &Schema,
    mut items: Vec<Item<'a>>,
    options: &ReadOptions<Position>,
) -> Result<Vec<Item<'a>>, sqlx::Error> {
    if items.iter().all(|item| item.tags.len() < 2) {
        return Ok(items);
    }
    let tags: Vec<&str> = items
        .iter()
        .filter(|item| item.tags.len() > 1)
        .flat_map(|item| &item.tags)
        .map(|tag| tag.as_str())
        .collect();
    let counting = schema.sql(&format!(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM nexus.tags t WHERE t.tag = wanted.tag AND t.position BETWEEN $2 AND $3 \
         LIMIT {COUNTED}) AS found) FROM unnest($1::text[]) WITH ORDINALITY AS wanted (tag, nth) ORDER BY nth"
    ));
    let first = options.first().map_or(1, Position::to_i64);
    let last = options.last().map_or(i64::MAX, Position::to_i64);
    let rows = counting.query().bind(tags).bind(first).bind(last).fetch_all(connection).await?;
    let counts = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let mut counts = counts.into_iter();
    for item in items.iter_mut().filter(|item| item.tags.len() > 1) {
        let mut counted: Vec<(i64, &Tag)> =
            item.tags.iter().map(|tag| (counts.next().unwrap_or(COUNTED), *tag)).collect();
        counted.sort_by_key(|(count, _)| *count);
        item.tags = counted.into_iter().map(|(_, tag)| tag).collect();
    }
    Ok(items)
}

/// Whether a read goes forwards, whatever the times.
pub(crate) fn is_plain<At: Place>(options: &ReadOptions<At>) -> bool {
    options.direction() == Direction::Forwards && times(options).is_none()
}

/// The bounds in time as they are stored; `None` where there are none.
pub(crate) fn times<At: Place>(options: &ReadOptions<At>) -> Option<(Option<Timestamp>, Option<Timestamp>)> {
    if options.earliest().is_none() && options.latest().is_none() {
        return None;
    }
    // Stored times are whole microseconds: a bound that lies between two of them is moved inwards.
    let whole = |micros: i64| Timestamp::from_microsecond(micros).ok();
    let since = options.earliest().map(|time| {
        let before = whole(time.as_microsecond()).filter(|whole| *whole >= time);
        before.or_else(|| whole(time.as_microsecond() + 1)).unwrap_or(Timestamp::MAX)
    });
    let until = options.latest().map(|time| {
        let after = whole(time.as_microsecond()).filter(|whole| *whole <= time);
        after.or_else(|| whole(time.as_microsecond() - 1)).unwrap_or(Timestamp::MIN)
    });
    Some((since, until))
}

pub(crate) fn order(direction: Direction) -> &'static str {
    match direction {
        Direction::Forwards => "ASC",
        Direction::Backwards => "DESC",
    }
}
