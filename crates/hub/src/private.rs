//! Folders and files that nobody else on the machine may read: they hold people's addresses, logs and keys.
//!
//! What the program makes is private from the start; what was there before is looked at, and told of where it is wider.

use crate::settings::Settings;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Of a folder.
const FOLDER_MODE: u32 = 0o700;
/// Of a file.
const FILE_MODE: u32 = 0o600;

/// Makes a folder, and those above it, for its owner alone. One that is there stays as it is.
///
/// # Errors
///
/// When it cannot be made.
pub fn folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, FOLDER_MODE);
    builder.create(path)
}

/// Makes a file that is not there yet, for its owner alone.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`], and when it cannot be made.
pub fn new_file(path: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE_MODE);
    options.open(path)
}

/// Something that others on the machine can get at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("other users of this machine may be able to access {path} (mode {mode:04o}): run `{advice}`")]
pub struct Wide {
    /// What.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// What to run.
    pub advice: String,
}

/// Which of the data folder, the database, the key and the archive others can get at, as far as they are there.
pub fn wide(settings: &Settings) -> Vec<Wide> {
    let data = &settings.data.dir;
    let mut paths = vec![data.clone(), key_file(data)];
    if let Some(database) = settings.store_file() {
        for ending in ["", "-wal", "-shm"] {
            let mut file = database.clone().into_os_string();
            file.push(ending);
            paths.push(file.into());
        }
    }
    paths.extend(settings.archive_folder());
    paths.iter().filter_map(|path| is_wide(path)).collect()
}

/// Where the key that seals secrets lies, unless it is in the environment.
pub(crate) fn key_file(data: &Path) -> PathBuf {
    data.join("secret.key")
}

#[cfg(unix)]
fn is_wide(path: &Path) -> Option<Wide> {
    use std::os::unix::fs::PermissionsExt;
    let about = std::fs::metadata(path).ok()?;
    let mode = about.permissions().mode() & 0o7777;
    let shown = path.display().to_string();
    let change = if about.is_dir() {
        "chmod -R go="
    } else {
        "chmod 600"
    };
    (mode & 0o077 != 0).then(|| Wide {
        advice: format!("{change} {}", crate::app::quoted(&shown)),
        path: shown,
        mode,
    })
}

#[cfg(not(unix))]
fn is_wide(_: &Path) -> Option<Wide> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_can_get_at_is_named_with_its_mode_and_what_to_run() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("the data");
        folder(&data.join("archive")).unwrap();
        for name in ["secret.key", "flareward.db", "flareward.db-wal"] {
            new_file(&data.join(name)).unwrap();
        }
        let mut settings = Settings::default();
        settings.data.dir = data.clone();
        assert_eq!(wide(&settings), []);
        let set = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&data, 0o755);
        set(&data.join("archive"), 0o710);
        set(&data.join("secret.key"), 0o640);
        set(&data.join("flareward.db-wal"), 0o604);
        let told: Vec<String> = wide(&settings).iter().map(ToString::to_string).collect();
        let shown = data.display();
        assert_eq!(
            told,
            [
                format!(
                    "other users of this machine may be able to access {shown} (mode 0755): run `chmod \
                         -R go= '{shown}'`"
                ),
                format!(
                    "other users of this machine may be able to access {shown}/secret.key (mode 0640): \
                         run `chmod 600 '{shown}/secret.key'`"
                ),
                format!(
                    "other users of this machine may be able to access {shown}/flareward.db-wal (mode \
                         0604): run `chmod 600 '{shown}/flareward.db-wal'`"
                ),
                format!(
                    "other users of this machine may be able to access {shown}/archive (mode 0710): run \
                         `chmod -R go= '{shown}/archive'`"
                ),
            ]
        );
    }
}
