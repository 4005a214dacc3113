//! What a caller proves with who it is.

/// How the caller proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential {
    UserToken,
    AccountToken,
    /// The global key of a user, which may do everything that the user may.
    Key,
}
