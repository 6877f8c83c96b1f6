/* Resource-Priority of messages: read, compared with the sender's record, refused or passed on. */
#include "gc/priority_gate.h"

#include <stdio.h>
#include <string.h>

#include "gc/boundary.h"
#include "routing/snapshot.h"

enum { LIST_MAX = 1024 /* of all header fields together */ };

/* All header fields are one list (RFC 4412 section 3.1). */
static enum err read_all(const struct worker *w, const struct sip_msg *m, struct priority_ask *out)
{
    char list[LIST_MAX];
    size_t n = 0;
    const struct sip_hdr *h = sip_header(m, SIP_H_RESOURCE_PRIORITY, 0);

    *out = (struct priority_ask){.is_present = h != NULL};
    if (h == NULL) {
        return E_OK;
    }
    for (; h != NULL; h = sip_header(m, SIP_H_RESOURCE_PRIORITY, sip_header_index(m, h) + 1)) {
        if (h->value.n == 0 || h->value.n + 1 >= sizeof list - n) {
            return FAIL(E_PARSE);
        }
        if (n > 0) {
            list[n++] = ',';
        }
        memcpy(list + n, h->value.p, h->value.n);
        n += h->value.n;
    }
    return priority_read(&w->plan->priority, view_from(list, n), out);
}

static struct view entitled(struct worker *w, const struct party *who)
{
    const struct snapshot *snap = worker_snapshot(w);
    const struct trunk *t = trunk_row(w, who->trunk);
    const struct line *l = snap != NULL && is_line(who) ? snapshot_line(snap, who->line) : NULL;

    return l != NULL ? l->priority : t != NULL ? t->priority : VIEW("");
}

void priority_granted(struct worker *w, const struct inbound *in, struct priority_ask *out)
{
    bool is_ours = w->plan->priority.is_on && in->proof.class != PROOF_UNKNOWN;

    if (!is_ours || read_all(w, in->m, out) != E_OK ||
        !priority_may(&w->plan->priority, entitled(w, &in->proof.who), out)) {
        *out = (struct priority_ask){.is_present = false};
    }
}

bool priority_passes(struct worker *w, const struct party *from, struct view value)
{
    struct priority_ask ask;

    if (!w->plan->priority.is_on) {
        return boundary_is_believed(from);
    }
    return priority_read(&w->plan->priority, value, &ask) == E_OK &&
           (!ask.is_foreign || boundary_is_believed(from)) &&
           priority_may(&w->plan->priority, entitled(w, from), &ask);
}

struct view priority_accepted(const struct worker *w, char room[PRIORITY_LINE_MAX])
{
    static const char name[] = "Accept-Resource-Priority: ";
    size_t n = sizeof name - 1;
    size_t more = priority_accept(&w->plan->priority, room + n, PRIORITY_LINE_MAX - n - 2);

    if (more == 0) {
        return VIEW("");
    }
    memcpy(room, name, n);
    memcpy(room + n + more, "\r\n", 2);
    return view_from(room, n + more + 2);
}

/* Who calls back from a PSAP is heard, whatever else he asks. */
static bool is_call_back(struct worker *w, const struct sip_msg *m, const struct party *from)
{
    const struct sip_hdr *h = sip_header_named(m, VIEW("Priority"));

    return h != NULL && view_eq_nocase(view_trim(h->value), VIEW("psap-callback")) &&
           boundary_is_psap(w, from);
}

unsigned priority_status(struct worker *w, const struct sip_msg *m, const struct party *from,
                         char room[PRIORITY_LINE_MAX], struct view *extra)
{
    bool is_required = sip_list_has(m, SIP_H_REQUIRE, VIEW("resource-priority"));
    struct priority_ask ask;

    if (!w->plan->priority.is_on) {
        *extra = VIEW("Unsupported: resource-priority\r\n");
        return is_required && !boundary_is_believed(from) ? 420 : 0;
    }
    if (read_all(w, m, &ask) != E_OK) {
        return 400;
    }
    if (!ask.is_known) {
        *extra = priority_accepted(w, room);
        return is_required ? 417 : 0;
    }
    return priority_may(&w->plan->priority, entitled(w, from), &ask) || is_call_back(w, m, from)
               ? 0
               : 403;
}
