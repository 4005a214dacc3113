//! The places for bodies that are being received, and who has to leave them.
//!
//! A connection has three quarters of the places and no more: whoever holds its log secret leaves the rest to others. A
//! body that nothing comes of for [`SILENCE`] is cut off. One that comes slowly may do so while there is room; when all
//! places that a batch could have are taken, the slowest of those that have had their time makes room for it. So a slow
//! line alone is no reason to refuse a batch. Start reading at [`Places::take`].

use super::receive::IngestError;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use model::ConnectionId;
use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a batch waits for a place before the sender is told to come again.
const TURN: Duration = Duration::from_secs(5);
/// How long it waits before another has to make room.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a body may go on without a byte.
const SILENCE: Duration = Duration::from_secs(10);
/// The time that every body has, however full it is. Logpush sends what it has within seconds.
const GRACE: Duration = Duration::from_secs(10);

/// The places.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    /// How many of them one connection has at most.
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    bodies: BTreeMap<u64, Arc<Coming>>,
    /// What each connection that has sent something may still take.
    free: HashMap<ConnectionId, Arc<Semaphore>>,
}

/// A body that is on its way.
#[derive(Debug)]
struct Coming {
    connection: ConnectionId,
    since: Instant,
    bytes: AtomicU64,
    cut: CancellationToken,
}

impl Coming {
    /// Bytes a second since it began.
    fn rate(&self) -> u64 {
        let seconds = self.since.elapsed().as_secs().max(1);
        self.bytes.load(Ordering::Relaxed) / seconds
    }
}

impl Places {
    pub(crate) fn new(count: usize) -> Self {
        let count = count.max(1);
        let others = (count / 4).max(1);
        Self {
            free: Arc::new(Semaphore::new(count)),
            each: count.saturating_sub(others).max(1),
            taken: Mutex::default(),
        }
    }

