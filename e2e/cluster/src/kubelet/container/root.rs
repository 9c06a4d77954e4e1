//! A container's root file system: a script that builds it in a mount namespace of its own. Pure.

use std::fmt::{Display, Write as _};

use super::mounts::Mount;

/// Where the container has its programs.
pub(super) const PROGRAMS: &str = "/kpr";

/// Builds the root at `$1` with kpr's programs of the directory `$2`, and goes on there with the command that follows.
///
/// /proc and /sys are as container runtimes make them: of the container's own namespaces, and read-only where they configure the
/// kernel.
pub(super) fn script(mounts: &[Mount], read_only: bool) -> String {
    let mut script = String::from(
        r#"
root=$1 programs=$2
shift 2
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
mkdir proc sys dev tmp etc usr run var kpr
mount --rbind -o ro /usr usr
for link in bin sbin lib lib64; do
    if [ -L /$link ]; then cp -P /$link $link; elif [ -d /$link ]; then mkdir $link; mount --rbind -o ro /$link $link; fi
done
for program in kpr kpr-node-agent kpr-operator; do
    touch kpr/$program
    mount --bind -o ro "$programs/$program" kpr/$program
done
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro,nosuid,nodev,noexec proc/sys
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o mode=755 dev dev
for device in null zero random urandom; do touch dev/$device; mount --bind /dev/$device dev/$device; done
"#,
    );
    for Mount {
        source,
        target,
        read_only,
    } in mounts
    {
        let inside = quoted(target.strip_prefix("/").unwrap_or(target).display());
        let from = quoted(source.display());
        // What is there already (below /proc and /sys) cannot be made, and need not be. Writing to a String cannot fail.
        let _ = writeln!(
            script,
            "if [ -d {from} ]; then [ -d {inside} ] || mkdir -p {inside}; \
             else mkdir -p \"$(dirname {inside})\"; [ -e {inside} ] || touch {inside}; fi"
        );
        let _ = writeln!(script, "mount --rbind {from} {inside}");
        if *read_only {
            let _ = writeln!(script, "mount -o remount,bind,ro {inside}");
        }
    }
    if read_only {
        script.push_str("mount -o remount,bind,ro \"$root\"\n");
    }
    script.push_str("exec chroot \"$root\" \"$@\"\n");
    script
}

/// For a shell.
pub(super) fn quoted(text: impl Display) -> String {
    format!("'{}'", text.to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_mounted_before_the_root_is_closed() {
        let mounts = [Mount {
            source: "/a dir".into(),
            target: "/sys/fs/bpf".into(),
            read_only: true,
        }];
        let script = script(&mounts, true);
        let place = |text: &str| script.find(text).unwrap_or_else(|| panic!("no {text} in {script}"));
        assert!(place("mount --rbind '/a dir' 'sys/fs/bpf'") < place("remount,bind,ro 'sys/fs/bpf'"));
        assert!(place("remount,bind,ro 'sys/fs/bpf'") < place("remount,bind,ro \"$root\""));
        assert!(script.trim_end().ends_with("exec chroot \"$root\" \"$@\""));
    }
}
