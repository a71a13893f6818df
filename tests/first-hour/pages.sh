# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced: the boxes of a page in Markdown. ```sh has commands, the ```text behind it what comes out.
#
#	page_boxes PAGE FOLDER	the boxes, into FOLDER/NAME-NN.sh and .text; prints, in their order, a line for
#				each: NAME-NN<tab>HEADING; and `visit` where the page first points to quickstart.md
#	page_says OUTPUT TEXT	does OUTPUT have the lines of TEXT, in this order, among others? `...` in them
#				stands for anything, blanks for any number of them. If not, says which is missing

page_boxes() { # PAGE FOLDER
	awk -v name="$(basename "$1" .md)" -v folder="$2" '
		function open_box(kind) {
			if (kind == "sh")
				n++
			id = sprintf("%s-%02d", name, n)
			file = kind == "sh" || kind == "text" ? folder "/" id "." kind : "/dev/null"
			if (kind == "sh")
				print id "\t" heading
			inside = 1
		}
		inside && /^```$/ { inside = 0; close(file); next }
		inside { print >file; next }
		/^```/ { open_box(substr($0, 4)); next }
		/^## / { heading = substr($0, 4) }
		/\(docs\/quickstart\.md\)/ && !visited { visited = 1; print "visit" }' "$1"
}

page_says() { # OUTPUT TEXT
	awk '
		function flat(line) {
			gsub(/[ \t\r]+/, " ", line)
			gsub(/^ | $/, "", line)
			return line
		}
		NR == FNR {
			line = flat($0)
			gsub(/[][\\.*^$+?(){}|]/, "\\\\&", line)
			gsub(/\\\.\\\.\\\./, ".*", line)
			wanted[++n] = "^" line "$"
			shown[n] = $0
			next
		}
		i < n && flat($0) ~ wanted[i + 1] { i++ }
		END {
			if (i == n)
				exit
			print "#  it does not say: " shown[i + 1]
			exit 1
		}' "$2" "$1"
}
