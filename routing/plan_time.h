/* routing/plan_time.h - the hours of a route as people write them: "mon-fri 08:00-18:00 +01:00".
 * Days ("mon-fri", "sat,sun", "daily"), hours and offset from UTC ("+01:00", "-05:00", "utc") each
 * may be left out: every day, the whole day, UTC. "always" is all three. Hours that end before they
 * begin go over midnight and belong to the day on which they began. Threads: safe. */
#ifndef ROUTING_PLAN_TIME_H
#define ROUTING_PLAN_TIME_H

#include "routing/snapshot.h"

#define ROUTE_TIME_TEXT_MAX 64

MUST_CHECK enum err route_time_parse(struct view text, struct route_time *out);  /* E_PARSE */
void route_time_text(const struct route_time *t, char out[ROUTE_TIME_TEXT_MAX]); /* reads back */

#endif
