# SPDX-License-Identifier: Apache-2.0
# One non-recursive Makefile. `make demo` and `make check` install what they miss.
#
#   make             build/vmpoke, build/libvmpoke.a
#   make demo        a guest's hot code is rewritten while it runs; a hole in a Linux VM is closed
#   make test        unit tests only (no KVM)
#   make check       unit, sanitizers, integration, rigs, style, lint, ...; TIER=list names its
#                    tiers, TIER=style runs one
#   make soak        demos of every kind for TIME=600 seconds; SEED=N repeats one
#   make fuzz        FUZZ=elf|qmp|batch|walk|decode|poke|linux|image|kernel|gdb|object|patch|diff|
#                    sign, without end
#   make lint        clang-tidy and cppcheck
#   make api         docs/api.md, of the public headers
#   make bench       what patching costs, by all ways side by side: RUNS=10; RIG=1: on emulated hosts,
#                    too; AGAINST=FILE: beside another vmpoke
#   make coverage    how much of what Debian changes in its kernel can be had as hotfixes: FILES=60 of the
#                    sources that differ, chosen by SEED=1
#   make install     DESTDIR=, PREFIX=/usr/local; make uninstall takes it away
#   make deps        install what the build needs; make deps-tests: what the tests need, too
#   make help        this list
#   V=1              show the commands
#   SAN=address,undefined or SAN=thread   build with sanitizers, in a folder of its own

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

VERSION := $(shell awk '/define VP_VERSION_(MAJOR|MINOR|PATCH)/ { v = v sep $$3; sep = "." } END { print v }' \
	include/vmpoke/version.h)
PREFIX ?= /usr/local
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
AR := $(if $(filter default,$(origin AR)),ar,$(AR))

comma := ,
SAN ?=
OUT := build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))

ifeq ($(V),1)
  Q :=
else
  Q := @
endif
say = $(if $(Q),@printf '  %-7s %s\n' '$(1)' '$(2)')

WARN := -Wall -Wextra -Werror -Wconversion -Wshadow -Wmissing-prototypes -Wstrict-prototypes \
	-Wvla -Wpointer-arith
CPPFLAGS += -D_GNU_SOURCE -Iinclude -Ipatcher -I.
# -O1 is compiled in two thirds of the time, and instrumented all the same.
CFLAGS ?= $(if $(SAN),-O1,-O2) -g
# Position independent, and its thread variables reached as a signal handler may: for the preload library.
override CFLAGS += -std=gnu11 $(WARN) -fno-strict-aliasing -fvisibility=hidden -pthread -fPIC -ftls-model=initial-exec
override LDFLAGS += -pthread
LDLIBS := -lm -lZydis -lbpf -lelf -ljansson -lsodium -lz -llzma -lzstd -llz4
ifneq ($(SAN),)
  override CFLAGS += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
  override LDFLAGS += -fsanitize=$(SAN)
endif

# --- what is built from what -------------------------------------------------

