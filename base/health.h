/* base/health.h - /livez, /readyz, /metrics over plain HTTP/1.1 on a loopback address.
 * Deliberately tiny: GET only, one request for each connection, head <= 2 KiB, 32 connections, 5 s.
 * A non-loopback address is refused (E_DENIED). Threads: the loop's. */
#ifndef BASE_HEALTH_H
#define BASE_HEALTH_H

#include <stdbool.h>

#include "base/loop.h"
#include "base/metrics.h"
#include "base/net.h"

struct health;
/* Writes a JSON object ({"postgres":"up",...}) and returns whether ready. */
typedef bool health_ready_fn(void *arg, char *json, size_t json_bytes);

MUST_CHECK enum err health_open(struct loop *l, const struct net_addr *listen,
                                const struct metrics *m, health_ready_fn *ready, void *arg,
                                struct health **out);
void health_close(struct health *h);
struct net_addr health_address(const struct health *h); /* the real port when 0 was asked */

#endif
