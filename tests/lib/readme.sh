# SPDX-License-Identifier: LGPL-2.1-or-later
# Lines of a page of documentation, run as they stand there. A line that starts something in the background and says when to go on,
#     tide serve shop &  # go on when it says "ready"
# is waited for until it has said that. Such programs write into $readme_said, and end with the script.

# readme_script: the lines on stdin, as a script.
readme_script() {
    cat <<'END'
pids=
trap 'trap - EXIT; [ -z "$pids" ] || kill $pids 2>/dev/null; wait' EXIT
trap 'exit 1' TERM
: >"$readme_said"
await_said() {
    tries=0
    until grep -q -- "$1" "$readme_said"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { cat "$readme_said"; echo "it never said $1"; exit 1; }
        sleep 0.1
    done
}
END
    awk '!match($0, /& *#/) { print; next }
        {
            print substr($0, 1, RSTART - 1) " >>\"$readme_said\" 2>&1 &"
            print "pids=\"$pids $!\""
            if (match($0, /"[^"]*"/)) print "await_said " substr($0, RSTART, RLENGTH)
        }'
}
