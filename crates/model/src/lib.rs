//! Flareward's nouns: ids, levels, states and the clock. No I/O.
