//! The server as the real `kubectl` sees it. Without kubectl these tests fail: `cargo xtask setup` installs it.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use common::{gateway, gateways};
use kpr_apiserver::{ApiServer, Serving};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server, and a kubectl with a configuration and caches of its own.
struct Fixture {
    server: ApiServer,
    _serving: Serving,
    dir: TempDir,
}

impl Fixture {
    fn new() -> Result<Self> {
        let server = ApiServer::new();
        let serving = server.serve(TcpListener::bind("127.0.0.1:0")?)?;
        let dir = TempDir::new()?;
        serving.write_kubeconfig(&dir.path().join("config"))?;
        Ok(Self {
            server,
            _serving: serving,
            dir,
        })
    }

    fn with_gateways() -> Result<Self> {
        let fixture = Self::new()?;
        fixture.server.create(gateways())?;
        Ok(fixture)
    }

    fn file(&self, name: &str, object: &Value) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        fs::write(&path, object.to_string())?;
        Ok(path)
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("kubectl");
        command
            .env("KUBECONFIG", self.dir.path().join("config"))
            .env("HOME", self.dir.path())
            .arg("--cache-dir")
            .arg(self.dir.path().join("cache"))
            .args(arguments.split_whitespace())
            .stdin(Stdio::null());
        command
    }

    async fn output(&self, mut command: Command) -> Result<Output> {
        let run = tokio::task::spawn_blocking(move || command.output());
        common::within(run)
            .await?
            .context("kubectl must be on the PATH; `cargo xtask setup` installs it")
    }

    /// Runs kubectl; what it prints on success.
    async fn kubectl(&self, arguments: &str) -> Result<String> {
        self.run(self.command(arguments)).await
    }

    async fn run(&self, command: Command) -> Result<String> {
        let shown = format!("{command:?}");
        let output = self.output(command).await?;
        let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure!(output.status.success(), "{shown} failed:\n{out}{err}");
        Ok(out)
    }

    /// Runs kubectl; what it complains about.
    async fn refused(&self, arguments: &str) -> Result<String> {
        let output = self.output(self.command(arguments)).await?;
        ensure!(!output.status.success(), "kubectl {arguments} was not refused");
        Ok(String::from_utf8(output.stderr)?)
    }

    async fn gateway(&self, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.kubectl(&format!("get gw {name} -o json")).await?,
        )?)
    }
}

