//! A set that nearly always has one element. One of its own on the heap would be ten times as large, a hundred thousand times.

use std::{mem, slice};

/// Elements in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T: Ord> Few<T> {
    /// Adds an element, unless it is there.
    pub(super) fn insert(&mut self, element: T) {
        *self = match mem::take(self) {
            Self::None => Self::One(element),
            Self::One(one) if one == element => Self::One(one),
            Self::One(one) => Self::Many(if one < element {
                vec![one, element]
            } else {
                vec![element, one]
            }),
            Self::Many(mut many) => {
                if let Err(place) = many.binary_search(&element) {
                    many.insert(place, element);
                }
                Self::Many(many)
            }
        };
    }

    /// Removes an element, if it is there.
    pub(super) fn remove(&mut self, element: &T) {
        *self = match mem::take(self) {
            Self::One(one) if one == *element => Self::None,
            Self::Many(mut many) => {
                many.retain(|other| other != element);
                match many.len() {
                    1 => many.pop().map_or(Self::None, Self::One),
                    _ => Self::Many(many),
                }
            }
            other => other,
        };
    }
}

impl<T> Few<T> {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn iter(&self) -> slice::Iter<'_, T> {
        match self {
            Self::None => [].iter(),
            Self::One(one) => slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
        }
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Few;

    proptest! {
        #[test]
        fn it_is_a_set(ops in prop::collection::vec((any::<bool>(), 0_u8..4), 0..20)) {
            let (mut few, mut set) = (Few::default(), BTreeSet::new());
            for (insert, element) in ops {
                if insert {
                    few.insert(element);
                    set.insert(element);
                } else {
                    few.remove(&element);
                    set.remove(&element);
                }
                prop_assert!(few.iter().eq(&set));
                prop_assert_eq!(few.is_empty(), set.is_empty());
            }
        }
    }
}
