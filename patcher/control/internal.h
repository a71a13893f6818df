/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the control commands share. */
#ifndef VP_CONTROL_INTERNAL_H
#define VP_CONTROL_INTERNAL_H

#include <vmpoke/linux.h>

#include "control/control.h"
#include "control/ledger.h"
#include "linux/view.h"

#define VP_CONTROL_TIMEOUT_MAX_MS 600000u

struct vp_control {
	struct vp_control_config cfg;
	struct vp_linux *linux_guest; /* NULL: not looked for, or none */
	int no_linux;		      /* -errno of the last look, not made again in this command */
	struct vp_err why_no_linux;
	bool refreshed;
	struct vp_ledger *ledger; /* NULL: not opened, or nothing is recorded */
	int no_ledger;		  /* -errno: it cannot be opened to be written ... */
	bool no_look;		  /* ... nor to be looked at, though there is one */
	struct vp_err why_no_ledger;
	int half; /* -errno: what vp_control_check() said */
	struct vp_err why_half;
};

/* --- state.c ------------------------------------------------------------------ */

/*
 * Open the ledger, if there is to be one, to be written. c->ledger may be there all the same if it
 * fails: then it can be looked at.
 */
int vp_control_ledger(struct vp_control *c, struct vp_err *err);

/* What every command that writes begins with: nothing stands half written, and the ledger is there.
 */
int vp_control_may_write(struct vp_control *c, struct vp_err *err);

/* The VM, as the ledger wants it. Errors as vp_control_boot(). */
int vp_control_vm(struct vp_control *c, struct vp_ledger_vm *vm, struct vp_err *err);

/* --- guest.c: what the guest runs --------------------------------------------- */

/* Every command begins with it: is the kernel that was found still the one that runs? */
void vp_control_refresh(struct vp_control *c);

/*
 * The Linux kernel of the guest, looked for when it is first needed. Errors as vp_linux_open();
 * -ENOENT: the guest runs none.
 */
int vp_control_linux(struct vp_control *c, struct vp_linux **out, struct vp_err *err);

/*
 * The name of an address, and how far behind its symbol it lies; NULL: none. Outside a kernel's
 * image (user space, modules) nothing but an exact hit is a name.
 */
const char *vp_control_name(struct vp_control *c, vp_gva addr, uint64_t *offset);

/* Where the symbol ends that names @addr (vp_symtab_end()). False: that cannot be told. */
bool vp_control_end(struct vp_control *c, vp_gva addr, vp_gva *end);

/* The symbols of the guest, whatever it runs. NULL: it has none. */
const struct vp_symtab *vp_control_symbols(struct vp_control *c);

/*
 * The page tables that translate @addr for everybody; NULL: those of the vCPUs do. An error: the
 * kernel could not be looked at, or is not that of the file that was given.
 */
int vp_control_space(struct vp_control *c, vp_gva addr, const struct vp_paging **out,
		     struct vp_err *err);

/* Which boot of the guest this is; 0 if it runs no Linux. Errors as vp_control_space(). */
int vp_control_boot(struct vp_control *c, uint64_t *out, struct vp_err *err);

/*
 * Who else changes the bytes of these sites: vp_linux_poke_plan(), where a Linux kernel is there
 * and a site in its half; else nobody. Errors as that, and as vp_control_space().
 */
int vp_control_care(struct vp_control *c, const struct vp_site *sites, size_t n, bool force,
		    struct vp_linux_care *out, struct vp_err *err);

/* Read guest memory by address; near: through a view of the kernel's (NULL: none). */
int vp_control_read(struct vp_control *c, vp_gva addr, void *buf, size_t len, struct vp_err *err);
int vp_control_read_near(struct vp_control *c, struct vp_view *view, vp_gva addr, void *buf,
			 size_t len, struct vp_err *err);

/* --- leads.c: where instructions begin and lead ---------------------------------- */

/* Does an instruction begin at @addr, as far as that can be told? -EINVAL: no. */
int vp_control_boundary(struct vp_control *c, vp_gva addr, struct vp_err *err);

/*
 * Do the branches and fixups of new sites lead to instructions that can run? -EINVAL, -EFAULT: no.
 * Where a boundary cannot be told it is no error.
 */
