# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check_braces.awk FILES: every body of if, else, for and while stands in braces, also one of a single line. Prints FILE:LINE.
# It reads lines as clang-format leaves them: a statement begins a line, and its condition ends one.

function without_comment(line) {
    sub(/[ \t]*\/\*.*\*\/[ \t]*$/, "", line)
    return line
}

function open_parentheses(line) {
    return gsub(/\(/, "(", line) - gsub(/\)/, ")", line)
}

FNR == 1 { deep = 0 }

deep != 0 {
    head = without_comment($0)
    deep += open_parentheses(head)
}

deep == 0 && head == "" {
    head = without_comment($0)
    if (head !~ /^ *(\} )?(else )?(if|for|while) \(/ && head !~ /^ *(\} )?else$/ || head ~ /^ *\} while \(/) {
        head = ""
        next
    }
    begun = FNR
    deep = open_parentheses(head)
}

deep == 0 {
    if (head !~ /[{;\\] *$/)
        print FILENAME ":" begun ": a body without braces"
    head = ""
}
