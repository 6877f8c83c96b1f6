/* lawful_intercept/li_kept.h - the live calls that orders follow, on disk, for the next run: the
 * ring may have overwritten their beginnings by then, and each content that was opened is to be
 * closed.
 *
 * File       written under another name and renamed; sealed (AES-256-GCM) under a key that is made
 * of that of the calls: session descriptions with media keys are in it.
 * Errors     E_IO, E_NOMEM, E_RANGE (more than 64 MiB); reading: E_NOTFOUND, E_AUTH, E_PARSE: no
 * call was taken. Threads: that of the calls. */
#ifndef LAWFUL_INTERCEPT_LI_KEPT_H
#define LAWFUL_INTERCEPT_LI_KEPT_H

#include "lawful_intercept/calls.h"

/* Before the first record. What older records of the ring say of these calls is known then, and is
 * not told again. */
MUST_CHECK enum err li_kept_read(struct li_calls *c, const char *path);
/* What is to be written, sealed; mem_free() gives it back. Then the file. */
MUST_CHECK enum err li_kept_seal(struct li_calls *c, uint8_t **out, size_t *out_n);
MUST_CHECK enum err li_kept_put(const char *path, const uint8_t *octets, size_t n);
bool li_kept_is_old(const struct li_calls *c); /* something has changed since li_kept_seal() */
void li_kept_failed(struct li_calls *c);       /* what was sealed did not come to the disk */

#endif