int vp_control_leads(struct vp_control *c, const struct vp_site *sites, size_t n,
		     struct vp_err *err);

/* --- args.c ------------------------------------------------------------------ */

/* A guest address: an integer, or text as for vp_symtab_parse(). */
int vp_args_addr(struct vp_control *c, const json_t *value, vp_gva *out, struct vp_err *err);

/* Put "addr", "symbol", "offset" into @object; the latter two only if a symbol is near. */
void vp_json_set_where(struct vp_control *c, json_t *object, vp_gva addr);

/* What a site changes: "old", "new", "resume", "fixup" if it has one. */
void vp_json_set_change(json_t *object, const struct vp_site *s);

/* Beside a moment in seconds since 1970: the same in ISO 8601, as @key; nothing for no such year.
 */
void vp_json_set_time(json_t *object, const char *key, int64_t when);

/* --- the commands, as struct vp_qmp_command wants them ------------------------- */

json_t *vp_control_resolve_symbol(void *arg, const json_t *args, int *fd, int *code,
				  struct vp_err *err);
json_t *vp_control_read_memory(void *arg, const json_t *args, int *fd, int *code,
			       struct vp_err *err);
json_t *vp_control_query_registers(void *arg, const json_t *args, int *fd, int *code,
				   struct vp_err *err);
json_t *vp_control_query_kernel(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err);
json_t *vp_control_query_symbols(void *arg, const json_t *args, int *fd, int *code,
				 struct vp_err *err);
json_t *vp_control_poke(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err);
json_t *vp_control_revert(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err);
json_t *vp_control_query_pokes(void *arg, const json_t *args, int *fd, int *code,
			       struct vp_err *err);
json_t *vp_control_query_keys(void *arg, const json_t *args, int *fd, int *code,
			      struct vp_err *err);
json_t *vp_control_key_set(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err);
json_t *vp_control_query_ledger(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err);
json_t *vp_control_verify(void *arg, const json_t *args, int *fd, int *code, struct vp_err *err);
json_t *vp_control_query_hotfixes(void *arg, const json_t *args, int *fd, int *code,
				  struct vp_err *err);
json_t *vp_control_hotfix_check(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err);

json_t *vp_control_hotfix_apply(void *arg, const json_t *args, int *fd, int *code,
				struct vp_err *err);
json_t *vp_control_hotfix_remove(void *arg, const json_t *args, int *fd, int *code,
				 struct vp_err *err);

/* hotfix_recover.c: a part of vp_control_check(). -EUCLEAN: something is to be recovered. */
int vp_control_check_hotfixes(struct vp_control *c, struct vp_err *err);

/* --- standing.c -------------------------------------------------------------- */

enum vp_standing {
	VP_STANDS_OLD,
	VP_STANDS_NEW,
	VP_STANDS_HALF,	    /* each byte is of one of the two */
	VP_STANDS_OTHER,    /* neither */
	VP_STANDS_GONE,	    /* its module was unloaded */
	VP_STANDS_UNMAPPED, /* for another reason */
};

/* "old", "new", ... */
const char *vp_standing_name(enum vp_standing s);

/* The module that a site was in when its batch was made. */
struct vp_module_was {
	const char *name; /* "": in none, or the ledger does not say */
	uint64_t at;	  /* its struct module */
};

/* As a site in the ledger says it. Its text belongs to @site, which may be NULL. */
struct vp_module_was vp_module_was_of(const json_t *site);

#define VP_STANDING_AHEAD \
	0x10000u /* of a view for the sites of one batch, which lie in a few places */

/*
 * What stands at a site now, or did when @view (NULL: none) was begun. @was may be NULL. An error:
 * it could not be looked at.
 */
int vp_control_standing(struct vp_control *c, struct vp_view *view, const struct vp_site *s,
			const struct vp_module_was *was, enum vp_standing *out, struct vp_err *err);
int vp_control_word_standing(struct vp_control *c, const struct vp_word *w, enum vp_standing *out,
			     struct vp_err *err);

/* --- applied.c --------------------------------------------------------------- */

