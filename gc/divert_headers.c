/* What a forwarded call says of its way: one model, three headers (docs/identity.md). */
#include <stdio.h>
#include <string.h>

#include "gc/boundary.h"
#include "gc/divert.h"

enum { INDEX_MAX = 64 };

/* Parameter "cause" of a URI that a call was sent on to (RFC 4458, RFC 8119); reason of RFC 5806;
 * the response, as far as there was one, that made it go on (RFC 7044 section 10.2). */
static const struct words {
    const char *cause, *diversion, *response;
} words_of[] = {[DIVERT_ALWAYS] = {"302", "unconditional", NULL},
                [DIVERT_BUSY] = {"486", "user-busy", "486"},
                [DIVERT_NO_ANSWER] = {"408", "no-answer", "408"},
                [DIVERT_UNREACHABLE] = {"404", "unavailable", "480"}};

/* ---- what came in ------------------------------------------------------------------------------
 */
static bool is_number(struct worker *w, const struct sip_name_addr *a, const char *number)
{
    struct dialled d = dialled_of(w, a->uri_text);

    return d.class == DIAL_SUBSCRIBER && strcmp(d.e164, number) == 0;
}

/* The next element of all headers of that name; *h and *l begin as {first header} and its list. */
struct walk {
    const struct sip_msg *m;
    enum sip_hdr_id id;
    const struct sip_hdr *h;
    struct sip_list l;
};

static struct walk walk_over(const struct sip_msg *m, enum sip_hdr_id id)
{
    struct walk k = {.m = m, .id = id, .h = sip_header(m, id, 0)};

    k.l = sip_list_over(k.h != NULL ? k.h->value : VIEW(""));
    return k;
}

static bool walk_next(struct walk *k, struct sip_name_addr *out)
{
    struct view one;

    while (k->h != NULL) {
        while (sip_list_next(&k->l, &one)) {
            if (sip_name_addr_parse(one, out) == E_OK) {
                return true;
            }
        }
        k->h = sip_header(k->m, k->id, sip_header_index(k->m, k->h) + 1);
        k->l = sip_list_over(k->h != NULL ? k->h->value : VIEW(""));
    }
    return false;
}

static unsigned counter_of(const struct sip_name_addr *a)
{
    struct view v;
    uint64_t n = 1;

    return sip_param(a->params, VIEW("counter"), &v) && view_to_u64(v, 99, &n) == E_OK && n > 0
               ? (unsigned)n
               : 1;
}

/* Either header alone tells; of both the larger number counts, as they tell of the same hops. */
void divert_read(struct worker *w, const struct sip_msg *m, const struct party *from,
                 struct divert *v)
{
    struct walk k;
    struct sip_name_addr a;
    struct view ignored;
    unsigned diverted = 0, mapped = 0;

    if (!boundary_is_believed(from)) {
        return;
    }
    for (k = walk_over(m, SIP_H_DIVERSION); walk_next(&k, &a);) {
        diverted += counter_of(&a);
        v->was_here = v->was_here || is_number(w, &a, v->number);
    }
    for (k = walk_over(m, SIP_H_HISTORY_INFO); walk_next(&k, &a);) {
        mapped += sip_param(a.params, VIEW("mp"), &ignored);
    }
    v->before = diverted > mapped ? diverted : mapped;
}

static bool is_index(struct view v)
{
    bool ok = v.n > 0 && v.n < INDEX_MAX / 2;

    for (size_t i = 0; i < v.n; i++) {
        ok = ok && ((v.p[i] >= '0' && v.p[i] <= '9') || v.p[i] == '.');
    }
    return ok;
}

/* ---- History-Info ------------------------------------------------------------------------------
 */
struct writer {
    struct worker *w;
    const struct diversions *all;
    const struct sip_msg *m;
    const struct party *from;
    bool is_inside, hides_all;
    struct sip_text t;
};

static const char *number_at(const struct diversions *all, unsigned i)
{
    return i < all->n ? all->d[i].by : all->d[all->n - 1].to;
}

/* Entry i of the way: 0 is the number that was called. */
static void add_uri(struct writer *x, unsigned i)
{
    const struct diversion *left = i < x->all->n ? &x->all->d[i] : NULL;
    bool hides = x->hides_all || (left != NULL && left->is_private);
    const char *response = left != NULL ? words_of[left->why].response : NULL;

    if (hides && !x->is_inside) {
        sip_text_add(&x->t, "<sip:anonymous@anonymous.invalid");
    } else {
        sip_text_add(&x->t, "<sip:%s@%.80s;user=phone", number_at(x->all, i), x->w->set->domain);
    }
    if (i > 0) {
        sip_text_add(&x->t, ";cause=%s", words_of[x->all->d[i - 1].why].cause);
    }
    if (hides && x->is_inside) {
        sip_text_add(&x->t, "?Privacy=history%s", response != NULL ? "&" : "");
    }
    if (response != NULL) {
        sip_text_add(&x->t, "%sReason=SIP%%3Bcause%%3D%s", hides && x->is_inside ? "" : "?",
                     response);
    }
    sip_text_add(&x->t, ">");
}

/* Index of the entry for the number that was called here, and whether a peer wrote it already (of
 * which nothing leaves the trust domain). When the peer's last entry is for another number, one is
 * missing: ".0" (RFC 7044 section 10.3). */
