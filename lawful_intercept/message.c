/* Reads SIP for call data: see message.h. */
#include "lawful_intercept/message.h"

#include <stdio.h>
#include <string.h>

/* ---- lines -------------------------------------------------------------------------------------
 */
/* The next header line with what is folded onto it, without its line end. False: the empty line, or
 * the end. */
static bool next_line(struct view *rest, struct view *line)
{
    size_t i = 0;

    while (i < rest->n) {
        if (rest->p[i] != '\n') {
            i++;
        } else if (i + 1 < rest->n && (rest->p[i + 1] == ' ' || rest->p[i + 1] == '\t') && i > 1) {
            i++;
        } else {
            break;
        }
    }
    *line = view_sub(*rest, 0, i);
    *rest = view_sub(*rest, i + 1, rest->n);
    if (line->n > 0 && line->p[line->n - 1] == '\r') {
        line->n--;
    }
    return line->n > 0;
}

static bool split_header(struct view line, struct view *name, struct view *value)
{
    size_t colon = 0;

    if (!view_find(line, ':', &colon)) {
        return false;
    }
    *name = view_trim(view_sub(line, 0, colon));
    *value = view_trim(view_sub(line, colon + 1, line.n));
    return true;
}

struct header_place {
    const char *name, *compact;
    size_t offset;
};

#define PLACE(name_, compact_, member)                                                             \
    {                                                                                              \
        name_, compact_, offsetof(struct li_message, member)                                       \
    }
static const struct header_place places[] = {
    PLACE("Call-ID", "i", call_id),
    PLACE("From", "f", from),
    PLACE("To", "t", to),
    PLACE("Contact", "m", contact),
    PLACE("Refer-To", "r", refer_to),
    PLACE("Content-Type", "c", content_type),
    PLACE("Replaces", "Replaces", replaces),
    PLACE("P-Asserted-Identity", "P-Asserted-Identity", asserted),
    PLACE("Expires", "Expires", expires)};

static void take_header(struct li_message *m, struct view name, struct view value)
{
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct view *to = (struct view *)(void *)((char *)m + places[i].offset);
        if (to->n == 0 && (view_eq_nocase(name, view_of(places[i].name)) ||
                           view_eq_nocase(name, view_of(places[i].compact)))) {
            *to = value;
        }
    }
}

bool li_find_bare(struct view v, char c, size_t *out_at)
{
    for (size_t i = 0; i < v.n; i++) {
        size_t end = i + 1;
        if (v.p[i] == c) {
            *out_at = i;
            return true;
        }
        while (v.p[i] == '"' && end < v.n && v.p[end] != '"') {
            end += v.p[end] == '\\' ? 2 : 1;
        }
        i = v.p[i] == '"' && end < v.n ? end : i; /* one that does not end is a mark like others */
    }
    return false;
}

struct view li_parameter(struct view value, struct view name)
{
    size_t close = 0;
    struct view rest = li_find_bare(value, '>', &close) ? view_sub(value, close, value.n) : value;
    size_t at = 0;

    while (li_find_bare(rest, ';', &at)) {
        struct view one;
        size_t end = 0, equals = 0;
        rest = view_sub(rest, at + 1, rest.n);
        one = li_find_bare(rest, ';', &end) ? view_sub(rest, 0, end) : rest;
        if (li_find_bare(one, ',', &end)) {
            one = view_sub(one, 0, end);
        }
        if (view_find(one, '=', &equals) &&
            view_eq_nocase(view_trim(view_sub(one, 0, equals)), name)) {
            return view_trim(view_sub(one, equals + 1, one.n));
        }
    }
    return VIEW("");
}

/* ---- messages ----------------------------------------------------------------------------------
 */
static struct view word(struct view *rest)
{
    size_t at = 0;
    struct view w = view_find(*rest, ' ', &at) ? view_sub(*rest, 0, at) : *rest;

    *rest = view_sub(*rest, w.n + 1, rest->n);
    return w;
}

static enum err read_start(struct view line, struct li_message *m)
{
    struct view rest = line;
    struct view first = word(&rest), second = word(&rest);
    uint64_t status = 0;

