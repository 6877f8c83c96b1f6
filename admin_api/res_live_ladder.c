/* A ladder as data: who takes part, and what went between them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin_api/live.h"

static const char *text_of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));

    return text != NULL ? text : "";
}

static json_t *time_of(json_int_t us)
{
    char b[48] = "";
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) != NULL) {
        size_t n = strftime(b, sizeof b, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(b + n, sizeof b - n, ".%06uZ", (unsigned)(us % 1000000));
    }
    return json_string(b);
}

/* Messages that the gate sent carry these marks (gc/trace.h); then `from` is an address of ours. */
static bool is_ours(const json_t *entry)
{
    const char *mac = text_of(entry, "mac");

    return strcmp(mac, "made") == 0 || strcmp(mac, "-") == 0;
}

/* The place of that address among the parties; new ones come at the end. Null for none. */
static json_t *party(json_t *parties, const char *address, const char *role)
{
    size_t i = 0;
    json_t *p = NULL;

    if (address[0] == 0) {
        return json_null();
    }
    json_array_foreach(parties, i, p)
    {
        if (strcmp(text_of(p, "address"), address) == 0) {
            return json_integer((json_int_t)i);
        }
    }
    i = json_array_size(parties);
    (void)json_array_append_new(parties, json_pack("{s:I,s:s,s:s}", "party", (json_int_t)i,
                                                   "address", address, "role", role));
    return json_integer((json_int_t)i);
}

/* Who speaks first is the caller; whom the gate speaks to without having heard of him, a callee. */
static json_t *message(const json_t *entry, json_t *parties, bool octets)
{
    const char *from = text_of(entry, "from"), *to = text_of(entry, "to");
    bool ours = is_ours(entry);
    const char *stranger = json_array_size(parties) == 0 ? "caller" : "callee";
    json_t *sender = party(parties, from, ours ? "gate" : stranger);

    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "at",
                     time_of(json_integer_value(json_object_get(entry, "at_us"))), "from", sender,
                     "to", party(parties, to, ours ? "callee" : "gate"), "text",
                     live_member(entry, "text"), "mac", live_member(entry, "mac"), "note",
                     live_member(entry, "note"), "octets",
                     octets ? live_or_null(entry, "octets") : json_null());
}

void live_get_ladder(struct api_request *r, struct api_answer *a)
{
    const char *wanted = api_param(r, "octets");
    bool octets = wanted != NULL && strcmp(wanted, "true") == 0;
    json_t *parties = NULL, *messages = NULL, *entry = NULL;
    struct gate_answer said;
    size_t i = 0;

    if (!live_find(r, a, api_param(r, "id"), true, octets, &said)) {
        return;
    }
    parties = json_array();
    messages = json_array();
    json_array_foreach(json_object_get(said.answer, "ladder"), i, entry)
    {
        (void)json_array_append_new(messages, message(entry, parties, octets));
    }
    a->body = json_pack("{s:o,s:o,s:o,s:b}", "call",
                        live_call(json_object_get(said.answer, "call"), said.node), "parties",
                        parties, "messages", messages, "truncated",
                        json_is_true(json_object_get(said.answer, "truncated")));
    gate_answers_free(&said, 1);
}
