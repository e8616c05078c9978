# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A manual page of `tide COMMAND --help`: awk -f help.awk -f man.awk -v COMMAND=get -v SUMMARY=... -v VERSION=... -v DATE=... -v SEE="ls stat"

function roff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/'/, "\\(aq", text)
    sub(/^\./, "\\\\\\&.", text)
    return text
}

function begin_page() {
    if (begun++)
        return
    print ".\\\" Made of what `tide " COMMAND " --help` prints."
    print ".TH TIDE\\-" toupper(roff(COMMAND)) " 1 \"" DATE "\" \"Tidemark " VERSION "\" \"Tidemark\""
    print ".SH NAME"
    print "tide\\-" roff(COMMAND) " \\- " roff(SUMMARY)
    print ".SH SYNOPSIS"
    print ".nf"
}

function section(name) {
    if (section_now == "SYNOPSIS" || section_now == "")
        print ".fi"
    section_now = name
    print ".SH " name
    empty = 0
}

function usage_line(line) {
    begin_page()
    section_now = "SYNOPSIS"
    print roff(line)
}

function option(letter, name, argument, text) {
    if (section_now != "OPTIONS")
        section("OPTIONS")
    empty = 0
    print ".TP"
    printf "\\fB%s%s\\fR%s\n", letter != "" ? "\\-" letter "\\fR, \\fB" : "", roff(name), argument != "" ? " \\fI" roff(argument) "\\fR" : ""
    print roff(text)
}

function group(name) {
    if (section_now != "OPTIONS")
        section("OPTIONS")
    print ".SS " name
    empty = 0
}

# STATE: and its like begin a paragraph of their own.
function paragraph(line) {
    if (line == "") {
        empty = 1
        return
    }
    if (match(line, /^(.*[.)] )?Exit codes: /) || exit_codes) {
        if (!exit_codes) {
            at = index(line, "Exit codes: ")
            if (at > 1)
                paragraph(substr(line, 1, at - 1))
            section("EXIT STATUS")
            line = substr(line, at + 12)
        }
        exit_codes = exit_codes (exit_codes == "" ? "" : " ") line
        if (exit_codes ~ /\.$/) { # the list is over; what comes is text again
            print_codes(exit_codes)
            exit_codes = ""
            section_now = "AFTER"
        }
        return
    }
    if (section_now == "SYNOPSIS")
        section("DESCRIPTION")
    else if (section_now == "OPTIONS")
        section("NOTES")
    else if (empty || line ~ /^[A-Z][A-Z ]+: /)
        print ".PP"
    empty = 0
    print roff(line)
}

function print_codes(text) {
    n = split(text, parts, /; /)
    for (i = 1; i <= n; i++)
        if (match(parts[i], /^[0-9]+ /)) {
            print ".TP"
            print ".B " substr(parts[i], 1, RLENGTH - 1)
            print roff(substr(parts[i], RLENGTH + 1))
        } else
            print "; " roff(parts[i])
}

function ends() {
    if (exit_codes != "")
        print_codes(exit_codes)
    print ".SH SEE ALSO"
    print ".BR tide (1),"
    n = split(SEE, others, " ")
    for (i = 1; i <= n; i++)
        if (others[i] != COMMAND)
            print ".BR tide\\-" roff(others[i]) " (1),"
    print ".BR tidemark (3)"
}
