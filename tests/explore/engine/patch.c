/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's own text_poke at a site: int3, tail, head. After each it interrupts every vCPU and
 * waits until all have answered, which serializes them (text_poke_sync() in Linux). One that is
 * out of the guest answers when it enters: interrupts are on where it trapped.
 */
#include "world.h"

/* It runs on some vCPU, too. */
static bool can_run(void)
{
	for (unsigned int i = 0; i < sc->vcpus; i++)
		if (w.vcpu[i].mode == GUEST)
			return true;
	return false;
}

static bool waits(void)
{
	return w.poke_step != POKE_NONE && w.poke_step != POKE_DONE;
}

static bool has_answered(unsigned int i)
{
	return w.poke_answered & 1u << i || w.vcpu[i].mode == ABSENT;
}

static bool all_answered(void)
{
	for (unsigned int i = 0; i < sc->vcpus; i++)
		if (!has_answered(i))
			return false;
	return true;
}

bool patch_is_at(unsigned int site)
{
	return w.poke_step != POKE_NONE && w.poke_site == site;
}

bool patch_int3_stands(unsigned int site)
{
	return patch_is_at(site) && (w.poke_step == POKE_INT3 || w.poke_step == POKE_TAIL);
}

bool patch_may_go_on(void)
{
	if (!waits())
		return false;
	if (all_answered())
		return can_run();
	for (unsigned int i = 0; i < sc->vcpus; i++)
		if (w.vcpu[i].mode == GUEST && !has_answered(i))
			return true;
	return false;
}

unsigned int patch_choices(struct choice *to)
{
	unsigned int n = 0;

	if (waits() && all_answered() && can_run())
		to[n++] = (struct choice){ 1, PROCEED, 0 };
	if (waits() || !w.patches_left || !can_run())
		return n;
	for (uint8_t s = 0; s < sc->sites; s++)
		to[n++] = (struct choice){ 1, PATCH, s };
	return n;
}

unsigned int patch_answer_choice(unsigned int i, struct choice *to)
{
	if (!waits() || has_answered(i))
		return 0;
	*to = (struct choice){ (uint8_t)(1 + i), ANSWER, 0 };
	return 1;
}

void patch_answer(unsigned int i)
{
	if (!waits() || has_answered(i))
		return;
	w.poke_answered |= (uint8_t)(1u << i);
	for (unsigned int s = 0; s < sc->sites; s++)
		for (unsigned int p = 0; p < sc->insn->len; p++)
			w.vcpu[i].may[s][p] = (uint8_t)(1u << value_id(p, w.text[s][p]));
}

static void begin(unsigned int site)
{
	w.patches_left--;
	w.patched = true;
	w.poke_site = (uint8_t)site;
	w.poke_step = POKE_INT3;
	w.legal[site] |= 1u << (MAX_VARIANTS - 1);
	text_store(site, 0, VP_INT3);
}

static void go_on(void)
{
	const uint8_t *bytes = sc->insn->bytes[MAX_VARIANTS - 1];

	w.poke_step++;
	if (w.poke_step == POKE_TAIL)
		for (unsigned int p = 1; p < sc->insn->len; p++)
			text_store(w.poke_site, p, bytes[p]);
	if (w.poke_step == POKE_HEAD)
		text_store(w.poke_site, 0, bytes[0]);
	w.unseen = w.unseen || w.poke_step != POKE_DONE;
}

void patch_step(const struct choice *c)
{
	static const char *const names[] = {
		[POKE_TAIL] = "writes its tail",
		[POKE_HEAD] = "writes its head",
		[POKE_DONE] = "is done",
	};

	if (c->what == PATCH) {
		note("the guest's text_poke lays its int3 on site %u", c->arg);
		begin(c->arg);
	} else {
		go_on();
		note("the guest's text_poke %s", names[w.poke_step]);
	}
	w.poke_answered = 0;
}
