# SPDX-License-Identifier: LGPL-2.1-or-later
# What the tests of commands share. To be read from tests/NAME.test.sh; leaves $tide, $work, $TIDE_SHM_DIR, $failed.
set -u
tide=$PWD/${TIDE_BUILD:-build}/tide
case ${TIDE_BUILD:-} in /*) tide=$TIDE_BUILD/tide ;; esac
work=$(mktemp -d)
TIDE_SHM_DIR=$(mktemp -d -p /dev/shm)
export TIDE_SHM_DIR
pids=
failed=0

# Only what was started here.
end_all() {
    for p in $pids; do
        kill -9 "$p" 2>/dev/null && wait "$p" 2>/dev/null
    done
    pids=
}
trap 'end_all; rm -rf "$work" "$TIDE_SHM_DIR"' EXIT
trap 'exit 1' INT TERM

bad() {
    echo "$*"
    sed 's/^/    out: /' "$work/out" | head -n 20
    sed 's/^/    err: /' "$work/err" | head -n 20
    failed=1
}

expect() { # code what arguments of tide...
    want=$1
    what=$2
    shift 2
    case "$1 $*" in # a write waits a second for its answer: on a machine that is busy with others that can be too short
    *--timeout* | *--help* | *--nonsense*) ;;
    put\ * | del\ * | clear\ * | cas\ * | touch\ * | incr\ *) set -- "$@" --timeout 10s ;;
    esac
    timeout -k 5 30 "$tide" "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    [ "$got" = "$want" ] || bad "$what: exit code $got, not $want"
}

says() { # pattern in standard output
    grep -Eq -- "$1" "$work/out" || bad "$what: does not say /$1/"
}

warns() { # pattern in standard error
    grep -Eq -- "$1" "$work/err" || bad "$what: standard error does not say /$1/"
}

is() { # the whole output, without a last newline
    [ "$(cat "$work/out")" = "$1" ] || bad "$what: is not '$1'"
}

field() { # name of a number in the JSON of the last command
    sed -n "s/.*\"$1\": \"*\([0-9a-f:-]*\).*/\1/p" "$work/out" | head -n 1
}

begin() { # file arguments...: in the background; the pid is in $begun
    out=$1
    shift
    rm -f "$work/$out" # one of that name may have run before, and been ready
    "$tide" "$@" >"$work/$out" 2>"$work/$out.err" </dev/null &
    begun=$!
    pids="$pids $begun"
}

until_true() { # seconds what command...: a watchdog, not a measurement
    tries=$(($1 * 50))
    about=$2
    shift 2
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        if [ $tries = 0 ]; then
            echo "gave up waiting: $about"
            tail -n 5 "$work"/*.err
            failed=1
            return 1
        fi
        sleep 0.02
    done
}

ready() { # file
    until_true 20 "ready line in $1" grep -q '^ready \|"ready"' "$work/$1"
}

ended() { # pid code what: wait for a process of ours
    wait "$1"
    got=$?
    [ "$got" = "$2" ] || { echo "$3: ended with $got, not $2"; failed=1; }
}
