#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The transcript of docs/writing-hotfixes.md, "A CVE, from the diff to the fixed guest", is what is seen: its diff is
# the one that Debian made, each command succeeds and says what stands there. `$` is this machine, `web1#` the guest.
# Numbers and addresses may be others, and a line `...` stands for any lines.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-hotfix.sh"
old=6.1.0-50-amd64 new=6.1.0-56-amd64
page=$here/../../docs/writing-hotfixes.md

fetch() { # SCRIPT RELEASE; $fetched
	fetched=$("$here/../linux/$1" "$2" 2>"$tmp/log")
	case $? in
	0) ;;
	77) echo "SKIP: hotfix-docs: $(tail -n 1 "$tmp/log")" && exit 0 ;;
	*) ok "$1 $2" 1 || { cat "$tmp/log" && exit 1; } ;;
	esac
}
fetch headers.sh $old && headers=$fetched
fetch source.sh $old && before=$fetched
fetch source.sh $new && after=$fetched

# The boxes of the section that begin so: ```diff, or ``` alone.
boxes() { # KIND
	awk -v kind="\`\`\`$1" '/^## / {here = /^## A CVE/}
		here && /^```/ {inside = !inside; box = inside && $0 == kind; next}
		here && box' "$page"
}
mkdir "$tmp/desk" && cd "$tmp/desk" || exit 1
boxes diff >CVE-2026-93146.diff
boxes '' >../transcript
same "the diff is Debian's" "$(grep '^[-+][^-+]' CVE-2026-93146.diff)" \
	"$(diff -u "$before/kernel/time/namespace.c" "$after/kernel/time/namespace.c" | grep '^[-+][^-+]')"
ln -s "$before" linux-source-6.1 && ln -s "$headers" headers
ok "the transcript has commands of both: $(grep -c '^\$ ' ../transcript), $(grep -c '^web1# ' ../transcript)" \
	$(($(grep -c '^\$ ' ../transcript) < 4 || $(grep -c '^web1# ' ../transcript) < 3))

guest_start g $old && guest_symbols g
ok "boots" $? || exit 1
mkdir "$tmp/bin" && printf '#!/bin/sh\nexec %q "$@"\n' "$(realpath "$vmpoke")" >"$tmp/bin/vmpoke" && chmod +x "$tmp/bin/vmpoke"

# A command of the page, with the reader's names for what is here.
run() { # LINE
	case $1 in
	'web1# '*) guest_run g "${1#web1# }" ;;
	'$ '*)
		local command=${1#\$ }
		command=${command//libvirt:web1/$(target g qmp)}
		command=${command///usr\/src\/linux-headers-$old/headers}
		PATH=$tmp/bin:$PATH timeout 300 bash -c "$command" </dev/null 2>&1
		;;
	esac
}

# Without what differs from guest to guest.
plain() {
	local target
	target=$(target g qmp)
	sed -E -e "s|${target/+/[+]}|libvirt:web1|g" -e 's/[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+/WHO/g' -e 's/0x[0-9a-f]+/ADDRESS/g' -e 's/[0-9]+(\.[0-9]+)?/N/g' -e 's/ +/ /g'
}

# Does TEXT say what is WANTED, in which a line ... stands for any?
says() { # TEXT WANTED
	local pattern
	pattern=$(sed -E -e 's/[][\\.*^$(){}?+|/]/\\&/g' <<<"$2" | sed -E 's/^\\\.\\\.\\\.$/(.*)/' | tr '\n' '\037')
	[[ $(tr '\n' '\037' <<<"$1") =~ ^$pattern$ ]]
}

step() { # COMMAND WANTED
	local said code
	said=$(run "$1") && code=0 || code=$?
	ok "$1" $code
	sed 's/^/#  /' <<<"$said"
	if [ -n "$2" ]; then
		says "$(plain <<<"$said")" "$(plain <<<"$2")"
		ok "it says what stands there" $?
	fi
}

command='' wanted=''
while IFS= read -r line; do
	case $line in
	'$ '* | 'web1# '*)
		[ -z "$command" ] || step "$command" "$wanted"
		command=$line wanted=''
		;;
	*) wanted+=${wanted:+$'\n'}$line ;;
	esac
done <../transcript
step "$command" "$wanted"
same "it runs" "$(guest_status g)" running
cd / || exit 1
exit $failed
