//! `dual_stack.go`.

use super::Title;

pub(super) const TITLES: &[Title] = &[];
