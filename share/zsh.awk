# SPDX-License-Identifier: LGPL-2.1-or-later
#
# One command's row of the completion for zsh: its options with their texts, by what `tide COMMAND --help` prints.

function option(letter, name, argument, text) {
    gsub(/'/, "'\\''", text)
    gsub(/\\/, "\\\\", text)
    gsub(/\[/, "\\[", text)
    gsub(/\]/, "\\]", text)
    gsub(/:/, "\\:", text)
    row = name (argument == "" ? "" : "=") "[" text "]"
    if (argument != "")
        row = row ":" argument ":" (argument == "FILE" ? "_files" : values(name, argument))
    rows = rows " \\\n            '" row "'"
}

# `--evict s3fifo|none` names its values; those of --fallback are the same everywhere.
function values(name, argument) {
    if (name == "--fallback")
        return "(leader wait error stale)"
    if (argument !~ /^[a-z0-9-]+([|][a-z0-9-]+)+$/)
        return ""
    gsub(/[|]/, " ", argument)
    return "(" argument ")"
}

function ends() {
    printf "    %s)\n        _arguments%s%s%s%s\n        ;;\n", COMMAND, rows, \
        verbs != "" ? " \\\n            '1:what:(" substr(verbs, 2) ")'" : "", \
        domain ? " \\\n            '" (verbs != "" ? 2 : 1) ":domain:_tide_domains'" : "", \
        file ? " \\\n            '*:file:_files'" : ""
}
