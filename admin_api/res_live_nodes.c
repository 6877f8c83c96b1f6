/* Gate controllers and what they hold besides calls: sessions, registrations, servers, alarms. */
#include <stdio.h>
#include <string.h>

#include "admin_api/live.h"

static const char *text_of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));

    return text != NULL ? text : "";
}

static json_int_t int_of(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

static bool is_line(const struct api_request *r, const json_t *row)
{
    uint64_t line = api_param_u64(r, "line");

    return line == 0 || (json_int_t)line == int_of(row, "line");
}

static bool is_text(const struct api_request *r, const char *param, const json_t *row)
{
    const char *wanted = api_param(r, param);

    return wanted == NULL || strcmp(wanted, text_of(row, param)) == 0;
}

/* The page of an object whose members are the rows. */
static json_t *page(const struct api_request *r, json_t *by_key, const struct gate_answer *all,
                    size_t n, bool truncated)
{
    size_t limit = (size_t)api_param_u64(r, "limit");
    json_t *items = json_array(), *row = NULL;
    const char *key = NULL;

    json_object_foreach(by_key, key, row)
    {
        if (json_array_size(items) < limit) {
            (void)json_array_append(items, row);
        } else {
            truncated = true;
        }
    }
    json_decref(by_key);
    return json_pack("{s:o,s:b,s:o}", "items", items, "truncated", truncated, "nodes",
                     live_reaches(all, n));
}

/* ---- sessions ----------------------------------------------------------------------------------
 */
static void add_session(json_t *by_kid, const json_t *row, const char *node)
{
    const char *kid = text_of(row, "kid");
    json_t *known = json_object_get(by_kid, kid);

    if (known == NULL) {
        known =
            json_pack("{s:s,s:o,s:o,s:o,s:[]}", "kid", kid, "line", live_member(row, "line"), "bti",
                      live_member(row, "bti"), "expires_s", live_member(row, "expires_s"), "nodes");
        (void)json_object_set_new(by_kid, kid, known);
    }
    (void)json_array_append_new(json_object_get(known, "nodes"), json_string(node));
}

void live_list_sessions(struct api_request *r, struct api_answer *a)
{
    struct gate_answer *all = NULL;
    size_t n = live_ask_op(r, "sessions", &all), at = 0;
    json_t *by_kid = json_object(), *row = NULL;
    bool truncated = false;

    for (size_t i = 0; i < n; i++) {
        truncated = truncated || json_is_true(json_object_get(all[i].answer, "truncated"));
        json_array_foreach(json_object_get(all[i].answer, "sessions"), at, row)
        {
            if (is_line(r, row) && is_text(r, "bti", row)) {
                add_session(by_kid, row, all[i].node);
            }
        }
    }
    a->body = page(r, by_kid, all, n, truncated);
    live_free(all, n);
}

/* ---- registrations -----------------------------------------------------------------------------
 */
/* All nodes know all of them; what the holder says counts. */
static void add_registration(json_t *by_contact, const json_t *row, const char *node)
{
    const char *contact = text_of(row, "contact");
    bool is_holder = strcmp(text_of(row, "node"), node) == 0;
    json_t *shown = NULL;
    char key[600];

    (void)snprintf(key, sizeof key, "%lld %s", (long long)int_of(row, "line"), contact);
    if (!is_holder && json_object_get(by_contact, key) != NULL) {
        return;
    }
    shown =
        json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "line", live_member(row, "line"),
                  "number", live_or_null(row, "number"), "contact", live_member(row, "contact"),
                  "transport", live_member(row, "transport"), "remote", live_member(row, "remote"),
                  "expires_s", live_member(row, "expires_s"), "bti", live_or_null(row, "bti"),
                  "phone", live_or_null(row, "phone"), "node", live_member(row, "node"));
    (void)json_object_set_new(by_contact, key, shown);
}

