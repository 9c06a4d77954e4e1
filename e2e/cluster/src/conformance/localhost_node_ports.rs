//! `localhost_nodeports.go`.

use super::Title;

pub(super) const TITLES: &[Title] = &[];
