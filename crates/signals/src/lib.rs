//! OpenID Shared Signals: subjects, events, Security Event Tokens. No I/O.