void live_list_registrations(struct api_request *r, struct api_answer *a)
{
    struct gate_answer *all = NULL;
    size_t n = live_ask_op(r, "registrations", &all), at = 0;
    json_t *by_contact = json_object(), *row = NULL;
    bool truncated = false;

    for (size_t i = 0; i < n; i++) {
        truncated = truncated || json_is_true(json_object_get(all[i].answer, "truncated"));
        json_array_foreach(json_object_get(all[i].answer, "registrations"), at, row)
        {
            if (is_line(r, row) && is_text(r, "number", row)) {
                add_registration(by_contact, row, all[i].node);
            }
        }
    }
    a->body = page(r, by_contact, all, n, truncated);
    live_free(all, n);
}

/* ---- provisioning servers ----------------------------------------------------------------------
 */
void live_list_servers(struct api_request *r, struct api_answer *a)
{
    struct gate_answer *all = NULL;
    size_t n = live_ask_op(r, "ps", &all), at = 0;
    json_t *items = json_array(), *row = NULL;

    for (size_t i = 0; i < n; i++) {
        json_array_foreach(json_object_get(all[i].answer, "servers"), at, row)
        {
            (void)json_array_append_new(
                items,
                json_pack("{s:o,s:s,s:o,s:o,s:o}", "server", live_member(row, "server"), "node",
                          all[i].node, "healthy", live_member(row, "healthy"), "last_answer_s",
                          live_member(row, "last_answer_s"), "missed", live_member(row, "missed")));
        }
    }
    a->body = json_pack("{s:o,s:o}", "items", items, "nodes", live_reaches(all, n));
    live_free(all, n);
}

/* ---- nodes -------------------------------------------------------------------------------------
 */
void live_list_nodes(struct api_request *r, struct api_answer *a)
{
    struct gate_answer *all = NULL;
    size_t n = live_ask_op(r, "status", &all), i = 0;
    json_t *items = live_reaches(all, n), *row = NULL;

    json_array_foreach(items, i, row)
    {
        json_t *state = all[i].e == E_OK ? json_copy(all[i].answer) : json_null();
        (void)json_object_del(state, "ok");
        (void)json_object_set_new(row, "state", state);
    }
    a->body = json_pack("{s:o}", "items", items);
    live_free(all, n);
}

/* ---- alarms ------------------------------------------------------------------------------------
 */
static int rank_of(const json_t *alarm)
{
    const char *severity = text_of(alarm, "severity");

    return strcmp(severity, "critical") == 0 ? 0 : strcmp(severity, "major") == 0 ? 1 : 2;
}

static void add_alarm(json_t *ranks[3], const json_t *row, const char *node)
{
    (void)json_array_append_new(
        ranks[rank_of(row)],
        json_pack("{s:o,s:o,s:s,s:o,s:o}", "alarm", live_member(row, "alarm"), "severity",
                  live_member(row, "severity"), "node", node, "object", live_or_null(row, "object"),
                  "text", live_member(row, "text")));
}

void live_list_alarms(struct api_request *r, struct api_answer *a)
{
    struct gate_answer *all = NULL;
    size_t n = live_ask_op(r, "alarms", &all), at = 0;
    json_t *ranks[3] = {json_array(), json_array(), json_array()}, *row = NULL;

    for (size_t i = 0; i < n; i++) {
        json_array_foreach(json_object_get(all[i].answer, "alarms"), at, row)
        {
            add_alarm(ranks, row, all[i].node);
        }
        if (all[i].e == E_IO) {
            row = json_pack("{s:s,s:s,s:s}", "alarm", "node_unreached", "severity", "major", "text",
                            "the gate controller does not answer");
            add_alarm(ranks, row, all[i].node);
            json_decref(row);
        }
    }
    (void)json_array_extend(ranks[0], ranks[1]);
    (void)json_array_extend(ranks[0], ranks[2]);
    a->body = json_pack("{s:o,s:o}", "items", ranks[0], "nodes", live_reaches(all, n));
    json_decref(ranks[1]);
    json_decref(ranks[2]);
    live_free(all, n);
}
