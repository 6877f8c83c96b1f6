/* bti/enroll.h - bti enroll: the seed's steps 301-310 with a user (or a file) for the work order.
 * Returns the exit code. Threads: one. */
#ifndef BTI_ENROLL_H
#define BTI_ENROLL_H

#include "bti/options.h"
#include "bti/say.h"

/* Wipes o->digits. */
int enroll_run(struct options *o, const struct say *say);

#endif
