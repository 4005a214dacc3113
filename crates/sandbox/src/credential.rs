//! What a caller proves with who it is.

/// The credential of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential {
    UserToken,
    AccountToken,
    /// The global key of a user, with all permissions of that user.
    Key,
}