/* A batch that is applied; or that stands in the memory, whatever the ledger says of it. */
struct vp_applied {
	uint64_t id; /* 0: it never got a number */
	enum vp_fate fate;
	enum vp_strategy strategy;
	int64_t when;
	char *note;		   /* owned; may be NULL */
	struct vp_site *sites;	   /* by address; owned */
	struct vp_module_was *was; /* of each site; owned; its texts belong to line */
	size_t nsites;
	struct vp_word *words; /* as they were given; owned */
	size_t nwords;
	json_t *line; /* its begin in the ledger; owned; NULL: there is none */
};

/*
 * All of them, oldest first; to be freed. @all, where the ledger knows and not the engine: also
 * each batch that the ledger ever had of this boot, and that is not recorded as applied here, but
 * stands in the memory (a restored snapshot, a clone). -ENOMEM, and as vp_ledger_batches().
 */
int vp_control_applied(struct vp_control *c, bool all, struct vp_applied **out, size_t *n,
		       struct vp_err *err);
void vp_control_applied_free(struct vp_applied *list, size_t n);

/* The site of @a that lies over the bytes of @s; NULL: none does. */
const struct vp_site *vp_applied_over(const struct vp_applied *a, const struct vp_site *s);

/* left.c: what is left of a batch to be taken back. Sites and words are owned. */
struct vp_left {
	struct vp_site *sites; /* that stand, by address */
	struct vp_word *words; /* that stand, and the conditions */
	size_t nsites, nwords;
	size_t gone, old; /* sites whose module is gone, that have their old bytes */
};

int vp_control_left(struct vp_control *c, const struct vp_applied *a, struct vp_left *out,
		    struct vp_err *err);
void vp_left_clear(struct vp_left *left);

/*
 * Do these words (@left of them) begin with what a batch changes of an ftrace record: two
 * conditions that together hold the address of @site, then the change (vp_linux_poke_plan())?
 */
bool vp_words_are_record(const struct vp_word *w, size_t left, vp_gva *site);

/* --- apply.c ----------------------------------------------------------------- */

/* The options that every command takes which writes. */
struct vp_write_args {
	const char *strategy;
	int dry_run;
	json_t *timeout;
	const char *note; /* no argument: what the command itself has to say */
};
#define VP_WRITE_ARGS_FMT "s?s, s?b, s?o"
#define VP_WRITE_ARGS(w) \
	"strategy", &(w)->strategy, "dry-run", &(w)->dry_run, "timeout", &(w)->timeout

/*
 * again.c. A command that was refused with -EAGAIN, because the guest is at work there, is worth
 * another try: all of it, from the look at the guest on, after a nap in which the guest runs.
 * False: no, it was something else, or took as long as a vCPU may to answer (@timeout, as given)
 * already. Begin with an empty one.
 */
struct vp_patience {
	int64_t until_ms;
	unsigned int nap_ms;
};
bool vp_control_again(struct vp_patience *p, const struct vp_write_args *w, int code);

/* What a command wants written. */
struct vp_control_batch {
	const struct vp_site *sites;
	size_t nsites;
	const struct vp_word *words;
	size_t nwords;
	bool stop;	     /* right with strategy stop only */
	bool force;	     /* the user wants it, whoever owns the bytes */
	const char *forced;  /* what was passed over for that; "", NULL: nothing */
	uint64_t takes_back; /* the number of an applied batch; 0: it is one of its own */
	const json_t *more;  /* for its line in the ledger; NULL: nothing */
	/* vp_poke_opts.inspect; NULL: nobody looks. */
	int (*inspect)(void *arg, struct vp_err *err);
	void *inspect_arg;
};

/*
 * Apply a batch / take one back, tell its phases as those of @command, and record it. The "return"
 * value of the command, or NULL and @code.
 */
json_t *vp_control_apply(struct vp_control *c, const char *command, const struct vp_write_args *w,
			 const struct vp_control_batch *batch, int *code, struct vp_err *err);
json_t *vp_control_take_back(struct vp_control *c, const struct vp_write_args *w,
			     const struct vp_applied *a, int *code, struct vp_err *err);

#endif /* VP_CONTROL_INTERNAL_H */
