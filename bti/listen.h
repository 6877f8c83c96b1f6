/* bti/listen.h - bti listen. Returns the exit code. Threads: one. */
#ifndef BTI_LISTEN_H
#define BTI_LISTEN_H

#include "bti/options.h"
#include "bti/say.h"

int listen_run(const struct options *o, const struct say *say);

#endif
