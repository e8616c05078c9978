#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A key expires between a decision and its commit: see tests/tool_crash_decided.c.
set -eu
tool=${TIDE_BUILD:-build}/crash/tests/tool_crash_decided
if [ ! -x "$tool" ]; then
    echo "skipped: $tool is not built (make crash-programs; sanitized builds have none)"
    exit 77
fi
exec "$tool"
