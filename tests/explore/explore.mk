# SPDX-License-Identifier: Apache-2.0
# The interleaving explorer (docs/exploration.md) over the real objects of the engine.
#
#   make explore	every scenario; EXPLORE=--quick or names of scenarios for less
#   make mutants	every seeded fault must be found

EXPLORE ?=
EXPLORE_BIN := $(OUT)/tests/explore
explore_src := $(wildcard tests/explore/*.c tests/explore/engine/*.c)
engine_src := $(wildcard patcher/base/*.c patcher/core/*.c patcher/x86/*.c)
# The engine's memory is part of the state.
EXPLORE_WRAP := -Wl,--wrap=calloc,--wrap=reallocarray,--wrap=free

.PHONY: explore mutants explore-bin
explore-bin: $(EXPLORE_BIN)

explore: $(EXPLORE_BIN)
	$(EXPLORE_BIN) $(EXPLORE)

mutants: $(EXPLORE_BIN)
	$(Q)CC='$(CC)' OUT='$(OUT)' tests/explore/mutants.sh

$(EXPLORE_BIN): $(call objs,$(explore_src) $(engine_src))
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $(EXPLORE_WRAP) -o $@ $^ -lZydis
