/* X2 PDUs: see x2.h. */
#include <stdio.h>
#include <string.h>

#include "lawful_intercept/x2.h"

enum { /* attribute types */
       A_SEQUENCE = 8,
       A_TIME = 9,
       A_FROM4 = 10,
       A_TO4 = 11,
       A_FROM6 = 12,
       A_TO6 = 13,
       A_FROM_PORT = 14,
       A_TO_PORT = 15,
       A_TARGET = 17,
       A_MOST = 1023
};

/* ---- writing -----------------------------------------------------------------------------------
 */
struct writer {
    uint8_t *p;
    size_t n, max;
    bool is_full;
};

static void put(struct writer *w, const void *octets, size_t n)
{
    if (w->is_full || w->max - w->n < n) {
        w->is_full = true;
        return;
    }
    if (n > 0) {
        memcpy(w->p + w->n, octets, n);
    }
    w->n += n;
}

static void put_number(struct writer *w, uint64_t v, size_t n)
{
    uint8_t b[8];

    for (size_t i = 0; i < n; i++) {
        b[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    }
    put(w, b, n);
}

static void put_attribute(struct writer *w, unsigned type, size_t n)
{
    put_number(w, type, 2);
    put_number(w, n, 2);
}

static void put_address(struct writer *w, const struct net_addr *a, unsigned v4, unsigned v6,
                        unsigned port)
{
    size_t n = a->family == 4 ? 4 : 16;

    if (a->family == 0) {
        return;
    }
    put_attribute(w, a->family == 4 ? v4 : v6, n);
    put(w, a->ip, n);
    put_attribute(w, port, 2);
    put_number(w, a->port, 2);
}

static void put_attributes(struct writer *w, const struct x2_pdu *p)
{
    if (p->has_sequence) {
        put_attribute(w, A_SEQUENCE, 4);
        put_number(w, p->sequence, 4);
    }
    if (p->has_time) {
        put_attribute(w, A_TIME, 8);
        put_number(w, p->at_us / 1000000, 4);
        put_number(w, p->at_us % 1000000 * 1000, 4);
    }
    put_address(w, &p->from, A_FROM4, A_FROM6, A_FROM_PORT);
    put_address(w, &p->to, A_TO4, A_TO6, A_TO_PORT);
    if (p->target.n > 0) {
        put_attribute(w, A_TARGET, p->target.n);
        put(w, p->target.p, p->target.n);
    }
}

enum err x2_write(const struct x2_pdu *p, void *dst, size_t dst_bytes, size_t *out_n)
{
    uint8_t attributes[X2_ATTRIBUTES_MAX];
    struct writer a = {attributes, 0, sizeof attributes, false}, w = {dst, 0, dst_bytes, false};

    if (p->payload.n > X2_PAYLOAD_MAX) {
        return FAIL(E_RANGE);
    }
    put_attributes(&a, p);
    put_number(&w, p->version != 0 ? p->version : X2_VERSION, 2);
    put_number(&w, (unsigned)p->type, 2);
    put_number(&w, X2_HEAD + a.n, 4);
    put_number(&w, p->payload.n, 4);
    put_number(&w, p->format, 2);
    put_number(&w, p->direction, 2);
    put(&w, p->xid, sizeof p->xid);
    put_number(&w, p->correlation, 8);
    put(&w, attributes, a.n);
    put(&w, p->payload.p, p->payload.n);
    if (a.is_full || w.is_full) {
        return FAIL(E_RANGE);
    }
    *out_n = w.n;
    return E_OK;
}

/* ---- reading -----------------------------------------------------------------------------------
 */
static uint64_t number(const char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        v = v << 8 | (unsigned char)p[i];
    }
    return v;
}

static enum err refuse(char *why, size_t why_bytes, const char *what, uint64_t value)
{
    snprintf(why, why_bytes, "%s (%llu)", what, (unsigned long long)value);
    return FAIL(E_PARSE);
}

static void take_address(struct net_addr *a, struct view v)
{
    a->family = v.n == 4 ? 4 : 6;
    memset(a->ip, 0, sizeof a->ip);
    memcpy(a->ip, v.p, v.n);
}

