# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Reads what `tide COMMAND --help` prints: the commands' own tables, so that pages and completions made of them cannot go stale.
# man.awk, bash.awk and zsh.awk come behind this file. They have usage_line(line), group(name), option(letter, name, argument, text),
# paragraph(line) with "" for an empty line, and ends().

function option_flush() {
    if (option_head == "")
        return
    letter = ""
    name = option_head
    if (match(name, /^-[A-Za-z], /)) {
        letter = substr(name, 2, 1)
        name = substr(name, 5)
    }
    argument = ""
    if ((at = index(name, " ")) > 0) {
        argument = substr(name, at + 1)
        name = substr(name, 1, at - 1)
    }
    option_head = ""
    option(letter, name, argument, option_text)
}

/^(Usage:|      ) tide / && !in_text { usage_line(substr($0, 8)); next }
{ in_text = 1 }
# Two blanks, the option, two blanks or more, the first line of its text. A longer one has its text on the next line.
/^  -/ {
    option_flush()
    line = substr($0, 3)
    if (match(line, /  +/)) {
        option_head = substr(line, 1, RSTART - 1)
        option_text = substr(line, RSTART + RLENGTH)
    } else {
        option_head = line
        option_text = ""
    }
    next
}
/^         / && option_head != "" {
    line = $0
    sub(/^ +/, "", line)
    option_text = option_text (option_text == "" ? "" : " ") line
    next
}
{ option_flush() }
/^[a-z]+:$/ { group(substr($0, 1, length($0) - 1)); next }
{ paragraph($0) }
END { option_flush(); ends() }