static bool first_index(const struct writer *x, char out[INDEX_MAX])
{
    struct sip_name_addr a;
    struct walk k = walk_over(x->m, SIP_H_HISTORY_INFO);
    struct view index = VIEW("");
    bool is_ours = false;

    while (x->is_inside && boundary_is_believed(x->from) && walk_next(&k, &a)) {
        if (!sip_param(a.params, VIEW("index"), &index) || !is_index(index)) {
            index = VIEW("");
        }
        is_ours = is_number(x->w, &a, x->all->d[0].by);
    }
    snprintf(out, INDEX_MAX, "%.*s%s", (int)index.n, index.p, is_ours ? "" : ".0");
    if (index.n == 0) {
        snprintf(out, INDEX_MAX, "1");
    }
    return is_ours && index.n > 0;
}

static void history_info(struct writer *x)
{
    char index[INDEX_MAX], parent[INDEX_MAX];
    bool is_there = first_index(x, index);

    sip_text_add(&x->t, "History-Info: ");
    if (!is_there) {
        add_uri(x, 0);
        sip_text_add(&x->t, ";index=%s, ", index);
    }
    for (unsigned i = 1; i <= x->all->n; i++) {
        memcpy(parent, index, sizeof parent);
        snprintf(index + strlen(index), sizeof index - strlen(index), ".1");
        add_uri(x, i);
        sip_text_add(&x->t, ";index=%s;mp=%s%s", index, parent, i < x->all->n ? ", " : "");
    }
}

/* ---- Diversion, P-DCS-Redirect -----------------------------------------------------------------
 */
/* The latest first. */
static void diversion(struct writer *x)
{
    sip_text_add(&x->t, "Diversion: ");
    for (unsigned i = x->all->n; i > 0; i--) {
        const struct diversion *d = &x->all->d[i - 1];
        if (d->is_private && !x->is_inside) {
            sip_text_add(&x->t, "<sip:anonymous@anonymous.invalid>");
        } else {
            sip_text_add(&x->t, "<sip:%s@%.80s;user=phone>", d->by, x->w->set->domain);
        }
        sip_text_add(&x->t, ";reason=%s;counter=1;privacy=%s;screen=yes%s",
                     words_of[d->why].diversion, d->is_private ? "full" : "off", i > 1 ? ", " : "");
    }
}

/* The Called-ID of a believed peer stays: the number that was dialled first of all. Its count is
 * what stands behind "count=". */
static unsigned redirect_before(const struct writer *x, struct view *called)
{
    struct view params, v;
    uint64_t n = 0;
    size_t at = 0;

    for (unsigned i = 0; boundary_is_believed(x->from) && i < x->m->n_headers; i++) {
        const struct sip_hdr *h = &x->m->h[i];
        if (view_eq_nocase(h->name, VIEW("P-DCS-Redirect")) && h->value.n > 2 &&
            h->value.p[0] == '"' && view_find(view_sub(h->value, 1, h->value.n), '"', &at)) {
            *called = view_sub(h->value, 1, at);
            params = view_trim(view_sub(h->value, at + 2, h->value.n));
            params = view_sub(params, 1, params.n);
            return sip_param(params, VIEW("count"), &v) && view_to_u64(v, 99, &n) == E_OK
                       ? (unsigned)n
                       : 0;
        }
    }
    return 0;
}

/* RFC 5503 section 8.1 says in words that Called-ID is what was dialled, and in its example that it
 * is the caller: the words count. */
static void redirect(struct writer *x)
{
    struct view called = VIEW("");
    unsigned before = redirect_before(x, &called);

    sip_text_add(&x->t, "P-DCS-Redirect: \"");
    if (called.n > 0 && called.n < LOCATION_URI_MAX) {
        sip_text_view(&x->t, called);
    } else {
        sip_text_add(&x->t, "tel:%s", x->all->d[0].by);
    }
    sip_text_add(&x->t, "\";redirector-uri=\"tel:%s\";count=%u", x->all->d[x->all->n - 1].by,
                 before + x->all->n);
}

/* ---- all ---------------------------------------------------------------------------------------
 */
static unsigned put(struct writer *x, void (*write)(struct writer *x), char text[DIVERT_TEXT])
{
    x->t = (struct sip_text){.p = text, .max = DIVERT_TEXT - 1};
    write(x);
    text[x->t.bad ? 0 : x->t.n] = 0;
    if (x->t.bad) {
        LOG(LV_WARN, "call.history_too_long", KV("hops", x->all->n));
    }
    return !x->t.bad;
}

unsigned divert_headers(struct worker *w, const struct diversions *all, const struct sip_msg *m,
                        const struct party *from, const struct party *to,
                        char text[DIVERT_LINES][DIVERT_TEXT])
{
    struct writer x = {.w = w, .all = all, .m = m, .from = from};
    unsigned n = 0;

    if (all->n == 0 || to->kind != PARTY_GATEWAY) {
        return 0; /* lines are told nothing of numbers that were called on the way */
    }
    x.is_inside = boundary_is_inside(to);
    x.hides_all = boundary_wants(m, VIEW("history")) || boundary_wants(m, VIEW("header"));
    n += put(&x, history_info, text[n]);
    n += put(&x, diversion, text[n]);
    if (x.is_inside) {
        n += put(&x, redirect, text[n]);
    }
    return n;
}
