# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The list of functions of tidemark(3): awk -f functions.awk engine/tidemark.h share/man/tidemark.3.in. The header's headings are its own.

FNR == NR {
    if (match($0, /^\/\* ---- [a-z ,]* -/)) {
        heading = substr($0, 9, RLENGTH - 10)
        heading = toupper(substr(heading, 1, 1)) substr(heading, 2)
        order[++n] = heading
    }
    if (match($0, /^TIDE_API [^(]*[ *]tide_[a-z0-9_]*\(/)) {
        name = substr($0, 1, RLENGTH - 1)
        sub(/.*[ *]/, "", name)
        if (heading == "") {
            heading = "Texts and versions"
            order[++n] = heading
        }
        list[heading] = list[heading] (list[heading] == "" ? "" : " (),\n") ".BR " name
    }
    next
}
/^@FUNCTIONS@$/ {
    for (i = 1; i <= n; i++)
        if (list[order[i]] != "")
            print ".TP\n.B " order[i] "\n" list[order[i]] " ()"
    next
}
{ print }
