#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A real Prometheus scrapes `tide metrics --listen`, evaluates the rules of share/prometheus, and answers with the domain's figures.
# Exit codes: 0 good, 1 not, 77 skipped.
cd "$(dirname "$0")/../.."
. tests/lib/commands.sh
command -v prometheus >/dev/null 2>&1 || { echo "skipped: there is no prometheus here (Debian: prometheus)"; exit 77; }
http=$(dirname "$tide")/tests/tool_http

begin serve serve d --followers 2 --ring 64K --table 1M
ready serve
for i in 1 2 3 4 5 6 7; do
    expect 0 "put" put d "k$i" v --timeout 20s
done
begin metrics metrics --listen 0
until_true 20 "listening or not" sh -c "grep -q . '$work/metrics' '$work/metrics.err'"
if grep -q libmicrohttpd "$work/metrics.err"; then
    echo "skipped: $(cat "$work/metrics.err")"
    exit 77
fi
at=$(sed -n 's/^listening http:\/\/\(.*\)\/metrics$/\1/p' "$work/metrics")

cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [$PWD/share/prometheus/tidemark.rules.yml]
scrape_configs:
  - job_name: tidemark
    static_configs: [{targets: ['$at']}]
END
mkdir "$work/data"
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address=127.0.0.1:0 \
    >"$work/prometheus" 2>&1 </dev/null &
pids="$pids $!"
until_true 60 "prometheus listens" grep -q 'msg="Listening on"' "$work/prometheus" || { tail "$work/prometheus"; exit 1; }
port=$(sed -n 's/.*msg="Listening on" address=127.0.0.1:\([0-9]*\).*/\1/p' "$work/prometheus" | head -n 1)

answers() { # query pattern
    "$http" get "$port" GET "/api/v1/query?query=$1" 'Connection: close' >"$work/out" 2>"$work/err" && grep -q "$2" "$work/out"
}
has() { # query pattern
    until_true 60 "$1 is $2" answers "$1" "$2" || cat "$work/out"
}
has up '"value":\[[^]]*,"1"\]'
has tide_commit_index '"domain":"d".*,"7"\]'
has tide_writes_total ',"7"\]'
has 'tide_replication_lag_seconds_bucket%7Breplica=%221%22,le=%22%2BInf%22%7D' ',"7"\]'
has 'histogram_quantile(0.99,tide_replication_lag_seconds_bucket%7Breplica=%222%22%7D)' '"replica":"2".*,"0\.\|"replica":"2".*e-0'
has 'tide_replication_lag_quantile_seconds%7Bquantile=%220.99%22,replica=%221%22%7D' '"quantile":"0.99"'
has 'tidemark:table_free:ratio' '"replica":"1".*,"0\.'
has 'count(tide_replica_state==1)' ',"3"\]'
"$http" get "$port" GET /api/v1/targets 'Connection: close' >"$work/out" 2>"$work/err"
grep -q '"lastError":""' "$work/out" || bad "the scrape had an error"
grep -q '"health":"up"' "$work/out" || bad "the target is not up"
"$http" get "$port" GET '/api/v1/rules' 'Connection: close' >"$work/out" 2>"$work/err"
! grep -q '"health":"err"' "$work/out" || bad "a rule has an error"
exit $failed
