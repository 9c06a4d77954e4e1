//! From a URL path to what it names.

/// A path under `/api/v1` or `/apis/GROUP/VERSION`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    /// Empty for cluster scope and for "all namespaces".
    pub(crate) namespace: String,
    pub(crate) plural: String,
    /// Empty for the collection.
    pub(crate) name: String,
    pub(crate) subresource: String,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Version,
    Health,
    /// `/api`
    LegacyVersions,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`
    Resources(String, String),
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiIndex,
    /// `/openapi/v3/…`: group and version.
    OpenApi(String, String),
    Resource(ResourcePath),
    Unknown,
}

/// Parses `path` (percent-decoded parts are not needed: names are DNS names).
pub(crate) fn parse(path: &str) -> Route {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => Route::Version,
        ["healthz" | "livez" | "readyz", ..] => Route::Health,
        ["api"] => Route::LegacyVersions,
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group((*group).to_owned()),
        ["api", version] => Route::Resources(String::new(), (*version).to_owned()),
        ["apis", group, version] => Route::Resources((*group).to_owned(), (*version).to_owned()),
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3"] => Route::OpenApiIndex,
        ["openapi", "v3", "api", version] => Route::OpenApi(String::new(), (*version).to_owned()),
        ["openapi", "v3", "apis", group, version] => Route::OpenApi((*group).to_owned(), (*version).to_owned()),
        ["api", version, rest @ ..] => resource("", version, rest),
        ["apis", group, version, rest @ ..] => resource(group, version, rest),
        _ => Route::Unknown,
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Route {
    let (namespace, rest) = match rest {
        // `namespaces/NAME/status` and `namespaces/NAME/finalize` are the namespace itself.
        ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (*namespace, inner),
        _ => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return Route::Unknown,
    };
    Route::Resource(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        plural: plural.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(group: &str, namespace: &str, plural: &str, name: &str, subresource: &str) -> Route {
        let version = if group == "kpr.dev" { "v1alpha1" } else { "v1" };
        Route::Resource(ResourcePath {
            group: group.into(),
            version: version.into(),
            namespace: namespace.into(),
            plural: plural.into(),
            name: name.into(),
            subresource: subresource.into(),
        })
    }

    #[test]
    fn paths_name_resources() {
        let cases = [
            ("/api/v1/nodes", at("", "", "nodes", "", "")),
            ("/api/v1/namespaces", at("", "", "namespaces", "", "")),
            ("/api/v1/namespaces/default", at("", "", "namespaces", "default", "")),
            (
                "/api/v1/namespaces/default/status",
                at("", "", "namespaces", "default", "status"),
            ),
            ("/api/v1/namespaces/default/pods", at("", "default", "pods", "", "")),
            (
                "/api/v1/namespaces/default/pods/web/status",
                at("", "default", "pods", "web", "status"),
            ),
            (
                "/apis/kpr.dev/v1alpha1/kprs/default/status",
                at("kpr.dev", "", "kprs", "default", "status"),
            ),
            (
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                at("apps", "a", "deployments", "b", "scale"),
            ),
            ("/apis/apps/v1", Route::Resources("apps".into(), "v1".into())),
            ("/nothing/here", Route::Unknown),
        ];
        for (path, want) in cases {
            assert_eq!(parse(path), want, "{path}");
        }
    }
}
