# SPDX-License-Identifier: Apache-2.0
# Fuzzers. Each tests/fuzz/fuzz_NAME.c is linked with libFuzzer (clang) and with a plain runner.
#
#   make fuzz FUZZ=elf	without end, by libFuzzer; what it learns is kept in build/fuzz/corpus
#   make fuzz-check	a fixed number of inputs for each, both ways; part of `make check`

FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_PLAIN_BINS := $(FUZZ_NAMES:%=$(OUT)/fuzz/plain-%)
FUZZ_LIBFUZZER_BINS := $(FUZZ_NAMES:%=$(OUT)/fuzz/libfuzzer-%)
FUZZ_PLAIN := SAN=address,undefined
FUZZ_LIBFUZZER := CC=clang OUT=build/fuzz SAN=fuzzer-no-link,address,undefined

# All link the same: what helps the unit tests, too, and what they reach of the command line.
fuzz_src := tests/fuzz/world.c $(unit_help_src) $(vmm_src)
fuzz_parts := $(GUESTS) $(CLI) $(PARTS) $(call objs,$(lazy))

.PHONY: fuzz fuzz-check fuzz-plain-bins fuzz-libfuzzer-bins
fuzz-plain-bins: $(FUZZ_PLAIN_BINS)
fuzz-libfuzzer-bins: $(FUZZ_LIBFUZZER_BINS)

$(FUZZ_PLAIN_BINS): $(OUT)/fuzz/plain-%: $(OUT)/obj/tests/fuzz/fuzz_%.o \
		$(call objs,tests/fuzz/run.c $(fuzz_src)) $(fuzz_parts)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(FUZZ_LIBFUZZER_BINS): $(OUT)/fuzz/libfuzzer-%: $(OUT)/obj/tests/fuzz/fuzz_%.o \
		$(call objs,$(fuzz_src)) $(fuzz_parts)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS) -lcmocka

fuzz:
	$(if $(filter $(FUZZ),$(FUZZ_NAMES)),,$(error FUZZ=NAME with one of: $(FUZZ_NAMES)))
	@.ci/deps.sh --tests
	@$(MAKE) --no-print-directory $(FUZZ_LIBFUZZER) build/fuzz/fuzz/libfuzzer-$(FUZZ)
	@mkdir -p build/fuzz/corpus/$(FUZZ)
	build/fuzz/fuzz/libfuzzer-$(FUZZ) -timeout=20 -max_len=16384 \
		-artifact_prefix=build/fuzz/$(FUZZ)- build/fuzz/corpus/$(FUZZ) tests/fuzz/corpus/$(FUZZ)

fuzz-check:
	@$(MAKE) --no-print-directory $(FUZZ_PLAIN) fuzz-plain-bins
	@$(MAKE) --no-print-directory $(FUZZ_LIBFUZZER) fuzz-libfuzzer-bins
	@tests/fuzz/check.sh $(FUZZ_NAMES)
