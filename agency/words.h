/* agency/words.h - what a message means, in a line of words for somebody who knows telephones and
 * no protocols. What came from a wire is shown in printable ASCII: other octets become '?', so that
 * no terminal obeys them. Pure; threads: safe. */
#ifndef AGENCY_WORDS_H
#define AGENCY_WORDS_H

#include "lawful_intercept/cdc.h"
#include "lawful_intercept/x2.h"

enum { WORDS_MAX = 512, WORDS_TIME = 32 };

void words_of_call_data(const struct cdc_message *m, char out[WORDS_MAX]);
void words_of_signaling(const struct x2_pdu *p, char out[WORDS_MAX]);
void words_of_time(uint64_t us, char out[WORDS_TIME]); /* "2026-11-24T18:08:01.123Z" */
/* Printable, cut to what dst holds, with NUL. */
void words_clean(struct view v, char *dst, size_t dst_bytes);

#endif
