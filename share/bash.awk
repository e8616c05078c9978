# SPDX-License-Identifier: LGPL-2.1-or-later
#
# One command's row of the completion for bash: its options, and those that take an argument, by what `tide COMMAND --help` prints.

function option(letter, name, argument, text) {
    options = options " " name
    if (argument != "")
        takes = takes " " name
    if (argument ~ /\|/) {
        gsub(/\|/, " ", argument)
        values = values " " name "=" argument ";"
    }
}

function ends() {
    printf "    %s)\n        options='%s' takes='%s' verbs='%s' domain=%d file=%d\n        ;;\n", COMMAND, substr(options, 2), substr(takes, 2), substr(verbs, 2), domain, file
}
