//! Words for lists of nodes that stay short in a pool of thousands.

/// Nodes that a message names; further ones are counted.
const NAMED: usize = 10;

/// `a, b, c and 20 more`, in the order given.
pub(crate) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let mut items = items.into_iter();
    let named: Vec<T> = items.by_ref().take(NAMED).collect();
    let text = named.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    let more = items.count();
    if more == 0 {
        text
    } else {
        format!("{text} and {more} more")
    }
}

/// `1 node`, `2 nodes`.
pub(crate) fn nodes(count: usize) -> String {
    if count == 1 {
        "1 node".to_owned()
    } else {
        format!("{count} nodes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(list::<&str>([]), "");
        assert_eq!(list(["a", "b"]), "a, b");
        let names: Vec<String> = (0..11).map(|number| number.to_string()).collect();
        assert_eq!(list(&names), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 1 more");
    }
}
