//! Socket calls: explained, and then made.
