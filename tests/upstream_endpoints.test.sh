#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide serve --upstream`: by IPv6, with an endpoint of another cluster among the good ones, by TLS that does not fit; and what `tide stat` says
# of what it cannot take. Exit codes: 0 good, 1 not, 77 skipped.
cd "$(dirname "$0")/.." || exit 1
. tests/lib/commands.sh
. tests/lib/etcd.sh
need_libcurl

stat_says() { # pattern in what stat says of the source, in one line
    "$tide" stat d --json >"$work/out" 2>"$work/err"
    grep -Eq "\"note\": \"[^\"]*$1" "$work/out"
}

# ---- by IPv6 ----
if [ -e /proc/sys/net/ipv6/conf/lo/disable_ipv6 ] && [ "$(cat /proc/sys/net/ipv6/conf/lo/disable_ipv6)" = 0 ]; then
    etcd_start 1
    kill -9 "$etcd_pid_0"
    wait "$etcd_pid_0" 2>/dev/null
    etcd_begin 0 --listen-client-urls "http://127.0.0.1:$etcd_port_0,http://[::1]:$etcd_port_0"
    begin six serve d --upstream "etcd://[::1]:$etcd_port_0/app/"
    server=$begun
    ready six
    expect 0 "put by IPv6" put d k v
    expect 0 "get by IPv6" get d k
    is v
    until_true 20 "stat names it" stat_says "watching \[::1\]:$etcd_port_0"
    kill "$server"
    ended "$server" 0 "serve by IPv6"
else
    echo "no IPv6 here: left out"
    etcd_start 1
fi

# ---- some endpoints are of another cluster ----
# The ports and folders of the first one move to number 9.
ours=127.0.0.1:$etcd_port_0
ours_pid=$etcd_pid_0
mv "$work/etcd0" "$work/etcd9"
mv "$work/etcd0.log" "$work/etcd9.log"
etcd_start 1
theirs=127.0.0.1:$etcd_port_0
theirs_pid=$etcd_pid_0
control put app/k theirs >/dev/null
control put app/only-theirs x >/dev/null
etcd=$ours
control put app/k ours >/dev/null
begin first serve d --upstream "etcd://$ours/app/"
server=$begun
ready first
expect 0 "get" get d k
is ours
# While nobody reads, nothing is asked. What the reads so far have asked for ends by itself.
asks_nothing() {
    "$tide" stat d --json >"$work/out" 2>"$work/err"
    before=$(field questions)
    sleep 1
    "$tide" stat d --json >"$work/out" 2>"$work/err"
    [ -n "$before" ] && [ "$before" = "$(field questions)" ]
}
until_true 60 "nobody reads, and nothing is asked" asks_nothing
expect 0 "get" get d k
expect 0 "stat" stat d --json
[ "$(field questions)" -gt "$before" ] || bad "a linearizable read asked nothing"
# A proxy that speaks no JSON is named.
proxy=$(random_port)
etcd grpc-proxy start --endpoints="$ours" --listen-addr="127.0.0.1:$proxy" >"$work/proxy.log" 2>&1 &
pids="$pids $!"
until_true 20 "the proxy" grep -q 'listening\|started gRPC proxy' "$work/proxy.log"
expect 7 "by etcd grpc-proxy" serve p --upstream "etcd://127.0.0.1:$proxy/app/"
warns 'this is no etcd: .*nor has etcd grpc-proxy what is asked: name a member'
rm -f "$TIDE_SHM_DIR"/tidemark.p.*
kill "$server"
ended "$server" 0 "serve of one cluster"
control put app/k newer >/dev/null
for list in "$theirs,$ours" "$ours,$theirs"; do
    begin mixed serve d --upstream "etcd://$list/app/"
    server=$begun
    ready mixed
    i=0
    while [ $i -lt 20 ]; do # whichever it asks
        expect 0 "put of $i" put d mixed$i v
        expect 0 "get of what is newest" get d k
        is newer
        i=$((i + 1))
    done
    expect 1 "the other cluster's key" get d only-theirs
    grep -q 'begins anew' "$work/mixed.err" && bad "an endpoint of another cluster cost the domain its data"
    # Which of the two is asked is by chance, but for the host's start: so until it was.
    asked() { "$tide" get d k >/dev/null; stat_says "$theirs: (it is a member of another cluster|what the domain holds is of another)"; }
    kill -STOP "$ours_pid" # then the other one is
    until_true 60 "stat names the endpoint of another cluster" asked
    kill -CONT "$ours_pid"
    grep -q "$theirs: \(it is a member of another cluster\|what the domain holds is of another\)" "$work/mixed.err" ||
        { cat "$work/mixed.err"; bad "the log does not name the endpoint"; }
    again() { "$tide" put d again v --timeout 2s; }
    until_true 60 "it takes writes again" again
    kill "$server"
    ended "$server" 0 "serve with an endpoint of another cluster"
done
etcd=$theirs
control get app/ --prefix --keys-only >"$work/out"
grep -q 'mixed\|again' "$work/out" && bad "a write went to the other cluster"
kill -9 "$theirs_pid" "$ours_pid"
wait "$theirs_pid" "$ours_pid" 2>/dev/null
expect 0 "rm" rm d

