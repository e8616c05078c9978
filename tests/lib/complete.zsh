# SPDX-License-Identifier: LGPL-2.1-or-later
#
# complete.zsh FOLDER: the completion in FOLDER is loaded by a shell of its own, and some lines that end with a tab are typed into it.
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1= PS2= RPS1=; unsetopt zle_bracketed_paste 2>/dev/null; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; bindkey '^I' complete-word; print rea''dy"
wait_for() { # pattern
    local -F end=$((SECONDS + 30)); local all= part
    while (( SECONDS < end )); do
        if zpty -rt z part; then
            all+=$part
            [[ $all == *$1* ]] && return 0
        else
            sleep 0.05
        fi
    done
    print -r -- "$2: no $1 in: ${(V)all}"; exit 1
}
typeset -F SECONDS
wait_for ready start
complete() { # line what-it-becomes
    zpty -w -n z $'\C-u'"$1"$'\t'
    wait_for "$2" "$1"
}
complete 'tide step' 'tide step-down'
complete 'tide get sh' 'tide get shop'
complete 'tide get shop key --fallb' '--fallback'
complete 'tide get shop key --fallback=w' '--fallback=wait'
complete 'tide serve --evict=s3' '--evict=s3fifo'
zpty -d z
