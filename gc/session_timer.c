/* Session-Expires and Min-SE in requests and answers (RFC 4028 section 8). */
#include "gc/session_timer.h"

enum { LEAST_S = 90, MOST_S = 1 << 30 };

/* delta-seconds before any parameter; 0: absent or malformed, which the far end may judge. */
static unsigned seconds_of(struct view value)
{
    uint64_t s = 0;
    size_t semi = value.n;

    (void)view_find(value, ';', &semi);
    return view_to_u64(view_trim(view_sub(value, 0, semi)), MOST_S, &s) == E_OK ? (unsigned)s : 0;
}

static unsigned min_se_of(const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_header_named(m, VIEW("Min-SE"));
    unsigned s = h != NULL ? seconds_of(h->value) : 0;

    return s > LEAST_S ? s : LEAST_S;
}

static unsigned larger(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

bool session_timer_ask(const struct gc_settings *set, const struct sip_msg *m,
                       struct session_timer *out)
{
    const struct sip_hdr *h = sip_header(m, SIP_H_SESSION_EXPIRES, 0);
    unsigned asked = h != NULL ? seconds_of(h->value) : 0, its_min = min_se_of(m);
    unsigned our_min = (unsigned)set->session_min_s, ours = (unsigned)set->session_expires_s;

    *out = (struct session_timer){.is_uac_able = sip_list_has(m, SIP_H_SUPPORTED, VIEW("timer"))};
    if (ours == 0 || (h != NULL && asked == 0)) {
        return true;
    }
    ours = larger(ours, larger(our_min, its_min));
    if (h == NULL) {
        out->interval_s = ours;
    } else if (asked >= larger(our_min, its_min)) {
        out->interval_s = asked < ours ? asked : ours;
    } else if (out->is_uac_able && asked < our_min) {
        return false;
    } else { /* it cannot be told: made what it should be (section 8.1) */
        out->interval_s = larger(our_min, its_min);
        out->min_s = out->is_uac_able || our_min <= its_min ? 0 : our_min;
    }
    out->is_changed = h == NULL || out->interval_s != asked;
    return true;
}

static struct view params_of(struct view value)
{
    size_t semi = value.n;

    (void)view_find(value, ';', &semi);
    return view_sub(value, semi, value.n);
}

/* The refresher stays whatever it is (section 8.1). */
void session_timer_edit_request(struct sip_edit *e, const struct sip_msg *m,
                                const struct session_timer *t)
{
    const struct sip_hdr *h = sip_header(m, SIP_H_SESSION_EXPIRES, 0);
    const struct sip_hdr *min = sip_header_named(m, VIEW("Min-SE"));
    struct view rest = h != NULL ? params_of(h->value) : VIEW("");

    if (t->interval_s != 0 && t->is_changed) {
        sip_edit_remove_all(e, SIP_H_SESSION_EXPIRES);
        sip_edit_insert(e, SIP_H_OTHER, "Session-Expires: %u%.*s", t->interval_s, (int)rest.n,
                        rest.p);
    }
    if (t->min_s != 0) {
        if (min != NULL) {
            sip_edit_remove(e, min);
        }
        sip_edit_insert(e, SIP_H_OTHER, "Min-SE: %u", t->min_s);
    }
}

unsigned session_timer_of_answer(const struct session_timer *t, const struct sip_msg *response,
                                 bool *out_adds)
{
    const struct sip_hdr *h = sip_header(response, SIP_H_SESSION_EXPIRES, 0);

    *out_adds = h == NULL && t->is_uac_able && t->interval_s != 0;
    return t->interval_s == 0 ? 0
           : h != NULL        ? seconds_of(h->value)
           : *out_adds        ? t->interval_s
                              : 0;
}

void session_timer_edit_answer(struct sip_edit *e, unsigned interval_s)
{
    sip_edit_insert(e, SIP_H_OTHER, "Require: timer");
    sip_edit_insert(e, SIP_H_OTHER, "Session-Expires: %u;refresher=uac", interval_s);
}
