#!/bin/sh
# The first process of a guest: mounts what Linux systems have mounted, loads modules, carries out /jobs, powers off.
# What it says goes to the second serial port; lines that begin with @@ are for xtask.
export PATH=/bin HOME=/tmp KPR_BIN_DIR=/kpr

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf

job() { # job NAME SECONDS COMMAND...
    local name=$1 limit=$2
    shift 2
    echo "@@ job $name"
    timeout -k 10 "$limit" "$@" </dev/null
    echo "@@ end $name $?"
}

# Closed before the end, so that the last line is out when the machine goes off.
{
    echo "@@ kernel $(uname -r)"
    while read -r module; do
        insmod "/modules/$module.ko" || echo "cannot load the module $module"
    done </modules/order
    ip link set lo up
    . /jobs
} >/dev/ttyS1 2>&1
poweroff -f
