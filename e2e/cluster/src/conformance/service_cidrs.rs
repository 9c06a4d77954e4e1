//! `service_cidrs.go`.

use super::Title;

pub(super) const TITLES: &[Title] = &[];