lib_src := $(wildcard patcher/base/*.c patcher/x86/*.c patcher/core/*.c patcher/elf/*.c patcher/linux/*.c \
	patcher/hotfix/*.c patcher/diff/*.c patcher/build/*.c patcher/target/*.c patcher/sign/*.c \
	patcher/control/*.c)
# In the place of libvirt, for what is to load it only when it is needed.
lazy := patcher/target/libvirt_lazy.c
lib_src := $(filter-out $(lazy),$(lib_src))
# What a hotfix is compiled with; see patcher/build/embed.h.
hotfix_headers := $(wildcard include/vmpoke/hotfix.h patcher/build/kernel/*/*.h)
vmm_src := $(wildcard vmm/*.c)
cli_src := $(wildcard patcher/cli/*.c)
unit_src := $(wildcard tests/unit/test_*.c)
unit_help_src := $(filter-out $(unit_src),$(wildcard tests/unit/*.c))
rig_src := $(wildcard tests/integration/*.c)

objs = $(patsubst %.c,$(OUT)/obj/%.o,$(1))

# As it is installed; and with every name, for our own programs and tests, as are the subcommands.
LIB := $(OUT)/libvmpoke.a
PARTS := $(OUT)/obj/vmpoke.a
CLI := $(OUT)/obj/cli.a
BIN := $(OUT)/vmpoke
PRELOAD := $(OUT)/libvmpoke-kvm.so
GUEST_OUT := build/guest
GUEST := $(GUEST_OUT)/testguest.elf
BENCH_GUEST := $(GUEST_OUT)/benchguest.elf
UNIT_BINS := $(patsubst tests/unit/%.c,$(OUT)/tests/%,$(unit_src))
RIG_BINS := $(patsubst tests/integration/%.c,$(OUT)/tests/%,$(rig_src))

.PHONY: all help demo test check soak bench coverage install uninstall clean deps deps-tests test-bins \
	tests-all format format-check lint layers api
# A library with sanitizers would want them in whoever loads it.
all: $(BIN) $(LIB) $(if $(SAN),,$(PRELOAD)) $(GUEST)

help:
	@sed -n 's/^#   //p' Makefile

deps:
	@.ci/deps.sh
deps-tests:
	@.ci/deps.sh --tests

# Without what its second part needs there is the first.
KVM ?= /dev/kvm
demo:
	@.ci/deps.sh --linux || .ci/deps.sh 2>/dev/null
	@$(MAKE) --no-print-directory all
	@VMPOKE=$(OUT)/vmpoke tests/demo.sh $(KVM)

test: deps
	@$(MAKE) --no-print-directory test-bins
	@tests/run.sh unit

TIER ?= all
check:
	@$(if $(filter list,$(TIER)),,.ci/deps.sh --tests)
	@tests/run.sh $(TIER)

TIME ?= 600
soak:
	@.ci/deps.sh --tests
	@$(MAKE) --no-print-directory all
	@tests/soak.sh $(TIME) $(SEED)

RUNS ?= 10
bench:
	@.ci/deps.sh --tests gdb
	@$(MAKE) --no-print-directory all $(OUT)/tests/bench-cores $(if $(RIG),build/rigs/vmpoke)
	@RUNS=$(RUNS) AGAINST=$(AGAINST) RIG=$(RIG) tests/bench/bench.sh

FILES ?= 60
SEED ?= 1
coverage:
	@.ci/deps.sh --tests
	@$(MAKE) --no-print-directory all
	@FILES=$(FILES) SEED=$(SEED) KEEP=$(KEEP) tests/coverage/coverage.sh

include guest/guest.mk

test-bins: $(UNIT_BINS) $(BIN)
tests-all: all $(UNIT_BINS) $(RIG_BINS)

$(BIN): $(call objs,patcher/cli/main.c $(vmm_src) $(lazy)) $(GUESTS) $(CLI) $(PARTS)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# What it calls itself is the C library's; what the VMM calls is in it.
$(PRELOAD): $(call objs,$(wildcard patcher/preload/*.c) $(lazy)) $(PARTS)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,--wrap=ioctl,--wrap=close -Wl,--as-needed,-z,defs,-z,now -o $@ $^ $(LDLIBS) -ldl

# The program of the rigs, whose hosts have no libvirt.
$(OUT)/rigs/vmpoke: $(call objs,patcher/cli/main.c $(vmm_src) tests/rigs/no_libvirt.c) \
		$(GUESTS) $(CLI) $(PARTS)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(PARTS): $(call objs,$(lib_src)) $(OUT)/obj/patcher/build/embed.o
$(CLI): $(call objs,$(filter-out patcher/cli/main.c,$(cli_src)))
$(PARTS) $(CLI):
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(LIB): patcher/archive.sh $(call objs,$(filter-out patcher/control/% patcher/build/% patcher/diff/% patcher/sign/%,$(lib_src))) $(wildcard include/vmpoke/*.h)
	$(call say,AR,$@)
	$(Q)CC='$(CC)' AR='$(AR)' $< $@ $(filter %.o,$^)

$(OUT)/obj/%.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/obj/patcher/build/embed.o: patcher/build/embed.S $(hotfix_headers) Makefile
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -c -o $@ $<

$(UNIT_BINS): $(OUT)/tests/%: $(OUT)/obj/tests/unit/%.o $(call objs,$(unit_help_src) $(vmm_src)) $(PARTS)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(OUT)/tests/test_remote: $(call objs,$(lazy))
# What makes tables and pages of figures is the program's own; what that needs is looked for behind it.
$(OUT)/tests/test_bench: LDLIBS := $(PARTS) $(LDLIBS)
$(OUT)/tests/test_bench: $(call objs,$(patsubst %,patcher/cli/bench_%.c,stats doc ratios table html plot))

# Objects of kernel code that unit tests link and run: they stand beside the programs.
KERNEL_FLAGS := -std=gnu11 -O2 -ffreestanding -mcmodel=kernel -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-common -pg -mfentry
$(OUT)/tests/test_link_run: | $(OUT)/tests/objects/run.o
$(OUT)/tests/objects/%.o: tests/unit/objects/%.c include/vmpoke/hotfix.h Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -Iinclude $(KERNEL_FLAGS) -Wall -Wextra -Werror -c -o $@ $<

$(RIG_BINS): $(OUT)/tests/%: $(OUT)/obj/tests/integration/%.o
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(RIG_LIBS) -ljansson

$(OUT)/tests/hotfix_calls: $(PARTS)
$(OUT)/tests/hotfix_calls: RIG_LIBS = $(LDLIBS)

# --- parts with a makefile of their own ----------------------------------------

include tests/cores/cores.mk
include tests/explore/explore.mk
include tests/fuzz/fuzz.mk

# --- install -----------------------------------------------------------------

# Folders that are ours alone: whole.
share := $(DESTDIR)$(PREFIX)/share
bash_completion := $(share)/bash-completion/completions/vmpoke
zsh_completion := $(share)/zsh/site-functions/_vmpoke
fish_completion := $(share)/fish/vendor_completions.d/vmpoke.fish
examples := $(wildcard examples/README.md $(addprefix examples/*/,Makefile *.c *.cc *.h *.ld *.py))
own_folders = $(DESTDIR)$(PREFIX)/include/vmpoke $(share)/vmpoke $(share)/doc/vmpoke
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(own_folders) $(share)/man/man1
	install -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/vmpoke
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/libvmpoke.a
	install -m 644 $(PRELOAD) $(DESTDIR)$(PREFIX)/lib/libvmpoke-kvm.so
	install -m 644 include/vmpoke/*.h $(DESTDIR)$(PREFIX)/include/vmpoke/
	for d in asm linux; do \
		install -d $(share)/vmpoke/kernel/$$d && \
		install -m 644 patcher/build/kernel/$$d/*.h $(share)/vmpoke/kernel/$$d/ || exit; \
	done
	install -m 644 docs/*.md README.md CHANGELOG.md $(share)/doc/vmpoke/
	for f in $(examples); do \
		install -D -m $$([ -x $$f ] && echo 755 || echo 644) $$f $(share)/doc/vmpoke/$$f || exit; \
	done
	install -m 644 docs/vmpoke.1 $(share)/man/man1/vmpoke.1
	install -D -m 644 docs/completions/vmpoke.bash $(bash_completion)
	install -D -m 644 docs/completions/_vmpoke $(zsh_completion)
	install -D -m 644 docs/completions/vmpoke.fish $(fish_completion)
	for pc in vmpoke vmpoke-libvirt; do \
		sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' docs/$$pc.pc.in \
			> $(DESTDIR)$(PREFIX)/lib/pkgconfig/$$pc.pc || exit; \
	done

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/vmpoke $(DESTDIR)$(PREFIX)/lib/libvmpoke.a \
		$(DESTDIR)$(PREFIX)/lib/libvmpoke-kvm.so \
		$(DESTDIR)$(PREFIX)/lib/pkgconfig/vmpoke.pc \
		$(DESTDIR)$(PREFIX)/lib/pkgconfig/vmpoke-libvirt.pc $(share)/man/man1/vmpoke.1 \
		$(bash_completion) $(zsh_completion) $(fish_completion)
	rm -rf $(own_folders)

# --- style -------------------------------------------------------------------

all_c := $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h' 2>/dev/null)

format:
	clang-format -i $(all_c)
format-check:
	clang-format --dry-run --Werror $(all_c)
layers:
	.ci/layers.sh
# It is kept in the repository: .ci/api.sh says when it is due.
api:
	awk -f docs/api.awk include/vmpoke/*.h >docs/api.md.new && mv docs/api.md.new docs/api.md
lint:
	.ci/lint.sh

clean:
	rm -rf build

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)
