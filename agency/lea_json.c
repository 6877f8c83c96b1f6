/* A message as one JSON object in a line: for programs. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "agency/calls.h"
#include "agency/lea.h"
#include "agency/words.h"
#include "base/mem.h"

enum { FACTS_MAX = 16 };

struct fact {
    const char *name;
    struct view value;
};

static struct view name_of(const struct cdc_party *p)
{
    const struct view all[] = {p->dn, p->user_provided, p->generic_digits, p->ip_address,
                               p->trunk_id};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].n > 0) {
            return all[i];
        }
    }
    return VIEW("");
}

/* The key of the first a=crypto line of a session description. */
static struct view key_of(struct view sdp)
{
    const char *p = sdp.n > 0 ? memmem(sdp.p, sdp.n, "inline:", 7) : NULL;
    size_t n = 0;

    if (p == NULL) {
        return VIEW("");
    }
    p += 7;
    while (p + n < sdp.p + sdp.n && p[n] != '\r' && p[n] != '\n' && p[n] != '|' && p[n] != ' ') {
        n++;
    }
    return view_from(p, n);
}

static size_t facts_of(const struct cdc_message *m, struct fact out[FACTS_MAX])
{
    const struct fact all[] = {{"calling", name_of(&m->calling)},
                               {"called", name_of(&m->called)},
                               {"dialled", m->user_input},
                               {"answering", name_of(&m->answering)},
                               {"redirected_to", name_of(&m->redirected_to)},
                               {"redirected_from", name_of(&m->redirected_from)},
                               {"last_redirecting", name_of(&m->redirected.last)},
                               {"original_called", name_of(&m->redirected.original)},
                               {"service", m->service},
                               {"signal", m->signal.other},
                               {"signal_dialled", m->signal.dialed},
                               {"digits", m->digits},
                               {"content", m->content.both},
                               {"subject_key", key_of(m->subject)},
                               {"associate_key", key_of(m->associate)}};
    size_t n = 0;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].value.n > 0) {
            out[n++] = all[i];
        }
    }
    return n;
}

static void put_text(json_t *o, const char *name, struct view v)
{
    json_t *text = json_stringn(v.p != NULL ? v.p : "", v.n); /* visible strings and UTF-8 alone */

    IGNORE(json_object_set_new(o, name, text != NULL ? text : json_string("?")) == 0 ? E_OK
                                                                                     : E_NOMEM,
           "then the field is not shown");
}

static json_t *call_data(const struct cdc_message *m, const char *at)
{
    struct fact facts[FACTS_MAX];
    size_t n = facts_of(m, facts);
    json_t *o = json_pack("{s:s,s:s,s:s,s:i,s:i,s:i}", "channel", "cdc", "kind",
                          cdc_kind_name(m->kind), "at", at, "version", (int)m->version, "audible",
                          (int)m->audible, "alerting", (int)m->alerting);

    if (o == NULL) {
        return NULL;
    }
    put_text(o, "case", m->case_id);
    put_text(o, "element", m->element);
    put_text(o, "call", calls_id(m));
    put_text(o, "subject_sdp", m->subject);
    put_text(o, "associate_sdp", m->associate);
    for (size_t i = 0; i < n; i++) {
        put_text(o, facts[i].name, facts[i].value);
    }
    return o;
}

static json_t *signaling(const struct x2_pdu *p, const char *at)
{
    char xid[2 * X2_XID + 1];
    json_t *o = NULL;

    hex_put(p->xid, sizeof p->xid, xid);
    o = json_pack("{s:s,s:s,s:s,s:i,s:I,s:I}", "channel", "x2", "xid", xid, "at", at, "direction",
                  (int)p->direction, "sequence", (json_int_t)p->sequence, "correlation",
                  (json_int_t)(p->correlation & INT64_MAX));
    if (o != NULL) {
        put_text(o, "sip", p->payload);
        put_text(o, "target", p->target);
    }
    return o;
}

void lea_print_json(const struct lea_message *m)
{
    char at[WORDS_TIME];
    json_t *o = NULL;
    char *text = NULL;

    words_of_time(lea_at_us(m), at);
    o = m->channel == LEA_CDC ? call_data(&m->cdc, at) : signaling(&m->x2, at);
    text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    if (text != NULL) {
        puts(text);
    }
    mem_free(text);
    json_decref(o);
}
