/* Routing: the table of operations, and what their handlers share. */
#include "admin_api/res_routing.h"

#include <stdio.h>
#include <string.h>

const struct api_bind api_bind_routing[] = {
    {"listRoutes", routing_list_routes},
    {"getRoute", routing_get_route},
    {"createRoute", routing_create_route},
    {"updateRoute", routing_update_route},
    {"deleteRoute", routing_delete_route},
    {"listEmergencyRoutes", routing_list_emergency_routes},
    {"getEmergencyRoute", routing_get_emergency_route},
    {"createEmergencyRoute", routing_create_emergency_route},
    {"updateEmergencyRoute", routing_update_emergency_route},
    {"deleteEmergencyRoute", routing_delete_emergency_route},
    {"testRoute", routing_test_route},
    {"listTrunks", routing_list_trunks},
    {"getTrunk", routing_get_trunk},
    {"createTrunk", routing_create_trunk},
    {"updateTrunk", routing_update_trunk},
    {"deleteTrunk", routing_delete_trunk},
    {"listTrunkStates", routing_list_trunk_states},
    {"listPeers", routing_list_peers},
    {"listDialRules", routing_list_dial_rules},
    {"getDialRule", routing_get_dial_rule},
    {"createDialRule", routing_create_dial_rule},
    {"updateDialRule", routing_update_dial_rule},
    {"deleteDialRule", routing_delete_dial_rule},
    {NULL, NULL},
};

#define FIELD_MAX 40

bool routing_fault(struct api_answer *a, const char *fault)
{
    const char *colon = fault != NULL ? strchr(fault, ':') : NULL;
    char pointer[FIELD_MAX];

    if (fault == NULL) {
        return false;
    }
    for (const char *at = fault; colon != NULL && at < colon;) { /* "max_channels, max_cps: ..." */
        size_t n = strcspn(at, ",:");
        snprintf(pointer, sizeof pointer, "/%.*s", (int)n, at);
        api_problem(a, 422, "invalid", pointer, "%s", colon + 2);
        at += n + strspn(at + n, ", ");
    }
    return true;
}

bool routing_name(struct api_answer *a, struct view name, size_t max)
{
    bool is_good = name.n > 0 && name.n <= max;

    for (size_t i = 0; i < name.n; i++) {
        is_good = is_good && (unsigned char)name.p[i] >= ' ' && name.p[i] != 0x7f;
    }
    if (!is_good) {
        api_problem(a, 422, "invalid", "/name", "not 1 to %zu octets without control characters",
                    max);
    }
    return is_good;
}

bool routing_written(struct api_answer *a, const char *key)
{
    if (key[0] == 0 && !api_failed(a)) {
        api_problem(a, 404, "not-found", "", "it went meanwhile");
    }
    return key[0] != 0;
}

/* Whether a route or its trunk is about to go, when another person approves it. */
#define LEAVING                                                                                    \
    "EXISTS (SELECT FROM core.change c WHERE c.state = 'proposed' AND (c.tbl = 'route' AND c.op "  \
    "= 'delete' AND (c.before ->> 'route_id')::bigint = r.route_id OR c.tbl = 'trunk' AND c.op = " \
    "'update' AND (c.before ->> 'trunk_id')::bigint = r.trunk_id AND c.after ->> 'disabled' = "    \
    "'true'))"
#define LAST_ONE                                                                                   \
    "SELECT 'lost' FROM core.route r LEFT JOIN core.trunk t USING (trunk_id) WHERE r.kind = "      \
    "'emergency' AND (r.trunk_id IS NULL OR NOT t.disabled) HAVING count(*) > 0 AND count(*) "     \
    "FILTER (WHERE ($1::bigint IS NULL OR r.route_id <> $1::bigint) AND ($2::bigint IS NULL OR "   \
    "r.trunk_id IS DISTINCT FROM $2::bigint) AND NOT " LEAVING ") = 0"

/* Two who remove the last two at the same time come one after the other. */
bool routing_keeps_emergency(struct api_request *r, struct api_answer *a, struct pg_param route,
                             struct pg_param trunk)
{
    const struct pg_param p[] = {route, trunk};
    const char *force = api_param(r, "force");
    char lost[8];

    if (force != NULL && strcmp(force, "true") == 0) {
        return true;
    }
    if (!res_do(r, a, "SELECT pg_advisory_xact_lock(7614)", NULL, 0, NULL) ||
        !res_ask(r, a, LAST_ONE, p, 2, NULL, lost, sizeof lost)) {
        return false;
    }
    if (lost[0] != 0) {
        api_problem(a, 409, "conflict", "",
                    "no usable emergency route would be left: emergency calls would have the next "
                    "hops of the gate controllers' configuration alone (?force=true does it)");
    }
    return lost[0] == 0;
}
