/* bti/dial.h - bti call NUMBER. Returns the exit code. Threads: one. */
#ifndef BTI_DIAL_H
#define BTI_DIAL_H

#include "bti/options.h"
#include "bti/say.h"

int dial_run(const struct options *o, const struct say *say);

#endif
