/* lawful_intercept/li_api.h - the officers' HTTP API (docs/lawful-intercept.md): its own port,
 * authority and names; nothing of it is known to headgate-admin. Threads: any. */
#ifndef LAWFUL_INTERCEPT_LI_API_H
#define LAWFUL_INTERCEPT_LI_API_H

#include "base/ec_sign.h"
#include "base/httpd.h"
#include "lawful_intercept/li.h"
#include "lawful_intercept/li_settings.h"

struct li_api {
    struct li *li;
    struct li_store *store;
    const struct li_plan *plan;
    const struct ec_key *record_key; /* NULL: no certified records */
};

void li_api_handle(void *api, const struct httpd_request *r); /* a httpd_handler */
/* The OpenAPI document of lawful_intercept/openapi (tools/bundle_api). */
struct view li_api_document(void);
/* Once, before any JSON is made: memory by base/mem.h. */
void li_json_init(void);

#endif
