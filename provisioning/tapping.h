/* provisioning/tapping.h - where the tap of lawful_intercept/tap.h is called from in headgate-prov:
 * for every 611 call the same, whoever enrols and however it ends.
 *
 * Records    CALL_BEGIN, CALL_ROUTE, each message in and out, CALL_END. When the BTI and we have
 * media keys, ENROLMENT at the end of the enrolment too: which line it became, if any, and the
 * keys, sealed to a key of which we have the public half alone (lawful_intercept/tap_keys.h).
 * Nobody here knows who reads. Without tap.file nothing is written. Threads: the loop's. */
#ifndef PROVISIONING_TAPPING_H
#define PROVISIONING_TAPPING_H

#include "lawful_intercept/tap.h"
#include "lawful_intercept/tap_keys.h"
#include "provisioning/enrol_ps.h"
#include "signaling/sip_transport.h"

enum { TAPPED_ID_BYTES = 17 };

struct prov;
struct sip_msg;

struct tapped_call {
    char id[TAPPED_ID_BYTES]; /* ours, random; empty: it is not written */
    struct net_addr bti, local;
};

struct tapped_keys { /* of an enrolment, until its end is known */
    char id[TAPPED_ID_BYTES], call_id[ENROL_TEXT_BYTES];
    bool are_sealed;
    uint8_t sealed[TAP_SEALED_BYTES];
};

MUST_CHECK enum err tapped_open(struct prov *p); /* logs what is wrong */
void tapped_close(struct prov *p);

/* The INVITE of a 611 call, from that BTI: begins, fills *out. */
void tapped_begin(struct prov *p, const struct sip_msg *m, const struct net_addr *bti,
                  const struct net_addr *local, struct tapped_call *out);
void tapped_in(struct prov *p, const struct tapped_call *call, struct view raw);
void tapped_out(struct prov *p, const struct tapped_call *call, struct view raw);
void tapped_end(struct prov *p, const struct tapped_call *call, unsigned status, const char *by);

/* Audio keys are agreed on: sealed here and now, so that they need not be kept. */
void tapped_seal(struct prov *p, const struct tapped_call *call, const char *call_id,
                 const struct audio_keys *keys, struct tapped_keys *out);
/* The enrolment has ended. line 0: it became none. bti, numbers: NULL then. Keys go once. */
void tapped_enrolment(struct prov *p, struct tapped_keys *keys, const char *outcome, uint64_t line,
                      const uint8_t *bti, const struct enrol_texts *numbers);

#endif
