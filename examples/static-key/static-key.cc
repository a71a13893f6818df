/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switch a static key of a running Linux guest: every instruction that asks it, and its count, in
 * one batch, while the guest stands still for some milliseconds.
 *
 *	static-key qemu+qmp:/path/of/socket sched_schedstats on
 *	static-key libvirt:web1 sched_schedstats off
 *
 * Signals wait until the guest runs again. If this is killed all the same (SIGKILL), run it again:
 * first of all it puts right what was left.
 */
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vmpoke/linux.h>
#include <vmpoke/qemu.h>

#include "journal.h"

namespace
{

void must(int rc, const vp_err &err)
{
	if (rc)
		throw std::runtime_error(err.text);
}

/* The folder of the command vmpoke: its processes and ours wait for one another. */
std::string state_dir()
{
	const char *own = std::getenv("VMPOKE_STATE_DIR"), *xdg = std::getenv("XDG_STATE_HOME"),
		   *home = std::getenv("HOME");

	if (own && *own)
		return own;
	if (geteuid() == 0)
		return "/var/lib/vmpoke";
	if (xdg && *xdg)
		return std::string(xdg) + "/vmpoke";
	return std::string(home ? home : ".") + "/.local/state/vmpoke";
}

struct Free {
	void operator()(vp_linux *kernel) const
	{
		vp_linux_free(kernel);
	}
	void operator()(vp_engine *engine) const
	{
		vp_engine_free(engine); /* of a stop nothing is ever unfinished */
	}
	void operator()(vp_qemu *qemu) const
	{
		vp_err err;

		if (vp_qemu_close(qemu, &err))
			std::cerr << "static-key: " << err.text << '\n';
	}
};

class Guest
{
      public:
	/* @target as the command vmpoke takes it. */
	explicit Guest(const std::string &target) : name(target), dir(state_dir()), batch(), err()
	{
		vp_qemu_info info;
		vp_engine *e;
		vp_linux *k;

		open();
		must(vp_qemu_describe(qemu.get(), &info, &err), err);
		must(vp_engine_new(vp_qemu_target(qemu.get()), &e, &err), err);
		engine.reset(e);
		journal.open(dir, info.identity, info.process);
		must(journal.undo(e, &err), err);
		must(vp_linux_open(vp_qemu_target(qemu.get()), nullptr, &k, &err), err);
		kernel.reset(k);
	}

	/* How many instructions were changed; 0: the key was as wanted. */
	size_t set_key(const char *key_name, bool on)
	{
		size_t sites = 0;
		vp_gva key;
		int rc, tries = 100;

		must(vp_symtab_find(vp_linux_symbols(kernel.get()), key_name, &key, &err), err);
		/* The guest is at work there itself: what would be wrong now is right soon. */
		while ((rc = try_key(key, on, &sites)) == -EAGAIN && --tries)
			std::this_thread::sleep_for(std::chrono::milliseconds(50));
		must(rc, err);
		return sites;
	}

	/* An error says that the guest may have been left stopped, and what to do. */
	void close()
	{
		kernel.reset();
		engine.reset();
		must(vp_qemu_close(qemu.release(), &err), err);
	}

      private:
	void open()
	{
		const std::string qmp = "qemu+qmp:", libvirt = "libvirt:";
		vp_qemu_config config = vp_qemu_config();
		vp_qemu *q;

		config.state_dir = dir.c_str();
		config.name = name.c_str();
		config.keeper = "static-key";
		config.repair = repair;
		config.repair_arg = this;
		if (name.compare(0, qmp.size(), qmp) == 0) {
			config.qmp_path = name.c_str() + qmp.size();
			must(vp_qemu_open(&config, &q, &err), err);
		} else if (name.compare(0, libvirt.size(), libvirt) == 0) {
			const char *domain = name.c_str() + libvirt.size();

			must(vp_qemu_open_libvirt(nullptr, domain, &config, &q, &err), err);
		} else {
			throw std::runtime_error(name +
						 " is neither qemu+qmp:PATH nor libvirt:NAME");
		}
		qemu.reset(q);
	}

	/*
	 * Called by vp_qemu_open() if somebody was killed who held the guest stopped. If that was
	 * not us, it stays as it is.
	 */
	static int repair(void *arg, vp_target *target, const char *identity, const char *process,
			  vp_err *err)
	{
		Guest *guest = static_cast<Guest *>(arg);
		vp_engine *e;
		int rc;

		guest->journal.open(guest->dir, identity, process);
		if (!guest->journal.is_there())
			return vp_err_set(err, -EUCLEAN,
					  "it was stopped by another program, which was killed: "
					  "try `vmpoke recover %.100s`",
					  guest->name.c_str());
		rc = vp_engine_new(target, &e, err);
		if (rc)
			return rc;
		rc = guest->journal.undo(e, err);
		vp_engine_free(e);
		return rc;
	}

	int try_key(vp_gva key, bool on, size_t *sites)
	{
		vp_poke_opts opts = VP_POKE_OPTS_INIT;
		vp_linux_flip flip = vp_linux_flip();
		int rc = vp_linux_key_plan(kernel.get(), key, on, &flip, &err);

		*sites = flip.nsites;
		batch.space = vp_linux_info(kernel.get())->space;
		batch.sites.assign(flip.sites, flip.sites + flip.nsites);
		batch.words.assign(flip.words, flip.words + flip.nwords);
		vp_linux_flip_free(&flip);
		if (rc || !*sites)
			return rc;
		opts.strategy = VP_STRATEGY_STOP;
		opts.space = &batch.space;
		opts.words = batch.words.data(); /* the count; and that nobody there patches now */
		opts.nwords = batch.words.size();
		opts.permit = write_down;
		opts.phase_arg = this;
		rc = vp_poke(engine.get(), batch.sites.data(), *sites, &opts, nullptr, &err);
		if (rc != -EUCLEAN) /* it is there as a whole, or not at all */
			journal.forget();
		return rc;
	}

	/* All checks have passed, and nothing is written so far. */
	static int write_down(void *arg, vp_err *err)
	{
		const Guest *guest = static_cast<const Guest *>(arg);

		return guest->journal.write(guest->batch, err);
	}

	const std::string name, dir;
	Journal journal;
	Batch batch; /* on its way */
	vp_err err;
	/* The last of these goes first. */
	std::unique_ptr<vp_qemu, Free> qemu;
	std::unique_ptr<vp_engine, Free> engine;
	std::unique_ptr<vp_linux, Free> kernel;
};

} // namespace

int main(int argc, char **argv)
{
	const std::string what = argc == 4 ? argv[3] : "";

	if (what != "on" && what != "off") {
		std::cerr << "usage: static-key qemu+qmp:PATH|libvirt:NAME KEY on|off\n";
		return 2;
	}
	try {
		Guest guest(argv[1]);
		const size_t sites = guest.set_key(argv[2], what == "on");

		guest.close();
		std::cout << argv[2] << " is " << what;
		if (sites)
			std::cout << ", " << sites << " site(s)\n";
		else
			std::cout << " already\n";
	} catch (const std::exception &e) {
		std::cerr << "static-key: " << e.what() << '\n';
		return 1;
	}
	return 0;
}
