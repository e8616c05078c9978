# SPDX-License-Identifier: LGPL-2.1-or-later
# etcd for tests of commands: read behind tests/lib/commands.sh, which stops what was started ($pids) and removes $work.
# Members are numbered from 0; etcd_port_N, etcd_pid_N are theirs; $etcd is the list of endpoints.
for need in etcd etcdctl; do
    command -v $need >/dev/null 2>&1 || { echo "skipped: there is no $need here (Debian: etcd-server, etcd-client)"; exit 77; }
done
ETCDCTL_API=3
export ETCDCTL_API
etcd_scheme=http

random_port() {
    echo $((20000 + $(od -An -N2 -tu2 /dev/urandom | tr -d ' ') % 12000))
}

# A member, whose data and ports are set; more arguments behind. $etcd_cluster names all.
etcd_begin() { # number arguments...
    n=$1
    shift
    eval "client=\$etcd_port_$n peer=\$etcd_peer_$n"
    etcd --name "m$n" --data-dir "$work/etcd$n" --unsafe-no-fsync --listen-client-urls "$etcd_scheme://127.0.0.1:$client" \
        --advertise-client-urls "$etcd_scheme://127.0.0.1:$client" --listen-peer-urls "http://127.0.0.1:$peer" \
        --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "$etcd_cluster" \
        --logger zap --log-outputs stderr "$@" >>"$work/etcd$n.log" 2>&1 </dev/null &
    eval "etcd_pid_$n=$!"
    pids="$pids $!"
}

etcd_start() { # members arguments...
    members=$1
    shift
    for try in 1 2 3 4 5; do
        etcd= etcd_cluster= started= i=0
        while [ $i -lt "$members" ]; do
            eval "etcd_port_$i=$(random_port) etcd_peer_$i=$(random_port)"
            eval "etcd=\$etcd\${etcd:+,}127.0.0.1:\$etcd_port_$i"
            eval "etcd_cluster=\$etcd_cluster\${etcd_cluster:+,}m$i=http://127.0.0.1:\$etcd_peer_$i"
            rm -rf "$work/etcd$i"
            i=$((i + 1))
        done
        i=0
        while [ $i -lt "$members" ]; do
            etcd_begin $i "$@"
            started="$started $!"
            i=$((i + 1))
        done
        for wait in $(seq 100); do
            # A port that was taken: its member ends.
            # shellcheck disable=SC2086 # processes are words
            kill -0 $started 2>/dev/null || break
            [ "$(grep -l 'serving client traffic' "$work"/etcd[0-9].log 2>/dev/null | wc -l)" = "$members" ] && return 0
            sleep 0.1
        done
        # shellcheck disable=SC2086
        kill -9 $started 2>/dev/null
        rm -f "$work"/etcd[0-9].log
    done
    echo "etcd does not start"
    tail -n 3 "$work"/etcd[0-9].log
    exit 1
}

# Skips the test where this build of `tide` has no upstream.
need_libcurl() {
    [ "$("$tide" serve d --upstream etcd://127.0.0.1:1/ 2>&1 >/dev/null | grep -c libcurl)" = 0 ] || { echo "skipped: no libcurl"; exit 77; }
}

# Many keys, in few transactions, into the first member.
etcd_load() { # arguments of the tool behind the port
    "$(dirname "$tide")/tests/tool_etcd_load" "$etcd_port_0" "$@" || { bad "tool_etcd_load $*"; exit 1; }
}

control() { # arguments of etcdctl...
    timeout 20 etcdctl --endpoints="$etcd" "$@" 2>&1
}

# Another host: a folder of its own for shared memory.
host() { # name arguments of expect...
    TIDE_SHM_DIR=$hosts/$1
    shift
    expect "$@"
}
on() { # name: from now on
    mkdir -p "$hosts/$1"
    TIDE_SHM_DIR=$hosts/$1
    export TIDE_SHM_DIR
}
hosts=$TIDE_SHM_DIR
