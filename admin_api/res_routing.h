/* admin_api/res_routing.h - what the handlers of routing share: routes, trunks, dial rules, peers.
 *
 * Checks     the document bounds each field; what fields mean together is judged by
 * routing/plan_check.h, which the gate controllers' snapshot uses too: what is accepted here is
 * never left out there. Names of fields are those of columns, so that "column: why" is a JSON
 * pointer.
 * Two people with the policy two_person.route on, a statement writes a proposal and does
 * nothing: all checks are made before it, because nobody makes them again. api_query() ends the
 * handler then. Threads    any, nothing shared. */
#ifndef ADMIN_API_RES_ROUTING_H
#define ADMIN_API_RES_ROUTING_H

#include "admin_api/api.h"
#include "admin_api/res_subscribers.h"
#include "routing/plan_check.h"

/* fault: of plan_check.h, "weight: more than 65535", or NULL. True: it was one, and the answer
 * points at the field (422). */
bool routing_fault(struct api_answer *a, const char *fault);
/* A name that people read: 1 to max octets without control characters. False: 422 at /name. */
bool routing_name(struct api_answer *a, struct view name, size_t max);
/* The statement wrote a row and returned its key in `key`. False, 404: "", the row had gone. */
bool routing_written(struct api_answer *a, const char *key);

/* Emergency calls must have a way: true unless the change would take the last usable emergency
 * route away, as `route` (removed, or moved to a trunk that is disabled) or those over `trunk`
 * (disabled) are not counted; NULL parameters: none. ?force=true is a way past it. False: 409. */
bool routing_keeps_emergency(struct api_request *r, struct api_answer *a, struct pg_param route,
                             struct pg_param trunk);

/* One for each operation of openapi/routing.yaml. */
api_handler routing_list_routes, routing_get_route, routing_create_route, routing_update_route,
    routing_delete_route, routing_list_emergency_routes, routing_get_emergency_route,
    routing_create_emergency_route, routing_update_emergency_route, routing_delete_emergency_route,
    routing_test_route, routing_list_trunks, routing_get_trunk, routing_create_trunk,
    routing_update_trunk, routing_delete_trunk, routing_list_trunk_states, routing_list_peers,
    routing_list_dial_rules, routing_get_dial_rule, routing_create_dial_rule,
    routing_update_dial_rule, routing_delete_dial_rule;

#endif
