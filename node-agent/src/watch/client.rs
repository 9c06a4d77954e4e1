//! The connection to the API server.

use std::time::Duration;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, KubeconfigError},
};

use super::stream::chain;

/// Longer than a watch that has nothing to tell (290 s): only a connection that is dead without knowing it is cut.
const READ_TIMEOUT: Duration = Duration::from_mins(5);
/// A node's API server is near, or away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why it is not known how to reach the API server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A kubeconfig was named and is wrong.
    #[error("the kubeconfig {file} cannot be used: {why}; correct it, or set KUBECONFIG to another file")]
    Kubeconfig {
        /// As the user named it.
        file: String,
        /// In one line.
        why: String,
    },
    /// There is none, and this is no pod.
    #[error(
        "it is not known where the API server is: set KUBECONFIG to a kubeconfig file, or run as a pod with \
         KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT set to the API server's own address"
    )]
    Nowhere,
    /// Certificates or addresses in it are wrong.
    #[error("no connection to the API server can be set up: {0}; correct the kubeconfig")]
    Client(String),
}

/// Reads the configuration (the file that KUBECONFIG names, else `~/.kube/config`, else the pod's own) and makes a
/// client; nothing is sent yet. Returns the API server's address too.
pub async fn connect() -> Result<(Client, String), ConfigError> {
    let mut config = load().await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    // Watches have a back-off of their own, and what fails shall be seen and not retried in silence.
    config.default_retry = false;
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| ConfigError::Client(chain(&error)))?;
    Ok((client, server))
}

/// A kubeconfig that is there and wrong is an error, even in a pod: `Config::infer` would pass over it without a word.
async fn load() -> Result<Config, ConfigError> {
    let named = std::env::var("KUBECONFIG").ok().filter(|value| !value.is_empty());
    match Config::from_kubeconfig(&KubeConfigOptions::default()).await {
        Ok(config) => Ok(config),
        Err(error) if named.is_none() && is_absent(&error) => Config::incluster().map_err(|_| ConfigError::Nowhere),
        Err(error) => Err(explain(&error, named)),
    }
}

fn explain(error: &KubeconfigError, named: Option<String>) -> ConfigError {
    // A YAML error goes on with a picture of the place.
    let why = chain(error).lines().next().unwrap_or_default().to_owned();
    ConfigError::Kubeconfig {
        file: named.unwrap_or_else(|| "~/.kube/config".to_owned()),
        why,
    }
}

fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(why, _) => why.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use kube::config::Kubeconfig;

    use super::*;

    #[test]
    fn a_kubeconfig_that_is_none_is_one_sentence_that_names_it() {
        let error = Kubeconfig::from_yaml("clusters: {this is: [no kubeconfig\n").unwrap_err();
        let sentence = explain(&error, Some("/etc/kpr/kubeconfig".into())).to_string();
        assert!(
            sentence.starts_with("the kubeconfig /etc/kpr/kubeconfig cannot be used: "),
            "{sentence}"
        );
        assert!(
            sentence.ends_with("; correct it, or set KUBECONFIG to another file"),
            "{sentence}"
        );
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
    }
}
