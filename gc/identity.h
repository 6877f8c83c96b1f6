/* gc/identity.h - who calls, as it was proven; and what of that each side is shown (RFC 3323, RFC
 * 3325; seed, Summary).
 *
 * The verified identity is recorded in every call. What leaves us is written from it: From towards
 * anybody (name from the subscriber's record), P-Asserted-Identity towards the trust domain always,
 * towards a line only when it subscribes to caller ID and the call is not private. A call that is
 * private, or whose callee does not subscribe, shows "Anonymous" <sip:anonymous@anonymous.invalid>
 * to that side for the whole life of its dialog, and a Contact of ours in place of the caller's.
 * Emergency and provisioning calls keep their names as they came.
 * Threads    the worker's. */
#ifndef GC_IDENTITY_H
#define GC_IDENTITY_H

#include "gc/worker_int.h"
#include "routing/snapshot.h"

struct identity {                /* of a caller */
    char number[DIAL_E164_MAX];  /* verified; empty: none (611, 911 without proof, a trunk's) */
    char asserted[ASSERTED_MAX]; /* name-addr with our domain, or a trunk's; empty: none */
    char tel[48];                /* "<tel:+12125550101>"; empty: none */
    bool is_private;             /* by the line's default, *67, *82, Privacy, or the trunk's word */
    bool is_known;               /* somebody vouches for it: a line's proof, a believed trunk */
    bool is_ours;                /* proven here: P-Asserted-Identity is ours to write */
    bool keeps_names;            /* emergency and 611: From stays as it is, nothing is hidden */
};

enum identity_wish { WISH_NONE, WISH_PRIVATE, WISH_SHOWN }; /* by a code before the number */

extern const char identity_anonymous[]; /* name-addr */

/* Of a proven line. E_DENIED: From or a P-Preferred-Identity claims what is no number of it; *out
 * then holds the line's own number. WISH_SHOWN lifts the line's default only: a Privacy header or
 * an anonymous From of this very call stays in force. */
MUST_CHECK enum err identity_of_line(struct worker *w, const struct inbound *in,
                                     const struct line *line, enum identity_wish wish,
                                     struct identity *out);
/* Of a trunk's call, as far as it is believed: its P-Asserted-Identity, else its From. */
void identity_of_trunk(struct worker *w, const struct inbound *in, struct identity *out);
/* How `to` is to know the caller. */
enum naming identity_naming(struct worker *w, const struct identity *id, const struct party *to);
/* The From name-addr that `to` is shown, in room when it must be written; NULL: as it stands. */
const char *identity_shown(struct worker *w, const struct identity *id, const struct party *to,
                           char room[ASSERTED_MAX]);
/* Whether `to` is given P-Asserted-Identity. */
bool identity_may_see(struct worker *w, const struct identity *id, const struct party *to);
/* Whether a line refuses callers like this one (*77). */
bool identity_is_unwanted(const struct identity *id, const struct line *called);
/* The value of P-Asserted-Identity: sip, and towards the trust domain tel too (RFC 3325 section
 * 9.1: at most one of each). Empty: none. */
void identity_asserted(const struct identity *id, const struct party *to, char out[ASSERTED_MAX]);

/* ---- one message (names.c) ---------------------------------------------------------------------
 */
struct ctx;
struct call;
struct dialog;
struct names { /* what forward.c is to write into one message; texts live as long as this */
    char from[ASSERTED_MAX], to[LOCATION_URI_MAX + 4], asserted[ASSERTED_MAX];
    char contact[LOCATION_URI_MAX];
};

/* What a request of c to f->to says, by the leg's naming, which is set; a call remembers what it
 * shows. */
void names_put(struct ctx *c, struct leg *l, struct names *n, struct forwarding *f);
/* Keeps From and To as they came for the answers, when others go on: the request itself is gone
 * before the last of them. */
MUST_CHECK enum err names_keep(struct ctx *c, const struct forwarding *f);
/* What goes back up, with From and To only; NULL: as they come. */
const struct sip_msg *names_up(const struct ctx *c, struct sip_msg *room);
/* What a gateway inside is told of who answers its call; NULL or empty: nothing. */
const char *names_of_answer(const struct ctx *c, const struct sip_msg *m, const struct party *from,
                            char room[ASSERTED_MAX]);
/* Whoever hides, hides in its answers too: URI for their Contact; NULL: as it comes. */
const char *names_contact_up(const struct ctx *c, const struct sip_msg *m,
                             char room[LOCATION_URI_MAX]);
/* A request inside a dialog. */
void names_inside(struct worker *w, const struct call *call, const struct dialog *d,
                  bool from_caller, struct names *n, struct forwarding *f);
/* The name-addr by which the callee knows the caller, and itself: for requests of our own. NULL:
 * the caller's own name. */
const char *names_of_caller(struct worker *w, const struct call *call, enum naming naming,
                            const struct party *callee, char room[ASSERTED_MAX]);
/* A Contact of ours, at which the receiver of that flow reaches the call. */
void names_contact(struct worker *w, const struct call *call, const struct sip_flow *to,
                   bool is_sips, char out[LOCATION_URI_MAX]);

/* Who answers (RFC 3325 section 9.1): P-Asserted-Identity of the line of who towards a gateway
 * inside; empty for others, and for a line whose calls are private. */
void identity_of_answer(struct worker *w, const struct party *who, const struct party *to,
                        char out[ASSERTED_MAX]);

#endif
