/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch on disk, from before its first byte is written until it is known what became of it: the
 * record that vmpoke/poke.h asks of a program that changes guests. If the program is killed in
 * between, its next run puts the old bytes back.
 */
#ifndef EXAMPLE_JOURNAL_H
#define EXAMPLE_JOURNAL_H

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string>
#include <unistd.h>
#include <vector>
#include <vmpoke/poke.h>

struct Batch {
	vp_paging space; /* translates, whatever the vCPUs do when it is to be taken back */
	std::vector<vp_site> sites;
	std::vector<vp_word> words;
};

class Journal
{
      public:
	/* That of one VM, as vp_qemu_info names it; and of this life of its QEMU. */
	void open(const std::string &dir, const std::string &identity, const std::string &process)
	{
		std::string file = identity + "-" + process + ".journal";

		for (char &c : file) /* a VM names itself */
			if (c == '/')
				c = '_';
		path = dir + "/" + file;
	}

	/* On disk when this returns 0. */
	int write(const Batch &batch, vp_err *err) const
	{
		const uint64_t counts[2] = { batch.sites.size(), batch.words.size() };
		FILE *f = std::fopen(path.c_str(), "wb");
		bool done = f && put(f, counts, 2) && put(f, &batch.space, 1) &&
			    put(f, batch.sites.data(), batch.sites.size()) &&
			    put(f, batch.words.data(), batch.words.size()) && !std::fflush(f) &&
			    !fsync(fileno(f));

		if (f && std::fclose(f))
			done = false;
		return done ? 0 : vp_err_set(err, -EIO, "cannot write %s", path.c_str());
	}

	/* False: there is none; or it was cut off as it was written, and nothing was changed. */
	bool read(Batch *batch) const
	{
		const uint64_t most = 1 << 20;
		uint64_t counts[2];
		FILE *f = std::fopen(path.c_str(), "rb");
		bool done = f && get(f, counts, 2) && get(f, &batch->space, 1) &&
			    counts[0] <= most && counts[1] <= most;

		if (done) {
			batch->sites.resize(counts[0]);
			batch->words.resize(counts[1]);
			done = get(f, batch->sites.data(), batch->sites.size()) &&
			       get(f, batch->words.data(), batch->words.size());
		}
		if (f)
			std::fclose(f);
		return done;
	}

	/* Put back what it tells of, if anything, and forget it. */
	int undo(vp_engine *engine, vp_err *err) const
	{
		vp_poke_opts opts = VP_POKE_OPTS_INIT;
		Batch batch;
		int rc = 0;

		if (read(&batch)) {
			opts.space = &batch.space;
			opts.words = batch.words.data();
			opts.nwords = batch.words.size();
			rc = vp_poke_undo(engine, batch.sites.data(), batch.sites.size(), &opts,
					  err);
		}
		if (!rc)
			forget();
		return rc;
	}

	bool is_there() const
	{
		return access(path.c_str(), F_OK) == 0;
	}

	void forget() const
	{
		unlink(path.c_str());
	}

      private:
	template <typename T> static bool put(FILE *f, const T *data, size_t n)
	{
		return std::fwrite(data, sizeof(T), n, f) == n;
	}

	template <typename T> static bool get(FILE *f, T *data, size_t n)
	{
		return std::fread(data, sizeof(T), n, f) == n;
	}

	std::string path;
};

#endif /* EXAMPLE_JOURNAL_H */
