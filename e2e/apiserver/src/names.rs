//! The rules for names and labels, with the messages of `k8s.io/apimachinery/pkg/util/validation`.

use crate::resource::Resource;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
     an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
     for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What is wrong with `name` as the name of an object of this resource.
pub(crate) fn check(resource: &Resource, name: &str) -> Option<&'static str> {
    if resource.is("", "Service") {
        (!is_label(name) || name.starts_with(|c: char| c.is_ascii_digit())).then_some(LABEL_1035)
    } else if resource.is("", "Namespace") {
        (!is_label(name)).then_some(LABEL)
    } else {
        (!is_subdomain(name)).then_some(SUBDOMAIN)
    }
}

/// What is wrong with `key` as the key of a label or annotation, or as a finalizer.
pub(crate) fn qualified_name_error(key: &str) -> Option<&'static str> {
    let name = match key.split_once('/') {
        Some((prefix, _)) if !is_subdomain(&prefix.to_ascii_lowercase()) => return Some(SUBDOMAIN),
        Some((_, name)) => name,
        None => key,
    };
    (name.len() > 63 || name.is_empty() || !is_name_part(name)).then_some(QUALIFIED)
}

/// What is wrong with `value` as the value of a label.
pub(crate) fn label_value_error(value: &str) -> Option<&'static str> {
    if value.len() > 63 {
        return Some("must be no more than 63 characters");
    }
    (!value.is_empty() && !is_name_part(value)).then_some(LABEL_VALUE)
}

fn is_label(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(fine) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(fine) && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

fn is_name_part(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.chars().all(fine) && edge(text.chars().next()) && edge(text.chars().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_follow_the_dns_rules() {
        for (key, fine) in [
            ("app", true),
            ("kpr.dev/datapath", true),
            ("a/b/c", false),
            ("-x", false),
            ("", false),
            ("A_b.c", true),
        ] {
            assert_eq!(qualified_name_error(key).is_none(), fine, "{key:?}");
        }
        for (name, fine) in [
            ("node-a", true),
            ("node.a", true),
            ("Node", false),
            ("a..b", false),
            ("a-", false),
        ] {
            assert_eq!(is_subdomain(name), fine, "{name:?}");
        }
        for (value, fine) in [("", true), ("v1.0", true), ("a b", false), ("-a", false)] {
            assert_eq!(label_value_error(value).is_none(), fine, "{value:?}");
        }
    }
}
