# SPDX-License-Identifier: Apache-2.0
# The interleaving explorer (docs/exploration.md): the real objects of the engine on a modelled target,
# and the real files of the local target on modelled threads and a modelled KVM.
#
#   make explore	every scenario; EXPLORE=--quick or names of scenarios for less
#   make mutants	every seeded fault must be found

EXPLORE ?=
EXPLORE_BIN := $(OUT)/tests/explore
EXPLORE_LOCAL_BIN := $(OUT)/tests/explore-local
explore_both := $(wildcard tests/explore/*.c)
engine_src := $(wildcard patcher/base/*.c patcher/core/*.c patcher/x86/*.c)
# Memory is part of the state.
EXPLORE_WRAP := -Wl,--wrap=calloc,--wrap=aligned_alloc,--wrap=reallocarray,--wrap=free

# The files of the local target, compiled with their steps visible.
explored_local := $(filter-out %/local_probe.c,$(wildcard patcher/target/local*.c))
explored_local_objs := $(explored_local:%.c=$(OUT)/explored/%.o)
EXPLORE_HOOKS := -include tests/explore/local/hooks.h
-include $(explored_local_objs:.o=.d)

.PHONY: explore mutants explore-bin
explore-bin: $(EXPLORE_BIN) $(EXPLORE_LOCAL_BIN)

explore: explore-bin
	$(EXPLORE_BIN) $(EXPLORE)
	$(EXPLORE_LOCAL_BIN) $(EXPLORE)

mutants: explore-bin
	$(Q)CC='$(CC)' OUT='$(OUT)' tests/explore/mutants.sh

$(explored_local_objs): $(OUT)/explored/%.o: %.c tests/explore/local/hooks.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(EXPLORE_HOOKS) -c -o $@ $<

$(EXPLORE_BIN): $(call objs,$(explore_both) $(wildcard tests/explore/engine/*.c) $(engine_src))
$(EXPLORE_LOCAL_BIN): $(explored_local_objs) $(call objs,$(explore_both) \
	$(wildcard tests/explore/local/*.c patcher/base/*.c patcher/x86/*.c))

$(EXPLORE_BIN) $(EXPLORE_LOCAL_BIN):
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $(EXPLORE_WRAP) -o $@ $^ -lZydis
