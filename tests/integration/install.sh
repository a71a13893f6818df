#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make install`, and a program that is built from what it installed, by pkg-config alone.
set -u
dir=$(mktemp -d)
export VMPOKE_STATE_DIR=$dir/state
trap 'rm -rf "$dir"' EXIT
failed=0

ok() {
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		failed=1
	fi
}

make --no-print-directory install DESTDIR="$dir/root" PREFIX=/opt/vmpoke >"$dir/log" 2>&1
ok $? "make install with DESTDIR and PREFIX"
for f in bin/vmpoke lib/libvmpoke.a lib/libvmpoke-kvm.so lib/pkgconfig/vmpoke.pc include/vmpoke/poke.h \
	include/vmpoke/hotfix.h share/vmpoke/kernel/asm/bug.h \
	share/vmpoke/kernel/linux/dynamic_debug.h share/man/man1/vmpoke.1 share/doc/vmpoke/README.md; do
	[ -s "$dir/root/opt/vmpoke/$f" ]
	ok $? "installs $f"
done

# What the program and its manual send their reader to.
grep -oh 'docs/[a-z-]*\.md' docs/vmpoke.1 patcher/cli/cmd_*.c | sed 's|docs/||' | sort -u >"$dir/named"
while read -r f; do
	[ -s "$dir/root/opt/vmpoke/share/doc/vmpoke/$f" ]
	ok $? "installs $f, which help or manual name"
done <"$dir/named"
[ "$(wc -l <"$dir/named")" -ge 5 ]
ok $? "they name some"

cat >"$dir/embed.c" <<'C'
#include <stdio.h>
#include <vmpoke/guest.h>
#include <vmpoke/local.h>
#include <vmpoke/poke.h>
#include <vmpoke/symbol.h>

static unsigned char ram[2 << 20];

int main(void)
{
	struct vp_engine *engine;
	struct vp_local *local;
	struct vp_err err;
	struct vp_site site = { .addr = VP_GVA(0x1000), .len = 1, .old_bytes = { 0x90 },
				.new_bytes = { 0xf8 } };

	const struct vp_local_config config = { .route = VP_ROUTE_DEBUG };

	if (vp_local_new(&config, &local, &err) ||
	    vp_local_add_ram(local, VP_GPA(0), ram, sizeof(ram), 0, &err) ||
	    vp_engine_new(vp_local_target(local), &engine, &err))
		return 1;
	/* No vCPU is there: refused, with a text. */
	if (!vp_poke(engine, &site, 1, NULL, NULL, &err))
		return 1;
	puts(err.text);
	vp_engine_free(engine);
	vp_local_free(local);
	return 0;
}
C
export PKG_CONFIG_PATH="$dir/root/opt/vmpoke/lib/pkgconfig"
export PKG_CONFIG_SYSROOT_DIR="$dir/root"
# shellcheck disable=SC2046 # the flags are words
gcc -Wall -Werror -pedantic -std=gnu11 -o "$dir/embed" "$dir/embed.c" \
	$(pkg-config --cflags --libs vmpoke) 2>"$dir/log" || cat "$dir/log"
[ -x "$dir/embed" ]
ok $? "an embedding program builds with pkg-config"
"$dir/embed" >"$dir/out" && grep -q 'no vCPU' "$dir/out"
ok $? "it runs, and a poke without vCPUs is refused with a text"

cat >"$dir/list.c" <<'C'
#include <stdio.h>
#include <vmpoke/qemu.h>

static int show(void *arg, const struct vp_qemu_domain *d)
{
	(void)arg;
	return puts(d->name) < 0;
}

int main(void)
{
	struct vp_err err = { "" };

	puts(vp_qemu_list("test:///default", 5000, show, NULL, &err) ? err.text : "listed");
	return 0;
}
C
# shellcheck disable=SC2046
gcc -Wall -Werror -o "$dir/list" "$dir/list.c" $(pkg-config --cflags --libs vmpoke-libvirt) 2>"$dir/log" ||
	cat "$dir/log"
[ -x "$dir/list" ]
ok $? "a program for guests of libvirt builds with vmpoke-libvirt"
"$dir/list" >"$dir/out" && [ -s "$dir/out" ]
ok $? "it runs, and libvirt answers"
# The program itself loads libvirt only when it is needed. A library that is none stands for one that is missing.
! ldd "$dir/root/opt/vmpoke/bin/vmpoke" | grep virt
ok $? "the program starts without libvirt"
mkdir "$dir/missing" && : >"$dir/missing/libvirt.so.0"
LD_LIBRARY_PATH=$dir/missing "$dir/root/opt/vmpoke/bin/vmpoke" info libvirt:web1 2>"$dir/err"
[ $? -eq 3 ] && [ "$(wc -l <"$dir/err")" -eq 1 ] && grep -q 'libvirt.so.0 is not there' "$dir/err"
ok $? "without libvirt: one line says so"
touch "$dir/root/opt/vmpoke/bin/other"
make --no-print-directory uninstall DESTDIR="$dir/root" PREFIX=/opt/vmpoke >"$dir/log" 2>&1
ok $? "make uninstall"
[ "$(find "$dir/root" -type f)" = "$dir/root/opt/vmpoke/bin/other" ]
ok $? "takes away what was installed, and nothing else"
make --no-print-directory help | grep -q 'make check'
ok $? "make help"
exit $failed
