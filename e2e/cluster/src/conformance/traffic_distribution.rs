//! `traffic_distribution.go`.

use super::Title;

pub(super) const TITLES: &[Title] = &[];
