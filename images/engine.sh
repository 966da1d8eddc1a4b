#!/bin/sh
# Sees to it that a container engine answers. One that answers is left alone; where there is none
# and this is root on Debian or Ubuntu, Docker is installed and started; else exit 4 says what to do.
set -eu

default=unix:///var/run/docker.sock
host=${DOCKER_HOST:-$default}
socket=/${host#unix://*/}
log=/var/log/dockerd.log
PATH=$PATH:/usr/sbin:/sbin
cd "$(dirname -- "$0")/.."
python="python3 -IS"
[ ! -x .venv/bin/python ] || python=".venv/bin/python -IS"

main() {
    case $host in
    unix://*) ;;
    *) exit 0 ;; # an engine elsewhere cannot be set up from here; the runner itself says when it does not answer
    esac
    if why=$(ping_engine "$socket" 2>&1); then
        exit 0
    fi
    may_install || explain
    # Of two callers the second waits, then finds the engine. --close keeps the lock out of dockerd's hands.
    [ "${1:-}" = locked ] || exec flock --close /run/runner-engine.lock images/engine.sh locked
    install_missing
    ping_engine "$socket" 2>/dev/null || start_engine
    echo "engine: Docker answers at $socket"
}

# Says on stderr why there is no answer.
ping_engine() {
    $python -c '
import socket, sys
link = socket.socket(socket.AF_UNIX)
link.settimeout(5)
try:
    link.connect(sys.argv[1])
    link.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
    answer = link.recv(64)
except OSError as error:
    sys.exit(error.strerror or str(error))
if b" 200 " not in answer:
    sys.exit("what listens there is not a Docker engine")
' "$1"
}

may_install() {
    [ "$host" = "$default" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && is_debian_like
}

is_debian_like() (
    # shellcheck source=/dev/null
    . /etc/os-release
    case " $ID ${ID_LIKE:-} " in *" debian "*) ;; *) return 1 ;; esac
)

install_missing() {
    missing=
    command -v dockerd >/dev/null || missing="docker.io"
    command -v iptables >/dev/null || missing="$missing iptables"
    command -v debootstrap >/dev/null || missing="$missing debootstrap" # makes the base image where none can be pulled
    [ -n "$missing" ] || return 0
    echo "engine: updating the list of Debian packages"
    apt_get update
    # Newer releases keep the client and BuildKit in packages of their own.
    case $missing in docker.io*)
        for package in docker-cli docker-buildx; do
            apt-cache show "$package" >/dev/null 2>&1 && missing="$missing $package"
        done
        ;;
    esac
    # shellcheck disable=SC2086 # a list of words
    set -- $missing
    echo "engine: installing $*"
    apt_get install --no-install-recommends --no-remove "$@"
}

apt_get() {
    output=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" 2>&1) ||
        fail "apt-get $1 failed" "$(echo "$output" | tail -n 15)" "Repair the package manager, or install Docker by hand"
}

start_engine() {
    if [ -d /run/systemd/system ]; then
        echo "engine: starting Docker with systemctl"
        systemctl start docker || fail "systemctl could not start Docker" "" "See: journalctl -u docker"
        daemon=
    elif of_process dockerd /var/run/docker.pid; then
        echo "engine: waiting for the Docker daemon that is starting"
        daemon=$(cat /var/run/docker.pid)
    else
        echo "engine: starting dockerd (its log: $log)"
        remove_stale
        daemon=$(start_daemon)
    fi
    wait_for_answer
}

# It outlives the caller, so it takes along neither the caller's open files (a CI waits until its
# pipes are closed) nor its folder nor its key. Prints the process id.
start_daemon() {
    $python -c '
import os, subprocess, sys
os.environ.pop("RUNNER_MODEL__API_KEY", None)
with open(sys.argv[1], "ab") as log:
    daemon = subprocess.Popen(
        ["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
    )
print(daemon.pid)
' "$log"
}

# A machine restored from a picture may hold pid files whose numbers now belong to others: dockerd
# refuses to start over its own, kills the process in containerd's, and waits for a dead socket.
remove_stale() {
    rm -f /var/run/docker.pid
    of_process containerd /var/run/docker/containerd/containerd.pid || rm -f /var/run/docker/containerd/containerd.pid
    case $(ping_engine /run/containerd/containerd.sock 2>&1) in
    *refused*) rm -f /run/containerd/containerd.sock ;;
    esac
}

# Is the process in this pid file alive (a zombie has no program) and the named program?
of_process() {
    case $(readlink "/proc/$(cat "$2" 2>/dev/null)/exe") in */"$1"*) ;; *) return 1 ;; esac
}

wait_for_answer() {
    deadline=$(($(date +%s) + 60))
    until why=$(ping_engine "$socket" 2>&1); do
        if [ "$(date +%s)" -ge "$deadline" ] || ! starting; then
            fail "the Docker daemon did not come up ($why)" "$(tail -n 5 "$log" 2>/dev/null || true)" \
                "The whole log: $log. In a container without privileges no engine can run: mount the outer one's socket"
        fi
        sleep 0.5
    done
}

# Where systemd is not, the installation itself may have started a daemon just before us; ours then gives way to it.
starting() {
    [ -z "$daemon" ] || readlink "/proc/$daemon/exe" >/dev/null || of_process dockerd /var/run/docker.pid
}

# Why nothing could be done about it from here, and what a person can do.
explain() {
    problem="no Docker engine answers at $host: $why"
    if [ "$host" != "$default" ]; then
        fail "$problem" "" "DOCKER_HOST says to look there: start that engine, or unset DOCKER_HOST"
    elif [ -S "$socket" ] && [ ! -w "$socket" ]; then
        fail "$problem" "" "Join the group that may use it, then log in again: sudo usermod -aG docker \"\$USER\""
    elif command -v dockerd >/dev/null; then
        fail "$problem" "Docker is installed, but does not run." "Start it: sudo systemctl start docker"
    else
        fail "$problem" "Docker is not installed; run as root on Debian or Ubuntu, this command installs it." \
            "Debian, Ubuntu: sudo apt-get install docker.io. Elsewhere: https://docs.docker.com/engine/install/
(packages docker-ce docker-ce-cli containerd.io docker-buildx-plugin). An engine at another socket: set DOCKER_HOST"
    fi
}

fail() {
    {
        echo "error: $1"
        [ -z "$2" ] || echo "$2"
        echo "hint: $3"
    } >&2
    exit 4
}

main "$@"
