//! Points in the stages at which a test may kill the process, to see what the next one makes of what is left.
//!
//! Without the feature `faults`, which only tests ask for, a point is nothing. With it, a process whose environment
//! has `FLAREWARD_KILL_AT=name` (or `name:3`, the third time) ends itself there as a kill does: nothing is flushed,
//! released or told.

/// The points that there are, in the order of the stages: a test walks through them all, and another that each stands in
/// the code.
pub const POINTS: &[&str] = &[
    "receive.archived",
    "ingest.begun",
    "ingest.parts_written",
    "ingest.stored",
    "detection.derived",
    "detection.settled",
    "ingest.detected",
    "ingest.object_removed",
    "replay.looked",
    "adopt.looked",
    "risk.applied",
    "coaching.decided",
    "coaching.kept",
    "message.claimed",
    "message.sent",
    "signal.decided",
    "signal.kept",
    "signal.sent",
    "sync.listed",
    "posture.checked",
    "logpush.made",
    "source.received",
    "objects.received",
    "retention.removed",
    "rewrite.written",
    "rewrite.deleted",
    "carry_over.written",
    "sweep.adopted",
    "purge.rewritten",
    "purge.looked_through",
    "purge.removed",
    "change.written_down",
    "change.end_begun",
    "change.sent",
    "change.end_settled",
    "change.told",
    "change.ended",
    "offboard.written_down",
    "offboard.step",
];

/// A point at which a test may kill this process.
#[cfg(not(feature = "faults"))]
#[inline]
pub fn point(_name: &'static str) {}

/// A point at which a test may kill this process, or the task that it runs in.
#[cfg(feature = "faults")]
pub fn point(name: &'static str) {
    debug_assert!(POINTS.contains(&name), "{name} is in no list");
    in_task::point(name);
    in_process::point(name);
}

#[cfg(feature = "faults")]
pub use in_task::killed_at;

#[cfg(feature = "faults")]
mod in_process {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ASKED: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let asked = std::env::var("FLAREWARD_KILL_AT").ok()?;
        let (name, time) = asked.rsplit_once(':').unwrap_or((&asked, "1"));
        Some((name.to_owned(), time.parse().unwrap_or(1)))
    });
    static TIMES: AtomicU32 = AtomicU32::new(0);

    pub(super) fn point(name: &str) {
        if let Some((asked, time)) = &*ASKED
            && asked == name
            && TIMES.fetch_add(1, Ordering::SeqCst) + 1 == *time
        {
            let own = rustix::process::getpid();
            if rustix::process::kill_process(own, rustix::process::Signal::KILL).is_ok() {
                // The signal may take a moment: nothing more happens here.
                loop {
                    std::thread::park();
                }
            }
        }
    }
}

#[cfg(feature = "faults")]
mod in_task {
    use futures::FutureExt;
    use std::panic::{AssertUnwindSafe, resume_unwind};

    tokio::task_local! {
        static ASKED: &'static str;
    }

    /// What ends the task. It is no panic that anyone should hear of.
    struct Killed;

    pub(super) fn point(name: &str) {
        if ASKED.try_with(|asked| *asked == name).unwrap_or(false) {
            resume_unwind(Box::new(Killed));
        }
    }

    /// Does `work` until it comes to the point `name`, where it ends as if its process were killed: nothing after the
    /// point is done. Answers nothing then, and what the work answers when it never comes there.
    pub async fn killed_at<T>(name: &'static str, work: impl Future<Output = T>) -> Option<T> {
        let work = AssertUnwindSafe(ASKED.scope(name, work)).catch_unwind();
        match work.await {
            Ok(output) => Some(output),
            Err(cause) if cause.is::<Killed>() => None,
            Err(cause) => resume_unwind(cause),
        }
    }
}
