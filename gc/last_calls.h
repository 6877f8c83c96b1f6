/* gc/last_calls.h - the last calls that came to each line, on this node: what *57 and *69 are about
 * before the database knows of it.
 *
 * Shape      CALLS_OF_A_LINE for each line, the newest counts for *57 and *69; the others for
 *            traces of a dialog (RFC 5503 section 5).
 * Limits     so many lines in all; the line that was called least recently is forgotten.
 * Threads    any: shards with a lock each. */
#ifndef GC_LAST_CALLS_H
#define GC_LAST_CALLS_H

#include "gc/store.h"

struct last_calls;

/* lines: how many are remembered, 0: 20000. */
MUST_CHECK enum err last_calls_new(size_t lines, struct last_calls **out);
void last_calls_free(struct last_calls *l); /* NULL is fine */
/* A call to that line. tag: of the caller. Without memory it is not noted. */
void last_calls_note(struct last_calls *l, uint64_t line_id, const struct last_call *c,
                     struct view tag);
/* The newest; started_us 0: none known. */
void last_calls_find(struct last_calls *l, uint64_t line_id, struct last_call *out);
/* A call to that very line, by Call-ID and the caller's tag. False: it is none of its calls. */
bool last_calls_find_dialog(struct last_calls *l, uint64_t line_id, struct view call_id,
                            struct view tag, struct last_call *out);

#endif
