/* routing/plan_check.h - what a row that an operator types must look like: trunks, routes, dial
 * rules, credentials. One truth for headgatectl, which refuses such a row, and for the snapshot,
 * which leaves it out (migrations/0004_trunks.sql holds most of it in the database too).
 *
 * Errors     "column: why" for people, a literal; NULL: the row is sound. Threads: safe. */
#ifndef ROUTING_PLAN_CHECK_H
#define ROUTING_PLAN_CHECK_H

#include "routing/snapshot.h"

#define TRUNK_SOURCES_MAX 16
#define TRUNK_NAME_MAX    63
#define NO_ANSWER_MIN_S   5
#define NO_ANSWER_MAX_S   120

const char *trunk_fault(const struct trunk *t);
const char *route_fault(const struct route *r); /* not whether its trunk is there */
const char *rule_fault(const struct dial_rule *r);
const char *credential_fault(const struct credential *c); /* not whether its line is there */

const char *mode_fault(const struct emergency_mode *m);
const char *service_fault(const struct line *l); /* the service record alone */

/* "+12125550101": '+', no leading 0, 7 to 15 digits. */
bool plan_e164(struct view v);
/* "sip:192.0.2.9:5060;transport=udp|tcp": where a route leads without a trunk. A host name needs a
 * trunk, which resolves it. */
bool plan_next_hop(struct view v);
/* "ets.1 dsn.flash": r-values of RFC 4412 by single spaces, 200 octets at most; may be empty. */
bool plan_priority(struct view v);
/* One source of a trunk at the front of *list, which loses it: "192.0.2.0/24", "2001:db8::/32" or
 * one address. E_NOTFOUND: no more; E_PARSE. */
MUST_CHECK enum err plan_source(struct view *list, uint8_t *out_family, uint8_t out_ip[16],
                                unsigned *out_bits);

#endif
