//! Kills: of servers, of commands beside them, at every point that has a name and at random; and afterwards nothing is
//! lost, twice or stuck.
//!
//! `points` kills once at every point of [`hub::fault::POINTS`]; `random` kills two servers and commands beside them
//! again and again; `together` kills nothing. `arena` is the account, the store and the programs that they use, `aftermath` what must hold then.

mod aftermath;
mod arena;
mod points;
mod random;
mod together;
