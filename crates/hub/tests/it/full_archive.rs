//! An archive on a file system that fills up: what does not fit is refused and leaves nothing, and once there is room
//! again the same batch is taken.
//!
//! Needs a small file system, which only root can mount; elsewhere the test says that it was skipped.

use crate::kit::{Hub, each, story};
use hub::ingest::{IngestError, Received};
use sandbox::Sandbox;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system of a few hundred kilobytes over a folder, unmounted at the end.
struct Small(PathBuf);

impl Small {
    #[expect(clippy::print_stderr, reason = "a test that leaves something out must say so")]
    fn over(folder: &Path) -> Option<Small> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(folder)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Small(folder.to_owned()));
        }
        eprintln!("skipped: no small file system can be mounted here");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Records whose ids cannot be compressed.
fn records(count: usize) -> String {
    let line = |number: usize| {
        let id = hex::encode(Sha256::digest(number.to_le_bytes()));
        format!(
            "{{\"Datetime\":\"2026-11-20T11:00:00Z\",\"Email\":\"a@x.example\",\"QueryID\":\"{id}\",\"QueryName\":\"x.example\"}}\n"
        )
    };
    (0..count).map(line).collect()
}

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            _ => 1,
        })
        .sum()
}

#[tokio::test]
async fn a_full_archive_takes_nothing_and_leaves_nothing_until_there_is_room() {
    each(async |scratch| {
        let sandbox = Sandbox::start(story()).await.unwrap();
        let hub = Hub::start(scratch).await;
        hub.connect(&sandbox).await;
        let archive = hub.folder.path().join("archive");
        std::fs::create_dir_all(&archive).unwrap();
        let Some(_small) = Small::over(&archive) else {
            return;
        };
        for _ in 0..3 {
            let error = hub.receive("gateway_dns", records(20_000)).await.unwrap_err();
            assert!(matches!(error, IngestError::Archive(_)), "{error}");
            assert_eq!(files(&archive), 0);
            assert_eq!(hub.app.store.batch_counts(None).await.unwrap().batches, 0);
        }
        let filler = archive.join("filler");
        let _ = std::fs::write(&filler, vec![0_u8; 1 << 20]);
        let error = hub.receive("gateway_dns", records(10)).await.unwrap_err();
        assert!(matches!(error, IngestError::Archive(_)), "{error}");
        std::fs::remove_file(filler).unwrap();
        let taken = hub.receive("gateway_dns", records(10)).await.unwrap();
        assert!(matches!(taken, Received::Stored(_)), "{taken:?}");
        hub.pipeline().await;
        assert_eq!(hub.app.store.batch_counts(None).await.unwrap().accepted, 10);
    })
    .await;
}
