//! The same rules and events with rsigma as a library, and the minimum cost of any engine: only unpacking and parsing.
//!
//! rsigma gets every advantage: one engine per dataset, so that it never tries rules of another dataset; no events in
//! its results; and a reader that splits lines in place.

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use rsigma_eval::{Engine, JsonEvent};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The number of bytes read at once, as in Flareward's own reader.
const READ_BYTES: usize = 256 << 10;

/// Calls `visit` with each line of a file, plain or gzip.
fn lines(path: &Path, mut visit: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let file = BufReader::with_capacity(READ_BYTES, File::open(path)?);
    let is_packed = path.extension().is_some_and(|ending| ending == "gz");
    let from: Box<dyn Read> = if is_packed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut from = BufReader::with_capacity(READ_BYTES, from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        visit(&line)?;
        line.clear();
    }
    Ok(())
}

pub(super) struct Peer {
    dns: Engine,
    http: Engine,
}

impl Peer {
    pub(super) fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        let engine = |beginning: &str| -> anyhow::Result<Engine> {
            let mut engine = Engine::new();
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if name.starts_with(beginning) {
                    let read = rsigma_parser::parse_sigma_yaml(&std::fs::read_to_string(&path)?)?;
                    engine.add_collection(&read)?;
                }
            }
            Ok(engine)
        };
        Ok(Self {
            dns: engine("dns-")?,
            http: engine("http-")?,
        })
    }

    /// Matches by rule.
    pub(super) fn run(&self, path: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        lines(path, |line| {
            let value: serde_json::Value = serde_json::from_slice(line)?;
            let is_dns = value.get("QueryName").is_some();
            let engine = if is_dns { &self.dns } else { &self.http };
            for result in engine.evaluate(&JsonEvent::borrow(&value)) {
                match counts.get_mut(&result.header.rule_title) {
                    Some(count) => *count += 1,
                    None => {
                        counts.insert(result.header.rule_title, 1);
                    }
                }
            }
            Ok(())
        })?;
        Ok(counts)
    }
}

/// Parses every line without further processing.
pub(super) fn parse(path: &Path) -> anyhow::Result<usize> {
    let mut members = 0;
    lines(path, |line| {
        let value: sonic_rs::Value = sonic_rs::from_slice(line)?;
        members += sonic_rs::JsonContainerTrait::as_object(&value)
            .context("not an object")?
            .len();
        Ok(())
    })?;
    Ok(members)
}

/// Decompresses the file without further processing.
pub(super) fn unpack(path: &Path) -> anyhow::Result<u64> {
    let mut from = MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, File::open(path)?));
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(bytes);
        }
        bytes += read as u64;
    }
}
