#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A process dies at every kill point that the sources name: see tests/tool_crash.c.
set -eu
tool=${TIDE_BUILD:-build}/crash/tests/tool_crash
if [ ! -x "$tool" ]; then
    echo "skipped: $tool is not built (make crash-programs; sanitized builds have none)"
    exit 77
fi
points=$(grep -rhoE 'KILL_POINT\("[^"]*"\)' engine --include='*.[ch]' | sed 's/.*"\(.*\)".*/\1/' | sort -u)
# Other tools die at these, which a victim here may pass or not, as keys expire: in a domain that evicts (tests/tool_crash_between.c), in a fed
# domain's leader (tests/tool_crash_feed.c), in a read that meets something expired (tests/tool_crash_decided.c).
points=$(echo "$points" | sed -E 's/^(seq\.removing|feed\..*|read\.(looked|later))$/+&/')
[ -n "$points" ] || { echo "no kill points in engine/"; exit 1; }
# shellcheck disable=SC2086
exec "$tool" $points
