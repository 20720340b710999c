//! A home recomputed from its journal.
