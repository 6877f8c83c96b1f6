/* Names: headers, methods, reason phrases, and lists inside header values. */
#include "signaling/sip_msg.h"
#include "signaling/sip_uri.h"

struct name_row {
    const char *name;
    uint8_t n;
    char compact;
    uint8_t id;
};

#define ROW(id, name, compact) {name, sizeof(name) - 1, compact, SIP_H_##id},
static const struct name_row rows[] = {SIP_HEADERS(ROW)};
#undef ROW

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool same_name(struct view name, const struct name_row *r)
{
    return name.n == r->n && lower(name.p[0]) == lower(r->name[0]) &&
           view_eq_nocase(name, view_from(r->name, r->n));
}

enum sip_hdr_id sip_hdr_id_of(struct view name)
{
    if (name.n == 1) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            if (rows[i].compact != 0 && rows[i].compact == lower(name.p[0])) {
                return (enum sip_hdr_id)rows[i].id;
            }
        }
        return SIP_H_OTHER;
    }
    if (view_starts_nocase(name, VIEW("P-DCS-"))) {
        return SIP_H_P_DCS;
    }
    for (size_t i = 0; name.n > 0 && i < sizeof rows / sizeof rows[0]; i++) {
        if (same_name(name, &rows[i])) {
            return (enum sip_hdr_id)rows[i].id;
        }
    }
    return SIP_H_OTHER;
}

const char *sip_method_name(enum sip_method m)
{
#define NAME(m) #m,
    static const char *const names[] = {"OTHER", SIP_METHODS(NAME)};
#undef NAME
    return (unsigned)m < SIP_M_COUNT ? names[m] : names[0];
}

enum sip_method sip_method_of(struct view text)
{
    for (unsigned m = 1; m < SIP_M_COUNT;
         m++) { /* methods are case-sensitive (RFC 3261 section 7.1) */
        if (view_eq(text, view_of(sip_method_name((enum sip_method)m)))) {
            return (enum sip_method)m;
        }
    }
    return SIP_M_OTHER;
}

const struct sip_hdr *sip_header(const struct sip_msg *m, enum sip_hdr_id id, unsigned from)
{
    for (unsigned i = from; i < m->n_headers; i++) {
        if (m->h[i].id == (uint8_t)id) {
            return &m->h[i];
        }
    }
    return NULL;
}

unsigned sip_header_index(const struct sip_msg *m, const struct sip_hdr *h)
{
    return (unsigned)(h - m->h);
}

struct view sip_header_value(const struct sip_msg *m, enum sip_hdr_id id)
{
    const struct sip_hdr *h = sip_header(m, id, 0);

    return h != NULL ? h->value : VIEW("");
}

const struct sip_hdr *sip_header_named(const struct sip_msg *m, struct view name)
{
    for (unsigned i = 0; i < m->n_headers; i++) {
        if (view_eq_nocase(m->h[i].name, name)) {
            return &m->h[i];
        }
    }
    return NULL;
}

static const struct {
    unsigned status;
    const char *text;
} phrases[] = {
    {100, "Trying"},
    {180, "Ringing"},
    {181, "Call Is Being Forwarded"},
    {182, "Queued"},
    {183, "Session Progress"},
    {200, "OK"},
    {202, "Accepted"},
    {204, "No Notification"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Moved Temporarily"},
    {305, "Use Proxy"},
    {380, "Alternative Service"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {410, "Gone"},
    {413, "Request Entity Too Large"},
    {414, "Request-URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Unsupported URI Scheme"},
    {417, "Unknown Resource-Priority"},
    {420, "Bad Extension"},
    {421, "Extension Required"},
    {422, "Session Interval Too Small"},
    {423, "Interval Too Brief"},
    {428, "Use Identity Header"},
    {430, "Flow Failed"},
    {440, "Max-Breadth Exceeded"},
    {480, "Temporarily Unavailable"},
    {481, "Call/Transaction Does Not Exist"},
    {482, "Loop Detected"},
    {483, "Too Many Hops"},
    {484, "Address Incomplete"},
    {485, "Ambiguous"},
    {486, "Busy Here"},
    {487, "Request Terminated"},
    {488, "Not Acceptable Here"},
    {491, "Request Pending"},
    {493, "Undecipherable"},
    {500, "Server Internal Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Server Time-out"},
    {505, "Version Not Supported"},
    {513, "Message Too Large"},
    {580, "Precondition Failure"},
    {600, "Busy Everywhere"},
    {603, "Decline"},
    {604, "Does Not Exist Anywhere"},
    {606, "Not Acceptable"},
};

const char *sip_reason(unsigned status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status) {
            return phrases[i].text;
        }
    }
    return "Unknown";
}

/* ---- lists ----------------------------------------------------------------------------------- */
struct sip_list sip_list_over(struct view value)
{
    return (struct sip_list){value};
}

bool sip_list_next(struct sip_list *l, struct view *out_element)
{
    bool quoted = false;
    unsigned angle = 0;
    size_t i = 0;

    if (l->rest.n == 0) {
        return false;
    }
    for (; i < l->rest.n; i++) {
        char c = l->rest.p[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '<') {
            angle++;
        } else if (c == '>' && angle > 0) {
            angle--;
        } else if (c == ',' && angle == 0) {
            break;
        }
    }
    i = i > l->rest.n ? l->rest.n : i;
    *out_element = sip_trim(view_sub(l->rest, 0, i));
    l->rest = view_sub(l->rest, i + 1, l->rest.n);
    return true;
}

bool sip_list_has(const struct sip_msg *m, enum sip_hdr_id id, struct view token)
{
    for (const struct sip_hdr *h = sip_header(m, id, 0); h != NULL;
         h = sip_header(m, id, sip_header_index(m, h) + 1)) {
        struct sip_list l = sip_list_over(h->value);
        struct view element;
        while (sip_list_next(&l, &element)) {
            if (view_eq_nocase(element, token)) {
                return true;
            }
        }
    }
    return false;
}
