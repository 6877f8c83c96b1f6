/* Where one message ends on a stream and the next begins. */
#include <string.h>

#include "signaling/sip_msg.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool line_is_length(struct view line, struct view *out_value)
{
    size_t colon = 0;

    if (line.n == 0 || is_blank(line.p[0]) || !view_find(line, ':', &colon) ||
        sip_hdr_id_of(view_trim(view_sub(line, 0, colon))) != SIP_H_CONTENT_LENGTH) {
        return false;
    }
    *out_value = view_trim(view_sub(line, colon + 1, line.n));
    return true;
}

/* A folded length counts as a bad one: where its number ends is nothing to guess at. */
static enum err find_length(struct view head, size_t *out)
{
    bool found = false, in_length = false;

    for (size_t at = 0; at < head.n;) {
        const char *eol = memmem(head.p + at, head.n - at, "\r\n", 2);
        size_t n = eol != NULL ? (size_t)(eol - head.p) - at : head.n - at;
        struct view line = view_sub(head, at, n), value;
        uint64_t length = 0;
        if (in_length && n > 0 && is_blank(line.p[0])) {
            return FAIL(E_PARSE);
        }
        in_length = line_is_length(line, &value);
        if (in_length) {
            if (found || view_to_u64(value, SIP_MAX_BYTES, &length) != E_OK) {
                return FAIL(E_PARSE);
            }
            found = true;
            *out = length;
        }
        at += n + 2;
    }
    return found ? E_OK : FAIL(E_PARSE);
}

enum err sip_stream_cut(struct view buffered, size_t *out_skip, size_t *out_bytes, bool *out_ping)
{
    struct view rest = buffered;
    const char *end = NULL;
    size_t body = 0, head = 0;

    while (view_starts(rest, VIEW("\r\n"))) {
        rest = view_sub(rest, 2, rest.n);
    }
    *out_skip = buffered.n - rest.n;
    *out_ping = *out_skip >= 4;
    if (rest.n == 0 || view_eq(rest, VIEW("\r"))) {
        *out_skip -= *out_skip % 4; /* the other half of a ping may follow */
        return FAIL(E_STATE);
    }
    end = memmem(rest.p, rest.n, "\r\n\r\n", 4);
    if (end == NULL) {
        return FAIL(rest.n > SIP_MAX_BYTES ? E_RANGE : E_STATE);
    }
    head = (size_t)(end - rest.p) + 4;
    if (head > SIP_MAX_BYTES) {
        return FAIL(E_RANGE);
    }
    if (find_length(view_sub(rest, 0, head - 2), &body) != E_OK) {
        return FAIL(E_PARSE);
    }
    if (head + body > SIP_MAX_BYTES) {
        return FAIL(E_RANGE);
    }
    if (rest.n < head + body) {
        return FAIL(E_STATE);
    }
    *out_bytes = head + body;
    return E_OK;
}
