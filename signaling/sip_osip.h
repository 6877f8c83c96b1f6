/* signaling/sip_osip.h - the only door to libosip2 (osipparser2): a second, independent reading of
 * the head of requests that create or change a dialog, a registration or a subscription.
 *
 * Use        only after sip_frame() said E_OK; bodies never get there; the two readings must agree
 * on start line, Via, From, To, Call-ID, CSeq, Contact, Route and Request-URI, else E_PARSE: a
 * message that two parsers read differently is refused, so that no peer behind us reads it
 * otherwise. Memory     parses from a bounded arena by osip's allocator hooks (per thread): nothing
 * leaks, and an allocation that failed inside osip (which it hides) gives E_NOMEM. Threads
 * sip_osip_init() once in main before any thread; then safe. */
#ifndef SIGNALING_SIP_OSIP_H
#define SIGNALING_SIP_OSIP_H

#include "signaling/sip_msg.h"

MUST_CHECK enum err sip_osip_init(void);
/* why: literal, names what was refused. */
MUST_CHECK enum err sip_osip_check(const struct sip_msg *m, const char **why);

#endif
