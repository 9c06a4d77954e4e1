//! One API server under comparison, and what it has answered.

use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use kpr_cluster::cluster::{Cluster, eventually};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use crate::{
    plain::Plain,
    request::{Request, get},
};

/// How long a request may take, a watch of some seconds among them.
const PATIENCE: Duration = Duration::from_secs(30);

/// Each step's name, and its answer without what no two servers have in common.
pub(crate) type Transcript = Vec<(String, Value)>;

/// An API server that is asked.
pub(crate) struct Server<'c> {
    cluster: &'c Cluster,
    client: Client,
    plain: Plain,
    transcript: Transcript,
    part: &'static str,
}

/// An answer as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) text: String,
}

impl Answer {
    /// The body; text, if it is no JSON.
    pub(crate) fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| Value::String(self.text.clone()))
    }

    /// `metadata.resourceVersion` of the object or list.
    pub(crate) fn version(&self) -> Result<String> {
        self.metadata("resourceVersion")
    }

    /// A field of the object's or list's metadata.
    pub(crate) fn metadata(&self, field: &str) -> Result<String> {
        let body = self.body();
        let value = body["metadata"][field].as_str();
        value
            .map(str::to_owned)
            .with_context(|| format!("no {field} in {body}"))
    }
}

impl<'c> Server<'c> {
    pub(crate) fn new(cluster: &'c Cluster) -> Self {
        Self {
            cluster,
            client: cluster.client(),
            plain: Plain::default(),
            transcript: Vec::new(),
            part: "",
        }
    }

    /// From here on steps belong to this part of the script.
    pub(crate) fn part(&mut self, part: &'static str) {
        self.part = part;
    }

    pub(crate) fn into_transcript(self) -> Transcript {
        self.transcript
    }

    /// Asks, and writes the answer down.
    pub(crate) async fn ask(&mut self, step: &str, request: Request) -> Result<Answer> {
        let answer = self.silently(request).await.with_context(|| step.to_owned())?;
        let mut body = answer.body();
        self.plain.strip(&mut body);
        self.record(
            step,
            json!({
                "status": answer.status,
                "contentType": answer.content_type,
                "warnings": answer.warnings,
                "body": body,
            }),
        );
        Ok(answer)
    }

    /// Asks for a watch that the server ends, and writes the events down.
    pub(crate) async fn watch(&mut self, step: &str, request: Request) -> Result<()> {
        let answer = self.silently(request).await.with_context(|| step.to_owned())?;
        let mut events = Vec::new();
        for line in answer.text.lines() {
            let mut event = serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()));
            self.plain.strip(&mut event);
            events.push(event);
        }
        self.record(
            step,
            json!({"status": answer.status, "contentType": answer.content_type, "events": events}),
        );
        Ok(())
    }

    /// Reads a list of resources, and writes down how each of these kinds and its subresources is told.
    pub(crate) async fn resources(&mut self, path: &str, kinds: &[&str]) -> Result<()> {
        let list = self.silently(get(path)).await?.body();
        for entry in list["resources"].as_array().cloned().unwrap_or_default() {
            let name = entry["name"].as_str().unwrap_or_default().to_owned();
            let (kind, subresource) = name.split_once('/').unwrap_or((&name, ""));
            if kinds.contains(&kind) && matches!(subresource, "" | "status" | "scale" | "binding") {
                self.record(&format!("{path} {name}"), entry);
            }
        }
        Ok(())
    }

    /// Reads a document of OpenAPI, and writes one of its schemas down.
    pub(crate) async fn schema(&mut self, path: &str, name: &str) -> Result<()> {
        let document = self.silently(get(path)).await?.body();
        self.record(
            &format!("{path} {name}"),
            document["components"]["schemas"][name].clone(),
        );
        Ok(())
    }

    fn record(&mut self, step: &str, answer: Value) {
        self.transcript.push((format!("{}: {step}", self.part), answer));
    }

    /// Asks, and keeps it to itself.
    pub(crate) async fn silently(&self, request: Request) -> Result<Answer> {
        let mut builder = http::Request::builder().method(request.method).uri(request.path);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        let answer = async {
            let response = self
                .client
                .send(builder.body(Body::from(request.body.into_bytes()))?)
                .await?;
            let (parts, body) = response.into_parts();
            let header = |name: &str| {
                parts
                    .headers
                    .get_all(name)
                    .iter()
                    .filter_map(|value| value.to_str().ok())
            };
            Ok::<_, anyhow::Error>(Answer {
                status: parts.status.as_u16(),
                content_type: header("content-type").collect(),
                warnings: header("warning").map(str::to_owned).collect(),
                text: String::from_utf8(body.collect().await?.to_bytes().into())?,
            })
        };
        tokio::time::timeout(PATIENCE, answer).await?
    }

    /// Waits until GET of `path` answers with this status.
    pub(crate) async fn until(&self, path: &str, status: u16) -> Result<()> {
        eventually(&format!("{path} answers {status}"), Duration::from_secs(30), || async {
            let answer = self.silently(get(path)).await?;
            Ok(if answer.status == status {
                Ok(())
            } else {
                Err(answer.text)
            })
        })
        .await
    }

    /// Waits until the object at `path` looks as asked for.
    pub(crate) async fn until_it(&self, path: &str, what: &str, looks: impl Fn(&Value) -> bool) -> Result<()> {
        eventually(&format!("{path} {what}"), Duration::from_secs(30), || async {
            let answer = self.silently(get(path)).await?;
            Ok(if looks(&answer.body()) {
                Ok(())
            } else {
                Err(answer.text)
            })
        })
        .await
    }

    /// True if kube-controller-manager looks after what is made.
    pub(crate) fn has_real_controllers(&self) -> bool {
        self.cluster.api_server().is_err()
    }
}
