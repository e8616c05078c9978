#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What happens between two instructions of another process: see tests/tool_crash_between.c.
set -eu
tool=${TIDE_BUILD:-build}/crash/tests/tool_crash_between
if [ ! -x "$tool" ]; then
    echo "skipped: $tool is not built (make crash-programs; sanitized builds have none)"
    exit 77
fi
exec "$tool"
