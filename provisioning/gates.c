#include "provisioning/gates.h"

#include <stdio.h>
#include <string.h>

static enum err read_address(struct view text, struct gate *g)
{
    static const struct {
        struct view scheme;
        uint16_t port;
    } known[] = {{{"udp:", 4}, 5060}, {{"tcp:", 4}, 5060}, {{"tls:", 4}, 5061}};

    if (g->n == GATE_ADDRESSES_MAX) {
        return FAIL(E_FULL);
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (view_starts(text, known[i].scheme)) {
            enum err e = net_parse(view_sub(text, 4, text.n - 4), known[i].port, &g->address[g->n]);
            g->n += e == E_OK;
            return e;
        }
    }
    return FAIL(E_PARSE);
}

static enum err read_gate(struct view text, struct gate *out)
{
    struct gate g = {.n = 0};
    struct cursor c = cursor_over(text);
    struct view name = {0}, address = {0};
    enum err e = E_OK;

    TRY(cur_until(&c, '=', &name));
    TRY(view_to_cstr(name, g.name, sizeof g.name));
    if (name.n == 0) {
        return FAIL(E_PARSE);
    }
    while (cur_until(&c, ',', &address) == E_OK) {
        TRY(read_address(address, &g));
    }
    TRY(read_address(cur_rest(&c), &g));
    *out = g;
out:
    return e;
}

enum err gates_read(const struct conf_list *list, struct gates *out, const char **out_bad)
{
    struct gates g = {.n = 0};
    enum err e = E_OK;

    for (size_t i = 0; i < list->n; i++) {
        *out_bad = list->v[i];
        if (g.n == GATES_MAX) {
            return FAIL(E_FULL);
        }
        TRY(read_gate(view_of(list->v[i]), &g.gate[g.n]));
        for (unsigned k = 0; k < g.n; k++) {
            if (strcmp(g.gate[k].name, g.gate[g.n].name) == 0) {
                return FAIL(E_EXISTS);
            }
        }
        g.n++;
    }
    *out = g;
out:
    return e;
}

bool gates_has_ip(const struct gates *g, const struct net_addr *a)
{
    for (unsigned i = 0; i < g->n; i++) {
        for (unsigned k = 0; k < g->gate[i].n; k++) {
            if (net_ip_eq(&g->gate[i].address[k], a)) {
                return true;
            }
        }
    }
    return false;
}

/* Not a secret, and the same on every provisioning server: the weight of a gate for a BTI. */
static uint64_t weight(const struct gate *g, const uint8_t bti_id[BTI_ID_BYTES])
{
    static const uint8_t fixed[16] = "headgate gates";
    char b[BTI_ID_BYTES + GATE_NAME_MAX];
    size_t n = strlen(g->name);

    memcpy(b, bti_id, BTI_ID_BYTES);
    memcpy(b + BTI_ID_BYTES, g->name, n);
    return siphash64(fixed, view_from(b, BTI_ID_BYTES + n));
}

void gates_assign(const struct gates *g, const uint8_t bti_id[BTI_ID_BYTES],
                  struct enrol_texts *out)
{
    bool any_live = false, taken[GATES_MAX] = {false};

    out->n = 0;
    for (unsigned i = 0; i < g->n; i++) {
        any_live = any_live || g->gate[i].live;
    }
    while (out->n < GATES_ASSIGNED) {
        uint64_t best = 0;
        unsigned at = GATES_MAX;
        for (unsigned i = 0; i < g->n; i++) {
            uint64_t w = weight(&g->gate[i], bti_id);
            if (!taken[i] && (g->gate[i].live || !any_live) && (at == GATES_MAX || w > best)) {
                best = w;
                at = i;
            }
        }
        if (at == GATES_MAX) {
            break;
        }
        char text[NET_TEXT_MAX];
        taken[at] = true;
        net_text(&g->gate[at].address[0], text);
        snprintf(out->v[out->n++], ENROL_TEXT_BYTES, "%s", text);
    }
}
