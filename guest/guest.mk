# SPDX-License-Identifier: Apache-2.0
# Our guests, of the demo and of the bench: freestanding, so with flags of their own and never with SAN.

GUEST_CFLAGS := -std=gnu11 -O2 $(WARN) -Iinclude -I. -ffreestanding -mcmodel=kernel -fno-pic \
	-fno-pie -mno-red-zone -mno-sse -mno-sse2 -mno-mmx -mno-avx -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables -fno-strict-aliasing
GUEST_LDFLAGS := -static -nostdlib -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
	-Wl,-z,noexecstack -Wl,-z,norelro
guest_objs := $(patsubst %,$(GUEST_OUT)/%.o,entry machine main sites)
bench_guest_objs := $(patsubst %,$(GUEST_OUT)/%.o,entry machine bench bench_sites)

# Both as parts of a program.
GUESTS := $(OUT)/obj/guest/embed.o $(OUT)/obj/guest/bench_embed.o
embed_as = -DGUEST_START=vp_$(1)_start -DGUEST_END=vp_$(1)_end -DGUEST_ELF='"$(2)"'

$(GUEST): $(guest_objs) guest/testguest.ld
	$(call say,LD,$@)
	$(Q)$(CC) $(GUEST_LDFLAGS) -Wl,-T,guest/testguest.ld -o $@ $(guest_objs)

$(BENCH_GUEST): $(bench_guest_objs) guest/bench.ld
	$(call say,LD,$@)
	$(Q)$(CC) $(GUEST_LDFLAGS) -Wl,-T,guest/bench.ld -o $@ $(bench_guest_objs)

$(GUEST_OUT)/%.o: guest/%.c guest/guest.mk
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

$(GUEST_OUT)/%.o: guest/%.S guest/guest.mk
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -Iinclude -I. -MMD -MP -c -o $@ $<

$(OUT)/obj/guest/embed.o: guest/embed.S $(GUEST) guest/guest.mk
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(call embed_as,testguest,$(GUEST)) -c -o $@ $<

$(OUT)/obj/guest/bench_embed.o: guest/embed.S $(BENCH_GUEST) guest/guest.mk
	$(call say,AS,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(call embed_as,benchguest,$(BENCH_GUEST)) -c -o $@ $<

$(OUT)/tests/test_testguest: $(OUT)/obj/guest/embed.o

-include $(guest_objs:.o=.d) $(bench_guest_objs:.o=.d)
