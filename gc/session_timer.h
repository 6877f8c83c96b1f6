/* gc/session_timer.h - session timers in the proxy's role (RFC 4028 section 8): we see to it that a
 * call is refreshed, refresh nothing ourselves, and never send a BYE for one that was not.
 *
 * Units      seconds.
 * Threads    pure functions; a struct belongs to its context. */
#ifndef GC_SESSION_TIMER_H
#define GC_SESSION_TIMER_H

#include "gc/settings.h"
#include "signaling/sip_edit.h"

struct session_timer {   /* of one INVITE or UPDATE; zero: none is asked for */
    unsigned interval_s; /* Session-Expires of the request as it goes on */
    unsigned min_s;      /* Min-SE to write; 0: it stays as it is */
    bool is_uac_able;    /* Supported: timer */
    bool is_changed;     /* interval_s is not what the request says */
};

/* False: the interval is too small, and whoever asked understands a 422. */
bool session_timer_ask(const struct gc_settings *set, const struct sip_msg *m,
                       struct session_timer *out);
void session_timer_edit_request(struct sip_edit *e, const struct sip_msg *m,
                                const struct session_timer *t);
/* The interval that a 2xx gives, 0: none. *out_adds: we must put it there, since nobody behind us
 * did (section 8.2). */
unsigned session_timer_of_answer(const struct session_timer *t, const struct sip_msg *response,
                                 bool *out_adds);
void session_timer_edit_answer(struct sip_edit *e, unsigned interval_s);

#endif
