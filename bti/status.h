/* bti/status.h - bti status: what the store says; never a key. Returns the exit code. */
#ifndef BTI_STATUS_H
#define BTI_STATUS_H

#include "bti/options.h"
#include "bti/say.h"

int status_run(const struct options *o, const struct say *say);

#endif