/// The words of each line, without the last column (the age).
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]}]},
            },
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crd_is_created_and_waited_for_and_its_objects_are_shown() -> Result<()> {
    let kube = Fixture::new()?;
    let crd = kube.file("crd.json", &gateways())?;
    let created = kube.kubectl(&format!("create -f {}", crd.display())).await?;
    assert_eq!(
        created.trim(),
        "customresourcedefinition.apiextensions.k8s.io/gateways.test.kpr.dev created"
    );
    kube.kubectl("wait --for=condition=Established crd/gateways.test.kpr.dev --timeout=10s")
        .await?;

    let file = kube.file("a.json", &gateway("a", json!({"mode": "Partial"})))?;
    kube.kubectl(&format!("create -f {}", file.display())).await?;
    let table = kube.kubectl("get gw").await?;
    assert_eq!(rows(&table)[0], ["NAME", "MODE", "READY", "AGE"]);
    assert_eq!(rows(&table)[1][..2], ["a", "Partial"]);
    let wide = kube.kubectl("get networking -o wide").await?;
    assert_eq!(rows(&wide)[0], ["NAME", "MODE", "READY", "REASON", "AGE"]);
    assert_eq!(kube.kubectl("get gw -o name").await?.trim(), "gateway.test.kpr.dev/a");
    assert!(kube.kubectl("get gw a -o yaml").await?.contains("mode: Partial"));
    assert_eq!(
        rows(
            &kube
                .kubectl("get gw --field-selector spec.mode=Partial --no-headers")
                .await?
        )
        .len(),
        1
    );
    let described = kube.kubectl("describe gw a").await?;
    assert!(rows(&described).contains(&vec!["Mode:", "Partial"]), "{described}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_changes_only_what_changed() -> Result<()> {
    let kube = Fixture::with_gateways()?;
    let file = kube.file("a.json", &gateway("a", json!({"mode": "Partial", "devices": ["eth0"]})))?;
    let apply = format!("apply -f {}", file.display());
    assert_eq!(kube.kubectl(&apply).await?.trim(), "gateway.test.kpr.dev/a created");
    assert_eq!(kube.kubectl(&apply).await?.trim(), "gateway.test.kpr.dev/a unchanged");
    kube.file("a.json", &gateway("a", json!({"devices": ["eth1"]})))?;
    assert_eq!(
        kube.kubectl(&format!("{apply} --dry-run=server")).await?.trim(),
        "gateway.test.kpr.dev/a configured (server dry run)"
    );
    assert_eq!(kube.gateway("a").await?["spec"]["devices"], json!(["eth0"]));
    assert_eq!(kube.kubectl(&apply).await?.trim(), "gateway.test.kpr.dev/a configured");
    let spec = &kube.gateway("a").await?["spec"];
    assert_eq!((&spec["mode"], &spec["devices"]), (&json!("Strict"), &json!(["eth1"])));

    kube.file("a.json", &gateway("a", json!({"mod": "Partial"})))?;
    let error = kube.refused(&apply).await?;
    assert!(error.contains("unknown field \"spec.mod\""), "{error}");
    kube.file("a.json", &gateway("a", json!({"ports": {"min": 2000, "max": 1500}})))?;
    let error = kube.refused(&apply).await?;
    assert!(
        error.contains("spec.ports.min: Invalid value: \"object\": min must not be above max"),
        "{error}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_apply_reports_conflicts() -> Result<()> {
    let kube = Fixture::with_gateways()?;
    let file = kube.file("a.json", &gateway("a", json!({"mode": "Partial"})))?;
    let apply = format!("apply --server-side -f {}", file.display());
    kube.kubectl(&apply).await?;
    kube.file("a.json", &gateway("a", json!({"mode": "Strict"})))?;
    let error = kube.refused(&format!("{apply} --field-manager=other")).await?;
    assert!(
        error.contains(r#"Apply failed with 1 conflict: conflict with "kubectl": .spec.mode"#),
        "{error}"
    );
    kube.kubectl(&format!("{apply} --field-manager=other --force-conflicts"))
        .await?;
    assert_eq!(kube.gateway("a").await?["spec"]["mode"], "Strict");

    // A client-side applied object is taken over: kubectl moves the managed fields.
    let mine = kube.file("b.json", &gateway("b", json!({"mode": "Partial"})))?;
    kube.kubectl(&format!("apply -f {}", mine.display())).await?;
    kube.file("b.json", &gateway("b", json!({"devices": ["eth0"]})))?;
    kube.kubectl(&format!("apply --server-side -f {}", mine.display()))
        .await?;
    let managers = kube
        .kubectl("get gw b -o jsonpath={.metadata.managedFields[*].manager} --show-managed-fields")
        .await?;
    // Their order is that of their times, which count seconds.
    let mut managers: Vec<_> = managers.split(' ').collect();
    managers.sort_unstable();
    assert_eq!(managers, ["kubectl", "kubectl-last-applied"]);
    assert_eq!(kube.gateway("b").await?["spec"]["mode"], "Strict");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_patched_labelled_annotated_edited_and_replaced() -> Result<()> {
    let kube = Fixture::with_gateways()?;
    kube.server.create(gateway("a", json!({})))?;
    kube.kubectl(r#"patch gw a --type=merge -p {"spec":{"mode":"Partial"}}"#)
        .await?;
    kube.kubectl(r#"patch gw a --type=json -p [{"op":"replace","path":"/spec/devices","value":["eth1"]}]"#)
        .await?;
    kube.kubectl(r#"patch gw a --subresource=status --type=merge -p {"status":{"ready":1}}"#)
        .await?;
    kube.kubectl("label gw a tier=front").await?;
    kube.kubectl("annotate gw a note=x").await?;
    let mut edit = kube.command("edit gw a");
    edit.env("KUBE_EDITOR", "sed -i s/eth1/eth2/");
    kube.run(edit).await?;
    let object = kube.gateway("a").await?;
    assert_eq!(
        (
            &object["spec"]["mode"],
            &object["spec"]["devices"],
            &object["status"]["ready"]
        ),
        (&json!("Partial"), &json!(["eth2"]), &json!(1))
    );
    assert_eq!(
        (
            &object["metadata"]["labels"]["tier"],
            &object["metadata"]["annotations"]["note"]
        ),
        (&json!("front"), &json!("x"))
    );

    let file = kube.file("a.json", &gateway("a", json!({"mode": "Strict"})))?;
    kube.kubectl(&format!("replace -f {}", file.display())).await?;
    assert_eq!(kube.gateway("a").await?["spec"]["devices"], json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_and_delete_follow_the_object() -> Result<()> {
    let kube = Fixture::with_gateways()?;
    kube.server.create(gateway("a", json!({})))?;
    let waiting = kube.command("wait --for=condition=Ready gw/a --timeout=15s");
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]}});
    let (waited, patched) = tokio::join!(kube.run(waiting), async {
        while kube.server.requests().count("watch", "gateways") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kube.kubectl(&format!("patch gw a --subresource=status --type=merge -p {ready}"))
            .await
    });
    patched?;
    assert_eq!(waited?.trim(), "gateway.test.kpr.dev/a condition met");
    assert_eq!(
        rows(&kube.kubectl("get gw --no-headers").await?)[0][..3],
        ["a", "Strict", "True"]
    );

    kube.kubectl(r#"patch gw a --type=merge -p {"metadata":{"finalizers":["test.kpr.dev/hold"]}}"#)
        .await?;
    let deleting = kube.command("delete gw a --timeout=15s");
    let watches = kube.server.requests().count("watch", "gateways");
    let (deleted, released) = tokio::join!(kube.run(deleting), async {
        while kube.server.requests().count("watch", "gateways") == watches {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kube.kubectl(r#"patch gw a --type=merge -p {"metadata":{"finalizers":null}}"#)
            .await
    });
    released?;
    assert_eq!(deleted?.trim(), "gateway.test.kpr.dev \"a\" deleted");
    assert!(
        kube.refused("get gw a")
            .await?
            .contains(r#"gateways.test.kpr.dev "a" not found"#)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_table_shows_each_change_on_a_line() -> Result<()> {
    let kube = Fixture::with_gateways()?;
    kube.server.create(gateway("a", json!({})))?;
    let mut child = kube.command("get gw -w").stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().context("stdout")?;
    let (lines, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    let mut next = async || common::within(seen.recv()).await.context("kubectl ended");
    let result = async {
        ensure!(next().await?.starts_with("NAME"));
        ensure!(next().await?.starts_with("a "));
        kube.kubectl(r#"patch gw a --type=merge -p {"spec":{"mode":"Partial"}}"#)
            .await?;
        let changed = next().await?;
        ensure!(changed.split_whitespace().take(2).eq(["a", "Partial"]), "{changed}");
        kube.server.create(gateway("b", json!({})))?;
        let added = next().await?;
        ensure!(added.starts_with("b "), "{added}");
        anyhow::Ok(())
    }
    .await;
    child.kill()?;
    child.wait()?;
    if reader.join().is_err() {
        bail!("the reader panicked");
    }
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_exposed_scaled_and_patched_as_a_built_in_kind() -> Result<()> {
    let kube = Fixture::new()?;
    let file = kube.file("web.json", &deployment())?;
    let apply = format!("apply -f {}", file.display());
    kube.kubectl(&apply).await?;
    assert_eq!(kube.kubectl(&apply).await?.trim(), "deployment.apps/web unchanged");
    kube.kubectl("expose deployment web --type=NodePort --port=80").await?;
    let services = kube.kubectl("get svc -o wide --no-headers").await?;
    let row = &rows(&services)[0];
    assert_eq!(
        (row[0], row[1], row[3], row[6]),
        ("web", "NodePort", "<none>", "app=web")
    );
    assert!(row[4].starts_with("80:3") && row[4].ends_with("/TCP"), "{}", row[4]);

    kube.kubectl("scale deployment web --replicas=3").await?;
    kube.kubectl("set image deployment/web web=web:2").await?;
    assert_eq!(
        rows(&kube.kubectl("get deploy --no-headers -o wide").await?)[0][..2],
        ["web", "0/3"]
    );
    let mut changed = deployment();
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:3");
    kube.file("web.json", &changed)?;
    kube.kubectl(&apply).await?;
    let image = "get deploy web -o jsonpath={.spec.template.spec.containers[*].image}:{.spec.replicas}";
    assert_eq!(kube.kubectl(image).await?, "web:3:2");
    assert!(
        kube.kubectl("describe svc web")
            .await?
            .contains("Selector:                 app=web")
    );
    let explained = kube.kubectl("explain deployment.spec.replicas").await?;
    assert!(
        explained.contains("FIELD: replicas <integer>") && explained.contains("Number of desired pods"),
        "{explained}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_sends_as_protobuf_is_understood() -> Result<()> {
    let kube = Fixture::new()?;
    for create in [
        "create namespace team",
        "create configmap settings --from-literal=a=b",
        "create secret generic password --from-literal=a=b",
        "create serviceaccount robot",
        "create deployment web --image=web --replicas=2 --port=80",
        "create service nodeport web --tcp=80:8080",
    ] {
        kube.kubectl(create).await?;
    }
    assert_eq!(kube.kubectl("get cm settings -o jsonpath={.data.a}").await?, "b");
    assert_eq!(kube.kubectl("get secret password -o jsonpath={.data.a}").await?, "Yg==");
    let deployment =
        "get deploy web -o jsonpath={.spec.replicas},{.spec.template.spec.containers[0].ports[0].containerPort}";
    assert_eq!(kube.kubectl(deployment).await?, "2,80");
    assert_eq!(
        kube.kubectl("get svc web -o jsonpath={.spec.ports[0].targetPort}")
            .await?,
        "8080"
    );
    assert_eq!(
        rows(&kube.kubectl("get ns team --no-headers").await?)[0][..2],
        ["team", "Active"]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_knows_the_fields_of_a_custom_resource() -> Result<()> {
    let kube = Fixture::with_gateways()?;
    let explained = kube.kubectl("explain gw.spec.ports").await?;
    for part in [
        "KIND:       Gateway",
        "FIELD: ports <Object>",
        "The range of ports.",
        "max\t<integer>",
        "min\t<integer>",
    ] {
        assert!(explained.contains(part), "{explained}\nshould contain {part}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_is_said_plainly() -> Result<()> {
    let kube = Fixture::new()?;
    let error = kube.refused("get clusterroles").await?;
    assert!(
        error.contains("the server doesn't have a resource type \"clusterroles\""),
        "{error}"
    );
    let error = kube.refused("get nodes missing").await?;
    assert!(error.contains("nodes \"missing\" not found"), "{error}");
    Ok(())
}
