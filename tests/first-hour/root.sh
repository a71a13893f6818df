# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced: a fresh Debian 12 for a command, with nothing in it but gcc, make and git. What is in it, is
# mounted or runs there is gone with the command, however that ends: it has namespaces of its own, for mounts
# and for processes, and its disk is a tmpfs.
#
#	root_have		is there one? Makes it once; what is kept is in $root_cache. 77: Debian cannot be had
#	root_run FOLDER COMMAND...	run it there, in the folder of the sources; FOLDER is /out there
#
# Root only. Two at once take turns, as they share the packages that apt has fetched.

root_suite=bookworm
root_cache=$PWD/build/rigs/first-hour
root_packages=gcc,libc6-dev,make,git
. tests/linux/suite.sh

# The machine's mirror is asked, in the machine's own way.
root_apt_config() { # ROOT
	apt-config dump | grep -iE '^Acquire::(https?|ftp|check|languages|gzipindexes)[^ ]* ' >"$1/etc/apt/apt.conf.d/90machine"
	echo 'force-unsafe-io' >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io" # it will not survive a crash anyway
	echo "deb $root_mirror $root_suite main" >"$1/etc/apt/sources.list"
	[ -z "$root_security" ] ||
		echo "deb $root_security $root_suite-security main" >>"$1/etc/apt/sources.list"
	cp /etc/resolv.conf /etc/hosts "$1/etc/"
}

# In a mount namespace of its own.
root_make() {
	local new=$root_cache/new
	mkdir -p "$new" && mount -t tmpfs -o size=4g root "$new" &&
		debootstrap --variant=minbase --include=$root_packages --cache-dir="$root_cache/archives" \
			$root_suite "$new" "$root_mirror" >"$root_cache/log" 2>&1 || return
	rm -rf "$new"/var/cache/apt/archives/*.deb "$new"/var/lib/apt/lists/*
	root_apt_config "$new"
	tar -C "$new" -cf "$root_cache/root.tar.new" . &&
		echo "$root_wanted" >"$root_cache/wanted" && mv "$root_cache/root.tar.new" "$root_cache/root.tar"
}

root_have() {
	mkdir -p "$root_cache/archives/partial" "$root_cache/lists/partial" || return
	exec 7>"$root_cache.lock" && flock 7 || return
	[ -n "$(suite_mirror Debian)" ] || suite_update ""
	root_mirror=$(suite_mirror Debian) root_security=$(suite_mirror Debian-Security)
	root_mirror=${root_mirror%/} root_security=${root_security%/}
	root_wanted="$root_suite $root_packages $root_mirror $root_security"
	if ! /usr/lib/apt/apt-helper download-file "$root_mirror/dists/$root_suite/Release" \
		"$root_cache/Release" >"$root_cache/log" 2>&1; then
		echo "no mirror of Debian: $(tail -n 1 "$root_cache/log")" >&2
		return 77
	fi
	[ -s "$root_cache/root.tar" ] && [ "$(cat "$root_cache/wanted")" = "$root_wanted" ] && return
	export root_suite root_cache root_packages root_mirror root_security root_wanted
	unshare --mount --pid --fork --kill-child bash -c \
		'cd "$1" && . tests/first-hour/root.sh && root_make' root_make "$PWD" && return
	tail -n 20 "$root_cache/log" >&2
	return 1
}

# What a machine has that is not on its disk; with terminals and shared memory of its own.
root_mount() { # ROOT
	mount -t tmpfs -o mode=755 dev "$1/dev" &&
		cp -a /dev/{null,zero,full,random,urandom,tty} "$1/dev/" &&
		ln -s /proc/self/fd "$1/dev/fd" && ln -s fd/0 "$1/dev/stdin" && ln -s fd/1 "$1/dev/stdout" &&
		ln -s fd/2 "$1/dev/stderr" && ln -s pts/ptmx "$1/dev/ptmx" && mkdir "$1/dev/pts" "$1/dev/shm" &&
		mount -t devpts -o newinstance,ptmxmode=666 pts "$1/dev/pts" &&
		mount -t tmpfs shm "$1/dev/shm" &&
		mount -t proc proc "$1/proc" && mount -t sysfs -o ro sys "$1/sys" &&
		mount --bind "$root_cache/archives" "$1/var/cache/apt/archives" &&
		mount --bind "$root_cache/lists" "$1/var/lib/apt/lists" || return
	[ ! -e /dev/kvm ] || cp -a /dev/kvm "$1/dev/"
}

# In namespaces of its own, as process 1, which the command becomes: for whoever looks this is no chroot.
root_enter() { # FOLDER COMMAND...
	local root=$root_cache/now folder=$1
	shift
	mkdir -p "$root" && mount -t tmpfs -o mode=755,size=6g root "$root" &&
		tar -C "$root" -xf "$root_cache/root.tar" && root_mount "$root" &&
		mkdir "$root/out" "$root/root/vmpoke" && mount --bind "$folder" "$root/out" || return
	# What `git clone` would bring, and what is not committed yet.
	git ls-files -z --cached --others --exclude-standard --deduplicate |
		tar -c --null --ignore-failed-read -T - 2>"$folder/tar" | tar -C "$root/root/vmpoke" -x || return
	exec env -i HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		MAKEFLAGS="-j$(nproc)" chroot "$root" sh -c 'cd /root/vmpoke && exec "$@"' sh "$@"
}

# In the background: it is $root_pid, and all of it ends with that, by SIGKILL alone (unshare blocks others).
root_run() { # FOLDER COMMAND...
	export root_suite root_cache root_packages
	unshare --mount --pid --fork --kill-child bash -c \
		'cd "$1" && . tests/first-hour/root.sh && shift && root_enter "$@"' root_enter "$PWD" "$@" &
	root_pid=$!
}
