# SPDX-License-Identifier: Apache-2.0
# Real cores (docs/cores.md): the test guest with its workers at CPL 3, and the program that pokes it;
# once with the engine as it is, once for each seeded fault that real cores must find.

CORES_BIN := $(OUT)/tests/cores
CORES_MUTANTS := $(OUT)/tests/cores-head-before-tail
CORES_GUEST_OUT := $(GUEST_OUT)/user
CORES_GUEST := $(CORES_GUEST_OUT)/testguest.elf
# At the bottom of the address space, where CPL 3 belongs. An int3 of the guest's own costs as much as
# many thousand calls here.
CORES_GUEST_CPPFLAGS := -DTG_USER=1 -DTG_INT3_EVERY=0x100000
CORES_GUEST_BASE := -Wl,--defsym,TG_BASE=0
# The trap route: tests/cores/kvm.c stands between the target and KVM.
CORES_WRAP := -Wl,--wrap=ioctl,--wrap=vp_local_new,--wrap=vp_local_vcpu_attach,--wrap=vp_local_op_sync

cores_guest_objs := $(patsubst %,$(CORES_GUEST_OUT)/%.o,entry machine main sites user)
cores_objs := $(call objs,$(wildcard tests/cores/*.c) patcher/cli/demo_guest.c $(vmm_src)) \
	$(OUT)/obj/tests/cores/embed.o

# The bench, with the same between its target and KVM.
BENCH_CORES := $(OUT)/tests/bench-cores
BENCH_CORES_GUEST := $(CORES_GUEST_OUT)/benchguest.elf
bench_cores_guest_objs := $(patsubst %,$(CORES_GUEST_OUT)/%.o,entry machine bench bench_sites user)
bench_cores_objs := $(call objs,tests/bench/cores.c tests/cores/kvm.c $(vmm_src)) \
	$(OUT)/obj/tests/cores/bench_embed.o

tests-all: $(CORES_BIN) $(CORES_MUTANTS) $(BENCH_CORES)

$(BENCH_CORES): $(bench_cores_objs) $(CLI) $(PARTS)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $(CORES_WRAP) -o $@ $^ $(LDLIBS)

$(CORES_BIN): $(cores_objs) $(PARTS)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $(CORES_WRAP) -o $@ $^ $(LDLIBS)

# A mutant's object comes before the library, which has the original.
$(CORES_MUTANTS): $(OUT)/tests/cores-%: $(cores_objs) $(OUT)/obj/tests/cores/%.o $(PARTS)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $(CORES_WRAP) -o $@ $^ $(LDLIBS)

cores_mutant_objs := $(patsubst $(OUT)/tests/cores-%,$(OUT)/obj/tests/cores/%.o,$(CORES_MUTANTS))
$(cores_mutant_objs): $(OUT)/obj/tests/cores/%.o: tests/explore/mutants/%.sed patcher/core/poke.c
	$(call say,MUTANT,$@)
	$(Q)mkdir -p $(@D)
	$(Q)sed -f $< patcher/core/poke.c > $(@:.o=.c)
	$(Q)! cmp -s patcher/core/poke.c $(@:.o=.c)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $(@:.o=.c)

# --- the guest ---------------------------------------------------------------

$(CORES_GUEST): $(cores_guest_objs) guest/testguest.ld
	$(call say,LD,$@)
	$(Q)$(CC) $(GUEST_LDFLAGS) $(CORES_GUEST_BASE) -Wl,-T,guest/testguest.ld -o $@ $(cores_guest_objs)

$(BENCH_CORES_GUEST): $(bench_cores_guest_objs) guest/bench.ld
	$(call say,LD,$@)
	$(Q)$(CC) $(GUEST_LDFLAGS) $(CORES_GUEST_BASE) -Wl,-T,guest/bench.ld -o $@ $(bench_cores_guest_objs)

$(CORES_GUEST_OUT)/%.o: guest/%.c guest/guest.mk tests/cores/cores.mk
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) $(CORES_GUEST_CPPFLAGS) -MMD -MP -c -o $@ $<

$(CORES_GUEST_OUT)/%.o: guest/%.S tests/cores/cores.mk
	$(call say,AS,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -Iinclude -I. $(CORES_GUEST_CPPFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/obj/tests/cores/embed.o: guest/embed.S $(CORES_GUEST)
	$(call say,AS,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(call embed_as,testguest,$(CORES_GUEST)) -c -o $@ $<

$(OUT)/obj/tests/cores/bench_embed.o: guest/embed.S $(BENCH_CORES_GUEST)
	$(call say,AS,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(call embed_as,benchguest,$(BENCH_CORES_GUEST)) -c -o $@ $<

-include $(cores_guest_objs:.o=.d) $(bench_cores_guest_objs:.o=.d)
