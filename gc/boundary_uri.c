/* Headers inside of URIs (RFC 3261 section 19.1.1): whoever follows the URI puts them into a
 * request of his own, with his own right. */
#include <string.h>

#include "gc/boundary_int.h"

enum { NAME_MAX_BYTES = 64, VALUE_SEEN = 128 };

/* Escapes undone, as far as dst holds; the length of the whole. SIZE_MAX: a bad escape. */
static size_t unescape(struct view v, char *dst, size_t dst_bytes)
{
    size_t n = 0;

    for (size_t i = 0; i < v.n; i++, n++) {
        uint8_t c = (uint8_t)v.p[i];
        if (c == '%') {
            if (hex_get(view_sub(v, i + 1, 2), &c, 1) != E_OK) {
                return SIZE_MAX;
            }
            i += 2;
        }
        if (n < dst_bytes) {
            dst[n] = (char)c;
        }
    }
    return n;
}

/* A line end in a value would make two headers of one. */
static bool has_control(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        uint8_t c = (uint8_t)v.p[i];
        if (c == '%' && hex_get(view_sub(v, i + 1, 2), &c, 1) != E_OK) {
            return true;
        }
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return true;
        }
    }
    return false;
}

static bool is_name(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (!is_token_char((unsigned char)v.p[i]) || v.p[i] == '%') {
            return false; /* a second escape would be undone by somebody */
        }
    }
    return v.n > 0;
}

/* What makes the request itself (RFC 3261 section 19.1.5): not for others to choose. */
static bool is_of_the_request(enum sip_hdr_id id)
{
    switch ((int)id) {
    case SIP_H_VIA:
    case SIP_H_FROM:
    case SIP_H_TO:
    case SIP_H_CALL_ID:
    case SIP_H_CSEQ:
    case SIP_H_CONTACT:
    case SIP_H_ROUTE:
    case SIP_H_RECORD_ROUTE:
    case SIP_H_MAX_FORWARDS:
    case SIP_H_CONTENT_LENGTH:
    case SIP_H_AUTHORIZATION:
    case SIP_H_PROXY_AUTHORIZATION:
        return true;
    default:
        return false;
    }
}

/* The rule by which "name=value" has to go; RULE_NONE: it stays. */
static enum boundary_rule_id rule_of_pair(const struct crossing *c, struct view pair)
{
    struct crossing later = *c;
    char name[NAME_MAX_BYTES], value[VALUE_SEEN];
    struct sip_hdr h = {.id = SIP_H_OTHER};
    size_t eq = 0, n = 0;
    enum boundary_rule_id rule = RULE_NONE;

    if (!view_find(pair, '=', &eq)) {
        return RULE_URI_ODD;
    }
    n = unescape(view_sub(pair, 0, eq), name, sizeof name);
    h.name = view_from(name, n <= sizeof name ? n : 0);
    if (!is_name(h.name)) {
        return RULE_URI_ODD;
    }
    h.value = view_sub(pair, eq + 1, pair.n);
    if (view_eq_nocase(h.name, VIEW("body"))) {
        return RULE_NONE;
    }
    if (has_control(h.value)) {
        return RULE_URI_ODD;
    }
    n = unescape(h.value, value, sizeof value);
    h.value = view_trim(view_from(value, n < sizeof value ? n : sizeof value));
    h.id = (uint8_t)sip_hdr_id_of(h.name);
    rule = boundary_rule_of((enum sip_hdr_id)h.id, h.name);
    if (rule == RULE_RESOURCE && !boundary_is_believed(c->from)) {
        return rule; /* whoever follows the URI would ask it as himself */
    }
    later.class = CLASS_SETUP;
    if (rule != RULE_NONE && rule != RULE_PROOF && boundary_goes(&later, rule, &h)) {
        return rule;
    }
    return c->in == WAY_OUTSIDE_IN && is_of_the_request((enum sip_hdr_id)h.id) ? RULE_URI_HEADER
                                                                               : RULE_NONE;
}

static bool next_pair(struct view *rest, struct view *out)
{
    size_t at = rest->n;

    if (rest->n == 0) {
        return false;
    }
    (void)view_find(*rest, '&', &at);
    *out = view_sub(*rest, 0, at);
    *rest = view_sub(*rest, at + 1, rest->n);
    return true;
}

static void keep(enum boundary_rule_id *found, enum boundary_rule_id rule)
{
    if (*found == RULE_NONE || rule == RULE_URI_ODD) {
        *found = rule;
    }
}

/* The headers of one URI; with e those that go are taken out, with their '?' when none stays. */
static enum boundary_rule_id look_at(const struct crossing *c, struct sip_edit *e,
                                     struct view headers, struct sip_text *room)
{
    enum boundary_rule_id found = RULE_NONE;
    size_t begin = room != NULL ? room->n : 0;
    struct view rest = headers, pair;

    BUG_ON((e != NULL) != (room != NULL));
    while (next_pair(&rest, &pair)) {
        enum boundary_rule_id rule = rule_of_pair(c, pair);
        if (rule != RULE_NONE) {
            keep(&found, rule);
        } else if (e != NULL) {
            sip_text_add(room, "%s", room->n == begin ? "?" : "&");
            sip_text_view(room, pair);
        }
    }
    if (found != RULE_NONE && e != NULL) {
        sip_edit_part(e, view_from(headers.p - 1, headers.n + 1),
                      view_from(room->p + begin, room->n - begin));
    } else if (e != NULL) {
        room->n = begin;
    }
    return found;
}

enum boundary_rule_id boundary_uris(const struct crossing *c, struct sip_edit *e,
                                    const struct sip_hdr *h, struct sip_text *room)
{
    struct sip_list l = sip_list_over(h->value);
    enum boundary_rule_id found = RULE_NONE;
    bool is_name = h->id == SIP_H_FROM || h->id == SIP_H_TO || h->id == SIP_H_CONTACT;
    struct sip_name_addr a;
    struct view element;
    size_t at = 0;

    if (!view_find(h->value, '?', &at)) {
        return RULE_NONE;
    }
    while (sip_list_next(&l, &element)) {
        enum err err = sip_name_addr_parse(element, &a);
        bool is_odd = !is_name && err == E_OK && view_find(a.uri.user, '?', &at) &&
                      a.uri.scheme != SIP_SCHEME_URN;
        if (is_odd || (err != E_OK && err != E_NOTFOUND)) { /* whose headers these are: who knows */
            if (e != NULL && !is_name) {
                sip_edit_remove(e, h);
            }
            return RULE_URI_ODD;
        }
        if (err == E_OK && a.uri.headers.n > 0) {
            enum boundary_rule_id rule = look_at(c, e, a.uri.headers, room);
            if (rule != RULE_NONE) {
                keep(&found, rule);
            }
        }
    }
    return found;
}
