#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide web` in a real browser: tests/web/page.py. Its pictures lie in $TIDE_BUILD/web-pictures/. Exit codes: 0 good, 1 not, 77 skipped.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
python=/usr/bin/python3
[ -x "$python" ] || { echo "skipped: there is no $python here"; exit 77; }
"$python" -c 'import sys; sys.path.insert(0, "tests/web"); import browser; sys.exit(not browser.find())' ||
    { echo "skipped: there is no Chromium here (Debian: chromium)"; exit 77; }
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: what a browser sees does not depend on sanitizers; tests/web.test.sh runs with them"; exit 77; }
pictures=$(dirname "$tide")/web-pictures
mkdir -p "$pictures"
"$python" tests/web/page.py "$tide" "$(dirname "$tide")/tests/tool_traffic" "$pictures"
