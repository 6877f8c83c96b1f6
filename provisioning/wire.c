#include "provisioning/wire.h"

#include <string.h>

#define WIRE_CODE_CASE(id, value, text)                                                            \
    case id:                                                                                       \
        return text;
const char *wire_code_text(uint16_t code)
{
    switch ((int)code) {
        WIRE_CODE_LIST(WIRE_CODE_CASE)
    default:
        return "unknown code";
    }
}
#undef WIRE_CODE_CASE

static size_t get16(const char *p)
{
    return (size_t)(uint8_t)p[0] << 8 | (uint8_t)p[1];
}

enum err wire_cut(struct view buffered, size_t *out_n)
{
    if (buffered.n > 0 && buffered.p[0] != WIRE_VERSION) {
        return FAIL(E_PARSE);
    }
    if (buffered.n < WIRE_HEAD) {
        return E_STATE; /* nothing is wrong: no FAIL() place to record */
    }
    size_t body = get16(buffered.p + 2);
    if (body > WIRE_BODY_MAX) {
        return FAIL(E_RANGE);
    }
    if (buffered.n < WIRE_HEAD + body) {
        return E_STATE;
    }
    *out_n = WIRE_HEAD + body;
    return E_OK;
}

enum err wire_open(struct view frame, uint8_t *out_type, struct view *out_body)
{
    size_t n = 0;
    enum err e = wire_cut(frame, &n);
    if (e == E_STATE || (e == E_OK && n != frame.n)) {
        return FAIL(E_PARSE);
    }
    if (e == E_OK) {
        *out_type = (uint8_t)frame.p[1];
        *out_body = view_sub(frame, WIRE_HEAD, frame.n);
    }
    return e;
}

void wire_begin(struct wire_out *w, uint8_t *buf, size_t max, enum wire_type type)
{
    const uint8_t head[WIRE_HEAD] = {WIRE_VERSION, (uint8_t)type, 0, 0};
    *w = (struct wire_out){.b = buf, .max = max};
    wire_raw(w, head, sizeof head);
}

enum err wire_end(struct wire_out *w)
{
    if (w->full || w->n < WIRE_HEAD || w->n > WIRE_FRAME_MAX) {
        return FAIL(E_RANGE);
    }
    size_t body = w->n - WIRE_HEAD;
    w->b[2] = (uint8_t)(body >> 8);
    w->b[3] = (uint8_t)body;
    return E_OK;
}

void wire_raw(struct wire_out *w, const void *p, size_t n)
{
    if (w->full || n > w->max - w->n) {
        w->full = true;
        return;
    }
    if (n) {
        memcpy(w->b + w->n, p, n);
    }
    w->n += n;
}

void wire_put(struct wire_out *w, enum wire_field f, const void *p, size_t n)
{
    unsigned code = WIRE_CRITICAL | (unsigned)f;
    const uint8_t head[WIRE_FIELD_HEAD] = {(uint8_t)(code >> 8), (uint8_t)code, (uint8_t)(n >> 8),
                                           (uint8_t)n};
    if (n > WIRE_BODY_MAX) {
        w->full = true;
        return;
    }
    wire_raw(w, head, sizeof head);
    wire_raw(w, p, n);
}

void wire_put_u(struct wire_out *w, enum wire_field f, uint64_t v, size_t octets)
{
    uint8_t b[8];
    BUG_ON(octets == 0 || octets > sizeof b);
    for (size_t i = 0; i < octets; i++) {
        b[i] = (uint8_t)(v >> (8 * (octets - 1 - i)));
    }
    wire_put(w, f, b, octets);
}

static bool known(size_t code)
{
    static const uint8_t codes[] = {
        WF_MODE,     WF_SUITES,   WF_CALL_ID,    WF_RANDOM,   WF_EPHEMERAL, WF_TRANSCRIPT,
        WF_SUITE,    WF_CHAIN,    WF_HPKE_ENC,   WF_HPKE_CT,  WF_WRAPPED,   WF_INFO_CT,
        WF_N0,       WF_N1,       WF_N2,         WF_MAC_ADDR, WF_IP,        WF_MODEL,
        WF_SOFTWARE, WF_VERDICT,  WF_TRIES_LEFT, WF_KEY_KIND, WF_USER_KEY,  WF_POSSESSION,
        WF_BTI_ID,   WF_NUMBERS,  WF_GATES,      WF_SERVERS,  WF_CODE,      WF_TEXT,
        WF_FORM,     WF_SECRET,   WF_TIME,       WF_COUNTER,  WF_GATE_NAME, WF_NONCE,
        WF_KID,      WF_LIFETIME, WF_SIGNATURE,  WF_MAC};
    return code < 256 && memchr(codes, (int)code, sizeof codes) != NULL;
}

/* One field off the front. A known field without its critical bit is refused, so that the bit
 * cannot be altered unnoticed in a plain frame. */
static enum err take(struct view *body, size_t *out_code, struct view *out)
{
    if (body->n < WIRE_FIELD_HEAD) {
        return FAIL(E_PARSE);
    }
    size_t code = get16(body->p);
    size_t n = get16(body->p + 2);
    if (n > body->n - WIRE_FIELD_HEAD) {
        return FAIL(E_PARSE);
    }
    bool critical = (code & WIRE_CRITICAL) != 0;
    code &= WIRE_CRITICAL - 1;
    if (known(code) != critical) {
        return FAIL(critical ? E_DENIED : E_PARSE);
    }
    /* Looking one field ahead keeps the order without remembering the last code. */
    if (body->n - WIRE_FIELD_HEAD - n >= 2 &&
        (get16(body->p + WIRE_FIELD_HEAD + n) & (WIRE_CRITICAL - 1)) <= code) {
        return FAIL(E_PARSE);
    }
    *out_code = code;
    *out = view_sub(*body, WIRE_FIELD_HEAD, n);
    *body = view_sub(*body, WIRE_FIELD_HEAD + n, body->n);
    return E_OK;
}

enum err wire_get(struct view *body, enum wire_field f, size_t min, size_t max, struct view *out)
{
    struct view rest = *body;
    size_t code = 0;
    struct view v = {0};
    do {
        enum err e = take(&rest, &code, &v);
        if (e != E_OK) {
            return e;
        }
    } while (!known(code));
    if (code != (size_t)f || v.n < min || v.n > max) {
        return FAIL(E_PARSE);
    }
    *out = v;
    *body = rest;
    return E_OK;
}

enum err wire_get_u(struct view *body, enum wire_field f, size_t octets, uint64_t *out)
{
    struct view v;
    uint64_t u = 0;
    enum err e = wire_get(body, f, octets, octets, &v);
    if (e != E_OK) {
        return e;
    }
    for (size_t i = 0; i < octets; i++) {
        u = u << 8 | (uint8_t)v.p[i];
    }
    *out = u;
    return E_OK;
}

bool wire_next_is(struct view body, enum wire_field f)
{
    struct view v;
    return wire_get(&body, f, 0, WIRE_BODY_MAX, &v) == E_OK;
}

enum err wire_finish(struct view body)
{
    while (body.n) {
        size_t code = 0;
        struct view v;
        enum err e = take(&body, &code, &v);
        if (e == E_OK && known(code)) {
            e = FAIL(E_PARSE);
        }
        if (e != E_OK) {
            return e;
        }
    }
    return E_OK;
}