# ---- what the domain cannot hold ----
etcd_start 1
begin small serve d --upstream "etcd://$etcd/app/" --ring 64K --table 1M
server=$begun
ready small
control put app/k v >/dev/null
control put elsewhere/k v >/dev/null
control put app x >/dev/null # shorter than the prefix
control put "app/$(head -c 65536 /dev/zero | tr '\0' k)" v >/dev/null
until_true 20 "stat tells of a name that is too long" stat_says 'keys of 0 or over 65535 bytes left out'
control put "app/$(head -c 15000 /dev/zero | tr '\0' k)" v >/dev/null # a long one, and it fits
expect 0 "bound 0 all the same" get d k
is v
expect 0 "the keys" scan d --json
[ "$(grep -c '"key"' "$work/out")" = 2 ] || bad "there are not the two keys of the prefix that fit"
until_true 20 "stat tells how long a question takes" stat_says ', probe [0-9]+\.[0-9] ms'
head -c 30000 /dev/zero | tr '\0' x >"$work/large"
control put app/large <"$work/large" >/dev/null
until_true 20 "stat tells of a value that is too large" stat_says 'a value is over a quarter of the ring: more --ring is needed.*raft index'
"$tide" stat d >"$work/out"
tr -d '\n' <"$work/out" | tr -s ' ' | grep -q 'more --ring is needed' || bad "nor does stat for people"
control del app/large >/dev/null
until_true 60 "and is well again" stat_says ' watching [0-9.:]*, probe'
i=0
head -c 10000 "$work/large" >"$work/ten"
while [ $i -lt 120 ] && ! grep -q 'more --table' "$work/small.err"; do
    control put app/fill$i <"$work/ten" >/dev/null
    i=$((i + 1))
done
until_true 20 "stat tells of a full table" stat_says 'the table is full: more --table is needed, or fewer keys'
kill "$server"
ended "$server" 0 "serve of a small domain"
kill -9 "$etcd_pid_0"
wait "$etcd_pid_0" 2>/dev/null
expect 0 "rm of the small one" rm d

# ---- TLS ----
certificate() { # name, alternative name, days
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$2" >"$work/ext"
    # shellcheck disable=SC2086 # words
    openssl req $new_key -keyout "$work/$1.key" -out "$work/$1.csr" -subj "/CN=$1" &&
        openssl x509 -req -in "$work/$1.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days "$3" -extfile "$work/ext" -out "$work/$1.pem"
}
new_key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
make_certificates() {
    # shellcheck disable=SC2086
    openssl req -x509 $new_key -days 2 -keyout "$work/ca.key" -out "$work/ca.pem" -subj /CN=ca &&
        openssl req -x509 $new_key -days 2 -keyout "$work/other.key" -out "$work/other.pem" -subj /CN=other &&
        certificate good IP:127.0.0.1 2 && certificate name DNS:elsewhere.example 2 && certificate old IP:127.0.0.1 -1
}
if make_certificates >"$work/openssl" 2>&1; then
    etcd_scheme=https
    tls() { # words, the member's certificate, arguments...
        words=$1
        with=$2
        shift 2
        if [ "$with" != "${running:-}" ]; then
            [ -z "${running:-}" ] || [ "$running" = none ] || { kill -9 "$etcd_pid_0"; wait "$etcd_pid_0" 2>/dev/null; }
            running=$with
            # shellcheck disable=SC2086 # words
            etcd_start 1 --cert-file "$work/$with.pem" --key-file "$work/$with.key" $more
        fi
        expect 7 "TLS: $words" serve d --upstream "etcds://$etcd/app/" "$@"
        warns "TLS does not fit: .*$words"
        rm -rf "${TIDE_SHM_DIR:?}"/tidemark.*
    }
    more=
    tls 'name the file of its authority by --upstream-ca' good
    tls 'name the file of its authority by --upstream-ca' good --upstream-ca "$work/other.pem"
    tls 'write HOST as the member.s certificate names it' name --upstream-ca "$work/ca.pem"
    tls 'renew the member.s certificate, or set this machine.s clock' old --upstream-ca "$work/ca.pem"
    running=none
    kill -9 "$etcd_pid_0"
    wait "$etcd_pid_0" 2>/dev/null
    more="--trusted-ca-file $work/ca.pem --client-cert-auth"
    tls 'the member wants a certificate that it trusts: --upstream-cert' good --upstream-ca "$work/ca.pem"
    tls 'renew the file of --upstream-cert|the member wants a certificate that it trusts: --upstream-cert' good --upstream-ca "$work/ca.pem" \
        --upstream-cert "$work/old.pem" --upstream-key "$work/old.key"
    begin trusted serve d --upstream "etcds://$etcd/app/" --upstream-ca "$work/ca.pem" --upstream-cert "$work/good.pem" \
        --upstream-key "$work/good.key"
    ready trusted
    expect 0 "put by TLS" put d k v
else
    echo "no openssl here, or another one: TLS left out: $(tail -n 1 "$work/openssl")"
fi

[ $failed = 0 ] && echo "endpoints of every kind are told apart"
exit $failed
