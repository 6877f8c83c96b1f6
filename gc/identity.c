/* Whose call it is, and who may know. */
#include "gc/identity.h"

#include <stdio.h>
#include <string.h>

#include "gc/boundary.h"

const char identity_anonymous[] = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/* ---- of a line ---------------------------------------------------------------------------------
 */
static bool is_anonymous_uri(const struct sip_uri *u)
{
    return view_eq_nocase(u->host, VIEW("anonymous.invalid"));
}

static void quote_display(char *dst, size_t dst_bytes, struct view display)
{
    size_t n = 0;

    for (size_t i = 0; i < display.n && n + 3 < dst_bytes; i++) {
        char c = display.p[i];
        if ((unsigned char)c < ' ' || c == 0x7f) {
            continue;
        }
        if (c == '"' || c == '\\') {
            dst[n++] = '\\';
        }
        dst[n++] = c;
    }
    dst[n] = 0;
}

static void vouch(const struct worker *w, const struct line *line, struct view number,
                  struct identity *out)
{
    char display[140];

    quote_display(display, sizeof display, line->display);
    IGNORE(view_to_cstr(number, out->number, sizeof out->number), "E.164 fits by its own limit");
    snprintf(out->asserted, sizeof out->asserted, "%s%s%s<sip:%.*s@%.80s>",
             display[0] != 0 ? "\"" : "", display, display[0] != 0 ? "\" " : "", (int)number.n,
             number.p, w->set->domain);
    snprintf(out->tel, sizeof out->tel, "<tel:%.*s>", (int)number.n, number.p);
}

/* A number of the line in a URI of ours. */
static bool is_own(struct worker *w, const struct line *line, const struct sip_name_addr *a,
                   char number[DIAL_E164_MAX])
{
    struct dialled d = dialled_of(w, a->uri_text);

    if (d.class != DIAL_SUBSCRIBER ||
        (a->uri.scheme != SIP_SCHEME_TEL && !worker_is_us(w, &a->uri)) ||
        !snapshot_owns_number(worker_snapshot(w), line->line_id, view_of(d.e164))) {
        return false;
    }
    memcpy(number, d.e164, sizeof d.e164);
    return true;
}

/* What the line prefers to be called (RFC 3325 section 9.2), when all that it says is its own. */
static enum err read_preferred(struct worker *w, const struct inbound *in, const struct line *line,
                               char number[DIAL_E164_MAX])
{
    const struct sip_hdr *h = sip_header(in->m, SIP_H_P_PREFERRED_IDENTITY, 0);
    char one[DIAL_E164_MAX];
    bool any = false;

    for (; h != NULL;
         h = sip_header(in->m, SIP_H_P_PREFERRED_IDENTITY, sip_header_index(in->m, h) + 1)) {
        struct sip_list l = sip_list_over(h->value);
        struct sip_name_addr a;
        struct view v;
        while (sip_list_next(&l, &v)) {
            if (sip_name_addr_parse(v, &a) != E_OK || !is_own(w, line, &a, one)) {
                return FAIL(E_DENIED);
            }
            if (!any) {
                memcpy(number, one, sizeof one);
            }
            any = true;
        }
    }
    return E_OK;
}

static bool asks_for_privacy(const struct sip_msg *m)
{
    return boundary_wants(m, VIEW("id")) || boundary_wants(m, VIEW("user")) ||
           boundary_wants(m, VIEW("header"));
}

static bool is_private(const struct sip_msg *m, const struct line *line, enum identity_wish wish,
                       bool is_anonymous)
{
    bool by_default = (line->services & LINE_PRIVATE) != 0 && wish != WISH_SHOWN &&
                      !boundary_wants(m, VIEW("none"));

    return wish == WISH_PRIVATE || by_default || is_anonymous || asks_for_privacy(m);
}

enum err identity_of_line(struct worker *w, const struct inbound *in, const struct line *line,
                          enum identity_wish wish, struct identity *out)
{
    char number[DIAL_E164_MAX] = "";
    struct sip_name_addr from;
    bool is_anonymous = false;
    enum err e = sip_name_addr_parse(sip_header_value(in->m, SIP_H_FROM), &from);

    *out = (struct identity){.is_known = true, .is_ours = true};
    IGNORE(view_to_cstr(line->number, number, sizeof number), "E.164 fits by its own limit");
    if (e == E_OK) { /* without a claim (RFC 3323): honest about saying nothing */
        is_anonymous = is_anonymous_uri(&from.uri) && sip_header(in->m, SIP_H_PRIVACY, 0) != NULL;
        e = is_anonymous || is_own(w, line, &from, number) ? E_OK : FAIL(E_DENIED);
    }
    e = e == E_OK ? read_preferred(w, in, line, number) : E_DENIED;
    vouch(w, line, e == E_OK ? view_of(number) : line->number, out);
    out->is_private = is_private(in->m, line, wish, is_anonymous);
    return e;
}

