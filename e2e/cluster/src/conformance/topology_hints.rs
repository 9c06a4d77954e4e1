//! `topology_hints.go`.

use super::Title;

pub(super) const TITLES: &[Title] = &[];
