#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A snapshot keeps what is left of a key's life by the wall clock. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh

begin serve serve d --followers 0 --ring 64K --table 2M
ready serve
begin serve2 serve d2 --followers 0 --ring 64K --table 2M --default-ttl 5h
ready serve2
expect 0 "put for long" put d long v --ttl 10h
expect 0 "put for a short time" put d short v --ttl 2s
expect 0 "put for ever" put d ever v
expect 0 "an old one" put d2 short old --ttl never
expect 0 "save" snapshot save d "$work/snap"
late() { "$tide" get d short; [ $? = 1 ]; }
until_true 20 "short expires" late
expect 0 "load" snapshot load d2 "$work/snap" --replace --json
says '"expired": [01], '
expect 1 "what expired in between is absent" get d2 short
expect 0 "what lives on does" ttl d2 long
says '^(10h|[0-9.]+(s|m))$'
expect 0 "what has no end has none" ttl d2 ever
says '^never$'
exit $failed
