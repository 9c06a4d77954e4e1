//! Requests that fail or wait on purpose.

use std::time::Duration;

use crate::error::ApiError;
use crate::requests::RequestRecord;

/// What goes wrong, for which requests, how often. Build it with [`Fault::fail`] or [`Fault::delay`].
///
/// Clients of kube-rs silently retry 429, 503 and 504; use 500, 409 or 403 to see an error arrive.
#[derive(Debug, Clone)]
pub struct Fault {
    pub(crate) verb: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) remaining: Option<usize>,
    pub(crate) error: Option<ApiError>,
    pub(crate) delay: Option<Duration>,
}

impl Fault {
    /// Requests fail with this code, reason and message.
    pub fn fail(code: u16, reason: &'static str, message: &str) -> Self {
        Self {
            error: Some(ApiError::new(code, reason, message)),
            ..Self::nothing()
        }
    }

    /// Requests wait this long before they are carried out.
    pub fn delay(delay: Duration) -> Self {
        Self {
            delay: Some(delay),
            ..Self::nothing()
        }
    }

    fn nothing() -> Self {
        Self {
            verb: None,
            target: None,
            name: None,
            user_agent: None,
            remaining: None,
            error: None,
            delay: None,
        }
    }

    /// Only requests with this verb.
    #[must_use]
    pub fn verb(mut self, verb: &str) -> Self {
        self.verb = Some(verb.to_owned());
        self
    }

    /// Only requests for this `resource` or `resource/subresource`.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        self.target = Some(target.to_owned());
        self
    }

    /// Only requests for the object of this name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Only requests of this user agent.
    #[must_use]
    pub fn user_agent(mut self, user_agent: &str) -> Self {
        self.user_agent = Some(user_agent.to_owned());
        self
    }

    /// Only the next `count` matching requests.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.remaining = Some(count);
        self
    }

    fn matches(&self, request: &RequestRecord) -> bool {
        let fits = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        self.remaining != Some(0)
            && fits(&self.verb, &request.verb)
            && fits(&self.target, &request.target())
            && fits(&self.name, &request.name)
            && fits(&self.user_agent, &request.user_agent)
    }
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The first fault that matches the request; counts it.
    pub(crate) fn take(&mut self, request: &RequestRecord) -> Option<Fault> {
        let fault = self.0.iter_mut().find(|fault| fault.matches(request))?;
        if let Some(remaining) = &mut fault.remaining {
            *remaining -= 1;
        }
        Some(fault.clone())
    }
}
