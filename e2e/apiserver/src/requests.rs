//! Who asked for what: the basis of tests for write counts and least privilege.

/// One request for a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name.
    pub resource: String,
    /// `status`, `scale`, `binding` or empty.
    pub subresource: String,
    /// Empty for cluster scope or all namespaces.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The `fieldManager` parameter.
    pub field_manager: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

impl RequestRecord {
    /// Whether the verb changes objects.
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    }

    /// `resource` or `resource/subresource`.
    pub fn target(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// How many requests are remembered: enough for any test, and no leak in a server that is kept running.
const CAPACITY: usize = 100_000;

/// The requests so far (at least the last 50,000), in the order of their answers.
#[derive(Debug, Clone, Default)]
pub struct RequestLog {
    records: Vec<RequestRecord>,
}

impl RequestLog {
    /// All requests.
    pub fn all(&self) -> &[RequestRecord] {
        &self.records
    }

    pub(crate) fn push(&mut self, record: RequestRecord) {
        if self.records.len() == CAPACITY {
            self.records.drain(..CAPACITY / 2);
        }
        self.records.push(record);
    }

    /// The requests that change objects.
    pub fn writes(&self) -> impl Iterator<Item = &RequestRecord> {
        self.records.iter().filter(|record| record.is_write())
    }

    /// How many requests had this verb and target (`nodedatapaths/status`).
    pub fn count(&self, verb: &str, target: &str) -> usize {
        self.records
            .iter()
            .filter(|record| record.verb == verb && record.target() == target)
            .count()
    }

    /// As [`count`](Self::count), of one user agent.
    pub fn count_by(&self, verb: &str, target: &str, user_agent: &str) -> usize {
        let mine = |record: &&RequestRecord| {
            record.verb == verb && record.target() == target && record.user_agent == user_agent
        };
        self.records.iter().filter(mine).count()
    }
}
