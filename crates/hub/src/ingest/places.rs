//! The places for bodies that are being received, and who has to leave them.
//!
//! A body that nothing comes of for [`SILENCE`] is cut off. One that comes slowly may do so while there is room; when
//! all places are taken, the slowest of those that have had their time makes room for whoever waits. So nobody who holds
//! a log secret can hold all places, and a slow line alone is no reason to refuse a batch. Start reading at
//! [`Places::take`].

use super::receive::IngestError;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use std::collections::BTreeMap;
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
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    bodies: BTreeMap<u64, Arc<Coming>>,
}

/// A body that is on its way.
#[derive(Debug)]
struct Coming {
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
        Self {
            free: Arc::new(Semaphore::new(count.max(1))),
            taken: Mutex::default(),
        }
    }

    /// A place, if need be that of the slowest body.
    ///
    /// # Errors
    ///
    /// [`IngestError::Busy`] when none becomes free in time.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Place, IngestError> {
        let until = Instant::now() + TURN;
        loop {
            let free = Arc::clone(&self.free).acquire_owned();
            match tokio::time::timeout(PATIENCE, free).await {
                Ok(Ok(permit)) => return Ok(self.enter(permit)),
                Ok(Err(_)) => return Err(IngestError::Busy),
                Err(_) if Instant::now() >= until => return Err(IngestError::Busy),
                Err(_) => self.cut_slowest(),
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        let coming = Arc::new(Coming {
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
            _permit: permit,
        }
    }

    fn cut_slowest(&self) {
        let taken = self.taken();
        let slowest = taken
            .bodies
            .values()
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
    _permit: OwnedSemaphorePermit,
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
                    "others waited for the place of this body, the slowest of all".to_owned(),
                ));
            }
        };
        let part =
            part.map_err(|_| IngestError::Slow("nothing came of the body for 10 seconds".to_owned()))?;
        let part = part.map_err(IngestError::Body)?;
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

    #[tokio::test(start_paused = true)]
    async fn the_slowest_makes_room_and_only_after_its_time() {
        let places = Arc::new(Places::new(2));
        let (slow, slower) = (places.take().await.unwrap(), places.take().await.unwrap());
        let begun = Instant::now();
        let slow = tokio::spawn(async move { received(&slow, Duration::from_millis(50)).await });
        let slower = tokio::spawn(async move { received(&slower, Duration::from_millis(500)).await });
        // Both are within their time: whoever comes is told to come again.
        assert!(matches!(places.take().await, Err(IngestError::Busy)));
        while begun.elapsed() < GRACE {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let waited = Instant::now();
        let place = places.take().await.unwrap();
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
    async fn a_body_that_says_nothing_is_cut_off() {
        let places = Arc::new(Places::new(2));
        let place = places.take().await.unwrap();
        let silent = received(&place, Duration::from_secs(3_600)).await;
        assert!(matches!(silent, Err(IngestError::Slow(_))));
        drop(place);
        assert!(places.taken().bodies.is_empty());
    }
}
