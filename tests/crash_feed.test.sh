#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The leader of a fed domain dies at each point of appending, completing and handing over: see tests/tool_crash_feed.c.
set -eu
tool=${TIDE_BUILD:-build}/crash/tests/tool_crash_feed
if [ ! -x "$tool" ]; then
    echo "skipped: $tool is not built (make crash-programs; sanitized builds have none)"
    exit 77
fi
points=$(grep -rhoE 'KILL_POINT\("feed\.[^"]*"\)' engine --include='*.[ch]' | sed 's/.*"\(.*\)".*/\1/' | sort -u)
[ -n "$points" ] || { echo "no kill points of feeds in engine/"; exit 1; }
# shellcheck disable=SC2086
exec "$tool" $points seq.reserved seq.copied seq.published seq.applied seq.unanswered
