//! `funny_ips.go`.

use super::Title;

pub(super) const TITLES: &[Title] = &[];
