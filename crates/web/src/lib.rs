//! Flareward over HTTP: the API, the log receiver, Shared Signals and the console.
