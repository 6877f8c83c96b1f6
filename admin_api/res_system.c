/* The API itself: its version, its document. */
#include "admin_api/api.h"
#include "admin_api/gates.h"
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

/* ---- what is in force --------------------------------------------------------------------------
 */
enum { IN_FORCE_MS = 2000 };

/* The database's word for "everything that is committed by now": transactions below it. */
static bool read_committed(struct api_request *r, struct api_answer *a, json_int_t *out)
{
    struct pg_result *rows = NULL;

    if (api_query(r, a, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text", NULL, 0, NULL,
                  &rows) != E_OK) {
        return false;
    }
    *out = (json_int_t)pg_u64(rows, 0, 0);
    pg_result_free(rows);
    return true;
}

static bool add_node(json_t *nodes, const struct gate_answer *g, json_int_t committed)
{
    json_int_t seq = json_integer_value(json_object_get(g->answer, "change_seq"));
    bool reached = g->e == E_OK;
    bool there =
        reached && seq >= committed && json_is_true(json_object_get(g->answer, "followed"));

    json_array_append_new(
        nodes, json_pack("{s:s, s:b, s:o, s:b}", "node", g->node, "reached", reached, "change_seq",
                         reached ? json_integer(seq) : json_null(), "in_force", there));
    return there || !reached;
}

static void get_in_force(struct api_request *r, struct api_answer *a)
{
    json_int_t committed = (json_int_t)api_param_u64(r, "committed");
    struct gate_answer got[GATES_MAX];
    json_t *ask = json_pack("{s:s}", "op", "changes"), *nodes = json_array();
    bool all = true, any = false;
    size_t n = 0;

    if (committed != 0 || read_committed(r, a, &committed)) {
        n = gates_ask_all(r->gates, ask, IN_FORCE_MS, got);
        for (size_t i = 0; i < n; i++) {
            all = add_node(nodes, &got[i], committed) && all;
            any = any || got[i].e == E_OK;
        }
        gate_answers_free(got, n);
        a->body = json_pack("{s:b, s:I, s:O}", "in_force", all && any, "committed", committed,
                            "nodes", nodes);
    }
    json_decref(nodes);
    json_decref(ask);
}

const struct api_bind api_bind_system[] = {
    {"getVersion", get_version},
    {"getOpenapi", get_openapi},
    {"getInForce", get_in_force},
    {NULL, NULL},
};
