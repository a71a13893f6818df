# SPDX-License-Identifier: Apache-2.0
# docs/api.md of the public headers: awk -f docs/api.awk include/vmpoke/*.h (`make api`).
#
# What it goes by: a declaration of a function begins in the first column; the comment that ends right
# above it is about it, and about those that follow without an empty line between. Of a comment the
# first sentence is taken.

function sentence(text,    at) {
	gsub(/[ \t]+/, " ", text)
	# "vol. 3" and "3.4.5" end nothing.
	at = match(text, /[.?] [A-Z@-]/)
	if (at)
		text = substr(text, 1, at)
	gsub(/^ | $/, "", text)
	sub(/:$/, ".", text)
	if (text !~ /[.?;]$/)
		text = text "."
	while (match(text, /@[a-z_]+/))
		text = substr(text, 1, RSTART - 1) "`" substr(text, RSTART + 1, RLENGTH - 1) "`" \
			substr(text, RSTART + RLENGTH)
	return text
}

function end_group() {
	if (names)
		printf "\n%s. %s\n\n```c\n%s```\n", names, sentence(comment), declarations
	names = declarations = ""
}

function take_comment(line,    ended) {
	ended = line ~ /\*\//
	sub(/^\/\*[ \t]?/, "", line)
	sub(/[ \t]*\*\/.*$/, "", line)
	sub(/^[ \t]*\*/, "", line)
	# A paragraph ends at an empty line, at a list of errors, at an example.
	if (line ~ /^[ \t]*$/ && comment != "" || line ~ /^(  +|\t)/)
		whole = 1
	if (!whole)
		comment = comment (comment == "" ? "" : " ") line
	return !ended
}

function function_name(text) {
	match(text, /vp_[a-z0-9_]+\(/)
	return substr(text, RSTART, RLENGTH - 1)
}

function declared(    name) {
	sub(/[ \t\n]*(__attribute__|\{).*/, ";", declaration)
	name = function_name(declaration)
	if (comment == "") {
		printf "docs/api.awk: %s: %s() has no comment\n", FILENAME, name >"/dev/stderr"
		failed = 1
	}
	names = names (names ? ", " : "") "**`" name "()`**" (declaration ~ /^static/ ? " (inline)" : "")
	declarations = declarations declaration "\n"
	declaration = ""
}

BEGIN {
	print "# The library's functions"
	print ""
	print "Made of the headers by `make api`; `.ci/api.sh` holds it against them and against the archive. What a function takes,"
	print "returns, waits for and may run beside stands in its header, in whole."
}

FNR == 1 {
	end_group()
	header = FILENAME
	sub(/^.*include\//, "", header)
	about = in_comment = in_cplusplus = 0
	comment = declaration = ""
	next # the licence
}
in_comment {
	in_comment = take_comment($0)
	if (!in_comment && !about) {
		printf "\n## %s\n\n%s\n", header, sentence(comment)
		about = 1
		comment = ""
	}
	next
}
/^\/\*/ {
	end_group()
	comment = ""
	whole = 0
	in_comment = take_comment($0)
	next
}
declaration != "" {
	declaration = declaration "\n" $0
	if (/[;{]/)
		declared()
	next
}
/^#if.*__cplusplus/ { in_cplusplus = 1 }
/^#(else|endif)/ { in_cplusplus = 0 }
in_cplusplus || /^#/ { next }
/^[a-z].*vp_[a-z0-9_]+\(/ {
	declaration = $0
	if (/[;{]/)
		declared()
	next
}
/^$/ {
	end_group()
	comment = ""
}

END {
	end_group()
	exit failed
}
