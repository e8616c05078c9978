#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The two containers of compose.yaml by namespaces alone: each has its own processes, mounts and System V memory, and its own /dev/shm; they share a
# tmpfs. As root. TIDE is the command.
set -eu
tide=$(command -v "${TIDE:-tide}")
shared=$(mktemp -d)
leader=
trap '[ -z "$leader" ] || kill "$leader" || :; wait || :; umount "$shared"; rmdir "$shared"' EXIT
mount -t tmpfs -o size=256m,mode=0700 tmpfs "$shared"

contained() { # command...
    TIDE_SHM_DIR=$shared unshare --mount --pid --ipc --fork --kill-child --mount-proc \
        sh -c 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"' contained "$@"
}
contained "$tide" serve shop --ring 4M --table 16M &
leader=$!
tries=0
until contained "$tide" stat shop >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { echo "the leader does not serve" >&2; exit 1; }
    sleep 0.1
done
contained "$tide" put shop greeting hello
contained "$tide" get shop greeting --json
