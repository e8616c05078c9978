#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# share/prometheus and share/grafana: every metric that they name exists, their queries are queries, and the rules do what they say.
# Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
rules=share/prometheus/tidemark.rules.yml
dashboard=share/grafana/tidemark.json

begin serve serve d --followers 1 --ring 64K --table 256K
ready serve
expect 0 "put" put d k v --timeout 20s
expect 0 "metrics" metrics d
sed -n 's/^# TYPE \([a-z_]*\) histogram$/\1_bucket\n\1_sum\n\1_count/p; s/^# TYPE \([a-z_]*\) .*/\1/p' "$work/out" >"$work/there"
sed -n 's/^ *- record: *//p' "$rules" >>"$work/there"

# Comments of the rules may name what is no metric.
grep -v '^ *#' "$rules" | grep -ohE 'tide(mark:[a-z0-9_:]+|_[a-z_]+)' >"$work/named"
grep -ohE 'tide(mark:[a-z0-9_:]+|_[a-z_]+)' "$dashboard" >>"$work/named"
sed "s/:$//" "$work/named" | sort -u >"$work/names"
[ "$(wc -l <"$work/names")" -gt 30 ] || bad "only $(wc -l <"$work/names") names were found"
for name in $(cat "$work/names"); do
    grep -qx -- "$name" "$work/there" || { echo "$name is named, and no metric"; failed=1; }
done

# The values of labels that are asked for exist: reasons, states, kinds.
for value in $(grep -ohE '(reason|state|kind)(=|!=|=~|!~)\\?"[a-z_|]*' "$rules" "$dashboard" | sed 's/.*"//; s/|/ /g'); do
    grep -qE "(reason|state|kind)=\"$value\"" "$work/out" || { echo "\"$value\" is asked for, and no label has it"; failed=1; }
done

if ! command -v promtool >/dev/null 2>&1; then
    echo "no promtool here (Debian: prometheus): rules and queries are not tried"
    exit $failed
fi
promtool check rules "$rules" >"$work/out" 2>"$work/err" || bad "check rules"
promtool test rules share/prometheus/tidemark_test.yml >"$work/out" 2>"$work/err" || bad "test rules"
# Each query of the dashboard as a rule, with something in place of Grafana's variables.
{
    printf 'groups:\n  - name: dashboard\n    rules:\n'
    sed -n 's/^ *"expr": "\(.*\)",$/\1/p' "$dashboard" | sed 's/\\"/"/g; s/\$__rate_interval/1m/g; s/\$domain/d/g; s/\$instance/i/g' |
        awk -v q="'" '{ printf "      - record: query:%d\n        expr: %s%s%s\n", NR, q, $0, q }'
} >"$work/queries.yml"
[ "$(grep -c record: "$work/queries.yml")" = "$(grep -c '"expr":' "$dashboard")" ] || bad "a query of the dashboard was not found"
promtool check rules "$work/queries.yml" >"$work/out" 2>"$work/err" || bad "a query of the dashboard is none"
# Each alert is in the tests.
for alert in $(sed -n 's/^ *- alert: *//p' "$rules"); do
    grep -q "$alert" share/prometheus/tidemark_test.yml || { echo "$alert has no test"; failed=1; }
done
exit $failed