    if (view_starts_nocase(first, VIEW("SIP/2.0"))) {
        if (view_to_u64(second, 699, &status) != E_OK || status < 100) {
            return FAIL(E_PARSE);
        }
        m->status = (unsigned)status;
        return E_OK;
    }
    if (first.n == 0 || second.n == 0 || !view_starts_nocase(rest, VIEW("SIP/2.0"))) {
        return FAIL(E_PARSE);
    }
    m->is_request = true;
    m->method = first;
    m->uri = second;
    return E_OK;
}

/* Digits, blanks of any kind, the method. */
static void read_cseq(struct view value, struct li_message *m)
{
    size_t digits = 0;
    uint64_t n = 0;

    while (digits < value.n && value.p[digits] >= '0' && value.p[digits] <= '9') {
        digits++;
    }
    if (view_to_u64(view_sub(value, 0, digits), UINT32_MAX, &n) == E_OK) {
        m->cseq = (uint32_t)n;
    }
    if (!m->is_request) {
        m->method = view_trim(view_sub(value, digits, value.n));
    }
}

/* Whether it ends with an empty line. */
static bool is_whole(struct view head)
{
    struct view last = view_sub(head, head.n > 3 ? head.n - 3 : 0, 3);

    return view_eq(last, VIEW("\n\r\n")) || (last.n == 3 && last.p[1] == '\n' && last.p[2] == '\n');
}

enum err li_message_read(struct view octets, struct li_message *out)
{
    struct li_message m = {0};
    struct view rest = octets, line;
    enum err e = E_OK;

    if (!next_line(&rest, &line)) {
        return FAIL(E_PARSE);
    }
    TRY(read_start(line, &m));
    while (next_line(&rest, &line)) {
        struct view name, value;
        if (!split_header(line, &name, &value)) {
            continue;
        }
        take_header(&m, name, value);
        if (view_eq_nocase(name, VIEW("CSeq"))) {
            read_cseq(value, &m);
        } else if (m.branch.n == 0 &&
                   (view_eq_nocase(name, VIEW("Via")) || view_eq_nocase(name, VIEW("v")))) {
            m.branch = li_parameter(value, VIEW("branch"));
        }
    }
    m.head = view_sub(octets, 0, octets.n - rest.n);
    m.body = rest;
    if (!is_whole(m.head)) {
        return FAIL(E_PARSE);
    }
    m.from_tag = li_parameter(m.from, VIEW("tag"));
    m.to_tag = li_parameter(m.to, VIEW("tag"));
    *out = m;
out:
    return e;
}

/* ---- bodies ------------------------------------------------------------------------------------
 */
static bool is_type(struct view content_type, struct view type)
{
    size_t end = 0;
    struct view bare =
        view_find(content_type, ';', &end) ? view_sub(content_type, 0, end) : content_type;

    return view_eq_nocase(view_trim(bare), type);
}

static bool find_text(struct view in, struct view text, size_t *at)
{
    const char *p = in.n > 0 ? memmem(in.p, in.n, text.p, text.n) : NULL;

    *at = p != NULL ? (size_t)(p - in.p) : 0;
    return p != NULL;
}

/* The body of a part whose type is application/sdp. */
static struct view sdp_of_part(struct view part)
{
    struct view rest = part, line, type = VIEW("");

    while (next_line(&rest, &line)) {
        struct view name, value;
        if (split_header(line, &name, &value) && view_eq_nocase(name, VIEW("Content-Type"))) {
            type = value;
        }
    }
    return is_type(type, VIEW("application/sdp")) ? rest : VIEW("");
}

struct view li_message_sdp(const struct li_message *m)
{
    char mark[80] = "--";
    struct view boundary, rest = m->body, found = VIEW("");
    size_t at = 0, end = 0;

    if (is_type(m->content_type, VIEW("application/sdp"))) {
        return m->body;
    }
    boundary = li_parameter(m->content_type, VIEW("boundary"));
    if (boundary.n >= 2 && boundary.p[0] == '"' && boundary.p[boundary.n - 1] == '"') {
        boundary = view_sub(boundary, 1, boundary.n - 2);
    }
    if (!view_starts_nocase(m->content_type, VIEW("multipart/")) || boundary.n == 0 ||
        view_to_cstr(boundary, mark + 2, sizeof mark - 2) != E_OK) {
        return VIEW("");
    }
    while (found.n == 0 && find_text(rest, view_of(mark), &at)) {
        rest = view_sub(rest, at + strlen(mark), rest.n);
        if (view_starts(rest, VIEW("\r\n"))) {
            rest = view_sub(rest, 2, rest.n);
        }
        if (!find_text(rest, view_of(mark), &end)) {
            break;
        }
        found = sdp_of_part(view_sub(rest, 0, end));
    }
    if (found.n >= 2 && memcmp(found.p + found.n - 2, "\r\n", 2) == 0) {
        found.n -= 2; /* belongs to the boundary; what stays ends its own line */
    }
    return found;
}

