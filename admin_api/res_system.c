/* The API itself: its version, its document. */
#include "admin_api/api.h"
#include "base/proc.h"

static void get_version(struct api_request *r, struct api_answer *a)
{
    (void)r;
    a->body = json_pack("{s:s, s:s, s:s}", "program", "headgate-admin", "version", HEADGATE_VERSION,
                        "api", "v1");
}

static void get_openapi(struct api_request *r, struct api_answer *a)
{
    a->body = json_incref(api_openapi(r->api));
}

const struct api_bind api_bind_system[] = {
    {"getVersion", get_version},
    {"getOpenapi", get_openapi},
    {NULL, NULL},
};
