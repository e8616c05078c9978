# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the completions of all shells take from a command's usage: whether it takes a domain, the words after its name, whether it takes a file.
# Between help.awk and bash.awk or zsh.awk.

function usage_line(line) {
    domain = domain || line ~ /^tide [a-z-]+ (save |load )?NAME/ || line ~ /[ |]NAME\|/
    if (match(line, /^tide [a-z-]+ [a-z]+ /)) {
        split(line, words, " ")
        verbs = verbs " " words[3]
    }
    file = file || line ~ /FILE/
}

function group(name) {}
function paragraph(line) {}
