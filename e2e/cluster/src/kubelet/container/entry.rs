//! The way into a container that runs: a script that does what a container runtime is asked for by `kubectl exec`. Pure.

use std::path::Path;

use super::root::quoted;

/// The script, in the container's directory.
pub(super) const SCRIPT: &str = "enter";

/// Runs its arguments in the container, whose processes are listed in the cgroup's file `processes`: in its network and its files, with
/// this security context, as arguments of setpriv(1), and these variables and no others.
pub(super) fn script(processes: &Path, security: &[String], environment: &[(String, String)]) -> String {
    let variables: Vec<_> = environment
        .iter()
        .map(|(name, value)| quoted(format!("{name}={value}")))
        .collect();
    format!(
        "# The first is the container's own process: it was there before any other could be started in it.\n\
         read -r process < {processes} || {{ echo 'the container does not run' >&2; exit 1; }}\n\
         echo $$ > {processes} || exit 1\n\
         exec env -i {variables} \\\n\
         \x20 nsenter --target \"$process\" --net --mount --root --wd=/ \\\n\
         \x20 setpriv {security} \"$@\"\n",
        processes = quoted(processes.display()),
        variables = variables.join(" "),
        security = security.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_enters_has_what_the_container_has() {
        let environment = [("MOTTO".to_owned(), "don't $HOME".to_owned())];
        let security = ["--reuid=7".to_owned(), "--no-new-privs".to_owned()];
        let script = script(Path::new("/cgroup/a pod/cgroup.procs"), &security, &environment);
        for part in [
            "echo $$ > '/cgroup/a pod/cgroup.procs' ||",
            r"exec env -i 'MOTTO=don'\''t $HOME' \",
            "setpriv --reuid=7 --no-new-privs \"$@\"\n",
        ] {
            assert!(script.contains(part), "no {part} in {script}");
        }
    }
}
