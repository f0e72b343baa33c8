//! News of what was appended: told to other processes, and heard from them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use nexus_core::{BoxError, Position, StoreError};
use sqlx::Row;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::bound::{Bound, End};
use crate::connections::{Connections, retried};
use crate::error::{Closed, store_error};
use crate::on_task::OnTask;
use crate::schema::{Schema, Sql};

/// Other processes are told no more often than this: announcements are commits, and queue behind each other.
const TOLD_EVERY: Duration = Duration::from_millis(5);

/// While news are listened for, the database is asked once in a while all the same.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// Where nothing is heard, or a writer holds up what is visible already, it is asked this often at first, and half as often
/// each time nothing has changed.
const ASKED_SOON: Duration = Duration::from_millis(2);

/// And never less often than this.
const ASKED_AT_LEAST: Duration = Duration::from_millis(250);

/// A connection that listens is given up if it is not there by then.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// So many news that nobody has told of, one after the other, mean that the connection is deaf.
const DEAF_AFTER: u32 = 2;

/// What a store hears and tells.
#[derive(Debug)]
pub(crate) struct News {
    connections: Connections,
    bound: Arc<Bound>,
    channel: String,
    tell: Sql,
    /// Raised by each append.
    appended: watch::Sender<u64>,
    /// How many wait for news.
    waiting: AtomicUsize,
    /// The look-out is wanted: somebody has begun to wait, or something is not settled.
    wanted: Notify,
    /// What went wrong the last time, and how often anything has.
    trouble: watch::Sender<(u64, Option<Arc<StoreError>>)>,
    /// The server processes that tell our own news.
    own: Mutex<Vec<u32>>,
    /// Whether the two tasks are at work.
    is_started: Mutex<bool>,
}

impl News {
    pub(crate) fn new(schema: &Schema, connections: Connections, bound: Arc<Bound>) -> Self {
        Self {
            connections,
            bound,
            channel: schema.channel(),
            // It is a transaction of its own, and no loss if it is lost: nobody waits for the disk.
            tell: schema.sql(
                "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, ''), pg_backend_pid()",
            ),
            appended: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            wanted: Notify::new(),
            trouble: watch::Sender::new((0, None)),
            own: Mutex::default(),
            is_started: Mutex::new(false),
        }
    }

    /// Something was appended here. Where it is not settled, those who wait have to be told by asking.
    pub(crate) fn spread(self: &Arc<Self>, is_settled: bool) {
        self.start();
        self.appended.send_modify(|count| *count += 1);
        if !is_settled {
            self.wanted.notify_one();
        }
    }

    /// Resolves when the log is settled beyond `position`.
    pub(crate) async fn after(self: &Arc<Self>, position: Option<Position>) -> Result<Position, StoreError> {
        let mut settled = self.bound.watch();
        let known = *settled.borrow_and_update();
        if let Some(known) = known.filter(|known| Some(*known) > position) {
            return Ok(known);
        }
        self.start();
        let _waiting = Waiting::begin(self);
        let mut trouble = self.trouble.subscribe();
        let told = self.trouble.borrow().0;
        tokio::select! {
            biased;
            news = settled.wait_for(|known| *known > position) => match news.map(|news| *news) {
                Ok(Some(news)) => Ok(news),
                Ok(None) | Err(_) => Err(StoreError::unavailable("wait for events", Closed)),
            },
            failed = trouble.wait_for(|(count, _)| *count > told) => {
                let source: BoxError = match failed.map(|failed| failed.1.clone()) {
                    Ok(Some(error)) => Box::new(Watched(error)),
                    Ok(None) | Err(_) => Box::new(Closed),
                };
                Err(StoreError::unavailable("wait for events", source))
            }
        }
    }

    /// Tells other processes now what they may not have heard yet.
    pub(crate) async fn tell(&self) -> Result<(), StoreError> {
        let process = self.tell_once().await?.cast_unsigned();
        if !self.connections.is_own() {
            // Somebody else may tell other news through the same connection.
            return Ok(());
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if !own.contains(&process) {
            own.push(process);
            let surplus = own.len().saturating_sub(64);
            own.drain(..surplus);
        }
        Ok(())
    }

    async fn tell_once(&self) -> Result<i32, StoreError> {
        retried!(&self.connections, "announce events", |connection| async {
            let failed = |error| store_error("announce events", error);
            let row = self.tell.query().bind(&self.channel).fetch_one(connection).await.map_err(failed)?;
            row.try_get::<i32, _>(2).map_err(failed)
        })
    }

    /// Asks how far the log is settled.
    async fn ask(&self) -> Result<End, StoreError> {
        retried!(&self.connections, "watch the log", |connection| self.bound.ask(connection))
    }

    fn is_own(&self, process: u32) -> bool {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).contains(&process)
    }

    /// Starts the two tasks, once; they end with the store.
    fn start(self: &Arc<Self>) {
        let mut is_started = self.is_started.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *is_started, true) {
            tokio::spawn(announce(Arc::downgrade(self), self.appended.subscribe()));
            tokio::spawn(LookOut::new(self).run());
        }
    }
}

/// Why waiting failed, told to all who wait.
#[derive(Debug, thiserror::Error)]
#[error("the log could not be watched")]
struct Watched(#[source] Arc<StoreError>);

/// Counts who waits.
struct Waiting<'a>(&'a News);

