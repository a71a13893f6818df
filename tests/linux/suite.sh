# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced: packages of another suite of Debian (sid, bullseye), without a word of it in the
# machine's own lists, and without root. The mirror is the machine's own.
#
#	suite_update SUITE		fetch the lists of a suite, and of its security updates; they are
#					this process's alone until it ends
#	suite_apt SUITE PROGRAM ARG...	apt-get or apt-cache, as if nothing were installed
#	suite_of RELEASE		the suite that has this kernel, if the machine's own is another
#	suite_unpack FOLDER PATTERN...	what matches, out of all packages in FOLDER, to FOLDER/package
#
# What they have is in build/apt. SUITE "" is the machine's own suite, whose lists only root can fetch.
# Errors are said on stderr.

suite_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/apt

suite_apt() { # SUITE PROGRAM ARG...
	local dir=$suite_dir/$1 program=$2
	if [ -z "$1" ]; then
		shift
		"$@"
		return
	fi
	shift 2
	# Not one of Debian's older suites, nor a mirror that stands still, has a Release file that is
	# valid today; who signed it is checked all the same.
	"$program" -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
		-o Dir::State="$dir" -o Dir::State::Status="$dir/status" -o Dir::Cache="$dir/cache" \
		-o Acquire::Languages=none -o Acquire::GzipIndexes=true \
		-o Acquire::Check-Valid-Until=false -o APT::Install-Recommends=false \
		-o APT::Get::Assume-Yes=true "$@"
}

# The machine's mirror of Debian (or of its security updates), or of whatever it takes Debian from.
suite_mirror() { # Debian|Debian-Security
	apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		awk -v label="$1" '$1 == label {print $2; exit}'
}

suite_update() { # SUITE
	local dir=$suite_dir/$1 keys=/usr/share/keyrings/debian-archive-keyring.gpg main security
	if [ -z "$1" ]; then
		[ "$(id -u)" -ne 0 ] || apt-get update -qq
		return
	fi
	[ -n "$(suite_mirror Debian)" ] || suite_update ""
	main=$(suite_mirror Debian) security=$(suite_mirror Debian-Security)
	if [ -z "$main" ]; then
		echo "apt knows no mirror of Debian: run apt-get update" >&2
		return 1
	fi
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" && : >>"$dir/status" || return
	exec 8>"$dir/lock" && flock 8 || return
	echo "deb [signed-by=$keys] $main $1 main" >"$dir/sources.list"
	case $1 in
	sid | experimental) ;; # these have no security updates of their own
	*) [ -z "$security" ] ||
		echo "deb [signed-by=$keys] $security $1-security main" >>"$dir/sources.list" ;;
	esac
	if ! suite_apt "$1" apt-get update >"$dir/log" 2>&1 || grep -q '^E:' "$dir/log"; then
		grep -E '^[EW]:' "$dir/log" >&2
		return 1
	fi
}

suite_of() { # RELEASE
	case $1 in # of those that tests ask for
	6.1.0-*) grep -qs '^VERSION_CODENAME=bookworm$' /etc/os-release || echo bookworm ;;
	esac
}

suite_unpack() { # FOLDER PATTERN...
	local folder=$1 package
	shift
	mkdir -p "$folder/package" || return
	for package in "$folder"/*.deb; do
		dpkg --fsys-tarfile "$package" |
			tar x -C "$folder/package" --wildcards "$@" 2>"$folder/tar"
		[ "${PIPESTATUS[0]}" -eq 0 ] || return
		# No package holds all of the patterns.
		if grep -vE 'Not found in archive|Exiting with failure' "$folder/tar" >&2; then
			return 1
		fi
		rm "$package"
	done
	rm "$folder/tar"
}
