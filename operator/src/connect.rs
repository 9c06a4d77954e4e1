//! Finding the API server, and saying in one sentence what is wrong if that fails.

use std::error::Error as StdError;

use http::HeaderValue;
use http::header::USER_AGENT;
use kpr_crds::names::{GROUP, VERSION};
use kube::config::{KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};

/// Name of this program to the API server.
const AGENT: &str = concat!("kpr-operator/", env!("CARGO_PKG_VERSION"));

/// Why there is no usable API.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a kubeconfig nor a service account.
    #[error(
        "no API server is configured: set KUBECONFIG to a kubeconfig file, or run in a pod with a service account ({0})"
    )]
    NotConfigured(String),
    /// The kubeconfig can't be used.
    #[error("the kubeconfig can't be used: {0}; correct the file that KUBECONFIG names (or ~/.kube/config)")]
    Kubeconfig(String),
    /// A client can't be made of the configuration.
    #[error("no client can be made for {url}: {cause}; check certificates and credentials in the kubeconfig")]
    Client {
        /// Address of the API server.
        url: String,
        /// What went wrong.
        cause: String,
    },
    /// Nothing answers there.
    #[error("the API server at {url} can't be reached: {cause}; check that it runs and that its address is right")]
    Unreachable {
        /// Address of the API server.
        url: String,
        /// What went wrong.
        cause: String,
    },
    /// It answers, but does not know the kinds of kpr.
    #[error("the API server at {url} does not know {GROUP}/{VERSION}: install the CRDs with `kubectl apply -f crds/`")]
    NoCrds {
        /// Address of the API server.
        url: String,
    },
    /// It answers, but not to us.
    #[error("the API server at {url} refuses us: {cause}; check the credentials and the operator's ClusterRole")]
    Refused {
        /// Address of the API server.
        url: String,
        /// What went wrong.
        cause: String,
    },
}

/// A connection to the API server: the client, and the address for messages.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// Address of the API server.
    pub url: String,
}

/// A client for the API server that the environment names. Nothing is sent yet.
pub async fn infer() -> Result<Connection, Error> {
    let mut config = configuration().await?;
    // The API server's audit log tells who it was.
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    let url = config.cluster_url.to_string();
    match Client::try_from(config) {
        Ok(client) => Ok(Connection { client, url }),
        Err(error) => Err(Error::Client {
            url,
            cause: causes(&error),
        }),
    }
}

async fn configuration() -> Result<Config, Error> {
    // Whoever names a kubeconfig means it: a mistake in it must not lead to another cluster.
    if std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty()) {
        let config = Config::from_kubeconfig(&KubeConfigOptions::default()).await;
        return config.map_err(|error| Error::Kubeconfig(all_causes(&error)));
    }
    Config::infer()
        .await
        .map_err(|error| match error.source().and_then(|source| source.downcast_ref()) {
            Some(KubeconfigError::ReadConfig(..) | KubeconfigError::FindPath) | None => {
                Error::NotConfigured(causes(&error))
            }
            Some(kubeconfig) => Error::Kubeconfig(all_causes(kubeconfig)),
        })
}

impl Connection {
    /// Does the API server answer, and know the kinds of kpr?
    pub async fn check(&self) -> Result<(), Error> {
        let url = self.url.clone();
        match self
            .client
            .list_api_group_resources(&format!("{GROUP}/{VERSION}"))
            .await
        {
            Ok(known) => {
                let served = |plural: &str| known.resources.iter().any(|resource| resource.name == plural);
                if served("kubeproxyreplacements") && served("nodedatapaths") {
                    Ok(())
                } else {
                    Err(Error::NoCrds { url })
                }
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Err(Error::NoCrds { url }),
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => Err(Error::Refused {
                url,
                cause: status.message.clone(),
            }),
            Err(error) => Err(Error::Unreachable {
                url,
                cause: causes(&error),
            }),
        }
    }
}

/// The innermost cause says most; the layers above it only repeat that something failed.
pub(crate) fn causes(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    first_line(cause)
}

/// Every layer, for errors whose outer layers say what was read.
fn all_causes(error: &dyn StdError) -> String {
    let mut text = first_line(error);
    let mut next = error.source();
    while let Some(cause) = next {
        let line = first_line(cause);
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        next = cause.source();
    }
    text
}

/// A parser may print the line that is wrong below its message.
fn first_line(error: &dyn StdError) -> String {
    error.to_string().lines().next().unwrap_or_default().trim().to_owned()
}
