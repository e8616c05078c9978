#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A leader that is stopped between two instructions: see tests/tool_crash_stopped.c.
set -eu
tool=${TIDE_BUILD:-build}/crash/tests/tool_crash_stopped
if [ ! -x "$tool" ]; then
    echo "skipped: $tool is not built (make crash-programs; sanitized builds have none)"
    exit 77
fi
exec "$tool"
