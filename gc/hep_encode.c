/* A HEPv3 datagram: "HEP3", its length, and chunks of vendor, type, length, content, all in network
 * order (HEP3 network protocol specification, revision 12). */
#include <string.h>

#include "gc/hep.h"

enum {
    CHUNK_HEAD = 6,
    HEP_HEAD = 6,
    FAMILY_4 = 2,
    FAMILY_6 = 10,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PAYLOAD_SIP = 1
};

enum chunk {
    CHUNK_FAMILY = 1,
    CHUNK_PROTO = 2,
    CHUNK_FROM_4 = 3,
    CHUNK_TO_4 = 4,
    CHUNK_FROM_6 = 5,
    CHUNK_TO_6 = 6,
    CHUNK_FROM_PORT = 7,
    CHUNK_TO_PORT = 8,
    CHUNK_SECONDS = 9,
    CHUNK_MICROSECONDS = 10,
    CHUNK_PAYLOAD_KIND = 11,
    CHUNK_AGENT = 12,
    CHUNK_KEY = 14,
    CHUNK_PAYLOAD = 15,
    CHUNK_CORRELATION = 17,
    CHUNK_NODE = 19
};

struct pen {
    uint8_t *p;
    size_t n, max;
    bool bad;
};

static void put_number(struct pen *w, uint64_t v, size_t octets)
{
    if (w->max - w->n < octets) {
        w->bad = true;
        return;
    }
    for (size_t i = 0; i < octets; i++) {
        w->p[w->n++] = (uint8_t)(v >> (8 * (octets - 1 - i)));
    }
}

static void put_octets(struct pen *w, enum chunk type, const void *p, size_t n)
{
    put_number(w, 0, 2); /* vendor: the specification's own chunks */
    put_number(w, (uint64_t)type, 2);
    put_number(w, CHUNK_HEAD + n, 2);
    if (w->max - w->n < n) {
        w->bad = true;
        return;
    }
    if (n > 0) {
        memcpy(w->p + w->n, p, n);
    }
    w->n += n;
}

static void put_value(struct pen *w, enum chunk type, uint64_t v, size_t octets)
{
    put_number(w, 0, 2);
    put_number(w, (uint64_t)type, 2);
    put_number(w, CHUNK_HEAD + octets, 2);
    put_number(w, v, octets);
}

static void put_addresses(struct pen *w, const struct hep_packet *p)
{
    bool is_6 = p->from.family == 6 || p->to.family == 6;

    put_value(w, CHUNK_FAMILY, is_6 ? FAMILY_6 : FAMILY_4, 1);
    put_value(w, CHUNK_PROTO, p->is_datagram ? PROTO_UDP : PROTO_TCP, 1);
    put_octets(w, is_6 ? CHUNK_FROM_6 : CHUNK_FROM_4, p->from.ip, is_6 ? 16 : 4);
    put_octets(w, is_6 ? CHUNK_TO_6 : CHUNK_TO_4, p->to.ip, is_6 ? 16 : 4);
    put_value(w, CHUNK_FROM_PORT, p->from.port, 2);
    put_value(w, CHUNK_TO_PORT, p->to.port, 2);
}

size_t hep_encode(const struct hep_cfg *cfg, const struct hep_packet *p, struct view octets,
                  void *dst, size_t dst_bytes)
{
    struct pen w = {.p = dst, .max = dst_bytes < UINT16_MAX ? dst_bytes : UINT16_MAX};
    struct view call_id = view_sub(hep_call_id(octets), 0, HEP_CALL_ID_MAX);
    struct view key = view_sub(view_of(cfg->key), 0, HEP_KEY_MAX);
    struct view node = view_sub(view_of(cfg->node), 0, HEP_NODE_MAX);

    if (dst_bytes < HEP_HEAD) {
        return 0;
    }
    memcpy(w.p, "HEP3\0\0", HEP_HEAD);
    w.n = HEP_HEAD;
    put_addresses(&w, p);
    put_value(&w, CHUNK_SECONDS, p->at_us / 1000000, 4);
    put_value(&w, CHUNK_MICROSECONDS, p->at_us % 1000000, 4);
    put_value(&w, CHUNK_PAYLOAD_KIND, PAYLOAD_SIP, 1);
    put_value(&w, CHUNK_AGENT, cfg->agent, 4);
    if (key.n > 0) {
        put_octets(&w, CHUNK_KEY, key.p, key.n);
    }
    if (call_id.n > 0) {
        put_octets(&w, CHUNK_CORRELATION, call_id.p, call_id.n);
    }
    if (node.n > 0) {
        put_octets(&w, CHUNK_NODE, node.p, node.n);
    }
    put_octets(&w, CHUNK_PAYLOAD, octets.p, octets.n);
    if (w.bad) {
        return 0;
    }
    w.p[4] = (uint8_t)(w.n >> 8);
    w.p[5] = (uint8_t)w.n;
    return w.n;
}

struct view hep_call_id(struct view octets)
{
    size_t end = 0, colon = 0;

    while (view_find(octets, '\n', &end)) {
        struct view line =
            view_sub(octets, 0, end > 0 && octets.p[end - 1] == '\r' ? end - 1 : end);
        octets = view_sub(octets, end + 1, octets.n);
        if (line.n == 0) {
            break; /* the body */
        }
        if (view_find(line, ':', &colon)) {
            struct view name = view_trim(view_sub(line, 0, colon));
            if (view_eq_nocase(name, VIEW("Call-ID")) || view_eq_nocase(name, VIEW("i"))) {
                return view_trim(view_sub(line, colon + 1, line.n));
            }
        }
    }
    return VIEW("");
}