/* ---- of a trunk --------------------------------------------------------------------------------
 */
static void take_name(struct worker *w, const struct sip_name_addr *a, struct identity *out)
{
    struct dialled d = dialled_of(w, a->uri_text);
    bool has_name = a->display.n > 0;
    int n = snprintf(out->asserted, sizeof out->asserted, "%s%.*s%s<%.*s>", has_name ? "\"" : "",
                     (int)a->display.n, a->display.p, has_name ? "\" " : "", (int)a->uri_text.n,
                     a->uri_text.p);

    if (n < 0 || (size_t)n >= sizeof out->asserted) {
        out->asserted[0] = 0;
        return;
    }
    out->is_known = true;
    if (d.class == DIAL_SUBSCRIBER) {
        memcpy(out->number, d.e164, sizeof out->number);
    }
}

void identity_of_trunk(struct worker *w, const struct inbound *in, struct identity *out)
{
    const struct sip_hdr *h = sip_header(in->m, SIP_H_P_ASSERTED_IDENTITY, 0);
    struct sip_list l = sip_list_over(h != NULL ? h->value : VIEW(""));
    struct sip_name_addr from, a;
    struct view v;

    *out = (struct identity){.is_private = asks_for_privacy(in->m)};
    if (sip_name_addr_parse(sip_header_value(in->m, SIP_H_FROM), &from) != E_OK) {
        return;
    }
    out->is_private = out->is_private || is_anonymous_uri(&from.uri);
    if (!boundary_is_believed(&in->proof.who)) {
        return;
    }
    if (sip_list_next(&l, &v) && sip_name_addr_parse(v, &a) == E_OK) {
        take_name(w, &a, out);
    } else if (!is_anonymous_uri(&from.uri) && from.uri.user.n > 0) {
        take_name(w, &from, out);
    }
}

/* ---- of who answers ----------------------------------------------------------------------------
 */
void identity_of_answer(struct worker *w, const struct party *who, const struct party *to,
                        char out[ASSERTED_MAX])
{
    const struct snapshot *snap = worker_snapshot(w);
    const struct line *line = is_line(who) && snap != NULL ? snapshot_line(snap, who->line) : NULL;
    struct identity id = {.is_ours = true};

    out[0] = 0;
    if (line != NULL && line->number.n > 0 && (line->services & LINE_PRIVATE) == 0 &&
        to->kind == PARTY_GATEWAY && boundary_is_inside(to)) {
        vouch(w, line, line->number, &id);
        trunk_present(w, trunk_row(w, to->trunk), id.asserted, out);
    }
}

/* ---- who may know ------------------------------------------------------------------------------
 */
static bool subscribes(struct worker *w, uint64_t line_id)
{
    const struct snapshot *snap = worker_snapshot(w);
    const struct line *line = snap != NULL ? snapshot_line(snap, line_id) : NULL;

    return line != NULL && (line->services & LINE_CALLER_ID) != 0;
}

enum naming identity_naming(struct worker *w, const struct identity *id, const struct party *to)
{
    if (id->keeps_names || to->kind == PARTY_PS || to->kind == PARTY_STRANGER) {
        return NAMED_AS_SENT;
    }
    if (id->is_private || (is_line(to) && (!id->is_known || !subscribes(w, to->line)))) {
        return NAMED_ANONYMOUS;
    }
    return id->asserted[0] != 0 ? NAMED_SHOWN : NAMED_AS_SENT;
}

const char *identity_shown(struct worker *w, const struct identity *id, const struct party *to,
                           char room[ASSERTED_MAX])
{
    switch (identity_naming(w, id, to)) {
    case NAMED_ANONYMOUS:
        return identity_anonymous;
    case NAMED_SHOWN:
        trunk_present(w, trunk_row(w, to->trunk), id->asserted, room);
        return room;
    case NAMED_AS_SENT:
        break;
    }
    return NULL;
}

bool identity_may_see(struct worker *w, const struct identity *id, const struct party *to)
{
    return is_line(to) ? identity_naming(w, id, to) == NAMED_SHOWN
                       : id->keeps_names || !id->is_private || boundary_is_inside(to);
}

bool identity_is_unwanted(const struct identity *id, const struct line *called)
{
    return called != NULL && (called->services & LINE_REJECTS_ANONYMOUS) != 0 && !id->keeps_names &&
           (id->is_private || !id->is_known);
}

void identity_asserted(const struct identity *id, const struct party *to, char out[ASSERTED_MAX])
{
    size_t n = strlen(id->asserted);

    snprintf(out, ASSERTED_MAX, "%s", id->is_ours ? id->asserted : "");
    if (out[0] != 0 && id->tel[0] != 0 && !id->keeps_names && boundary_is_inside(to) &&
        to->kind == PARTY_GATEWAY && n + 2 + strlen(id->tel) < ASSERTED_MAX) {
        snprintf(out + n, ASSERTED_MAX - n, ", %s", id->tel);
    }
}
