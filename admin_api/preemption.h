/* admin_api/preemption.h - between res_preemption.c (rows), res_preemption_run.c (nodes) and
 * res_emergency.c (modes). */
#ifndef ADMIN_API_PREEMPTION_H
#define ADMIN_API_PREEMPTION_H

#include "admin_api/live.h"

/* Tells the nodes what a Preemption that is approved asks for; an array of PreemptionResult, one
 * for each node. r->db may be NULL. */
json_t *preemption_run(struct api_request *r, const json_t *row);

api_handler emergency_list, emergency_get, emergency_create, emergency_end;

#endif