    /// A place for a body of this connection, if need be that of the slowest.
    ///
    /// # Errors
    ///
    /// [`IngestError::Busy`] when none becomes free in time.
    pub(crate) async fn take(self: &Arc<Self>, connection: &ConnectionId) -> Result<Place, IngestError> {
        let until = Instant::now() + TURN;
        let own = {
            let mut taken = self.taken();
            let own = taken.free.entry(connection.clone());
            Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(self.each))))
        };
        let is_own = |coming: &Coming| coming.connection == *connection;
        let own = self.wait(own, until, is_own).await?;
        let any = self.wait(Arc::clone(&self.free), until, |_| true).await?;
        Ok(self.enter(connection, [own, any]))
    }

    /// Waits for one of these places, in turn; the slowest of the bodies in them has to make room.
    async fn wait(
        &self,
        free: Arc<Semaphore>,
        until: Instant,
        is_in_them: impl Fn(&Coming) -> bool,
    ) -> Result<OwnedSemaphorePermit, IngestError> {
        let mut turn = pin!(free.acquire_owned());
        loop {
            match tokio::time::timeout(PATIENCE, turn.as_mut()).await {
                Ok(permit) => return permit.map_err(|_| IngestError::Busy),
                Err(_) if Instant::now() >= until => return Err(IngestError::Busy),
                Err(_) => self.cut_slowest(&is_in_them),
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, connection: &ConnectionId, permits: [OwnedSemaphorePermit; 2]) -> Place {
        let coming = Arc::new(Coming {
            connection: connection.clone(),
            since: Instant::now(),
            bytes: AtomicU64::new(0),
            cut: CancellationToken::new(),
        });
        let mut taken = self.taken();
        taken.next += 1;
        let number = taken.next;
        taken.bodies.insert(number, Arc::clone(&coming));
        Place {
            places: Arc::clone(self),
            number,
            coming,
            _permits: permits,
        }
    }

    fn cut_slowest(&self, is_in_them: impl Fn(&Coming) -> bool) {
        let taken = self.taken();
        let slowest = taken
            .bodies
            .values()
            .filter(|coming| is_in_them(coming))
            .filter(|coming| coming.since.elapsed() >= GRACE && !coming.cut.is_cancelled())
            .min_by_key(|coming| coming.rate());
        if let Some(slowest) = slowest {
            metrics::counter!("flareward_bodies_cut_for_room_total").increment(1);
            slowest.cut.cancel();
        }
    }
}

/// The place of one body.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    coming: Arc<Coming>,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Place {
    /// The next part of the body.
    ///
    /// # Errors
    ///
    /// [`IngestError::Body`] when the sender went away, [`IngestError::Slow`] when it has to.
    pub(crate) async fn next(
        &self,
        body: &mut (impl Stream<Item = std::io::Result<Bytes>> + Unpin),
    ) -> Result<Option<Bytes>, IngestError> {
        let part = tokio::select! {
            part = tokio::time::timeout(SILENCE, body.try_next()) => part,
            () = self.coming.cut.cancelled() => {
                return Err(IngestError::Slow(
                    "the request was dropped because it was the slowest and others were waiting".to_owned(),
                ));
            }
        };
        let part = part.map_err(|_| IngestError::Slow("no data received for 10 seconds".to_owned()))?;
        let part = part.map_err(|error| match error.kind() {
            // Whoever hands the body over has waited long enough.
            std::io::ErrorKind::TimedOut => IngestError::Slow(error.to_string()),
            _ => IngestError::Body(error),
        })?;
        let bytes = part.as_ref().map_or(0, |part| part.len() as u64);
        self.coming.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(part)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().bodies.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    /// A body of which a byte comes every so often, for ever.
    fn dripping(every: Duration) -> impl Stream<Item = std::io::Result<Bytes>> + Unpin {
        Box::pin(stream::unfold((), move |()| async move {
            tokio::time::sleep(every).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        }))
    }

    async fn received(place: &Place, every: Duration) -> Result<(), IngestError> {
        let mut body = dripping(every);
        while place.next(&mut body).await?.is_some() {}
        Ok(())
    }

    fn named(name: &str) -> ConnectionId {
        ConnectionId(name.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_makes_room_and_only_after_its_time() {
        let (places, corp) = (Arc::new(Places::new(3)), named("corp"));
        let (slow, slower) = (
            places.take(&corp).await.unwrap(),
            places.take(&corp).await.unwrap(),
        );
        let begun = Instant::now();
        let slow = tokio::spawn(async move { received(&slow, Duration::from_millis(50)).await });
        let slower = tokio::spawn(async move { received(&slower, Duration::from_millis(500)).await });
        // Both are within their time: whoever comes is told to come again.
        assert!(matches!(places.take(&corp).await, Err(IngestError::Busy)));
        while begun.elapsed() < GRACE {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let waited = Instant::now();
        let place = places.take(&corp).await.unwrap();
        assert!(
            waited.elapsed() < Duration::from_secs(2),
            "{:?}",
            waited.elapsed()
        );
        assert!(matches!(slower.await.unwrap(), Err(IngestError::Slow(_))));
        assert!(!slow.is_finished(), "there is room for it");
        drop(place);
        slow.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn one_connection_leaves_places_to_others_however_many_of_its_bodies_wait() {
        for (count, each) in [(16, 12), (4, 3), (2, 1)] {
            let places = Arc::new(Places::new(count));
            let waiting: Vec<_> = (0..count * 4)
                .map(|_| {
                    let places = Arc::clone(&places);
                    tokio::spawn(async move {
                        let place = places.take(&named("corp")).await?;
                        received(&place, Duration::from_secs(1)).await
                    })
                })
                .collect();
            // The clock goes on when all of them wait.
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(places.taken().bodies.len(), each, "of {count}");
            // Others wait for nobody.
            let begun = Instant::now();
            let others: Vec<_> = futures::future::try_join_all((each..count).map(|number| {
                let places = Arc::clone(&places);
                async move { places.take(&named(&format!("other {number}"))).await }
            }))
            .await
            .unwrap();
            assert_eq!(begun.elapsed(), Duration::ZERO, "of {count}");
            drop(others);
            for one in waiting {
                one.abort();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whose_own_places_are_taken_makes_none_of_anothers_bodies_leave() {
        let places = Arc::new(Places::new(4));
        let (corp, other) = (named("corp"), named("other"));
        let theirs = places.take(&other).await.unwrap();
        let theirs = tokio::spawn(async move { received(&theirs, Duration::from_secs(9)).await });
        let mut own = Vec::new();
        for _ in 0..3 {
            let place = places.take(&corp).await.unwrap();
            own.push(tokio::spawn(async move {
                received(&place, Duration::from_millis(100)).await
            }));
        }
        tokio::time::sleep(GRACE).await;
        drop(places.take(&corp).await.unwrap());
        let (first, ..) = futures::future::select_all(own).await;
        assert!(matches!(first.unwrap(), Err(IngestError::Slow(_))));
        assert!(!theirs.is_finished());
        theirs.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_says_nothing_is_cut_off() {
        let places = Arc::new(Places::new(2));
        let place = places.take(&named("corp")).await.unwrap();
        let silent = received(&place, Duration::from_secs(3_600)).await;
        assert!(matches!(silent, Err(IngestError::Slow(_))));
        drop(place);
        assert!(places.taken().bodies.is_empty());
    }
}