/* False: its length is none of that type. */
static bool take_attribute(struct x2_pdu *p, uint64_t type, struct view v)
{
    static const struct {
        uint8_t type, n;
    } lengths[] = {{A_SEQUENCE, 4}, {A_TIME, 8}, {A_FROM4, 4},     {A_TO4, 4},
                   {A_FROM6, 16},   {A_TO6, 16}, {A_FROM_PORT, 2}, {A_TO_PORT, 2}};

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        if (lengths[i].type == type && lengths[i].n != v.n) {
            return false;
        }
    }
    if (type == A_SEQUENCE) {
        p->has_sequence = true;
        p->sequence = (uint32_t)number(v.p, 4);
    } else if (type == A_TIME) {
        p->has_time = true;
        p->at_us = number(v.p, 4) * 1000000 + number(v.p + 4, 4) / 1000;
    } else if (type == A_FROM4 || type == A_FROM6) {
        take_address(&p->from, v);
    } else if (type == A_TO4 || type == A_TO6) {
        take_address(&p->to, v);
    } else if (type == A_FROM_PORT) {
        p->from.port = (uint16_t)number(v.p, 2);
    } else if (type == A_TO_PORT) {
        p->to.port = (uint16_t)number(v.p, 2);
    } else if (type == A_TARGET) {
        p->target = v;
    }
    return true;
}

static enum err read_attributes(struct x2_pdu *p, struct view rest, char *why, size_t why_bytes)
{
    while (rest.n > 0) {
        uint64_t type = 0, n = 0;
        if (rest.n < 4) {
            return refuse(why, why_bytes, "half an attribute", rest.n);
        }
        type = number(rest.p, 2);
        n = number(rest.p + 2, 2);
        if (rest.n - 4 < n) {
            return refuse(why, why_bytes, "an attribute ends behind the head", type);
        }
        if (type > A_MOST || !take_attribute(p, type, view_sub(rest, 4, n))) {
            return refuse(why, why_bytes, "an attribute makes no sense", type);
        }
        rest = view_sub(rest, 4 + n, rest.n - 4 - n);
    }
    return E_OK;
}

static enum err check_head(const struct x2_pdu *p, uint64_t head, uint64_t payload, char *why,
                           size_t why_bytes)
{
    if (p->version >> 8 != 0 && p->version >> 8 != 1) {
        return refuse(why, why_bytes, "no version that we know", p->version);
    }
    if (p->type != X2_DATA && p->type != X2_KEEPALIVE && p->type != X2_KEEPALIVE_ACK) {
        return refuse(why, why_bytes, "no such PDU type", (uint64_t)p->type);
    }
    if (head < X2_HEAD || head > X2_HEAD + X2_ATTRIBUTES_MAX) {
        return refuse(why, why_bytes, "a head of that length", head);
    }
    if (payload > X2_PAYLOAD_MAX) {
        return refuse(why, why_bytes, "a payload of that length", payload);
    }
    return E_OK;
}

enum err x2_read(struct view octets, struct x2_pdu *out, size_t *out_n, char *why, size_t why_bytes)
{
    struct x2_pdu p = {0};
    uint64_t head = 0, payload = 0;
    enum err e = E_OK;

    snprintf(why, why_bytes, "the PDU is not all there");
    if (octets.n < X2_HEAD) {
        return FAIL(E_RANGE);
    }
    p.version = (uint16_t)number(octets.p, 2);
    p.type = (enum x2_type)number(octets.p + 2, 2);
    head = number(octets.p + 4, 4);
    payload = number(octets.p + 8, 4);
    TRY(check_head(&p, head, payload, why, why_bytes));
    if (octets.n < head + payload) {
        return FAIL(E_RANGE);
    }
    p.format = (uint16_t)number(octets.p + 12, 2);
    p.direction = (uint16_t)number(octets.p + 14, 2);
    memcpy(p.xid, octets.p + 16, sizeof p.xid);
    p.correlation = number(octets.p + 32, 8);
    TRY(read_attributes(&p, view_sub(octets, X2_HEAD, head - X2_HEAD), why, why_bytes));
    p.payload = view_sub(octets, head, payload);
    *out = p;
    *out_n = head + payload;
out:
    return e;
}
