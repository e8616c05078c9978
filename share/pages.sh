#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# pages.sh TIDE VERSION OUT: manual pages and completions, made of what `tide help` and `tide COMMAND --help` print, into the folders
# OUT/man1, OUT/bash, OUT/zsh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tide=$1 version=$2 out=$3
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%d)
rm -rf "$out"
mkdir -p "$out/man1" "$out/bash" "$out/zsh"

# COMMAND<tab>SUMMARY for each of `tide help`.
"$tide" help >"$out/help"
awk '/^Commands:/ { on = 1; next } on && !/^  / { exit } on { name = $1; sub(/^  [^ ]+ +/, ""); print name "\t" $0 }' "$out/help" >"$out/commands"
documented=$(cut -f1 "$out/commands" | grep -vxE 'help|version')

tab=$(printf '\t')
while IFS=$tab read -r command summary; do
    case $command in help | version) continue ;; esac
    # which other pages a page names: all of them would be a list of its own
    "$tide" "$command" --help >"$out/one"
    see=$(for other in $documented; do grep -q "tide $other" "$out/one" && [ "$other" != "$command" ] && echo "$other"; done || :)
    awk -f "$here/help.awk" -f "$here/man.awk" -v COMMAND="$command" -v SUMMARY="$summary" -v VERSION="$version" -v DATE="$date" \
        -v SEE="$(echo $see)" "$out/one" >"$out/man1/tide-$command.1"
    awk -f "$here/help.awk" -f "$here/completion.awk" -f "$here/bash.awk" -v COMMAND="$command" "$out/one" >>"$out/bash/rows"
    awk -f "$here/help.awk" -f "$here/completion.awk" -f "$here/zsh.awk" -v COMMAND="$command" "$out/one" >>"$out/zsh/rows"
done <"$out/commands"

awk -v VERSION="$version" -v DATE="$date" -F"$tab" '
    function roff(text) {
        gsub(/\\/, "\\e", text)
        gsub(/-/, "\\-", text)
        gsub(/\047/, "\\(aq", text)
        return text
    }
    FNR == NR {
        if (!n++) {
            print ".\\\" Made of what `tide help` prints."
            print ".TH TIDE 1 \"" DATE "\" \"Tidemark " VERSION "\" \"Tidemark\"\n.SH NAME"
            print "tide \\- a replicated key\\-value cache in the shared memory of one host\n.SH SYNOPSIS"
            print ".B tide\n.I COMMAND\n.RI [ OPTION ]...\n.SH DESCRIPTION"
            print "Leader and replicas of a domain, reads and writes of its keys, and what looks after it."
            print "Each command has a page of its own, and prints a help text with \\fB\\-\\-help\\fR.\n.SH COMMANDS"
        }
        print ".TP"
        print $1 == "help" || $1 == "version" ? ".B " $1 : ".BR tide\\-" roff($1) " (1)"
        print roff($2)
        next
    }
    /^Exit codes/ { print ".SH EXIT STATUS\nThe same for all commands."; codes = 1; next }
    codes && /^  [0-9]/ { print ".TP\n.B " $1 + 0; sub(/^ +[0-9] +/, ""); print roff($0); next }
    codes && /^     / { sub(/^ +/, ""); print roff($0); next }
    codes { codes = 0 }
    END {
        print ".SH ENVIRONMENT\n.TP\n.B TIDE_SHM_DIR\nWhere the segments lie: an absolute path; \\fI/dev/shm\\fR where it is not set."
        print ".SH FILES\n.TP\n.I /dev/shm/tidemark.NAME.log\nLog and board of the domain NAME.\n.TP\n.I /dev/shm/tidemark.NAME.rK\nTable of its replica K."
        print ".SH SEE ALSO\n.BR tidemark (3)"
    }' "$out/commands" "$out/help" >"$out/man1/tide.1"

{
    cat <<'END'
# Completion of tide(1) for bash. Made of what `tide COMMAND --help` prints.
_tide() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options takes verbs domain file
    COMPREPLY=()
END
    printf "    local commands='%s'\n" "$(cut -f1 "$out/commands" | tr '\n' ' ' | sed 's/ $//')"
    cat <<'END'
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W "$commands" -- "$word"))
        return
    fi
    case ${COMP_WORDS[1]} in
    help)
        COMPREPLY=($(compgen -W "$commands" -- "$word"))
        return
        ;;
END
    cat "$out/bash/rows"
    cat <<'END'
    *) return ;;
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    elif [[ $before == --fallback ]]; then
        COMPREPLY=($(compgen -W 'leader wait error stale' -- "$word"))
    elif [[ $before == --file ]]; then
        COMPREPLY=($(compgen -f -- "$word"))
    elif [[ " $takes " == *" $before "* ]]; then
        return
    elif [ -n "$verbs" ] && [ "$COMP_CWORD" = 2 ]; then
        COMPREPLY=($(compgen -W "$verbs" -- "$word"))
    else
        local shm=${TIDE_SHM_DIR:-/dev/shm} found=
        if [ "$domain" = 1 ] && [ "$COMP_CWORD" = $((2 + ${#verbs} / (${#verbs} > 0 ? ${#verbs} : 1))) ]; then
            found=$(cd "$shm" 2>/dev/null && ls -d tidemark.*.log 2>/dev/null | sed 's/^tidemark\.//; s/\.log$//')
        fi
        COMPREPLY=($(compgen -W "$found" -- "$word"))
        [ "$file" = 1 ] && COMPREPLY+=($(compgen -f -- "$word"))
    fi
}
complete -F _tide tide
END
} >"$out/bash/tide"

{
    cat <<'END'
#compdef tide
# Completion of tide(1) for zsh. Made of what `tide COMMAND --help` prints.
_tide_domains() {
    local shm=${TIDE_SHM_DIR:-/dev/shm}
    local -a found
    found=($shm/tidemark.*.log(N:t:r))
    found=(${found#tidemark.})
    compadd -a found
}
_tide() {
    local -a commands
    commands=(
END
    sed "s/'/'\\\\''/g; s/:/\\\\:/g; s/$tab/:/; s/^/        '/; s/\$/'/" "$out/commands"
    cat <<'END'
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
    help) _describe command commands ;;
END
    cat "$out/zsh/rows"
    cat <<'END'
    esac
}
_tide "$@"
END
} >"$out/zsh/_tide"
rm "$out/bash/rows" "$out/zsh/rows" "$out/help" "$out/one" "$out/commands"
