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
    PLACE("Content-Encoding", "e", coding),
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
enum { MARKS_MAX = 8, MARK_MAX = 256 };

/* subtype "": any. Blanks may stand around the slash (RFC 3261 section 25.1). */
static bool is_type(struct view content_type, struct view type, struct view subtype)
{
    size_t end = 0, slash = 0;
    struct view bare =
        view_find(content_type, ';', &end) ? view_sub(content_type, 0, end) : content_type;

    return view_find(bare, '/', &slash) &&
           view_eq_nocase(view_trim(view_sub(bare, 0, slash)), type) &&
           (subtype.n == 0 ||
            view_eq_nocase(view_trim(view_sub(bare, slash + 1, bare.n)), subtype));
}

static bool is_as_it_stands(struct view coding)
{
    return coding.n == 0 || view_eq_nocase(coding, VIEW("7bit")) ||
           view_eq_nocase(coding, VIEW("8bit")) || view_eq_nocase(coding, VIEW("binary")) ||
           view_eq_nocase(coding, VIEW("identity"));
}

struct part { /* of a body, or all of it */
    struct view type, body;
    bool is_packed;
};

static struct part part_of(struct view octets)
{
    struct part p = {.type = VIEW("")};
    struct view rest = octets, line;

    while (next_line(&rest, &line)) {
        struct view name, value;
        if (!split_header(line, &name, &value)) {
            continue;
        }
        if (view_eq_nocase(name, VIEW("Content-Type"))) {
            p.type = value;
        } else if (view_eq_nocase(name, VIEW("Content-Transfer-Encoding")) ||
                   view_eq_nocase(name, VIEW("Content-Encoding"))) {
            p.is_packed = p.is_packed || !is_as_it_stands(value);
        }
    }
    p.body = rest;
    return p;
}

/* What stands in front of each part, of all multiparts that were met so far: a part within a part
 * is found wherever it is. */
struct marks {
    char text[MARKS_MAX][MARK_MAX]; /* two dashes and the boundary */
    unsigned n;
};

static void add_mark(struct marks *all, struct view content_type)
{
    struct view v = li_parameter(content_type, VIEW("boundary"));
    bool is_quoted = v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"';
    char *mark = all->text[all->n % MARKS_MAX];
    size_t n = 2;

    v = is_quoted ? view_sub(v, 1, v.n - 2) : v;
    if (v.n == 0 || v.n > MARK_MAX - 3) {
        return;
    }
    mark[0] = mark[1] = '-';
    for (size_t i = 0; i < v.n; i++) {
        i += is_quoted && v.p[i] == '\\' && i + 1 < v.n;
        mark[n++] = v.p[i];
    }
    mark[n] = 0;
    all->n++;
}

/* How long the mark at the beginning of a line is; 0: there is none, or one of a longer boundary.
 */
static size_t mark_at(const struct marks *all, struct view in)
{
    for (unsigned i = 0; i < all->n && i < MARKS_MAX; i++) {
        struct view mark = view_of(all->text[i]);
        struct view behind = view_sub(in, mark.n, 2);
        if (view_starts(in, mark) && (behind.n == 0 || strchr(" \t\r\n", behind.p[0]) != NULL ||
                                      view_eq(behind, VIEW("--")))) {
            return mark.n;
        }
    }
    return 0;
}

/* The next line that is a mark (RFC 2046 section 5.1.1). */
static bool find_mark(const struct marks *all, struct view in, size_t *out_at, size_t *out_n)
{
    size_t at = 0, end = 0;

    while (at < in.n) {
        struct view rest = view_sub(in, at, in.n);
        *out_n = view_starts(rest, VIEW("--")) ? mark_at(all, rest) : 0;
        if (*out_n > 0) {
            *out_at = at;
            return true;
        }
        at += view_find(rest, '\n', &end) ? end + 1 : rest.n;
    }
    return false;
}

static struct view sdp_of_parts(const struct part *whole)
{
    struct marks all = {.n = 0};
    struct view rest = whole->body, found = VIEW("");
    size_t at = 0, n = 0;

    add_mark(&all, whole->type);
    while (found.n == 0 && find_mark(&all, rest, &at, &n)) {
        struct part one;
        rest = view_sub(rest, at + n, rest.n);
        if (view_starts(rest, VIEW("\r\n"))) {
            rest = view_sub(rest, 2, rest.n);
        }
        if (!find_mark(&all, rest, &at, &n)) {
            break;
        }
        one = part_of(view_sub(rest, 0, at));
        if (is_type(one.type, VIEW("multipart"), VIEW(""))) {
            add_mark(&all, one.type);
        } else if (!one.is_packed && is_type(one.type, VIEW("application"), VIEW("sdp"))) {
            found = one.body;
        }
    }
    if (found.n >= 2 && memcmp(found.p + found.n - 2, "\r\n", 2) == 0) {
        found.n -= 2; /* belongs to the boundary; what stays ends its own line */
    }
    return found;
}

struct view li_message_sdp(const struct li_message *m)
{
    struct part p = {m->content_type, m->body, !is_as_it_stands(m->coding)};

    if (!p.is_packed && is_type(p.type, VIEW("application"), VIEW("sdp"))) {
        return p.body;
    }
    return !p.is_packed && is_type(p.type, VIEW("multipart"), VIEW("")) ? sdp_of_parts(&p)
                                                                        : VIEW("");
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
static bool has_word(struct view line, struct view word)
{
    for (size_t i = 0; i + word.n <= line.n; i++) {
        if (view_eq_nocase(view_sub(line, i, word.n), word)) {
            return true;
        }
    }
    return false;
}

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
    /* As a capability (RFC 5939), or in whatever attribute it stands. */
    return view_starts_nocase(line, VIEW("a=acap:")) || has_word(line, VIEW("inline:"));
}

/* Ends by CR, LF or both: each is a line end to somebody. */
static struct view sdp_line(struct view sdp)
{
    size_t n = 0;

    while (n < sdp.n && sdp.p[n] != '\r' && sdp.p[n] != '\n') {
        n++;
    }
    n += n + 1 < sdp.n && sdp.p[n] == '\r' && sdp.p[n + 1] == '\n';
    return view_sub(sdp, 0, n + 1);
}

size_t li_sdp_without_keys(struct view sdp, char *dst)
{
    size_t n = 0;

    while (sdp.n > 0) {
        struct view line = sdp_line(sdp);
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
    static const char *const all[] = {"P-Access-Network-Info",
                                      "Cellular-Network-Info",
                                      "P-Visited-Network-ID",
                                      "Subject",
                                      "s",
                                      "User-to-User",
                                      "l",
                                      "c",
                                      "e",
                                      "Call-Info",
                                      "MIME-Version"};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (view_eq_nocase(name, view_of(all[i]))) {
            return true;
        }
    }
    return view_starts_nocase(name, VIEW("Content-")) ||
           view_starts_nocase(name, VIEW("Geolocation"));
}

/* In which a session description says how to talk; in others it would be what is said. */
static bool has_media(const struct li_message *m)
{
    static const char *const all[] = {"INVITE", "ACK", "PRACK", "UPDATE", "OPTIONS"};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (view_eq(m->method, view_of(all[i]))) {
            return true;
        }
    }
    return false;
}

enum err li_message_without_content(const struct li_message *m, char *dst, size_t dst_bytes,
                                    size_t *out_n)
{
    struct view sdp = has_media(m) ? li_message_sdp(m) : VIEW(""), rest = m->head;
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
