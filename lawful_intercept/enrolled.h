/* lawful_intercept/enrolled.h - 611 calls, as headgate-prov writes them to its tap: the caller is a
 * stranger until its enrolment is done, so the records of a call are kept until it is known whose
 * it was, and only then told, with the times that they have.
 *
 * Way        each record of that tap goes through li_enrolled_record(). At TAP_ENROLMENT that names
 * a line, all that was kept goes on to the calls as the line's own, with the media keys; what comes
 * after goes on at once. What became nobody's is forgotten without a word.
 * One call   when headgate knew the caller as a line, the call is told from its tap already: then
 * that one gets the keys, and this one is not told a second time.
 * Limits     4096 calls, 64 MiB; past them the oldest go, logged. A call that ended is kept for 60
 * s of records. Keys that do not open are logged and counted. Threads    one. */
#ifndef LAWFUL_INTERCEPT_ENROLLED_H
#define LAWFUL_INTERCEPT_ENROLLED_H

#include "lawful_intercept/calls.h"
#include "lawful_intercept/tap_keys.h"

struct li_enrolled;
struct li_enrolled_cfg {
    struct li_calls *calls;      /* who is told */
    struct li_calls *gates;      /* those of headgate's tap */
    const struct p256_key *keys; /* ours, newest first; outlive it */
    size_t n_keys;
};

MUST_CHECK enum err li_enrolled_new(const struct li_enrolled_cfg *cfg, struct li_enrolled **out);
void li_enrolled_free(struct li_enrolled *e); /* NULL is fine */
void li_enrolled_record(struct li_enrolled *e, const struct tap_record *r, bool silent);
/* headgate-prov was started again: what it had not finished, it will not. */
void li_enrolled_gone(struct li_enrolled *e);

struct li_enrolled_facts {
    size_t calls;
    uint64_t forgotten, bad_keys; /* records past a limit; enrolments whose keys did not open */
};
void li_enrolled_facts_of(const struct li_enrolled *e, struct li_enrolled_facts *out);

#endif
