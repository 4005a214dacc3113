//! The outer format of a file: five bytes of magic, then one zstd frame.
//!
//! All functions block; call them on a thread that may block.

use crate::C1zError;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

const MAGIC: &[u8; 5] = b"C1ZF\0";
const MAGIC_VERSION_3: &[u8; 5] = b"C1Z3\0";

/// 8 MiB, as in Baton's own writers; SDK 0.1 reads up to 32 MiB.
const WINDOW_LOG: u32 = 23;
const WINDOW_LOG_READ_MAX: u32 = 25;

/// Whether the file has content. Baton treats an empty file as an empty store, like a missing file.
pub(crate) fn has_content(path: &Path) -> Result<bool, C1zError> {
    match std::fs::metadata(path) {
        Ok(about) => Ok(about.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(C1zError::io("read", path)(error)),
    }
}

/// Unpacks the database in `path` to `database`, up to `limit_bytes`.
pub(crate) fn unpack(path: &Path, database: &Path, limit_bytes: u64) -> Result<(), C1zError> {
    let not = |why| C1zError::NotC1z {
        path: path.to_owned(),
        why,
    };
    let mut file = BufReader::new(File::open(path).map_err(C1zError::io("read", path))?);
    let mut magic = [0; 5];
    file.read_exact(&mut magic)
        .map_err(|_| not("it is shorter than five bytes"))?;
    if &magic == MAGIC_VERSION_3 {
        return Err(not("it is version 3"));
    }
    if &magic != MAGIC {
        return Err(not("it begins otherwise"));
    }
    let mut packed = zstd::Decoder::with_buffer(file).map_err(C1zError::io("unpack", path))?;
    packed
        .window_log_max(WINDOW_LOG_READ_MAX)
        .map_err(C1zError::io("unpack", path))?;
    let mut out = File::create_new(database).map_err(C1zError::io("unpack to", database))?;
    let copied = io::copy(&mut packed.take(limit_bytes.saturating_add(1)), &mut out)
        .map_err(C1zError::io("unpack", path))?;
    if copied > limit_bytes {
        return Err(C1zError::TooLarge {
            path: path.to_owned(),
            limit_bytes,
        });
    }
    Ok(())
}

/// Packs `database` into `path`: writes a temporary file, syncs it to the disk, and moves it into place. Returns the
/// file's size.
pub(crate) fn pack(database: &Path, path: &Path, level: i32) -> Result<u64, C1zError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new()
        .prefix(&format!("{name}."))
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(C1zError::io("write beside", path))?;
    let mut pack = || -> io::Result<u64> {
        if let Ok(before) = std::fs::metadata(path) {
            beside.as_file().set_permissions(before.permissions())?;
        }
        let mut content = File::open(database)?;
        let mut out = BufWriter::new(beside.as_file_mut());
        out.write_all(MAGIC)?;
        let mut packed = zstd::Encoder::new(out, level)?;
        packed.window_log(WINDOW_LOG)?;
        packed.include_checksum(true)?;
        packed.set_pledged_src_size(Some(content.metadata()?.len()))?;
        io::copy(&mut content, &mut packed)?;
        packed.finish()?.flush()?;
        beside.as_file().sync_all()?;
        Ok(beside.as_file().metadata()?.len())
    };
    let size = pack().map_err(C1zError::io("write", path))?;
    beside
        .persist(path)
        .map_err(|failed| C1zError::io("write", path)(failed.error))?;
    // The new name is durable only when the folder is.
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(C1zError::io("write", path))?;
    }
    Ok(size)
}