struct view li_user_of(struct view uri)
{
    size_t at = 0, end = 0;
    struct view v = uri;

    if (li_find_bare(v, '<', &at)) {
        v = view_sub(v, at + 1, v.n);
    }
    if (!view_find(v, ':', &at)) {
        return VIEW("");
    }
    if (view_starts_nocase(v, VIEW("tel:"))) {
        v = view_sub(v, at + 1, v.n);
        for (end = 0; end < v.n && v.p[end] != ';' && v.p[end] != '>'; end++) {
        }
        return view_sub(v, 0, end);
    }
    v = view_sub(v, at + 1, v.n);
    if (!view_find(v, '@', &end)) {
        return VIEW("");
    }
    v = view_sub(v, 0, end);
    return view_find(v, ';', &end) || view_find(v, ':', &end) ? view_sub(v, 0, end) : v;
}

/* ---- without content ---------------------------------------------------------------------------
 */
static bool is_key_line(struct view line)
{
    static const char *const begins[] = {
        "a=crypto:",      "k=",         "a=key-mgmt:", "a=zrtp-hash", "a=X-pc-secret",
        "a=X-pc-csuites", "a=ssrc-key", "a=encryption"};

    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        if (view_starts_nocase(line, view_of(begins[i]))) {
            return true;
        }
    }
    return false;
}

size_t li_sdp_without_keys(struct view sdp, char *dst)
{
    size_t n = 0;

    while (sdp.n > 0) {
        size_t end = 0;
        struct view line = view_find(sdp, '\n', &end) ? view_sub(sdp, 0, end + 1) : sdp;
        if (!is_key_line(line)) {
            memcpy(dst + n, line.p, line.n);
            n += line.n;
        }
        sdp = view_sub(sdp, line.n, sdp.n);
    }
    return n;
}

/* Headers that go: they tell a place, carry words, or are of a body that is another one now. */
static bool is_left_out(struct view name)
{
    static const char *const all[] = {"Geolocation",
                                      "Geolocation-Routing",
                                      "Geolocation-Error",
                                      "P-Access-Network-Info",
                                      "Cellular-Network-Info",
                                      "P-Visited-Network-ID",
                                      "Subject",
                                      "s",
                                      "User-to-User",
                                      "Content-Length",
                                      "l",
                                      "Content-Type",
                                      "c",
                                      "Content-Disposition",
                                      "Content-Encoding",
                                      "e",
                                      "MIME-Version"};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (view_eq_nocase(name, view_of(all[i]))) {
            return true;
        }
    }
    return false;
}

enum err li_message_without_content(const struct li_message *m, char *dst, size_t dst_bytes,
                                    size_t *out_n)
{
    struct view sdp = li_message_sdp(m), rest = m->head;
    size_t n = 0, tail = 0;
    char head[LI_BARE_MORE];

    if (m->head.n + m->body.n + sizeof head > dst_bytes) {
        return FAIL(E_RANGE);
    }
    for (bool first = true; rest.n > 0; first = false) {
        struct view before = rest, line, name, value;
        if (!next_line(&rest, &line)) {
            break;
        }
        if (first || !split_header(line, &name, &value) || !is_left_out(name)) {
            size_t whole = before.n - rest.n;
            memcpy(dst + n, before.p, whole);
            n += whole;
        }
    }
    /* The body first where it will not be in the way, because its length stands before it. */
    tail = li_sdp_without_keys(sdp, dst + n + sizeof head);
    snprintf(head, sizeof head, "%sContent-Length: %zu\r\n\r\n",
             sdp.n > 0 ? "Content-Type: application/sdp\r\n" : "", tail);
    memmove(dst + n + strlen(head), dst + n + sizeof head, tail);
    memcpy(dst + n, head, strlen(head));
    *out_n = n + strlen(head) + tail;
    return E_OK;
}