impl<'a> Waiting<'a> {
    fn begin(news: &'a News) -> Self {
        news.waiting.fetch_add(1, Ordering::SeqCst);
        news.wanted.notify_one();
        Self(news)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Tells other processes of what is appended here, all that has come together at once.
async fn announce(news: Weak<News>, mut appended: watch::Receiver<u64>) {
    while appended.changed().await.is_ok() {
        let Some(news) = news.upgrade() else { return };
        if let Err(error) = news.tell().await {
            tracing::debug!(%error, "events could not be announced; other processes find them by asking");
        }
        drop(news);
        sleep(TOLD_EVERY).await;
    }
}

/// Hears of what others append, and asks how far the log is settled, while somebody waits.
struct LookOut {
    news: Weak<News>,
    connections: Connections,
    channel: String,
    listener: Option<PgListener>,
    /// One that is being connected.
    connecting: Option<OnTask<PgListener>>,
    /// How often there were news of which nothing was heard.
    unheard: u32,
    pause: Duration,
}

/// What has ended a pause.
enum Woken {
    Heard,
    Connected,
    Wanted,
    Late,
    /// The connection that listens is gone.
    Deaf,
}

impl LookOut {
    fn new(news: &Arc<News>) -> Self {
        Self {
            news: Arc::downgrade(news),
            connections: news.connections.clone(),
            channel: news.channel.clone(),
            listener: None,
            connecting: None,
            unheard: 0,
            pause: ASKED_SOON,
        }
    }

    async fn run(mut self) {
        let mut woken = Woken::Wanted;
        let mut before: Option<End> = None;
        while let Some(news) = self.wait_until_needed().await {
            if self.listener.is_none() && self.connecting.is_none() {
                self.connecting = Some(self.listen());
            }
            let known = news.bound.known();
            match news.ask().await {
                Ok(end) => {
                    let is_news = end.settled > known;
                    self.judge_hearing(&woken, is_news);
                    let has_moved = before.is_none_or(|before| before.settled < end.settled);
                    self.plan(end, has_moved);
                    before = Some(end);
                }
                Err(error) => {
                    news.trouble
                        .send_modify(|(count, told)| (*count, *told) = (*count + 1, Some(Arc::new(error))));
                    self.pause = ASKED_AT_LEAST;
                }
            }
            woken = self.pause(&news).await;
            match woken {
                Woken::Deaf => (self.listener, self.connecting) = (None, None),
                // What was told before is found by asking.
                Woken::Connected => (self.connecting, self.unheard) = (None, 0),
                Woken::Heard | Woken::Wanted | Woken::Late => {}
            }
        }
    }

    /// The store, as soon as somebody waits; `None` when it is gone, which is looked for now and then.
    async fn wait_until_needed(&mut self) -> Option<Arc<News>> {
        loop {
            let news = self.news.upgrade()?;
            if news.waiting.load(Ordering::SeqCst) > 0 {
                return Some(news);
            }
            if tokio::time::timeout(ASKED_EVERY, news.wanted.notified()).await.is_err() {
                // What nobody takes piles up at the server.
                (self.listener, self.connecting) = (None, None);
            }
        }
    }

    /// Connects, beside the asking: that must not wait for a server that does not answer.
    fn listen(&self) -> OnTask<PgListener> {
        // A pool of its own: one that is deaf may keep its connection for long.
        let (pool, channel) = (self.connections.for_listening(), self.channel.clone());
        OnTask::start(async move {
            let failed = |error| store_error("listen for events", error);
            let listening = async {
                let mut listener = PgListener::connect_with(&pool).await?;
                listener.eager_reconnect(false);
                listener.listen(&channel).await?;
                Ok(listener)
            };
            let listening = tokio::time::timeout(CONNECTED_WITHIN, listening).await;
            match listening.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Ok(listener) => Ok(listener),
                Err(error) => {
                    // Not again at once.
                    sleep(ASKED_EVERY).await;
                    Err(failed(error))
                }
            }
        })
    }

    /// Something new of which nothing was heard: once is chance, again and again is a connection that nothing comes through.
    fn judge_hearing(&mut self, woken: &Woken, is_news: bool) {
        match woken {
            Woken::Heard => self.unheard = 0,
            Woken::Late if is_news => {
                self.unheard += 1;
                if self.unheard == DEAF_AFTER {
                    self.listener = None;
                }
            }
            Woken::Connected | Woken::Wanted | Woken::Late | Woken::Deaf => {}
        }
    }

    /// When the database is asked again, if nothing is heard.
    fn plan(&mut self, end: End, has_moved: bool) {
        let can_hear = self.listener.is_some() && self.unheard < DEAF_AFTER;
        self.pause = if can_hear && !end.is_held_up() {
            ASKED_EVERY
        } else if has_moved || self.pause == ASKED_EVERY {
            ASKED_SOON
        } else {
            (self.pause * 2).min(ASKED_AT_LEAST)
        };
    }

    async fn pause(&mut self, news: &News) -> Woken {
        let late = sleep(self.pause);
        let (listener, connecting) = (&mut self.listener, &mut self.connecting);
        let heard = async {
            match (listener, connecting) {
                (Some(listener), _) => hear(listener, news).await,
                (listener, Some(connected)) => match connected.await {
                    Ok(connected) => {
                        *listener = Some(connected);
                        Woken::Connected
                    }
                    Err(error) => {
                        tracing::debug!(%error, "news cannot be listened for; the database is asked instead");
                        Woken::Deaf
                    }
                },
                (None, None) => std::future::pending().await,
            }
        };
        tokio::select! {
            woken = heard => woken,
            () = news.wanted.notified() => Woken::Wanted,
            () = late => Woken::Late,
        }
    }
}

/// Resolves when somebody else has something to tell.
async fn hear(listener: &mut PgListener, news: &News) -> Woken {
    loop {
        match listener.try_recv().await {
            Ok(Some(told)) if news.is_own(told.process_id()) => {}
            Ok(Some(_)) => return Woken::Heard,
            Ok(None) | Err(_) => return Woken::Deaf,
        }
    }
}
