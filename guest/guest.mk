# SPDX-License-Identifier: Apache-2.0
# The test guest: freestanding, so with flags of its own and never with SAN.

GUEST_CFLAGS := -std=gnu11 -O2 $(WARN) -Iinclude -I. -ffreestanding -mcmodel=kernel -fno-pic \
	-fno-pie -mno-red-zone -mno-sse -mno-sse2 -mno-mmx -mno-avx -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables -fno-strict-aliasing
GUEST_LDFLAGS := -static -nostdlib -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
	-Wl,-z,noexecstack -Wl,-z,norelro
guest_objs := $(GUEST_OUT)/entry.o $(GUEST_OUT)/main.o $(GUEST_OUT)/sites.o

$(GUEST): $(guest_objs) guest/testguest.ld
	$(call say,LD,$@)
	$(Q)$(CC) $(GUEST_LDFLAGS) -Wl,-T,guest/testguest.ld -o $@ $(guest_objs)

$(GUEST_OUT)/%.o: guest/%.c guest/guest.mk
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

$(GUEST_OUT)/%.o: guest/%.S guest/guest.mk
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -Iinclude -I. -MMD -MP -c -o $@ $<

$(OUT)/obj/guest/embed.o: guest/embed.S $(GUEST)
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -DTESTGUEST_ELF='"$(GUEST)"' -c -o $@ $<

$(OUT)/tests/test_testguest: $(OUT)/obj/guest/embed.o

-include $(guest_objs:.o=.d)
