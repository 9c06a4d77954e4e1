//! Containers of kpr's own pods: kpr's programs, run as the pod's spec says, with its environment, its mounts, and no more
//! privileges than it asks for. So the Helm chart is tried as it is.
//!
//! What stands for the image is this machine's `/usr`, read-only, because the programs under test are linked to its libraries.

mod config_map;
mod entry;
mod environment;
mod identity;
mod mounts;
mod probe;
mod root;
mod security;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::{Client, ResourceExt as _};

pub(super) use self::probe::Place;
use self::{environment::Surroundings, mounts::Places};
use super::Names;
use crate::{
    address::Addresses,
    process::{Launch, Process, write_script},
    testbed::{Host, PodHost, Testbed},
};

/// Programs that are run as containers; any other image stands for the test cluster's own server.
const PROGRAMS: [&str; 3] = ["kpr", "kpr-node-agent", "kpr-operator"];

/// The pod's token and what comes with it, in the container's directory.
const SERVICE_ACCOUNT: &str = "serviceaccount";

/// The program that a pod runs, if it is one of kpr's.
pub(super) fn program(pod: &Pod) -> Option<&'static str> {
    let container = pod.spec.as_ref()?.containers.first()?;
    let command = Path::new(container.command.as_ref()?.first()?).file_name()?.to_str()?;
    PROGRAMS.into_iter().find(|program| *program == command)
}

/// Starts the container of a pod of kpr's.
pub(super) async fn start(
    client: &Client,
    testbed: &Testbed,
    node: &str,
    place: &PodHost,
    pod: &Pod,
) -> Result<Process> {
    let host = testbed.host(node)?;
    let spec = pod.spec.as_ref().context("the pod has no spec")?;
    let container = only_container(spec)?;
    let directory = directory(host, pod);
    let identity = identity::write(client, pod, &directory.join(SERVICE_ACCOUNT)).await?;
    config_map::fill(client, pod, &directory).await?;
    let root = directory.join("root");
    fs::create_dir_all(&root).with_context(|| format!("make {}", root.display()))?;

    let surroundings = Surroundings {
        pod,
        node,
        pod_addresses: place.addresses,
        host_addresses: host.spec.addresses,
        kubernetes: identity.kubernetes,
    };
    let places = Places {
        host,
        directory: &directory,
        service_account: &identity.directory,
    };
    let environment = environment::of(container, &surroundings)?;
    let command = environment::command(container, &environment);
    let script = root::script(
        &mounts::of(spec, container, &places)?,
        security::has_read_only_root(container),
    );
    let security = security::arguments(spec, container)?;
    let enter = entry::script(&place.cgroup.procs(), &security, &environment);
    write_script(&directory.join(entry::SCRIPT), &enter)?;
    let launch: Launch = place
        .launch("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-euc", &script, "sh"])
        .arg(&root)
        .arg(testbed.binaries().directory())
        .arg("setpriv")
        .args(security)
        .args(command)
        .only_env(environment);
    launch.spawn(&host.pod_log(&Names::of(pod).sandbox)).await
}

/// Looks after a pod of kpr's that runs on `host`, until this is dropped: its readiness is told to the kubelet at `notify`, and changes
/// of ConfigMaps come into its volumes.
pub(super) async fn attend(client: &Client, host: &Host, place: Place, pod: &Pod, notify: &Path) -> Result<()> {
    let directory = directory(host, pod);
    let following = async {
        config_map::follow(client, pod, &directory).await;
        Ok(())
    };
    tokio::try_join!(probe::ready(place, pod, notify), following)?;
    Ok(())
}

/// What `kubectl exec` asks for: runs its arguments inside the container of a pod of kpr's that runs on `host`, with what it has.
pub(crate) fn exec(host: &Host, pod: &Pod) -> Launch {
    Launch::new(way_in(&host.dir, &pod.uid().unwrap_or_default()))
}

/// The same for the pod with this UID, as the script's path. `node`: the node's directory.
pub(crate) fn way_in(node: &Path, uid: &str) -> PathBuf {
    directory_of(node, uid).join(entry::SCRIPT)
}

/// The token of a pod of kpr's that runs on `host`.
pub(crate) fn token(host: &Host, pod: &Pod) -> Result<String> {
    let path = directory(host, pod).join(SERVICE_ACCOUNT).join("token");
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// Removes what [`start`] has written.
pub(super) fn clean_up(testbed: &Testbed, node: &str, pod: &Pod) -> Result<()> {
    let directory = directory(testbed.host(node)?, pod);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

fn directory(host: &Host, pod: &Pod) -> PathBuf {
    directory_of(&host.dir, &pod.uid().unwrap_or_default())
}

fn directory_of(node: &Path, uid: &str) -> PathBuf {
    node.join("containers").join(uid)
}

fn only_container(spec: &PodSpec) -> Result<&Container> {
    ensure!(
        spec.init_containers.as_ref().is_none_or(Vec::is_empty) && spec.containers.len() == 1,
        "the test cluster runs pods of kpr's with one container and no init container"
    );
    Ok(&spec.containers[0])
}

/// Addresses as they are written in a status.
fn joined(addresses: Addresses) -> String {
    let all: Vec<String> = addresses.iter().map(|address| address.to_string()).collect();
    all.join(",")
}
